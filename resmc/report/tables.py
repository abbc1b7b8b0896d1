"""The tables of a simulation's page, their cells already in its typography; the page makes them sortable."""

from __future__ import annotations

import math
import re

import numpy as np

from ..analyses import joint_summary
from ..analyses.found import predictions
from ..analyses.summary import rows
from ..results.observable import NEXT, SECOND_ORDER, Predictions
from ..results.observables import OBSERVABLES
from ..tables import Column, Table
from .found import Analyses
from .numbers import MINUS, NONE, plain, pm, pm_values, typeset

NOTE = (
    "± one standard error. Exact: at this width and depth, with z = (estimate − exact)/error. Leading order: the "
    "limit in 1/n, with the relative difference, which is of order 1/n and no error. Limit in depth: the value as the "
    "depth grows."
)
NOTE_NEXT = f" {NEXT.capitalize()}: the {SECOND_ORDER}, with what is left of the relative difference."


def quantities(found: Analyses) -> Table:
    """Return a row for each quantity of `Simulation.summary`."""
    out, shown = [], list(rows(found.sim))
    second = any(row.next_order() for row in shown)
    for row in shown:
        e, more = row.estimate, (row.next_order(),) * second
        compared = (re.sub("(?<!e)-", MINUS, text) for text in (*row.comparison(), *more))
        out.append((typeset(row.name), pm(e), str(int(e.n)), *compared))
    columns = [
        Column("Quantity", numeric=False),
        Column("Estimate ± error"),
        Column("Networks"),
        Column("Theory"),
        Column("Kind", numeric=False),
        Column("Comparison", numeric=False),
        *([Column(NEXT.capitalize(), numeric=False)] * second),
    ]
    return Table("quantities", "Every quantity", columns, out, notes=[NOTE + NOTE_NEXT * second])


def layers(found: Analyses) -> Table:
    """Return a row for each recorded layer: every quantity by layer that there is, and the theory that is known."""
    sim, letter = found.sim, found.letter
    columns, parts = [Column("Layer l"), Column("l/n")], [list(map(str, sim.layers.tolist()))]
    parts.append([plain(x) for x in sim.model.aspects[sim.layers].tolist()])
    for one in (OBSERVABLES[name] for name in sim.observables):
        if one.per != "layer":
            continue
        estimate, title = one.estimate_of(sim.entries), capital(typeset(one.called("l", letter)))
        columns.append(Column(title))
        parts.append([or_none(*pair) for pair in zip(estimate.value.tolist(), estimate.stderr.tolist(), strict=True)])
        more, numbers = theory_columns(title, predictions(sim, one.name))
        columns += more
        parts += numbers
    columns += [Column("Alive"), *([Column("Inactive")] if sim.has_asymmetry else [])]
    parts += [list(map(str, sim.alive.tolist())), *([list(map(str, sim.inactive.tolist()))] * sim.has_asymmetry)]
    notes = [
        "L_l: log-norm; a quantity without an error bar has too few networks for one, or rare ones rule its mean. "
        "Theory: the limit, or the exact value where it says so."
        + (f" {NEXT.capitalize()}: the {SECOND_ORDER}." if shows_next_order(columns) else "")
    ]
    return Table("layers", "By layer", columns, list(zip(*parts, strict=True)), notes=notes)


def joint(found: Analyses) -> list[Table]:
    """Return the tables of the analyses of several inputs, the tangent kernel and tangents."""
    out = []
    for name, answer in joint_summary.answers(found.sim).items():
        table = answer._table()
        columns, cells = table.shown()
        shown = [Column(column.name, numeric=column.numeric) for column in columns]
        rows = [[re.sub("(?<![e\\w])-", MINUS, cell.replace("+-", "±")) for cell in row] for row in cells]
        more = [f"{table.left_out} more rows: Simulation.{name}()"] if table.left_out else []
        out.append(Table(table.key, table.title, shown, rows, notes=more))
    return out


def capital(text: str) -> str:
    """Return a heading; formulas keep their first letter."""
    return text if text.startswith("log ") else text[0].upper() + text[1:]


def or_none(value: float, stderr: float) -> str:
    """Return an estimate, or a dash where there is no such quantity."""
    return NONE if math.isnan(value) else pm_values(value, stderr)


def theory_columns(title: str, known: Predictions) -> tuple[list[Column], list[list[str]]]:
    """Return the columns of theory beside a quantity, where any is known: exact value or limit, and the next order."""
    columns, parts = [], []
    if np.isfinite(known.exact).any() or np.isfinite(known.limit).any():
        columns.append(Column(f"{title}, theory"))
        parts.append([_beside(*pair) for pair in zip(known.exact.tolist(), known.limit.tolist(), strict=True)])
    second = known.beside.second_order
    if np.isfinite(second).any():
        columns.append(Column(f"{title}, {NEXT}"))
        parts.append([plain(value) if math.isfinite(value) else NONE for value in second.tolist()])
    return columns, parts


def shows_next_order(columns: list[Column]) -> bool:
    """Return True if a column of `theory_columns` has the next order in 1/n."""
    return any(NEXT in (column.name or "") for column in columns)


def _beside(exact: float, limit: float) -> str:
    """Return the exact value, or else the limit, or a dash."""
    if math.isfinite(exact):
        return f"{plain(exact)} exact"
    return plain(limit) if math.isfinite(limit) else NONE
