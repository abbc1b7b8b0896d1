"""The NumPy twin of any residual network, network for network, to rounding: against autograd, and against itself.

What it draws is tested in `test_residual_draws`, and its laws in `test_residual_oracles`.
"""

from __future__ import annotations

import importlib
import itertools
import math
import tracemalloc

import numpy as np
import pytest

from resmc.models.activations import ACTIVATIONS
from resmc.models.blocks import BLOCKS
from resmc.models.residual_network import RESNET_ACTIVATIONS, ResidualNetwork
from resmc.models.resnet import ResNet
from resmc.models.scaling import DepthScaling
from resmc.models.weight_law import WEIGHTS
from resmc.reference import METHODS, simulate_residual
from resmc.reference.sources import Counters

residual = importlib.import_module("resmc.reference.residual")

OUTSIDE, INSIDE = DepthScaling(0.5, 1.3), DepthScaling(0.5, -1.3, inside=True)
RECORDS = ("log_norm", "log_displacement", "log_gradient", "log_gradient_displacement", "overlap", "output")


def scalings(block: str, depth: int) -> list[DepthScaling | tuple[float, ...]]:
    by_layer = tuple(0.5 - 0.3 * (layer % 4) for layer in range(depth))
    return [OUTSIDE, by_layer, INSIDE] if block == "phi-out" else [OUTSIDE, by_layer]


# ------------------------------------------------------------------------------------------------- dense and autograd


def autograd(model: ResidualNetwork, seed: int, network: int) -> dict[str, np.ndarray]:
    """What `simulate_residual` records, from explicit weights and torch's derivatives; differences by subtraction."""
    torch = pytest.importorskip("torch")
    module = model.to_torch(seed=seed, network=network)
    out, states = module(return_layers=True)
    for h in states:
        h.retain_grad()
    out[0, 0].backward()
    h, p = torch.cat(states).detach().numpy(), torch.cat([h.grad for h in states]).numpy()
    squares = {name: np.sum(x**2, axis=1) for name, x in {"h": h, "p": p, "dh": h - h[0], "dp": p - p[-1]}.items()}
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "log_norm": np.log(squares["h"] / model.width),
            "log_displacement": np.log(squares["dh"] / squares["h"][0]),
            "log_gradient": np.log(squares["p"] / squares["p"][-1]),
            "log_gradient_displacement": np.log(squares["dp"] / squares["p"][-1]),
            "overlap": np.sum(p * h, axis=1) / np.sqrt(squares["p"] * squares["h"]),
            "output": out.detach().numpy()[0],
        }
    if model.block == "phi-in" and model.activation in RESNET_ACTIVATIONS:
        with torch.no_grad():
            phi = torch.cat([module.sigma(layer, x) for layer, x in enumerate(states[:-1])]).numpy()
        found["asymmetry"] = 2.0 * np.sum(phi**2, axis=1) / squares["h"][:-1] - 1.0
        found["active_fraction"] = np.mean(phi > 0.0, axis=1)
    return found


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("block", BLOCKS)
def test_dense_reference_is_autograd_through_explicit_weights(block, activation):
    """Every other one of the settings, by turns, so that any two of all choices meet."""
    depth, turn = 6, (list(BLOCKS).index(block) + list(ACTIVATIONS).index(activation)) % 2
    for scaling, bias, weights in list(itertools.product(scalings(block, depth), (0.0, 0.4), WEIGHTS))[turn::2]:
        model = ResidualNetwork(4, depth, block, activation, 0.9, scaling, weights, bias, n_out=2, input_norm=1.7)
        first = 2**47 + 3
        paths = simulate_residual(model, 2, seed=71, first_network=first, method="dense")
        for row in range(2):
            for name, expected in autograd(model, 71, first + row).items():
                found = getattr(paths, name)[row][: len(expected)]
                np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10, err_msg=f"{name}, {model}")


