"""The site builds without a warning, and its pages ask the network for nothing."""

import re
from pathlib import Path

import pytest

from docs.making.blocks import PAGES, ROOT
from docs.making.markdown import WIDTH, broken


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, reader: Path) -> Path:
    """Build the site; the examples' output comes from the runs of the code blocks, where these were tested before."""
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        patch.chdir(ROOT)
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def test_every_page_is_there_with_its_tables_formulas_and_output(site: Path) -> None:
    pages = {file.relative_to(PAGES).with_suffix(".html") for file in PAGES.rglob("*.md")}
    assert all((site / page).exists() for page in pages)
    text = (site / "estimators/threshold.html").read_text(encoding="utf-8")
    assert "<math" in text
    assert "inverted t tests" in text
    assert "Two-phase line of effect on dose" in text
    for page in pages:
        text = (site / page).read_text(encoding="utf-8")
        assert "<!-- table:" not in text, page
        assert "arithmatex" not in text, page


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for file in site.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="?(https?:)?//[^>]*>', text)
        assert not loaded, file


def test_sentences_that_code_prints_fit_the_page_and_tables_stay() -> None:
    sentence, row = "word " * 40 + "end", "term  estimate  " + "x" * WIDTH
    assert all(len(line) <= WIDTH for line in broken(sentence))
    assert " ".join(broken(sentence)) == sentence
    assert broken(f"{row}\nshort") == [row, "short"]
    assert all(line.startswith(" " * 4) for line in broken(" " * 4 + sentence, " " * 4))


def test_search_works_on_pages_that_are_opened_from_a_folder(site: Path) -> None:
    assert (site / "search/search_index.js").read_text(encoding="utf-8").startswith("var __index = {")
    assert 'src="../javascripts/iframe-worker.js"' in (site / "estimators/threshold.html").read_text(encoding="utf-8")
    assert (site / "javascripts/iframe-worker.js").exists()
