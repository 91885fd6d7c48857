"""The exact fit with several breaks against brute force, against ``BreakDesign``, and on lines without noise."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import resample_documents
from ripplestats.fits.break_number import bic_scores, held_out_errors
from ripplestats.fits.break_patterns import BreaksFit, SeveralBreaksDesign, minimum_doses
from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.curves import DocumentCurves
from ripplestats.fits.several_breaks import SeveralBreaks, several_breaks
from tests.fits.frames import CHECKED, DOSES, two_phase

SEEDS = st.integers(0, 2**32 - 1)
#: The rates of the named grid ``seed``.
PERCENT = [
    0.2,
    0.4,
    0.6,
    0.8,
    1,
    1.2,
    1.4,
    1.6,
    1.8,
    2,
    2.5,
    3,
    3.5,
    4,
    4.5,
    5,
    6,
    7,
    8,
    9,
    10,
    12,
    15,
    *range(20, 91, 10),
]
RATES = np.array(PERCENT) / 100


@st.composite
def weighted_doses(draw: st.DrawFn, least: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct doses, at least a hundredth apart, and how many rows each stands for."""
    numbers = draw(st.lists(st.integers(0, 100), min_size=least, max_size=most, unique=True))
    weights = draw(st.lists(st.integers(1, 3), min_size=len(numbers), max_size=len(numbers)))
    return np.sort(np.array(numbers)) / 100, np.array(weights, float)


def fit_one(x: np.ndarray, y: np.ndarray, n_breaks: int, weights: np.ndarray | None = None) -> BreaksFit:
    return SeveralBreaksDesign(x, np.ones(len(x)) if weights is None else weights, n_breaks).fit(y[None])


