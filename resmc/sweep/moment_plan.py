"""The plan of a sweep of moments: which networks, which powers of their norms, and how many populations of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief
from ..engine.lowering import Lowered
from ..experiments.moment_point import ARRAYS, MomentPoint
from ..experiments.moments import checked_power, checked_size, spacing
from ..experiments.rates import MOST_POWERS
from ..models.residual_network import Model
from .axes import AXES, MAX_POINTS
from .extension import differences
from .places import places
from .plan import Plan
from .plan_files import described, settings

FORMAT = "resmc-moment-sweep"
SCHEMA_VERSION = 1
MOST_BYTES = 1 << 33  # bytes of the populations' numbers by layer, which are in memory together
ONE = 1  # a plan of points asks for some number of networks, of which nothing is made here


@dataclass(frozen=True)
class MomentPlan:
    """Populations of many networks, as `resmc.moment_sweep` takes them.

    Attributes
    ----------
    points : Plan
        The networks and their seeds; of all else that a sweep's plan says nothing is used.
    q : float or tuple of float
        One power for all, or several, which are the last dimension.
    populations, size : int
        Populations of each network and power, and networks of each.
    """

    points: Plan
    q: float | tuple[float, ...] = 1.0
    populations: int = 64
    size: int = 1024

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        several = isinstance(self.q, Sequence | np.ndarray) and not isinstance(self.q, str)
        put("q", checks.increasing("q", self.q, MOST_POWERS) if several else checks.real("q", self.q))
        size, populations = checked_size(self.size, self.populations)
        put("size", size)
        put("populations", populations)
        count = len(self.points.models) * len(self.powers)
        if count > MAX_POINTS:
            raise ValueError(
                f"q has {len(self.powers)} values, too many for {len(self.points.models)} networks: at most "
                f"{MAX_POINTS} pairs of both are allowed"
            )
        for lowered in {id(one): one for one in self.points.lowered}.values():
            for power in self.powers:
                checked_power(lowered, power)
        needed = 8 * len(ARRAYS) * self.populations * sum(row.model.depth // row.every + 2 for row in self.rows)
        if needed > MOST_BYTES:
            raise ValueError(
                f"populations={self.populations} is too many for {count} points: their numbers by layer take "
                f"{needed / 1e9:.3g} GB, and {MOST_BYTES / 1e9:.3g} GB are allowed"
            )

    @classmethod
    def of(
        cls, models: Sequence[Model] | None, fields: Mapping[str, Any], q: Any, populations: Any, size: Any, seed: Any
    ) -> Self:
        """Make a plan of a list of networks, or of the fields of a grid; errors as for `resmc.moment_sweep`."""
        for name in fields:
            if name not in AXES:
                raise ValueError(
                    f"{name!r} is not allowed in a sweep of moments, which takes the fields of networks "
                    f"({', '.join(AXES)}), q, populations, size and seed"
                )
        points = Plan(models, **fields, networks=ONE, seed=seed, method="projected")
        return cls(points, q, populations, size)

    @property
    def powers(self) -> tuple[float, ...]:
        """The powers q."""
        return self.q if isinstance(self.q, tuple) else (self.q,)

    @property
    def dims(self) -> tuple[str, ...]:
        """The dimensions: those of the networks, and ``q`` where there are several."""
        return (*self.points.dims, "q") if isinstance(self.q, tuple) else self.points.dims

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the dimensions."""
        return (*self.points.shape, len(self.q)) if isinstance(self.q, tuple) else self.points.shape

    @property
    def networks(self) -> int:
        """Networks of each point."""
        return self.populations * self.size

    @cached_property
    def rows(self) -> tuple[MomentPoint, ...]:
        """All points, the power running fastest; each has a seed of its own, so that they are independent."""
        return tuple(
            MomentPoint(model, q, self.size, seed_of(seed, q), spacing(lowered, q))
            for lowered, (model, seed) in zip(self.points.lowered, self.points.identities, strict=True)
            for q in self.powers
        )

    def lowered(self, index: int) -> Lowered:
        """Return the network of a point as the engine sees it."""
        return self.points.lowered[index // len(self.powers)]

    def describe(self, index: int) -> str:
        """Name a point in words."""
        place, power = divmod(index, len(self.powers))
        return f"{self.points.describe(place)}, q {self.powers[power]:g}"

    def places(self, where: Mapping[str, Any]) -> list[int]:
        """Return the numbers of the points with these coordinates.

        Raises
        ------
        ValueError
            If there is no such dimension, or the dimension has not that value.
        """
        given = dict(where)
        chosen: NDArray[np.int64] = np.arange(len(self.powers))
        if "q" in given and "q" in self.dims:
            q = checks.real("q", given.pop("q"))
            if q not in self.powers:
                raise ValueError(f"q={q!r} is not in the sweep: it has {brief(self.q)}")
            chosen = np.array([self.powers.index(q)])
        found: list[int] = (
            np.add.outer(np.array(places(self.points, given)) * len(self.powers), chosen).ravel().tolist()
        )
        return found

    def lacking(self, old: MomentPlan) -> list[str]:
        """Say in words what of ``old`` is missing here; nothing if this plan extends it."""
        out = differences(self.points, old.points)
        out += [f"size={self.size} instead of {old.size}"] if self.size != old.size else []
        gone = [q for q in old.powers if q not in self.powers]
        out += [f"q lacks {', '.join(f'{one:g}' for one in gone)}"] if gone else []
        if self.populations < old.populations:
            out.append(f"populations={self.populations} instead of {old.populations}")
        return out

    def to_dict(self) -> Plain:
        """Return the plan as plain values; `from_dict` reads them."""
        return described(self, FORMAT, SCHEMA_VERSION)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the plan that `to_dict` has written.

        Raises
        ------
        ValueError
            If ``data`` is not the plan of a sweep of moments, or one in a newer format.
        """
        given = settings(cls, data, FORMAT, SCHEMA_VERSION, "a sweep of moments", needed=("points",))
        if not isinstance(given["points"], Mapping):
            raise ValueError(f"points={brief(given['points'])} is not allowed: it must be the plan of a sweep")
        return cls(**{**given, "points": Plan.from_dict(given["points"])})

    def __repr__(self) -> str:
        size = " x ".join(f"{name} {n}" for name, n in zip(self.dims, self.shape, strict=True)) or "1 point"
        return (
            f"MomentPlan({size}, q={brief(self.q)}, populations={self.populations}, size={self.size}, "
            f"seed={self.points.seed})"
        )


def seed_of(seed: int, q: float) -> int:
    """Make a seed of 64 bits for one power of a network whose seed is given."""
    text = json.dumps(["resmc-moments", seed, q], separators=(",", ":"), allow_nan=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
