"""The moderators of a run: its prompts' covariates, joined to their curves."""

from pathlib import Path

import numpy as np
import pytest

from ripplestats.errors import InputError
from ripplestats.fits.curve_layout import Cell
from ripplestats.fits.moderators import moderators
from ripplestats.fits.run_moderators import kind_of_token, run_moderators
from ripplestats.store.run_directory import Run
from tests.store.synthetic_run import make_run

CELL = Cell("top", "median", "pre", "delta_logprob")


def test_they_are_those_of_the_mean_over_blocks_but_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run", prompts=40, per_document=2, arms=("top",), noise=0.3)
    # In the synthetic run one clean column gives the other.
    entropy = np.random.default_rng(1).gamma(4, 1, 40)
    plain = Run.prompts
    monkeypatch.setattr(Run, "prompts", lambda self: plain(self).assign(clean_entropy=entropy))
    found = run_moderators(run, CELL)
    frame = run.effects()
    frame = frame[frame["layer"] > 0].groupby(["prompt_id", "document_id", "effective_rate"], as_index=False)
    expected = moderators(
        frame["delta_logprob"].mean(), run.prompts(), y="delta_logprob", x="effective_rate",
        covariates=["clean_logprob", "clean_entropy"],
    )  # fmt: skip
    assert found.n_documents == 20
    names = ["estimate", "std_error"]
    assert list(found.tidy()["term"]) == list(expected.tidy()["term"])
    np.testing.assert_allclose(found.tidy()[names], expected.tidy()[names], rtol=1e-4, atol=1e-7)


def test_too_few_prompts_are_refused_with_one_line(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", prompts=3, arms=("top",))
    with pytest.raises(InputError, match="linear combination of the others"):
        run_moderators(run, CELL)


@pytest.mark.parametrize(
    ("text", "kind"),
    [(" night", "starts a word"), ("ing", "goes on with a word"), (" 1984", "number or sign"), (",", "number or sign"),
     ("", "number or sign"), (" é", "starts a word"), ("\n", "number or sign")],
)  # fmt: skip
def test_the_kind_of_a_token(text: str, kind: str) -> None:
    assert kind_of_token(text) == kind
