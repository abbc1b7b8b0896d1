"""Multilayer perceptrons whose layers differ in width, in `resmc.from_torch`.

The 4 comparisons with modules are of 3 numbers each: a correct program fails one with a probability of 8e-5.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import theory
from resmc.theory.facts import facts

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

BOUND = 4.5
NETWORKS = 3000


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(5)


def perceptron(widths: tuple[int, ...], draw: Any = None, act: type[nn.Module] = nn.ReLU, bias: bool = False) -> Any:
    """Linear layers of these widths with activations between them."""
    layers: list[nn.Module] = []
    for k in range(len(widths) - 1):
        linear = nn.Linear(widths[k], widths[k + 1], bias=bias)
        if draw is not None:
            draw(linear.weight)
            if bias:
                nn.init.zeros_(linear.bias)
        layers += [linear, act()] if k < len(widths) - 2 else [linear]
    return nn.Sequential(*layers)


DRAWS: dict[str, tuple[Any, str, Any]] = {
    "default": (None, "uniform", lambda n, m: 1 / 3),
    "kaiming fan_in": (lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"), "gaussian", lambda n, m: 2.0),
    "kaiming fan_out": (
        lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu", mode="fan_out"), "gaussian", lambda n, m: 2.0 * n / m
    ),
    "kaiming uniform": (lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"), "uniform", lambda n, m: 2.0),
    "xavier": (nn.init.xavier_normal_, "gaussian", lambda n, m: 2.0 * n / (n + m)),
    "xavier uniform": (nn.init.xavier_uniform_, "uniform", lambda n, m: 2.0 * n / (n + m)),
    "0.02": (lambda w: nn.init.normal_(w, std=0.02), "gaussian", lambda n, m: 0.0004 * n),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWS)
def test_widths_and_scales_by_layer_are_read(name):
    """s_l^2 = n_l Var W_l, which differs from layer to layer where the variance is none of 1/fan_in."""
    draw, law, square = DRAWS[name]
    x = np.linspace(-1.0, 1.0, 300)
    model = resmc.from_torch(perceptron((300, 256, 128, 64, 10), draw), input=x)
    assert (model.widths, model.depth, model.block, model.carry) == ((256, 128, 64), 2, "phi-in", 0.0)
    assert (model.weights, model.bias) == (law, 0.0)
    expected = [math.sqrt(square(256, 128)), math.sqrt(square(128, 64))]
    np.testing.assert_allclose(np.abs(model.scales), expected, rtol=1e-9)
    assert model.size**2 == pytest.approx(square(300, 256) * np.sum(x**2) / 300, rel=1e-6)


def test_output_reads_the_readout_as_the_last_layer():
    module = perceptron((784, 256, 10), DRAWS["kaiming fan_in"][0])
    model = resmc.from_torch(module, output=True)
    assert (model.widths, model.depth) == ((256, 10), 1)
    assert model.scaling.c == pytest.approx(math.sqrt(2.0))
    assert model.input_norm == pytest.approx(math.sqrt(2.0))
    square = resmc.from_torch(perceptron((20, 128, 128, 128, 3), DRAWS["xavier"][0]), output=True)
    assert square.widths == (128, 128, 128, 3)
    np.testing.assert_allclose(square.scales, [1.0, 1.0, math.sqrt(2 * 128 / 131)])
    assert resmc.from_torch(perceptron((20, 128, 128, 3), DRAWS["xavier"][0])).widths is None


def test_zero_biases_tanh_and_other_activations_go_with_widths():
    model = resmc.from_torch(perceptron((50, 200, 100, 60, 2), DRAWS["xavier"][0], nn.Tanh, bias=True))
    assert (model.activation, model.bias, model.widths) == ("tanh", 0.0, (200, 100, 60))


@pytest.mark.cpu
@pytest.mark.parametrize("name", ["kaiming fan_in", "kaiming fan_out", "xavier", "default"])
def test_modules_that_are_drawn_anew_have_the_law(name):
    """Widths 6-12-5-8: output norms of 3000 modules against exact moments, or for uniform weights the mean square."""
    draw, law, square = DRAWS[name]
    read = resmc.from_torch(perceptron((60, 120, 50, 80), draw), input=np.ones(60), output=True)
    widths = (12, 5, 8)
    scales = tuple(math.sqrt(square(n, m)) for n, m in itertools.pairwise(widths))
    if name != "kaiming fan_out":  # at ten times these widths scales are the same
        np.testing.assert_allclose(read.scales, scales, rtol=1e-9)
    model = resmc.ResidualNetwork(widths, 2, "phi-in", "relu", 0.0, scales, input_norm=math.sqrt(square(6, 12)))
    module = perceptron((6, *widths), draw)
    rows = []
    with torch.no_grad():
        for _ in range(NETWORKS):
            for one in list(module)[::2]:
                one.reset_parameters() if draw is None else draw(one.weight)
            rows.append(module(torch.ones(6)).double().numpy())
    norm = np.mean(np.array(rows) ** 2, axis=1)
    alive = norm[norm > 0.0]
    exact = theory.exact_law(model, "log_norm")
    powers = np.array([1.0] if law == "uniform" else [0.3, 0.5, 1.0])
    found = np.array([alive**q for q in powers])
    if law == "uniform":
        found, known = norm[None], np.exp(facts(model).mean_square(np.array([2])))
    else:
        known = np.exp(exact.moment(powers))
    stderr = found.std(axis=1) / math.sqrt(found.shape[1])
    assert np.abs((found.mean(axis=1) - known) / stderr).max() < BOUND
    assert np.abs((found.mean(axis=1) - 1.2 * known) / stderr).max() > BOUND  # negative control


@pytest.mark.parametrize(
    ("made", "given", "said"),
    [
        (
            lambda: perceptron((784, 256, 10)),
            {"input": np.ones(784)},
            "one hidden layer alone: a network needs",
        ),
        (
            lambda: perceptron((30, 200, 100, 60, 10), bias=False, act=nn.ReLU, draw=nn.init.orthogonal_),
            {},
            "is orthogonal, and is not understood",
        ),
        (lambda: perceptron((30, 20, 10)), {"output": 1}, "output=1 is not allowed"),
    ],
)
def test_what_cannot_be_expressed_is_refused_in_a_sentence(made, given, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        resmc.from_torch(made(), **given)


def test_biases_that_differ_by_layer_are_refused():
    """torch's default has them uniform on +-1/sqrt(fan_in), and fan_in differs."""
    module = nn.Sequential(
        nn.Linear(30, 200), nn.ReLU(), nn.Linear(200, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 2)
    )
    with pytest.raises(ValueError, match=re.escape("layers differ in their bias, 0.0707106781187 and 0.1:")):
        resmc.from_torch(module, input=np.ones(30))


class Sum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(40, 40, bias=False), nn.Linear(40, 3, bias=False)

    def forward(self, h: Any) -> Any:
        return self.last(h + torch.relu(self.first(h)))


def test_output_is_refused_with_sums():
    with pytest.raises(ValueError, match="output=True is not allowed for a module with sums"):
        resmc.from_torch(Sum(), output=True)
    assert resmc.from_torch(Sum()).width == 40
