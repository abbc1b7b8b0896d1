"""One instruction set and one number of threads for everybody: what must be set before a library is imported.

Every comparison is a process of its own, so that the settings of one library cannot leak into another's.
"""

from __future__ import annotations

import os
import platform

SETS = ("baseline", "avx2", "avx512")  # of x86, each with all of those before it
XLA = {"baseline": "SSE4_2", "avx2": "AVX2"}
HOLD = {  # what keeps the other libraries from more than resmc may use
    "baseline": {
        "ATEN_CPU_CAPABILITY": "default",
        "TORCHINDUCTOR_CPP_MARCH": "x86-64-v2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NUMBA_CPU_NAME": "nehalem",
        "NUMBA_CPU_FEATURES": "+sse4.2,+popcnt",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "TORCHINDUCTOR_CPP_MARCH": "x86-64-v3",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe,+popcnt",
    },
}
HELD = {*HOLD["avx2"], "NPY_DISABLE_CPU_FEATURES"}  # not to be taken over from the caller's own environment
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class NotHeld(RuntimeError):
    """A library uses instructions that it was told not to use."""


def environment(instruction_set: str, best: str, threads: int) -> dict[str, str]:
    """The variables of a comparison; without ``instruction_set`` below ``best``, every library takes what it likes."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    if threads > 1:
        flags.append(f"--xla_force_host_platform_device_count={threads}")
    variables = {name: str(threads) for name in THREADS}
    variables |= {"RESMC_INSTRUCTION_SET": instruction_set, "JAX_PLATFORMS": "cpu"}
    if instruction_set != best and platform.machine() == "x86_64":
        variables |= HOLD[instruction_set]
        variables["NPY_DISABLE_CPU_FEATURES"] = " ".join(numpy_features_above(instruction_set))
        flags.append(f"--xla_cpu_max_isa={XLA[instruction_set]}")
    return {**variables, "XLA_FLAGS": " ".join(flags)}


def numpy_features_above(instruction_set: str) -> list[str]:
    """Those NumPy has kernels for and this machine has, by NumPy's own names, which change between its versions."""
    return [name for name in _numpy_features() if _level(name) > SETS.index(instruction_set)]


def _numpy_features() -> list[str]:
    from numpy._core import _multiarray_umath as core

    return [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]


def _level(feature: str) -> int:
    if feature.startswith(("AVX512", "X86_V4")):
        return SETS.index("avx512")
    return SETS.index("avx2")


def in_use(library: str) -> str:
    """What a library that has been imported says that it uses."""
    if library == "torch":
        import torch

        return torch.backends.cpu.get_cpu_capability()
    if library == "numpy":
        return ("SSE", "AVX2", "AVX512")[max((_level(name) for name in _numpy_features()), default=0)]
    if library == "numba":
        from numba.core.registry import cpu_target

        _, name, features = cpu_target.target_context.codegen().magic_tuple()
        wide = "AVX512" if "+avx512f" in features else "AVX2" if "+avx2" in features else "SSE"
        return f"{wide} ({name})"
    if library == "jax":
        isa = [f.partition("=")[2] for f in os.environ.get("XLA_FLAGS", "").split() if "cpu_max_isa" in f]
        return f"at most {isa[0]}, as told" if isa else "what it likes"
    raise ValueError(f"library={library!r} is not known")


def held(library: str, instruction_set: str) -> str:
    """`in_use`, after a look that it is no more than ``instruction_set``.

    Raises
    ------
    NotHeld
        If the library says that it uses more.
    """
    said = in_use(library)
    if platform.machine() == "x86_64":
        for name in SETS[SETS.index(instruction_set) + 1 :]:
            if said.lower().startswith(name):
                raise NotHeld(f"{library} uses {said} though it was told to use {instruction_set}: not timed")
    return said
