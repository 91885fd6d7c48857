"""Planning: closed forms against statsmodels and simulation, and at the planned size the study does what was asked.

Simulated figures have a Monte-Carlo error: means over many studies are held to 3 standard errors, and what is interpolated
between simulated figures to about four of theirs. A plan from a pilot inherits the pilot's luck: against the population it
is held by its cautious number only.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.power import TTestPower

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import bootstrap, resample_documents
from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.planning.design import Plan, plan_interval, plan_mean
from ripplestats.fits.planning.goals import Goal, simulated_rows, smallest
from ripplestats.fits.planning.pilot import Pilot, estimator, pilot_of
from ripplestats.fits.planning.variance_components import VarianceComponents, variance_components
from ripplestats.fits.saturation import plateau_weights
from ripplestats.rendering.progress import duration
from tests.fits.frames import CHECKED, DOSES, frame_of, noisy_frame, relabelled, two_phase

NAMES = {"y": "effect", "x": "rate", "cluster": "document_id"}
COMPONENTS = VarianceComponents(effect=0.1, document=0.3, prompt=0.4)


def population(n_documents: int, per_document: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Curves of prompts whose height and break vary between documents, and their noise between prompts; documents."""
    rng = np.random.default_rng(seed)
    documents = np.repeat(np.arange(n_documents), per_document)
    height = rng.gamma(4, 1 / 4, n_documents)[documents]
    at = np.exp(rng.normal(np.log(0.033), 0.2, n_documents))[documents]
    curves = np.stack([two_phase(DOSES, 0.02, h / a, 0.05, a) for h, a in zip(height, at, strict=True)])
    return curves + 0.4 * rng.standard_normal((len(curves), 1)) + 0.3 * rng.standard_normal(curves.shape), documents


def pilot(n_documents: int = 400, per_document: int = 1, seed: int = 0) -> pd.DataFrame:
    curves, documents = population(n_documents, per_document, seed)
    return frame_of(curves, DOSES, documents)


@given(st.integers(4, 200), st.floats(0.01, 0.2), st.floats(-1, 1.5))
@CHECKED
def test_power_of_the_t_test_is_that_of_statsmodels(n: int, alpha: float, effect: float) -> None:
    components = VarianceComponents(effect, 0.8, 0.6)
    expected = TTestPower().power(effect, n, alpha, alternative="larger")
    assert components.power_above(n, 1, 0.0, alpha) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("effect", "margin", "n"), [(0.0, 0.5, 12), (0.1, 0.5, 20), (0.3, 0.4, 60), (0.2, 0.25, 9)])
def test_power_of_the_equivalence_test_is_that_of_a_million_studies(effect: float, margin: float, n: int) -> None:
    rng = np.random.default_rng(n)
    means = effect + rng.standard_normal(1_000_000) / np.sqrt(n)
    error = np.sqrt(rng.chisquare(n - 1, 1_000_000) / (n - 1) / n)
    simulated = (np.abs(means) < margin - stats.t.isf(0.05, n - 1) * error).mean()
    exact = VarianceComponents(effect, 1.0, 0.0).power_within(n, 1, margin, 0.05)
    assert exact == pytest.approx(simulated, abs=3 * np.sqrt(0.25 / 1_000_000))


def test_equivalence_at_the_margin_has_the_size_of_the_test() -> None:
    assert VarianceComponents(0.5, 1.0, 0.0).power_within(2000, 1, 0.5, 0.05) == pytest.approx(0.05, abs=1e-6)
    assert VarianceComponents(0.0, 1.0, 0.0).power_within(10_000, 1, 0.5, 0.05) == pytest.approx(1)
    assert VarianceComponents(0.0, 1.0, 0.0).power_within(4, 1, 0.01, 0.05) < 1e-6


def test_components_of_a_balanced_pilot_are_those_of_the_mixed_model() -> None:
    rng = np.random.default_rng(3)
    documents = np.repeat(np.arange(30), 4)
    values = 2 + rng.standard_normal(30)[documents] + 1.5 * rng.standard_normal(120)
    found = variance_components(values, documents)
    fit = MixedLM(values, np.ones((120, 1)), documents).fit()
    assert found.effect == pytest.approx(fit.fe_params[0], rel=1e-6)
    assert found.document**2 == pytest.approx(fit.cov_re[0, 0], rel=1e-4)
    assert found.prompt**2 == pytest.approx(fit.scale, rel=1e-4)
    assert found.std_error(30, 4) == pytest.approx(fit.bse_fe[0], rel=1e-4)


