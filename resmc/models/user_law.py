"""Weight laws of a user's own: a quantile function, made into a table that kernels and all else read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief
from .activation_table import COARSEST, FINEST, Floats, KernelTable, unpacked
from .user_function import UserFunction, checked_function, named
from .weight_law import TABLE, WeightLaw
from .weight_table import END, OCTAVES, is_odd, moments, table_of

OF_TABLE = {"name", "table", "fine"}  # fields of a description
INCREASING = 4.0  # |g| up to which a quantile function must increase: beyond, there are 6e-5 of all entries
SAME = 1e-9  # difference of two quantiles, over the largest one, that counts as rounding
TAILS = (1e-9, 1e-11)  # probabilities between which a tail's exponent is measured
STANDARD = 1e-5  # how far mean and variance of a table may be from 0 and 1


def law_of_table(table: KernelTable) -> WeightLaw:
    """Return the record of the law that is a table."""
    return WeightLaw(
        TABLE,
        lambda generator, shape: table.value(generator.standard_normal(shape)),
        table=table,
        symmetric=is_odd(table),
    )


class QuantileLaw(UserFunction):
    """A weight law of one's own, given by its quantile function, for ``weights`` of a `ResidualNetwork`.

    An entry is F^-1(Phi(g)), where g is the normal that the Gaussian law would draw in its place, shifted and scaled to
    mean 0 and variance 1 before the network divides it by the root of the matrix's columns. That function of g is made
    into a table, which is the law from then on: kernels, the reference and modules read it, a pickle and a file have
    it, and a store knows it by its hash. Values are off by less than 1e-6 of the largest |T(v)| or |v T'(v)| of all
    |v| <= |g|, float32 included. Such weights are written out: they take ``method="dense"``, on the CPU, and layers
    that are independent of each other.

    Parameters
    ----------
    quantile : callable
        x with P(X <= x) = p, for an array of p from 1e-12 to 1/2, and to all p below 1 where there is no ``upper``: a
        function of arrays, such as the ``ppf`` of one of SciPy's distributions. It must be increasing, without jumps
        and without flat parts, which would be atoms.
    upper : callable, optional
        x with P(X > x) = p, for p from 1e-12 to 1/2, such as SciPy's ``isf``. A law that is not symmetric needs it:
        next to 1, p has no digits for the upper tail.
    name : str, optional
        A name of letters, digits and _, by default that of ``quantile``.

    Raises
    ------
    ValueError
        For a function that is not finite, does not increase, jumps, is not smooth enough for a table, or has no finite
        variance; for a law that is not symmetric without ``upper``; for a bad name.

    Examples
    --------
    >>> import numpy as np
    >>> import resmc
    >>> laplace = resmc.QuantileLaw(lambda p: np.where(p < 0.5, np.log(2 * p), -np.log(2 - 2 * p)), name="laplace")
    >>> resmc.ResidualNetwork(64, 10, weights=laplace).weight_law.symmetric
    True
    """

    record: WeightLaw

    def __init__(
        self,
        quantile: Callable[[Any], ArrayLike],
        upper: Callable[[Any], ArrayLike] | None = None,
        *,
        name: str | None = None,
    ) -> None:
        for which, function in (("quantile", quantile), ("upper", upper)):
            if not callable(function) and (which == "quantile" or function is not None):
                raise ValueError(f"{which}={brief(function)} is not allowed: it must be a function of an array")
        self.name = named(quantile, name)
        lower = _checked("quantile", quantile)
        of_normal = _symmetric(lower) if upper is None else _joined(lower, _checked("upper", upper))
        _check_increasing(of_normal)
        _check_variance(of_normal)
        table = table_of(of_normal)
        if isinstance(table, float):
            raise ValueError(
                f"quantile is not allowed: it is not smooth enough near p={_probability(table):.6g} to be tabulated to "
                "1e-6; laws with atoms or gaps have no such table"
            )
        self.record = law_of_table(table)

    @property
    def table(self) -> KernelTable:
        """T, of which entries are the values."""
        assert self.record.table is not None
        return self.record.table

    def _held(self) -> NDArray[Any]:
        return self.table.array

    def to_dict(self) -> Plain:
        """Return the law as plain values, its table among them."""
        return {"name": self.name, "table": self.table.packed, "fine": self.table.fine}

    @staticmethod
    def from_dict(described: Mapping[str, Any]) -> QuantileLaw:
        """Return the law that `to_dict` described.

        Raises
        ------
        ValueError
            For anything else.
        """
        if set(described) != OF_TABLE:
            raise ValueError(
                f"weights={brief(dict(described))} are not allowed: they must have law and depth, as a resmc.Weights, "
                "or what resmc.QuantileLaw.to_dict gives"
            )
        made = object.__new__(QuantileLaw)
        made.name = named(None, described["name"])
        fine = checks.integer("fine", described["fine"], COARSEST, FINEST)
        cells = unpacked("a weight law", described["table"], 2 * ((OCTAVES << fine) + 1))
        table = KernelTable(fine, OCTAVES, (), (), cells)
        mean, deviation = moments(table.value)
        if not (abs(mean) <= STANDARD and abs(deviation - 1.0) <= STANDARD):
            raise ValueError("a weight law's table is not allowed: its entries must have mean 0 and variance 1")
        made.record = law_of_table(table)
        return made


def _checked(name: str, function: Callable[[Any], ArrayLike]) -> Callable[[Floats], Floats]:
    return checked_function(name, function, "p", "from p=1e-12 to 1/2")


def _symmetric(quantile: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """Return F^-1(Phi(g)) less its median, by the lower half alone, of a law that is seen to be symmetric."""
    from scipy.special import ndtr

    p = np.concatenate([np.arange(1, 64) / 128.0, 2.0 ** -np.arange(8.0, 31.0)])  # numbers whose 1 - p is exact
    low, high = quantile(p), quantile(1.0 - p)
    median = float(quantile(np.array([0.5]))[0])
    if np.abs(low + high - 2.0 * median).max() > SAME * max(float(np.abs(low).max()), float(np.abs(high).max())):
        raise ValueError(
            "quantile is of a law that is not symmetric: give upper too, the x with P(X > x) = p, as 1 - p has no "
            "digits next to 1"
        )
    return lambda g: np.where(g < 0.0, -1.0, 1.0) * (median - quantile(ndtr(-np.abs(g))))


def _joined(quantile: Callable[[Floats], Floats], upper: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """Return F^-1(Phi(g)) from both tails."""
    from scipy.special import ndtr

    both = [float(f(np.array([0.5]))[0]) for f in (quantile, upper)]
    if abs(both[1] - both[0]) > SAME * max(abs(both[0]), abs(both[1]), float(np.ptp(quantile(np.array([0.25, 0.5]))))):
        raise ValueError(f"quantile and upper do not match: at p=1/2 they are {both[0]:.6g} and {both[1]:.6g}")
    return lambda g: np.where(g < 0.0, quantile(ndtr(-np.abs(g))), upper(ndtr(-np.abs(g))))


def _check_increasing(of_normal: Callable[[Floats], Floats]) -> None:
    g = np.linspace(-END, END, 1793)
    steps = np.diff(of_normal(g))
    wrong = (steps < 0.0) | ((steps <= 0.0) & (np.abs(g[1:]) <= INCREASING))
    if wrong.any():
        at = _probability(float(g[1:][int(np.argmax(wrong))]))
        raise ValueError(f"quantile is not allowed: it must increase with p, and does not near p={at:.6g}")


def _check_variance(of_normal: Callable[[Floats], Floats]) -> None:
    """Refuse tails like x^-a with a of 2 or less, as measured near the largest entries that are drawn."""
    from scipy.special import ndtri

    g = -np.asarray(ndtri(np.array(TAILS)))
    middle = float(of_normal(np.zeros(1))[0])
    for sign, which in ((1.0, "upper"), (-1.0, "lower")):
        near, far = np.abs(of_normal(sign * g) - middle).tolist()
        if near > 0.0 and math.log(far / near) >= 0.5 * math.log(TAILS[0] / TAILS[1]) * (1.0 - 1e-6):
            raise ValueError(
                f"quantile is not allowed: its {which} tail grows like p^-1/2 or faster, so that the variance is "
                "infinite"
            )


def _probability(g: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(g))
