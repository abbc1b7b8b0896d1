"""The chain of Gram matrices (`resmc.gram_chain`) against networks written out in NumPy, exact laws, and itself.

Estimates pass within 4.5 standard errors at fixed seeds.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import resmc
from resmc import theory
from resmc.models.joint_inputs import of_angle

GRAM = np.array([[1.0, 0.4], [0.4, 1.5]])


def dense(model: resmc.ResidualNetwork, gram: np.ndarray, networks: int, rng: np.random.Generator) -> np.ndarray:
    """Gram matrices of the states at the last layer over n, weights written out, (networks, m, m)."""
    n, sigma = model.width, model.sigma
    h = rng.standard_normal((networks, n, len(gram))) @ np.linalg.cholesky(gram).T
    for s in model.scales:
        inner, outer = (rng.standard_normal((networks, n, n)) / math.sqrt(n) for _ in range(2))
        bias = model.bias * rng.standard_normal((networks, n, 1))
        h = model.carry * h + s * outer @ sigma.value(inner @ h + bias)
    return h.transpose(0, 2, 1) @ h / n


def statistics(log_norm: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """What is compared: log-norms of both inputs, their squares and product, the cosine and its square."""
    a, b = log_norm
    return np.array([a, b, a * a, b * b, a * b, cosine, cosine**2])


@pytest.mark.parametrize("kind", [{}, {"activation": "tanh", "bias": 0.5}, {"activation": "linear"}], ids=str)
def test_norms_and_angles_are_those_of_networks_written_out(kind):
    model = resmc.ResidualNetwork(10, 6, "v-phi-w", **kind)
    grams = dense(model, GRAM, 3000, np.random.default_rng(1))
    norms = np.log(grams.diagonal(axis1=1, axis2=2)).T
    first = statistics(norms, grams[:, 0, 1] / np.exp(0.5 * norms.sum(axis=0)))
    chain = resmc.gram_chain(model, GRAM, 10_000, seed=2)
    second = statistics(chain.log_norm[1], chain.cosine[1, 0])
    error = np.hypot(*(x.std(axis=1, ddof=1) / math.sqrt(x.shape[1]) for x in (first, second)))
    assert (np.abs(first.mean(axis=1) - second.mean(axis=1)) < 4.5 * error).all()
    other = resmc.gram_chain(resmc.ResidualNetwork(16, 6, "v-phi-w", **kind), GRAM, 10_000, seed=2)
    away = first.mean(axis=1) - statistics(other.log_norm[1], other.cosine[1, 0]).mean(axis=1)
    assert (np.abs(away) > 4.5 * error).any()  # a width of 16 is seen not to be 10


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "linear"])
@pytest.mark.parametrize("gram", [[[1.0]], GRAM], ids=["one", "two"])
def test_norms_have_the_exact_law(activation, gram):
    """20 neurons and 40 layers, the networks of theory.md's section on whole laws, and the fast path of one input."""
    model, networks = resmc.ResidualNetwork(20, 40, "v-phi-w", activation), 3000
    chain, law = resmc.gram_chain(model, gram, networks, seed=3), theory.exact_law(model)
    for a in range(len(gram)):
        growth = chain.log_norm[1, a] - chain.log_norm[0, a]
        assert abs(growth.mean() - law.mean) < 4.5 * math.sqrt(law.variance / networks)
        assert abs(growth.var() - law.variance) < 4.5 * law.variance * math.sqrt(2.2 / networks)


def test_products_of_linear_networks_have_their_exact_mean():
    model, cosine = resmc.ResidualNetwork(16, 8, "phi-in", "linear"), 0.6
    chain = resmc.gram_chain(model, [[1.0, cosine], [cosine, 1.0]], 20_000, seed=4)
    products = np.exp(0.5 * chain.log_norm.sum(axis=1)) * chain.cosine[:, 0]
    error = products.std(axis=1) / math.sqrt(products.shape[1])
    growth = math.exp(theory.two_inputs(model, cosine, [8]).log_growth[0])
    assert (np.abs(products.mean(axis=1) - [cosine, cosine * growth]) < 4.5 * error).all()
    assert error[1] < 0.02 * cosine * growth


def test_small_angles_keep_their_digits_and_have_their_law():
    model = resmc.ResidualNetwork(20, 6, "v-phi-w", carry=0.0)
    chain = resmc.gram_chain(model, of_angle(1e-9, 1.0), 4000, seed=5)
    law, moved = theory.small_angle(model, [0, 6]), chain.log_sine_squared[:, 0] - 2.0 * math.log(1e-9)
    error = np.sqrt(law.variance / 4000)
    assert (np.abs(moved.mean(axis=1) - law.mean) < 4.5 * error).all()
    assert (np.abs(moved.var(axis=1) - law.variance) < 4.5 * law.variance * math.sqrt(3.0 / 4000)).all()


def test_pairs_are_named_in_order_and_sines_go_with_cosines():
    gram = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.1], [0.0, 0.1, 2.0]])
    chain = resmc.gram_chain(resmc.ResidualNetwork(1000, 3, "v-phi-w", "gelu"), gram, 4, layers=[0, 1, 3])
    np.testing.assert_allclose(chain.cosine[0].mean(axis=1), [0.9, 0.0, 0.1 / math.sqrt(2.0)], atol=0.1)
    np.testing.assert_allclose(chain.cosine**2 + np.exp(chain.log_sine_squared), 1.0, atol=1e-12)
    assert chain.log_norm.shape == (3, 3, 4)


def test_more_inputs_than_neurons_and_equal_inputs_are_no_trouble():
    same = resmc.gram_chain(resmc.ResidualNetwork(2, 5, "v-phi-w"), np.ones((4, 4)), 50, seed=6)
    np.testing.assert_allclose(same.cosine, 1.0, atol=1e-12)
    assert np.isneginf(same.log_sine_squared).all()
    many = resmc.gram_chain(resmc.ResidualNetwork(2, 5, "v-phi-w", "tanh"), np.eye(4) + 0.1, 50, seed=6)
    assert np.isfinite(many.log_norm).all()


def test_the_same_seed_draws_the_same_networks():
    model = resmc.ResidualNetwork(50, 3, "v-phi-w")
    first, again, other = (resmc.gram_chain(model, GRAM, 20, seed=seed).log_norm for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (resmc.ResidualNetwork(10, 5, "phi-in"), "block"),
        (resmc.ResidualNetwork(10, 5, "v-phi-w", weights="uniform"), "weights"),
        ("model", "model"),
    ],
)
def test_networks_whose_gram_matrices_are_no_chain_are_refused(model, words):
    with pytest.raises(ValueError, match=words):
        resmc.gram_chain(model, GRAM, 10)