def test_components_are_right_on_average_where_documents_differ_in_size() -> None:
    rng = np.random.default_rng(4)
    documents = np.repeat(np.arange(40), np.resize([1, 2, 5], 40))
    found = [
        variance_components(rng.standard_normal(40)[documents] + 2 * rng.standard_normal(len(documents)), documents)
        for _ in range(400)
    ]
    for name, truth in (("document", 1), ("prompt", 4)):
        squares = np.array([getattr(one, name) ** 2 for one in found])
        assert squares.mean() == pytest.approx(truth, abs=4 * squares.std() / 20), name


def test_the_planned_number_is_the_smallest_that_reaches_the_goal() -> None:
    rows = plan_mean(COMPONENTS, half_width=0.05, per_document=(1, 4)).tidy()
    for row in rows.itertuples():
        n, m = int(row.documents), row.prompts_per_document
        assert COMPONENTS.half_width(n, m, 0.95) <= 0.05 < COMPONENTS.half_width(n - 1, m, 0.95)
        assert row.achieved == COMPONENTS.half_width(n, m, 0.95)
        assert row.prompts == n * m
    assert rows["documents"].is_monotonic_decreasing
    assert rows["prompts"].is_monotonic_increasing


@given(st.integers(4, 3000))
@CHECKED
def test_the_smallest_is_found_wherever_it_is(truth: int) -> None:
    assert smallest(lambda n: n >= truth, 4096) == truth
    assert smallest(lambda n: n >= truth, truth) == truth
    assert truth == 4 or smallest(lambda n: n >= truth, truth - 1) is None


def test_at_the_planned_size_the_interval_and_the_power_are_as_planned() -> None:
    rng = np.random.default_rng(5)
    n = int(plan_mean(COMPONENTS, half_width=0.06, per_document=(2,)).rows["documents"].iloc[0])
    means = 0.1 + 0.3 * rng.standard_normal((4000, n)) + 0.4 * rng.standard_normal((4000, n, 2)).mean(axis=2)
    halves = stats.t.isf(0.025, n - 1) * means.std(axis=1, ddof=1) / np.sqrt(n)
    assert np.sqrt((halves**2).mean()) == pytest.approx(0.06, rel=0.01)
    rejected = means.mean(axis=1) / (means.std(axis=1, ddof=1) / np.sqrt(n)) > stats.t.isf(0.025, n - 1)
    expected = COMPONENTS.power_above(n, 2, 0.0, 0.025)
    assert rejected.mean() == pytest.approx(expected, abs=3 * np.sqrt(0.25 / 4000))


@pytest.mark.parametrize(("sizes", "per_document"), [((1,), 1), ((3,), 1), ((3,), 6), ((1, 2, 5), 2)])
def test_studies_drawn_from_a_pilot_spread_as_its_components_say(sizes: tuple[int, ...], per_document: int) -> None:
    found = pilot_of(noisy_frame(1, 60, sizes), **NAMES)
    weights = plateau_weights(DOSES)
    assert weights is not None
    components = variance_components(found.curves @ weights, found.documents)
    values = found.means(25, per_document, 4000, np.random.default_rng(0)) @ weights
    assert values.mean() == pytest.approx(components.effect, abs=3 * components.std_error(25, per_document) / 60)
    # One scale serves all doses, so that the spread of a single contrast is met only nearly.
    assert values.std() == pytest.approx(components.std_error(25, per_document), rel=0.06)
    studies = [found.study(25, per_document, np.random.default_rng([1, i])) for i in range(600)]
    pooled = np.array([one.pooled()[0] @ weights for one in studies])
    assert studies[0].n_prompts == 25 * per_document
    assert pooled.std() == pytest.approx(components.std_error(25, per_document), rel=0.12)


@pytest.mark.parametrize(("quantity", "half_width"), [("threshold", 0.006), ("core_fraction", 0.002)])
def test_at_the_planned_size_intervals_of_studies_are_as_wide_as_planned(quantity: str, half_width: float) -> None:
    frame = pilot(100, 2)
    n = int(
        plan_interval(frame, **NAMES, quantity=quantity, half_width=half_width, per_document=[2], n_samples=4000)
        .rows["documents"]
        .iloc[0]
    )
    source = pilot_of(frame, **NAMES)
    statistic = estimator(source, quantity, 0.5)
    halves = []
    for i in range(60):
        study = source.study(n, 2, np.random.default_rng([7, i]))
        low, high = bootstrap(study, statistic, resample_documents(n, 200, np.random.default_rng(i))).expanded
        halves.append(float(high[0] - low[0]) / 2)
    # 60 intervals of 200 resamples: their mean half-width is known to about 3 %.
    assert np.mean(halves) == pytest.approx(half_width, rel=0.12)


