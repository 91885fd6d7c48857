"""Sensitivity rows: pingouin's numbers against scipy and statsmodels, and what they do without data."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ripplestats.fits.run_estimates import cell_curves, layer_curves
from ripplestats.hypotheses.claims import SENSITIVITY_ANALYSES
from ripplestats.hypotheses.run_claims import claims, run_curves
from ripplestats.hypotheses.sensitivity import plateau_means, sensitivity_rows
from tests.hypotheses.runs import RATES, run_frame

DOSES = RATES[RATES >= 0.1]


def rows_of(frame: pd.DataFrame) -> pd.DataFrame:
    run = run_curves(cell_curves(frame), 20, 0)
    assert run is not None
    return pd.DataFrame(sensitivity_rows(run)).set_index("claim")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return run_frame(core=0.015, last=0.05, n=25)


@pytest.fixture(scope="module")
def wide(frame: pd.DataFrame) -> np.ndarray:
    """Documents' means over blocks 1 and 2, documents × doses of the plateau."""
    top = frame[(frame["arm"] == "top") & (frame["layer"] > 0) & (frame["effective_rate"] >= 0.1)]
    return top.groupby(["document_id", "effective_rate"])["delta_logprob"].mean().unstack().to_numpy()


def test_the_anova_is_that_of_statsmodels_with_the_correction_of_greenhouse_and_geisser(
    frame: pd.DataFrame, wide: np.ndarray
) -> None:
    from statsmodels.stats.anova import AnovaRM

    row = rows_of(frame).loc["1 insensitivity, sensitivity: repeated-measures ANOVA"]
    run = run_curves(cell_curves(frame), 20, 0)
    assert run is not None
    means = plateau_means(run.main)
    theirs = AnovaRM(means, "effect", "document", ["dose"]).fit().anova_table.iloc[0]
    assert row["statistic"] == pytest.approx(theirs["F Value"])
    covariance = np.cov(wide.T)
    k = len(DOSES)
    centred = covariance - covariance.mean(axis=0) - covariance.mean(axis=1)[:, None] + covariance.mean()
    epsilon = np.trace(centred) ** 2 / ((k - 1) * (centred**2).sum())
    assert row["df"] == pytest.approx(epsilon * (k - 1))
    freedom = (epsilon * (k - 1), epsilon * (k - 1) * (len(wide) - 1))
    assert row["p_value"] == pytest.approx(stats.f.sf(row["statistic"], *freedom))
    between = len(wide) * ((wide.mean(axis=0) - wide.mean()) ** 2).sum()
    within = ((wide - wide.mean(axis=0)) ** 2).sum()
    assert row["estimate"] == pytest.approx(between / (between + within))


def test_the_friedman_test_is_that_of_scipy(frame: pd.DataFrame, wide: np.ndarray) -> None:
    row = rows_of(frame).loc["1 insensitivity, sensitivity: Friedman test"]
    theirs = stats.friedmanchisquare(*wide.T)
    assert row["statistic"] == pytest.approx(theirs.statistic)
    assert row["p_value"] == pytest.approx(theirs.pvalue)
    assert row["estimate"] == pytest.approx(theirs.statistic / (len(wide) * (len(DOSES) - 1)))


def test_effect_sizes_are_hedges_g_of_documents(frame: pd.DataFrame, wide: np.ndarray) -> None:
    rows = rows_of(frame)
    row = rows.loc["1 insensitivity, sensitivity: Hedges' g"]
    low, high = wide[:, 0], wide[:, -1]
    test = stats.ttest_rel(high, low)
    assert (row["statistic"], row["p_value"]) == pytest.approx((test.statistic, test.pvalue))
    d = (high - low).mean() / np.sqrt((high.var(ddof=1) + low.var(ddof=1)) / 2)
    assert row["estimate"] == pytest.approx(d * (1 - 3 / (4 * 2 * len(wide) - 9)))
    for claim in ("4 first block", "5 specificity"):
        assert rows.loc[f"{claim}, sensitivity: Hedges' g", "estimate"] > 1


def test_the_bayes_factor_is_the_integral_over_the_cauchy_prior(frame: pd.DataFrame, wide: np.ndarray) -> None:
    from scipy.integrate import quad

    row = rows_of(frame).loc["1 insensitivity, sensitivity: Bayes factor"]
    n, t = len(wide), float(row["statistic"])

    def weighed(effect: float) -> float:
        return float(stats.nct.pdf(t, n - 1, effect * np.sqrt(n)) * stats.cauchy.pdf(effect, scale=np.sqrt(0.5)))

    # The marginal likelihood of t under the prior of effects, over that under no effect (Rouder et al. 2009, eq. 1).
    assert row["estimate"] == pytest.approx(
        quad(weighed, -10, 10, limit=400, points=[t / np.sqrt(n)])[0] / stats.t.pdf(t, n - 1), rel=0.01
    )


def test_rows_have_no_decision_and_stand_last(frame: pd.DataFrame) -> None:
    table = claims(frame, n_boot=20)
    rows = table[table["claim"].isin(list(SENSITIVITY_ANALYSES))]
    assert rows.index.tolist() == list(range(len(table) - len(rows), len(table)))
    assert set(rows["claim"]) == set(SENSITIVITY_ANALYSES)
    assert set(rows["decision"]) == {""}
    assert rows["margin"].isna().all()
    assert set(rows["layer"]) == {"all", "0"}


@pytest.mark.parametrize("n", [1, 3])
def test_too_few_documents_have_no_numbers(n: int) -> None:
    rows = rows_of(run_frame(core=0.015, n=n))
    assert set(rows.index) == set(SENSITIVITY_ANALYSES)
    assert rows[["statistic", "p_value", "estimate"]].isna().all().all()


def test_no_spread_has_no_numbers(frame: pd.DataFrame) -> None:
    rows = rows_of(frame.assign(delta_logprob=0.1))
    assert rows[["statistic", "p_value", "estimate"]].isna().all().all()


def test_evidence_beyond_floating_point_is_infinite_and_no_error() -> None:
    rows = rows_of(run_frame(core=0.015, last=5.0, n=400))
    assert rows.loc["1 insensitivity, sensitivity: Bayes factor", "estimate"] == np.inf


def test_what_was_not_run_has_no_rows(frame: pd.DataFrame) -> None:
    alone = rows_of(frame[(frame["arm"] == "top") & (frame["layer"] > 0)])
    assert {name[0] for name in alone.index} == {"1"}
    first = run_curves(cell_curves(frame[frame["layer"] == 0]), 20, 0)
    assert first is not None
    assert sensitivity_rows(first) == []


def test_the_doses_of_the_plateau_are_those_near_its_ends(frame: pd.DataFrame) -> None:
    shifted = frame.assign(effective_rate=frame["effective_rate"].replace({0.1: 0.0996, 0.9: 0.8997}))
    means = plateau_means(layer_curves(shifted[shifted["arm"] == "top"], "delta_logprob"))
    assert sorted(means["dose"].unique()) == [0.0996, 0.2, 0.5, 0.8997]
    assert len(means) == 4 * 25
