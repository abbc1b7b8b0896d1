"""``python -m bench.moment_growth``: moments by populations that are resampled, beside exact ones, and what they cost.

Balanced networks to d/n = 10: z-scores of the second moment, the scatter of a population, the coverage of 95% intervals
over many seeds; and the time of `resmc.moment_growth` over that of a plain simulation of as many networks, by turns.
Exits with 1 if a number is not reached. ``--quick`` takes few networks.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import resmc
from resmc import Estimate, ResNet, moment_growth

from .asked import Line, bare, between, near, options, origin, rows, run
from .harness import by_turns, ratios

HALF = 0.5**0.5
WIDTH, RATIO = 24, 10


@dataclass(frozen=True)
class Scale:
    """How much is measured: populations, their size, seeds of the coverage, widths and networks of the cost."""

    populations: int
    size: int
    seeds: int
    widths: tuple[int, ...]
    networks: int
    rounds: int


FULL = Scale(512, 1024, 400, (24, 40, 100, 200), 1 << 16, 9)
QUICK = Scale(32, 256, 40, (40,), 1 << 12, 5)


def accuracy(scale: Scale) -> list[Line]:
    """Second moments of balanced networks, which are exactly 1."""
    model = ResNet(WIDTH, RATIO * WIDTH, HALF, HALF, "balanced")
    layers = range(0, RATIO * WIDTH + 1, 4)
    run = moment_growth(model, populations=scale.populations, size=scale.size, layers=layers, progress=False)
    lines = []
    for ratio in (1, 2, 5, 10):
        at = int(np.searchsorted(run.layers, ratio * WIDTH))
        lines.append(near(f"z-score, d/n = {ratio}", bare(run.z_score[at]), 0.0, 4.0))
        lines.append(between(f"scatter of a population, d/n = {ratio}", bare(run.scatter[at]), 0.0, 0.1 * ratio**0.5
                             * (1024 / scale.size) ** 0.5))  # fmt: skip
    return lines


def coverage(scale: Scale) -> list[Line]:
    """The part of seeds whose 95% interval holds the exact second moment, at d/n = 5, 32 populations of 256."""
    model = ResNet(WIDTH, 5 * WIDTH, HALF, HALF, "balanced")
    held = np.empty(scale.seeds)
    for seed in range(scale.seeds):
        last = moment_growth(model, populations=32, size=256, seed=seed, progress=False).log_moment[-1]
        low, high = last.interval(0.95)
        held[seed] = low <= 0.0 <= high
    part = Estimate(held.mean(), np.sqrt(0.95 * 0.05 / scale.seeds), np.asarray(scale.seeds))
    return [near("coverage of 95% intervals, d/n = 5", part, 0.95, 4.0 * float(part.stderr))]


def cost(scale: Scale) -> list[Line]:
    """Time over that of a plain simulation of as many networks, median over rounds, d = 2 n."""
    lines = []
    for width in scale.widths:
        model = ResNet(width, 2 * width, HALF, HALF)
        seconds = by_turns(
            [
                lambda model=model: moment_growth(model, populations=scale.networks // 1024, threads=1, progress=False),
                lambda model=model: resmc.simulate(
                    model, networks=scale.networks, threads=1, correlations=False, progress=False
                ),
            ],
            scale.rounds,
        )
        found = ratios(*seconds)
        lines.append(between(f"time over a plain simulation's, width {width}", bare(found.median), 0.0, 1.15))
    return lines


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a table."""
    lines = [
        "# Moments by resampled populations\n",
        f"{origin(report)}, {report['seconds']:.0f} s. Width {WIDTH}, {report['populations']} populations of "
        f"{report['size']} networks.\n",
        *rows(report["lines"]),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, and write it."""
    args = options("moment_growth", __doc__, "few networks, in seconds").parse_args(arguments)
    scale = QUICK if args.quick else FULL

    def measure() -> dict[str, Any]:
        lines = [asdict(line) for line in [*accuracy(scale), *coverage(scale), *cost(scale)]]
        return {"populations": scale.populations, "size": scale.size, "lines": lines}

    return run("moment_growth", args, measure, markdown)


if __name__ == "__main__":
    sys.exit(main())
