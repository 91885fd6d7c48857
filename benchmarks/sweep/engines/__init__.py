"""The engines that are compared, by name; each peer written as its own documentation would have it."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.sweep.engines.cells import CellEngine

#: Name → where its class is, and what it is called in tables. Ours is measured on whole sweeps (``whole_sweep``).
PEERS = {
    "note": ("research_note:ResearchNoteLoop", "the note's loop"),
    "transformer_lens": ("lens:LensPatching", "TransformerLens"),
    "pyvene": ("intervenable:PyveneIntervention", "pyvene"),
    "nnsight": ("traces:NnsightTraces", "nnsight"),
    "batched_hooks": ("batched_hooks:BatchedHooks", "batched hooks"),
}


def peer_class(name: str) -> "type[CellEngine]":
    """Import a peer; ImportError says that its package is not installed."""
    module, _, attribute = PEERS[name][0].partition(":")
    found: type[CellEngine] = getattr(import_module(f"benchmarks.sweep.engines.{module}"), attribute)
    return found
