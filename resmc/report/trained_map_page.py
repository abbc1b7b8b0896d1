"""The page of a map after training: how well networks do, where they fail, and how far they went before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.lowering import lower
from ..experiments.train.heat_map import TrainedHeatMap
from ..plot.trained_maps import plot_trained_map
from ..tables import Column, Table
from . import reproduce
from .figures import Figure, figure
from .found import Answer
from .map_words import between, caveats, network, of_grid, of_map
from .numbers import NONE, count, counted, plain, pm, typeset
from .page import Content, need_extra, rendered, sources, write_page
from .regime_page import shown
from .tables import or_none

QUESTIONS = {
    "score": "How well do networks do after training?",
    "failed": "Where does training fail?",
    "growth": "How far did the same networks go before training?",
}


def write(found: TrainedHeatMap, path: str | Path) -> None:
    """Write the page of ``found``; errors are those of `resmc.report.write`."""
    write_page(path, lambda: render(found))


def render(found: TrainedHeatMap) -> str:
    """Return the page of ``found``; errors are those of `resmc.report.render`."""
    need_extra()
    return rendered(content(found))


def content(found: TrainedHeatMap) -> Content:
    """Return the content of the page of a map after training."""
    some = bool((found.networks > 0).any())
    answers = [_score(found), _failed(found), _growth(found)] if some else []
    figures = [_figure(found, found.score), _figure(found, "learning_rate"), _figure(found, "growth")] if some else []
    return Content(
        title=f"After training, over H and β: {network(found)}",
        kind=found.kind,
        lead=_lead(found),
        progress="",
        caveats=[*caveats(found), *_caveats(found)],
        answers=answers,
        figures={one.key: one for one in figures},
        tables=[_rows(found), _points(found)],
        settings=settings(found),
        reproduction=reproduce.of_trained_map(found),
        sources=sources([lower(found.model)], depth=True),
    )


def _lead(found: TrainedHeatMap) -> str:
    rates = found.rates
    tried = f"at the rate {plain(rates[0])}" if len(rates) == 1 else f"at {len(rates)} learning rates"
    return (
        f"{of_grid(found)}; {counted(found.wanted, 'network')} at each H, trained {tried} on {found.data.words()}. "
        "Weights begin as fractional noise over the layers."
    )


def _caveats(found: TrainedHeatMap) -> Iterator[str]:
    if len(found.rates) > 2 and found.at_the_edge:
        yield (
            f"At {counted(found.at_the_edge, 'point')} the best learning rate is the smallest or the largest of "
            f"{len(found.rates)}: others beyond it may be better."
        )


def _score(found: TrainedHeatMap) -> Answer:
    name = found.score
    value = found.estimate(name)
    row, beta = found.best_point
    best = f"{pm(value[row, beta])} at H = {plain(found.hurst[row])} and β = {plain(found.beta[beta])}"
    verdict = f"The test {name} is {best}, the point that is best on the validation examples."
    known = value.value[np.isfinite(value.value)]
    spread = f"Over the map it goes from {plain(known.min())} to {plain(known.max())}. " if known.size else ""
    sentences = (
        f"{spread}Means are over networks, at the learning rate of each point, which was chosen on the validation "
        "examples.",
    )
    return Answer("score", QUESTIONS["score"], verdict, sentences, (name, "learning-rate"))


def _failed(found: TrainedHeatMap) -> Answer:
    failed, points = found.failed, int((found.failed > 0.0).sum())
    if not points:
        verdict = "At no point did a network's loss stop being finite."
    else:
        i, j = np.unravel_index(np.nanargmax(failed), failed.shape)
        verdict = (
            f"At {counted(points, 'point')} of {count(failed.size)} some networks failed, at some learning rate; most "
            f"at H = {plain(found.hurst[i])} and β = {plain(found.beta[j])}, where {_share(failed[i, j])} did."
        )
    return Answer("failed", QUESTIONS["failed"], verdict, ("A network that failed counts as right nowhere.",))


def _growth(found: TrainedHeatMap) -> Answer:
    ends = [(found.growth[0, 0], 0, 0), (found.growth[-1, -1], -1, -1)]
    said = " and ".join(
        f"{pm(one)} at H = {plain(found.hurst[i])} and β = {plain(found.beta[j])}" for one, i, j in ends
    )
    sentences = (
        "Averages are over the test examples, and then over networks.",
        f"The frontier between explosion and identity tends to {typeset(found.limit_words)}, as the depth grows.",
    )
    return Answer("growth", QUESTIONS["growth"], f"The mean of log10 {shown('growth')} is {said}.", sentences,
                  ("growth",))  # fmt: skip


def _share(fraction: float) -> str:
    return f"{100.0 * fraction:.3g}%"


TITLES = {
    "accuracy": "Test accuracy over H and β",
    "loss": "Test loss over H and β",
    "growth": "Growth before training over H and β",
    "learning_rate": "Learning rate of each point",
}


def _figure(found: TrainedHeatMap, quantity: str) -> Figure:
    value = found.learning_rate if quantity == "learning_rate" else found.estimate(quantity).value

    def draw(ax: Any) -> None:
        plot_trained_map(found, quantity, ax=ax)

    described = f"{TITLES[quantity]}, {counted(value.size, 'point')}{between(value)}."
    return figure(quantity.replace("_", "-"), TITLES[quantity], described, draw)


def _rows(found: TrainedHeatMap) -> Table:
    """Return a row for each H: the exponent that is best on validation, what there is, and how many fail."""
    score = found.estimate(found.score)
    columns = [Column("H"), Column("Networks"), Column("Best β"), Column("Learning rate"),
               Column(f"Test {found.score}"), Column("Failed")]  # fmt: skip
    rows = []
    for i, (h, n, j) in enumerate(zip(found.hurst.tolist(), found.networks.tolist(), found.best, strict=True)):
        there = [plain(found.beta[j]), plain(found.learning_rate[i, j]),
                 or_none(float(score.value[i, j]), float(score.stderr[i, j])),
                 _share(found.failed[i].mean())] if n else [NONE] * 4  # fmt: skip
        rows.append([plain(h), str(n), *there])
    note = "± one standard error, of independent networks. Failed: of all networks, at every β and learning rate."
    return Table("rows", "By H", columns, rows, notes=[note])


def _points(found: TrainedHeatMap) -> Table:
    """Return a row for each point: its learning rate, all quantities, and how many fail."""
    heads = {"accuracy": "Test accuracy", "loss": "Test loss", "growth": f"Mean log10 {shown('growth')} before"}
    columns = [Column("H"), Column("β"), Column("Learning rate"), *(Column(heads[q]) for q in found.quantities),
               Column("Failed")]  # fmt: skip
    parts = [found.estimate(name) for name in found.quantities]
    rates, failed = found.learning_rate, found.failed
    rows = [
        [
            plain(h),
            plain(b),
            NONE if np.isnan(rates[i, j]) else plain(rates[i, j]),
            *(or_none(float(part.value[i, j]), float(part.stderr[i, j])) for part in parts),
            NONE if np.isnan(failed[i, j]) else _share(failed[i, j]),
        ]
        for i, h in enumerate(found.hurst.tolist())
        for j, b in enumerate(found.beta.tolist())
    ]
    return Table("points", "Every point", columns, rows, notes=["± one standard error, of independent networks."])


def settings(found: TrainedHeatMap) -> list[tuple[str, str]]:
    """Return names and values of all that decides on the map."""
    s = found.settings
    return [
        *of_map(found, without=("scaling", "weights", "n_out", "input", "input_norm")),
        ("Learning rates", ", ".join(f"{rate:g}" for rate in s.rates)),
        ("Training", s.words()),
        ("Data", found.data.words()),
        ("SHA-256 of the data", found.data.data),
        ("Loss", found.data.loss.replace("_", " ")),
        ("Ends A and W_out", s.ends),
        ("Seed", str(found.seed)),
        ("Numerics classes", ", ".join(found.numerics) or "none yet"),
    ]