@pytest.mark.parametrize("block", BLOCKS)
def test_dense_reference_is_autograd_when_deeper_wider_and_with_an_input(block):
    for weights in WEIGHTS:
        model = ResidualNetwork(
            11, 12, block, "gelu", -0.8, weights=weights, bias=0.2, input=(0.5, -2.0, 0.0, 1.5, 3.0)
        )
        paths = simulate_residual(model, 1, seed=72, method="dense")
        for name, expected in autograd(model, 72, 0).items():
            np.testing.assert_allclose(getattr(paths, name)[0], expected, rtol=1e-10, atol=1e-10, err_msg=name)


def test_torch_module_takes_batches_and_has_parameters_for_all_weights():
    torch = pytest.importorskip("torch")
    model = ResidualNetwork(4, 3, "v-phi-w", "balanced", weights="uniform", bias=0.1, n_out=2, input=(1.0, -2.0, 0.5))
    module = model.to_torch(seed=1)
    assert (module.A.shape, module.W_out.shape, module.signs.shape) == ((4, 3), (2, 4), (3, 4))
    assert [len(x) for x in (module.V, module.W, module.b)] == [3, 3, 3]
    x = torch.tensor([model.input, (0.0, 1.0, 0.0)], dtype=torch.float64)
    out = module(x)
    torch.testing.assert_close(out[:1], module(), rtol=1e-14, atol=0)
    out.sum().backward()
    assert all(p.grad is not None and p.dtype == torch.float64 for p in module.parameters())


@pytest.mark.parametrize(("argument", "value"), [("seed", 2**64), ("network", 2**48)])
def test_torch_module_refuses_bad_arguments_by_name(argument, value):
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match=argument):
        ResidualNetwork(4, 3).to_torch(**{argument: value})


# ------------------------------------------------------------------------------------------------- a layer, a part


