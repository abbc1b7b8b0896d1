"""Truncated, orthogonal and tied weights in `resmc.from_torch`: what is read, at which scale, and what is refused.

Each of the 6 comparisons of moments fails a correct program with a probability of 7e-6. Weights of a correct module are
refused with a probability of 1e-6 for each test of each matrix; seeds are fixed.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import ResidualNetwork, Weights

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from resmc.torch_module.initial_laws import InitialLaw, laws_of, truncated  # noqa: E402

BOUND = 4.5
N = 128


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(11)


def tower(draw: Any, width: int = N, depth: int = 3, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width, bias=False), act()]
        draw(layers[-2].weight)
    return nn.Sequential(*layers)


def cut(std: float, bound: float) -> Any:
    return lambda w: nn.init.trunc_normal_(w, std=std, a=-bound * std, b=bound * std)


# -- truncated normals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [2.0, 3.0])
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2.0)])
def test_a_truncated_normal_has_the_std_of_the_normal_before_it_was_cut(bound, gain):
    model = resmc.from_torch(tower(cut(gain * N**-0.5, bound)))
    name, kept = truncated(bound)
    assert model.weights == name == ("truncated_normal" if bound == 2.0 else "truncated_normal(-3, 3)")
    assert kept == pytest.approx({2.0: 0.87962566103423978, 3.0: 0.98658}[bound], rel=1e-5)
    assert model.scaling.c == pytest.approx(gain * kept, rel=1e-9)


def test_a_std_that_was_corrected_for_the_cut_is_read_as_that_of_what_is_left():
    model = resmc.from_torch(tower(cut(N**-0.5 / 0.87962566103423978, 2.0)))
    assert model.weights == "truncated_normal"
    assert model.scaling.c == pytest.approx(1.0, rel=1e-9)


def test_bounds_of_trunc_normal_are_absolute_so_that_a_small_std_is_not_cut():
    model = resmc.from_torch(tower(lambda w: nn.init.trunc_normal_(w, std=0.02)))
    assert (model.weights, model.scaling.c) == ("gaussian", pytest.approx(0.02 * N**0.5))
    cut_at_2 = resmc.from_torch(tower(nn.init.trunc_normal_), deviations=1.0)
    assert cut_at_2.weights == "truncated_normal"
    assert cut_at_2.scaling.c == pytest.approx(0.87962566103423978 * N**0.5, rel=1e-9)
    wider = resmc.from_torch(tower(lambda w: nn.init.trunc_normal_(w, std=0.625), width=400), deviations=0.625)
    assert wider.weights == "truncated_normal(-3.2, 3.2)"


def test_few_entries_are_taken_for_gaussian_and_all_matrices_together_tell_more():
    std = 40**-0.5
    assert resmc.from_torch(tower(cut(std, 3.0), width=40, depth=1)).weights == "gaussian"
    assert resmc.from_torch(tower(cut(std, 3.0), width=40, depth=16)).weights == "truncated_normal(-3, 3)"
    assert resmc.from_torch(tower(lambda w: nn.init.normal_(w, std=std), width=40, depth=16)).weights == "gaussian"


def test_truncated_draws_are_told_from_gaussian_and_uniform_ones():
    rng = np.random.default_rng(5)
    cuts = {bound: truncated(bound) for bound in (2.0, 3.0)}
    for _ in range(20):
        for bound, (name, kept) in cuts.items():
            g = rng.standard_normal((200, 100))
            while (beyond := np.abs(g) > bound).any():
                g[beyond] = rng.standard_normal(int(beyond.sum()))
            laws = laws_of(0.1 * g, (0.1,))
            assert laws[0] == InitialLaw(name, 0.1 * kept)
            assert {law.kind for law in laws} == {name}
            assert laws_of(1.1 * 0.1 * g, (0.1,)) == []
        assert laws_of(0.1 * rng.standard_normal((200, 100)), (0.1,)) == [InitialLaw("gaussian", 0.1)]


# -- orthogonal matrices -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [1.0, math.sqrt(2.0), 5 / 3, 1.3])
def test_orthogonal_matrices_are_read_with_their_gain(gain):
    model = resmc.from_torch(tower(lambda w: nn.init.orthogonal_(w, gain=gain)))
    assert (model.weights, model.block, model.bias) == ("orthogonal", "phi-out", 0.0)
    assert model.scaling.c == pytest.approx(gain, rel=1e-6)


def test_gains_of_orthogonal_layers_may_differ_and_a_gaussian_embedding_may_stand_before_them():
    layers = [nn.Linear(10, N), nn.ReLU(), nn.Linear(N, N), nn.ReLU(), nn.Linear(N, N)]
    module = nn.Sequential(*layers)
    nn.init.normal_(layers[0].weight, std=10**-0.5)
    for one, gain in zip((layers[2], layers[4]), (1.0, 2**0.5), strict=True):
        nn.init.orthogonal_(one.weight, gain=gain)
    for one in layers[::2]:
        nn.init.zeros_(one.bias)
    model = resmc.from_torch(module)
    assert (model.weights, model.block) == ("orthogonal", "phi-in")
    np.testing.assert_allclose(model.scales, [1.0, 2**0.5], rtol=1e-9)
    nn.init.orthogonal_(layers[0].weight)
    with pytest.raises(ValueError, match="embedding of layer 0 is orthogonal, and is not understood"):
        resmc.from_torch(module)


def test_what_is_orthogonal_and_no_uniform_draw_is_refused():
    with pytest.raises(ValueError, match="with the trace 128 is no draw"):
        resmc.from_torch(tower(nn.init.eye_))
    shift = torch.eye(N).roll(1, 0)
    with pytest.raises(ValueError, match="with an entry of 1 is no draw"):
        resmc.from_torch(tower(lambda w: w.data.copy_(shift)))

    def trained(w: Any) -> None:
        nn.init.orthogonal_(w)
        w.data += 0.002 * torch.randn_like(w)

    with pytest.raises(ValueError, match=r"W of layer 0 .* or is trained"):
        resmc.from_torch(tower(trained))
    biased = tower(nn.init.orthogonal_)
    biased[0].bias = nn.Parameter(0.1 * torch.ones(N))
    with pytest.raises(ValueError, match="the bias of layer 0 is no draw"):
        resmc.from_torch(biased)


# -- laws --------------------------------------------------------------------------------------------------------------


def outputs(module: nn.Sequential, networks: int) -> np.ndarray:
    """Moments of modules whose input is N(0, I)."""
    with torch.no_grad():
        return moments(module(torch.randn(networks, module[0].in_features)).double().numpy())


def moments(h: np.ndarray) -> np.ndarray:
    """Return the square root and the square of |h_L|^2/n, and sum h^4/n."""
    square = np.mean(h**2, axis=1)
    return np.stack([np.sqrt(square), square, np.mean(h**4, axis=1)])


@pytest.mark.cpu
@pytest.mark.parametrize("name", ["orthogonal", "truncated"])
def test_networks_have_the_law_of_modules_that_are_drawn_anew(name):
    """Width 8, three layers, 2000 modules against 20,000 networks; a scaling 10% larger is seen."""
    draws = {
        "orthogonal": lambda w: nn.init.orthogonal_(w, gain=2**0.5),
        "truncated": lambda w: cut(2**0.5 * w.shape[1] ** -0.5, 2.0)(w),
    }
    read = resmc.from_torch(tower(draws[name]))
    model = replace(read, width=8)
    theirs = np.concatenate([outputs(tower(draws[name], width=8), 1) for _ in range(2000)], axis=1)

    def ours(one: ResidualNetwork) -> np.ndarray:
        networks = one.to_torch(seed=3, network=range(20_000))
        with torch.no_grad():
            return moments(networks.states(networks.x @ networks.A.mT)[-1][:, 0].numpy())

    def z(a: np.ndarray, b: np.ndarray) -> float:
        spread = a.var(axis=1) / a.shape[1] + b.var(axis=1) / b.shape[1]
        return float(np.max(np.abs(a.mean(axis=1) - b.mean(axis=1)) / np.sqrt(spread)))

    assert z(theirs, ours(model)) < BOUND
    larger = replace(model, scaling=replace(model.scaling, c=1.1 * model.scaling.c))
    assert z(theirs, ours(larger)) > BOUND


# -- tied weights ------------------------------------------------------------------------------------------------------


class Tied(nn.Module):
    """h + V act(W h), the same in all layers; ``own`` gives the last layer matrices of its own."""

    def __init__(self, own: bool = False, first: bool = False) -> None:
        super().__init__()
        self.W, self.V = nn.Linear(N, N, bias=False), nn.Linear(N, N, bias=False)
        self.last = nn.Linear(N, N, bias=False)
        self.own, self.first = own, first

    def forward(self, h: Any) -> Any:
        if self.first:
            h = self.W(h)
        for k in range(4):
            h = h + (self.last if self.own and k == 3 else self.V)(torch.relu(self.W(h)))
        return h


def test_a_loop_over_one_layer_has_tied_weights():
    model = resmc.from_torch(Tied())
    assert model.weights == Weights("uniform", "tied")
    assert (model.depth, model.scaling.c) == (4, pytest.approx(1 / 3, rel=1e-9))
    fc, act = nn.Linear(N, N, bias=False), nn.Tanh()
    assert resmc.from_torch(nn.Sequential(fc, act, fc, act)).weights == Weights("uniform", "tied")


def test_weights_that_only_some_layers_share_are_refused():
    for module in (Tied(own=True), Tied(first=True)):
        with pytest.raises(ValueError, match=re.escape("some layers have the same weights and others not")):
            resmc.from_torch(module)
