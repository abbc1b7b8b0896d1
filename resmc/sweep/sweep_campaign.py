"""A sweep as the coordinator computes it: every distinct point of the plan is a series, and its shards simulations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..results.entries import FinalSums
from ..results.observables import SWEPT
from .compute import Done, Task
from .cost import shard_sizes
from .gpus import gpu_of_kernels
from .pilot import pilot_shard, wanted_networks
from .plan import Plan, ends
from .point import Point
from .result import Known, SweepResult, collect
from .shards import MOST_FILES, TOGETHER, Shard
from .store import Store, Stored


class SweepPilots:
    """The pilots of a plan with targets."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def shard(self, index: int) -> Shard[Point]:
        return pilot_shard(self.plan, index)

    def read(self, store: Store, stored: Stored) -> FinalSums:
        return store.read_final(stored)

    def wanted(self, indices: Sequence[int], found: Sequence[FinalSums]) -> list[int]:
        return wanted_networks(self.plan, indices, [sums.end() for sums in found])


class SweepCampaign:
    """A sweep, as a `resmc.sweep.campaign.Campaign`."""

    together = TOGETHER

    def __init__(self, plan: Plan) -> None:
        self.plan, self.networks = plan, plan.networks
        self.pilots = SweepPilots(plan) if plan.networks is None else None
        self.by_identity: dict[Any, int] = {}  # points that are equal in model and seed are computed once
        for index, identity in enumerate(plan.identities):
            self.by_identity.setdefault(identity, index)
        self.laws = any(SWEPT[name].per == "end" for name in plan.target_stderr or ())
        self.sums: dict[int, FinalSums] = {}  # sums of the shards that this run has computed
        self.known: Known = {}  # shards that are all of a point

    @property
    def indices(self) -> Sequence[int]:
        return list(self.by_identity.values())

    def series(self, index: int, networks: int) -> Point:
        return self.plan.point(index, networks)

    def index_of(self, shard: Shard[Point]) -> int:
        return self.by_identity[shard.point.model, shard.point.seed]

    def sizes(self, wanted: Sequence[tuple[int, int]], kind: str) -> list[int]:
        points = [self.plan.point(index, networks) for index, networks in wanted]
        sizes = shard_sizes(self.plan, points, [networks for _, networks in wanted], kind)
        shards = sum(-(-networks // size) for (_, networks), size in zip(wanted, sizes, strict=True))
        if self.pilots is None and shards > MOST_FILES:
            raise ValueError(
                f"shard_updates={self.plan.shard_updates} is too small: the plan would have more than {MOST_FILES} "
                "shards, a file each"
            )
        return sizes

    def task(self, store: str | None, shard: Shard[Point], device: str, threads: int, pin: bool) -> Task:
        return Task(store, shard, device, threads, pin, self.laws)

    def gpu(self, device: str) -> str:
        return gpu_of_kernels(device)

    def note(self, index: int, done: Done) -> None:
        before = self.sums.get(index)
        self.sums[index] = done.final if before is None else before.merged(done.final)
        if done.checksum and (done.shard.start, done.shard.stop) == (0, self.networks):  # `sums` holds it anyway
            self.known[done.stored] = done.checksum, done.final

    def worst(self, done: Mapping[int, int]) -> str:
        """Name the largest standard error so far, relative to its target if there is one, in words."""
        if not self.sums:
            return ""
        targets = self.plan.target_stderr or {"log_norm.variance": 1.0}
        indices = sorted(self.sums)
        found = ends(self.plan, indices, [self.sums[index].end() for index in indices])
        largest, words = 0.0, ""
        for name, target in targets.items():
            estimate = SWEPT[name].estimate_of(found)
            for index, stderr, n in zip(indices, estimate.stderr, found.networks, strict=True):
                # The sums are this run's alone; networks of earlier runs make the error smaller, too.
                now = float(stderr) * (float(n) / max(done[index], 1)) ** 0.5
                if now / target > largest:
                    largest = now / target
                    words = f"largest error: {name} +- {now:.2g} at {self.plan.describe(index)}"
        return words

    def collect(self, store: Store) -> SweepResult:
        return collect(self.plan, store.path, known=self.known)

    def describe(self, index: int) -> str:
        return self.plan.describe(index)
