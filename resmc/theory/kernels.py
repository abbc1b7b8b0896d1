"""Functions of the correlation rho of two standard Gaussians X and Y, and one of the chi-square law.

J and K and their derivatives are those of Li, Nica, Roy 2021 (arXiv 2106.04013), there written with
theta = arccos(rho). Here 1 - 2 theta/pi is computed as (2/pi) arcsin(rho), which keeps full relative accuracy for
rho near 0, where the sums over layers have almost all their terms. Each function maps an array to an array of the same
shape; rho is clipped to [-1, 1], since a computed correlation may leave it by rounding. No function here raises.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]


def _rho_sin_angle(rho: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return the clipped rho, sin(theta) = sqrt(1 - rho^2), and 1 - 2 theta/pi = (2/pi) arcsin(rho)."""
    rho = np.clip(np.asarray(rho, dtype=np.float64), -1.0, 1.0)
    return rho, np.sqrt((1.0 - rho) * (1.0 + rho)), (2.0 / np.pi) * np.arcsin(rho)


def J(rho: ArrayLike) -> Floats:
    """J(rho) = E[X|X| Y|Y|] = (6/pi) sin t cos t + (1 + 2 cos^2 t)(1 - 2t/pi), t = arccos(rho).

    J is odd, J(0) = 0 and J(1) = 3. J(rho)/3 is the correlation of the asymmetries of two layers whose states have
    correlation rho.
    """
    rho, sin, angle = _rho_sin_angle(rho)
    return (6.0 / np.pi) * sin * rho + (1.0 + 2.0 * rho * rho) * angle


def J_prime(rho: ArrayLike) -> Floats:
    """J'(rho) = 4 E|X Y| = (8/pi) sin t + 4 cos t (1 - 2t/pi), t = arccos(rho): even, with J'(1) = 4."""
    rho, sin, angle = _rho_sin_angle(rho)
    return (8.0 / np.pi) * sin + 4.0 * rho * angle


def K(rho: ArrayLike) -> Floats:
    """K(rho) = E[X|X| sign(Y)] = (2/pi)(rho sqrt(1 - rho^2) + arcsin(rho)): odd, with K(1) = 1."""
    rho, sin, angle = _rho_sin_angle(rho)
    return (2.0 / np.pi) * sin * rho + angle


def K_prime(rho: ArrayLike) -> Floats:
    """K'(rho) = (4/pi) sqrt(1 - rho^2): even, with K'(1) = 0."""
    return (4.0 / np.pi) * _rho_sin_angle(rho)[1]


def kink(angle: ArrayLike) -> Floats:
    """Return E|X Y| - E X Y = (2/pi)(sin t - t cos t) of standard Gaussians at an angle t, rho = cos t.

    2 t^3/(3 pi) for small t, to the last digits: sin t - t cos t = t^2 j_1(t), a spherical Bessel function. It is what
    the kink of |x| takes from the squared distance of two inputs: the arc-cosine kernel of Cho and Saul (2009).
    """
    angle = np.asarray(angle, dtype=np.float64)
    return np.asarray((2.0 / np.pi) * angle**2 * special.spherical_jn(1, angle))


def growth_kernel(rho: ArrayLike) -> Floats:
    """Return the terms of log E|z_d|^2: (2/pi) sin t cos t + 1 - 2t/pi, t = arccos(rho).

    For a Gaussian log-norm, log E|z_d|^2 is the mean plus half the variance. The mean contributes -rho J'(rho)/2 and
    the variance J(rho) per pair of layers, and J(rho) - rho J'(rho)/2 = K(rho): the function `K`.
    """
    return K(rho)


def mean_log_chi_square(degrees: ArrayLike) -> Floats:
    """Return E log(chi^2_k/k) = digamma(k/2) - log(k/2) for k = ``degrees`` > 0, without cancellation for large k.

    The mean is negative, -1/k to leading order. The variance of the same variable is trigamma(k/2).
    """
    half = np.asarray(degrees, dtype=np.float64) / 2.0
    large = np.maximum(half, 20.0)
    # The asymptotic series of digamma; at 20 its first omitted term is below 1e-16 of the sum.
    y = 1.0 / (large * large)
    series = -0.5 / large - y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y / 132))))
    small = np.minimum(half, 20.0)
    return np.where(half < 20.0, special.digamma(small) - np.log(small), series)
