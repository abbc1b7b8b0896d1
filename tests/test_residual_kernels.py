"""The kernels of any residual network against its NumPy twin, network by network, there and back.

float32 against float64: logarithms of norms agree within 1e-4 (ARCHITECTURE.md, contract 3), but where a kink of the
activation lies closer to a pre-activation than rounding does: a mask flips then, and the gradient is another one. In
deep networks 99% agree.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines import residual_network

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet
from resmc._system.build import VARIABLE
from resmc.engine import lowering
from resmc.models.activations import ACTIVATIONS
from resmc.models.blocks import BLOCKS
from resmc.models.residual_network import RESNET_ACTIVATIONS
from resmc.models.spelling import general
from resmc.models.weight_law import WEIGHTS
from resmc.reference import simulate_residual

pytestmark = pytest.mark.cpu

TOLERANCE = 1e-4
OUTSIDE, INSIDE = DepthScaling(0.5, 1.3), DepthScaling(0.5, -1.3, inside=True)
BY_LAYER = tuple(0.5 - 0.3 * (layer % 4) for layer in range(9))
NAMES = ("displacement", "gradient", "gradient_displacement")


def run(model: resmc.ResNet | ResidualNetwork, networks: int, **settings: Any) -> resmc.Simulation:
    kept = {"keep_trajectories": networks, "keep_samples": networks}
    return resmc.simulate(
        model, networks=networks, **{"progress": False, "threads": 1, "gradients": True, **kept, **settings}
    )


def differences(
    model: ResidualNetwork, networks: int = 20, method: str = "projected", rounded: bool = False, **settings: Any
) -> np.ndarray:
    """(6, N, R): of log-norm, the three ratios, overlap and A; where both are the logarithm of 0, none."""
    layers = sorted({0, 1, model.depth // 2, model.depth - 1, model.depth})
    sim = run(model, networks, seed=3, first_network=5, method=method, layers=layers, **settings)
    ref = simulate_residual(model, networks, seed=3, first_network=5, method=method, layers=layers)
    ours, twins = sim.trajectories, [ref.log_displacement, ref.log_gradient, ref.log_gradient_displacement]
    pairs = [(ours.log_norm, ref.log_norm), *zip([ours.ratios[name] for name in NAMES], twins, strict=True)]
    pairs.append((ours.ratios["overlap"], ref.overlap))
    pairs.append((ours.asymmetry, np.full(ours.asymmetry.shape, np.nan) if ref.asymmetry is None else ref.asymmetry))
    # What is 0 but for rounding, in one arithmetic or both, is 0.
    pairs[1:4] = [(np.maximum(a, -30.0), np.maximum(b, -30.0)) for a, b in pairs[1:4]] if rounded else pairs[1:4]
    with np.errstate(invalid="ignore"):
        found = np.stack([np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b)) for a, b in pairs])
        size = np.sqrt(np.mean(ref.output**2))
    if np.isfinite(size) and size > 0.0:  # within the range of float64
        found[0, :, 0] += np.abs(sim.samples.output - ref.output).max(axis=1) / size
    return np.where(np.isnan(found), np.inf, found)


def test_a_dead_network_has_no_overlap():
    model = ResidualNetwork(2, 6, "phi-in", "relu", 0.0, DepthScaling(0.0))
    paths = run(model, 200).trajectories
    dead = np.isneginf(paths.log_norm) | np.isneginf(paths.ratios["gradient"])
    assert dead.any()
    np.testing.assert_array_equal(np.isnan(paths.ratios["overlap"]), dead)


def small(block: str, activation: str, **given: Any) -> ResidualNetwork:
    return ResidualNetwork(6 if activation == "balanced-half" else 7, 9, block, activation, n_out=2, **given)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("block", BLOCKS)
def test_projected_networks_are_those_of_the_reference(block, activation):
    for scaling in (OUTSIDE, BY_LAYER, INSIDE) if block == "phi-out" else (OUTSIDE, BY_LAYER):
        for bias, carry in ((0.0, 1.0), (0.7, -0.8)):
            model = small(block, activation, scaling=scaling, bias=bias, carry=carry)
            assert differences(model).max() < TOLERANCE, model


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("block", BLOCKS)
def test_explicit_weights_are_those_of_the_reference(block, activation):
    inside = block == "phi-out"
    for weights, scaling, bias in (
        ("gaussian", INSIDE if inside else BY_LAYER, 0.7),
        ("uniform", OUTSIDE, 0.0),
        ("rademacher", BY_LAYER, 0.4),
    ):
        # An input through weights that are +-1 would meet a kink exactly, which rounding then decides.
        x = (0.3, -2.0, 1.1) if weights == "uniform" else None
        model = small(block, activation, scaling=scaling, bias=bias, weights=weights, input=x)
        assert differences(model, method="dense", rounded=weights == "rademacher").max() < TOLERANCE, model


@pytest.mark.parametrize("block", BLOCKS)
def test_every_instruction_set_simulates_the_same_networks(block, monkeypatch):
    for (name, _), activation in itertools.product(resmc._native.instruction_sets(), ("gelu", "balanced")):
        monkeypatch.setenv(VARIABLE, name)
        model = small(block, activation, scaling=OUTSIDE, bias=0.2)
        assert differences(model).max() < TOLERANCE, (name, activation)
        assert differences(model, method="dense").max() < TOLERANCE, (name, activation)


@pytest.mark.parametrize("width", [1, 3, 4, 40, 131, 200])
def test_any_width_is_simulated(width):
    """One neuron, less than a quad, whole quads, and more quads than are summed in a run."""
    for block in BLOCKS:
        model = ResidualNetwork(width, 5, block, "tanh", bias=0.3)
        # A few neurons may come back to where they began: the logarithm of a difference of theirs is less exact.
        bound = TOLERANCE if width > 3 else 10 * TOLERANCE
        assert differences(model).max() < bound
        if width < 100:
            assert differences(model, method="dense").max() < bound


def test_the_comparison_sees_a_wrong_network():
    """Negative control: another scaling by 1%, another activation, and a bias left out."""
    right = ResidualNetwork(7, 9, "v-phi-w", "gelu", scaling=OUTSIDE, bias=0.1)
    sim = run(right, 20).trajectories
    for wrong in ({"scaling": DepthScaling(0.5, 1.313)}, {"activation": "centred_softplus"}, {"bias": 0.0}):
        ref = simulate_residual(replace(right, **wrong), 20)
        for name, twin in (("gradient", ref.log_gradient), ("gradient_displacement", ref.log_gradient_displacement)):
            assert np.abs(sim.ratios[name][:, 0] - twin[:, 0]).max() > 10 * TOLERANCE, (wrong, name)


# --------------------------------------------------------------------------------------------------------------- depth


@pytest.mark.parametrize(
    ("block", "activation"),
    [
        *(pytest.param(block, "relu", marks=[pytest.mark.long] * (block == "phi-in")) for block in BLOCKS),  # a ResNet
        *(pytest.param(block, "centred_softplus", marks=pytest.mark.long) for block in BLOCKS),
    ],
)
def test_deep_networks_are_those_of_the_reference(block, activation):
    model = ResidualNetwork(24, 1000, block, activation, scaling=DepthScaling(0.5, 0.7))
    found = differences(model, 10)[:4].max(axis=(0, 2))
    assert np.mean(found < TOLERANCE) >= 0.9
    assert np.median(found) < TOLERANCE / 5


@pytest.mark.parametrize(
    "model",
    [
        ResidualNetwork(16, 500, "v-phi-w", "gelu", scaling=DepthScaling(0.0)),
        ResidualNetwork(16, 1000, "phi-out", "centred_softplus", scaling=DepthScaling(0.0, 0.5)),
        ResidualNetwork(16, 500, "phi-out", "relu", scaling=DepthScaling(0.0)),
        ResidualNetwork(16, 400, "phi-in", "tanh", carry=3.0, bias=0.5),
        ResidualNetwork(16, 400, "phi-out", "sigmoid", carry=3.0),
        ResidualNetwork(16, 300, "v-phi-w", "centred_softplus", carry=0.25),
        ResidualNetwork(16, 100, "phi-in", "gelu", carry=0.5, bias=1e-6, input_norm=1e10),
        ResidualNetwork(16, 100, "phi-out", "gelu", input_norm=1e-10),
        ResidualNetwork(16, 100, "v-phi-w", "relu", scaling=DepthScaling(2.0, 1e-3), input_norm=1e200),
        ResidualNetwork(16, 200, "phi-in", "leaky_relu", scaling=DepthScaling(0.0, 1e8)),
        # from tiny back to large, by what does not shrink with h
        ResidualNetwork(50, 101, "phi-out", "sigmoid", carry=0.5, scaling=(0.0,) * 100 + (1.0,)),
        ResidualNetwork(50, 101, "phi-in", "relu", carry=0.5, bias=1.0, scaling=(0.0,) * 100 + (1.0,)),
        ResidualNetwork(50, 101, "v-phi-w", "gelu", carry=0.5, bias=100.0, scaling=(0.0,) * 100 + (1.0,)),
        ResidualNetwork(10, 150, "v-phi-w", "gelu", carry=0.5, bias=1e-12, scaling=(1e-12,) * 149 + (1.0,)),
        ResidualNetwork(10, 10, "phi-out", "tanh", scaling=(1e-12,) * 10, input_norm=1e-15),
    ],
    ids=lambda m: f"{m.block}-{m.activation}-{m.depth}-carry {m.carry:g}-bias {m.bias:g}",
)
def test_exploding_and_vanishing_networks_stay_within_range(model):
    """Far beyond what a float holds: e^88 squared; the reference computes them in float64, or rescales."""
    with np.errstate(over="ignore", under="ignore"):
        found = differences(model, 10)
    if not (model.bias > 0.0 or model.sigma.at_zero > 0.0):
        assert np.isfinite(found).all()
    elif model.carry < 1.0:  # a state below 1e-16 counts as 0 here, and the gradient there has another direction
        found = found[:2, :, -1:]
    assert np.mean(found[:4].max(axis=(0, 2)) < 5 * TOLERANCE) > 0.9
    sim = run(model, 100, keep_samples=0, keep_trajectories=0)
    for name in ("growth", *NAMES):
        assert np.isfinite(sim.log_ratio(name).final_mean.value)


def test_a_network_that_never_fires_again_is_carried_both_ways():
    """alpha^2 far below float32's range beside lam: |h_l| and |p_l| of inactive layers scale by alpha alone."""
    model = ResNet(2, 20, 1e-12, 1.0)
    sim = run(model, 400)
    ref = simulate_residual(general(model), 400)
    for ours, twin in (
        (sim.trajectories.log_norm, ref.log_norm),
        (sim.trajectories.ratios["gradient"], ref.log_gradient),
    ):
        assert np.quantile(np.abs(ours - twin), 0.99) < 1e-3
    assert (ref.log_norm[:, -1] < -300).mean() > 0.5


