"""Infinite width (`resmc.theory.infinite_width`): averages of pairs, covariances and the tangent kernel.

Wide networks are written out in NumPy here, matrices and gradients, with fixed seeds; they pass within 4.5 standard
errors and what a finite width may add, and negative controls show that these bounds see errors of a few percent.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import resmc
from resmc.models.activations import ACTIVATIONS
from resmc.models.joint_inputs import of_angle
from resmc.theory import infinite_width, pair_averages

GRAM = np.array([[1.0, 0.5], [0.5, 2.0]])
SMOOTH = ("tanh", "sigmoid", "gelu", "centred_softplus", "silu")


def pair_of(name: str, a: float, b: float, distance: float) -> tuple[float, float]:
    one = [np.array([x]) for x in (a * a, b * b, distance)]
    found = pair_averages.pair(ACTIVATIONS[name], *one)
    return float(found.distance[0]), float(found.slopes[0])


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize(("a", "b", "rho"), [(1.0, 1.0, 0.5), (2.0, 5.0, -0.9), (0.3, 0.3, 0.9999)])
def test_averages_of_pairs_are_those_of_a_fine_grid(name, a, b, rho):
    sigma, spacing = ACTIVATIONS[name], 0.04
    x = np.arange(-8.6, 8.6, spacing)
    y = x[:, None]
    weight = spacing**2 * np.exp(-0.5 * (x * x + y * y)) / (2.0 * math.pi)
    u, v = a * np.broadcast_to(x, weight.shape), b * (rho * x + math.sqrt(1.0 - rho * rho) * y)
    distance, slopes = pair_of(name, a, b, a * a + b * b - 2.0 * rho * a * b)
    assert math.isclose(distance, np.sum(weight * (sigma.value(u) - sigma.value(v)) ** 2), rel_tol=1e-8)
    assert math.isclose(slopes, np.sum(weight * sigma.slope(u) * sigma.slope(v)), rel_tol=1e-8)


@pytest.mark.parametrize("name", [*SMOOTH, "relu", "leaky_relu"])
@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (30.0, 31.0), (1000.0, 1000.0)])
@pytest.mark.parametrize("rho", [-0.99, 0.3, 0.9999])
def test_the_distance_changes_by_the_slopes_as_price_has_it(name, a, b, rho):
    """d E(sigma(u) - sigma(v))^2/dD = E sigma'(u) sigma'(v), Price's theorem: one average is the other's derivative."""
    apart = a * a + b * b - 2.0 * rho * a * b
    step = 1e-3 * a * b * (1.0 - rho * rho)
    near, nearer = (
        (pair_of(name, a, b, apart + h)[0] - pair_of(name, a, b, apart - h)[0]) / (2.0 * h) for h in (step, 0.5 * step)
    )
    slopes = pair_of(name, a, b, apart)[1]
    size = math.sqrt(pair_of(name, a, a, 0.0)[1] * pair_of(name, b, b, 0.0)[1])
    assert abs((4.0 * nearer - near) / 3.0 - slopes) < 1e-7 * size


@pytest.mark.parametrize("name", [*SMOOTH, "relu", "leaky_relu"])
@pytest.mark.parametrize("size", [0.1, 1.0, 100.0])
def test_averages_of_equal_and_of_independent_normals_are_those_of_one(name, size):
    alone = pair_averages.alone(ACTIVATIONS[name], np.array([size**2]))
    mean, square, slopes = (float(part[0]) for part in alone)
    distance, found = pair_of(name, size, size, 0.0)
    assert distance == 0.0
    assert math.isclose(found, slopes, rel_tol=1e-9)
    assert math.isclose(pair_of(name, size, size, 2.0 * size**2)[0], 2.0 * (square - mean**2), rel_tol=1e-8)


@pytest.mark.parametrize("name", SMOOTH)
def test_small_distances_keep_their_digits(name):
    """E(sigma(u) - sigma(v))^2 -> D E sigma'^2 as D -> 0, in u and v of the same variance."""
    slopes = pair_of(name, 1.0, 1.0, 0.0)[1]
    assert math.isclose(pair_of(name, 1.0, 1.0, 1e-24)[0], 1e-24 * slopes, rel_tol=1e-8)


# --------------------------------------------------------------------------------------------------- networks, dense


