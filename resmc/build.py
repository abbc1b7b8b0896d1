"""What this installation was built with and runs on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

from . import _native


def build_info() -> dict[str, Any]:
    """Version, numerics version, compiler, and the instruction sets found on this machine.

    ``instruction_set`` is the one in use: the best, or that of the environment variable RESMC_INSTRUCTION_SET.
    """
    sets = [name for name, _ in _native.instruction_sets()]
    return {
        "version": metadata.version("resmc"),
        "numerics_version": _native.NUMERICS_VERSION,
        "compiler": f"g++ {_native.COMPILER}",
        "instruction_set": os.environ.get("RESMC_INSTRUCTION_SET", sets[0]),
        "instruction_sets": sets,
        "networks_per_pack": dict(_native.instruction_sets()),
        "cuda": False,
        "machine": platform.machine(),
    }
