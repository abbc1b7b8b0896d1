"""One network's weights as arrays (`model.draw_weights`), as a torch module, and in the twin: the same everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_weights_in_depth import DEPENDENCES, DEPTH, PROCESSES, network

import resmc
from resmc import ResidualNetwork, ResNet
from resmc.reference import DrawnWeights, simulate_residual
from resmc.reference import simulate as simulate_reference
from resmc.reference.drawn import draw_weights

BLOCKS = ["phi-in", "phi-out", "v-phi-w"]


def literally(model: ResidualNetwork, drawn: DrawnWeights) -> np.ndarray:
    """h_0 .. h_L by the formulas of `DrawnWeights`, (L + 1, n)."""
    hs = [drawn.A @ drawn.x]
    for k in range(model.depth):
        h, s = hs[-1], model.scales[k]
        b = drawn.b[k] if drawn.b is not None else 0.0
        signs = drawn.signs[k] if drawn.signs is not None else 1.0

        def sigma(x: np.ndarray, signs: np.ndarray = signs) -> np.ndarray:
            return model.sigma.value(signs * x)

        if model.block == "phi-in":
            branch = s * (drawn.V[k] @ sigma(h) + b)
        elif model.block == "phi-out":
            u = drawn.W[k] @ h + b
            branch = sigma(s * u) if model.inside else s * sigma(u)
        else:
            branch = s * drawn.V[k] @ sigma(drawn.W[k] @ h + b)
        hs.append(model.carry * h + branch)
    return np.array(hs)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("name", DEPENDENCES)
def test_drawn_weights_are_those_of_the_twin(name, block):
    if (name, block) == ("mixture", "v-phi-w"):
        with pytest.raises(ValueError, match="v-phi-w"):
            network(name, block=block)
        return
    model = network(name, block=block)
    paths = simulate_residual(model, 2, seed=23, first_network=4, method="dense")
    for row in (0, 1):
        drawn = model.draw_weights(seed=23, network=4 + row)
        assert (drawn.V is None, drawn.W is None) == (block == "phi-out", block == "phi-in")
        h = literally(model, drawn)
        np.testing.assert_allclose(np.log(np.mean(h**2, axis=1)), paths.log_norm[row], rtol=0, atol=1e-12)
        np.testing.assert_allclose(drawn.readout @ h[-1], paths.output[row], rtol=1e-11)


def test_drawn_weights_of_a_log_gaussian_network_are_those_of_its_twin():
    model = ResNet(6, 9, 0.8, 0.6, "balanced", n_out=2, input_norm=1.5)
    drawn, h = model.draw_weights(seed=24, network=1), []
    h.append(drawn.A @ drawn.x)
    for k in range(9):
        phi = np.maximum(drawn.signs[k] * h[-1], 0.0)
        h.append(0.8 * h[-1] + math.sqrt(2.0) * 0.6 * drawn.V[k] @ phi)
    paths = simulate_reference(model, 2, seed=24, method="dense")
    np.testing.assert_allclose(np.log(np.mean(np.square(h), axis=1)), paths.log_norm[1], rtol=0, atol=1e-12)
    assert drawn.W is None
    assert drawn.b is None
    assert drawn.readout.shape == (2, 6)


@pytest.mark.parametrize("name", DEPENDENCES)
def test_torch_modules_have_the_drawn_weights_and_the_twin_their_gradients(name):
    torch = pytest.importorskip("torch")
    model = network(name, block="phi-out" if name == "mixture" else "v-phi-w")
    module, drawn = model.to_torch(seed=25, network=3), model.draw_weights(seed=25, network=3)
    for name_of, array in (("V", drawn.V), ("W", drawn.W), ("b", drawn.b)):
        layers = getattr(module, name_of)
        assert (layers is None) == (array is None)
        if array is not None:
            assert len(layers) == DEPTH
            np.testing.assert_array_equal(layers.detach().numpy(), array)
    out, hs = module(return_layers=True)
    gradients = torch.autograd.grad(out[0, 0], hs)
    square = np.array([float((p**2).sum()) for p in gradients])
    paths = simulate_residual(model, 1, seed=25, first_network=3, method="dense")
    np.testing.assert_allclose(np.log(square / square[-1]), paths.log_gradient[0], rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["tied", *PROCESSES])
def test_the_twin_refuses_the_projected_method_and_says_why(name):
    with pytest.raises(ValueError, match=r"method='projected' is not allowed with weights=.*as if layers were indep"):
        simulate_residual(network(name), 1)


def test_weights_that_do_not_fit_are_not_drawn_as_arrays(monkeypatch):
    monkeypatch.setattr(resmc.reference.drawn, "available_memory", lambda: 10**9)
    model = ResidualNetwork(1000, 1000, "v-phi-w")
    with pytest.raises(ValueError, match=r"2000 matrices of 1000 x 1000, need 32 GB of memory and 1 GB are available"):
        model.draw_weights()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": -1}, "network=-1 is out of range"),
        ({"network": 2**48}, "network=281474976710656 is out of range"),
        ({"network": 1.5}, r"network=1\.5 is not allowed"),
        ({"seed": -1}, "seed=-1 is out of range"),
        ({"seed": 0.5}, r"seed=0\.5 is not allowed"),
        ({"model": ResidualNetwork(2**17 + 1, 1)}, "width=131073 is out of range: .* with explicit weights"),
        ({"model": 3}, "model=3 is not allowed: it must be a resmc.ResNet or a resmc.ResidualNetwork"),
    ],
)
def test_arrays_and_modules_refuse_the_same_arguments_with_the_same_sentence(changes, words):
    pytest.importorskip("torch")
    from resmc.torch_module import explicit

    said = []
    for drawn in (draw_weights, explicit):
        with pytest.raises(ValueError, match=words) as refused:
            drawn(**{"model": ResidualNetwork(2, 2), **changes})
        said.append(str(refused.value))
    assert said[0] == said[1]


def test_arrays_are_of_one_network():
    with pytest.raises(ValueError, match=r"network=range\(0, 2\) is not allowed: it must be an integer"):
        ResidualNetwork(2, 2).draw_weights(network=range(2))
