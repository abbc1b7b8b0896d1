"""Activations and their slopes in NumPy and in torch, of those that are no single word there: `activations` has all.

The functions of NumPy have the last digits of float64, also near 0 and far out. In torch slopes come from the formulas:
each is such that nothing cancels in its derivative either.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from .activation_table import Floats

LOG2 = math.log(2.0)
ERF_SLOPE = 2.0 / math.sqrt(math.pi)
GELU_RATE, GELU_CUBE = math.sqrt(8.0 / math.pi), 0.044715  # the tanh form is x/(1 + e^-z), z = rate (x + cube x^3)


def step(x: Floats) -> Floats:
    return np.where(x > 0.0, 1.0, 0.0)


def sigmoid(x: Floats) -> Floats:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, small) / (1.0 + small)


def sigmoid_slope(x: Floats) -> Floats:
    small = np.exp(-np.abs(x))
    return small / (1.0 + small) ** 2


def normal_cdf(x: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(ndtr(x))


def gelu_slope(x: Floats) -> Floats:
    near = np.clip(x, -40.0, 40.0)  # beyond, the density is 0, and x^2 may be infinite
    return normal_cdf(x) + near * np.exp(-0.5 * near * near) / math.sqrt(2.0 * math.pi)


def centred_softplus(x: Floats) -> Floats:
    """Return 2 (log(1 + e^x) - log 2) = x + 2 log cosh(x/2): the latter near 0, where nothing cancels in it."""
    near = x + 2.0 * np.log1p(2.0 * np.sinh(0.25 * np.clip(x, -1.0, 1.0)) ** 2)
    far = 2.0 * (np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))) - LOG2)
    return np.where(np.abs(x) < 0.2, near, far)


def mish_parts(x: Floats) -> tuple[Floats, Floats, Floats]:
    """Return t = e^-|x|, and D and w = N/D of tanh ln(1 + e^x) = N/D, where nothing cancels."""
    t = np.exp(-np.abs(x))
    n = np.where(x > 0.0, 1.0 + 2.0 * t, t * (2.0 + t))
    d = n + 2.0 * np.where(x > 0.0, t * t, 1.0)
    return t, d, n / d


def mish_slope(x: Floats) -> Floats:
    t, d, w = mish_parts(x)
    return w + x * (4.0 * t * (1.0 + t) / d**2) * np.where(x > 0.0, t, 1.0)


def torch_mish(torch: Any, x: Any) -> Any:
    t = torch.exp(-x.abs())
    n = torch.where(x > 0.0, 1.0 + 2.0 * t, t * (2.0 + t))
    return x * (n / (n + 2.0 * torch.where(x > 0.0, t * t, 1.0)))


def erf(x: Floats) -> Floats:
    from scipy.special import erf

    return np.asarray(erf(x))


def erf_slope(x: Floats) -> Floats:
    return ERF_SLOPE * np.exp(-(np.clip(x, -40.0, 40.0) ** 2))


def gelu_argument(x: Floats) -> Floats:
    near = np.clip(x, -40.0, 40.0)
    return GELU_RATE * near * (1.0 + GELU_CUBE * near**2)


def gelu_tanh_slope(x: Floats) -> Floats:
    near, z = np.clip(x, -40.0, 40.0), gelu_argument(x)
    return sigmoid(z) + near * GELU_RATE * (1.0 + 3.0 * GELU_CUBE * near**2) * sigmoid_slope(z)


def torch_gelu_tanh(torch: Any, x: Any) -> Any:
    near = x.clamp(-40.0, 40.0)
    return x * torch_sigmoid(torch, GELU_RATE * near * (1.0 + GELU_CUBE * near**2))


def relu(x: Floats) -> Floats:
    return np.maximum(x, 0.0)


def tanh_slope(x: Floats) -> Floats:
    return 1.0 / np.cosh(np.clip(x, -350.0, 350.0)) ** 2


def torch_relu(torch: Any, x: Any) -> Any:
    return torch.relu(x)


def pulled_relu(torch: Any, g: Any, x: Any, y: Any) -> Any:
    return torch.ops.aten.threshold_backward(g, x, 0.0)


def pulled_gelu(torch: Any, g: Any, x: Any, y: Any) -> Any:
    return torch.ops.aten.gelu_backward(g, x)


# In torch slopes come from the formulas: each is such that nothing cancels in its derivative either.
def torch_centred_softplus(torch: Any, x: Any) -> Any:
    """Return `centred_softplus`; softplus is x beyond 50, up to e^-50."""
    near = x + 2.0 * torch.log1p(2.0 * torch.sinh(0.25 * x.clamp(-2.0, 2.0)) ** 2)
    far = 2.0 * (torch.nn.functional.softplus(x, threshold=50.0) - LOG2)
    return torch.where(x.abs() < 1.0, near, far)


def torch_sigmoid(torch: Any, x: Any) -> Any:
    """Return 1/(1 + e^-x): torch's slope y (1 - y) keeps its digits where y is small."""
    return torch.where(x > 0.0, 1.0 - torch.sigmoid(-x), torch.sigmoid(x))


def torch_tanh(torch: Any, x: Any) -> Any:
    """Return tanh x, with the slope 1/cosh^2 x: torch's own, 1 - y^2, cancels far from 0."""
    if torch.is_grad_enabled() and x.requires_grad:
        return _with_slope(torch, "tanh").apply(x)
    return torch.tanh(x)


def torch_expm1(torch: Any, x: Any) -> Any:
    """Return e^x - 1, with the slope e^x: torch's own, y + 1, cancels far below 0."""
    if torch.is_grad_enabled() and x.requires_grad:
        return _with_slope(torch, "expm1").apply(x)
    return torch.expm1(x)


# g sigma'(x) of tensors, as functions of (torch, g, x), by torch's name of sigma.
PULLED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "tanh": lambda torch, g, x: g / torch.cosh(x) ** 2,
    "expm1": lambda torch, g, x: g * torch.exp(x),
}


@lru_cache(maxsize=len(PULLED))
def _with_slope(torch: Any, name: str) -> Any:
    """Return a function of torch with the slope of `PULLED` in place of its own."""

    class WithSlope(torch.autograd.Function):  # type: ignore[misc]
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Any) -> Any:
            return getattr(torch, name)(x)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any], output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return PULLED[name](torch, g, x)

    return WithSlope
