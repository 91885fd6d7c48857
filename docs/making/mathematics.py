"""LaTeX formulas → MathML, which browsers draw by themselves: pages need no script for them, and no network."""

import html
import re

from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[\[(](?P<latex>.*?)\\[\])]</(?P=tag)>', re.DOTALL)


def as_mathml(page: str) -> str:
    """Return a page's HTML with every formula that the Markdown extension marked as MathML."""

    def formula(found: re.Match[str]) -> str:
        display = "block" if found["tag"] == "div" else "inline"
        drawn = convert(html.unescape(found["latex"]).strip(), display=display)
        return f'<div class="formula">{drawn}</div>' if display == "block" else drawn

    return _FORMULA.sub(formula, page)
