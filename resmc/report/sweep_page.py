"""The page of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..models.fields import shown
from ..plot.select import letter_of_sweep
from ..sweep.axes import AXES
from . import reproduce, sweep_figures, sweep_tables, words_sweep
from .numbers import count, counted
from .page import Content, need_extra, rendered, sources, write_page

if TYPE_CHECKING:
    from ..sweep.result import SweepResult


def write(result: SweepResult, path: str | Path) -> None:
    """Write the page of ``result``; errors are those of `resmc.report.write`."""
    write_page(path, lambda: render(result))


def render(result: SweepResult) -> str:
    """Return the page of ``result``; errors are those of `resmc.report.render`."""
    need_extra()
    return rendered(content(result))


def content(result: SweepResult) -> Content:
    """Return the content of a sweep's page."""
    plan = result.plan
    drawn = sweep_figures.drawn(result)
    keys = {name: tuple(f.key for f in several) for name, several in drawn.items()}
    return Content(
        title=title(result),
        kind="sweep",
        lead=words_sweep.lead(result),
        progress=words_sweep.progress(result) if result.complete else "",
        caveats=[*([] if result.complete else [words_sweep.progress(result)]), *words_sweep.caveats(result)],
        answers=words_sweep.answers(result, keys, sweep_figures.left_out(result)),
        figures={f.key: f for several in drawn.values() for f in several},
        tables=[sweep_tables.points(result)],
        settings=settings(result),
        reproduction=reproduce.of_sweep(plan, result.numerics[1:]),
        sources=sources(plan.lowered),
    )


def title(result: SweepResult) -> str:
    """Return what was swept, in a few words."""
    kind = "random ResNet" if letter_of_sweep(result) == "z" else "random residual network"
    return f"Sweep of {counted(len(result.plan.models), kind)}"


def settings(result: SweepResult) -> list[tuple[str, str]]:
    """Return names and values of the plan's settings."""
    plan = result.plan
    out = [("Points", count(len(plan.models)))]
    for name, value in plan.to_dict().items():
        if name in ("format", "schema_version", "models"):
            continue
        given = getattr(plan, name)
        if name in AXES:
            each = [str(x) if isinstance(x, float) else shown(x) for x in (given if name in plan.dims else [given])]
        else:
            each = list(map(str, value if isinstance(value, list) else [value]))
        out.append((name, ", ".join(each[:20]) + (f", .. ({len(each)} in all)" if len(each) > 20 else "")))
    out += [
        ("Numerics version", result.numerics[0]),
        ("Numerics classes", ", ".join(result.numerics[1:]) or "none yet"),
    ]
    return out
