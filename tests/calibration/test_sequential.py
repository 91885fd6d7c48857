"""The fast tier of stopping at a width: the package's rule covers, and one that stops where the truth is near does not."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tests.calibration import sequential
from tests.calibration.scenarios import sequential_scenarios
from tests.calibration.sequential import CHOSEN, RULES, Looks, draw_looks, look_documents, sequential_coverage
from tests.calibration.simulate import Scenario, truths

SETS = 200
#: As in test_fast.py: once in 2,000 times by chance.
RARE = 1 / 2000
SCENARIO = Scenario("clear", 99, 0.05, noise=0.3)
WIDTH = 0.0095
_ROUNDING = 1e-12


@pytest.fixture(scope="module")
def looks() -> Looks:
    return draw_looks(SCENARIO, SETS, np.random.default_rng(11))


def misses(looks: Looks, end: NDArray[np.intp]) -> int:
    at, truth = (np.arange(SETS), end), truths(SCENARIO)["threshold"]
    return int(((looks.low[at] > truth + _ROUNDING) | (looks.high[at] < truth - _ROUNDING)).sum())


def test_the_interval_at_the_stop_covers(looks: Looks) -> None:
    end = RULES[CHOSEN](looks, WIDTH)
    least, most = stats.binom.ppf(RARE, SETS, 0.05), stats.binom.isf(RARE, SETS, 0.05)
    assert len(set(end.tolist())) >= 3, "runs end at different looks"
    assert least <= misses(looks, end) <= most


def test_stopping_for_where_the_interval_lies_is_found(looks: Looks) -> None:
    """The mutation: the run ends as soon as its interval excludes a value, as one that waits for a result would."""
    value = truths(SCENARIO)["threshold"]
    significant = (looks.low > value) | (looks.high < value)
    end = np.where(significant.any(axis=1), significant.argmax(axis=1), len(looks.documents) - 1)
    assert misses(looks, end) > stats.binom.isf(RARE, SETS, 0.05)


def test_the_reported_interval_is_never_wider_than_asked(looks: Looks) -> None:
    end = RULES[CHOSEN](looks, WIDTH)
    stopped = end < len(looks.documents) - 1
    assert stopped.mean() > 0.5
    assert (looks.width[np.arange(SETS), end][stopped] <= WIDTH).all()
    further = RULES["one further look"](looks, WIDTH)
    assert (looks.width[np.arange(SETS), further] > WIDTH).any()


def test_looks_are_those_of_the_package() -> None:
    assert look_documents(100) == [32, 40, 50, 63, 79, 99]
    assert look_documents(sequential.MOST_DOCUMENTS)[-1] == sequential.MOST_DOCUMENTS


def test_tables_do_not_depend_on_when_they_are_made() -> None:
    scenario = Scenario("clear", 50, noise=0.3)
    assert sequential_coverage(scenario, 5).equals(sequential_coverage(scenario, 5))
    assert len(sequential_scenarios(50)) == 11
