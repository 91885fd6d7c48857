"""How far the package is from R: what is compared, how many numbers, the largest difference measured, and what is asked for.

The differences are computed, from the committed CSVs and the package as it is, by whoever calls ``parity``: the test beside
this, the pages of the documentation, and the paper. The tolerances are those that the tests give reasons for at their tops.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from ripplestats.fits.balanced.inference import satterthwaite
from ripplestats.fits.contrasts import contrast_of_doses
from ripplestats.fits.curves import document_curves
from ripplestats.fits.saturation import first_dose_reaching, isotonic, plateau_weights
from ripplestats.hypotheses.davies import davies_test
from ripplestats.hypotheses.multiplicity import adjusted_p_values, max_t_step_down, min_p_step_down
from ripplestats.rendering.numbers import scientific
from tests.reference.ours import (
    BOOT_TERMS,
    LMER_COLUMNS,
    LMER_LEVELS,
    RANDOM_BREAK_TERMS,
    best_solution,
    boot_documents,
    boot_interval,
    boot_resamples,
    boot_statistic,
    breaks,
    exact_log_likelihood,
    lmer_fit,
    nlme_fit,
    random_break_fit,
    rows_of_davies,
    table,
)

#: What wrote the CSVs.
R_VERSION = "4.2.2"
PACKAGES = {
    "boot": "1.3-28.1", "lme4": "1.1-31", "lmerTest": "3.1-3", "nlme": "3.1-162", "sandwich": "3.0-2",
    "segmented": "1.6-2", "stats": R_VERSION,
}  # fmt: skip
RELATIVE, ABSOLUTE, ERRORS, RANKS = "relative", "absolute", "standard errors", "ranks"
#: Only by how much ours is the worse one, if anywhere, counts.
WORSE = "worse"
Pairs = Iterator[tuple[object, object]]


@dataclass(frozen=True)
class Comparison:
    """One line of the table: what of ours is held against which function of R, how, and how far apart they are."""

    ours: str
    package: str
    function: str
    compared: str
    measure: str
    tolerance: float
    numbers: int
    difference: float

    def said(self, value: float) -> str:
        """A difference or a tolerance in words."""
        return f"{self.number(value) if value else 'none'} {self.measure}"

    def number(self, value: float) -> str:
        """The same without what it is measured in."""
        return f"{value:.2f}" if self.measure in (ERRORS, RANKS) else scientific(value)


@cache
def parity() -> tuple[Comparison, ...]:
    """Compute every comparison, in the order of ``COMPARISONS``; once in a process."""
    return tuple(_measured(*line) for line in COMPARISONS)


def _measured(
    ours: str, package: str, function: str, compared: str, measure: str, tolerance: float, pairs: Callable[[], Pairs]
) -> Comparison:
    differences = np.concatenate([np.ravel(_difference(measure, *pair)) for pair in pairs()])
    if np.isnan(differences).any():
        raise ValueError(f"{ours} and {function}: {compared} are undefined somewhere")
    return Comparison(ours, package, function, compared, measure, tolerance, len(differences), float(differences.max()))


def _difference(measure: str, ours: object, theirs: object) -> np.ndarray:
    own, other = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if own.shape != other.shape:
        raise ValueError(f"{own.shape} numbers cannot be compared with {other.shape}")
    if measure == RELATIVE:
        return np.abs(own - other) / np.abs(other)
    return np.maximum(own - other, 0) if measure == WORSE else np.abs(own - other)


def _break_cases() -> Iterator[tuple[pd.Series, object, float]]:
    for _, theirs in table("segmented").iterrows():
        fit, ours = breaks(theirs["set"], theirs["scale"], int(theirs["n_breaks"]))
        yield theirs, fit, ours


def _sums_of_squares() -> Pairs:
    for theirs, _, ours in _break_cases():
        yield ours / theirs["residual_ss"], 1.0


def _break_parameters() -> Pairs:
    """Yield breaks, intercepts and slopes where R's search ended at the global minimum."""
    for theirs, fit, ours in _break_cases():
        if ours / theirs["residual_ss"] > 1 - 1e-9:
            number = int(theirs["n_breaks"])
            places = [f"psi_{one + 1}" for one in range(number)], [f"slope_{one + 1}" for one in range(number + 1)]
            for own, names in zip(
                (fit.breakpoints[0], fit.slopes[0], fit.intercept), (*places, ["intercept"]), strict=True
            ):
                yield own, theirs[names].to_numpy(float)


