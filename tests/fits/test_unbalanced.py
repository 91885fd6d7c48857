"""Frames in which documents lack rows that others have: fitted by the general path, which must be plain least squares."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression, least_squares

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import of_resamples, resample_documents
from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.core import core_fraction
from ripplestats.fits.curves import UNBALANCED, DocumentCurves, document_curves
from ripplestats.fits.saturation import isotonic
from ripplestats.fits.saturation_curves import fit_saturation, saturation_statistic, saturation_terms
from ripplestats.fits.saturation_shapes import MODELS, Saturation
from ripplestats.fits.segmented import segmented, two_phase_statistic
from ripplestats.fits.several_breaks import WORKING_WEIGHTS, several_breaks
from tests.fits.frames import CHECKED, DOSES, estimates, least_squares_of_break, noisy_frame

COLUMNS = {"y": "effect", "x": "rate", "cluster": "document_id"}


def with_holes(seed: int, share: float = 0.2) -> pd.DataFrame:
    """A frame of ten documents, some rows of which are lost; every dose keeps rows."""
    frame = noisy_frame(seed, n_documents=10, sizes=(1, 3))
    kept = np.random.default_rng(seed).random(len(frame)) > share
    return frame[kept | (frame["document_id"] < 4)]


def by_the_general_path(curves: DocumentCurves) -> DocumentCurves:
    """Balanced curves as the general path takes them."""
    counts = np.broadcast_to(curves.weights[:, None, None] * curves.dose_weights, curves.values.shape)
    return replace(curves, counts=counts)


def bent_twice(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a second break, at 0.25."""
    return frame.assign(effect=frame["effect"] - 3 * np.maximum(frame["rate"] - 0.25, 0))


