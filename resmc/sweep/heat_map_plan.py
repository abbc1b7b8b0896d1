"""The plan of a heat map: which network, at which Hurst exponents and exponents of the scaling, and how many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief, counted
from ..engine import column_plan
from ..engine.columns import Threads
from ..engine.lowering import lower
from ..experiments.heat_row import MOST_COLUMNS, MOST_INPUTS, HeatRow, row_of
from ..models import inner_width
from ..models.dropout import HEAT_MAP, refuse_dropout
from ..models.processes import MOST_VALUES, FractionalNoise, hurst_exponents
from ..models.residual_network import ResidualNetwork
from ..models.scaling import DepthScaling
from ..models.weights import Weights
from .plan_files import described, model_of, settings
from .point import point_seed

FORMAT = "resmc-heat-map"
SCHEMA_VERSION = 1
MOST_NETWORKS = 1 << 20
MOST_BYTES = 1 << 33  # bytes of the networks' averages, which are in memory together


@dataclass(frozen=True)
class HeatMapPlan:
    """Networks over a grid of H and beta, as `resmc.heat_map` takes them.

    ``model`` is kept as the map has it: without exponent and weights of its own.
    """

    model: ResidualNetwork
    hurst: tuple[float, ...]
    beta: tuple[float, ...]
    networks: int = 5
    n_inputs: int = 10
    seed: int = 0
    gradients: bool = True

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("model", checked_model(self.model))
        put("hurst", hurst_exponents(self.hurst))
        put("beta", checked_exponents(self.model, self.beta))
        put("networks", checks.integer("networks", self.networks, 1, MOST_NETWORKS, "2^20"))
        put("n_inputs", checks.integer("n_inputs", self.n_inputs, 1, MOST_INPUTS, "2^16"))
        if len(self.beta) * self.n_inputs > MOST_COLUMNS:
            raise ValueError(
                f"n_inputs={self.n_inputs} is too many for {len(self.beta)} exponents: a network has one of each, and "
                "2^24 together are allowed"
            )
        put("seed", checks.integer("seed", self.seed, 0, 2**64 - 1, "2^64 - 1"))
        checks.boolean("gradients", self.gradients)
        self._check_columns()
        size = 8 * len(self.hurst) * len(self.beta) * self.networks * (4 if self.gradients else 2)
        if size > MOST_BYTES:
            raise ValueError(
                f"networks={self.networks} is too many for {len(self.hurst)} x {len(self.beta)} points: their averages "
                f"take {size / 1e9:.3g} GB, and {MOST_BYTES / 1e9:.3g} GB are allowed"
            )

    def _check_columns(self) -> None:
        """Refuse what no shard could be computed of, before any is, whatever the memory.

        A GPU has the same bounds, and what a column keeps there has about the same size.
        """
        kernel = lower(row_of(self.model, self.hurst[0])).in_own_units(self.gradients)
        columns = len(self.beta) * self.n_inputs

        def planned(columns: int) -> None:
            column_plan.plan(kernel, 1, columns, tied=False, state_of=Threads(1).state_bytes)

        planned(1)
        try:
            planned(columns)
        except ValueError as error:
            pairs = f"{counted(len(self.beta), 'exponent')}, with a column for each pair"
            raise ValueError(f"n_inputs={self.n_inputs} is too many for {pairs}: {error}") from None

    @property
    def scaling(self) -> DepthScaling:
        """The network's scaling, whose factor c and place the map has."""
        assert isinstance(self.model.scaling, DepthScaling)
        return self.model.scaling

    @cached_property
    def rows(self) -> tuple[HeatRow, ...]:
        """The rows, one for each H: their seeds are made of the seed and the row's network, so they are independent."""
        models = [row_of(self.model, hurst) for hurst in self.hurst]
        shared = self.scaling.c, self.beta, self.n_inputs, self.gradients
        return tuple(HeatRow(model, point_seed(self.seed, model), *shared) for model in models)

    def lacking(self, old: HeatMapPlan) -> list[str]:
        """Say in words what of ``old`` is missing here; nothing if this plan extends it."""
        out = [
            f"{name}={brief(getattr(self, name))} instead of {brief(getattr(old, name))}"
            for name in ("model", "seed", "beta", "n_inputs")
            if getattr(self, name) != getattr(old, name)
        ]
        gone = [hurst for hurst in old.hurst if hurst not in self.hurst]
        out += [f"hurst lacks {', '.join(f'{one:g}' for one in gone)}"] if gone else []
        out += ["gradients=False instead of True"] if old.gradients and not self.gradients else []
        if self.networks < old.networks:
            out.append(f"networks={self.networks} instead of {old.networks}")
        return out

    def describe(self, index: int) -> str:
        """Name a row in words."""
        return f"hurst {self.hurst[index]:g}"

    def to_dict(self) -> Plain:
        """Return the plan as plain values; `from_dict` reads them."""
        return described(self, FORMAT, SCHEMA_VERSION)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the plan that `to_dict` has written.

        Raises
        ------
        ValueError
            If ``data`` is not the plan of a heat map, or one in a newer format.
        """
        given = settings(cls, data, FORMAT, SCHEMA_VERSION, "a heat map", needed=("model", "hurst", "beta"))
        return cls(**{**given, "model": model_of(given["model"])})

    def __repr__(self) -> str:
        m = self.model
        return (
            f"HeatMapPlan({m.block} {m.activation}, width {m.width}, depth {m.depth}: hurst {len(self.hurst)} x beta "
            f"{len(self.beta)}, networks={self.networks}, n_inputs={self.n_inputs}, seed={self.seed})"
        )


def checked_exponents(model: ResidualNetwork, given: Any) -> tuple[float, ...]:
    """Return the exponents of a map in increasing order; raises ValueError for what is no list of such."""
    found = checks.increasing("beta", given, MOST_VALUES)
    assert isinstance(model.scaling, DepthScaling)
    for beta in (found[0], found[-1]):
        try:  # the network refuses a scale beyond the kernels' range
            replace(model, scaling=replace(model.scaling, beta=beta))
        except ValueError as error:
            raise ValueError(f"beta={beta!r} is not allowed at depth={model.depth}: {error}") from None
    return found


def checked_model(model: Any) -> ResidualNetwork:
    """Return the network with neither exponent nor weights of its own.

    Raises
    ------
    ValueError
        If it is none, or has what a map has not.
    """
    if not isinstance(model, ResidualNetwork):
        raise ValueError(f"model={brief(model)} is not allowed: it must be a ResidualNetwork")
    if not isinstance(model.scaling, DepthScaling):
        raise ValueError(
            f"scaling={brief(model.scaling)} is not allowed in a heat map, whose exponents take its place: it must be "
            "a DepthScaling, of which c and inside are kept"
        )
    if model.carry != 1.0:
        raise ValueError(
            f"carry={model.carry!r} is not allowed in a heat map: it must be 1, since carry^depth would explode or "
            "vanish at every exponent"
        )
    refuse_dropout(model.keep, *HEAT_MAP)
    inner_width.refuse_inner_width(model.inner_width, *inner_width.HEAT_MAP)
    weights = model.weights
    if weights != "gaussian" and not (isinstance(weights, Weights) and isinstance(weights.dependence, FractionalNoise)):
        raise ValueError(
            f"weights={brief(weights)} is not allowed in a heat map, which gives its own: they must be 'gaussian'"
        )
    if model.input is not None or model.input_norm != 1.0:
        name = "input" if model.input is not None else "input_norm"
        raise ValueError(
            f"{name}={brief(getattr(model, name))} is not allowed in a heat map, which draws its own inputs: leave it "
            "out"
        )
    return replace(model, scaling=DepthScaling(0.0, model.scaling.c, model.scaling.inside), weights="gaussian")
