"""Two one-sided t tests over documents against t.test and a cluster-robust lm intercept (equivalence.R, sandwich 3.0-2).

R's tests are by the t distribution, and so are ours of a contrast without replicates. ``equivalence`` has the same
estimates and standard errors and takes the tail from sign flips of documents' scores: its p-values are held to R's only in what
both must agree on.

Tolerances:
- 1e-10 relative, estimate, standard error, statistic, limits: sums of the same few numbers; the estimates are
  differences of means of order 1 and may be a hundredth of these.
- 1e-9 relative, p-value of the t test: the tail of the t distribution of the above, by two libraries.
- .03 absolute, p-value of ``equivalence`` where R's is below .1: Monte-Carlo error (at most .006 of 2,000 sign flips) and
  what a score corrected for skewness differs from t with 15 or 18 documents. Where R's is larger, so is ours: far from
  the 5 % that the score is made for, two tests that are both exact need not order samples alike.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ripplestats.fits.contrasts import contrast_of_doses
from ripplestats.fits.curves import document_curves
from ripplestats.hypotheses.equivalence import equivalence

HERE = Path(__file__).parent
ROWS = pd.read_csv(HERE / "equivalence_data.csv")
THEIRS = pd.read_csv(HERE / "equivalence.csv")


@pytest.mark.parametrize("margin", THEIRS["margin"].unique())
@pytest.mark.parametrize("name", THEIRS["set"].unique())
def test_the_t_tests_are_those_of_r(name: str, margin: float) -> None:
    curves = document_curves(ROWS[ROWS["set"] == name], y="effect", x="rate", cluster="document_id", by="layer")
    found = contrast_of_doses(curves, np.array([-1.0, 0.0, 1.0]))
    theirs = THEIRS[(THEIRS["set"] == name) & (THEIRS["margin"] == margin)].set_index("layer").loc[list(found.groups)]
    statistic, p_value = found.two_one_sided_tests(margin)
    low, high = found.interval(0.9)
    ours = {"estimate": found.estimate, "std_error": found.std_error, "statistic": statistic, "conf_low": low}
    for column, values in (ours | {"conf_high": high}).items():
        np.testing.assert_allclose(values, theirs[column], rtol=1e-10)
    np.testing.assert_allclose(p_value, theirs["p_value"], rtol=1e-9)


@pytest.mark.parametrize("margin", THEIRS["margin"].unique())
@pytest.mark.parametrize("name", THEIRS["set"].unique())
def test_equivalence_has_the_estimates_and_nearly_the_p_values_of_r(name: str, margin: float) -> None:
    frame = ROWS[ROWS["set"] == name]
    result = equivalence(frame, y="effect", x="rate", cluster="document_id", by="layer", at=(0.1, 0.9), margin=margin)
    ours = result.tidy().set_index("layer")
    theirs = THEIRS[(THEIRS["set"] == name) & (THEIRS["margin"] == margin)].set_index("layer").loc[ours.index]
    np.testing.assert_allclose(ours[["estimate", "std_error"]], theirs[["estimate", "std_error"]], rtol=1e-10)
    small = theirs["p_value"] < 0.1
    np.testing.assert_allclose(ours["p_value"][small], theirs["p_value"][small], rtol=0, atol=0.03)
    assert (ours["p_value"][~small] > 0.1).all()


def test_the_references_hold_both_outcomes_and_both_designs() -> None:
    sizes = ROWS.groupby(["set", "document_id"])["prompt_id"].nunique().groupby("set").nunique()
    assert dict(sizes) == {"equal": 1, "unequal": 3}
    for _, cases in THEIRS.groupby("set"):
        assert (cases["p_value"] < 0.05).any()
        assert (cases["p_value"] > 0.05).any()
