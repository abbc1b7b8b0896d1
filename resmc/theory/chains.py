"""Networks whose squared norm is multiplied by independent factors, layer by layer: which they are, and the factors.

Given h, a Gaussian matrix V makes of any vector a a Gaussian vector |a| g. So the next norm depends on h through |h|
alone wherever the activation acts on a fresh Gaussian vector, or on none. Weights are independent and Gaussian, of
variance 1/n, there is no bias, and sigma is homogeneous. With T = |sigma(g)|^2, g of n standard normals,

.. code-block:: text

    v-phi-w                 |h'|^2/|h|^2 = |carry e + c g|^2,     c = s sqrt(T/(n N)),     e a unit vector, g in R^n
    phi-in, phi-out linear                 |carry e + c g|^2,     c = s/sqrt(n)
    any block, carry = 0                   s^2 T/n                (v-phi-w: s^2 T chi^2_n/(n N))

With orthogonal weights, linear networks without a skip have the factor s^2: no norm changes otherwise.

Above, v-phi-w has N neurons between its matrices, and T is of g of N standard normals there; N = n without an inner
width.

In the last line phi-in has the factors of h_0 and h_L shifted by one: |h_L|^2/|h_0|^2 = (s^2/n)^L (T_0/Q_0) T_1 ..
T_{L-1} Q_L, where Q_l = chi^2_n is the square of the Gaussian vector of which T_l is made, and T_0/Q_0, being
independent of Q_0, times Q_L has the law of T_0. phi-out has the same.

The gradient's squared norm, |p_0|^2/|p_L|^2, has the same law. Turn the signs of rows of W and of columns of V by fair
coins (with carry 0, rows of a layer's matrix and columns of the next): no law changes, and the neurons that are active
become fair bits that are independent of all else, so that the Jacobians of layers are independent and alike.

h_0 is Gaussian, its norm independent of its direction, and so log |h_L|^2/n is log chi^2_n/n plus the growth's law.

Sources: derived here; the factor of fully connected networks is in Li, Nica, Roy 2021 (arXiv 2106.04013), that of
v-phi-w in Marion, Fermanian, Biau, Vert (arXiv 2206.06929), proposition 2, to its mean square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief
from ..models.activation_record import ActivationRecord
from ..models.normalisation import no_norm
from ..models.residual_network import ResidualNetwork
from .factors import LARGEST_POWER, Law, Step, SumOfSquares, cumulants_of_law
from .kernels import Floats
from .lattice import HIGHEST_CUMULANT


class Kind(NamedTuple):
    """A kind of layer: the logarithm of its factor is ``shift`` plus independent variables, one for each law."""

    shift: float
    laws: tuple[Law, ...]


@dataclass(frozen=True, eq=False)
class Chain:
    """Kinds of layers, and for every layer which it is of, (depth,)."""

    kinds: tuple[Kind, ...]
    which: NDArray[np.int64]

    def cumulants(self, order: int) -> Floats:
        """Return the cumulant of that order, 1 to 8, of the sum over the first l layers, l = 0 .. depth."""
        each = np.zeros(len(self.kinds))
        for i, kind in enumerate(self.kinds):
            each[i] = kind.shift * (order == 1) + sum(cumulants_of_law(law)[order - 1] for law in kind.laws)
        return self._summed(each)

    @property
    def lowest_power(self) -> float:
        """The infimum of the q for which all factors' moments are finite, but at least -64."""
        return max([-LARGEST_POWER, *(law.lowest_power for kind in self.kinds for law in kind.laws)])

    def log_powers(self, q: float) -> Floats:
        """Return log E F^q, F the product of the factors of the first l layers, l = 0 .. depth; 0 where one is 0."""
        each = np.zeros(len(self.kinds))
        for i, kind in enumerate(self.kinds):
            each[i] = q * kind.shift + sum(math.log1p(-law.death) + law.log_moment(q) for law in kind.laws)
        return self._summed(each)

    def _summed(self, each: Floats) -> Floats:
        """Return the sums of what each kind adds, over the first l layers."""
        if len(self.kinds) == 1:
            return np.asarray(np.arange(len(self.which) + 1) * each[0])
        return np.concatenate([[0.0], np.cumsum(each[self.which])])