# ------------------------------------------------------------------------------------------- what must not change a bit


def same_bits(a: resmc.Simulation, b: resmc.Simulation) -> bool:
    """Sums, laws and paths of everything that was followed."""
    sums = [s.statistics.arrays() | {name: norms.records for name, norms in s.ratios.items()} for s in (a, b)]
    same = all(np.array_equal(array, sums[1][name]) for name, array in sums[0].items())
    laws = all(np.array_equal(a.laws[name].counts, b.laws[name].counts) for name in a.laws)
    kept = a.trajectories.ratios
    return same and laws and all(np.array_equal(kept[n], b.trajectories.ratios[n], equal_nan=True) for n in kept)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("method", ["projected", "dense"])
def test_layers_that_are_computed_once_more_are_the_same_layers(block, method, monkeypatch):
    model = ResidualNetwork(10, 23, block, "balanced", bias=0.2)
    one = run(model, 70, method=method)
    assert residual_network(model, True).segment == 23
    for bytes_kept, segment in ((0, 5), (9 * 1536, 9), (22 * 1536, 22)):
        monkeypatch.setattr(lowering, "SEGMENT_BYTES", bytes_kept)
        assert residual_network(model, True).segment == segment
        assert same_bits(one, run(model, 70, method=method))


@pytest.mark.parametrize("method", ["projected", "dense"])
def test_any_number_of_threads_and_any_split_give_the_same_networks(method):
    model = ResidualNetwork(5, 6, "v-phi-w", "gelu")
    count = 9000 if method == "projected" else 1000
    one = run(model, count, method=method)
    for threads in (2, 3):
        assert same_bits(one, run(model, count, method=method, threads=threads))
    assert not same_bits(one, run(model, count, method=method, seed=1))  # negative control
    cut = count // 3
    whole = resmc.merge(run(model, cut, method=method), run(model, count - cut, first_network=cut, method=method))
    for name in ("growth", *NAMES):
        assert np.array_equal(whole.laws[name].bins, one.laws[name].bins)
        assert np.array_equal(whole.laws[name].counts, one.laws[name].counts)
        a, b = whole.log_ratio(name), one.log_ratio(name)
        np.testing.assert_allclose(a.mean.value, b.mean.value, rtol=0, atol=1e-12)
        np.testing.assert_allclose(a.variance.value, b.variance.value, rtol=1e-11)
    np.testing.assert_array_equal(whole.trajectories.ratios["overlap"], one.trajectories.ratios["overlap"])


