"""The ordinary equation that each network with smooth or constant weights tends to, solved for each of them.

SciPy's ``solve_ivp`` solves it forward, and its adjoint backward, on the network's own weights as functions of time, to
a relative error of about 1e-8 by DOP853, or with a kinked activation 1e-6 by LSODA, which takes a third of the time
where slopes jump. Networks of several depths with the same weights are compared with it, one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

from .._system.progress import Report
from .._system.stopping import look
from .._system.words import brief_repr, counted
from ..models.residual_network import ResidualNetwork
from ..results.arithmetic import share_networks
from ..results.estimates import Estimate, Floats
from ..results.groups import jackknifed
from ..results.medians import median
from ..results.propagation import Networks
from ..tables import Column, Shown, Table
from ..theory.ordinary import DepthODE
from .branches import Branch
from .convergence import Convergence, convergence, relative_distance
from .depth_limit import moments
from .networks import Ends, OneNetwork

MOST_EVALUATIONS = 300_000  # solvers that look at an equation more often do not come to its end
QUANTITIES = ("growth", "displacement", "gradient", "gradient_displacement")


class Limits(NamedTuple):
    """Ends of one network's equation, H(1) - H(0) and P(0) - P(1), (n, 1); the second is None without gradients."""

    moved: Floats
    pulled: Floats | None


@dataclass(frozen=True, eq=False)
class EndLaw:
    """One quantity of the equations' solutions.

    Attributes
    ----------
    mean, variance, median : Estimate
        Over networks; a mean and a variance are those of networks where the quantity is finite.
    samples : ndarray, shape (networks,)
        The values, one for each network.
    """

    __repr__ = brief_repr

    mean: Estimate
    variance: Estimate
    median: Estimate
    samples: Floats


