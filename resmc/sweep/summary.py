"""A sweep as text, and as tables for notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..results.estimates import format_estimate
from ..tables import html
from .plan import Plan

if TYPE_CHECKING:
    from .result import SweepResult

MOST_LINES = 200
EXPLAINED = "limit: leading order in 1/n; exact: at this width and depth"
COLUMNS = ("log_norm.mean", "log_norm.variance", "asymmetry", "active_fraction", "growth")


def summary(result: SweepResult, width: int | None = None) -> str:
    """A line for each point, or a paragraph if its line is longer than ``width``: estimates, limits beside them."""
    plan = result.plan
    lines = [*_heading(result), ""]
    names = [plan.describe(i) for i in range(min(len(plan.models), MOST_LINES))]
    cells = [_estimates(result, index) for index in range(len(names))]
    networks = [str(n) for n in result.networks.flat[: len(names)]]
    rows = [["", "networks", *COLUMNS], *([n, k, *c] for n, k, c in zip(names, networks, cells, strict=True))]
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width is None or sum(sizes) + 2 * len(sizes) <= width:
        lines += ["  ".join(f"{cell:<{size}}" for cell, size in zip(row, sizes, strict=True)).rstrip() for row in rows]
    else:  # a paragraph for each point
        for row in rows[1:]:
            lines += [row[0], *(f"  {name:<18} {cell}" for name, cell in zip(rows[0][1:], row[1:], strict=True)), ""]
    if len(plan.models) > MOST_LINES:
        lines.append(f".. and {len(plan.models) - MOST_LINES} more points: to_xarray() has all of them")
    lines += ["", EXPLAINED]
    return "\n".join(lines)


def summary_html(result: SweepResult) -> str:
    """The first lines of it for a notebook."""
    plan, points = result.plan, min(len(result.plan.models), html.MOST_ROWS)
    body = [[plan.describe(i), int(result.networks.flat[i]), *(s.replace("+-", "±") for s in _estimates(result, i))]
            for i in range(points)]  # fmt: skip
    heading = [*_heading(result), EXPLAINED]
    if points < len(plan.models):
        heading.append(f"the first {points} of {len(plan.models)} points: to_xarray() has all of them")
    return html.table(["point", "networks", *COLUMNS], body, "\n".join(heading))


def plan_html(plan: Plan) -> str:
    """What a plan sets, for a notebook."""
    return html.table(["setting", "value"], _settings(plan), repr(plan))


def _settings(plan: Plan) -> Iterator[tuple[str, str]]:
    """What was given, long lists by their ends."""
    for name, value in plan.to_dict().items():
        if name in ("format", "schema_version"):
            continue
        if name == "models":
            value = [str(model) for model in plan.models]
        if isinstance(value, list):
            shown = value if len(value) <= 8 else [*value[:4], "..", *value[-2:]]
            yield name, ", ".join(map(html.cell, shown)) + (f" ({len(value)})" if len(shown) < len(value) else "")
        else:
            yield name, html.cell(value)


def _heading(result: SweepResult) -> list[str]:
    networks = int(result.networks.sum())
    lines = [
        repr(result.plan),
        f"{networks} network{'s' * (networks != 1)}, numerics {' '.join(result.numerics)}, store {result.store}",
    ]
    if not result.complete:
        lines.append(f"INCOMPLETE: {result.points_complete} of {len(result.plan.models)} points are finished")
    elif result.plan.target_stderr:
        lines.append(targets(result))
    return lines


def _estimates(result: SweepResult, index: int) -> list[str]:
    """Every column of a point."""
    return [_cell(result, column, index) for column in COLUMNS]


def _cell(result: SweepResult, column: str, index: int) -> str:
    """An estimate with its error, and the exact value or the limit beside it."""
    estimate = result.estimates[column]
    exact, limit = float(result.exact[column].flat[index]), float(result.limits[column].flat[index])
    exact = 0.0 if abs(exact) <= 1e-12 else exact  # log(alpha^2 + lam^2) of rounded square roots
    beside = f"exact {exact:.4g}" if np.isfinite(exact) else f"limit {limit + 0.0:.4g}"
    return f"{format_estimate(float(estimate.value.flat[index]), float(estimate.stderr.flat[index]))} ({beside})"


def targets(result: SweepResult) -> str:
    """In words, how many points have reached their targets."""
    over, points = result.over_target.ravel(), len(result.plan.models)
    if not (over > 1.0).any():
        return f"target reached at all of {points} points"
    worst, bound = int(np.argmax(over)), int((result.networks == result.plan.max_networks).sum())
    size = f"{over[worst]:.3g} times its target" if np.isfinite(over[worst]) else "unknown"
    return (
        f"TARGET MISSED at {(over > 1.0).sum()} of {points} points; the largest error is {size} at "
        f"{result.plan.describe(worst)}; max_networks was reached at {bound}"
    )
