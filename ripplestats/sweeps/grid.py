"""The grid of a sweep: rates, and the cells that each block gets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TypeVar

from ripplestats.config import METRICS
from ripplestats.errors import InputError
from ripplestats.intervention.branches import ARMS, REPLACEMENTS, Arm, Branch, Replacement, dose
from ripplestats.model.sites import SITES, Site

Name = TypeVar("Name", bound=str)

#: Named grids, in percent. ``seed``: the note's fine grid (0.2 … 4.5) and coarse grid (10 … 90), and steps between.
NAMED_RATES = {
    "seed": "0.2,0.4,0.6,0.8,1,1.2,1.4,1.6,1.8,2,2.5,3,3.5,4,4.5,5,6,7,8,9,10,12,15,20,30,40,50,60,70,80,90",
    "fine": "0.2,0.4,0.6,0.8,1,1.2,1.4,1.6,1.8,2,2.5,3,3.5,4,4.5",
    "coarse": "10,20,30,40,50,60,70,80,90",
    "staged": "0.2,0.5,1,2,5,10,20,30,50,70,90",
}
#: Its rates are only the first stage: ``sweep`` has a pilot add more where the curve bends. They hold what the claims
#: ask for: 2 %, 10 % and 90 %, the plateau between, and doses below every bend.
STAGED = "staged"

#: Digits, or zeros, of a rate.
_LONGEST_NUMBER = 100


@dataclass(frozen=True)
class Grid:
    """All that is done at each block of ``layers``, for every prompt; ``rates`` are shares."""

    rates: tuple[Fraction, ...]
    arms: tuple[Arm, ...]
    replacements: tuple[Replacement, ...]
    sites: tuple[Site, ...]
    layers: tuple[int, ...]
    n_neurons: int

    def branches(self) -> tuple[Branch, ...]:
        """Return the different interventions of one block (two rates may mean the same number of neurons)."""
        doses = dict.fromkeys(dose(rate, self.n_neurons) for rate in self.rates)
        return tuple(
            Branch(arm, replacement, site, k)
            for arm in self.arms
            for replacement in self.replacements
            for site in self.sites
            for k in doses
        )

    @property
    def n_cells(self) -> int:
        """Rows of the effects table for each prompt."""
        return len(self.arms) * len(self.replacements) * len(self.sites) * len(self.layers) * len(self.rates)


def parse_rates(rates: str | Iterable[float | Fraction]) -> tuple[Fraction, ...]:
    """Read rates into exact shares, sorted, each once.

    Args:
        rates: a named grid or a comma list in **percent** (``"0.2,1,10"``), or numbers that are **shares** (0.002).

    Raises:
        InputError: a rate is not a number, is below 0 or above 100 percent, or there is none.
    """
    if isinstance(rates, str):
        words = NAMED_RATES.get(rates, rates).split(",")
        shares = [_exact(word.strip(), rates) / 100 for word in words if word.strip()]
    else:
        shares = [rate if isinstance(rate, Fraction) else _exact(str(rate), str(rate)) for rate in rates]
    for share in shares:
        if not 0 <= share <= 1:
            percent = Decimal(share.numerator) / Decimal(share.denominator) * 100
            raise InputError(f"--rates: {percent:.6g} % is outside 0 to 100 %")
    if not shares:
        raise InputError(f"--rates {rates!r} names no rate; {_allowed_rates()}")
    return tuple(sorted(set(shares)))


def parse_layers(text: str, n_layers: int) -> tuple[int, ...]:
    """Read ``all`` or a list such as ``0,4,10-12`` into layer numbers.

    Raises:
        InputError: a part is not a number, or is outside the model.
    """
    if text == "all":
        return tuple(range(n_layers))
    layers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise InputError(f"--layers {text!r} is not 'all' or a list such as 0,4,10-12")
        # By the number of digits first: a number too long for Python, or a range too long for memory, is outside anyway.
        inside = all(
            len(end.lstrip("0")) <= len(str(n_layers)) and int(end) < n_layers for end in (first, last or first)
        )
        layers.update(range(int(first), int(last or first) + 1) if inside else [n_layers])
    if not layers or max(layers) >= n_layers:
        raise InputError(f"--layers {text!r} is outside this model's blocks 0 to {n_layers - 1}")
    return tuple(sorted(layers))


def parse_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """Check the names of outcomes and put them in order.

    Raises:
        InputError: a name is unknown, or none of them has estimates.
    """
    found = _known("--metrics", names, tuple(METRICS))
    if not {"logit", "logprob"} & set(found):
        raise InputError(f"--metrics {' '.join(found)} needs logit or logprob as well: the estimates are about them")
    return found


def make_grid(
    n_layers: int,
    n_neurons: int,
    *,
    rates: str | Iterable[float | Fraction] = "seed",
    arms: Sequence[str] = ("top", "random"),
    replacements: Sequence[str] = ("median",),
    sites: Sequence[str] = ("pre",),
    layers: str = "all",
) -> Grid:
    """Check every part of a grid and put it together.

    Raises:
        InputError: a name is unknown or a number out of range; the message says what is allowed.
    """
    return Grid(
        rates=parse_rates(rates),
        arms=_known("--arms", arms, ARMS),
        replacements=_known("--replacement", replacements, REPLACEMENTS),
        sites=_known("--site", sites, SITES),
        layers=parse_layers(layers, n_layers),
        n_neurons=n_neurons,
    )


def _known(option: str, names: Sequence[str], allowed: tuple[Name, ...]) -> tuple[Name, ...]:
    for name in names:
        if name not in allowed:
            raise InputError(f"{option} {name!r} is not known; allowed: {', '.join(allowed)}")
    if not names:
        raise InputError(f"{option} names nothing; allowed: {', '.join(allowed)}")
    return tuple(one for one in allowed if one in names)


def _exact(word: str, whole: str) -> Fraction:
    try:
        number = Decimal(word)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or len(word) > _LONGEST_NUMBER:
        raise InputError(f"--rates {whole!r}: {word!r} is not a number; {_allowed_rates()}")
    if number and abs(number.adjusted()) > _LONGEST_NUMBER:
        # As an exact fraction this would be a number of so many digits.
        raise InputError(f"--rates {whole!r}: {word!r} is outside what can be asked for; {_allowed_rates()}")
    return Fraction(number) if number else Fraction(0)


def _allowed_rates() -> str:
    return f"allowed: {', '.join(NAMED_RATES)}, or a comma list in percent such as 0.2,1,10,90"
