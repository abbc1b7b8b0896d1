"""Everything that a machine with a GPU can tell about this checkout, in one go and in a few minutes:

    python -m bench.gpu_check --out DIR [--minutes 9] [--only STEP ...]

It builds the checkout for the GPU that is there, compares the GPU's networks with the CPU's, lets compute-sanitizer
watch the kernels, runs the tests on the GPU, measures the kernels, and measures what one would write without resmc. No
package is installed or fetched: torch, pybind11, CMake, nvcc and pytest have to be there; JAX and compute-sanitizer may
be.

Each step is a process of its own with a log and a time limit; one that fails, or is stopped, costs the others nothing.
All together keep to --minutes: what does not fit is cut short or left out, and said so. Three files are left in DIR and
written after each step: gpu_check.json, gpu_check.md, and gpu_check_logs.tar.gz with all logs. The built module is
copied into resmc/, from where the package runs in place; one that was there for the same Python is overwritten.

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
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .gpu.report import markdown
from .gpu.steps import FIRST, OUTCOMES, Done, execute, outcomes_of, summary_of
from .machine import NoGpu, commit, gpu_machine, nvcc_version

ROOT = Path(__file__).resolve().parents[1]
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")
STARTING = 15.0  # seconds that a program may need to import torch and to end
OF_GPUS = (
    "test_cuda", "test_cuda_residual", "test_native", "test_native_draws", "test_device_faults", "test_gpu_programs",
    "test_sweep_gpu", "test_same_bits", "test_given_weights_gpu",
)  # fmt: skip
EMULATION = "import sys; sys.path.insert(0, 'tests'); import emulated; emulated.module()"
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
    def logs(self) -> Path:
        """What steps write: carried away as one file."""
        folder = self.scratch / "logs"
        folder.mkdir(exist_ok=True)
        return folder

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
        """A command with its output in name.log."""
        return self.execute(command, self.logs / f"{name}.log", limit, {**self.environment, **(more or {})}, ROOT)

    def python(self, name: str, words: list[str], limit: float, more: Mapping[str, str] | None = None) -> Done:
        return self.run(name, [sys.executable, *words], limit, more)


Result = dict[str, Any]


def build(check: Check, limit: float) -> Result:
    """The extension, and beside it what many tests wait for otherwise: the emulated GPU."""
    with ThreadPoolExecutor(1) as beside:
        compiled = beside.submit(check.python, "emulation", ["-c", EMULATION], limit)
        result = build_extension(check, limit)
        return {**result, "emulation": compiled.result().status()}


def build_extension(check: Check, limit: float) -> Result:
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
        rows = check.logs / f"{module}_rows.json"
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
    """The whole suite on the GPU, what is of GPUs alone first; where it is stopped, what has ended till then."""
    outcomes = check.logs / "outcomes.jsonl"
    outcomes.unlink(missing_ok=True)
    words = ["-m", "pytest", "-p", "bench.gpu.outcomes", "--device", "cuda", "-q"]
    if importlib.util.find_spec("xdist"):  # most of the time goes into what is done with the networks, on the CPU
        words += ["-n", "8" if (os.cpu_count() or 1) >= 16 else "4"]
    more = {"RESMC_REQUIRE_GPU": "1", OUTCOMES: str(outcomes), FIRST: " ".join(OF_GPUS)}
    done = check.python("tests", words, limit, more)
    found = outcomes_of(outcomes)
    status = done.status()
    if done.timed_out and found.get("failures"):
        status["status"] = "failed"
    return {**status, **found, **({} if done.ok else {"tail": done.tail})}


def sanitizer(check: Check, limit: float) -> Result:
    """compute-sanitizer's tools, all at once: what takes them long is a processor's work, and each has all the time."""
    if check.tool("compute-sanitizer") is None:
        return {"status": "skipped", "reason": "compute-sanitizer is not on the PATH"}
    with ThreadPoolExecutor(len(SANITIZERS)) as beside:
        found = list(beside.map(lambda name: sanitize(check, name, limit), SANITIZERS))
    statuses = [tool["status"] for tool in found]
    worst = next((status for status in ("failed", "stopped") if status in statuses), "ok")
    return {"status": worst, "tools": dict(zip(SANITIZERS, found, strict=True))}


def sanitize(check: Check, name: str, limit: float) -> Result:
    """One tool; in its own words if it refuses."""
    end, log = time.monotonic() + limit, f"sanitizer-{name}"
    tool = [str(check.tool("compute-sanitizer")), "--tool", name, "--launch-timeout", "60", "--error-exitcode", "9"]
    for options in (["--kernel-name", "kernel_substring=resmc"], []):  # torch's own kernels are not ours to check
        command = [*tool, *options, sys.executable, "-m", "bench.gpu.sanitize"]
        left = max(end - time.monotonic(), 1.0)
        done = check.run(log, command, left, {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"})
        found = summary_of(check.logs / f"{log}.log")
        if done.ok or found["summary"] or done.timed_out:
            break  # else perhaps this version does not know the option
    return {**done.status(), **found}


@dataclass(frozen=True)
class Step:
    name: str
    work: Callable[[Check, float], Result]
    least: float  # seconds that are kept for it while there are any
    most: float


# In nine minutes, the build taking two, each gets at least what it has been seen or is expected to need.
STEPS = (
    Step("build", build, 60.0, 180.0),
    Step("parity", program("parity"), 50.0, 90.0),
    Step("sanitizer", sanitizer, 100.0, 150.0),
    Step("tests", tests, 80.0, 180.0),
    Step("speed", program("speed"), 80.0, 120.0),
    Step("peers", program("peers"), 50.0, 90.0),
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
        write(check, report)


def write(check: Check, report: dict[str, Any]) -> None:
    """The three files that are left."""
    (check.out / "gpu_check.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (check.out / "gpu_check.md").write_text(markdown(report), encoding="utf-8")
    with tarfile.open(check.out / "gpu_check_logs.tar.gz", "w:gz") as archive:
        for file in sorted(check.logs.iterdir()):
            archive.add(file, arcname=file.name)


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
    parser.add_argument("--minutes", type=float, default=9.0, help="all of it takes at most so long (default: 9)")
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
    print(f"\n{markdown(report)}\nwritten: {args.out}/gpu_check.json, gpu_check.md, gpu_check_logs.tar.gz")
    return int(any(result["status"] not in ("ok", "skipped") for result in report["steps"].values()))


if __name__ == "__main__":
    raise SystemExit(main())
