"""--until-width end to end on a tiny model: it stops where it should, or says that it did not; the same however it is run."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest

import ripplestats as rs
from ripplestats.errors import InputError
from ripplestats.fits.sequential import FIRST_LOOK
from ripplestats.run import main
from ripplestats.store.run_directory import Run, open_run
from ripplestats.sweeps.runner import Sweep
from tests.conftest import a_mistake_from, tiny_model, tiny_prompts
from tests.tiny import tiny_text

N = 120
METRICS = ["delta_logit", "delta_logprob", "kl"]


def swept(out: Path, until_width: float | None, **options) -> Run:
    usual = {"rates": "5,10,20,30,40,60,90", "arms": ("top",), "layers": "1-2", "seed": 3}
    return rs.sweep(tiny_model(), tiny_prompts(N, 6), out=out, until_width=until_width, **{**usual, **options})


@pytest.fixture(scope="module")
def width(tmp_path_factory: pytest.TempPathFactory) -> float:
    """A width that is reached after the third look and before the last."""
    run = swept(tmp_path_factory.mktemp("runs") / "run", 1e-9)
    record = run.manifest["stopping"]
    assert not record["reached"]
    assert run.manifest["completeness"] == {"complete": True, "prompts_done": N, "prompts": N}
    widths = np.array([look["width"] or 1.0 for look in record["looks"]])
    pairs = np.maximum(widths[1:], widths[:-1])
    after = next(place for place in range(2, len(pairs)) if pairs[place] < pairs[:place].min())
    return float(pairs[after])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, width: float) -> Run:
    return swept(tmp_path_factory.mktemp("runs") / "run", width)


def test_a_run_that_stops_is_complete_and_says_after_how_many_looks_and_how_wide(run: Run, width: float) -> None:
    record, said = run.manifest["stopping"], run.manifest["completeness"]
    assert record["reached"]
    assert FIRST_LOOK < said["prompts_done"] < N == said["prompts"]
    assert run.complete
    assert record["looks"][-1]["prompts"] == said["prompts_done"] == len(run.prompts())
    assert max(look["width"] for look in record["looks"][-2:]) <= width
    assert run.effects()["prompt_id"].nunique() == said["prompts_done"]


def test_the_interval_at_the_stop_is_that_of_the_estimates(run: Run) -> None:
    estimates = rs.estimate_run(run, n_boot=100)
    rows = estimates[(estimates["quantity"] == "threshold") & (estimates["metric"] == "delta_logprob")]
    row = rows[(rows["layer"] == "all") & (rows["method"] == "inverted test over documents")].iloc[0]
    look = run.manifest["stopping"]["looks"][-1]
    for name in ("estimate", "conf_low", "conf_high"):
        assert row[name] == pytest.approx(look[name], rel=1e-12)


@pytest.mark.parametrize("size", [1, 5])
def test_the_batch_size_does_not_change_where_a_run_stops(run: Run, width: float, tmp_path: Path, size: int) -> None:
    # The widths differ by rounding; the run is to stop at a look, not at a digit.
    other = swept(tmp_path / "run", width * (1 + 1e-6), batch_size=size)
    assert other.manifest["completeness"] == run.manifest["completeness"]
    np.testing.assert_allclose(other.effects()[METRICS], run.effects()[METRICS], rtol=0, atol=1e-5)


def test_an_interrupted_run_stops_where_it_would_have(run: Run, width: float, tmp_path: Path) -> None:
    with a_mistake_from(prompt=24):
        swept(tmp_path / "run", width)
    assert "stopping" not in open_run(tmp_path / "run").manifest
    again = swept(tmp_path / "run", width)
    assert again.manifest["stopping"] == run.manifest["stopping"]
    assert again.manifest["completeness"] == run.manifest["completeness"]


def test_a_stopped_run_is_not_gone_on_with_until_it_is_asked_for(
    run: Run, width: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a part was computed again")

    path = tmp_path / "run"
    swept(path, width)
    with monkeypatch.context() as patch:
        patch.setattr(Sweep, "run", refuse)
        assert swept(path, width).manifest["stopping"] == run.manifest["stopping"]
    full = swept(path, None)
    assert full.manifest["completeness"] == {"complete": True, "prompts_done": N, "prompts": N}
    assert "stopping" not in full.manifest


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"until_width": 2.0}, "until_width=2.0 must lie between 0 and 1"),
        ({"until_width": 0.1, "layers": "0"}, "--layers has none of them"),
        ({"until_width": 0.1, "rates": "10,50,90"}, "at least 5 doses; --rates has 3"),
    ],
)
def test_what_has_no_such_threshold_is_refused(tmp_path: Path, wrong: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        swept(tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


def test_the_command_line_says_what_was_decided_on_the_way(
    tmp_path: Path, tiny_folder: Path, tables_only: None
) -> None:
    (tmp_path / "texts.txt").write_text("\n\n".join(tiny_text(70, 30)))
    words = [
        "--dataset", str(tmp_path / "texts.txt"), "--model", str(tiny_folder), "--prompts", "48", "--context", "6",
        "--rates", "staged", "--until-width", "89", "--layers", "1", "--arms", "top", "--bootstrap", "100",
        "--device", "cpu", "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(words) == 0, err.getvalue()
    run = open_run(tmp_path / "run")
    assert "rates: a pilot of 16 prompts, of documents that are not in the run, adds" in err.getvalue()
    assert "by a pilot of 16 prompts from 16 documents that are not among those above" in out.getvalue()
    assert run.manifest["definition"]["prompts"] == 48
    assert run.manifest["options"]["until_width"] == 89
    assert run.manifest["stopping"]["until_width"] == pytest.approx(0.89)
    assert run.manifest["completeness"] == {"complete": True, "prompts_done": 40, "prompts": 48}
    assert "40 prompts from 40 documents" in out.getvalue()
    assert "Stopped by rule: at the last two of 2 looks" in out.getvalue()
    assert "at most 48 prompts were allowed" in out.getvalue()
