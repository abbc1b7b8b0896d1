"""What a sweep costs beyond its simulations: `python -m bench.sweep`.

Overhead: the same shards of about a second, run by `Sweep.run` into a store (hashing, files, syncs, claims) and by bare
calls of the kernels from as many threads, by turns. Large plans: to list a store of 10^4 points, to find that
nothing is missing, to merge and verify every shard, and to estimate every quantity with its theory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from resmc import Sweep, build_info, storage
from resmc.recording import histogram_bins
from resmc.simulate import simulate_range
from resmc.simulation import NetworkRange
from resmc.sweep.shards import Range, shard_networks
from resmc.sweep.store import Store, stored_as

from .harness import Spread, by_turns, ratios
from .machine import commit, cpu_model, file_name

HALF = 0.5**0.5
SHARDS = 4  # of each worker
POINTS = 10_000
TARGETS = {"overhead": 1.02, "seconds": 10.0}


def plan_of(workers: int, updates: int) -> Sweep:
    """LNR's setting, with so many shards of so much work for each worker."""
    size = {"width": 200, "depth": 200 if updates > 1 << 28 else 10, "alpha": HALF, "lam": HALF}
    networks = shard_networks(Sweep(**size, networks=1 << 20).point(0, 1 << 20), updates)
    return Sweep(**size, networks=SHARDS * workers * networks, shard_updates=updates)


def bare(plan: Sweep, workers: int) -> None:
    """The kernels alone: the plan's ranges from as many threads, nothing kept."""
    point = plan.point(0, plan.networks)
    size = shard_networks(point, plan.shard_updates or 1)

    def one(start: int) -> None:
        simulate_range(
            point.model, NetworkRange(start, min(start + size, plan.networks), point.block), seed=point.seed,
            method="projected", layers=point.recorded, correlations=False, device=("cpu", None), threads=1, report=None,
        )  # fmt: skip

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(0, plan.networks, size)))


