"""How do the norms of several inputs of one network, and its outputs, depend on each other?

The output of input a is W_out h^a_L: given the network without its readout, outputs of inputs a and b are Gaussian with
the covariance h^a_L . h^b_L/n. Its mean is the kernel of the Gaussian process at infinite width, and it scatters from
network to network at any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..results.estimates import Estimate, Floats
from ..results.observables import OBSERVABLES
from ..results.record import Record
from ..tables import Column, Table
from ..theory.infinite_width import infinite_width
from ._joint import THEORY, estimates_of, nothing_known, pairs_below, sums_of, table_of_pairs, theory_cells
from ._result import Result


@dataclass(frozen=True, eq=False, repr=False)
class JointLogNorms(Result):
    """Log-norms L^a_l = ln(|h^a_l|^2/n) of all inputs, by recorded layer.

    Attributes
    ----------
    layers : ndarray of int, shape (R,)
    mean : Estimate, shape (R, m)
        Over the networks where h^a is not 0.
    covariance : Estimate, shape (R, m, m)
        Of L^a and L^b (unbiased), over the networks where neither state is 0.
    exact, limit : ndarray, shape (R, m)
        Exact value and limit of the mean, where they are known (`resmc.theory.facts`), else NaN.
    """

    layers: NDArray[np.int64]
    mean: Estimate
    covariance: Estimate
    exact: Floats
    limit: Floats

    @property
    def correlation(self) -> Floats:
        """Correlation of L^a and L^b, (R, m, m); NaN where one does not vary."""
        value = self.covariance.value
        size = np.sqrt(np.diagonal(value, axis1=1, axis2=2))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(value / (size[:, :, None] * size[:, None, :]))

    def _table(self) -> Table:
        def cells(i: int, a: int, b: int) -> list[Any]:
            return [self.mean[i, a] if a == b else None, self.covariance[i, a, b]]

        pairs = pairs_below(self.mean.shape[1], own=True)
        columns = [Column("mean", "mean"), Column("covariance", "covariance")]
        return table_of_pairs("joint_log_norms", "Log-norms of inputs", self.layers, pairs, columns, cells)


@dataclass(frozen=True, eq=False, repr=False)
class OutputCovariance(Result):
    """Means over networks of h^a_l . h^b_l/n, which at the last layer is the covariance of two outputs.

    Attributes
    ----------
    covariance : Estimate, shape (m, m)
        At the last layer. Rare networks rule it as they do any mean square: no error where they are too few.
    layers : ndarray of int, shape (R,)
    by_layer : Estimate, shape (R, m, m)
    infinite_width : ndarray, shape (R, m, m)
        The limit of ``by_layer`` at infinite width (`resmc.theory.infinite_width`).
    exact : ndarray, shape (R, m, m)
        The exact value where it is known, else NaN: all entries at layer 0, and in linear networks; E|h^a|^2/n where
        the growth is known.
    reliable : ndarray of bool, shape (R, m, m)
        True where there is an error.
    """

    covariance: Estimate
    layers: NDArray[np.int64]
    by_layer: Estimate
    infinite_width: Floats
    exact: Floats
    reliable: NDArray[np.bool_]

    def _table(self) -> Table:
        def cells(i: int, a: int, b: int) -> list[Any]:
            found = self.by_layer[i, a, b]
            return [found, *theory_cells(found, float(self.exact[i, a, b]), float(self.infinite_width[i, a, b]))]

        pairs, columns = pairs_below(self.exact.shape[1], own=True), [Column("covariance", "covariance"), *THEORY]
        return table_of_pairs("output_covariance", "Covariance of outputs", self.layers, pairs, columns, cells)


def log_norms(sim: Record) -> JointLogNorms:
    """Return means and covariances of the log-norms of all inputs of ``sim``.

    Raises
    ------
    ValueError
        If there is one input alone.
    """
    inputs = sums_of(sim, "joint_log_norms()", 2).recording.inputs
    mean, covariance = estimates_of(sim).log_norms()
    one = OBSERVABLES["log_norm.mean"]
    # Every input alone has the law of input 0, but for its size: of networks that can be rescaled a factor.
    shift = 2.0 * np.log(inputs.sizes / inputs.sizes[0]) if sim.lowered.homogeneous else nothing_known((inputs.count,))
    shift[0] = 0.0
    exact, limit = (
        np.asarray(np.asarray(theory(sim.facts, sim.layers))[:, None] + shift) for theory in (one.exact, one.limit)
    )
    return JointLogNorms(sim.layers, mean, covariance, exact, limit)


def output_covariance(sim: Record) -> OutputCovariance:
    """Return the mean inner products of the states of all inputs of ``sim``.

    Raises
    ------
    ValueError
        If there is one input alone.
    """
    inputs = sums_of(sim, "output_covariance()", 2).recording.inputs
    found, reliable = estimates_of(sim).covariance()
    gram, m = np.array(inputs.gram), inputs.count
    exact = nothing_known((len(sim.layers), m, m))
    if sim.lowered.homogeneous:
        growth = np.exp(sim.facts.growth(sim.layers))
        own = np.eye(m, dtype=bool) | (sim.lowered.general.activation == "linear")
        exact = np.where(own, growth[:, None, None] * gram, np.nan)
    exact[0] = gram
    limit = infinite_width(sim.model, inputs, sim.layers).covariance
    return OutputCovariance(found[-1], sim.layers, found, limit, exact, reliable)
