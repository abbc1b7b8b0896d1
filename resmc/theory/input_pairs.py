"""Norms and products of two inputs in linear networks, exact at every width and depth.

Two inputs meet the same matrices, which are independent from layer to layer and have independent Gaussian entries of
variance 1/n, one or two in a branch. With x, y the states of the two, R = E|x|^2 |y|^2 and P = E(x.y)^2, one matrix
makes of (R, P)

.. code-block:: text

    A (R, P) = (R + 2P/n, P + (R + P)/n)

by Wick's formula, and a layer with k matrices

.. code-block:: text

    R' = carry^4 R + carry^2 s^2 (2R + 4P/n) + s^4 [A^k (R, P)]_1,          E x'.y' = (carry^2 + s^2) E x.y
    P' = carry^4 P + carry^2 s^2 (2P + 2(R + P)/n) + s^4 [A^k (R, P)]_2

For x = y both are the fourth moment of the norm. Where P/R grows to 1, inputs of any angle come to lie along one line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .._system import checks
from .._system.words import brief
from ..models import layer_widths, normalisation
from ..models.dropout import refuse_dropout
from ..models.inner_width import refuse_inner_width
from ..models.residual_network import Model, ResidualNetwork
from ..models.spelling import checked_network
from .kernels import Floats
from .limits import Integers, layer_indices


@dataclass(frozen=True, eq=False)
class TwoInputs:
    """Moments of two states x_l, y_l over |x_0| |y_0| at each of ``layers``; arrays of one shape.

    Attributes
    ----------
    layers : ndarray of int
    log_growth : ndarray
        log E|x_l|^2/|x_0|^2, the same for both inputs; E x_l.y_l is that times x_0.y_0.
    log_norms : ndarray
        log E|x_l|^2 |y_l|^2/(|x_0| |y_0|)^2.
    log_product : ndarray
        log E(x_l.y_l)^2/(|x_0| |y_0|)^2; -infinity for a product that is 0.
    """

    layers: Integers
    log_growth: Floats
    log_norms: Floats
    log_product: Floats


def two_inputs(model: Model, cosine: float, layers: ArrayLike | None = None) -> TwoInputs:
    """Return moments of norms and products of two inputs of a linear network without bias.

    Parameters
    ----------
    model : ResidualNetwork
        Linear, of any block, carry and scaling, with independent Gaussian weights.
    cosine : float
        Cosine of the angle between the states of layer 0, -1 to 1.
    layers : array of int, optional
        Layers from 0 to depth, any shape; all of them by default.

    Raises
    ------
    ValueError
        For other models, another ``cosine`` or other ``layers``.
    """
    network = _checked(model)
    cosine = checks.real("cosine", cosine)
    if abs(cosine) > 1.0:
        raise ValueError(f"cosine={cosine!r} is not allowed: it must be from -1 to 1")
    index = layer_indices(network, layers)
    n, matrices = float(network.width), 2 if network.block == "v-phi-w" else 1
    skip = network.carry**2
    log_norms, share = 0.0, cosine**2  # log R and P/R
    rows = [(log_norms, share)]
    for branch in (network.scales**2).tolist():
        norms, product = 1.0, share
        for _ in range(matrices):
            norms, product = norms + 2.0 * product / n, product + (norms + product) / n
        size = skip + branch  # R and P are multiplied by its square at infinite width
        a, b = skip / size, branch / size
        grown = a * a + a * b * (2.0 + 4.0 * share / n) + b * b * norms
        share = (a * a * share + a * b * (2.0 * share + 2.0 * (1.0 + share) / n) + b * b * product) / grown
        log_norms += math.log(grown) + 2.0 * math.log(size)
        rows.append((log_norms, share))
    found, shares = (np.array(column) for column in zip(*rows, strict=True))
    growth = np.concatenate([[0.0], np.cumsum(np.log(skip + network.scales**2))])
    with np.errstate(divide="ignore"):
        products = found + np.log(shares)
    return TwoInputs(index, growth[index], found[index], products[index])


def _checked(model: Model) -> ResidualNetwork:
    """Return the network in the general spelling if it is linear, with independent Gaussian weights and no bias."""
    network = checked_network(model)
    if network.activation != "linear":
        raise ValueError(f"activation={network.activation!r} is not allowed in two_inputs: it must be 'linear'")
    if not (network.independent and network.weight_law.gaussian):
        raise ValueError(
            f"weights={brief(network.weights)} are not allowed in two_inputs: they must be 'gaussian', and layers "
            "independent of each other"
        )
    if network.bias > 0.0:
        raise ValueError(f"bias={network.bias!r} is not allowed in two_inputs: it must be 0")
    refuse_dropout(network.keep, "in two_inputs", "products would need what masks leave of both inputs")
    normalisation.refuse_norm(network, *normalisation.PAIR)
    layer_widths.refuse_widths(network, *layer_widths.SEVERAL_INPUTS)
    refuse_inner_width(network.inner_width, "in two_inputs", "products of two inputs are derived for square matrices")
    if network.carry == 0.0 and not network.scales.all():
        raise ValueError("scaling 0 in a layer without a skip is not allowed in two_inputs: all is 0 from there on")
    return network
