"""Normals of Intel's Math Kernel Library (vsRngGaussian, float32), by ctypes: the fastest public ones on a CPU.

The library is that of the package mkl, which the extra `bench` installs; it takes the instructions that
MKL_ENABLE_INSTRUCTIONS allows.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

# Of mkl_vsl_defines.h: a generator's number stands in the high bits.
GENERATORS = {
    "MCG31m1": 1, "R250": 2, "MRG32k3a": 3, "MCG59": 4, "WH": 5, "MT19937": 8, "MT2203": 9, "SFMT19937": 13, "ARS5": 15,
    "Philox4x32-10": 16,
}  # fmt: skip
METHODS = {"Box-Muller": 0, "Box-Muller by pairs": 1, "inverse of the distribution function": 2}
BLOCKS = (1024, 4096, 16384)  # normals of one call: what a first or a second cache holds


@dataclass(frozen=True)
class Normals:
    """A generator, a method, and how many normals a call draws."""

    generator: str
    method: str
    block: int

    def __str__(self) -> str:
        return f"MKL {self.generator}, {self.method}, {self.block} a call"

    def source(self, seed: int = 1) -> Callable[[int], np.ndarray]:
        """Return what draws at least so many normals, call after call into one block, and returns the last block.

        Raises
        ------
        ImportError
            If there is no MKL.
        ValueError
            If MKL refuses the generator or the method.
        """
        library, stream = load(), ctypes.c_void_p()
        refused = library.vslNewStream(ctypes.byref(stream), GENERATORS[self.generator] << 20, ctypes.c_uint(seed))
        out = np.zeros(self.block, np.float32)
        address, method = out.ctypes.data_as(ctypes.c_void_p), METHODS[self.method]
        zero, one = ctypes.c_float(0.0), ctypes.c_float(1.0)
        draw = library.vsRngGaussian
        if refused or draw(method, stream, self.block, address, zero, one):
            raise ValueError(f"MKL has no {self.generator} with {self.method}")

        def normals(count: int) -> np.ndarray:
            for _ in range(-(-count // self.block)):
                draw(method, stream, self.block, address, zero, one)
            return out

        return normals


def path() -> Path | None:
    """Return where the library is, if it is there."""
    found = sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so*"))
    return found[-1] if found else None


@cache
def load() -> ctypes.CDLL:
    """Return the library, on one thread."""
    library = path()
    if library is None:
        raise ImportError("there is no MKL here: pip install mkl")
    os.environ["MKL_THREADING_LAYER"] = "SEQUENTIAL"
    return ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def every() -> list[Normals]:
    """Return all generators with all methods and blocks."""
    return [Normals(g, m, b) for g in GENERATORS for m in METHODS for b in BLOCKS]
