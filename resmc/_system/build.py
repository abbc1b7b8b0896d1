"""What this installation was built with and runs on."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from .. import _native
from . import checks
from .plain import Plain

VARIABLE = "RESMC_INSTRUCTION_SET"


def instruction_set() -> str:
    """The CPU kernels in use: the best this machine has, or what the environment variable names.

    Raises
    ------
    ValueError
        If RESMC_INSTRUCTION_SET names none that this machine has.
    """
    names = [name for name, _ in _native.instruction_sets()]
    return checks.choice(VARIABLE, os.environ.get(VARIABLE, names[0]), names)


def build_info() -> Plain:
    """Version, numerics version, compiler, and the instruction sets found on this machine.

    ``instruction_set`` is the one in use: the best, or that of the environment variable RESMC_INSTRUCTION_SET.
    """
    return {
        "version": metadata.version("resmc"),
        "numerics_version": _native.NUMERICS_VERSION,
        "compiler": f"g++ {_native.COMPILER}",
        "instruction_set": instruction_set(),
        "instruction_sets": [name for name, _ in _native.instruction_sets()],
        "networks_per_pack": dict(_native.instruction_sets()),
        "threads": len(os.sched_getaffinity(0)),
        "processor": _processor(),
    }


def installed_packages() -> dict[str, str | None]:
    """Versions of Python and of the packages that resmc uses or can use; None where one is missing."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in (
        "numpy", "scipy", "tqdm", "torch", "xarray", "h5netcdf", "h5py", "zarr", "distributed", "matplotlib",
        "jinja2",
    ):  # fmt: skip
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
