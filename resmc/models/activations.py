"""The activations, each with all that resmc knows of it, in one table.

A row of `ACTIVATIONS` has sigma, its slope, sigma in torch, and what kernels, limits and messages rest on. The kernels'
own versions (float32, over packs of networks) are in ``csrc/include/resmc/activation.hpp``.

To add an activation:

1. write its value and slope there, as a case of ``activate``;
2. give it the next number of ``ActivationKind`` in ``csrc/include/resmc/description.hpp``;
3. add a row here, in the same place, with the same number;
4. run ``pytest tests/test_activations.py``: it compares the kernels with the row over all floats' exponents, the slope
   with a difference quotient, torch with NumPy, ``homogeneous`` and the facts at 0 with the function, and the Gaussian
   means with a quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks

Floats = NDArray[np.float64]

FLAT = 1e-19  # slopes below this bound count as 0 in the kernels
LEAK = 0.01  # slope of leaky_relu below 0
LOG2 = math.log(2.0)


@dataclass(frozen=True)
class Activation:
    """One activation.

    Attributes
    ----------
    number : int
        The number by which the kernels know the activation.
    value, slope : callable
        sigma(x) and sigma'(x) of an array, to the last digits of float64, also near 0. At a kink the slope is the one
        from below. Of an activation with random signs, both are those of a neuron with sign plus.
    torch : callable
        sigma(x) of a tensor, as a function of (torch, x): the module is handed in, so that nothing here imports it.
    pulled : callable
        g sigma'(x) of tensors, as a function of (torch, g, x, sigma(x)), in one or two of torch's operations. It is
        right to rounding errors of g, and not to the last digits of the slope where this is nearly 0.
    in_place : callable or None
        x becomes sigma(x), as a function of (torch, x): where sigma(x) in place of x serves ``pulled`` as well. None
        where that needs x.
    homogeneous : bool
        True if sigma(c x) = c sigma(x) for every c > 0.
    rectifier : bool
        True if sigma(x) = max(x, 0), for which the activation asymmetry is defined.
    signed : bool
        True if neurons have random signs s: sigma(s x).
    half : bool
        True if exactly half of the signs are plus, which needs an even width.
    at_zero, slope_at_zero, curvature_at_zero : float
        sigma(0), sigma'(0), sigma''(0); NaN where a derivative does not exist.
    odd : bool
        True if sigma(-x) = -sigma(x), so that E sigma(a g) = 0 for every a and standard normal g.
    steepest : float
        The largest |sigma'|, which is sigma's Lipschitz constant.
    """

    number: int
    value: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]
    torch: Callable[[Any, Any], Any]
    pulled: Callable[[Any, Any, Any, Any], Any]
    in_place: Callable[[Any, Any], Any] | None = None
    homogeneous: bool = False
    rectifier: bool = False
    signed: bool = False
    half: bool = False
    at_zero: float = 0.0
    slope_at_zero: float = math.nan
    curvature_at_zero: float = math.nan
    odd: bool = False
    steepest: float = 1.0

    @property
    def smooth(self) -> bool:
        """True if sigma is twice continuously differentiable."""
        return not math.isnan(self.curvature_at_zero)

    def flat_beyond(self, both: bool = False) -> float:
        """Return the least power of 2^(1/4) at which the slope of x or of -x, or of both, is below 1e-19.

        Infinite if there is none, or if sigma is homogeneous, whose slopes are exact. The kernels' gradients are
        float32, whose squares end there: such a slope counts as 0.
        """
        if self.homogeneous:
            return math.inf
        x = 2.0 ** np.arange(-8.0, 14.0, 0.25)
        with np.errstate(over="ignore", under="ignore"):
            slopes = (np.maximum if both else np.minimum)(np.abs(self.slope(x)), np.abs(self.slope(-x)))
        below = np.flatnonzero(slopes < FLAT)
        return float(x[below[0]]) if below.size else math.inf

    def mean(self, size: float = 1.0) -> float:
        """Return E sigma(size g) of a standard normal g, by quadrature; exact for piecewise linear sigma."""
        return gaussian_mean(self.value, size)

    def mean_square(self, size: float = 1.0) -> float:
        """Return E sigma(size g)^2, the squared size of one activated neuron."""
        return gaussian_mean(lambda x: self.value(x) ** 2, size)


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


def gaussian_mean(function: Callable[[Floats], Floats], size: float = 1.0) -> float:
    """Return E f(size g) of a standard normal g: Gauss-Legendre on either side of 0, where kinks are."""
    x = 6.0 * (_NODES + 1.0)  # from 0 to 12, beyond which the density is below 1e-31
    density = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    return float(6.0 * np.sum(_WEIGHTS * density * (function(size * x) + function(-size * x))))


def _step(x: Floats) -> Floats:
    return np.where(x > 0.0, 1.0, 0.0)


def _sigmoid(x: Floats) -> Floats:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, small) / (1.0 + small)


def _sigmoid_slope(x: Floats) -> Floats:
    small = np.exp(-np.abs(x))
    return small / (1.0 + small) ** 2


def _normal_cdf(x: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(ndtr(x))


def _gelu_slope(x: Floats) -> Floats:
    near = np.clip(x, -40.0, 40.0)  # beyond, the density is 0, and x^2 may be infinite
    return _normal_cdf(x) + near * np.exp(-0.5 * near * near) / math.sqrt(2.0 * math.pi)


def _centred_softplus(x: Floats) -> Floats:
    """Return 2 (log(1 + e^x) - log 2) = x + 2 log cosh(x/2): the latter near 0, where nothing cancels in it."""
    near = x + 2.0 * np.log1p(2.0 * np.sinh(0.25 * np.clip(x, -1.0, 1.0)) ** 2)
    far = 2.0 * (np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))) - LOG2)
    return np.where(np.abs(x) < 0.2, near, far)


def _relu(x: Floats) -> Floats:
    return np.maximum(x, 0.0)


def _leaky_relu(x: Floats) -> Floats:
    return np.where(x > 0.0, x, LEAK * x)


def _leaky_relu_slope(x: Floats) -> Floats:
    return np.where(x > 0.0, 1.0, LEAK)


def _tanh_slope(x: Floats) -> Floats:
    return 1.0 / np.cosh(np.clip(x, -350.0, 350.0)) ** 2


def _torch_relu(torch: Any, x: Any) -> Any:
    return torch.relu(x)


def _pulled_relu(torch: Any, g: Any, x: Any, y: Any) -> Any:
    return torch.ops.aten.threshold_backward(g, x, 0.0)


def _pulled_gelu(torch: Any, g: Any, x: Any, y: Any) -> Any:
    return torch.ops.aten.gelu_backward(g, x)


# In torch slopes come from the formulas: each is such that nothing cancels in its derivative either.
def _torch_centred_softplus(torch: Any, x: Any) -> Any:
    """Return `_centred_softplus`; softplus is x beyond 50, up to e^-50."""
    near = x + 2.0 * torch.log1p(2.0 * torch.sinh(0.25 * x.clamp(-2.0, 2.0)) ** 2)
    far = 2.0 * (torch.nn.functional.softplus(x, threshold=50.0) - LOG2)
    return torch.where(x.abs() < 1.0, near, far)


def _torch_sigmoid(torch: Any, x: Any) -> Any:
    """Return 1/(1 + e^-x): torch's slope y (1 - y) keeps its digits where y is small."""
    return torch.where(x > 0.0, 1.0 - torch.sigmoid(-x), torch.sigmoid(x))


