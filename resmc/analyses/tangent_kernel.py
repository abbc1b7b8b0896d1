"""How large is the tangent kernel of networks of finite width, and how does it scatter?

The output f(x) = r . h_L/sqrt(n) has the kernel K(x, x') = sum over all weights w of (df/dw)(x) (df/dw)(x'), with
matrices of entries of variance 1 that are divided by the root of their columns (Jacot, Gabriel, Hongler 2018, arXiv
1806.07572). At infinite width it is a constant; at finite width and depth its second moment over the squared mean grows
like e^{5 d/n} in fully connected relu networks (Hanin, Nica 2020, arXiv 1909.05989; `resmc.theory.tangent_moments`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..results.estimates import Estimate, Floats
from ..results.record import Record
from ..tables import Column, Table
from ..theory.infinite_width import InfiniteWidthKernel
from ..theory.infinite_width import tangent_kernel as kernel_limit
from ..theory.tangent_moments import kernel_moments, no_kernel_moments
from ._joint import MOST_PAIRS, THEORY, estimates_of, nothing_known, pairs_below, theory_cells
from ._result import Result


@dataclass(frozen=True, eq=False, repr=False)
class TangentKernel(Result):
    """The tangent kernel of m inputs, over networks. Biases are not trained.

    Attributes
    ----------
    total, residual, readout, first_layer : Estimate, shape (m, m)
        Means of the kernel and of its three parts: matrices of residual layers, readout, first layer.
    layers : ndarray of int, shape (R,)
    by_layer : Estimate, shape (R - 1, m, m)
        Means of what the matrices of the layers from one recorded layer to the next add to ``residual``. With all
        layers recorded, entry (l, a, a) is the mean square norm of the gradient with respect to layer l's weights.
    covariance : Estimate, shape (m, m, m, m)
        Covariances of K^ab and K^cd over networks (unbiased).
    second_moment_ratio : Estimate, shape (m, m)
        E K^2/(E K)^2. Rare networks rule K^2 far more than K: no error where they are too few.
    infinite_width : InfiniteWidthKernel
        The kernel at infinite width and its parts: `resmc.theory.infinite_width.tangent_kernel`.
    exact : ndarray, shape (m, m)
        Exact value of ``total`` where it is known, else NaN: the diagonal, where layers multiply norms by independent
        factors, equals infinite width at every width, and so do all entries in linear networks.
    exact_second_moment_ratio : ndarray, shape (m, m)
        Exact value of ``second_moment_ratio`` where it is known, else NaN: the diagonal of fully connected networks
        (`resmc.theory.kernel_moments`).
    reliable : ndarray of bool, shape (m, m)
        True where the mean has an error.
    independent_backward : bool
        True if gradients have gone back through matrices of their own.
    """

    PARTS: ClassVar[tuple[str, ...]] = ("total", "residual", "readout", "first_layer")

    total: Estimate
    residual: Estimate
    readout: Estimate
    first_layer: Estimate
    layers: NDArray[np.int64]
    by_layer: Estimate
    covariance: Estimate
    second_moment_ratio: Estimate
    infinite_width: InfiniteWidthKernel
    exact: Floats
    exact_second_moment_ratio: Floats
    reliable: NDArray[np.bool_]
    independent_backward: bool

    @property
    def variance(self) -> Estimate:
        """Variance of every entry over networks, (m, m)."""
        m = len(self.exact)
        a, b = np.indices((m, m))
        return self.covariance[a, b, a, b]

    def _table(self) -> Table:
        rows = []
        pairs = pairs_below(len(self.exact), own=True)
        for b, a in pairs[:MOST_PAIRS]:
            for name in self.PARTS:
                found = getattr(self, name)[a, b]
                exact = float(self.exact[a, b]) if name == "total" else np.nan
                theory = theory_cells(found, exact, float(getattr(self.infinite_width, name)[a, b]))
                rows.append([name.replace("_", " "), f"{b}, {a}", found, *theory])
            second = self.second_moment_ratio[a, b]
            exact = float(self.exact_second_moment_ratio[a, b])
            rows.append(["E K^2/(E K)^2", f"{b}, {a}", second, *theory_cells(second, exact, 1.0)])
        columns = [
            Column("part", "part", numeric=False),
            Column("inputs", "inputs", numeric=False),
            Column("mean over networks", "mean"),
            *THEORY,
        ]
        lines = ["gradients through matrices of their own"] if self.independent_backward else []
        left = 5 * max(len(pairs) - MOST_PAIRS, 0)
        return Table("tangent_kernel", "Tangent kernel", columns, rows, lines, left_out=left)


def analyse(sim: Record) -> TangentKernel:
    """Return the tangent kernel of ``sim``, with that of infinite width beside it.

    Raises
    ------
    ValueError
        If there is none.
    """
    if sim.joint is None or not sim.joint.recording.kernel:
        raise ValueError("tangent_kernel() needs simulate(.., tangent_kernel=True)")
    recording, found = sim.joint.recording, estimates_of(sim)
    parts = found.kernel_parts()
    covariance, second = found.kernel_moments()
    limit = kernel_limit(sim.model, recording.inputs)
    exact_second = nothing_known(limit.total.shape)
    if no_kernel_moments(sim.model, recording.independent) is None:
        np.fill_diagonal(exact_second, kernel_moments(sim.model, recording.independent).second_moment_ratio)
    return TangentKernel(
        **parts,
        layers=sim.layers,
        by_layer=found.kernel_by_layer(),
        covariance=covariance,
        second_moment_ratio=second,
        infinite_width=limit,
        exact=_exact(sim, limit.total),
        exact_second_moment_ratio=exact_second,
        reliable=found.kernel_reliable(),
        independent_backward=recording.independent,
    )


def _exact(sim: Record, limit: Floats) -> Floats:
    """Return the entries that equal those of infinite width.

    Turning the signs of neurons by fair coins changes no law where a layer's matrix is fresh, or its signs are. Masks
    are then fair bits, and gradients of the later layers independent of the states of the earlier ones: the mean of
    every layer's product is a product of means.
    """
    g = sim.lowered.general
    linear = g.activation == "linear"
    fresh = linear or g.sigma.signed or g.carry == 0.0 or g.block == "v-phi-w"
    known = sim.lowered.homogeneous and g.weight_law.gaussian and fresh
    if not known or not np.isfinite(sim.facts.growth(sim.layers)).all():
        return nothing_known(limit.shape)
    return np.where(np.eye(len(limit), dtype=bool) | linear, limit, np.nan)