def test_a_range_of_several_parts_is_that_of_one(monkeypatch):
    """Final values are held for 2^18 networks at a time; groups meet their blocks in order."""
    model = ResidualNetwork(3, 2, "phi-out", "tanh")
    one = run(model, 20_000, first_network=3000, keep_samples=9000, keep_trajectories=6000)
    monkeypatch.setattr("resmc.engine.run.PART", 4096)
    parts = run(model, 20_000, first_network=3000, keep_samples=9000, keep_trajectories=6000)
    assert same_bits(one, parts)
    for name in one.samples.ratios:
        np.testing.assert_array_equal(one.samples.ratios[name], parts.samples.ratios[name])
    np.testing.assert_array_equal(one.samples.output, parts.samples.output)


@pytest.mark.parametrize("method", ["projected", "dense"])
@pytest.mark.parametrize("variant", ["vanilla", "balanced", "balanced-half"])
def test_following_the_gradient_changes_no_bit_of_a_resnet(variant, method):
    model = ResNet(10, 12, 0.8, 0.7, variant, n_out=2, input_norm=2.0)
    alone = run(model, 300, method=method, gradients=False)
    both = run(model, 300, method=method)
    spelled = run(general(model), 300, method=method, gradients=False)
    assert spelled.followed == ("growth", "displacement")
    for other in (both, spelled):
        for name, array in alone.statistics.arrays().items():
            np.testing.assert_array_equal(array, other.statistics.arrays()[name], err_msg=name)
        np.testing.assert_array_equal(alone.samples.output, other.samples.output)
        np.testing.assert_array_equal(alone.trajectories.log_norm, other.trajectories.log_norm)
    assert not alone.laws


