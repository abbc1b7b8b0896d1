"""Sums of |h_l|^2/n itself, where growth and the size of h_0 do not say its mean: exact recursions, and the twin."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import AVAILABLE
from test_cuda_residual import assert_equal_sums, on_cpu, on_gpu, with_threads

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, Simulation
from resmc.engine import lowering
from resmc.engine.lowering import MEAN_SQUARE
from resmc.reference import simulate_residual
from resmc.results import layer_estimates
from resmc.results.layer_estimates import SecondMoment

BOUND = 6.0  # standard errors with 31 degrees of freedom: a false alarm in 8 10^5 comparisons, and there are 23
TOLERANCE = 1e-4  # contract 3, of a logarithm; of |h|^2/n relatively
X = (0.3, -2.0, 1.1)
SMALL = DepthScaling(0.5, 0.7)
BIASED = ResidualNetwork(8, 6, "v-phi-w", "relu", -0.5, DepthScaling(0.0, 1.2), bias=1.5, input_norm=0.7)


def run(model: Any, networks: int, **settings: Any) -> Simulation:
    return resmc.simulate(model, networks=networks, **{"progress": False, **settings})


def second_moment(sim: Simulation) -> SecondMoment:
    """log E|h_l|^2/n, from the sums."""
    return layer_estimates.log_second_moment(sim.ratios[MEAN_SQUARE], sim.offsets)


def exact(model: ResidualNetwork) -> np.ndarray:
    """log E|h_l|^2/n of v-phi-w: with m = E|h|^2/n, c^2 m + s^2 gain (m + bias^2), the weights' law being any."""
    gain, m = {"relu": 0.5, "linear": 1.0}[model.activation], [model.size**2]
    for scale in model.scales.tolist():
        m.append(model.carry**2 * m[-1] + scale**2 * gain * (m[-1] + model.bias**2))
    return np.log(m)


def errors(found: SecondMoment, expected: np.ndarray, first: int = 0) -> np.ndarray:
    """Distances in standard errors, from layer ``first`` on."""
    assert found.reliable.all()
    return np.abs(found.estimate.value - expected)[first:] / found.estimate.stderr[first:]


@pytest.mark.parametrize(
    ("model", "there"),
    [
        (BIASED, True),
        (ResidualNetwork(4, 3, "phi-in", "tanh"), True),
        (ResidualNetwork(4, 3, "phi-in", "relu", weights="uniform", input=X), True),
        (ResidualNetwork(4, 3, "phi-in", "relu", weights="uniform"), False),
        (ResidualNetwork(4, 3, "v-phi-w", "leaky_relu", input=X), False),
        (ResidualNetwork(4, 3, "phi-in", "relu"), False),
        (ResNet(4, 3, 0.6, 0.8), False),
    ],
)
def test_it_is_there_where_the_growth_does_not_say_it_and_is_no_quotient(model, there):
    method = "dense" if lowering.lower(model).law == "uniform" else "projected"
    sim = run(model, 64, method=method, keep_samples=3, keep_trajectories=3)
    assert (MEAN_SQUARE in sim.ratios) == lowering.lower(model).follows_mean_square == there
    assert MEAN_SQUARE in sim.observables
    assert sim.estimate(MEAN_SQUARE).shape == sim.layers.shape
    for other in (sim.followed, sim.laws, sim.samples.ratios, sim.trajectories.ratios):
        assert MEAN_SQUARE not in other
    with pytest.raises(ValueError, match="name='mean_square' is not allowed"):
        sim.log_ratio(MEAN_SQUARE)


@pytest.mark.parametrize(
    "model",
    [
        BIASED,
        ResidualNetwork(10, 5, "v-phi-w", "linear", scaling=(0.5, 0.0, -0.4, 0.3, 0.2), bias=0.5, input_norm=0.6),
        ResidualNetwork(5, 4, "v-phi-w", "relu", scaling=SMALL, bias=0.3, weights="rademacher", input=X),
        ResidualNetwork(5, 4, "v-phi-w", "linear", scaling=SMALL, weights="uniform", input=X),
    ],
)
def test_it_is_the_exact_mean_of_every_layer(model):
    """Of the layers, of which the first is of the input's size; relu needs symmetric pre-activations: a bias or signs
    make them so."""
    sim = run(model, 20_000, method="projected" if model.weights == "gaussian" else "dense", seed=4)
    assert errors(second_moment(sim), exact(model)).max() < BOUND


