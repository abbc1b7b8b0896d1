"""Modules of torch as networks, `resmc.from_torch`: what is read, what is refused, and laws against modules themselves.

Of the 40 comparisons in law a correct program fails one with a probability of 3e-4. Weights of a correct module are
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
from resmc import DepthScaling, ResidualNetwork
from resmc.theory.facts import facts
from resmc.theory.infinite_width import infinite_width

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from resmc.torch_module.initial_laws import InitialLaw, laws_of, misfit  # noqa: E402

BOUND, CONTROL = 4.5, 8.0
N = 128


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(7)


class Residual(nn.Module):
    """carry (h + factor_i branch(h)), the branch a Linear on one or both sides of the activation."""

    def __init__(self, depth: int = 4, inner: int | None = None, act: Any = torch.relu, **more: Any) -> None:
        super().__init__()
        bias = more.get("bias", False)
        self.first = nn.ModuleList(nn.Linear(N, inner or N, bias=bias) for _ in range(depth))
        self.last = nn.ModuleList(nn.Linear(inner or N, N, bias=bias) for _ in range(depth))
        self.gate = nn.Parameter(torch.zeros(()))
        self.act, self.more = act, more

    def forward(self, h: Any) -> Any:
        form = self.more.get("form", "both")
        for i, (first, last) in enumerate(zip(self.first, self.last, strict=True)):
            y = (
                last(self.act(first(h)))
                if form == "both"
                else self.act(first(h))
                if form == "out"
                else last(self.act(h))
            )
            if "factor" in self.more:
                y = self.more["factor"](i) * y
            if self.more.get("gated"):
                y = y * self.gate
            h = h + y
            if "carry" in self.more:
                h = h / self.more["carry"]
        return h


def initialised(module: nn.Module, draw: Any, bias: Any = nn.init.zeros_) -> nn.Module:
    for one in module.modules():
        if isinstance(one, nn.Linear):
            draw(one.weight)
            if one.bias is not None:
                bias(one.bias)
    return module


def perceptron(act: type[nn.Module] = nn.ReLU, depth: int = 4, width: int = N, features: int = 10) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(features, width)]
    for _ in range(depth):
        layers += [act(), nn.Linear(width, width)]
    return nn.Sequential(*layers, act(), nn.Linear(width, 3))


def tower(act: type[nn.Module] = nn.Tanh, depth: int = 4, width: int = N) -> nn.Sequential:
    return nn.Sequential(*(one for _ in range(depth) for one in (nn.Linear(width, width), act())))


# -- what is read -----------------------------------------------------------------------------------------------------


def test_a_perceptron_of_torchs_default_is_uniform_with_uniform_biases():
    x = np.linspace(-1.0, 2.0, 10)
    model = resmc.from_torch(perceptron(), input=x)
    assert (model.width, model.depth, model.block, model.activation, model.carry) == (N, 4, "phi-in", "relu", 0.0)
    assert (model.weights, model.bias_law) == ("uniform", "uniform")
    assert model.scaling.c == pytest.approx(3.0**-0.5, rel=1e-9)
    assert model.scaling.c * model.bias == pytest.approx((3.0 * N) ** -0.5, rel=1e-9)
    # h_0 = W x + b, entries of variance 1/(3 n_in): the bias is the weight of an input of 1
    np.testing.assert_allclose(model.input, math.sqrt(11 / 30) * np.append(x, 1.0), rtol=1e-9)
    assert model.size**2 == pytest.approx((np.sum(x**2) + 1.0) / 30.0)


@pytest.mark.parametrize(
    ("draw", "weights", "gain"),
    [
        (nn.init.xavier_uniform_, "uniform", 1.0),
        (nn.init.xavier_normal_, "gaussian", 1.0),
        (lambda w: nn.init.xavier_normal_(w, gain=5 / 3), "gaussian", 5 / 3),
        (lambda w: nn.init.xavier_uniform_(w, gain=5 / 3), "uniform", 5 / 3),
        (lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"), "gaussian", 2**0.5),
        (lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu", mode="fan_out"), "uniform", 2**0.5),
        (lambda w: nn.init.kaiming_uniform_(w, a=5**0.5), "uniform", 3**-0.5),
        (lambda w: nn.init.normal_(w, std=0.02), "gaussian", 0.02 * N**0.5),
    ],
)
def test_initialisations_of_torch_are_read(draw, weights, gain):
    model = resmc.from_torch(initialised(tower(), draw))
    assert (model.block, model.inside or gain == 1.0, model.weights, model.bias) == ("phi-out", True, weights, 0.0)
    assert model.scaling.c == pytest.approx(gain, rel=1e-9)
    assert model.input_norm == 1.0


def test_fan_modes_of_a_branch_that_is_wider_within():
    wide = 4 * N
    model = resmc.from_torch(Residual(inner=wide))  # torch's default has the variance 1/(3 fan_in) on both sides
    assert (model.block, model.inner_width, model.carry) == ("v-phi-w", wide, 1.0)
    assert model.scaling.c == pytest.approx(1 / 3, rel=1e-9)
    for mode, gain in (("fan_in", 2.0), ("fan_out", 2.0)):  # sqrt(2) for each, times sqrt(N/n) and its inverse
        model = resmc.from_torch(
            initialised(Residual(inner=wide), lambda w, m=mode: nn.init.kaiming_normal_(w, mode=m, nonlinearity="relu"))
        )
        assert model.scaling.c == pytest.approx(gain, rel=1e-9), mode
    model = resmc.from_torch(initialised(Residual(inner=wide), nn.init.xavier_normal_))
    assert model.scaling.c == pytest.approx(math.sqrt(2 / 5 * 8 / 5), rel=1e-9)


def test_a_homogeneous_activation_has_all_factors_in_one_and_others_take_units_of_their_own():
    relu, tanh = (resmc.from_torch(Residual(act=act)) for act in (torch.relu, torch.tanh))
    assert relu.scaling.c == tanh.scaling.c == pytest.approx(1 / 3, rel=1e-9)
    assert (relu.input_norm, tanh.input_norm) == (1.0, pytest.approx(3.0**-0.5, rel=1e-9))
    out = resmc.from_torch(Residual(act=torch.tanh, form="out", factor=lambda i: 0.5))
    assert (out.block, out.inside) == ("phi-out", False)
    assert (out.scaling.c, out.input_norm) == (pytest.approx(0.5 * 3**-0.5), pytest.approx(3**-0.5))
    within = resmc.from_torch(Residual(act=torch.tanh, form="in", factor=lambda i: 0.5))
    assert (within.block, within.scaling.c) == ("phi-in", pytest.approx(0.5 * 3**-0.5))


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (nn.LeakyReLU(0.2), "leaky_relu(0.2)"),
        (nn.LeakyReLU(), "leaky_relu"),
        (nn.ELU(0.5), "elu(0.5)"),
        (nn.ELU(), "elu"),
        (nn.Hardtanh(), "hard_tanh"),
        (nn.GELU(approximate="tanh"), "gelu_tanh"),
    ],
)
def test_parameters_of_activations_are_read(act, name):
    assert resmc.from_torch(initialised(tower(lambda: act, 2), nn.init.xavier_normal_)).activation == name


def test_gates_carries_and_scales_by_layer():
    assert not resmc.from_torch(Residual(gated=True)).scales.any()
    zero = Residual()
    for one in zero.last:
        nn.init.zeros_(one.weight)
    assert not resmc.from_torch(zero).scales.any()
    carried = resmc.from_torch(Residual(carry=2**0.5))
    assert carried.carry == pytest.approx(0.5**0.5)
    assert carried.scaling.c == pytest.approx(0.5**0.5 / 3)
    by_layer = resmc.from_torch(Residual(factor=lambda i: 1.0 / math.sqrt(i + 1.0)))
    np.testing.assert_allclose(by_layer.scales, 1 / 3 / np.sqrt([1, 2, 3, 4]), rtol=1e-9)
    small = Residual(depth=4)
    for one in small.first:
        nn.init.normal_(one.weight, std=0.02)
    for one in small.last:
        nn.init.normal_(one.weight, std=0.02 / math.sqrt(8))
    model = resmc.from_torch(small, deviations=0.02 / math.sqrt(8))
    assert model.scaling.c == pytest.approx(0.02**2 * N / math.sqrt(8))


def test_gaussian_embeddings_enter_by_the_size_of_the_input():
    module = initialised(perceptron(nn.Tanh), nn.init.xavier_normal_)
    nn.init.normal_(module[0].weight, std=10**-0.5)
    assert resmc.from_torch(module).input_norm == pytest.approx(1.0)
    assert resmc.from_torch(module, input=[2.0] + [0.0] * 9).input_norm == pytest.approx(0.4**0.5)


# -- laws -------------------------------------------------------------------------------------------------------------


def states(module: nn.Sequential, x: Any) -> np.ndarray:
    """Outputs of the last square Linear, (batch, n)."""
    with torch.no_grad():
        for one in list(module)[:-2]:
            x = one(x)
    return x.double().numpy()


def features(h: np.ndarray) -> np.ndarray:
    """log |h|^2/n, sum h^4/n and |h_0|, of each network."""
    return np.stack([np.log(np.mean(h**2, axis=1)), np.mean(h**4, axis=1), np.abs(h[:, 0])])


@pytest.mark.cpu
@pytest.mark.parametrize("name", ["default", "gaussian"])
def test_the_network_has_the_law_of_modules_that_are_made_anew(name):
    """Width 6, three layers, one input: 4000 modules against 20,000 networks, 3 moments and a negative control."""
    x = np.array([0.5, -1.0, 2.0])

    def made(width: int, depth: int) -> nn.Sequential:
        module = perceptron(nn.Tanh, depth, width, 3)
        return module if name == "default" else initialised(module, nn.init.xavier_normal_)

    read = made(N, 3)
    model = replace(resmc.from_torch(read, input=x), width=6)
    if name == "default":
        # biases have the standard deviation 1/sqrt(3 n), so that beside a scaling of 1/sqrt(3) they are 1/sqrt(n)
        model = replace(model, bias=6**-0.5)
    else:
        model = replace(model, input_norm=math.sqrt(2.0 / (3 + 6) * np.sum(x**2)))
    modules = np.concatenate(
        [features(states(made(6, 3), torch.tensor(x, dtype=torch.float32)[None])) for _ in range(4000)], axis=1
    )
    sources = model.to_torch(seed=3, network=range(20_000))
    with torch.no_grad():
        ours = features(sources.states(sources.x @ sources.A.mT)[-1][:, 0].numpy())

    def z(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        spread = a.var(axis=1) / a.shape[1] + b.var(axis=1) / b.shape[1]
        return np.abs(a.mean(axis=1) - b.mean(axis=1)) / np.sqrt(spread)

    assert z(modules, ours).max() < BOUND
    other = replace(model, scaling=DepthScaling(0.0, 1.1 * model.scaling.c, model.inside)).to_torch(
        seed=3, network=range(20_000)
    )
    with torch.no_grad():
        theirs = features(other.states(other.x @ other.A.mT)[-1][:, 0].numpy())
    assert z(modules, theirs).max() > BOUND


def rms(model: ResidualNetwork, networks: int, **settings: Any) -> np.ndarray:
    sim = resmc.simulate(model, networks=networks, seed=1, progress=False, threads=1, **settings)
    return np.exp(0.5 * sim.estimate("mean_square").value)


@pytest.mark.cpu
@pytest.mark.parametrize(
    ("gain", "layers", "expected"), [(5 / 3, [10], [0.651]), (1.0, [10, 20, 100], [0.228, 0.161, 0.071])]
)
def test_tanh_keeps_its_size_with_the_gain_5_3_and_loses_it_with_1(gain, layers, expected):
    """Root mean squares at infinite width to 3 digits; at width 1000 within 2%, the error of 500 networks being 0.6%.

    At 100 layers the width of 1000 has 0.0702 +- 0.0002, 1.4% less than the limit.
    """
    read = resmc.from_torch(initialised(tower(), lambda w: nn.init.xavier_normal_(w, gain=gain)))
    model = replace(read, width=1000, depth=layers[-1])
    limit = np.sqrt(infinite_width(model, [[1.0]], layers).covariance[:, 0, 0])
    np.testing.assert_allclose(limit, expected, atol=6e-4)
    found = rms(model, 500, layers=[0, *layers])[1:]
    np.testing.assert_allclose(found, limit, rtol=0.02)
    assert abs(rms(replace(model, scaling=DepthScaling(0.0, 1.1 * gain, True)), 50)[-1] / limit[-1] - 1.0) > 0.04


@pytest.mark.cpu
def test_fifty_layers_of_torchs_default_end_where_the_biases_hold_them():
    """E h^2 -> 2/(5n) of relu: of q' = q/6 + 1/(3n). The error of 1000 networks is 0.5%."""
    n = 60
    read = resmc.from_torch(perceptron(width=n), input=np.ones(10))
    model = replace(read, depth=50)
    sim = resmc.simulate(model, networks=1000, seed=2, layers=[0, 50], progress=False, threads=1)
    found, exact = sim.estimate("mean_square"), math.log(2.0 / (5.0 * n))
    assert facts(model).mean_square(sim.layers)[-1] == pytest.approx(exact, rel=1e-9)
    assert abs(found.z_score(exact)[-1]) < BOUND
    assert found.stderr[-1] < 0.01
    without = replace(model, bias=0.0)
    assert rms(without, 40, layers=[0, 50])[-1] ** 2 < 1e-12 / n


