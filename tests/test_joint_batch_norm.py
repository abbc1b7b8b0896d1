"""The backward pass of a batch norm over several inputs: twin, autograd, kernels, laws, and what is known of it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from joint_kernels import START, Case, DenseCase, differences, products
from test_joint_reference import starts

from resmc import DepthScaling, ResidualNetwork
from resmc.models.normalisation import PLACES
from resmc.reference import simulate_joint

INSIDE = DepthScaling(0.5, -1.3, inside=True)
BY_LAYER = (0.5, 0.2, -0.1, -0.4, 0.5, 0.2)
BLOCKS = {
    "phi-in": ("relu", BY_LAYER, 0.0),
    "phi-out": ("tanh", INSIDE, 0.4),
    "v-phi-w": ("gelu", BY_LAYER, 0.4),
}


def network(block: str, place: str, width: int = 7, **given: Any) -> ResidualNetwork:
    activation, scaling, bias = BLOCKS[block]
    fields = {"activation": activation, "carry": 0.9, "scaling": scaling, "bias": bias, "eps": 1e-3, "depth": 6}
    return ResidualNetwork(width, block=block, norm="batch", norm_at=place, **{**fields, **given})


# ------------------------------------------------------------------------------------------------- autograd


def autograd(model: ResidualNetwork, seed: int, network: int, start: np.ndarray = START) -> dict[str, np.ndarray]:
    """Gradients of output 0 of input 0 with respect to all states, with `torch.nn.functional.batch_norm` as the norm.

    Inputs are the batch, and layers are made of the weights of a module without a norm.
    """
    torch = pytest.importorskip("torch")
    bare = replace(model, norm=None, norm_at="pre", eps=1e-5)
    module = bare.to_torch(seed=seed, network=network)
    branches, place = (
        module._branches(module.V, module.W, module.b, module.signs, module.s, module.kept),
        model.norm_place,
    )

    def norm(x: Any) -> Any:
        return torch.nn.functional.batch_norm(x, None, None, training=True, eps=model.eps)

    h = torch.tensor(starts(model, seed, network, start), requires_grad=True)
    states = [h]
    for k in range(model.depth):
        y = branches.met(k, norm(h) if place.before else h)
        y = model.sigma.torch(torch, y)
        y = y if branches.kept is None else branches.kept[k] * y
        y = branches.unscaled(k, y, torch.zeros_like(h), 1.0)
        y = (1.0 if model.inside else float(model.scales[k])) * (norm(y) if place.branch else y)
        h = model.carry * h + y
        h = norm(h) if place.after else h
        states.append(h)
    for one in states:
        one.retain_grad()
    (states[-1][0] @ module.W_out[0]).backward()
    p, h = (np.stack([x.detach().numpy() for x in ones]) for ones in ([one.grad for one in states], states))
    size = np.linalg.norm(p, axis=(1, 2))
    a, b = np.tril_indices(len(start))
    with np.errstate(divide="ignore"):
        return {
            "gradient_gram": np.einsum("lpi,lpi->lp", p[:, a], p[:, b]),
            "log_gradient": 2.0 * np.log(size / size[-1]),
            "log_gradient_displacement": 2.0 * np.log(np.linalg.norm(p - p[-1], axis=(1, 2)) / size[-1]),
            "overlap": np.einsum("lai,lai->l", p, h) / (size * np.linalg.norm(h, axis=(1, 2))),
        }


def twin(model: ResidualNetwork, seed: int, network: int, start: np.ndarray = START) -> dict[str, np.ndarray]:
    found = simulate_joint(model, start, 1, seed, network, "dense", backward=True)
    assert found.kernel is None
    names = ("log_gradient", "log_gradient_displacement", "overlap")
    gram = products(found.gradient_gram, found.gradient_unit)[:, :, 0]
    return {"gradient_gram": gram} | {name: getattr(found, name)[:, 0] for name in names}


def assert_autograd(model: ResidualNetwork, seed: int, start: np.ndarray = START) -> None:
    expected, found = autograd(model, seed, 5, start), twin(model, seed, 5, start)
    for name, value in expected.items():
        scale = np.abs(value[np.isfinite(value)]).max()
        np.testing.assert_allclose(found[name], value, rtol=1e-8, atol=1e-9 * scale, err_msg=f"{name}, {model}")


@pytest.mark.parametrize("place", PLACES)
def test_the_twins_gradients_through_a_batch_norm_are_those_of_autograd(place):
    for block, carry in itertools.product(BLOCKS, (0.0, 0.9)):
        model = network(block, place, 5, carry=carry, eps=0.1)
        assert_autograd(model, 83)
    wrong = replace(model, eps=0.3)
    away = autograd(wrong, 83, 5)["log_gradient"] - twin(model, 83, 5)["log_gradient"]
    assert np.abs(away).max() > 1e-2  # a negative control


# ------------------------------------------------------------------------------------------------- kernels

TOLERANCE, BOUND, CONTROL = 1e-4, 5.0, 10.0


def apart(case: Case) -> dict[str, np.ndarray]:
    """Differences of kernels and twin, among them those of quotients and of alignments."""
    ours, twins = case.records(), case.twins()
    found = differences(ours, twins)
    for name in ("gradient", "gradient_displacement"):
        logs = []
        for one in (ours, twins):
            with np.errstate(divide="ignore"):
                square = np.log(one[f"{name}_square"].astype(float))
            logs.append(np.maximum(square + np.log(4.0) * one[f"{name}_exponent"], -100.0))
        found[f"{name} quotient"] = np.abs(logs[0] - logs[1])
    found["overlap"] = np.abs(ours["overlap"] - twins["overlap"])
    return found


def assert_twin(case: Case) -> None:
    for name, found in apart(case).items():
        assert found.max(initial=0.0) < TOLERANCE, (name, type(case), case.model, found.max())


@pytest.mark.cpu
@pytest.mark.parametrize("place", PLACES)
def test_gradients_of_either_method_are_those_of_the_twin(place):
    for kind, block, carry in itertools.product((Case, DenseCase), BLOCKS, (0.0, 0.9)):
        case = kind(network(block, place, carry=carry, eps=0.1), START, 12, backward=True, segment=4)
        for one in (case, replace(case, independent=True)):
            assert_twin(one)
    other = replace(case, model=replace(case.model, eps=0.3))
    away = np.abs(case.records()["gradient_gram"] / other.twins()["gradient_gram"] - 1.0)
    assert np.nanmax(away) > 100.0 * TOLERANCE  # a negative control