# ------------------------------------------------------------------------------------------------------- what is known


@pytest.mark.parametrize("activation", [name for name, a in ACTIVATIONS.items() if a.homogeneous])
def test_homogeneous_networks_keep_p_dot_h(activation):
    """M_l h_l = h_{l+1} and p_l = M_l^T p_{l+1}: p.h is the same at every layer, relative to |p||h| there."""
    for block, method in itertools.product(BLOCKS, ("projected", "dense")):
        sim = run(ResidualNetwork(8, 40, block, activation), 50, method=method)
        kept = sim.trajectories
        with np.errstate(over="ignore"):
            size = np.exp(0.5 * (kept.log_norm + kept.ratios["gradient"]))  # of |p_l||h_l|, up to a constant
        product = kept.ratios["overlap"] * size
        drift = np.abs(product - product[:, -1:]) / size
        assert drift.max() < 1e-5, (block, method)
    tanh = run(ResidualNetwork(8, 40, "v-phi-w", "tanh", input_norm=3.0), 50).trajectories  # negative control
    size = np.exp(0.5 * (tanh.log_norm + tanh.ratios["gradient"]))
    product = tanh.ratios["overlap"] * size
    assert (np.abs(product - product[:, -1:]) / size).max() > 1e-2


def test_the_gradient_is_that_of_autograd():
    torch = pytest.importorskip("torch")
    for depth, least in ((64, 1.0), (200, 0.99)):
        agree = []
        for block, activation in itertools.product(BLOCKS, ("relu", "tanh")):
            model = ResidualNetwork(12, depth, block, activation, scaling=DepthScaling(0.5, 0.8))
            sim = run(model, 4, method="dense")
            for network in range(4):
                module = model.to_torch(network=network)
                out, states = module(return_layers=True)
                for h in states:
                    h.retain_grad()
                out[0, 0].backward()
                p = torch.cat([h.grad for h in states]).numpy()
                log_gradient = np.log(np.sum(p**2, axis=1) / np.sum(p[-1] ** 2))
                agree.append(np.abs(sim.trajectories.ratios["gradient"][network] - log_gradient).max() < TOLERANCE)
        assert np.mean(agree) >= least, depth


