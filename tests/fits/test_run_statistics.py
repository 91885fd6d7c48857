"""The streaming pass over a run, held against frames in memory."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ripplestats.errors import RunError
from ripplestats.fits.curve_layout import ALL_LAYERS, Cell
from ripplestats.fits.curves import document_curves
from ripplestats.fits.products import cross_products
from ripplestats.fits.run_statistics import METRICS, run_statistics
from ripplestats.store.run_directory import Run
from ripplestats.store.start import start_run
from tests.store.synthetic_run import make_run

FIELDS = ("within", "sizes", "counts", "sums", "between")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    # Three prompts a document and eight a part: documents straddle parts, and the last has two prompts only.
    return make_run(tmp_path_factory.mktemp("statistics") / "run", prompts=20, per_document=3, sites=("pre", "post"))


def test_there_is_a_cell_for_every_arm_site_and_metric(run: Run) -> None:
    found = run_statistics(run, products=["kl", "top1_changed"])
    expected = {Cell(arm, "median", site, m) for arm in ("top", "random") for site in ("pre", "post") for m in METRICS}
    assert set(found.curves) == expected
    assert set(found.products) == {cell for cell in expected if cell.metric in ("kl", "top1_changed")}


@pytest.mark.parametrize("metric", METRICS)
def test_curves_are_those_of_the_frame(run: Run, metric: str) -> None:
    effects = run.effects()
    for cell, curves in run_statistics(run, [metric]).curves.items():
        frame = effects[(effects["arm"] == cell.arm) & (effects["site"] == cell.site)]
        expected = document_curves(frame, y=metric, x="effective_rate", cluster="document_id", by="layer")
        assert curves.groups == (ALL_LAYERS, 0, 1, 2)
        np.testing.assert_array_equal(curves.x, expected.x)
        np.testing.assert_array_equal(curves.weights, expected.weights)
        np.testing.assert_allclose(curves.values[:, 1:], expected.values, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(curves.values[:, 0], expected.values[:, 1:].mean(axis=1), rtol=1e-12, atol=1e-14)
        assert (curves.n_prompts, curves.total_documents) == (20, 7)


def test_cross_products_are_those_of_the_prompts_curves(run: Run) -> None:
    found = run_statistics(run, products=["kl"]).products[Cell("top", "median", "pre", "kl")]
    effects = run.effects()
    frame = effects[(effects["arm"] == "top") & (effects["site"] == "pre")]
    frame = frame.sort_values(["prompt_id", "layer", "effective_rate"])
    values = frame["kl"].to_numpy(np.float64).reshape(20, 3, -1)
    values = np.concatenate([values[:, 1:].mean(axis=1, keepdims=True), values], axis=1)
    expected = cross_products(values, np.arange(20) // 3)
    for name in FIELDS:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-10, atol=1e-12)


def test_many_documents_are_resampled_in_random_groups_with_the_same_means(run: Run) -> None:
    cell = Cell("random", "median", "post", "delta_logprob")
    exact, grouped = (run_statistics(run, products=[cell.metric], most_units=most) for most in (100, 4))
    curves, products = grouped.curves[cell], grouped.products[cell]
    assert (curves.n_documents, curves.total_documents, curves.n_prompts) == (4, 7, 20)
    np.testing.assert_allclose(curves.pooled(), exact.curves[cell].pooled(), rtol=1e-12)
    for name in FIELDS:
        np.testing.assert_allclose(getattr(products, name), getattr(exact.products[cell], name), rtol=1e-12)


@pytest.mark.parametrize("chosen", [(0, 1, 2), (1,)])
def test_the_order_of_a_parts_rows_does_not_matter(
    run: Run, monkeypatch: pytest.MonkeyPatch, chosen: tuple[int, ...]
) -> None:
    expected = run_statistics(run, ["kl"], products=["kl"])
    shuffled, part_table = [run.parts()[number] for number in chosen], Run.part_table

    def in_disorder(self: Run, file: Path, columns: list[str]) -> pa.Table:
        table = part_table(self, file, columns)
        return table.take(np.random.default_rng(1).permutation(len(table))) if file in shuffled else table

    monkeypatch.setattr(Run, "part_table", in_disorder)
    found = run_statistics(run, ["kl"], products=["kl"])
    for cell, curves in found.curves.items():
        np.testing.assert_allclose(curves.values, expected.curves[cell].values, rtol=1e-12)
        np.testing.assert_allclose(found.products[cell].within, expected.products[cell].within, rtol=1e-9, atol=1e-12)


def test_neither_threads_nor_the_room_for_a_part_change_a_bit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    several = run_statistics(run, products=METRICS)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    monkeypatch.setattr("ripplestats.fits.part_rows._MOST_ROWS", 1)
    one = run_statistics(run, products=METRICS)
    for cell, curves in one.curves.items():
        np.testing.assert_array_equal(curves.values, several.curves[cell].values)
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(one.products[cell], name), getattr(several.products[cell], name))


def test_two_rates_of_the_same_dose_count_twice_in_the_curve_and_are_averaged(tmp_path: Path) -> None:
    rates = (0.002, 0.0021, 0.01, 0.02, 0.05, 0.1, 0.5)  # of 1000 neurons the first two are 2
    run = make_run(tmp_path / "run", prompts=3, rates=rates, arms=("top",))
    found = run_statistics(run, ["kl"]).curves[Cell("top", "median", "pre", "kl")]
    np.testing.assert_array_equal(found.dose_weights, [2, 1, 1, 1, 1, 1])
    frame = run.effects()
    expected = frame[frame["layer"] == 1].groupby("effective_rate")["kl"].mean()
    np.testing.assert_allclose(found.pooled()[2], expected, rtol=1e-6)


def test_a_run_whose_prompts_differ_in_their_rows_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    part_table = Run.part_table

    def damaged(self: Run, file: Path, columns: list[str]) -> pa.Table:
        table = part_table(self, file, columns)
        if "rate" not in columns:
            return table
        return table.set_column(columns.index("rate"), "rate", pa.array(np.arange(len(table), dtype=np.float64)))

    monkeypatch.setattr(Run, "part_table", damaged)
    with pytest.raises(RunError, match="differ in rate"):
        run_statistics(run)


def test_prompts_with_more_rows_than_others_are_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    part_table, last = Run.part_table, run.parts()[-1]

    def cut(self: Run, file: Path, columns: list[str]) -> pa.Table:
        table = part_table(self, file, columns)
        return table.slice(5) if file == last else table

    monkeypatch.setattr(Run, "part_table", cut)
    with pytest.raises(RunError, match=f"{last.name}: its prompts differ in their number of rows"):
        run_statistics(run)


def test_a_run_without_effects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no effects"):
        run_statistics(
            start_run(
                tmp_path / "run",
                {},
                {"completeness": {"complete": False, "prompts_done": 0, "prompts": 0}},
                lambda _: None,
            )
        )
