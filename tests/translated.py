"""The PTX of the CUDA kernels on a CPU: nvcc's own code, instruction by instruction, behind resmc's own launches.

tests/native/ptx/translate.py makes C++ of PTX by the rows of opcodes.py, machine.hpp runs it and sees to the rules
of CUDA, runtime.hpp stands for CUDA's runtime. The objects of a CMake build, as they are, hold both the host's part of
the launches and the PTX. RESMC_CUDA_BUILD names the folder of one; without it one is made, with no machine code, in
build/ptx.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import importlib
import importlib.util
import math
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import weakref
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from compiled import ROOT, compiled
from emulated import QUICKLY, Emulated, can_compile, flags

NATIVE = ROOT / "tests" / "native" / "ptx"
SOURCES = tuple(sorted([*NATIVE.glob("*.hpp"), *NATIVE.glob("*.cpp")]))
BUILD = "RESMC_CUDA_BUILD"
# Without checks of longjmp, which would take a change of stacks for a fault.
MACHINE_FLAGS = [*flags(), "-O1", "-U_FORTIFY_SOURCE"]
CHUNKS = 16  # libraries that the kernels are compiled to, side by side


def _load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


sys.path.insert(0, str(NATIVE))  # as for the translator as a program
opcodes, translate = (importlib.import_module(name) for name in ("opcodes", "translate"))
sys.path.remove(str(NATIVE))


def tool(name: str) -> str | None:
    """A program of CUDA's or of this environment, from the PATH or where packages put it."""
    places = [Path("/usr/local/cuda/bin"), Path(sys.executable).parent]
    spec = importlib.util.find_spec("nvidia")
    places += [bin for folder in (spec and spec.submodule_search_locations) or () for bin in Path(folder).glob("*/bin")]
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, places)]))


def why_no_machine() -> str | None:
    """Why PTX cannot be run here; None if it can."""
    return None if can_compile() else "no C++ compiler or Python headers to compile the machine with"


def why_no_kernels() -> str | None:
    """Why the kernels' own PTX cannot be run here; None if it can."""
    lacking = [name for name in ("nvcc", "cuobjdump", "cmake") if tool(name) is None]
    return why_no_machine() or (
        f"no {' and no '.join(lacking)} here to make PTX of the kernels with" if lacking else None
    )


# ---- programs -------------------------------------------------------------------------------------------------------


def library(entries: Iterable[Any]) -> Path:
    """Some kernels as a shared library that the machine loads."""
    code = translate.translate(entries)
    place = ROOT / "build" / "ptx" / f"{hashlib.sha256(code.encode()).hexdigest()[:16]}.cpp"
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_suffix(f".{os.getpid()}")
    partial.write_text(code)
    partial.replace(place)
    options = [*flags(), QUICKLY, "-fwrapv", "-fPIC", "-shared", "-fvisibility=hidden", f"-I{NATIVE}", "-Wno-unused"]
    return compiled("programs.so", [place], *options, reads=(place, NATIVE / "program.hpp"))


class Fault(RuntimeError):
    """What a kernel or its launch does against the rules."""


