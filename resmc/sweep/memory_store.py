"""A store in the memory of this process, for runs that leave no files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from .._system.plain import Plain
from .shards import Range
from .store import Listing, Store, Stored


class MemoryStore(Store):
    """Shards by their names. Nothing of it is shared with other processes, and so there are no claims on it."""

    in_memory = True

    def __init__(self) -> None:
        super().__init__(Path("memory"))
        self.shards_held: dict[Stored, bytes] = {}

    def create(self) -> None:
        """Make nothing: there is no directory."""

    def require(self) -> None:
        """Refuse nothing."""

    def write_plan(self, plan: Plain, replace: bool = False) -> None:
        """Keep nothing: nobody else reads it."""

    def sweep_up(self) -> None:
        """Remove nothing: no other process has left anything."""

    def listing(self, key: str | None = None) -> Listing:
        """List every shard, or those of one key."""
        listing = Listing()
        for stored in self.shards_held:
            if key in (None, stored.key):
                listing.add(stored)
        return listing

    def find(self, key: str, networks: Range, classes: Collection[str]) -> Stored | None:
        """Return the name of a range's content if there is one of these numerics classes."""
        return next((s for c in sorted(classes) if (s := Stored(key, networks, c)) in self.shards_held), None)

    def write(self, stored: Stored, data: bytes) -> None:
        """Keep a shard's content."""
        self.shards_held[stored] = data

    def set_aside(self, stored: Stored) -> None:
        """Forget a damaged shard."""
        self.shards_held.pop(stored, None)

    def content(self, stored: Stored) -> bytes:
        """Return a shard's content."""
        return self.shards_held[stored]
