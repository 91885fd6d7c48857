"""The events of MkDocs: pictures become files, and in pages directives become tables, code gets its output, LaTeX MathML.

A directive is a comment on a line of its own: ``<!-- table: coverage threshold -->``.
"""

import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.making.blocks import ROOT, with_output
from docs.making.mathematics import as_mathml
from docs.making.pictures import PICTURES, picture
from docs.making.tables import table

DIRECTIVE = re.compile(r"^<!-- table: (.+?) -->$", re.M)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pictures."""
    for name in PICTURES:
        files.append(File.generated(config, f"pictures/{name}.svg", content=picture(name)))
    files.append(File.generated(config, "pictures/readme.png", abs_src_path=str(ROOT / "paper/figures/readme.png")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fill in tables, and below code what it prints where the page asks for it."""
    if page.meta.get("show_output"):
        markdown = with_output(markdown, page.file.src_uri)
    return DIRECTIVE.sub(lambda found: table(found[1]), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Draw the formulas."""
    return as_mathml(html)
