"""Mean and second moment of the tangent kernel's diagonal, exact at every width and depth.

`resmc.theory.residual_moments` has networks with two matrices in a branch, and a skip or none. The fully connected
network is h_{l+1} = s V_l sigma(h_l)/sqrt(n), h_0 = |x|/sqrt(n_in) N(0, I), y = r . h_L/sqrt(n), and its tangent
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

If gradients went back through matrices of their own ("gradient independence"), with the masks of the forward pass, X
and the matrix in its place on the way back would share their diagonal matrices alone: the mean of the product of their
squared norms is proportional to e^j, e = 1 + (eta - 1)/n, which takes the place of (r^j + 2 q^j)/3, and of (c r^j +
2 q q^j)/3 in the readout's terms. The limit for ReLU is then e^{5t} (1/(2t) - (1 - e^{-4t})/(8t^2)): the constant falls
to 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from .._system import checks
from .._system.words import brief
from ..models.layer_widths import no_widths
from ..models.normalisation import no_norm
from ..models.residual_network import Model
from ..models.spelling import checked_network, general
from . import residual_moments
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


def kernel_moments(model: Model, independent_backward: bool = False) -> KernelMoments:
    """Return mean and second moment of the tangent kernel of one input, exact at every width and depth.

    Parameters
    ----------
    model : ResNet or ResidualNetwork
        phi-in with carry 0, which is fully connected, or v-phi-w with any carry; no bias, independent Gaussian weights,
        and relu, balanced, leaky_relu or linear; any scaling.
    independent_backward : bool
        True for gradients that go back through matrices of their own, as `resmc.simulate` has them on demand.

    Raises
    ------
    ValueError
        For other models, in the words of `no_kernel_moments`, or if ``independent_backward`` is no bool.
    """
    checks.boolean("independent_backward", independent_backward)
    why = no_kernel_moments(model, independent_backward)
    if why is not None:
        raise ValueError(why)
    network = general(model)
    gain, (up, down) = homogeneous_gain(network.sigma), network.sigma.slope(np.array([1.0, -1.0])).tolist()
    eta = 0.5 * (up**4 + down**4) / gain**2
    branch = network.scales**2 * gain
    growth = network.carry**2 + branch
    if network.block == "v-phi-w":
        carried = network.carry**2 / growth
        mean, log_second = residual_moments.second_moment(float(network.width), carried, branch / growth, eta)
    else:
        mean, log_second = _fully_connected(float(network.width), network.depth, eta, independent_backward)
    log_mean = math.log(mean)
    sizes = float(np.sum(np.log(growth))) + 2.0 * math.log(network.size)
    return KernelMoments(log_mean + sizes, log_second - 2.0 * log_mean)


def _fully_connected(n: float, depth: int, eta: float, independent_backward: bool) -> tuple[float, float]:
    """Return E K and log E K^2 in units where all terms of K have the mean 1."""
    r, q, c = 1.0 + (3.0 * eta - 1.0) / n, 1.0 - 1.0 / n, 1.0 + 2.0 / n
    j = np.arange(depth + 1.0)
    if independent_backward:
        among = (1.0 + (eta - 1.0) / n) / r
        beside = tied = among**j
    else:
        decay = (q / r) ** j
        tied, beside = (1.0 + 2.0 * decay) / 3.0, (c + 2.0 * q * decay) / 3.0
    between = c * float(np.sum((depth + 1.0 - j[1:]) * tied[1:]))
    second = (depth + 2.0) * c + 2.0 * between + 2.0 * float(np.sum(beside))
    return depth + 2.0, depth * math.log1p(r - 1.0) + math.log(second)


def no_kernel_moments(model: Model, independent_backward: bool = False) -> str | None:
    """Return why `kernel_moments` does not know those of a network, in a sentence; None if it does.

    Raises
    ------
    ValueError
        If ``model`` is no network.
    """
    network = checked_network(model)
    fully_connected = network.block == "phi-in" and network.carry == 0.0
    if not fully_connected and network.block != "v-phi-w":
        return (
            f"block={network.block!r} with carry={network.carry!r} has no exact second moment of the tangent kernel: "
            "it is known for 'v-phi-w', and for 'phi-in' with carry 0"
        )
    if independent_backward and not fully_connected:
        return (
            f"block={network.block!r} with independent_backward=True has no exact second moment of the tangent kernel: "
            "it is known for 'phi-in' with carry 0"
        )
    if network.widths is not None:
        return no_widths(network, "exact second moment of the tangent kernel")
    if network.norm is not None:
        return no_norm(network, "exact second moment of the tangent kernel that is derived")
    if network.keep != 1.0:
        return f"keep={network.keep!r} has no exact second moment of the tangent kernel that is derived: it must be 1"
    if network.inner_width is not None:
        return (
            f"inner_width={network.inner_width} has no exact second moment of the tangent kernel that is derived: it "
            "must be the width"
        )
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
    if network.carry == 0.0 and not network.scales.all():
        return "scaling 0 in a layer without a skip has no kernel: every network is 0 from there on"
    return None


def kernel_moment_limit(aspect: float, independent_backward: bool = False) -> float:
    """Return the limit of E K^2/(E K)^2 for fully connected ReLU as width and depth grow with d/n = ``aspect`` fixed.

    e^{5t} (1/3 + 2/(9t) - 1/(27 t^2)) + e^{-t}/(27 t^2), t = ``aspect``: the limit of `kernel_moments`; with
    ``independent_backward`` e^{5t} (1/(2t) - (1 - e^{-4t})/(8t^2)).

    Raises
    ------
    ValueError
        If ``aspect`` is not a finite number above 0, or ``independent_backward`` is no bool.
    """
    t = checks.real("aspect", aspect, positive=True)
    checks.boolean("independent_backward", independent_backward)
    # 2 (e^-x - 1 + x)/x^2 is Kummer's function M(1, 3, -x), which does not cancel near 0.
    if independent_backward:
        return _exp(5.0 * t) * float(special.hyp1f1(1.0, 3.0, -4.0 * t))
    return _exp(5.0 * t) * (1.0 + 2.0 * float(special.hyp1f1(1.0, 3.0, -6.0 * t))) / 3.0


def _exp(x: float) -> float:
    return math.exp(x) if x < 709.0 else math.inf
