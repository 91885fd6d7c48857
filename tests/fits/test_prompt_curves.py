"""Curves of single prompts, read from a run."""

from pathlib import Path

import numpy as np
import pytest

from ripplestats.errors import RunError
from ripplestats.fits.curve_layout import Cell
from ripplestats.fits.prompt_curves import prompt_curves
from ripplestats.fits.run_statistics import run_statistics
from ripplestats.store.run_directory import Run
from tests.store.synthetic_run import make_run

CELL = Cell("top", "median", "pre", "delta_logprob")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("prompts") / "run", prompts=20, per_document=3)


def test_their_means_by_document_are_the_documents_curves(run: Run) -> None:
    found = prompt_curves(run, CELL)
    expected = run_statistics(run, ["delta_logprob"]).curves[CELL]
    assert found.groups == expected.groups
    assert found.note == ""
    np.testing.assert_array_equal(found.x, expected.x)
    np.testing.assert_array_equal(found.prompts, np.arange(20))
    np.testing.assert_array_equal(found.documents, np.arange(20) // 3)
    for document in range(7):
        mean = found.values[found.documents == document].mean(axis=0)
        np.testing.assert_allclose(mean, expected.values[document], rtol=1e-12, atol=1e-14)


def test_a_large_run_is_sampled_by_whole_documents_and_says_so(run: Run) -> None:
    found = prompt_curves(run, CELL, most_prompts=10)
    assert 7 <= len(found.prompts) <= 10
    for document in np.unique(found.documents):
        assert (found.documents == document).sum() == (2 if document == 6 else 3)
    assert found.note == f"from a random {len(found.prompts)} of 20 prompts (whole documents)"


def test_what_was_not_swept_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no effects of bottom, median, pre, kl"):
        prompt_curves(run, Cell("bottom", "median", "pre", "kl"))


def test_curves_are_read_once_for_the_same_files_and_anew_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", prompts=8)
    read: list[Path] = []
    part_table = Run.part_table
    monkeypatch.setattr(Run, "part_table", lambda self, file, *rest: read.append(file) or part_table(self, file, *rest))
    first = prompt_curves(run, CELL)
    once = len(read)
    assert prompt_curves(run, CELL) is first
    assert len(read) == once
    with pytest.raises(ValueError, match="read-only"):
        first.values[:] = 0
    make_run(tmp_path / "other", prompts=8, noise=0.3).parts()[0].replace(run.parts()[0])
    assert np.abs(prompt_curves(run, CELL).values - first.values).max() > 0.01
    assert len(read) == 2 * once
