"""The cost of a sweep before it runs: work, bytes, and time at a rate measured here and now."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._system.cpus import usable_cpus
from .._system.stopping import stoppable
from .._system.words import counted
from ..engine import devices
from ..engine.joint_sums import shapes as joint_shapes
from ..engine.lowering import lower
from ..engine.recording import GROUPS
from ..models.spelling import first_layers
from ..simulation import simulate
from ..tables import Column, Shown, Table
from ..tables.table import few
from .pilot import pilot_shard
from .plan import Plan
from .point import Point
from .shards import UPDATES, shard_networks, shard_updates

PROBES = 6  # points whose rate is measured
PROBE_SECONDS = 0.1  # seconds that the last run of a probe should take
SHARD_SECONDS = 2e-3  # seconds, roughly, that a shard takes beside its kernels
PROBE_UPDATES = 2**24  # most updates in the first run of a probe, which has at least one layer


@dataclass(frozen=True)
class SweepEstimate(Shown):
    """The cost of a sweep, before it runs.

    Attributes
    ----------
    points, networks, shards : int
        Numbers for the whole plan. With ``target_stderr`` they are bounds: every point counts ``max_networks``. Pilots
        count in all numbers but ``networks``.
    updates : float
        Neuron updates (weights drawn, if dense).
    seconds : float
        Time at the measured rate on ``device``, with all of its cores at work.
    rate : float
        Updates per second, on average over the plan.
    bytes : float
        Size of the store.
    device : str
        Name of the device, with the number of CPU cores.
    upper_bound : bool
        True if the number of networks is only a bound.
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
            f"{counted(self.points, 'point')}, {most}{self.networks:.4g} networks, {self.updates:.3g} neuron updates\n"
            f"{most}{duration(self.seconds)} on {self.device} at {self.rate:.3g} updates per second, measured now\n"
            f"{most}{counted(self.shards, 'shard')}, {size(self.bytes)}"
        )

    def _table(self) -> Table:
        most = "at most " if self.upper_bound else ""
        rows = [
            ("points", self.points),
            ("networks", f"{most}{self.networks:.4g}"),
            ("neuron updates", f"{most}{self.updates:.3g}"),
            ("time", f"{most}{duration(self.seconds)} on {self.device}"),
            ("rate", f"{self.rate:.3g} updates per second, measured now"),
            ("store", f"{most}{counted(self.shards, 'shard')}, {size(self.bytes)}"),
        ]
        return Table(
            "cost", "cost of a sweep", [Column("", "item", numeric=False), Column("", "value", numeric=False)], rows
        )


@stoppable()
def estimate(plan: Plan, device: Any = "auto") -> SweepEstimate:
    """Estimate the cost of ``plan`` on ``device`` from short runs of a few of its points.

    Raises
    ------
    ValueError, DeviceError
        As for `resmc.simulate`.
    """
    kind, _ = devices.parse(device)
    each = plan.most
    first: dict[Any, int] = {}  # equal points are computed once
    for i, identity in enumerate(plan.identities):
        first.setdefault(identity, i)
    points = [plan.point(i, each) for i in first.values()]
    pilots = [pilot_shard(plan, i) for i in first.values()] if plan.networks is None else []
    work = np.array([p.updates * float(each) for p in points])
    work[: len(pilots)] += [float(pilot.updates) for pilot in pilots]
    shards = shard_sizes(plan, points, [each] * len(points), kind)
    probes = _spread(points)
    cores = usable_cpus() if kind == "cpu" else 1
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
    """Return the networks of a shard for each point, whose total numbers of networks are given.

    Where pilots decide on the networks, the work of the whole plan is unknown before the last pilot. Each point then
    makes shards as if every other point took as much work.
    """
    work = [p.updates * n for p, n in zip(points, networks, strict=True)]
    totals = [sum(work)] * len(work) if plan.networks else [w * len(plan.models) for w in work]
    updates = [plan.shard_updates or shard_updates(total, UPDATES[kind]) for total in totals]
    return [shard_networks(p, u) for p, u in zip(points, updates, strict=True)]


def _spread(points: list[Point]) -> list[int]:
    """Choose a few points of different widths, from the narrowest to the widest, and for each width the deepest."""
    deepest: dict[int, int] = {}
    for i, p in enumerate(points):
        best = deepest.get(p.model.width)
        if best is None or p.model.depth > points[best].model.depth:
            deepest[p.model.width] = i
    widths = sorted(deepest)
    return [deepest[widths[i]] for i in few(len(widths), PROBES)]


def _probe(point: Point, device: Any) -> float:
    """Measure the updates per second of one worker; the first layers of a deep network are enough for that."""
    networks = 32
    affordable = max(1, PROBE_UPDATES // (networks * (point.updates // point.model.depth)))
    shallow = replace(point, model=first_layers(point.model, affordable))
    recorded = point.recorded[point.recorded < shallow.model.depth].tolist()  # spaced as in the sweep
    while True:
        begin = time.perf_counter()
        simulate(
            shallow.model,
            networks=networks,
            seed=point.seed,
            method=point.method,
            layers=[*recorded, shallow.model.depth],
            correlations=point.correlations,
            gradients=point.gradients,
            displacement=None if point.gradients else point.displacement,
            device=device,
            threads=1,
            progress=False,
            **_asked(point),
        )
        seconds = time.perf_counter() - begin
        if seconds > 0.5 * PROBE_SECONDS or networks >= 1 << 24:
            return networks * shallow.updates / seconds
        networks *= int(min(16, max(2, PROBE_SECONDS / max(seconds, 1e-4))))


def _asked(point: Point) -> dict[str, Any]:
    """Return the arguments of `simulate` that ask for what a point has besides one input."""
    joint = point.joint
    if joint is None:
        return {}
    return {
        "gram": joint.inputs if joint.count > 1 else None,
        "tangent_kernel": joint.kernel,
        "independent_backward": joint.independent,
        "tangents": joint.tangents,
    }


def shard_bytes(point: Point, networks: int) -> float:
    """Estimate the bytes of a shard: for each group with networks, sums by layer and by pair, and a thousand bins.

    Of each quotient, and of a mean square, there are sums by layer, too, and of quotients a law with a bin for almost
    every network.
    """
    groups = min(GROUPS, -(-networks // point.batch))
    layers = len(point.recorded)
    pairs = layers * (layers + 1) // 2 * (3 if lower(point.model).can_die else 1) if point.correlations else 0
    laws = len(lower(point.model).quotients(point.gradients, point.displacement))
    more = len(lower(point.model).sums_of(point.gradients, point.displacement)) - (laws > 0)  # growth has those of h
    joint = 0.0
    if point.joint is not None:
        joint = sum(8.0 * math.prod(shape[1:]) for shape in joint_shapes(point.joint, layers).values())
    by_group = joint + 120.0 * layers + 8.0 * pairs + 1000.0 * (1 if networks < groups << 14 else 2)
    return 2500.0 + groups * (by_group + 72.0 * layers * more) + 16.0 * networks * laws


def duration(seconds: float) -> str:
    """Write seconds in words."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2.0 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.2g} seconds"


def size(count: float) -> str:
    """Write a number of bytes in words."""
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= length:
            return f"{count / length:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"
