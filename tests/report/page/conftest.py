"""One run with hostile texts for all tests of the page."""

import pytest

from tests.report.page.runs import HOSTILE, Analysed, analysed


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    """Twelve prompts, arms top, random and keep_top, texts and the dataset's name hostile."""
    path = tmp_path_factory.mktemp("page") / "run"
    return analysed(path, arms=("top", "random", "keep_top"), texts=HOSTILE, dataset=HOSTILE[0])
