"""Averages of an activation at two correlated normals: what two inputs of an infinitely wide network need.

u and v are centred normals of variances q_u, q_v, and D = E(u - v)^2 stands for their correlation: inputs come close to
each other with depth, and D keeps its digits where 1 - rho has none.

.. code-block:: text

    distance = E(sigma(u) - sigma(v))^2            slopes = E sigma'(u) sigma'(v)

sigma(x) = alpha x + beta |x| has, with the angle t of u and v, sin^2(t/2) = (D - (sqrt(q_u) - sqrt(q_v))^2)/(4
sqrt(q_u q_v)), the arc-cosine kernels of Cho and Saul (2009)

.. code-block:: text

    distance = (alpha^2 + beta^2) D - 2 beta^2 sqrt(q_u q_v) (2/pi)(sin t - t cos t)
    slopes   = alpha^2 + beta^2 (1 - 2t/pi)

and so has relu with random signs that both inputs share, since (u, v) has the law of (-u, -v). Other activations take
a quadrature over the plane, u = a x, v = b (rho x + r y): a trapezoidal rule, which converges exponentially, on x =
asinh(w sinh(tau)). Near 0, where sigma bends, its points are as dense as sigma(a x) needs, 1/w times denser than
elsewhere; those in y crowd around the y where v is 0. The relative error is below 1e-8 for variances to 1e6.
Variances beyond 1e40 give NaN.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..models.activation_record import ActivationRecord
from .averages import gaussian_averages
from .kernels import Floats, kink

REACH = 8.5  # the normal density is below 1e-16 beyond
SPACING, FINER = 0.3, 0.2  # distances in tau, of points that are equally dense and of those that crowd
LARGEST = 1e40  # variances beyond it would take ever more points
CLOSE = 0.02  # deviations of u - v below it take the difference from the slope: a quadrature of three points
_THIRD = math.sqrt(0.6) / 2.0
_BETWEEN = ((0.5 - _THIRD, 5.0 / 18.0), (0.5, 4.0 / 9.0), (0.5 + _THIRD, 5.0 / 18.0))  # Gauss-Legendre on 0 to 1


class Alone(NamedTuple):
    """E sigma(u), E sigma(u)^2 and E sigma'(u)^2, of the shape of u's variance."""

    mean: Floats
    square: Floats
    slopes: Floats


class Pair(NamedTuple):
    """E(sigma(u) - sigma(v))^2 and E sigma'(u) sigma'(v), of the shape of D."""

    distance: Floats
    slopes: Floats


def angle(q_u: Floats, q_v: Floats, distance: Floats) -> Floats:
    """Return the angle of u and v, cos t = E u v/sqrt(q_u q_v), with the digits of ``distance`` = E(u - v)^2."""
    a, b = np.sqrt(q_u), np.sqrt(q_v)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = np.sqrt(np.maximum(distance - (a - b) ** 2, 0.0) / (4.0 * a * b))
    return np.asarray(2.0 * np.arcsin(np.minimum(half, 1.0)))


def alone(sigma: ActivationRecord, q: Floats) -> Alone:
    """Return averages of one normal of each variance ``q``."""
    if sigma.homogeneous:
        kappa, beta = _pieces(sigma)
        return Alone(beta * np.sqrt(2.0 * q / np.pi), kappa * q, np.full_like(q, kappa))
    distinct, which = np.unique(q, return_inverse=True)
    found = gaussian_averages(sigma, distinct)
    means = np.array([sigma.mean(math.sqrt(each)) for each in distinct.tolist()])
    return Alone(means[which], found.m[which], found.e1[which])


def pair(sigma: ActivationRecord, q_u: Floats, q_v: Floats, distance: Floats) -> Pair:
    """Return averages of pairs of normals, arrays of one shape (P,)."""
    if sigma.homogeneous:
        kappa, beta = _pieces(sigma)
        t = angle(q_u, q_v, distance)
        taken = 2.0 * beta**2 * np.sqrt(q_u * q_v) * kink(t)
        return Pair(np.maximum(kappa * distance - taken, 0.0), kappa - (2.0 * beta**2 / np.pi) * t)
    found = [_by_quadrature(sigma, *row) for row in zip(q_u.tolist(), q_v.tolist(), distance.tolist(), strict=True)]
    return Pair(np.array([p for p, _ in found]), np.array([s for _, s in found]))


def _pieces(sigma: ActivationRecord) -> tuple[float, float]:
    """Return alpha^2 + beta^2 and beta of sigma(x) = alpha x + beta |x|."""
    up, down = sigma.value(np.array([1.0, -1.0])).tolist()
    return (up**2 + down**2) / 2.0, (up + down) / 2.0


def _by_quadrature(sigma: ActivationRecord, q_u: float, q_v: float, distance: float) -> tuple[float, float]:
    """Return both averages of one pair."""
    a, b = math.sqrt(q_u), math.sqrt(q_v)
    if not max(q_u, q_v) < LARGEST:
        return math.nan, math.nan
    if a * b == 0.0:  # a layer whose branch and carry are 0 leaves nothing of any input
        return 0.0, float(sigma.slope(np.zeros(1))[0]) ** 2
    versine = max(distance - (a - b) ** 2, 0.0) / (2.0 * a * b)  # 1 - rho
    r = math.sqrt(max(versine * (2.0 - versine), 0.0))
    if sigma.kinks:
        x, y, weight = _pieces_of_plane(sigma.kinks, a, b, versine, r)
    else:
        x, weight = _points(max(a, b), np.zeros(1))
        x, weight = x.T, weight.T  # a column: rows are values of x
        y, inner = _points(b * r, (versine - 1.0) / r * x[:, 0] if b * r > 1.0 else np.zeros(1))
        weight = weight * inner
    u, apart = a * x, (b - a - b * versine) * x + b * r * y
    slopes = float(np.sum(weight * sigma.slope(u) * sigma.slope(u + apart)))
    if abs(b - a - b * versine) + b * r < CLOSE:
        moved = apart * sum(share * sigma.slope(u + at * apart) for at, share in _BETWEEN)
        for kink in sigma.kinks:
            moved = np.where((u > kink) != (u + apart > kink), sigma.value(u + apart) - sigma.value(u), moved)
    else:
        moved = sigma.value(u + apart) - sigma.value(u)
    return float(np.sum(weight * moved**2)), slopes


def _pieces_of_plane(
    kinks: tuple[float, ...], a: float, b: float, versine: float, r: float
) -> tuple[Floats, Floats, Floats]:
    """Return x, y and weights of E f, (M, 1), (M, P) and (M, P): Gauss-Legendre between the lines where f has kinks.

    These are u = kappa and v = kappa. As a function of x, what is left of the latter is a bend as wide as r, and sigma
    itself bends near 0: pieces become the shorter the nearer they are to such places.
    """
    widths = (0.0, *(sign * 2.0**k for k in range(-2, 11) for sign in (1, -1)))
    near = [place + width * w for place, width in _bends(kinks, a, b, r) for w in widths]
    x, weight = _gauss(np.unique(np.clip([-REACH, *near, REACH], -REACH, REACH))[None])
    x, weight = x.T, weight.T
    if r == 0.0:
        return x, np.zeros((1, 1)), weight
    rho = 1.0 - versine
    centre = -rho * x / r
    width = min(1.0 / (b * r), 1.0)
    ends = [centre + kink / (b * r) for kink in kinks]
    ends += [centre + width * w for w in widths]
    ends += [np.full_like(x, place) for place in (-REACH, -3.0, 0.0, 3.0, REACH)]
    y, inner = _gauss(np.sort(np.clip(np.concatenate(ends, axis=1), -REACH, REACH), axis=1))
    return x, y, weight * inner


def _bends(kinks: tuple[float, ...], a: float, b: float, r: float) -> list[tuple[float, float]]:
    """Return places of x where E f given x bends, and on what scale."""
    slight = max(r, 1e-9)
    at_kinks = [(kink / size, slight) for kink in kinks for size in (a, b)]
    return [*at_kinks, (0.0, min(1.0 / max(a, b), 1.0))]


def _gauss(ends: Floats) -> tuple[Floats, Floats]:
    """Return points and weights of E f, rows of one length, between neighbours of the sorted rows of ``ends``."""
    nodes, weights = np.polynomial.legendre.leggauss(10)
    low, half = ends[:, :-1, None], 0.5 * np.diff(ends, axis=1)[:, :, None]
    x = (low + half * (nodes + 1.0)).reshape(len(ends), -1)
    return x, (half * weights).reshape(len(ends), -1) * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def _points(size: float, centres: Floats) -> tuple[Floats, Floats]:
    """Return points x and weights of E f(x), rows of one length, for f that bends at each of ``centres``, (C, N).

    ``size`` is by how much f is steeper than the density: around a centre the points are so much denser.
    """
    log_w = -math.log(max(size, 1.0))
    spacing = FINER if size > 1.0 else SPACING
    first = _tau(-REACH - centres, log_w)
    count = math.ceil(float(np.max(_tau(REACH - centres, log_w) - first)) / spacing) + 1
    tau = first[:, None] + spacing * np.arange(count)
    far = np.abs(tau) > 30.0  # where sinh could overflow, and x is linear in tau to the last digit
    bent = math.exp(log_w) * np.sinh(np.clip(tau, -30.0, 30.0))
    x = np.where(far, np.sign(tau) * (np.abs(tau) + log_w), np.arcsinh(bent))
    rate = np.where(far, 1.0, math.exp(log_w) * np.cosh(np.clip(tau, -30.0, 30.0)) / np.hypot(1.0, bent))
    x = centres[:, None] + x
    return x, spacing * rate * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def _tau(x: Floats, log_w: float) -> Floats:
    """Return tau with x = asinh(w sinh(tau))."""
    near = np.arcsinh(math.exp(-log_w) * np.sinh(np.clip(x, -30.0, 30.0)))
    return np.where(np.abs(x) > 30.0, np.sign(x) * (np.abs(x) - log_w), near)
