"""Groups of prompts side by side on the processors of one machine.

Each group has a thread and each thread a processor, in place of one group whose every operation is split over all of
them: nobody waits for anybody between operations (a processor that another program keeps busy would hold up all), and
what one operation leaves in a processor's cache the next one finds there.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from queue import SimpleQueue
from typing import TypeVar

import torch

from ripplestats.model.load import Model
from ripplestats.model.sites import find_layout

Group = TypeVar("Group")
Result = TypeVar("Result")


def side_by_side(model: Model, work: Callable[[Model, Group], Result], groups: Sequence[Group]) -> Iterator[Result]:
    """Yield the result of ``work`` for every group, in their order.

    On the CPU as many groups run at a time as PyTorch has threads; each worker has modules of its own (hooks are set on
    them) over the same weights. On other devices, and where the model is spread over several, groups run one after
    another.
    """
    n_threads = torch.get_num_threads()
    n_workers = min(n_threads, len(groups)) if model.shareable else 1
    if n_workers == 1:
        yield from (work(model, group) for group in groups)
        return
    idle: SimpleQueue[Model] = SimpleQueue()
    for one in (model, *(sharing_weights(model) for _ in range(n_workers - 1))):
        idle.put(one)

    def run(group: Group) -> Result:
        mine = idle.get()
        try:
            return work(mine, group)
        finally:
            idle.put(mine)

    with _threads_of_pytorch(n_threads // n_workers):
        pool = ThreadPoolExecutor(n_workers, thread_name_prefix="sweep")
        try:
            for future in [pool.submit(run, group) for group in groups]:
                yield future.result()
        finally:
            # Not waited for: after an interruption a group may have minutes to go.
            pool.shutdown(wait=False, cancel_futures=True)


def sharing_weights(model: Model) -> Model:
    """Return a model with modules of its own over the same weights."""
    network = model.network
    shared = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
    network = copy.deepcopy(network, shared)
    return replace(model, network=network, layout=find_layout(network, model.layout.names))


@contextmanager
def _threads_of_pytorch(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
