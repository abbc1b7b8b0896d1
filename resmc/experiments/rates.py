"""`rate_function`: how fast moments of the norm grow with the depth, and how rare other growth of the norm is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.progress import reporting
from .._system.stopping import stoppable
from .._system.words import brief_repr, counted
from ..engine.columns import share
from ..engine.devices import Named
from ..engine.lowering import Lowered, lower
from ..models.residual_network import Model
from ..results.estimates import Estimate, Floats
from ..results.groups import jackknifed
from ..tables import Column, Shown, Table
from .moment_run import MomentRun, joined, log_mean, tilted
from .moments import checked_model, checked_populations, checked_power, schedule

MOST_POWERS = 256


@dataclass(frozen=True, eq=False)
class RateFunction(Shown):
    """Growth of moments by layer, and its Legendre transform, as `rate_function` returns them.

    Attributes
    ----------
    model : ResNet or ResidualNetwork
    q : ndarray, shape (K,)
    cumulant : Estimate, shape (K,)
        Lambda(q) = lim (1/d) log E|z_d|^2q, the slope of log E|z_l|^2q over the second half of the layers.
    growth : Estimate, shape (K,)
        Lambda'(q), the growth x of log |z|^2 for each layer that moment q is ruled by.
    rate : Estimate, shape (K,)
        I(x) = q x - Lambda(q) at x = ``growth``, its error that of the curve at a fixed x, where dI = -dLambda.
    exact : ndarray, shape (K,)
        The exact slope of log E|z_l|^2q over these layers, where it is known; else NaN.
    runs : tuple of MomentRun
        The populations of each q, which are independent of each other.
    """

    __repr__ = brief_repr

    model: Model
    q: Floats
    cumulant: Estimate
    growth: Estimate
    rate: Estimate
    exact: Floats
    runs: tuple[MomentRun, ...]

    @property
    def z_score(self) -> Floats:
        """(cumulant - exact)/error, (K,)."""
        return self.cumulant.z_score(self.exact)

    def _table(self) -> Table:
        known, z = bool(np.isfinite(self.exact).any()), self.z_score
        columns = [Column("q", "q", width=8), Column("Lambda(q)", "cumulant", width=22)]
        columns += [Column("exact", "exact", width=12), Column("z", "z_score", width=8, digits=2)] * known
        columns += [Column("x = Lambda'(q)", "growth", width=22), Column("I(x)", "rate")]
        rows: list[list[Any]] = []
        for i, q in enumerate(self.q.tolist()):
            row = [q, self.cumulant[i]] + [float(self.exact[i]), float(z[i])] * known
            rows.append([*row, self.growth[i], self.rate[i]])
        one = self.runs[0]
        lines = [
            "Lambda(q) = lim (log E|z_d|^2q)/d, I(x) = q x - Lambda(q):  P(log |z_d|^2 near x d) falls like exp(-d I)",
            f"{counted(one.populations, 'population')} of {one.size} networks for each q, seed {one.seed}; slopes from "
            f"layer {_half(one)} to {one.layers[-1]}",
        ]
        return Table("rate_function", f"rate function of {self.model.title}", columns, rows, lines)

    def summary(self) -> Table:
        """Return a table by q: Lambda(q), the growth x it is ruled by, and the rate I(x)."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