@dataclass(frozen=True, eq=False)
class OdeLimit(Shown):
    """The ordinary equations that networks tend to, solved, as `limit` returns them.

    Attributes
    ----------
    model : ResidualNetwork
        The network; its depth has no meaning here.
    ode : theory.DepthODE
        The equation.
    networks, seed : int
        The arguments of `limit`.
    convergence : Convergence
        Distances of networks of several depths from their own equations, and their slopes in depth.
    growth, displacement : EndLaw
        ln(|H(1)|^2/|H(0)|^2) and ln(|H(1) - H(0)|^2/|H(0)|^2).
    gradient, gradient_displacement : EndLaw or None
        ln(|P(0)|^2/|P(1)|^2) and ln(|P(0) - P(1)|^2/|P(1)|^2); None without gradients.
    """

    model: ResidualNetwork
    ode: DepthODE
    networks: int
    seed: int
    convergence: Convergence
    growth: EndLaw
    displacement: EndLaw
    gradient: EndLaw | None
    gradient_displacement: EndLaw | None

    def _table(self) -> Table:
        rows = []
        for name in QUANTITIES:
            law: EndLaw | None = getattr(self, name)
            if law is not None:
                rows.append([name.replace("_", " "), name, law.mean, law.variance, law.median])
        columns = [
            Column("ln of the squared ratio", "quantity", numeric=False),
            Column(None, "name"),
            *(Column(f"{kind} +- standard error", kind, width=28) for kind in ("mean", "variance", "median")),
        ]
        found = self.convergence
        lines = [*str(self.ode).splitlines(), f"{counted(self.networks, 'network')}, seed {self.seed}"]
        depths = ", ".join(map(str, found.depths.tolist()))
        notes = [f"networks of depths {depths} tend to their own equations like L^s:"]
        notes += [f"{name} {words}" for name, words in zip(("forward", "backward"), found.slopes, strict=False)]
        notes += found.remarks
        title = f"depth limit of {self.model.title_of_any_depth}"
        return Table("ode_limit", title, columns, rows, lines, notes)

    @property
    def equation(self) -> str:
        """The equation as text."""
        return str(self.ode)

    def summary(self) -> Table:
        """Return a table of the equations' ends, and the slopes by which networks tend to them."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        m = self.model
        return f"<OdeLimit: {self.networks} networks, {m.block}, {m.activation}>"


def simulate(
    ode: DepthODE,
    networks: int,
    seed: int,
    depths: Sequence[int],
    start: Floats | None,
    gradients: bool,
    report: Report | None,
) -> OdeLimit:
    """Solve the equation of each network, and follow networks of ``depths`` beside it."""
    distances = np.full((2, len(depths), networks), np.nan)
    ends = np.full((4, networks), np.nan)
    for i in range(networks):
        one = OneNetwork(ode.model, seed, i, max(depths), start)
        end = solved(ode, one, gradients)
        ends[:, i] = quotients(one, end)
        for j, depth in enumerate(depths):
            distances[:, j, i] = distances_from(end, one, one.followed(depth, gradients))
        if report is not None:
            report((i + 1) / networks)
    laws = [end_law(row) for row in (ends if gradients else ends[:2])]
    result = OdeLimit(
        ode.model,
        ode,
        networks,
        seed,
        convergence(depths, distances[0], distances[1] if gradients else None, (ode.order, ode.order)),
        laws[0],
        laws[1],
        *(laws[2:] if gradients else (None, None)),
    )
    return share_networks(result, Networks.of(seed, [(0, networks)]))


def solved(ode: DepthODE, one: OneNetwork, gradients: bool) -> Limits:
    """Return H(1) - H(0) and P(0) - P(1), (n, 1), of one network's equation: the differences are what is solved for."""
    branch, c, shape = Branch(ode.model, ode.linear), ode.c, one.h0.shape
    kinked = ode.model.sigma.homogeneous and ode.model.activation != "linear"
    method, tolerance = ("LSODA", 1e-7) if kinked else ("DOP853", 1e-8)

    evaluations = 0

    def counted_look() -> None:
        nonlocal evaluations
        look()
        evaluations += 1
        if evaluations > MOST_EVALUATIONS:
            raise ValueError(
                f"c={c!r} is too large for the equation of network {one.network}: SciPy's solver has looked at it "
                f"{MOST_EVALUATIONS} times without coming to its end, as where solutions all but explode: use a "
                "smaller c"
            )

    def push(t: float, moved: Floats) -> Floats:
        counted_look()
        return branch(one.at(t), c, one.h0 + moved.reshape(shape)).ravel()

    def pull(t: float, pulled: Floats) -> Floats:
        counted_look()
        h = one.h0 + path.sol(t).reshape(shape)
        return -branch.pulled(one.at(t), c, h, one.p1 + pulled.reshape(shape)).ravel()

    def solve(function: Callable[[float, Floats], Floats], times: tuple[float, float], start: Floats) -> Any:
        size = (float(np.abs(start).max()) or 1.0) * min(abs(c), 1.0)
        found = solve_ivp(
            function,
            times,
            np.zeros(start.size),
            method,
            rtol=tolerance,
            atol=1e-3 * tolerance * size,
            dense_output=gradients,
        )
        if not found.success:
            raise ValueError(f"the equation of network {one.network} cannot be solved: {found.message}")
        return found

    path = solve(push, (0.0, 1.0), one.h0)
    pulled = solve(pull, (1.0, 0.0), one.p1).y[:, -1:] if gradients else None
    return Limits(path.y[:, -1:], pulled)


def distances_from(limits: Limits, one: OneNetwork, ends: Ends) -> tuple[float, float]:
    """Return |h_L - H(1)|/|H(1)| and |p_0 - P(0)|/|P(0)|, NaN without gradients."""
    backward = np.nan
    if limits.pulled is not None and ends.pulled is not None:
        backward = relative_distance(ends.pulled - limits.pulled, one.p1 + limits.pulled)
    return relative_distance(ends.moved - limits.moved, one.h0 + limits.moved), backward


def quotients(one: OneNetwork, limits: Limits) -> Floats:
    """Return growth, displacement, gradient and gradient displacement, logarithms of squared ratios."""
    found = np.full(4, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        for row, (start, change) in enumerate([(one.h0, limits.moved), (one.p1, limits.pulled)]):
            if change is not None:
                found[2 * row] = np.log(np.sum((start + change) ** 2) / np.sum(start**2))
                found[2 * row + 1] = np.log(np.sum(change**2) / np.sum(start**2))
    return found


def end_law(samples: Floats) -> EndLaw:
    """Return mean, variance and median of samples, (networks,)."""
    found = jackknifed(samples[None, np.isfinite(samples)], moments)
    return EndLaw(found[0], found[1], median(samples), samples)
