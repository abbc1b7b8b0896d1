"""A point of a sweep of moments: populations of one network, weighted by one power of its norm.

Populations are counted in networks, ``size`` to each, and a point is cut into ranges of them. What is stored of a range
is a file of `resmc.results.archive` with these arrays and members.

.. code-block:: text

    manifest.json    the point, the range and who has computed it
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
from .._system.words import cut
from ..engine.lowering import lower
from ..engine.native import NUMERICS_VERSION
from ..engine.populations import Weighted
from ..models.residual_network import Model
from ..models.resnet import MAX_DEPTH
from ..models.spelling import canonical, of_dict
from ..results import archive
from .moments import LARGEST_SIZE, Populations, layers_every

FORMAT = "resmc-moments"
SCHEMA_VERSION = 1
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

    def weighted(self, start: int, stop: int, threads: int, report: Callable[[float], None] | None = None) -> Weighted:
        """Take the populations of the networks start .. stop - 1 through all layers."""
        populations = Populations(start // self.size, (stop - start) // self.size, self.size, self.seed, threads)
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


@dataclass(frozen=True, eq=False)
class MomentRange:
    """A range of a point, as its file holds it: the networks start .. stop - 1."""

    point: MomentPoint
    start: int
    stop: int
    found: Weighted

    def to_bytes(self) -> bytes:
        """Return the content of the range's file."""
        manifest = {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "point": self.point.to_dict(),
            "range": [self.start, self.stop],
            "numerics": [NUMERICS_VERSION, self.found.numerics],
        }
        return archive.to_bytes(manifest, {name: getattr(self.found, name) for name in ARRAYS})

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Self:
        """Read the content of a range's file.

        Raises
        ------
        ValueError
            If it is damaged, or no such file; the message begins with ``name``.
        """
        content = archive.Archive(data, name)
        try:
            point, start, stop, numerics = _checked(content.manifest)
            shape = (stop - start) // point.size, len(point.layers)
            arrays = {one: content.array(one, np.dtype(np.float64)) for one in ARRAYS}
            for one, values in arrays.items():
                if values.shape != shape:
                    raise ValueError(f"{one} has the shape {values.shape}, not {shape}")
                if np.isnan(values).any():
                    raise ValueError(f"{one} holds what is no number")
        except KeyError as error:
            raise _refusal(name, f"its manifest has no {error}") from None
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise _refusal(name, str(error)) from None
        found = Weighted(**{one: values.copy() for one, values in arrays.items()}, numerics=numerics)
        return cls(point, start, stop, found)


def _refusal(name: str, why: str) -> ValueError:
    return ValueError(f"{name} is no part of a sweep of moments that this resmc can read: {cut(why)}")


def _checked(manifest: Any) -> tuple[MomentPoint, int, int, str]:
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"its manifest does not say {FORMAT!r}")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"it has schema version {manifest.get('schema_version')}, not {SCHEMA_VERSION}")
    point = MomentPoint.from_dict(manifest["point"])
    (start, stop), (version, numerics) = manifest["range"], manifest["numerics"]
    whole = type(start) is int and type(stop) is int and start % point.size == stop % point.size == 0
    if not whole or not 0 <= start < stop:
        raise ValueError(f"range={[start, stop]} is not allowed: it must be two increasing multiples of {point.size}")
    if version != NUMERICS_VERSION or not isinstance(numerics, str):
        raise ValueError(f"numerics={[version, numerics]} is not allowed: it must be {NUMERICS_VERSION!r} and a class")
    return point, start, stop, numerics
