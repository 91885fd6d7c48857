"""The isotonic curve and the core fraction against R's isoreg (isotonic.R, base R).

Tolerances:
- 1e-12 absolute, isotonic curve (effects of order 1): both are exact up to the rounding of means. Ours is held to start
  at zero, so R's is cut there: truncation is what a bound does to an isotonic fit.
- 1e-12 relative, plateau: a weighted sum of the same numbers.
- 1e-9 relative, core fraction: a quotient of differences of the above.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ripplestats.fits.saturation import first_dose_reaching, isotonic, plateau_weights

HERE = Path(__file__).parent
CURVES = pd.read_csv(HERE / "isotonic.csv")
CORE = pd.read_csv(HERE / "isotonic_core.csv")


@pytest.mark.parametrize("name", CURVES["curve"].unique())
def test_the_curve_is_that_of_isoreg_cut_at_zero(name: str) -> None:
    curve = CURVES[CURVES["curve"] == name]
    ours = isotonic(curve["effect"].to_numpy()[None], np.ones(len(curve)))[0]
    np.testing.assert_allclose(ours, np.maximum(curve["isotonic"], 0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CURVES["curve"].unique())
def test_plateau_and_core_fraction_are_those_of_isoreg(name: str) -> None:
    curve, core = (frame[frame["curve"] == name] for frame in (CURVES, CORE))
    x, y = curve["rate"].to_numpy(), curve["effect"].to_numpy()[None]
    plateau = y @ plateau_weights(x)
    np.testing.assert_allclose(np.repeat(plateau, len(core)), core["plateau"], rtol=1e-12)
    ours = first_dose_reaching(isotonic(y, np.ones(len(x))), x, plateau[:, None] * core["share"].to_numpy())
    np.testing.assert_allclose(ours[0], core["core_fraction"], rtol=1e-9)


def test_the_bound_at_zero_and_the_pooling_are_at_work() -> None:
    assert (CURVES["isotonic"] < 0).any()
    assert (CURVES.groupby("curve")["isotonic"].nunique() < 31).all()
