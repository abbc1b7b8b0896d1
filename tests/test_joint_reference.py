"""The NumPy twin of several inputs: against one input, against autograd through explicit weights, and against itself.

The two methods' laws are compared in `test_joint_laws`.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from joint_kernels import written_out

from resmc.models.activations import ACTIVATIONS
from resmc.models.blocks import BLOCKS
from resmc.models.processes import FractionalNoise
from resmc.models.residual_network import ResidualNetwork
from resmc.models.scaling import DepthScaling
from resmc.models.weight_law import WEIGHTS
from resmc.models.weights import Weights
from resmc.reference import METHODS, simulate_joint, simulate_residual
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
        scaling = (0.5, -0.7, 0.2, -0.3)
        model = ResidualNetwork(5, 4, block, activation, 0.9, scaling, bias=bias, input_norm=1.3)
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


DROPPED = [
    ResidualNetwork(6, 4, "phi-in", "relu", 0.9, (0.5, -0.7, 0.2, -0.3), keep=0.6),
    ResidualNetwork(6, 4, "phi-in", "tanh", 0.9, bias=0.4, keep=0.7),
    ResidualNetwork(6, 4, "phi-in", "balanced-half", 1.0, keep=0.8),
]


@pytest.mark.parametrize("model", DROPPED, ids=lambda m: m.activation)
def test_all_inputs_and_both_passes_share_the_masks_of_explicit_networks(model):
    assert_autograd(model, 83, 2)
    other = simulate_joint(replace(model, keep=0.5), START, 1, 83, 2, "dense", backward=True)
    assert other.kernel is not None
    away = np.abs(other.kernel[0, :, 0] / autograd(model, 83, 2, None)["kernel"][0] - 1.0)
    assert away.max() > 0.05  # a negative control: other masks


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", DROPPED, ids=lambda m: m.activation)
def test_input_0_with_dropout_has_the_path_that_it_has_alone(model, method):
    alone = simulate_residual(model, 3, seed=81, method=method)
    joint = simulate_joint(replace(model, input_norm=1.0), [[1.0]], 3, seed=81, method=method, backward=True)
    log_norm = np.log(products(joint.gram, joint.unit)[:, 0] / model.width).T
    np.testing.assert_allclose(log_norm, alone.log_norm, rtol=0, atol=1e-13)
    square = np.log(products(joint.gradient_gram, joint.gradient_unit)[:, 0]).T
    np.testing.assert_allclose(square - square[:, -1:], alone.log_gradient, rtol=0, atol=1e-13)


def starts(model: ResidualNetwork, seed: int, network: int, start: np.ndarray = START) -> np.ndarray:
    """h_0 of all inputs, from the words themselves."""
    from resmc.reference.normals import normals

    columns = [normals(seed, np.array([network]), "first_layer", 0, model.width, a)[0] for a in range(len(start))]
    c = start @ np.array(columns)
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
        "gram": written_out(products(found.gram, found.unit), found.log_scale)[:, :, 0],
        "gradient_gram": products(found.gradient_gram, found.gradient_unit)[:, :, 0],
        "kernel": found.kernel[:, :, 0],
        "log_determinant": found.log_stretch[-1, :, 0].sum(),
    }
    if not np.isfinite(paths["log_determinant"]):  # rank was lost: what is left is rounding, in LAPACK's factors
        assert expected.pop("log_determinant") < -30.0
        del paths["log_determinant"]
    for name, value in paths.items():
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-10 * scale, err_msg=f"{name}, {model}")


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("block", BLOCKS)
def test_dense_twin_is_autograd_through_explicit_weights(block, activation):
    """Every other one of the settings, by turns, so that any two of all choices meet."""
    depth, first, turn = 3, 2**47 + 3, (list(BLOCKS).index(block) + list(ACTIVATIONS).index(activation)) % 2
    for scaling, bias, weights in list(itertools.product(scalings(block, depth), (0.0, 0.4), WEIGHTS))[turn::2]:
        model = ResidualNetwork(4, depth, block, activation, 0.9, scaling, weights, bias, n_out=2)
        assert_autograd(model, 83, first)


def test_dense_twin_is_autograd_where_inputs_are_inactive_or_dead():
    model = ResidualNetwork(2, 3, "phi-in", "relu", 0.0)
    dead = 0
    for network in range(40):
        assert_autograd(model, 84, network)
        gram = simulate_joint(model, START, 1, 84, network, "dense").gram
        dead += gram[-1, 0, 0] == 0.0 and gram[-1, 2, 0] > 0.0
    assert dead  # input 0 is 0 and input 1 is not


@pytest.mark.parametrize("weights", WEIGHTS)
def test_dense_twin_takes_explicit_inputs_as_the_module_does(weights):
    x = np.array([[0.5, -2.0, 1.5], [0.6, -2.0, 1.5], [0.0, 1.0, -1.0]])
    model = ResidualNetwork(4, 3, "v-phi-w", "relu", weights=weights, bias=0.3, input=tuple(x[0]))
    if not model.inputs.explicit:  # one column of normals serves a Gaussian input
        model, x = ResidualNetwork(4, 3, "v-phi-w", "relu", bias=0.3), None
    assert_autograd(model, 85, 5, x)


def test_dense_twin_takes_weights_that_are_processes_in_depth():
    for dependence in ("tied", FractionalNoise(0.3)):
        assert_autograd(ResidualNetwork(4, 3, "phi-out", "tanh", weights=Weights("gaussian", dependence)), 86, 1)


# ------------------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("block", "activation"), [("phi-in", "leaky_relu"), ("v-phi-w", "tanh"), ("phi-out", "gelu")])
def test_differences_keep_their_digits_however_small_they_are(block, activation, method):
    """At 1e-12 and 1e-150 a difference is a tangent: its length has the same ratio to what it was."""
    model = ResidualNetwork(6, 5, block, activation, 0.9, bias=0.2)
    found = []
    for size in (1e-12, 1e-150):
        paths = simulate_joint(model, [[1.0, 0.0], [0.3 * size, size]], 4, 87, method=method)
        found.append(products(paths.gram / size, paths.unit)[:, 1:] / [[1.0], [size]])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_inputs_that_are_multiples_of_each_other_stay_so(method):
    homogeneous = ResidualNetwork(6, 8, "v-phi-w", "relu", 0.0)
    odd = ResidualNetwork(6, 8, "phi-out", "tanh")
    for model, factor in ((homogeneous, 3.0), (odd, -1.0), (homogeneous, 1.0)):
        paths = simulate_joint(model, [[1.0, 0.0], [factor - 1.0, 0.0]], 5, 88, method=method, backward=True)
        gram, kernel = written_out(products(paths.gram, paths.unit), paths.log_scale), paths.kernel
        np.testing.assert_allclose(gram[:, 1], (factor - 1.0) * gram[:, 0], rtol=1e-9)
        np.testing.assert_allclose(kernel[:, 1], factor * kernel[:, 0], rtol=1e-9)
        np.testing.assert_allclose(kernel[:, 2], factor**2 * kernel[:, 0], rtol=1e-9)
    other = simulate_joint(homogeneous, [[1.0, 0.0], [-2.0, 0.0]], 5, 88, method=method)
    assert not np.allclose(other.gram[-1, 1], -2.0 * other.gram[-1, 0])  # negative control: relu is not odd


@pytest.mark.parametrize("method", METHODS)
def test_stretches_do_not_depend_on_how_often_tangents_are_made_orthonormal(method):
    model = ResidualNetwork(7, 12, "phi-in", "leaky_relu", 0.5)
    found = [
        simulate_joint(model, [[1.0]], 3, 89, method=method, tangents=4, reorthogonalise=every).log_stretch
        for every in (1, 3, 12)
    ]
    assert np.ptp(found[0][-1]) > 0.1
    np.testing.assert_allclose(found[1], found[0], atol=1e-8)
    np.testing.assert_allclose(found[2], found[0], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_network_is_the_same_whatever_others_are_drawn(method):
    model = ResidualNetwork(6, 4, "v-phi-w", "balanced", 0.9)
    options = {"method": method, "backward": True, "tangents": 2, "layers": [1, 4]}
    together = simulate_joint(model, START, 5, 90, 3, **options)
    alone = simulate_joint(model, START, 1, 90, 6, **options)
    for name in ("gram", "log_stretch", "gradient_gram", "kernel", "overlap"):
        np.testing.assert_array_equal(getattr(together, name)[..., 3:4], getattr(alone, name))


@pytest.mark.parametrize("method", METHODS)
def test_a_backward_pass_through_independent_weights_leaves_the_forward_pass_alone(method):
    model = ResidualNetwork(6, 4, "v-phi-w", "relu", 0.9, bias=0.2)
    tied, cut = (
        simulate_joint(model, START, 3, 91, method=method, backward=True, independent_backward=independent)
        for independent in (False, True)
    )
    np.testing.assert_array_equal(cut.gram, tied.gram)
    np.testing.assert_array_equal(cut.kernel[-1], tied.kernel[-1])
    assert (cut.kernel[0] != tied.kernel[0]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start": [[1.0, 0.5], [0.0, 1.0]]}, "lower triangular"),
        ({"start": np.eye(17)}, "at most 16"),
        ({"start": np.eye(15), "tangents": 2}, "at most 16"),
        ({"start": [[math.nan]]}, "finite"),
        ({"tangents": 7}, "tangents=7"),
        ({"reorthogonalise": 0}, "reorthogonalise=0"),
        ({"method": "exact"}, "method='exact'"),
        ({"explicit": 1}, "explicit=1"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        simulate_joint(**({"model": ResidualNetwork(6, 4), "start": [[1.0]], "networks": 1} | change))
