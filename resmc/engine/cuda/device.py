"""The GPU of a simulation, or a sentence that says why there is none."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .kernels import KernelError, Kernels, Properties, cuda_kernels

# The process that has first asked the driver for devices: what it then knows does not survive a fork.
_owner: int | None = None


LOST = "this process has lost its CUDA context: start a new process"


class DeviceError(RuntimeError):
    """A device that was asked for cannot be used, or failed; the message says which, why, and what would help."""


class Accelerator:
    """One GPU as `run` sees it: kernels, memory, a stream, and a way to ask how far it has come.

    ``torch`` is the module; ``device`` a torch.device with an index. Work is put on torch's current stream of the
    device, memory comes from torch's allocator.
    """

    def __init__(self, torch: ModuleType, kernels: Kernels, ordinal: int) -> None:
        self.torch = torch
        self.kernels = kernels
        self.ordinal = ordinal
        self.device = torch.device("cuda", ordinal)
        self.properties: Properties = kernels.properties(ordinal)
        self.out_of_memory: type[Exception] = torch.cuda.OutOfMemoryError

    @property
    def name(self) -> str:
        """The device in words, as in ``cuda:0 (NVIDIA H200)``."""
        return f"{self.device} ({self.properties.name})"

    @property
    def numerics(self) -> str:
        """The numerics class: statistics of the same class and plan agree in every bit."""
        major, minor = self.properties.capability
        return f"cuda/sm_{major}{minor}"

    def active(self) -> AbstractContextManager[Any]:
        """Makes the device the thread's current one, as launches need it, and puts back what was before."""
        return self.torch.cuda.device(self.ordinal)  # type: ignore[no-any-return]

    def stream(self) -> int:
        """torch's current stream of the device, as the integer that a launch takes."""
        return int(self.torch.cuda.current_stream(self.device).cuda_stream)

    def free_bytes(self) -> int:
        """Bytes that an allocation may hope for: the driver's free ones, and those that torch's allocator holds."""
        free, _ = self.torch.cuda.mem_get_info(self.device)
        held = self.torch.cuda.memory_reserved(self.device) - self.torch.cuda.memory_allocated(self.device)
        return int(free + held)

    def host_words(self, count: int) -> tuple[Any, NDArray[np.int32]]:
        """Words of host memory that a running kernel sees, as a tensor (for its address) and as an array."""
        words = self.torch.zeros(count, dtype=self.torch.int32, device="cpu", pin_memory=True)
        return words, words.numpy()

    def record(self) -> Any:
        """An event after all that is on the stream; ``event.query()`` is true once it has passed."""
        event = self.torch.cuda.Event()
        event.record(self.torch.cuda.current_stream(self.device))
        return event

    def synchronize(self) -> None:
        """Waits for the stream."""
        self.torch.cuda.current_stream(self.device).synchronize()

    def failure(self) -> str:
        """The error that an earlier kernel has left the context with; empty if it is well."""
        return str(self.kernels.failure(self.ordinal))


def is_lost(failure: Callable[[], str]) -> bool:
    """Tell whether an error has cost this process its context on a device: ``failure()`` is then that error again."""
    try:
        return bool(failure())
    except RuntimeError:
        return True


def fault(accelerator: Any, error: RuntimeError, suspects: list[str]) -> DeviceError:
    """Put an error into a sentence. One inside a kernel shows at any later call: all kernels that run are suspect."""
    text = first_line(error)
    if not is_lost(accelerator.failure):
        return DeviceError(f"{accelerator.name}: {text}; the device can be used again")
    if isinstance(error, KernelError):
        text = text.split(": ", 1)[-1]  # the kernel that was being launched is not the one that failed
    where = "".join(f", in kernel {name!r}" for name in suspects[:1])
    if suspects[1:]:
        where += f" or one after it ({', '.join(suspects[1:])})"
    return DeviceError(f"{accelerator.name}: {text}{where}; {LOST}")


@contextmanager
def faults_in_words(accelerator: Any) -> Iterator[None]:
    """Make a `DeviceError` of an error of torch's or of the driver's within."""
    try:
        yield
    except accelerator.out_of_memory as error:
        raise DeviceError(f"{accelerator.name} ran out of memory: {first_line(error)}") from error
    except DeviceError:
        raise
    except RuntimeError as error:
        raise fault(accelerator, error, []) from error


def to_host(tensor: Any) -> NDArray[Any]:
    """Copy a tensor's values into an array.

    Raises
    ------
    DeviceError
        If they cannot be had any more; says whether this process has lost its CUDA context.
    """
    try:
        array: NDArray[Any] = tensor.cpu().numpy()
        return array
    except RuntimeError as error:
        raise DeviceError(f"{tensor.device}: {first_line(error)}{if_lost(tensor.device.index or 0)}") from error


