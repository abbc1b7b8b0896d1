"""How fast do small changes of an input grow, and in how many directions?

k tangent vectors go through the derivative dh_{l+1}/dh_l of every layer and are made orthonormal again; the logarithms
of what that takes away, over the depth, are the Lyapunov exponents (Benettin et al. 1980). Without a skip they are
known exactly for rectifiers and linear networks at every width: `resmc.theory.lyapunov_exponents`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..results.estimates import Estimate, Floats
from ..results.record import Record
from ..tables import Column, Table
from ..theory.lyapunov import lyapunov_exponents, no_lyapunov_exponents
from ._joint import THEORY, estimates_of, nothing_known, theory_cells
from ._result import Result


@dataclass(frozen=True, eq=False, repr=False)
class LyapunovExponents(Result):
    """The first k Lyapunov exponents per layer, largest first.

    Attributes
    ----------
    exponents : Estimate, shape (k,)
        Means over networks of ln R_jj/L, R_jj the product of how much tangent j has grown across those before it in L
        layers; of the networks whose first j tangents have not collapsed.
    exact : ndarray, shape (k,)
        Exact values where they are known, else NaN.
    variance : Estimate, shape (k,)
        Variances of ln R_jj over networks, divided by L.
    layers : ndarray of int, shape (R,)
    by_layer : Estimate, shape (R, k)
        Means of ln R_jj up to each recorded layer.
    networks : ndarray of int, shape (R, k)
        Networks whose first j tangents have not collapsed, as they do where fewer than j neurons are active.
    """

    exponents: Estimate
    exact: Floats
    variance: Estimate
    layers: NDArray[np.int64]
    by_layer: Estimate
    networks: NDArray[np.int64]

    def _table(self) -> Table:
        columns = [
            Column("tangent", "tangent"),
            Column("exponent per layer", "exponent"),
            *THEORY,
            Column("variance per layer", "variance"),
            Column("networks", "networks"),
        ]
        rows = [
            [j + 1, found, *theory_cells(found, float(self.exact[j]), np.nan), self.variance[j], int(found.n)]
            for j, found in enumerate(self.exponents)
        ]
        return Table("lyapunov", "Lyapunov exponents", columns, rows)


def analyse(sim: Record) -> LyapunovExponents:
    """Return the Lyapunov exponents of ``sim``, with exact values where they are known.

    Raises
    ------
    ValueError
        If there are no tangents.
    """
    if sim.joint is None or not sim.joint.recording.tangents:
        raise ValueError("lyapunov() needs simulate(.., tangents=k): tangent vectors, as many as exponents are wanted")
    k, depth = sim.joint.recording.tangents, sim.model.depth
    found = estimates_of(sim)
    stretch, networks = found.stretch()
    variance = found.stretch_variance()
    exact = nothing_known((k,))
    if no_lyapunov_exponents(sim.model) is None:
        exact = lyapunov_exponents(sim.model, k)
    return LyapunovExponents(
        exponents=_scaled(stretch[-1], depth),
        exact=exact,
        variance=_scaled(variance[-1], depth),
        layers=sim.layers,
        by_layer=stretch,
        networks=networks,
    )


def _scaled(found: Estimate, depth: int) -> Estimate:
    return Estimate(found.value / depth, found.stderr / depth, found.n, found.df)
