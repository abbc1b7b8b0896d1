"""The page of a simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..plot import curves, interlayer, laws, layers
from ..results.record import Record
from . import alternatives, reproduce, tables, words
from .figures import figure
from .found import Analyses
from .numbers import count, counted, plain
from .page import Content, need_extra, rendered, write_page

FIGURES: dict[str, Callable[..., Any]] = {
    "log_norm": laws.plot_log_norm,
    "qq": laws.plot_qq,
    "output": laws.plot_output,
    "trajectories": layers.plot_trajectories,
    "hypoactivation": layers.plot_hypoactivation,
    "interlayer": interlayer.plot_interlayer,
    "interlayer_by_lag": interlayer.plot_interlayer_by_lag,
    "growth": curves.draw_simulation,
}


def write(sim: Record, path: str | Path) -> None:
    """Write the page of ``sim``; errors are those of `resmc.report.write`."""
    write_page(path, lambda: render(sim))


def render(sim: Record) -> str:
    """Return the page of ``sim``; errors are those of `resmc.report.render`."""
    need_extra()
    # The page compares with the theory of ResNets, and so speaks of the model as a ResNet.
    return rendered(content(replace(sim, model=sim.resnet)))


def content(sim: Record) -> Content:
    """Return the content of a simulation's page."""
    found = Analyses.of(sim)
    answers = words.answers(found)
    drawn = {
        key: figure(key, alternatives.TITLES[key], alternatives.DESCRIPTIONS[key](found), partial(_draw, key, sim))
        for answer in answers
        for key in answer.figures
    }
    m = sim.resnet
    name = m.variant[0].upper() + m.variant[1:]
    return Content(
        title=f"{name} ResNet, width {m.width}, depth {m.depth}",
        kind="simulation",
        lead=f"{counted(sim.networks, 'independent random network')} at initialisation, "
        f"d/n\xa0=\xa0{plain(m.ratio)}, alpha\xa0=\xa0{plain(m.alpha)}, lam\xa0=\xa0{plain(m.lam)}.",
        progress="",
        caveats=list(words.caveats(sim)),
        answers=answers,
        figures=drawn,
        tables=[tables.quantities(found), tables.layers(found)],
        settings=settings(sim),
        reproduction=reproduce.of_simulation(sim),
    )


def _draw(key: str, sim: Record, ax: Any) -> None:
    FIGURES[key](sim, ax=ax)


def settings(sim: Record) -> list[tuple[str, str]]:
    """Return names and values of all that decides on the result."""
    m = sim.resnet
    ranges = ", ".join(f"{r.start} to {r.stop - 1}" for r in sim.ranges)
    spacing = "" if len(sim.layers) == m.depth + 1 else f" of {m.depth + 1}"
    return [
        ("Variant", m.variant), ("Width n", count(m.width)), ("Depth d", count(m.depth)), ("d/n", plain(m.ratio)),
        ("alpha (skip)", repr(m.alpha)), ("lam (residual branch)", repr(m.lam)),
        ("Output neurons", count(m.n_out)), ("Input norm", repr(m.input_norm)),
        ("Networks", f"{count(sim.networks)} (numbers {ranges})"), ("Seed", str(sim.seed)),
        ("Method", sim.method), ("Recorded layers", f"{count(len(sim.layers))}{spacing}"),
        ("Correlations recorded", "yes" if sim.correlations else "no"),
        ("Raw samples, paths", f"{count(len(sim.samples.networks))}, {count(len(sim.trajectories.networks))}"),
        ("Numerics version", sim.numerics[0]), ("Numerics class", ", ".join(sim.numerics[1:])),
    ]  # fmt: skip
