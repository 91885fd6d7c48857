"""The power of the claims' tests: how many documents until a claim that is true is called *supported*.

Claims on means are planned by t tests, of which the sign-flip tests of the analysis are the large-sample equal;
threshold and core group by drawing studies from the pilot and testing each as ``claims`` does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import Resamples, flip_signs
from ripplestats.fits.contrasts import nearest_dose
from ripplestats.fits.core import SHARES
from ripplestats.fits.curves import Floats
from ripplestats.fits.planning.design import (
    INHERITED,
    MOST_DOCUMENTS,
    Plan,
    per_document_of,
    remarks,
    with_caution,
    with_cost,
)
from ripplestats.fits.planning.goals import Goal, exact_rows, simulated_rows
from ripplestats.fits.planning.pilot import Achieved, Pilot, estimator, pilots_of
from ripplestats.fits.planning.variance_components import VarianceComponents, variance_components
from ripplestats.fits.run_estimates import MAIN_METRICS, main_metric, recorded_in
from ripplestats.fits.saturation import plateau_weights
from ripplestats.hypotheses import claim_tests
from ripplestats.hypotheses.claim_tests import SPECIFIC_DOSES, Evidence, RunCurves
from ripplestats.hypotheses.claims import CLAIMS, FIRST_BLOCK, INSENSITIVITY, SPECIFICITY, THRESHOLD, core_claim
from ripplestats.hypotheses.decisions import within_margin
from ripplestats.hypotheses.run_claims import ALPHA

if TYPE_CHECKING:
    import pandas as pd

#: More documents than this take minutes to simulate.
MOST_SIMULATED = 4096
#: What a plan reads of a pilot's effects, beside the outcome that it is about.
COLUMNS = ("prompt_id", "document_id", "arm", "replacement", "site", "layer", "effective_rate")
MEANS = (INSENSITIVITY, FIRST_BLOCK, SPECIFICITY)
_TESTS: Mapping[str, Callable[[RunCurves], Iterator[Evidence]]] = {
    THRESHOLD: claim_tests.threshold,
    **{core_claim(share): claim_tests.core_group for share in SHARES},
}
_SHARE_OF = {core_claim(share): share for share in SHARES}


def plan_claim(
    effects: "pd.DataFrame",
    claim: str,
    *,
    power: float = 0.8,
    per_document: Sequence[int] = (),
    n_studies: int = 400,
    n_boot: int = 399,
    seed: int = 0,
    most: int | None = None,
    seconds_per_prompt: float = np.nan,
) -> Plan:
    """Say how many documents support a claim (over all blocks but the first) with a given power, from a pilot.

    Args:
        effects: of the pilot run, of which prompts that lack a rate are left out, which a note says; the arm ``top``
            with the median, and for claim 5 the arm ``random``. Where they hold no log-probability they are
            changes of the logit, and the claim's limit is the same number of logits.
        claim: its name, one of ``CLAIMS``: 1, 2, 3, 4 (effect) or 5.
        power: probability that the claim is called *supported*, if the truth is what the pilot shows.
        per_document: numbers of prompts of a document to plan for.
        n_studies, n_boot, seed: of the simulation of claims 2 and 3.
        most: documents looked at, by default 100,000, or 4,096 where studies are simulated.
        seconds_per_prompt: of sweeping, for the cost.

    Raises:
        InputError: the pilot does not allow the claim, or an argument is not allowed.

    Examples:
        With the simulated ``effects`` of ``docs/examples/simulated_effects.py``:

        >>> plan = rs.plan_claim(effects, "5 specificity", power=0.9)
        >>> plan.tidy()[["prompts_per_document", "documents", "documents_cautious"]].astype(int)
           prompts_per_document  documents  documents_cautious
        0                     1          4                   6
        1                     2          4                   6
        2                     4          4                   6
        3                     8          4                   6
    """
    if claim in MEANS:
        pilot, components = claim_components(effects, claim)
        return plan_mean_claim(
            claim, components, power=power, per_document=per_document_of(pilot, per_document),
            most=most or MOST_DOCUMENTS, seconds_per_prompt=seconds_per_prompt,
            pilot_documents=pilot.n_documents, notes=remarks(pilot),
        )  # fmt: skip
    if claim not in _TESTS:
        raise InputError(f"claim {claim!r} cannot be planned; allowed: {', '.join((*MEANS, *_TESTS))}")
    if n_studies < 20 or n_boot < 20 or seed < 0:
        raise InputError(f"n_studies={n_studies} and n_boot={n_boot} are at least 20, seed={seed} is not negative")
    (pilot,), goal = _pilots(cell_rows(effects, "top", "median")), Goal("power", power)
    _check_true_of(pilot, claim)
    achieved = simulated_power(pilot, claim, n_studies, n_boot, seed)
    rows = simulated_rows(goal, achieved, per_document_of(pilot, per_document), most or MOST_SIMULATED)
    how = (
        f"Each power from {n_studies} studies drawn from the pilot, each tested with {n_boot} resamples (seed {seed}); "
        "two Monte-Carlo errors are shown. The truth is taken to be what the pilot shows, and the pilot's own uncertainty "
        "is inherited."
    )
    rows = with_cost(rows.assign(documents_cautious=np.nan), seconds_per_prompt)
    return Plan(_question(claim, power), rows, (how, *remarks(pilot)))


def plan_mean_claim(
    claim: str,
    components: VarianceComponents,
    *,
    power: float = 0.8,
    per_document: Sequence[int] = (1,),
    most: int = MOST_DOCUMENTS,
    seconds_per_prompt: float = np.nan,
    pilot_documents: int | None = None,
    notes: tuple[str, ...] = (),
) -> Plan:
    """Say how many documents support a claim on a mean with a given power, from its effect and variance components.

    Raises:
        InputError: the claim is not about a mean, or an argument is not allowed.
    """
    rows = exact_rows(Goal("power", power), exact_power(claim, components), per_document, most)
    how = f"Power of the t test if the true difference is {components.effect:.3g}. {components.words()}"
    rows = with_cost(with_caution(rows, pilot_documents), seconds_per_prompt)
    return Plan(
        _question(claim, power),
        rows,
        (
            how,
            *([f"{INHERITED} That is for its spread; the difference is taken as true."] if pilot_documents else []),
            *notes,
        ),
    )


def _question(claim: str, power: float) -> str:
    return (
        f"Documents for a power of {power:.0%} that claim {claim!r} is supported (its limit: {CLAIMS[claim].margin:g})."
    )


def exact_power(claim: str, components: VarianceComponents) -> Achieved:
    """Return the power of the t test, or of the two one-sided ones, of a claim on a mean.

    Raises:
        InputError: the claim is not about a mean.
    """
    if claim not in MEANS:
        raise InputError(f"claim {claim!r} is not about a mean: it needs a pilot, variances do not tell its power")
    margin, alpha = CLAIMS[claim].margin, (1 - CLAIMS[claim].conf_level) / 2
    if CLAIMS[claim].decide is within_margin:
        return lambda n, m: (components.power_within(n, m, margin, alpha), 0.0)
    return lambda n, m: (components.power_above(n, m, margin, alpha), 0.0)


def simulated_power(pilot: Pilot, claim: str, n_studies: int, n_boot: int, seed: int) -> Achieved:
    """Return the share of studies drawn from the pilot that support the claim on threshold or core group."""

    def achieved(n_documents: int, per_document: int) -> tuple[float, float]:
        rng = np.random.default_rng([seed, n_documents, per_document])
        # The studies are independent, so that they may share counts and signs.
        counts = rng.multinomial(n_documents, np.full(n_documents, 1 / n_documents), size=n_boot).astype(np.float64)
        resamples = Resamples(counts, flip_signs(n_documents, n_boot, rng))
        supported = 0
        for _ in range(n_studies):
            study = pilot.study(n_documents, per_document, rng)
            run = RunCurves({("top", "median"): study}, study, resamples)
            supported += any(_supports(found) for found in _TESTS[claim](run) if found.claim == claim)
        power = supported / n_studies
        return power, float(np.sqrt(max(power * (1 - power), 1 / n_studies) / n_studies))

    return achieved


def _supports(found: Evidence) -> bool:
    """Tell whether evidence on one curve supports its claim, as in the claims of a run."""
    claim = CLAIMS[found.claim]
    if claim.name == THRESHOLD and not found.test.p_value[0] < ALPHA:
        return False
    return claim.decide(float(found.conf_low[0]), float(found.conf_high[0]), claim.margin) == "supported"


def _check_true_of(pilot: Pilot, claim: str) -> None:
    """Refuse to plan for a claim that is not what the pilot shows: no number of documents would support it."""
    quantity, share = ("threshold", 0.5) if claim == THRESHOLD else ("core_fraction", _SHARE_OF[claim])
    value = float(estimator(pilot, quantity, share)(pilot.mean[None])[0])
    if not value < CLAIMS[claim].margin:
        raise InputError(
            f"claim {claim!r} is not what the pilot shows ({value:.3g}, limit {CLAIMS[claim].margin:g}): "
            "no number of documents would support it"
        )


def claim_components(effects: "pd.DataFrame", claim: str) -> tuple[Pilot, VarianceComponents]:
    """Return the pilot of the main cell and the variance components of what a claim is about, one value a prompt."""
    if claim == INSENSITIVITY:
        (main,) = _pilots(cell_rows(effects, "top", "median"))
        values = _contrast(main, nearest_dose(main.x, 0.9) - nearest_dose(main.x, 0.1))
    elif claim == FIRST_BLOCK:
        first, main = _pilots(
            cell_rows(effects, "top", "median", first_block=True), cell_rows(effects, "top", "median")
        )
        values = _contrast(first, plateau_weights(main.x)) - _contrast(main, plateau_weights(main.x))
    else:
        main, random = _pilots(cell_rows(effects, "top", "median"), cell_rows(effects, "random", "median"))
        weights = plateau_weights(main.x, SPECIFIC_DOSES)
        values = _contrast(main, weights) - _contrast(random, weights)
    return main, variance_components(values, main.documents)


def _contrast(pilot: Pilot, weights: Floats | None) -> Floats:
    if weights is None or not np.isfinite(weights).all():
        raise InputError("the pilot's doses do not reach over those that the claim is about")
    values: Floats = pilot.curves @ weights
    return values


def _pilots(*cells: "pd.DataFrame") -> list[Pilot]:
    metric = main_metric(recorded_in(cells[0], MAIN_METRICS))
    return pilots_of(cells, y=metric, x="effective_rate", cluster="document_id")


def cell_rows(effects: "pd.DataFrame", arm: str, replacement: str, *, first_block: bool = False) -> "pd.DataFrame":
    """Return the effects of one arm and replacement at the first site, at block 0 or at all the others.

    Raises:
        InputError: there are none.
    """
    site = effects["site"].iloc[0]
    chosen = (effects["arm"] == arm) & (effects["replacement"] == replacement) & (effects["site"] == site)
    rows = effects[chosen & ((effects["layer"] == 0) == first_block)]
    if rows.empty:
        blocks = "block 0" if first_block else "blocks beside the first"
        raise InputError(f"the pilot has no arm {arm!r} with the {replacement} at {blocks}; this plan needs it")
    return rows
