"""The kinds of plans that a store may hold: a sweep's, those of moments, and of heat maps before and after training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .._system.plain import Plain
from . import heat_map_plan, moment_plan, plan, trained_map_plan
from .extension import differences
from .heat_map_plan import HeatMapPlan
from .moment_plan import MomentPlan
from .plan import Plan
from .trained_map_plan import TrainedMapPlan


@dataclass(frozen=True)
class Kind:
    """A kind of plan: its name for people, who reads it, and what of another plan of this kind is missing in one."""

    name: str
    loader: str
    read: Callable[[Mapping[str, Any]], Any]
    lacking: Callable[[Any, Any], list[str]]


KINDS = {
    plan.FORMAT: Kind("sweep", "resmc.load_sweep", Plan.from_dict, differences),
    heat_map_plan.FORMAT: Kind("heat map", "resmc.load_heat_map", HeatMapPlan.from_dict, HeatMapPlan.lacking),
    trained_map_plan.FORMAT: Kind(
        "trained heat map", "resmc.train.load_heat_map", TrainedMapPlan.from_dict, TrainedMapPlan.lacking
    ),
    moment_plan.FORMAT: Kind("moment sweep", "resmc.load_moment_sweep", MomentPlan.from_dict, MomentPlan.lacking),
}
AnyPlan = Plan | HeatMapPlan | TrainedMapPlan | MomentPlan


def kind_of(described: Plain) -> Kind | None:
    """Return the kind of a described plan; None if it is no plan."""
    said = described.get("format")
    return KINDS.get(said) if isinstance(said, str) else None


def plan_of(described: Plain) -> AnyPlan:
    """Make a plan of the kind that it says it is.

    Raises
    ------
    ValueError
        If it is none.
    """
    kind = kind_of(described)
    found: AnyPlan = Plan.from_dict(described) if kind is None else kind.read(described)
    return found


def lacking(new: Plain, old: Plain) -> list[str]:
    """Say in words what of the plan ``old`` is missing in ``new``; nothing if ``new`` extends it.

    Raises
    ------
    ValueError
        If one of them is no plan.
    """
    of_new, of_old = kind_of(new), kind_of(old)
    if of_new is None or of_old is None or of_new is of_old:
        kind = of_new or KINDS[plan.FORMAT]
        return kind.lacking(kind.read(new), kind.read(old))
    return [f"it is that of a {of_old.name}, and this one of a {of_new.name}"]
