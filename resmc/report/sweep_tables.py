"""The table of a sweep's page, its cells already in the page's typography."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.fields import field_of, shown, told_apart
from ..results.observable import NEXT, SECOND_ORDER, Predictions
from ..results.observables import DEATHS
from ..sweep.axes import AXES
from ..sweep.joint_table import joint_headlines
from ..tables import Column, Table
from .numbers import NONE, counted, plain
from .tables import capital, or_none, shows_next_order, theory_columns
from .words_sweep import title

if TYPE_CHECKING:
    from ..sweep.result import SweepResult

MOST_ROWS = 10_000
OF_DEATHS = (*(one.name for one in DEATHS), "inactive_fraction")  # are left out where nothing was counted


def points(result: SweepResult) -> Table:
    """Return a row for each point of a sweep: its place, its networks, each quantity and the theory beside it."""
    plan = result.plan
    models = plan.models[:MOST_ROWS]
    values = {name: [field_of(model, name) for model in plan.models] for name in AXES if name != "ratio"}
    fields = [name for name, each in values.items() if len(set(each)) > 1] or ["width", "depth"]
    aspects = len(set(plan.ratios)) > 1
    columns = [Column(name, numeric=_numeric(values[name])) for name in fields] + [Column("d/n")] * aspects
    columns += [Column("Networks"), Column("Complete", numeric=False)]
    parts: list[list[str]] = []
    for name in fields:
        parts.append(told_apart(values[name], _shown)[:MOST_ROWS])
    parts += [[plain(model.ratio) for model in models]] * aspects
    networks, wanted = result.networks.ravel().tolist(), result.wanted.ravel().tolist()
    parts += [
        list(map(str, networks[:MOST_ROWS])),
        ["yes" if have == want > 0 else "no" for have, want in zip(networks[:MOST_ROWS], wanted, strict=False)],
    ]
    for name in result.quantities:
        value, stderr = (np.asarray(part).ravel() for part in _parts(result, name))
        if name in OF_DEATHS and not np.nan_to_num(value).any():
            continue
        columns.append(Column(title(result, name)))
        parts.append([or_none(*each) for each in zip(value[:MOST_ROWS].tolist(), stderr.tolist(), strict=False)])
        more, numbers = theory_columns(title(result, name), result.predictions[name].ravel()[:MOST_ROWS])
        columns += more
        parts += numbers
    joint = joint_headlines(plan, result.networks, result.load, range(len(models)))
    for several in joint.values():
        name = capital(several[0].name)
        columns.append(Column(name))
        parts.append([or_none(float(one.estimate.value), float(one.estimate.stderr)) for one in several])
        exact, limit = (np.array([float(getattr(one, kind)) for one in several]) for kind in ("exact", "limit"))
        more, numbers = theory_columns(name, Predictions(exact, limit, np.full(len(several), np.nan)))
        columns += more
        parts += numbers
    note = "± one standard error. Theory: the limit, or the exact value where it says so."
    if joint:
        note += " The limits of angles, covariances and kernels are those of infinite width."
    if shows_next_order(columns):
        note += f" {NEXT.capitalize()}: the {SECOND_ORDER}."
    if len(plan.models) > MOST_ROWS:
        note += (
            f" The first {MOST_ROWS} of {counted(len(plan.models), 'point')} are shown; `resmc export` writes "
            "all of them."
        )
    return Table("points", "Every point", columns, list(zip(*parts, strict=True)), notes=[note])


def _parts(result: SweepResult, name: str) -> tuple[Any, Any]:
    return result.estimates[name].value, result.estimates[name].stderr


def _numeric(values: list[Any]) -> bool:
    return all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values)


def _shown(value: Any) -> str:
    if value is None:
        return NONE
    return plain(value, 6) if isinstance(value, float) else shown(value)
