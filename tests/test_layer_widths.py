"""Fully connected networks whose layers have widths of their own, `ResidualNetwork(width=(n_0, .., n_L), carry=0)`.

Networks are compared one by one with the twin, and the twin with autograd through explicit weights. Of the comparisons
in law, 60 in all with a bound of 4.5 standard errors, a correct program fails one with a probability of 4.1e-4.
"""

from __future__ import annotations

import itertools
import json
import math
import pickle
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from commands import refusal
from twins import simulated

import resmc
from resmc import DepthScaling, ResidualNetwork, Sweep, Weights, theory
from resmc.engine import lowering
from resmc.engine.lowering import lower
from resmc.models.network import METHODS
from resmc.models.spelling import first_layers
from resmc.reference import simulate_residual
from resmc.reference.sources import Counters
from resmc.sweep.point import Point

BOUND, CONTROL = 4.5, 8.0
TOLERANCE = 1e-4  # of contract 3: the kernels' float32 beside the twin's float64
HE = DepthScaling(0.0, math.sqrt(2.0))
NARROWING, WIDENING, UNEVEN = (40, 26, 17, 9, 5), (5, 9, 17, 26, 40), (5, 9, 1, 6, 3)


def net(widths: tuple[int, ...], block: str = "phi-in", activation: str = "relu", **more: Any) -> ResidualNetwork:
    return ResidualNetwork(widths, len(widths) - 1, block, activation, **{"carry": 0.0, "scaling": HE, **more})


CASES = {
    "narrowing": net(NARROWING, bias=0.3, n_out=3),
    "widening": net(WIDENING, "phi-out", "tanh", bias=0.4),
    "uneven": net(UNEVEN, "phi-out", "leaky_relu"),
    "of one neuron": net((1, 1, 7, 1), "phi-in", "tanh", bias=0.3),
    "by layer": net(UNEVEN, "phi-in", "tanh", scaling=(0.9, -1.4, 1.1, 0.7)),
    "inside": net((12, 5, 30), "phi-out", "softplus", scaling=DepthScaling(0.0, 1.3, inside=True), bias=0.2),
    "balanced": net(UNEVEN, "phi-in", "balanced"),
    "balanced outside": net(WIDENING, "phi-out", "balanced"),
    "balanced-half": net((6, 14, 2, 8), "phi-in", "balanced-half", bias=0.2),
    "dropout": net(NARROWING, "phi-in", "tanh", keep=0.7),
    "an input": net(NARROWING, "phi-in", "relu", input=(0.3, -2.0, 1.1)),
    "a layer of zeros": net((9, 6, 13), "phi-in", "relu", scaling=(0.0, 1.0), bias=0.5),
}


def differences(model: ResidualNetwork, method: str = "projected", networks: int = 20) -> float:
    """Return the largest difference from the twin: of all records, and of outputs over their size."""
    settings = {"seed": 3, "first_network": 5, "method": method}
    sim = simulated(model, networks, gradients=True, keep_samples=networks, keep_trajectories=networks, **settings)
    ref, paths = simulate_residual(model, networks, **settings), sim.trajectories
    pairs = [(paths.log_norm, ref.log_norm), (paths.ratios["gradient"], ref.log_gradient)]
    pairs.append((paths.ratios["overlap"], ref.overlap))
    pairs.append((sim.samples.log_norm, ref.log_norm[:, -1]))
    pairs.append((sim.samples.ratios["gradient"], ref.log_gradient[:, 0]))
    size = np.sqrt(np.mean(ref.output**2))
    pairs.append((sim.samples.output / size, ref.output / size))
    if model.has_asymmetry:
        pairs.append((paths.asymmetry, ref.asymmetry))
        alive = ~np.isnan(ref.active_fraction)
        with np.errstate(invalid="ignore"):
            active = np.where(alive, ref.active_fraction, 0.0).sum(axis=0) / alive.sum(axis=0)
        pairs.append((sim.active_fraction.value, active))
    with np.errstate(invalid="ignore"):
        found = [np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b)) for a, b in pairs]
    return max(float(np.where(np.isnan(one), np.inf, one).max()) for one in found)


# -- kernels, twin and torch ------------------------------------------------------------------------------------------


@pytest.mark.cpu
@pytest.mark.parametrize("name", CASES)
def test_kernels_simulate_the_networks_of_the_reference(name):
    for method in METHODS:
        assert differences(CASES[name], method) < TOLERANCE, method


