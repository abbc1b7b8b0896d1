"""Networks whose squared norm is multiplied by independent factors, layer by layer: which they are, and the factors.

Given h, a Gaussian matrix V makes of any vector a a Gaussian vector |a| g. So the next norm depends on h through |h|
alone wherever the activation acts on a fresh Gaussian vector, or on none. Weights are independent and Gaussian, of
variance 1/n, there is no bias, and sigma is homogeneous. With T = |sigma(g)|^2, g of n standard normals,

.. code-block:: text

    v-phi-w                 |h'|^2/|h|^2 = |carry e + c g|^2,     c = s sqrt(T/(n N)),     e a unit vector, g in R^n
    phi-in, phi-out linear                 |carry e + c g|^2,     c = s/sqrt(n)
    any block, carry = 0                   s^2 T/n                (v-phi-w: s^2 T chi^2_n/(n N))
    orthogonal, carry = 0                  s^2 B                  B = T/|g|^2, `resmc.theory.shares`; linear 1

Above, v-phi-w has N neurons between its matrices, and T is of g of N standard normals there; N = n without an inner
width.

Widths by layer
---------------

Without a skip, layer l may have n_l neurons: V_l and W_l are n_{l+1} x n_l, of variance 1/n_l. Write Q_l = chi^2_{n_l}
for the square of the Gaussian vector g_l of which T_l is made, c_l = s_l^2/n_l, and B_l = T_l/Q_l, which is independent
of Q_l. Then with independent variables in every line, but for T_0 and Q_0 in the first two,

.. code-block:: text

                |h_l|^2/|h_0|^2                          |h_l|^2                              |p_l|^2/|p_L|^2
    phi-in      c_0..c_{l-1} B_0 T_1 .. T_{l-1} Q_l      size^2 c_0 .. T_0 .. T_{l-1} Q_l     c_l..c_{L-1} T_l..T_{L-1}
    phi-out     c_0..c_{l-1} T_1 .. T_l                  size^2 c_0 .. Q_0 T_1 .. T_l         c_l .. Q_l T_{l+1} .. B_L

With equal widths B_0 times Q_l has the law of T_0, as B_0 is independent of Q_0, and all of these are products of T.

Gradients
---------

Turn the signs of rows of W and of columns of V by fair coins (with carry 0, rows of a layer's matrix and columns of the
next): no law changes, and the neurons that are active become fair bits that are independent of all else, so that the
Jacobians of layers are independent: p_l = s D_l V_l^T p_{l+1} (phi-in) or s W_l^T D_l p_{l+1} (phi-out) with fresh
matrices and fair D_l. This needs matrices whose law stays when a row or a column changes its sign, as Gaussian and
uniform orthogonal ones do; coins for layer 0, whose neurons see h_0 = A x, are the rows of A; and p_L is a row of
W_out, of Gaussian entries. So |p_0|^2/|p_L|^2 has the growth's law where widths are equal; else what the table says.

h_0 is Gaussian, its norm independent of its direction, and so log |h_L|^2/n is log chi^2_n/n plus the growth's law
where widths are equal.

Sources: derived here; the factor of fully connected networks is in Li, Nica, Roy 2021 (arXiv 2106.04013), that of
v-phi-w in Marion, Fermanian, Biau, Vert (arXiv 2206.06929), proposition 2, to its mean square.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief
from ..models.activation_record import ActivationRecord
from ..models.normalisation import no_norm
from ..models.residual_network import ResidualNetwork
from .factors import LARGEST_POWER, Law, Step, SumOfSquares, cumulants_of_law
from .kernels import Floats
from .shares import Share


class Kind(NamedTuple):
    """A kind of layer: the logarithm of its factor is ``shift`` plus independent variables, one for each law."""

    shift: float
    laws: tuple[Law, ...]


@dataclass(frozen=True, eq=False)
class Chain:
    """Factors of a square, step by step.

    Attributes
    ----------
    kinds : tuple of Kind
    which : ndarray of int, shape (depth,)
        The kind of each step's factor. A step is a layer, for the gradient from the last on.
    ends : tuple of Kind
    closing : ndarray of int, shape (depth + 1,), or None
        Which of ``ends`` is a factor besides after l steps, in the place of that after fewer; None without such.
    """

    kinds: tuple[Kind, ...]
    which: NDArray[np.int64]
    ends: tuple[Kind, ...] = ()
    closing: NDArray[np.int64] | None = None

    def cumulants(self, order: int) -> Floats:
        """Return the cumulant of that order, 1 to 8, of the logarithm after l = 0 .. depth steps."""
        return self._summed(
            lambda kind: kind.shift * (order == 1) + sum(cumulants_of_law(law)[order - 1] for law in kind.laws)
        )

    @property
    def lowest_power(self) -> float:
        """The infimum of the q for which all factors' moments are finite, but at least -64."""
        return max([-LARGEST_POWER, *(law.lowest_power for kind in (*self.kinds, *self.ends) for law in kind.laws)])

    def log_powers(self, q: float) -> Floats:
        """Return log E F^q, F the product after l = 0 .. depth steps; 0 counts where one is 0."""
        return self._summed(
            lambda kind: q * kind.shift + sum(math.log1p(-law.death) + law.log_moment(q) for law in kind.laws)
        )

    def parts(self) -> tuple[float, tuple[tuple[Law, int], ...]]:
        """Return the logarithm after all steps as a number and independent variables: their laws, and how many each."""
        counts = np.bincount(self.which, minlength=len(self.kinds)).tolist()
        counted = [*zip(self.kinds, counts, strict=True)]
        if self.closing is not None:
            counted.append((self.ends[self.closing[-1]], 1))
        found: Counter[Law] = Counter()
        for kind, count in counted:
            for law in kind.laws:
                found[law] += count
        for law in [one for one in found if isinstance(one, Share)]:
            square = SumOfSquares("linear", law.units)
            both = min(found[law], found[square])  # B times an independent Q is T
            found.update({law: -both, square: -both, squares_of(law.leak, law.units): both})
        found = Counter({law: count for law, count in found.items() if count})
        return sum(count * kind.shift for kind, count in counted), tuple(found.items())

    def _summed(self, value: Callable[[Kind], float]) -> Floats:
        """Return the sums of what each step adds, and of the end after l steps."""
        each = np.array([value(kind) for kind in self.kinds])
        if len(self.kinds) == 1:
            sums = np.asarray(np.arange(len(self.which) + 1) * each[0])
        else:
            sums = np.concatenate([[0.0], np.cumsum(each[self.which])])
        return sums if self.closing is None else sums + np.array([value(kind) for kind in self.ends])[self.closing]