@dataclass(frozen=True, eq=False)
class LogMoments:
    """Moments of a logarithm at each of ``layers``; arrays of one shape. NaN where a law is a number."""

    layers: NDArray[np.int64]
    mean: Floats
    variance: Floats
    skewness: Floats
    excess_kurtosis: Floats


def log_moments(links: Chain, layers: NDArray[np.int64], start: Law | None = None, shift: float = 0.0) -> LogMoments:
    """Return moments of the growth's logarithm at ``layers``, plus ``shift`` and a variable of the law ``start``."""
    first = np.array(cumulants_of_law(start)) if start is not None else np.zeros(HIGHEST_CUMULANT)
    mean, variance, third, fourth = (links.cumulants(order)[layers] + first[order - 1] for order in (1, 2, 3, 4))
    spread = np.where(variance > 0.0, variance, np.nan)
    return LogMoments(layers, mean + shift, variance, third / spread**1.5, fourth / spread**2)


def no_chain(model: ResidualNetwork) -> str | None:
    """Return why layers do not multiply the norm by independent factors of a known law, in a sentence; None if so."""
    given = f"activation={model.activation!r}"
    if not model.independent:
        return f"weights={brief(model.weights)} have no exact law: layers must be independent of each other"
    kept = model.weight_law.orthogonal and model.activation == "linear" and model.carry == 0.0
    if not model.weight_law.gaussian and not kept:
        return f"weights={model.law!r} have no exact law: at a finite width it is known for 'gaussian' alone"
    if model.bias > 0.0:
        return f"bias={model.bias!r} has no exact law: what it adds does not grow with the norm; it must be 0"
    if not model.sigma.homogeneous:
        return f"{given} has no exact law: it is not homogeneous, so that factors depend on the norm"
    if model.norm is not None:
        return no_norm(model, "exact law that is derived")
    if model.keep != 1.0:
        return (
            f"keep={model.keep!r} has no exact law: what a mask leaves of a norm depends on how that is spread over "
            "neurons, and without a skip, where it does not, no law is derived; it must be 1"
        )
    alike = model.block == "v-phi-w" or model.activation == "linear" or not model.scales.any()
    if model.carry != 0.0 and not alike:
        return (
            f"block={model.block!r} with {given} has no exact law beside a skip: factors depend on the signs of h, "
            "which layers share; it is known for 'v-phi-w', for 'linear', and for carry 0"
        )
    if model.carry == 0.0 and not model.scales.all():
        return "scaling 0 in a layer without a skip has no exact law: every network is 0 from there on"
    return None


def squares_of(sigma: ActivationRecord, n: int) -> tuple[SumOfSquares, float]:
    """Return the law of |sigma(g)|^2/top^2 of a homogeneous sigma, top being its steepest slope, and top.

    A neuron is as likely to be above 0 as below, so that the steeper side may stand for that above.
    """
    if sigma.rectifier:
        return SumOfSquares("relu", n), 1.0
    up, down = (abs(float(x)) for x in sigma.value(np.array([1.0, -1.0])))
    top, leak = max(up, down), min(up, down) / max(up, down)
    return (SumOfSquares("linear", n) if leak == 1.0 else SumOfSquares("leaky_relu", n, leak)), top


def chain(model: ResidualNetwork) -> Chain:
    """Return the factors of a network for which `no_chain` finds nothing."""
    n, scales = model.width, np.abs(model.scales)
    inner = model.inner
    (source, top), two_matrices = squares_of(model.sigma, inner), model.block == "v-phi-w"
    distinct, which = np.unique(scales, return_inverse=True)
    if model.weight_law.orthogonal:  # norms are kept, but for the scaling
        kinds = [Kind(2.0 * math.log(s), ()) for s in distinct.tolist()]
    elif model.carry == 0.0:
        laws = (source, SumOfSquares("linear", n)) if two_matrices else (source,)
        sizes = sum(math.log(law.units) for law in laws)
        kinds = [Kind(2.0 * math.log(s * top) - sizes, laws) for s in distinct.tolist()]
    else:
        shift = 2.0 * math.log(abs(model.carry))
        unit = abs(model.carry) * (math.sqrt(n * inner) if two_matrices else math.sqrt(n))
        active = source if two_matrices else None
        kinds = [Kind(shift, (Step(active, n, s * top / unit),) if s else ()) for s in distinct.tolist()]
    return Chain(tuple(kinds), which.astype(np.int64))
