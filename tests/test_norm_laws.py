"""Laws of networks with a norm: what is exact of them against simulations, and that nothing else is claimed.

Fixed seeds; about 170 comparisons with |z| < 4.5, most of them of Student's t with 31 degrees of freedom, 9e-5 each, so
that a correct program fails with a probability of 0.02. Negative controls have to exceed 8.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from test_residual_laws import z_scores
from twins import simulated

from resmc import DepthScaling, ResidualNetwork, theory
from resmc.theory import normalised
from resmc.theory.facts import facts

BOUND, CONTROL = 4.5, 8.0
INSIDE = DepthScaling(0.0, 0.8, inside=True)
BY_LAYER = (0.5, -0.3, 0.0, 0.9, 0.4, 0.7)
LINEAR = ResidualNetwork(6, 6, "phi-in", "linear", 0.9, BY_LAYER, bias=0.5, norm="rms", eps=0.0, input_norm=1.7)


@pytest.mark.cpu
@pytest.mark.parametrize(
    ("norm", "place"), [("layer", "pre"), ("layer", "sandwich"), ("rms", "branch"), ("rms", "post")]
)
def test_projected_and_dense_agree_in_law_there_and_back_and_jointly(norm, place):
    """14 comparisons of means and products of four logarithms, of 20,000 networks of each method, for three blocks."""
    settings = {"keep_samples": 20_000, "layers": [5], "gradients": True}
    for block, activation in (("phi-in", "relu"), ("phi-out", "tanh"), ("v-phi-w", "relu")):
        scaling = DepthScaling(0.5, 1.5)
        model = ResidualNetwork(4, 5, block, activation, 0.8, scaling, bias=0.5, norm=norm, norm_at=place, eps=0.1)
        projected = simulated(model, 20_000, seed=1, **settings)
        assert z_scores(projected, simulated(model, 20_000, seed=2, method="dense", **settings)).max() < BOUND
    other = simulated(replace(model, eps=0.2), 20_000, seed=2, method="dense", **settings)
    assert z_scores(projected, other).max() > CONTROL


@pytest.mark.cpu
@pytest.mark.parametrize("method", ["projected", "dense"])
@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_layers_of_linear_networks_are_exactly_gaussian(norm, method):
    """h_l has independent Gaussian entries of variance carry^2l size^2 + sum carry^2(l-1-k) s_k^2 (1 + bias^2)."""
    for block in ("phi-in", "phi-out"):
        model = replace(LINEAR, norm=norm, block=block)
        sim = simulated(model, 20_000, seed=3, method=method)
        variance = [1.7**2]
        for s in BY_LAYER:
            variance.append(0.81 * variance[-1] + s**2 * 1.25)
        np.testing.assert_allclose(facts(model).mean_square(sim.layers), np.log(variance), rtol=1e-12)
        assert np.abs(sim.estimate("mean_square").z_score(np.log(variance))).max() < BOUND
        known = facts(model).log_norm(sim.layers)
        for name in ("mean", "variance", "skewness"):
            estimate = getattr(sim, f"log_norm_{name}")
            assert np.abs(estimate.z_score(getattr(known, name))).max() < BOUND, (block, name)
    wrong = simulated(replace(model, eps=0.2), 20_000, seed=3, method=method)
    assert np.abs(wrong.estimate("mean_square").z_score(np.log(variance))).max() > CONTROL


MEANS = {
    "balanced": ResidualNetwork(5, 6, "phi-in", "balanced", -0.8, BY_LAYER, bias=0.5, norm="rms", eps=0.0, keep=0.7),
    "phi-out relu": ResidualNetwork(5, 6, "phi-out", "relu", 0.9, BY_LAYER, bias=0.5, norm="layer", eps=0.0),
    "phi-out sigmoid": ResidualNetwork(5, 6, "phi-out", "sigmoid", 0.9, INSIDE, norm="rms", eps=0.0),
    "v-phi-w": ResidualNetwork(5, 6, "v-phi-w", "gelu", 0.9, BY_LAYER, bias=0.5, norm="layer", eps=0.0),
    "branch": ResidualNetwork(5, 6, "v-phi-w", "tanh", 0.9, BY_LAYER, norm="layer", norm_at="branch", eps=0.0),
    "branch bias": ResidualNetwork(5, 6, "phi-in", "relu", 0.9, bias=0.4, norm="rms", norm_at="branch", eps=0.0),
    "sandwich": ResidualNetwork(5, 6, "phi-out", "tanh", 0.9, INSIDE, norm="layer", norm_at="sandwich", eps=0.0),
}


@pytest.mark.cpu
@pytest.mark.parametrize("name", MEANS)
def test_mean_squares_are_exact(name):
    model = MEANS[name]
    sim = simulated(model, 40_000, seed=4)
    exact = facts(model).mean_square(sim.layers)
    assert np.isfinite(exact).all()
    assert np.abs(sim.estimate("mean_square").z_score(exact)).max() < BOUND


def test_a_layer_made_by_a_norm_has_the_norm_of_its_width():
    model = ResidualNetwork(50, 20, "phi-in", "relu", norm="layer", norm_at="post", eps=0.0)
    sim = simulated(model, 200, seed=5, keep_trajectories=200)
    assert np.abs(sim.trajectories.log_norm[:, 1:]).max() < 1e-6


@pytest.mark.parametrize("place", ["pre", "branch", "sandwich", "post"])
def test_nothing_else_is_claimed(place):
    """relu, an eps, other weights and a network without a skip have no exact value but that of their start."""
    given = {"norm": "layer", "norm_at": place}
    for model in (
        ResidualNetwork(6, 4, "phi-in", "relu", **given, eps=0.0),
        ResidualNetwork(6, 4, "phi-in", "linear", **given),
        ResidualNetwork(6, 4, "phi-in", "balanced", 0.0, **given, eps=0.0),
        ResidualNetwork(6, 4, "phi-out", "relu", weights="uniform", **given, eps=0.0),
    ):
        known, layers = facts(model), np.arange(5)
        assert np.isnan(known.mean_square(layers)[1:]).all()
        for quotient, start in (("growth", 0), ("displacement", 0), ("gradient", 4), ("gradient_displacement", 4)):
            found = known.second_moment(quotient, layers)
            assert not np.isnan(found[start])
            assert np.isnan(np.delete(found, start)).all()
        assert known.exact_law("growth") is None
        assert known.depth_limit is None
        assert known.log_norm(layers) is None
        assert known.log_norm_limit(layers) is None
        assert math.isnan(known.log_moment(2.0, layers)[1])
        assert np.isnan(known.dead_fraction(layers)[1:]).all() == (model.carry == 0.0)
        assert normalised.no_gaussian_law(model)
        assert theory.no_exact_law(model)
    assert re.match(r"norm='layer' has no exact law", theory.no_exact_law(ResidualNetwork(6, 4, "v-phi-w", **given)))
