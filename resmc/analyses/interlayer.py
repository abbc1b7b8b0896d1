"""How do the asymmetries of different layers correlate?

Li, Nica, Roy 2021 (arXiv 2106.04013): Corr(A_l, A_{l+k}) tends to J(alpha^k)/3 in a vanilla ResNet and is exactly 0
in a balanced one. These correlations are what makes the output variance grow exponentially in d/n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..results.estimates import Estimate, Floats
from ..results.record import Record
from ..tables.table import few
from ..theory.lags import lags_of
from ._result import Result, if_known

SEEN = 3.0  # standard errors from which on a correlation is more than noise
SMALL = 0.02  # share of the correlation of neighbours below which it is small


@dataclass(frozen=True, eq=False, repr=False)
class InterlayerCorrelations(Result):
    """Correlations of A_l over networks alive at both layers.

    Attributes
    ----------
    layers : ndarray of int, shape (R,)
    matrix : Estimate, shape (R, R)
        Corr(A_l, A_m); NaN where a layer's A does not vary.
    theory : ndarray, shape (R, R)
        The limit of ``matrix`` at leading order, J(alpha^|l-m|)/3.
    next_order : ndarray, shape (R, R), or None
        That limit with the next order in 1/n (`resmc.theory.next_order`), which depends on both layers; None where it
        is not known, or there are so many pairs of layers that it would take seconds.
    lags : ndarray of int, shape (K,)
        The distances between recorded layers, from 0.
    by_lag : Estimate, shape (K,)
        Mean of the matrix over all pairs at each lag.
    theory_by_lag : ndarray, shape (K,)
        The limit of ``by_lag`` at leading order, J(alpha^lag)/3.
    next_order_by_lag : ndarray, shape (K,), or None
        Mean of ``next_order`` over the pairs at each lag.
    exact : float or None
        The exact correlation at lag > 0, where it is known (`resmc.theory.facts`): 0.
    """

    _by_entry: ClassVar[tuple[str, ...]] = ("lags", "by_lag", "theory_by_lag", "next_order_by_lag")

    layers: NDArray[np.int64]
    matrix: Estimate
    theory: Floats
    next_order: Floats | None
    lags: NDArray[np.int64]
    by_lag: Estimate
    theory_by_lag: Floats
    next_order_by_lag: Floats | None
    exact: float | None

    def _chosen(self, count: int, most: int) -> list[int]:
        """Choose lags before the correlation is small or lost in noise: with lag 0, one more than ``most``."""
        size = np.abs(self.by_lag.value)
        seen = (size > SEEN * self.by_lag.stderr) & (size > SMALL * size[min(1, count - 1)])
        end = count if seen.all() else int(np.argmin(seen))
        rows = most + 1
        return few(min(count, end if end >= 2 * rows else rows), rows)


@dataclass(frozen=True, eq=False)
class ByLag:
    """Correlations of A by the distance of layers alone, which take far less time than all pairs with their errors."""

    lags: NDArray[np.int64]
    which: NDArray[np.int64]  # (R, R): for every two recorded layers, the number of their lag
    by_lag: Estimate


def average(sim: Record) -> ByLag:
    """Return the mean correlation at each lag of ``sim``."""
    lags, which = lags_of(sim.layers)
    where = which[np.triu_indices(len(sim.layers))]
    pairs = np.bincount(where, minlength=len(lags))

    def averaged(values: Floats) -> Floats:
        defined = np.isfinite(values)
        if defined.all():
            return np.asarray(np.bincount(where, values, len(lags)) / pairs)
        total = np.bincount(where[defined], values[defined], len(lags))
        count = np.bincount(where[defined], minlength=len(lags))
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    by_lag = sim.jackknife(np.stack([averaged(one.correlation) for one in sim.pairs()]), int(sim.alive[-1]))
    return ByLag(lags, which, sim.correlated(by_lag, lags == 0))


def analyse(sim: Record) -> InterlayerCorrelations:
    """Return the correlations between the recorded layers of ``sim``."""
    mean = average(sim)
    limit = sim.facts.correlation_limit(mean.lags)
    return InterlayerCorrelations(
        layers=sim.layers,
        matrix=sim.asymmetry_correlation,
        theory=limit[mean.which],
        next_order=if_known(sim.facts.correlation_matrix(sim.layers, 2)),
        lags=mean.lags,
        by_lag=mean.by_lag,
        theory_by_lag=limit,
        next_order_by_lag=if_known(sim.facts.correlation_by_lag(sim.layers, 2)),
        exact=sim.facts.correlation,
    )
