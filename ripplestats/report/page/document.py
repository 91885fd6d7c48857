"""Content → one HTML file: whatever comes from data is text, and nothing runs but our own scripts.

The page forbids itself everything by a content security policy (W3C CSP 3): no network, no inline handler, no ``eval``;
scripts and style are named by their hashes. Vega therefore runs with its expression interpreter.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

_FOLDER = Path(__file__).parent
_VENDORED = ("vega.min.js", "vega-lite.min.js", "vega-interpreter.js")
_OWN = ("charts.js", "map.js", "page.js")
#: What would end a script or open a comment inside one, and the line ends that JavaScript has and JSON has not.
_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {127: 0x2421}
_SOURCE_MAP = re.compile(r"//# sourceMappingURL=\S+\s*$")


def script_json(content: object) -> Markup:
    """Return content as JSON that stays data inside a ``script`` element, whatever text is in it.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_ESCAPES))


def visible(text: str) -> str:
    """Return text with control characters as their pictures (␀ for NUL), which a browser would drop."""
    return text.translate(_PICTURES)


def render(content: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        content: what ``templates/page.html`` shows; ``data`` and ``files`` go to its scripts as JSON.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pages = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["visible"] = visible
    scripts = [*map(_vendored, _VENDORED), *map(_own, _OWN)]
    style = _own("page.css")
    data = {"data": script_json(content["data"]), "files_json": script_json(content["files"])}
    return pages.get_template("page.html").render(
        {
            **content,
            **data,
            "policy": _policy(scripts, style),
            "style": Markup(style),
            "scripts": [Markup(script) for script in scripts],
        }
    )


def _policy(scripts: list[str], style: str) -> str:
    allowed = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'sha256-{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _own(name: str) -> str:
    return (_FOLDER / "templates" / name).read_text(encoding="utf-8")


@cache
def _vendored(name: str) -> str:
    """Return a library as the page embeds it: without its source map, and a module as a plain script."""
    text = _SOURCE_MAP.sub("", (_FOLDER / "vendor" / name).read_text(encoding="utf-8"))
    if name == "vega-interpreter.js":
        text = re.sub(r"import (\{[^}]+\}) from 'vega-util';", r"const \1 = vega;", text)
        text = re.sub(r"export \{ (\w+) as expressionInterpreter \};", r"vega.expressionInterpreter = \1;", text)
        text = f"(() => {{\n{text}\n}})();"
    return text
