"""Which worker has which shard: a few at a time each, failed ones elsewhere again, hopeless ones set aside."""

from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from ripplestats.execution.shards import Shard

#: A shard that failed so often is set aside.
TRIES = 3
#: Shards that a worker has at most: one to compute, and one to begin with at once when that is done.
AT_HAND = 2


@dataclass(frozen=True)
class SetAside:
    """A shard that failed at every try, and why at the last."""

    shard: Shard
    why: str


@dataclass
class Assignments:
    """The shards that are still to be done, in their order, and who has which.

    A worker does what it has in the order given, so that a worker that dies was at its first.
    """

    waiting: deque[Shard]
    set_aside: dict[str, SetAside] = field(default_factory=dict)
    _at_hand: defaultdict[Hashable, deque[Shard]] = field(default_factory=lambda: defaultdict(deque))
    _tries: Counter[str] = field(default_factory=Counter)
    _failed_with: defaultdict[str, set[Hashable]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, shards: Iterable[Shard]) -> "Assignments":
        """Begin with shards that nobody has."""
        return cls(deque(shards))

    @property
    def open(self) -> bool:
        """Whether there is a shard that is neither done nor set aside."""
        return bool(self.waiting) or any(self._at_hand.values())

    def hand_out(self, worker: Hashable, others: Iterable[Hashable] = (), before: int | None = None) -> Shard | None:
        """Give a worker the next shard, or None where it has enough or there is none for it.

        Args:
            worker: who asks.
            others: the other workers that are there. What failed with this one is left to one with which it has not.
            before: shards from this number on are not handed out yet.
        """
        if len(self._at_hand[worker]) >= AT_HAND:
            return None
        others = set(others)
        for place, shard in enumerate(self.waiting):
            failed = self._failed_with.get(shard.name, set())
            if before is not None and shard.number >= before:
                return None
            if worker not in failed or not others - failed:
                del self.waiting[place]
                self._at_hand[worker].append(shard)
                return shard
        return None

    def done(self, worker: Hashable, shard: Shard) -> None:
        """Note that a worker has computed a shard."""
        self._at_hand[worker].remove(shard)

    def failed(self, worker: Hashable, shard: Shard, why: str) -> int:
        """Note that a shard failed with a worker, and return how often it did by now."""
        self._at_hand[worker].remove(shard)
        self._tries[shard.name] += 1
        self._failed_with[shard.name].add(worker)
        if self._tries[shard.name] >= TRIES:
            self.set_aside[shard.name] = SetAside(shard, why)
        else:
            self.waiting.appendleft(shard)
        return self._tries[shard.name]

    def take_back(self, worker: Hashable) -> None:
        """Take back what a worker has that is gone; none of it has failed."""
        self.waiting.extendleft(reversed(self._at_hand.pop(worker, deque())))

    def at(self, worker: Hashable) -> Shard | None:
        """Return the shard that a worker is at."""
        held = self._at_hand[worker]
        return held[0] if held else None
