"""The record of all that resmc knows of one activation, which kernels, twin, modules, limits and refusals read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .activation_table import Floats, KernelTable

FLAT = 1e-19  # slopes below this bound count as 0 in the kernels
REACH = 12.0  # beyond it the normal density is below 1e-31


@dataclass(frozen=True)
class ActivationRecord:
    """One activation.

    Attributes
    ----------
    number : int
        The number by which the kernels know the activation.
    value, slope : callable
        sigma(x) and sigma'(x) of an array, to the last digits of float64, also near 0. At a kink the slope is the one
        from below. Of an activation with random signs, both are those of a neuron with sign plus.
    torch : callable
        sigma(x) of a tensor, as a function of (torch, x): the module is handed in, so that nothing here imports it.
    pulled : callable
        g sigma'(x) of tensors, as a function of (torch, g, x, sigma(x)), in one or two of torch's operations. It is
        right to rounding errors of g, and not to the last digits of the slope where this is nearly 0.
    in_place : callable or None
        x becomes sigma(x), as a function of (torch, x): where sigma(x) in place of x serves ``pulled`` as well. None
        where that needs x.
    homogeneous : bool
        True if sigma(c x) = c sigma(x) for every c > 0.
    rectifier : bool
        True if sigma(x) = max(x, 0), for which the activation asymmetry is defined.
    signed : bool
        True if neurons have random signs s: sigma(s x).
    half : bool
        True if exactly half of the signs are plus, which needs an even width.
    at_zero, slope_at_zero, curvature_at_zero : float
        sigma(0), sigma'(0), sigma''(0); NaN where a derivative does not exist.
    odd : bool
        True if sigma(-x) = -sigma(x), so that E sigma(a g) = 0 for every a and standard normal g.
    steepest : float
        The largest |sigma'|, which is sigma's Lipschitz constant.
    above, below : float
        Parameters that the kernels take: slopes on either side of 0, or next to it.
    table : KernelTable or None
        The table from which the kernels compute sigma; None for those that are built in.
    kinks : tuple of float
        Where sigma is not smooth, besides homogeneous ones, whose kink is at 0: quadratures are cut there.
    vanishes : bool
        True if sigma is 0 on an interval, so that layers may be 0; not said of rectifiers.
    """

    number: int
    value: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]
    torch: Callable[[Any, Any], Any]
    pulled: Callable[[Any, Any, Any, Any], Any]
    in_place: Callable[[Any, Any], Any] | None = None
    homogeneous: bool = False
    rectifier: bool = False
    signed: bool = False
    half: bool = False
    at_zero: float = 0.0
    slope_at_zero: float = math.nan
    curvature_at_zero: float = math.nan
    odd: bool = False
    steepest: float = 1.0
    above: float = 0.0
    below: float = 0.0
    table: KernelTable | None = None
    kinks: tuple[float, ...] = ()
    vanishes: bool = False

    @property
    def smooth(self) -> bool:
        """True if sigma is twice continuously differentiable."""
        return not math.isnan(self.curvature_at_zero)

    def flat_beyond(self, both: bool = False) -> float:
        """Return the least power of 2^(1/4) at which the slope of x or of -x, or of both, is below 1e-19.

        Infinite if there is none, or if sigma is homogeneous, whose slopes are exact. The kernels' gradients are
        float32, whose squares end there: such a slope counts as 0.
        """
        if self.homogeneous:
            return math.inf
        x = 2.0 ** np.arange(-8.0, 14.0, 0.25)
        with np.errstate(over="ignore", under="ignore"):
            slopes = (np.maximum if both else np.minimum)(np.abs(self.slope(x)), np.abs(self.slope(-x)))
        below = np.flatnonzero(slopes < FLAT)
        exact = below.size == 0 or slopes[below[0]] == 0.0  # a slope that is 0 itself loses nothing
        return math.inf if exact else float(x[below[0]])

    def mean(self, size: float = 1.0) -> float:
        """Return E sigma(size g) of a standard normal g, by quadrature; exact for piecewise linear sigma."""
        return gaussian_mean(self.value, size, self.cuts(size))

    def mean_square(self, size: float = 1.0) -> float:
        """Return E sigma(size g)^2, the squared size of one activated neuron."""
        return gaussian_mean(lambda x: self.value(x) ** 2, size, self.cuts(size))

    def cuts(self, size: float) -> tuple[float, ...]:
        """Return where |g| cuts an integral of sigma(size g) besides 0."""
        return tuple(place / size for place in self.cut_at if place < REACH * size)

    @property
    def cut_at(self) -> tuple[float, ...]:
        """Places |x| besides 0 at which a quadrature is cut: kinks, and where a table changes ever more slowly."""
        places = {abs(kink) for kink in self.kinks} - {0.0}
        if self.table is not None:
            places |= {4.0**k for k in range(1, 12)}
        return tuple(sorted(places))


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


def gaussian_mean(function: Callable[[Floats], Floats], size: float = 1.0, cuts: tuple[float, ...] = ()) -> float:
    """Return E f(size g) of a standard normal g: Gauss-Legendre on either side of 0, cut where |g| is in ``cuts``."""
    ends, total = (0.0, *cuts, REACH), 0.0
    for low, high in itertools.pairwise(ends):
        half = 0.5 * (high - low)
        x = low + half * (_NODES + 1.0)
        density = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
        total += float(half * np.sum(_WEIGHTS * density * (function(size * x) + function(-size * x))))
    return total
