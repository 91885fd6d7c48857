"""The events of MkDocs: pictures become files, and in pages directives become tables, code gets its output, LaTeX MathML.

A directive is a comment on a line of its own: ``<!-- table: coverage threshold -->``.
"""

import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.making import notebook
from docs.making.blocks import PAGES, ROOT, pictures_of, with_output
from docs.making.mathematics import as_mathml
from docs.making.pictures import PICTURES, picture
from docs.making.tables import table

TABLE = re.compile(r"^<!-- table: (.+?) -->$", re.M)
FIGURE = re.compile(r"^<!-- figure: (\w+) -->$", re.M)
#: The page that is made of the notebook, and the folder of its pictures.
TOUR = "tour.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pictures, and the page that is a notebook."""
    tour = notebook.read()
    markdown, pictures = notebook.page(tour, "tour")
    files.append(File.generated(config, TOUR, content=markdown))
    for path, content in pictures.items():
        files.append(File.generated(config, path, content=content))
    for name in PICTURES:
        files.append(File.generated(config, f"pictures/{name}.svg", content=picture(name)))
    files.append(File.generated(config, "pictures/readme.png", abs_src_path=str(ROOT / "paper/figures/readme.png")))
    for file in sorted(PAGES.rglob("*.md")):
        text, folder = file.read_text(encoding="utf-8"), file.relative_to(PAGES).parent
        if "<!-- picture:" in text:
            for name, svg in pictures_of(text, file.name).items():
                files.append(File.generated(config, str(folder / name), content=svg))
        for name in FIGURE.findall(text):
            files.append(File.generated(config, f"pictures/run/{name}.png", content=notebook.run_figure(tour, name)[1]))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fill in tables and figures, and below code what it prints and draws where the page asks for it."""
    if page.meta.get("show_output"):
        markdown = with_output(markdown, page.file.src_uri)
    markdown = FIGURE.sub(lambda found: _figure(found[1]), markdown)
    return TABLE.sub(lambda found: table(found[1]), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Draw the formulas."""
    return as_mathml(html)


def _figure(name: str) -> str:
    caption, _ = notebook.run_figure(notebook.read(), name)
    return f"![{name.replace('_', ' ')} of a run](pictures/run/{name}.png){{ width=480 }}\n\n*{caption}*"
