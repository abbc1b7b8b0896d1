"""A budget for the machine code of the CUDA kernels, checked without a GPU.

    python .ci/device_code.py FILE... --architectures 80 90 [--update] [--estimate] [--data FILE]

Reads objects that nvcc has made for these architectures, or compiles csrc/cuda/*.cu, and compares with
tests/data/device_code.json what kernels need: registers, stack, and instructions per quad, that is for every four
normals. Exits with 1 if a kernel has a stack, as every one has that spills; if one needs more registers or over 2% more
instructions per quad than it did; or if there are others than in the data file. Another version of nvcc makes other
code: there registers must keep to the launch bounds, and counts are only reported. The cost per quad of a family is a
slope over its members, so that a class of instructions may come out below 0. --update writes the data file; --estimate
prints how fast that could run at best.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FLAGS = "-std=c++20 -O3 --fmad=false --Werror all-warnings -Xcompiler=-Wall,-Wextra"  # those of the build
DEFINES = "-DRESMC_HAS_CUDA -DRESMC_TARGET=cuda"
TOLERANCE = 1.02  # compilers shuffle a few moves for no reason of ours
# Of description.hpp.
NAMES = {
    "(Method)0": "METHOD_PROJECTED", "(Method)1": "METHOD_DENSE",
    "(Block)0": "BLOCK_PHI_IN", "(Block)1": "BLOCK_PHI_OUT", "(Block)2": "BLOCK_V_PHI_W",
}  # fmt: skip
# 65536 registers over the threads that the kernels' __launch_bounds__ ask for at once; elsewhere what the hardware has.
REGISTER_LIMITS = {
    "simulate_in_registers": 80,
    "simulate_in_shared": 128,
    "simulate_in_device": 128,
    "simulate_residual_kernel": 168,
    "simulate_population_kernel": 128,
    "simulate_residual_population_kernel": 128,
}
HARDWARE_REGISTERS = 255
# Instructions by what executes them.
CLASSES = {
    "fp32": "FFMA FMUL FADD",
    "alu": "LOP3 SHF IADD3 ISETP FSETP FSEL SEL FMNMX I2FP LEA PRMT VIADD VIMNMX VIADDMNMX IMNMX IABS PLOP3 MOV",
    "imad_wide": "",
    "imad": "IMAD",
    "mufu": "MUFU I2F F2I F2F",
    "memory": "LDG LDS LDL LDC LD STG STS STL ST ATOM ATOMG ATOMS RED REDG SHFL",
    "other": "",
}
CLASS_OF = {opcode: name for name, opcodes in CLASSES.items() for opcode in opcodes.split()}
# An H200 at its boost clock: each scheduler starts one instruction of a warp per cycle, every other one of class alu.
ESTIMATED, MULTIPROCESSORS, SCHEDULERS, LANES, CLOCK, ALU_CYCLES = "sm_90", 132, 4, 32, 1.98e9, 2

Functions = dict[str, dict[str, int]]  # name -> quantity -> number


class Instruction(NamedTuple):
    """A machine instruction, with the addresses that may come next."""

    address: int
    opcode: str
    following: tuple[int, ...]


class Change(NamedTuple):
    """A line of the report."""

    name: str
    quantity: str
    old: Any
    new: Any
    verdict: str
    fails: bool


# ---- what the tools print -------------------------------------------------------------------------------------------


def parse_usage(text: str) -> Functions:
    """By mangled name what `cuobjdump -res-usage` says, in bytes but for registers."""
    functions: Functions = {}
    name = ""
    for line in text.splitlines():
        if found := re.match(r"\s*Function (\S+):\s*$", line):
            name = found[1]
        elif found := re.match(r"\s*REG:(\d+) STACK:(\d+) SHARED:(\d+)", line):
            registers, stack, shared = map(int, found.groups())
            functions[name] = {"registers": registers, "shared": shared, "stack": stack}
    return functions


def short_name(demangled: str) -> str:
    """A kernel without its namespaces and arguments: simulate_in_registers<Relu, 6>."""
    name = re.sub(r"(resmc|cuda|\(anonymous namespace\))::", "", demangled).removeprefix("void ")
    for cast, spelled in NAMES.items():
        name = name.replace(cast, spelled)
    return re.sub(r"(\d)u\b", r"\1", name.partition("(")[0])


def parse_sass(text: str) -> dict[str, list[Instruction]]:
    """By mangled name the instructions that `cuobjdump -sass` lists, without the padding behind them."""
    functions: dict[str, list[Instruction]] = {}
    for line in text.splitlines():
        if found := re.search(r"Function : (\S+)", line):
            code = functions.setdefault(found[1], [])
        elif found := re.match(r"\s+/\*([0-9a-f]{4,})\*/\s+(@\S+ )?\s*([A-Z][A-Z0-9_.]*)([^;]*);", line):
            address = int(found[1], 16)
            code.append(Instruction(address, found[3], following(address, bool(found[2]), found[3], found[4])))
    for code in functions.values():
        while code and code[-1].opcode == "NOP":
            code.pop()
    return functions


def following(address: int, guarded: bool, opcode: str, operands: str) -> tuple[int, ...]:
    """The addresses that may follow an instruction.

    A warp that has diverged at a shuffle takes a way of its own (BRA.DIV, not BRA.CONV), which none of ours does. A
    call comes back, but some calls are but jumps: both ways are possible.
    """
    behind, kind = address + 16, opcode.split(".")[0]
    if kind in ("EXIT", "RET"):
        return (behind,) if guarded else ()
    target = re.search(r"0x([0-9a-f]+)\s*$", operands)
    if kind not in ("BRA", "CALL") or opcode == "BRA.DIV" or target is None:
        return (behind,)
    always = kind == "BRA" and (opcode == "BRA.CONV" or not (guarded or re.match(r"\s*!?U?P\d", operands)))
    return (int(target[1], 16),) if always else (int(target[1], 16), behind)


# ---- loops ----------------------------------------------------------------------------------------------------------


def reach(edges: list[list[int]], start: int, barrier: int = -1) -> set[int]:
    """What can be reached, and the barrier, beyond which no way leads."""
    seen, waiting = {barrier}, [start]
    while waiting:
        if (node := waiting.pop()) not in seen:
            seen.add(node)
            waiting += edges[node]
    return seen


def loops(code: list[Instruction]) -> list[set[int]]:
    """The natural loops, as indices of instructions.

    A jump backwards alone makes no loop: compilers put what is seldom used at the end, and jump back from there. In a
    loop every way to the jump has passed its target.
    """
    index = {instruction.address: i for i, instruction in enumerate(code)}
    after = [[index[address] for address in instruction.following if address in index] for instruction in code]
    before: list[list[int]] = [[] for _ in code]
    for node in reach(after, 0) - {-1}:
        for child in after[node]:
            before[child].append(node)
    bodies: dict[int, set[int]] = {}
    for head, nodes in enumerate(before):
        for node in nodes:
            if node == head or (node > head and node not in reach(after, 0, head)):
                bodies.setdefault(head, set()).update(reach(before, node, head))
    return list(bodies.values())


def mix(code: Iterable[Instruction]) -> Counter[str]:
    """How many instructions there are, in all and by class, and how many approximate roots."""
    counts: Counter[str] = Counter()
    for _, opcode, _ in code:
        wide = opcode.startswith(("IMAD.WIDE", "IMAD.HI"))
        counts["imad_wide" if wide else CLASS_OF.get(opcode.split(".")[0], "other")] += 1
        counts["roots"] += opcode == "MUFU.RSQ"
        counts["instructions"] += 1
    return counts


def hot_loop(name: str, code: list[Instruction]) -> Counter[str]:
    """The mix of the loop over layers where their quads are unrolled (simulate_in_registers), else of that over quads.

    Over layers: the longest. Over quads: the innermost with the most roots, of which a quad takes two; of several the
    longest, since layer 0 has its own, which need not load z.
    """
    bodies = loops(code)
    key = "instructions"
    if not name.startswith("simulate_in_registers"):
        bodies = [body for body in bodies if not any(other < body for other in bodies)]
        key = "roots"
    mixes = [mix(code[i] for i in body) for body in bodies]
    return max(mixes, key=lambda counts: (counts[key], counts["instructions"]), default=Counter())


def per_quad(mixes: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, float]]:
    """What a quad costs: its part of the hot loop.

    Where that is a layer of unrolled quads, the slope from 1 round to 8, which is what a quad alone costs; and, for the
    6 rounds that 8 threads need for 192 neurons, a sixth of the layer, with all that comes once a layer.
    """
    result = {}
    for name, counts in sorted(mixes.items()):
        less, quads = Counter[str](), counts["roots"] / 2
        if name.startswith("simulate_in_registers"):
            family, rounds = name.rstrip(">").split(", ")
            if rounds == "8" and f"{family}, 1>" in mixes:
                name, less, quads = f"{family}>", Counter(mixes[f"{family}, 1>"]), 7
            elif rounds == "6":
                quads = 6
            else:
                continue
        if quads >= 1 and name.startswith(("simulate", "draw")):
            result[name] = {key: round((counts[key] - less[key]) / quads, 2) for key in ("instructions", *CLASSES)}
    return result


# ---- the budget -----------------------------------------------------------------------------------------------------


def spills(functions: Functions) -> list[Change]:
    """Functions that keep in memory what belongs into registers: no compiler excuses that, and no --update."""
    needs = [(name, function["stack"]) for name, function in functions.items()]
    return [Change(name, "stack", 0, number, "must be 0", True) for name, number in needs if number]


def compare(stored: Mapping[str, Any], measured: Mapping[str, Any], same_compiler: bool) -> list[Change]:
    """What is not as it was for one architecture, and what of it fails."""
    changes = spills(measured["kernels"])
    labels = {"kernels": "registers", "per_quad": "per quad"}
    for table, quantity, allowed in (("kernels", "registers", 1.0), ("per_quad", "instructions", TOLERANCE)):
        olds, news = stored.get(table, {}), measured[table]
        for name in sorted(olds.keys() | news.keys()):
            old, new = (side[name][quantity] if name in side else None for side in (olds, news))
            limit = REGISTER_LIMITS.get(name.partition("<")[0], HARDWARE_REGISTERS)
            if old is None or new is None:
                verdict, fails = f"{'new' if old is None else 'missing'}: --update", same_compiler or table == "kernels"
            elif not same_compiler:
                fails = table == "kernels" and new > limit
                verdict = f"above the launch bound, {limit}" if fails else "by another compiler"
            else:
                fails = new > allowed * old
                verdict = "over budget" if fails else "within budget" if new > old else "better; consider --update"
            if fails or old != new:
                changes.append(Change(name, labels[table], old, new, verdict, fails))
    return changes


def report(architecture: str, changes: list[Change]) -> bool:
    """Prints a table; whether nothing in it fails."""
    for name, quantity, old, new, verdict, fails in changes:
        mark = "FAILED" if fails else "note"
        print(f"  {mark:6} {architecture} {name:50} {quantity:12} {old!s:>6} -> {new!s:<6} {verdict}")
    return not any(change.fails for change in changes)


def summarise(architecture: str, measured: Mapping[str, Any], estimate: bool) -> None:
    """Prints what a quad costs and, on request, how fast that would be, were nothing ever waited for."""
    print(f"{architecture}: {len(measured['kernels'])} kernels; instructions per quad:")
    for name, counts in measured["per_quad"].items():
        print(f"  {name:50}", ", ".join(f"{key} {number:g}" for key, number in counts.items() if number))
    if estimate and architecture == ESTIMATED:
        rate = MULTIPROCESSORS * SCHEDULERS * LANES * CLOCK * 4 / 1e9
        print("  ESTIMATES, not measured: 1e9 normals a second (projected: neurons) of an H200,")
        print("  if no scheduler ever waits | if only class alu counts")
        for name, counts in measured["per_quad"].items():
            print(f"  {name:50} {rate / counts['instructions']:5.0f} | {rate / ALU_CYCLES / counts['alu']:5.0f}")


def dump(data: Mapping[str, Any]) -> str:
    """JSON with a line for each kernel, so that a change of one is a change of a line."""
    text = json.dumps(data, indent=1)
    return re.sub(r"\{([^{}]*)\}", lambda found: "{" + " ".join(found[1].split()) + "}", text) + "\n"


# ---- running the tools ----------------------------------------------------------------------------------------------


def tool(name: str) -> str:
    """A program's path: from PATH, or where CUDA or NVIDIA's Python packages put it."""
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    places = [Path("/usr/local/cuda/bin", name), *(path for folder in folders for path in folder.glob(f"*/bin/{name}"))]
    found = shutil.which(name) or next((str(place) for place in places if place.exists()), None)
    return found or sys.exit(f"device_code: no {name} here")


def run(*command: str, stdin: str = "") -> tuple[str, str]:
    """A command's standard output and error; its failure ends the program."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


