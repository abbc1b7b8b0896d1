"""The coordinator's view of what it computes, be it a sweep or a heat map.

A plan describes what is wanted; a campaign knows how that is cut, computed and read back. Whoever has a new kind of
plan gives it a campaign: which series of networks there are (`resmc.sweep.shards.Series`), and a task that computes a
range of one (`resmc.sweep.compute.ShardTask`). Stores, claims, engines, progress and resuming come with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from .._system.plain import Plain
from .compute import Done, ShardTask
from .shards import Series, Shard
from .store import Store, Stored


class Described(Protocol):
    """A plan, as it lies in a store."""

    def to_dict(self) -> Plain:
        """Return the plan as plain values."""


class Outcome(Protocol):
    """A result that was read back from a store, each of whose files has been verified."""

    @property
    def complete(self) -> bool:
        """True if all that was wanted is there."""

    @property
    def damaged(self) -> tuple[str, ...]:
        """Names of the files that were damaged."""


class Pilots(Protocol):
    """Short runs that tell how many networks each series shall have; theirs are numbered from `FIRST_OF_PILOT` on."""

    def shard(self, index: int) -> Shard[Any]:
        """Return the pilot of a series."""

    def read(self, store: Store, stored: Stored) -> Any:
        """Read what a pilot's task has made; raises `Damaged`."""

    def wanted(self, indices: Sequence[int], found: Sequence[Any]) -> list[int]:
        """Return how many networks each of some series takes, given what their pilots have made."""


class Campaign(Protocol):
    """A plan to compute: series of networks, by number, of which shards are ranges."""

    @property
    def plan(self) -> Described:
        """The plan itself."""

    @property
    def together(self) -> int:
        """Work of small shards that may be one task; 0 where each shard is a task of its own."""

    @property
    def indices(self) -> Iterable[int]:
        """Numbers of the series, each of which is computed once."""

    @property
    def networks(self) -> int | None:
        """Networks of each series; None where pilots tell."""

    @property
    def pilots(self) -> Pilots | None:
        """The pilots, if there are any."""

    def series(self, index: int, networks: int) -> Series:
        """Return a series that shall have so many networks."""

    def index_of(self, shard: Shard[Any]) -> int:
        """Return the number of a shard's series."""

    def sizes(self, wanted: Sequence[tuple[int, int]], kind: str) -> list[int]:
        """Return the networks of a shard for some series, given as (number, networks), on a kind of device.

        Raises
        ------
        ValueError
            If there would be too many shards.
        """

    def task(self, store: str | None, shard: Shard[Any], device: str, threads: int, pin: bool) -> ShardTask:
        """Return the task that computes a shard."""

    def gpu(self, device: str) -> str:
        """Return the name by number of a GPU, which means the same in all threads; refuse one that is not there."""

    def note(self, index: int, done: Done) -> None:
        """Note what a task of a series has made, of which `worst` and `collect` may make use."""

    def worst(self, done: Mapping[int, int]) -> str:
        """Name the largest error so far in words, or say nothing, given how many networks each series has by now."""

    def collect(self, store: Store) -> Outcome:
        """Read the result back, and set damaged files aside."""

    def describe(self, index: int) -> str:
        """Name a series in words."""
