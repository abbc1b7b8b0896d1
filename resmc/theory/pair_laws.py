"""Two inputs of fully connected networks with shaped activations: how their correlation moves, layer by layer.

With slopes 1 + c_plus/sqrt(n) and 1 + c_minus/sqrt(n) on the two sides of 0, and weights whose variance keeps the mean
square, the correlation rho of the states of two inputs tends to the neural covariance equation, in the time t = l/n,

.. code-block:: text

    d rho = (nu(rho) + mu(rho)) dt + (1 - rho^2) dB
    nu(rho) = (c_plus - c_minus)^2/(2 pi) (sqrt(1 - rho^2) - rho arccos rho)    mu(rho) = -rho (1 - rho^2)/2

as width and depth grow with d/n fixed. nu is what the activation does at infinite width, mu and the variance are what a
finite width does to any angle: with c_plus = c_minus, a linear network, they are all there is.

Source: Li, Nica, Roy (2022, arXiv 2206.02768); nu is (c_plus - c_minus)^2/4 times `resmc.theory.kernels.kink`.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from ..models.residual_network import ResidualNetwork
from .kernels import Floats, kink

NODES = 64
_ANGLES = np.pi * np.arange(NODES + 1) / NODES
POINTS = 0.5 * (1.0 - np.cos(_ANGLES))  # values of y = sin(theta/2), 0 to 1
_ENDS = np.where(np.arange(NODES + 1) % NODES == 0, 0.5, 1.0) * (-1.0) ** np.arange(NODES + 1)  # barycentric weights


def correlation_drift(rho: ArrayLike, c_plus: float = 0.0, c_minus: float = 0.0) -> Floats:
    """Return nu(rho) + mu(rho), the drift of the correlation of two inputs per unit of l/n, of the shape of ``rho``.

    Parameters
    ----------
    rho : array of float
        Correlations, -1 to 1.
    c_plus, c_minus : float
        The activation's slopes are 1 + c_plus/sqrt(n) above 0 and 1 + c_minus/sqrt(n) below; 0 and 0 are linear.

    Raises
    ------
    ValueError
        For a correlation out of range, or a number that is not finite.
    """
    c_plus, c_minus, found = checks.real("c_plus", c_plus), checks.real("c_minus", c_minus), _correlations(rho)
    shaped = (c_plus - c_minus) ** 2 / 4.0 * kink(np.arccos(found))
    return np.asarray(shaped - 0.5 * found * (1.0 - found) * (1.0 + found))


def correlation_variance(rho: ArrayLike) -> Floats:
    """Return (1 - rho^2)^2, the variance of the correlation of two inputs per unit of l/n, of the shape of ``rho``.

    It does not depend on the activation's slopes.

    Raises
    ------
    ValueError
        For a correlation out of range.
    """
    found = _correlations(rho)
    return np.asarray(((1.0 - found) * (1.0 + found)) ** 2)


class CorrelationMoments(NamedTuple):
    """Mean and variance of the correlation of two inputs, of one shape."""

    mean: Floats
    variance: Floats


def correlation_moments(
    rho: ArrayLike, times: ArrayLike, c_plus: float = 0.0, c_minus: float = 0.0, *, before: float = 0.0
) -> CorrelationMoments:
    """Return mean and variance of the equation's solution at ``times`` t = l/n from each start, one row to each time.

    E f(rho_t) as a function of the start solves a linear equation in t, Kolmogorov's: here by collocation in y =
    sin(theta/2) at 65 points of Chebyshev's, to about 1e-6.

    Parameters
    ----------
    rho : array of float
        Correlations at the start, -1 to 1.
    times : array of float, shape (T,)
        At least 0.
    c_plus, c_minus : float
        The activation's slopes are 1 + c_plus/sqrt(n) above 0 and 1 + c_minus/sqrt(n) below.
    before : float
        A time that a linear network is run for at first: 1/n for the matrix that makes h_0 of the inputs.

    Raises
    ------
    ValueError
        For a correlation or a time out of range, or a number that is not finite.
    """
    c_plus, c_minus = checks.real("c_plus", c_plus), checks.real("c_minus", c_minus)
    start, until, before = _correlations(rho), checks.numbers("times", times).ravel(), checks.real("before", before)
    if before < 0.0 or not (until >= 0.0).all():
        raise ValueError("times are not allowed to be below 0")
    y = np.sin(0.5 * np.arccos(start)).ravel()
    first = _transition(before, 0.0)
    means = [np.stack([1.0 - 2.0 * POINTS**2, (1.0 - 2.0 * POINTS**2) ** 2], axis=-1)]
    found = np.empty((len(until), y.size, 2))
    reached = 0.0
    for i in np.argsort(until, kind="stable"):
        if until[i] > reached:
            means.append(_transition(float(until[i]) - reached, (c_plus - c_minus) ** 2) @ means[-1])
            reached = float(until[i])
        found[i] = _interpolated(y, first @ means[-1])
    mean = np.clip(found[..., 0], -1.0, 1.0).reshape(len(until), *start.shape)
    variance = np.maximum(found[..., 1].reshape(mean.shape) - mean**2, 0.0)
    return CorrelationMoments(mean, variance)


def no_correlation_moments(model: ResidualNetwork) -> str | None:
    """Return why the equation is not known to be a network's limit, in a sentence; None if it is."""
    if not (isinstance(model.activation, str) and model.activation.startswith("shaped_relu")):
        return f"activation={model.activation!r} has no neural covariance equation: it is that of 'shaped_relu'"
    if model.carry != 0.0 or model.block != "phi-in":
        return "the neural covariance equation is known without a skip (carry=0), and for block='phi-in'"
    if not (model.independent and model.weight_law.gaussian) or model.bias > 0.0 or model.keep != 1.0:
        return "the neural covariance equation needs independent Gaussian weights, and neither bias nor dropout"
    return (
        None if model.scales.all() else "scaling 0 in a layer leaves no correlation: every network is 0 from there on"
    )


