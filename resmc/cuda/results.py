"""From device memory to the arrays of `Statistics`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..recording import GROUPS
from ..statistics import LAYER_SUMS
from .buffers import Buffers


def fill_statistics(buffers: Buffers, arrays: dict[str, NDArray[Any]]) -> None:
    """Copies the groups' sums to the host, which waits for the device; takes no more of its memory."""
    n = buffers.n_layers
    sums = buffers.tensors["groups"].cpu().numpy().view(LAYER_SUMS).reshape(GROUPS, n)
    for name in ("alive", "inactive", "active", "growth_exponent", "asymmetry", "asymmetry_square", "active_square"):
        arrays[name][:] = sums[name]
    for name in ("log_norm", "growth_log", "growth"):
        arrays[name][:] = sums[name].transpose(0, 2, 1)
    arrays["histogram"][:] = buffers.tensors["histogram"].cpu().numpy()
    triangle = np.triu_indices(n)
    for name, products in buffers.of_groups.items():
        for group in range(GROUPS):
            arrays[name][group] = products[group].cpu().numpy()[triangle]