@stoppable()
def rate_function(
    model: Model,
    q: Sequence[float] | NDArray[Any] = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0),
    *,
    populations: float = 64,
    size: float = 1024,
    seed: int = 0,
    device: Named = "auto",
    threads: int | None = None,
    progress: bool | Callable[[int, int], object] | None = None,
) -> RateFunction:
    """Estimate the rate at which moments of the norm grow with depth, and the large deviations of the log-norm.

    .. code-block:: text

        Lambda(q) = lim (1/d) log E|z_d|^2q          I(x) = sup_q (q x - Lambda(q)) = q Lambda'(q) - Lambda(q)

    The probability that log |z_d|^2 is about x d falls like exp(-d I(x)) (Gaertner and Ellis: Dembo, Zeitouni 1998,
    *Large Deviations Techniques and Applications*, theorem 2.3.6): typical networks have the growth Lambda'(0) with
    I = 0, those that rule the second moment Lambda'(1). Each q has populations of its own (`resmc.moment_growth`);
    Lambda is a slope between two layers, from half of the depth on, so that it needs a depth at which layers have long
    forgotten the first ones.

    >>> found = resmc.rate_function(resmc.ResNet(40, 400, 0.5**0.5, 0.5**0.5))
    >>> print(found.summary())

    Parameters
    ----------
    model : ResNet or ResidualNetwork
        A homogeneous network whose layers are all alike, at least 2 of them; otherwise as for `resmc.moment_growth`.
    q : sequence of float
        1 to 256 different numbers, each as for `resmc.moment_growth`; the result has them in increasing order.
    populations, size, seed, device, threads, progress
        As for `resmc.moment_growth`, for each q. Run k has the populations from k ``populations`` on.

    Raises
    ------
    ValueError
        For an argument out of range, or a model whose norm has no such limit.
    DeviceError
        As for `simulate`.
    """
    lowered = checked_model(model)
    powers = [checked_power(lowered, one) for one in checks.increasing("q", q, MOST_POWERS)]
    _check_layers(lowered)
    cast = checked_populations(populations, size, seed, threads, device, len(powers))
    runs: list[MomentRun] = []
    with reporting(progress, len(powers) * cast.count * cast.size, "rate function") as report:
        for k, power in enumerate(powers):
            part = None if report is None else share(report, k, 1, len(powers))
            own = replace(cast, first=k * cast.count)
            runs.append(own.run(lowered, power, schedule(lowered, power), part))
    return _collect(lowered.model, powers, runs)


def _check_layers(lowered: Lowered) -> None:
    m = lowered.model
    if not lowered.homogeneous:
        raise ValueError(
            "model is not homogeneous, with a bias or an activation that is not: log |z| is no sum over layers that "
            "are alike, and has no rate function; moment_growth has its moments"
        )
    if len(set(lowered.general.scales.tolist())) > 1:
        raise ValueError("scaling by layer is not allowed in rate_function: all layers must be alike")
    if m.depth < 2:
        raise ValueError(f"depth={m.depth} is not allowed in rate_function: it must be at least 2")


def _half(run: MomentRun) -> int:
    """Return the layer from which slopes are taken: the last one that is not in the second half."""
    return int(run.layers[_place(run)])


def _place(run: MomentRun) -> int:
    return int(np.searchsorted(run.layers, run.layers[-1] / 2.0, side="right")) - 1


def _collect(model: Model, powers: list[float], runs: list[MomentRun]) -> RateFunction:
    networks = [run.networks for run in runs]
    cumulant = joined([_slope(run) for run in runs], networks)
    growth = joined([_tilted_slope(run) for run in runs], networks)
    q = np.array(powers)
    rate = [replace(one, value=value) for one, value in zip(cumulant, q * growth.value - cumulant.value, strict=True)]
    return RateFunction(
        model=model,
        q=q,
        cumulant=cumulant,
        growth=growth,
        rate=joined(rate, networks),
        exact=np.array([_exact(run) for run in runs]),
        runs=tuple(runs),
    )


def _ends(run: MomentRun, values: Floats) -> Floats:
    """Return values (P, R) at the two layers between which slopes are taken, (2, P)."""
    return values[:, [_place(run), -1]].T


def _per_layer(run: MomentRun, ends: Floats) -> Floats:
    return np.asarray((ends[1] - ends[0]) / (run.layers[-1] - run.layers[_place(run)]))


def _slope(run: MomentRun) -> Estimate:
    found = jackknifed(_ends(run, run.log_product), lambda logs: _per_layer(run, log_mean(logs)))
    return _trusted(run, found)


def _tilted_slope(run: MomentRun) -> Estimate:
    both = np.stack([_ends(run, run.log_product), _ends(run, run.growth)])
    return _trusted(run, jackknifed(both, lambda part: _per_layer(run, tilted(part[0], part[1]))))


def _trusted(run: MomentRun, found: Estimate) -> Estimate:
    return found if run.reliable[-1] else replace(found, stderr=np.asarray(np.nan))


def _exact(run: MomentRun) -> float:
    known = lower(run.model).facts.log_moment(run.q, run.layers)
    return float(_per_layer(run, known[[_place(run), -1]]))
