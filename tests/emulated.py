"""An emulated GPU for the tests: the kernels' own bodies in warps of 32 on the CPU, behind resmc's own code.

torch's CPU tensors are its device memory. Everything between `resmc.simulate` and the kernels runs as it does on a GPU:
plans, buffers, launches, products, raw values, errors.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import sysconfig
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from compiled import COMPILER, ROOT, compiled
from numpy.typing import NDArray

from resmc.engine.cuda.kernels import Kernels

SOURCE = ROOT / "tests" / "native" / "emulated_module.cpp"


QUICKLY = "-Og"  # beside the flags, for what takes longer to compile than to run: half of the time


def flags() -> list[str]:
    """As the kernels are compiled, but with functions that are not inlined: a tenth of the time to compile."""
    common = ["-std=c++20", "-O2", "-DRESMC_INLINE=", "-ffp-contract=off", "-Wall", "-Wextra", "-Wno-psabi", "-pthread"]
    info = Path("/proc/cpuinfo")
    if info.exists() and {"avx2", "fma"} <= set(info.read_text().split()):
        common += ["-mavx2", "-mfma"]  # with fused multiply-add, as on a GPU
    return common


@cache
def module() -> ModuleType:
    """The emulated kernels as a Python module."""
    import pybind11

    includes = [f"-I{pybind11.get_include()}", f"-I{sysconfig.get_path('include')}"]
    target = compiled(
        f"resmc_emulated{sysconfig.get_config_var('EXT_SUFFIX')}", [SOURCE],
        "-shared", "-fPIC", "-fvisibility=hidden", *flags(), QUICKLY, *includes,
        also=f"{pybind11.__version__} {sys.version}",
    )  # fmt: skip
    spec = importlib.util.spec_from_file_location("resmc_emulated", target)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules["resmc_emulated"] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def can_compile() -> bool:
    """Whether there is a compiler and a Python to compile against."""
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return shutil.which(COMPILER) is not None and header.exists() and importlib.util.find_spec("pybind11") is not None


class NoMemory(RuntimeError):
    """What the emulated allocator raises."""


class Passed:
    """An event on a stream that is always at its end."""

    def query(self) -> bool:
        return True


class Emulated:
    """Stands for `resmc.engine.cuda.Accelerator`: the same attributes and methods over host memory."""

    def __init__(self, kernels: Any, free_bytes: int = 1 << 30) -> None:
        import torch

        self.torch: Any = torch
        self.kernels = Kernels(kernels)
        self.ordinal = 0
        self.device = torch.device("cpu")
        self.properties = self.kernels.properties(0)
        self.out_of_memory: type[Exception] = NoMemory
        self.free = free_bytes
        self.name = "emulated"
        self.numerics = "emulated"

    def active(self) -> AbstractContextManager[None]:
        return nullcontext()

    def stream(self) -> int:
        return 0

    def free_bytes(self) -> int:
        return self.free

    def host_words(self, count: int) -> tuple[Any, NDArray[np.int32]]:
        words = self.torch.zeros(count, dtype=self.torch.int32)
        return words, words.numpy()

    def record(self) -> Any:
        return Passed()

    def synchronize(self) -> None:
        pass

    def failure(self) -> str:
        return ""
