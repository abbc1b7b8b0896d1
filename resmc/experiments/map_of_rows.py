"""Rows of maps over H and beta, which may lack networks, and estimates of which each row has its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._system.words import counted
from ..analyses.export import Variable
from ..engine.request import MAX_NETWORK
from ..models.residual_network import ResidualNetwork
from ..models.scaling import DepthScaling
from ..results.arithmetic import share_networks
from ..results.estimates import MIN_NETWORKS, Estimate, Floats
from ..results.propagation import Networks
from ..tables import Shown, Table
from ..theory.depth_kinds import noise_exponent, noise_exponent_formula
from .map_export import points

if TYPE_CHECKING:
    import pandas

FIELDS = ("value", "stderr", "n", "df")  # fields of an `Estimate`


class MapOfRows(Shown):
    """Rows of a map, an H with all of its exponents each, of which a store may have some."""

    model: ResidualNetwork
    hurst: Floats
    beta: Floats
    seeds: tuple[int, ...]
    wanted: int
    networks: NDArray[np.int64]
    damaged: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """True if every row has all of its networks."""
        return bool((self.networks == self.wanted).all())

    @property
    def points_complete(self) -> int:
        """Number of rows that have all of their networks."""
        return int((self.networks == self.wanted).sum())

    @property
    def limit(self) -> Floats:
        """The exponent by which small branches of untrained networks add up, (H,): `resmc.theory.noise_exponent`."""
        return np.array([noise_exponent(self.model, h) for h in self.hurst.tolist()])

    @property
    def limit_words(self) -> str:
        """The limit in words."""
        return f"{noise_exponent_formula(self.model)}, by which small branches add up"

    def summary(self, width: int | None = None) -> Table:
        """Return a table with a row for each H: its frontiers or its best exponent, and the ends of the map.

        Lines that would be longer than ``width`` become a paragraph for each row.
        """
        return replace(self._table(), text_width=width)

    def __str__(self) -> str:
        return str(self.summary())

    def _variables(self) -> Mapping[str, Variable]:
        raise NotImplementedError

    def to_dataframe(self) -> pandas.DataFrame:
        """Return a row for each point: H, beta, and all variables of `to_xarray` (needs ``resmc[pandas]``).

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return points(self.hurst, self.beta, self._variables())

    def _of_rows(self, rows: Sequence[Estimate]) -> Estimate:
        """Return the estimates of all rows as one; rows share no network."""
        found = Estimate(*(np.stack([np.asarray(getattr(row, field)) for row in rows]) for field in FIELDS))
        behind = np.empty((len(rows), *[1] * (found.value.ndim - 1)), object)
        behind.flat[:] = [Networks.of(seed, [(0, MAX_NETWORK)]) for seed in self.seeds]
        return share_networks(found, np.broadcast_to(behind, found.shape))

    def _network(self) -> str:
        """Return the network in words."""
        m = self.model
        assert isinstance(m.scaling, DepthScaling)
        scaling = f"{m.scaling.c:.6g} depth^-beta" + " inside" * m.scaling.inside
        return f"{m.block} {m.activation}  width {m.width}  depth {m.depth}  scaling {scaling}"

    def _grid(self) -> str:
        """Return the points in words."""
        ends = " to ".join(f"{self.beta[end]:.4g}" for end in dict.fromkeys((0, len(self.beta) - 1)))
        return f"{len(self.hurst)} x {len(self.beta)} points, beta {'from ' * (len(self.beta) > 1)}{ends}"

    def _lacking(self) -> list[str]:
        """Return lines about what is damaged, or not there yet."""
        lines = []
        if self.damaged:
            files = "1 file is" if len(self.damaged) == 1 else f"{len(self.damaged)} files are"
            lines.append(f"{files} damaged and left out: run the map again, which computes them anew")
        if not self.complete:
            lines.append(f"INCOMPLETE: {self.points_complete} of {counted(len(self.hurst), 'row')} finished")
        return lines

    def _without_errors(self) -> list[str]:
        """Return a line about errors that there are not."""
        if (self.networks >= MIN_NETWORKS).all():
            return []
        cure = f"fewer than {MIN_NETWORKS} networks of an H give no errors; networks={MIN_NETWORKS} has them"
        return [f"no error bar: {cure}"]
