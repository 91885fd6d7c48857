"""The power of the claims: at the planned number of documents they are supported as often as planned.

A share of n simulated studies is held to 3 standard errors of its own and of the plan's simulation.
"""

import numpy as np
import pandas as pd
import pytest

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import flip_signs, resample_documents
from ripplestats.fits.contrasts import nearest_dose
from ripplestats.fits.planning.pilot import Pilot
from ripplestats.fits.planning.variance_components import VarianceComponents
from ripplestats.fits.rising_contrasts import mean_contrasts
from ripplestats.fits.saturation import plateau_weights
from ripplestats.hypotheses import claim_tests
from ripplestats.hypotheses.claim_tests import RunCurves
from ripplestats.hypotheses.claims import CLAIMS, FIRST_BLOCK, INSENSITIVITY, SPECIFICITY, THRESHOLD, core_claim
from ripplestats.hypotheses.power import claim_components, plan_claim, plan_mean_claim, simulated_power
from tests.fits.frames import DOSES, relabelled, two_phase
from tests.store.synthetic_run import synthetic_effects


@pytest.fixture(scope="module")
def effects() -> pd.DataFrame:
    return pd.DataFrame(synthetic_effects(range(24), per_document=2, noise=0.5))


def made(n: int, height: float, at: float, noise: float) -> Pilot:
    rng = np.random.default_rng(1)
    breaks = at * np.exp(rng.normal(0, 0.2, n))
    curves = np.stack([two_phase(DOSES, 0, height / a, 0, a) for a in breaks])
    curves += noise * rng.standard_normal((n, 1)) + noise * rng.standard_normal(curves.shape)
    return Pilot(DOSES, np.ones(len(DOSES)), curves, np.arange(n))


def plain(effects: pd.DataFrame, arm: str, layer: int | None) -> np.ndarray:
    """Curves of prompts (prompts × rates) of one arm, at one block or as the mean over blocks 1 and 2."""
    rows = effects[(effects["arm"] == arm) & (effects["layer"].isin([1, 2] if layer is None else [layer]))]
    return rows.groupby(["prompt_id", "effective_rate"])["delta_logprob"].mean().unstack().to_numpy(np.float64)


def test_what_is_planned_for_is_what_the_claim_is_about(effects: pd.DataFrame) -> None:
    x = np.sort(effects["effective_rate"].unique())
    top, ends = plain(effects, "top", None), nearest_dose(x, 0.9) - nearest_dose(x, 0.1)
    by_hand = {
        INSENSITIVITY: top @ ends,
        FIRST_BLOCK: (plain(effects, "top", 0) - top) @ plateau_weights(x),
        SPECIFICITY: (top - plain(effects, "random", None)) @ plateau_weights(x, (0.0, 0.1)),
    }
    for claim, values in by_hand.items():
        _, found = claim_components(effects, claim)
        assert found.effect == pytest.approx(values.mean(), rel=1e-5), claim
        documents = values.reshape(-1, 2)
        within = documents.var(axis=1, ddof=1).mean()
        assert found.prompt**2 == pytest.approx(within, rel=1e-5)
        assert found.document**2 == pytest.approx(max(documents.mean(axis=1).var(ddof=1) - within / 2, 0), rel=1e-5)


def test_neither_order_nor_names_of_the_pilot_change_a_plan(effects: pd.DataFrame) -> None:
    for claim in (INSENSITIVITY, FIRST_BLOCK, SPECIFICITY):
        plain = plan_claim(effects, claim).rows
        for changed in (effects.sample(frac=1, random_state=1), relabelled(effects, 2)):
            pd.testing.assert_frame_equal(plan_claim(changed, claim).rows, plain, rtol=1e-6)


def test_what_is_compared_is_compared_for_prompts_that_have_all_of_it(effects: pd.DataFrame) -> None:
    rate = effects["effective_rate"].max()
    last = effects["effective_rate"] == rate
    gone = (effects["arm"] == "top") & (effects["layer"] > 0) & (effects["prompt_id"] == 3) & last
    gone |= (effects["arm"] == "random") & (effects["layer"] == 1) & (effects["prompt_id"] == 8) & last
    gone |= (effects["layer"] == 0) & (effects["prompt_id"] == 11)
    for claim, lacking in ((SPECIFICITY, {3, 8}), (FIRST_BLOCK, {3, 11}), (INSENSITIVITY, {3})):
        plan = plan_claim(effects[~gone], claim)
        expected = plan_claim(effects[~effects["prompt_id"].isin(lacking)], claim)
        pd.testing.assert_frame_equal(plan.rows, expected.rows)
        assert any(f" {len(lacking)} of 24 prompts that lack doses" in note for note in plan.notes)
        assert (
            claim_components(effects[~gone], claim)[1]
            == claim_components(effects[~effects["prompt_id"].isin(lacking)], claim)[1]
        )
    other = (effects["arm"] == "random") & last
    with pytest.raises(InputError, match="differ in their doses"):
        plan_claim(effects[~other], SPECIFICITY)


