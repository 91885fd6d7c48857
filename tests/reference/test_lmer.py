"""The exact balanced model held against lme4 1.1-31 and lmerTest 3.1-3 (lmer.R), whose optimiser is BOBYQA.

Tolerances:
- fixed effects, standard errors, standard deviations: 1e-4 relative. lmer stops where its deviance no longer falls,
  which leaves about that in a variance. A variance of zero: below 1e-4 of the residual standard deviation.
- log-likelihood: 1e-3 absolute, and ours must not be lower by more than 1e-6: the likelihoods are the same function.
- degrees of freedom: 1 %; lmerTest differentiates numerically at lmer's optimum.
- p-values: 2 % of log10 p, since the tail magnifies the error of t and df.
- predicted random effects: 1e-3 of their standard deviation.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ripplestats.fits.balanced.fit import predict_effects
from ripplestats.fits.balanced.inference import satterthwaite
from ripplestats.fits.mixed import mixed
from tests.reference.ours import LMER_COLUMNS, LMER_LEVELS, lmer_curves, lmer_fit, table

FIXED, RANDOM, FITS, BLUPS = (table(f"lmer_{name}") for name in ("fixed", "random", "fit", "blups"))
MODELS = list(FITS["model"])


@pytest.mark.parametrize("model", MODELS)
def test_fixed_effects(model: str) -> None:
    fit, expected = lmer_fit(model), FIXED[FIXED["model"] == model]
    np.testing.assert_allclose(fit.fixed, expected["estimate"], rtol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.fixed_covariance)), expected["std_error"], rtol=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_variance_components(model: str) -> None:
    fit, expected = lmer_fit(model), RANDOM[RANDOM["model"] == model]
    assert fit.sigma == pytest.approx(expected.set_index("grp").loc["Residual", "sdcor"], rel=1e-4)
    for row in expected[expected["grp"] != "Residual"].itertuples():
        covariance = fit.covariances[LMER_LEVELS.get(row.grp, row.grp)]
        first = LMER_COLUMNS.index(row.var1)
        second = first if pd.isna(row.var2) else LMER_COLUMNS.index(row.var2)
        assert covariance[first, second] == pytest.approx(row.vcov, rel=1e-4, abs=1e-8 * fit.sigma**2), row


@pytest.mark.parametrize("model", MODELS)
def test_log_likelihood_and_number_of_parameters(model: str) -> None:
    fit, expected = lmer_fit(model), FITS.set_index("model").loc[model]
    assert fit.log_likelihood == pytest.approx(expected["log_likelihood"], abs=1e-3)
    assert fit.log_likelihood > expected["log_likelihood"] - 1e-6
    assert fit.n_parameters == expected["n_parameters"]
    assert any("boundary" in note for note in fit.notes) == expected["singular"]


@pytest.mark.parametrize("model", MODELS)
def test_satterthwaite_degrees_of_freedom_and_p_values(model: str) -> None:
    fit, expected = lmer_fit(model), FIXED[FIXED["model"] == model]
    df = satterthwaite(fit)
    np.testing.assert_allclose(df, expected["df"], rtol=0.01)
    t = np.abs(fit.fixed) / np.sqrt(np.diag(fit.fixed_covariance))
    # lmerTest's p-values are those of its df; a df's error of 1 % moves the tail by about as much in log p.
    np.testing.assert_allclose(np.log10(2 * stats.t.sf(t, df)), np.log10(expected["p_value"]), rtol=0.02)


@pytest.mark.parametrize("model", ["crossed", "documents", "cells"])
def test_predicted_random_effects(model: str) -> None:
    fit, expected = lmer_fit(model), BLUPS[BLUPS["model"] == model]
    values, documents, _ = lmer_curves(model)
    found = predict_effects(fit, values, documents)
    for (level, term), rows in expected.groupby(["grpvar", "term"]):
        column = LMER_COLUMNS.index(term)
        mine = getattr(found, LMER_LEVELS.get(level, level))[..., column].ravel()
        scale = np.sqrt(fit.covariances[LMER_LEVELS.get(level, level)][column, column])
        # Units as numbers, so that 10 comes after 2.
        ordered = rows.assign(unit=rows["grp"].astype(str).str.split(":").map(lambda parts: [*map(int, parts)]))
        np.testing.assert_allclose(mine, ordered.sort_values("unit")["condval"], atol=1e-3 * scale)


def test_a_frame_and_a_formula_give_lmers_figures() -> None:
    frame = table("lmer_data").query("case == 'cells'").sample(frac=1, random_state=1)
    terms = mixed(
        frame,
        "effect ~ below + above",
        groups=("document", "prompt"),
        crossed="layer",
        re_formula={"prompt:layer": "~ below"},
    ).tidy()
    expected = FIXED[FIXED["model"] == "cells"]
    np.testing.assert_allclose(terms["estimate"][:3], expected["estimate"], rtol=1e-4)
    np.testing.assert_allclose(terms["std_error"][:3], expected["std_error"], rtol=1e-4)
    random = RANDOM[RANDOM["model"] == "cells"].fillna("").set_index(["grp", "var1", "var2"])["sdcor"]
    names = {
        "sd document Intercept": ("document", "(Intercept)", ""),
        "sd prompt Intercept": ("prompt", "(Intercept)", ""),
        "sd layer Intercept": ("layer", "(Intercept)", ""),
        "sd prompt:layer Intercept": ("prompt:layer", "(Intercept)", ""),
        "sd prompt:layer below": ("prompt:layer", "below", ""),
        "correlation prompt:layer Intercept below": ("prompt:layer", "(Intercept)", "below"),
        "sd residual": ("Residual", "", ""),
    }
    assert list(terms["term"].iloc[3:]) == list(names)
    np.testing.assert_allclose(terms["estimate"].iloc[3:], [random[key] for key in names.values()], rtol=1e-4)
