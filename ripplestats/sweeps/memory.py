"""How many prompts are run together, and what is done when memory does not suffice for them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from ripplestats.errors import is_out_of_memory
from ripplestats.model.load import Model
from ripplestats.prompts.table import Prompt
from ripplestats.sweeps.grid import Grid

Columns = dict[str, np.ndarray]
_MEMORY = Path("/proc/meminfo")
#: On the CPU: so few that a laptop has the memory, and as fast as more.
BATCH_ON_CPU = 8
_MOST = 256
#: Residual streams, their normed copy, its difference from the clean one, and as much again for what one call needs.
_COPIES = 6
_SHARE_OF_FREE = 0.5
#: What a sweep on the CPU may take beyond the weights.
_BUDGET = 600 * 10**6
#: What libraries take once they work, those that check and write included, and what lies idle between blocks of memory in
#: use (measured: 250 to 310 MB).
_AT_REST = 300 * 10**6
#: Copies on the CPU: residual streams, normed, their difference; a prompt's MLP before and after its activation function,
#: and once more for a gate; its residual stream, normed, queries, keys, values and their sum; a prompt's clean logits and
#: what is computed from them, half of it in float64.
_STREAMS, _WIDE, _NARROW, _LOGITS = 3, 3, 6, 8


def usual_batch_size(model: Model, grid: Grid, tokens: int) -> int:
    """Return how many prompts of so many tokens to run together.

    On CUDA so many that their branches take half of the free memory. On the CPU at most 8, and fewer where these would
    take more than 600 MB beyond the weights, or than half of the free memory. Outcomes do not depend on it.
    """
    if model.device.type == "cpu":
        fixed, of_prompt = _bytes_on_cpu(model, grid, tokens)
        free = min(_BUDGET, _SHARE_OF_FREE * free_main_memory())
        return int(min(max((free - fixed) // of_prompt, 1), BATCH_ON_CPU))
    if model.device.type != "cuda":
        return BATCH_ON_CPU
    weights = next(model.network.parameters())
    width = model.network.config.get_text_config().hidden_size
    of_prompt = len(grid.layers) * len(grid.branches()) * width * weights.element_size() * _COPIES
    free, _ = torch.cuda.mem_get_info(model.device)
    return int(min(max(_SHARE_OF_FREE * free // of_prompt, 1), _MOST))


def free_main_memory() -> float:
    """Return the bytes of main memory that can still be had, without limit where the system does not say (not Linux)."""
    lines = _MEMORY.read_text(encoding="ascii").splitlines() if _MEMORY.exists() else []
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else float("inf")


def _bytes_on_cpu(model: Model, grid: Grid, tokens: int) -> tuple[int, int]:
    """Return what a sweep takes beyond the weights whatever the batch, and for each prompt of it."""
    config = model.network.config.get_text_config()
    itemsize = next(model.network.parameters()).element_size()
    rows = 1 + len(grid.layers) * len(grid.branches())
    streams = rows * config.hidden_size * _STREAMS
    prefix = tokens * (model.n_neurons * _WIDE + config.hidden_size * _NARROW)
    block = sum(weights.numel() for weights in model.blocks[0].parameters())
    # Each thread may be at another block, whose weights it has laid out.
    return _AT_REST + torch.get_num_threads() * block * itemsize, (
        streams + prefix + config.vocab_size * _LOGITS
    ) * itemsize


def in_halves(
    work: Callable[[Sequence[Prompt]], tuple[Columns, Columns]],
    group: Sequence[Prompt],
    backed_off: Callable[[int], None],
) -> tuple[Columns, Columns]:
    """Do a group's work, or that of its halves where memory does not suffice for the whole, and so on.

    Args:
        work: from prompts to the columns of their outcomes (cells, prompts) and of their clean predictions (prompts,).
        group: the prompts.
        backed_off: is told to how many prompts the work is cut down.

    Raises:
        MemoryError, RuntimeError, SystemError: memory does not suffice for a single prompt.
    """
    try:
        return work(group)
    except (MemoryError, RuntimeError, SystemError) as error:
        if len(group) == 1 or not is_out_of_memory(error):
            raise
    # Outside of the clause above, whose traceback holds on to the tensors that were too many.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = (len(group) + 1) // 2
    backed_off(middle)
    first, second = (in_halves(work, half, backed_off) for half in (group[:middle], group[middle:]))
    outcomes, clean = (
        {name: np.concatenate([mine[name], other[name]], axis=-1) for name in mine}
        for mine, other in zip(first, second, strict=True)
    )
    return outcomes, clean
