"""Checks of the examples that networks side by side are given."""

from __future__ import annotations

import torch

from .._system.words import brief
from .residual import check_input

Tensor = torch.Tensor


def checked_input(x: Tensor, members: int, features: int, dtype: torch.dtype) -> Tensor:
    """Return x, (batch, features) or (members, batch, features), as the latter."""
    allowed = f"(batch, {features}) or ({members}, batch, {features})"
    check_input(x, dtype, allowed)
    if x.ndim < 2 or x.shape[-1] != features or x.shape[:-2] not in ((), (members,)) or not x.numel():
        raise ValueError(f"x of shape {tuple(x.shape)} is not allowed: it must be of shape {allowed}")
    return x.expand(members, -1, -1)


def checked_target(y: Tensor, members: int, batch: int, outputs: int, loss: str, dtype: torch.dtype) -> Tensor:
    """Return labels as (members, batch), or for the mean square targets as (members, batch, outputs)."""
    of_classes = loss == "cross_entropy"
    dtype = torch.int64 if of_classes else dtype
    one = (batch,) if of_classes else (batch, outputs)
    every = (members, *one)
    if not isinstance(y, torch.Tensor) or y.dtype != dtype or tuple(y.shape) not in (one, every):
        found = f" of shape {tuple(y.shape)} and {y.dtype}" if isinstance(y, torch.Tensor) else f"={brief(y)}"
        raise ValueError(f"y{found} is not allowed: it must be a tensor of {dtype} and of shape {one} or {every}")
    if of_classes and not 0 <= int(y.min()) <= int(y.max()) < outputs:
        raise ValueError(f"y from {int(y.min())} to {int(y.max())} is not allowed: labels are 0 to {outputs - 1}")
    return y.expand(every)
