"""Exact Lyapunov exponents, the law of small angles, and the equation of the correlation, against networks in NumPy.

Seeds are fixed; estimates pass within 4.5 standard errors, which a right formula fails once in 150 000 seeds.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import resmc
from resmc import theory

Rng = np.random.Generator


def stretched(model: resmc.ResidualNetwork, k: int, networks: int, rng: Rng) -> np.ndarray:
    """log R_jj of k tangents in every layer, (depth, networks, k), with weights written out."""
    n, sigma = model.width, model.sigma
    h = rng.standard_normal((networks, n, 1))
    tangents = np.linalg.qr(rng.standard_normal((networks, n, k)))[0]
    out = []
    for s in model.scales:
        inner, outer = (rng.standard_normal((networks, n, n)) / math.sqrt(n) for _ in range(2))
        u, moved = (h, tangents) if model.block == "phi-in" else (inner @ h, inner @ tangents)
        h, tangents = sigma.value(u), sigma.slope(u) * moved
        if model.block != "phi-out":
            h, tangents = outer @ h, outer @ tangents
        h = h / np.linalg.norm(h, axis=1, keepdims=True)
        tangents, r = np.linalg.qr(s * tangents)
        out.append(np.log(np.abs(np.diagonal(r, axis1=1, axis2=2))))
    return np.array(out)


@pytest.mark.parametrize("kind", [{}, {"block": "v-phi-w"}, {"block": "phi-out"}, {"activation": "linear"}], ids=str)
def test_tangents_grow_by_the_exact_exponents(kind):
    model = resmc.ResidualNetwork(24, 12, carry=0.0, scaling=(1.4,) * 12, **kind)
    logs = stretched(model, 4, 400, np.random.default_rng(1))[2:]  # two layers forget how the tangents began
    error = logs.mean(axis=0).std(axis=0, ddof=1) / math.sqrt(logs.shape[1])
    away = np.abs(logs.mean(axis=(0, 1)) - theory.lyapunov_exponents(model, 4))
    assert (away < 4.5 * error).all()
    assert (error < 0.02).all()
    other = theory.lyapunov_exponents(resmc.ResidualNetwork(18, 12, carry=0.0, scaling=(1.4,) * 12, **kind), 4)
    assert (np.abs(logs.mean(axis=(0, 1)) - other) > 4.5 * error)[-1]  # another width is seen to be wrong


def test_the_exponents_of_a_network_of_width_40_are_those_measured_before():
    expected = [-0.0326, -0.0605, -0.0901, -0.1216]
    np.testing.assert_allclose(theory.lyapunov_exponents(resmc.ResNet(40, 10, 0.0, 1.0), 4), expected, atol=5e-5)


def test_exponents_of_wide_networks_are_quick_and_near_0():
    found = theory.lyapunov_exponents(resmc.ResNet(1 << 24, 10, 0.0, 1.0), 16)
    assert (np.abs(found) < 1e-6).all()
    assert (np.diff(found) < 0.0).all()


def test_small_angles_have_this_law():
    """Two inputs at 1e-6, in float64: log sin^2 loses t^2/(3 pi), which is nothing here, and what the law says."""
    for kind, width in (({}, 30), ({"block": "v-phi-w"}, 30), ({"activation": "linear"}, 8)):
        model = resmc.ResidualNetwork(width, 6, carry=0.0, scaling=(1.4,) * 6, **kind)
        rng, networks = np.random.default_rng(2), 4000
        logs = small_angles(model, networks, rng)
        law = theory.small_angle(model, [6])
        error = logs.std(ddof=1) / math.sqrt(networks)
        assert abs(logs.mean() - law.mean[0]) < 4.5 * error
        kurtosis = np.mean((logs - logs.mean()) ** 4) / logs.var() ** 2
        assert abs(logs.var(ddof=1) - law.variance[0]) < 4.5 * law.variance[0] * math.sqrt((kurtosis - 1.0) / networks)
        assert abs(logs.mean() - theory.small_angle(model, [3]).mean[0]) > 4.5 * error


def small_angles(model: resmc.ResidualNetwork, networks: int, rng: Rng) -> np.ndarray:
    """log sin^2 of an input and a tangent at the last layer, less that at the input, with projected weights."""
    n, sigma = model.width, model.sigma
    h = rng.standard_normal((networks, n, 2))
    for _ in range(model.depth):
        maps = (False, True) if model.block == "v-phi-w" else (True,)
        for activated in maps:
            if activated:
                h = np.stack([sigma.value(h[..., 0]), sigma.slope(h[..., 0]) * h[..., 1]], axis=-1)
            h = rng.standard_normal((networks, n, 2)) @ np.linalg.cholesky(h.transpose(0, 2, 1) @ h).transpose(0, 2, 1)
            h /= np.linalg.norm(h, axis=(1, 2), keepdims=True)
    gram = h.transpose(0, 2, 1) @ h
    # sin^2 of the angle of h and h + e t, over e^2 |t|^2/|h|^2 of the start, as e -> 0; directions of t count alone.
    return np.log(gram[:, 1, 1] / gram[:, 0, 0] - (gram[:, 0, 1] / gram[:, 0, 0]) ** 2)


def test_small_angles_and_exponents_say_the_same():
    model = resmc.ResNet(50, 10, 0.0, 1.0)
    moved = np.diff(theory.small_angle(model, [3, 4]).mean)[0]
    assert math.isclose(moved, 2.0 * np.diff(theory.lyapunov_exponents(model, 2))[0], rel_tol=1e-9)
    # Measured at an angle of .02, where what infinite width takes from the angle is 2 t/(3 pi) = .0042 more.
    assert abs(moved - 0.04 / (3.0 * math.pi) + 0.0478) < 1e-4


@pytest.mark.parametrize(("c_plus", "c_minus", "rho"), [(0.0, -1.5, 0.7), (2.0, -1.0, 0.2), (0.0, 0.0, -0.6)])
def test_correlations_of_shaped_networks_move_as_the_equation_has_it(c_plus, c_minus, rho):
    """One layer of width 100: its correlation has, per 1/n, this drift and variance, to the next order in n^(-1/2)."""
    n, networks, rng = 100, 20_000, np.random.default_rng(3)
    # States that are Gaussian; given what is activated, the next ones are Gaussian with its Gram matrix.
    x = rng.standard_normal((networks, 2, n), dtype=np.float32)
    x[:, 1] = rho * x[:, 0] + math.sqrt(1.0 - rho * rho) * x[:, 1]
    before = cosines(x)
    x = np.where(x > 0.0, 1.0 + c_plus / math.sqrt(n), 1.0 + c_minus / math.sqrt(n)) * x
    after = cosines(x)
    # A Gaussian matrix gives the cosine of the rows the law that it has in a sample of n pairs.
    first, second = (np.sqrt(rng.chisquare(degrees, networks)) for degrees in (n, n - 1))
    across = np.sqrt(1.0 - after**2)
    along, across = after * first + across * rng.standard_normal(networks), across * second
    drawn = along / np.hypot(along, across)
    moved = n * (drawn - before)
    error = moved.std(ddof=1) / math.sqrt(networks)
    drift = np.mean(theory.correlation_drift(before, c_plus, c_minus))
    assert abs(moved.mean() - drift) < 4.5 * error + 0.05
    assert abs(moved.mean() - drift + theory.correlation_drift(rho, 2.0, -2.0)) > 4.5 * error + 0.05
    assert math.isclose(moved.var() / n, np.mean(theory.correlation_variance(before)), rel_tol=0.05)


def cosines(x: np.ndarray) -> np.ndarray:
    squares = np.einsum("nai,nbi->nab", x, x, dtype=np.float64)
    return squares[:, 0, 1] / np.sqrt(squares[:, 0, 0] * squares[:, 1, 1])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (resmc.ResNet(10, 5, 0.5, 0.5), "carry"),
        (resmc.ResidualNetwork(10, 5, carry=0.0, activation="tanh"), "activation"),
        (resmc.ResidualNetwork(10, 5, carry=0.0, activation="leaky_relu"), "activation"),
        (resmc.ResidualNetwork(10, 5, carry=0.0, weights="uniform"), "weights"),
        (resmc.ResidualNetwork(10, 5, carry=0.0, bias=1.0), "bias"),
        (resmc.ResidualNetwork(10, 2, carry=0.0, scaling=(1.0, 0.0)), "scaling 0"),
    ],
)
def test_networks_without_exact_exponents_are_refused_in_words(model, words):
    assert words in theory.no_lyapunov_exponents(model)
    for ask in (lambda: theory.lyapunov_exponents(model, 1), lambda: theory.small_angle(model)):
        with pytest.raises(ValueError, match=words):
            ask()


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="k=11"):
        theory.lyapunov_exponents(resmc.ResNet(10, 5, 0.0, 1.0), 11)
    with pytest.raises(ValueError, match="width=1 has no angles: it must be at least 2"):
        theory.small_angle(resmc.ResNet(1, 5, 0.0, 1.0))
    with pytest.raises(ValueError, match="rho"):
        theory.correlation_drift([0.0, 1.5])


@pytest.mark.parametrize(("c_plus", "c_minus"), [(0.0, 0.0), (0.0, -1.0), (2.0, -1.0)])
def test_moments_begin_with_drift_and_variance_and_follow_the_equation(c_plus, c_minus):
    """For a short time by the coefficients; for a longer one by Euler's steps of 8000 paths, 4.5 standard errors."""
    rho = np.array([-0.99, -0.5, 0.0, 0.3, 0.9, 1.0])
    short = theory.correlation_moments(rho, [1e-4], c_plus, c_minus)
    drift, variance = theory.correlation_drift(rho, c_plus, c_minus), theory.correlation_variance(rho)
    np.testing.assert_allclose((short.mean[0] - rho) / 1e-4, drift, atol=2e-3)
    np.testing.assert_allclose(short.variance[0] / 1e-4, variance, atol=2e-3)
    paths, steps = np.repeat(rho[:, None], 8000, axis=1), 200
    rng = np.random.default_rng(7)
    for _ in range(steps):
        noise = np.sqrt(theory.correlation_variance(paths) / steps) * rng.standard_normal(paths.shape)
        paths = np.clip(paths + theory.correlation_drift(paths, c_plus, c_minus) / steps + noise, -1.0, 1.0)
    known = theory.correlation_moments(rho, [0.5, 1.0, 0.0], c_plus, c_minus)
    np.testing.assert_allclose(known.mean[2], rho, atol=1e-12)
    error = 4.5 * np.sqrt(known.variance[1] / 8000) + 2.0 / steps
    assert (np.abs(known.mean[1] - paths.mean(axis=1)) < error).all()
    wrong = theory.correlation_moments(rho, [1.0], c_plus + 4.0, c_minus)  # negative control
    assert (np.abs(wrong.mean[0] - paths.mean(axis=1)) > error).any()


