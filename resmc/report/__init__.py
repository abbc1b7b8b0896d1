"""Reports of simulations, sweeps, regimes and maps: one HTML page of answers, figures, numbers, how to get them.

>>> sim.report("report.html")  # a Simulation, or a SweepResult
>>> resmc.report.write(resmc.load("run.resmc"), "report.html")
>>> resmc.report.write(resmc.regime(network), "regime.html")
>>> resmc.report.write(resmc.load_heat_map("runs/map"), "map.html")

Networks of every kind have a page. It says of them what was estimated, and sets theory beside it where there is some:
exact values with a z-score, limits with a relative difference. A quotient that was followed has a section of its own:
how far the network goes from its first layer, how its gradient grows on the way back.

The page needs nothing from the network and can be sent as it is. ``resmc report RUN --output report.html`` makes it
too, and ``resmc regime .. --output regime.html`` that of a regime. The limits that `resmc.limit` returns have no page:
their ``summary()`` says all of them, in a notebook as a table. A report needs the extra ``resmc[report]``.
"""

# In reading order: numbers (how numbers are written), found (the analyses that a report speaks of), words, words_law,
# words_layers, words_growth, words_quotient, words_dead, words_sweep (the sentences; which quantities there are, and
# what they are called and ask, says resmc.results.observables), alternatives (descriptions of the figures), figures
# and colours (drawings as SVG that follow the page's colours), tables and sweep_tables, sweep_figures, settings,
# spelled (networks as Python and as options), reproduce (command lines and Python that give the same bits), map_words
# (what maps of both kinds say), page (the template), simulation_page, sweep_page, regime_page, heat_map_page and
# trained_map_page (a page's content).

import reprlib
from pathlib import Path
from typing import Any

from .._system.words import cut
from ..analyses.regime import Regime
from ..experiments.heat_map import HeatMap
from ..experiments.train.heat_map import TrainedHeatMap
from ..results.record import Record
from ..simulation import Simulation
from ..sweep.result import SweepResult
from . import heat_map_page, regime_page, simulation_page, sweep_page, trained_map_page

__all__ = ["render", "write"]


def write(result: Simulation | SweepResult | Regime | HeatMap, path: str | Path) -> None:
    """Write the report of ``result`` to ``path``, whole or not at all.

    Raises
    ------
    ValueError
        If ``result`` is none of these, or ``path`` no name of a file.
    ImportError
        If Jinja2 or matplotlib is not installed.
    OSError
        If the file cannot be written; an older one of that name stays as it was.
    """
    _page(result).write(result, path)


def render(result: Simulation | SweepResult | Regime | HeatMap | TrainedHeatMap) -> str:
    """Return the report as HTML; the same result gives the same text.

    Raises
    ------
    ValueError
        If ``result`` is none of these.
    ImportError
        If Jinja2 or matplotlib is not installed.
    """
    return str(_page(result).render(result))


def _page(result: Any) -> Any:
    if isinstance(result, Record):
        return simulation_page
    if isinstance(result, SweepResult):
        return sweep_page
    if isinstance(result, Regime):
        return regime_page
    if isinstance(result, HeatMap):
        return heat_map_page
    if isinstance(result, TrainedHeatMap):
        return trained_map_page
    raise ValueError(
        f"result={cut(reprlib.repr(result), 50)} is not allowed: it must be a Simulation, a SweepResult, a Regime, "
        "a HeatMap or a TrainedHeatMap (resmc.load, resmc.load_sweep and resmc.load_heat_map read saved ones)"
    )
