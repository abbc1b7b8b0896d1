"""Devices of torch, as a user names them."""

from __future__ import annotations

from typing import Any

import torch

from .._system.words import brief


def checked_device(device: Any) -> torch.device:
    """Return the device of this name, if torch can put a tensor there and bring it back."""
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).cpu()
    except (RuntimeError, TypeError, AssertionError) as error:
        said = str(error).splitlines()[0].partition(". ")[0]
        raise ValueError(f"device={brief(device)} is not allowed: torch says '{said}'") from None
    return found
