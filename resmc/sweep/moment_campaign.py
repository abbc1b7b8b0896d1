"""A sweep of moments as it is computed: a shard of a point is some of its populations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .._system.cpus import usable_cpus
from ..engine import devices
from ..engine.populations import Weighted
from ..experiments.moment_point import FILES, MomentPoint, arrays_of
from .compute import Made, ShardTask
from .gpus import gpu_of_kernels
from .moment_plan import MomentPlan
from .moment_result import MomentSweep
from .rows import RowCampaign, read_range
from .shards import Shard
from .store import Listing, Store, Stored


@dataclass(frozen=True)
class MomentTask(ShardTask):
    """Some populations of a point."""

    shard: Shard[MomentPoint]

    def make(self, report: Callable[[float], None]) -> Made:
        point, start, stop = self.shard.point, self.shard.start, self.shard.stop
        found = point.weighted(start, stop, devices.parse(self.device), self.threads or usable_cpus(), report)
        return Made(found.numerics, FILES.to_bytes(point, start, stop, found.numerics, arrays_of(found)), None)


class MomentCampaign(RowCampaign[MomentPoint]):
    """A sweep of moments, as a `resmc.sweep.campaign.Campaign`."""

    def __init__(self, plan: MomentPlan) -> None:
        super().__init__(plan)
        self.plan = plan

    def task(self, store: str | None, shard: Shard[MomentPoint], device: str, threads: int, pin: bool) -> MomentTask:
        return MomentTask(store, shard, device, threads, pin)

    def gpu(self, device: str) -> str:
        return gpu_of_kernels(device)

    def collect(self, store: Store, listing: Listing | None = None, set_aside: bool = True) -> MomentSweep:
        """Read the result that a store holds of the plan, finished or not; as `RowCampaign.found` does."""
        found = self.found(store, listing, set_aside, read)
        return MomentSweep.of(self.plan, found.rows, None if store.in_memory else store.path, found.classes,
                              found.damaged, found.shards)  # fmt: skip


def read(store: Store, stored: Stored) -> tuple[int, Weighted]:
    """Read a shard and verify it, with the number of its first network; errors as for `Store.verified`."""
    return stored.range.start, Weighted(**read_range(store, stored, FILES), numerics=stored.numerics)
