"""The page of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import reproduce, sweep_figures, sweep_tables, words_sweep
from .numbers import count, counted
from .page import Content, need_extra, rendered, write_page

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
        title=f"Sweep of {counted(len(plan.models), 'random ResNet')}",
        kind="sweep",
        lead=words_sweep.lead(result),
        progress=words_sweep.progress(result) if result.complete else "",
        caveats=[*([] if result.complete else [words_sweep.progress(result)]), *words_sweep.caveats(result)],
        answers=words_sweep.answers(result, keys, sweep_figures.left_out(result)),
        figures={f.key: f for several in drawn.values() for f in several},
        tables=[sweep_tables.points(result)],
        settings=settings(result),
        reproduction=reproduce.of_sweep(plan, result.numerics[1:]),
    )


def settings(result: SweepResult) -> list[tuple[str, str]]:
    """Return names and values of the plan's settings."""
    plan = result.plan
    out = [("Points", count(len(plan.models)))]
    for name, value in plan.to_dict().items():
        if name not in ("format", "schema_version", "models"):
            shown = value if isinstance(value, list) else [value]
            text = ", ".join(map(str, shown[:20])) + (f", .. ({len(shown)} in all)" if len(shown) > 20 else "")
            out.append((name, text))
    out += [
        ("Numerics version", result.numerics[0]),
        ("Numerics classes", ", ".join(result.numerics[1:]) or "none yet"),
    ]
    return out
