"""From device memory to the arrays of `Statistics`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..recording import GROUPS
from ..sums import LAYER_SUMS
from .buffers import Buffers


def fill_statistics(buffers: Buffers, arrays: dict[str, NDArray[Any]]) -> None:
    """Copies the groups' sums to the host, which waits for the device; takes no more of its memory.

    What ``arrays`` held is in the sums by layer, which began with it; to the others they are added.
    """
    n = buffers.n_layers
    for ratio in ("", *buffers.ratios):
        packed = buffers.tensors[f"{ratio}_groups" if ratio else "groups"].cpu().numpy()
        sums = packed.view(LAYER_SUMS).reshape(GROUPS, n)
        for name in LAYER_SUMS.names or ():
            arrays[f"{ratio}.{name}" if ratio else name][:] = np.moveaxis(sums[name], 1, -1)
    arrays["histogram"] += buffers.tensors["histogram"].cpu().numpy()
    triangle = np.triu_indices(n)
    for name, products in buffers.of_groups.items():
        for group in range(GROUPS):
            arrays[name][group] += products[group].cpu().numpy()[triangle]
