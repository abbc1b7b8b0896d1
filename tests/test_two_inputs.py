"""Norms and products of two inputs of linear networks, beside weights that are drawn, and fourth moments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from resmc import DepthScaling, ResidualNetwork, ResNet, theory

pytestmark = pytest.mark.cpu
N, DEPTH, NETWORKS, COSINE = 4, 3, 40_000, 0.3
SCALES = (0.3, 0.9, 0.5)


def linear(block: str, carry: float = 0.8, **more) -> ResidualNetwork:
    fields = {"carry": carry, "scaling": SCALES} | more
    return ResidualNetwork(N, DEPTH, block, "linear", **fields)


def drawn(model: ResidualNetwork) -> tuple[np.ndarray, np.ndarray]:
    """The last states of two unit vectors in networks whose weights are drawn."""
    rng = np.random.default_rng(1)
    both = np.zeros((NETWORKS, N, 2))
    both[:, 0] = 1.0, COSINE
    both[:, 1, 1] = math.sqrt(1.0 - COSINE**2)
    for s in model.scales:
        branch = both
        for _ in range(2 if model.block == "v-phi-w" else 1):
            branch = rng.standard_normal((NETWORKS, N, N)) / math.sqrt(N) @ branch
        both = model.carry * both + s * branch
    return both[:, :, 0], both[:, :, 1]


def z(values: np.ndarray, exact: float) -> float:
    return float((values.mean() - exact) / (values.std() / math.sqrt(len(values))))


@pytest.mark.parametrize("block", ["phi-in", "phi-out", "v-phi-w"])
def test_moments_of_two_inputs_are_those_of_drawn_weights(block):
    """Twelve numbers at 4.5 standard errors: a level of 1e-4."""
    model = linear(block)
    found = theory.two_inputs(model, COSINE, [DEPTH])
    x, y = drawn(model)
    norms, products = (x**2).sum(axis=1) * (y**2).sum(axis=1), (x * y).sum(axis=1)
    exact = [math.exp(part[0]) for part in (found.log_norms, found.log_product, found.log_growth)]
    assert abs(z(norms, exact[0])) < 4.5
    assert abs(z(products**2, exact[1])) < 4.5
    assert abs(z(products, exact[2] * COSINE)) < 4.5
    assert abs(z((x**2).sum(axis=1), exact[2])) < 4.5
    others = theory.two_inputs(model, 0.9, [DEPTH])
    assert abs(z(norms, math.exp(others.log_norms[0]))) > 20.0
    assert abs(z(products**2, math.exp(others.log_product[0]))) > 20.0


@pytest.mark.parametrize("block", ["phi-in", "v-phi-w"])
@pytest.mark.parametrize("carry", [0.0, 1.0, -2.0])
def test_two_equal_inputs_have_the_fourth_moment_of_the_norm(block, carry):
    model = linear(block, carry)
    law = theory.exact_law(model)
    for cosine in (1.0, -1.0):
        found = theory.two_inputs(model, cosine)
        assert found.log_norms[-1] == pytest.approx(float(law.moment(2.0)), abs=1e-11)
        np.testing.assert_allclose(found.log_product, found.log_norms, atol=1e-13)
        assert found.log_growth[-1] == pytest.approx(float(law.moment(1.0)), abs=1e-11)


def test_inputs_come_to_lie_along_one_line_at_a_speed_of_depth_over_width():
    """P/R from 0: it tends to 1, and no depth overflows."""
    model = ResidualNetwork(20, 4000, "v-phi-w", "linear", carry=0.0, scaling=DepthScaling(0.0, 3.0))
    found = theory.two_inputs(model, 0.0)
    share = np.exp(found.log_product - found.log_norms)
    assert share[0] == 0.0
    assert (np.diff(share) > -1e-12).all()
    assert share[-1] > 0.5
    assert np.isfinite(found.log_norms).all()


def test_bad_input_is_refused_with_what_is_allowed():
    for model, cosine, said in (
        (linear("phi-in"), 1.5, "cosine=1.5 is not allowed"),
        (linear("phi-in"), math.nan, "cosine=nan is not allowed"),
        (ResNet(4, 3, 0.5, 0.5), 0.0, "activation='relu' is not allowed"),
        (linear("phi-in", weights="uniform"), 0.0, "weights='uniform' are not allowed"),
        (linear("phi-in", bias=1.0), 0.0, "bias=1.0 is not allowed"),
        (linear("phi-in", 0.0, scaling=(1.0, 0.0, 1.0)), 0.0, "all is 0 from there on"),
        ("network", 0.0, "model='network' is not allowed"),
    ):
        with pytest.raises(ValueError, match=said):
            theory.two_inputs(model, cosine)
    with pytest.raises(ValueError, match="layers"):
        theory.two_inputs(linear("phi-in"), 0.5, [9])
