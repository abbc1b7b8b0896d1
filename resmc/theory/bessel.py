"""Logarithms of modified Bessel functions of any order and argument, as differences that keep their digits.

The density of a noncentral chi-square has I_nu with nu = n/2 - 1. For a large order, or argument, it is Debye's series

.. code-block:: text

    I_nu(z) = e^(S - nu log((nu + S)/z)) / sqrt(2 pi S) sum_k u_k(nu/S)/nu^k,        S = sqrt(nu^2 + z^2)

Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 9.7.7 to 9.7.9.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.polynomial import Polynomial
from numpy.polynomial.polynomial import polyval
from scipy import special

from .kernels import Floats

SERIES_FROM = 30.0  # S from which 13 terms of the series are right to the last digits
TERMS = 13
FEW_FROM, FEW_TERMS = 400.0, 6


@cache
def _debye_coefficients() -> tuple[Floats, ...]:
    """Return u_k(p)/p^k as coefficients of powers of p^2, k = 0, 1, .."""
    u, p = Polynomial([1.0]), Polynomial([0.0, 1.0])
    out = [np.ones(1)]
    for k in range(1, TERMS):
        u = 0.5 * p**2 * (1.0 - p**2) * u.deriv() + 0.125 * ((1.0 - 5.0 * p**2) * u).integ()
        out.append(np.asarray(u.coef[k::2], np.float64))
    return tuple(out)


def _log_series(nu: float, s: Floats) -> Floats:
    """Return log sum_k u_k(nu/S)/nu^k, which has powers of 1/S alone and so holds for every nu >= 0."""
    few = _series(nu, np.minimum(s, 1e30), FEW_TERMS)
    more = s < FEW_FROM
    if more.any():
        few[more] = _series(nu, s[more], TERMS)
    return np.log1p(few)


def _series(nu: float, s: Floats, terms: int) -> Floats:
    square, inverse, total = (nu / s) ** 2, 1.0 / s, np.zeros(s.shape)
    for coefficients in reversed(_debye_coefficients()[1:terms]):
        total = (total + polyval(square, coefficients)) * inverse
    return total


def log_bessel_change(nu: float, start: Floats, log_factor: Floats) -> Floats:
    """Return log f(z) - log f(z_0) of f(z) = e^(-z) z^(-nu) I_nu(z) at z = z_0 e^log_factor.

    nu >= 0, or -1/2, where f is (1 + e^(-2z)) but for a factor. Errors are some 1e-15 times the square root of nu.
    """
    z = start * np.exp(log_factor)
    if nu < 0.0:
        return np.asarray(np.log1p(np.exp(-2.0 * z)) - np.log1p(np.exp(-2.0 * start)))
    if nu >= SERIES_FROM or (min(float(start.min()), float(z.min())) >= SERIES_FROM):
        return _large(nu, start, z, log_factor)
    z, first = np.broadcast_arrays(z, start)
    out = np.empty(z.shape)
    large = np.hypot(nu, np.minimum(z, first)) >= SERIES_FROM
    factors = np.broadcast_to(log_factor, z.shape)
    out[large] = _large(nu, first[large], z[large], factors[large])
    out[~large] = _small(nu, z[~large]) - _small(nu, first[~large])
    return out


def _large(nu: float, start: Floats, z: Floats, log_factor: Floats) -> Floats:
    s0, s = np.hypot(nu, start), np.hypot(nu, z)
    moved = start * np.expm1(log_factor)  # z - z_0
    grown = moved * ((z + start) / (s + s0))  # S - S_0
    exponent = -(nu / (s + z)) * (nu / (s0 + start)) * (grown + moved)  # the change of S - z = nu^2/(S + z)
    exponent = exponent - nu * np.log1p(grown / (nu + s0)) - 0.5 * np.log1p(grown / s0)
    return np.asarray(exponent + _log_series(nu, s) - _log_series(nu, s0))


def _small(nu: float, z: Floats) -> Floats:
    """Return log f(z); where z is too small for SciPy's function the power series, of which two terms are enough."""
    tiny = z < 1e-3
    safe = np.where(tiny, 1.0, z)
    with np.errstate(divide="ignore"):
        large = np.where(z > 1e8, -0.5 * np.log(2.0 * math.pi * safe), np.log(special.ive(nu, np.minimum(safe, 1e8))))
    series = np.log1p(0.25 * z * z / (nu + 1.0)) - nu * math.log(2.0) - math.lgamma(nu + 1.0) - z
    return np.asarray(np.where(tiny, series, large - nu * np.log(safe)))
