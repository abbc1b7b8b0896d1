"""From device memory to the arrays of `Sums`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..lowering import MEAN_SQUARE
from ..recording import GROUPS
from ..sums import ACTIVITY_SUMS, NORM_SUMS
from .buffers import Buffers


def fill_statistics(buffers: Buffers, arrays: dict[str, NDArray[Any]]) -> None:
    """Copies the groups' sums to the host, which waits for the device; takes no more of its memory.

    What ``arrays`` held is in the sums by layer, which began with it; to the others they are added.
    """
    n = buffers.n_layers
    sums = {"norms": "groups"} | {f"{name}.norms": f"{name}_groups" for name in buffers.quotients}
    if f"{MEAN_SQUARE}.norms" in arrays:
        sums[f"{MEAN_SQUARE}.norms"] = f"{MEAN_SQUARE}_groups"
    if "activity" in arrays:
        sums["activity"] = "activity_groups"
    for name, tensor in sums.items():
        dtype = ACTIVITY_SUMS if name == "activity" else NORM_SUMS
        arrays[name][:] = buffers.tensors[tensor].cpu().numpy().view(dtype).reshape(GROUPS, n)
    arrays["histogram"] += buffers.tensors["histogram"].cpu().numpy()
    triangle = np.triu_indices(n)
    for name, products in buffers.of_groups.items():
        for group in range(GROUPS):
            arrays[name][group] += products[group].cpu().numpy()[triangle]