def dense(model: resmc.ResidualNetwork, gram: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """h^a . h^b/n at the last layer, and the tangent kernel, of one network with matrices written out."""
    n, m, sigma, root = model.width, len(gram), model.sigma, math.sqrt(model.width)
    h = rng.standard_normal((n, m)) @ np.linalg.cholesky(gram).T
    signs, steps = np.ones((n, 1)), []
    for s in model.scales:
        if sigma.signed:
            signs = rng.choice([-1.0, 1.0], (n, 1))
        inner, outer = (rng.standard_normal((n, n)) / root for _ in range(2))
        bias = model.bias * rng.standard_normal((n, 1))
        u = h if model.block == "phi-in" else (s if model.inside else 1.0) * (inner @ h + bias)
        value, slope = sigma.value(signs * u), signs * sigma.slope(signs * u)
        steps.append((s, inner, outer, h, value, slope))
        branch = {"phi-in": lambda: s * (outer @ value + bias), "v-phi-w": lambda: s * outer @ value}  # noqa: B023
        h = model.carry * h + branch.get(model.block, lambda: (1.0 if model.inside else s) * value)()  # noqa: B023
    last, kernel = h.T @ h / n, h.T @ h / n
    p = np.repeat(rng.standard_normal((n, 1)) / root, m, axis=1)
    for s, inner, outer, before, value, slope in reversed(steps):
        if model.block == "phi-out":
            q = s * slope * p
            kernel = kernel + (q.T @ q) * (before.T @ before) / n
            p = model.carry * p + inner.T @ q
            continue
        kernel = kernel + s**2 * (p.T @ p) * (value.T @ value) / n
        q = s * slope * (outer.T @ p)
        if model.block == "v-phi-w":
            kernel = kernel + (q.T @ q) * (before.T @ before) / n
            q = inner.T @ q
        p = model.carry * p + q
    return last, kernel + (p.T @ p) * gram


NETWORKS = [
    {"block": "phi-in", "activation": "relu", "carry": 0.7},
    {"block": "phi-in", "activation": "balanced", "bias": 0.5},
    {"block": "phi-in", "activation": "tanh", "carry": 0.0},
    {"block": "v-phi-w", "activation": "leaky_relu", "bias": 0.5},
    {"block": "v-phi-w", "activation": "silu"},
    {"block": "phi-out", "activation": "gelu", "bias": 0.5},
    {"block": "phi-out", "activation": "sigmoid", "scaling": resmc.DepthScaling(0.0, 1.5, inside=True)},
    {"block": "phi-out", "activation": "balanced-half"},
    {"block": "phi-in", "activation": "linear", "scaling": (0.3, 1.4, 0.8)},
]


@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: f"{kind['block']}-{kind['activation']}")
def test_wide_networks_have_these_covariances_and_tangent_kernels(kind):
    model = resmc.ResidualNetwork(300, 3, **{"scaling": resmc.DepthScaling(0.0, 1.2), **kind})
    found = [dense(model, GRAM, np.random.default_rng(i)) for i in range(16)]
    expected = infinite_width.covariance(model, GRAM)[-1], infinite_width.tangent_kernel(model, GRAM).total
    for samples, limit in zip(zip(*found, strict=True), expected, strict=True):
        mean, error = np.mean(samples, axis=0), np.std(samples, axis=0, ddof=1) / math.sqrt(len(samples))
        assert (error < 0.06 * limit.diagonal().max()).all()
        assert (np.abs(mean - limit) < 4.5 * error + 4.0 / model.width * limit.diagonal().max()).all()


def test_wide_networks_do_not_have_those_of_another_scale():
    model = resmc.ResidualNetwork(300, 3, block="v-phi-w", scaling=resmc.DepthScaling(0.0, 1.2))
    other = resmc.ResidualNetwork(300, 3, block="v-phi-w", scaling=resmc.DepthScaling(0.0, 1.3))
    kernels = np.array([dense(model, GRAM, np.random.default_rng(i))[1] for i in range(16)])
    error = kernels.std(axis=0, ddof=1) / math.sqrt(len(kernels))
    away = np.abs(kernels.mean(axis=0) - infinite_width.tangent_kernel(other, GRAM).total)
    assert (away > 4.5 * error + 4.0 / 300 * kernels.mean(axis=0).diagonal().max()).any()


# ------------------------------------------------------------------------------------------------------ known values


def test_fully_connected_relu_has_the_arc_cosine_recursion():
    rho, model = 0.3, resmc.ResNet(10, 5, 0.0, 1.0)
    found = infinite_width.infinite_width(model, [[1.0, rho], [rho, 1.0]])
    for cosine in found.cosine[:, 1, 0]:
        assert math.isclose(cosine, rho, rel_tol=1e-13)
        t = math.acos(rho)
        rho = (math.sin(t) + (math.pi - t) * math.cos(t)) / math.pi
    np.testing.assert_allclose(found.covariance.diagonal(axis1=1, axis2=2), 1.0, rtol=1e-13)