def if_lost(ordinal: int) -> str:
    """Say after an error of a device that this process has lost it, or nothing."""
    built = cuda_kernels()
    return f"; {LOST}" if built is not None and is_lost(lambda: str(built.failure(ordinal))) else ""


def why_no_cuda() -> str | None:
    """None if ``device="cuda"`` can be tried on this machine, else the sentence that says why not.

    Imports torch only if kernels, driver and device are there.
    """
    global _owner
    torch = sys.modules.get("torch")
    forked = torch is not None and getattr(torch.cuda, "_is_in_bad_fork", lambda: False)()
    if forked or (_owner is not None and _owner != os.getpid()):
        return (
            "this process is a fork of one that has used CUDA; start workers by spawning "
            "(multiprocessing.get_context('spawn')), or before its first use"
        )
    built = cuda_kernels()
    if built is None:
        return (
            "this resmc was built without CUDA kernels: install it again where nvcc is on the PATH; "
            "RESMC_CUDA=ON then shows why they are not built"
        )
    driver = built.driver()
    if driver["devices"] > 0:
        _owner = os.getpid()
    elif _owner is not None and driver["error"]:  # there were some before
        return f"the NVIDIA driver finds no device any more ({driver['error']}); {LOST}"
    if driver["driver"] == 0:
        return "this machine has no NVIDIA driver: install one (nvidia-smi shows whether it works)"
    if 0 < driver["driver"] < driver["runtime"] and driver["devices"] == 0:
        return (
            f"the NVIDIA driver supports CUDA {version(driver['driver'])}, and this resmc was built with "
            f"{version(driver['runtime'])}: update the driver, or build resmc with an older nvcc"
        )
    if driver["devices"] == 0:
        reason = f" ({driver['error']})" if driver["error"] else ""
        return f"the NVIDIA driver finds no device{reason}: see nvidia-smi and the variable CUDA_VISIBLE_DEVICES"
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return "PyTorch is not installed, which provides device memory and streams: pip install 'resmc[torch]'"
    if torch.version.cuda is None:
        return f"the installed PyTorch {torch.__version__} was built without CUDA: install one that was"
    return None


def open_cuda(ordinal: int | None) -> Accelerator:
    """GPU number ``ordinal``, or torch's current one.

    Raises
    ------
    DeviceError
        If there are no kernels, driver, device or torch for it, if the number is too large, if no kernel was built for
        its architecture, in a fork of a process that has used CUDA, or if an earlier error has cost us the context.
    """
    name = "cuda" if ordinal is None else f"cuda:{ordinal}"
    reason = why_no_cuda()
    if reason is not None:
        raise DeviceError(f"device={name!r} is not available: {reason}")
    torch, built = importlib.import_module("torch"), cuda_kernels()
    assert built is not None  # or there were a reason
    count = built.driver()["devices"]
    if ordinal is not None and ordinal >= count:
        devices = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise DeviceError(f"device={name!r} is not available: this machine has {devices}")
    try:
        torch.cuda.init()
        chosen = torch.cuda.current_device() if ordinal is None else ordinal
        with torch.cuda.device(chosen):
            failure = built.failure(chosen)
        if failure:
            raise DeviceError(f"device={name!r} cannot be used after an earlier error ({failure}); {LOST}")
        accelerator = Accelerator(torch, built, chosen)
    except DeviceError:
        raise
    except RuntimeError as error:  # torch's own words for a broken driver, ..
        raise DeviceError(f"device={name!r} cannot be used: {first_line(error)}{if_lost(ordinal or 0)}") from error
    if not runs_on(built.architectures, accelerator.properties.capability):
        major, minor = accelerator.properties.capability
        raise DeviceError(
            f"device={name!r} is not available: {accelerator.properties.name} has architecture {major}{minor}, and "
            f"this resmc was built for {built.architectures}; build it with RESMC_CUDA_ARCHITECTURES={major}{minor}"
        )
    return accelerator


def runs_on(architectures: str, capability: tuple[int, int]) -> bool:
    """True if kernels built for ``architectures``, as ``80-real 90``, run on a device of this compute capability.

    Machine code runs on its own major version from its minor version on; PTX, which all but ``-real`` leave, on
    anything newer.
    """
    for name in architectures.split():
        match = re.fullmatch(r"(\d+)(\d)[af]?(-real|-virtual)?", name)
        if match is None:  # all, native: whoever asked for that knows
            return True
        built = int(match[1]), int(match[2])
        if (match[3] != "-virtual" and built[0] == capability[0] and built <= capability) or (
            match[3] != "-real" and built <= capability
        ):
            return True
    return False


def version(number: int) -> str | None:
    """CUDA's 13000 as 13.0; None for 0, which stands for none."""
    return f"{number // 1000}.{number % 1000 // 10}" if number else None


def first_line(error: BaseException) -> str:
    """An error in one line: torch adds hints for its own developers below."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
