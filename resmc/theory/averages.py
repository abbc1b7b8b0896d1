"""Gaussian averages of an activation, as functions of the variance q of what enters it, for arrays of q.

.. code-block:: text

    m(q)  = E sigma(sqrt(q) g)^2          e1(q) = E sigma'(sqrt(q) g)^2          e2(q) = E sigma'(sqrt(q) g)^2 g^2

For a homogeneous activation with E sigma(g)^2 = kappa they are kappa q, kappa and kappa. For the others they come from
a table in log q with a cubic spline through it; the table is a quadrature.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..models.activation_families import record_of
from ..models.activation_record import ActivationRecord
from ..models.user_activation import Activation
from .kernels import Floats

_END, _SPACING = 100.0, 0.05  # end and spacing of log q in the table: neighbours differ by a few percent
_REACH, _SATURATED = 12.0, 40.0  # the density is below 1e-31 beyond 12; activations are their asymptotes beyond 40


class Averages(NamedTuple):
    """m, e1, e2, and the elasticity q m'(q)/m(q), each of the shape of q.

    By Stein's identity m'(q) = E[sigma sigma'(sqrt(q) g) g]/sqrt(q).
    """

    m: Floats
    e1: Floats
    e2: Floats
    elasticity: Floats


def homogeneous_averages(kappa: float) -> Callable[[Floats], Averages]:
    """Return the averages where sigma^2 counts as kappa x^2: those of homogeneous and of linearised activations."""

    def averages(q: Floats) -> Averages:
        flat = np.full_like(q, kappa)
        return Averages(kappa * q, flat, flat, np.ones_like(q))

    return averages


@cache
def tabulated_averages(activation: str | Activation | ActivationRecord) -> Callable[[Floats], Averages]:
    """Return the averages of any activation, to a relative error below 1e-8 (for the elasticity an absolute one).

    q runs from e^-100 to e^100; an average beyond has its value at the nearer end.
    """
    from scipy.interpolate import CubicSpline

    log_q = np.arange(-_END, _END + _SPACING, _SPACING)
    m, e1, e2, elasticity = gaussian_averages(activation, np.exp(log_q))
    spline = CubicSpline(log_q, np.stack([np.log(m), np.log(e1), np.log(e2), elasticity], axis=-1))

    def averages(q: Floats) -> Averages:
        with np.errstate(divide="ignore"):
            found = spline(np.clip(np.log(q), -_END, _END))
        m, e1, e2 = np.exp(np.moveaxis(found[..., :3], -1, 0))
        return Averages(m, e1, e2, found[..., 3])

    return averages


def gaussian_averages(activation: str | Activation | ActivationRecord, q: Floats) -> Averages:
    """Return the averages by Gauss-Legendre quadrature, to about 1e-12; q > 0 of any shape.

    The half-lines are cut at kinks and at the bend at 0, and where saturation is complete, so that each piece is smooth
    on the scale of its length.
    """
    sigma = record_of(activation)
    size = np.sqrt(np.asarray(q, np.float64))[..., None]
    nodes, weights = np.polynomial.legendre.leggauss(200)
    places = sorted({_SATURATED, *(abs(kink) for kink in sigma.cut_at)} - {0.0})
    cuts = [np.minimum(_REACH, place / size) for place in places]
    ends = [np.zeros_like(size), *cuts, np.full_like(size, _REACH)]
    halves = [0.5 * (high - low) for low, high in pairwise(ends)]
    x = np.concatenate([low + half * (nodes + 1.0) for low, half in zip(ends[:-1], halves, strict=True)], axis=-1)
    density = np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
    density *= np.concatenate([half * weights for half in halves], axis=-1)
    m, e1, e2, cross = (np.zeros(size.shape[:-1]) for _ in range(4))
    for side in (x, -x):
        value, slope = sigma.value(size * side), sigma.slope(size * side)
        m += (density * value**2).sum(-1)
        e1 += (density * slope**2).sum(-1)
        e2 += (density * slope**2 * x**2).sum(-1)
        cross += (density * value * slope * size * side).sum(-1)
    return Averages(m, e1, e2, cross / m)
