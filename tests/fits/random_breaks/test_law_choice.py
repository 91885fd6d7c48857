"""Which law is fitted: the general one where it tells a threshold, else the simple one, and never in silence."""

from dataclasses import replace

import numpy as np
import pytest

from ripplestats.errors import InputError
from ripplestats.fits.random_breaks import law_choice
from ripplestats.fits.random_breaks.law_choice import fit_by_law
from ripplestats.fits.random_breaks.layout import GENERAL, SIMPLE, Law
from ripplestats.fits.random_breaks.model import BreakModel, fit_break_model
from tests.fits.random_breaks.test_general_law import X, simulated


def wide(n: int = 40) -> np.ndarray:
    """Curves whose breaks differ so much that many lie below the least dose."""
    rng = np.random.default_rng(0)
    breaks = np.exp(-0.5 + 3.0 * rng.standard_normal((n, 1)))
    level = rng.gamma(4, 0.25, (n, 1))
    return level * np.minimum(X / breaks, 1) + 0.02 * rng.standard_normal((n, len(X)))


def same(one: BreakModel, other: BreakModel) -> None:
    np.testing.assert_allclose(one.estimate, other.estimate, rtol=1e-9)
    np.testing.assert_allclose(one.std_error, other.std_error, rtol=1e-9)


def test_the_general_law_is_taken_where_it_tells_the_threshold() -> None:
    values = simulated(1)
    found = fit_by_law(values, X)
    assert found.law == GENERAL
    assert not any("law was fitted" in note for note in found.notes)
    same(found, fit_break_model(values, X, law=GENERAL))


def test_where_breaks_are_too_wide_for_the_general_law_the_simple_one_is_taken_and_why_is_said() -> None:
    values = wide()
    general, found = fit_by_law(values, X, law="general"), fit_by_law(values, X)
    assert general.undefined.startswith(
        "undefined: breaks differ more between prompts than the doses can tell; at the widest spread that is searched, a "
        "standard deviation of 1.5 in the logarithm, "
    )
    assert "and errors of neighbouring doses correlate" in general.undefined
    assert "(" not in general.undefined
    assert found.law == SIMPLE
    reason = general.undefined.removeprefix("undefined: ")
    assert found.notes[0] == f"The simple law was fitted, for the general one gives no threshold: {reason}."
    same(found, fit_break_model(values, X))


def test_few_prompts_and_negative_doses_are_for_the_simple_law_and_it_is_said() -> None:
    few, negative = fit_by_law(simulated(1, n=12), X), fit_by_law(simulated(1, n=30), X - 1)
    assert few.law == negative.law == SIMPLE
    assert few.notes[0] == "The simple law was fitted, for the general one is chosen from 30 prompts on."
    assert negative.notes[0] == "The simple law was fitted, for the general one knows no negative dose."


def test_a_general_fit_without_an_interval_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_interval(values: np.ndarray, *rest: object, law: Law, **options: object) -> BreakModel:
        found = fit_break_model(values, X, law=SIMPLE)
        return replace(found, law=law, std_error=found.std_error * (np.nan if law == GENERAL else 1.0))

    monkeypatch.setattr(law_choice, "fit_break_model", without_interval)
    found = fit_by_law(simulated(1, n=30), X)
    assert found.law == SIMPLE
    assert found.notes[0].endswith("gives the threshold no interval: the information is singular.")


def test_unknown_laws_and_doses_that_a_law_does_not_know_are_one_clear_line() -> None:
    with pytest.raises(InputError, match="law='odd' is not known; allowed: auto, simple, general"):
        fit_by_law(simulated(1), X, law="odd")
    with pytest.raises(InputError, match="log-normal breaks need doses that are not negative"):
        fit_by_law(simulated(5, n=30), X - 1, law="general")
