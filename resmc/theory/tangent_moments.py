"""Mean and second moment of the tangent kernel's diagonal, fully connected networks, exact at every width and depth.

The network is h_{l+1} = s V_l sigma(h_l)/sqrt(n), h_0 = |x|/sqrt(n_in) N(0, I), y = r . h_L/sqrt(n), and its tangent
kernel for one input

.. code-block:: text

    K = sum_{l < L} s^2 |p_{l+1}|^2 |sigma(h_l)|^2/n + |h_L|^2/n + |p_0|^2 |x|^2/n_in

Turn the signs of neurons by fair coins: no law changes, and slopes become independent of all matrices, so that h and p
go through one linear network with independent diagonal matrices D, whose entries are the slopes of the two sides with
probability 1/2 each. Of two terms l < m, let X be the j = m - l diagonal matrices and the j - 1 Gaussian ones between.
sigma(h_m) = X h_{l+1} and p_{l+1} = X^T (s V_m^T p_{m+1}/sqrt(n)); both vectors that X meets are Gaussian, independent
of it and of each other, given |sigma(h_l)| and |p_{m+1}|. So nothing is needed but E|X|^4 of the Frobenius norm, and
with Q = X X^T

.. code-block:: text

    E (tr Q')^2 = (1 + (eta - 1)/n) (tr Q)^2 + (2 eta/n) tr Q^2              eta = E d^4/(E d^2)^2: relu 2, linear 1
    E tr Q'^2   = (eta/n) (tr Q)^2 + (1 + (2 eta - 1)/n) tr Q^2

in units where E d^2 s^2 = 1. The matrix has the eigenvalues r = 1 + (3 eta - 1)/n, with the vector (1, 1), and q =
1 - 1/n, with (2, -1), and E|X|^4 is proportional to (r^j + 2 q^j)/3. All terms of K have the same mean,

.. code-block:: text

    E K = (L + 2) prod_l (s_l^2 E d^2) |x|^2/n_in

and with c = 1 + 2/n, the first layer being a term -1, E K^2/(E K)^2 is r^L/(L + 2)^2 times

.. code-block:: text

    (L + 2) c + 2 sum_{j=1}^{L} (L + 1 - j) (c/3)(1 + 2 (q/r)^j) + 2 sum_{j=0}^{L} (c + 2 q (q/r)^j)/3

where the last sum is of products with the readout's term. For ReLU, as n and L grow with t = L/n fixed,

.. code-block:: text

    E K^2/(E K)^2 -> e^{5t} (1/3 + 2/(9t) - 1/(27 t^2)) + e^{-t}/(27 t^2)

so that the constant beside e^{5t}, up to which Hanin and Nica (2020, arXiv 1909.05989) have this moment, falls from 1
to 1/3 as t grows. The derivation is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from .._system import checks
from .._system.words import brief
from ..models.residual_network import Model
from ..models.spelling import checked_network, general
from .mean_squares import homogeneous_gain


@dataclass(frozen=True)
class KernelMoments:
    """Moments of K, the tangent kernel's diagonal.

    Attributes
    ----------
    log_mean : float
        log E K.
    log_second_moment_ratio : float
        log(E K^2/(E K)^2).
    """

    log_mean: float
    log_second_moment_ratio: float

    @property
    def mean(self) -> float:
        """E K; infinity beyond the largest float."""
        return _exp(self.log_mean)

    @property
    def second_moment_ratio(self) -> float:
        """E K^2/(E K)^2; infinity beyond the largest float."""
        return _exp(self.log_second_moment_ratio)


def kernel_moments(model: Model) -> KernelMoments:
    """Return mean and second moment of the tangent kernel of one input, exact at every width and depth.

    Parameters
    ----------
    model : ResNet or ResidualNetwork
        Fully connected: phi-in with carry 0 and no bias, independent Gaussian weights, and relu, balanced, leaky_relu
        or linear; any scaling.

    Raises
    ------
    ValueError
        For other models, in the words of `no_kernel_moments`.
    """
    why = no_kernel_moments(model)
    if why is not None:
        raise ValueError(why)
    network = general(model)
    n, depth = float(network.width), network.depth
    gain, (up, down) = homogeneous_gain(network.sigma), network.sigma.slope(np.array([1.0, -1.0])).tolist()
    eta = 0.5 * (up**4 + down**4) / gain**2
    r, q, c = 1.0 + (3.0 * eta - 1.0) / n, 1.0 - 1.0 / n, 1.0 + 2.0 / n
    j = np.arange(depth + 1.0)
    decay = (q / r) ** j
    between = float(np.sum((depth + 1.0 - j[1:]) * (c / 3.0) * (1.0 + 2.0 * decay[1:])))
    readout = float(np.sum(c + 2.0 * q * decay)) / 3.0
    terms = depth + 2.0
    growth = float(np.sum(np.log(network.scales**2 * gain)))
    mean = math.log(terms) + growth + 2.0 * math.log(network.size)
    second = terms * c + 2.0 * between + 2.0 * readout
    return KernelMoments(mean, depth * math.log1p(r - 1.0) + math.log(second) - 2.0 * math.log(terms))


def no_kernel_moments(model: Model) -> str | None:
    """Return why `kernel_moments` does not know those of a network, in a sentence; None if it does.

    Raises
    ------
    ValueError
        If ``model`` is no network.
    """
    network = checked_network(model)
    if network.block != "phi-in" or network.carry != 0.0:
        return (
            f"block={network.block!r} with carry={network.carry!r} has no exact second moment of the tangent kernel: "
            "it is known for fully connected networks, block 'phi-in' with carry 0"
        )
    if network.keep != 1.0:
        return f"keep={network.keep!r} has no exact second moment of the tangent kernel that is derived: it must be 1"
    if not (network.independent and network.weight_law.gaussian):
        return (
            f"weights={brief(network.weights)} have no exact second moment of the tangent kernel: they must be "
            "'gaussian', and layers independent of each other"
        )
    if not network.homogeneous:
        return (
            f"activation={network.activation!r} with bias={network.bias!r} has no exact second moment of the tangent "
            "kernel: it is known for homogeneous activations without bias"
        )
    if not network.scales.all():
        return "scaling 0 in a layer without a skip has no kernel: every network is 0 from there on"
    return None


def kernel_moment_limit(aspect: float) -> float:
    """Return the limit of E K^2/(E K)^2 for fully connected ReLU as width and depth grow with d/n = ``aspect`` fixed.

    e^{5t} (1/3 + 2/(9t) - 1/(27 t^2)) + e^{-t}/(27 t^2), t = ``aspect``: the limit of `kernel_moments`.

    Raises
    ------
    ValueError
        If ``aspect`` is not a finite number above 0.
    """
    t = checks.real("aspect", aspect, positive=True)
    # 2 (e^-x - 1 + x)/x^2 with x = 6t is Kummer's function M(1, 3, -x), which does not cancel near 0.
    return _exp(5.0 * t) * (1.0 + 2.0 * float(special.hyp1f1(1.0, 3.0, -6.0 * t))) / 3.0


def _exp(x: float) -> float:
    return math.exp(x) if x < 709.0 else math.inf
