"""Reading of shards, each verified: one that is damaged counts as missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from .errors import Damaged, Gone
from .shards import Range
from .store import Listing, Store, Stored

Content = TypeVar("Content")


class SoundShards(Generic[Content]):
    """Shards of a listing, as ``read`` reads them; those that are damaged are moved away if ``set_aside``.

    Attributes
    ----------
    damaged : list of str
        Files that were damaged.
    used : set of Stored
        Files that were read.
    """

    def __init__(
        self, store: Store, listing: Listing, read: Callable[[Stored], Content], set_aside: bool = True
    ) -> None:
        self.store, self.listing, self.read, self.set_aside = store, listing, read, set_aside
        self.damaged: list[str] = []
        self.used: set[Stored] = set()

    def first(self, key: str, networks: Range) -> tuple[Stored, Content] | None:
        """Read the first sound file of a range; None if there is none."""
        while networks in self.listing.ranges(key):
            stored = self.listing.first(key, networks)
            try:
                content = self.read(stored)
            except Damaged as error:
                self.listing.remove(stored)
                if isinstance(error, Gone):
                    continue
                self.damaged.append(stored.file)
                if self.set_aside:
                    self.store.set_aside(stored)
                continue
            self.used.add(stored)
            return stored, content
        return None
