"""Functions and methods of torch in `resmc.from_torch`: each spelling of an activation, a norm, dropout and a shape."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import resmc
from resmc.models.activation_families import record_of

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from resmc.torch_module.functions import FUNCTIONS, METHODS  # noqa: E402

N = 64


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


class Net(nn.Module):
    """h_{l+1} = act(W_l h_l), or any other branch, in two layers."""

    def __init__(self, step: Any, begin: Any = None, act: Any = None) -> None:
        super().__init__()
        self.fc = nn.ModuleList(nn.Linear(N, N, bias=False) for _ in range(2))
        for fc in self.fc:
            nn.init.normal_(fc.weight, std=N**-0.5)
        self.gain, self.zeros = nn.Parameter(torch.ones(N)), nn.Parameter(torch.zeros(N))
        self.step, self.begin, self.act = step, begin, act

    def forward(self, h: Any) -> Any:
        if self.begin is not None:
            h = self.begin(h)
        for fc in self.fc:
            h = self.step(self, fc, h)
        return h


ACTIVATIONS: dict[str, list[Any]] = {
    "relu": [torch.relu, F.relu, lambda x: x.relu(), lambda x: F.relu(x, inplace=True), lambda x: F.relu(input=x)],
    "tanh": [torch.tanh, F.tanh, lambda x: x.tanh()],
    "sigmoid": [torch.sigmoid, F.sigmoid, lambda x: x.sigmoid(), torch.special.expit],
    "erf": [torch.erf, torch.special.erf, lambda x: x.erf()],
    "silu": [F.silu, nn.SiLU()],
    "mish": [F.mish, nn.Mish()],
    "selu": [F.selu, torch.selu, nn.SELU()],
    "gelu": [F.gelu, lambda x: F.gelu(x, approximate="none"), nn.GELU()],
    "gelu_tanh": [lambda x: F.gelu(x, approximate="tanh"), nn.GELU(approximate="tanh")],
    "softplus": [F.softplus, lambda x: F.softplus(x, beta=1.0), nn.Softplus()],
    "leaky_relu": [F.leaky_relu, nn.LeakyReLU()],
    "leaky_relu(0.2)": [lambda x: F.leaky_relu(x, 0.2), lambda x: F.leaky_relu(x, negative_slope=0.2)],
    "elu": [F.elu, nn.ELU()],
    "elu(0.5)": [lambda x: F.elu(x, 0.5), lambda x: F.elu(x, alpha=0.5)],
    "hard_tanh": [F.hardtanh, lambda x: F.hardtanh(x, -1.0, 1.0), nn.Hardtanh()],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_spelling_of_an_activation_is_that_function(name):
    x = torch.linspace(-6.0, 6.0, 101, dtype=torch.float64)
    for spelling in ACTIVATIONS[name]:
        model = resmc.from_torch(Net(lambda net, fc, h: net.act(fc(h)), act=spelling))
        assert (model.activation, model.depth, model.block) == (name, 2, "phi-out")
        np.testing.assert_allclose(
            record_of(name, N).value(x.numpy()), spelling(x.clone()).numpy(), rtol=1e-7, atol=1e-12
        )


def test_all_functions_and_methods_of_activations_are_tried_above_or_are_in_place():
    tried = {getattr(one, "__name__", "") for spellings in ACTIVATIONS.values() for one in spellings}
    kinds = ("norm", "linear", "dropout")
    names = {target.__name__ for target in FUNCTIONS if not any(kind in target.__name__ for kind in kinds)}
    assert {name for name in names if not name.endswith("_")} - {"special_expit", "special_erf"} <= tried
    assert set(METHODS) == {one + end for one in ("relu", "tanh", "sigmoid", "erf") for end in ("", "_")}


NORMS: dict[str, list[Any]] = {
    "layer": [
        lambda net, h: F.layer_norm(h, (N,)),
        lambda net, h: F.layer_norm(h, [N], net.gain, net.zeros, 1e-5),
        lambda net, h: F.layer_norm(h, h.shape[-1:], weight=torch.ones(N)),
        lambda net, h: F.layer_norm(h, (h.size(-1),)),
        lambda net, h: torch.layer_norm(h, (N,), eps=1e-5),
    ],
    "rms": [
        lambda net, h: F.rms_norm(h, (N,), eps=1e-5),
        lambda net, h: F.rms_norm(h, (h.size(-1),), net.gain, 1e-5),
        lambda net, h: F.rms_norm(h, (h.shape[-1],), weight=net.gain, eps=1e-5),
    ],
}


@pytest.mark.parametrize("name", NORMS)
def test_functional_norms_are_read_as_modules_are(name):
    for norm in NORMS[name]:
        model = resmc.from_torch(Net(lambda net, fc, h, norm=norm: h + fc(torch.relu(norm(net, h)))))
        assert (model.norm, model.norm_at, model.carry, model.eps) == (name, "pre", 1.0, 1e-5)
    default = resmc.from_torch(Net(lambda net, fc, h: h + fc(torch.relu(F.rms_norm(h, (N,))))))
    assert default.eps == pytest.approx(torch.finfo(torch.float32).eps)


def test_dropout_that_is_off_changes_nothing():
    for drop in (
        lambda h: F.dropout(h, 0.3, training=False),
        lambda h: F.dropout(h, p=0.0),
        lambda h: torch.dropout(h, 0.3, False),
        nn.Dropout(0.3).eval(),
    ):
        model = resmc.from_torch(Net(lambda net, fc, h: net.act(torch.relu(fc(h))), act=drop))
        assert (model.keep, model.depth) == (1.0, 2)


def test_an_input_may_be_flattened_and_a_linear_may_be_a_function():
    for begin in (
        lambda x: torch.flatten(x, 1),
        lambda x: x.flatten(1),
        lambda x: x.view(x.size(0), -1),
        lambda x: x.reshape(-1, N),
    ):
        assert resmc.from_torch(Net(lambda net, fc, h: torch.relu(fc(h)), begin)).depth == 2
    model = resmc.from_torch(Net(lambda net, fc, h: torch.relu(F.linear(h, fc.weight))))
    assert (model.depth, model.scaling.c) == (2, 1.0)


def test_a_sum_may_have_alpha():
    model = resmc.from_torch(Net(lambda net, fc, h: torch.add(h, fc(torch.relu(h)), alpha=0.5)))
    assert (model.carry, model.scaling.c) == (1.0, 0.5)
    turned = resmc.from_torch(Net(lambda net, fc, h: fc(torch.relu(h)).add(h, alpha=0.5)))
    assert (turned.carry, turned.scaling.c) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda net, fc, h: F.dropout(torch.relu(fc(h))), "dropout draws masks in training: call eval(), with"),
        (lambda net, fc, h: F.gelu(fc(h), approximate="fast"), "approximate must be 'none' or 'tanh'"),
        (lambda net, fc, h: F.softplus(fc(h), beta=2.0), "softplus has beta=1"),
        (lambda net, fc, h: F.hardtanh(fc(h), 0.0, 6.0), "hard_tanh has the bounds -1 and 1"),
        (lambda net, fc, h: F.leaky_relu(fc(h), math.inf), "slope=inf is not allowed"),
        (lambda net, fc, h: F.elu(fc(h), net.gain), "its parameter must be a number"),
        (lambda net, fc, h: F.relu6(fc(h)), "relu6 is not understood: resmc has no layer like"),
        (lambda net, fc, h: torch.relu(fc(h).flatten(1)), "a state is given another shape"),
        (lambda net, fc, h: h + fc(F.layer_norm(h, (N,), 2.0 * net.gain)), "mul is not understood"),
        (lambda net, fc, h: h + fc(torch.relu(F.layer_norm(h, (N,), torch.full((N,), 2.0)))), "weight that is not 1"),
        (lambda net, fc, h: h + fc(torch.relu(F.layer_norm(h, (N,), None, net.gain))), "bias that is not 0"),
        (lambda net, fc, h: h + fc(torch.relu(F.layer_norm(h, (4, N)))), "it normalises over 2 axes"),
        (lambda net, fc, h: h + fc(torch.relu(F.layer_norm(h, h.shape))), "must normalise over the last axis"),
        (lambda net, fc, h: h + fc(torch.relu(F.layer_norm(h, (N + 1,)))), "a norm of 65 entries is not understood"),
        (lambda net, fc, h: torch.relu(F.linear(h, fc.weight * 2.0)), "mul is not understood"),
        (lambda net, fc, h: torch.relu(F.linear(h, fc(h))), "its argument fc_0 is computed"),
        (lambda net, fc, h: torch.add(h, fc(torch.relu(h)), alpha=net.gain), "multiplied by numbers alone"),
        (lambda net, fc, h: torch.div(fc(torch.relu(h)), 2.0, rounding_mode="floor"), "must have two arguments"),
    ],
)
def test_what_cannot_be_expressed_is_refused_in_a_sentence(step, said):
    with pytest.raises(ValueError, match=re.escape(said)) as found:
        resmc.from_torch(Net(step))
    assert "\n" not in str(found.value)
