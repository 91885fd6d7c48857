"""Rates, layers and names of a grid."""

from fractions import Fraction

import pytest

from ripplestats.errors import InputError
from ripplestats.sweeps.grid import NAMED_RATES, make_grid, parse_layers, parse_rates


def test_the_seed_grid_holds_the_notes_two_grids_and_31_rates() -> None:
    rates = parse_rates("seed")
    assert len(rates) == 31
    assert {Fraction(p, 100) for p in range(10, 100, 10)} <= set(rates)
    assert rates[0] == Fraction(2, 1000)
    assert Fraction(45, 1000) in rates


def test_strings_are_percent_and_numbers_are_shares() -> None:
    assert parse_rates("0.29, 10,10") == (Fraction(29, 10000), Fraction(1, 10))
    assert parse_rates([0.1, 0.0029]) == (Fraction(29, 10000), Fraction(1, 10))
    assert parse_rates([Fraction(1, 3)]) == (Fraction(1, 3),)


@pytest.mark.parametrize("bad", ["101", "-1", "ten", "nan", "inf", "", "5,,x", "1e400"])
def test_rates_that_are_no_percentage_are_refused_with_what_is_allowed(bad: str) -> None:
    with pytest.raises(InputError, match="--rates"):
        parse_rates(bad)


def test_every_named_grid_can_be_read() -> None:
    for name in NAMED_RATES:
        assert parse_rates(name) == parse_rates(NAMED_RATES[name])


def test_layers() -> None:
    assert parse_layers("all", 3) == (0, 1, 2)
    assert parse_layers("2, 0,1-2", 3) == (0, 1, 2)
    for bad in ("3", "1-5", "x", "", "2-1", "-1"):
        with pytest.raises(InputError, match="--layers"):
            parse_layers(bad, 3)


@pytest.mark.parametrize(
    ("option", "names", "flag"),
    [("arms", ["topp"], "--arms"), ("replacements", ["mode"], "--replacement"), ("sites", ["mid"], "--site"), ("arms", [], "--arms")],
)  # fmt: skip
def test_unknown_names_are_refused_with_what_is_allowed(option: str, names: list[str], flag: str) -> None:
    with pytest.raises(InputError, match=f"{flag}.*allowed"):
        make_grid(3, 10, **{option: names})


def test_rates_that_mean_the_same_number_of_neurons_share_a_branch() -> None:
    grid = make_grid(2, 10, rates="10,15,20", arms=["top"])
    assert [branch.k for branch in grid.branches()] == [1, 2]
    assert grid.n_cells == 2 * 3
