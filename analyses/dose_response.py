"""Mean effect against the share of neurons replaced, every arm: ``dose_response.pdf``, ``.png``."""

import sys

from from_run import FinishedRun, main

from ripplestats.rendering.charts import PAGE
from ripplestats.report.figures import draw_dose_response
from ripplestats.report.wording import mean_blocks


def write(finished: FinishedRun) -> None:
    """Draw the curves of the first replacement and site, with simultaneous bands."""
    first = next(iter(finished.curves))
    curves = {cell.arm: one for cell, one in finished.curves.items() if cell[1:3] == first[1:3]}
    if len(curves) > 1:
        # Its doses are shares kept: it has a figure of its own.
        curves.pop("keep_top", None)
    with finished.figure("dose_response", (0.75 * PAGE, 2.6)) as page:
        draw_dose_response(page, curves, metric=finished.metric, blocks=mean_blocks(finished.manifest))


if __name__ == "__main__":
    sys.exit(main(write, __doc__))
