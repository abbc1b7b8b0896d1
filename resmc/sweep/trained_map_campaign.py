"""A map after training as it is computed: a shard of a row is some of its networks, at all exponents and rates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._system.cpus import usable_cpus
from ..experiments.train.data import Data
from ..experiments.train.heat_map import TrainedHeatMap
from ..experiments.train.map_row import FILES, MapRow, RowResults
from .compute import Made, ShardTask
from .rows import RowCampaign, read_range
from .shards import Shard
from .store import Listing, Store, Stored
from .trained_map_plan import TrainedMapPlan


@dataclass(frozen=True)
class TrainingTask(ShardTask):
    """Some networks of a row to train, with the data, which no store holds."""

    shard: Shard[MapRow]
    examples: Data | None = None

    def make(self, report: Callable[[float], None]) -> Made:
        from ..experiments.train.map_training import trained  # torch is imported by whoever trains

        assert self.examples is not None
        row, start, stop = self.shard.point, self.shard.start, self.shard.stop
        threads = self.threads or usable_cpus()
        numerics, results = trained(row, self.examples, range(start, stop), self.device, threads, report)
        return Made(numerics, FILES.to_bytes(row, start, stop, numerics, results.arrays), None)


class TrainedMapCampaign(RowCampaign[MapRow]):
    """A map after training, as a `resmc.sweep.campaign.Campaign`."""

    def __init__(self, plan: TrainedMapPlan) -> None:
        super().__init__(plan)
        self.plan = plan

    def task(self, store: str | None, shard: Shard[MapRow], device: str, threads: int, pin: bool) -> TrainingTask:
        """Return the task that trains a shard; raises ValueError if the plan has no data, as those of stores."""
        if self.plan.examples is None:
            raise ValueError(
                "the store of a trained heat map does not hold its data: make the call of resmc.train.heat_map again "
                "that has made the store, which goes on with what is missing"
            )
        return TrainingTask(store, shard, device, threads, pin, self.plan.examples)

    def gpu(self, device: str) -> str:
        """Return the name by number of a GPU of torch's, which needs no kernels of ours; ValueError without it."""
        import torch

        from ..torch_module.devices import checked_device

        found = checked_device(device)
        return f"cuda:{torch.cuda.current_device() if found.index is None else found.index}"

    def collect(self, store: Store, listing: Listing | None = None, set_aside: bool = True) -> TrainedHeatMap:
        """Read the map that a store holds of the plan, finished or not; as `RowCampaign.found` does."""
        plan, found = self.plan, self.found(store, listing, set_aside, read)
        rows = [RowResults.joined(parts, row) for row, parts in zip(plan.rows, found.rows, strict=True)]
        return TrainedHeatMap(
            model=plan.model,
            hurst=np.array(plan.hurst),
            beta=np.array(plan.beta),
            rates=np.array(plan.settings.rates),
            settings=plan.settings,
            data=plan.data,
            seeds=tuple(row.seed for row in plan.rows),
            wanted=plan.networks,
            networks=np.array([len(results.loss) for results in rows]),
            numerics=found.classes,
            store=None if store.in_memory else store.path,
            damaged=found.damaged,
            shards=found.shards,
            plan=plan,
            _rows=tuple(rows),
        )


def read(store: Store, stored: Stored) -> RowResults:
    """Read a shard and verify it; errors as for `Store.verified`."""
    return read_range(store, stored, FILES)
