"""Uniform biases, `ResidualNetwork(bias_law="uniform")`: kernels against the twin and autograd, laws, and refusals."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from test_residual_kernels import TOLERANCE, differences
from test_residual_reference import RECORDS, autograd

import resmc
from resmc import DepthScaling, ResidualNetwork, Sweep, Weights, theory
from resmc.reference import simulate_residual
from resmc.reference.sources import Counters
from resmc.sweep.point import Point
from resmc.theory.facts import facts
from resmc.theory.infinite_width import infinite_width

BOUND = 4.5
SCALE = DepthScaling(0.5, 1.3)


def net(block: str, activation: str = "tanh", **more: object) -> ResidualNetwork:
    given = {"scaling": SCALE, "bias": 0.7, "bias_law": "uniform", "n_out": 2, **more}
    return ResidualNetwork(7, 6, block, activation, **given)


CASES = {
    "phi-in": net("phi-in", weights="uniform", input=(0.3, -2.0, 1.1)),
    "phi-out": net("phi-out", "gelu", scaling=DepthScaling(0.5, -1.3, inside=True)),
    "v-phi-w": net("v-phi-w", "relu", carry=-0.8),
    "inner": net("v-phi-w", inner_width=18),
}


def test_the_twin_draws_uniform_biases_of_the_variance_that_is_asked_for():
    b = Counters(net("phi-in"), 3, np.arange(4000, dtype=np.uint64)).bias(2)
    assert b.shape == (4000, 7)
    assert 1.73 < np.abs(b).max() < math.sqrt(3.0)
    assert abs(np.mean(b**2) - 1.0) < BOUND * math.sqrt(0.8 / b.size)
    assert abs(np.mean(b)) < BOUND / math.sqrt(b.size)


@pytest.mark.cpu
@pytest.mark.parametrize("name", CASES)
def test_kernels_simulate_the_networks_of_the_reference(name):
    assert resmc.engine.lowering.lower(CASES[name]).exact_method == "dense"
    assert differences(CASES[name], method="dense").max() < TOLERANCE
    other = simulate_residual(replace(CASES[name], bias_law="gaussian"), 20, seed=3, first_network=5, method="dense")
    ours = simulate_residual(CASES[name], 20, seed=3, first_network=5, method="dense")
    assert np.abs(other.log_norm - ours.log_norm).max() > 10 * TOLERANCE  # a negative control


@pytest.mark.parametrize("name", ["phi-in", "inner"])
def test_a_gpu_has_the_networks_of_the_reference(gpu, name):
    model = replace(CASES[name], n_out=1)
    settings = {"seed": 5, "gradients": True, "device": "cuda", "keep_trajectories": 40, "progress": False}
    ours = resmc.simulate(model, networks=40, **settings).trajectories
    twin = simulate_residual(model, 40, seed=5, method="dense")
    np.testing.assert_allclose(ours.log_norm, twin.log_norm, atol=TOLERANCE)
    np.testing.assert_allclose(ours.ratios["gradient"], twin.log_gradient, atol=TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_the_dense_gradient_is_autograds(name):
    paths, found = simulate_residual(CASES[name], 1, seed=71, method="dense"), autograd(CASES[name], 71, 0)
    for record in RECORDS:
        ours = getattr(paths, record)[0]
        same = ~np.isneginf(ours)
        np.testing.assert_allclose(ours[same], found[record][same], rtol=1e-9, atol=1e-9, err_msg=record)


def test_modules_draw_uniform_biases_from_a_generator_too():
    torch = pytest.importorskip("torch")
    from resmc.torch_module import fill_from_generator

    module = net("phi-in").to_torch(network=range(500))
    fill_from_generator(module, torch.Generator().manual_seed(1))
    b = module.b.detach().numpy() / 0.7
    assert np.abs(b).max() < math.sqrt(3.0)
    assert abs(np.mean(b**2) - 1.0) < BOUND * math.sqrt(0.8 / b.size)


@pytest.mark.cpu
def test_mean_squares_are_those_of_gaussian_biases():
    """E|h_l|^2/n at three layers."""
    model = ResidualNetwork(6, 6, "v-phi-w", "relu", 0.9, DepthScaling(0.0, 0.8), bias=0.5, bias_law="uniform")
    sim = resmc.simulate(model, networks=20_000, seed=8, progress=False, threads=1)
    known = facts(model).mean_square(sim.layers)
    np.testing.assert_array_equal(known, facts(replace(model, bias_law="gaussian")).mean_square(sim.layers))
    assert np.abs(sim.estimate("mean_square").z_score(known)[[1, 3, -1]]).max() < BOUND
    assert np.isnan(facts(replace(model, block="phi-in", carry=0.0)).asymmetry_variance(np.arange(2))[1])


def test_what_rests_on_gaussian_biases_refuses_others():
    model = net("phi-out", scaling=DepthScaling(0.5), n_out=1)
    for call, said in {
        lambda: net("phi-in", bias_law="normal"): "bias_law='normal' is not allowed",
        lambda: net("phi-in", bias_law="rademacher"): "bias_law='rademacher' is not allowed",
        lambda: net("phi-in", weights=Weights(depth="tied")): "bias_law='uniform' is not allowed with weights that dep",
        lambda: resmc.simulate(net("phi-in"), networks=1, method="projected"): "bias_law='uniform' is not allowed with",
        lambda: simulate_residual(net("phi-in"), 1): "method='projected' is not allowed with bias_law='uniform'",
        lambda: theory.depth_limit(model): "bias_law='uniform' has no limit in depth with block='phi-out'",
        lambda: infinite_width(model, [[1.0]]): "bias_law='uniform' is not allowed at infinite width",
        lambda: resmc.gram_chain(
            net("v-phi-w", "relu", n_out=1), [[1.0]], 2
        ): "bias_law='uniform' is not allowed in gram_chain",
    }.items():
        with pytest.raises(ValueError, match=re.escape(said)):
            call()


def test_keys_and_fields():
    model = ResidualNetwork(8, 4, "phi-in", "tanh", bias=0.5, scaling=DepthScaling(0.5, 1.2))
    assert "bias_law" not in model.to_dict()
    assert ResidualNetwork.from_dict(net("phi-in").to_dict()) == net("phi-in")
    point = Point(model, 3, "dense", 8, False, 64, gradients=True)
    assert replace(point, model=replace(model, bias_law="uniform")).key != point.key
    plan = Sweep(width=4, depth=3, activation="tanh", bias=0.5, bias_law=["gaussian", "uniform"], networks=100)
    assert plan.dims == ("bias_law",)
    assert [one.bias_law for one in plan.models] == ["gaussian", "uniform"]
    assert "bias 0.7 (uniform)" in net("phi-in").title
