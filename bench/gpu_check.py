"""Everything that a machine with a GPU can tell about this checkout, in one go and in a few minutes:

    python -m bench.gpu_check --out DIR [--minutes 8] [--only STEP ...]

It builds the checkout for the GPU that is there, compares the GPU's networks with the CPU's, runs the tests on the GPU,
lets compute-sanitizer watch the kernels, measures them, and measures what one would write without resmc. No package is
installed or fetched: torch, pybind11, CMake, nvcc and pytest have to be there; JAX and compute-sanitizer may be.

Each step is a process of its own with a log in DIR and a time limit; one that fails, or is stopped, costs the others
nothing. All together keep to --minutes: what does not fit is cut short or left out, and said so. DIR/gpu_check.json and
DIR/gpu_check.md are written after each step. The built module is copied into resmc/, from where the package runs in
place; one that was there for the same Python is overwritten.

What is worth keeping goes to bench/results/ as gpu-<device name>-<commit>.json and .md, the name in lower case with
hyphens: gpu-nvidia-h200-0123456789ab.json. Exits with 0 if all is well, 1 if a step is not, 2 where there is no GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .gpu.report import markdown
from .gpu.steps import Done, execute, failed_tests, summary_of
from .machine import NoGpu, commit, gpu_machine, nvcc_version

ROOT = Path(__file__).resolve().parents[1]
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")  # the last ones if time is left
STARTING = 15.0  # seconds that a program may need to import torch and to end
REPORT_BUILD = (
    "import json, resmc; from resmc.engine import gpus; print(json.dumps([resmc.build_info(), gpus.report()]))"
)


@dataclass
class Check:
    """One run: where things are, how to run a command, and what has been found."""

    out: Path
    scratch: Path
    machine: dict[str, Any]
    seconds: float
    execute: Callable[..., Done] = execute
    usable: bool = True  # resmc with its CUDA kernels can be imported
    begin: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        return self.begin + self.seconds - time.monotonic()

    @property
    def environment(self) -> dict[str, str]:
        """Of every command: this checkout in front, and this Python's own tools and CUDA's on the PATH."""
        paths = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/local/cuda/bin"]
        python = [str(ROOT), str(self.scratch / "metadata"), *filter(None, [os.environ.get("PYTHONPATH")])]
        joined = {"PATH": os.pathsep.join(paths), "PYTHONPATH": os.pathsep.join(python)}
        return {**os.environ, **joined, "PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg"}

    def tool(self, name: str) -> str | None:
        return shutil.which(name, path=self.environment["PATH"])

    def run(self, name: str, command: list[str], limit: float, more: Mapping[str, str] | None = None) -> Done:
        """A command with its output in DIR/name.log."""
        return self.execute(command, self.out / f"{name}.log", limit, {**self.environment, **(more or {})}, ROOT)

    def python(self, name: str, words: list[str], limit: float, more: Mapping[str, str] | None = None) -> Done:
        return self.run(name, [sys.executable, *words], limit, more)


Result = dict[str, Any]


def build(check: Check, limit: float) -> Result:
    """Plain CMake, since it needs neither pip nor a network; the editable install if CMake cannot be configured.

    Without an install there is no metadata, and resmc.build_info(), which asks for the version, would raise
    PackageNotFoundError: `write_metadata` puts the three lines it needs on the path.
    """
    end, folder = time.monotonic() + limit, check.scratch / "build"
    architecture = check.machine["compute_capability"].replace(".", "")
    options = ["-DRESMC_CUDA=ON", f"-DRESMC_CUDA_ARCHITECTURES={architecture}"]
    cmake, generator = check.tool("cmake"), ["-G", "Ninja"] if check.tool("ninja") else []
    result: Result = {"architecture": architecture, "by": "cmake"}
    done = Done(1, 0.0, False, "cmake is not on the PATH")
    if cmake is not None:
        plain = ["-DCMAKE_BUILD_TYPE=Release", f"-DPython_EXECUTABLE={sys.executable}"]
        configure = [cmake, "-S", str(ROOT), "-B", str(folder), *generator, *plain, *options]
        done = check.run("configure", configure, end - time.monotonic())
    if done.ok:
        assert cmake is not None
        command = [cmake, "--build", str(folder), "--parallel", str(os.cpu_count() or 1)]
        done = check.run("build", command, end - time.monotonic())
        for module in folder.glob("_native*.so") if done.ok else ():
            copied = ROOT / "resmc" / f"{module.name}.new"
            shutil.copy2(module, copied)
            copied.replace(ROOT / "resmc" / module.name)  # at once: a process may still run the old one
    elif not done.timed_out:
        result |= {"by": "pip", "configure": done.tail}
        words = ["-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--editable", str(ROOT)]
        # Not on the path of `write_metadata`, which pip would take for an install that it cannot remove.
        more = {"CMAKE_ARGS": " ".join(options), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        done = check.python("build", words, end - time.monotonic(), more)
    seen = check.python("import", ["-c", REPORT_BUILD], max(10.0, min(60.0, check.left)))
    check.usable = seen.ok
    if seen.ok:
        result["info"], result["devices"] = json.loads(seen.tail.splitlines()[-1])
        if result["devices"]["cuda"] is not None:
            check.usable, result["reason"] = False, result["devices"]["cuda"]
    ok = done.ok and check.usable
    return {**result, **done.status(ok), **({} if ok else {"tail": done.tail if not done.ok else seen.tail})}


def program(module: str) -> Callable[[Check, float], Result]:
    """The step that runs one of our programs, which write their rows as they come."""

    def step(check: Check, limit: float) -> Result:
        rows = check.out / f"{module}_rows.json"
        rows.unlink(missing_ok=True)
        words = ["-m", f"bench.gpu.{module}", "--rows", str(rows), "--seconds", f"{max(limit - STARTING, 5.0):.0f}"]
        done = check.python(module, words, limit)
        try:
            found = json.loads(rows.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = []
        return {**done.status(), "rows": found, **({} if done.ok else {"tail": done.tail})}

    return step


def tests(check: Check, limit: float) -> Result:
    """The whole suite on the GPU."""
    junit = check.out / "tests.xml"
    junit.unlink(missing_ok=True)
    words = ["-m", "pytest", "--device", "cuda", "-q", f"--junitxml={junit}"]
    if importlib.util.find_spec("xdist"):  # most of the time goes into what is done with the networks, on the CPU
        words += ["-n", "4"]
    done = check.python("tests", words, limit, {"RESMC_REQUIRE_GPU": "1"})
    return {**done.status(), **failed_tests(junit), **({} if done.ok else {"tail": done.tail})}


def sanitizer(check: Check, limit: float) -> Result:
    """compute-sanitizer's tools in turn, each with its share of the time; in its own words if it refuses."""
    end, tool = time.monotonic() + limit, check.tool("compute-sanitizer")
    if tool is None:
        return {"status": "skipped", "reason": "compute-sanitizer is not on the PATH"}
    result: Result = {"status": "ok", "tools": {}}
    chosen = ["--kernel-name", "kernel_substring=resmc"]  # torch's own kernels are not ours to check
    for i, name in enumerate(SANITIZERS):
        left = (end - time.monotonic()) / (2 - i % 2)  # what one of a pair leaves is the other's
        if left < STARTING:
            result["tools"][name] = {"status": "skipped", "reason": f"{left:.0f} s left"}
            continue
        for options in (chosen, []):
            first = [tool, "--tool", name, "--launch-timeout", "60", "--error-exitcode", "9", *options]
            command = [*first, sys.executable, "-m", "bench.gpu.sanitize"]
            done = check.run(f"sanitizer-{name}", command, left, {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"})
            found = summary_of(check.out / f"sanitizer-{name}.log")
            if done.ok or found["summary"] or done.timed_out or not options:
                break
            chosen = []  # perhaps this version does not know the option
        result["tools"][name] = {**done.status(), **found}
        if not done.ok and result["status"] != "failed":
            result["status"] = result["tools"][name]["status"]
    return result


@dataclass(frozen=True)
class Step:
    name: str
    work: Callable[[Check, float], Result]
    least: float  # seconds that are kept for it while there are any
    most: float


STEPS = (
    Step("build", build, 60.0, 180.0),
    Step("parity", program("parity"), 25.0, 90.0),
    Step("tests", tests, 45.0, 180.0),
    Step("sanitizer", sanitizer, 35.0, 90.0),
    Step("speed", program("speed"), 75.0, 120.0),
    Step("peers", program("peers"), 80.0, 120.0),
)


def limit_of(step: Step, later: list[Step], left: float) -> float:
    """What a step may take: all that the later ones do not need, or a fair share of too little."""
    kept = sum(s.least for s in later)
    return min(step.most, max(left - kept, left * step.least / (step.least + kept)))


def run_steps(check: Check, steps: list[Step], report: dict[str, Any]) -> None:
    """Each step, and what has been found so far written after it."""
    for i, step in enumerate(steps):
        begin, limit = time.monotonic(), limit_of(step, steps[i + 1 :], check.left)
        print(f"{step.name}: at most {max(limit, 0.0):.0f} s", flush=True)
        if not check.usable:
            result: Result = {"status": "skipped", "reason": "there are no CUDA kernels to import: see build"}
        elif limit < min(STARTING, step.least):
            result = {"status": "skipped", "reason": f"{max(check.left, 0.0):.0f} s left of all"}
        else:
            try:
                result = step.work(check, limit)
            except Exception as error:  # of our own: the other steps are still wanted
                result = {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        report["steps"][step.name] = {
            **result,
            "limit_s": round(limit, 1),
            "took_s": round(time.monotonic() - begin, 1),
        }
        print(f"{step.name}: {result['status']}, {report['steps'][step.name]['took_s']} s", flush=True)
        write(check.out, report)


def write(out: Path, report: dict[str, Any]) -> None:
    (out / "gpu_check.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (out / "gpu_check.md").write_text(markdown(report), encoding="utf-8")


def write_metadata(scratch: Path) -> None:
    """What `importlib.metadata.version("resmc")` needs, for a checkout that is not installed."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    folder = scratch / "metadata" / f"resmc-{version}.dist-info"
    folder.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: resmc\nVersion: {version}\n"
    (folder / "METADATA").write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu_check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [step.name for step in STEPS]
    parser.add_argument("--out", type=Path, required=True, help="folder of the results and logs")
    parser.add_argument("--minutes", type=float, default=8.0, help="all of it takes at most so long (default: 8)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="STEP", help=", ".join(names))
    parser.add_argument("--commit", help="of a checkout without its git folder (default: what git says)")
    args = parser.parse_args(arguments)
    try:
        found = gpu_machine()
    except NoGpu as reason:
        print(f"bench.gpu_check needs an NVIDIA GPU, and there is none to use here: {reason}", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="resmc-gpu-check-") as scratch:
        check = Check(args.out.resolve(), Path(scratch), found, 60.0 * args.minutes)
        check.machine["nvcc"] = nvcc_version(check.tool("nvcc"))
        write_metadata(check.scratch)
        at = args.commit or commit()
        report = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": at,
            "clean": None if at == "unknown" or args.commit else not at.endswith("+"),
            "minutes": args.minutes,
            "machine": found,
            "steps": {},
        }
        run_steps(check, [step for step in STEPS if step.name in args.only], report)
    print(f"\n{markdown(report)}\nwritten: {args.out}/gpu_check.json, {args.out}/gpu_check.md")
    return int(any(result["status"] not in ("ok", "skipped") for result in report["steps"].values()))


if __name__ == "__main__":
    raise SystemExit(main())
