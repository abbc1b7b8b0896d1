"""Devices by name: what ``device=`` may be."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple, Protocol

from .._system.words import brief

VARIABLE = "RESMC_DEVICE"
NAMES = "it must be 'auto', 'cpu', 'cuda', 'cuda:0', 'cuda:1', .."
ALLOWED = f"{NAMES} or a torch.device"


class TorchDevice(Protocol):
    """A ``torch.device``, as far as it is needed here, where torch is not imported."""

    @property
    def type(self) -> str:
        """Kind of the device."""

    @property
    def index(self) -> int | None:
        """Number among those of its kind."""


Named = str | TorchDevice  # users may give these as a device


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
    raise ValueError(f"device={brief(device)} is not allowed: {ALLOWED}")