def line_with_breaks(x: np.ndarray, y: np.ndarray, breaks: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Intercept, first slope and changes of slope of plain least squares on rows, and the residuals."""
    design = np.column_stack([np.ones_like(x), x, *(np.maximum(x - at, 0) for at in breaks)])
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    return coefficients, y - design @ coefficients


@CHECKED
@given(st.integers(0, 10_000))
def test_the_break_is_that_of_least_squares_on_the_rows(seed: int) -> None:
    frame = with_holes(seed)
    x, y = frame["rate"].to_numpy(), frame["effect"].to_numpy()
    found = estimates(segmented(frame, n_boot=20, **COLUMNS).tidy())
    best = least_squares_of_break(x, y, found["threshold"])
    for at in np.linspace(DOSES[1], DOSES[-2], 400):
        assert best <= least_squares_of_break(x, y, at) + 1e-9
    design = np.column_stack(
        [np.ones_like(x), np.minimum(x, found["threshold"]), np.maximum(x - found["threshold"], 0)]
    )
    expected = np.linalg.lstsq(design, y, rcond=None)[0]
    terms = [found["intercept"] + 0 * x[0], found["slope_below"], found["slope_above"]]
    np.testing.assert_allclose(terms, expected, rtol=1e-7)


@CHECKED
@given(st.integers(0, 10_000), st.lists(st.integers(0, 3), min_size=10, max_size=10).filter(lambda m: sum(m[:4]) > 0))
def test_replicates_repeat_the_rows_of_documents(seed: int, times: list[int]) -> None:
    frame = with_holes(seed)
    curves = document_curves(frame, **COLUMNS)
    repeated = pd.concat(
        [frame[frame["document_id"] == document] for document, time in enumerate(times) for _ in range(time)]
    )
    expected = estimates(segmented(repeated.assign(document_id=0), n_boot=20, **COLUMNS).tidy())
    statistic = two_phase_statistic(curves.x, curves.dose_weights)
    found = of_resamples(curves, statistic, np.array([times], float))[0, 0]
    if np.isfinite(expected["threshold"]):
        np.testing.assert_allclose(found, list(expected.values()), rtol=1e-7)


def test_equal_weights_for_every_curve_are_one_weight() -> None:
    rng = np.random.default_rng(1)
    curves, weights = rng.standard_normal((50, len(DOSES))), rng.uniform(0.5, 2, len(DOSES))
    one = BreakDesign(DOSES, weights).fit(curves)
    each = BreakDesign(DOSES, np.tile(weights, (50, 1))).fit(curves)
    for name in vars(one):
        np.testing.assert_allclose(getattr(each, name), getattr(one, name), rtol=1e-9)


def test_the_isotonic_fit_takes_weights_of_each_curve() -> None:
    rng = np.random.default_rng(2)
    curves, weights = rng.uniform(1, 2, (30, 12)), rng.uniform(0.1, 3, (30, 12))
    expected = [isotonic_regression(row, weights=weight).x for row, weight in zip(curves, weights, strict=True)]
    np.testing.assert_allclose(isotonic(curves, weights), expected, rtol=1e-12)


@pytest.mark.parametrize("interval", ["percentile", "bca", "inversion"])
def test_results_say_that_the_frame_was_not_balanced(interval: str) -> None:
    frame = with_holes(3)
    for result in (
        segmented(frame, n_boot=100, interval=interval, **COLUMNS),
        core_fraction(frame, n_boot=100, interval=interval, **COLUMNS),
    ):
        assert UNBALANCED in result.notes
        assert UNBALANCED in result.summary()
        assert np.isfinite(result.tidy()[["estimate", "std_error", "conf_low", "conf_high"]]).all(axis=None)


@pytest.mark.parametrize("interval", ["percentile", "bca", "inversion", "wald"])
def test_one_lost_row_hardly_moves_a_result(interval: str) -> None:
    frame = noisy_frame(5, n_documents=40)
    whole = segmented(frame, n_boot=200, interval=interval, **COLUMNS).tidy()
    holed = segmented(frame.drop(index=7), n_boot=200, interval=interval, **COLUMNS).tidy()
    names = ["estimate", "conf_low", "conf_high"]
    np.testing.assert_allclose(holed[names], whole[names], rtol=0.02, atol=0.02)


def test_a_balanced_frame_says_nothing() -> None:
    assert UNBALANCED not in segmented(noisy_frame(3), n_boot=20, **COLUMNS).notes


@pytest.mark.parametrize("n_breaks", [0, 1, 2, 3, "bic", "cv"])
def test_several_breaks_of_a_balanced_frame_are_the_same_by_the_general_path(n_breaks: int | str) -> None:
    # Three clear breaks: of breaks that only follow noise there may be two sets that fit alike but for rounding.
    frame = bent_twice(noisy_frame(4, n_documents=12, sizes=(1, 2)))
    frame = frame.assign(effect=frame["effect"] + 12 * np.maximum(frame["rate"] - 0.06, 0))
    layers = pd.concat([frame.assign(layer=0), frame.assign(layer=1, effect=frame["effect"] ** 2)])
    # A dose that stands for two rows.
    layers = pd.concat([layers, layers[layers["rate"] == 0.02]])
    curves = document_curves(layers, **COLUMNS, by="layer")
    assert curves.counts is None
    assert set(curves.dose_weights) == {1, 2}
    resamples = resample_documents(12, 40, np.random.default_rng(1))
    plain, general = (
        several_breaks(one, n_breaks, resamples, rng=np.random.default_rng(2), interval="bca")
        for one in (curves, by_the_general_path(curves))
    )
    pd.testing.assert_frame_equal(general.terms, plain.terms, rtol=1e-9, atol=1e-12)
    assert general.n_breaks == plain.n_breaks
    if plain.choice is not None:
        pd.testing.assert_frame_equal(general.choice, plain.choice, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_two_breaks_are_those_of_least_squares_on_the_rows(seed: int) -> None:
    frame = bent_twice(with_holes(seed))
    other = frame.assign(layer=1, effect=2 - frame["effect"]).sample(frac=0.8, random_state=seed)
    curves = document_curves(pd.concat([frame.assign(layer=0), other]), **COLUMNS, by="layer")
    terms = several_breaks(curves, 2).terms.set_index(["group", "term"])["estimate"]
    for layer, rows in ((0, frame), (1, other)):
        x, y, found = rows["rate"].to_numpy(), rows["effect"].to_numpy(), terms[layer]
        breaks = (found["threshold_1"], found["threshold_2"])
        coefficients, left = line_with_breaks(x, y, breaks)
        grid = np.union1d(np.linspace(DOSES[1], DOSES[-2], 40), DOSES[1:-1])
        least = min((line_with_breaks(x, y, pair)[1] ** 2).sum() for pair in combinations(grid, 2) if held(pair))
        assert (left**2).sum() <= least * (1 + 1e-9)
        np.testing.assert_allclose(found["intercept"], coefficients[0], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(found[["slope_1", "slope_2", "slope_3"]], coefficients[1:].cumsum(), rtol=1e-7)


def held(breaks: tuple[float, float]) -> bool:
    """Whether there are two doses between two breaks, themselves included."""
    return ((breaks[0] <= DOSES) & (breaks[1] >= DOSES)).sum() >= 2


@pytest.mark.parametrize("seed", range(3))
def test_one_of_several_breaks_is_the_one_break(seed: int) -> None:
    curves = document_curves(with_holes(seed), **COLUMNS)
    found = several_breaks(curves, 1).terms["estimate"].to_numpy()
    fit = BreakDesign(curves.x, curves.pooled_weights()).fit(curves.pooled())
    expected = [*fit.breakpoint, *fit.intercept, *fit.slope_below, *fit.slope_above]
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_bic_is_its_formula_on_the_rows() -> None:
    frame = bent_twice(with_holes(1))
    x, y, size = frame["rate"].to_numpy(), frame["effect"].to_numpy(), len(DOSES)
    cells = frame.groupby("rate")["effect"]
    # The sum of squares of the rows is that of the means at the doses and what rows differ from these.
    within = ((frame["effect"] - cells.transform("mean")) ** 2).sum()
    curves = document_curves(frame, **COLUMNS)
    scores = several_breaks(curves, "bic").choice.set_index("n_breaks")["bic"]
    for number in range(4):
        terms = several_breaks(curves, number).terms
        breaks = tuple(terms.loc[terms["term"].str.startswith("threshold"), "estimate"])
        if np.isnan(breaks).any():
            continue
        squares = ((line_with_breaks(x, y, breaks)[1] ** 2).sum() - within) * size / len(frame)
        expected = size * np.log(squares / size) + (3 * number + 2) * np.log(size)
        assert scores[number] == pytest.approx(expected, rel=1e-8)
    assert scores[[1, 2]].notna().all()


def test_held_out_errors_are_those_of_a_plain_loop_over_rows() -> None:
    frame = bent_twice(with_holes(2))
    folds = np.random.default_rng(5).permutation(10) % 5
    found = several_breaks(document_curves(frame, **COLUMNS), "cv", rng=np.random.default_rng(5)).choice
    for number in (0, 1, 2):
        errors, sizes = np.empty(10), np.empty(10)
        for document in range(10):
            outside = frame[folds[frame["document_id"]] != folds[document]]
            terms = several_breaks(document_curves(outside, **COLUMNS), number).terms["estimate"].to_numpy()
            rows = frame[frame["document_id"] == document].groupby("rate")["effect"].agg(["mean", "size"])
            line = terms[number] + terms[number + 1] * rows.index.to_numpy()
            for i, change in enumerate(np.diff(terms[number + 1 :])):
                line += change * np.maximum(rows.index.to_numpy() - terms[i], 0)
            errors[document] = np.average((rows["mean"] - line) ** 2, weights=rows["size"])
            sizes[document] = rows["size"].sum()
        assert found["error"][number] == pytest.approx(np.average(errors, weights=sizes), rel=1e-9)


def test_a_dose_that_one_fold_holds_alone_cannot_be_cross_validated() -> None:
    frame = noisy_frame(6, n_documents=10)
    lonely = frame[(frame["rate"] != 0.03) | (frame["document_id"] == 3)]
    with pytest.raises(InputError, match="all the rows that group 'all' has at some dose"):
        segmented(lonely, breaks="cv", n_boot=20, **COLUMNS)
    fit = segmented(lonely, breaks=2, n_boot=200, **COLUMNS)
    terms = fit.tidy()
    # A third of the resamples lack the document, and so the dose; the others make the interval.
    assert np.isfinite(terms[["estimate", "std_error", "conf_low", "conf_high"]]).all(axis=None)
    few = pd.concat([frame.assign(layer=0), frame[frame["document_id"] < 3].assign(layer=1)])
    with pytest.raises(InputError, match="at least 4 documents with rows of each group"):
        segmented(few, by="layer", breaks="cv", n_boot=20, **COLUMNS)


def test_several_breaks_say_that_the_frame_is_not_balanced_and_how_resamples_are_fitted() -> None:
    frame = bent_twice(with_holes(3))
    for breaks in (2, "bic", "cv"):
        notes = segmented(frame, breaks=breaks, n_boot=20, **COLUMNS).notes
        assert UNBALANCED in notes
        assert WORKING_WEIGHTS in notes
    assert WORKING_WEIGHTS not in segmented(noisy_frame(3), breaks=2, n_boot=20, **COLUMNS).notes
    assert WORKING_WEIGHTS not in segmented(frame, n_boot=20, **COLUMNS).notes


def test_parametric_curves_of_a_balanced_frame_are_the_same_by_the_general_path() -> None:
    frame = noisy_frame(7, n_documents=12, sizes=(1, 2))
    curves = document_curves(pd.concat([frame, frame[frame["rate"] == 0.02]]), **COLUMNS)
    assert curves.counts is None
    assert set(curves.dose_weights) == {1, 2}
    resamples = resample_documents(12, 60, np.random.default_rng(1))
    plain, general = (saturation_terms(one, resamples) for one in (curves, by_the_general_path(curves)))
    assert plain[["estimate", "std_error", "conf_low"]].notna().all(axis=None)
    pd.testing.assert_frame_equal(general, plain, rtol=1e-9)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("seed", range(3))
def test_parametric_curves_are_those_of_least_squares_on_the_rows(model: Saturation, seed: int) -> None:
    frame = with_holes(seed)
    times = np.random.default_rng(seed).integers(0, 3, 10)
    times[0] = 1
    curves = document_curves(frame, **COLUMNS)
    repeated = frame.loc[frame.index.repeat(times[frame["document_id"]])]
    statistic = saturation_statistic(model, curves.x, curves.dose_weights, np.array([0.5]))
    found = of_resamples(curves, statistic, times[None].astype(float))[0, 0]
    x, y = repeated["rate"].to_numpy(), repeated["effect"].to_numpy()
    starts = [[0.0, np.log(scale), 0.0][: 2 + model.grid(DOSES).shape[1] - 1] for scale in (0.005, 0.03, 0.2)]
    fits = [
        least_squares(
            lambda p: np.exp(p[0]) * model.shape(x, p[None, 1:])[0] - y, start, xtol=1e-14, ftol=1e-14, gtol=1e-14
        )
        for start in starts
    ]
    best = min(fits, key=lambda fit: fit.cost).x
    dense = np.linspace(0.1, 0.9, 20_001)
    plateau = np.exp(best[0]) * np.trapezoid(model.shape(dense, best[None, 1:])[0], dense) / 0.8
    half = model.inverse(np.array([[0.5 * plateau / np.exp(best[0])]]), best[None, 1:])[0, 0]
    np.testing.assert_allclose(found, [plateau, half], rtol=1e-6)


def test_weights_of_each_curve_are_those_of_the_curve_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ripplestats.fits.saturation_curves._CURVES_AT_ONCE", 7)
    rng = np.random.default_rng(3)
    curves = 1 - np.exp(-DOSES / rng.uniform(0.01, 0.1, (20, 1))) + 0.05 * rng.standard_normal((20, len(DOSES)))
    # Curves that fall are left where they are: the others go on without them.
    curves[::4] *= -1
    weights = rng.uniform(0.1, 3, curves.shape)
    for model in MODELS:
        together = fit_saturation(model, DOSES, weights, curves)
        for i in range(20):
            alone = fit_saturation(model, DOSES, weights[i], curves[i : i + 1])
            if i % 4 == 0:
                assert np.isnan([alone.height[0], together.height[i]]).all()
                continue
            for name in vars(alone):
                np.testing.assert_allclose(getattr(together, name)[i], getattr(alone, name)[0], rtol=1e-7)


@pytest.mark.parametrize("curve", ["exponential", "hill"])
def test_parametric_curves_say_that_the_frame_is_not_balanced_and_why_there_is_no_interval(curve: str) -> None:
    frame = noisy_frame(6, n_documents=10)
    fit = core_fraction(with_holes(3), curve=curve, n_boot=100, **COLUMNS)
    assert UNBALANCED in fit.notes
    assert np.isfinite(fit.tidy()[["estimate", "std_error", "conf_low", "conf_high"]]).all(axis=None)
    lonely = frame[(frame["rate"] != 0.03) | (frame["document_id"] == 3)]
    terms = core_fraction(lonely, curve=curve, n_boot=100, **COLUMNS).tidy()
    assert np.isfinite(terms["estimate"]).all()
    assert terms[["std_error", "conf_low", "conf_high"]].isna().all(axis=None)
    assert (
        terms["note"]
        .str.fullmatch(r"no interval: \d+% of the resamples have no such curve, or no row at some dose")
        .all()
    )
    few = core_fraction(lonely[lonely["document_id"].isin([2, 3, 4])], curve=curve, n_boot=20, **COLUMNS).tidy()
    assert (few["note"] == "no interval from fewer than 4 documents").all()