def _davies(column: str) -> Pairs:
    for _, theirs in table("davies").iterrows():
        rows, alternative = rows_of_davies(theirs["set"], theirs["rows"]), theirs["alternative"].replace(".", "-")
        found = davies_test(rows, y="effect", x="rate", k=int(theirs["k"]), alternative=alternative)
        yield found.tidy()[column].iloc[0], theirs[column]


def _isotonic(what: str) -> Pairs:
    for name, curve in table("isotonic").groupby("curve"):
        core = table("isotonic_core")
        core = core[core["curve"] == name]
        x, y = curve["rate"].to_numpy(), curve["effect"].to_numpy()[None]
        monotone, plateau = isotonic(y, np.ones(len(x))), y @ plateau_weights(x)
        if what == "curve":
            yield monotone[0], np.maximum(curve["isotonic"], 0)
        elif what == "plateau":
            yield plateau[0], core["plateau"].iloc[0]
        else:
            yield (
                first_dose_reaching(monotone, x, plateau[:, None] * core["share"].to_numpy())[0],
                core["core_fraction"],
            )


def _replicates(term: str) -> Pairs:
    curves = boot_documents()
    samples = curves.pooled(boot_resamples(curves.n_documents).bootstrap)[:, 0]
    yield boot_statistic(samples)[:, BOOT_TERMS.index(term)], table("boot_replicates")[term]


def _boot_errors() -> Pairs:
    theirs = table("boot_intervals").query("method == 'percentile'").set_index("term")["std_error"]
    yield boot_interval().std_error[0], theirs[list(BOOT_TERMS)]


def _boot_limits() -> Pairs:
    """Yield where limits stand among R's ordered replicates."""
    found = boot_interval()
    for _, theirs in table("boot_intervals").iterrows():
        ordered = np.sort(table("boot_replicates")[theirs["term"]])
        limits = [side[0, BOOT_TERMS.index(theirs["term"])] for side in getattr(found, theirs["method"])]
        yield (
            np.interp(limits, ordered, np.arange(1, len(ordered) + 1)),
            theirs[["rank_low", "rank_high"]].to_numpy(float),
        )


def _contrasts(*columns: str) -> Pairs:
    for (name, margin), theirs in table("equivalence").groupby(["set", "margin"]):
        rows = table("equivalence_data")
        rows = rows[rows["set"] == name]
        curves = document_curves(rows, y="effect", x="rate", cluster="document_id", by="layer")
        found = contrast_of_doses(curves, np.array([-1.0, 0.0, 1.0]))
        statistic, p_value = found.two_one_sided_tests(margin)
        low, high = found.interval(0.9)
        ours = {"estimate": found.estimate, "std_error": found.std_error, "statistic": statistic, "p_value": p_value}
        for column in columns:
            yield (
                {**ours, "conf_low": low, "conf_high": high}[column],
                theirs.set_index("layer").loc[list(found.groups), column],
            )


def _lmer_fixed(column: str) -> Pairs:
    for model, theirs in table("lmer_fixed").groupby("model"):
        fit = lmer_fit(str(model))
        errors = np.sqrt(np.diag(fit.fixed_covariance))
        found = {"estimate": fit.fixed, "std_error": errors, "df": satterthwaite(fit) if column == "df" else errors}
        yield found[column], theirs[column]


def _lmer_spreads() -> Pairs:
    """Yield standard deviations of random effects that are not on the boundary, and of the residuals."""
    for row in table("lmer_random").itertuples():
        fit = lmer_fit(row.model)
        if row.grp == "Residual":
            yield fit.sigma, row.sdcor
        elif pd.isna(row.var2) and row.sdcor > 1e-4 * fit.sigma:
            place = LMER_COLUMNS.index(row.var1)
            yield np.sqrt(fit.covariances[LMER_LEVELS.get(row.grp, row.grp)][place, place]), row.sdcor


def _lmer_likelihoods() -> Pairs:
    for row in table("lmer_fit").itertuples():
        yield lmer_fit(row.model).log_likelihood, row.log_likelihood


def _nlme(*columns: str, spreads: bool = False) -> Pairs:
    for model, theirs in table("nlme").groupby("model"):
        terms = [one for one in theirs["term"] if one.startswith("sd ") == spreads and one != "log-likelihood"]
        own, other = (one.set_index("term").loc[terms, list(columns)] for one in (nlme_fit(str(model)).tidy(), theirs))
        yield own, other


def _random_break_likelihoods() -> Pairs:
    """Yield minus the exact log-likelihoods at our maximum-likelihood estimates and at each solution of R's."""
    for case, solutions in table("segmented_lme_fits").groupby("case"):
        best = random_break_fit(str(case), "ML").log_likelihood
        for _, solution in solutions.iterrows():
            yield -best, -exact_log_likelihood(str(case), solution)


