"""Mixed models: statsmodels called directly, closed forms of balanced designs, and what is said of bad fits."""

import re
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from ripplestats.errors import InputError
from ripplestats.fits.mixed import mixed

FORMULA = "effect ~ below + above"


@lru_cache(maxsize=2)
def effects(n_documents: int = 12, per_document: int = 2, seed: int = 4) -> pd.DataFrame:
    """Documents with an intercept (sd .5) and a slope (sd .1) of their own, prompts with an intercept (sd .4)."""
    rng = np.random.default_rng(seed)
    percent = np.array([0.2, 1, 2, 5, 10, 20, 50, 90])
    document = np.repeat(np.arange(n_documents * per_document) // per_document, len(percent))
    prompt = np.repeat(np.arange(n_documents * per_document), len(percent))
    below = np.tile(np.minimum(percent, 10), n_documents * per_document)
    above = np.tile(np.maximum(percent - 10, 0), n_documents * per_document)
    level, slope = 0.5 * rng.standard_normal(n_documents), 0.3 + 0.1 * rng.standard_normal(n_documents)
    effect = level[document] + slope[document] * below + 0.01 * above
    effect += 0.4 * rng.standard_normal(n_documents * per_document)[prompt] + 0.1 * rng.standard_normal(len(below))
    return pd.DataFrame(
        {"prompt_id": prompt, "document_id": document, "below": below, "above": above, "effect": effect}
    )


def direct_fit(**options: Any) -> Any:
    """What statsmodels itself finds, its warnings aside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return smf.mixedlm(FORMULA, effects(), groups="document_id", **options).fit(reml=True)


def test_fixed_effects_are_those_of_statsmodels() -> None:
    direct = direct_fit(re_formula="~ below")
    result = mixed(effects(), FORMULA, groups="document_id", re_formula="~ below", conf_level=0.9)
    terms = result.tidy().set_index("term").iloc[:3]
    assert list(terms.index) == ["Intercept", "below", "above"]
    expected = {
        "estimate": direct.fe_params,
        "std_error": direct.bse_fe,
        "statistic": direct.tvalues,
        "p_value": direct.pvalues,
        "conf_low": direct.conf_int(alpha=0.1)[0],
        "conf_high": direct.conf_int(alpha=0.1)[1],
    }
    for column, values in expected.items():
        np.testing.assert_allclose(terms[column], values[terms.index], rtol=1e-9, err_msg=column)
    assert result.conf_level == 0.9
    assert result.notes[0] == (
        f"REML, log-likelihood {direct.llf:.2f}; Wald intervals at 90%; random effects by document_id."
    )


def test_standard_deviations_are_those_of_statsmodels() -> None:
    components = {"prompt": "0 + C(prompt_id)"}
    direct = direct_fit(re_formula="~ below", vc_formula=components)
    terms = mixed(effects(), FORMULA, groups="document_id", re_formula="~ below", vc_formula=components).tidy()
    found = terms.set_index("term")["estimate"]
    assert list(terms["term"].iloc[3:]) == ["sd document_id", "sd below", "sd prompt", "sd residual"]
    assert found["sd document_id"] == pytest.approx(np.sqrt(direct.cov_re.loc["document_id", "document_id"]))
    assert found["sd below"] == pytest.approx(np.sqrt(direct.cov_re.loc["below", "below"]))
    assert found["sd prompt"] == pytest.approx(np.sqrt(direct.vcomp[0]))
    assert found["sd residual"] == pytest.approx(np.sqrt(direct.scale))
    assert terms.iloc[3:][["std_error", "statistic", "p_value", "conf_low", "conf_high"]].isna().all(axis=None)


def test_standard_deviations_come_out_on_the_scale_of_the_data() -> None:
    frame = effects(n_documents=60, per_document=3, seed=1)
    found = mixed(frame, FORMULA, groups="document_id", re_formula="~ below", vc_formula={"prompt": "0 + C(prompt_id)"})
    sizes = found.tidy().set_index("term")["estimate"]
    for term, truth in {"sd document_id": 0.5, "sd below": 0.1, "sd prompt": 0.4, "sd residual": 0.1}.items():
        assert sizes[term] == pytest.approx(truth, rel=0.3), term


def test_in_a_balanced_design_the_slopes_are_those_of_least_squares() -> None:
    frame = effects()
    design = np.column_stack([np.ones(len(frame)), frame["below"], frame["above"]])
    plain = np.linalg.lstsq(design, frame["effect"], rcond=None)[0]
    found = mixed(frame, FORMULA, groups="document_id").tidy()["estimate"].iloc[:3]
    np.testing.assert_allclose(found, plain, rtol=1e-6)


def test_documents_and_prompts_are_counted() -> None:
    result = mixed(effects(), FORMULA, groups="document_id")
    assert (result.n_documents, result.n_prompts) == (12, 24)
    result = mixed(effects().drop(columns="prompt_id"), FORMULA, groups="document_id")
    assert (result.n_documents, result.n_prompts) == (12, 12)


def test_only_fixed_effects_are_drawn() -> None:
    from matplotlib.figure import Figure

    ax = mixed(effects(), FORMULA, groups="document_id").plot(Figure().subplots())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Intercept", "below", "above"]


def test_a_variance_on_the_boundary_is_said_in_a_note() -> None:
    # Every document has the same three values in another order: no variance between documents is left.
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"document_id": np.repeat(np.arange(8), 3), "below": np.tile([0.0, 1.0, 2.0], 8)})
    frame["effect"] = np.concatenate([rng.permutation([0.0, 1.0, 2.0]) for _ in range(8)])
    result = mixed(frame, "effect ~ below", groups="document_id")
    assert any("boundary" in note for note in result.notes[1:])


def test_a_fit_that_does_not_converge_is_said_in_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    # Gradients alone do not end at this optimum, which has a variance of zero.
    monkeypatch.setattr("ripplestats.fits.mixed._best_fit", lambda model: model.fit(reml=True))
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"document_id": np.repeat(np.arange(8), 3), "below": np.tile([0.0, 1.0, 2.0], 8)})
    frame["effect"] = frame["below"] + 0.01 * rng.standard_normal(24)
    result = mixed(frame, "effect ~ below", groups="document_id", re_formula="~ below")
    assert "The fit did not converge: its figures are not to be trusted." in result.notes
    assert all("\n" not in note for note in result.notes)


def test_a_fit_ends_at_the_largest_likelihood_even_where_a_variance_is_zero() -> None:
    # Prompts of a document do not differ here; optimisers that follow the gradient stop short of the boundary.
    rng = np.random.default_rng(0)
    noise = 0.25 * rng.standard_normal(len(effects()))
    frame = effects().assign(effect=lambda f: 0.085 * f["below"] - 0.002 * f["above"] + noise)
    options = {"groups": "document_id", "re_formula": "~ below", "vc_formula": {"prompt": "0 + C(prompt_id)"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best = smf.mixedlm(FORMULA, frame, **options).fit(reml=True, method="powell").llf
    reached = float(re.search(r"log-likelihood (-?[0-9.]+)", mixed(frame, FORMULA, **options).notes[0])[1])
    assert reached > best - 0.5


def test_the_unit_of_the_effect_does_not_decide_whether_a_variance_is_said_to_be_zero() -> None:
    # statsmodels warns of a boundary wherever a variance is below .01, in whatever unit.
    for unit in (10.0, 0.1):
        frame = effects().assign(effect=lambda f, unit=unit: unit * f["effect"])
        notes = mixed(frame, FORMULA, groups="document_id").notes
        assert not any("boundary" in note for note in notes), unit


@pytest.mark.parametrize("effect", ["constant", "exact"])
def test_an_effect_without_noise_ends_in_an_error_or_a_note_and_in_no_python_warning(effect: str) -> None:
    frame = effects().assign(effect=lambda f: 1.0 if effect == "constant" else f["below"])
    try:
        result = mixed(frame, FORMULA, groups="document_id")
    except InputError as error:
        assert "cannot be fitted" in str(error)
    else:
        assert len(result.notes) > 1


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("effect ~ absent", {}),
        ("absent ~ below", {}),
        ("effect ~ below +", {}),
        ("effect ~~ below", {}),
        ("effect below", {}),
        ("effect ~ unknown_function(below)", {}),
        ("", {}),
        ("effect ~ below", {"re_formula": "~ absent"}),
        ("effect ~ below", {"vc_formula": {"prompt": "0 + C(absent)"}}),
    ],
)
def test_a_formula_that_does_not_fit_the_frame_is_one_line(formula: str, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="cannot be fitted") as caught:
        mixed(effects(), formula, groups="document_id", **options)
    assert repr(formula) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_group_column_is_named() -> None:
    with pytest.raises(InputError, match="no column 'absent'; it has prompt_id, document_id"):
        mixed(effects(), FORMULA, groups="absent")


@pytest.mark.parametrize("column", ["effect", "below"])
def test_missing_values_are_refused(column: str) -> None:
    frame = effects().copy()
    frame.loc[5, column] = np.nan
    with pytest.raises(InputError):
        mixed(frame, FORMULA, groups="document_id")


def test_covariates_that_are_copies_of_each_other_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be fitted"):
        mixed(effects().assign(twice=lambda f: 2 * f["below"]), "effect ~ below + twice", groups="document_id")


def test_a_frame_without_rows_is_refused() -> None:
    with pytest.raises(InputError):
        mixed(effects().iloc[:0], FORMULA, groups="document_id")
