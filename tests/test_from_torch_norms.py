"""Norms of torch in `resmc.from_torch`: their four places, eps, sizes beside them, laws, and what is refused.

The two comparisons in law are of 4 numbers each: a correct program fails one with a probability of 6e-5.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, ResidualNetwork
from resmc.theory.facts import facts

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

BOUND, CONTROL = 4.5, 8.0
N, DEPTH = 64, 2
NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}
PLACES = ("pre", "branch", "sandwich", "post")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(7)


class Normed(nn.Module):
    """post(carry h + behind on(V act(W pre(h)))), with W or V or both."""

    def __init__(self, place: str = "pre", norm: Any = nn.LayerNorm, form: str = "both", **more: Any) -> None:
        super().__init__()
        n, inner = more.get("n", N), more.get("inner", more.get("n", N))
        self.place, self.form, self.more, self.act = place, form, more, more.get("act", torch.relu)
        depth, bias, eps = more.get("depth", DEPTH), more.get("bias", False), more.get("eps", 1e-3)
        self.W = nn.ModuleList(nn.Linear(n, inner, bias=bias) for _ in range(depth))
        self.V = nn.ModuleList(nn.Linear(inner, n, bias=bias and form == "in") for _ in range(depth))
        self.norms = nn.ModuleList(norm(n, eps=eps) for _ in range(2 * depth))
        self.final = norm(n) if more.get("final") else None
        gains = more.get("gains", (1.0, 1.0))
        for W, V in zip(self.W, self.V, strict=True):
            nn.init.normal_(W.weight, std=gains[0] * n**-0.5)
            nn.init.normal_(V.weight, std=gains[1] * inner**-0.5)

    def branch(self, k: int, x: Any) -> Any:
        if self.form == "in":
            return self.V[k](self.act(x))
        return self.act(self.W[k](x)) if self.form == "out" else self.V[k](self.act(self.W[k](x)))

    def states(self, h: Any) -> list[Any]:
        out = [h]
        for k in range(len(self.W)):
            before, after = self.norms[2 * k], self.norms[2 * k + 1]
            y = self.branch(k, before(h) if self.place in ("pre", "sandwich") else h)
            y = after(y) if self.place in ("branch", "sandwich") else y
            h = self.more.get("carry", 1.0) * h + self.more.get("behind", 1.0) * y
            h = after(h) if self.place == "post" else h
            out.append(h)
        return out

    def forward(self, x: Any) -> Any:
        h = self.states(x)[-1]
        return h if self.final is None else self.final(h)


# -- places and sizes, exactly ----------------------------------------------------------------------------------------

EXACT: dict[str, dict[str, Any]] = {
    "both": {"carry": 0.9, "behind": 0.7, "inner": 4 * N, "eps": 0.3},
    "out": {"form": "out", "carry": 0.8, "eps": 0.3},
    "in": {"form": "in", "behind": 0.5, "eps": 0.3},
    "tanh": {"act": torch.tanh, "behind": 0.5, "eps": 0.3},
}


def same_weights(module: Normed, model: ResidualNetwork, gains: tuple[float, float]) -> Any:
    """Give a module the weights of a network of resmc, and return that network's module."""
    ours = model.to_torch(seed=3, network=5)
    with torch.no_grad():
        for k in range(model.depth):
            if ours.W is not None:
                module.W[k].weight.copy_(gains[0] * ours.W[k])
            if ours.V is not None:
                module.V[k].weight.copy_(gains[1] * ours.V[k])
    return ours


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", EXACT)
def test_a_network_with_the_weights_of_a_module_has_its_states(norm, place, form):
    """To float64, with eps = 0.3, carries, factors, and a gain of V, by whose square eps is divided behind V."""
    given = EXACT[form]
    gain = 1.0 if form == "out" or place == "sandwich" else 1.5  # norms of a sandwich would have two eps
    module = Normed(place, NORMS[norm], gains=(1.0, gain), **given)
    model = resmc.from_torch(module, deviations=gain * given.get("inner", N) ** -0.5)
    module = module.double()
    block = {"out": "phi-out", "in": "phi-in"}.get(given.get("form", "both"), "v-phi-w")
    assert (model.norm, model.norm_at, model.block) == (norm, place, block)
    assert model.eps == pytest.approx(0.3 / gain**2 if place == "branch" else 0.3, rel=1e-9)
    ours = same_weights(module, model, (1.0, gain))
    h = torch.randn(2, N, dtype=torch.float64)
    with torch.no_grad():
        for a, b in zip(module.states(h), ours.states(h, all_layers=True), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
        other = replace(model, eps=0.9).to_torch(seed=3, network=5)
        assert float((other.states(h)[0] - module(h)).abs().max()) > 1e-3


def test_behind_a_norm_a_gain_before_tanh_is_part_of_the_activation_and_elsewhere_of_the_states_size():
    free, fixed = (
        resmc.from_torch(Normed(place, act=torch.tanh, gains=(5 / 3, 1.0), eps=1e-5)) for place in ("branch", "pre")
    )
    assert (free.activation, fixed.activation.name) == ("tanh", "tanh_gain_1_667")
    assert (free.input_norm, fixed.input_norm) == (pytest.approx(5 / 3), 1.0)
    assert (free.scaling.c, fixed.scaling.c) == (pytest.approx(5 / 3), 1.0)
    x = np.linspace(-4.0, 4.0, 101)
    np.testing.assert_allclose(fixed.sigma.value(x), np.tanh(5 / 3 * x), atol=1e-6)
    inside = resmc.from_torch(Normed("pre", form="out", act=torch.tanh, gains=(5 / 3, 1.0)))
    assert (inside.activation, inside.inside, inside.scaling.c) == ("tanh", True, pytest.approx(5 / 3))


def test_factors_before_the_norm_of_a_branch_leave_its_sign():
    class Signed(Normed):
        def states(self, h: Any) -> list[Any]:
            for k in range(DEPTH):
                h = h + 0.5 * self.norms[k](-2.0 * self.branch(k, h))
            return [h]

    model = resmc.from_torch(Signed("branch"))
    assert (model.norm_at, model.scaling.c, model.eps) == ("branch", -0.5, pytest.approx(1e-3 / 4, rel=1e-9))


def test_a_chain_of_linear_norm_and_activation_normalises_what_its_activations_meet():
    layers: list[nn.Module] = [nn.Linear(10, N)]
    for _ in range(DEPTH):
        layers += [nn.LayerNorm(N), nn.ReLU(), nn.Linear(N, N)]
    model = resmc.from_torch(nn.Sequential(*layers, nn.LayerNorm(N), nn.ReLU(), nn.Linear(N, 3)), input=np.ones(10))
    assert (model.block, model.carry, model.depth, model.norm, model.norm_at) == ("phi-in", 0.0, DEPTH, "layer", "pre")
    assert model.bias == pytest.approx(N**-0.5, rel=1e-9)  # torch's default, in units of weights of 1/sqrt(3n)
    tower = [one for _ in range(DEPTH) for one in (nn.Linear(N, N), nn.Tanh(), nn.RMSNorm(N))]
    behind = resmc.from_torch(nn.Sequential(*tower))
    assert (behind.block, behind.norm, behind.norm_at) == ("phi-out", "rms", "branch")
    assert behind.eps == float(torch.finfo(torch.float32).eps)  # torch's default of RMSNorm


def test_norms_without_parameters_and_of_one_layer_are_read():
    plain = resmc.from_torch(Normed(norm=lambda n, eps: nn.LayerNorm(n, eps, elementwise_affine=False)))
    assert (plain.norm, plain.eps) == ("layer", 1e-3)
    one = resmc.from_torch(Normed("post", depth=1, carry=1.0))
    assert (one.norm_at, one.depth) == ("post", 1)


# -- laws -------------------------------------------------------------------------------------------------------------


def sizes_by_layer(place: str, made: int) -> np.ndarray:
    """log |h_k|^2/n of modules that are made anew, (made, layers)."""
    out = []
    with torch.no_grad():
        for _ in range(made):
            states = Normed(place, n=16, inner=64, eps=0.1, behind=0.7).states(torch.randn(1, 16))
            out.append([math.log(float(h.square().mean())) for h in states])
    return np.array(out)


@pytest.mark.cpu
@pytest.mark.parametrize("place", ["sandwich", "pre"])
def test_the_network_has_the_law_of_fresh_modules_with_norms(place):
    """Means of log |h|^2/n and of its square in two layers, 1000 modules of width 16 against 20,000 networks."""
    read = resmc.from_torch(Normed(place, n=N, inner=4 * N, eps=0.1, behind=0.7))
    model = replace(read, width=16, inner_width=64)
    theirs = sizes_by_layer(place, 1000)[:, 1:]

    def z(model: ResidualNetwork) -> np.ndarray:
        sim = resmc.simulate(model, networks=20_000, seed=2, progress=False, threads=1, keep_trajectories=20_000)
        ours = sim.trajectories.log_norm[:, 1:]
        both = [np.concatenate([x, x**2], axis=1) for x in (theirs, ours)]
        spread = sum(x.var(axis=0) / len(x) for x in both)
        return np.abs(both[0].mean(axis=0) - both[1].mean(axis=0)) / np.sqrt(spread)

    assert z(model).max() < BOUND
    assert z(replace(model, scaling=DepthScaling(0.0, 1.2 * model.scaling.c))).max() > CONTROL


def test_gpt2_keeps_its_mean_square_at_any_depth():
    """Weights of deviation 0.02, those that lead back divided by sqrt(N): E|h_N|^2/n = 1 + g^2/2, g^2 of both gains."""
    n, q = 32, []
    for depth in (2, 6):
        gains = (0.02 * n**0.5, 0.02 * (4 * n / depth) ** 0.5)
        module = Normed(inner=4 * n, n=n, depth=depth, eps=0.0, gains=gains)
        model = resmc.from_torch(module, deviations=0.02 / depth**0.5)
        assert model.scaling.c == pytest.approx(gains[0] * gains[1], rel=1e-9)
        q.append(facts(model).mean_square([depth])[0])
    assert np.exp(q) == pytest.approx(1.0 + 0.02**4 * n * 4 * n / 2, rel=1e-9)


# -- what is refused --------------------------------------------------------------------------------------------------


def changed(name: str) -> Normed:
    module = Normed()
    with torch.no_grad():
        getattr(module.norms[2], name)[3] = 0.5
    return module


def uneven() -> Normed:
    module = Normed()
    module.norms[2].eps = 0.01
    return module


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: changed("weight"), "norms.2 (LayerNorm) has a weight that is not 1 in all entries, so it was trained"),
        (lambda: changed("bias"), "norms.2 (LayerNorm) has a bias that is not 0 in all entries, so it was trained"),
        (lambda: Normed(final=True), "a norm behind the last layer (a final norm, such as GPT-2's ln_f)"),
        (lambda: Normed("branch", final=True, depth=1), "a norm behind the last layer (a final norm"),
        (lambda: Normed("post", final=True), "two norms behind one sum are not understood"),
        (uneven, "norms differ in their eps, 0.001 and 0.01"),
        (lambda: Normed("sandwich", gains=(2**0.5, 2**0.5)), "norms differ in their eps, 0.001 and 0.00025"),
        (lambda: Normed(norm=lambda n, eps: nn.BatchNorm1d(n)), "a batch norm has means over several inputs"),
        (lambda: Normed(norm=lambda n, eps: nn.GroupNorm(4, n)), "a group norm has a mean for each part of a layer"),
        (lambda: Normed(norm=lambda n, eps: nn.LayerNorm((2, n))), "it normalises over 2 axes"),
        (lambda: Normed(norm=lambda n, eps: nn.LayerNorm(n + 1)), "a norm of 65 entries is not understood"),
        (lambda: nn.Sequential(nn.LayerNorm(N), Normed()), "a norm before the first sum is not understood"),
        (
            lambda: Normed(act=nn.Sequential(nn.LayerNorm(N), nn.ReLU())),
            "a norm within a branch, or with a number before it, is not understood",
        ),
        (lambda: nn.Sequential(nn.Linear(N, N), nn.ReLU(), nn.Linear(N, N), nn.LayerNorm(N)), "a norm behind the"),
        (
            lambda: nn.Sequential(Normed("pre"), Normed("branch")),
            "differ in their places of norms, pre and branch",
        ),
        (
            lambda: nn.Sequential(Normed(), Normed(norm=nn.RMSNorm)),
            "differ in their kind of norm, layer and rms",
        ),
    ],
)
def test_norms_that_cannot_be_expressed_are_refused_in_a_sentence(made, said):
    with pytest.raises(ValueError, match=re.escape(said)) as found:
        resmc.from_torch(made())
    assert "\n" not in str(found.value)
