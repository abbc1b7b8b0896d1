"""Norms of torch, modules and functions, as steps: their weight must be 1 and their bias 0, as at first."""

from __future__ import annotations

from typing import Any

import torch

from .steps import Normed

LAST = "the last size"  # an argument that is the number of a state's entries


def norm_read(name: str, where: str, shape: Any, weight: Any, bias: Any, eps: Any) -> Normed:
    """Return a norm over a state's last axis.

    ``shape`` is what it normalises over: numbers, or `LAST`.

    Raises
    ------
    ValueError
        For a weight that is not 1 or a bias that is not 0 everywhere, and for other axes.
    """
    axes = tuple(shape) if isinstance(shape, list | tuple | torch.Size) else (shape,)
    if len(axes) != 1:
        raise ValueError(
            f"{where} is not understood: it normalises over {len(axes)} axes, and a ResidualNetwork over the entries "
            "of a layer, which must be the last axis alone"
        )
    if not (isinstance(axes[0], int) or axes[0] == LAST):
        raise ValueError(f"{where} is not understood: it must normalise over the last axis, by a number or by its size")
    for what, given, fresh in (("weight", weight, 1.0), ("bias", bias, 0.0)):
        if given is None:
            continue
        if not isinstance(given, torch.Tensor):
            raise ValueError(f"{where} is not understood: its {what} must be a tensor")
        if not bool((given.detach() == fresh).all()):
            raise ValueError(
                f"{where} has a {what} that is not {fresh:g} in all entries, so it was trained or changed: norms must "
                "have the weight 1 and the bias 0 that they have at first"
            )
    if eps is None:  # torch takes the dtype's resolution
        eps = torch.finfo(torch.get_default_dtype() if weight is None else weight.dtype).eps
    if isinstance(eps, bool) or not isinstance(eps, int | float):
        raise ValueError(f"{where} is not understood: its eps must be a number")
    return Normed(name, float(eps), axes[0] if isinstance(axes[0], int) else None)