class Machine:
    """What a library that holds machine.cpp offers."""

    def __init__(self, library: Path) -> None:
        self.library = ctypes.CDLL(str(library))
        for name in ("load", "opt_in", "launch"):
            getattr(self.library, f"ptx_{name}").restype = ctypes.c_char_p
        self.library.ptx_counters.restype = ctypes.POINTER(ctypes.c_uint64 * 4)
        self.library.ptx_allocate.restype = ctypes.c_uint64

    def _call(self, name: str, *arguments: Any) -> None:
        why = getattr(self.library, f"ptx_{name}")(*arguments)
        if why is not None:
            raise Fault(why.decode())

    def load(self, library: Path) -> None:
        """Adds programs; they take the place of others with the same name."""
        self._call("load", str(library).encode())

    def opt_in(self, kernel: str, size: int) -> None:
        self._call("opt_in", kernel.encode(), ctypes.c_uint64(size))

    def launch(self, kernel: str, blocks: int, threads: int, *, shared: int = 0, parameters: bytes = b"") -> None:
        """``kernel<<<blocks, threads, shared>>>``; raises Fault."""
        sizes = ctypes.c_uint64(shared), parameters, ctypes.c_uint64(len(parameters))
        self._call("launch", kernel.encode(), ctypes.c_uint32(blocks), ctypes.c_uint32(threads), *sizes)

    def configure(self, order: int = 0, rsqrt_ulps: int = 2, ignore_opt_in: bool = False) -> None:
        """The order of blocks, warps and threads (0: as they are numbered), the error of the approximate root, and
        whether cudaFuncSetAttribute is as good as not called."""
        self.library.ptx_configure(ctypes.c_uint64(order), rsqrt_ulps, ignore_opt_in)

    def ran(self, kernel: str) -> bool:
        """Whether a kernel has ever been launched."""
        return bool(self.library.ptx_ran(kernel.encode()))

    def counters(self) -> dict[str, int]:
        """How much there has been of what, in all launches."""
        return dict(zip(("blocks", "barriers", "collectives", "accesses"), self.library.ptx_counters()[0], strict=True))

    def memory(self, size: int, fill: int, hidden: int = 0) -> Any:
        """A buffer of device memory, which is freed when nobody refers to it; of its last bytes some can be hidden, so
        that no kernel may use them."""
        address = self.library.ptx_allocate(ctypes.c_uint64(size - hidden), fill)
        buffer = (ctypes.c_char * size).from_address(address)
        weakref.finalize(buffer, self.library.ptx_free, ctypes.c_uint64(address))
        return buffer


@cache
def machine() -> Machine:
    """A machine without resmc's kernels, for whatever PTX is loaded."""
    options = ["-shared", "-fPIC", "-fvisibility=hidden", *MACHINE_FLAGS]
    return Machine(compiled("machine.so", [NATIVE / "machine.cpp"], *options, "-ldl", reads=SOURCES))


# ---- resmc's kernels ------------------------------------------------------------------------------------------------


@cache
def objects() -> tuple[Path, ...]:
    """What nvcc has made of csrc/cuda, in a CMake build."""
    folder = Path(os.environ.get(BUILD) or ROOT / "build" / "ptx" / "cmake")
    if BUILD not in os.environ:
        folder.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join(str(Path(tool(name) or name).parent) for name in ("cmake", "nvcc"))
        environment = {**os.environ, "PATH": f"{path}{os.pathsep}{os.environ.get('PATH', '')}"}
        options = ["-DRESMC_CUDA=ON", "-DRESMC_CUDA_ARCHITECTURES=90-virtual", f"-DPython_EXECUTABLE={sys.executable}"]
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for command in (
                ["cmake", "-S", str(ROOT), "-B", str(folder), *options],
                ["cmake", "--build", str(folder), "--target", "kernels_cuda", "--parallel", "2"],
            ):
                done = subprocess.run(command, capture_output=True, text=True, env=environment)
                assert done.returncode == 0, done.stdout + done.stderr
    # The configuration leaves an object of its own, with which it has tried nvcc.
    found = tuple(sorted(place for place in folder.rglob("*.cu.o") if "nvcc_probe" not in place.parts))
    assert found, f"{folder} has no objects of nvcc"
    return found