def residual_ss(x: np.ndarray, y: np.ndarray, weights: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """Weighted residual sums of squares of the best lines with given breaks (m × K), by QR."""
    one = np.ones((len(breaks), len(x)))
    hinges = np.maximum(x - breaks[:, :, None], 0).transpose(1, 0, 2)
    design = np.stack([one, one * x, *hinges], axis=2) * np.sqrt(weights)[:, None]
    basis = np.linalg.qr(design)[0]
    target = y * np.sqrt(weights)
    left = target - (basis @ (basis.swapaxes(1, 2) @ target)[:, :, None])[:, :, 0]
    return (left**2).sum(axis=1)


def allowed(x: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """Which breaks (m × K) leave each segment two doses, those at its ends included."""
    edges = np.column_stack([np.full(len(breaks), x[0]), breaks, np.full(len(breaks), x[-1])])
    held = [((x >= low[:, None]) & (x <= high[:, None])).sum(axis=1) for low, high in pairwise(edges.T)]
    return (np.stack(held) >= 2).all(axis=0)


def curves_with(breaks: tuple[float, ...], noise: float = 0.02, n: int = 12, seed: int = 0) -> DocumentCurves:
    """Documents' curves around a line with given breaks whose slope falls by half and changes its sign at each."""
    rng = np.random.default_rng(seed)
    y = 1 + 20 * RATES + sum(-30 * (-0.5) ** i * np.maximum(RATES - one, 0) for i, one in enumerate(breaks))
    values = y * rng.gamma(16, 1 / 16, (n, 1)) + rng.standard_normal((n, 1)) + noise * rng.standard_normal((n, 31))
    return DocumentCurves(RATES, np.ones(31), values[:, None], rng.integers(1, 4, n).astype(float), ("all",))


def by_term(fit: SeveralBreaks, column: str = "estimate") -> dict[str, float]:
    return dict(zip(fit.terms["term"], fit.terms[column], strict=True))


@pytest.mark.parametrize(("n_breaks", "points"), [(1, 200), (2, 40), (3, 16)])
@CHECKED
@given(design=weighted_doses(9, 12), seed=SEEDS)
def test_no_breaks_on_a_dense_grid_fit_better(
    n_breaks: int, points: int, design: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    x, weights = design
    y = np.random.default_rng(seed).standard_normal(len(x)).cumsum()
    grid = np.array(list(combinations(np.union1d(np.linspace(x[1], x[-2], points), x[1:-1]), n_breaks)))
    best = residual_ss(x, y, weights, grid[allowed(x, grid)]).min()
    scale = float(weights @ (y - y.mean()) ** 2)
    assert fit_one(x, y, n_breaks, weights).residual_ss[0] <= best + 1e-11 * scale


@pytest.mark.parametrize("scale", [1.0, 3.0, 0.7])
def test_breaks_about_one_dose_are_not_unique_whatever_the_units(scale: float) -> None:
    doses = np.arange(1.0, 13.0)
    # A level, a line that falls, and one dose below the corner between: a third line may turn about it.
    y = np.minimum(1.0, 8.5 - doses) - 0.1 * (doses == 7) + 0.005 * np.random.default_rng(0).standard_normal(12)
    x = scale * doses
    curves = DocumentCurves(x, np.ones(12), np.stack([y, y + 0.2])[:, None], np.ones(2), ("all",))
    terms = several_breaks(curves, 2).terms
    assert terms["estimate"].isna().all()
    assert terms["note"].str.contains("other breaks fit as well").all()
    for unit in np.geomspace(0.01, 100, 40):
        np.testing.assert_allclose(fit_one(unit * x, y, 2).breakpoints / unit, fit_one(x, y, 2).breakpoints, rtol=1e-9)
    # A second dose below the corner fixes the line.
    y[7] -= 0.1
    assert not SeveralBreaksDesign(x, np.ones((2, 12)), 2).unique(curves.values[:, 0]).any()
    assert SeveralBreaksDesign(x, np.ones((1, 12)), 2).unique(y[None]).all()


@pytest.mark.parametrize("n_breaks", [2, 3])
def test_no_local_search_finds_better_breaks(n_breaks: int) -> None:
    rng = np.random.default_rng(n_breaks)
    weights = np.ones(31)
    y = curves_with((0.02, 0.07, 0.35)[:n_breaks]).values[0, 0]
    ours = float(fit_one(RATES, y, n_breaks).residual_ss[0])

    def objective(breaks: np.ndarray) -> float:
        ordered = np.sort(breaks)[None]
        return float(residual_ss(RATES, y, weights, ordered)[0]) if allowed(RATES, ordered)[0] else np.inf

    starts = np.sort(rng.choice(RATES[2:-2], (12, n_breaks)), axis=1)
    found = [
        optimize.minimize(objective, start, method="Nelder-Mead").fun
        for start in starts
        if np.isfinite(objective(start))
    ]
    assert len(found) > 5
    assert ours <= min(found) * (1 + 1e-9)
    # The searches come near, so that the comparison says something.
    assert min(found) < 1.05 * ours


@pytest.mark.parametrize("n_breaks", [0, 1, 2, 3])
@CHECKED
@given(design=weighted_doses(9, 14), seed=SEEDS)
def test_the_line_returned_is_continuous_ordered_and_has_the_residuals_reported(
    n_breaks: int, design: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    x, weights = design
    y = np.random.default_rng(seed).standard_normal(len(x)).cumsum()
    fit = fit_one(x, y, n_breaks, weights)
    scale = float(weights @ (y - y.mean()) ** 2)
    assert weights @ (y - fit.at(x)[0]) ** 2 == pytest.approx(fit.residual_ss[0], rel=1e-7, abs=1e-10 * scale)
    assert (np.diff(fit.breakpoints[0]) > 0).all()
    assert allowed(x, fit.breakpoints).all()


@CHECKED
@given(design=weighted_doses(11, 14), seed=SEEDS)
def test_a_further_break_never_fits_worse(design: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    x, weights = design
    y = np.random.default_rng(seed).standard_normal(len(x))
    left = [float(fit_one(x, y, n_breaks, weights).residual_ss[0]) for n_breaks in range(4)]
    assert all(more <= fewer * (1 + 1e-9) for fewer, more in pairwise(left))


@CHECKED
@given(design=weighted_doses(5, 12), seed=SEEDS)
def test_one_break_is_that_of_the_one_break_design(design: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    x, weights = design
    y = np.random.default_rng(seed).standard_normal(len(x)).cumsum()
    ours, theirs = fit_one(x, y, 1, weights), BreakDesign(x, weights).fit(y[None])
    scale = float(weights @ (y - y.mean()) ** 2)
    np.testing.assert_allclose(ours.residual_ss, theirs.residual_ss, rtol=1e-8, atol=1e-11 * scale)
    np.testing.assert_allclose(ours.breakpoints[:, 0], theirs.breakpoint, rtol=1e-6)
    np.testing.assert_allclose(ours.slopes[0], [theirs.slope_below[0], theirs.slope_above[0]], rtol=1e-5, atol=1e-7)


def test_no_break_is_the_line_of_polyfit() -> None:
    rng = np.random.default_rng(3)
    y, weights = rng.standard_normal(len(DOSES)), rng.integers(1, 4, len(DOSES)).astype(float)
    fit = fit_one(DOSES, y, 0, weights)
    np.testing.assert_allclose([fit.slopes[0, 0], fit.intercept[0]], np.polyfit(DOSES, y, 1, w=np.sqrt(weights)))


@pytest.mark.parametrize(
    "breaks",
    [
        (0.03, 0.2),
        (0.033, 0.2),
        (0.0275, 0.125),
        (0.012, 0.014),
        (0.01, 0.05, 0.4),
        (0.011, 0.065, 0.33),
        (0.01, 0.065, 0.4),
    ],
)
def test_breaks_without_noise_are_recovered_at_doses_and_between(breaks: tuple[float, ...]) -> None:
    slopes = np.array([40.0, -3.0, 0.5, -1.0])[: len(breaks) + 1]
    y = 0.3 + slopes[0] * RATES
    for one, change in zip(breaks, np.diff(slopes), strict=True):
        y = y + change * np.maximum(RATES - one, 0)
    fit = fit_one(RATES, y, len(breaks))
    np.testing.assert_allclose(fit.breakpoints[0], breaks, rtol=1e-9)
    np.testing.assert_allclose(fit.slopes[0], slopes, rtol=1e-8)
    assert fit.intercept[0] == pytest.approx(0.3, rel=1e-9)


@CHECKED
@given(SEEDS, st.sampled_from([2, 3]), st.floats(-100, 100), st.floats(0.01, 100), st.sampled_from([-1, 1]))
def test_an_affine_map_of_y_moves_no_break(seed: int, n_breaks: int, shift: float, scale: float, sign: int) -> None:
    y = np.random.default_rng(seed).standard_normal(len(DOSES)).cumsum()
    factor = sign * scale
    plain, mapped = fit_one(DOSES, y, n_breaks), fit_one(DOSES, shift + factor * y, n_breaks)
    np.testing.assert_allclose(mapped.breakpoints, plain.breakpoints, rtol=1e-6)
    np.testing.assert_allclose(mapped.slopes, factor * plain.slopes, rtol=1e-6, atol=1e-7 * scale)
    np.testing.assert_allclose(mapped.residual_ss, scale**2 * plain.residual_ss, rtol=1e-6, atol=1e-9 * scale**2)


@CHECKED
@given(SEEDS, st.sampled_from([2, 3]), st.floats(0.01, 100))
def test_breaks_scale_with_x(seed: int, n_breaks: int, scale: float) -> None:
    y = np.random.default_rng(seed).standard_normal(len(DOSES)).cumsum()
    plain, scaled = fit_one(DOSES, y, n_breaks), fit_one(scale * DOSES, y, n_breaks)
    np.testing.assert_allclose(scaled.breakpoints, scale * plain.breakpoints, rtol=1e-7)
    np.testing.assert_allclose(scaled.slopes, plain.slopes / scale, rtol=1e-6)
    np.testing.assert_allclose(scaled.residual_ss, plain.residual_ss, rtol=1e-7)


@pytest.mark.parametrize("criterion", ["bic", "cv"])
@pytest.mark.parametrize("breaks", [(), (0.033,), (0.033, 0.35), (0.0125, 0.055, 0.35)])
def test_the_number_of_breaks_is_found_where_it_is_clear(criterion: str, breaks: tuple[float, ...]) -> None:
    fit = several_breaks(curves_with(breaks, noise=0.01), criterion, rng=np.random.default_rng(0))
    assert fit.n_breaks == (len(breaks),)
    np.testing.assert_allclose([by_term(fit)[f"threshold_{i + 1}"] for i in range(len(breaks))], breaks, rtol=0.1)


def test_bic_is_its_formula() -> None:
    curves = curves_with((0.033,))
    scores = bic_scores(curves).set_index("n_breaks")["bic"]
    for n_breaks in range(4):
        left = float(fit_one(RATES, curves.pooled()[0], n_breaks).residual_ss[0])
        assert scores[n_breaks] == pytest.approx(31 * np.log(left / 31) + (3 * n_breaks + 2) * np.log(31))


def test_held_out_errors_are_those_of_a_plain_loop() -> None:
    curves = curves_with((0.033,), noise=0.1)
    found = held_out_errors(curves, np.random.default_rng(5)).set_index("n_breaks")
    folds = np.random.default_rng(5).permutation(12) % 5
    weights = curves.weights
    for n_breaks in range(4):
        design = SeveralBreaksDesign(RATES, np.ones(31), n_breaks)
        errors = np.empty(12)
        for document in range(12):
            outside = folds != folds[document]
            mean = weights[outside] @ curves.values[outside, 0] / weights[outside].sum()
            line = design.fit(mean[None]).at(RATES)[0]
            errors[document] = ((curves.values[document, 0] - line) ** 2).mean()
        assert found["error"][n_breaks] == pytest.approx(weights @ errors / weights.sum(), rel=1e-9)
    chosen = found.index[found["chosen"]][0]
    assert (found["excess"][:chosen] > found["std_error"][:chosen]).all()
    assert found["excess"][chosen] <= found["std_error"][chosen]


def test_groups_are_chosen_for_and_fitted_each_on_its_own() -> None:
    one, two = curves_with((0.033,), noise=0.01), curves_with((0.033, 0.35), noise=0.01)
    both = DocumentCurves(RATES, np.ones(31), np.concatenate([two.values, one.values], axis=1), one.weights, ("b", "a"))
    resamples = resample_documents(12, 50, np.random.default_rng(0))
    fit = several_breaks(both, "bic", resamples)
    assert fit.n_breaks == (2, 1)
    assert list(fit.terms["group"]) == ["b"] * 6 + ["a"] * 4
    alone = several_breaks(one, 1, resamples).terms
    columns = ["estimate", "std_error", "conf_low", "conf_high"]
    np.testing.assert_allclose(fit.terms[columns].iloc[6:], alone[columns])


def test_intervals_are_quantiles_of_the_ordered_breaks_of_replicates() -> None:
    curves = curves_with((0.033, 0.35), noise=0.3)
    resamples = resample_documents(12, 200, np.random.default_rng(2))
    fit = several_breaks(curves, 2, resamples, conf_level=0.9)
    replicates = SeveralBreaksDesign(RATES, np.ones(31), 2).fit(curves.pooled(resamples.bootstrap)[:, 0]).breakpoints
    for i, term in enumerate(("threshold_1", "threshold_2")):
        low, high = by_term(fit, "conf_low")[term], by_term(fit, "conf_high")[term]
        # Shares, not values: the kind of quantile is the bootstrap's own business. Breaks at a dose are ties.
        below, above = (replicates[:, i] < low * (1 - 1e-9)).mean(), (replicates[:, i] > high * (1 + 1e-9)).mean()
        assert below <= 0.06 <= (replicates[:, i] <= low * (1 + 1e-9)).mean() + 0.02
        assert above <= 0.06 <= (replicates[:, i] >= high * (1 - 1e-9)).mean() + 0.02


@pytest.mark.parametrize("n_breaks", [1, 2, 3])
def test_too_few_doses_are_said(n_breaks: int) -> None:
    least = minimum_doses(n_breaks)
    enough, few = ((np.arange(n) + 1.0) / 10 for n in (least, least - 1))
    zigzag = np.array([0.0, 3, 1, 5, 2, 8, 3, 9, 1])
    assert np.isfinite(fit_one(enough, zigzag[:least], n_breaks).residual_ss).all()
    curves = DocumentCurves(few, np.ones(least - 1), zigzag[: least - 1] * np.ones((5, 1, 1)), np.ones(5), ("all",))
    fit = several_breaks(curves, n_breaks, resample_documents(5, 20, np.random.default_rng(0)))
    assert fit.terms["estimate"].isna().all()
    assert set(fit.terms["note"]) == {f"undefined: {least - 1} doses, at least {least} are needed"}
    assert max(several_breaks(curves, "bic").n_breaks) < n_breaks


@pytest.mark.parametrize(
    ("values", "n_breaks", "why"),
    [
        (np.full(31, 0.1), 2, "undefined: the curve is flat"),
        (np.zeros(31), 1, "undefined: the curve is flat"),
        (1 + RATES, 1, "undefined: the curve has fewer breaks"),
        (two_phase(RATES, 0, 30, 0.1, 0.033), 2, "undefined: the curve has fewer breaks"),
        (two_phase(RATES, 0, 1, 50, 0.8), 1, "undefined: a best break lies at the edge of the grid (0.8)"),
    ],
)
def test_what_cannot_be_told_is_undefined_with_a_reason(values: np.ndarray, n_breaks: int, why: str) -> None:
    curves = DocumentCurves(RATES, np.ones(31), values * np.ones((6, 1, 1)), np.ones(6), ("all",))
    terms = several_breaks(curves, n_breaks, resample_documents(6, 20, np.random.default_rng(0))).terms
    assert set(terms["note"]) == {why}
    assert terms[["estimate", "std_error", "conf_low", "conf_high"]].isna().all(axis=None)


@pytest.mark.parametrize("criterion", ["bic", "cv"])
@pytest.mark.parametrize(
    ("values", "number"), [(np.zeros(31), 0), (1 + RATES, 0), (two_phase(RATES, 0, 30, 0.1, 0.033), 1)]
)
def test_an_exact_line_is_given_no_breaks_that_explain_rounding(
    criterion: str, values: np.ndarray, number: int
) -> None:
    curves = DocumentCurves(RATES, np.ones(31), values * np.ones((6, 1, 1)), np.ones(6), ("all",))
    assert several_breaks(curves, criterion, rng=np.random.default_rng(0)).n_breaks == (number,)


def test_estimates_without_resamples_or_documents_have_no_interval() -> None:
    for curves, resamples, why in (
        (curves_with((0.033,)), None, "no interval was asked for"),
        (
            curves_with((0.033,), n=3),
            resample_documents(3, 20, np.random.default_rng(0)),
            "no interval from fewer than 4 documents",
        ),
    ):
        terms = several_breaks(curves, 1, resamples).terms
        assert terms["estimate"].notna().all()
        assert terms[["std_error", "conf_low", "conf_high"]].isna().all(axis=None)
        assert set(terms["note"]) == {why}


@pytest.mark.parametrize("n_breaks", [-1, 4, "aic", 1.5])
def test_a_number_of_breaks_that_is_not_allowed_is_refused(n_breaks: object) -> None:
    with pytest.raises(InputError, match="allowed: 0 to 3, 'bic', 'cv'"):
        several_breaks(curves_with((0.033,)), n_breaks)


def test_kinds_of_interval_are_those_of_the_bootstrap() -> None:
    curves, resamples = curves_with((0.033, 0.35), noise=0.1), resample_documents(12, 100, np.random.default_rng(0))
    limits = {
        one: several_breaks(curves, 2, resamples, interval=one).terms for one in ("percentile", "expanded", "bca")
    }
    plain, wider = limits["percentile"], limits["expanded"]
    assert (wider["conf_low"] < plain["conf_low"]).all()
    assert (wider["conf_high"] > plain["conf_high"]).all()
    assert not np.allclose(limits["bca"]["conf_low"], plain["conf_low"])
    with pytest.raises(InputError, match="allowed: expanded, percentile, bca"):
        several_breaks(curves, 2, resamples, interval="wald")


def test_cross_validation_needs_a_generator_and_documents() -> None:
    with pytest.raises(InputError, match="needs a random generator"):
        several_breaks(curves_with((0.033,)), "cv")
    with pytest.raises(InputError, match="at least 4 documents; there are 3"):
        several_breaks(curves_with((0.033,), n=3), "cv", rng=np.random.default_rng(0))
