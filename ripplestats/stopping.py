"""The rule by which ``--until-width`` ends a sweep, made from the sweep itself."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ripplestats.config import METRICS
from ripplestats.errors import InputError
from ripplestats.fits.breakpoint import MINIMUM_DOSES
from ripplestats.fits.curve_layout import Cell
from ripplestats.fits.sequential import UntilWidth

if TYPE_CHECKING:
    from ripplestats.sweeps.runner import Sweep


def width_rule(job: "Sweep", width: float, say: Callable[[str], None] = lambda _: None) -> UntilWidth:
    """Return the rule that ends a sweep once the interval of its main threshold is narrow enough.

    Args:
        job: the sweep. The threshold is that of its first arm, replacement and site, over all blocks but the first.
        width: of the interval, a share of the neurons.
        say: is told in one line of each look.

    Raises:
        InputError: the width is not a share, or the sweep has no such threshold.
    """
    grid = job.grid
    if not 0 < width < 1:
        raise InputError(f"until_width={width} must lie between 0 and 1, a share of the neurons")
    if not any(grid.layers):
        raise InputError(
            "--until-width is about the threshold over all blocks but the first, and --layers has none of them"
        )
    doses = {branch.k for branch in grid.branches()}
    if len(doses) < MINIMUM_DOSES:
        raise InputError(
            f"--until-width needs a threshold, and that at least {MINIMUM_DOSES} doses; --rates has {len(doses)}"
        )
    metric = METRICS["logprob" if "logprob" in job.metrics else "logit"]
    return UntilWidth(width, Cell(grid.arms[0], grid.replacements[0], grid.sites[0], metric), say=say)
