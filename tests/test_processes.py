"""Covariances of weights over the layers, and the sums of normals that have them, against independent formulas.

No test here is statistical.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from resmc import FractionalNoise, Mixture, SmoothProcess
from resmc.models.processes import Covariance
from resmc.theory.processes import (
    SmoothSeries,
    covariance,
    covariance_by_lag,
    embedding,
    fast_length,
    fractional_noise_covariance,
    fractional_noise_embedding,
    smooth_basis,
    smooth_series,
)

HURST = [0.02, 0.1, 0.3, 0.49999, 0.5, 0.50001, 0.7, 0.9, 0.97, 0.99]
FURTHEST = 2**19


# -------------------------------------------------------------------------------------------------- fractional noise


def in_decimals(hurst: float, lag: int) -> Decimal:
    """The difference of powers with 60 digits, of which it loses 20 at most."""
    with localcontext() as context:
        context.prec = 60
        power, k = 2 * Decimal(hurst), Decimal(lag)
        return ((k + 1) ** power + (k - 1) ** power - 2 * k**power) / 2


def by_quadrature(hurst: float, lags: np.ndarray) -> np.ndarray:
    """H (2H - 1) times the integral of (1 - |w|) (k + w)^{2H - 2} over |w| < 1, whose integrand is positive."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    w = 0.5 * (nodes + 1.0)
    total = np.zeros(len(lags))
    for x, weight in zip(w, weights, strict=True):
        total += 0.5 * weight * (1.0 - x) * ((lags + x) ** (2 * hurst - 2) + (lags - x) ** (2 * hurst - 2))
    return hurst * (2.0 * hurst - 1.0) * total


@pytest.mark.parametrize("hurst", HURST)
def test_fractional_noise_has_its_covariance_to_1e_12_at_every_lag_to_2_19(hurst):
    lags = np.arange(2, FURTHEST + 1)
    np.testing.assert_allclose(fractional_noise_covariance(hurst, lags), by_quadrature(hurst, lags), rtol=1e-12, atol=0)


@pytest.mark.parametrize("hurst", HURST)
def test_fractional_noise_has_its_covariance_to_14_digits_where_60_are_known(hurst):
    lags = [*range(1, 60), 999, 12345, FURTHEST - 1, FURTHEST]
    for lag, found in zip(lags, fractional_noise_covariance(hurst, lags), strict=True):
        exact = in_decimals(hurst, lag)
        assert abs(Decimal(float(found)) - exact) <= Decimal("1e-14") * abs(exact), lag


def test_the_difference_of_powers_would_have_lost_all_but_a_few_digits():
    """The negative control of the two tests above."""
    k, hurst = float(FURTHEST), 0.7
    naive = 0.5 * ((k + 1) ** (2 * hurst) + (k - 1) ** (2 * hurst) - 2 * k ** (2 * hurst))
    assert abs(naive / float(in_decimals(hurst, FURTHEST)) - 1.0) > 1e-7


def test_fractional_noise_is_independent_at_one_half_and_symmetric_in_the_lag():
    lags = np.arange(-5, 6)
    np.testing.assert_array_equal(fractional_noise_covariance(0.5, lags), lags == 0)
    found = fractional_noise_covariance(0.8, lags)
    np.testing.assert_array_equal(found, found[::-1])
    assert found[5] == 1.0


@pytest.mark.parametrize("depth", [1, 2, 3, 10, 97, 1000, 4096, 50000, 2**17 - 1])
@pytest.mark.parametrize("hurst", HURST)
def test_the_embedding_of_fractional_noise_is_positive(hurst, depth):
    found = fractional_noise_embedding(hurst, depth)
    assert found.clipped == 0.0
    assert depth <= found.depth <= 1.1 * depth
    assert found.eigenvalues.min() > 0.0


def test_a_fast_length_is_the_next_one_whose_prime_factors_are_2_3_and_5():
    """Known without a library: a number is such if powers of 2, 3 and 5 are all that it is made of."""

    def fast(n: int) -> bool:
        return math.gcd(n, 30**20) == n

    numbers = [n for n in range(1, 4001) if fast(n)]
    assert [fast_length(n) for n in range(1, 4001)] == [next(m for m in numbers if m >= n) for n in range(1, 4001)]
    assert fast_length(2**20 - 1) == 2**20


