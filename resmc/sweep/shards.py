"""Shards: how the networks of a series are cut into them, and which shards of a store make up a series.

A shard is a range of networks, the unit that is computed, written and lost at a time. Ranges start at multiples of a
size that depends on the plan alone, so that stopping, resuming, other workers or another engine change no boundary.
A stored shard is used whatever its size: a plan may be extended, and a GPU may take larger steps than a CPU.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

# Work in a shard: about a second of one CPU core, or of one GPU at a tenth of the rate that its instructions allow.
# Smaller shards would spend time on files and on starting kernels; larger ones would lose much when a process dies.
UPDATES = {"cpu": 2**30, "cuda": 2**37}
TOGETHER = 2**27  # updates of small shards that one task computes: a fraction of a second, to be lost with its process
MOST_SHARDS = 2**15  # shards of a whole plan, beside one for each point: 10^12 networks take as few files as 10^10
MOST_FILES = 2**20  # shards of a plan whose user has set the size of a shard


class Range(NamedTuple):
    """Networks start .. stop - 1."""

    start: int
    stop: int


class Series(Protocol):
    """Networks 0, 1, 2, .. of one description, as a point of a sweep has them: ranges of them are shards."""

    @property
    def key(self) -> str:
        """Hash of all that, beside the range and the numerics class, decides what a file holds."""

    @property
    def updates(self) -> int:
        """Work for one network."""

    @property
    def batch(self) -> int:
        """Networks that shards do not part."""


S = TypeVar("S", bound=Series, covariant=True)


@dataclass(frozen=True)
class Shard(Generic[S]):
    """A range of networks of a series."""

    point: S
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Key and range; the numerics class is not known before the shard is computed."""
        return f"{self.point.key}-{self.start}-{self.stop}"

    @property
    def updates(self) -> int:
        """Work in the whole shard."""
        return (self.stop - self.start) * self.point.updates


def shard_updates(total: int, least: int) -> int:
    """Return the work in a shard for a plan of ``total`` updates: ``least``, or more so that 2^15 shards suffice."""
    return max(least, -(-total // MOST_SHARDS))


def shard_networks(point: Series, updates: int) -> int:
    """Return the networks of a shard with at least so many updates: the series' batch times a power of two."""
    batches = -(-updates // (point.updates * point.batch))
    return point.batch << max(batches - 1, 0).bit_length()


def cover(networks: int, size: int, stored: Collection[Range]) -> tuple[list[Range], list[Range]]:
    """Cut the networks 0 .. networks - 1 into ranges: those stored already, and those missing.

    The cut goes on from network to network: next comes the longest stored range that starts there. If none does, a
    missing range reaches to the next multiple of ``size`` or to the next stored range. Where a shorter plan has ended
    within a batch, the rest of that batch is summed by itself.
    """
    longest: dict[int, int] = {}
    for start, stop in stored:
        if start < stop <= networks:
            longest[start] = max(stop, longest.get(start, 0))
    starts = sorted(longest, reverse=True)
    have, missing, at = [], [], 0
    while at < networks:
        while starts and starts[-1] <= at:
            starts.pop()
        if at in longest:
            have.append(Range(at, longest[at]))
            at = longest[at]
        else:
            stop = min((at // size + 1) * size, networks, starts[-1] if starts else networks)
            missing.append(Range(at, stop))
            at = stop
    return have, missing


def is_within(range_: Range, ranges: Sequence[Range]) -> bool:
    """Say whether all networks of a range lie in the union of sorted, disjoint ranges."""
    at, stop = range_
    index = max(bisect_right(ranges, range_) - 1, 0)
    while at < stop and index < len(ranges) and ranges[index].start <= at:
        at = max(at, ranges[index].stop)
        index += 1
    return at >= stop


def in_turn(shards: Iterable[tuple[int, Shard[Any]]]) -> list[Shard[Any]]:
    """Order shards, given as (networks of the shard's series, shard), so that all series advance together.

    A sweep that is stopped early is then a coarse picture of the whole, not a fine one of its first points.
    """
    ordered = sorted(enumerate(shards), key=lambda item: (item[1][1].start / item[1][0], item[0]))
    return [shard for _, (_, shard) in ordered]