def correlation_limit(model: ResidualNetwork, rho: ArrayLike, layers: NDArray[np.int64]) -> CorrelationMoments:
    """Return the moments at ``layers``, (R, *rho.shape), of a network for which `no_correlation_moments` finds nothing.

    ``rho`` is the correlation of the inputs, which the first layer's matrix moves as a linear layer does.
    """
    n = model.width
    c_plus, c_minus = ((slope - 1.0) * math.sqrt(n) for slope in (model.sigma.above, model.sigma.below))
    return correlation_moments(rho, layers / n, c_plus, c_minus, before=1.0 / n)


@cache
def _generators() -> tuple[Floats, Floats]:
    """Return the equation's generator as matrices on values at `POINTS`: without c, and what (c_plus - c_minus)^2 adds.

    rho = 1 - 2 y^2, so that f_rho = -f'/(4 y) and f_rho_rho = (f'' - f'/y)/(16 y^2).
    """
    y = POINTS
    with np.errstate(divide="ignore", invalid="ignore"):
        first = (_ENDS / _ENDS[:, None]) / (y[:, None] - y)
        np.fill_diagonal(first, 0.0)
        np.fill_diagonal(first, -first.sum(axis=1))
    second = first @ first
    cosine, square = 1.0 - 2.0 * y**2, (4.0 * y**2 * (1.0 - y**2)) ** 2  # rho and (1 - rho^2)^2
    inner = np.where(y > 0.0, y, 1.0)
    diffusion = np.where(y > 0.0, 0.5 * square / (16.0 * inner**2), 0.0)
    rate = -diffusion / inner + 0.5 * cosine * y * (1.0 - y**2)
    linear = diffusion[:, None] * second + rate[:, None] * first
    shaped = np.where(y > 0.0, -kink(2.0 * np.arcsin(y)) / 4.0 / (4.0 * inner), 0.0)[:, None] * first
    return linear, shaped


def _transition(time: float, square: float) -> Floats:
    """Return the matrix that takes f at the points to E f(rho_time) given the start."""
    from scipy.linalg import expm  # not at the top, because it takes long to import

    linear, shaped = _generators()
    return np.asarray(expm(time * (linear + square * shaped)))


def _interpolated(y: Floats, values: Floats) -> Floats:
    """Return values (N, 2) at ``y`` of polynomials with ``values`` at the points, by the barycentric formula."""
    apart = y[:, None] - POINTS
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = _ENDS / apart
        found = (weights @ values) / weights.sum(axis=1, keepdims=True)
    row, column = np.nonzero(apart == 0.0)
    found[row] = values[column]
    return np.asarray(found)


def _correlations(rho: ArrayLike) -> Floats:
    found = checks.numbers("rho", rho)
    if not (np.abs(found) <= 1.0).all():
        raise ValueError("rho is not allowed to be beyond -1 or 1: it is a correlation")
    return found
