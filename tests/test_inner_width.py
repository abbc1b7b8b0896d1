"""Branches of another width than the layers', `ResidualNetwork(block="v-phi-w", inner_width=N)`.

Networks are compared one by one with the twin, and the twin with autograd through explicit weights. Of the comparisons
in law, 110 in all, a correct program fails one with a probability of 7.5e-4.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from commands import refusal
from test_residual_kernels import TOLERANCE, differences
from test_residual_laws import z_scores
from twins import assert_gpu_has_the_twins_networks, assert_segments_change_nothing, assert_twin_is_autograd, simulated

import resmc
from resmc import DepthScaling, ResidualNetwork, Sweep, Weights, theory
from resmc.models.activations import ACTIVATIONS
from resmc.models.network import METHODS
from resmc.reference import simulate_residual
from resmc.reference.sources import Counters
from resmc.sweep.point import Point
from resmc.theory.facts import facts

BOUND, CONTROL = 4.5, 8.0
SCALE = DepthScaling(0.5, 1.3)
BY_LAYER = (0.5, -0.3, 0.0, 0.9, 0.4, 0.7)


def net(n: int, inner: int | None, activation: str = "relu", depth: int = 6, **more: Any) -> ResidualNetwork:
    return ResidualNetwork(n, depth, "v-phi-w", activation, **{"scaling": SCALE, "inner_width": inner, **more})


CASES = {
    "wide": net(6, 24, bias=0.4, n_out=2),
    "narrow": net(9, 3, "tanh", carry=-0.8, scaling=BY_LAYER, bias=0.7),
    "one": net(5, 1, "sigmoid"),
    "of one neuron": net(1, 7, "gelu", bias=0.3),
    "balanced": net(7, 18, "balanced", carry=0.9),
    "balanced-half": net(7, 10, "balanced-half", bias=0.2),
    "many": net(4, 150, "tanh", bias=0.2),
    "no skip": net(8, 5, "linear", carry=0.0),
}


# -- kernels, twin and torch ------------------------------------------------------------------------------------------


@pytest.mark.cpu
@pytest.mark.parametrize("name", CASES)
def test_kernels_simulate_the_networks_of_the_reference(name):
    """Of one neuron there is nothing across what is known: what is left of a difference has fewer digits."""
    for method in ("projected", "dense"):
        bound = TOLERANCE if min(CASES[name].width, CASES[name].inner) > 1 else 10 * TOLERANCE
        assert differences(CASES[name], method=method).max() < bound, method


@pytest.mark.cpu
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_has_an_inner_width(activation):
    for inner, method in itertools.product((4, 14), ("projected", "dense")):
        assert differences(net(7, inner, activation, bias=0.3), method=method).max() < TOLERANCE


@pytest.mark.cpu
@pytest.mark.parametrize("weights", ["uniform", "rademacher"])
def test_other_weights_have_an_inner_width(weights):
    x = (0.3, -2.0, 1.1) if weights == "uniform" else None
    for inner in (3, 17):
        model = net(7, inner, "tanh", bias=0.4, weights=weights, input=x)
        assert differences(model, method="dense", rounded=weights == "rademacher").max() < TOLERANCE


@pytest.mark.cpu
def test_the_comparison_sees_another_inner_width_and_its_normaliser(monkeypatch):
    """A negative control: other neurons, and entries of V that have the variance 1/n."""
    ours = simulated(CASES["wide"], 20, seed=3, gradients=True, keep_trajectories=20).trajectories
    other = simulate_residual(replace(CASES["wide"], inner_width=23), 20, seed=3)
    assert np.abs(ours.log_norm - other.log_norm).max() > 10 * TOLERANCE
    monkeypatch.setattr(ResidualNetwork, "inner", property(lambda self: self.width))
    assert np.abs(ours.log_norm - simulate_residual(CASES["wide"], 20, seed=3).log_norm).max() > 10 * TOLERANCE


@pytest.mark.cpu
def test_a_segment_that_is_computed_once_more_keeps_its_normals_apart(monkeypatch):
    """More neurons within a branch than a layer has, whose normals stand behind all vectors."""
    for inner in (3, 50):
        assert_segments_change_nothing(net(6, inner, "relu", depth=40), 40, monkeypatch)


@pytest.mark.parametrize("method", ["projected", "dense"])
@pytest.mark.parametrize("name", ["wide", "narrow", "balanced", "many"])
def test_a_gpu_has_the_networks_of_the_reference(gpu, name, method):
    assert_gpu_has_the_twins_networks(replace(CASES[name], n_out=1), method)


@pytest.mark.parametrize("name", CASES)
def test_the_dense_gradient_is_autograds(name):
    assert_twin_is_autograd(replace(CASES[name], carry=CASES[name].carry or 0.5))


def test_modules_and_arrays_have_rectangular_matrices():
    torch = pytest.importorskip("torch")
    from resmc.torch_module import fill_from_arrays, fill_from_generator

    model = CASES["narrow"]
    several, one = model.to_torch(seed=2, network=range(4, 7)), model.to_torch(seed=2, network=5)
    assert (one.V.shape, one.W.shape, one.b.shape) == ((6, 9, 3), (6, 3, 9), (6, 3))
    torch.testing.assert_close(several()[1], one(), rtol=1e-14, atol=0.0)
    drawn = model.draw_weights(2, 5)
    h = drawn.A @ drawn.x
    for V, W, b, s in zip(drawn.V, drawn.W, drawn.b, model.scales, strict=True):
        h = model.carry * h + s * V @ np.tanh(W @ h + b)
    np.testing.assert_allclose(one().detach().numpy()[0], drawn.readout @ h, rtol=1e-12)
    fill_from_generator(several, torch.Generator().manual_seed(1))
    fill_from_arrays(one, V=several.V[:, 0])
    torch.testing.assert_close(one.V, several.V[:, 0])
    large = net(50, 200, depth=8).to_torch(seed=1)
    for matrix, fan in ((large.V, 200), (large.W, 50)):  # 80 000 entries: 0.5% is the standard deviation
        assert float(matrix.detach().square().mean()) * fan == pytest.approx(1.0, abs=5 * 0.005)


def test_the_twin_draws_signs_and_biases_of_the_inner_neurons():
    source = Counters(net(6, 10, "balanced", bias=0.5), 3, np.arange(2, dtype=np.uint64))
    assert source.signs(0).shape == (2, 10)
    assert source.bias(0).shape == (2, 10)
    assert source.matrix("outer", 1).shape == (2, 6, 10)
    assert source.matrix("inner", 1).shape == (2, 10, 6)


@pytest.mark.cpu
@pytest.mark.parametrize("inner", [3, 24])
def test_both_methods_and_the_exact_law_agree(inner):
    """42 comparisons of the methods, and of both with means and variances of the exact law 8."""
    model = ResidualNetwork(6, 8, "v-phi-w", scaling=DepthScaling(0.0, 0.9), inner_width=inner)
    law, layers = theory.exact_law(model), {"growth": -1, "gradient": 0}
    settings = {"keep_samples": 20_000, "layers": [8], "gradients": True}
    projected, dense = (simulated(model, 20_000, seed=i, method=m, **settings) for i, m in enumerate(METHODS))
    assert z_scores(projected, dense).max() < BOUND
    for (quotient, at), sim in itertools.product(layers.items(), (projected, dense)):
        found = sim.log_ratio(quotient)
        assert abs(found.mean.z_score(law.mean)[at]) < BOUND, quotient
        assert abs(found.variance.z_score(law.variance)[at]) < BOUND, quotient
    other = theory.exact_law(replace(model, inner_width=1))  # a negative control
    assert abs(projected.log_ratio("growth").mean.z_score(other.mean)[-1]) > CONTROL


# -- exact laws and theory --------------------------------------------------------------------------------------------


@pytest.mark.cpu
def test_the_exact_law_is_that_of_an_independent_chain():
    """n = 6, N = 24, s = 0.9, one layer: mean and variance of 10^6 draws of the chain in NumPy."""
    n, inner, s, count = 6, 24, 0.9, 10**6
    law = theory.exact_law(ResidualNetwork(n, 1, "v-phi-w", scaling=DepthScaling(0.0, s), inner_width=inner))
    rng = np.random.default_rng(5)
    active = rng.binomial(inner, 0.5, count)
    c = s * np.sqrt(np.where(active > 0, rng.chisquare(np.maximum(active, 1)), 0.0) / (n * inner))
    x = np.log((1.0 + c * rng.standard_normal(count)) ** 2 + c**2 * rng.chisquare(n - 1, count))
    assert abs(x.mean() - law.mean) < BOUND * x.std() / math.sqrt(count)
    squares = (x - x.mean()) ** 2
    assert abs(squares.mean() - law.variance) < BOUND * squares.std() / math.sqrt(count)
    assert law.mean == pytest.approx(0.248, abs=0.001)
    assert law.variance == pytest.approx(0.193, abs=0.001)


@pytest.mark.cpu
def test_an_inner_width_that_is_the_width_is_none_and_a_wide_one_removes_a_part_of_the_variance():
    assert net(6, 6) == net(6, None)
    assert net(6, 6).inner_width is None
    variances = [theory.exact_law(net(20, inner, depth=40)).variance for inner in (5, 20, 80, 10**5)]
    assert variances == sorted(variances, reverse=True)
    model = replace(net(4, 3, depth=3), carry=0.0)
    assert theory.exact_law(model).probability_of_death == pytest.approx(1.0 - (1.0 - 0.5**3) ** 3)
    np.testing.assert_allclose(facts(model).dead_fraction(np.arange(4)), 1.0 - (1.0 - 0.125) ** np.arange(4))
    linear = theory.exact_law(net(4, 3, "linear", depth=2, carry=0.0, scaling=DepthScaling(0.0, 1.5)))
    assert float(linear.moment(2.0)) == pytest.approx(2.0 * math.log(1.5**4 * (1.0 + 2.0 / 3.0) * (1.0 + 2.0 / 4.0)))


@pytest.mark.cpu
def test_mean_squares_and_limits_in_depth_do_not_depend_on_it():
    layers = np.arange(7)
    for inner in (2, 30):
        found, square = facts(net(6, inner, bias=0.3)), facts(net(6, None, bias=0.3))
        for quotient in ("growth", "displacement", "gradient", "gradient_displacement"):
            np.testing.assert_array_equal(found.second_moment(quotient, layers), square.second_moment(quotient, layers))
    wide = theory.depth_limit(ResidualNetwork(6, 6, "v-phi-w", inner_width=30))
    assert wide.growth == theory.depth_limit(ResidualNetwork(6, 6, "v-phi-w")).growth
    many = theory.exact_law(ResidualNetwork(6, 10**5, "v-phi-w", inner_width=30))
    assert many.mean == pytest.approx(wide.growth.mean, abs=1e-4)
    assert many.variance == pytest.approx(wide.growth.variance, rel=1e-4)


@pytest.mark.cpu
def test_a_simulation_has_the_moments_that_are_known():
    """Mean squares of three quotients, and a fourth moment by populations: 8 comparisons."""
    model = net(8, 32, depth=5, scaling=DepthScaling(0.0, 0.7))
    sim, known = simulated(model, 40_000, seed=21, gradients=True), facts(model)
    for quotient, at in (("growth", [1, -1]), ("displacement", [1, -1]), ("gradient", [0, -2])):
        exact = known.second_moment(quotient, sim.layers)
        assert np.abs(sim.log_ratio(quotient).log_second_moment.z_score(exact)[at]).max() < BOUND, quotient
    found = resmc.moment_growth(model, 2.0, populations=64, size=512, seed=3, threads=1, progress=False)
    assert found.exact[-1] == pytest.approx(float(theory.exact_law(model).moment(2.0)), abs=1e-9)
    assert np.abs(found.z_score[[1, -1]]).max() < BOUND


# -- fields, files, keys, commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"inner_width": 0}, "inner_width=0 is out of range: it must be an integer from 1 to 2^24"),
        ({"inner_width": 2**24 + 1}, "inner_width=16777217 is out of range"),
        ({"inner_width": 2.5}, "inner_width=2.5 is not allowed"),
        ({"inner_width": 5, "block": "phi-in"}, "inner_width=5 is not allowed with block='phi-in': it counts the neu"),
        ({"inner_width": 4, "block": "phi-out"}, "inner_width=4 is not allowed with block='phi-out'"),
        ({"inner_width": 5, "activation": "balanced-half"}, "inner_width=5 is not allowed with activation='balanced-h"),
        ({"inner_width": 5, "alpha": 0.5, "lam": 0.5, "block": None}, "inner_width is not allowed beside alpha"),
    ],
)
def test_an_inner_width_out_of_range_is_refused_in_a_sentence(given, said, capsys):
    given = {name: value for name, value in {"block": "v-phi-w", **given}.items() if value is not None}
    with pytest.raises(ValueError, match=re.escape(said)):
        resmc.simulate(width=4, depth=3, networks=1, progress=False, **given)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    if given["inner_width"] == 0:
        assert "inner_width=0 is out of range" in refusal(
            capsys, "simulate", "--width=4", "--depth=3", "--networks=1", *options
        )


def test_what_needs_square_matrices_refuses_it():
    pytest.importorskip("torch")
    from resmc.torch_module.ensemble import Ensemble

    model = net(4, 7, "tanh", depth=3)
    x, y = np.zeros((20, 2)), np.arange(20) % 2
    for call, said in {
        lambda: replace(model, weights=Weights(depth="tied")): "with weights that depend on each other in depth",
        lambda: resmc.train.fit(model, x, y): "in training: networks side by side have square matrices",
        lambda: Ensemble([model], [0], features=2, outputs=2): "in training: networks side by side have square",
        lambda: resmc.heat_map(model, hurst=[0.5], beta=[0.5]): "in a heat map: ",
        lambda: resmc.quadratic_variation(model): "with weights that depend on each other in depth",
        lambda: resmc.simulate(model, networks=1, angle=0.1): "with angle: branches of several inputs",
        lambda: resmc.simulate(model, networks=1, tangents=1): "with tangents=1: branches of several inputs",
        lambda: resmc.gram_chain(replace(model, activation="relu"), [[1.0]], 2): "with several inputs: ",
        lambda: theory.two_inputs(replace(model, activation="linear"), 0.5): "in two_inputs: ",
        lambda: theory.lyapunov_exponents(
            net(4, 7, carry=0.0, depth=3), 2
        ): "inner_width=7 has no exact exponents that are derived here",
        lambda: theory.kernel_moments(net(4, 7, depth=3)): "inner_width=7 has no exact second moment",
        lambda: simulated(net(4, 2**17 + 1), 1, method="dense"): "inner_width=131073 is too large for weights that",
        lambda: simulate_residual(net(4, 2**17 + 1), 1, method="dense"): "inner_width=131073 is out of range",
        lambda: net(4, 2**17 + 1).draw_weights(): "inner_width=131073 is out of range",
    }.items():
        with pytest.raises(ValueError, match=re.escape(said)):
            call()


def test_keys_and_files_without_an_inner_width_are_what_they_were():
    model = ResidualNetwork(8, 4, "v-phi-w", "tanh", bias=0.5, scaling=DepthScaling(0.5, 1.2))
    assert "inner_width" not in model.to_dict()
    assert ResidualNetwork.from_dict(net(4, 7).to_dict()) == net(4, 7)
    point = Point(model, 3, "projected", 8, False, 64, gradients=True)
    assert replace(point, model=replace(model, inner_width=8)).key == point.key
    assert replace(point, model=replace(model, inner_width=9)).key != point.key


@pytest.mark.cpu
def test_a_simulation_and_a_sweep_keep_the_inner_width(tmp_path):
    model = net(8, 32, depth=4)
    sim = simulated(model, 200, seed=1)
    sim.save(tmp_path / "a.resmc")
    assert resmc.load(tmp_path / "a.resmc").model == model
    assert "width 8 (inner 32)" in str(sim.summary())
    plan = Sweep(width=8, depth=4, block="v-phi-w", inner_width=[4, 8, 32], networks=500)
    assert plan.dims == ("inner_width",)
    assert [one.inner for one in plan.models] == [4, 8, 32]
    assert Sweep.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    result = plan.run(tmp_path / "store", progress=False)
    assert "inner_width" in str(result)
