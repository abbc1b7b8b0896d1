"""The tables of a report, their cells already in its typography; the page makes them sortable."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ..analyses.summary import rows
from ..tables import Column, Table
from .found import Analyses
from .numbers import MINUS, counted, plain, pm, pm_values
from .words_sweep import NAMES, title

if TYPE_CHECKING:
    from ..sweep.result import SweepResult

MOST_ROWS = 10_000
NOTE = ("± one standard error. Exact: at this width and depth, with z = (estimate − exact)/error. Leading order: the "
        "limit in 1/n, with the relative difference, which is of order 1/n and no error.")  # fmt: skip


def quantities(found: Analyses) -> Table:
    """Every quantity of `Simulation.summary`."""
    out = []
    for row in rows(found.sim):
        e = row.estimate
        compared = (re.sub("(?<!e)-", MINUS, text) for text in row.comparison())
        out.append((row.name.replace("^2", "²"), pm(e), str(int(e.n)), *compared))
    columns = (Column("Quantity", numeric=False), Column("Estimate ± error"), Column("Networks"), Column("Theory"),
               Column("Kind", numeric=False), Column("Comparison", numeric=False))  # fmt: skip
    return Table("quantities", "Every quantity", columns, out, notes=[NOTE])


def layers(found: Analyses) -> Table:
    """What depends on the layer, for all recorded ones."""
    sim, growth = found.sim, found.growth
    estimates = (sim.log_norm_mean, sim.log_norm_variance, sim.asymmetry_mean, sim.active_fraction,
                 growth.log_second_moment)  # fmt: skip
    alive, inactive = sim.alive, sim.inactive
    out = [
        (str(layer), plain(float(growth.ratio[i])), *(pm(e[i]) for e in estimates),
         "yes" if growth.reliable[i] else "no", str(alive[i]), str(inactive[i]))
        for i, layer in enumerate(sim.layers.tolist())
    ]  # fmt: skip
    names = ("Layer l", "l/n", "Mean of L_l", "Variance of L_l", "E A_l", "E F_l", "log E|z_l|²/|z_0|²")
    columns = (*map(Column, names), Column("Reliable", numeric=False), Column("Alive"), Column("Inactive"))
    note = ("L_l: log-norm; A_l: asymmetry; F_l: fraction of active neurons. Reliable: whether log E|z_l|²/|z_0|² can "
            "be trusted with an error.")  # fmt: skip
    return Table("layers", "By layer", columns, out, notes=[note])


def points(result: SweepResult) -> Table:
    """Every point of a sweep: its place, its networks, each quantity and the theory beside it."""
    plan = result.plan
    fields = [f for f in plan.models[0].to_dict() if len({getattr(m, f) for m in plan.models}) > 1]
    fields = fields or ["width", "depth"]
    ratios = len(set(plan.ratios)) > 1
    columns = [Column(f, numeric=f != "variant") for f in fields] + ([Column("d/n")] if ratios else [])
    columns += [Column("Networks"), Column("Complete", numeric=False)]
    texts = []
    for name in NAMES:
        estimate = result.estimates[name]
        exact, limit = result.exact[name].ravel(), result.limits[name].ravel()
        known = np.isfinite(exact)
        theory = np.where(known, exact, limit)
        texts.append(
            (estimate.value.ravel().tolist(), estimate.stderr.ravel().tolist(), theory.tolist(), known.tolist())
        )
        columns += [Column(title(name)), Column(f"{title(name)}, theory")]
    networks, wanted = result.networks.ravel().tolist(), result.wanted.ravel().tolist()
    out = []
    for i, model in enumerate(plan.models[:MOST_ROWS]):
        line = [_shown(getattr(model, f)) for f in fields] + ([plain(model.ratio)] if ratios else [])
        line += [str(networks[i]), "yes" if networks[i] == wanted[i] > 0 else "no"]
        for value, stderr, beside, sure in texts:
            line += [pm_values(value[i], stderr[i]), plain(beside[i]) + (" exact" if sure[i] else "")]
        out.append(line)
    note = "± one standard error. Theory: the limit at leading order in 1/n, or the exact value where it says so."
    if len(plan.models) > MOST_ROWS:
        note += (f" The first {MOST_ROWS} of {counted(len(plan.models), 'point')} are shown; `resmc export` writes "
                 "all of them.")  # fmt: skip
    return Table("points", "Every point", columns, out, notes=[note])


def _shown(value: object) -> str:
    return plain(value, 6) if isinstance(value, float) else str(value)
