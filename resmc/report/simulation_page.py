"""The page of a simulation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..plot import curves, interlayer, laws, layers, ratio_laws, values
from ..results.record import Record
from . import alternatives, reproduce, tables, words
from .figures import figure
from .found import Analyses
from .numbers import count, counted, plain
from .page import Content, need_extra, rendered, sources, write_page
from .settings import of_model, scaling_of, whole

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
    return rendered(content(sim))


def content(sim: Record) -> Content:
    """Return the content of a simulation's page."""
    found = Analyses.of(sim)
    answers = words.answers(found)
    drawn = {
        key: figure(key, alternatives.title(found, key), alternatives.description(found, key), _drawing(found, key))
        for answer in answers
        for key in answer.figures
    }
    return Content(
        title=title(found),
        kind="simulation",
        lead=lead(found),
        progress="",
        caveats=list(words.caveats(sim)),
        answers=answers,
        figures=drawn,
        tables=[tables.quantities(found), tables.layers(found), *tables.joint(found)],
        settings=settings(sim),
        reproduction=reproduce.of_simulation(sim),
        sources=sources([sim.lowered]),
    )


def title(found: Analyses) -> str:
    """Return the network in a few words."""
    m = found.sim.model
    size = f"width {m.width}, depth {m.depth}"
    if found.letter == "z":
        variant = found.sim.resnet.variant
        return f"{variant[0].upper()}{variant[1:]} ResNet, {size}"
    general = found.sim.lowered.general
    size = f"{general.width_in_words}, depth {m.depth}"
    return f"Residual network {whole(general.block)} with {whole(general.activation)}, {size}"


def lead(found: Analyses) -> str:
    """Return the sentence that says what was simulated."""
    sim, general = found.sim, found.sim.lowered.general
    many = counted(sim.networks, "independent random network")
    text = f"{many} at initialisation, d/n\xa0=\xa0{plain(sim.model.ratio)}, "
    if found.letter == "z":
        return f"{text}alpha\xa0=\xa0{plain(sim.resnet.alpha)}, lam\xa0=\xa0{plain(sim.resnet.lam)}."
    carry = "" if general.carry == 1.0 else f", carry\xa0=\xa0{plain(general.carry)}"
    bias = f", bias\xa0=\xa0{plain(general.bias)}" if general.bias else ""
    keep = f", dropout with keep\xa0=\xa0{plain(general.keep)}" if general.keep != 1.0 else ""
    return f"{text}branches {scaling_of(general)}{carry}, {general.weights} weights{bias}{keep}."


def _drawing(found: Analyses, key: str) -> Callable[[Any], Any]:
    """Return the function that draws a figure on the Axes that it is given."""
    sim = found.sim
    if key in FIGURES:
        return lambda ax: FIGURES[key](sim, ax=ax)
    name, kind = alternatives.names(found)[key]
    if kind == "law":
        return lambda ax: ratio_laws.draw({"": sim}, name, ax=ax)
    return lambda ax: values.draw_simulation(sim, name, ax=ax)


def settings(sim: Record) -> list[tuple[str, str]]:
    """Return names and values of all that decides on the result."""
    m = sim.model
    ranges = ", ".join(f"{r.start} to {r.stop - 1}" for r in sim.ranges)
    spacing = "" if len(sim.layers) == m.depth + 1 else f" of {m.depth + 1}"
    followed = ", ".join(name.replace("_", " ") for name in sim.laws)
    return [
        *of_model(m),
        ("Networks", f"{count(sim.networks)} (numbers {ranges})"), ("Seed", str(sim.seed)),
        ("Method", sim.method), ("Recorded layers", f"{count(len(sim.layers))}{spacing}"),
        *([("Quotients followed", followed)] if followed else []),
        *([("Besides one input", sim.joint.recording.words)] if sim.joint is not None else []),
        ("Correlations recorded", "yes" if sim.correlations else "no"),
        ("Raw samples, paths", f"{count(len(sim.samples.networks))}, {count(len(sim.trajectories.networks))}"),
        ("Numerics version", sim.numerics[0]), ("Numerics class", ", ".join(sim.numerics[1:])),
    ]  # fmt: skip
