"""What a sweep costs beyond its simulations: `python -m bench.sweep`.

Overhead (`bench.sweep_overhead`): what `Sweep.run` takes for planning, hashing, files, syncs and claims with shards of
about a second. Large plans: to list a store of 10^4 points, to find that nothing is missing, to merge and verify every
shard, and to estimate every quantity with its theory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from resmc import Sweep, build_info
from resmc.engine.devices import Device
from resmc.engine.recording import histogram_bins
from resmc.engine.run import run
from resmc.results import storage
from resmc.results.record import Record
from resmc.sweep.shards import Range
from resmc.sweep.store import Store, stored_as

from .harness import Spread
from .machine import commit, cpu_model, file_name
from .sweep_overhead import HALF, overhead

POINTS = 10_000
TARGETS = {"overhead": 0.02, "seconds": 10.0}


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
            request = point.request(0, plan.networks, Device("cpu", None), threads=len(os.sched_getaffinity(0)))
            simulation = made[len(point.recorded)] = Record.of(request, run(request))
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
        "A sweep beyond its kernels, in percent of theirs: processor time, and time in which a worker had none to run;",
        "and its time over that of the kernels alone, by turns. Median (range) over the rounds:",
        "",
        "| workers | shards | seconds of a shard | processor, % | idle, % | over the kernels alone |",
        "|---|---|---|---|---|---|",
    ]
    for row in report["overhead"]:
        percent = [Spread(*(100 * value for value in row[name].values())) for name in ("processor", "idle")]
        out.append(
            f"| {row['workers']} | {row['shards']} | {row['shard_seconds']:.2f} | {percent[0]} | {percent[1]} | "
            f"{Spread(**row['over_bare'])} |"
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
        line(f"{what} beyond the kernels below 2%, {row['workers']} workers", row[name]["median"], TARGETS["overhead"])
        for row in report["overhead"]
        for name, what in (("processor", "Processor time"), ("idle", "Time"))
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
