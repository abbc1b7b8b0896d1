"""The tables of a simulation's page, their cells already in its typography; the page makes them sortable."""

from __future__ import annotations

import re

from ..analyses.summary import rows
from ..tables import Column, Table
from .found import Analyses
from .numbers import MINUS, plain, pm

NOTE = (
    "± one standard error. Exact: at this width and depth, with z = (estimate − exact)/error. Leading order: the "
    "limit in 1/n, with the relative difference, which is of order 1/n and no error."
)


def quantities(found: Analyses) -> Table:
    """Return a row for each quantity of `Simulation.summary`."""
    out = []
    for row in rows(found.sim):
        e = row.estimate
        compared = (re.sub("(?<!e)-", MINUS, text) for text in row.comparison())
        out.append((row.name.replace("^2", "²"), pm(e), str(int(e.n)), *compared))
    columns = (
        Column("Quantity", numeric=False),
        Column("Estimate ± error"),
        Column("Networks"),
        Column("Theory"),
        Column("Kind", numeric=False),
        Column("Comparison", numeric=False),
    )
    return Table("quantities", "Every quantity", columns, out, notes=[NOTE])


def layers(found: Analyses) -> Table:
    """Return a row for each recorded layer."""
    sim, growth = found.sim, found.growth
    estimates = (
        sim.log_norm_mean,
        sim.log_norm_variance,
        sim.asymmetry_mean,
        sim.active_fraction,
        growth.log_second_moment,
    )
    alive, inactive = sim.alive, sim.inactive
    out = [
        (
            str(layer),
            plain(float(growth.ratio[i])),
            *(pm(e[i]) for e in estimates),
            "yes" if growth.reliable[i] else "no",
            str(alive[i]),
            str(inactive[i]),
        )
        for i, layer in enumerate(sim.layers.tolist())
    ]
    names = ("Layer l", "l/n", "Mean of L_l", "Variance of L_l", "E A_l", "E F_l", "log E|z_l|²/|z_0|²")
    columns = (*map(Column, names), Column("Reliable", numeric=False), Column("Alive"), Column("Inactive"))
    note = (
        "L_l: log-norm; A_l: asymmetry; F_l: fraction of active neurons. Reliable: whether log E|z_l|²/|z_0|² can "
        "be trusted with an error."
    )
    return Table("layers", "By layer", columns, out, notes=[note])
