"""The plan of a map after training: which network, at which H, exponents and learning rates, how trained, on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief
from ..experiments.heat_row import row_of as heat_row_of
from ..experiments.train.data import Data
from ..experiments.train.map_row import DataDescription, MapRow, row_of
from ..experiments.train.settings import Settings, differences
from ..models.processes import hurst_exponents
from ..models.residual_network import ResidualNetwork
from .heat_map_plan import checked_exponents, checked_model
from .plan_files import described, model_of, settings
from .point import point_seed

FORMAT = "resmc-trained-map"
SCHEMA_VERSION = 1
MOST_NETWORKS = 1 << 16


@dataclass(frozen=True)
class TrainedMapPlan:
    """Networks to train over a grid of H, beta and learning rates, as `resmc.train.heat_map` takes them.

    ``model`` is kept as the map has it: without exponent and weights of its own. ``examples`` are the data themselves,
    which no store holds: a plan that is read from one has None, and can be looked at but not computed.
    """

    model: ResidualNetwork
    hurst: tuple[float, ...]
    beta: tuple[float, ...]
    networks: int
    settings: Settings
    data: DataDescription
    examples: Data | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("model", checked_model(self.model))
        put("settings", replace(self.settings, loss=self.data.loss))  # the loss that the data have by themselves, too
        put("hurst", hurst_exponents(self.hurst))
        put("beta", checked_exponents(self.model, self.beta))
        put("networks", checks.integer("networks", self.networks, 1, MOST_NETWORKS, "2^16"))

    @cached_property
    def rows(self) -> tuple[MapRow, ...]:
        """The rows, one for each H, independent of each other: with the seeds that rows of `resmc.heat_map` have."""
        rows = []
        for hurst in self.hurst:
            seed = point_seed(self.settings.seed, heat_row_of(self.model, hurst))
            rows.append(row_of(self.model, hurst, self.beta, replace(self.settings, seed=seed), self.data))
        return tuple(rows)

    def lacking(self, old: TrainedMapPlan) -> list[str]:
        """Say in words what of ``old`` is missing here; nothing if this plan extends it."""
        out = [
            f"{name}={brief(getattr(self, name))} instead of {brief(getattr(old, name))}"
            for name in ("model", "beta")
            if getattr(self, name) != getattr(old, name)
        ]
        out += differences(self.settings.to_dict(), old.settings.to_dict())
        out += differences(self.data.to_dict(), old.data.to_dict())
        gone = [hurst for hurst in old.hurst if hurst not in self.hurst]
        out += [f"hurst lacks {', '.join(f'{one:g}' for one in gone)}"] if gone else []
        if self.networks < old.networks:
            out.append(f"networks={self.networks} instead of {old.networks}")
        return out

    def describe(self, index: int) -> str:
        """Name a row in words."""
        return f"hurst {self.hurst[index]:g}"

    def to_dict(self) -> Plain:
        """Return the plan as plain values, without the examples; `from_dict` reads them."""
        return described(self, FORMAT, SCHEMA_VERSION, without=("examples",))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the plan that `to_dict` has written.

        Raises
        ------
        ValueError
            If ``data`` is not the plan of a trained heat map, or one in a newer format.
        """
        needed = ("model", "hurst", "beta", "networks", "settings", "data")
        given = settings(cls, data, FORMAT, SCHEMA_VERSION, "a trained heat map", needed=needed, without=("examples",))
        for name in ("settings", "data"):
            if not isinstance(given[name], Mapping):
                raise ValueError(f"{name}={brief(given[name])} is not allowed: it must have fields")
        return cls(
            **{
                **given,
                "model": model_of(given["model"]),
                "settings": Settings.from_dict(given["settings"]),
                "data": DataDescription(**given["data"]),
            }
        )

    def __repr__(self) -> str:
        m, s = self.model, self.settings
        return (
            f"TrainedMapPlan({m.block} {m.activation}, width {m.width}, depth {m.depth}: hurst {len(self.hurst)} x "
            f"beta {len(self.beta)} x learning_rate {len(s.rates)}, networks={self.networks}, epochs={s.epochs}, "
            f"seed={s.seed})"
        )
