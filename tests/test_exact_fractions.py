"""Exact mean squares and fractions of any network, against simulations and against recursions written out by hand.

Simulated: 10,000 networks of each kind, fixed seed, 950 comparisons with |z| < 4.8. Where means are Gaussian all
of them hold with a probability of 0.9985; mean squares whose error is not reliable are left out. Exact zeros and ones
have to be met exactly. Negative controls have to exceed 8.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet
from resmc.models.spelling import general
from resmc.theory.facts import Facts, facts
from resmc.theory.mean_squares import homogeneous_gain

NETWORKS, BOUND, CONTROL = 10_000, 4.8, 8.0
QUOTIENTS = ("growth", "displacement", "gradient", "gradient_displacement")
DEPTH = 4
LAYERS = np.arange(DEPTH + 1)
SCALE, INSIDE = DepthScaling(0.0, 0.8), DepthScaling(0.0, -0.8, inside=True)
LATE, STOP = (0.0, 0.8, 0.6, 0.7), (0.8, 0.0, 0.6, 0.7)
INPUT = (1.0, -2.0, 0.5)


def net(block: str, activation: str, carry: float, scaling=SCALE, width: int = 3, **rest) -> ResidualNetwork:
    return ResidualNetwork(width, DEPTH, block, activation, carry=carry, scaling=scaling, **rest)


# Each network with the layers where P(dead), P(inactive | alive), E|h|^2/n and the mean squares of growth,
# displacement, gradient and gradient displacement are known: a digit for each layer, "*" for all, "" for none.
KNOWN: dict[str, tuple[ResidualNetwork | ResNet, str]] = {
    "vanilla": (ResNet(3, DEPTH, 0.8, 0.6), "* 0 01 01 01 4 4"),
    "vanilla, no skip": (ResNet(2, DEPTH, 0.0, 0.9), "* * * * * * *"),
    "vanilla, no branch": (ResNet(2, DEPTH, -0.9, 0.0), "* * * * * * *"),
    "balanced": (ResNet(3, DEPTH, 0.8, 0.6, "balanced", input_norm=2.0), "* * * * * * *"),
    "balanced-half": (ResNet(4, DEPTH, 0.8, 0.6, "balanced-half"), "* 0 * * * * *"),
    "balanced-half, no skip": (ResNet(2, DEPTH, 0.0, 0.6, "balanced-half"), "* * * * * * *"),
    "phi-in late": (net("phi-in", "relu", 0.9, LATE), "* 01 012 012 012 4 4"),
    "phi-in stop, no skip": (net("phi-in", "relu", 0.0, STOP), "* 01 * * * * *"),
    "phi-in bias": (net("phi-in", "relu", 0.9, bias=0.6, width=6), "* 0 01 01 01 4 4"),
    "phi-in bias, no skip": (net("phi-in", "relu", 0.0, bias=0.6, width=6), "* * * * * * *"),
    "phi-in bias stop": (net("phi-in", "relu", 0.0, STOP, bias=0.6, width=5), "* 0134 * * * * *"),
    "phi-in balanced bias": (net("phi-in", "balanced", 1.0, bias=0.6, width=6), "* * * * * * *"),
    "phi-in uniform": (net("phi-in", "relu", 0.0, weights="uniform", input=INPUT), "* * * * * * *"),
    "phi-in signs": (net("phi-in", "balanced", 0.7, weights="rademacher"), "0 0 * * * 4 4"),
    "phi-in tanh bias": (net("phi-in", "tanh", 0.7, bias=0.6, input_norm=2.0), "*  01 0 0 4 4"),
    "phi-in leaky, no skip": (net("phi-in", "leaky_relu", 0.0, width=6), "*  * * * * *"),
    "phi-in sigmoid, no skip": (net("phi-in", "sigmoid", 0.0), "*  01 0 0 4 4"),
    "dropout": (net("phi-in", "linear", 0.9, keep=0.6), "*  * * * * *"),
    "dropout, no skip": (net("phi-in", "linear", 0.0, width=2, keep=0.6), "*  * * * * *"),
    "dropout relu, no skip": (net("phi-in", "relu", 0.0, keep=0.6), "*  * * * * *"),
    "dropout leaky, no skip": (net("phi-in", "leaky_relu", 0.0, keep=0.6), "*  * * * 04 04"),
    "dropout relu late": (net("phi-in", "relu", 0.9, LATE, keep=0.4), "*  012 012 012 4 4"),
    "dropout balanced bias": (net("phi-in", "balanced", 1.0, bias=0.6, width=6, keep=0.6), "*  * * * * *"),
    "dropout uniform": (net("phi-in", "linear", -0.8, weights="uniform", input=INPUT, keep=0.6), "*  * * * * *"),
    "dropout tanh bias": (net("phi-in", "tanh", 0.7, bias=0.6, input_norm=2.0, keep=0.5), "*  01 0 0 4 4"),
    "dropout sigmoid, no skip": (net("phi-in", "sigmoid", 0.0, keep=0.6), "*  01 0 0 4 4"),
    "phi-out": (net("phi-out", "relu", 0.9, LATE), "*  012 012 012 4 4"),
    "phi-out, no skip": (net("phi-out", "relu", 0.0), "*  * * * * 04"),
    "phi-out bias": (net("phi-out", "balanced", 0.0, bias=0.6, width=6), "*  * * * * 04"),
    "phi-out inside": (net("phi-out", "relu", 0.0, INSIDE, width=6), "*  * * * * 04"),
    "phi-out linear": (net("phi-out", "linear", -0.9, bias=0.6, width=6), "*  * * * * *"),
    "v-phi-w": (net("v-phi-w", "relu", 1.0, width=6), "*  * * * * *"),
    "v-phi-w bias": (net("v-phi-w", "relu", -0.8, LATE, bias=0.6, width=6), "*  * * * * *"),
    "v-phi-w bias, no skip": (net("v-phi-w", "relu", 0.0, STOP, bias=0.6), "*  * * * * *"),
    "v-phi-w uniform": (net("v-phi-w", "leaky_relu", 1.0, weights="uniform", input=INPUT, width=6), "*  * * * * *"),
    "v-phi-w signs": (net("v-phi-w", "relu", 1.0, weights="rademacher", input=INPUT), "  *   4 4"),
    "v-phi-w signs bias": (net("v-phi-w", "relu", 1.0, weights="rademacher", bias=0.6, width=5), "0  * * * * *"),
    "v-phi-w tanh": (net("v-phi-w", "tanh", 0.9), "*  0 0 0 4 4"),
}
EACH = pytest.mark.parametrize("name", KNOWN)


def exact_values(known: Facts) -> list[np.ndarray]:
    fractions = [known.dead_fraction(LAYERS), known.inactive_fraction(LAYERS), known.mean_square(LAYERS)]
    return fractions + [known.second_moment(name, LAYERS) for name in QUOTIENTS]


@cache
def simulated(name: str) -> resmc.Simulation:
    model = KNOWN[name][0]
    method = "projected" if model.weight_law.gaussian else "dense"
    return resmc.simulate(
        model, networks=NETWORKS, seed=2311, method=method, gradients=True, progress=False, keep_trajectories=NETWORKS
    )


def z_scores(known: Facts, sim: resmc.Simulation) -> list[float]:
    """|z| of everything that ``known`` says to be exact, infinite for an exact 0 or 1 that was missed."""
    out: list[float] = []

    def fractions(counts, of, exact):
        for count, n, p in zip(counts, of, exact, strict=True):
            if np.isfinite(p) and n > 0:
                spread = math.sqrt(p * (1.0 - p) / n)
                away = abs(count / n - p)
                out.append(away / spread if spread else math.inf if away else 0.0)

    fractions(sim.dead, np.full(LAYERS.shape, sim.networks), known.dead_fraction(LAYERS))
    fractions(sim.inactive, sim.alive, known.inactive_fraction(LAYERS))
    if sim.has_asymmetry:
        for estimate, exact in (
            (sim.asymmetry_mean, known.asymmetry(LAYERS)),
            (sim.active_fraction, known.active_fraction(LAYERS)),
            (sim.asymmetry_variance, known.asymmetry_variance(LAYERS)),
        ):
            out += np.abs(estimate.z_score(exact)[np.isfinite(exact) & (estimate.stderr > 0.0)]).tolist()
    squares = np.exp(sim.trajectories.log_norm)
    exact = np.exp(known.mean_square(LAYERS))
    errors = squares.std(axis=0, ddof=1) / math.sqrt(NETWORKS)
    for mean, error, value in zip(squares.mean(axis=0), errors, exact, strict=True):
        if np.isfinite(value):
            out.append(abs(mean - value) / error if error else float(mean != value))
    for name in QUOTIENTS:
        moment = sim.log_ratio(name).log_second_moment
        exact = known.second_moment(name, LAYERS)
        for mean, error, value in zip(moment.value, moment.stderr, exact, strict=True):
            if np.isneginf(value):
                out.append(math.inf if np.isfinite(mean) else 0.0)
            elif error > 1e-6 and np.isfinite(value):
                out.append(abs(mean - value) / error)
    return out


@EACH
def test_exact_values_are_known_where_they_can_be(name):
    model, stated = KNOWN[name]
    layers = [set(LAYERS) if digits == "*" else {int(x) for x in digits} for digits in stated.split(" ")]
    for values, expected in zip(exact_values(facts(model)), layers, strict=True):
        assert set(np.flatnonzero(~np.isnan(values))) == expected


@EACH
def test_exact_values_are_those_of_simulated_networks(name):
    found = z_scores(facts(KNOWN[name][0]), simulated(name))
    assert len(found) > 5
    assert max(found) < BOUND


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("phi-in bias", {"bias": 0.0}),
        ("v-phi-w bias", {"bias": 0.0}),
        ("phi-out bias", {"bias": 0.0}),
        ("v-phi-w bias, no skip", {"bias": 0.0}),
        ("vanilla", {"variant": "balanced"}),
        ("vanilla, no skip", {"width": 3}),
        ("v-phi-w", {"carry": 0.9}),
        ("phi-out, no skip", {"block": "v-phi-w"}),  # has a gradient that is centred
        ("phi-in tanh bias", {"activation": "relu"}),
        ("phi-in uniform", {"scaling": (0.8, 0.8, 0.8, 0.7)}),
    ],
)
def test_the_comparison_sees_facts_of_another_network(name, change):
    assert max(z_scores(facts(replace(KNOWN[name][0], **change)), simulated(name))) > CONTROL


def by_hand(model: ResidualNetwork, start: float) -> tuple[list[float], list[float]]:
    """m_l and e_l of `resmc.theory.mean_squares`, for v-phi-w or phi-in with a homogeneous activation."""
    kappa = homogeneous_gain(model.sigma)
    t2 = model.bias**2 * (kappa if model.block == "v-phi-w" else 1.0)
    m, e = [start], [0.0]
    for s in model.scales.tolist():
        branch = s**2 * (kappa * m[-1] + t2)
        m.append(model.carry**2 * m[-1] + branch)
        e.append(model.carry**2 * e[-1] + branch)
    return m, e


@pytest.mark.parametrize("carry", [1.0, 0.999999, 0.7, -0.8, 0.0])
@pytest.mark.parametrize("block", ["v-phi-w", "phi-in"])
def test_mean_squares_are_those_of_the_recursion_written_out(block, carry):
    depth, layers = 60, np.arange(61)
    scales = tuple(0.2 * (k % 7) for k in range(depth))
    model = ResidualNetwork(8, depth, block, "balanced", carry=carry, scaling=scales, bias=0.3, input_norm=1.7)
    known = facts(model)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(known.mean_square(layers), np.log(by_hand(model, 1.7**2)[0]), atol=1e-12)
        weighted = replace(model, bias=0.3 * math.sqrt(8.0 / 6.0) / 1.7)  # E 1/m_0 = (8/6)/1.7^2
        m, e = by_hand(weighted, 1.0)
        np.testing.assert_allclose(known.second_moment("growth", layers), np.log(m), atol=1e-12)
        away = [(carry**k - 1.0) ** 2 + noise for k, noise in enumerate(e)]
        np.testing.assert_allclose(known.second_moment("displacement", layers), np.log(away), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [2.0, 1e-3])
def test_no_depth_overflows_and_no_small_displacement_cancels(scale):
    model = ResidualNetwork(8, 100_000, "v-phi-w", scaling=DepthScaling(0.0, scale), bias=0.0)
    step = math.log1p(0.5 * scale**2)
    layers = np.array([0, 1, 50, 100_000])
    known = facts(model)
    np.testing.assert_allclose(known.growth(layers), layers * step, rtol=1e-9)
    with np.errstate(divide="ignore"):
        away = layers * step + np.log(-np.expm1(-layers * step))
    np.testing.assert_allclose(known.second_moment("displacement", layers), away, rtol=1e-9)
    np.testing.assert_allclose(known.second_moment("gradient_displacement", 100_000 - layers), away, rtol=1e-9)


@pytest.mark.parametrize(("alpha", "lam"), [(0.8, 0.6), (0.5**0.5, 0.5**0.5), (0.6, -0.8), (-0.28, 0.96)])
def test_a_growth_that_is_rounding_is_exactly_0(alpha, lam):
    resnet = ResNet(8, 300, alpha, lam, "balanced")
    layers = np.arange(301)
    for model in (resnet, general(resnet), replace(general(resnet), weights="uniform")):
        for values in (facts(model).growth(layers), facts(model).second_moment("gradient", layers)):
            assert not values.any()
            assert not np.signbit(values).any()
    seen = facts(replace(resnet, alpha=alpha * (1.0 + 1e-9))).growth(layers)
    assert (seen[1:] > 0.0).all()
