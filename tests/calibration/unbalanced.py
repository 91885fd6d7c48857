"""Do the intervals cover where cells are missing? Frames with gaps, through the package's own functions."""

from collections import defaultdict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import ripplestats as rs
from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.curves import Floats
from tests.calibration.simulate import Scenario, doses, owners, population_curve, simulate_prompts, truths
from tests.calibration.tally import coverage_row, seeded

#: The part of the cells that is missing at random; besides, every other prompt has every other dose only.
MISSING = 0.2
#: Of what is not inverted and is not looked at here.
_RESAMPLES = 50
_QUANTITIES = ("threshold", "plateau", "core_fraction_0.5", "core_fraction_0.8", "core_fraction_0.9")


def unbalanced_coverage(scenario: Scenario, n_sets: int) -> pd.DataFrame:
    """Return a row a quantity: how often the interval that the package gives by itself holds the truth."""
    rng = seeded(f"{scenario.name} unbalanced")
    found: dict[str, list[Floats]] = defaultdict(list)
    for _ in range(n_sets):
        for name, numbers in estimated(frame_with_gaps(scenario, rng)).items():
            found[name].append(numbers)
    truth = truths_with_gaps(scenario)
    return pd.DataFrame(
        [coverage_row(scenario, name, "default", np.stack(found[name], axis=1), truth[name]) for name in _QUANTITIES]
    )


def frame_with_gaps(scenario: Scenario, rng: np.random.Generator) -> pd.DataFrame:
    """Return one data set, a row for each cell that is there."""
    values, owner = simulate_prompts(scenario, 1, rng)[0], owners(scenario)
    prompt, dose = np.nonzero(_planned(values.shape) & (rng.random(values.shape) >= MISSING))
    return pd.DataFrame({"document": owner[prompt], "dose": doses()[dose], "effect": values[prompt, dose]})


def _planned(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    prompts, places = np.indices(shape)
    planned: NDArray[np.bool_] = (prompts % 2 == 0) | (places % 2 == 0)
    return planned


def estimated(frame: pd.DataFrame) -> dict[str, Floats]:
    """Return estimate and limits (3,) of each quantity."""
    columns = {"y": "effect", "x": "dose", "cluster": "document"}
    fits = [estimate(frame, **columns, n_boot=_RESAMPLES).tidy() for estimate in (rs.segmented, rs.core_fraction)]
    terms = pd.concat(fits).set_index("term")[["estimate", "conf_low", "conf_high"]]
    return {name: terms.loc[name].to_numpy(float) for name in _QUANTITIES}


def truths_with_gaps(scenario: Scenario) -> dict[str, float]:
    """Return what is estimated: the break of the least-squares line in which a dose counts as often as it is there.

    The plateau and a core fraction of a curve that rises do not depend on that.
    """
    x = doses()
    expected = _planned((2, len(x))).mean(axis=0)
    threshold = BreakDesign(x, expected).fit(population_curve(scenario, x)[None]).breakpoint[0]
    return truths(scenario) | {"threshold": float(threshold)}
