"""The NumPy twin of any residual network in law: one method against the other, and against exact values.

Comparisons in law, here and in `test_residual_draws`, have fixed seeds and `BOUND` combined standard errors, with a
false-alarm level of 6.3e-5 each: about 650 of them, so that a correct program had a chance below 4.1% (Bonferroni) of
failing when the seeds were chosen. Negative controls must exceed `CONTROL`.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from test_residual_reference import scalings

from resmc.models import spelling
from resmc.models.activations import ACTIVATIONS
from resmc.models.blocks import BLOCKS
from resmc.models.residual_network import ResidualNetwork
from resmc.models.resnet import ResNet
from resmc.models.scaling import DepthScaling
from resmc.models.weight_law import WEIGHTS
from resmc.reference import METHODS, ResidualPaths, simulate, simulate_residual
from resmc.reference.maps import ProjectedMap
from resmc.reference.vectors import norm

BOUND = 4.0  # standard errors
CONTROL = 10.0


# ------------------------------------------------------------------------------------------------- projected and dense


def observables(paths: ResidualPaths) -> np.ndarray:
    """Forward and backward together, (N, 6). A network that never moves has displacement -inf, here -12."""
    columns = [
        paths.log_norm[:, 1],
        paths.log_norm[:, -1],
        np.maximum(paths.log_displacement[:, -1], -12.0),
        paths.log_gradient[:, 0],
        np.maximum(paths.log_gradient_displacement[:, 0], -12.0),
        paths.overlap[:, 0],
    ]
    return np.stack(columns, axis=1)


def discrepancies(p: ResidualPaths, q: ResidualPaths) -> np.ndarray:
    """z-scores of all means, variances and covariances of two independent sets of networks, and of the output's law."""
    centre = observables(q).mean(axis=0)

    def features(paths: ResidualPaths) -> np.ndarray:
        x = observables(paths)
        c = x - centre
        products = [c[:, i] * c[:, j] for i in range(6) for j in range(i, 6)]
        return np.column_stack([x, *products, np.log(np.abs(paths.output)), paths.output > 0.0])

    a, b = features(p), features(q)
    error = np.sqrt(np.var(a, axis=0) / len(a) + np.var(b, axis=0) / len(b))
    return np.abs(np.mean(a, axis=0) - np.mean(b, axis=0)) / error


