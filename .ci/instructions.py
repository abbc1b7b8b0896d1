"""A budget for the machine instructions of the CPU kernels, which are repeatable where seconds are not.

    python .ci/instructions.py [--build DIR] [--update] [--data FILE]

Builds tests/native/count_instructions.cpp on the kernels of a CMake build and counts, under valgrind, what small fixed
runs execute on AVX2, the widest set that valgrind knows. Without valgrind the processor's own counter serves, through
perf, where there is one. A run of twice as many networks less the run itself, over the neuron updates between them
(networks x depth x width), is the cost of one: starting and ending cancel. Exits with 1 if one differs by more than 5%
from tests/data/cpu_instructions.json, in either direction: what has become better is to be recorded too, by --update,
or a later loss would hide behind it. Another compiler makes other code: then counts are shown, and not compared.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
INSTRUCTION_SET = "avx2"
TOLERANCE = 0.05
TARGET = "count_instructions"
KEYS = ("method", "variant", "width", "depth", "layers", "networks")
# About half a million neuron updates each, a fifth of that for activations. "draw" is the generator alone: words and
# normals. Of general kernels the variant is the block, the activation, and whether gradients are followed back.
BLOCKS = ("phi-in", "phi-out", "v-phi-w")
ACTIVATIONS = ("leaky_relu", "tanh", "gelu", "gelu_tanh", "sigmoid", "centred_softplus", "erf", "mish", "elu")
RUNS = {
    "projected": ("projected", "vanilla", 192, 20, "ends", 128),
    "projected, balanced": ("projected", "balanced", 192, 20, "ends", 128),
    "projected, balanced-half": ("projected", "balanced-half", 192, 20, "ends", 128),
    "projected, all layers": ("projected", "vanilla", 192, 20, "all", 128),
    "projected, width 100": ("projected", "vanilla", 100, 10, "ends", 512),
    "projected, width 4, all layers": ("projected", "vanilla", 4, 16, "all", 2048),
    "dense": ("dense", "vanilla", 40, 4, "ends", 128),
    "normals alone": ("draw", "vanilla", 192, 20, "ends", 128),
    **{f"general, {block}": ("projected", f"{block}:relu", 192, 20, "ends", 128) for block in BLOCKS},
    **{f"general, phi-in, {name}": ("projected", f"phi-in:{name}", 192, 8, "ends", 64) for name in ACTIVATIONS},
    "general, dense": ("dense", "phi-in:relu", 40, 4, "ends", 128),
    **{f"gradients, {block}": ("projected", f"{block}:relu:gradients", 192, 20, "ends", 128) for block in BLOCKS},
    "gradients, phi-in, tanh": ("projected", "phi-in:tanh:gradients", 192, 8, "ends", 64),
}
COUNTERS = {
    "valgrind": ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"],
    "perf": ["perf", "stat", "-x,", "-e", "instructions:u"],
}


class Change(NamedTuple):
    """A line of the report."""

    name: str
    old: float | None
    new: float | None
    verdict: str
    fails: bool


class NotCountable(RuntimeError):
    """There is nothing to count here, or nothing to count with; the message says what."""


# ---- counting -------------------------------------------------------------------------------------------------------


def parse_count(text: str) -> int | None:
    """The instructions that valgrind or perf reports; None where perf's counter is not supported."""
    found = re.search(r"^==\d+==\s+I\s+refs:\s+([\d,]+)", text, re.MULTILINE) or re.search(
        r"^(\d+),[^,\n]*,instructions", text, re.MULTILINE
    )
    return int(found[1].replace(",", "")) if found else None


