"""Threshold and core fraction under every choice: ``specification_curve.pdf``, ``.png`` and ``.tex``."""

import sys

from from_run import FinishedRun, main

import ripplestats as rs
from ripplestats.rendering.charts import PAGE
from ripplestats.report.specification_curve import draw_specification_curve, specification_table
from ripplestats.store.atomic import write_text


def write(finished: FinishedRun) -> None:
    """Fit all specifications with the run's own resamples, draw them and set their table."""
    analysis = finished.manifest.get("analysis", {})
    curve = rs.specification_curve(finished.run, n_boot=analysis.get("n_boot", 2000), seed=analysis.get("seed", 0))
    with finished.figure("specification_curve", (PAGE, 4.6)) as page:
        draw_specification_curve(page, curve)
    write_text(finished.out / "specification_curve.tex", specification_table(curve, finished.manifest))


if __name__ == "__main__":
    sys.exit(main(write, __doc__))
