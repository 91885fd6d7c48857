"""Every estimator of frames on frames that say the same: other units, other names, another order, copies, constants of prompts.

What a term is decides what becomes of it: ``POWERS`` are those of the units of effect and dose in it. Estimates, standard
errors, limits and p-values are held to that, by 1e-6 relative; to 1e-4 for mixed models, whose optimiser ends at about 1e-6.

Held elsewhere: ``segmented_mixed``, whose optimiser takes seconds (``tests/fits/test_segmented_mixed.py``); ``claims`` and
``specification_curve``, whose frames have layers and arms (``tests/hypotheses/test_run_claims.py``,
``tests/fits/test_specifications.py``); ``plan_interval`` (``tests/fits/planning/test_design.py``).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ripplestats as rs
from tests.fits.frames import document_twice, noisy_frame, relabelled

FEW = settings(max_examples=2, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 999)
#: Powers of the units of effect and dose in a term, by how its name starts.
POWERS = {
    "threshold": (0, 1), "break": (0, 1), "core_fraction": (0, 1), "core:": (0, 1),
    "slope": (1, -1), "rate": (1, -1),
    "intercept": (1, 0), "Intercept": (1, 0), "plateau": (1, 0), "difference": (1, 0), "sd ": (1, 0),
}  # fmt: skip
#: A constant added to all effects is added to these.
LEVELS = ("intercept", "Intercept", "plateau")
NUMBERS = ["estimate", "std_error", "conf_low", "conf_high"]


@dataclass(frozen=True)
class Units:
    """What one unit of effect and of dose has become."""

    effect: float = 1.0
    dose: float = 1.0


Fit = Callable[[pd.DataFrame, Units], rs.FitResult]


def _with(estimator: Callable[..., rs.FitResult], **options: object) -> Fit:
    """An estimator whose options have no unit."""
    return lambda frame, _: estimator(frame, y="effect", x="rate", **options)


def _clustered(estimator: Callable[..., rs.FitResult], **options: object) -> Fit:
    return _with(estimator, cluster="document_id", n_boot=20, **options)


def _core(curve: str) -> Fit:
    return lambda frame, units: _clustered(rs.core_fraction, curve=curve, plateau=(0.1 * units.dose, 0.9 * units.dose))(
        frame, units
    )


def _moderators(frame: pd.DataFrame, units: Units) -> rs.FitResult:
    prompts = frame.drop_duplicates("prompt_id")[["prompt_id", "high"]]
    plateau = (0.1 * units.dose, 0.9 * units.dose)
    return _with(
        rs.moderators, prompts=prompts, covariates=["high"], slope_up_to=0.03 * units.dose, plateau=plateau
    )(frame, units)  # fmt: skip


def _equivalence(frame: pd.DataFrame, units: Units) -> rs.FitResult:
    at = (0.1 * units.dose, 0.9 * units.dose)
    return _clustered(rs.equivalence, at=at, margin=0.3 * units.effect)(frame, units)


def _with_gaps(fit: Fit) -> Fit:
    return lambda frame, units: fit(frame[~frame["lost"]], units)


ESTIMATORS: dict[str, Fit] = {
    "segmented": _clustered(rs.segmented),
    "segmented, log dose": _clustered(rs.segmented, scale="log"),
    "segmented, level above": _clustered(rs.segmented, level_above=True),
    "segmented, Wald": _clustered(rs.segmented, interval="wald"),
    "two breaks": _clustered(rs.segmented, breaks=2),
    "breaks by BIC": _clustered(rs.segmented, breaks="bic"),
    "breaks by cross-validation": _clustered(rs.segmented, breaks="cv"),
    "core fraction": _core("isotonic"),
    "exponential": _core("exponential"),
    "hill": _core("hill"),
    "break test": _clustered(rs.break_test),
    "davies": _with(rs.davies_test),
    "equivalence": _equivalence,
    "moderators": _moderators,
    "mixed": lambda frame, _: rs.mixed(frame, "effect ~ rate", groups="prompt_id", reml=False),
}
WITH_GAPS = (
    "segmented",
    "two breaks",
    "core fraction",
    "exponential",
    "break test",
    "equivalence",
    "moderators",
)
ESTIMATORS |= {f"{name}, gaps": _with_gaps(ESTIMATORS[name]) for name in WITH_GAPS}
#: Their curves start at zero: a constant added to all effects bends them, and a curve that falls has no core.
FROM_ZERO = [name for name in ESTIMATORS if name.startswith(("core", "exponential", "hill"))]
AFFINE = [name for name in ESTIMATORS if name not in FROM_ZERO]


def made(seed: int) -> pd.DataFrame:
    """Prompts in documents of one or two, a second bend at 0.3, a covariate, and a mark on a tenth of the rows."""
    frame = noisy_frame(seed, n_documents=12, sizes=(1, 2))
    rng = np.random.default_rng(seed)
    frame["effect"] -= 2 * np.maximum(frame["rate"] - 0.3, 0)
    high = rng.permutation(frame["prompt_id"].nunique()) % 2 == 0
    frame = frame.assign(high=high[frame["prompt_id"]], lost=rng.random(len(frame)) < 0.1)
    frame["effect"] *= np.where(frame["high"], 1.3, 1.0)
    return frame


def found(name: str, frame: pd.DataFrame, units: Units | None = None) -> pd.DataFrame:
    return ESTIMATORS[name](frame, units or Units()).tidy().set_index("term")


def powers(name: str, term: str) -> tuple[int, int]:
    effect, dose = next(powers for start, powers in POWERS.items() if term.startswith(start))
    # The slope on a logarithm is per factor of the dose.
    return (effect, 0) if "log dose" in name and effect else (effect, dose)


def same(name: str, terms: pd.DataFrame, expected: pd.DataFrame, columns: list[str]) -> None:
    tolerance = 1e-4 if name == "mixed" else 1e-6
    assert terms.index.equals(expected.index)
    # A number of breaks that was chosen may be one that noise asks for, and then undefined.
    assert terms["estimate"].notna().any() or name.startswith("breaks by")
    for column in columns:
        size = float(np.nanmax(np.abs(expected[column].to_numpy(float)), initial=0.0))
        np.testing.assert_allclose(
            terms[column].astype(float),
            expected[column].astype(float),
            rtol=tolerance,
            atol=1e-9 * size,
            err_msg=column,
        )


def in_units(name: str, terms: pd.DataFrame, units: Units, shift: float = 0.0) -> pd.DataFrame:
    """What terms become where effects are multiplied by one unit and moved, and doses multiplied by the other."""
    terms = terms.copy()
    for term in terms.index:
        effect, dose = powers(name, term)
        terms.loc[term, NUMBERS] *= units.effect**effect * units.dose**dose
        if term in LEVELS:
            terms.loc[term, ["estimate", "conf_low", "conf_high"]] += shift
        positive = NUMBERS if term.startswith("sd ") else ["std_error"]
        terms.loc[term, positive] = abs(terms.loc[term, positive])
    limits = np.sort(terms[["conf_low", "conf_high"]].to_numpy(float), axis=1)
    return terms.assign(conf_low=limits[:, 0], conf_high=limits[:, 1])


@pytest.mark.parametrize("name", AFFINE)
@FEW
@given(seed=SEEDS, shift=st.floats(-5, 5), scale=st.floats(0.1, 10), sign=st.sampled_from([-1, 1]))
def test_an_affine_map_of_the_effects_maps_every_term(
    name: str, seed: int, shift: float, scale: float, sign: int
) -> None:
    frame, units = made(seed), Units(effect=scale)
    mapped = found(name, frame.assign(effect=shift + sign * scale * frame["effect"]), units)
    plain = found(name, frame)
    # The core of a prompt is a property of its curve from zero, too.
    kept = [term for term in plain.index if not term.startswith("core:")]
    expected = in_units(name, plain.loc[kept], Units(effect=sign * scale), shift)
    same(name, mapped.loc[kept], expected, NUMBERS)
    # Whether a level is zero depends on where zero is.
    tested = [term for term in kept if term not in LEVELS and not term.startswith("sd ")]
    same(name, mapped.loc[tested], expected.loc[tested], ["p_value"])


@pytest.mark.parametrize("name", [*FROM_ZERO, "moderators", "moderators, gaps"])
@FEW
@given(seed=SEEDS, scale=st.floats(0.01, 100))
def test_another_unit_of_the_effects_scales_every_term(name: str, seed: int, scale: float) -> None:
    frame, units = made(seed), Units(effect=scale)
    mapped = found(name, frame.assign(effect=scale * frame["effect"]), units)
    same(name, mapped, in_units(name, found(name, frame), units), [*NUMBERS, "p_value"])


@pytest.mark.parametrize("name", ESTIMATORS)
@FEW
@given(seed=SEEDS, scale=st.floats(0.01, 100))
def test_another_unit_of_the_doses_scales_every_term(name: str, seed: int, scale: float) -> None:
    frame, units = made(seed), Units(dose=scale)
    plain, mapped = found(name, frame), found(name, frame.assign(rate=scale * frame["rate"]), units)
    if "log dose" in name:
        # Where the logarithm is zero, the line has another height.
        plain, mapped = plain.drop(index="intercept"), mapped.drop(index="intercept")
    same(name, mapped, in_units(name, plain, units), [*NUMBERS, "p_value"])


@pytest.mark.parametrize("name", ESTIMATORS)
@FEW
@given(seed=SEEDS)
def test_the_order_of_rows_changes_nothing(name: str, seed: int) -> None:
    frame = made(seed)
    same(name, found(name, frame.sample(frac=1, random_state=seed)), found(name, frame), [*NUMBERS, "p_value"])


@pytest.mark.parametrize("name", ESTIMATORS)
@FEW
@given(seed=SEEDS)
def test_names_of_prompts_and_documents_change_no_estimate(name: str, seed: int) -> None:
    frame = made(seed)
    if "cross-validation" in name:
        # Documents are put into folds in the order of their names: an order that stays.
        changed = frame.assign(
            prompt_id=3 * frame["prompt_id"] + 7, document_id="d" + (frame["document_id"] + 50).astype(str)
        )
        same(name, found(name, changed), found(name, frame), NUMBERS)
    else:
        # In another order resamples and sign flips are of others, so that intervals and p-values differ.
        same(name, found(name, relabelled(frame, seed)), found(name, frame), ["estimate"])


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if "cross-validation" not in name])
@FEW
@given(seed=SEEDS)
def test_a_copy_of_every_document_changes_no_estimate(name: str, seed: int) -> None:
    frame = made(seed)
    once, twice = found(name, frame), found(name, document_twice(frame))
    # A pseudo-value leaves out one prompt, of twice as many.
    kept = [term for term in once.index if not term.startswith("core:")]
    same(name, twice.loc[kept], once.loc[kept], ["estimate"])


@pytest.mark.parametrize(
    "name", ["segmented", "segmented, log dose", "segmented, level above", "segmented, Wald", "two breaks", "breaks by BIC",
             "breaks by cross-validation", "break test", "equivalence", "moderators", "mixed"],
)  # fmt: skip
@FEW
@given(seed=SEEDS)
def test_a_constant_of_each_prompt_moves_neither_breaks_nor_slopes(name: str, seed: int) -> None:
    frame = made(seed)
    constants = np.random.default_rng(seed).normal(0, 3, frame["prompt_id"].nunique())
    moved = found(name, frame.assign(effect=frame["effect"] + constants[frame["prompt_id"]]))
    plain = found(name, frame)
    kept = [term for term in plain.index if term.startswith(("threshold", "break", "slope", "rate", "difference"))]
    assert kept
    same(name, moved.loc[kept], plain.loc[kept], ["estimate"] if name == "mixed" else [*NUMBERS, "p_value"])