@dataclass(frozen=True, eq=False)
class LogMoments:
    """Moments of a logarithm at each of ``layers``; arrays of one shape. NaN where a law is a number."""

    layers: NDArray[np.int64]
    mean: Floats
    variance: Floats
    skewness: Floats
    excess_kurtosis: Floats


def log_moments(links: Chain, layers: NDArray[np.int64]) -> LogMoments:
    """Return moments of a square's logarithm at ``layers``."""
    mean, variance, third, fourth = (links.cumulants(order)[layers] for order in (1, 2, 3, 4))
    spread = np.where(variance > 0.0, variance, np.nan)
    return LogMoments(layers, mean, variance, third / spread**1.5, fourth / spread**2)


def no_chain(model: ResidualNetwork) -> str | None:
    """Return why layers do not multiply the norm by independent factors of a known law, in a sentence; None if so."""
    given = f"activation={model.activation!r}"
    if not model.independent:
        return f"weights={brief(model.weights)} have no exact law: layers must be independent of each other"
    if model.weight_law.orthogonal and model.carry != 0.0:
        return "weights='orthogonal' have no exact law beside a skip: the angle that a branch makes with it is in none"
    if not (model.weight_law.gaussian or model.weight_law.orthogonal):
        return f"weights={model.law!r} have no exact law: at a finite width it is known for 'gaussian' and 'orthogonal'"
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


def sides_of(sigma: ActivationRecord) -> tuple[float, float]:
    """Return the steepest slope of a homogeneous sigma, and the other's size over that.

    A neuron is as likely to be above 0 as below, so that the steeper side may stand for that above.
    """
    if sigma.rectifier:
        return 1.0, 0.0
    up, down = (abs(float(x)) for x in sigma.value(np.array([1.0, -1.0])))
    return max(up, down), min(up, down) / max(up, down)


