"""Every estimator of frames on frames that say the same: other names and order, each document twice.

What single estimators keep beyond this is in their own tests.
"""

from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ripplestats as rs
from tests.fits.frames import document_twice, noisy_frame, relabelled

COLUMNS = {"y": "effect", "x": "rate"}
CLUSTERED = {**COLUMNS, "cluster": "document_id", "n_boot": 20}
#: Few, for some of the estimators take a tenth of a second.
FEW = settings(max_examples=2, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(0, 999)


def _moderators(frame: pd.DataFrame) -> rs.FitResult:
    # A covariate that goes with the curve, whatever the prompt is called.
    level = frame.groupby("prompt_id")["effect"].transform("max").rename("level") / frame["effect"].abs().max()
    prompts = frame.assign(level=level).drop_duplicates("prompt_id")[["prompt_id", "level"]]
    return rs.moderators(
        frame, prompts, covariates=["level"], slope_up_to=float(frame["rate"].quantile(0.5)), **COLUMNS
    )


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
#: Of these, the ones that see means of documents alone.
OF_MEANS = ("segmented", "two breaks", "core fraction", "exponential", "break test", "equivalence")


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


@pytest.mark.parametrize("name", OF_MEANS)
@FEW
@given(seed=SEEDS)
def test_a_copy_of_every_document_changes_no_estimate(name: str, seed: int) -> None:
    frame = noisy_frame(seed, n_documents=12, sizes=(1, 2))
    once, twice = (found(ESTIMATORS[name], one) for one in (frame, document_twice(frame)))
    pd.testing.assert_series_equal(twice, once, rtol=2e-5)
