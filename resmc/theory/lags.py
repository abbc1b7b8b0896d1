"""Distances between layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def lags_of(layers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distances of any two of R layers, sorted from 0 on, and the number of each pair's among them, (R, R).

    `numpy.unique` says the same, and takes much longer: it sorts all pairs.
    """
    distance = np.abs(np.subtract.outer(layers, layers))
    occurs = np.zeros(int(distance.max(initial=0)) + 1, bool)
    occurs[distance] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[distance]
