"""The claims once more by textbook tests and effect sizes (pingouin): no decision follows from these rows.

They take documents' plain means, each document once, and lean on normal errors; the claims' own tests do neither. A
difference that is not significant here is no evidence of equality: that is what the two one-sided tests are for.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd

from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS
from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.saturation import PLATEAU
from ripplestats.hypotheses.claim_tests import (
    SPECIFIC_DOSES,
    RunCurves,
    end_weights,
    first_block_levels,
    mean_effects,
)
from ripplestats.hypotheses.claims import SENSITIVITY_ANALYSES

#: Doses this close to the plateau's ends belong to it: 10 % of 1,536 neurons are 9.96 %.
_NEAR = 0.1
_ROUNDING = 1e-12
Row = dict[str, object]


def sensitivity_rows(run: RunCurves) -> list[Row]:
    """Return the sensitivity rows of a run as claims.csv has them, over all blocks but the first (claim 4: block 0).

    ``estimate`` is the effect size, or the Bayes factor; rows that the run's doses, layers or arms do not allow are left
    out, and numbers that its documents do not allow are NaN.
    """
    rows: list[Row] = []
    if run.main.groups[0] == ALL_LAYERS:
        rows += _across_doses(plateau_means(run.main))
        ends = end_weights(run.main)
        if ends is not None:
            high, low = (run.main.values[:, 0] @ np.where(ends * sign > 0, 1.0, 0.0) for sign in (1, -1))
            rows += _paired("1 insensitivity", ALL_LAYERS, high, low, bayes=True)
        levels = first_block_levels(run.main)
        if levels is not None:
            rows += _paired("4 first block", "0", *(one[:, 0] for one in levels))
        if ("random", "median") in run.effects:
            pair = mean_effects(run.main, run.effects["random", "median"], SPECIFIC_DOSES)
            if pair is not None:
                rows += _paired("5 specificity", ALL_LAYERS, *(one[:, 0] for one in pair))
    return rows


def plateau_means(curves: DocumentCurves) -> pd.DataFrame:
    """Return documents' mean effects of the first group at the doses of the plateau: columns document, dose, effect."""
    inside = (curves.x >= (1 - _NEAR) * PLATEAU[0]) & (curves.x <= (1 + _NEAR) * PLATEAU[1])
    values, doses = curves.values[:, 0][:, inside], curves.x[inside]
    document, dose = np.meshgrid(np.arange(len(values)), doses, indexing="ij")
    return pd.DataFrame({"document": document.ravel(), "dose": dose.ravel(), "effect": values.ravel()})


def _across_doses(means: pd.DataFrame) -> Iterator[Row]:
    """Compare the doses of the plateau: repeated-measures ANOVA (Greenhouse & Geisser 1959) and Friedman's test."""
    n_doses = means["dose"].nunique()
    if n_doses < 3:
        return
    anova, friedman = (
        "1 insensitivity, sensitivity: repeated-measures ANOVA",
        "1 insensitivity, sensitivity: Friedman test",
    )
    wide = means.pivot(index="document", columns="dose", values="effect").to_numpy(np.float64)
    # What is left without documents' levels and doses' means has to be more than rounding.
    rest = wide - wide.mean(axis=1, keepdims=True) - wide.mean(axis=0) + wide.mean()
    if len(wide) < MINIMUM_DOCUMENTS or not np.abs(rest).max() > _ROUNDING * np.abs(wide).max():
        yield from (_row(name, ALL_LAYERS) for name in (anova, friedman))
        return
    import pingouin

    columns = {"data": means, "dv": "effect", "within": "dose", "subject": "document"}
    with _quiet():
        found = pingouin.rm_anova(**columns, correction=True, effsize="ng2").iloc[0]
        ranks = pingouin.friedman(**columns).iloc[0]
    yield _row(anova, ALL_LAYERS, found["F"], found["eps"] * found["ddof1"], found["p_GG_corr"], found["ng2"])
    yield _row(friedman, ALL_LAYERS, ranks["Q"], ranks["ddof1"], ranks["p_unc"], ranks["W"])


def _paired(claim: str, layer: str, one: Floats, other: Floats, *, bayes: bool = False) -> Iterator[Row]:
    """Compare two effects of the same documents: Hedges' g, and the default Bayes factor."""
    from scipy import stats

    names = [f"{claim}, sensitivity: Hedges' g", *([f"{claim}, sensitivity: Bayes factor"] if bayes else [])]
    largest = max(np.abs(one).max(), np.abs(other).max())
    if len(one) < MINIMUM_DOCUMENTS or not (one - other).std() > _ROUNDING * largest:
        yield from (_row(name, layer) for name in names)
        return
    import pingouin

    test = stats.ttest_rel(one, other)
    numbers = (float(test.statistic), float(test.df), float(test.pvalue))
    with _quiet():
        sizes = [float(pingouin.compute_effsize(one, other, paired=True, eftype="hedges"))]
        sizes += [_bayes_factor(numbers[0], len(one))] if bayes else []
    yield from (_row(name, layer, *numbers, found) for name, found in zip(names, sizes, strict=True))


def _bayes_factor(t: float, n: int) -> float:
    """Return the Bayes factor of a paired t test; infinite where the null's likelihood is below the least double."""
    import pingouin

    try:
        return float(pingouin.bayesfactor_ttest(t, n, paired=True))
    except ZeroDivisionError:
        return np.inf


def _row(
    name: str,
    layer: str,
    statistic: float = np.nan,
    df: float = np.nan,
    p_value: float = np.nan,
    estimate: float = np.nan,
) -> Row:
    return {
        "claim": name, "layer": layer, "null": SENSITIVITY_ANALYSES[name].null, "statistic": statistic, "df": df,
        "p_value": p_value, "p_adjusted": p_value, "adjustment": "none", "estimate": estimate, "conf_low": np.nan,
        "conf_high": np.nan, "decision": "", "margin": np.nan,
    }  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence pingouin's use of an argument that pandas is about to drop, which changes no number."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The inplace keyword", module="pingouin")
        yield
