"""``rs.mixed`` against nlme's lme (nlme.R): nested random effects by REML.

Tolerances: estimates and standard errors 1e-4, standard deviations of random effects 1e-3 relative (nlme stops at a relative
change of the likelihood of about 1e-9, near which the variances still move in the fourth digit); log-likelihood to the
two digits that the note prints. Both are restricted likelihoods on the same scale.
"""

import re

import numpy as np
import pytest

from tests.reference.ours import NLME_OPTIONS, nlme_fit, table

THEIRS = table("nlme")


@pytest.mark.parametrize("model", list(NLME_OPTIONS))
def test_estimates_variances_and_likelihood(model: str) -> None:
    result = nlme_fit(model)
    ours = result.tidy().set_index("term")
    theirs = THEIRS[THEIRS["model"] == model].set_index("term")
    fixed = ["Intercept", "below", "above"]
    np.testing.assert_allclose(
        ours.loc[fixed, ["estimate", "std_error"]], theirs.loc[fixed, ["estimate", "std_error"]], rtol=1e-4
    )
    spreads = [term for term in theirs.index if term.startswith("sd ")]
    assert len(spreads) == 3
    np.testing.assert_allclose(ours.loc[spreads, "estimate"], theirs.loc[spreads, "estimate"], rtol=1e-3)
    said = re.search(r"log-likelihood (-?[\d.]+)", " ".join(result.notes))
    assert said is not None
    assert float(said[1]) == pytest.approx(
        theirs.loc["log-likelihood", "estimate"], abs=6e-3
    )  # printed with two digits
