"""The notebook of the tour runs from start to end, and gives what is committed with it."""

import re
import sys
from pathlib import Path

import pytest

from docs.making.blocks import PAGES, ROOT

pytest.importorskip("nbclient", reason="the extra docs is not installed")

from nbformat.v4 import new_code_cell, new_notebook

from docs.making.hooks import FIGURE
from docs.making.notebook import TOUR, code_cells, execute, page, read, run_figure, texts

_NUMBER = re.compile(r"(?<![\w.])[−-]?\d+(?:\.\d+)?(?:e-?\d+)?")
PNG = b"\x89PNG"


def words_and_numbers(text: str) -> tuple[str, list[float]]:
    """A text without its numbers and the spaces that align them, and the numbers."""
    return " ".join(_NUMBER.sub("#", text).split()), [float(one.replace("−", "-")) for one in _NUMBER.findall(text)]


@pytest.mark.thorough
@pytest.mark.embedded_model
def test_the_tour_runs_and_gives_what_is_committed(embedded_model: object, tmp_path: Path) -> None:
    committed, found = read(), execute(read(), tmp_path)
    for cell, before, now in zip(code_cells(committed), texts(committed), texts(found), strict=True):
        (words, numbers), (words_now, numbers_now) = words_and_numbers(before), words_and_numbers(now)
        assert words_now == words, f"{cell.source}\nmake tour writes the notebook's outputs anew"
        # Other builds of the libraries round otherwise; a prompt in 32 may then have another first token.
        assert numbers_now == pytest.approx(numbers, rel=0.02, abs=0.004), cell.source
    assert [len(cell.outputs) for cell in code_cells(found)] == [len(cell.outputs) for cell in code_cells(committed)]


def test_the_committed_notebook_is_whole_and_small() -> None:
    cells = code_cells(read())
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert {output.output_type for cell in cells for output in cell.outputs} <= {
        "stream", "display_data", "execute_result"
    }  # fmt: skip
    assert TOUR.stat().st_size < 1e6
    written = TOUR.read_text(encoding="utf-8")
    assert not re.findall(r"/(?:tmp|home|root|work|Users)/[^\"\\]*", written)
    assert str(ROOT) not in written


def test_the_page_of_the_tour_shows_its_code_tables_and_pictures() -> None:
    markdown, pictures = page(read(), "tour")
    assert markdown.startswith("# A tour")
    assert markdown.count("```python") == len([cell for cell in code_cells(read()) if cell.source])
    assert markdown.count("<table>") >= 5
    assert "<style" not in markdown
    assert len(pictures) >= 6
    assert all(content.startswith(PNG) and name in markdown for name, content in pictures.items())


def test_the_gallery_shows_every_figure_of_the_tour_s_run_with_its_caption() -> None:
    wanted = FIGURE.findall((PAGES / "gallery.md").read_text(encoding="utf-8"))
    assert set(wanted) == {
        name for cell in code_cells(read()) for name in re.findall(r'^show\("(\w+)"\)', cell.source, re.M)
    }
    for name in wanted:
        caption, picture = run_figure(read(), name)
        assert picture.startswith(PNG)
        assert caption.endswith(".")
    with pytest.raises(KeyError):
        run_figure(read(), "nothing")


def test_the_kernel_is_this_python(tmp_path: Path) -> None:
    asked = new_notebook(cells=[new_code_cell("import sys\nprint(sys.executable)")])
    (said,) = texts(execute(asked, tmp_path))
    assert Path(said.strip()) == Path(sys.executable)


def test_a_warning_in_a_cell_is_an_error(tmp_path: Path) -> None:
    careless = new_notebook(cells=[new_code_cell("import warnings\nwarnings.warn('take care')")])
    with pytest.raises(ValueError, match="take care"):
        execute(careless, tmp_path)
