"""What a run says of the research note's claims, and its main figures, in words."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ripplestats.fits.core import SHARES
from ripplestats.fits.curve_layout import ALL_LAYERS, Cell
from ripplestats.fits.run_estimates import main_rows
from ripplestats.hypotheses.claims import (
    CLAIMS,
    FIRST_BLOCK,
    FIRST_BLOCK_TOP1,
    INSENSITIVITY,
    INSENSITIVITY_SHARE,
    SPECIFICITY,
    THRESHOLD,
    UNDEFINED,
    core_claim,
)
from ripplestats.rendering.numbers import fixed, p_value, with_interval
from ripplestats.report.page.blocks import block_name, of_main
from ripplestats.report.page.plain import text

_SPACE = "\N{NO-BREAK SPACE}"
DECISIONS = ("supported", "refuted", "undecided")
_STATEMENTS = {
    INSENSITIVITY: "Beyond the first tenth the dose no longer matters: 10 % and 90 % of neurons do the same.",
    INSENSITIVITY_SHARE: "The same, judged within 20 % of the plateau.",
    THRESHOLD: "There is a threshold, and it lies below 10 % of neurons.",
    **{core_claim(share): f"2 % of neurons carry {100 * share:.0f} % of the effect." for share in SHARES},
    FIRST_BLOCK: "The first block matters more than the others.",
    FIRST_BLOCK_TOP1: "In the first block the most likely token changes more often than in the others.",
    SPECIFICITY: "The most active neurons matter more than as many random ones.",
    **{
        f"6 median against {other}": f"The median upsets the prediction less than the {other}." for other in ("zero", "mean")
    },
}  # fmt: skip


@dataclass(frozen=True)
class BlockResult:
    """A claim in one block."""

    block: str
    estimate: str
    p_adjusted: str
    decision: str


@dataclass(frozen=True)
class Verdict:
    """What is said of one claim: ``number`` as in the note, the finding with its interval, and how single blocks fare."""

    number: str
    statement: str
    decision: str
    finding: str
    null: str
    tally: tuple[tuple[str, int], ...]
    blocks: tuple[BlockResult, ...]


@dataclass(frozen=True)
class KeyFigure:
    """An estimate with its interval, or why there is none."""

    name: str
    value: str
    interval: str
    note: str


def verdicts(claims: pd.DataFrame, unit: str) -> list[Verdict]:
    """Return the claims that a run can decide, in their order.

    Args:
        claims: as in claims.csv.
        unit: of the effects.
    """
    decided = claims[claims["decision"].fillna("") != ""]
    return [_verdict(str(name), rows, unit) for name, rows in decided.groupby("claim", sort=False)]


def counted_verdicts(found: list[Verdict]) -> str:
    """Return in words how many statements are supported, refuted and undecided."""
    counts = Counter(one.decision for one in found)
    of = "One statement was" if len(found) == 1 else f"{len(found)} statements were"
    return f"{of} tested: {', '.join(f'{counts[word]} {word}' for word in DECISIONS)}."


def _verdict(name: str, rows: pd.DataFrame, unit: str) -> Verdict:
    overall = rows[rows["layer"] == ALL_LAYERS]
    blocks = rows[rows["layer"] != ALL_LAYERS] if len(overall) else rows.iloc[:0]
    one = (overall if len(overall) else rows).iloc[0]
    number, _, rest = name.partition(" ")
    estimand = CLAIMS[name].estimand if name in CLAIMS else ""
    if unit == "logits":
        estimand = estimand.replace("drop in log-probability, nats", "drop in logit")
    measure = _Measure(estimand, unit)
    limit = f" The margin set beforehand: {measure.number(one['margin'])}." if one["margin"] else ""
    p = p_value(one["p_value"])
    tested = f"; p{_SPACE}{p}" if p.startswith("<") else f"; p{_SPACE}={_SPACE}{p}" if p else ""
    finding = f"{estimand[:1].upper()}{estimand[1:]}: {measure.with_interval(one)}{tested}.{limit}"
    if not np.isfinite(one["estimate"]):
        reason = text(one["null"]).partition(UNDEFINED)[2].removesuffix(")")
        finding = f"Undefined: {reason}." if reason else "Undefined."
    counts = Counter(blocks["decision"])
    return Verdict(
        number=number,
        statement=_STATEMENTS.get(name, f"{rest[:1].upper()}{rest[1:]}."),
        decision=str(one["decision"]),
        finding=finding.lstrip(": "),
        null=text(one["null"]),
        tally=tuple((word, counts[word]) for word in DECISIONS) if len(blocks) else (),
        blocks=tuple(
            BlockResult(
                str(row["layer"]),
                measure.with_interval(row),
                p_value(row["p_adjusted"]) or "–",
                str(row["decision"]),
            )
            for row in blocks.to_dict("records")
        ),
    )


@dataclass(frozen=True)
class _Measure:
    """How the numbers of an estimand are written: effects in their unit, shares in percent."""

    estimand: str
    unit: str

    @property
    def _share(self) -> bool:
        return "share of" in self.estimand

    def number(self, value: float) -> str:
        shown = f"{100 * value:.3g} %" if self._share else f"{value:.3g} {self.unit}"
        return shown.replace("-", "−")

    def with_interval(self, row: "pd.Series | dict[str, float]") -> str:
        scale, decimals = (100, 1) if self._share else (1, 3)
        shown = with_interval(row["estimate"], row["conf_low"], row["conf_high"], decimals, scale, margin=row["margin"])
        return f"{shown} {'%' if self._share else self.unit}" if shown else "undefined"


def key_figures(estimates: pd.DataFrame, main: Cell, unit: str, blocks: str) -> list[KeyFigure]:
    """Return the figures that the page opens with: threshold, plateau, core, first block and random control."""
    rows = main_rows(of_main(estimates, main))
    random = main_rows(of_main(estimates, main._replace(arm="random")))
    overall = ALL_LAYERS if (rows["layer"] == ALL_LAYERS).any() else str(rows["layer"].iloc[0])
    whole = block_name(overall, blocks)
    wanted = [
        (f"Threshold, {whole}", rows, "threshold", overall, np.nan, "% of neurons"),
        (f"Plateau (10 to 90 %), {whole}", rows, "plateau", overall, np.nan, unit),
        ("Half of the plateau is reached at", rows, "core_fraction", overall, 0.5, "% of neurons"),
    ]
    if overall != "0":
        wanted.append(("Plateau of the first block", rows, "plateau", "0", np.nan, unit))
    if main.arm != "random":
        wanted.append(("Plateau with as many random neurons", random, "plateau", overall, np.nan, unit))
    found = (_key_figure(*one) for one in wanted)
    return [one for one in found if one is not None]


def _key_figure(name: str, rows: pd.DataFrame, quantity: str, layer: str, share: float, unit: str) -> KeyFigure | None:
    chosen = rows[(rows["quantity"] == quantity) & (rows["layer"] == layer)]
    if not np.isnan(share):
        chosen = chosen[np.isclose(chosen["share"], share)]
    if chosen.empty:
        return None
    row = chosen.iloc[0]
    if not np.isfinite(row["estimate"]):
        return KeyFigure(name, "—", "", text(row["note"]))
    scale, decimals = (100, 1) if unit.startswith("%") else (1, 3)
    value, low, high = (fixed(row[one], decimals, scale) for one in ("estimate", "conf_low", "conf_high"))
    limits = f"{100 * row['conf_level']:.0f} % interval {low} to {high}" if low and high else "no interval"
    return KeyFigure(name, f"{value} {unit}", limits, text(row["note"]))