def both(model: ResidualNetwork, networks: int = 20_000) -> np.ndarray:
    layers = [0, model.depth // 2, model.depth]
    p = simulate_residual(model, networks, seed=11, method="projected", layers=layers)
    q = simulate_residual(model, networks, seed=12, method="dense", layers=layers)
    return discrepancies(p, q)


def plain(block: str, activation: str, bias: float) -> ResidualNetwork:
    width, depth = {"phi-in": (3, 6), "phi-out": (4, 5), "v-phi-w": (3, 5)}[block]
    return ResidualNetwork(width, depth, block, activation, 1.0, DepthScaling(0.5, 1.5), bias=bias)


LAW_CASES = [plain(*case) for case in itertools.product(BLOCKS, ("relu", "tanh"), (0.0, 2.0))] + [
    ResidualNetwork(5, 4, "phi-out", "tanh", scaling=DepthScaling(0.5, -1.2, inside=True), bias=0.5),
    ResidualNetwork(3, 6, "phi-out", "relu", scaling=DepthScaling(0.5, 1.2, inside=True)),
    ResidualNetwork(4, 8, "phi-in", "balanced", -0.6, DepthScaling(0.0, 1.1)),
    ResidualNetwork(6, 4, "phi-out", "balanced", 0.8, (0.9, -0.3, 0.0, 1.1), bias=0.3),
    ResidualNetwork(4, 4, "v-phi-w", "balanced-half", scaling=DepthScaling(0.5, 1.5), bias=0.4),
    ResidualNetwork(3, 4, "v-phi-w", "sigmoid", 0.7, (2.0, -1.0, 1.5, 0.5), bias=1.0),
    ResidualNetwork(1, 4, "v-phi-w", "leaky_relu", scaling=DepthScaling(0.5, 0.8), bias=0.5),
    ResidualNetwork(1, 2, "phi-in", "tanh", scaling=DepthScaling(0.5, 1.5), bias=0.5),
    ResidualNetwork(3, 5, "phi-in", "centred_softplus", 0.9, DepthScaling(0.5, 1.0), bias=0.7),
]  # fmt: skip


def described(model: ResidualNetwork) -> str:
    return f"{model.block}-{model.activation}-bias{model.bias}-n{model.width}{'-inside' if model.inside else ''}"


@pytest.mark.parametrize(
    "model",
    [*LAW_CASES[::3], *(pytest.param(m, marks=pytest.mark.long) for m in [*LAW_CASES[1::3], *LAW_CASES[2::3]])],
    ids=described,
)
def test_projected_and_dense_agree_in_law_forward_backward_and_jointly(model):
    found = both(model)
    assert len(found) == 29
    assert np.max(found) < BOUND, found


def transposed_as_if_nothing_were_known(self, x, v):
    fresh = self.source.normals(self.streams.backward, self.layer, v.shape[1])
    return norm(v) * fresh / self.root


ORIGINAL = ProjectedMap.transposed


def transposed_without_bias(self, x, v):
    self.bias = 0.0  # of this one layer's map, which is not asked again
    return ORIGINAL(self, x, v)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_transposed_map_that_forgets_the_forward_pass_is_caught(block, activation, monkeypatch):
    monkeypatch.setattr(ProjectedMap, "transposed", transposed_as_if_nothing_were_known)
    assert np.max(both(plain(block, activation, 0.0), 10_000)) > CONTROL


@pytest.mark.parametrize(("block", "activation"), [("phi-in", "relu"), ("phi-out", "tanh"), ("v-phi-w", "tanh")])
def test_a_transposed_map_that_forgets_the_bias_is_caught(block, activation, monkeypatch):
    monkeypatch.setattr(ProjectedMap, "transposed", transposed_without_bias)
    assert np.max(both(plain(block, activation, 2.0), 10_000)) > CONTROL


# ------------------------------------------------------------------------------------------------------- exact oracles


@pytest.mark.parametrize(("method", "weights"), [("projected", "gaussian"), *(("dense", law) for law in WEIGHTS)])
def test_norms_and_gradients_of_v_phi_w_grow_in_the_mean_as_the_formula_says(method, weights):
    n, depth, s, count = 6, 4, 1.0, 25_000
    exact = (1 + s**2 / 2) ** depth  # of |h_L|^2/|h_0|^2 and of |p_0|^2/|p_L|^2

    def deviations(scale: float) -> list[float]:
        model = ResidualNetwork(n, depth, "v-phi-w", scaling=DepthScaling(0.0, scale), weights=weights)
        paths = simulate_residual(model, count, seed=31, method=method, layers=[0, depth])
        ratios = [np.exp(paths.log_norm[:, 1] - paths.log_norm[:, 0]), np.exp(paths.log_gradient[:, 0])]
        return [(np.mean(x) - exact) / (np.std(x) / math.sqrt(count)) for x in ratios]

    assert np.max(np.abs(deviations(s))) < BOUND
    if method == "projected":
        assert np.min(deviations(1.1 * s)) > CONTROL


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activation", [name for name, sigma in ACTIVATIONS.items() if sigma.homogeneous])
@pytest.mark.parametrize("block", BLOCKS)
def test_gradient_times_state_is_the_same_at_every_layer_of_a_homogeneous_network(block, activation, method):
    for scaling in scalings(block, 16):
        model = ResidualNetwork(6, 16, block, activation, -0.9, scaling)
        paths = simulate_residual(model, 20, seed=41, method=method)
        sizes = np.exp(0.5 * (paths.log_gradient + paths.log_norm))
        products = paths.overlap * sizes
        error = np.abs(products - products[:, :1]) / np.max(sizes, axis=1, keepdims=True)
        assert np.max(error) < 1e-13


@pytest.mark.parametrize("change", [{"bias": 0.5}, {"activation": "tanh"}])
def test_gradient_times_state_changes_with_a_bias_or_a_curved_activation(change):
    paths = simulate_residual(ResidualNetwork(6, 8, **{"block": "phi-in", **change}), 20, seed=41)
    products = paths.overlap * np.exp(0.5 * (paths.log_gradient + paths.log_norm))
    assert np.min(np.abs(products[:, 0] - products[:, -1])) > 1e-4


RESNETS = [
    ResNet(6, 9, -0.8, 0.6, "vanilla", n_out=3, input_norm=1.7),
    ResNet(5, 9, 0.8, 0.6, "balanced", input_norm=1e200),
    ResNet(4, 9, math.sqrt(0.5), math.sqrt(0.5), "balanced-half"),
    ResNet(3, 6, 0.0, 1.0),  # dies
    ResNet(3, 12, 1e-200, 1e200),
    ResNet(3, 4, -0.9, 0.0),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("resnet", RESNETS, ids=repr)
def test_what_a_resnet_can_say_is_the_reference_of_resnets_network_by_network(resnet, method):
    model = spelling.general(resnet)
    assert model.as_resnet == resnet
    ours, theirs = (f(m, 200, seed=51, method=method) for f, m in ((simulate_residual, model), (simulate, resnet)))
    np.testing.assert_allclose(ours.log_norm, theirs.log_norm, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours.asymmetry, theirs.asymmetry, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(ours.active_fraction, theirs.active_fraction)
    np.testing.assert_allclose(ours.output, theirs.output, rtol=1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("block", BLOCKS)
def test_without_branches_only_the_carry_remains(block, activation, method):
    model = ResidualNetwork(5, 7, block, activation, -0.9, (0.0,) * 7, bias=0.3)
    paths = simulate_residual(model, 20, seed=61, method=method)
    layers, back = np.arange(8), np.arange(8)[::-1]
    with np.errstate(divide="ignore"):
        forward, moved, back_moved = (
            layers * math.log(0.81),
            *(2 * np.log(np.abs((-0.9) ** k - 1)) for k in (layers, back)),
        )
    np.testing.assert_allclose(paths.log_norm - paths.log_norm[:, :1], np.tile(forward, (20, 1)), atol=1e-13)
    np.testing.assert_allclose(paths.log_displacement, np.tile(moved, (20, 1)), atol=1e-13)
    np.testing.assert_allclose(paths.log_gradient, np.tile(back * math.log(0.81), (20, 1)), atol=1e-13)
    np.testing.assert_allclose(paths.log_gradient_displacement, np.tile(back_moved, (20, 1)), atol=1e-13)