@pytest.mark.parametrize(("per_document", "seed"), [(1, 0), (1, 1), (1, 2), (3, 0)])
def test_with_the_cautious_number_new_documents_give_the_sharpness(per_document: int, seed: int) -> None:
    found = plan_interval(
        pilot(200, per_document, seed), **NAMES, half_width=0.004, per_document=[per_document], n_samples=3000
    )
    row = found.rows.iloc[0]
    assert row["documents_low"] <= row["documents"] <= row["documents_high"]
    assert row["documents"] <= row["documents_cautious"]
    n = int(row["documents_cautious"])
    everyone, _ = population(40_000, per_document, 99)
    means = everyone.reshape(-1, per_document, len(DOSES)).mean(axis=1)
    studies = means[: len(means) // n * n].reshape(-1, n, len(DOSES)).mean(axis=1)
    breaks = BreakDesign(DOSES, np.ones(len(DOSES))).fit(studies).breakpoint
    tail = stats.norm.sf(stats.t.isf(0.025, n - 1))  # of the expanded interval
    low, high = np.quantile(breaks, [tail, 1 - tail])
    assert (high - low) / 2 < 1.1 * 0.004


def test_at_the_planned_size_the_plateau_is_as_sharp_as_planned() -> None:
    row = plan_interval(pilot(400, 2), **NAMES, quantity="plateau", half_width=0.05, per_document=(2,)).rows.iloc[0]
    n = int(row["documents"])
    everyone, _ = population(40_000, 2, 98)
    levels = (everyone @ plateau_weights(DOSES)).reshape(-1, 2).mean(axis=1)
    studies = levels[: len(levels) // n * n].reshape(-1, n)
    halves = stats.t.isf(0.025, n - 1) * studies.std(axis=1, ddof=1) / np.sqrt(n)
    # The pilot's standard deviation is known to 1 / √800 = 3.5 %.
    assert np.sqrt((halves**2).mean()) == pytest.approx(0.05, rel=0.1)


def test_a_core_fraction_that_the_pilot_hardly_has_is_not_reached() -> None:
    flat = frame_of(np.random.default_rng(0).standard_normal((30, len(DOSES))) * 5 + DOSES, DOSES)
    found = plan_interval(flat, **NAMES, quantity="core_fraction", half_width=0.001, most=64, n_samples=200)
    row = found.rows.iloc[0]
    assert np.isnan(row["documents"])
    assert row["note"].startswith("not reached with 64 documents")
    assert "not reached" in found.summary()


def test_order_and_names_change_nothing_and_a_seed_fixes_the_plan() -> None:
    frame = pilot(40, 2)
    plain = plan_interval(frame, **NAMES, half_width=0.01, n_samples=500)
    again = plan_interval(frame.sample(frac=1, random_state=1), **NAMES, half_width=0.01, n_samples=500)
    pd.testing.assert_frame_equal(again.rows, plain.rows)
    # Other names sort prompts differently, so that other studies are drawn; the closed form does not care.
    means = [
        plan_interval(one, **NAMES, half_width=0.1, quantity="plateau").rows for one in (frame, relabelled(frame, 3))
    ]
    pd.testing.assert_frame_equal(*means)


def test_scales_of_effect_and_dose_carry_over() -> None:
    frame = pilot(50)
    plain = plan_interval(frame, **NAMES, half_width=0.01, n_samples=500).rows["documents"]
    louder = plan_interval(frame.assign(effect=9 * frame["effect"]), **NAMES, half_width=0.01, n_samples=500).rows[
        "documents"
    ]
    wider = plan_interval(frame.assign(rate=8 * frame["rate"]), **NAMES, half_width=0.08, n_samples=500).rows[
        "documents"
    ]
    assert plain.tolist() == louder.tolist() == wider.tolist()


def test_the_text_says_what_was_asked_the_answer_and_what_it_rests_on() -> None:
    found = plan_interval(pilot(30, 2), **NAMES, half_width=0.01, n_samples=400, seconds_per_prompt=2.0, percent=True)
    text = found.summary()
    assert isinstance(found, Plan)
    assert found.rows["prompts_per_document"].tolist() == [1, 2, 4, 8]
    for said in ("half-width of 1 percentage points of the threshold", "Monte", "80 % sure", "400 studies"):
        assert said in text, said
    assert duration(2.0 * found.rows["prompts"].iloc[0]) in text
    assert max(map(len, text.splitlines()[2:])) <= 96
    alone = plan_interval(pilot(30), **NAMES, half_width=0.01, n_samples=400).summary()
    assert "one prompt of each" in alone


def test_a_spread_on_the_boundary_is_said() -> None:
    opposed = np.tile([1.0, -1.0], 10)
    found = variance_components(opposed, np.repeat(np.arange(10), 2))
    assert (found.document, found.prompt) == (0, pytest.approx(np.sqrt(2)))
    assert "boundary" in found.words()
    assert "boundary" not in COMPONENTS.words()


def test_simulated_power_is_interpolated_to_where_it_is() -> None:
    truth = VarianceComponents(0.1, 0.3, 0.4)
    exact = smallest(lambda n: truth.power_above(n, 1, 0, 0.025) >= 0.8, 10_000)
    assert exact is not None
    rows = simulated_rows(Goal("power", 0.8), lambda n, m: (truth.power_above(n, m, 0, 0.025), 0.01), (1,), 10_000)
    assert rows["documents"].iloc[0] == pytest.approx(exact, rel=0.01)
    assert rows["documents_low"].iloc[0] < exact < rows["documents_high"].iloc[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"half_width": 0}, "half_width=0"),
        ({"quantity": "slope"}, "quantity='slope'"),
        ({"quantity": "core_fraction", "share": 2}, "share=2"),
        ({"per_document": [2]}, "one prompt a document"),
        ({"per_document": [0]}, "at least 1"),
        ({"conf_level": 1.0}, "out of range"),
        ({"cluster": "nothing"}, "no column 'nothing'"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_interval(pilot(20), **(NAMES | {"half_width": 0.01} | options))


def test_prompts_that_lack_doses_are_left_out_of_the_pilot_and_counted() -> None:
    frame = noisy_frame(3, 12, (1, 3))
    lacking = {1, 4, 5}
    layers = pd.concat([frame.assign(layer=0), frame.assign(layer=1, effect=frame["effect"] + 1)])
    # One prompt lacks a dose, one lacks it in one layer only, one has a single dose.
    gone = (layers["prompt_id"] == 1) & (layers["rate"] == 0.03)
    gone |= (layers["prompt_id"] == 4) & (layers["rate"] == 0.5) & (layers["layer"] == 1)
    gone |= (layers["prompt_id"] == 5) & (layers["rate"] > DOSES[0])
    holed, rest = layers[~gone], layers[~layers["prompt_id"].isin(lacking)]
    found, expected = pilot_of(holed, **NAMES), pilot_of(rest, **NAMES)
    np.testing.assert_array_equal(found.curves, expected.curves)
    np.testing.assert_array_equal(found.documents, expected.documents)
    assert expected.notes == ()
    for quantity, half_width in (("plateau", 0.2), ("threshold", 0.02)):
        asked = {"half_width": half_width, "quantity": quantity, "n_samples": 200}
        plan, plain = (plan_interval(one, **NAMES, **asked) for one in (holed, rest))
        pd.testing.assert_frame_equal(plan.rows, plain.rows)
        assert set(plan.notes) - set(plain.notes) == {"Of the pilot 3 of 24 prompts that lack doses are left out."}
        assert "3 of 24 prompts" in plan.summary()


def test_a_dose_of_two_rows_and_a_prompt_given_twice_are_no_gaps() -> None:
    frame = noisy_frame(4, 10)
    twice = pd.concat([frame, frame[frame["rate"] == 0.02], frame[frame["prompt_id"] == 2]])
    twice = pd.concat([twice, frame[(frame["prompt_id"] == 2) & (frame["rate"] == 0.02)]])
    found = pilot_of(twice.drop(index=frame.index[(frame["prompt_id"] == 7) & (frame["rate"] == 0.1)]), **NAMES)
    np.testing.assert_allclose(
        found.curves, np.delete(frame["effect"].to_numpy().reshape(10, -1), 7, axis=0), rtol=1e-15
    )
    np.testing.assert_allclose(found.dose_weights / found.dose_weights[0], np.where(DOSES == 0.02, 2, 1))


def test_unusable_pilots_are_refused() -> None:
    frame = pilot(20)
    with pytest.raises(InputError, match=r"3 documents whose prompts have every dose \(17 of 20 prompts do not\)"):
        plan_interval(frame[(frame["document_id"] < 3) | (frame["rate"] != 0.03)], **NAMES, half_width=0.01)
    with pytest.raises(InputError, match="a pilot of 0 documents whose prompts"):
        plan_interval(frame.drop(index=range(0, len(frame), 14)), **NAMES, half_width=0.01)
    with pytest.raises(InputError, match="3 documents is too small"):
        plan_interval(frame[frame["document_id"] < 3], **NAMES, half_width=0.01)
    with pytest.raises(InputError, match="do not give a plateau"):
        plan_interval(frame[frame["rate"] < 0.2], **NAMES, half_width=0.01, quantity="plateau")
    with pytest.raises(InputError, match="do not differ"):
        plan_interval(frame.assign(effect=1.0), **NAMES, half_width=0.01, quantity="plateau")
    with pytest.raises(InputError, match="power=1"):
        Goal("power", 1)
    assert isinstance(pilot_of(frame, **NAMES), Pilot)