@pytest.mark.cpu
@pytest.mark.parametrize("block", ["phi-in", "phi-out"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu(0.3)", "balanced", "softplus"])
def test_blocks_and_activations_narrow_and_widen_with_a_bias(block, activation):
    for widths, method in itertools.product((NARROWING, WIDENING), METHODS):
        assert differences(net(widths, block, activation, bias=0.3), method) < TOLERANCE, (widths, method)


@pytest.mark.cpu
def test_uniform_weights_have_widths_by_layer():
    for block in ("phi-in", "phi-out"):
        model = net(WIDENING, block, "tanh", weights="uniform", bias=0.4, bias_law="uniform")
        assert differences(model, "dense") < TOLERANCE


@pytest.mark.cpu
def test_the_comparison_sees_another_width_and_its_normaliser():
    """Negative controls: a neuron more in the middle, and matrices of variance 1/n of the widest layer."""
    model = CASES["uneven"]
    ours = simulated(model, 20, seed=3, keep_trajectories=20).trajectories.log_norm
    other = simulate_residual(net((5, 9, 2, 6, 3), "phi-out", "leaky_relu"), 20, seed=3).log_norm
    assert np.abs(ours - other).max() > 10 * TOLERANCE
    kernel = lower(model).in_own_units(True)
    assert kernel.steps == pytest.approx(np.full(4, math.sqrt(2.0)), rel=1e-6)
    inward = lower(net(UNEVEN)).in_own_units(False)
    assert inward.steps == pytest.approx(np.sqrt(2.0 / np.array(UNEVEN[:-1])), rel=1e-6)


@pytest.mark.cpu
def test_a_segment_that_is_computed_once_more_has_the_same_layers(monkeypatch):
    widths = tuple(5 + 3 * (layer % 4) for layer in range(41))
    settings = {"seed": 4, "gradients": True, "keep_trajectories": 20}
    for method in METHODS:
        model = net(widths, "phi-in", "tanh", bias=0.3)
        whole = simulated(model, 20, method=method, **settings).trajectories
        with monkeypatch.context() as patch:
            patch.setattr(lowering, "SEGMENT_BYTES", 1)
            parts = simulated(model, 20, method=method, **settings).trajectories
        for name in ("gradient", "overlap"):
            np.testing.assert_array_equal(parts.ratios[name], whole.ratios[name])


@pytest.mark.parametrize("name", CASES)
def test_the_dense_gradient_is_autograds(name):
    torch = pytest.importorskip("torch")
    model = CASES[name]
    paths, module = simulate_residual(model, 3, seed=71, method="dense"), model.to_torch(71, range(3))
    y, hs = module(return_layers=True)
    squares = torch.stack([h.square().sum((-2, -1)) for h in hs], -1)
    found = torch.log(squares / torch.tensor(model.layer_widths)).detach().numpy()
    np.testing.assert_allclose(found, paths.log_norm, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(y[:, 0].detach().numpy(), paths.output, rtol=1e-9)
    gradients = torch.autograd.grad(y[:, 0, 0].sum(), hs)
    p = torch.stack([one.square().sum((-2, -1)) for one in gradients], -1).numpy()
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(np.log(p / p[:, -1:]), paths.log_gradient, rtol=1e-9, atol=1e-9)


def test_modules_and_arrays_have_a_matrix_of_its_own_shape_for_every_layer():
    torch = pytest.importorskip("torch")
    from resmc.torch_module import fill_from_arrays, fill_from_generator

    model = replace(CASES["narrowing"], activation="tanh")
    several, one = model.to_torch(seed=2, network=range(4, 7)), model.to_torch(seed=2, network=5)
    assert [tuple(V.shape) for V in one.V] == [(26, 40), (17, 26), (9, 17), (5, 9)]
    assert [tuple(b.shape) for b in one.b] == [(26,), (17,), (9,), (5,)]
    torch.testing.assert_close(several()[1], one(), rtol=1e-13, atol=0.0)
    drawn = model.draw_weights(2, 5)
    h = drawn.A @ drawn.x
    for V, b, s in zip(drawn.V, drawn.b, model.scales, strict=True):
        h = s * (V @ np.tanh(h) + b)
    np.testing.assert_allclose(one().detach().numpy()[0], drawn.readout @ h, rtol=1e-12)
    torch.testing.assert_close(one.branch(0, torch.ones(1, 40, dtype=torch.float64)).shape, torch.Size([1, 26]))
    fill_from_generator(several, torch.Generator().manual_seed(1))
    fill_from_arrays(one, V=[V[1] for V in several.V])
    torch.testing.assert_close(one.V[2], several.V[2][1])
    with pytest.raises(ValueError, match="V is not allowed: it must be a list of 4 arrays"):
        fill_from_arrays(one, V=np.zeros((4, 3, 3)))
    with pytest.raises(
        ValueError, match=re.escape("V of layer 1 of shape (2, 2) is not allowed: it must have (17, 26)")
    ):
        fill_from_arrays(one, V=[one.V[0], np.zeros((2, 2)), *list(one.V)[2:]])
    other = model.to_torch(seed=9)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other(), one())
    large = net((300, 80, 200), "phi-out", "tanh").to_torch(seed=1)
    for matrix, fan in zip(large.W, (300, 80), strict=True):  # at least 16 000 entries: 1.2% is the standard deviation
        assert float(matrix.detach().square().mean()) * fan == pytest.approx(1.0, abs=5 * 0.012)


def test_memory_is_asked_of_the_matrices_that_there_are():
    drawn = net((100_000, *[2] * 400), "phi-out", "tanh").draw_weights()  # squares of the largest width: 32 TB
    assert (drawn.W[0].shape, len(drawn.W)) == ((2, 100_000), 400)


def test_the_twin_draws_biases_signs_and_masks_of_as_many_neurons_as_there_are():
    networks = np.arange(2, dtype=np.uint64)
    inward = Counters(net(UNEVEN, "phi-in", "balanced", bias=0.5, keep=0.5), 3, networks)
    assert (inward.signs(1).shape, inward.bias(1).shape, inward.kept(1).shape) == ((2, 9), (2, 1), (2, 9))
    outward = Counters(net(UNEVEN, "phi-out", "balanced", bias=0.5), 3, networks)
    assert (outward.signs(0).shape, outward.bias(0).shape) == ((2, 9), (2, 9))
    assert outward.matrix("outer", 1).shape == (2, 1, 9)
    assert (outward.first_layer().shape, outward.readout(4).shape) == ((2, 5, 1), (2, 4, 3))


# -- laws -------------------------------------------------------------------------------------------------------------


@pytest.mark.cpu
@pytest.mark.parametrize("block", ["phi-in", "phi-out"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_projected_and_dense_agree_in_law_there_and_back_and_jointly(block, activation):
    """Means, squares and a product of three logarithms, 7 comparisons each."""

    def features(seed: int, method: str, model: ResidualNetwork) -> np.ndarray:
        kept = simulated(model, 20_000, seed=seed, method=method, gradients=True, keep_samples=20_000).samples
        x = np.stack([kept.log_norm, kept.ratios["growth"], kept.ratios["gradient"]])
        x = x[:, np.isfinite(x).all(axis=0)]
        return np.concatenate([x, x**2, x[:1] * x[2:]])

    def z(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        error = np.sqrt(a.var(axis=1) / a.shape[1] + b.var(axis=1) / b.shape[1])
        return np.abs(a.mean(axis=1) - b.mean(axis=1)) / error

    bias = 0.3 if activation == "tanh" else 0.0
    model = net((5, 9, 4, 6), block, activation, bias=bias)
    one = features(1, "projected", model)
    assert z(one, features(2, "dense", model)).max() < BOUND
    assert z(one, features(2, "projected", net((5, 9, 12, 6), block, activation, bias=bias))).max() > CONTROL


@pytest.mark.cpu
@pytest.mark.parametrize("block", ["phi-in", "phi-out"])
def test_a_relu_layer_multiplies_the_mean_square_of_a_neuron_by_half_of_s_squared(block):
    """E|h_{l+1}|^2/n_{l+1} = s^2/2 E|h_l|^2/n_l whatever the widths: 8 comparisons; |h_l|^2 itself has n_l in it."""
    model = net((60, 90, 45, 120, 30), block, scaling=DepthScaling(0.0, 1.2))
    sim = simulated(model, 20_000, seed=8)
    known = 0.72 ** np.arange(5.0)
    mean_square = sim.estimate("mean_square")
    assert np.abs(mean_square.z_score(np.log(known))[1:]).max() < BOUND
    growth = sim.estimate("growth")
    assert np.abs(growth.z_score(np.log(known * model.layer_widths / 60.0))[1:]).max() < BOUND
    assert np.abs(growth.z_score(np.log(known))[1:]).min() > CONTROL
    np.testing.assert_allclose(sim.facts.mean_square(sim.layers), np.log(known), atol=1e-12)


@pytest.mark.cpu
def test_networks_that_keep_their_units_have_mean_squares_and_laws_of_each_layers_width():
    """A bias, so that E|h_l|^2/n has sums of its own: s^2 (m/2 + t^2), 6 comparisons with what is known."""
    model = net((30, 12, 50, 20), bias=0.5, input_norm=1.5)
    assert lower(model).follows_mean_square
    sim = simulated(model, 20_000, seed=5, keep_samples=20_000)
    known = [2.25]
    for _ in range(3):
        known.append(2.0 * (0.5 * known[-1] + 0.25))
    assert np.abs(sim.estimate("mean_square").z_score(np.log(known))).max() < BOUND
    assert sim.estimate("active_fraction").value == pytest.approx(np.full(4, 0.5), abs=0.005)
    log_norm = sim.samples.log_norm
    assert abs(sim.log_norm_mean.value[-1] - log_norm.mean()) < 1e-5
    edges, counts = sim.histogram.edges, sim.histogram.counts
    centre = float((0.5 * (edges[1:] + edges[:-1])) @ counts / counts.sum())
    assert abs(centre - log_norm.mean()) < 0.5 * (edges[1] - edges[0])


@pytest.mark.cpu
def test_only_growth_and_gradient_are_followed_and_nothing_shows_a_displacement():
    sim = simulated(CASES["narrowing"], 200, seed=1, gradients=True, keep_samples=3, keep_trajectories=3)
    assert sim.followed == ("growth", "gradient")
    assert not [name for name in sim.observables if "displacement" in name]
    assert set(sim.samples.ratios) == {"growth", "gradient"}
    assert set(sim.trajectories.ratios) == {"gradient", "overlap"}
    assert "h_4-h_0" not in str(sim.summary())
    assert simulated(CASES["narrowing"], 10).followed == ("growth",)


# -- the spelling, files, keys, commands ------------------------------------------------------------------------------


@pytest.mark.cpu
def test_equal_widths_are_one_number_in_every_bit():
    one, all_alike = ResidualNetwork(8, 3, "phi-out", "tanh", 0.0), ResidualNetwork([8] * 4, 3, "phi-out", "tanh", 0.0)
    assert one == all_alike
    assert (all_alike.width, all_alike.widths) == (8, None)
    assert one.to_dict() == all_alike.to_dict()
    assert "widths" not in one.to_dict()
    assert ResidualNetwork((8, 8), 1, carry=1.0) == ResidualNetwork(8, 1)
    a, b = (simulated(model, 100, seed=2, keep_samples=100).samples for model in (one, all_alike))
    np.testing.assert_array_equal(a.log_norm, b.log_norm)
    assert lower(one).in_own_units(False).widths.size == 0


def test_widths_are_a_field_that_is_kept_compared_hashed_and_replaced():
    model = net((784, 256, 10), bias=0.1)
    assert (model.width, model.widths) == (784, (784, 256, 10))
    assert [model.width_of(layer) for layer in range(3)] == model.layer_widths.tolist() == [784, 256, 10]
    spelled = [net(np.array([784, 256, 10]), bias=0.1), net([784.0, 256, 10], bias=0.1), replace(model)]
    spelled += [ResidualNetwork.from_dict(json.loads(json.dumps(model.to_dict()))), pickle.loads(pickle.dumps(model))]
    spelled += [ResidualNetwork(784, 2, carry=0.0, scaling=HE, bias=0.1, widths=[784, 256, 10])]
    assert {model, *spelled} == {model}
    assert replace(model, bias=0.0).widths == model.widths
    assert replace(model, width=256, widths=None).layer_widths.tolist() == [256] * 3
    assert eval(repr(model), {"ResidualNetwork": ResidualNetwork, "DepthScaling": DepthScaling}) == model
    assert "widths 784, 256, 10  depth 2" in model.title
    assert "784-256-10" in model.short_title
    assert "widths 9, 8, 8, .., 8 (21 in all)" in net((9, *[8] * 20)).title
    assert model.aspects == pytest.approx([0.0, 1 / 256, 1 / 256 + 1 / 10])
    assert model.ratio == model.aspects[-1]
    assert first_layers(net(UNEVEN), 2).widths == (5, 9, 1)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"width": (4, 5)}, "width=(4, 5) is not allowed with depth=2: it must have the widths of layers 0 to depth, 3 in"),
    ({"width": (4, 5, 6, 7)}, "3 in all, and has 4"),
    ({"width": (4, 0, 6)}, "width of layer 1=0 is out of range: it must be an integer from 1 to 2^24"),
    ({"width": (4, 5, 2**24 + 1)}, "width of layer 2=16777217 is out of range"),
    ({"width": (4, 5.5, 6)}, "width of layer 1=5.5 is not allowed"),
    ({"width": (4, True, 6)}, "width of layer 1=True is not allowed"),
    ({"width": "4,5,6"}, "width='4,5,6' is not allowed"),
    ({"width": np.ones((3, 1))}, "it must be an integer from 1 to 2^24"),
    ({"widths": 5}, "widths=5 is not allowed: it must be None, or a list of depth + 1 integers"),
    ({"width": 7, "widths": (4, 5, 6)}, "width=7 is not allowed beside widths=(4, 5, 6): it must be the largest, 6"),
    ({"widths": (4, 5, 7)}, "width=(4, 5, 6) is not allowed beside widths=(4, 5, 7): they must be the same"),
    ({"carry": 1.0}, "width=(4, 5, 6), which differs from layer to layer, is not allowed with carry=1.0: a skip adds"),
    ({"block": "v-phi-w"}, "is not allowed with block='v-phi-w'"),
    ({"norm": "rms"}, "is not allowed with norm='rms'"),
    ({"weights": "orthogonal"}, "is not allowed with weights='orthogonal': such matrices are square"),
    ({"weights": Weights(depth="tied")}, "is not allowed with weights that depend on each other in depth"),
    ({"activation": "shaped_relu(0, -1)"}, "is not allowed with activation='shaped_relu(0, -1)'"),
    ({"activation": "balanced-half"}, "every width must be even, and one is 5"),
]


@pytest.mark.parametrize(("given", "said"), BAD)
def test_what_layers_of_other_widths_cannot_have_is_refused_in_a_sentence(given, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        ResidualNetwork(**{"width": (4, 5, 6), "depth": 2, "carry": 0.0, **given})


def test_a_replaced_width_needs_the_others_to_go():
    model = net((4, 5, 6))
    for given in ({"width": 5}, {"width": (4, 5, 7)}):
        with pytest.raises(ValueError, match=r"is not allowed beside widths=.*give widths=None beside a new width"):
            replace(model, **given)
    assert replace(model, width=(4, 5, 7), widths=None).widths == (4, 5, 7)


def test_what_has_layers_of_one_width_refuses_them():
    pytest.importorskip("torch")
    from resmc.torch_module.ensemble import Ensemble

    model, said = net((6, 4, 5), activation="tanh"), "which differs from layer to layer, is not allowed "
    x, y = np.zeros((20, 2)), np.arange(20) % 2
    sims = [simulated(model, 40, seed=i) for i in range(2)]
    for call, where in {
        lambda: resmc.train.fit(model, x, y): said + "in training",
        lambda: Ensemble([model], [0], features=2, outputs=2): said + "in training",
        lambda: resmc.heat_map(model, hurst=[0.5], beta=[0.5]): "carry=0.0 is not allowed in a heat map",
        lambda: resmc.quadratic_variation(model): "carry=0.0 is not allowed",
        lambda: resmc.regime(model): "carry=0.0 is not allowed",
        lambda: resmc.limit(model, networks=2): "carry=0.0 has no limit in depth",
        lambda: simulated(model, 1, angle=0.1): said + "with angle",
        lambda: simulated(model, 1, gram=[[1.0, 0.5], [0.5, 1.0]]): said + "with gram",
        lambda: simulated(model, 1, tangents=1): said + "with tangents=1",
        lambda: simulated(model, 1, tangent_kernel=True): said + "with tangent_kernel=True",
        lambda: simulated(model, 1, displacement=True): said + "with displacement=True",
        lambda: simulated(model, 1, device="cuda"): said + "on a GPU",
        lambda: Sweep(models=[model], networks=64, displacement=True): said + "with displacement=True",
        lambda: Sweep(models=[model], networks=64, angle=0.1): said + "with angle",
        lambda: resmc.moment_growth(model, 2.0): said + "in populations that are resampled",
        lambda: resmc.gram_chain(net((6, 4, 5)), [[1.0]], 2): said + "with several inputs or tangents",
        lambda: theory.two_inputs(net((6, 4, 5), activation="linear"), 0.5): said + "with several inputs or tangents",
        lambda: resmc.reference.simulate_joint(model, [[1.0]], 1): said + "with several inputs or tangents",
        lambda: resmc.jacobian_singular_values(model, networks=1): said + "with products of Jacobians",
        lambda: theory.lyapunov_exponents(net((6, 4, 5)), 2): "width=(6, 4, 5) has no exact exponents",
        lambda: theory.kernel_moments(net((6, 4, 5))): "width=(6, 4, 5) has no exact second moment",
        lambda: theory.log_determinant(net((6, 4, 5), activation="linear")): "width=(6, 4, 5) has no exact determinant",
        lambda: model.to_torch(scheme="euler"): said + "with a scheme",
        lambda: resmc.extrapolate(sims): said + "in extrapolate",
        lambda: simulated(net((2**17 + 1, 2)), 1, method="dense"): "width=131073 is too large for method='dense'",
        lambda: resmc.simulate(
            width=(6, 4, 5), depth=2, alpha=0.6, lam=0.8, networks=1
        ): "width=(6, 4, 5) is not allowed in a ResNet",
    }.items():
        with pytest.raises(ValueError, match=re.escape(where)):
            call()


@pytest.mark.cpu
def test_simulations_sweeps_and_pages_keep_the_widths(tmp_path):
    model = CASES["narrowing"]
    sim = simulated(model, 200, seed=1, gradients=True, keep_trajectories=4)
    sim.save(tmp_path / "a.resmc")
    again = resmc.load(tmp_path / "a.resmc")
    assert again.model == model
    assert str(again.summary()) == str(sim.summary())
    assert "widths 40, 26, 17, 9, 5" in str(sim.summary())
    merged = resmc.merge([again, simulated(model, 200, seed=1, first_network=200, gradients=True)])
    whole = simulated(model, 400, seed=1, gradients=True)
    np.testing.assert_allclose(merged.log_norm_mean.value, whole.log_norm_mean.value, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(sim.variance_growth().ratio, model.aspects)
    plan = Sweep(models=[model, net(WIDENING), ResidualNetwork(5, 4, carry=0.0)], networks=64)
    assert Sweep.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    result = plan.run(tmp_path / "store", progress=False)
    assert (result.networks.ravel() == 64).all()
    assert Sweep(models=[model], networks=64, gradients=True).estimate().updates > 0


@pytest.mark.cpu
def test_a_page_says_all_widths_and_how_to_get_the_networks_again():
    from resmc.report.found import Analyses
    from resmc.report.reproduce import of_simulation
    from resmc.report.settings import of_model
    from resmc.report.simulation_page import lead, title
    from resmc.report.spelled import model_call, model_options

    model = net((784, 256, 10))
    assert dict(of_model(model))["Width n"] == "(784, 256, 10), 3 numbers"
    assert "Widths" not in " ".join(name for name, _ in of_model(model))
    assert eval(model_call(model), {"resmc": resmc}) == model
    assert model_options(model)["width"] == [784, 256, 10]
    sim = simulated(model, 40)
    assert "displacement" not in of_simulation(sim).python
    found = Analyses.of(sim)
    assert "widths 784, 256, 10" in title(found)
    assert "d/n\xa0=\xa00.1039" in lead(found)


def test_keys_of_networks_of_one_width_are_what_they_were():
    point = Point(ResidualNetwork(8, 2, "phi-out", "tanh", 0.0), 3, "projected", 2, False, 64)
    keys = {
        replace(point, model=net(widths, "phi-out", "tanh", scaling=DepthScaling(0.5))).key
        for widths in ((8, 8, 8), (8, 7, 8), (7, 8, 8))
    }
    assert point.key in keys
    assert len(keys) == 3


def test_the_command_takes_widths_with_commas(capsys):
    from resmc.cli import main

    options = ["simulate", "--width", "30,12,7", "--depth", "2", "--carry", "0", "--networks", "64", "--quiet"]
    assert main(options) in (None, 0)
    assert "widths 30, 12, 7" in capsys.readouterr().out
    said = refusal(capsys, "simulate", "--width=30,12,7", "--depth=2", "--networks=64")
    assert "is not allowed in a ResNet" in said
    said = refusal(capsys, "simulate", "--width=30,12", "--depth=2", "--carry=0", "--networks=64")
    assert "it must have the widths of layers 0 to depth" in said
