"""Analyses without pictures, for tests of everything else."""

from collections.abc import Callable
from typing import Any

from ripplestats import pipeline

_WRITERS = ("write_figures", "write_specification_curve", "write_page")


def leave_out_pictures(setattr_: Callable[[Any, str, Any], None]) -> None:
    """Let analyses write tables, but no figures and no page; ``setattr_`` puts a function in the place of another."""
    for name in _WRITERS:
        setattr_(pipeline, name, lambda *_: None)
