"""`MomentRun`: moments of the norm by layer, from populations of networks that were resampled on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief_repr, counted
from ..engine.lowering import lower
from ..engine.populations import Weighted, networks_of
from ..models.residual_network import Model
from ..results.arithmetic import share_networks
from ..results.estimates import Estimate, Floats
from ..results.groups import jackknifed
from ..results.propagation import Networks
from ..tables import Column, Shown, Table
from ..tables.table import MOST_LAYERS, few

MOST_SCATTER = 0.5  # variance of log Z over populations, above which few of them would rule their mean
MOST_INACTIVE = 0.01  # share of the moment that may be that of networks which no population meets
FEWEST_EFFECTIVE = 64.0  # networks that carry the weights of a population; fewer would not tell what they lack


@dataclass(frozen=True, eq=False)
class MomentRun(Shown):
    """Moments of the norm by layer, as `moment_growth` returns them: no `Simulation`, as its networks are tilted.

    Attributes
    ----------
    model : ResNet or ResidualNetwork
    q : float
        The moment is that of |z|^2q.
    layers : ndarray of int, shape (R,)
        Where populations were weighted and, but for the first and the last, resampled.
    populations, size, seed : int
        So many populations of so many networks.
    log_product : ndarray, shape (P, R)
        log Z_l of each population, whose exponential has the mean E (|z_l|/|z_0|)^2q; -infinity where all are dead.
    growth : ndarray, shape (P, R)
        Mean of log |z_l|^2/|z_0|^2 in each population, by weights (|z_l|/|z_0|)^2q: Z times it is what the mean
        E log(|z_l|^2/|z_0|^2) (|z_l|/|z_0|)^2q is estimated by.
    effective : ndarray, shape (P, R)
        (sum w)^2/(size sum w^2) of the weights at each layer, 1 where all are equal.
    numerics : str
        The numerics class: in one of them a seed has the same bits on any number of threads.
    networks : Networks
        The random networks behind it.
    """

    __repr__ = brief_repr

    model: Model
    q: float
    layers: NDArray[np.int64]
    populations: int
    size: int
    seed: int
    log_product: Floats
    growth: Floats
    effective: Floats
    numerics: str
    networks: Networks

    @classmethod
    def of(cls, model: Model, q: float, layers: NDArray[np.int64], size: int, seed: int,
           parts: Sequence[tuple[int, Weighted]]) -> Self:  # fmt: skip
        """Make a run of one or more parts, each with the number of its first population."""
        found = [part for _, part in parts]
        counts = [len(part.log_product) for part in found]
        return cls(
            model=model,
            q=q,
            layers=layers,
            populations=sum(counts),
            size=size,
            seed=seed,
            log_product=np.concatenate([part.log_product for part in found]),
            growth=np.concatenate([part.growth for part in found]),
            effective=np.concatenate([part.effective for part in found]),
            numerics=", ".join(sorted({part.numerics for part in found})),
            networks=Networks.of(
                seed, [networks_of(first, count, size) for (first, _), count in zip(parts, counts, strict=True)]
            ),
        )

    @cached_property
    def log_moment(self) -> Estimate:
        """log E |z_l|^2q/|z_0|^2q by layer, (R,), the error from the scatter of populations.

        Populations are averaged before the logarithm; the error is the delete-one-group jackknife's over 32 groups of
        populations, and there is none with fewer than 32 populations or where the layer is not `reliable`.
        """
        return self._estimate(log_mean, self.log_product.T)

    @property
    def log_second_moment(self) -> Estimate:
        """log E|z_l|^2/|z_0|^2 by layer, (R,): `log_moment` for q = 1.

        Raises
        ------
        ValueError
            For any other q.
        """
        if self.q != 1.0:
            raise ValueError(f"q={self.q!r} has no log_second_moment, which is that of q = 1: see log_moment")
        return self.log_moment

    @property
    def tilted_growth(self) -> Estimate:
        """Mean of log |z_l|^2/|z_0|^2 by layer, (R,), over networks weighted by |z_l|^2q: the derivative of log_moment.

        Its error is that of log_moment's kind.
        """
        return self._estimate(lambda both: tilted(both[0], both[1]), np.stack([self.log_product.T, self.growth.T]))

    @cached_property
    def scatter(self) -> Floats:
        """Standard deviation over populations of log Z_l by layer, (R,): one population's relative error, where small.

        Infinite where some population is dead.
        """
        with np.errstate(invalid="ignore"):
            found = np.std(self.log_product, axis=0, ddof=1) if self.populations > 1 else np.full(len(self.layers), 0.0)
        return np.where(np.isneginf(self.log_product).any(axis=0), np.inf, found)

    @cached_property
    def reliable(self) -> NDArray[np.bool_]:
        """True at the layers, (R,), up to which the scatter of populations tells the error of their mean.

        Two things may hide it: few populations that rule the mean, where the variance of log Z is above 1/2, and few
        networks that rule their population, where fewer than 64 carry the weights at some layer. Both are seen in
        logarithms, or on average over populations, to which rare ones add little. A third is known of the network:
        for q < 0, those that are inactive from the first layer on and shrink for ever, a share 2^-n of ReLU networks
        with phi-in and a skip above 0, may make more than 1/100 of the moment.
        """
        carried = np.minimum.accumulate(self.effective.mean(axis=0)) * self.size
        seen = log_mean(self.log_product.T) >= self._inactive + math.log(1.0 / MOST_INACTIVE)
        return (self.scatter**2 <= MOST_SCATTER) & (carried >= FEWEST_EFFECTIVE) & seen

    @property
    def _inactive(self) -> Floats:
        """Logarithm of what networks that never fire add to the moment by layer, (R,); -infinity where nothing is."""
        m = lower(self.model).general
        if self.q >= 0.0 or m.block != "phi-in" or m.activation != "relu" or m.bias > 0.0 or m.carry <= 0.0:
            return np.full(len(self.layers), -np.inf)
        return np.asarray(2.0 * self.q * self.layers * math.log(m.carry) - m.width * math.log(2.0))

    @cached_property
    def exact(self) -> Floats:
        """The exact value of log_moment by layer, (R,), where theory knows it; else NaN."""
        return lower(self.model).facts.log_moment(self.q, self.layers)

    @property
    def z_score(self) -> Floats:
        """(log_moment - exact)/error by layer, (R,)."""
        return self.log_moment.z_score(self.exact)

    def _estimate(self, statistic: Callable[[Floats], Floats], samples: Floats) -> Estimate:
        found = jackknifed(samples, statistic)
        return share_networks(replace(found, stderr=np.where(self.reliable, found.stderr, np.nan)), self.networks)

    def _table(self) -> Table:
        found, exact, z = self.log_moment, self.exact, self.z_score
        known, ratio = bool(np.isfinite(exact[1:]).any()), self.layers / self.model.width
        columns = [
            Column("layer", "layer", width=9),
            Column("l/n", "ratio", width=9, digits=4),
            Column(f"log E|z_l|^{2 * self.q:g}/|z_0|^{2 * self.q:g}", "log_moment", width=26),
        ]
        columns += [Column("exact", "exact", width=10), Column("z", "z_score", width=8, digits=2)] * known
        columns += [
            Column("scatter of a population", "scatter", width=25, digits=2),
            Column("effective share", "effective", digits=2),
        ]
        rows: list[list[Any]] = []
        for i in few(len(self.layers), MOST_LAYERS):
            row = [int(self.layers[i]), float(ratio[i]), found[i]]
            row += [float(exact[i]), float(z[i])] * known
            rows.append([*row, float(self.scatter[i]), float(self.effective[:, i].mean())])
        every = int(np.diff(self.layers).max())
        lines = [
            f"{counted(self.populations, 'population')} of {self.size} networks, seed {self.seed}, resampled by "
            f"|z|^{2 * self.q:g} every {counted(every, 'layer')}"
        ]
        return Table("moment_growth", f"growth of E|z|^{2 * self.q:g}  {self.model.title}", columns, rows, lines)

    def summary(self) -> Table:
        """Return a table by layer: the moment, what is exact, and how much populations and networks scatter."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


def joined(found: Sequence[Estimate], networks: Sequence[Networks]) -> Estimate:
    """Return numbers with their errors as one estimate, (K,), whose entries have networks of their own."""
    value, stderr, n, df = (np.array([getattr(one, name) for one in found]) for name in ("value", "stderr", "n", "df"))
    behind = np.empty(len(found), object)
    behind[:] = networks
    return share_networks(Estimate(value, stderr, n, df), behind)


def log_mean(logs: Floats) -> Floats:
    """Return the logarithm of the mean of exponentials over the last axis."""
    top = logs.max(axis=-1)
    base = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(base + np.log(np.exp(logs - base[..., None]).mean(axis=-1)))


def tilted(logs: Floats, values: Floats) -> Floats:
    """Return the mean of values over the last axis by weights whose logarithms are given."""
    top = logs.max(axis=-1, keepdims=True)
    weights = np.exp(logs - np.where(np.isfinite(top), top, 0.0))
    with np.errstate(invalid="ignore"):
        return np.asarray((weights * values).sum(axis=-1) / weights.sum(axis=-1))
