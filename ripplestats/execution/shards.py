"""Cut the prompts of a sweep into shards: what is computed, written and, if need be, computed anew as one.

Where a shard begins and ends depends on the number of the prompt alone, never on the machine, the batch size or how
many prompts there are in all: a run can be grown, and its shards stay what they are.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ripplestats.execution.definition import shard_keys
from ripplestats.store.shards import shard_name

if TYPE_CHECKING:
    from ripplestats.sweeps.runner import Sweep

#: Prompts of a shard, at least and at most. With 256 prompts of 1,860 cells a shard is 5 MB; a million prompts are
#: 4,200 shards.
SMALLEST, LARGEST = 8, 256
#: In between, a shard holds at most this part of the prompts before it.
_PART = 64


@dataclass(frozen=True)
class Shard:
    """A slice of the prompts: its number in their order, the slice, and the key of what defines its numbers."""

    number: int
    rows: slice
    key: str

    @property
    def name(self) -> str:
        """The name of its files."""
        return shard_name(self.number, self.key)

    @property
    def n_prompts(self) -> int:
        """How many prompts it has."""
        return int(self.rows.stop - self.rows.start)


def make_shards(job: "Sweep", cuts: Iterable[int] = ()) -> list[Shard]:
    """Cut the prompts of a sweep into shards.

    Args:
        job: the sweep.
        cuts: numbers of prompts that the run had before it was grown; a shard ends at each.
    """
    slices = list(shard_slices(len(job.prompts), cuts))
    keys = shard_keys(job, slices)
    return [Shard(number, rows, key) for number, (rows, key) in enumerate(zip(slices, keys, strict=True))]


def shard_slices(n_prompts: int, cuts: Iterable[int] = ()) -> Iterator[slice]:
    """Yield the slices of the shards of so many prompts: 8 each up to prompt 1,024, then ever larger, up to 256.

    A kill so costs at most a sixty-fourth of what was done before it, or 8 prompts.
    """
    ends = sorted({cut for cut in cuts if 0 < cut < n_prompts} | {n_prompts})
    natural = start = 0
    for end in ends:
        while start < end:
            while natural <= start:
                natural += shard_size(natural)
            stop = min(natural, end)
            yield slice(start, stop)
            start = stop


def shard_size(start: int) -> int:
    """Return how many prompts the shard that begins at a prompt has: a power of two."""
    largest = max(start // _PART, 1)
    return min(max(1 << (largest.bit_length() - 1), SMALLEST), LARGEST)
