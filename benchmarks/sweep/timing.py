"""Seconds of engines that are slow, from a sample of cells."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
import torch

from benchmarks.sweep.engines.cells import CellEngine
from benchmarks.sweep.job import Case

_MOST_ROUNDS = 30


@dataclass(frozen=True)
class CellTimes:
    """What was measured on one prompt: seconds a cell by block, and outcomes (log-probability, clean − replaced)."""

    clean_seconds: float
    seconds_per_cell: Mapping[int, float]
    rounds: int
    outcomes: Mapping[str, float]
    cells_timed: int


def clock(device: str) -> float:
    """Return seconds, once the device has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter()


def time_cells(engine: CellEngine, case: Case, device: str) -> CellTimes:
    """Time a sample of cells of the first prompt, again and again for at least the case's seconds; medians of rounds."""
    doses = case.doses_together if engine.together else case.doses
    ids = torch.tensor([case.prompts[0]], device=device)
    engine.clean(ids)
    engine.cells(ids, case.layers[-1], doses[:1])  # to warm up
    started = clock(device)
    clean = engine.clean(ids).double().log_softmax(-1)[case.targets[0]]
    clean_seconds = clock(device) - started
    seconds: dict[int, list[float]] = {layer: [] for layer in case.layers}
    outcomes: dict[str, float] = {}
    rounds = 0
    while rounds == 0 or (rounds < _MOST_ROUNDS and clock(device) - started < case.seconds):
        for layer in case.layers:
            before = clock(device)
            # Outcomes are part of the work: they are copied to the host as a user's loop would.
            logprobs = engine.cells(ids, layer, doses).log_softmax(-1)[:, case.targets[0]].tolist()
            seconds[layer].append((clock(device) - before) / len(doses))
            outcomes |= {cell_name(layer, k): float(clean) - one for k, one in zip(doses, logprobs, strict=True)}
        rounds += 1
    return CellTimes(
        clean_seconds=clean_seconds,
        seconds_per_cell={layer: median(found) for layer, found in seconds.items()},
        rounds=rounds,
        outcomes=outcomes,
        cells_timed=len(case.layers) * len(doses),
    )


def cell_name(layer: int, k: int) -> str:
    """Return the name of a cell in results."""
    return f"{layer}:{k}"


def whole_sweep_seconds(times: CellTimes, n_layers: int, n_doses: int) -> float:
    """Return seconds of a prompt's whole sweep; the cost of a cell is linear between the blocks that were timed."""
    layers = sorted(times.seconds_per_cell)
    known = [times.seconds_per_cell[layer] for layer in layers]
    return times.clean_seconds + n_doses * float(np.interp(range(n_layers), layers, known).sum())
