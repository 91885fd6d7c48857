"""Mixed models: statsmodels called directly, closed forms of balanced designs, and what is said of bad fits."""

import re
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.mixed import mixed
from tests.fits.frames import CHECKED, relabelled

FORMULA = "effect ~ below + above"
ENGINES = ("balanced", "statsmodels")
NESTED: dict[str, Any] = {"groups": ("document_id", "prompt_id"), "re_formula": {"prompt_id": "~ below"}}


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
    result = mixed(effects(), FORMULA, groups="document_id", re_formula="~ below", conf_level=0.9, engine="statsmodels")
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
        f"REML, log-likelihood {direct.llf:.2f}; Wald intervals at 90%; random effects by document_id; "
        "fitted by statsmodels MixedLM (as asked)."
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


@pytest.mark.parametrize("engine", ENGINES)
def test_in_a_balanced_design_the_slopes_are_those_of_least_squares(engine: str) -> None:
    frame = effects()
    design = np.column_stack([np.ones(len(frame)), frame["below"], frame["above"]])
    plain = np.linalg.lstsq(design, frame["effect"], rcond=None)[0]
    found = mixed(frame, FORMULA, groups="document_id", engine=engine).tidy()["estimate"].iloc[:3]
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


@pytest.mark.parametrize("engine", ENGINES)
def test_a_variance_on_the_boundary_is_said_in_a_note(engine: str) -> None:
    # Every document has the same three values in another order: no variance between documents is left.
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"document_id": np.repeat(np.arange(8), 3), "below": np.tile([0.0, 1.0, 2.0], 8)})
    frame["effect"] = np.concatenate([rng.permutation([0.0, 1.0, 2.0]) for _ in range(8)])
    result = mixed(frame, "effect ~ below", groups="document_id", engine=engine)
    assert any("boundary" in note for note in result.notes[1:])


def test_a_fit_that_does_not_converge_is_said_in_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    # One step is too few on any machine.
    monkeypatch.setattr(
        "ripplestats.fits.general_mixed._best_fit",
        lambda model, reml: model.fit(reml=reml, method=["bfgs"], maxiter=1),
    )
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"document_id": np.repeat(np.arange(8), 3), "below": np.tile([0.0, 1.0, 2.0], 8)})
    frame["effect"] = frame["below"] + 0.01 * rng.standard_normal(24)
    result = mixed(frame, "effect ~ below", groups="document_id", re_formula="~ below", engine="statsmodels")
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


@pytest.mark.parametrize("engine", ENGINES)
def test_the_unit_of_the_effect_does_not_decide_whether_a_variance_is_said_to_be_zero(engine: str) -> None:
    # statsmodels warns of a boundary wherever a variance is below .01, in whatever unit.
    for unit in (10.0, 0.1):
        frame = effects().assign(effect=lambda f, unit=unit: unit * f["effect"])
        notes = mixed(frame, FORMULA, groups="document_id", engine=engine).notes
        assert not any("boundary" in note for note in notes), unit


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("effect", ["constant", "exact"])
def test_an_effect_without_noise_ends_in_an_error_or_a_note_and_in_no_python_warning(effect: str, engine: str) -> None:
    frame = effects().assign(effect=lambda f: 1.0 if effect == "constant" else f["below"])
    try:
        result = mixed(frame, FORMULA, groups="document_id", engine=engine)
    except InputError as error:
        assert "cannot be fitted" in str(error)
    else:
        assert len(result.notes) > 1


@pytest.mark.parametrize("engine", ["auto", *ENGINES])
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
def test_a_formula_that_does_not_fit_the_frame_is_one_line(formula: str, options: dict[str, Any], engine: str) -> None:
    with pytest.raises(InputError, match="cannot be fitted") as caught:
        mixed(effects(), formula, groups="document_id", engine=engine, **options)
    assert repr(formula) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_group_column_is_named() -> None:
    with pytest.raises(InputError, match="no column 'absent'; it has prompt_id, document_id"):
        mixed(effects(), FORMULA, groups="absent")