def _torch_tanh(torch: Any, x: Any) -> Any:
    """Return tanh x, with the slope 1/cosh^2 x: torch's own, 1 - y^2, cancels far from 0."""
    if torch.is_grad_enabled() and x.requires_grad:
        return _tanh_function(torch).apply(x)
    return torch.tanh(x)


@lru_cache(maxsize=1)
def _tanh_function(torch: Any) -> Any:
    class Tanh(torch.autograd.Function):  # type: ignore[misc]
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Any) -> Any:
            return torch.tanh(x)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any], output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g / torch.cosh(x) ** 2

    return Tanh


def _rectifier(number: int, *, signed: bool = False, half: bool = False) -> Activation:
    """Describe max(x, 0), or with random signs max(s x, 0)."""
    return Activation(
        number,
        _relu,
        _step,
        _torch_relu,
        _pulled_relu,
        lambda torch, x: torch.relu_(x),
        homogeneous=True,
        rectifier=True,
        signed=signed,
        half=half,
    )


ACTIVATIONS: dict[str, Activation] = {
    "relu": _rectifier(0),
    # The balanced activations draw a fair sign s for each network, layer and neuron.
    "balanced": _rectifier(1, signed=True),
    "balanced-half": _rectifier(2, signed=True, half=True),
    # sigma(x) = max(x, 0.01 x)
    "leaky_relu": Activation(
        3,
        _leaky_relu,
        _leaky_relu_slope,
        lambda torch, x: torch.nn.functional.leaky_relu(x, LEAK),
        lambda torch, g, x, y: torch.ops.aten.leaky_relu_backward(g, x, LEAK, False),
        lambda torch, x: torch.nn.functional.leaky_relu_(x, LEAK),
        homogeneous=True,
    ),
    "tanh": Activation(
        4,
        np.tanh,
        _tanh_slope,
        _torch_tanh,
        lambda torch, g, x, y: torch.ops.aten.tanh_backward(g, y),
        lambda torch, x: torch.tanh_(x),
        slope_at_zero=1.0,
        curvature_at_zero=0.0,
        odd=True,
    ),
    # sigma(x) = 1/(1 + e^-x)
    "sigmoid": Activation(
        5,
        _sigmoid,
        _sigmoid_slope,
        _torch_sigmoid,
        lambda torch, g, x, y: torch.ops.aten.sigmoid_backward(g, y),
        lambda torch, x: torch.sigmoid_(x),
        at_zero=0.5,
        slope_at_zero=0.25,
        curvature_at_zero=0.0,
        steepest=0.25,
    ),
    # sigma(x) = x Phi(x), Phi being the normal law's distribution function
    "gelu": Activation(
        6,
        lambda x: x * _normal_cdf(x),
        _gelu_slope,
        lambda torch, x: 0.5 * x * torch.erfc(-math.sqrt(0.5) * x),  # torch's own gelu is 0 below -9
        _pulled_gelu,
        slope_at_zero=0.5,
        curvature_at_zero=math.sqrt(2.0 / math.pi),
        steepest=0.5 * math.erfc(-1.0) + math.exp(-1.0) / math.sqrt(math.pi),  # at sqrt(2)
    ),
    # sigma(x) = 2 (log(1 + e^x) - log 2): softplus shifted to 0, and scaled to slope 1 at 0
    "centred_softplus": Activation(
        7,
        _centred_softplus,
        lambda x: 2.0 * _sigmoid(x),
        _torch_centred_softplus,
        lambda torch, g, x, y: 2.0 * torch.sigmoid(x) * g,
        slope_at_zero=1.0,
        curvature_at_zero=0.5,
        steepest=2.0,
    ),
    "linear": Activation(
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
    "silu": Activation(
        9,
        lambda x: x * _sigmoid(x),
        lambda x: _sigmoid(x) + x * _sigmoid_slope(x),
        lambda torch, x: torch.nn.functional.silu(x),
        lambda torch, g, x, y: torch.ops.aten.silu_backward(g, x),
        slope_at_zero=0.5,
        curvature_at_zero=0.5,
        steepest=1.0998393201288670,  # where x tanh(x/2) = 2
    ),
}


def checked_activation(name: Any) -> str:
    """Return ``name`` if an activation has it, else raise ValueError."""
    if isinstance(name, str) and name == "softplus":
        raise ValueError(
            "activation='softplus' is not allowed: until log(1 + e^x) itself comes, the function that version 0.1 "
            "called so, 2 (log(1 + e^x) - log 2), is called 'centred_softplus'"
        )
    return checks.choice("activation", name, tuple(ACTIVATIONS))
