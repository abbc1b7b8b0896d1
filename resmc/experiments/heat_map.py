"""The map over H and beta of Marion, Fermanian, Biau, Vert: where deep networks explode, where they are the identity.

A network counts once, however many inputs it has: its inputs share its weights and are averaged first; errors are those
of averages over independent networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief_repr, counted
from ..analyses.export import Variable
from ..engine.lowering import QUOTIENTS
from ..models.residual_network import ResidualNetwork
from ..results.estimates import Estimate, Floats
from ..tables import Column, Table
from .heat_row import FORWARD
from .heat_statistics import SYMBOLS, Frontier, RowSums, crossing, mean_over_networks
from .map_export import POINT, ROW, dataset
from .map_of_rows import MapOfRows

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, eq=False)
class HeatMap(MapOfRows):
    """A map over the Hurst exponent H and the exponent beta of the scaling, as `resmc.heat_map` returns it.

    The quantities are means over networks of the average over a network's inputs of log10 of a ratio, Estimates of
    shape (H, beta). Their errors are those of independent networks; fewer than 32 have none. An input that stays where
    it is has the logarithm -infinity, one that leaves the range of numbers +infinity; both count, so that the mean is
    then infinite, without an error (and NaN where both occur). `zeros` and `exploded` say how many networks have such
    inputs.

    Attributes
    ----------
    model : ResidualNetwork
        The network; its exponent and its weights have no meaning here.
    hurst, beta : ndarray
        H and beta in increasing order.
    n_inputs : int
        Inputs of each network.
    seed : int
        The seed of the map.
    seeds : tuple of int
        The seeds of the rows; those of different H share no random number.
    wanted : int
        Networks that each row shall have.
    networks : ndarray of int, shape (H,)
        Networks that each row has.
    numerics : tuple of str
        Numerics version, then the numerics classes of those who have computed it.
    store : Path or None
        The directory of the shards.
    damaged : tuple of str
        Files that failed their checksum, and were set aside if the store can be written to.
    shards : int
        Number of files behind the numbers.
    plan : object
        The plan that was run.
    """

    __repr__ = brief_repr

    model: ResidualNetwork
    hurst: Floats
    beta: Floats
    n_inputs: int
    seed: int
    seeds: tuple[int, ...]
    wanted: int
    networks: NDArray[np.int64]
    numerics: tuple[str, ...]
    store: Path | None
    damaged: tuple[str, ...]
    shards: int
    plan: Any
    _rows: tuple[RowSums, ...]
    kind: ClassVar[str] = "heat map"  # the name that files and commands use

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the quantities that there are."""
        return tuple(QUOTIENTS) if self._rows[0].zeros.shape[-1] == len(QUOTIENTS) else FORWARD

    @property
    def growth(self) -> Estimate:
        """Mean of log10 |h_L|/|h_0|, (H, beta)."""
        return self.estimate("growth")

    @property
    def displacement(self) -> Estimate:
        """Mean of log10 |h_L - h_0|/|h_0|, (H, beta)."""
        return self.estimate("displacement")

    @property
    def gradient(self) -> Estimate:
        """Mean of log10 |p_0|/|p_L|, (H, beta); ValueError without gradients."""
        return self.estimate("gradient")

    @property
    def gradient_displacement(self) -> Estimate:
        """Mean of log10 |p_0 - p_L|/|p_L|, (H, beta); ValueError without gradients."""
        return self.estimate("gradient_displacement")

    def estimate(self, quantity: str) -> Estimate:
        """Return a quantity by its name.

        Raises
        ------
        ValueError
            If the map has no such quantity.
        """
        return self._estimates[self._name(quantity)]

    def _name(self, quantity: Any) -> str:
        if quantity in QUOTIENTS and quantity not in self.quantities:
            raise ValueError(f"quantity={quantity!r} was not followed in this map: ask for gradients=True")
        return checks.choice("quantity", quantity, self.quantities)

    @cached_property
    def _estimates(self) -> dict[str, Estimate]:
        rows = [mean_over_networks(row.averages) for row in self._rows]
        return {name: self._of_rows([row[:, place] for row in rows]) for place, name in enumerate(self.quantities)}

    def zeros(self, quantity: str) -> NDArray[np.int64]:
        """Count the networks with an input whose ratio is 0, (H, beta)."""
        place = self.quantities.index(self._name(quantity))
        return np.stack([row.zeros[:, place] for row in self._rows])

    def exploded(self, quantity: str) -> NDArray[np.int64]:
        """Count the networks with an input that left the range of numbers, (H, beta)."""
        place = self.quantities.index(self._name(quantity))
        return np.stack([row.exploded[:, place] for row in self._rows])

    def frontier(self, quantity: str = "displacement") -> Frontier:
        """Find for each H the exponent at which the mean of log10 of a ratio crosses 0.

        It lies between the largest beta of a mean above 0 and the next, on the straight line between the two means; its
        error is that of a delete-one-group jackknife over networks. At a finite depth it is not the exponent that
        parts explosion from identity as the depth grows: a factor before a power of the depth moves it, by an amount
        that falls like 1/log(depth).

        Parameters
        ----------
        quantity : {"displacement", "gradient_displacement"}

        Raises
        ------
        ValueError
            If the map has no such quantity.
        """
        checks.choice("quantity", quantity, ("displacement", "gradient_displacement"))
        place = self.quantities.index(self._name(quantity))
        beta = self._of_rows([crossing(row.averages[:, :, place], self.beta) for row in self._rows])
        return Frontier(quantity, self.hurst, beta, self.limit, self.limit_words)

    # -- tables -------------------------------------------------------------------------------------------------------

    def _table(self) -> Table:
        """Return a table with a row for each H: its frontiers, and how far networks go at the ends of the map."""
        names = [name for name in ("displacement", "gradient_displacement") if name in self.quantities]
        columns = [Column("H", "hurst"), Column("networks", "networks")]
        cells: list[list[Any]] = [[float(h) for h in self.hurst], [int(n) for n in self.networks]]
        for name in names:
            way = "forward" if name == "displacement" else "backward"
            frontier, mean = self.frontier(name), self.estimate(name)
            columns.append(Column(f"{way}: frontier", f"{name}.frontier", width=24))
            cells.append([frontier.beta[i] for i in range(len(self.hurst))])
            for end in dict.fromkeys((0, len(self.beta) - 1)):
                at = f"{self.beta[end]:.4g}"
                columns.append(Column(f"{way} at {at}", f"{name}.at_{at}", width=18))
                cells.append([mean[i, end] for i in range(len(self.hurst))])
        columns.append(Column("as L grows", "limit"))
        limit = self.limit
        cells.append([float(x) for x in limit])
        title, rows = f"heat map of {self._network()}", list(zip(*cells, strict=True))
        return Table("heat_map", title, columns, rows, self._lines(), self._notes())

    def _lines(self) -> list[str]:
        inputs = f"{counted(self.wanted, 'network')} of {counted(self.n_inputs, 'input')} at each H"
        lines = [f"{self._grid()}, {inputs}, seed {self.seed}, numerics {' '.join(self.numerics)}", *self._lacking()]
        for words, count in (("stay where they are, and count as -infinity", self.zeros), ("explode", self.exploded)):
            cells = {name: int((count(name) > 0).sum()) for name in self.quantities}
            said = ", ".join(f"{cells[name]} of {SYMBOLS[name]}" for name in self.quantities if cells[name])
            if said:
                lines.append(f"points with inputs that {words}: {said}")
        return lines

    def _notes(self) -> list[str]:
        ways = f"forward: mean of log10 {SYMBOLS['displacement']}"
        if "gradient_displacement" in self.quantities:
            ways += f"; backward: of log10 {SYMBOLS['gradient_displacement']}"
        frontier = f"frontier: the beta at which it is 0; as L grows: {self.limit_words}"
        notes = ["", ways, frontier]
        if len(self.beta) == 1:
            notes.append("no frontier: it lies between two values of beta, and the map has one")
        return [*notes, *self._without_errors()]

    def _variables(self) -> dict[str, Variable]:
        dims, by_row = POINT, ROW
        out: dict[str, Variable] = {}
        for name in self.quantities:
            found, words = self.estimate(name), f"mean of log10 {SYMBOLS[name]}"
            out[f"log10_{name}"] = Variable(dims, found.value, words)
            out[f"log10_{name}_stderr"] = Variable(dims, found.stderr, f"standard error of the {words}")
            out[f"{name}_zeros"] = Variable(
                dims, self.zeros(name), f"networks with an input whose {SYMBOLS[name]} is 0"
            )
            words = f"networks with an input whose {SYMBOLS[name]} left the range of numbers"
            out[f"{name}_exploded"] = Variable(dims, self.exploded(name), words)
        for name in ("displacement", "gradient_displacement"):
            if name in self.quantities:
                frontier, words = self.frontier(name), f"exponent beta at which the mean of log10 {SYMBOLS[name]} is 0"
                out[f"{name}_frontier"] = Variable(by_row, frontier.beta.value, words)
                out[f"{name}_frontier_stderr"] = Variable(
                    by_row, frontier.beta.stderr, f"standard error of the {words}"
                )
        limit = self.limit
        out["frontier_theory"] = Variable(by_row, limit, f"frontier: {self.limit_words}")
        out["networks"] = Variable(by_row, self.networks, "independent networks")
        out["seed"] = Variable(by_row, np.array(self.seeds, np.uint64), "seed of the row")
        return out

    def to_xarray(self) -> xarray.Dataset:
        """Return the map as a labelled data set over ``hurst`` and ``beta`` (needs ``resmc[xarray]``).

        A quantity q gives ``log10_q``, ``log10_q_stderr``, ``q_zeros`` and ``q_exploded``; displacements also give
        ``q_frontier`` and ``q_frontier_stderr``, by H. Every variable has a ``long_name`` and ``units``.

        Raises
        ------
        ImportError
            If xarray is not installed.
        """
        attributes: Plain = {
            "n_inputs": self.n_inputs,
            "seed": np.uint64(self.seed),
            "numerics": " ".join(self.numerics),
            "complete": int(self.complete),
        }
        return dataset(self.hurst, self.beta, self._variables(), self.model, attributes)