@pytest.mark.parametrize("engine", ["auto", *ENGINES])
@pytest.mark.parametrize("column", ["effect", "below"])
def test_missing_values_are_refused(column: str, engine: str) -> None:
    frame = effects().copy()
    frame.loc[5, column] = np.nan
    with pytest.raises(InputError):
        mixed(frame, FORMULA, groups="document_id", engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_covariates_that_are_copies_of_each_other_are_refused(engine: str) -> None:
    frame = effects().assign(twice=lambda f: 2 * f["below"])
    with pytest.raises(InputError, match="cannot be fitted"):
        mixed(frame, "effect ~ below + twice", groups="document_id", engine=engine)


def test_a_frame_without_rows_is_refused() -> None:
    with pytest.raises(InputError):
        mixed(effects().iloc[:0], FORMULA, groups="document_id")


def estimates(frame: pd.DataFrame, formula: str = FORMULA, **options: Any) -> pd.Series:
    return mixed(frame, formula, **options).tidy().set_index("term")["estimate"]


def layered(seed: int = 3) -> pd.DataFrame:
    """Three layers, crossed with the prompts of ``effects``."""
    rng = np.random.default_rng(seed)
    parts = [effects().assign(layer=k, effect=effects()["effect"] + 0.3 * rng.standard_normal()) for k in range(3)]
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(effect=frame["effect"] + 0.2 * rng.standard_normal(len(frame)))


def test_the_exact_fit_equals_that_of_statsmodels() -> None:
    exact, general = (
        mixed(effects(), FORMULA, groups="document_id", re_formula="~ below", engine=engine) for engine in ENGINES
    )
    ours, theirs = exact.tidy(), general.tidy()
    np.testing.assert_allclose(ours["estimate"][:3], theirs["estimate"][:3], rtol=1e-6)
    np.testing.assert_allclose(ours["std_error"][:3], theirs["std_error"][:3], rtol=1e-4)
    found, expected = (terms.set_index("term")["estimate"] for terms in (ours, theirs))
    assert found["sd document_id Intercept"] == pytest.approx(expected["sd document_id"], rel=1e-3)
    assert found["sd document_id below"] == pytest.approx(expected["sd below"], rel=1e-3)
    assert found["sd residual"] == pytest.approx(expected["sd residual"], rel=1e-4)


def test_nested_and_crossed_exact_fits_equal_those_of_statsmodels() -> None:
    small = layered()[lambda f: f["document_id"] < 5]
    for options in ({"groups": ("document_id", "prompt_id")}, {"groups": "prompt_id", "crossed": "layer"}):
        exact, general = (estimates(small, engine=engine, **options) for engine in ENGINES)
        np.testing.assert_allclose(exact[:3], general[:3], rtol=1e-5)
        names = {"sd document_id Intercept": "sd document_id", "sd prompt_id Intercept": "sd prompt_id Intercept"}
        if "crossed" in options:
            names = {name: name for name in ("sd prompt_id Intercept", "sd layer Intercept")}
        for mine, other in (names | {"sd residual": "sd residual"}).items():
            assert exact[mine] == pytest.approx(general[other], rel=2e-3), mine


def test_terms_come_in_order_and_are_named_by_their_columns() -> None:
    result = mixed(layered(), FORMULA, crossed="layer", **NESTED)
    assert list(result.tidy()["term"]) == [
        "Intercept", "below", "above", "sd document_id Intercept", "sd prompt_id Intercept", "sd prompt_id below",
        "correlation prompt_id Intercept below", "sd layer Intercept", "sd residual",
    ]  # fmt: skip
    assert (result.n_documents, result.n_prompts) == (12, 24)
    assert result.notes[0].endswith(
        "random effects by document_id, prompt_id crossed with layer; balanced: exact, from sufficient statistics."
    )


def test_p_values_and_intervals_are_those_of_t_with_the_degrees_of_freedom_in_the_note() -> None:
    terms = mixed(effects(), FORMULA, groups="document_id", conf_level=0.9).tidy().iloc[:3]
    df = terms["note"].str.removesuffix(" df").astype(float)
    assert df.iloc[1] == pytest.approx(192 - 12 - 2, abs=0.1)
    np.testing.assert_allclose(terms["p_value"], 2 * stats.t.sf(terms["statistic"].abs(), df), rtol=0.05)
    half = stats.t.isf(0.05, df) * terms["std_error"]
    np.testing.assert_allclose(terms["conf_high"], terms["estimate"] + half, rtol=1e-3)
    normal = mixed(effects(), FORMULA, groups="document_id", df="normal").tidy().iloc[:3]
    np.testing.assert_allclose(normal["p_value"], 2 * stats.norm.sf(normal["statistic"].abs()))
    assert (normal["note"] == "").all()


def test_the_bootstrap_gives_every_term_an_interval_and_the_same_one_again() -> None:
    options: dict[str, Any] = {**NESTED, "df": "bootstrap", "n_boot": 400}
    one, other = (mixed(effects(), FORMULA, **options, seed=1) for _ in range(2))
    pd.testing.assert_frame_equal(one.tidy(), other.tidy())
    terms = one.tidy()
    assert terms[["std_error", "conf_low", "conf_high"]].notna().all(axis=None)
    assert (terms["conf_low"] <= terms["conf_high"]).all()
    exact = mixed(effects(), FORMULA, **NESTED).tidy().iloc[:3]
    np.testing.assert_allclose(terms["conf_low"].iloc[:3], exact["conf_low"], atol=0.25 * exact["std_error"].max())
    assert terms["p_value"].iloc[1] == pytest.approx(1 / 401)
    assert "400 parametric replicates" in one.notes[0]
    assert not mixed(effects(), FORMULA, **options, seed=2).tidy().equals(terms)


def test_maximum_likelihood_is_named_and_has_smaller_variances() -> None:
    for engine in ENGINES:
        full, restricted = (
            mixed(effects(), FORMULA, groups="document_id", reml=reml, engine=engine) for reml in (0, 1)
        )
        assert full.notes[0].startswith("ML, ")
        assert restricted.notes[0].startswith("REML, ")
        assert (full.tidy()["estimate"].iloc[3:] < restricted.tidy()["estimate"].iloc[3:]).all()


@lru_cache(maxsize=1)
def layered_estimates() -> pd.Series:
    return estimates(layered(), crossed="layer", **NESTED)


@settings(CHECKED, max_examples=10)
@given(seed=st.integers(0, 99))
def test_row_order_and_labels_do_not_matter(seed: int) -> None:
    moved = relabelled(layered().sample(frac=1, random_state=seed), seed)
    moved["prompt_id"] = "prompt " + moved["prompt_id"].astype(str)
    found = estimates(moved, crossed="layer", **NESTED)
    np.testing.assert_allclose(found, layered_estimates(), rtol=1e-5, atol=1e-8)


def test_prompts_may_be_numbered_within_their_document() -> None:
    frame = effects().assign(prompt_id=lambda f: f["prompt_id"] % 2)
    np.testing.assert_allclose(estimates(frame, **NESTED), estimates(effects(), **NESTED), rtol=1e-9)


def test_formulas_may_transform_and_quote_columns() -> None:
    frame = effects().rename(columns={"below": "rate below"}).assign(kind=lambda f: np.where(f["above"] > 0, "b", "a"))
    found = mixed(
        frame, "np.exp(effect) ~ center(Q('rate below')) + C(kind)", groups="prompt_id", engine="balanced"
    ).tidy()["estimate"]
    whole = frame.assign(
        y=np.exp(frame["effect"]), x=frame["rate below"] - frame["rate below"].mean(), late=frame["kind"] == "b"
    )
    design = np.column_stack([np.ones(len(whole)), whole["late"], whole["x"]])
    np.testing.assert_allclose(found[:3], np.linalg.lstsq(design, whole["y"], rcond=None)[0], rtol=1e-8)


def test_several_rows_of_one_dose_are_as_many_observations() -> None:
    # The prompts of a document as rows of one unit: in any order, the design repeats itself.
    frame = effects()
    expected = direct_fit()
    found = estimates(frame.sample(frac=1, random_state=3), groups="document_id", engine="balanced")
    assert found["sd document_id Intercept"] == pytest.approx(np.sqrt(expected.cov_re.iloc[0, 0]), rel=1e-4)


def test_documents_of_one_prompt_each_have_one_random_effect_for_both() -> None:
    frame = effects().drop_duplicates(["document_id", "below", "above"])
    result = mixed(frame, FORMULA, **NESTED)
    alone = mixed(frame, FORMULA, groups="document_id", re_formula="~ below")
    np.testing.assert_allclose(result.tidy()["estimate"], alone.tidy()["estimate"])
    assert "Every document_id holds one prompt_id: random effects of document_id stand for both." in result.notes


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f.iloc[1:], "the units differ in their number of rows"),
        (lambda f: f.assign(below=f["below"] + f["prompt_id"]), "the units differ in their values of 'below'"),
        (lambda f: f.assign(below=f["below"].where(f.index > 0, 0.4)), "the units differ in their rows of 'below'"),
        (lambda f: f.assign(below=f["below"].where(f.index > 0, 1.0)), "the units differ in their rows of"),
    ],
)
def test_unbalanced_data_are_fitted_by_statsmodels_and_the_note_says_why(change: Any, reason: str) -> None:
    frame = change(effects())
    result = mixed(frame, "effect ~ below", groups="prompt_id")
    assert f"fitted by statsmodels MixedLM (unbalanced: {reason}" in result.notes[0]
    with pytest.raises(InputError, match=reason):
        mixed(frame, "effect ~ below", groups="prompt_id", engine="balanced")