def test_a_small_angle_keeps_all_its_digits():
    """Fully connected ReLU: t' = t - t^2/(3 pi) for small t, so that 1/t grows by 1/(3 pi) in every layer."""
    found = infinite_width.infinite_width(resmc.ResNet(10, 1000, 0.0, 1.0), of_angle(1e-7, 1.0), [0, 1000]).angle
    grown = 1.0 / found[1, 1, 0] - 1.0 / found[0, 1, 0]
    assert math.isclose(grown, 1000.0 / (3.0 * math.pi), rel_tol=1e-4)
    smooth = infinite_width.infinite_width(resmc.ResidualNetwork(10, 3, "v-phi-w", "tanh"), of_angle(1e-9, 1.0))
    assert (np.abs(smooth.log_sine_squared[:, 1, 0] - 2.0 * math.log(1e-9)) < 0.1).all()


def test_the_diagonal_of_a_published_network_is_2_6765():
    """Fully connected, 3 hidden ReLU layers, weights N(0, 2), gradients with respect to these (arXiv 2508.11522)."""
    x = np.array([[-0.9895229, -0.5992492], [-0.1787748, 2.2536829]])
    model = resmc.ResidualNetwork(20, 3, scaling=(math.sqrt(2.0),) * 3, carry=0.0)
    kernel = infinite_width.tangent_kernel(model, 2.0 * (x @ x.T) / 2.0)
    total = 0.5 * (kernel.residual + kernel.first_layer)  # an output is one neuron of the last layer
    assert abs(total[0, 0] - 2.6765) < 1e-4


KERNELS = json.loads((Path(__file__).parent / "data" / "neural_tangents.json").read_text())


@pytest.mark.parametrize(
    "described", KERNELS["networks"], ids=lambda one: " ".join(map(str, one["model"].values()))[:30]
)
def test_kernels_are_those_of_neural_tangents(described):
    """Recorded by neural-tangents 0.6.5 in float64, as docs/howto/neural-tangents.md shows."""
    x, model = np.array(KERNELS["inputs"]), resmc.ResidualNetwork(**described["model"])
    gram = x @ x.T / x.shape[1]
    found = infinite_width.covariance(model, gram)[-1], infinite_width.tangent_kernel(model, gram).total
    for name, ours in zip(("covariance", "tangent_kernel"), found, strict=True):
        np.testing.assert_allclose(ours, described[name], rtol=0.0, atol=1e-12 * ours.max())


def test_both_spellings_have_one_limit():
    model = resmc.ResNet(50, 4, 0.8, 0.6)
    same = resmc.ResidualNetwork(50, 4, carry=0.8, scaling=(math.sqrt(2.0) * 0.6,) * 4)
    np.testing.assert_allclose(
        infinite_width.covariance(model, GRAM), infinite_width.covariance(same, GRAM), rtol=1e-14
    )


def test_no_depth_over_or_underflows_where_angles_are_known():
    model = resmc.ResidualNetwork(10, 500, "v-phi-w", scaling=resmc.DepthScaling(0.0, 3.0))
    found = infinite_width.infinite_width(model, GRAM)
    assert np.isinf(found.covariance[-1, 0, 0])
    assert np.isfinite(found.angle).all()
    assert (np.diff(found.angle[:, 1, 0]) < 0.0).all()
    grounded = resmc.ResidualNetwork(10, 12, "phi-out", "tanh", carry=1000.0, bias=0.1)
    assert np.isnan(infinite_width.infinite_width(grounded, GRAM, [12]).angle[0, 1, 0])


def test_a_layer_that_leaves_nothing_has_no_angle():
    model = resmc.ResidualNetwork(10, 3, carry=0.0, scaling=(1.0, 0.0, 1.0))
    found = infinite_width.infinite_width(model, GRAM)
    assert np.isfinite(found.angle[1]).all()
    assert np.isnan(found.angle[2:]).all()
    assert not found.covariance[2:].any()


def test_dropout_changes_nothing_at_infinite_width():
    model = resmc.ResidualNetwork(10, 3, carry=0.7)
    dropped = resmc.ResidualNetwork(10, 3, carry=0.7, keep=0.5)
    np.testing.assert_array_equal(infinite_width.covariance(dropped, GRAM), infinite_width.covariance(model, GRAM))


@pytest.mark.parametrize(
    ("model", "gram", "words"),
    [
        ("network", GRAM, "ResidualNetwork"),
        (resmc.ResidualNetwork(10, 3, weights=resmc.Weights("gaussian", "tied")), GRAM, "independent"),
        (resmc.ResNet(10, 3, 0.5, 0.5), [[1.0, 2.0], [2.0, 1.0]], "eigenvalue"),
    ],
)
def test_what_has_no_such_limit_is_refused(model, gram, words):
    with pytest.raises(ValueError, match=words):
        infinite_width.covariance(model, gram)
