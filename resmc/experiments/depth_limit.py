"""The stochastic equation that a residual network of fixed width tends to as its depth grows, simulated in law.

`resmc.theory.depth` derives the equation; `resmc.experiments.euler` solves it on two grids with the same noise, a fine
one of M steps and a coarse one of M/2. The error of an average falls like 1/M, so the fine grid is still about as far
from the limit as the two grids are from each other. That distance, the fine value less the coarse one, is called the
refinement error; the estimate plus the refinement error would have an error of second order.

Some networks have no finite value: -infinity where a quotient is 0 (the logarithm of 0), +infinity where the network
exploded. Medians count all of them, as `resmc.results.laws.Law` does. Means, variances and covariances are those of the
networks that are finite on both grids, and say with ``n`` how many these are: where some are infinite, only the median
describes all networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._system.progress import Report
from .._system.words import brief_repr, counted
from ..models.residual_network import ResidualNetwork
from ..results.arithmetic import share_networks
from ..results.estimates import Estimate, Floats, jackknife
from ..results.groups import without_each_group
from ..results.medians import median, paired_medians
from ..results.observables import OBSERVABLES
from ..results.propagation import Networks
from ..tables import Column, Shown, Table
from ..theory.depth import DepthSDE, Gaussian
from . import euler

MAX_STEPS = 1 << 20
COARSEST_STEP = 0.25  # largest c^2 dt (a relative change, squared) at which z is not the fault of the grid


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and variance, with errors from a delete-one-group jackknife, and median, with one from order statistics."""

    __repr__ = brief_repr

    mean: Estimate
    variance: Estimate
    median: Estimate


@dataclass(frozen=True, eq=False)
class LimitQuantity:
    """One quantity of the limit.

    Attributes
    ----------
    mean, variance : Estimate
        Estimates on the fine grid, of the networks that are finite on both grids; ``n`` counts them.
    median : Estimate
        On the fine grid, of all networks: 0 counts as -infinity, and exploded as +infinity. Where the median itself is
        infinite, or its error would reach there, it has no error.
    refinement : Moments
        Fine less coarse grid: the three estimates' differences between grids that share every network's noise; NaN
        where both medians are infinite.
    law : theory.Gaussian or None
        The exact limit law, where it is known.
    samples : ndarray, shape (networks,)
        The values on the fine grid, infinite ones among them.
    """

    __repr__ = brief_repr

    mean: Estimate
    variance: Estimate
    median: Estimate
    refinement: Moments
    law: Gaussian | None
    samples: Floats


@dataclass(frozen=True, eq=False)
class DepthLimit(Shown):
    """A simulated limit, as `limit` returns it.

    Attributes
    ----------
    model : ResidualNetwork
        The network; its depth has no meaning here.
    sde : theory.DepthSDE
        The limiting equation.
    networks, seed, steps : int
        The arguments of `limit`.
    exploded : int
        Networks that grew without bound before time 1 (or beyond float64) on either grid. They are left out of means,
        variances and the covariance, and count as +infinity in medians, on the grid where they exploded. The quadratic
        drift of a scaling inside the activation makes some networks explode, however rarely; then means and variances
        are conditional ones, and medians alone describe all networks.
    growth, displacement : LimitQuantity
        ln(|H_1|^2/|H_0|^2) and ln(|H_1 - H_0|^2/|H_0|^2).
    gradient, gradient_displacement : LimitQuantity or None
        ln(|P_0|^2/|P_1|^2) and ln(|P_0 - P_1|^2/|P_1|^2); None without gradients.
    covariance, covariance_refinement : Estimate or None
        The covariance of growth and gradient, and its refinement error; None without gradients.
    average : LimitQuantity or None
        The average of H_1 over coordinates; None without ``h0``.
    """

    model: ResidualNetwork
    sde: DepthSDE
    networks: int
    seed: int
    steps: int
    exploded: int
    growth: LimitQuantity
    displacement: LimitQuantity
    gradient: LimitQuantity | None
    gradient_displacement: LimitQuantity | None
    covariance: Estimate | None
    covariance_refinement: Estimate | None
    average: LimitQuantity | None

    def _table(self) -> Table:
        networks = counted(self.networks, "network")
        rows, notes = [], []
        least = int(np.ceil(abs(self.sde.c) ** 2 / COARSEST_STEP))
        coarse = self.steps < least
        if coarse:
            takes = f" = {least}" if least <= MAX_STEPS else ", and 2^20 are allowed"
            notes.append(
                f"{self.steps} steps are too few for c={self.sde.c:g}, so no z is given: in one of them a layer "
                f"changes by more than half of its size. It takes 4 c^2{takes}."
            )
        for name in ("growth", "displacement", "gradient", "gradient_displacement", "average"):
            quantity = getattr(self, name)
            if quantity is None:
                continue
            for kind in ("mean", "variance", "median"):
                exact = None
                if quantity.law is not None:
                    exact = quantity.law.variance if kind == "variance" else quantity.law.mean
                estimate, refinement = getattr(quantity, kind), getattr(quantity.refinement, kind)
                rows.append(_row(f"{name}.{kind}", estimate, refinement, exact, tested=not coarse))
        if self.covariance is not None and self.covariance_refinement is not None:
            rows.append(_row("covariance", self.covariance, self.covariance_refinement))
        columns = [
            Column("quantity", "quantity", numeric=False),
            Column(None, "name"),
            Column("estimate +- standard error", "estimate", width=28),
            Column("refinement error", "refinement", width=27),
            Column("exact", width=12),
            Column("", numeric=False),
            Column(None, "exact"),
            Column(None, "z_score"),
        ]
        lines = [
            *str(self.sde).splitlines(),
            f"{networks}, seed {self.seed}, {self.steps} steps"
            + (f", {self.exploded} exploded: infinite in medians, left out elsewhere" if self.exploded else ""),
        ]
        title = f"depth limit of {self.model.title_of_any_depth}"
        return Table("depth_limit", title, columns, rows, lines, notes)

    @property
    def equation(self) -> str:
        """The equation as text."""
        return str(self.sde)

    def summary(self) -> Table:
        """Return a table of estimates with standard errors, refinement errors, and exact values where they are known.

        z is the distance from the exact value, divided by the root of the sum of the two errors' squares. There is none
        where c^2 is more than a quarter of ``steps``: the two grids are then too coarse to tell how far they are off.
        """
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        m = self.model
        return f"<DepthLimit: {self.networks} networks, {self.steps} steps, {m.block}, {m.activation}>"