def compiled(source: Path, architectures: list[str], folder: str) -> Path:
    """The object of a file: itself if it is one, else what nvcc makes of it, as the build does."""
    if source.suffix == ".o":
        return source
    flags = [*FLAGS.split(), *DEFINES.split(), f'-DRESMC_CUDA_ARCHITECTURES="{" ".join(architectures)}"']
    codes = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in architectures]
    made = Path(folder, f"{source.stem}.o")
    run(tool("nvcc"), *flags, *codes, "-c", "-o", str(made), str(source))
    return made


def measure(objects: Iterable[Path], architecture: str) -> dict[str, Any]:
    """The kernels of some objects, and what a quad costs in them."""
    functions: Functions = {}
    mixes: dict[str, Counter[str]] = {}
    for file in objects:
        used, listing = (
            parse(run(tool("cuobjdump"), option, "-arch", architecture, str(file))[0])
            for option, parse in (("-res-usage", parse_usage), ("-sass", parse_sass))
        )
        names = run(tool("c++filt"), stdin="\n".join(used))[0].splitlines()
        for name, (mangled, numbers) in zip(map(short_name, names), used.items(), strict=True):
            code = listing.get(mangled, [])
            mixes[name] = hot_loop(name, code) if code else Counter()
            functions[name] = {**numbers, "instructions": len(code), "loop": mixes[name]["instructions"]}
    return {"kernels": dict(sorted(functions.items())), "per_quad": per_quad(mixes)}


def main(arguments: list[str]) -> int:
    """Everything; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--architectures", nargs="+", required=True, metavar="NUMBER")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--estimate", action="store_true")
    parser.add_argument("--data", type=Path, default=ROOT / "tests" / "data" / "device_code.json")
    options = parser.parse_args(arguments)

    release = re.search(r"V(\d+\.\d+\.\d+)", run(tool("nvcc"), "--version")[0])
    version = release[1] if release else "unknown"
    names = [f"sm_{number}" for number in options.architectures]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(lambda file: compiled(file, options.architectures, folder), options.files))
        measured = dict(zip(names, pool.map(lambda name: measure(objects, name), names), strict=True))
    if options.update:
        options.data.write_text(dump({"nvcc": version, **measured}))
    stored: dict[str, Any] = json.loads(options.data.read_text()) if options.data.exists() else {"nvcc": version}
    print(f"nvcc {version}, the budget is of {stored['nvcc']}")
    good = True
    for name in names:
        summarise(name, measured[name], options.estimate)
        changes = compare(stored.get(name, {}), measured[name], version == stored["nvcc"])
        good &= report(name, changes)
    print("within the budget" if good else "NOT within the budget")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