@pytest.mark.parametrize("block", BLOCKS)
def test_a_layer_is_what_its_block_s_formula_says(block):
    torch = pytest.importorskip("torch")
    for scaling, inside in ((OUTSIDE, False), *([(INSIDE, True)] if BLOCKS[block].scales_inside else [])):
        module = ResidualNetwork(5, 2, block, "tanh", scaling=scaling, bias=0.7).to_torch(seed=3)
        formula = BLOCKS[block].formula_inside if inside else BLOCKS[block].formula
        h = torch.linspace(-1.0, 2.0, 5, dtype=torch.float64)
        names = {"h": h, "b": module.b[1], "s": float(module.model.scales[1]), "sigma": torch.tanh}
        names |= {name: getattr(module, name)[1] for name in "VW" if getattr(module, name) is not None}
        torch.testing.assert_close(eval(formula, names), module.branch(1, h[None])[0], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activation", ["balanced", "tanh"])
def test_networks_advance_in_parts_as_at_once(activation, method):
    model = ResidualNetwork(4, 9, "v-phi-w", activation, 0.9, bias=0.0 if activation == "balanced" else 0.3)
    networks = Counters(model, 69, np.arange(3, dtype=np.uint64))
    start = residual.first_state(networks)
    half_way = residual.advance(start, 0, 4, networks, method)
    at_once, in_parts = (residual.advance(*part, 9, networks, method) for part in ((start, 0), (half_way, 4)))
    for name in ("h", "moved"):
        np.testing.assert_array_equal(getattr(in_parts, name).v, getattr(at_once, name).v)
        np.testing.assert_array_equal(getattr(in_parts, name).log, getattr(at_once, name).log)
    paths = simulate_residual(model, 3, seed=69, method=method)
    np.testing.assert_array_equal(at_once.h.log_square()[:, 0] - math.log(4), paths.log_norm[:, 9])
    another = residual.advance(half_way, 3, 9, networks, method)
    assert not np.allclose(another.h.log_square(), at_once.h.log_square())  # negative control


class Halves:
    """A source other than counters: every entry is 1/2, every sign minus."""

    def __init__(self, model):
        self.model = model

    def matrix(self, place, layer):
        return np.full((1, self.model.width, self.model.width), 0.5)

    def bias(self, layer):
        return np.full((1, self.model.width), 0.5)

    def signs(self, layer):
        return np.full((1, self.model.width), -1.0)

    def first_layer(self):
        return np.full((1, self.model.width, len(self.model.inputs.x)), 0.5)

    def readout(self, rows):
        return np.full((1, rows, self.model.width), 0.5)


@pytest.mark.parametrize(
    "model",
    [
        ResNet(4, 3, 0.8, 0.6, "balanced", n_out=2),
        ResidualNetwork(4, 3, "v-phi-w", "balanced", bias=0.3, n_out=2),
        ResidualNetwork(4, 3, "phi-out", "tanh", weights="uniform", input=(1.0, 2.0)),
    ],
    ids=lambda m: f"{type(m).__name__}-{m.sigma.number}",
)
def test_a_module_is_made_empty_and_filled_from_any_source(model):
    torch = pytest.importorskip("torch")
    from resmc.torch_module import ExplicitResidualNetwork, ExplicitResNet, fill

    module = (ExplicitResNet if isinstance(model, ResNet) else ExplicitResidualNetwork)(model)
    assert all(not p.any() for p in module.parameters())
    signs = [b for name, b in module.named_buffers() if name != "x"]
    assert len(signs) == model.sigma.signed
    assert all((b == 1.0).all() for b in signs)
    fill(module, Halves(model))
    units = {0.5, 0.25, 0.5 * getattr(model, "bias", 1.0), 0.5 / math.sqrt(len(model.inputs.x))}
    assert {float(x) for p in module.parameters() for x in p.detach().unique()} <= units
    assert all((b == -1.0).all() for b in signs)
    with torch.no_grad():
        assert module().shape == (1, model.n_out)


# ------------------------------------------------------------------------------------------------ range and plumbing


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activation", ["leaky_relu", "tanh"])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_change_far_below_the_rounding_of_what_it_changes_keeps_its_digits(block, activation, method):
    """h_L - h_0 and p_0 - p_L are proportional to s when s is tiny; subtracted at the end, all digits would be lost."""
    found = []
    for s in (1e-9, 2.0**-39):
        scaling = DepthScaling(0.0, s)
        paths = simulate_residual(ResidualNetwork(5, 6, block, activation, scaling=scaling), 50, seed=62, method=method)
        moved = np.stack([paths.log_displacement[:, -1], paths.log_gradient_displacement[:, 0]])
        found.append(moved - 2.0 * math.log(s))
    np.testing.assert_allclose(found[0], found[1], atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("carry", "c"), [(3.0, 5.0), (0.1, 0.2), (0.0, 1e-6), (2.0**40, 2.0**-40)])
def test_homogeneous_networks_and_gradients_neither_overflow_nor_underflow(carry, c, method):
    for block in BLOCKS:
        model = ResidualNetwork(4, 200, block, "leaky_relu", carry, DepthScaling(0.0, c), input_norm=1e-200)
        paths = simulate_residual(model, 3, seed=63, method=method, layers=[0, 1, 200])
        for name in ("log_norm", "log_gradient", "overlap"):
            assert np.all(np.isfinite(getattr(paths, name)))
        assert np.all(np.abs(paths.log_norm[:, 2] - paths.log_norm[:, 0]) > 300)
        assert np.all(np.isfinite(paths.log_displacement[:, 1:]))
        assert np.all(np.isfinite(paths.log_gradient_displacement[:, :2]))
        moved = np.maximum(paths.log_norm[:, 2] - paths.log_norm[:, 0], 0.0)  # the longer of h_L and h_0
        np.testing.assert_allclose(paths.log_displacement[:, 2], moved, atol=1e-9)


def test_gradients_of_other_networks_are_rescaled_too():
    model = ResidualNetwork(4, 1200, "phi-in", "tanh", 0.5, DepthScaling(0.0, 0.2))
    paths = simulate_residual(model, 3, seed=64, layers=[0, 1200])
    assert np.all(np.isfinite(paths.log_gradient))
    assert np.max(paths.log_gradient[:, 0]) < -800


def test_a_dead_network_has_no_asymmetry_and_no_overlap():
    model = ResidualNetwork(2, 6, "phi-in", "relu", 0.0, DepthScaling(0.0))
    paths = simulate_residual(model, 200, seed=65)
    dead = np.isneginf(paths.log_norm)
    assert dead.any()
    for name in ("asymmetry", "active_fraction", "overlap"):
        assert np.all(np.isnan(getattr(paths, name)[dead]))
    np.testing.assert_allclose(paths.log_displacement[dead], 0.0, atol=1e-14)
    np.testing.assert_array_equal(paths.output[:, 0] == 0.0, dead[:, -1])


def test_asymmetry_is_that_of_phi_in_with_rectified_activations_alone():
    for block, activation in itertools.product(BLOCKS, ACTIVATIONS):
        paths = simulate_residual(ResidualNetwork(4, 2, block, activation, bias=0.2), 2)
        expected = block == "phi-in" and activation in RESNET_ACTIVATIONS
        assert (paths.asymmetry is not None) == (paths.active_fraction is not None) == expected


@pytest.mark.parametrize(("method", "width"), [("projected", 4), ("projected", 30_000), ("dense", 200)])
def test_a_network_does_not_depend_on_the_range_it_is_computed_in(method, width):
    model, first = ResidualNetwork(width, 2, "v-phi-w", "balanced", bias=0.1), 2**32 - 3
    many = simulate_residual(model, 7, seed=66, first_network=first, method=method)
    few = simulate_residual(model, 2, seed=66, first_network=first + 4, method=method)
    np.testing.assert_array_equal(many.networks, np.arange(first, first + 7))
    for name in ("networks", *RECORDS):
        np.testing.assert_array_equal(getattr(many, name)[4:6], getattr(few, name))


def test_recorded_layers_are_columns_of_the_full_record():
    model = ResidualNetwork(4, 9)
    full, part = simulate_residual(model, 5, seed=67), simulate_residual(model, 5, seed=67, layers=[0, 4, 9])
    np.testing.assert_array_equal(part.layers, [0, 4, 9])
    for name in (*RECORDS[:-1], "asymmetry", "active_fraction"):
        np.testing.assert_array_equal(getattr(part, name), getattr(full, name)[:, [0, 4, 9]])
    np.testing.assert_array_equal(part.output, full.output)
    assert np.all(np.isneginf(full.log_displacement[:, 0]))
    assert np.all(np.isneginf(full.log_gradient_displacement[:, 9]))


@pytest.mark.parametrize("method", METHODS)
def test_without_gradients_the_way_forward_is_the_same(method):
    model = ResidualNetwork(4, 9, "v-phi-w", "tanh")
    full = simulate_residual(model, 5, seed=68, method=method)
    forward = simulate_residual(model, 5, seed=68, method=method, gradients=False)
    for name in ("log_norm", "log_displacement", "output"):
        np.testing.assert_array_equal(getattr(forward, name), getattr(full, name))
    assert forward.log_gradient is forward.log_gradient_displacement is forward.overlap is None


@pytest.mark.parametrize("weights", ["uniform", "rademacher"])
def test_projected_refuses_other_weights_and_names_the_way_out(weights):
    with pytest.raises(ValueError, match=f"weights='{weights}': it must be 'dense'"):
        simulate_residual(ResidualNetwork(4, 2, weights=weights), 1)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("networks", 0), ("seed", -1), ("method", "fast"), ("layers", [0, 10]), ("layers", [2, 1]), ("gradients", 1)],
)
def test_simulate_residual_refuses_bad_arguments_by_name(argument, value):
    with pytest.raises(ValueError, match=argument):
        simulate_residual(ResidualNetwork(4, 9), **{"networks": 3, argument: value})


def test_dense_refuses_a_width_beyond_its_counters():
    with pytest.raises(ValueError, match="width"):
        simulate_residual(ResidualNetwork(2**17 + 1, 1), 1, method="dense")


def test_the_forward_pass_does_not_hold_the_states_of_all_layers():
    depth, networks, width = 200, 64, 64
    model = ResidualNetwork(width, depth, "phi-out", scaling=DepthScaling(0.5))
    tracemalloc.start()
    try:
        simulate_residual(model, networks, gradients=False, layers=range(depth + 1))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.5 * depth * networks * width * 8