def paths_of_waves(amplitudes: np.ndarray) -> np.ndarray:
    """What every normal adds to the layers of a path, (depth, normals)."""
    count = len(amplitudes)
    waves = np.zeros((2, count, count), complex)
    waves[0, range(count), range(count)] = amplitudes[:, 0]
    waves[1, range(count), range(count)] = 1j * amplitudes[:, 1]
    path = np.fft.irfft(waves.reshape(-1, count), 2 * (count - 1), axis=1, norm="forward")
    return path[:, : count - 1].T


@pytest.mark.parametrize("depth", [1, 2, 3, 16, 97])
@pytest.mark.parametrize("hurst", HURST)
def test_paths_of_the_embedding_have_the_covariance_of_fractional_noise(hurst, depth):
    paths = paths_of_waves(fractional_noise_embedding(hurst, depth).amplitudes)[:depth]
    np.testing.assert_allclose(paths @ paths.T, covariance(FractionalNoise(hurst), depth), rtol=0, atol=3e-15 * depth)


def covariances_of(eigenvalues: list[float]) -> np.ndarray:
    """The covariances whose embedding has these eigenvalues."""
    return np.fft.irfft(eigenvalues, 2 * len(eigenvalues) - 2)[: len(eigenvalues)]


def test_an_embedding_that_is_not_positive_is_refused_with_place_and_value():
    with pytest.raises(ValueError, match=r"eigenvalue at frequency 3 of 8 is -2e-08, in size 2e-09 times the largest"):
        embedding(covariances_of([1.0, 10.0, 1.0, -2e-8, 1.0]))
    with pytest.raises(ValueError, match="embedding of 2 layers is not positive"):
        embedding([1.0, 0.9, -1.0])


def test_negative_eigenvalues_within_1e_9_of_the_largest_are_set_to_0_and_reported():
    found = embedding(covariances_of([1.0, 10.0, 1.0, -5e-9, 1.0]))
    assert found.clipped == pytest.approx(5e-10, rel=1e-5)
    np.testing.assert_allclose(found.eigenvalues, [1.0, 10.0, 1.0, 0.0, 1.0], rtol=1e-14)
    assert found.eigenvalues[3] == 0.0
    assert np.isfinite(found.amplitudes).all()


# ----------------------------------------------------------------------------------------------------------- smooth


def squared(basis: np.ndarray) -> np.ndarray:
    """The covariance of sums over a basis (T, 2, K)."""
    flat = basis.reshape(len(basis), -1)
    return flat @ flat.T


@pytest.mark.parametrize("length", [0.005, 0.05, 0.1, 0.2, 0.5, 3.0, 1e4])
def test_the_series_of_a_smooth_process_has_its_covariance_and_that_of_its_derivative(length):
    series, t = smooth_series(length), np.linspace(0.0, 1.0, 301)
    x = np.subtract.outer(t, t) / length
    exact = np.exp(-0.5 * x**2)
    np.testing.assert_allclose(squared(series.basis(t)), exact, rtol=0, atol=1e-14)
    np.testing.assert_allclose(length**2 * squared(series.derivative(t)), (1.0 - x**2) * exact, rtol=0, atol=5e-14)
    both = np.einsum("spk,tpk->st", series.basis(t), series.derivative(t))
    np.testing.assert_allclose(length * both, x * exact, rtol=0, atol=2e-14)


def test_a_length_of_a_tenth_takes_57_normals_and_reproduces_its_covariance_to_2e_15():
    series, t = smooth_series(0.1), np.linspace(0.0, 1.0, 1001)
    assert series.period == 2.0
    assert 2 * len(series.variances) - 1 == 57
    exact = np.exp(-0.5 * (np.subtract.outer(t, t) / 0.1) ** 2)
    np.testing.assert_allclose(squared(series.basis(t)), exact, rtol=0, atol=2e-15)