def simulate(
    sde: DepthSDE, networks: int, seed: int, steps: int, start: Floats | None, gradients: bool, report: Report | None
) -> DepthLimit:
    """Simulate an equation on two grids, and estimate its quantities."""
    chunk = euler.chunk(sde, steps, gradients)
    rng = np.random.Generator(np.random.Philox(seed))
    found = np.empty((5, 2, networks))  # quantity, fine and coarse, network
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, networks, chunk):
            last = min(first + chunk, networks)
            found[:, :, first:last] = euler.simulate(sde, rng, last - first, steps, start, gradients)
            if report is not None:
                report(last / networks)
    result = _collect(sde, found, seed, steps, gradients, start is not None)
    return share_networks(result, Networks.of(f"limit {seed}", [(0, networks)]))


def _collect(sde: DepthSDE, found: Floats, seed: int, steps: int, gradients: bool, explicit: bool) -> DepthLimit:
    """Estimate the quantities and their errors from values found[quantity, fine or coarse grid, network]."""

    def quantity(row: int, limit_law: Gaussian | None = None) -> LimitQuantity:
        fine, refinement = _estimates(found[row][None], moments)
        refined = Moments(refinement[0], refinement[1], paired_medians(*found[row]))
        return LimitQuantity(fine[0], fine[1], median(found[row, 0]), refined, limit_law, found[row, 0])

    covariance, covariance_refinement = _estimates(found[[0, 2]], _covariance) if gradients else (None, None)
    return DepthLimit(
        model=sde.model,
        sde=sde,
        networks=found.shape[2],
        seed=seed,
        steps=steps,
        exploded=int(np.isposinf(found[0]).any(axis=0).sum()),
        growth=quantity(0, sde.growth),
        displacement=quantity(1),
        gradient=quantity(2, sde.gradient) if gradients else None,
        gradient_displacement=quantity(3) if gradients else None,
        covariance=covariance,
        covariance_refinement=covariance_refinement,
        average=quantity(4) if explicit else None,
    )


def _estimates(samples: Floats, statistic: Callable[[Floats], Floats]) -> tuple[Estimate, Estimate]:
    """Estimate a statistic of samples (quantities, 2, networks): on the fine grid, and there less on the coarse one."""
    samples = samples[:, :, np.isfinite(samples).all(axis=(0, 1))]
    parts, sizes = without_each_group(samples)
    with np.errstate(over="ignore", invalid="ignore"):  # the square of an average may be beyond float64
        both = np.stack([np.stack([statistic(part[:, grid]) for grid in (0, 1)]) for part in parts])
        refinement = both[:, 0] - both[:, 1]
    n = samples.shape[2]
    return jackknife(both[:, 0], sizes, n), jackknife(refinement, sizes, n)


def moments(samples: Floats) -> Floats:
    """Return mean and variance of samples (1, N)."""
    x = samples[0]
    if x.size == 0:
        return np.full(2, np.nan)
    return np.array([x.mean(), x.var(ddof=1) if x.size > 1 else np.nan])


def _covariance(samples: Floats) -> Floats:
    """Return the covariance of the two rows of samples (2, N)."""
    return np.asarray(np.cov(samples)[0, 1] if samples.shape[1] > 1 else np.nan)


def _called(name: str) -> str:
    """Return the words of a row: the symbol in the table of quantities, if it has this one."""
    if name in OBSERVABLES:
        one = OBSERVABLES[name]
        return one.called(0 if one.backward else "d")
    if name == "covariance":
        logs = (_called(f"{part}.mean").removeprefix("mean ") for part in ("growth", "gradient"))
        return f"covariance {', '.join(logs)}"
    return f"{name.removeprefix('average.')} average of h_d"


def _row(
    name: str, estimate: Estimate, refinement: Estimate, exact: float | None = None, tested: bool = True
) -> list[Any]:
    """Return the cells of a quantity by its name, which is that of a simulation's if that has one."""
    start = [_called(name), name, estimate, refinement]
    if exact is None:
        return [*start, None, None, None, None]
    # The grid's own error keeps an estimate from meeting the exact value, however many networks there are.
    error = np.hypot(float(estimate.stderr), float(refinement.value))
    with np.errstate(invalid="ignore"):  # where the median is infinite
        z = np.divide(float(estimate.value) - exact, error) if tested and error > 0.0 else np.nan
    return [*start, f"{exact:.6g}", f"z = {z:+z.2f}" if np.isfinite(z) else "", exact, float(z)]
