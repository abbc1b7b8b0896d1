"""GPUs of this machine: refused in a sentence where there is none, and listed for `resmc doctor`."""

from __future__ import annotations

from typing import Any

from .._system.plain import Plain
from . import cuda
from .cuda.device import first_line, if_lost, runs_on, version, why_no_cuda
from .cuda.kernels import cuda_kernels
from .devices import VARIABLE, Device


def require(found: Device, asked: Any) -> None:
    """Says that there is no GPU before a progress bar is drawn, and who asked for it.

    Raises
    ------
    DeviceError
        If ``found`` is a GPU that cannot be used.
    """
    if found.kind != "cuda":
        return
    try:
        cuda.open_cuda(found.ordinal)
    except cuda.DeviceError as error:
        if isinstance(asked, str) and asked == "auto":
            raise cuda.DeviceError(f"{error} ({VARIABLE} asks for it)") from None
        raise


def report() -> Plain:
    """GPUs as `resmc doctor` lists them: the kernels built, the driver, the devices, and why ``cuda`` is not available.

    ``cuda`` is None if it is available.
    """
    built, reason = cuda_kernels(), why_no_cuda()
    out: Plain = {"cuda": reason, "architectures": None, "runtime": None, "driver": None, "gpus": []}
    if built is None:
        return out
    driver = built.driver()
    out["architectures"] = built.architectures
    out["driver"] = version(driver["driver"])
    out["runtime"] = version(driver["runtime"])
    for ordinal in range(driver["devices"]):
        gpu: Plain = {"device": f"cuda:{ordinal}"}
        out["gpus"].append(gpu)
        try:
            p = built.properties(ordinal)
        except RuntimeError as error:
            gpu["error"] = first_line(error) + if_lost(ordinal)
            continue
        gpu["name"] = p.name
        gpu["architecture"] = "{}{}".format(*p.capability)
        gpu["memory"] = p.memory
        gpu["multiprocessors"] = p.multiprocessors
        gpu["built"] = runs_on(built.architectures, p.capability)
    return out
