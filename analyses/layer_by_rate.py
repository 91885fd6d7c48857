"""Mean effect of every block and rate, as a map: ``layer_by_rate.pdf``, ``.png``."""

import sys

from from_run import FinishedRun, main

from ripplestats.rendering.charts import PAGE
from ripplestats.report.figures import draw_layer_by_rate


def write(finished: FinishedRun) -> None:
    """Draw the map of the first arm."""
    arm = finished.arms[0]
    curves = next(one for cell, one in finished.curves.items() if cell.arm == arm)
    with finished.figure("layer_by_rate", (0.75 * PAGE, 2.9)) as page:
        draw_layer_by_rate(page, curves, arm, finished.metric)


if __name__ == "__main__":
    sys.exit(main(write, __doc__))
