"""Every estimator of frames on frames that say the same: other names and order, each document twice, other units.

What single estimators keep beyond this is in their own tests.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ripplestats as rs
from tests.fits.frames import document_twice, noisy_frame, relabelled

COLUMNS = {"y": "effect", "x": "rate"}
CLUSTERED = {**COLUMNS, "cluster": "document_id", "n_boot": 20}
#: Few, for some of the estimators take a tenth of a second.
FEW = settings(max_examples=1, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 999)


def _moderators(frame: pd.DataFrame) -> rs.FitResult:
    # A covariate that goes with the curve, whatever the prompt is called.
    level = frame.groupby("prompt_id")["effect"].transform("max").rename("level") / frame["effect"].abs().max()
    prompts = frame.assign(level=level).drop_duplicates("prompt_id")[["prompt_id", "level"]]
    return rs.moderators(
        frame, prompts, covariates=["level"], slope_up_to=float(frame["rate"].quantile(0.5)), **COLUMNS
    )


#: Each with the terms that are numbers of effect, of dose, or of effect per dose.
ESTIMATORS: dict[str, Callable[[pd.DataFrame], rs.FitResult]] = {
    "segmented": lambda frame: rs.segmented(frame, **CLUSTERED),
    "two breaks": lambda frame: rs.segmented(frame, breaks=2, **CLUSTERED),
    "core fraction": lambda frame: rs.core_fraction(frame, **CLUSTERED),
    "exponential": lambda frame: rs.core_fraction(frame, curve="exponential", **CLUSTERED),
    "break test": lambda frame: rs.break_test(frame, **CLUSTERED),
    "equivalence": lambda frame: rs.equivalence(frame, at=(0.1, 0.9), margin=1.0, **CLUSTERED),
    "segmented mixed": lambda frame: rs.segmented_mixed(
        frame, group="prompt_id", cluster="document_id", law="simple", method="ml", **COLUMNS
    ),
    "mixed": lambda frame: rs.mixed(frame, "effect ~ rate", groups="prompt_id"),
    "moderators": _moderators,
}
#: Of these, terms that a copy of every document changes: variances lose degrees of freedom, or are not there.
_OF_SAMPLE_SIZE = ("sd_", "residual", "variance", "log_likelihood")


def found(fit: Callable[[pd.DataFrame], rs.FitResult], frame: pd.DataFrame) -> "pd.Series[float]":
    terms = fit(frame).tidy()
    return terms.set_index("term")["estimate"].astype(float)


@pytest.mark.parametrize("name", ESTIMATORS)
@FEW
@given(seed=SEEDS)
def test_neither_names_nor_the_order_of_rows_matter(name: str, seed: int) -> None:
    frame = noisy_frame(seed, n_documents=12, sizes=(1, 2))
    changed = relabelled(frame, seed).sample(frac=1, random_state=seed)
    pd.testing.assert_series_equal(found(ESTIMATORS[name], changed), found(ESTIMATORS[name], frame), rtol=2e-5)


@pytest.mark.parametrize("name", ESTIMATORS)
@FEW
@given(seed=SEEDS)
def test_a_copy_of_every_document_changes_no_estimate(name: str, seed: int) -> None:
    frame = noisy_frame(seed, n_documents=12, sizes=(1, 2))
    once, twice = (found(ESTIMATORS[name], one) for one in (frame, document_twice(frame)))
    kept = [term for term in once.index if not str(term).startswith(_OF_SAMPLE_SIZE)]
    assert len(kept) > 0
    pd.testing.assert_series_equal(twice[kept], once[kept], rtol=1e-2 if name == "moderators" else 2e-5)


@pytest.mark.parametrize("name", ESTIMATORS)
@FEW
@given(seed=SEEDS)
def test_the_unit_of_the_effect_scales_estimates_or_leaves_them(name: str, seed: int) -> None:
    frame = noisy_frame(seed, n_documents=12, sizes=(1, 2))
    before, after = (found(ESTIMATORS[name], frame.assign(effect=unit * frame["effect"])) for unit in (1.0, 4.0))
    ratio = (after / before)[before.abs() > 1e-9].to_numpy()
    # Units of effect, or of doses and correlations.
    assert (np.isclose(ratio, 4.0, rtol=1e-4) | np.isclose(ratio, 1.0, rtol=1e-4)).all()


@pytest.mark.parametrize("test", ["break test", "equivalence"])
@FEW
@given(seed=SEEDS)
def test_p_values_know_no_units(test: str, seed: int) -> None:
    frame = noisy_frame(seed, n_documents=12, sizes=(1, 2))
    margin, unit = 0.3, 4.0
    fits: dict[str, Callable[[pd.DataFrame, float], rs.FitResult]] = {
        "break test": lambda data, _: rs.break_test(data, **{**CLUSTERED, "n_boot": 99}),
        "equivalence": lambda data, width: rs.equivalence(
            data, at=(0.1, 0.9), margin=width, **{**CLUSTERED, "n_boot": 99}
        ),
    }
    one = fits[test](frame, margin).tidy().iloc[0]
    shift = 0.5 if test == "break test" else 0.0
    other = fits[test](frame.assign(effect=unit * frame["effect"] + shift), unit * margin).tidy().iloc[0]
    assert other["p_value"] == one["p_value"]
    assert other["statistic"] == pytest.approx(one["statistic"], rel=1e-6)
