"""The page of a heat map: where networks explode, where they are the identity, and the frontier between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..engine.lowering import lower
from ..experiments.heat_map import HeatMap
from ..models.scaling import DepthScaling
from ..plot.depth import plot_heat_map
from ..results.estimates import Estimate
from ..tables import Column, Table
from . import reproduce
from .figures import Figure, figure
from .found import Answer
from .map_words import between, caveats, network, of_grid, of_map
from .numbers import count, counted, plain, pm, typeset
from .page import Content, need_extra, rendered, sources, write_page
from .regime_page import FIGURES, shown
from .tables import or_none
from .words_quotient import slug

QUESTIONS = {
    "displacement": "Where do networks explode, and where are they the identity?",
    "gradient_displacement": "Where do gradients explode, and where do they come back as they were?",
}


def write(found: HeatMap, path: str | Path) -> None:
    """Write the page of ``found``; errors are those of `resmc.report.write`."""
    write_page(path, lambda: render(found))


def render(found: HeatMap) -> str:
    """Return the page of ``found``; errors are those of `resmc.report.render`."""
    need_extra()
    return rendered(content(found))


def content(found: HeatMap) -> Content:
    """Return the content of a heat map's page."""
    answers = [_answer(found, name) for name in QUESTIONS if name in found.quantities]
    return Content(
        title=f"Over H and β: {network(found)}",
        kind="heat map",
        lead=_lead(found),
        progress="",
        caveats=list(caveats(found)),
        answers=answers,
        figures={key: _figure(found, key) for answer in answers for key in answer.figures},
        tables=[*([_frontiers(found)] if len(found.beta) > 1 else []), _points(found)],
        settings=settings(found),
        reproduction=reproduce.of_heat_map(found),
        sources=sources([lower(found.model)], depth=True),
    )


def _lead(found: HeatMap) -> str:
    scaling = found.model.scaling
    assert isinstance(scaling, DepthScaling)
    inside = ", inside the activation" * scaling.inside
    factor = "" if scaling.c == 1.0 else f"{plain(scaling.c)} "
    return (
        f"{of_grid(found)}; {counted(found.wanted, 'network')} of "
        f"{counted(found.n_inputs, 'input')} at each H. Weights are fractional noise over the layers, and branches "
        f"have the factor {factor}L^(−β){inside}, L = {count(found.model.depth)}."
    )


def _answer(found: HeatMap, name: str) -> Answer:
    keys = tuple(slug(each) for each in (name, FIGURES[name]))
    sentences = ["Means are over networks, each of which is averaged over its inputs."]
    if len(found.beta) > 1:
        sentences.append(
            f"As the depth grows the frontier tends to {typeset(found.limit_words)}; at a finite depth it is not yet "
            "there."
        )
    for words, counts in (("stay where they are", found.zeros), ("leave the range of numbers", found.exploded)):
        points = int((counts(name) > 0).sum())
        if points:
            sentences.append(f"At {counted(points, 'point')} inputs {words}: the mean is infinite there.")
    return Answer(f"map-{slug(name)}", QUESTIONS[name], _verdict(found, name), tuple(sentences), keys)


def _verdict(found: HeatMap, name: str) -> str:
    if len(found.beta) == 1:
        mean = found.estimate(name)[:, 0]
        which = f"At β = {plain(found.beta[0])} the mean of log10 {shown(name)} is"
        return f"{which} {_at_ends(found, mean, np.isfinite(mean.value))}."
    beta = found.frontier(name).beta
    known = np.isfinite(beta.value)
    if not known.any():
        return f"The mean of log10 {shown(name)} crosses 0 at no H within the map."
    return f"The mean of log10 {shown(name)} is 0 at β = {_at_ends(found, beta, known)}: it is above 0 for smaller β."


def _at_ends(found: HeatMap, values: Estimate, known: Any) -> str:
    """Write the first and the last value that there is, and the H where it is."""
    places = np.flatnonzero(known)
    ends = sorted({int(places[0]), int(places[-1])}) if places.size else [0]
    return " and ".join(f"{pm(values[i])} at H = {plain(found.hurst[i])}" for i in ends)


def _figure(found: HeatMap, key: str) -> Figure:
    name = key.replace("-", "_")
    value = found.estimate(name).value
    described = (
        f"Mean of log10 {shown(name)} at {counted(value.size, 'point')} of H and β{between(value)}, with the frontier "
        "as the depth grows."
    )

    def draw(ax: Any) -> None:
        plot_heat_map(found, name, ax=ax)

    return figure(key, f"log10 {shown(name)} over H and β", described, draw)


def _frontiers(found: HeatMap) -> Table:
    """Return a row for each H: where the means of log10 cross 0, and where small branches neither grow nor shrink."""
    names = [name for name in QUESTIONS if name in found.quantities]
    columns = [Column("H"), Column("Networks"), *(Column(f"β where {shown(name)} is 1") for name in names)]
    columns.append(Column("As the depth grows"))
    betas, limit = [found.frontier(name).beta for name in names], found.limit
    rows = [
        [plain(h), str(n), *(or_none(float(b.value[i]), float(b.stderr[i])) for b in betas), plain(float(limit[i]))]
        for i, (h, n) in enumerate(zip(found.hurst.tolist(), found.networks.tolist(), strict=True))
    ]
    note = "± one standard error, of independent networks. A dash: the mean of log10 does not cross 0 in the map."
    return Table("frontiers", "By H", columns, rows, notes=[note])


def _points(found: HeatMap) -> Table:
    """Return a row for each point: the mean of log10 of every ratio."""
    columns = [Column("H"), Column("β"), *(Column(f"Mean log10 {shown(name)}") for name in found.quantities)]
    parts = [found.estimate(name) for name in found.quantities]
    rows = [
        [plain(h), plain(b), *(or_none(float(part.value[i, j]), float(part.stderr[i, j])) for part in parts)]
        for i, h in enumerate(found.hurst.tolist())
        for j, b in enumerate(found.beta.tolist())
    ]
    note = "± one standard error, of independent networks; the inputs of a network are averaged first."
    return Table("points", "Every point", columns, rows, notes=[note])


def settings(found: HeatMap) -> list[tuple[str, str]]:
    """Return names and values of all that decides on the map."""
    return [
        *of_map(found, without=("scaling", "weights", "input", "input_norm")),
        ("Inputs of each network", f"{count(found.n_inputs)}, uniform on [0, 1]^64"),
        ("Seed", str(found.seed)),
        ("Numerics version", found.numerics[0]),
        ("Numerics classes", ", ".join(found.numerics[1:]) or "none yet"),
    ]
