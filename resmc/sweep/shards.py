"""How the networks of a point are cut into shards, and which shards of a store make up a point.

A shard is a range of networks: what is computed, written and lost at a time. Ranges start at multiples of a size that
depends on the plan alone, so that stopping, resuming, other workers or another engine change no boundary. What is
stored already is used whatever its size: a plan may be extended, and a GPU may take larger steps than a CPU.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .point import Point

# About a second of one CPU core, and of one GPU at a tenth of what counted instructions would allow. Too small, and
# files and starts of kernels cost time; too large, and much is lost with a process.
UPDATES = {"cpu": 2**30, "cuda": 2**37}
MOST_SHARDS = 2**15  # of a whole plan, beside one for each point: 10^12 networks are as few files as 10^10
MOST_FILES = 2**20  # of a plan that says itself how large its shards are


class Range(NamedTuple):
    """Networks start .. stop - 1."""

    start: int
    stop: int


@dataclass(frozen=True)
class Shard:
    """A range of networks of a point."""

    point: Point
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Key and range, without the numerics class."""
        return f"{self.point.key}-{self.start}-{self.stop}"

    @property
    def updates(self) -> int:
        """The work in it."""
        return (self.stop - self.start) * self.point.updates


def shard_updates(total: int, least: int) -> int:
    """Work per shard for a plan of ``total`` updates: more for a large plan, so that its files stay below 2^15."""
    return max(least, -(-total // MOST_SHARDS))


def shard_networks(point: Point, updates: int) -> int:
    """Networks of a shard with at least so many updates: the point's block times a power of two."""
    blocks = -(-updates // (point.updates * point.block))
    return point.block << max(blocks - 1, 0).bit_length()


def cover(networks: int, size: int, stored: Collection[Range]) -> tuple[list[Range], list[Range]]:
    """Ranges that together are the networks 0 .. networks - 1: those stored already, and those missing.

    From the first network on, the longest stored range that starts here; where there is none, a missing one up to the
    next multiple of ``size`` or the next stored range. Where a shorter plan has ended within a block, the rest of that
    block makes sums of its own.
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
    """Whether all networks of a range are in the union of sorted, disjoint ones."""
    at, stop = range_
    index = max(bisect_right(ranges, range_) - 1, 0)
    while at < stop and index < len(ranges) and ranges[index].start <= at:
        at = max(at, ranges[index].stop)
        index += 1
    return at >= stop


def in_turn(shards: Iterable[tuple[int, Shard]]) -> list[Shard]:
    """Shards with the number of networks of their point, ordered so that all points advance together.

    A sweep that is stopped early is then a coarse picture of the whole, not a fine one of its first points.
    """
    ordered = sorted(enumerate(shards), key=lambda item: (item[1][1].start / item[1][0], item[0]))
    return [shard for _, (_, shard) in ordered]