def _random_break_estimates() -> Pairs:
    for (case, method), _ in table("segmented_lme_fits").groupby(["case", "method"]):
        model, theirs = random_break_fit(str(case), str(method)), best_solution(str(case), str(method))
        places = [model.terms.index(term) for term in RANDOM_BREAK_TERMS]
        errors = np.asarray(model.std_error)[places]
        yield (
            np.asarray(model.estimate)[places] / errors,
            theirs[list(RANDOM_BREAK_TERMS.values())].to_numpy(float) / errors,
        )


def _adjusted() -> Pairs:
    theirs = table("multiplicity_p")
    for method in ("holm", "bh"):
        yield adjusted_p_values(theirs["p"].to_numpy(), method), theirs[method]


def _stepped_down() -> Pairs:
    theirs, replicates = table("multiplicity_step_down"), table("multiplicity_replicates").to_numpy()
    for name, step_down in (("max_t", max_t_step_down), ("min_p", min_p_step_down)):
        yield step_down(theirs["statistic"].to_numpy(), replicates).p_adjusted, theirs[name]


COMPARISONS: tuple[tuple[str, str, str, str, str, float, Callable[[], Pairs]], ...] = (
    ("segmented", "segmented", "segmented", "residual sum of squares", WORSE, 1e-9, _sums_of_squares),
    ("segmented", "segmented", "segmented", "breaks and lines at the same minimum", RELATIVE, 1e-6, _break_parameters),
    ("davies_test", "segmented", "davies.test", "statistics", RELATIVE, 1e-7, lambda: _davies("statistic")),
    ("davies_test", "segmented", "davies.test", "p-values", RELATIVE, 1e-7, lambda: _davies("p_value")),
    ("core_fraction", "stats", "isoreg", "isotonic curves", ABSOLUTE, 1e-12, lambda: _isotonic("curve")),
    ("core_fraction", "stats", "isoreg", "plateaus", RELATIVE, 1e-12, lambda: _isotonic("plateau")),
    ("core_fraction", "stats", "isoreg", "core fractions", RELATIVE, 1e-9, lambda: _isotonic("core")),
    ("bootstrap", "boot", "boot", "replicates of the plateau", RELATIVE, 1e-12, lambda: _replicates("plateau")),
    ("bootstrap", "boot", "boot", "replicates of the threshold", RELATIVE, 1e-8, lambda: _replicates("threshold")),
    ("bootstrap", "boot", "boot", "standard errors", RELATIVE, 1e-8, _boot_errors),
    ("bootstrap", "boot", "boot.ci", "percentile and BCa limits", RANKS, 1.01, _boot_limits),
    ("equivalence", "sandwich", "vcovCL", "differences, errors, t, limits", RELATIVE, 1e-10,
     lambda: _contrasts("estimate", "std_error", "statistic", "conf_low", "conf_high")),
    ("equivalence", "sandwich", "vcovCL", "p-values of t tests", RELATIVE, 1e-9, lambda: _contrasts("p_value")),
    ("mixed", "lme4", "lmer", "fixed effects", RELATIVE, 1e-4, lambda: _lmer_fixed("estimate")),
    ("mixed", "lme4", "lmer", "standard errors", RELATIVE, 1e-4, lambda: _lmer_fixed("std_error")),
    ("mixed", "lme4", "lmer", "spreads of random effects", RELATIVE, 1e-4, _lmer_spreads),
    ("mixed", "lme4", "lmer", "log-likelihoods", ABSOLUTE, 1e-3, _lmer_likelihoods),
    ("mixed", "lmerTest", "lmer", "Satterthwaite's degrees of freedom", RELATIVE, 1e-2, lambda: _lmer_fixed("df")),
    ("mixed", "nlme", "lme", "fixed effects and their errors", RELATIVE, 1e-4, lambda: _nlme("estimate", "std_error")),
    ("mixed", "nlme", "lme", "spreads of random effects", RELATIVE, 1e-3, lambda: _nlme("estimate", spreads=True)),
    ("segmented_mixed", "segmented", "segmented.lme", "exact log-likelihood", WORSE, 1e-3, _random_break_likelihoods),
    ("segmented_mixed", "segmented", "segmented.lme", "estimates, to R's best", ERRORS, 0.5, _random_break_estimates),
    ("claims", "stats", "p.adjust", "Holm; Benjamini–Hochberg", ABSOLUTE, 1e-12, _adjusted),
    ("claims", "stats", "a loop", "step-down max-t and min-p", ABSOLUTE, 1e-12, _stepped_down),
)  # fmt: skip
