"""Distribution functions against adaptive quadrature and the moments that they should have."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from explicit_networks import network
from scipy import integrate, special

from resmc import theory

# distributions


@pytest.mark.parametrize("mean", [-3.0, 0.0, 40.0])
@pytest.mark.parametrize("deviation", [0.1, 1.0, 3.0, 10.0])
def test_output_cdf_agrees_with_adaptive_quadrature(mean: float, deviation: float) -> None:
    # Spread over the range in which exp(G/2) Z has its mass.
    t = np.sinh(np.linspace(-3.0, 3.0, 5) * deviation) * math.exp(mean / 2) + 0.3 * math.exp(mean / 2)

    def integrand(u: float, value: float) -> float:
        scaled = special.ndtr(value * math.exp(-(mean + deviation * u) / 2))
        return float(scaled) * math.exp(-u * u / 2) / math.sqrt(2 * math.pi)

    expected = []
    for value in t:
        centre = min(max((2 * math.log(abs(value)) - mean) / deviation, -9.0), 9.0)  # where the argument is 1
        breaks = sorted({-9.5, max(centre - 4 / deviation, -9.4), centre, min(centre + 8 / deviation, 9.4), 9.5})
        parts = [
            integrate.quad(integrand, low, high, args=(value,), epsabs=1e-13, epsrel=1e-12, limit=400)[0]
            for low, high in itertools.pairwise(breaks)
        ]
        expected.append(math.fsum(parts))
    np.testing.assert_allclose(theory.output_cdf(t, mean, deviation**2), expected, rtol=0, atol=1e-11)


def test_output_cdf_is_a_symmetric_distribution_function() -> None:
    t = np.concatenate([[-np.inf], -np.logspace(300, -300, 101), [0.0], np.logspace(-300, 300, 101), [np.inf]])
    for variance in (0.0, 4.0, 1e4):
        cdf = theory.output_cdf(t, -7.0, variance)
        assert cdf[0] == 0.0
        assert cdf[102] == pytest.approx(0.5, abs=1e-15)
        assert cdf[-1] == pytest.approx(1.0, abs=1e-13)
        assert np.all(np.diff(cdf) >= -1e-15)
        np.testing.assert_allclose(cdf + cdf[::-1], 1.0, rtol=1e-13)
    assert theory.output_cdf(np.zeros((2, 3)), 0.0, 1.0).shape == (2, 3)


def test_output_cdf_without_variance_is_the_gaussian_of_the_infinite_width_limit() -> None:
    t = np.linspace(-4.0, 4.0, 17)
    np.testing.assert_allclose(theory.output_cdf(t, 2.0, 0.0), special.ndtr(t / math.e), rtol=1e-13)


def test_output_cdf_refuses_a_law_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"variance=-1\.0"):
        theory.output_cdf(0.0, 0.0, -1.0)
    with pytest.raises(ValueError, match="mean=nan"):
        theory.output_cdf(0.0, math.nan, 1.0)


def test_chi_square_log_norm_cdf_is_the_law_of_the_first_layer() -> None:
    for n in (1, 6, 1000):
        first = theory.first_layer(network(width=n))
        deviation = math.sqrt(first.variance)
        x = first.mean + deviation * np.linspace(-120.0, 20.0, 300_001)
        cdf = theory.chi_square_log_norm_cdf(n, x)
        assert np.all(np.diff(cdf) >= 0.0)
        # The mean and variance of the distribution function are those of the cumulant formulas.
        mean = x[-1] - integrate.trapezoid(cdf, x)
        second = 2.0 * integrate.trapezoid((x - mean) * np.where(x > mean, 1.0 - cdf, -cdf), x)
        assert mean == pytest.approx(first.mean, abs=1e-6 * deviation)
        assert second == pytest.approx(first.variance, rel=1e-6)
    assert theory.chi_square_log_norm_cdf(2, 0.0) == pytest.approx(-math.expm1(-1.0), rel=1e-14)
    np.testing.assert_array_equal(theory.chi_square_log_norm_cdf(3, [-np.inf, 1e4, np.inf]), [0.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="n=0"):
        theory.chi_square_log_norm_cdf(0, 0.0)
