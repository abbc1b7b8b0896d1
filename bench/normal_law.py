"""``python -m bench.normal_law``: the normals against the exact law, and their errors over all inputs.

Draws the normals as simulations take them (Philox by counter, then Box and Muller: 64 layers of a network of width 256)
and compares moments to the 8th order, tails to 6 sigma and correlations between neighbours with what independent
standard normals give. Then runs through all 2^32 radii and 2^30 angles. Exits with 1 if the law is refused.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

import resmc
from resmc import _native
from resmc._system import checks

from .machine import commit, cpu_model, file_name
from .normal_errors import exhaustive
from .normal_sums import FALSE_ALARM, Line, Sums, lines, verdict

NETWORKS, QUADS, LAYERS = 64, 64, 64  # of a task; a layer of them, in float64, fits into a core's own cache
TASK = NETWORKS * 4 * QUADS * LAYERS


def task_sums(instruction_set: str, seed: int, task: int) -> Sums:
    """Sums over all layers of the task's networks."""
    sums, before = Sums(), None
    for layer in range(LAYERS):
        block = _native.drawn(
            instruction_set, seed, _native.STREAMS["residual"], layer, task * NETWORKS, NETWORKS, QUADS
        )
        before = sums.add_layer(block, before)
    return sums


def ordered(
    pool: ThreadPoolExecutor, work: Callable[[int], Any], tasks: Iterable[int], label: str, quiet: bool = False
) -> Iterator[Any]:
    """What `work` gives for each task, in their order, with a bar; leaves no task waiting if it is stopped."""
    futures = [pool.submit(work, task) for task in tasks]
    try:
        for future in tqdm(futures, desc=label, unit="task", disable=quiet):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def law(pool: ThreadPoolExecutor, instruction_set: str, seed: int, draws: int, quiet: bool = False) -> Sums:
    """Sums over at least so many draws; the same for any number of threads, since tasks are added in their order."""
    total = Sums()
    for sums in ordered(pool, partial(task_sums, instruction_set, seed), range(-(-draws // TASK)), "law", quiet):
        total.add(sums)
    return total


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.normal_law", description=__doc__)
    parser.add_argument("--draws", default="1e10", help=f"rounded up to a multiple of {TASK}; default 1e10")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--instruction-set", default=None, help="default: the best, or RESMC_INSTRUCTION_SET")
    parser.add_argument("--exhaustive", action=argparse.BooleanOptionalAction, default=True, help="the second part")
    parser.add_argument("--output", type=Path, default=Path("bench/results"), help="folder of the JSON and the table")
    args = parser.parse_args(arguments)
    try:
        names = [name for name, _ in _native.instruction_sets()]
        name = checks.choice("--instruction-set", args.instruction_set or resmc.build_info()["instruction_set"], names)
        draws = checks.integer("--draws", number(args.draws), 1, 10**14)
        seed = checks.integer("--seed", number(args.seed), 0, 2**64 - 1, "2^64 - 1")
        threads = checks.integer("--threads", args.threads, 1, 4096)
    except ValueError as error:
        print(f"bench.normal_law: {error}", file=sys.stderr)
        return 2
    try:
        args.output.mkdir(parents=True, exist_ok=True)  # now, not after minutes
    except OSError as error:
        print(f"bench.normal_law: --output {args.output}: {error.strerror}", file=sys.stderr)
        return 2
    try:
        report = measure(name, seed, draws, threads, args.exhaustive)
    except KeyboardInterrupt:
        print("bench.normal_law: interrupted; nothing was written", file=sys.stderr)
        return 130
    table = markdown(report)
    print(f"\n{table}")
    stem = f"normals-{file_name(report['cpu'])}-{name}"
    for suffix, text in ((".json", json.dumps(report, indent=2) + "\n"), (".md", table)):
        (args.output / (stem + suffix)).write_text(text, encoding="utf-8")
        print(f"written: {args.output / (stem + suffix)}")
    return 0 if report["passed"] else 1


def number(text: str) -> int | float | str:
    """The integer or float that a text is; the text itself if it is neither, for the check to refuse."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def measure(name: str, seed: int, draws: int, threads: int, with_errors: bool) -> dict[str, Any]:
    """The whole report as plain numbers and texts."""
    pool = ThreadPoolExecutor(threads)
    try:
        start = time.perf_counter()
        sums = law(pool, name, seed, draws)
        seconds = time.perf_counter() - start
        errors = exhaustive(name, partial(ordered, pool)) if with_errors else None
        errors_seconds = time.perf_counter() - start - seconds
    finally:
        pool.shutdown(cancel_futures=True)
    compared = list(lines(sums))
    found = verdict(compared, sums.draws)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": cpu_model(),
        "instruction_set": name,
        "build": resmc.build_info(),
        "numpy": resmc._system.build.installed_packages()["numpy"],
        "seed": seed,
        "draws": sums.draws,
        "threads": threads,
        "seconds": round(seconds, 1),
        "false_alarm": FALSE_ALARM,
        "passed": found.passed,
        "verdict": str(found),
        "lines": [asdict(line) for line in compared],
        "errors": errors,
        "errors_seconds": round(errors_seconds, 1) if errors else None,
    }


def markdown(report: dict[str, Any]) -> str:
    """The printed and written table."""
    build = report["build"]
    out = [
        f"# The law of the normals, {report['instruction_set']}",
        "",
        f"{report['cpu']}; resmc {build['version']} (numerics {build['numerics_version']}, {build['compiler']}), NumPy "
        f"{report['numpy']}; commit {report['commit']}, {report['date']}.",
        "",
        f"{report['draws']:.5g} draws of seed {report['seed']} in {report['seconds']:.0f} s on {report['threads']} "
        "threads, against independent standard normals.",
        "",
        report["verdict"],
        "",
        "| quantity | exact | measured | standard error | z |",
        "|---|---|---|---|---|",
    ]
    out += [row(Line(**line)) for line in report["lines"]]
    if report["errors"]:
        out += ["", *errors_table(report["errors"], report["errors_seconds"])]
    return "\n".join(out) + "\n"


def row(line: Line) -> str:
    measured = f"{line.measured:.0f}" if line.measured == int(line.measured) else f"{line.measured:.9g}"
    return f"| {line.quantity} | {line.expected:.9g} | {measured} | {line.stderr:.2g} | {line.z:+.2f} |"


def errors_table(errors: dict[str, Any], seconds: float) -> list[str]:
    """The second part of the report."""
    radius, angle = errors["radius"], errors["angle"]
    bias = errors["bias_normal_squared"]
    return [
        "## Errors over all inputs",
        "",
        f"All 2^32 radii and all 2^30 angles against float64, in {seconds:.0f} s. No normal g = r cos t or r sin t of "
        "all 2^62 pairs is further off than the bound: the radius's error, r times the cosine's worst, and half a last "
        "place.",
        "",
        "| | absolute | at word | relative | at word |",
        "|---|---|---|---|---|",
        *(
            f"| {name}, worst error | {e['absolute']:.4g} | {e['absolute_word']} | {e['relative']:.4g} | "
            f"{e['relative_word']} |"
            for name, e in (("radius", radius), ("cosine and sine", angle))
        ),
        f"| normal, bound on the error | {errors['normal_bound_absolute']:.4g} | | "
        f"{errors['normal_bound_over_radius']:.4g} of the radius | |",
        "",
        "| mean over all inputs, less the exact one | |",
        "|---|---|",
        f"| E r^2 / 2 - 1 | {errors['bias_radius_squared']:+.3g} |",
        f"| 2 E cos^2 - 1 | {errors['bias_cosine_squared']:+.3g} |",
        f"| 2 E sin^2 - 1 | {errors['bias_sine_squared']:+.3g} |",
        f"| E cos | {errors['mean_cosine']:+.3g} |",
        f"| E sin | {errors['mean_sine']:+.3g} |",
        f"| E cos sin | {errors['mean_cosine_sine']:+.3g} |",
        f"| E g^2 - 1, before the product is rounded | {bias:+.3g} |",
        "",
        "A layer multiplies E |z|^2 by alpha^2 + lambda^2 E g^2, with alpha^2 + lambda^2 = 1 in the kernels: the last "
        f"line shifts log |z|^2 by {abs(bias):.2g} a layer at most, by {abs(bias) * 1000:.2g} at depth 1000.",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