def test_neither_another_bias_nor_the_growth_passes_for_it():
    """Negative controls: a fifth more of bias, and the growth times E|h_0|^2/n, which is not E|h_l|^2/n here."""
    sim = run(BIASED, 20_000, seed=4)
    other = exact(replace(BIASED, bias=1.2 * BIASED.bias))
    assert errors(second_moment(sim), other, first=1).min() > BOUND
    growth = layer_estimates.log_second_moment(sim.statistics.norms, 2.0 * math.log(BIASED.size))
    assert errors(growth, exact(BIASED), first=1).min() > BOUND


@pytest.mark.parametrize("name", AVAILABLE)
@pytest.mark.parametrize(
    ("model", "method"),
    [
        (ResidualNetwork(9, 5, "phi-in", "tanh", scaling=SMALL, bias=0.4, input_norm=2.0), "projected"),
        (ResidualNetwork(9, 5, "phi-out", "sigmoid", scaling=SMALL, input=X), "dense"),
        (ResidualNetwork(6, 5, "v-phi-w", "tanh", 3e4, input_norm=2e4), "projected"),  # beyond 2^20: other units
        (ResidualNetwork(6, 5, "phi-in", "relu", weights="uniform", input=tuple(9e3 * x for x in X)), "dense"),
    ],
)
def test_every_network_has_the_twins(monkeypatch, name, model, method):
    """32 networks are a group each, so that the sums are those of single networks; in the model's own units."""
    monkeypatch.setenv("RESMC_INSTRUCTION_SET", name)
    sums = (sim := run(model, 32, method=method, seed=3)).ratios[MEAN_SQUARE]
    twin = np.exp(simulate_residual(model, 32, seed=3, method=method, gradients=False).log_norm)
    ours = np.ldexp(sums.growth[:, 0], sums.growth_exponent.astype(np.int32)) * np.exp(sim.offsets)
    np.testing.assert_allclose(ours, twin, rtol=TOLERANCE)
    np.testing.assert_allclose(np.sqrt(sums.growth[:, 1]), sums.growth[:, 0], rtol=1e-14)
    np.testing.assert_allclose(second_moment(sim).estimate.value, np.log(twin.mean(axis=0)), rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(sums.log_norm, sim.statistics.norms.log_norm)


@pytest.mark.parametrize("block", ["phi-in", "v-phi-w"])
def test_a_gpu_makes_the_cpus_sums(gpu, monkeypatch, block):
    if gpu.name == "emulated" and "avx2" not in AVAILABLE:
        pytest.skip("this machine has no fused multiply-add")
    with_threads(monkeypatch, 1)  # a team of one thread adds up neurons in the CPU's order
    model = ResidualNetwork(11, 6, block, "tanh", scaling=SMALL, bias=0.4)
    a, b = (simulate(model, 900, first_network=70) for simulate in (on_gpu, on_cpu))
    assert MEAN_SQUARE in a.ratios
    assert_equal_sums(a, b)


def test_two_ranges_are_merged_into_the_sums_of_the_whole(tmp_path):
    whole = run(BIASED, 500)
    parts = [run(BIASED, 300), run(BIASED, 200, first_network=300)]
    parts[0].save(tmp_path / "a.resmc")
    loaded = resmc.load(tmp_path / "a.resmc")
    np.testing.assert_array_equal(loaded.ratios[MEAN_SQUARE].records, parts[0].ratios[MEAN_SQUARE].records)
    both = resmc.merge(parts[1], loaded)
    found, expected = (second_moment(sim).estimate.value for sim in (both, whole))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_record_without_it_merges_with_one_that_has_it_and_neither_is_guessed():
    """Files of version 0.1 have none."""
    old, new = run(BIASED, 300), run(BIASED, 200, first_network=300)
    old = replace(old, ratios={name: sums for name, sums in old.ratios.items() if name != MEAN_SQUARE})
    for both in (resmc.merge(old, new), resmc.merge(new, old)):
        assert set(both.ratios) == {"displacement"}
        assert both.networks == 500
