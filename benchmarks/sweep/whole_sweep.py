"""Ours: whole sweeps from prompts to parquet files, timed without the self-check, whose verdict is needed all the same."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.sweep.job import Case, first_prompts
from benchmarks.sweep.timing import cell_name, clock
from ripplestats.intervention.branches import dose
from ripplestats.model.load import Model, load_model
from ripplestats.prompts.table import Prompt, PromptTable
from ripplestats.store.run_directory import Run
from ripplestats.sweeps.batch import make_batch
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.memory import usual_batch_size
from ripplestats.sweeps.onepass import run_one_pass
from ripplestats.sweeps.runner import Sweep

_FEWEST_ROUNDS, _MOST_ROUNDS = 2, 30


@dataclass(frozen=True)
class SweepTimes:
    """Whole sweeps of some prompts; ``outcomes`` are those of the first one."""

    seconds: float
    n_prompts: int
    batch_size: int
    rounds: int
    outcomes: dict[str, float]
    self_check: float


def prompt_table(case: Case) -> PromptTable:
    """Return the case's prompts as the sweep takes them."""
    rows = zip(case.prompts, case.targets, strict=True)
    return PromptTable(tuple(Prompt(number, number, "", ids, "", target) for number, (ids, target) in enumerate(rows)))


def make_sweep(model: Model, case: Case, rates: str, batch_size: int | None, layers: str = "all") -> Sweep:
    """Return the benchmark's sweep: the largest activations at ``pre``, put at the median; batches as by default if not said."""
    grid = make_grid(model.n_layers, model.n_neurons, rates=rates, arms=("top",), layers=layers)
    batch_size = batch_size or usual_batch_size(model, grid, case.context)
    return Sweep(model, prompt_table(case), grid, batch_size=batch_size)


def run_and_write(sweep: Sweep, folder: Path) -> np.ndarray:
    """Sweep all prompts in one pass per batch, write their parquet files, return the changes of log-probability."""
    effects, clean = sweep.run(slice(0, len(sweep.prompts)), "onepass")
    frame = sweep.prompts.to_frame()
    Run(folder).write_part(0, effects, {**{name: frame[name] for name in frame.columns}, **clean})
    return effects["delta_logprob"]


def time_sweeps(model: Model, case: Case, rates: str, batch_size: int | None, *, check: bool = True) -> SweepTimes:
    """Time sweeps of all prompts of a case, for at least its seconds and twice; the median of rounds.

    Raises:
        EngineError: the one-pass engine does not pass its self-check on this model.
    """
    sweep = make_sweep(model, case, rates, batch_size)
    found = sweep.checked("onepass")[1] if check else None
    device = str(model.device)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run_and_write(make_sweep(model, first_prompts(case, 1), rates, 1, layers="0"), out)  # to warm up
        seconds: list[float] = []
        while len(seconds) < _FEWEST_ROUNDS or (len(seconds) < _MOST_ROUNDS and sum(seconds) < case.seconds):
            before = clock(device)
            changes = run_and_write(sweep, out)
            seconds.append(clock(device) - before)
            if len(seconds) == 1 and seconds[0] > case.seconds:
                break  # long enough to be its own mean
    grid = sweep.grid
    doses = [dose(rate, grid.n_neurons) for rate in grid.rates]
    names = [cell_name(layer, k) for layer in grid.layers for k in doses]
    return SweepTimes(
        seconds=median(seconds),
        n_prompts=len(case.prompts),
        batch_size=sweep.batch_size,
        rounds=len(seconds),
        outcomes=dict(zip(names, changes[: len(names)].tolist(), strict=True)),
        self_check=float("nan") if found is None else found.largest_difference,
    )


def _of_packed_product(x: torch.Size, _packed: torch.Size, weight: torch.Size, *_: object, **__: object) -> int:
    return 2 * x.numel() * weight[0]


#: PyTorch's counter does not know the products by packed weights.
_PACKED = {torch.ops.mkl._mkl_linear: _of_packed_product} if torch.backends.mkl.is_available() else {}


def counted_operations(model: Model, case: Case, rates: str) -> int:
    """Return the floating-point operations of the first prompt as PyTorch counts them while they are done.

    It does not know the fused attention of the CPU, which the prefix runs through.
    """
    sweep = make_sweep(model, first_prompts(case, 1), rates, 1)
    batch = make_batch(list(sweep.prompts), model.device, 0)
    with FlopCounterMode(display=False, custom_mapping=_PACKED) as counter:
        run_one_pass(model, batch, sweep.grid.layers, sweep.grid.branches())
    return counter.get_total_flops()


def load(folder: str, device: str, dtype: torch.dtype) -> Model:
    """Load a folder as the sweep does."""
    return load_model(folder, device=device, dtype=str(dtype).removeprefix("torch."))
