"""A heat map as it is computed: a shard of a row is some of its networks with all of their columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._system.cpus import usable_cpus
from ..engine import devices
from ..engine.machines import machine_of
from ..engine.native import NUMERICS_VERSION
from ..experiments.heat_map import HeatMap
from ..experiments.heat_row import FILES, HeatRow
from ..experiments.heat_statistics import RowSums
from .compute import Made, ShardTask
from .gpus import gpu_of_kernels
from .heat_map_plan import HeatMapPlan
from .rows import RowCampaign, read_range
from .shards import Shard
from .store import Listing, Store, Stored


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
        return Made(machine.numerics, FILES.to_bytes(row, start, stop, machine.numerics, {"values": values}), None)


class HeatMapCampaign(RowCampaign[HeatRow]):
    """A heat map, as a `resmc.sweep.campaign.Campaign`."""

    def __init__(self, plan: HeatMapPlan) -> None:
        super().__init__(plan)
        self.plan = plan

    def task(self, store: str | None, shard: Shard[HeatRow], device: str, threads: int, pin: bool) -> RowTask:
        return RowTask(store, shard, device, threads, pin)

    def gpu(self, device: str) -> str:
        return gpu_of_kernels(device)

    def collect(self, store: Store, listing: Listing | None = None, set_aside: bool = True) -> HeatMap:
        """Read the map that a store holds of the plan, finished or not; as `RowCampaign.found` does."""
        plan, found = self.plan, self.found(store, listing, set_aside, read)
        rows = [
            RowSums.joined(parts, len(plan.beta), len(row.quotients))
            for row, parts in zip(plan.rows, found.rows, strict=True)
        ]
        return HeatMap(
            model=plan.model,
            hurst=np.array(plan.hurst),
            beta=np.array(plan.beta),
            n_inputs=plan.n_inputs,
            seed=plan.seed,
            seeds=tuple(row.seed for row in plan.rows),
            wanted=plan.networks,
            networks=np.array([len(sums.averages) for sums in rows]),
            numerics=(NUMERICS_VERSION, *found.classes),
            store=None if store.in_memory else store.path,
            damaged=found.damaged,
            shards=found.shards,
            plan=plan,
            _rows=tuple(rows),
        )


def read(store: Store, stored: Stored) -> RowSums:
    """Read a shard and verify it; errors as for `Store.verified`."""
    return RowSums.of(read_range(store, stored, FILES))