@pytest.mark.cpu
def test_angles_of_shaped_networks_have_the_equation_as_their_limit():
    """At width 100 and d/n = 1 within 1/n and four standard errors; infinite width is far away."""
    model = resmc.ResidualNetwork(100, 100, "phi-in", "shaped_relu(0, -2)", carry=0.0)
    sim = resmc.simulate(model, networks=4096, seed=6, angle=0.6, progress=False)
    angles = sim.angles()
    found, limit = angles.cosine[-1, 1, 0], angles.covariance_equation
    assert abs(found.value - limit.mean[-1, 1, 0]) < 4.0 * found.stderr + 0.01
    assert abs(found.value - angles.infinite_width.cosine[-1, 1, 0]) > 4.0 * found.stderr + 0.01  # negative control
    spread = angles.cosine_variance[-1, 1, 0]
    assert abs(spread.value - limit.variance[-1, 1, 0]) < 4.0 * spread.stderr + 0.01
    plain = resmc.simulate(resmc.ResidualNetwork(20, 5, carry=0.0), networks=64, angle=0.6, progress=False)
    assert plain.angles().covariance_equation is None


def test_moments_of_what_is_no_correlation_are_refused():
    with pytest.raises(ValueError, match="rho is not allowed"):
        theory.correlation_moments([1.5], [1.0])
    with pytest.raises(ValueError, match="times are not allowed"):
        theory.correlation_moments([0.5], [-1.0])
