"""Where columns of networks go through their layers, by the name of a device."""

from __future__ import annotations

from . import cuda
from .columns import Machine, Threads
from .devices import Device


def machine_of(device: Device, threads: int) -> Machine:
    """Return the CPU with so many threads, or a GPU.

    Raises
    ------
    DeviceError
        If there is no GPU to use that was asked for.
    """
    if device.kind == "cpu":
        return Threads(threads)
    from .cuda.columns import Device as Gpu  # imports what a CPU does without

    return Gpu(cuda.open_cuda(device.ordinal))