# -- what is refused --------------------------------------------------------------------------------------------------


def test_trained_weights_are_refused():
    module = Residual(depth=3)
    steps = torch.optim.SGD(module.parameters(), lr=0.5)
    x, y = torch.randn(64, N), torch.randn(64, N)
    for _ in range(30):
        steps.zero_grad()
        (module(x) - y).square().mean().backward()
        steps.step()
    with pytest.raises(ValueError, match=r"W of layer 0 with the standard deviation .* is trained"):
        resmc.from_torch(module)


def test_the_tests_of_a_draw_hold_for_draws_and_see_what_is_none():
    rng = np.random.default_rng(3)
    deviations = (0.05, 0.1, 0.2)
    for _ in range(50):
        assert laws_of(0.1 * rng.standard_normal((60, 40)), deviations) == [InitialLaw("gaussian", 0.1)]
        assert laws_of(rng.uniform(-0.1, 0.1, (60, 40)) * math.sqrt(3), deviations) == [InitialLaw("uniform", 0.1)]
    draw = 0.1 * rng.standard_normal((60, 40))
    spike = draw + 0.05 * np.outer(rng.choice([-1.0, 1.0], 60), rng.choice([-1.0, 1.0], 40))
    law = InitialLaw("gaussian", 0.1)
    assert "mean square" in misfit(1.1 * draw, law)
    assert "too large" in misfit(np.where(np.arange(2400).reshape(60, 40) == 7, 0.7, draw), law)
    assert "singular value" in misfit(spike / spike.std() * 0.1, law)
    assert "no entry is as large" in misfit(np.clip(draw, -0.15, 0.15), law)
    assert laws_of(np.zeros((3, 3)), deviations) == [InitialLaw("zeros", 0.0)]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: 3, "module=3 is not allowed: it must be a torch.nn.Module"),
        (lambda: nn.Conv2d(3, 3, 1), "conv2d is not understood"),
        (lambda: nn.Sequential(nn.Linear(N, N), nn.BatchNorm1d(N), nn.ReLU()), "1 (BatchNorm1d) is not understood"),
        (lambda: nn.Sequential(nn.Linear(N, N), nn.PReLU()), "1 (PReLU) is not understood"),
        (lambda: nn.Sequential(nn.Linear(N, N), nn.Hardtanh(0.0, 6.0)), "1 (Hardtanh) is not understood"),
        (lambda: nn.Sequential(nn.Linear(N, N), nn.ReLU(), nn.Dropout(0.5)), "2 (Dropout) draws masks in training"),
        (lambda: nn.Linear(N, N), "no layer"),
        (lambda: nn.Sequential(nn.Linear(N, N), nn.Linear(N, N)), "the module has no activation and no sum"),
        (lambda: Residual(bias=True), "the last Linear of a branch of two has a bias"),
        (lambda: Residual(form="in", act=lambda x: torch.tanh(2 * x)), "a number before tanh in a branch without"),
        (lambda: perceptron(), "input is missing: h_0 depends on its entries"),
        (lambda: initialised(tower(), nn.init.eye_), "an orthogonal matrix with the trace 128 is no draw"),
        (lambda: initialised(tower(), lambda w: nn.init.normal_(w, std=0.3)), "is no draw of a known initialisation"),
        (
            lambda: nn.Sequential(nn.Linear(N, N), nn.ReLU(), nn.Linear(N, N), nn.Tanh()),
            "layers differ in their activation, relu and tanh",
        ),
    ],
)
def test_what_cannot_be_expressed_is_refused_in_a_sentence(made, said):
    if said == "no layer":
        said = "cannot be traced"
        made = lambda: type("Odd", (nn.Module,), {"forward": lambda self, x: x if x.sum() > 0 else -x})()  # noqa: E731
    with pytest.raises(ValueError, match=re.escape(said)) as found:
        resmc.from_torch(made())
    assert "\n" not in str(found.value).split("torch.fx:")[0]


def test_other_arguments_out_of_range_are_refused():
    for given, said in (
        ({"deviations": -1.0}, "deviations=-1.0 is not allowed"),
        ({"input": [1.0]}, "input of 1 entries is not allowed: the module takes 10"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            resmc.from_torch(perceptron(), **given)
    with pytest.raises(ValueError, match="input is not allowed for a module that begins with its layers"):
        resmc.from_torch(Residual(), input=[1.0] * N)
