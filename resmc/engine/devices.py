"""What ``device=`` may be, and what is there."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

VARIABLE = "RESMC_DEVICE"
NAMES = "it must be 'auto', 'cpu', 'cuda', 'cuda:0', 'cuda:1', .."
ALLOWED = f"{NAMES} or a torch.device"


class Device(NamedTuple):
    """Where a simulation runs: ("cpu", None), or ("cuda", ordinal) with None for torch's current device."""

    kind: str
    ordinal: int | None


def parse(device: Any) -> Device:
    """The device that ``device=`` names.

    ``auto`` is what the environment variable RESMC_DEVICE names, else the CPU: a GPU is only used when asked for.

    Raises
    ------
    ValueError
        For anything else, naming what is allowed.
    """
    if isinstance(device, str) and device == "auto":
        text = os.environ.get(VARIABLE, "")
        if text in ("", "auto"):
            return Device("cpu", None)
        try:
            return parse(text)
        except ValueError:
            raise ValueError(f"{VARIABLE}={text!r} is not allowed: {NAMES}") from None
    if isinstance(device, str):
        if device == "cpu":
            return Device("cpu", None)
        match = re.fullmatch(r"cuda(?::([0-9]{1,4}))?", device)
        if match:
            return Device("cuda", None if match[1] is None else int(match[1]))
    elif getattr(device, "type", None) in ("cpu", "cuda") and hasattr(device, "index"):  # a torch.device, not imported
        return Device(device.type, device.index if device.type == "cuda" else None)
    raise ValueError(f"device={device!r} is not allowed: {ALLOWED}")


def look_for_gpu(found: Device, asked: Any) -> None:
    """Says that there is no GPU before a progress bar is drawn, and who asked for it.

    Raises
    ------
    DeviceError
        If ``found`` is a GPU that cannot be used.
    """
    if found.kind != "cuda":
        return
    from . import cuda

    try:
        cuda.open_cuda(found.ordinal)
    except cuda.DeviceError as error:
        if isinstance(asked, str) and asked == "auto":
            raise cuda.DeviceError(f"{error} ({VARIABLE} asks for it)") from None
        raise


def report() -> dict[str, Any]:
    """What `resmc doctor` says of GPUs: the kernels built, the driver, the devices, and why ``cuda`` is not available.

    ``cuda`` is None if it is available.
    """
    from .cuda.device import first_line, runs_on, version, why_no_cuda
    from .native import cuda_kernels

    built, reason = cuda_kernels(), why_no_cuda()
    out: dict[str, Any] = {"cuda": reason, "architectures": None, "runtime": None, "driver": None, "gpus": []}
    if built is None:
        return out
    driver = built.driver()
    out["architectures"] = built.architectures
    out["driver"] = version(driver["driver"])
    out["runtime"] = version(driver["runtime"])
    for ordinal in range(driver["devices"]):
        gpu: dict[str, Any] = {"device": f"cuda:{ordinal}"}
        out["gpus"].append(gpu)
        try:
            p = built.properties(ordinal)
        except RuntimeError as error:
            gpu["error"] = first_line(error)
            continue
        gpu["name"] = p.name
        gpu["architecture"] = "{}{}".format(*p.capability)
        gpu["memory"] = p.memory
        gpu["multiprocessors"] = p.multiprocessors
        gpu["built"] = runs_on(built.architectures, p.capability)
    return out
