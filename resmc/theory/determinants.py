"""The mean logarithm of the determinant of a network's Jacobian, exact at every width.

Without a skip the Jacobian dh_L/dh_0 is a product of the layers' matrices and slopes, and so

.. code-block:: text

    ln |det| = sum over layers of  n ln|s| + ln |det G/sqrt(n)|, once for each matrix, + sum_i ln|sigma'|
    E ln |det G/sqrt(n)| = (1/2) sum_{j=1}^n [psi(j/2) + ln(2/n)]           G standard normals, n x n

by Bartlett (1933): the triangular factor of G has independent diagonal entries with the squares chi^2_n, .., chi^2_1.
Slopes are 1 in linear networks. In leaky ones each is that above or below 0 by a fair coin, as turning the signs of a
matrix's rows, or of the first layer's, changes no law.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from .._system.words import brief
from ..models.layer_widths import no_widths
from ..models.residual_network import Model
from ..models.spelling import checked_network


def log_determinant(model: Model) -> float:
    """Return E ln |det dh_L/dh_0|, the mean of the sum of the logarithms of the Jacobian's singular values.

    Parameters
    ----------
    model : ResNet or ResidualNetwork
        Without a skip (carry 0), of any block, with independent Gaussian weights, linear, leaky_relu or
        any other activation with two slopes that are not 0.

    Raises
    ------
    ValueError
        For other models, in the words of `no_log_determinant`.
    """
    why = no_log_determinant(model)
    if why is not None:
        raise ValueError(why)
    network = checked_network(model)
    n = network.width
    of_matrix = 0.5 * float(np.sum(special.digamma(0.5 * np.arange(1, n + 1)) + math.log(2.0 / n)))
    up, down = np.abs(network.sigma.value(np.array([1.0, -1.0]))).tolist()
    of_slopes = 0.5 * n * (math.log(up) + math.log(down))
    of_layer = network.residual_block.matrices * of_matrix + of_slopes
    return n * float(np.sum(np.log(np.abs(network.scales)))) + network.depth * of_layer


def no_log_determinant(model: Model) -> str | None:
    """Return why `log_determinant` does not know a network's, in a sentence; None if it does.

    Raises
    ------
    ValueError
        If ``model`` is no network.
    """
    network = checked_network(model)
    if network.carry != 0.0:
        return f"carry={network.carry!r} has no exact determinant that is derived here: it must be 0"
    if not (network.independent and network.weight_law.gaussian):
        return (
            f"weights={brief(network.weights)} have no exact determinant: they must be 'gaussian', and layers "
            "independent of each other"
        )
    if network.widths is not None:
        return no_widths(network, "exact determinant")
    if network.inner_width is not None:
        return f"inner_width={network.inner_width} has no exact determinant that is derived here: it must be the width"
    if network.keep != 1.0:
        return f"keep={network.keep!r} has no exact determinant: a neuron that is left out makes it 0; it must be 1"
    if not network.sigma.homogeneous or network.sigma.rectifier:
        return (
            f"activation={network.activation!r} has no exact determinant: it is known for 'linear', and for "
            "'leaky_relu' and all others with two slopes that are not 0"
        )
    if not network.scales.all():
        return "scaling 0 in a layer without a skip leaves no determinant: it is 0"
    return None