@cache
def ptx() -> dict[str, str]:
    """The PTX in the objects, by the name of its file."""
    texts = {}
    for place in objects():
        dumper = tool("cuobjdump")
        assert dumper is not None
        done = subprocess.run([dumper, "-ptx", str(place)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        _, mark, text = done.stdout.rpartition(".version")  # of several architectures the last, which is the newest
        assert mark, f"{place} has no PTX: its architectures should end with one, as 90-virtual or 90"
        text, _, _ = text.partition("\nFatbin ")  # machine code may stand behind it
        texts[place.name.removesuffix(".cu.o") + ".ptx"] = mark + text
    return texts


@cache
def entries() -> list[Any]:
    """All kernels."""
    return [entry for name, text in ptx().items() for entry in translate.parse(text, name)]


@cache
def programs() -> list[Path]:
    """All kernels, in several libraries that are compiled side by side."""
    chunks: list[list[Any]] = [[] for _ in range(CHUNKS)]
    for entry in sorted(entries(), key=lambda entry: -len(entry.body)):
        min(chunks, key=lambda chunk: sum(len(other.body) for other in chunk)).append(entry)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(library, filter(None, chunks)))


def _headers() -> str:
    """Where nvcc has the headers of its runtime."""
    nvcc = tool("nvcc")
    assert nvcc is not None
    done = subprocess.run([nvcc, "-M", "-x", "cu", os.devnull], capture_output=True, text=True)
    found = re.search(r"(\S+)/cuda_runtime\.h", done.stdout)
    assert found is not None, f"nvcc does not say where its headers are:\n{done.stdout}{done.stderr}"
    return found[1]


@cache
def kernels() -> tuple[Machine, ModuleType]:
    """A machine with all of resmc's kernels, and the module with their launches."""
    import pybind11

    includes = [f"-I{pybind11.get_include()}", f"-I{sysconfig.get_path('include')}", "-isystem", _headers()]
    reads = (*SOURCES, *sorted((ROOT / "csrc").rglob("*.hpp")))
    hashes = [hashlib.sha256(place.read_bytes()).hexdigest() for place in objects()]
    place = compiled(
        f"resmc_ptx{sysconfig.get_config_var('EXT_SUFFIX')}", [NATIVE / "module.cpp", NATIVE / "machine.cpp"],
        "-shared", "-fPIC", "-fvisibility=hidden", *MACHINE_FLAGS, "-DRESMC_HAS_CUDA", "-DRESMC_TARGET=host", *includes,
        *map(str, objects()), "-ldl",
        also=f"{pybind11.__version__} {sys.version} {hashes}", reads=reads,
    )  # fmt: skip
    out = Machine(place)
    for part in programs():
        out.load(part)
    return out, _load(place, "resmc_ptx")


class DeviceMemory:
    """torch, whose new tensors are allocations that the machine knows: one step beyond any of them is seen."""

    def __init__(self, torch: Any, machine: Machine) -> None:
        self.torch, self.machine = torch, machine

    def __getattr__(self, name: str) -> Any:
        return getattr(self.torch, name)

    def _filled(self, shape: tuple[int, ...], dtype: Any, fill: int) -> Any:
        count = math.prod(shape)
        if count == 0:
            return self.torch.empty(shape, dtype=dtype)
        memory = self.machine.memory(count * dtype.itemsize, fill)
        return self.torch.frombuffer(memory, dtype=dtype).view(shape)

    def empty(self, *size: Any, dtype: Any, device: Any = None) -> Any:
        """A tensor of NaN."""
        return self._filled(size if isinstance(size[0], int) else size[0], dtype, 0xFF)

    def zeros(self, *size: Any, dtype: Any, device: Any = None) -> Any:
        return self._filled(size if isinstance(size[0], int) else size[0], dtype, 0)

    def full(self, size: Any, value: float, dtype: Any, device: Any = None) -> Any:
        return self.empty(size, dtype=dtype).fill_(value)

    def from_numpy(self, array: Any) -> Any:
        given = self.torch.from_numpy(array)
        return self.empty(tuple(given.shape), dtype=given.dtype).copy_(given)


class Translated(Emulated):
    """An `Emulated` GPU that runs the kernels' PTX, and knows what memory they were given."""

    def __init__(self, free_bytes: int = 1 << 30) -> None:
        self.machine, module = kernels()
        super().__init__(module.kernels, free_bytes)
        self.torch = DeviceMemory(self.torch, self.machine)
