"""The largest activations against as many random neurons: ``specificity.tex``."""

import sys

import pandas as pd
from from_run import FinishedRun, main, only, with_interval

from ripplestats.fits.core import SHARES
from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.fits.run_estimates import UNITS
from ripplestats.hypotheses.claims import SPECIFICITY
from ripplestats.rendering.numbers import p_value, percent
from ripplestats.report.wording import ARM_NAMES


def write(finished: FinishedRun) -> None:
    """Write the arms side by side, or say that there is no control."""
    arms = [arm for arm in finished.arms if arm != "keep_top"]
    if not {"top", "random"} <= set(arms):
        finished.sentence("specificity", "There is no control: the run lacks the arm top or the arm random.")
        return
    unit = UNITS[finished.metric]
    terms = {
        f"plateau ({unit})": ("plateau", None, 1, 3),
        "threshold ψ (%)": ("threshold", None, 100, 1),
        **{f"core fraction, {percent(q)} of the plateau (%)": ("core_fraction", q, 100, 1) for q in SHARES},
    }
    found = [
        {"": name, **{ARM_NAMES[arm]: _cell(finished, arm, *term) for arm in arms}} for name, term in terms.items()
    ]
    test = finished.claims[(finished.claims["claim"] == SPECIFICITY) & (finished.claims["layer"] == ALL_LAYERS)].iloc[0]
    finished.table(
        "specificity",
        pd.DataFrame(found).rename(columns={"": "quantity"}),
        "Specificity: the largest activations against as many other neurons.",
        f"95 % intervals over documents. Up to 10 % of neurons the largest cost {with_interval(test)} {unit} more than as "
        f"many random ones (sign flips of documents' scores, one-sided p = {p_value(test['p_value'])}): {test['decision']}.",
    )


def _cell(finished: FinishedRun, arm: str, quantity: str, share: float | None, scale: float, decimals: int) -> str:
    rows = finished.rows(quantity=quantity, arm=arm, layer=ALL_LAYERS)
    return with_interval(only(rows if share is None else rows[rows["share"] == share]), scale, decimals)


if __name__ == "__main__":
    sys.exit(main(write, __doc__))
