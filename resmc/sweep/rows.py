"""Maps over H and beta as they are computed: every row is a series, an H with all exponents, and its networks shards.

A kind of map adds its task, and the reader of its files, to a `RowCampaign`; so do sweeps of moments, whose rows are
their points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from ..experiments.row_files import RowFiles
from .campaign import Described
from .compute import Done
from .shards import UPDATES, Range, Series, Shard, cover, shard_networks, shard_updates
from .sound_shards import SoundShards
from .store import Listing, Store, Stored, class_name

Row = TypeVar("Row", bound=Series)
SomeRow = TypeVar("SomeRow", bound=Series, covariant=True)
Content = TypeVar("Content")


class RowPlan(Described, Protocol[SomeRow]):
    """A plan whose series are the rows of a map."""

    @property
    def networks(self) -> int:
        """Networks of each row."""

    @property
    def rows(self) -> tuple[SomeRow, ...]:
        """The rows, one for each H."""

    def describe(self, index: int) -> str:
        """Name a row in words."""


@dataclass(frozen=True)
class Found(Generic[Content]):
    """All that a store holds of a map.

    Attributes
    ----------
    rows : list of list
        Contents of the ranges of each row, in the order of the networks.
    classes : tuple of str
        Numerics classes of those who have computed them.
    damaged : tuple of str
        Files that were damaged.
    shards : int
        Number of files.
    """

    rows: list[list[Content]]
    classes: tuple[str, ...]
    damaged: tuple[str, ...]
    shards: int


class RowCampaign(Generic[Row]):
    """A campaign without pilots, whose series are the rows of a map (`resmc.sweep.campaign.Campaign`)."""

    pilots = None
    together = 0

    def __init__(self, plan: RowPlan[Row]) -> None:
        self.networks = plan.networks
        self._rows, self.describe = plan.rows, plan.describe
        self.by_key = {row.key: index for index, row in enumerate(plan.rows)}

    @property
    def indices(self) -> Sequence[int]:
        return range(len(self._rows))

    def series(self, index: int, networks: int) -> Row:
        return self._rows[index]

    def index_of(self, shard: Shard[Row]) -> int:
        return self.by_key[shard.point.key]

    def sizes(self, wanted: Sequence[tuple[int, int]], kind: str) -> list[int]:
        rows = [self._rows[index] for index, _ in wanted]
        total = sum(row.updates * networks for row, (_, networks) in zip(rows, wanted, strict=True))
        return [shard_networks(row, shard_updates(total, UPDATES[kind])) for row in rows]

    def note(self, index: int, done: Done) -> None:
        """Note nothing: a map's errors are asked for at its end."""

    def worst(self, done: Mapping[int, int]) -> str:
        return ""

    def found(
        self, store: Store, listing: Listing | None, set_aside: bool, read: Callable[[Store, Stored], Content]
    ) -> Found[Content]:
        """Read all ranges that a store holds of the plan; damaged files are moved away if ``set_aside``.

        Damaged files are taken out of the ``listing``, too.
        """
        store.require()
        listing = store.listing() if listing is None else listing
        sound = SoundShards(store, listing, partial(read, store), set_aside)
        rows, classes = [], set[str]()
        for row in self._rows:
            have, _ = cover(self.networks, self.networks, listing.ranges(row.key))
            good = [one for part in have if (one := sound.first(row.key, part)) is not None]
            rows.append([content for _, content in good])
            classes |= {stored.numerics for stored, _ in good}
        return Found(rows, tuple(sorted(classes)), tuple(sound.damaged), len(sound.used))


def read_range(store: Store, stored: Stored, files: RowFiles[Any, Content]) -> Content:
    """Read a shard of such files and verify it; errors as for `Store.verified`."""

    def parsed(data: bytes, name: str) -> tuple[Stored, Content]:
        found = files.from_bytes(data, name)
        return Stored(found.row.key, Range(found.start, found.stop), class_name(found.numerics)), found.content

    return store.verified(stored, parsed)
