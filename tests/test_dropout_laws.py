"""Laws of networks with dropout, `ResidualNetwork(keep=)`: exact moments, means and fractions against simulations.

Fixed seeds; 95 comparisons with |z| < 4.5, a third of them of Student's t with 31 degrees of freedom, 9e-5 each, so
that a correct program fails with a probability of 3e-3. Negative controls have to exceed 8.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from test_residual_laws import z_scores
from twins import simulated

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, Weights, theory
from resmc.models.spelling import general
from resmc.theory.facts import facts

BOUND, CONTROL = 4.5, 8.0
SCALE = DepthScaling(0.0, 0.6)
BY_LAYER = (0.5, -0.3, 0.0, 0.9, 0.4, 0.7)
LINEAR = ResidualNetwork(8, 10, "phi-in", "linear", 0.8, SCALE, keep=0.7)


# -- laws -------------------------------------------------------------------------------------------------------------


@pytest.mark.cpu
@pytest.mark.parametrize("activation", ["relu", "tanh", "linear"])
def test_projected_and_dense_agree_in_law_there_and_back_and_jointly(activation):
    """42 comparisons of means and products of four logarithms, of 20,000 networks of each method."""
    model = ResidualNetwork(4, 5, "phi-in", activation, scaling=DepthScaling(0.5, 1.5), bias=0.5, keep=0.3)
    settings = {"keep_samples": 20_000, "layers": [5], "gradients": True}
    projected = simulated(model, 20_000, seed=1, **settings)
    assert z_scores(projected, simulated(model, 20_000, seed=2, method="dense", **settings)).max() < BOUND
    if activation == "linear":
        other = simulated(replace(model, keep=0.6), 20_000, seed=2, method="dense", **settings)
        assert z_scores(projected, other).max() > CONTROL


@pytest.mark.cpu
def test_linear_networks_with_one_half_have_the_law_of_balanced_ones():
    balanced, half = ResNet(6, 12, 0.8, 0.6, "balanced"), replace(LINEAR, width=6, depth=12, keep=0.5)
    ours, theirs = simulated(half, 40_000, seed=1, layers=[12]), simulated(balanced, 40_000, seed=2, layers=[12])
    for name in ("log_norm_mean", "log_norm_variance", "log_norm_skewness"):
        a, b = getattr(ours, name)[-1], getattr(theirs, name)[-1]
        assert abs(a.value - b.value) / math.hypot(a.stderr, b.stderr) < BOUND
    known = theory.dropout_moments(half), theory.balanced_moments(balanced), theory.dropout_moments(general(balanced))
    for one in known[1:]:
        np.testing.assert_allclose(known[0].log_fourth_moment, one.log_fourth_moment, atol=1e-13)
        np.testing.assert_allclose(known[0].log_second_moment, one.log_second_moment, atol=1e-13)


def test_fourth_moments_have_the_values_of_the_recursion_written_out():
    found = theory.dropout_moments(LINEAR)
    n, c, s, q = 8, 0.8**2, 0.6**2, 1.0 / 0.7 - 1.0
    R, Q = n * n + 2.0 * n, 3.0 * n
    for layer in range(11):
        norms = np.exp([found.log_fourth_moment[layer], found.log_sum_of_fourth_powers[layer]]) * (n * n + 2 * n)
        np.testing.assert_allclose(norms, [R, Q], rtol=1e-13)
        last = R, Q
        R, Q = (
            (c * c + (2 + 4 / n) * c * s + (1 + 2 / n) * s * s) * R + (1 + 2 / n) * s * s * q * Q,
            (6 * c * s / n + 3 * s * s / n) * R + (c * c + 3 * s * s / n * q) * Q,
        )
    assert last == (pytest.approx(379.4, abs=0.05), pytest.approx(113.8, abs=0.05))


MOMENTS = {
    "linear": LINEAR,
    "linear by layer": ResidualNetwork(5, 6, "phi-in", "linear", -0.7, BY_LAYER, keep=0.4),
    "balanced": ResidualNetwork(6, 8, "phi-in", "balanced", 0.9, DepthScaling(0.0, 0.7), keep=0.8),
    "no skip": ResidualNetwork(12, 5, "phi-in", "linear", 0.0, DepthScaling(0.0, 1.1), keep=0.6),
}


@pytest.mark.cpu
@pytest.mark.parametrize("name", MOMENTS)
def test_fourth_moments_are_shown_with_z_scores_and_hold(name):
    run = resmc.moment_growth(MOMENTS[name], 2.0, populations=64, size=512, seed=6, threads=1, progress=False)
    at = [1, len(run.layers) // 2, -1]
    assert np.isfinite(run.exact).all()
    assert np.abs(run.z_score[at]).max() < BOUND
    assert (run.log_moment.stderr[at] < 0.05).all()
    assert f"{run.exact[-1]:.6g}" in str(run)
    if name == "linear by layer":  # a negative control: the moment without dropout
        without = facts(replace(MOMENTS[name], keep=1.0)).log_moment(2.0, run.layers)
        assert abs(run.log_moment.z_score(without)[-1]) > CONTROL


@pytest.mark.cpu
@pytest.mark.parametrize("block", ["phi-in", "phi-out", "v-phi-w"])
def test_linear_networks_without_dropout_and_two_matrices_have_known_fourth_moments(block):
    """Of one matrix c^4 + (2 + 4/n) c^2 s^2 + (1 + 2/n) s^4 a layer, wherever the matrix stands."""
    n, c, s = 6, 0.8**2, 0.7**2
    for activation in ("linear", "relu") if block == "v-phi-w" else ("linear",):
        model = ResidualNetwork(n, 5, block, activation, -0.8, DepthScaling(0.0, 0.7))
        run = resmc.moment_growth(model, 2.0, populations=64, size=512, seed=7, threads=1, progress=False)
        assert np.abs(run.z_score[[1, -1]]).max() < BOUND
        assert run.exact[-1] == pytest.approx(theory.exact_law(model).moment(2.0), abs=1e-9)
        gain, spread = (1.0, 2.0 / n) if activation == "linear" else (0.5, 5.0 / n)  # E T/n, E T^2/(n E T)^2 - 1
        if block != "v-phi-w":
            spread = 0.0
        each = c * c + (2 + 4 / n) * c * gain * s + (1 + 2 / n) * (1 + spread) * (gain * s) ** 2
        assert run.exact[-1] == pytest.approx(5.0 * math.log(each), abs=1e-9)


def test_the_mean_displacement_is_known_wherever_the_growth_is():
    layers = np.arange(5)
    known = 0
    for block in ("phi-in", "phi-out", "v-phi-w"):
        for activation in ("relu", "balanced", "balanced-half", "leaky_relu", "linear", "tanh"):
            for carry in (0.0, 1.0, -0.7):
                for more in ({}, {"bias": 0.5}, {"weights": "uniform", "input": (1.0, 2.0)}, {"keep": 0.6}):
                    if "keep" in more and block != "phi-in":
                        continue
                    one = facts(ResidualNetwork(6, 4, block, activation, carry, (0.0, 0.3, 0.0, 0.5), **more))
                    growth, moved = (one.second_moment(name, layers) for name in ("growth", "displacement"))
                    np.testing.assert_array_equal(np.isnan(growth), np.isnan(moved), str(one.model))
                    known += int((~np.isnan(growth)).sum())
    assert known > 400


# -- exact means ------------------------------------------------------------------------------------------------------


@pytest.mark.cpu
@pytest.mark.parametrize("name", ["balanced", "linear by layer", "no skip"])
def test_mean_squares_forward_and_backward_are_those_without_dropout(name):
    model = MOMENTS[name]
    sim = simulated(model, 40_000, seed=9, gradients=True)
    known, without = facts(model), facts(replace(model, keep=1.0))
    for quotient, at in (("growth", [1, -1]), ("displacement", [1, -1]), ("gradient", [0, -2])):
        exact = known.second_moment(quotient, sim.layers)
        np.testing.assert_allclose(exact, without.second_moment(quotient, sim.layers), rtol=1e-12, atol=1e-14)
        assert np.abs(sim.log_ratio(quotient).log_second_moment.z_score(exact)[at]).max() < BOUND, quotient


@pytest.mark.cpu
@pytest.mark.parametrize("activation", ["relu", "linear", "sigmoid"])
def test_without_a_skip_networks_die_with_their_masks(activation):
    model = ResidualNetwork(2, 4, "phi-in", activation, 0.0, DepthScaling(0.0), keep=0.6)
    sim, networks = simulated(model, 20_000, seed=10), 20_000
    exact = facts(model).dead_fraction(np.arange(5))
    silent = {"relu": 0.7**2, "linear": 0.4**2, "sigmoid": 0.4**2}[activation]
    expected = silent * (np.arange(5) > 0) if activation == "sigmoid" else 1.0 - (1.0 - silent) ** np.arange(5)
    np.testing.assert_allclose(exact, expected, atol=1e-12)
    spread = np.sqrt(np.maximum(exact * (1.0 - exact), 1e-12) / networks)
    assert (np.abs(sim.dead / networks - exact) / spread).max() < BOUND


# -- what is known, and what is not -----------------------------------------------------------------------------------


def test_there_is_no_exact_law_no_limit_and_no_asymmetry_and_the_reason_is_said():
    assert theory.exact_law(LINEAR) is None
    assert re.match(r"keep=0\.7 has no exact law: ", theory.no_exact_law(LINEAR))
    deep = ResidualNetwork(8, 10, "phi-in", "relu", keep=0.7)
    assert "keep=0.7 has no limit in depth" in theory.depth_kind(deep).reason
    tied = replace(deep, scaling=DepthScaling(1.0), weights=Weights(depth="tied"))
    assert "keep=0.7 has no limit in depth" in theory.depth_kind(tied).reason
    assert not deep.has_asymmetry
    assert deep.as_resnet is None
    assert replace(deep, keep=1.0).as_resnet is not None
    assert "keep 0.7" in deep.title


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (ResidualNetwork(8, 4, "phi-in", "relu", keep=0.5), "block='phi-in' with activation='relu' is not allowed"),
        (ResidualNetwork(8, 4, "phi-out", "linear"), "block='phi-out' with activation='linear' is not allowed"),
        (ResidualNetwork(8, 4, "phi-in", "balanced-half", keep=0.5), "activation='balanced-half' is not allowed"),
        (ResidualNetwork(8, 4, "phi-in", "linear", weights="uniform"), "weights='uniform' are not allowed"),
        (ResidualNetwork(8, 4, "phi-in", "linear", bias=0.5), "bias=0.5 is not allowed"),
        (ResNet(8, 4, 0.8, 0.6), "model=ResNet("),
    ],
)
def test_moments_that_are_not_known_are_refused_in_a_sentence(model, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        theory.dropout_moments(model)
    if isinstance(model, ResidualNetwork):
        with pytest.raises(ValueError, match="it must hold integers from 0 to depth=4"):
            theory.dropout_moments(LINEAR if model.depth == 10 else replace(LINEAR, depth=4), [5])
