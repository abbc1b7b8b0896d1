"""``python -m bench.trained_map``: the time of a map after training, as figure 9 of Marion, Fermanian, Biau, Vert.

Networks v-phi-w with ReLU, width 30 and depth 100, over 10 values of H by 10 exponents from 0.1 to 0.9, three at each
point, are trained on scikit-learn's digits by Adam for 10 epochs, at 5 learning rates that fall to a tenth after 5. The
paper (arXiv 2206.06929) has MNIST and depth 1000. Beside the seconds stand the floating-point operations of the layers'
products in training, and the share of the rate that a large product in float32 has on the same cores. Target: 15
minutes on two cores. ``--quick`` takes a small map, to see that all of it works.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import resmc
from resmc import ResidualNetwork
from resmc._system import checks
from resmc._system.cpus import usable_cpus
from resmc.train import TrainedHeatMap

from .machine import publish
from .run_record import run_record
from .training import product

RATES, EPOCHS, STEP_EPOCHS, BATCH = (1e-4, 1e-3, 1e-2, 0.1, 1.0), 10, 5, 64
TARGET = 900.0  # seconds of the whole map
PRODUCT, SMALL_PRODUCT, TIMES = 2048, 256, 5  # widths of a large product, and how often ten of them are timed


def operations(found: TrainedHeatMap) -> float:
    """Floating-point operations in the products of the layers, forward and backward, of all steps of all networks."""
    model, data = found.model, found.plan.examples
    matrices = model.residual_block.matrices
    steps = found.settings.epochs * data.batches(found.settings.batch)
    members = int(found.networks.sum()) * len(found.beta) * len(found.rates)
    return 6.0 * members * steps * found.settings.batch * matrices * model.depth * model.width**2


def matrix_rate(workers: int, width: int) -> float:
    """Operations per second of a large product of float32 on so many cores: the best of some.

    One core alone is tried too: where other programs are busy, threads that wait for each other take a hundred times as
    long as one thread.
    """
    best = np.inf
    for threads in (1, workers) * TIMES:
        start = time.perf_counter()
        product(width, threads)
        best = min(best, time.perf_counter() - start)
    return 20.0 * width**3 / best


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Make the map; return its times, its operations, and what it found."""
    x, y = resmc.train.digits()
    model = ResidualNetwork(args.width, args.depth, "v-phi-w")
    grid = np.linspace(0.1, 0.9, args.points).tolist()
    rates = RATES[1:3] if args.quick else RATES
    width = SMALL_PRODUCT if args.quick else PRODUCT
    before = matrix_rate(args.workers, width)
    start, used = time.perf_counter(), time.process_time()
    found = resmc.train.heat_map(
        model, x, y, hurst=grid, beta=grid, learning_rate=rates, networks=args.networks, epochs=args.epochs,
        step_epochs=STEP_EPOCHS, batch=BATCH, optimizer=args.optimizer, seed=args.seed, workers=1, threads=args.workers,
        store=args.store, progress=None if args.progress else False,
    )  # fmt: skip
    seconds, processor = time.perf_counter() - start, time.process_time() - used
    done, rates_of_products = operations(found), (before, matrix_rate(args.workers, width))
    row, column = found.best_point
    return {
        "members": int(found.networks.sum()) * len(grid) * len(rates),
        "seconds": seconds,
        "processor_seconds": processor,
        "operations": done,
        "matrix_rate": rates_of_products,
        "share": done / seconds / (sum(rates_of_products) / 2),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "best": {"hurst": grid[row], "beta": grid[column], "accuracy": float(found.accuracy.value[row, column])},
        "hurst": grid,
        "beta": grid,
        "accuracy": found.accuracy.value.tolist(),
        "log10_growth": found.growth.value.tolist(),
        "learning_rate": found.learning_rate.tolist(),
        "failed": found.failed.tolist(),
    }


def markdown(report: dict[str, Any]) -> str:
    """The report as a table, and the accuracies found."""
    rates = ", ".join(f"{rate * 1e-9:.0f}" for rate in report["matrix_rate"])
    best = report["best"]
    lines = [
        f"{report['cpu']}, torch {report['torch']}, {report['workers']} threads, load average {report['load']:.1f} at "
        f"the start. Command: `{report['command']}`, seed {report['seed']}, commit {report['commit']}.\n",
        "| networks trained | seconds | of processor time | operations | share of the matrix rate | matrix rate before "
        "and after, GF/s | memory, GB |",
        "|--:|--:|--:|--:|--:|--:|--:|",
        f"| {report['members']} | {report['seconds']:.1f} | {report['processor_seconds']:.1f} | "
        f"{report['operations']:.3g} | {report['share']:.2f} | {rates} | {report['memory'] * 1e-9:.2f} |\n",
        f"Best on validation: H = {best['hurst']:.2g}, beta = {best['beta']:.2g}, where the test accuracy is "
        f"{best['accuracy']:.3f}.\n",
        "Test accuracy, H from left to right, beta from top to bottom:\n",
        "| | " + " | ".join(f"{h:.2f}" for h in report["hurst"]) + " |",
        "|--:|" + "--:|" * len(report["hurst"]),
    ]
    for j, beta in enumerate(report["beta"]):
        lines.append(f"| {beta:.2f} | " + " | ".join(f"{row[j]:.2f}" for row in report["accuracy"]) + " |")
    if report["whole"]:
        reached = "reached" if report["seconds"] <= TARGET else "NOT reached"
        lines.append(f"\nTarget: {TARGET / 60:g} minutes, {reached}.")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a table, and write it."""
    parser = argparse.ArgumentParser(prog="python -m bench.trained_map", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small map, in seconds")
    parser.add_argument("--points", type=int, help="values of H, and exponents")
    parser.add_argument("--width", type=int)
    parser.add_argument("--depth", type=int)
    parser.add_argument("--networks", type=int, help="at each H")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--optimizer", choices=("adam", "sgd"), default="adam")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=usable_cpus(), help="threads")
    parser.add_argument("--store", type=Path, help="keep the map in this store; its seconds are those of what it lacks")
    parser.add_argument("--progress", action="store_true")
    parser.add_argument("--output", type=Path, help="folder for the JSON and the table; without it they are printed")
    args = parser.parse_args(arguments)
    usual = {"points": (10, 3), "width": (30, 12), "depth": (100, 20), "networks": (3, 2), "epochs": (EPOCHS, 3)}
    try:
        for name, values in usual.items():
            if getattr(args, name) is None:
                setattr(args, name, values[args.quick])
            checks.integer(f"--{name}", getattr(args, name), 1, 10**5)
        checks.integer("--workers", args.workers, 1, 4096)
    except ValueError as error:
        print(f"bench.trained_map: {error}", file=sys.stderr)
        return 2
    said = " ".join(f"--{name} {getattr(args, name)}" for name in (*usual, "optimizer", "seed", "workers"))
    report: dict[str, Any] = {
        **run_record("cpus", "version"),
        "command": f"python -m bench.trained_map {'--quick ' * args.quick}{said}",
        "seed": args.seed,
        "torch": torch.__version__,
        "workers": args.workers,
        "whole": all(getattr(args, name) == values[0] for name, values in usual.items()),
        **measure(args),
    }
    table = markdown(report)
    publish(args.output, "trained-map", report, table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
