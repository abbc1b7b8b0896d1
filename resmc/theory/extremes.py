"""The largest of several layers: how a maximum grows with how many there are, though no layer does."""

from __future__ import annotations

import numpy as np
from scipy.special import gammainc, gammainccinv, gammaincinv

from .._system import checks

TAIL = 1e-17  # probability that the largest one lies beyond either end of the integral
NODES = 4001


def largest_mean_square(layers: float, entries: int) -> float:
    """Return E max_k |A_k|^2/entries over independent layers A_k of so many independent standard normal entries.

    .. code-block:: text

        E max_{k <= N} |A_k|^2 = integral of 1 - F(r)^N dr over r > 0,    F the law of chi^2 with d degrees

    It is 1 for one layer, grows like 2 ln N/d for many layers of few entries d, and tends to 1 as d grows. ``layers``
    need not be a whole number; by quadrature, to a relative 1e-6.

    Parameters
    ----------
    layers : float
        N, at least 1.
    entries : int
        d, 1 to 2^40.

    Raises
    ------
    ValueError
        For an argument out of range.
    """
    count, d = checks.real("layers", layers), checks.integer("entries", entries, 1, 2**40, "2^40")
    if count < 1.0:
        raise ValueError(f"layers={count!r} is out of range: it must be at least 1")
    low = 2.0 * float(gammaincinv(0.5 * d, np.exp(np.log(TAIL) / count)))
    high = 2.0 * float(gammainccinv(0.5 * d, TAIL / count))
    nodes = np.linspace(0.0, 1.0, NODES)
    r = low + (high - low) * nodes**2  # One entry's law has a cusp at 0, which the square smooths.
    beyond = 1.0 - gammainc(0.5 * d, 0.5 * r) ** count
    return float((low + np.trapezoid(beyond * 2.0 * nodes * (high - low), nodes)) / d)
