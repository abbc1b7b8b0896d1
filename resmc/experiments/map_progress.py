"""Progress of maps over H and beta: which rows have their networks, and which files are damaged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._system.words import counted
from ..models.residual_network import ResidualNetwork
from ..models.scaling import DepthScaling
from ..results.estimates import Floats
from ..theory.depth_kinds import noise_exponent, noise_exponent_formula


class MapOfRows:
    """Rows of a map, an H with all of its exponents each, of which a store may have some."""

    model: ResidualNetwork
    hurst: Floats
    beta: Floats
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
