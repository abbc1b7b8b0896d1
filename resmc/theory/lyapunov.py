"""Lyapunov exponents of networks without a skip, exact at every width, and the law of small angles.

Turn the signs of a layer's neurons by fair coins: no law changes, and the neurons that are active become fair bits,
independent of all matrices. So tangents T, n x k, meet independent Jacobians s W D/sqrt(n), D a diagonal of fair bits.
A Gaussian matrix makes of T the frame G C, C^T C = T^T T, G being n x k Gaussian. Of G the neurons that are active keep
K rows, K ~ Binomial(n, 1/2), and these have, by Bartlett (1933), a triangular factor whose diagonal entries are
independent with the squares chi^2_K, chi^2_{K-1}, .., chi^2_{K-k+1}. Triangles multiply along their diagonals, and so
the logarithms of stretching are sums of independent variables over the layers, and

.. code-block:: text

    lambda_j = log|s| + (1/2) E[log(2/n) + psi((K - j + 1)/2)]    given K >= j;     K = n for linear
    v-phi-w    in addition (1/2)(log(2/n) + psi((n - j + 1)/2)), for the matrix that meets no activation

A layer with K < j ends the j-th tangent, which happens with the probability P(K < j).

Two inputs at a small angle are one input and a tangent, its part across the input being the second column. In the
limit of angles -> 0

.. code-block:: text

    log sin^2 t_l - log sin^2 t_x = sum_{i <= l} log(chi^2_{K_i - 1}/chi^2_{K_i}) + log(chi^2_{n-1}/chi^2_n)    in law

all independent given the K_i >= 2, t_x being the angle of the inputs themselves; v-phi-w has the last term once more
for every layer.

Sources: derived here; for linear networks Newman (1986) has the exponents, and Gram factors are Bartlett's. Hanin and
Nica (2018, arXiv 1812.05994) have the independence of masks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .._system import checks
from .._system.words import brief
from ..models.layer_widths import no_widths
from ..models.normalisation import no_norm
from ..models.residual_network import Model, ResidualNetwork
from ..models.spelling import checked_network, general
from .kernels import Floats
from .lattice import active_counts
from .limits import Integers, layer_indices

LOG2 = math.log(2.0)
MOST_EXPONENTS = 1 << 12  # numbers of active neurons are followed to 60 standard deviations above the mean: no further


@dataclass(frozen=True, eq=False)
class SmallAngle:
    """Mean and variance of log(sin^2 t_l/sin^2 t_x), t_l the angle of two states at each of ``layers``, t_x -> 0."""

    layers: Integers
    mean: Floats
    variance: Floats


def lyapunov_exponents(model: Model, k: int) -> Floats:
    """Return the first k Lyapunov exponents per layer, (k,), largest first, exact at every width.

    Parameters
    ----------
    model : ResNet or ResidualNetwork
        Without a skip (carry 0) and bias, of any block, with independent Gaussian weights, and relu, balanced or
        linear; any scaling: where layers differ, the mean over the layers is returned.
    k : int
        Number of exponents, 1 to the width, and to 4096.

    Raises
    ------
    ValueError
        For other models, in the words of `no_lyapunov_exponents`, or another ``k``.
    """
    network = _checked(model)
    k = checks.integer("k", k, 1, min(network.width, MOST_EXPONENTS))
    steps = float(np.mean(np.log(np.abs(network.scales))))
    active = [_given_active(network, j, 1)[0] for j in range(k)]
    out = steps + 0.5 * (np.array(active) - math.log(network.width))
    if network.block == "v-phi-w":
        free = 0.5 * (network.width - np.arange(k))
        out += 0.5 * (LOG2 + special.digamma(free) - math.log(network.width))
    return np.asarray(out)


def no_lyapunov_exponents(model: Model) -> str | None:
    """Return why `lyapunov_exponents` does not know those of a network, in a sentence; None if it does.

    Raises
    ------
    ValueError
        If ``model`` is no network.
    """
    network = checked_network(model)
    if network.carry != 0.0:
        return f"carry={network.carry!r} leaves no exact exponents: tangents keep their direction; it must be 0"
    if not (network.independent and network.weight_law.gaussian):
        return (
            f"weights={brief(network.weights)} have no exact exponents: they must be 'gaussian', and layers "
            "independent of each other"
        )
    if network.bias > 0.0:
        return f"bias={network.bias!r} has no exact exponents: it must be 0"
    if network.widths is not None:
        return no_widths(network, "exact exponents")
    if network.norm is not None:
        return no_norm(network, "exact exponents that are derived")
    if network.keep != 1.0:
        return f"keep={network.keep!r} has no exact exponents that are derived here: it must be 1"
    if network.inner_width is not None:
        return f"inner_width={network.inner_width} has no exact exponents that are derived here: it must be the width"
    if not (network.sigma.rectifier or network.activation == "linear"):
        return (
            f"activation={network.activation!r} has no exact exponents: they are known for 'relu', for 'balanced' and "
            "for 'linear'"
        )
    if not network.scales.all():
        return "scaling 0 in a layer without a skip has no exponents: every network is 0 from there on"
    return None


def small_angle(model: Model, layers: ArrayLike | None = None) -> SmallAngle:
    """Return mean and variance of log sin^2 of the angle of two inputs, less that of the inputs, in the limit of 0.

    They are given that at least two neurons are active in every layer. Models are those of `lyapunov_exponents`; with
    its exponents, the mean moves by 2 (lambda_2 - lambda_1) per layer, but for the condition of K >= 2 instead of 1.

    Parameters
    ----------
    model : ResNet or ResidualNetwork
        Of a width of at least 2.
    layers : array of int, optional
        Layers from 0 to depth; all of them by default.

    Raises
    ------
    ValueError
        For other models or layers.
    """
    network = _checked(model)
    if network.width < 2:
        raise ValueError("width=1 has no angles: it must be at least 2")
    index = layer_indices(network, layers)
    width = float(network.width)
    last = special.digamma(0.5 * width - 0.5) - special.digamma(0.5 * width)
    last_variance = special.polygamma(1, 0.5 * width - 0.5) + special.polygamma(1, 0.5 * width)
    mean, variance = _given_active(network, 1, 2)
    matrices = 1 + index * (network.block == "v-phi-w")
    return SmallAngle(index, index * mean + matrices * last, index * variance + matrices * last_variance)


def _given_active(network: ResidualNetwork, j: int, columns: int) -> tuple[float, float]:
    """Return mean and variance of log chi^2_{K-j}, or with 2 columns of log(chi^2_{K-1}/chi^2_K), given K > j."""
    k, log_weight = np.array([float(network.width)]), np.zeros(1)
    if network.sigma.rectifier:
        k, log_weight = active_counts(network.width)
        k, log_weight = k[k > j], log_weight[k > j]
    weight = np.exp(log_weight - special.logsumexp(log_weight))
    means = LOG2 + special.digamma(0.5 * (k - j))
    variances = special.polygamma(1, 0.5 * (k - j))
    if columns == 2:
        means = means - LOG2 - special.digamma(0.5 * k)
        variances = variances + special.polygamma(1, 0.5 * k)
    mean = float(weight @ means)
    return mean, float(weight @ (variances + (means - mean) ** 2))


def _checked(model: Model) -> ResidualNetwork:
    why = no_lyapunov_exponents(model)
    if why is not None:
        raise ValueError(why)
    return general(model)
