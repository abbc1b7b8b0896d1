r"""The activations, each with all that resmc knows of it, in one table.

A row of `ACTIVATIONS` says sigma, its slope, and the facts that the kernels, the limits and the messages rest on. The
kernels' own versions (float32, over packs of networks) are in ``csrc/include/resmc/activation.hpp``.

To add an activation:

1. write its value and slope there, as a case of ``activate``, and give it the next number of ``Activation``;
2. add a row here, in the same place, with the same number;
3. run ``pytest tests/test_activations.py``: it compares the two over all floats' exponents, the slope with a difference
   quotient, ``homogeneous`` and the facts at 0 with the function, and the Gaussian means with a quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAK = 0.01  # slope of leaky_relu below 0
LOG2 = math.log(2.0)


@dataclass(frozen=True)
class Activation:
    r"""One activation.

    Attributes
    ----------
    number : int
        What the kernels call it.
    value, slope : callable
        sigma(x) and sigma'(x) of an array, to the last digits of float64, also near 0. At a kink the slope is that
        below. Of the balanced ones: those of the neurons with sign plus.
    homogeneous : bool
        Whether sigma(c x) = c sigma(x) for every c > 0.
    signed : bool
        Whether neurons have random signs s: sigma(s x).
    at_zero, slope_at_zero, curvature_at_zero : float
        sigma(0), sigma'(0), sigma''(0); NaN where they do not exist.
    odd : bool
        Whether sigma(-x) = -sigma(x), so that E sigma(a g) = 0 for every a and standard normal g.
    """

    number: int
    value: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]
    homogeneous: bool = False
    signed: bool = False
    at_zero: float = 0.0
    slope_at_zero: float = math.nan
    curvature_at_zero: float = math.nan
    odd: bool = False

    @property
    def smooth(self) -> bool:
        """Whether sigma is twice continuously differentiable."""
        return not math.isnan(self.curvature_at_zero)

    def mean(self, size: float = 1.0) -> float:
        """E sigma(size g) of a standard normal g, by quadrature; exact for the piecewise linear ones."""
        return gaussian_mean(self.value, size)

    def mean_square(self, size: float = 1.0) -> float:
        """E sigma(size g)^2; the squared size of one activated neuron."""
        return gaussian_mean(lambda x: self.value(x) ** 2, size)


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


def gaussian_mean(function: Callable[[Floats], Floats], size: float = 1.0) -> float:
    """E f(size g) of a standard normal g: Gauss-Legendre on either side of 0, where activations have their kinks."""
    x = 6.0 * (_NODES + 1.0)  # 0 to 12
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
    return _normal_cdf(x) + x * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def _softplus(x: Floats) -> Floats:
    """2 (log(1 + e^x) - log 2) = x + 2 log cosh(x/2): the latter near 0, where nothing cancels in it."""
    near = x + 2.0 * np.log1p(2.0 * np.sinh(0.25 * np.clip(x, -1.0, 1.0)) ** 2)
    far = 2.0 * (np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))) - LOG2)
    return np.where(np.abs(x) < 0.2, near, far)


def _relu(x: Floats) -> Floats:
    return np.maximum(x, 0.0)


ACTIVATIONS: dict[str, Activation] = {
    # max(x, 0)
    "relu": Activation(0, _relu, _step, homogeneous=True),
    # max(s x, 0), fair signs s by network, layer and neuron; with balanced-half exactly half of them plus
    "balanced": Activation(1, _relu, _step, homogeneous=True, signed=True),
    "balanced-half": Activation(2, _relu, _step, homogeneous=True, signed=True),
    # max(x, 0.01 x)
    "leaky_relu": Activation(
        3, lambda x: np.where(x > 0.0, x, LEAK * x), lambda x: np.where(x > 0.0, 1.0, LEAK), homogeneous=True
    ),
    "tanh": Activation(
        4, np.tanh, lambda x: 1.0 / np.cosh(np.clip(x, -350.0, 350.0)) ** 2,
        slope_at_zero=1.0, curvature_at_zero=0.0, odd=True,
    ),
    # 1/(1 + e^-x)
    "sigmoid": Activation(5, _sigmoid, _sigmoid_slope, at_zero=0.5, slope_at_zero=0.25, curvature_at_zero=0.0),
    # x Phi(x), Phi the normal law's distribution function
    "gelu": Activation(
        6, lambda x: x * _normal_cdf(x), _gelu_slope, slope_at_zero=0.5, curvature_at_zero=math.sqrt(2.0 / math.pi)
    ),
    # 2 (log(1 + e^x) - log 2): shifted to 0 and scaled to slope 1 at 0
    "softplus": Activation(
        7, _softplus, lambda x: 2.0 * _sigmoid(x), slope_at_zero=1.0, curvature_at_zero=0.5
    ),
    "linear": Activation(
        8, lambda x: x, np.ones_like, homogeneous=True, slope_at_zero=1.0, curvature_at_zero=0.0, odd=True
    ),
}  # fmt: skip
