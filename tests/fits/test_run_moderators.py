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


@pytest.mark.parametrize("extra", [0, 3], ids=["alone", "after a beginning token"])
def test_the_position_counts_where_it_is_not_the_length_of_the_context_over_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: int
) -> None:
    run = make_run(tmp_path / "run", prompts=40, per_document=2, arms=("top",), noise=0.3)
    rng = np.random.default_rng(1)
    plain, lengths, entropy = Run.prompts, rng.integers(5, 40, 40), rng.gamma(4, 1, 40)
    contexts = [[1] * (extra + length) for length in lengths]

    def terms(position: np.ndarray) -> set[str]:
        monkeypatch.setattr(
            Run, "prompts",
            lambda self: plain(self).assign(context_ids=contexts, position=position, clean_entropy=entropy),
        )  # fmt: skip
        return set(run_moderators(run, CELL).tidy()["term"])

    assert not any("position" in term for term in terms(lengths))
    assert any("position" in term for term in terms(lengths + rng.integers(0, 500, 40)))


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
