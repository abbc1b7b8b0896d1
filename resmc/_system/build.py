"""The installation: how it was built, which packages it finds, and the machine that it runs on."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from .. import _native
from . import checks
from .cpus import usable_cpus
from .plain import Plain

VARIABLE = "RESMC_INSTRUCTION_SET"
PACKAGES = "numpy scipy tqdm torch xarray h5netcdf h5py zarr distributed matplotlib jinja2"


def instruction_set() -> str:
    """Name the CPU kernels in use: the best that this machine has, or those that RESMC_INSTRUCTION_SET names.

    Raises
    ------
    ValueError
        If the environment variable RESMC_INSTRUCTION_SET names none that this machine has.
    """
    names = [name for name, _ in _native.instruction_sets()]
    return checks.choice(VARIABLE, os.environ.get(VARIABLE, names[0]), names)


def build_info() -> Plain:
    """Return the version, numerics version and compiler, and the instruction sets found on this machine.

    ``instruction_set`` is the one in use: the best, or the one that the environment variable RESMC_INSTRUCTION_SET
    names.
    """
    return {
        "version": metadata.version("resmc"),
        "numerics_version": _native.NUMERICS_VERSION,
        "compiler": f"g++ {_native.COMPILER}",
        "instruction_set": instruction_set(),
        "instruction_sets": [name for name, _ in _native.instruction_sets()],
        "networks_per_pack": dict(_native.instruction_sets()),
        "threads": usable_cpus(),
        "processor": _processor(),
    }


def installed_packages() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that resmc uses or can use; None for a missing package."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES.split():
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
