"""Dropout, `ResidualNetwork(keep=)`: its masks, kernels against the twin and autograd, files, keys and refusals.

Masks are the same words everywhere, so that networks are compared one by one. Of the six comparisons in law a correct
program fails one with a probability of 4e-5. What is known of the networks' laws is in `test_dropout_laws`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from commands import refusal, run
from test_residual_kernels import TOLERANCE, differences
from twins import assert_gpu_has_the_twins_networks, assert_segments_change_nothing, assert_twin_is_autograd, simulated

import resmc
from resmc import DepthScaling, ResidualNetwork, Sweep, Weights, theory
from resmc._system.build import VARIABLE
from resmc.models.dropout import kept_below, kept_factor
from resmc.reference import simulate_residual, words
from resmc.reference.sources import Counters
from resmc.sweep.point import Point

BOUND, CONTROL = 4.5, 8.0
SCALE = DepthScaling(0.0, 0.6)
BY_LAYER = (0.5, -0.3, 0.0, 0.9, 0.4, 0.7)
LINEAR = ResidualNetwork(8, 10, "phi-in", "linear", 0.8, SCALE, keep=0.7)


# -- masks ------------------------------------------------------------------------------------------------------------


def test_a_neuron_is_kept_where_its_word_is_below_the_probability():
    model, networks = ResidualNetwork(7, 3, keep=0.3), np.array([5, 2**40], np.uint64)
    source = Counters(model, 9, networks)
    for layer in range(3):
        drawn = words(9, networks, 20, layer, [0, 1]).reshape(2, 8)[:, :7]
        expected = np.where(drawn < round(0.3 * 2**32), 0.3**-0.5, 0.0)
        np.testing.assert_array_equal(source.kept(layer), expected)
    assert resmc._native.STREAMS["dropout"] == 20
    np.testing.assert_array_equal(Counters(ResidualNetwork(7, 3), 9, networks).kept(0), [[1.0]])


def test_the_probability_is_the_next_multiple_of_two_to_the_minus_32_and_one_half_is_fair():
    assert kept_below(0.5) == 2**31
    for keep in (0.7, 1 / 3, 2.0**-32, 1.0 - 2.0**-32):
        assert abs(kept_below(keep) / 2**32 - keep) <= 2.0**-33
    assert kept_factor(0.25) == 2.0


def test_masks_are_fair_and_independent_over_networks_layers_and_neurons():
    kept = np.stack([Counters(replace(LINEAR, keep=0.3), 1, np.arange(4000, dtype=np.uint64)).kept(k) for k in (0, 1)])
    fair = np.sqrt(0.3) * kept  # 0 and 1, (layer, network, neuron)
    assert set(np.unique(np.round(fair, 12))) == {0.0, 1.0}
    centred = (fair - 0.3) / math.sqrt(0.21)
    means = [centred, centred[0] * centred[1], centred[:, 1:] * centred[:, :-1], centred[..., 1:] * centred[..., :-1]]
    assert max(abs(x.mean()) * math.sqrt(x.size) for x in means) < BOUND


def test_where_all_is_masked_a_layer_is_its_skip_and_no_network_ends():
    model = ResidualNetwork(1, 4, "phi-in", "tanh", keep=0.3)
    kept = np.stack([Counters(model, 3, np.arange(500, dtype=np.uint64)).kept(k)[:, 0] for k in range(4)])
    untouched = ~kept.any(axis=0)
    assert 50 < untouched.sum() < 200
    for method in ("projected", "dense"):
        paths = simulated(model, 500, seed=3, method=method, gradients=True, keep_trajectories=500).trajectories
        for name in ("displacement", "gradient_displacement"):
            end = -1 if name == "displacement" else 0
            np.testing.assert_array_equal(np.isneginf(paths.ratios[name][:, end]), untouched)
        assert np.isfinite(paths.log_norm).all()


# -- kernels, twin and torch ------------------------------------------------------------------------------------------

CASES = {
    "relu": ResidualNetwork(7, 6, "phi-in", "relu", 0.9, DepthScaling(0.5, 1.3), keep=0.6, n_out=2),
    "tanh bias": ResidualNetwork(7, 6, "phi-in", "tanh", -0.8, BY_LAYER, bias=0.4, keep=0.3),
    "balanced": ResidualNetwork(6, 6, "phi-in", "balanced", 1.0, BY_LAYER, keep=0.9),
    "balanced-half": ResidualNetwork(6, 6, "phi-in", "balanced-half", 0.9, keep=0.5),
    "sigmoid, no skip": ResidualNetwork(5, 6, "phi-in", "sigmoid", 0.0, keep=0.7),
    "linear, no skip": ResidualNetwork(131, 6, "phi-in", "linear", 0.0, SCALE, keep=0.7),
    "small": ResidualNetwork(4, 6, "phi-in", "gelu", keep=2.0**-32),
    "large": ResidualNetwork(40, 6, "phi-in", "leaky_relu", keep=1.0 - 2.0**-32),
}
OTHER_WEIGHTS = {
    "uniform": ResidualNetwork(7, 6, "phi-in", "gelu", weights="uniform", input=(0.3, -2.0, 1.1), keep=0.5),
    "tied": ResidualNetwork(5, 6, "phi-in", "tanh", weights=Weights(depth="tied"), bias=0.2, keep=0.4),
    "smooth": ResidualNetwork(5, 6, "phi-in", "relu", weights=Weights(depth=resmc.SmoothProcess(0.3)), keep=0.6),
}


@pytest.mark.cpu
@pytest.mark.parametrize("name", CASES)
def test_kernels_simulate_the_networks_of_the_reference(name):
    for method in ("projected", "dense") if CASES[name].width < 100 else ("projected",):
        assert differences(CASES[name], method=method).max() < TOLERANCE, method


@pytest.mark.cpu
@pytest.mark.parametrize("name", OTHER_WEIGHTS)
def test_kernels_mask_other_weights_and_those_that_are_handed_in(name):
    assert differences(OTHER_WEIGHTS[name], method="dense").max() < TOLERANCE


@pytest.mark.cpu
def test_every_instruction_set_draws_the_same_masks(monkeypatch):
    for name, _ in resmc._native.instruction_sets():
        monkeypatch.setenv(VARIABLE, name)
        assert differences(CASES["tanh bias"]).max() < TOLERANCE, name


@pytest.mark.cpu
def test_the_comparison_sees_another_probability_and_a_gradient_without_its_mask(monkeypatch):
    """A negative control: 0.6 is not 0.62, and the mask is part of the slope."""
    model, ours = CASES["relu"], simulated(CASES["relu"], 20, seed=3, gradients=True, keep_trajectories=20).trajectories
    other = simulate_residual(replace(model, keep=0.62), 20, seed=3)
    assert np.abs(ours.log_norm - other.log_norm).max() > 10 * TOLERANCE
    layer = resmc.reference.residual.Layer
    monkeypatch.setattr(layer, "_slope", lambda self, x: self.signs * self.activation.slope(self.signs * x))
    unmasked = simulate_residual(model, 20, seed=3)
    np.testing.assert_allclose(ours.log_norm, unmasked.log_norm, atol=TOLERANCE)
    assert np.abs(ours.ratios["gradient"] - unmasked.log_gradient).max() > 0.1


@pytest.mark.cpu
def test_a_segment_that_is_computed_once_more_has_the_same_masks(monkeypatch):
    assert_segments_change_nothing(replace(LINEAR, activation="relu", depth=40), 30, monkeypatch)


@pytest.mark.parametrize("method", ["projected", "dense"])
@pytest.mark.parametrize("name", ["tanh bias", "balanced", "linear, no skip"])
def test_a_gpu_has_the_networks_of_the_reference(gpu, name, method):
    model = replace(CASES[name], width=min(CASES[name].width, 30), n_out=1)
    assert_gpu_has_the_twins_networks(model, method)


@pytest.mark.parametrize("name", [*CASES, *OTHER_WEIGHTS])
def test_the_dense_gradient_is_autograds(name):
    model = (CASES | OTHER_WEIGHTS)[name]
    if model.width > 100 or model.carry == 0.0:
        model = replace(model, width=6, carry=0.5)
    assert_twin_is_autograd(model)


def test_modules_and_arrays_have_the_masks_of_their_network():
    torch = pytest.importorskip("torch")
    from resmc.torch_module import fill_from_generator

    model = CASES["tanh bias"]
    several, one = model.to_torch(seed=2, network=range(4, 7)), model.to_torch(seed=2, network=5)
    torch.testing.assert_close(several()[1], one(), rtol=1e-14, atol=0.0)
    drawn = model.draw_weights(2, 5)
    np.testing.assert_array_equal(one.kept.numpy(), drawn.kept)
    h = drawn.A @ drawn.x
    for V, b, kept, s in zip(drawn.V, drawn.b, drawn.kept, model.scales, strict=True):
        h = model.carry * h + s * (V @ (kept * np.tanh(h)) + b)
    np.testing.assert_allclose(one().detach().numpy()[0], drawn.readout @ h, rtol=1e-12)
    fill_from_generator(several, torch.Generator().manual_seed(1))
    assert set(several.kept.unique().tolist()) == {0.0, kept_factor(0.3)}
    assert ResidualNetwork(4, 2).to_torch().kept is None
    assert ResidualNetwork(4, 2).draw_weights().kept is None


# -- fields, files, keys, commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"keep": 0.0}, "keep=0.0 is not allowed: it is the probability that a neuron stays"),
        ({"keep": 1.5}, "keep=1.5 is not allowed: "),
        ({"keep": -0.5}, "keep=-0.5 is not allowed: "),
        ({"keep": math.nan}, "keep=nan is not allowed: it must be a finite number"),
        ({"keep": "half"}, "keep='half' is not allowed: "),
        ({"keep": 2.0**-34}, "is too near to 0: masks are drawn from 32 bits"),
        ({"keep": 1.0 - 2.0**-34}, "is too near to 1: masks are drawn from 32 bits"),
        ({"keep": 0.5, "block": "phi-out"}, "keep=0.5 is not allowed with block='phi-out': masks multiply sigma(h)"),
        ({"keep": 0.5, "block": "v-phi-w"}, "keep=0.5 is not allowed with block='v-phi-w': "),
        ({"keep": 0.5, "alpha": 0.5, "lam": 0.5}, "keep is not allowed beside alpha: keep is a field of a"),
    ],
)
def test_a_probability_that_is_none_is_refused_in_a_sentence(given, said, capsys):
    with pytest.raises(ValueError, match=re.escape(said)):
        resmc.simulate(width=4, depth=3, networks=1, progress=False, **given)
    options = [x for name, value in given.items() for x in (f"--{name}={value}",)]
    if given["keep"] != "half":
        said = said.replace("keep is not allowed beside alpha", "--keep is not allowed beside --alpha")
        assert said.split("keep is a")[0] in refusal(
            capsys, "simulate", "--width=4", "--depth=3", "--networks=1", *options
        )


def test_training_schemes_and_maps_refuse_dropout():
    pytest.importorskip("torch")
    from resmc.torch_module.ensemble import Ensemble

    model = ResidualNetwork(4, 3, "phi-in", "tanh", keep=0.5)
    x, y = np.zeros((20, 2)), np.arange(20) % 2
    for call, said in {
        lambda: resmc.train.fit(model, x, y): "in training: masks stay as they are drawn",
        lambda: Ensemble([model], [0], features=2, outputs=2): "in training: masks stay as they are drawn",
        lambda: model.to_torch(scheme="euler"): "scheme='euler' is not allowed with keep=0.5",
        lambda: resmc.heat_map(model, hurst=[0.5], beta=[0.5]): "in a heat map: ",
        lambda: resmc.quadratic_variation(model): "where one network has every depth: masks are drawn anew",
        lambda: resmc.limit(model): "keep=0.5 has no limit in depth",
        lambda: theory.two_inputs(replace(LINEAR, keep=0.5), 0.5): "in two_inputs: ",
        lambda: resmc.gram_chain(LINEAR, [[1.0]], 2): "in gram_chain: states that meet a mask share more",
        lambda: theory.lyapunov_exponents(replace(LINEAR, carry=0.0), 2): "keep=0.7 has no exact exponents",
        lambda: theory.kernel_moments(replace(LINEAR, carry=0.0)): "keep=0.7 has no exact second moment",
    }.items():
        with pytest.raises(ValueError, match=re.escape(said)):
            call()


def test_keys_and_files_without_dropout_are_what_they_were():
    model = ResidualNetwork(8, 4, "phi-in", "tanh", bias=0.5, scaling=DepthScaling(0.5, 1.2))
    assert "keep" not in model.to_dict()
    assert ResidualNetwork.from_dict(model.to_dict()) == model
    point = Point(model, 3, "projected", 8, False, 64, gradients=True)
    assert point.key == "da03a71c14e49a451b0bfd7f8c32ee84"  # of the version before there was dropout
    assert replace(point, model=replace(model, keep=1.0)).key == point.key
    assert replace(point, model=replace(model, keep=0.5)).key != point.key


@pytest.mark.cpu
def test_a_simulation_and_a_sweep_keep_the_probability(tmp_path):
    sim = simulated(LINEAR, 200, seed=1)
    sim.save(tmp_path / "a.resmc")
    assert resmc.load(tmp_path / "a.resmc").model == LINEAR
    with pytest.raises(ValueError, match="different model do not merge"):
        resmc.merge(sim, simulated(replace(LINEAR, keep=0.6), 200, seed=1, first_network=200))
    plan = Sweep(width=8, depth=4, activation="linear", carry=0.8, keep=[0.5, 1.0], networks=2000)
    assert plan.dims == ("keep",)
    assert [model.keep for model in plan.models] == [0.5, 1.0]
    assert Sweep.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    result = plan.run(tmp_path / "store", progress=False)
    assert "keep" in str(result)
    assert np.abs(result.estimates["growth"].z_score(4.0 * math.log(0.64 + 0.25))).max() < BOUND


@pytest.mark.cpu
def test_the_command_line_takes_the_probability(capsys):
    options = ["simulate", "--width=8", "--depth=5", "--activation=linear", "--keep=0.7", "--networks=100", "--json"]
    model = json.loads(run(capsys, *options))["model"]
    assert model["keep"] == 0.7
    assert "keep" not in json.loads(run(capsys, *options[:-3], *options[-2:]))["model"]
