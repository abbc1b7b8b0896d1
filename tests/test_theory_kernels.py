"""The kernels of the limit are the Gaussian expectations that define them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, special

from resmc import theory

RHO = np.array([-1.0, -0.999, -0.7, -0.2, -1e-9, 0.0, 1e-9, 0.1, 0.5, 0.9, 0.9999, 1.0])

# kernels


def angular_mean(f: Callable[[float, float], float], rho: float) -> float:
    """E[f(X, Y)] at |(X, Y)| = 1, by quadrature over the angle between the kinks of X|X|, Y|Y|."""
    theta = math.acos(rho)
    turn = 2.0 * math.pi
    kinks = sorted({0.0, turn, *((start + turn * part) % turn for start in (0.0, theta) for part in (0.25, 0.75))})
    total = 0.0
    for low, high in itertools.pairwise(kinks):
        total += integrate.quad(lambda u: f(math.cos(u), math.cos(u - theta)), low, high, epsabs=1e-13)[0]
    return total / turn


@pytest.mark.parametrize("rho", [-1.0, -0.7, 0.0, 0.1, 0.5, 0.9, 0.9999, 1.0])
def test_j_and_k_are_the_gaussian_expectations_that_define_them(rho: float) -> None:
    # X, Y have polar radius r with E r^4 = 8 and E r^2 = 2, independent of the angle.
    by_angle = 8.0 * angular_mean(lambda x, y: x * abs(x) * y * abs(y), rho)
    assert theory.J(rho) == pytest.approx(by_angle, abs=1e-11)
    by_angle = 2.0 * angular_mean(lambda x, y: x * abs(x) * math.copysign(1.0, y), rho)
    assert theory.K(rho) == pytest.approx(by_angle, abs=1e-11)
    by_angle = 8.0 * angular_mean(lambda x, y: abs(x * y), rho)
    assert theory.J_prime(rho) == pytest.approx(by_angle, abs=1e-11)


def test_j_prime_and_k_prime_are_the_derivatives() -> None:
    rho, step = np.linspace(-0.98, 0.98, 99), 1e-5
    for f, derivative in ((theory.J, theory.J_prime), (theory.K, theory.K_prime)):
        difference = (f(rho + step) - f(rho - step)) / (2.0 * step)
        np.testing.assert_allclose(derivative(rho), difference, atol=1e-8)


def test_kernels_are_odd_their_derivatives_even_and_the_endpoints_exact() -> None:
    for odd in (theory.J, theory.K, theory.growth_kernel):
        np.testing.assert_allclose(odd(-RHO), -odd(RHO), rtol=1e-15)
        assert odd(0.0) == 0.0
    for even in (theory.J_prime, theory.K_prime):
        np.testing.assert_allclose(even(-RHO), even(RHO), rtol=1e-15)
    assert theory.J(1.0) == pytest.approx(3.0, rel=1e-15)
    assert theory.K(1.0) == pytest.approx(1.0, rel=1e-15)
    assert theory.J_prime(1.0) == pytest.approx(4.0, rel=1e-15)
    assert theory.K_prime(1.0) == 0.0


def test_kernels_clip_a_correlation_that_rounding_took_past_one() -> None:
    for f in (theory.J, theory.K, theory.J_prime, theory.K_prime, theory.growth_kernel):
        np.testing.assert_array_equal(f([1.0 + 1e-15, -1.0 - 1e-15]), f([1.0, -1.0]))
        assert f(RHO.reshape(3, 4)).shape == (3, 4)


def test_kernels_keep_relative_accuracy_near_zero_correlation() -> None:
    assert theory.J(1e-12) == pytest.approx(8e-12 / math.pi, rel=1e-14)
    assert theory.K(1e-12) == pytest.approx(4e-12 / math.pi, rel=1e-14)


def test_growth_kernel_is_mean_plus_half_the_variance() -> None:
    theta = np.arccos(RHO)
    formula = (2.0 / np.pi) * np.sin(theta) * np.cos(theta) + 1.0 - 2.0 * theta / np.pi
    np.testing.assert_allclose(theory.growth_kernel(RHO), formula, atol=1e-15)
    np.testing.assert_allclose(theory.J(RHO) - 0.5 * RHO * theory.J_prime(RHO), formula, atol=1e-14)


def test_mean_log_chi_square_agrees_with_digamma_and_with_quadrature() -> None:
    degrees = np.array([1.0, 2.0, 7.0, 39.0, 39.9999, 40.0, 41.0, 100.0, 1000.0])
    direct = special.digamma(degrees / 2.0) - np.log(degrees / 2.0)
    np.testing.assert_allclose(theory.mean_log_chi_square(degrees), direct, rtol=1e-12)
    assert theory.mean_log_chi_square(2.0) == pytest.approx(-np.euler_gamma, rel=1e-14)
    assert theory.mean_log_chi_square(1e12) == pytest.approx(-1e-12, rel=1e-11)  # direct: no digit right
