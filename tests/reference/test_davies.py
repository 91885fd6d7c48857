"""Davies' test against R's segmented::davies.test (davies.R, package segmented 1.6-2).

Tolerances:
- 1e-7 relative, statistic and p-value: the algorithm is the same. R inverts X'X, which squares the condition of a
  design whose hinge holds two of 31 doses, and small p-values magnify what that loses; the rest is 1e-9.
- 1e-12 relative, the breaks tried: the same sequence of numbers. The best break of R has to have our best statistic,
  not to be our best: breaks between the same last two doses share their statistic.
"""

import numpy as np
import pytest

from ripplestats.hypotheses.davies import LARGE, davies, davies_test
from tests.reference.ours import rows_of_davies, table

THEIRS = table("davies")


@pytest.mark.parametrize("place", range(len(THEIRS)))
def test_the_p_value_is_that_of_davies_test(place: int) -> None:
    theirs = THEIRS.iloc[place]
    frame = rows_of_davies(theirs["set"], theirs["rows"])
    assert len(frame) == theirs["n"]
    k, alternative = int(theirs["k"]), theirs["alternative"].replace(".", "-")
    ours = davies_test(frame, y="effect", x="rate", k=k, alternative=alternative).tidy().iloc[0]
    assert ours["p_value"] == pytest.approx(theirs["p_value"], rel=1e-7)
    assert ours["statistic"] == pytest.approx(theirs["statistic"], rel=1e-7)
    found = davies(frame["rate"].to_numpy(), frame["effect"].to_numpy(), k, alternative)
    assert len(found.breaks) == theirs["tried"]
    same = np.abs(found.breaks - theirs["best"]).argmin()
    assert found.breaks[same] == pytest.approx(theirs["best"], rel=1e-12)
    assert found.statistics[same] == pytest.approx(ours["statistic"], rel=1e-7)


def test_the_references_reach_both_bounds_and_both_types() -> None:
    assert (THEIRS["n"] <= LARGE).any()
    assert (THEIRS["n"] > LARGE).any()
    # The type means nothing for a linear model: on an lm R ignores it, on a Gaussian glm both are the t statistic.
    large = THEIRS[(THEIRS["n"] > LARGE) & (THEIRS["rows"] == "all") & (THEIRS["k"] == 10)]
    two_sided = large[large["alternative"] == "two.sided"].groupby("set")
    assert (two_sided["type"].nunique() == 2).all()
    assert (two_sided["model"].nunique() == 2).all()
    assert np.allclose(two_sided["p_value"].max(), two_sided["p_value"].min(), rtol=1e-9)