def test_statistics_are_those_of_the_kept_paths():
    model = ResidualNetwork(3, 6, "phi-in", "relu", carry=0.0, scaling=DepthScaling(0.0, math.sqrt(2.0)))
    sim = run(model, 3000)  # without a skip and so narrow, most networks and gradients die
    kept = {"growth": sim.trajectories.log_norm - sim.trajectories.log_norm[:, :1], **sim.trajectories.ratios}
    assert np.isneginf(kept["gradient"][:, 0]).mean() > 0.2
    for name in ("growth", *NAMES):
        ratio, end = sim.log_ratio(name), 0 if name.startswith("gradient") else -1
        with np.errstate(invalid="ignore"):
            for slot in range(7):
                x = kept[name][:, slot]
                finite = x[np.isfinite(x)]
                assert int(ratio.mean.n[slot]) == len(finite)
                if len(finite) > 1:
                    np.testing.assert_allclose(ratio.mean.value[slot], finite.mean(), rtol=0, atol=1e-6)
                    np.testing.assert_allclose(ratio.variance.value[slot], finite.var(ddof=1), rtol=1e-5, atol=1e-9)
                    moment = np.log(np.sum(np.exp(finite)) / len(x))
                    np.testing.assert_allclose(ratio.log_second_moment.value[slot], moment, rtol=0, atol=1e-5)
        final = sim.samples.ratios[name]
        np.testing.assert_allclose(np.exp(final), np.exp(kept[name][:, end]), rtol=1e-5)
        assert sim.laws[name].zeros == np.isneginf(final).sum()


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_what_exists_depends_on_the_activation(activation):
    sim = run(ResidualNetwork(6, 4, activation=activation), 64)
    assert set(sim.followed) == {"growth", *NAMES}
    for name in ("asymmetry", "active_fraction", "inactive_fraction"):
        assert (name in sim.observables) == (activation in RESNET_ACTIVATIONS)
    assert set(WEIGHTS) == {"gaussian", "uniform", "rademacher"}
