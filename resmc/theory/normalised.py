"""Networks with a norm: what is exact of them at every width and depth.

With eps = 0, |N x|^2 = n for every x that is not 0 (layer norm: not constant), so that a branch does not see how large
h is. Let weights be Gaussian and layers independent, and let h_{k+1} = carry h_k + s_k F_k. Given h_k,

.. code-block:: text

    pre         phi-in, linear     F = V N h + b           Gaussian entries of variance 1 + bias^2, independent
                phi-in, balanced   F = V sigma(N h) + b    centred, of mean square 1/2 + bias^2
                phi-out            F = sigma(u)            u Gaussian of variance v = 1 + bias^2, independent entries
                v-phi-w            F = V sigma(u)          centred, of mean square E sigma(u)^2
    branch      phi-in, v-phi-w    F = N y                 y Gaussian in a direction of its own: centred, |F|^2 = n
    sandwich    phi-out, sigma odd F = N y                 y has fair signs: centred, |F|^2 = n

so that q_k = E|h_k|^2/n and m_k, the mean of an entry of h_k, obey

.. code-block:: text

    q' = carry^2 q + 2 carry s m E F_1 + s^2 E F_1^2        m' = carry m + s E F_1

with E F_1 = 0 but for phi-out, where it is E sigma(u). Where the scaling stands inside the activation, u has the
standard deviation s_k sqrt(v) and s_k is left out. Linear pre-norm networks of the blocks phi-in and phi-out are sums
of independent Gaussian vectors, so h_k is exactly Gaussian with independent entries of variance q_k. Grows the depth,
these grow like s^2 L, not exponentially. phi-in with relu has E|sigma(N h)|^2 = n/2 to leading order alone, as an input
and its opposite differ; with post all h_k have |h_k|^2 = n. Derived here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..models.residual_network import ResidualNetwork
from .chains import LogMoments
from .factors import SumOfSquares, cumulants_of_law
from .kernels import Floats


def log_mean_square(model: ResidualNetwork) -> Floats:
    """Return log E|h_l|^2/n for layers 0 to depth of a network with a norm; NaN where it is not known."""
    out = np.full(model.depth + 1, math.nan)
    out[0] = 2.0 * math.log(model.size)
    if _derived(model) and (moments := _branch_moments(model)) is not None:
        with np.errstate(divide="ignore"):
            out[1:] = np.log(_mean_squares(model, *moments))[1:]
    return out


def no_gaussian_law(model: ResidualNetwork) -> str | None:
    """Return why the entries of h_l are not known to be Gaussian and independent, in a sentence; None if they are."""
    if model.norm is None or model.norm_at != "pre" or model.eps != 0.0:
        return "the layers of a network with a norm are known to be Gaussian with norm_at='pre' and eps=0 alone"
    if model.activation != "linear" or model.block == "v-phi-w" or model.keep != 1.0:
        return "the layers of a network with a norm are known to be Gaussian if linear, with one matrix to a layer"
    if not _derived(model):
        return "the layers of a network with a norm are known to be Gaussian with a skip and independent weights"
    return None


def log_norm(model: ResidualNetwork, layers: NDArray[np.int64]) -> LogMoments | None:
    """Return the moments of log |h_l|^2/n, of log(q_l chi^2_n/n), where h_l is exactly Gaussian; else None."""
    if no_gaussian_law(model):
        return None
    first = cumulants_of_law(SumOfSquares("linear", model.width))
    flat = np.ones(layers.shape)
    mean = log_mean_square(model)[layers] - math.log(model.width) + first[0]
    return LogMoments(layers, mean, first[1] * flat, first[2] / first[1] ** 1.5 * flat, first[3] / first[1] ** 2 * flat)


def _derived(model: ResidualNetwork) -> bool:
    """Return True if h_l is not 0, and its layers have what every line above needs."""
    gaussian = model.weight_law.gaussian and (model.bias == 0.0 or model.bias_law == "gaussian")
    alone = model.norm != "batch"
    return alone and model.carry != 0.0 and model.eps == 0.0 and model.independent and gaussian


def _branch_moments(model: ResidualNetwork) -> tuple[Floats, Floats] | None:
    """Return E F_1 and E F_1^2 of all layers, with the scaling, (depth,) each; None where they are not known."""
    sigma, s, none = model.sigma, model.scales, np.zeros(model.depth)
    outside = np.ones(model.depth) if model.inside else s
    if model.norm_place.branch:
        never_0 = (model.block == "phi-in" and model.bias > 0.0) or (not sigma.rectifier and model.keep == 1.0)
        centred = model.block != "phi-out" or (sigma.odd and bool(s.all()))
        return (none, outside**2) if never_0 and centred else None
    if not model.norm_place.before:
        return None
    if model.block == "phi-in":
        known = model.activation == "linear" or sigma.signed
        return (none, s**2 * (sigma.mean_square() + model.bias**2)) if known else None
    size = math.sqrt(1.0 + model.bias**2)
    sizes = [float(abs(scale)) * size for scale in s] if model.inside else [size]
    means = {one: (sigma.mean(one), sigma.mean_square(one)) for one in set(sizes)}
    first, second = np.array([means[one] for one in sizes]).T
    return (none if model.block == "v-phi-w" else outside * first), outside**2 * second


def _mean_squares(model: ResidualNetwork, first: Floats, second: Floats) -> Floats:
    """Return q_l of layers 0 to depth."""
    q = np.empty(model.depth + 1)
    q[0], m = model.size**2, 0.0
    for k in range(model.depth):
        q[k + 1] = model.carry**2 * q[k] + 2.0 * model.carry * m * first[k % len(first)] + second[k % len(second)]
        m = model.carry * m + float(first[k % len(first)])
    return q