def squares_of(leak: float, n: int) -> SumOfSquares:
    """Return the law of |sigma(g)|^2 of n normals, sigma having the slopes 1 and ``leak``."""
    if leak == 0.0:
        return SumOfSquares("relu", n)
    return SumOfSquares("linear", n) if leak == 1.0 else SumOfSquares("leaky_relu", n, leak)


def chain(model: ResidualNetwork, quantity: str = "growth") -> Chain:
    """Return the factors of a square of a network for which `no_chain` finds nothing.

    ``quantity`` is growth, |h_l|^2/|h_0|^2, log_norm, |h_l|^2/n_l, or gradient, |p_{L-l}|^2/|p_L|^2.
    """
    if model.widths is not None:
        return _by_width(model, model.widths, quantity)
    n, scales = model.width, np.abs(model.scales)
    inner = model.inner
    (top, leak), two_matrices = sides_of(model.sigma), model.block == "v-phi-w"
    source = squares_of(leak, inner)
    distinct, which = np.unique(scales[::-1] if quantity == "gradient" else scales, return_inverse=True)
    if model.weight_law.orthogonal:
        shares = () if leak == 1.0 else (Share(n, leak),)
        kinds = [Kind(2.0 * math.log(s * top), shares) for s in distinct.tolist()]
    elif model.carry == 0.0:
        laws = (source, SumOfSquares("linear", n)) if two_matrices else (source,)
        sizes = sum(math.log(law.units) for law in laws)
        kinds = [Kind(2.0 * math.log(s * top) - sizes, laws) for s in distinct.tolist()]
    else:
        shift = 2.0 * math.log(abs(model.carry))
        unit = abs(model.carry) * (math.sqrt(n * inner) if two_matrices else math.sqrt(n))
        active = source if two_matrices else None
        kinds = [Kind(shift, (Step(active, n, s * top / unit),) if s else ()) for s in distinct.tolist()]
    found = Chain(tuple(kinds), which.astype(np.int64))
    if quantity != "log_norm":
        return found
    start = Kind(2.0 * math.log(model.size) - math.log(n), (SumOfSquares("linear", n),))
    return replace(found, ends=(start,), closing=np.zeros(model.depth + 1, np.int64))


def _by_width(model: ResidualNetwork, widths: tuple[int, ...], quantity: str) -> Chain:
    """Return the factors of a network without a skip that has ``widths`` n_0 .. n_L."""
    n, (top, leak) = np.array(widths), sides_of(model.sigma)
    inward, back = model.block == "phi-in", quantity == "gradient"
    sizes = 2.0 * np.log(top * np.abs(model.scales)) - np.log(n[:-1])  # log c_l
    units = n[:-1] if inward else n[1:]  # neurons of a layer's T
    if back:
        n, sizes, units = n[::-1], sizes[::-1], units[::-1]
    # Growths of phi-in and gradients of phi-out begin with B, and end with the square of a whole Gaussian vector.
    shifted = quantity != "log_norm" and back != inward
    first = (np.arange(model.depth) == 0) & shifted
    rows, which = np.unique(np.stack([sizes, units, first]), axis=1, return_inverse=True)

    def kind(size: float, units: float, shared: float) -> Kind:
        if not shared:
            return Kind(size, (squares_of(leak, int(units)),))
        return Kind(size, () if leak == 1.0 else (Share(int(units), leak),))

    found = Chain(tuple(kind(*row) for row in rows.T.tolist()), which.ravel().astype(np.int64))
    distinct, closing = np.unique(n, return_inverse=True)
    whole = {one: SumOfSquares("linear", one) for one in distinct.tolist()}
    if shifted:
        ends = (Kind(0.0, ()), *(Kind(0.0, (law,)) for law in whole.values()))
        return replace(found, ends=ends, closing=np.where(np.arange(model.depth + 1) == 0, 0, closing + 1))
    if quantity != "log_norm":
        return found
    start = 2.0 * math.log(model.size)
    ends = tuple(Kind(start - math.log(one), (whole[one if inward else widths[0]],)) for one in whole)
    return replace(found, ends=ends, closing=closing.astype(np.int64))
