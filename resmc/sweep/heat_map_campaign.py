"""A heat map as it is computed: every row is a series, and a shard of it some networks with all of their columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .._system.cpus import usable_cpus
from ..engine import devices
from ..engine.machines import machine_of
from ..engine.native import NUMERICS_VERSION
from ..experiments.heat_map import HeatMap
from ..experiments.heat_row import HeatRow, from_bytes, to_bytes
from ..experiments.heat_statistics import RowSums
from .compute import Made, ShardTask
from .heat_map_plan import HeatMapPlan
from .shards import UPDATES, Range, Shard, cover, shard_networks, shard_updates
from .sound_shards import SoundShards
from .store import Listing, Store, Stored, class_name


@dataclass(frozen=True)
class RowTask(ShardTask):
    """Some networks of a row."""

    shard: Shard[HeatRow]

    def make(self, report: Callable[[float], None]) -> Made:
        row, start, stop = self.shard.point, self.shard.start, self.shard.stop
        device, threads = devices.parse(self.device), self.threads or usable_cpus()
        row.check_memory(stop - start, device, threads)
        machine = machine_of(device, threads)
        values = row.values(start, stop, machine, report)
        return Made(machine.numerics, to_bytes(row, start, stop, machine.numerics, values), None)


class HeatMapCampaign:
    """A heat map, as a `resmc.sweep.campaign.Campaign`."""

    pilots = None

    def __init__(self, plan: HeatMapPlan) -> None:
        self.plan, self.networks = plan, plan.networks
        self.by_key = {row.key: index for index, row in enumerate(plan.rows)}

    @property
    def indices(self) -> Sequence[int]:
        return range(len(self.plan.rows))

    def series(self, index: int, networks: int) -> HeatRow:
        return self.plan.rows[index]

    def index_of(self, shard: Shard[HeatRow]) -> int:
        return self.by_key[shard.point.key]

    def sizes(self, wanted: Sequence[tuple[int, int]], kind: str) -> list[int]:
        rows = [self.plan.rows[index] for index, _ in wanted]
        total = sum(row.updates * networks for row, (_, networks) in zip(rows, wanted, strict=True))
        return [shard_networks(row, shard_updates(total, UPDATES[kind])) for row in rows]

    def task(self, store: str | None, shard: Shard[HeatRow], device: str, threads: int, pin: bool) -> RowTask:
        return RowTask(store, shard, device, threads, pin)

    def note(self, index: int, final: Any) -> None:
        """Note nothing: a map's errors are asked for at its end."""

    def worst(self, done: Mapping[int, int]) -> str:
        return ""

    def collect(self, store: Store, listing: Listing | None = None, set_aside: bool = True) -> HeatMap:
        """Read the map that a store holds of the plan, finished or not; damaged files are moved away if ``set_aside``.

        Damaged files are taken out of the ``listing``, too.
        """
        store.require()
        plan, listing = self.plan, store.listing() if listing is None else listing
        rows, classes = [], set[str]()
        sound = SoundShards(store, listing, partial(read, store), set_aside)
        for row in plan.rows:
            have, _ = cover(plan.networks, plan.networks, listing.ranges(row.key))
            good = [found for part in have if (found := sound.first(row.key, part)) is not None]
            rows.append(RowSums.joined([sums for _, sums in good], len(plan.beta), len(row.quotients)))
            classes |= {stored.numerics for stored, _ in good}
        return HeatMap(
            model=plan.model,
            hurst=np.array(plan.hurst),
            beta=np.array(plan.beta),
            n_inputs=plan.n_inputs,
            seed=plan.seed,
            seeds=tuple(row.seed for row in plan.rows),
            wanted=plan.networks,
            networks=np.array([len(sums.averages) for sums in rows]),
            numerics=(NUMERICS_VERSION, *sorted(classes)),
            store=None if store.in_memory else store.path,
            damaged=tuple(sound.damaged),
            shards=len(sound.used),
            plan=plan,
            _rows=tuple(rows),
        )

    def describe(self, index: int) -> str:
        return self.plan.describe(index)


def read(store: Store, stored: Stored) -> RowSums:
    """Read a shard and verify it; errors as for `Store.verified`."""
    return store.verified(stored, _parsed)


def _parsed(data: bytes, name: str) -> tuple[Stored, RowSums]:
    found = from_bytes(data, name)
    stored = Stored(found.row.key, Range(found.start, found.stop), class_name(found.numerics))
    return stored, RowSums.of(found.values)