def test_unbalanced_crossed_data_of_many_rows_are_refused() -> None:
    frame = pd.concat([layered().assign(prompt_id=lambda f, k=k: f["prompt_id"] + 100 * k) for k in range(6)])
    with pytest.raises(InputError, match="at most 3000 rows"):
        mixed(frame.iloc[1:], FORMULA, groups="prompt_id", crossed="layer")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"groups": ()}, "at least one"),
        ({"groups": "prompt_id", "crossed": "prompt_id"}, "different columns"),
        ({"groups": "prompt_id", "crossed": "absent"}, "no column 'absent'"),
        ({"groups": "prompt_id", "re_formula": {"layer": "~ 1"}}, "re_formula names layer"),
        ({"groups": "prompt_id", "engine": "fast"}, "engine is 'fast'"),
        ({"groups": "prompt_id", "df": "exact"}, "df is 'exact'"),
        ({"groups": "prompt_id", "conf_level": 95}, "conf_level is 95"),
        ({"groups": "prompt_id", "n_boot": 0}, "n_boot is 0"),
        ({"groups": "prompt_id", "engine": "statsmodels", "df": "bootstrap"}, "needs a balanced design"),
        ({"groups": "prompt_id", "engine": "balanced", "vc_formula": {"a": "0 + C(above)"}}, "needs statsmodels"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        mixed(effects(), FORMULA, **options)


def test_random_effects_that_fit_everything_are_refused() -> None:
    frame = effects()[lambda f: f["below"] < 2].drop(columns="above")
    with pytest.raises(InputError, match="nothing is left over as residual"):
        mixed(frame, "effect ~ below", groups="prompt_id", re_formula="~ below")


def test_prompts_that_are_fewer_than_their_effects_are_refused() -> None:
    frame = effects()[lambda f: f["prompt_id"] < 2]
    with pytest.raises(InputError, match="need more than 2"):
        mixed(frame, FORMULA, groups="prompt_id", re_formula="~ below")


def test_a_prompt_in_a_layer_may_have_effects_of_its_own() -> None:
    # Layers that bend each prompt's curve in their own way: without these effects the slope's error is too small.
    rng = np.random.default_rng(8)
    cells = layered().groupby(["prompt_id", "layer"]).ngroup()
    frame = layered().assign(effect=lambda f: f["effect"] + 0.2 * rng.standard_normal(72)[cells] * f["below"])
    plain, own = (
        mixed(frame, FORMULA, groups="prompt_id", crossed="layer", re_formula=formula).tidy().set_index("term")
        for formula in ("~ 1", {"prompt_id:layer": "~ below"})
    )
    assert own.loc["sd prompt_id:layer below", "estimate"] == pytest.approx(0.2, rel=0.25)
    assert own.loc["below", "std_error"] > 1.5 * plain.loc["below", "std_error"]
    small = frame[lambda f: f["document_id"] < 3]
    random: dict[str, Any] = {"groups": "prompt_id", "crossed": "layer", "re_formula": {"prompt_id:layer": "~ 1"}}
    exact, general = (estimates(small, engine=engine, **random) for engine in ENGINES)
    assert exact["sd prompt_id:layer Intercept"] == pytest.approx(general["sd prompt_id:layer Intercept"], rel=1e-2)
