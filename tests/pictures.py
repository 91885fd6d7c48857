"""Analyses without pictures, or with pictures that cost less, for tests of everything else."""

from collections.abc import Callable
from typing import Any

from ripplestats import pipeline
from ripplestats.rendering import charts
from ripplestats.report import specification_curve

_WRITERS = ((pipeline, "write_figures"), (pipeline, "write_page"), (specification_curve, "write_figure"))


def leave_out_pictures(setattr_: Callable[[Any, str, Any], None]) -> None:
    """Let analyses write tables, but no figures and no page; ``setattr_`` puts a function in the place of another."""
    for module, name in _WRITERS:
        setattr_(module, name, lambda *_, **__: None)


def embed_fonts_quickly(setitem: Callable[[Any, str, Any], None]) -> None:
    """Let PDFs hold their letters as drawings: cutting TrueType fonts down is a quarter of a small run's analysis."""
    setitem(charts._STYLE, "pdf.fonttype", 3)
