"""How fast gradients explode in networks of batch norm alone, at infinite width.

Layers are h_{l+1} = N(V_l sigma(h_l)), phi-in with carry 0 and the norm behind the sum, with m inputs; N is the norm
"batch" with eps = 0. Deep in a network inputs are alike: a neuron's m numbers z before N are normals whose covariance
is c on the diagonal beside what all have in common, and y = N z is uniform on the sphere of radius sqrt(m) among those
of sum 0. With rho = -1/(m - 1), the correlation of two of them,

.. code-block:: text

    c  = E sigma(y_a)^2 - E sigma(y_a) sigma(y_b) = (u^2 + w^2) - k          k  = u^2 rho + w^2 K(rho)
    E s_a^2 = u^2 + w^2     E s_a s_b = u^2 + w^2 (2/pi) asin rho            s  = sigma'(y)

for slopes u + w above 0 and u - w below, where K(rho) = (2/pi) (sqrt(1 - rho^2) + rho asin rho) is E |y_a| |y_b|. N's
Jacobian is J = (P - y y^T/m)/sqrt(var z), P = 1 - 1 1^T/m, and E 1/var z = m/(c (m - 3)), whose size is independent of
y. The gradients p of an output with respect to h have passed a J and a Gaussian V: their covariance over neurons is a
multiple of P. Through the slopes and the J of a layer it becomes one of trace

.. code-block:: text

    m/(c (m - 3)) (E tr P S P S - E y^T S P S y/m)                           S  = diag(s), and y.s = sigma(y) summed
    E tr P S P S    = (m - 2) E s_a^2 + (E s_a^2 + (m - 1) E s_a s_b)/m
    E y^T S P S y/m = (u^2 + w^2) - ((u^2 + w^2) + (m - 1) k)/m

per unit of the multiple, over tr P = m - 1. Of linear networks that is (m - 2)/(m - 3), of large batches of ReLU
pi/(pi - 1). The derivation is ours; that gradients explode whatever the activation is found by Yang, Pennington, Rao,
Sohl-Dickstein and Schoenholz (arXiv 1902.08129).
"""

from __future__ import annotations

import math

import numpy as np

from .._system import checks
from .._system.words import brief
from ..models.residual_network import Model
from ..models.spelling import checked_network, general

MOST_INPUTS = 1 << 30


def batch_gradient_rate(model: Model, inputs: int) -> float:
    """Return the factor by which |p|^2 grows in a layer of batch norm alone, in the limit of infinite width.

    It is that of E|p_l|^2/E|p_{l+1}|^2 deep in a network h_{l+1} = N(V_l sigma(h_l)), where p_l is the gradient of one
    output with respect to the states of all inputs, as `resmc.simulate` has it. The network's own width and scaling do
    not matter, but that slopes of "shaped_relu" are those at its width.

    Parameters
    ----------
    model : ResidualNetwork
        Of the block phi-in with ``norm="batch"``, ``norm_at="post"``, ``eps=0`` and ``carry=0``, without bias and
        dropout, with layers that are independent of each other, and an activation whose slopes are constant on either
        side of 0.
    inputs : int
        m, at least 4: of three inputs the mean is infinite.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For another network, in a sentence that says what it must be, or fewer inputs.
    """
    model, m = general(checked_network(model)), checks.integer("inputs", inputs, 4, MOST_INPUTS)
    for name, value, needed in (
        ("block", model.block, "phi-in"),
        ("norm", model.norm, "batch"),
        ("norm_at", model.norm_at, "post"),
        ("eps", model.eps, 0.0),
        ("carry", model.carry, 0.0),
        ("bias", model.bias, 0.0),
        ("keep", model.keep, 1.0),
        ("dependence", model.dependence, "iid"),
    ):
        if value != needed:
            raise ValueError(f"{name}={brief(value)} has no known gradient rate of batch norm: it must be {needed!r}")
    if not model.sigma.homogeneous:
        raise ValueError(
            f"activation={brief(model.activation)} has no known gradient rate of batch norm: its slopes must be "
            "constant on either side of 0"
        )
    above, below = model.sigma.slope(np.array([1.0, -1.0])).tolist()
    u2, w2, rho = 0.25 * (above + below) ** 2, 0.25 * (above - below) ** 2, -1.0 / (m - 1)
    square, share = u2 + w2, 2.0 / math.pi
    cross = u2 * rho + w2 * share * (math.sqrt(1.0 - rho**2) + rho * math.asin(rho))
    slopes = u2 + w2 * share * math.asin(rho)
    through = (m - 2) * square + (square + (m - 1) * slopes) / m
    along = square - (square + (m - 1) * cross) / m
    return float(m / ((square - cross) * (m - 3)) * (through - along) / (m - 1))
