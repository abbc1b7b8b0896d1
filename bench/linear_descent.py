"""``python -m bench.linear_descent``: linear residual networks under gradient descent, up to a depth of 16384.

By which power of N the distance of depths N and 2N falls, whether it is uniform in time, whether weights stay smooth in
depth, and two controls that must fail: a start that is no function of the depth, and a target that cannot be reached.
Then the seconds and the memory of a step. Exits with 1 if a number is not reached. ``--quick`` takes small depths.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.linalg import expm

from resmc import Estimate
from resmc.experiments.convergence import slope
from resmc.ode import LinearDescent, linear_descent

from .asked import Line, between, near, options, origin, rows, run
from .harness import Floats

WIDTH, TARGETS, SEED = 4, 32, 0


@dataclass(frozen=True)
class Scale:
    """How much is measured: depths N, those of the controls and of long times, times, and steps that are timed."""

    depths: tuple[int, ...]
    small: tuple[int, ...]
    time: float
    long: float
    steps: int


FULL = Scale(tuple(2**k for k in range(6, 15)), (64, 128, 256), 25.0, 100.0, 20)
QUICK = Scale((8, 16, 32), (4, 8), 25.0, 60.0, 2)


def targets(count: int = TARGETS) -> Floats:
    """Exponentials of matrices with independent normal entries of standard deviation .3/sqrt(d)."""
    drawn = np.random.default_rng(SEED).standard_normal((count, WIDTH, WIDTH))
    return np.stack([expm(0.3 * one / np.sqrt(WIDTH)) for one in drawn])


def bare(value: float) -> Estimate:
    """A number that is no mean, and has no error."""
    return Estimate(np.asarray(value), np.asarray(np.nan), np.asarray(1))


def rates(found: LinearDescent) -> list[Line]:
    """Powers of N: of the distance, over all depths and the last two, and of N max_k |A_{k+1} - A_k|."""
    distance, smoothness = found.distance[:, -1], found.smoothness[:, -1]
    last = found.depths[-2:].tolist()
    what = f"N = {found.depths[0]} to {found.depths[-1]}"
    return [
        near(f"distance of N and 2N, {what}: order", -slope(found.depths.tolist(), distance), 1.0, 0.05),
        near(f"distance of N and 2N, N = {last[0]} and {last[1]}: order", -slope(last, distance[-2:]), 1.0, 0.05),
        near(f"smoothness of the weights, {what}: slope", slope(found.depths.tolist(), smoothness), 0.0, 0.05),
        between(f"targets reached within 0.1%, {what}: part", bare(found.reached.all(axis=0).mean()), 0.99, 1.0),
    ]


def uniformity(scale: Scale) -> list[Line]:
    """The supremum over a time of that of its half, less 1, where targets are reached and where one is not."""
    found = linear_descent(targets(), scale.small, time=scale.long, every=1, progress=False)
    lost = linear_descent(np.diag([1.0, 1.0, 1.0, 0.0]), scale.small, time=scale.long, every=1, progress=False)
    what = f"growth of the distance from time {scale.long / 2:g} to {scale.long:g}"
    return [
        between(f"{what}, at most", bare(found.late_growth.max()), 0.0, 1e-3),
        between(f"{what}, singular target (control), at least", bare(lost.late_growth.min()), 0.1, np.inf),
    ]


def control(scale: Scale) -> list[Line]:
    """The power of N from a start of independent normal entries in every layer."""
    rng = np.random.default_rng(SEED + 1)
    given = targets()
    found = linear_descent(
        given, scale.small, time=scale.time, start=lambda t: 0.5 * rng.standard_normal(given.shape), progress=False
    )
    return [between("distance of N and 2N, independent start (control): order", -found.distance_slope, -1.0, 0.2)]


def costs(depths: Sequence[int], steps: int) -> list[dict[str, Any]]:
    """Milliseconds of a step and MiB of one target's networks of depth N and 2N alone, by N; memory by two lengths."""
    out = []
    for depth in depths:
        given: dict[str, Any] = {"every": steps, "progress": False}
        start = time.process_time()
        linear_descent(targets(1), (depth // 2, depth), time=0.1 * steps, **given)
        used = time.process_time() - start
        peaks = []
        for length in (2, 8):
            tracemalloc.start()
            linear_descent(targets(1), (depth // 2, depth), time=0.1 * length, every=length, progress=False)
            peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
            tracemalloc.stop()
        out.append({"depth": depth, "ms_per_step": 1e3 * used / (steps + 1), "mib": peaks})
    return out


def markdown(report: dict[str, Any]) -> str:
    """The report as tables."""
    lines = [
        "# Linear residual networks under gradient descent\n",
        f"{origin(report)}. {TARGETS} targets of width {WIDTH}, seed {SEED}, time {report['time']:g} in steps of 0.1, "
        f"{report['seconds']:.0f} s.\n",
        *rows(report["lines"]),
        "\nA step of one target's networks of depths N/2, N and 2N: processor time; most memory in 2 and 8 steps.\n",
        "| N | milliseconds | MiB, 2 steps | MiB, 8 steps |",
        "|--:|--:|--:|--:|",
    ]
    for one in report["costs"]:
        few, many = one["mib"]
        lines.append(f"| {one['depth']} | {one['ms_per_step']:.3g} | {few:.3g} | {many:.3g} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the tables, and write them."""
    args = options("linear_descent", __doc__, "small depths, in seconds").parse_args(arguments)
    scale = QUICK if args.quick else FULL

    def measure() -> dict[str, Any]:
        found = linear_descent(targets(), scale.depths, time=scale.time, progress=False)
        lines = [asdict(line) for line in [*rates(found), *uniformity(scale), *control(scale)]]
        return {"time": scale.time, "lines": lines, "costs": costs(scale.depths, scale.steps)}

    return run("linear_descent", args, measure, markdown)


if __name__ == "__main__":
    sys.exit(main())
