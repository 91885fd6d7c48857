"""The research note's six claims: what each says in numbers, written down before any data are seen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ripplestats.fits.core import SHARES
from ripplestats.hypotheses.decisions import Decision, above_limit, below_limit, within_margin


@dataclass(frozen=True)
class Claim:
    """One claim: the quantity it is about, its null in words, the test, and the margin or limit.

    ``decide`` takes the limits of the ``conf_level`` interval and the margin to a decision. P-values are one-sided and by
    the same method as the interval: *supported* is p ≤ (1 − ``conf_level``) / 2. ``step_down`` says how p-values are
    adjusted over layers by default: ``max-t``, or ``min-p`` where the layers' statistics differ in distribution.
    """

    name: str
    estimand: str
    null: str
    test: str
    margin: float
    decide: Callable[[float, float, float], Decision]
    conf_level: float = 0.95
    step_down: str = "max-t"


@dataclass(frozen=True)
class SensitivityAnalysis:
    """A second look at a claim by a textbook test or effect size; no decision follows from it."""

    name: str
    null: str
    test: str


def core_claim(share: float) -> str:
    """Return the name of the claim on a share of the plateau."""
    return f"3 core group, {share} of the plateau"


#: Begins, behind the null, the reason why a claim could not be tested on what was recorded.
UNDEFINED = " (undefined: "
_NATS = "drop in log-probability, nats"
_SIGN_FLIPS = "one-sided, sign flips of documents' scores"
INSENSITIVITY = "1 insensitivity"
INSENSITIVITY_SHARE = "1 insensitivity, margin 20 % of the plateau"
THRESHOLD = "2 threshold"
FIRST_BLOCK, FIRST_BLOCK_TOP1 = "4 first block, effect", "4 first block, top-1 lost"
SPECIFICITY = "5 specificity"

CLAIMS: Mapping[str, Claim] = {
    claim.name: claim
    for claim in (
        Claim(
            INSENSITIVITY,
            f"effect at 90 % minus effect at 10 % ({_NATS})",
            "the effects at 10 % and 90 % differ by 0.05 nats or more",
            "two one-sided tests, sign flips of documents' scores",
            0.05,
            within_margin,
            conf_level=0.90,
        ),
        Claim(
            INSENSITIVITY_SHARE,
            "effect at 90 % minus effect at 10 %, as a share of the plateau",
            "the effects at 10 % and 90 % differ by 20 % of the plateau or more",
            "two one-sided tests of difference ± 0.2 plateau, sign flips of documents' scores",
            0.20,
            within_margin,
            conf_level=0.90,
        ),
        Claim(
            THRESHOLD,
            "break of the two-phase line (share of neurons)",
            "the mean curve is a straight line; the decision asks besides whether the break lies below 10 %",
            "sup-F, sign flips of documents' departures from the line",
            0.10,
            below_limit,
            step_down="min-p",
        ),
        *(
            Claim(
                core_claim(share),
                f"core fraction at {share} of the plateau (share of neurons)",
                "the core fraction is 2 % or more",
                f"effect at 2 % minus {share} plateau, {_SIGN_FLIPS}",
                0.02,
                below_limit,
            )
            for share in SHARES
        ),
        Claim(
            FIRST_BLOCK,
            f"plateau of block 0 minus mean plateau of the others ({_NATS})",
            "replacing neurons of block 0 costs no more than in the other blocks",
            _SIGN_FLIPS,
            0.0,
            above_limit,
        ),
        Claim(
            FIRST_BLOCK_TOP1,
            "share of prompts whose first token changes, block 0 minus mean of the others, over 10 to 90 %",
            "the first token changes no more often than in the other blocks",
            _SIGN_FLIPS,
            0.0,
            above_limit,
        ),
        Claim(
            SPECIFICITY,
            f"mean effect up to 10 % of neurons, largest minus random ({_NATS})",
            "the most active neurons matter no more than as many random ones",
            _SIGN_FLIPS,
            0.0,
            above_limit,
        ),
        *(
            Claim(
                f"6 median against {other}",
                f"plateau with {other} minus plateau with the median, same neurons ({_NATS})",
                f"the median upsets the prediction no less than the {other}",
                _SIGN_FLIPS,
                0.0,
                above_limit,
            )
            for other in ("zero", "mean")
        ),
    )
}

_SAME = "the mean effect is the same at all doses from 10 to 90 %"
_PAIR = "the effects at 10 % and 90 % are the same on average"
SENSITIVITY_ANALYSES: Mapping[str, SensitivityAnalysis] = {
    analysis.name: analysis
    for analysis in (
        SensitivityAnalysis(
            "1 insensitivity, sensitivity: repeated-measures ANOVA",
            _SAME,
            "F over documents' means, Greenhouse-Geisser corrected p and numerator df; estimate: generalised eta squared",
        ),
        SensitivityAnalysis(
            "1 insensitivity, sensitivity: Friedman test",
            "the doses from 10 to 90 % rank the same within documents",
            "chi-squared over documents' means; estimate: Kendall's W",
        ),
        SensitivityAnalysis(
            "1 insensitivity, sensitivity: Hedges' g", _PAIR, "paired t over documents' means; estimate: Hedges' g"
        ),
        SensitivityAnalysis(
            "1 insensitivity, sensitivity: Bayes factor",
            _PAIR,
            "paired t over documents' means; estimate: Bayes factor for a difference, Cauchy prior of scale 0.707",
        ),
        SensitivityAnalysis(
            "4 first block, sensitivity: Hedges' g",
            "the plateau of block 0 is that of the other blocks on average",
            "paired t over documents' means; estimate: Hedges' g",
        ),
        SensitivityAnalysis(
            "5 specificity, sensitivity: Hedges' g",
            "the largest and as many random neurons have the same effect up to 10 % on average",
            "paired t over documents' means; estimate: Hedges' g",
        ),
    )
}