@pytest.mark.parametrize(("length", "error"), [(0.2, 4e-6), (0.5, 0.14)])
def test_a_period_of_2_would_not_do_for_longer_processes(length, error):
    """A negative control of the period."""
    k = np.arange(60)
    variances = 2.0 * math.sqrt(2.0 * math.pi) * length / 2.0 * np.exp(-0.5 * (np.pi * k * length) ** 2)
    variances[0] *= 0.5
    found = squared(SmoothSeries(length, 2.0, variances).basis(np.array([0.0, 1.0])))
    assert found[0, 1] - math.exp(-0.5 / length**2) == pytest.approx(error, rel=0.1)


@pytest.mark.parametrize("depth", [1, 2, 10, 300])
@pytest.mark.parametrize("length", [0.01, 0.1, 0.5, 3.0])
@pytest.mark.parametrize("version", ["values", "increments"])
def test_layers_of_a_smooth_process_have_its_exact_covariance(version, length, depth):
    process = SmoothProcess(length, version)
    basis = smooth_basis(process, depth, 0, depth)
    np.testing.assert_allclose(squared(basis), covariance(process, depth), rtol=0, atol=2e-14)
    np.testing.assert_array_equal(smooth_basis(process, depth, depth // 2, depth), basis[depth // 2 :])


def test_increments_have_the_covariance_of_differences_divided_by_their_standard_deviation():
    for depth, length, tolerance in ((2, 0.5, 1e-14), (10, 0.1, 1e-14), (50, 0.02, 1e-14), (300, 0.1, 1e-11)):
        r = np.exp(-0.5 * (np.arange(depth + 1) / (depth * length)) ** 2)
        mirrored = np.concatenate([r[1:2], r])
        differences = (2.0 * r[:-1] - r[1:] - mirrored[:depth]) / (2.0 - 2.0 * r[1])
        found = covariance_by_lag(SmoothProcess(length, "increments"), depth)
        np.testing.assert_allclose(found, differences, rtol=0, atol=tolerance)


def test_increments_of_any_length_and_depth_have_variance_1_and_a_finite_covariance():
    for length in (0.001, 0.1, 1e3):
        for depth in (1, 2, 3, 2**20 - 1):
            found = covariance_by_lag(SmoothProcess(length, "increments"), depth)
            assert found[0] == 1.0
            assert np.all(np.abs(found) <= 1.0)


# ---------------------------------------------------------------------------------------------- every dependence


def test_a_mixture_has_the_sum_of_its_parts_covariances():
    mixture = Mixture(SmoothProcess(0.2), FractionalNoise(0.3), betas=(1.0, 0.25), cs=(2.0, 3.0))
    expected = 4.0 / 64.0 * covariance(SmoothProcess(0.2), 8) + 9.0 * 8.0**-0.5 * covariance(FractionalNoise(0.3), 8)
    np.testing.assert_allclose(covariance(mixture, 8), expected, rtol=1e-15)


def test_independent_and_tied_layers_and_matrices_have_the_covariance_they_say():
    np.testing.assert_array_equal(covariance("iid", 3), np.eye(3))
    np.testing.assert_array_equal(covariance("tied", 3), np.ones((3, 3)))
    matrix = np.array([[2.0, 1.0], [1.0, 3.0]])
    np.testing.assert_array_equal(covariance(Covariance(matrix), 2), matrix)
    with pytest.raises(ValueError, match="depth=3 is not allowed: the covariance has 2 layers"):
        covariance(Covariance(matrix), 3)
    with pytest.raises(ValueError, match="dependence='independent'"):
        covariance("independent", 3)


def test_the_root_of_a_covariance_matrix_squares_to_it():
    matrix = covariance(FractionalNoise(0.8), 50)
    root = Covariance(matrix).root
    np.testing.assert_allclose(root @ root.T, matrix, rtol=0, atol=1e-13)


def test_the_root_of_a_covariance_matrix_does_not_depend_on_which_eigenvectors_a_library_finds():
    matrix = covariance(FractionalNoise(0.3), 20)
    other = Covariance(matrix)
    values, vectors = np.linalg.eigh(matrix)
    object.__setattr__(other, "_decomposed", (values, vectors * np.resize([1.0, -1.0], 20)))
    np.testing.assert_allclose(other.root, Covariance(matrix).root, rtol=0, atol=1e-14)
    np.testing.assert_allclose(Covariance(np.eye(4)).root, np.eye(4), rtol=0, atol=1e-15)
