"""Analyses without pictures and the slowest model, or with pictures that cost less, for tests of everything else."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from ripplestats import pipeline
from ripplestats.fits import run_estimates
from ripplestats.rendering import charts
from ripplestats.report import specification_curve

_WRITERS = ((pipeline, "write_figures"), (pipeline, "write_page"), (specification_curve, "write_figure"))


def leave_out_pictures(setattr_: Callable[[Any, str, Any], None]) -> None:
    """Let analyses write tables, but no figures and no page; ``setattr_`` puts a function in the place of another."""
    for module, name in _WRITERS:
        setattr_(module, name, lambda *_, **__: None)


def leave_out_random_breaks(setattr_: Callable[[Any, str, Any], None]) -> None:
    """Leave out the segmented mixed model, which on random numbers takes longer than all the rest of an analysis."""
    setattr_(run_estimates, "population_rows", lambda *_: pd.DataFrame())


def embed_fonts_quickly(setitem: Callable[[Any, str, Any], None]) -> None:
    """Let PDFs hold their letters as drawings: cutting TrueType fonts down is a quarter of a small run's analysis."""
    setitem(charts._STYLE, "pdf.fonttype", 3)
