"""How many prompts are run together, and what is done when memory does not suffice for them."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ripplestats.errors import is_out_of_memory
from ripplestats.model.load import Model
from ripplestats.prompts.table import Prompt
from ripplestats.sweeps.grid import Grid

Columns = dict[str, np.ndarray]
#: On the CPU: so few that a laptop has the memory, and as fast as more.
BATCH_ON_CPU = 8
_MOST = 256
#: Residual streams, their normed copy, its difference from the clean one, and as much again for what one call needs.
_COPIES = 6
_SHARE_OF_FREE = 0.5


def usual_batch_size(model: Model, grid: Grid) -> int:
    """Return how many prompts to run together: on CUDA so many that their branches take half of the free memory."""
    if model.device.type != "cuda":
        return BATCH_ON_CPU
    weights = next(model.network.parameters())
    width = model.network.config.get_text_config().hidden_size
    of_prompt = len(grid.layers) * len(grid.branches()) * width * weights.element_size() * _COPIES
    free, _ = torch.cuda.mem_get_info(model.device)
    return int(min(max(_SHARE_OF_FREE * free // of_prompt, 1), _MOST))


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
        MemoryError, RuntimeError: memory does not suffice for a single prompt.
    """
    try:
        return work(group)
    except (MemoryError, RuntimeError) as error:
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
