"""Autocast as it stands, for torch from 2.2 on: told, and set up again in a backward pass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import torch


def autocast_enabled(device: str) -> bool:
    """Return True where products are cast to a dtype of fewer bits on this kind of device."""
    if hasattr(torch, "get_autocast_dtype"):  # torch 2.4, since when the names below are deprecated
        return bool(torch.is_autocast_enabled(device))
    return bool(torch.is_autocast_cpu_enabled() if device == "cpu" else torch.is_autocast_enabled())


def same_autocast(device: str) -> Callable[[], AbstractContextManager[object]]:
    """Return a function that makes a context with the autocast that there is now, on or off."""
    if hasattr(torch, "get_autocast_dtype"):
        dtype = torch.get_autocast_dtype(device)
    else:
        dtype = torch.get_autocast_cpu_dtype() if device == "cpu" else torch.get_autocast_gpu_dtype()
    return partial(torch.autocast, device, dtype, autocast_enabled(device))
