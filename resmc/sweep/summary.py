"""The tables of a sweep and of its plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system.plain import Plain
from .._system.words import counted
from ..models.fields import shown
from ..results.estimates import Estimate
from ..results.observable import IN_DEPTH, LEADING, NEXT, SECOND_ORDER
from ..tables import Column, Table
from ..tables.cells import NOTHING, cell, plain
from .axes import AXES
from .joint_table import joint_headlines
from .plan import Plan

if TYPE_CHECKING:
    from .result import SweepResult

MOST_LINES = 200
EXPLAINED = {LEADING: "limit: leading order in 1/n", IN_DEPTH: "in depth: the limit as the depth grows"}
EXACT = "exact: at this width and depth"
EXPLAINED_NEXT = f"{NEXT}: the {SECOND_ORDER}"
INFINITE = "infinite width"
LIMITS = {LEADING: "limit", IN_DEPTH: "in depth", INFINITE: INFINITE}
EXPLAINED_INFINITE = "infinite width: the limit as the width grows"


@dataclass(frozen=True)
class _Compared:
    """An estimate with the exact value, or else the limit, beside it."""

    estimate: Estimate
    exact: float
    limit: float
    kind: str

    def __str__(self) -> str:
        exact = 0.0 if abs(self.exact) <= NOTHING else self.exact
        if np.isfinite(exact):
            return f"{self.estimate} (exact {exact:.4g})"
        if np.isfinite(self.limit):
            return f"{self.estimate} ({LIMITS[self.kind]} {self.limit + 0.0:.4g})"
        return str(self.estimate)

    def _numbers_(self) -> Plain:
        return {**self.estimate._numbers_(), "exact": self.exact, "limit": self.limit}

    def _plain_(self) -> Plain:
        return {name: plain(number) for name, number in self._numbers_().items()}


def table(result: SweepResult, most: int) -> Table:
    """Make a table with a row for each of the first points: networks, and estimates with the theory beside them."""
    plan = result.plan
    points = min(len(plan.models), most)
    columns = [Column("point", "point", numeric=False, obvious=True), Column("networks", "networks")]
    cells: list[list[Any]] = [[plan.describe(i) for i in range(points)], result.networks.ravel()[:points].tolist()]
    shown = {name: one for name, one in result.quantities.items() if one.headline}
    for name, one in shown.items():
        estimate, known = result.estimates[name].reshape((-1,)), result.predictions[name].ravel()
        theory = zip(known.exact.tolist(), known.limit.tolist(), strict=True)
        cells.append(
            [_Compared(estimate[i], *beside, one.limit_kind) for i, beside in enumerate(islice(theory, points))]
        )
        columns.append(Column(name, name))
        second = known.beside.second_order[:points]
        if np.isfinite(second).any():
            cells.append([float(value) if np.isfinite(value) else None for value in second])
            columns.append(Column(NEXT, f"{name}_second_order"))
    joint = joint_headlines(plan, result.networks, result.load, range(points))
    for key, several in joint.items():
        cells.append([_Compared(one.estimate, float(one.exact), float(one.limit), INFINITE) for one in several])
        columns.append(Column(several[0].name, key))
    beside = {name: result.limits[name][np.isnan(result.exact[name])] for name in shown}
    kinds = {one.limit_kind for name, one in shown.items() if np.isfinite(beside[name]).any()}
    numbers = [one for several in joint.values() for one in several]
    exact = any(np.isfinite(result.exact[name]).any() for name in shown) or any(
        np.isfinite(one.exact) for one in numbers
    )
    short = [name for name, one in shown.items() if one.least is not None and _without_error(result.estimates[name])]
    short += [one.key for one in numbers if _without_error(one.estimate)]
    why = ["no error bar: too few networks, or rare ones rule the mean"] if short else []
    lacking = [name for name in shown if any(name not in names for names in plan.observables)]
    why += [f"no value: not followed at that point{how}" for how in sorted({*map(plan.how_to_follow, lacking)} - {""})]
    why += [EXPLAINED_NEXT] if any(column.name == NEXT for column in columns) else []
    notes = [*(EXPLAINED[kind] for kind in EXPLAINED if kind in kinds), *([EXACT] if exact else [])]
    notes += [EXPLAINED_INFINITE] if any(np.isfinite(one.limit) and np.isnan(one.exact) for one in numbers) else []
    title, *lines = _heading(result)
    return Table(
        "points",
        title,
        columns,
        list(zip(*cells, strict=True)),
        lines,
        ["", *(["; ".join(notes)] if notes else []), *why] if notes or why else [],
        left_out=len(plan.models) - points,
        unit="points",
        whole="to_xarray() has all of them",
        complete=partial(table, result, len(plan.models)) if points < len(plan.models) else None,
    )


def _without_error(estimate: Estimate) -> bool:
    """Say whether a value stands without an error at a point."""
    return bool((np.isfinite(estimate.value) & np.isnan(estimate.stderr)).any())


def plan_table(plan: Plan) -> Table:
    """Make a table of the settings of a plan."""
    columns = [Column("setting", "setting", numeric=False), Column("value", "value", numeric=False)]
    return Table("plan", repr(plan), columns, list(_settings(plan)))


def _settings(plan: Plan) -> Iterator[tuple[str, str]]:
    """Write the settings of a plan in words; of a long list, the first and the last values."""
    for name, value in plan.to_dict().items():
        if name in ("format", "schema_version"):
            continue
        if name == "models":
            value = [str(model) for model in plan.models]
        if isinstance(value, list):
            shown = value if len(value) <= 8 else [*value[:4], "..", *value[-2:]]
            yield name, ", ".join(map(cell, shown)) + (f" ({len(value)})" if len(shown) < len(value) else "")
        else:
            yield name, cell(value)


def _heading(result: SweepResult) -> list[str]:
    networks, plan = int(result.networks.sum()), result.plan
    lines = [
        repr(plan),
        *fixed_fields(plan),
        f"{networks} network{'s' * (networks != 1)}, numerics {' '.join(result.numerics)}, store {result.store}",
    ]
    if result.damaged:
        files = "1 file is" if len(result.damaged) == 1 else f"{len(result.damaged)} files are"
        lines.append(f"{files} damaged and left out: run the sweep again, which computes them anew")
    if not result.complete:
        lines.append(f"INCOMPLETE: {result.points_complete} of {counted(len(result.plan.models), 'point')} finished")
    elif result.plan.target_stderr:
        lines.append(targets(result))
    return lines


def fixed_fields(plan: Plan) -> list[str]:
    """Return a line with the fields that all points share; none of a list."""
    fixed = [] if plan.listed else [name for name in AXES if getattr(plan, name) is not None and name not in plan.dims]
    return [", ".join(f"{name} {shown(getattr(plan, name))}" for name in fixed)] if fixed else []


def targets(result: SweepResult) -> str:
    """Say how many points have reached their targets."""
    over, points = result.over_target.ravel(), len(result.plan.models)
    if not (over > 1.0).any():
        return "target reached" + (f" at all of {points} points" if points != 1 else "")
    worst, bound = int(np.argmax(over)), int((result.networks == result.plan.max_networks).sum())
    size = f"{over[worst]:.3g} times its target" if np.isfinite(over[worst]) else "unknown"
    return (
        f"TARGET MISSED at {(over > 1.0).sum()} of {counted(points, 'point')}; the largest error is {size} at "
        f"{result.plan.describe(worst)}; max_networks was reached at {bound}"
    )
