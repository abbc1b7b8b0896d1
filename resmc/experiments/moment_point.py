"""A point of a sweep of moments: populations of one network, weighted by one power of its norm.

Populations are counted in networks, ``size`` to each, and a point is cut into ranges of them as the rows of maps are. A
file of a range has these arrays and members.

.. code-block:: text

    manifest.json    the point as its row, the range and who has computed it
    log_product      (populations, layers) float64: log Z_l, -infinity where all networks are dead
    growth           of the same shape: mean of log |z_l|^2/|z_0|^2 by weights
    effective        of the same shape: (sum w)^2/(size sum w^2)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.plain import Plain, key_of
from ..engine.devices import Device
from ..engine.lowering import lower
from ..engine.native import NUMERICS_VERSION
from ..engine.populations import Weighted
from ..models.residual_network import Model
from ..models.resnet import MAX_DEPTH
from ..models.spelling import canonical, of_dict
from ..results.archive import Archive
from ..results.estimates import Floats
from .moments import LARGEST_SIZE, Populations, layers_every
from .row_files import RowFiles

KEY_VERSION = 1  # raised when keys are made of other things
ARRAYS = ("log_product", "growth", "effective")


@dataclass(frozen=True)
class MomentPoint:
    """Populations 0, 1, 2, .. of a network for one power.

    Attributes
    ----------
    model : ResNet or ResidualNetwork
    q : float
    size : int
        Networks of a population.
    seed : int
    every : int
        Populations are resampled at the layers 0, every, 2 every, .., depth.
    """

    model: Model
    q: float
    size: int
    seed: int
    every: int

    @property
    def batch(self) -> int:
        """Networks that ranges do not part: those of a population."""
        return self.size

    @cached_property
    def layers(self) -> NDArray[np.int64]:
        """Layers at which populations are weighted."""
        return layers_every(self.model.depth, self.every)

    @cached_property
    def key(self) -> str:
        """Hash of all that, beside the range and the numerics class, decides what a file holds."""
        described = {**self.to_dict(), "model": canonical(self.model)}
        return key_of(KEY_VERSION, described, NUMERICS_VERSION)

    @property
    def updates(self) -> int:
        """Work for one network, in neuron updates as the points of a sweep count theirs."""
        return self.model.width * (self.model.depth * self.model.residual_block.matrices + 1)

    def weighted(
        self, start: int, stop: int, device: Device, threads: int, report: Callable[[float], None] | None = None
    ) -> Weighted:
        """Take the populations of the networks start .. stop - 1 through all layers."""
        first, count = start // self.size, (stop - start) // self.size
        populations = Populations(first, count, self.size, self.seed, threads, device)
        return populations.weighted(lower(self.model), self.q, self.layers, report)

    def to_dict(self) -> Plain:
        """Return the point as plain values."""
        return {
            "model": self.model.to_dict(),
            "q": self.q,
            "size": self.size,
            "seed": self.seed,
            "every": self.every,
        }

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> Self:
        """Read the point that `to_dict` has written; raises KeyError, TypeError or ValueError for what is none."""
        return cls(
            of_dict(described["model"]),
            checks.real("q", described["q"]),
            checks.integer("size", described["size"], 2, LARGEST_SIZE, "2^24"),
            checks.integer("seed", described["seed"], 0, 2**64 - 1, "2^64 - 1"),
            checks.integer("every", described["every"], 1, MAX_DEPTH, "2^20 - 1"),
        )


def arrays_of(found: Weighted) -> dict[str, Floats]:
    """Return what a file holds of populations."""
    return {name: getattr(found, name) for name in ARRAYS}


def _content(found: Archive, point: MomentPoint, networks: int) -> dict[str, Floats]:
    if networks % point.size:
        raise ValueError(f"its range has {networks} networks, no multiple of {point.size}")
    shape, out = (networks // point.size, len(point.layers)), {}
    for name in ARRAYS:
        values = found.array(name, np.dtype(np.float64))
        if values.shape != shape:
            raise ValueError(f"{name} has the shape {values.shape}, not {shape}")
        if np.isnan(values).any():
            raise ValueError(f"{name} holds what is no number")
        out[name] = values.copy()
    return out


FILES = RowFiles("resmc-moments", "a sweep of moments", MomentPoint.from_dict, _content, NUMERICS_VERSION)
