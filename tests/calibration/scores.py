"""How the growth of the sign-flip scores was chosen: sizes and power on populations that no null of ``nulls.py`` holds.

Documents are drawn independently, alike or with 1, 2, 3, 4, 1, … prompts. Both sides of each population are tested. Power is
that against a mean of two standard errors, where the t test's size is right as well: under symmetry.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from ripplestats.fits.bootstrap import flip_signs
from ripplestats.fits.contrasts import contrast
from ripplestats.fits.curves import Floats
from ripplestats.fits.sign_flips import sign_flips
from tests.calibration.tally import ALPHA, seeded

GROWTHS = (0.0, 4.0, 6.0, 8.0, 10.0, 12.0)
DOCUMENTS = (10, 15, 30, 100, 300)
#: Standard errors by which the mean of symmetric populations is shifted for power.
SHIFT = 2.0
_SETS_AT_ONCE = 50

Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]


def _log_normal(spread: float) -> Draw:
    mean = np.exp(spread**2 / 2)
    sd = mean * np.sqrt(np.expm1(spread**2))
    return lambda rng, shape: (np.exp(spread * rng.standard_normal(shape)) - mean) / sd


def _student(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return rng.standard_t(3, shape) / np.sqrt(3)


#: Of mean 0 and standard deviation 1.
SKEWED: Mapping[str, Draw] = {
    "exponential": lambda rng, shape: rng.standard_exponential(shape) - 1,
    "gamma, shape 4": lambda rng, shape: (rng.gamma(4, 1, shape) - 4) / 2,
    "log-normal, 0.5": _log_normal(0.5),
    "log-normal, 1": _log_normal(1.0),
    "exponential and t(3)": lambda rng, shape: (
        (rng.standard_exponential(shape) - 1 + _student(rng, shape)) / np.sqrt(2)
    ),
}
SYMMETRIC: Mapping[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "Laplace": lambda rng, shape: rng.laplace(size=shape) / np.sqrt(2),
    "t(3)": _student,
}


def scores(population: str, n_documents: int, n_sets: int, n_flips: int) -> pd.DataFrame:
    """Return a row a test (t, or sign flips with each growth) and weighting: shares rejected on either side."""
    rng = seeded(f"scores {population} {n_documents}")
    skewed = population in SKEWED
    values = (SKEWED if skewed else SYMMETRIC)[population](rng, (n_documents, n_sets))
    rows = []
    for kind, weights in (("equal", np.ones(n_documents)), ("1 to 4", 1.0 + np.arange(n_documents) % 4)):
        shift = 0.0 if skewed else SHIFT * np.sqrt((weights**2).sum()) / weights.sum()
        signs = [flip_signs(n_documents, n_flips, rng) for _ in range(-(-n_sets // _SETS_AT_ONCE))]
        names = {"population": population, "weights": kind, "documents": n_documents, "shift": 0.0 if skewed else SHIFT}
        above, below = (values + shift, values - shift)
        found = {"t": (_by_t(above, weights)[0], _by_t(below, weights)[1])}
        for growth in GROWTHS:
            found[f"G={growth:g}"] = tuple(
                _by_flips(one, weights, signs, growth)[side] for side, one in enumerate((above, below))
            )
        rows += [{**names, "test": test, "sets": n_sets, **_shares(*both)} for test, both in found.items()]
    return pd.DataFrame(rows)


def _by_t(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    found = contrast(values, weights, tuple(range(values.shape[1])))
    return found.greater_than(0.0)[1], found.less_than(0.0)[1]


def _by_flips(values: Floats, weights: Floats, signs: list[Floats], growth: float) -> tuple[Floats, Floats]:
    parts = np.array_split(values, len(signs), axis=1)
    tests = [sign_flips(part, weights, own, growth=growth) for part, own in zip(parts, signs, strict=True)]
    above, below = ([getattr(test, side)().p_value for test in tests] for side in ("above_zero", "below_zero"))
    return np.concatenate(above), np.concatenate(below)


def _shares(above: Floats, below: Floats) -> dict[str, float]:
    shares = {"above": float((above <= ALPHA).mean()), "below": float((below <= ALPHA).mean())}
    worst = max(shares.values(), key=lambda share: share * (1 - share))
    return {**shares, "error": float(np.sqrt(worst * (1 - worst) / len(above)))}
