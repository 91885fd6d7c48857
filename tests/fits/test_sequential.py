"""Stopping at a width: looks when they are due, the same answer however the prompts came, the interval of the tables."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripplestats.fits.bootstrap import resample_documents
from ripplestats.fits.curve_layout import Cell
from ripplestats.fits.run_statistics import run_statistics
from ripplestats.fits.segmented import segmented_terms
from ripplestats.fits.sequential import FIRST_LOOK, UntilWidth, last_look, next_look, threshold
from ripplestats.store.run_directory import Run
from tests.store.synthetic_run import make_run

CELL = Cell("top", "median", "pre", "delta_logprob")
NOISE = {"arms": ("top",), "layers": (0, 1), "noise": 1.5}
MOST = 160


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Twenty parts of eight prompts, each prompt a document."""
    return make_run(tmp_path_factory.mktemp("runs") / "run", prompts=MOST, **NOISE)


@pytest.fixture(scope="module")
def width(run: Run) -> float:
    """A width that is reached on the way."""
    widths = [look.width for look in UntilWidth(1e-9, CELL).looks(run)]
    return float(np.median(widths))


class Shorter(Run):
    """The run when only some of its parts were there."""

    def parts(self) -> list[Path]:
        return [file for file in super().parts() if int(file.stem.split("-")[1]) in self.there]

    def __init__(self, path: Path, there: Sequence[int]) -> None:
        super().__init__(path)
        object.__setattr__(self, "there", set(there))


def test_looks_come_at_the_first_part_with_as_many_documents_as_are_due(run: Run) -> None:
    looks = UntilWidth(1e-9, CELL).looks(run)
    due, expected = FIRST_LOOK, []
    for documents in range(8, MOST + 1, 8):
        if documents >= due:
            expected.append(documents)
            due = next_look(documents)
    assert [look.documents for look in looks] == expected == [32, 40, 56, 72, 96, 120, 152]
    assert [look.parts * 8 for look in looks] == [look.prompts for look in looks] == expected


def test_several_prompts_of_a_document_count_as_one(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", prompts=144, per_document=4, **NOISE)
    assert [(look.prompts, look.documents) for look in UntilWidth(1e-9, CELL).looks(run)] == [(128, 32)]


def test_a_run_ends_at_the_second_look_in_a_row_that_is_narrow_enough(run: Run, width: float) -> None:
    rule = UntilWidth(width, CELL)
    looks = rule.looks(run)
    assert rule(run)
    assert rule.stop(run) == looks[-1]
    assert [look.width <= width for look in looks[-2:]] == [True, True]
    assert not any(one.width <= width and other.width <= width for one, other in pairwise(looks[:-1]))
    assert not UntilWidth(width, CELL)(Shorter(run.path, range(looks[-1].parts - 1)))
    assert not UntilWidth(1e-9, CELL)(run)


def test_the_answer_is_the_same_part_by_part_all_at_once_and_with_gaps(run: Run, width: float) -> None:
    at_once = UntilWidth(width, CELL).looks(run)
    by_part = UntilWidth(width, CELL)
    for n_parts in range(1, at_once[-1].parts + 1):
        assert by_part(Shorter(run.path, range(n_parts))) == (n_parts == at_once[-1].parts)
    assert by_part.looks(run) == at_once
    end = at_once[-1].parts
    assert not UntilWidth(width, CELL)(Shorter(run.path, [part for part in range(MOST // 8) if part != end - 1]))
    assert UntilWidth(width, CELL)(Shorter(run.path, [part for part in range(MOST // 8) if part != end]))


def test_the_interval_is_that_of_the_tables(run: Run) -> None:
    curves = run_statistics(run, ["delta_logprob"]).curves[CELL]
    resamples = resample_documents(curves.n_documents, 100, np.random.default_rng(0))
    terms = segmented_terms(curves, resamples, 0.95, ("inversion",))
    row = terms[(terms["term"] == "threshold") & (terms["group"] == "all")].iloc[0]
    assert threshold(curves) == pytest.approx((row["estimate"], row["conf_low"], row["conf_high"]), rel=1e-12)


def test_an_undefined_threshold_is_never_narrow_enough(run: Run) -> None:
    curves = run_statistics(run, ["delta_logprob"]).curves[CELL]
    straight = replace(curves, values=np.broadcast_to(curves.x, curves.values.shape).copy())
    assert np.isnan(threshold(straight)).all()
    assert last_look([float("nan")] * 5, 0.99) is None


def test_the_record_holds_every_look_as_plain_json(run: Run, width: float) -> None:
    record = json.loads(json.dumps(UntilWidth(width, CELL).record(run), allow_nan=False))
    assert record["reached"]
    assert record["until_width"] == width
    assert [look["documents"] for look in record["looks"]][:2] == [32, 40]
    assert all(look["width"] == pytest.approx(look["conf_high"] - look["conf_low"]) for look in record["looks"])
    assert not UntilWidth(1e-9, CELL).record(run)["reached"]


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=12), st.floats(0.01, 1))
def test_the_last_look_is_the_first_with_a_narrow_one_before_it(widths: list[float], width: float) -> None:
    narrow = [one <= width for one in widths]
    pairs = [place for place in range(1, len(widths)) if narrow[place] and narrow[place - 1]]
    assert last_look(widths, width) == (pairs[0] if pairs else None)
