"""Sums of powers e^(itx) at many equally spaced frequencies t, by products of tables."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .kernels import Floats

CHUNK = 1 << 14  # points at a time


def power_sums(x: Floats, weight: Floats, step: float, first: int, count: int) -> NDArray[np.complex128]:
    """Return sum_i weight_i e^(i t x_i) at t = step m, m = first .. first + count - 1: products of powers."""
    rows = math.isqrt(count) + 1
    columns = -(-count // rows)
    total = np.zeros((columns, rows), np.complex128)
    for start in range(0, len(x), CHUNK):
        angle = 1j * step * x[start : start + CHUNK, None]
        outer = np.exp(angle * (first + rows * np.arange(columns))) * weight[start : start + CHUNK, None]
        total += outer.T @ np.exp(angle * np.arange(rows))
    return total.reshape(-1)[:count]
