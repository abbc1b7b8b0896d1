"""The NumPy twin of several inputs: against one input, against autograd through explicit weights, and against itself.

The two methods' laws are compared in `test_joint_laws`.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from resmc.models.activations import ACTIVATIONS
from resmc.models.blocks import BLOCKS
from resmc.models.residual_network import ResidualNetwork
from resmc.models.scaling import DepthScaling
from resmc.models.weights import WEIGHTS, Weights
from resmc.reference import METHODS, JointPaths, simulate_joint, simulate_residual
from resmc.reference.columns import pairs

INSIDE = DepthScaling(0.5, -1.3, inside=True)
START = np.array([[1.3, 0.0, 0.0], [-0.4, 0.9, 0.0], [0.2, -0.3, 0.01]])


def products(gram: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Products of all pairs, (R, P, N), in units of 1."""
    a, b = pairs(unit.shape[1])
    return gram * 2.0 ** (unit[:, a] + unit[:, b])


def scalings(block: str, depth: int) -> list[DepthScaling | tuple[float, ...]]:
    by_layer = tuple(0.5 - 0.3 * (layer % 4) for layer in range(depth))
    return [by_layer, INSIDE] if block == "phi-out" else [by_layer]


# ------------------------------------------------------------------------------------------------- one input


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("block", BLOCKS)
def test_input_0_has_the_path_that_it_has_alone(block, method):
    for activation, bias in itertools.product(("balanced", "leaky_relu", "gelu"), (0.0, 0.4)):
        model = ResidualNetwork(5, 4, block, activation, 0.9, bias=bias, input_norm=1.3)
        alone = simulate_residual(model, 3, seed=81, method=method)
        joint = simulate_joint(model, START, 3, seed=81, method=method, tangents=2)
        log_norm = np.log(products(joint.gram, joint.unit)[:, 0] / model.width).T
        np.testing.assert_allclose(log_norm, alone.log_norm, rtol=0, atol=1e-13)
        np.testing.assert_allclose(joint.log_displacement.T[:, 1:], alone.log_displacement[:, 1:], rtol=0, atol=1e-13)
        for name in ("asymmetry", "active_fraction") if model.has_asymmetry else ():
            np.testing.assert_allclose(getattr(joint, name).T, getattr(alone, name), rtol=0, atol=1e-13)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("block", BLOCKS)
def test_one_input_has_the_gradient_that_it_has_alone(block, method):
    for activation, bias in itertools.product(("balanced", "tanh"), (0.0, 0.4)):
        model = ResidualNetwork(5, 4, block, activation, 0.9, bias=bias, input_norm=1.3)
        alone = simulate_residual(model, 3, seed=82, method=method)
        joint = simulate_joint(model, [[1.3]], 3, seed=82, method=method, backward=True)
        square = np.log(products(joint.gradient_gram, joint.gradient_unit)[:, 0]).T
        np.testing.assert_allclose(square - square[:, -1:], alone.log_gradient, rtol=0, atol=1e-13)
        np.testing.assert_allclose(joint.overlap.T, alone.overlap, rtol=0, atol=1e-13)
        moved = joint.log_gradient_displacement.T[:, :-1]
        np.testing.assert_allclose(moved, alone.log_gradient_displacement[:, :-1], rtol=0, atol=1e-13)


# ------------------------------------------------------------------------------------------------- autograd


def autograd(model: ResidualNetwork, seed: int, network: int, x: np.ndarray | None) -> dict[str, np.ndarray]:
    """Gram matrices of h, of p and of the gradients to explicit weights, by torch: raw inputs, one after the other."""
    torch = pytest.importorskip("torch")
    module = model.to_torch(seed=seed, network=network)
    if x is None:
        drawn = simulate_joint(model, START, 1, seed, network, "dense", [0])
        h_0 = starts(model, seed, network)
        assert np.allclose(products(drawn.gram, drawn.unit)[0, 0, 0], h_0[0] @ h_0[0])
    else:
        h_0 = x @ module.A.detach().numpy().T
    hs, ps, by_layer = [], [], []
    last = torch.func.jacrev(lambda h: module.states(h[None])[-1][0])
    jacobian = last(torch.tensor(h_0[0])).detach().numpy()
    parameters = [one for one in (module.V, module.W) if one is not None]
    for one in h_0:
        module.zero_grad()
        start = torch.tensor(one[None], requires_grad=True)
        states = module.states(start, all_layers=True)
        for h in states:
            h.retain_grad()
        (states[-1] @ module.W_out[0]).sum().backward()
        hs.append(torch.cat(states).detach().numpy())
        ps.append(torch.cat([h.grad for h in states]).numpy())
        by_layer.append(np.stack([p.grad.numpy() for p in parameters], axis=1) / math.sqrt(model.width))
    a, b = pairs(len(h_0))
    h, p, g = (np.stack(one) for one in (hs, ps, by_layer))
    c = h - h[:1]
    c[0] = h[0]
    kernel = np.einsum("plkij,plkij->lp", g[a], g[b])
    return {
        "gram": np.einsum("pli,pli->lp", c[a], c[b]),
        "gradient_gram": np.einsum("pli,pli->lp", p[a], p[b]),
        "kernel": np.concatenate([np.cumsum(kernel[::-1], axis=0)[::-1], np.zeros((1, len(a)))]),
        "log_determinant": np.linalg.slogdet(jacobian)[1],
    }


def starts(model: ResidualNetwork, seed: int, network: int) -> np.ndarray:
    """h_0 of all inputs, from the words themselves."""
    from resmc.reference.normals import normals

    columns = [normals(seed, np.array([network]), "first_layer", 0, model.width, a)[0] for a in range(len(START))]
    c = START @ np.array(columns)
    return np.concatenate([c[:1], c[:1] + c[1:]])


def assert_autograd(model: ResidualNetwork, seed: int, network: int, x: np.ndarray | None = None) -> None:
    expected = autograd(model, seed, network, x)
    start = START if x is None else np.concatenate([x[:1], x[1:] - x[:1]])
    found = simulate_joint(
        model,
        start,
        1,
        seed,
        network,
        "dense",
        explicit=x is not None,
        backward=True,
        tangents=model.width,
        reorthogonalise=2,
    )
    paths = {
        "gram": products(found.gram, found.unit)[:, :, 0],
        "gradient_gram": products(found.gradient_gram, found.gradient_unit)[:, :, 0],
        "kernel": found.kernel[:, :, 0],
        "log_determinant": found.log_stretch[-1, :, 0].sum(),
    }
    for name, value in paths.items():
        scale = np.abs(expected[name]).max() if np.isfinite(expected[name]).all() else 1.0
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-10 * scale, err_msg=f"{name}, {model}")


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("block", BLOCKS)
def test_dense_twin_is_autograd_through_explicit_weights(block, activation):
    depth, first = 3, 2**47 + 3
    for scaling, bias, weights in itertools.product(scalings(block, depth), (0.0, 0.4), WEIGHTS):
        model = ResidualNetwork(4, depth, block, activation, 0.9, scaling, weights, bias, n_out=2)
        assert_autograd(model, 83, first)
