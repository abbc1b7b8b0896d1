"""Which processor, GPU, versions and commit: what can be said before resmc is built."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

VERSIONS = ("torch", "triton", "jax", "jaxlib", "numpy", "scipy", "pybind11", "cmake", "scikit-build-core", "pytest")


class NoGpu(RuntimeError):
    """There is nothing to check here; the message says why."""


def cpu_model() -> str:
    """The processor as /proc/cpuinfo names it; family and model too, since the name alone may say little."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    found = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.+)$", text, re.MULTILINE))
    name = found.get("model name", platform.machine())
    return f"{name} (family {found['cpu family']}, model {found['model']})" if "cpu family" in found else name


def commit() -> str:
    """The commit of the working tree, with a plus if the tree has changes beyond results."""

    def git(*words: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    changes = ("--", ":(top)", ":(top,exclude)bench/results")
    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", *changes) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def gpu_machine() -> dict[str, Any]:
    """The GPU, the processor, and the versions of all that matters.

    Raises
    ------
    NoGpu
        If nvidia-smi is not there or shows none.
    """
    names = ("name", "driver_version", "compute_cap", "memory.total")
    command = ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise NoGpu("nvidia-smi is not on the PATH") from None
    except subprocess.TimeoutExpired:
        raise NoGpu("nvidia-smi does not answer") from None
    found = [part.strip() for part in (done.stdout.strip().splitlines() or [""])[0].split(",")]
    if done.returncode != 0 or len(found) != len(names):
        said = (done.stdout + done.stderr).strip().splitlines() or ["nothing"]
        raise NoGpu(f"nvidia-smi says: {said[0]}")
    versions: dict[str, str | None] = {}
    for name in VERSIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    named = dict(zip(("gpu", "driver", "compute_capability", "memory"), found, strict=True))
    return {**named, "cpu": cpu_model(), "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def nvcc_version(nvcc: str | None) -> str | None:
    """As in 13.0.88."""
    if nvcc is None:
        return None
    said = re.search(r"V(\d[\d.]*)", subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout)
    return said[1] if said else None


def file_name(cpu: str) -> str:
    """A processor's name as a part of the name of a file."""
    plain = re.sub(r"\((R|TM)\)|CPU|Processor|@.*?GHz", " ", cpu, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")


def publish(folder: Path | None, name: str, report: dict[str, Any], table: str) -> None:
    """Print a table and, given a folder, write it and its report there.

    Files are named after what was measured, the processor and the instruction set.
    """
    print(table)
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name}-{file_name(report['cpu'])}-{report['instruction_set']}"
    for suffix, text in ((".json", json.dumps(report, indent=2) + "\n"), (".md", table)):
        (folder / (stem + suffix)).write_text(text, encoding="utf-8")
        print(f"written: {folder / (stem + suffix)}")
