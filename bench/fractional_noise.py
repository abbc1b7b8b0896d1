"""``python -m bench.fractional_noise``: weights that depend on each other in depth, beside NumPy's fractional noise.

Both draw the same weights, by the same circulant embedding: two matrices of width^2 entries in every layer, as a block
V sigma(W h) has them. NumPy draws ``Generator.standard_normal`` and transforms batches of entries by
``numpy.fft.irfft``, in float64 and, as NumPy does, by one thread; the batch is the fastest of several. Both are held
to the exact covariance first, and then timed by turns.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from resmc import FractionalNoise, ResidualNetwork, SmoothProcess, Weights
from resmc._system import checks
from resmc.engine.weights import WeightSource
from resmc.theory.processes import covariance_by_lag, fractional_noise_embedding

from .harness import Floats, WrongAnswer, cell, spread
from .machine import publish
from .run_record import run_record

BATCHES = (16, 64, 256, 1024, 4096)
LIMIT = 5.0  # standard errors that the covariance at a lag may be off
LAGS = 10


def by_numpy(amplitudes: Floats, entries: int, batch: int, rng: np.random.Generator) -> Floats:
    """Paths of so many entries, float64 (entries, depth)."""
    depth = len(amplitudes) - 1
    out = np.empty((entries, depth))
    for first in range(0, entries, batch):
        count = min(batch, entries - first)
        waves = np.empty((count, depth + 1), np.complex128)
        waves.real = rng.standard_normal((count, depth + 1)) * amplitudes[:, 0]
        waves.imag = rng.standard_normal((count, depth + 1)) * amplitudes[:, 1]
        out[first : first + count] = np.fft.irfft(waves, 2 * depth, axis=1, norm="forward")[:, :depth]
    return out


def check(name: str, paths: Floats, exact: Floats) -> None:
    """Refuse paths whose covariance at one of the first lags is further than LIMIT standard errors off."""
    for lag in range(min(LAGS, paths.shape[1])):
        product = np.mean(paths[:, : paths.shape[1] - lag] * paths[:, lag:], axis=1)
        score = (product.mean() - exact[lag]) / (product.std() / np.sqrt(len(product)))
        if not abs(score) <= LIMIT:
            raise WrongAnswer(f"{name}: the covariance at lag {lag} is {score:.1f} standard errors off: not timed")


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """The time that a call takes by the clock, and that of all processors together."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def compare(hurst: float, width: int, depth: int, threads: int, rounds: int) -> dict[str, Any]:
    """Times of one network's weights by turns, in seconds, and NumPy's over resmc's within each round."""
    process = FractionalNoise(hurst)
    model = ResidualNetwork(width, depth, "v-phi-w", weights=Weights(depth=process))
    source, rng = WeightSource(model, 0, threads), np.random.default_rng(0)
    amplitudes, entries = fractional_noise_embedding(hurst, depth).amplitudes, 2 * width * width
    exact = covariance_by_lag(process, depth)
    drawn = source.draw(range(1), 0, depth)
    both = np.concatenate([matrix[0].reshape(depth, -1).T for matrix in (drawn.outer, drawn.inner)])
    check("resmc", both.astype(np.float64), exact)
    check("NumPy", by_numpy(amplitudes, entries, 256, rng)[:, :depth], exact)

    tried = {batch: min(seconds(lambda b=batch: by_numpy(amplitudes, entries, b, rng))[0] for _ in range(3))
             for batch in BATCHES if batch < 2 * entries}  # fmt: skip
    batch = min(tried, key=tried.__getitem__)
    ours, theirs = [], []
    for number in range(rounds):
        ours.append(seconds(lambda n=number: source.draw(range(n, n + 1), 0, depth)))
        theirs.append(seconds(lambda: by_numpy(amplitudes, entries, batch, rng)))
    return {
        "hurst": hurst,
        "numpy_batch": batch,
        "resmc_seconds": spread([a for a, _ in ours]),
        "numpy_seconds": spread([a for a, _ in theirs]),
        "ratio": spread([b / a for (a, _), (b, _) in zip(ours, theirs, strict=True)]),
        "processor_ratio": spread([b / a for (_, a), (_, b) in zip(ours, theirs, strict=True)]),
    }


def other_weights(width: int, depth: int, threads: int, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds that one network's weights of other dependences take."""
    out = {}
    for name, process in (("independent", "iid"), ("tied", "tied"), ("smooth", SmoothProcess())):
        source = WeightSource(ResidualNetwork(width, depth, "v-phi-w", weights=Weights(depth=process)), 0, threads)
        source.draw(range(1), 0, depth)
        out[name] = spread([seconds(lambda s=source: s.draw(range(1), 0, depth))[0] for _ in range(rounds)])
    return out


def markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    width, depth = report["width"], report["depth"]
    lines = [
        f"Weights of one network, width {width}, depth {depth}: 2 x {width * width} paths of {depth} layers.",
        f"{report['cpu']}, {report['instruction_set']}, {report['threads']} threads; NumPy {report['numpy']} on one.",
        f"Load average {report['load']:.1f}. Milliseconds and ratios: median (least to most).\n",
        "| H | resmc | NumPy | ratio | ratio of processor time |",
        "|---|---|---|---|---|",
    ]
    for found in report["fractional_noise"]:
        resmc_ms, numpy_ms = cell(found["resmc_seconds"], 1e3), cell(found["numpy_seconds"], 1e3)
        ratios = f"{cell(found['ratio'])} | {cell(found['processor_ratio'])}"
        lines.append(f"| {found['hurst']:g} | {resmc_ms} | {numpy_ms} | {ratios} |")
    lines += ["", "| other weights | resmc |", "|---|---|"]
    lines += [f"| {name} | {cell(found, 1e3)} |" for name, found in report["other_weights"].items()]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fractional_noise", description=__doc__)
    parser.add_argument("--width", type=int, default=40)
    parser.add_argument("--depth", type=int, default=1000)
    parser.add_argument("--hurst", default="0.1,0.5,0.9", help="several, separated by commas")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, help="folder for the JSON and the table; without it they are printed")
    args = parser.parse_args(arguments)
    try:
        hursts = [FractionalNoise(float(text)).hurst for text in args.hurst.split(",")]
        ResidualNetwork(args.width, args.depth, "v-phi-w")
        checks.integer("--threads", args.threads, 1, 4096)
        checks.integer("--rounds", args.rounds, 1, 10**6)
    except ValueError as error:
        print(f"bench.fractional_noise: {error}", file=sys.stderr)
        return 2
    report: dict[str, Any] = {
        **run_record("cpus", "version"),
        "numpy": np.__version__,
        "width": args.width,
        "depth": args.depth,
        "threads": args.threads,
        "rounds": args.rounds,
    }
    try:
        report["fractional_noise"] = [compare(h, args.width, args.depth, args.threads, args.rounds) for h in hursts]
    except WrongAnswer as error:
        print(f"bench.fractional_noise: {error}", file=sys.stderr)
        return 1
    report["other_weights"] = other_weights(args.width, args.depth, args.threads, args.rounds)
    table = markdown(report)
    publish(args.output, "fractional-noise", report, table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
