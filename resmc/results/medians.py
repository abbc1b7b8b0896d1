"""Medians of samples, infinite values among them, to all digits: as `resmc.results.laws.Law` has them, without bins.

Nobody is left out: -infinity (the logarithm of 0) lies below all numbers and +infinity (exploded) above. The standard
error is such that the interval of 95% reaches the farther one of the two values that enclose the median
(`resmc.results.laws.enclosing`).
"""

from __future__ import annotations

import numpy as np

from .estimates import MIN_NETWORKS, NORMAL_95, Estimate, Floats
from .laws import enclosing


def median(values: Floats) -> Estimate:
    """Return the median of ``values`` (N,): the mean of the middle two, or the lower one if one of them is infinite.

    No error with fewer than 32 values, or where the values that give it are infinite; NaN where a value is.
    """
    n = len(values)
    if not n or np.isnan(values).any():
        return _estimate(np.nan, np.nan, n)
    x = np.sort(values)
    middle = _middle(x)
    if n < MIN_NETWORKS:
        return _estimate(middle, np.nan, n)
    below, above = (int(place) for place in enclosing(n, np.asarray(0.5)))
    low, high = float(x[below - 1]), float(x[above - 1])
    known = np.isfinite([low, high]).all()
    return _estimate(middle, max(high - middle, middle - low) / NORMAL_95 if known else np.nan, n)


def paired_medians(values: Floats, others: Floats) -> Estimate:
    """Return the difference of the medians of two samples whose entries belong together (two grids of one network).

    To first order it is (a - b)/(N f), where a values lie above the median that their partners are below, b the other
    way round, and f is the density at the median; 1/f is about 2 sqrt(N) times the median's own standard error.
    a + b is at least 1 in the error.
    """
    one, other = median(values), median(others)
    n = len(values)
    with np.errstate(invalid="ignore"):
        crossed = max(int(((values > one.value) != (others > other.value)).sum()), 1)
        stderr = 2.0 * one.stderr * np.sqrt(crossed / max(n, 1))
        return _estimate(float(one.value - other.value), float(stderr), n)


def _estimate(value: float, stderr: float, n: int) -> Estimate:
    return Estimate(np.asarray(value), np.asarray(stderr), np.asarray(n))


def _middle(x: Floats) -> float:
    """Return the mean of the middle two of values in order, or the lower one if one of them is infinite."""
    low, high = float(x[(len(x) - 1) // 2]), float(x[len(x) // 2])
    return low + 0.5 * (high - low) if np.isfinite(high - low) else low