@pytest.mark.parametrize("claim", [FIRST_BLOCK, SPECIFICITY])
def test_planned_power_of_a_mean_is_that_of_the_analysis(claim: str) -> None:
    truth = VarianceComponents(0.2, 0.3, 0.4)
    n = int(plan_mean_claim(claim, truth, power=0.8, per_document=(2,)).rows["documents"].iloc[0])
    rng = np.random.default_rng(2)
    supported, conf_level = 0, CLAIMS[claim].conf_level
    for _ in range(400):
        values = 0.2 + 0.3 * rng.standard_normal(n) + 0.4 * rng.standard_normal((n, 2)).mean(axis=1)
        margin = CLAIMS[claim].margin
        means = mean_contrasts(values[:, None], np.full(n, 2.0), (margin,), flip_signs(n, 400, rng))
        low, high = means.interval(conf_level, (margin,))
        supported += CLAIMS[claim].decide(float(low[0]), float(high[0]), margin) == "supported"
    assert supported / 400 == pytest.approx(0.8, abs=3 * np.sqrt(0.16 / 400) + 0.02)


@pytest.mark.parametrize(("claim", "at", "noise"), [(THRESHOLD, 0.04, 1.0), (core_claim(0.5), 0.025, 0.6)])
def test_simulated_power_is_the_share_of_new_studies_that_are_supported(claim: str, at: float, noise: float) -> None:
    achieved = simulated_power(made(200, 1.0, at, noise), claim, 100, 99, 0)
    power, error = achieved(40, 1)
    assert error == pytest.approx(np.sqrt(power * (1 - power) / 100), abs=0.06)
    assert achieved(40, 1) == (power, error)
    test = claim_tests.threshold if claim == THRESHOLD else claim_tests.core_group
    source, supported = made(200, 1.0, at, noise), 0
    for i in range(100):
        study, rng = source.study(40, 1, np.random.default_rng([5, i])), np.random.default_rng([6, i])
        run = RunCurves({("top", "median"): study}, study, resample_documents(40, 99, rng))
        found = next(one for one in test(run) if one.claim == claim)
        decision = CLAIMS[claim].decide(float(found.conf_low[0]), float(found.conf_high[0]), CLAIMS[claim].margin)
        supported += decision == "supported" and (claim != THRESHOLD or bool(found.test.p_value[0] < 0.05))
    assert 0.1 < power < 0.98
    assert supported / 100 == pytest.approx(power, abs=3 * np.sqrt(2) * error)


def test_more_documents_have_more_power() -> None:
    achieved = simulated_power(made(100, 1.0, 0.025, 0.6), core_claim(0.5), 60, 99, 0)
    assert achieved(10, 1)[0] < achieved(160, 1)[0]


def test_plans_of_claims_say_what_they_rest_on(effects: pd.DataFrame) -> None:
    exact = plan_claim(effects, SPECIFICITY, power=0.9, seconds_per_prompt=1.0)
    assert exact.rows["prompts_per_document"].tolist() == [1, 2, 4, 8]
    assert (exact.rows["documents_low"] == exact.rows["documents"]).all()
    assert (exact.rows["documents_cautious"] > exact.rows["documents"]).all()
    assert "Power of the t test" in exact.summary()
    simulated = plan_claim(effects, THRESHOLD, per_document=[1], n_studies=40, n_boot=59, most=64)
    assert "40 studies" in simulated.summary()
    assert np.isnan(simulated.rows["documents_cautious"]).all()


def test_a_claim_that_the_pilot_contradicts_is_not_planned(effects: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="not what the pilot shows"):
        plan_claim(effects, core_claim(0.9))


@pytest.mark.parametrize(
    ("claim", "options", "message"),
    [
        ("7 nothing", {}, "cannot be planned"),
        (SPECIFICITY, {"power": 1.5}, "power=1.5"),
        (THRESHOLD, {"n_studies": 1}, "at least 20"),
        (THRESHOLD, {"power": 0.01}, "power=0.01"),
    ],
)
def test_wrong_arguments_are_refused(
    effects: pd.DataFrame, claim: str, options: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        plan_claim(effects, claim, **options)


def test_what_the_pilot_lacks_is_named(effects: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="no arm 'random'"):
        plan_claim(effects[effects["arm"] == "top"], SPECIFICITY)
    with pytest.raises(InputError, match="block 0"):
        plan_claim(effects[effects["layer"] > 0], FIRST_BLOCK)
    with pytest.raises(InputError, match="do not reach"):
        plan_claim(effects[effects["rate"] < 0.5], INSENSITIVITY)
    with pytest.raises(InputError, match="needs a pilot"):
        plan_mean_claim(THRESHOLD, VarianceComponents(0.1, 1, 1))
