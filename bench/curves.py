"""How time grows with width, depth, networks and threads: the slope of log time against log size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from . import ours
from .harness import Moments, Run, Spread, by_turns, elapsed
from .job import Job


@dataclass(frozen=True)
class Slope:
    """Of a straight line by least squares; the error is from the scatter about it, None for fewer than 3 points."""

    value: float
    stderr: float | None
    points: int


def log_log_slope(sizes: Sequence[float], seconds: Sequence[float]) -> Slope:
    """Slope of log(seconds) against log(sizes).

    Raises
    ------
    ValueError
        For fewer than two different sizes.
    """
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(seconds, float))
    if len(set(sizes)) < 2:
        raise ValueError(f"sizes={list(sizes)!r} are not allowed: a slope needs two different ones")
    dx = x - x.mean()
    slope = float(dx @ y / (dx @ dx))
    if len(x) < 3:
        return Slope(slope, None, len(x))
    residuals = y - y.mean() - slope * dx
    return Slope(slope, math.sqrt(float(residuals @ residuals) / (len(x) - 2) / float(dx @ dx)), len(x))


def curve(job: Job, reference: Moments | None) -> dict[str, Any]:
    """Median time at each value of the axis, all else equal, the values by turns; and the slope."""

    def run(value: int) -> Run:
        if job.axis == "threads":
            return partial(ours.simulate, job.problem, threads=value)
        if job.axis == "networks":
            return lambda scale: ours.simulate(job.problem, scale * value, threads=job.threads)
        return partial(ours.simulate, replace(job.problem, **{job.axis: value}), threads=job.threads)

    # The smallest point should take a tenth of a measurement's time: overheads of milliseconds then weigh little.
    smallest, largest = (run(v) for v in (job.values[0], job.values[-1]))
    networks = 1 if job.axis == "networks" else 4096
    largest(networks)
    while elapsed(partial(smallest, networks)) < 0.1 * job.effort.seconds:
        networks *= 2
    taken = by_turns([partial(run(value), networks) for value in job.values], job.effort.rounds)
    medians = [Spread.of(seconds) for seconds in taken]
    return {
        "name": job.name,
        "axis": job.axis,
        "values": list(job.values),
        "networks": networks,
        "seconds": [asdict(m) for m in medians],
        "slope": asdict(log_log_slope(job.values, [m.median for m in medians])),
        "all_seconds": taken,
    }
