"""What a sweep will cost: work, time at a rate measured here and now, and bytes."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..engine import devices
from ..engine.lowering import lower
from ..engine.recording import GROUPS
from ..simulation import simulate
from ..tables import Column, Table, html
from .pilot import pilot_shard
from .plan import Plan
from .point import Point
from .shards import UPDATES, shard_networks, shard_updates

PROBES = 6  # points whose rate is measured
PROBE_SECONDS = 0.1  # each
SHARD_SECONDS = 2e-3  # of each shard beyond its kernels, about
PROBE_UPDATES = 2**24  # of the first run of each at most, but for one layer


@dataclass(frozen=True)
class SweepEstimate:
    """The cost of a sweep, before it runs.

    Attributes
    ----------
    points, networks, shards : int
        With ``target_stderr`` at most: as if every point took ``max_networks``. What pilots take is in all but
        ``networks``.
    updates : float
        Neuron updates (weights drawn, if dense).
    seconds : float
        At the measured rate on ``device``, all cores at it.
    rate : float
        Updates per second, on average over the plan.
    bytes : float
        Of the store.
    device : str
    upper_bound : bool
        Whether the number of networks is only a bound.
    """

    points: int
    networks: int
    shards: int
    updates: float
    seconds: float
    rate: float
    bytes: float
    device: str
    upper_bound: bool

    def __str__(self) -> str:
        most = "at most " if self.upper_bound else ""
        return (
            f"{self.points} points, {most}{self.networks:.4g} networks, {self.updates:.3g} neuron updates\n"
            f"{most}{duration(self.seconds)} on {self.device} at {self.rate:.3g} updates per second, measured now\n"
            f"{most}{self.shards} shards, {size(self.bytes)}"
        )

    def _table(self) -> Table:
        most = "at most " if self.upper_bound else ""
        rows = [
            ("points", self.points),
            ("networks", f"{most}{self.networks:.4g}"),
            ("neuron updates", f"{most}{self.updates:.3g}"),
            ("time", f"{most}{duration(self.seconds)} on {self.device}"),
            ("rate", f"{self.rate:.3g} updates per second, measured now"),
            ("store", f"{most}{self.shards} shards, {size(self.bytes)}"),
        ]
        return Table("cost", "cost of a sweep", [Column("", "item", numeric=False), Column("", "value")], rows)

    def _repr_html_(self) -> str:
        return html.render(self._table())


def estimate(plan: Plan, device: Any = "auto") -> SweepEstimate:
    """The cost of ``plan`` on ``device``, from short runs of a few of its points.

    Raises
    ------
    ValueError, DeviceError
        As for `resmc.simulate`.
    """
    kind, _ = devices.parse(device)
    each = plan.networks or plan.max_networks
    first: dict[Any, int] = {}  # equal points are computed once
    for i, point in enumerate(zip(plan.models, plan.seeds, strict=True)):
        first.setdefault(point, i)
    points = [plan.point(i, each) for i in first.values()]
    pilots = [pilot_shard(plan, i) for i in first.values()] if plan.networks is None else []
    work = np.array([p.updates * float(each) for p in points])
    work[: len(pilots)] += [float(pilot.updates) for pilot in pilots]
    shards = shard_sizes(plan, points, [each] * len(points), kind)
    probes = _spread(points)
    cores = len(os.sched_getaffinity(0)) if kind == "cpu" else 1
    measured = [_probe(points[i], device) for i in probes]
    width = np.log([points[i].model.width for i in probes])
    nearest = [int(np.argmin(np.abs(width - math.log(p.model.width)))) for p in points]
    numbers = np.array([-(-each // shard) for shard in shards])
    seconds = float(np.sum(work / np.array([measured[j] for j in nearest]) + SHARD_SECONDS * numbers)) / cores
    sizes = np.array([shard_bytes(p, min(shard, each)) for p, shard in zip(points, shards, strict=True)])
    size_of_pilots = sum(shard_bytes(pilot.point, pilot.stop - pilot.start) for pilot in pilots)
    return SweepEstimate(
        points=len(plan.models),
        networks=each * len(points),
        shards=int(numbers.sum()) + len(pilots),
        updates=float(work.sum()),
        seconds=seconds,
        rate=float(work.sum()) / seconds,
        bytes=float(np.sum(numbers * sizes)) + size_of_pilots,
        device=f"{cores} CPU cores" if kind == "cpu" else str(device),
        upper_bound=plan.networks is None,
    )


def shard_sizes(plan: Plan, points: Sequence[Point], networks: Sequence[int], kind: str) -> list[int]:
    """Networks of a shard, by point, whose numbers of networks are given.

    Where pilots decide on these, nobody knows the work of the plan before the last of them: each point then makes
    shards as if the others took as much as itself.
    """
    work = [p.updates * n for p, n in zip(points, networks, strict=True)]
    totals = [sum(work)] * len(work) if plan.networks else [w * len(plan.models) for w in work]
    updates = [plan.shard_updates or shard_updates(total, UPDATES[kind]) for total in totals]
    return [shard_networks(p, u) for p, u in zip(points, updates, strict=True)]


def _spread(points: list[Point]) -> list[int]:
    """A few points of different widths, from the narrowest to the widest; of each width the deepest."""
    deepest: dict[int, int] = {}
    for i, p in enumerate(points):
        best = deepest.get(p.model.width)
        if best is None or p.model.depth > points[best].model.depth:
            deepest[p.model.width] = i
    widths = sorted(deepest)
    chosen = np.unique(np.linspace(0, len(widths) - 1, PROBES).round().astype(int))
    return [deepest[widths[i]] for i in chosen]


def _probe(point: Point, device: Any) -> float:
    """Updates per second of one worker; of a deep network its first layers do."""
    networks = 32
    affordable = max(1, PROBE_UPDATES // (networks * (point.updates // point.model.depth)))
    shallow = replace(point, model=replace(point.model, depth=min(point.model.depth, affordable)))
    layers = point.recorded[point.recorded < shallow.model.depth]  # as dense as in the sweep
    while True:
        begin = time.perf_counter()
        simulate(
            shallow.model, networks=networks, seed=point.seed, method=point.method,
            layers=[*layers.tolist(), shallow.model.depth], correlations=point.correlations, device=device, threads=1,
            progress=False,
        )  # fmt: skip
        seconds = time.perf_counter() - begin
        if seconds > 0.5 * PROBE_SECONDS or networks >= 1 << 24:
            return networks * shallow.updates / seconds
        networks *= int(min(16, max(2, PROBE_SECONDS / max(seconds, 1e-4))))


def shard_bytes(point: Point, networks: int) -> float:
    """Bytes of a shard, about: sums by layer and pair, and a thousand bins of a histogram, in the groups it fills."""
    groups = min(GROUPS, -(-networks // point.block))
    layers = len(point.recorded)
    pairs = layers * (layers + 1) // 2 * (3 if lower(point.model).can_die else 1) if point.correlations else 0
    return 2500.0 + groups * (120.0 * layers + 8.0 * pairs + 1000.0 * (1 if networks < groups << 14 else 2))


def duration(seconds: float) -> str:
    """Seconds in words."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2.0 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.2g} seconds"


def size(count: float) -> str:
    """Bytes in words."""
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= length:
            return f"{count / length:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"
