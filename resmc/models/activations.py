"""The activations, each with all that resmc knows of it, in one table.

A row of `ACTIVATIONS` has sigma, its slope, sigma in torch, and what kernels, limits and messages rest on. The kernels'
own versions (float32, over packs of networks) are in ``csrc/include/resmc/activation.hpp``.

To add an activation:

1. write its value and slope there, as a case of ``activate``;
2. give it the next number of ``ActivationKind`` in ``csrc/include/resmc/description.hpp``;
3. add a row here, in the same place, with the same number; or a family, if it has parameters;
4. run ``pytest tests/test_activations.py``: it compares the kernels with the row over all floats' exponents, the slope
   with a difference quotient, torch with NumPy, ``homogeneous`` and the facts at 0 with the function, and the Gaussian
   means with a quadrature.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import activation_functions as f
from .activation_record import ActivationRecord
from .activation_table import Floats

LEAK = 0.01  # slope of leaky_relu below 0
SELU = 1.0507009873554805, 1.0507009873554805 * 1.6732632423543772  # slopes above and below 0


def _rectifier(number: int, *, signed: bool = False, half: bool = False) -> ActivationRecord:
    """Describe max(x, 0), or with random signs max(s x, 0)."""
    return ActivationRecord(
        number,
        f.relu,
        f.step,
        f.torch_relu,
        f.pulled_relu,
        lambda torch, x: torch.relu_(x),
        homogeneous=True,
        rectifier=True,
        signed=signed,
        half=half,
    )


def kinked(number: int, above: float, below: float) -> ActivationRecord:
    """Describe above x for x > 0, below x for x < 0."""
    straight = above == below
    ones: dict[str, Any]
    if above == 1.0:  # torch has one operation for it
        ones = {
            "torch": lambda torch, x: torch.nn.functional.leaky_relu(x, below),
            "pulled": lambda torch, g, x, y: torch.ops.aten.leaky_relu_backward(g, x, below, False),
            "in_place": (lambda torch, x: torch.nn.functional.leaky_relu_(x, below)) if below > 0.0 else None,
        }
    else:
        ones = {
            "torch": lambda torch, x: torch.where(x > 0.0, above * x, below * x),
            "pulled": lambda torch, g, x, y: torch.where(x > 0.0, above * g, below * g),
        }
    return ActivationRecord(
        number,
        lambda x: np.where(x > 0.0, above * x, below * x),
        lambda x: np.where(x > 0.0, above, below),
        **ones,
        homogeneous=True,
        slope_at_zero=above if straight else math.nan,
        curvature_at_zero=0.0 if straight else math.nan,
        odd=straight,
        steepest=max(abs(above), abs(below)),
        above=above,
        below=below,
    )


def elu_of_slopes(number: int, above: float, below: float) -> ActivationRecord:
    """Describe above x for x > 0, below (e^x - 1) for x < 0."""
    smooth = above == below

    def value(x: Floats) -> Floats:
        return np.where(x > 0.0, above * x, below * np.expm1(np.minimum(x, 0.0)))

    def slope(x: Floats) -> Floats:
        return np.where(x > 0.0, above, below * np.exp(np.minimum(x, 0.0)))

    return ActivationRecord(
        number,
        value,
        slope,
        lambda torch, x: torch.where(x > 0.0, above * x, below * f.torch_expm1(torch, x.clamp(max=0.0))),
        lambda torch, g, x, y: g * torch.where(x > 0.0, above, below * torch.exp(x.clamp(max=0.0))),
        slope_at_zero=above if smooth else math.nan,
        steepest=max(abs(above), abs(below)),
        above=above,
        below=below,
        kinks=(0.0,),
    )


ACTIVATIONS: dict[str, ActivationRecord] = {
    "relu": _rectifier(0),
    # The balanced activations draw a fair sign s for each network, layer and neuron.
    "balanced": _rectifier(1, signed=True),
    "balanced-half": _rectifier(2, signed=True, half=True),
    "leaky_relu": kinked(3, 1.0, LEAK),  # sigma(x) = max(x, 0.01 x)
    "tanh": ActivationRecord(
        4,
        np.tanh,
        f.tanh_slope,
        f.torch_tanh,
        lambda torch, g, x, y: torch.ops.aten.tanh_backward(g, y),
        lambda torch, x: torch.tanh_(x),
        slope_at_zero=1.0,
        curvature_at_zero=0.0,
        odd=True,
    ),
    # sigma(x) = 1/(1 + e^-x)
    "sigmoid": ActivationRecord(
        5,
        f.sigmoid,
        f.sigmoid_slope,
        f.torch_sigmoid,
        lambda torch, g, x, y: torch.ops.aten.sigmoid_backward(g, y),
        lambda torch, x: torch.sigmoid_(x),
        at_zero=0.5,
        slope_at_zero=0.25,
        curvature_at_zero=0.0,
        steepest=0.25,
    ),
    # sigma(x) = x Phi(x), Phi being the normal law's distribution function
    "gelu": ActivationRecord(
        6,
        lambda x: x * f.normal_cdf(x),
        f.gelu_slope,
        lambda torch, x: 0.5 * x * torch.erfc(-math.sqrt(0.5) * x),  # torch's own gelu is 0 below -9
        f.pulled_gelu,
        slope_at_zero=0.5,
        curvature_at_zero=math.sqrt(2.0 / math.pi),
        steepest=0.5 * math.erfc(-1.0) + math.exp(-1.0) / math.sqrt(math.pi),  # at sqrt(2)
    ),
    # sigma(x) = 2 (log(1 + e^x) - log 2): softplus shifted to 0, and scaled to slope 1 at 0
    "centred_softplus": ActivationRecord(
        7,
        f.centred_softplus,
        lambda x: 2.0 * f.sigmoid(x),
        f.torch_centred_softplus,
        lambda torch, g, x, y: 2.0 * torch.sigmoid(x) * g,
        slope_at_zero=1.0,
        curvature_at_zero=0.5,
        steepest=2.0,
    ),
    "linear": ActivationRecord(
        8,
        lambda x: x,
        np.ones_like,
        lambda torch, x: x,
        lambda torch, g, x, y: g,
        lambda torch, x: x,
        homogeneous=True,
        slope_at_zero=1.0,
        curvature_at_zero=0.0,
        odd=True,
    ),
    # sigma(x) = x/(1 + e^-x)
    "silu": ActivationRecord(
        9,
        lambda x: x * f.sigmoid(x),
        lambda x: f.sigmoid(x) + x * f.sigmoid_slope(x),
        lambda torch, x: torch.nn.functional.silu(x),
        lambda torch, g, x, y: torch.ops.aten.silu_backward(g, x),
        slope_at_zero=0.5,
        curvature_at_zero=0.5,
        steepest=1.0998393201288670,  # where x tanh(x/2) = 2
    ),
    "elu": elu_of_slopes(10, 1.0, 1.0),  # sigma(x) = x above 0, e^x - 1 below
    "selu": elu_of_slopes(11, *SELU),
    # sigma(x) = x tanh ln(1 + e^x)
    "mish": ActivationRecord(
        12,
        lambda x: x * f.mish_parts(x)[2],
        f.mish_slope,
        f.torch_mish,
        lambda torch, g, x, y: torch.ops.aten.mish_backward(g, x),
        slope_at_zero=0.6,
        curvature_at_zero=0.64,
        steepest=1.0884981612517279,  # at 1.490571179485428
    ),
    "erf": ActivationRecord(
        13,
        f.erf,
        f.erf_slope,
        lambda torch, x: torch.erf(x),
        lambda torch, g, x, y: g * (f.ERF_SLOPE * torch.exp(-x * x)),
        slope_at_zero=f.ERF_SLOPE,
        curvature_at_zero=0.0,
        odd=True,
        steepest=f.ERF_SLOPE,
    ),
    # sigma(x) = max(-1, min(x, 1))
    "hard_tanh": ActivationRecord(
        14,
        lambda x: np.clip(x, -1.0, 1.0),
        lambda x: np.where((x > -1.0) & (x <= 1.0), 1.0, 0.0),
        lambda torch, x: torch.where((x > -1.0) & (x <= 1.0), x, x.detach().clamp(-1.0, 1.0)),
        lambda torch, g, x, y: torch.where((x > -1.0) & (x <= 1.0), g, 0.0),
        slope_at_zero=1.0,
        curvature_at_zero=0.0,
        odd=True,
        kinks=(-1.0, 1.0),
    ),
    # sigma(x) = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))/2
    "gelu_tanh": ActivationRecord(
        15,
        lambda x: x * f.sigmoid(f.gelu_argument(x)),
        f.gelu_tanh_slope,
        f.torch_gelu_tanh,
        lambda torch, g, x, y: torch.ops.aten.gelu_backward(g, x, approximate="tanh"),
        slope_at_zero=0.5,
        curvature_at_zero=math.sqrt(2.0 / math.pi),
        steepest=1.1289930686587718,  # at 1.418504008790828
    ),
    # sigma(x) = log(1 + e^x)
    "softplus": ActivationRecord(
        16,
        lambda x: np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))),
        f.sigmoid,
        lambda torch, x: torch.nn.functional.softplus(x, threshold=50.0),
        lambda torch, g, x, y: torch.sigmoid(x) * g,
        at_zero=f.LOG2,
        slope_at_zero=0.5,
        curvature_at_zero=0.25,
    ),
}
