"""Which scripts make the parts of the paper."""

import agreement
import calibration
import claims
import core_fraction
import dose_response
import first_block
import layer_by_rate
import moderators
import parity
import plateau
import population_threshold
import prose_numbers
import replacement
import specification_curve
import specificity
import speed
import sufficiency
import threshold
from from_run import FinishedRun

OF_RUN = (
    claims, core_fraction, dose_response, first_block, layer_by_rate, moderators, prose_numbers, plateau,
    population_threshold, replacement, specification_curve, specificity, sufficiency, threshold,
)  # fmt: skip
OF_RESULTS = (agreement, calibration, parity, speed)


def write(finished: FinishedRun) -> None:
    """Run every script on one run."""
    for script in OF_RUN:
        script.write(finished)
    for script in OF_RESULTS:
        script.write(finished.out)
