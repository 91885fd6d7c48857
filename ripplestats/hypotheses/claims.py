"""The research note's six claims: what each says in numbers, written down before any data are seen."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One claim: the quantity it is about, its null in words, the test, and the margin or limit."""

    name: str
    estimand: str
    null: str
    test: str
    margin: float


_NATS = "change in log-probability, nats"
CLAIMS: Mapping[str, Claim] = {
    claim.name: claim
    for claim in (
        Claim(
            "1 insensitivity",
            f"effect at 90 % minus effect at 10 % ({_NATS})",
            "the effects at 10 % and 90 % differ by 0.05 nats or more",
            "two one-sided t tests over documents",
            0.05,
        ),
        Claim(
            "2 threshold",
            "break of the two-phase line (share of neurons)",
            "the mean curve is a straight line; the decision asks besides whether the break lies below 10 %",
            "sup-F, documents resampled under the line",
            0.10,
        ),
        *(
            Claim(
                f"3 core group, {share} of the plateau",
                f"core fraction at {share} of the plateau (share of neurons)",
                "the core fraction is above 2 %",
                "document bootstrap",
                0.02,
            )
            for share in (0.5, 0.8, 0.9)
        ),
        Claim(
            "4 first block, effect",
            f"plateau of block 0 minus mean plateau of the others ({_NATS})",
            "replacing neurons of block 0 costs no more than in the other blocks",
            "one-sided t test over documents",
            0.0,
        ),
        Claim(
            "4 first block, top-1 lost",
            "share of prompts whose first token changes, block 0 minus mean of the others, over 10 to 90 %",
            "the first token changes no more often than in the other blocks",
            "one-sided t test over documents",
            0.0,
        ),
        Claim(
            "5 specificity",
            f"mean effect up to 10 % of neurons, largest minus random ({_NATS})",
            "the most active neurons matter no more than as many random ones",
            "one-sided t test over documents",
            0.0,
        ),
        *(
            Claim(
                f"6 median against {other}",
                f"plateau with {other} minus plateau with the median, same neurons ({_NATS})",
                f"the median upsets the prediction no less than the {other}",
                "one-sided t test over documents",
                0.0,
            )
            for other in ("zero", "mean")
        ),
    )
}