def run(*command: str) -> str:
    """A command's output and error; its failure ends the program."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def counter() -> str:
    """Which of COUNTERS there is, and counts."""
    for name, command in COUNTERS.items():
        if shutil.which(name):
            done = subprocess.run([*command, "true"], capture_output=True, text=True)
            if done.returncode == 0 and parse_count(done.stderr) is not None:
                return name
    raise NotCountable("no valgrind on the PATH, and no perf that can count instructions")


def build(folder: Path) -> str:
    """The program, made by the flags of the build."""
    made = (folder / "CMakeCache.txt").exists()
    run("cmake", "-S", str(ROOT), "-B", str(folder), *([] if made else ["-DRESMC_CUDA=OFF"]))
    run("cmake", "--build", str(folder), "--target", TARGET, "--parallel", str(len(os.sched_getaffinity(0))))
    return str(folder / TARGET)


def per_update(program: str, command: list[str], spec: Mapping[str, Any]) -> float:
    """Instructions per neuron update of one run."""
    counts = []
    for networks in (spec["networks"], 2 * spec["networks"]):
        said = run(*command, program, INSTRUCTION_SET, *(str(spec[key]) for key in KEYS[:-1]), str(networks))
        count = parse_count(said)
        counts.append(count if count is not None else sys.exit(f"no count in what {command[0]} says:\n{said}"))
    return round((counts[1] - counts[0]) / (spec["networks"] * spec["width"] * spec["depth"]), 3)


def measure(folder: Path) -> dict[str, Any]:
    """What the data file holds, of this build."""
    how = counter()
    program = build(folder)
    tried = subprocess.run([program, INSTRUCTION_SET, *map(str, RUNS["dense"])], capture_output=True, text=True)
    if tried.returncode != 0:
        raise NotCountable(tried.stderr.strip())
    specs = {name: dict(zip(KEYS, spec, strict=True)) for name, spec in RUNS.items()}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        costs = list(pool.map(lambda spec: per_update(program, COUNTERS[how], spec), specs.values()))
    runs = {
        name: {**spec, "instructions_per_update": cost} for (name, spec), cost in zip(specs.items(), costs, strict=True)
    }
    return {"instruction_set": INSTRUCTION_SET, "compiler": run(program).strip(), "counted_by": how, "runs": runs}


# ---- the budget -----------------------------------------------------------------------------------------------------


def major(compiler: str) -> str:
    """g++ 12 of g++ 12.2.0: what may change the code on purpose."""
    return compiler.partition(".")[0]


def compare(stored: Mapping[str, Any], measured: Mapping[str, Any]) -> list[Change]:
    """Every run, old and new."""
    same = major(stored.get("compiler", "")) == major(measured["compiler"])
    olds, news = stored.get("runs", {}), measured["runs"]
    changes = []
    for name in [*news, *(name for name in olds if name not in news)]:
        old, new = olds.get(name), news.get(name)
        costs = [side["instructions_per_update"] if side else None for side in (old, new)]
        if old is None or new is None:
            verdict, fails = f"{'new' if old is None else 'missing'}: --update", True
        elif any(old.get(key) != new[key] for key in KEYS):
            verdict, fails = "another run than the recorded one: --update", True
        elif not same:
            verdict, fails = "NOT compared", False
        else:
            ratio = costs[1] / costs[0]
            fails = not abs(ratio - 1.0) <= TOLERANCE
            verdict = ("over budget" if ratio > 1.0 else "better: record it with --update") if fails else "ok"
        changes.append(Change(name, *costs, verdict, fails))
    return changes


def report(changes: list[Change]) -> bool:
    """Prints a table; whether nothing in it fails."""
    print(f"  {'instructions per neuron update':34} {'recorded':>9} {'now':>9} {'ratio':>7}")
    for name, old, new, verdict, _ in changes:
        numbers = [f"{x:9.3f}" if x is not None else f"{'-':>9}" for x in (old, new)]
        ratio = f"{new / old:7.3f}" if old and new is not None else f"{'-':>7}"
        print(f"  {name:34} {numbers[0]} {numbers[1]} {ratio}  {verdict}")
    return not any(change.fails for change in changes)


def dump(data: Mapping[str, Any]) -> str:
    """JSON with a line for each run, so that a change of one is a change of a line."""
    text = json.dumps(data, indent=1)
    return re.sub(r"\{([^{}]*)\}", lambda found: "{" + " ".join(found[1].split()) + "}", text) + "\n"


def main(arguments: list[str]) -> int:
    """Everything; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "instructions", help="folder of a CMake build")
    parser.add_argument("--update", action="store_true", help="write the data file")
    parser.add_argument("--data", type=Path, default=ROOT / "tests" / "data" / "cpu_instructions.json")
    options = parser.parse_args(arguments)
    try:
        measured = measure(options.build)
    except NotCountable as reason:
        print(f"SKIPPED: {reason}; instructions were NOT counted")
        return 1 if options.update else 0
    if options.update:
        options.data.write_text(dump(measured))
    stored: dict[str, Any] = json.loads(options.data.read_text()) if options.data.exists() else {}
    recorded = stored.get("compiler", "nothing")
    print(f"{INSTRUCTION_SET}, {measured['compiler']}, counted by {measured['counted_by']}; recorded with {recorded}")
    if major(recorded) != major(measured["compiler"]):
        print("NOT compared: another compiler makes other code")
    good = report(compare(stored, measured))
    if not good:
        print("NOT within 5% of the budget. If that is meant: make instructions INSTRUCTIONS_ARGS=--update")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
