"""``python -m bench.generators``: normals per second of resmc's generator, and of all it simulates, against MKL's.

Whatever simulates networks with the generator of a library draws at least their normals, so that no loop over any
generator can be faster than the generator alone. What is compared, all in float32 on one thread:

- resmc's generator: words by Philox4x32-10 and normals by Box and Muller, drawn and forgotten in registers;
- resmc simulating networks: normals times neuron updates, the same normals with all that a network asks of them;
- MKL's vsRngGaussian by every generator, method and three sizes of a block that a cache holds, the best of them;
- torch.normal_ and NumPy's ziggurat over SFC64, likewise into a block.

The best of MKL is found by short runs; then all are timed by turns, in processor time, which other work on the machine
disturbs less, and ratios are those within a turn. Cycles are by a
clock that is measured in the same turns, as that of a chain of dependent multiplications, which take three cycles and
an addition's one on every x86 processor of the last fifteen years. Instructions are counted by valgrind where it is
installed: on AVX2, the widest set that it knows; resmc's are those of `make instructions`.

Exit status: 1 if a number that is asked for is not reached.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import resmc

from . import asked, ours
from .asked import Line
from .environment import HELD, environment
from .harness import Spread, cell, spread
from .instructions import COUNTS
from .peers import mkl
from .peers.problem import Problem

GENERATOR, WHOLE = 2.3, 2.0  # asked: times the best of MKL
SIZES = ((192, 200), (40, 1000), (1024, 256))
BLOCK = 4096  # normals that torch and NumPy draw at a time
MOMENT_ERRORS = 5.0
TOLD = "RESMC_BENCH_GENERATORS"  # set in the process that has its environment
SOURCE = Path(__file__).parent / "peers" / "mkl_normals.c"

Draw = Callable[[int], Any]  # draws at least so many normals


def main(words: Sequence[str] | None = None) -> int:
    """Everything; returns the exit status."""
    parser = asked.options("generators", __doc__, "two sizes of networks and short runs: half a minute")
    parser.add_argument("--instruction-set", choices=resmc.build_info()["instruction_sets"], help="hold all to it")
    args = parser.parse_args(words)
    given = [] if args.instruction_set is None else ["--instruction-set", args.instruction_set]
    if given and TOLD not in os.environ:  # libraries read their environment when they are loaded
        return in_process_of_its_own(args.instruction_set, sys.argv[1:] if words is None else list(words))
    return asked.run("generators", args, lambda: measure(args.quick), markdown, words=given)


def in_process_of_its_own(instruction_set: str, words: Sequence[str]) -> int:
    """Run the same command where every library is held to an instruction set."""
    kept = {name: value for name, value in os.environ.items() if name not in HELD}
    variables = environment(instruction_set, resmc.build_info()["instruction_sets"][0], 1)
    command = [sys.executable, "-m", "bench.generators", *words]
    return subprocess.run(command, env={**kept, **variables, TOLD: "1"}, cwd=Path(__file__).parents[1]).returncode


# ---- what is timed ------------------------------------------------------------------------------------------------


def ours_of(problem: Problem) -> Draw:
    """resmc's generator alone."""
    each = problem.width * problem.depth
    return lambda count: ours.draw(problem, -(-count // each))


def simulation_of(problem: Problem) -> Draw:
    """resmc's networks, of as many neuron updates."""
    return lambda count: ours.simulate(problem, count // (problem.width * problem.depth))


def whole_packs(problem: Problem, count: int) -> int:
    """The normals of as many networks as fill packs, nearest above so many."""
    each = problem.width * problem.depth * ours.unit("projected", 1)
    return -(-count // each) * each


def torch_normals() -> Draw:
    import torch

    torch.set_num_threads(1)
    out = torch.empty(BLOCK)
    generator = torch.Generator().manual_seed(1)

    def draw(count: int) -> Any:
        for _ in range(-(-count // BLOCK)):
            out.normal_(generator=generator)
        return out

    return draw


def numpy_normals() -> Draw:
    generator, out = np.random.Generator(np.random.SFC64(1)), np.empty(BLOCK, np.float32)

    def draw(count: int) -> Any:
        for _ in range(-(-count // BLOCK)):
            generator.standard_normal(dtype=np.float32, out=out)
        return out

    return draw


def check(name: str, draw: Draw, block: int = BLOCK, blocks: int = 256) -> None:
    """Refuse normals whose mean or mean square is off by more than `MOMENT_ERRORS` standard errors."""
    drawn = np.concatenate([np.asarray(draw(block)).astype(np.float64) for _ in range(blocks)])
    for what, found, spread_of in (("mean", drawn.mean(), 1.0), ("mean square", (drawn**2).mean() - 1.0, np.sqrt(2.0))):
        if not abs(found) * np.sqrt(len(drawn)) < MOMENT_ERRORS * spread_of:
            raise RuntimeError(f"{name}: the {what} of {len(drawn)} normals is off by {found:g}")


def rate(draw: Draw, count: int) -> float:
    """Normals per second of processor time, of one run."""
    began = time.process_time()
    draw(count)
    return count / (time.process_time() - began)


def clock_of() -> Callable[[int], float]:
    """What measures the clock, in cycles per second, by so many dependent multiplications and additions."""
    import numba

    @numba.njit  # type: ignore[untyped-decorator]
    def chain(x: int, turns: int) -> int:
        for i in range(turns):
            x = (x * 6364136223846793005) ^ i
        return x

    chain(1, 2)

    def clock(turns: int) -> float:
        began = time.process_time()
        chain(1, turns)
        return 4.0 * turns / (time.process_time() - began)

    return clock


def best_of_mkl(count: int) -> tuple[mkl.Normals, dict[str, float]]:
    """The fastest of all, each as the best of three runs, and their rates."""
    rates: dict[str, float] = {}
    found: list[tuple[float, mkl.Normals]] = []
    for normals in mkl.every():
        try:
            draw = normals.source()
        except ValueError:  # not every generator has every method
            continue
        rates[str(normals)] = max(rate(draw, count) for _ in range(3))
        found.append((rates[str(normals)], normals))
    return max(found, key=lambda one: one[0])[1], rates


# ---- instructions -------------------------------------------------------------------------------------------------


def mkl_instructions(normals: mkl.Normals, calls: int = 100) -> float | str:
    """Instructions per normal, by the difference of two runs under valgrind; or why there are none."""
    compiler, valgrind = shutil.which("cc") or shutil.which("gcc"), shutil.which("valgrind")
    if compiler is None or valgrind is None:
        return "no C compiler" if compiler is None else "no valgrind"
    counts = []
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder, "mkl_normals"))
        subprocess.run([compiler, "-O1", "-o", program, str(SOURCE), "-ldl"], check=True)
        for times in (calls, 2 * calls):
            numbers = mkl.GENERATORS[normals.generator], mkl.METHODS[normals.method], normals.block, times
            command = [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", program]
            told = {**os.environ, "MKL_THREADING_LAYER": "SEQUENTIAL", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
            done = subprocess.run(
                [*command, str(mkl.path()), *map(str, numbers)], capture_output=True, text=True, env=told
            )
            said = [line for line in done.stderr.splitlines() if "refs:" in line]
            if done.returncode != 0 or not said:
                return "valgrind does not run MKL"
            counts.append(int(said[0].split(":")[1].replace(",", "")))
    return (counts[1] - counts[0]) / (calls * normals.block)


def our_instructions() -> float:
    """Instructions per normal of resmc's generator on AVX2, as they were counted last."""
    counted = json.loads(COUNTS.read_text(encoding="utf-8"))
    return float(counted["runs"]["normals alone"]["instructions_per_update"])


# ---- the report ---------------------------------------------------------------------------------------------------


def measure(quick: bool) -> dict[str, Any]:
    """All rates by turns, their ratios, cycles and instructions."""
    count, rounds = (1 << 22, 5) if quick else (1 << 25, 15)
    sizes = SIZES[:2] if quick else SIZES
    best, tried = best_of_mkl(count // 8)
    problems = {f"{width} x {depth}": Problem(width, depth) for width, depth in sizes}
    peers: dict[str, Draw] = {
        str(best): best.source(),
        "torch.normal_": torch_normals(),
        "NumPy SFC64": numpy_normals(),
    }
    for name, draw in peers.items():
        check(name, draw, best.block if name == str(best) else BLOCK)
    counts = {name: whole_packs(problem, count) for name, problem in problems.items()}
    draws = {
        **{f"resmc's generator, {name}": ours_of(p) for name, p in problems.items()},
        **{f"resmc, {name}": simulation_of(p) for name, p in problems.items()},
        **peers,
    }
    clock = clock_of()
    normals = {name: counts.get(name.rpartition(", ")[2], count) for name in draws}
    for name, draw in draws.items():
        draw(normals[name])
    turns = [
        {**{name: rate(draw, normals[name]) for name, draw in draws.items()}, "clock": clock(count)}
        for _ in range(rounds)
    ]
    rows = [
        {
            "name": name,
            "per_s": spread([turn[name] for turn in turns]),
            "cycles": spread([turn["clock"] / turn[name] for turn in turns]),
            "over_mkl": spread([turn[name] / turn[str(best)] for turn in turns]),
        }
        for name in draws
    ]
    lines = [vars(line_of(row)) for row in rows if row["name"].startswith("resmc")]
    return {
        "lines": lines, "rows": rows, "best": str(best), "tried": tried,
        "clock": spread([turn["clock"] for turn in turns]),
        "instructions": {"resmc": our_instructions(), "mkl": mkl_instructions(best)},
    }  # fmt: skip


def line_of(row: dict[str, Any]) -> Line:
    """What is asked of a row of resmc's."""
    target = GENERATOR if "generator" in row["name"] else WHOLE
    ratio = Spread(**row["over_mkl"]).median
    return Line(f"{row['name']}, over the best of MKL", f"at least {target:g}", ratio, float("nan"), ratio >= target)


def markdown(report: dict[str, Any]) -> str:
    """The report in Markdown."""
    counted = report["instructions"]
    of_mkl = counted["mkl"] if isinstance(counted["mkl"], str) else f"{counted['mkl']:.1f}"
    out = [
        "# Normals per second", "",
        f"{asked.origin(report)}, {report['instruction_set']}; one thread. The clock: "
        f"{cell(report['clock'], 1e-9)} GHz. Median (minimum to maximum) over the turns.", "",
        *asked.rows(report["lines"], lambda value, _: f"{value:.2f}"), "",
        "| | 1e6 normals/s | cycles a normal | over the best of MKL |", "|---|--:|--:|--:|",
    ]  # fmt: skip
    for row in report["rows"]:
        numbers = cell(row["per_s"], 1e-6), cell(row["cycles"]), cell(row["over_mkl"])
        out.append(f"| {row['name']} | {' | '.join(numbers)} |")
    out += [
        "", f"Instructions a normal on AVX2: resmc's generator {counted['resmc']:.1f}, {report['best']} {of_mkl}.", "",
        "Of MKL, each at its best block, 1e6 normals/s:", "", "| generator | method | |", "|---|---|--:|",
    ]  # fmt: skip
    by_pair: dict[tuple[str, str], float] = {}
    for name, per_s in report["tried"].items():
        generator, method, _ = name.removeprefix("MKL ").split(", ")
        by_pair[generator, method] = max(per_s, by_pair.get((generator, method), 0.0))
    out += [f"| {generator} | {method} | {1e-6 * per_s:.0f} |" for (generator, method), per_s in by_pair.items()]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    sys.exit(main())
