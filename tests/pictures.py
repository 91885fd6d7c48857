"""Analyses without pictures, for tests of everything else."""

from collections.abc import Callable
from typing import Any

from ripplestats import pipeline
from ripplestats.report import specification_curve

_WRITERS = ((pipeline, "write_figures"), (pipeline, "write_page"), (specification_curve, "write_figure"))


def leave_out_pictures(setattr_: Callable[[Any, str, Any], None]) -> None:
    """Let analyses write tables, but no figures and no page; ``setattr_`` puts a function in the place of another."""
    for module, name in _WRITERS:
        setattr_(module, name, lambda *_, **__: None)
