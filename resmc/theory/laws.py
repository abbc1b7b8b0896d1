"""Exact laws of the growth, the log-norm and the gradient at every finite width and depth, without a simulation.

They exist where layers multiply the norm by independent factors (`resmc.theory.chains`): logarithms add up, and so do
cumulants and logarithms of moments; the distribution function comes from the characteristic functions' product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from .._system import checks
from ..models.residual_network import Model
from ..models.spelling import checked_network, general
from .chains import chain, no_chain
from .factors import LARGEST_POWER, Law, Step, cumulants_of_law
from .inversion import Distribution, Tail, distribution
from .kernels import Floats
from .lattice import HIGHEST_CUMULANT
from .shares import Share

LAWS = ("growth", "log_norm", "gradient")


@dataclass(frozen=True, eq=False)
class ExactLaw:
    """The law of X, the logarithm of a square, over the networks that are alive: made by `exact_law`.

    Attributes
    ----------
    model : ResNet or ResidualNetwork
    quantity : str
        growth: X = log |h_L|^2/|h_0|^2; log_norm: log |h_L|^2/n, n = n_L; gradient: log |p_0|^2/|p_L|^2.
    shift : float
        X less ``shift`` is a sum of independent variables.
    parts : tuple of pairs
        Laws of these variables, and how many of them have each.
    """

    model: Model
    quantity: str
    shift: float
    parts: tuple[tuple[Law, int], ...]

    @property
    def probability_of_death(self) -> float:
        """P(the square is 0), which only networks without a skip have: all else here is given that it is not."""
        return 0.0 - math.expm1(sum(count * math.log1p(-law.death) for law, count in self.parts))

    @property
    def atom(self) -> float:
        """P(X = shift), which is not 0 where no layer may have an active neuron, as its skip alone is left then."""
        return math.prod(law.atom**count for law, count in self.parts)

    @property
    def mean(self) -> float:
        """E X."""
        return self.cumulant(1)

    @property
    def variance(self) -> float:
        """Var X."""
        return self.cumulant(2)

    @property
    def skewness(self) -> float:
        """The third cumulant over Var X^(3/2); NaN for a law that is a number."""
        return self.cumulant(3) / self.variance**1.5 if self.variance else math.nan

    @property
    def excess_kurtosis(self) -> float:
        """The fourth cumulant over Var X^2; NaN for a law that is a number."""
        return self.cumulant(4) / self.variance**2 if self.variance else math.nan

    def cumulant(self, k: int) -> float:
        """Return the cumulant of order k, with an error of 1e-10 Var X^(k/2) at most.

        Raises
        ------
        ValueError
            Unless k is an integer from 1 to 8.
        """
        k = checks.integer("k", k, 1, HIGHEST_CUMULANT)
        return self.shift * (k == 1) + sum(count * cumulants_of_law(law)[k - 1] for law, count in self.parts)

    @property
    def lowest_power(self) -> float:
        """The infimum of the q for which `moment` is finite: -1/2 for ReLU without a skip, else -n/2 of the least n.

        Without a skip a single neuron may be active, and E (chi^2_1)^q is finite for q > -1/2 alone.
        """
        return max((law.lowest_power for law, _ in self.parts), default=-math.inf)

    def moment(self, q: ArrayLike) -> Floats:
        """Return log E e^(qX), which is log E |h_L|^(2q)/|h_0|^(2q) for the growth, given alive.

        Parameters
        ----------
        q : array of float
            Powers above `lowest_power`, from -64 to 64, any shape; the result has the same shape. Its error is at most
            1e-10, or that part of its size.

        Raises
        ------
        ValueError
            For a q out of this range.
        """
        powers = np.asarray(q, dtype=object)
        return np.asarray([self._moment(one) for one in powers.flat], np.float64).reshape(powers.shape)

    def _moment(self, q: object) -> float:
        power = checks.real("q", q)
        if not max(self.lowest_power, -LARGEST_POWER) < power <= LARGEST_POWER:
            infinite = f", as E e^(qX) is infinite for q <= {self.lowest_power:g}"
            because = infinite if self.lowest_power > -LARGEST_POWER else ""
            lowest = max(self.lowest_power, -LARGEST_POWER)
            raise ValueError(
                f"q={power!r} is not allowed: it must be above {lowest:g}, and at most {LARGEST_POWER:g}{because}"
            )
        return power * self.shift + sum(count * law.log_moment(power) for law, count in self.parts)

    @property
    def no_distribution(self) -> str | None:
        """Say why `cdf`, `pdf` and `quantile` are not known, in a sentence; None where they are."""
        if any(isinstance(law, Share) for law, _ in self.parts) and _distribution_of(self.parts) is None:
            return (
                f"the distribution function of {self.quantity!r} is not resolved for this network: its "
                "law has atoms and singular densities, as no neuron may be above 0 in a layer, or all; moments and "
                "cumulants are known"
            )
        return None

    @property
    def _distribution(self) -> Distribution:
        found = _distribution_of(self.parts)
        if found is None:
            raise ValueError(self.no_distribution)
        return found

    def cdf(self, x: ArrayLike) -> Floats:
        """Return P(X <= x) for any shape of x, with an error of 1e-8 at most.

        Raises
        ------
        ValueError
            Where there is `no_distribution`.
        """
        away = np.asarray(x, np.float64) - self.mean
        if not self.parts:
            return np.where(away >= 0.0, 1.0, 0.0)
        return self._distribution.cdf(away.ravel()).reshape(away.shape)

    def pdf(self, x: ArrayLike) -> Floats:
        """Return the density of X for any shape of x.

        Where X = L log carry^2 has a probability of its own, as all layers may have no active neuron, the density is
        that of all other values.

        Raises
        ------
        ValueError
            If X is a number, as without branches, and as `cdf` does.
        """
        if not self.parts:
            raise ValueError("there is no density: without branches the quantity is a number")
        away = np.asarray(x, np.float64) - self.mean
        return self._distribution.pdf(away.ravel()).reshape(away.shape)

    def quantile(self, p: ArrayLike) -> Floats:
        """Return the smallest x with P(X <= x) >= p for any shape of p.

        Raises
        ------
        ValueError
            If a p does not lie strictly between 0 and 1, and as `cdf` does.
        """
        wanted = np.asarray(p, dtype=object)
        for one in wanted.flat:
            if not 0.0 < checks.real("p", one) < 1.0:
                raise ValueError(f"p={one!r} is not allowed: it must lie strictly between 0 and 1")
        values = np.asarray(wanted, np.float64)
        if not self.parts:
            return np.full(values.shape, self.mean)
        return self._distribution.quantile(values.ravel()).reshape(values.shape) + self.mean


@lru_cache(maxsize=64)
def _distribution_of(parts: tuple[tuple[Law, int], ...]) -> Distribution | None:
    """Return the law of the sum of the parts less its mean; those of growth and gradient are one."""
    laws = [law for law, _ in parts]
    shares = [law for law in laws if isinstance(law, Share)]
    tail: Tail = "unknown" if shares else "fast"
    if all(isinstance(law, Step) and law.source is not None for law in laws):
        tail = "two-sided"
    elif len(shares) == len(laws) and not any(law.leak for law in shares):
        tail = "one-sided"
    return distribution([(law.points(), count) for law, count in parts], tail)


def exact_law(model: Model, quantity: str = "growth") -> ExactLaw | None:
    """Return the law of a quantity's logarithm at the last layer, exact at every width and depth; None if not known.

    It is known of networks whose layers multiply |h|^2 by independent factors: independent Gaussian weights, no bias,
    and v-phi-w with relu, balanced, leaky_relu or linear, any block with linear, or any block with one of these and
    carry 0, then also with orthogonal weights, or with widths by layer; any scaling, also layer by layer.
    `no_exact_law` says why there is none.
    Of orthogonal networks with leaky_relu that are narrow and shallow cumulants and moments are known alone.

    Parameters
    ----------
    model : ResNet or ResidualNetwork
    quantity : {"growth", "log_norm", "gradient"}
        log |h_L|^2/|h_0|^2, log |h_L|^2/n, or log |p_0|^2/|p_L|^2, with the law of the growth unless widths differ.

    Raises
    ------
    ValueError
        If ``model`` is no network, or for another ``quantity``.

    Source: `resmc.theory.chains` derives the factors.
    """
    if no_exact_law(model, quantity):
        return None
    shift, parts = chain(general(model), quantity).parts()
    return ExactLaw(model, quantity, shift, parts)


def no_exact_law(model: Model, quantity: str = "growth") -> str | None:
    """Return why `exact_law` has no law of ``model``, in a sentence; None if it has one.

    Raises
    ------
    ValueError
        If ``model`` is no network, or for another ``quantity``.
    """
    checks.choice("quantity", quantity, LAWS)
    return no_chain(checked_network(model))