def overhead(workers: int, rounds: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Time of a sweep over that of its kernels, and of this process's processors alone."""
    probe = plan_of(1, int(seconds * 5e8))
    begin = time.perf_counter()
    bare(probe, 1)
    rate = probe.networks * probe.point(0, probe.networks).updates / (time.perf_counter() - begin)
    plan = plan_of(workers, int(seconds * rate))
    store = folder / "overhead"

    def swept() -> None:
        plan.run(store, workers=workers, threads=1, progress=False)
        shutil.rmtree(store)

    processor: dict[str, list[float]] = {"swept": [], "bare": []}

    def counted(name: str, run: Callable[[], None]) -> Callable[[], None]:
        def measured() -> None:
            before = time.process_time()
            run()
            processor[name].append(time.process_time() - before)

        return measured

    bare(plan, workers)
    taken = by_turns((counted("swept", swept), counted("bare", lambda: bare(plan, workers))), rounds)
    shards = SHARDS * workers
    return {
        "workers": workers,
        "shards": shards,
        "shard_seconds": float(np.median(taken[1])) * workers / shards,
        "wall": asdict(ratios(*taken)),
        "processor": asdict(ratios(processor["swept"], processor["bare"])),
        "seconds": taken,
        "processor_seconds": processor,
    }


def large_plan(points: int) -> Sweep:
    """Widths, ratios and both variants."""
    widths = np.unique(np.geomspace(10, 400, 60).astype(int))[:50]
    ratios = np.linspace(0.1, 3.0, points // (2 * len(widths)))
    return Sweep(width=widths, ratio=ratios, alpha=HALF, lam=HALF, variant=["vanilla", "balanced"], networks=10_000)


def fill(plan: Sweep, path: Path) -> None:
    """A store in which every point is complete; the numbers of a few networks stand for all, to make it quickly."""
    store = Store(path)
    store.create()
    store.write_plan(plan.to_dict())
    made: dict[int, Any] = {}
    for index, model in enumerate(plan.models):
        point = plan.point(index, plan.networks)
        simulation = made.get(len(point.recorded))
        if simulation is None:
            simulation = made[len(point.recorded)] = simulate_range(
                model, NetworkRange(0, plan.networks, point.block), seed=0, method="projected", layers=point.recorded,
                correlations=False, device=("cpu", None), threads=len(os.sched_getaffinity(0)), report=None,
            )  # fmt: skip
        mine = replace(
            simulation, model=model, seed=point.seed, layers=point.recorded.copy(), bins=histogram_bins(model)
        )
        stored = stored_as(point, Range(0, plan.networks), simulation.numerics[-1])
        store.file(stored).parent.mkdir(exist_ok=True)
        store.file(stored).write_bytes(storage.to_bytes(mine))


def read_back(path: str) -> dict[str, float]:
    """Seconds of each step over a finished store, in this process, and its memory."""
    store, taken, begin = Store(path), {}, time.perf_counter()

    def step(name: str) -> None:
        nonlocal begin
        taken[name] = time.perf_counter() - begin
        begin = time.perf_counter()

    plan = Sweep.from_dict(store.read_plan())
    step("plan")
    listing = store.listing()
    step("list")
    result = plan.run(path, progress=False)
    step("resume and merge")
    result.to_xarray()
    step("estimates and theory")
    if not result.complete:
        raise RuntimeError("the store was not complete: nothing of this counts")
    taken["in all"] = sum(taken.values())
    taken |= {"points": len(plan.models), "shards": listing.files}
    taken["peak_MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return taken


def large(points: int, rounds: int, folder: Path) -> dict[str, Any]:
    """`read_back` in processes of its own, so that nothing is warm but the disk's cache."""
    path = folder / "large"
    fill(large_plan(points), path)
    size = sum(file.stat().st_size for file in path.rglob("*.resmc"))
    command = [sys.executable, "-m", "bench.sweep", "--read-back", str(path)]
    found = [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(rounds)
    ]
    return {"bytes": size, **{name: asdict(Spread.of([f[name] for f in found])) for name in found[0]}}


def markdown(report: dict[str, Any]) -> str:
    """The report as a page."""
    out = [
        f"# Sweeps, {report['instruction_set']}",
        "",
        f"{report['cpu']}, {report['cores']} cores; resmc {report['resmc']} ({report['compiler']}), Python "
        f"{report['python']}, NumPy {report['numpy']}; commit {report['commit']}, {report['date']}.",
        "",
        "A sweep over its kernels alone, by turns; median (range) of the ratios:",
        "",
        "| workers | shards | seconds of a shard | wall | processor |",
        "|---|---|---|---|---|",
    ]
    for row in report["overhead"]:
        wall, processor = Spread(**row["wall"]), Spread(**row["processor"])
        out.append(
            f"| {row['workers']} | {row['shards']} | {row['shard_seconds']:.2f} | "
            f"{wall.median:.4f} ({wall.min:.4f} to {wall.max:.4f}) | "
            f"{processor.median:.4f} ({processor.min:.4f} to {processor.max:.4f}) |"
        )
    found = report["large"]
    out += [
        "",
        f"A finished store of {found['points']['median']:.0f} points, {found['bytes'] / 1e9:.2f} GB:",
        "",
        "| step | seconds |",
        "|---|---|",
    ]
    steps = ("plan", "list", "resume and merge", "estimates and theory", "in all")
    out += [f"| {name} | {Spread(**found[name])} |" for name in steps]
    out += ["", f"Peak memory {Spread(**found['peak_MB'])} MB.", "", *report["verdicts"]]
    return "\n".join(out) + "\n"


def verdicts(report: dict[str, Any]) -> list[str]:
    """The targets, and whether they are reached."""

    def line(text: str, value: float, bound: float) -> str:
        return f"- {text}: {'reached' if value < bound else 'NOT reached'} ({value:.4g})."

    out = [
        line(f"Overhead below 2% of the processors' time, {row['workers']} workers", row["processor"]["median"],
             TARGETS["overhead"])
        for row in report["overhead"]
    ]  # fmt: skip
    out += [
        line(f"Overhead below 2% of the time, {row['workers']} workers", row["wall"]["median"], TARGETS["overhead"])
        for row in report["overhead"]
    ]
    return [*out, line("A plan of 10^4 points in less than 10 s", report["large"]["in all"]["median"],
                       TARGETS["seconds"])]  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and writes a JSON file and a page."""
    parser = argparse.ArgumentParser(prog="python -m bench.sweep", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("bench/results"), help="folder of the results")
    parser.add_argument("--rounds", type=int, default=9, help="of the overhead, at least 5 (9)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a shard, at least (1.0)")
    parser.add_argument("--points", type=int, default=POINTS, help="of the large plan (10000)")
    parser.add_argument("--read-back", metavar="STORE", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.read_back:
        print(json.dumps(read_back(args.read_back)))
        return 0
    info, cores = build_info(), len(os.sched_getaffinity(0))
    report: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(), "cpu": cpu_model(), "cores": cores,
        "instruction_set": info["instruction_set"], "resmc": info["version"], "compiler": info["compiler"],
        "python": sys.version.split()[0], "numpy": np.__version__,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        report["overhead"] = [
            overhead(workers, args.rounds, args.seconds, Path(folder)) for workers in sorted({1, cores})
        ]
        report["large"] = large(args.points, 3, Path(folder))
    report["verdicts"] = verdicts(report)
    stem = args.output / f"sweep-{file_name(report['cpu'])}-{report['instruction_set']}"
    args.output.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(markdown(report), encoding="utf-8")
    print(f"{markdown(report)}\nwritten: {stem}.json, {stem}.md")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
