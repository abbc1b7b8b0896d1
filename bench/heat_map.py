"""``python -m bench.heat_map``: the time of figure 7 of Marion, Fermanian, Biau, Vert (arXiv 2206.06929).

A map of 70 exponents beta and 51 of H: v-phi-w with ReLU, width 40, depth 1000, 10 inputs to a network, forward and
backward, in memory. Beside the seconds stands how far the frontier found is from max(H, 1/2), its limit in depth.
RESMC_INSTRUCTION_SET chooses the instruction set, as everywhere.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import resmc
from resmc import ResidualNetwork
from resmc._system import checks

from .machine import publish
from .run_record import run_record

BETAS, HURSTS = np.linspace(0.0, 1.3, 70), np.linspace(0.05, 0.97, 51)
WIDTH, DEPTH, INPUTS = 40, 1000, 10


def measure(networks: int, width: int, depth: int, threads: int | None) -> dict[str, Any]:
    """Seconds by the clock and of all processors, and the frontier's distances from its limit."""
    model = ResidualNetwork(width, depth, "v-phi-w")
    start, used = time.perf_counter(), time.process_time()
    found = resmc.heat_map(
        model, hurst=HURSTS, beta=BETAS, networks=networks, n_inputs=INPUTS, threads=threads, progress=False
    )
    seconds, processor = time.perf_counter() - start, time.process_time() - used
    frontier = found.frontier()
    off = np.asarray(frontier.beta.value) - frontier.limit
    return {
        "networks": networks,
        "seconds": seconds,
        "processor_seconds": processor,
        "frontier_off": [float(np.nanmin(off)), float(np.nanmax(off))],
    }


def markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    lines = [
        f"{len(HURSTS)} x {len(BETAS)} points, width {report['width']}, depth {report['depth']}, {INPUTS} inputs, "
        "forward and backward.",
        f"{report['cpu']}, {report['instruction_set']}, {report['cpus']} CPUs, load average {report['load']:.1f}, "
        f"commit {report['commit']}.\n",
        "| networks at each H | seconds | seconds of processor time | frontier less max(H, 1/2) |",
        "|--:|--:|--:|---|",
    ]
    for one in report["runs"]:
        low, high = one["frontier_off"]
        lines.append(
            f"| {one['networks']} | {one['seconds']:.1f} | {one['processor_seconds']:.1f} | {low:+.3f} to {high:+.3f} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a table, and write it."""
    parser = argparse.ArgumentParser(prog="python -m bench.heat_map", description=__doc__)
    parser.add_argument("--networks", default="5,32", help="networks at each H, several separated by commas")
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--depth", type=int, default=DEPTH)
    parser.add_argument("--threads", type=int, help="threads of each worker")
    parser.add_argument("--output", type=Path, help="folder for the JSON and the table; without it they are printed")
    args = parser.parse_args(arguments)
    try:
        counts = [checks.integer("--networks", int(text), 1, 10**6) for text in args.networks.split(",")]
        ResidualNetwork(args.width, args.depth, "v-phi-w")
    except ValueError as error:
        print(f"bench.heat_map: {error}", file=sys.stderr)
        return 2
    report: dict[str, Any] = {
        **run_record("version"),
        "width": args.width,
        "depth": args.depth,
        "runs": [measure(count, args.width, args.depth, args.threads) for count in counts],
    }
    table = markdown(report)
    publish(args.output, "heat-map", report, table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
