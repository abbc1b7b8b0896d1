"""Moments about the mean that merge, and sums in units of a power of two: the NumPy side of csrc's moments.hpp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def merge_moments(a: Floats, b: Floats) -> Floats:
    """Moments of two sets together.

    Both arrays have shape (5, ...): n, mean and the sums of 2nd, 3rd, 4th powers of the distance from the mean
    (Chan, Golub, LeVeque 1983; Pebay 2008).
    """
    na, mean_a, a2, a3, a4 = a
    nb, mean_b, b2, b3, b4 = b
    n = na + nb
    d = np.where((na > 0) & (nb > 0), mean_b - mean_a, 0.0)
    dn = d / np.maximum(n, 1.0)
    cross = d * dn * na * nb
    mean = np.where(na == 0, mean_b, mean_a + dn * nb)
    m2 = a2 + b2 + cross
    m3 = a3 + b3 + cross * dn * (na - nb) + 3.0 * dn * (na * b2 - nb * a2)
    m4 = a4 + b4 + cross * dn * dn * (na * na - na * nb + nb * nb)
    m4 = m4 + 6.0 * dn * dn * (na * na * b2 + nb * nb * a2) + 4.0 * dn * (na * b3 - nb * a3)
    return np.stack([n, mean, m2, m3, m4])


def merge_scaled(
    sums_a: Floats, unit_a: NDArray[np.int64], sums_b: Floats, unit_b: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.int64]]:
    """Sums of W and W^2 together; shape (2, ...), in units of 2^unit and 2^(2 unit), unit of shape (...)."""
    empty_a, empty_b = sums_a[0] == 0.0, sums_b[0] == 0.0
    unit = np.where(empty_a, unit_b, np.where(empty_b, unit_a, np.maximum(unit_a, unit_b)))

    def rescaled(sums: Floats, old: NDArray[np.int64]) -> Floats:
        shift = np.clip(old - unit, -4000, 0).astype(np.int32)
        return np.stack([np.ldexp(sums[0], shift), np.ldexp(sums[1], 2 * shift)])

    return rescaled(sums_a, unit_a) + rescaled(sums_b, unit_b), unit


def leave_one_out(arrays: NDArray[Any], add: Callable[[Any, Any], Any] = np.add) -> NDArray[Any]:
    """Fold axis 0 (groups) with ``add``: index 0 is the whole, index 1 + j the whole without group j.

    By sums from both ends, so that nothing is subtracted.
    """
    groups = len(arrays)
    zero = np.zeros_like(arrays[0])
    ahead = [zero]
    for j in range(groups):
        ahead.append(add(ahead[-1], arrays[j]))
    behind = [zero]
    for j in reversed(range(groups)):
        behind.append(add(arrays[j], behind[-1]))
    return np.stack([ahead[groups]] + [add(ahead[j], behind[groups - 1 - j]) for j in range(groups)])
