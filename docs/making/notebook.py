"""The notebook of the tour: running it from start to end, and the page that is made of it.

    make tour

runs it and writes its outputs into it. The pages are built from what is committed; a test runs it anew and compares.
"""

import re
import sys
from base64 import b64decode
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbformat import NotebookNode
from traitlets.config import Config

from docs.making.blocks import ROOT
from docs.making.markdown import broken

TOUR = ROOT / "analyses" / "tour.ipynb"
#: What a sweep tells whoever waits for it, which differs from run to run; and that tqdm has no widget for its bars.
_PROGRESS = re.compile(r"^\d+/\d+ prompts, .* left\n|^.*TqdmWarning: IProgress not found.*\n +from .*\n", re.M)
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_FRAME_STYLE = re.compile(r"<style scoped>.*?</style>\n?", re.DOTALL)


def read(path: Path = TOUR) -> NotebookNode:
    """Return a notebook, checked against the format."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def execute(notebook: NotebookNode, folder: Path, seconds: int = 600) -> NotebookNode:
    """Return the notebook as it is after running it in a folder, by the Python that runs this.

    Raises:
        CellExecutionError: a cell raised an error.
        ValueError: a cell wrote to stderr what is no progress: a warning.
    """
    done: NotebookNode = nbformat.from_dict(notebook)
    client = NotebookClient(
        done,
        timeout=seconds,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
    )
    client.execute()
    for cell in code_cells(done):
        cell.outputs = [kept for output in cell.outputs if (kept := _without_progress(output)) is not None]
    # Of no use to a reader, and another on every machine.
    done.metadata = _METADATA
    return done


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(notebook: NotebookNode) -> list[str]:
    """Return what each cell of code prints or returns, as text."""
    return [
        "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)
        for cell in code_cells(notebook)
    ]


def page(notebook: NotebookNode, name: str) -> tuple[str, dict[str, bytes]]:
    """Return the Markdown of a notebook, and its pictures by the names that the Markdown has for them."""
    exporter = MarkdownExporter(config=Config({"NbConvertBase": {"display_data_priority": _SHOWN}}))
    markdown, resources = exporter.from_notebook_node(
        notebook, resources={"unique_key": name, "output_files_dir": name}
    )
    markdown = _FRAME_STYLE.sub("", markdown).replace('<table border="1" class="dataframe">', "<table>")
    markdown = _PRINTED.sub(lambda found: "\n".join(broken(found[0], " " * 4)) if found["line"] else found[0], markdown)
    return markdown, resources["outputs"]


#: A cell of code, or a line that one prints, which is set in by four spaces.
_PRINTED = re.compile(r"^```.*?^```$|(?P<line>^ {4}[^\n]+$)", re.M | re.DOTALL)
_SHOWN = ["text/html", "image/svg+xml", "image/png", "text/markdown", "text/plain"]


def run_figure(notebook: NotebookNode, name: str) -> tuple[str, bytes]:
    """Return caption and PNG of the figure of the tour's run that a cell shows by ``show("name")``.

    Raises:
        KeyError: no cell shows it.
    """
    for cell, text in zip(code_cells(notebook), texts(notebook), strict=True):
        if f'show("{name}")' in cell.source:
            (picture,) = (one["data"]["image/png"] for one in cell.outputs if "image/png" in one.get("data", {}))
            return " ".join(text.partition("<IPython")[0].split()), b64decode(picture)
    raise KeyError(name)


def _without_progress(output: NotebookNode) -> NotebookNode | None:
    if output.output_type != "stream" or output.name != "stderr":
        return output
    left = _PROGRESS.sub("", output.text)
    if left.strip():
        raise ValueError(f"the notebook warns: {left.strip()}")
    return None


def main() -> int:
    """Run the tour in a folder of its own, and write its outputs into it."""
    with TemporaryDirectory() as folder:
        done = execute(read(), Path(folder))
    nbformat.write(done, TOUR)
    return 0


if __name__ == "__main__":
    sys.exit(main())
