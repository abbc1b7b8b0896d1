"""Medians of samples, infinite values among them, with errors from order statistics.

The convention is that of `resmc.results.laws.Law`: nobody is left out, -infinity (the logarithm of 0) lies below all
numbers and +infinity (exploded) above.

The number of values below the true median is binomial, whatever the law, so it lies between the order statistics
N/2 -+ sqrt(N) in 95.4% of samples. Half the distance of the farther one from the sample's median is the standard error:
an interval of two errors then covers that often at least, beside an atom or an edge of the law as well.
"""

from __future__ import annotations

import numpy as np

from .estimates import MIN_NETWORKS, Estimate, Floats


def median(values: Floats) -> Estimate:
    """Return the median of ``values`` (N,): the mean of the middle two, or the lower one if one of them is infinite.

    No error with fewer than 32 values, or where the order statistics that give it are infinite; NaN where a value is.
    """
    n = len(values)
    if not n or np.isnan(values).any():
        return _estimate(np.nan, np.nan, n)
    x = np.sort(values)
    reach = np.sqrt(n)
    low, middle, high = (_between(x, 0.5 * n + away) for away in (-reach, 0.0, reach))
    known = n >= MIN_NETWORKS and np.isfinite([low, high]).all()
    return _estimate(middle, 0.5 * max(high - middle, middle - low) if known else np.nan, n)


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


def _between(x: Floats, position: float) -> float:
    """Return the order statistic at a position, linear between neighbours: number k of 1 .. N is at k - 1/2.

    Between a number and an infinite value there is only the lower of the two.
    """
    at = min(max(position - 0.5, 0.0), len(x) - 1.0)
    below = int(at)
    low, high = float(x[below]), float(x[min(below + 1, len(x) - 1)])
    return low + (at - below) * (high - low) if np.isfinite(high - low) else low
