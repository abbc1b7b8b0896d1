"""``python -m bench.narrow``: what narrow and small networks cost beside their kernels, in processor time.

Width 4 with every layer recorded against two layers, with and without the products of A between layers; the share of a
sweep of 10^4 small points (width 8, depth 8, 10^5 networks) that is spent in kernels, and how busy it keeps the cores;
the summary of a simulation with 513 recorded layers; and the log-Gaussian fit of 64 networks at depth 10^6. Exits with
1 if a number is not reached. Seconds are those of the processor: others on the machine take part in time alone.

With products 1.5 cannot be reached from 1.46 without them: for R layers and 128 networks they are 64 R^2
multiply-adds, 8 R cycles a layer with one multiply-add of 8 doubles a cycle, where the kernel takes some 1600 in all.
In single precision they would take half, for ratios of 1.7 at depth 100 and 4.0 at depth 1000, but then sums would
depend on how networks are cut into ranges by 1e-7, where contract 4 has 1e-12.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import resmc
from resmc import ResNet, Sweep
from resmc._system.cpus import usable_cpus

from .asked import Line, bare, between, options, origin, rows, run
from .sweep_overhead import Watch

ALPHA, LAM = 0.6, 0.8


@dataclass(frozen=True)
class Scale:
    """How much is measured: (depth, networks) of width 4, points and networks of a sweep, depth of the fit, rounds."""

    narrow: tuple[tuple[int, int], ...]
    points: int
    networks: int
    fit_depth: int
    rounds: int


FULL = Scale(((100, 65536), (250, 32768), (1000, 8192)), 10**4, 10**5, 10**6, 9)
QUICK = Scale(((100, 4096),), 300, 1000, 10**4, 5)


def processor_seconds(measurement: Callable[[], Any]) -> float:
    """Return what a call takes of all processors."""
    begin = time.process_time()
    measurement()
    return time.process_time() - begin


def simulated(depth: int, networks: int, layers: Any, correlations: bool = False) -> Callable[[], Any]:
    """Return a run of networks of width 4 on one thread."""
    model = ResNet(4, depth, ALPHA, LAM)
    return lambda: resmc.simulate(
        model, networks=networks, layers=layers, correlations=correlations, threads=1, progress=False
    )


def recording(scale: Scale) -> list[Line]:
    """Time of recording all layers over that of two, the median of rounds side by side."""
    lines = []
    for depth, networks in scale.narrow:
        every = range(depth + 1)
        two = simulated(depth, networks, [depth])
        for words, other in (
            ("all layers over two", simulated(depth, networks, every)),
            ("all layers and products of A over two layers", simulated(depth, networks, every, True)),
        ):
            found = [processor_seconds(other) / processor_seconds(two) for _ in range(scale.rounds)]
            lines.append(between(f"width 4, depth {depth}: {words}", bare(float(np.median(found))), 0.0, 1.5))
    return lines


def small_points(scale: Scale) -> list[Line]:
    """The part of a sweep's processor time that its kernels take, from the plan to the result, and how busy cores are.

    Both are asked to be above 0.9. What others on the machine take of the cores is missing from the second alone.
    """
    alphas = np.linspace(0.1, 0.9, scale.points).tolist()
    plan = Sweep(width=8, depth=8, alpha=alphas, lam=LAM, networks=scale.networks)
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        begin, before = time.perf_counter(), time.process_time()
        with watch.watching():
            plan.run(Path(folder) / "store", progress=False)
        used, seconds = time.process_time() - before, time.perf_counter() - begin
    shares = {
        "processor time in kernels over all of it": 1.0 - watch.outside / used,
        "processor time over time and cores": used / (seconds * usable_cpus()),
    }
    return [between(f"{scale.points} small points: {words}", bare(share), 0.9, 1.0) for words, share in shares.items()]


def questions(scale: Scale) -> list[Line]:
    """Seconds of a summary and of a fit, medians over rounds, each of which asks a simulation read anew."""
    deep = simulated(512, 4096, None, True)()
    fitted = simulated(scale.fit_depth, 64, None)()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for words, sim, ask, most in (
            ("summary() at 513 layers, seconds", deep, lambda sim: str(sim.summary()), 0.3),
            ("log_gaussian_fit() at 513 layers of 10^6, seconds", fitted, lambda sim: sim.log_gaussian_fit(), 1.0),
        ):
            sim.save(Path(folder) / "it.resmc")
            ask(sim)  # what is imported, and worked out once for all simulations, is not timed
            fresh = [resmc.load(Path(folder) / "it.resmc") for _ in range(scale.rounds)]
            found = [processor_seconds(partial(ask, one)) for one in fresh]
            lines.append(between(words, bare(float(np.median(found))), 0.0, most))
    return lines


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a table."""
    lines = [
        "# Narrow networks and small points\n",
        f"{origin(report)}, {report['seconds']:.0f} s of time; all numbers are of processor time.\n",
        *rows(report["lines"]),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, and write it."""
    args = options("narrow", __doc__, "few networks, in seconds").parse_args(arguments)
    scale = QUICK if args.quick else FULL

    def measure() -> dict[str, Any]:
        lines = [*recording(scale), *small_points(scale), *questions(scale)]
        return {"rounds": scale.rounds, "lines": [asdict(line) for line in lines]}

    return run("narrow", args, measure, markdown)


if __name__ == "__main__":
    sys.exit(main())
