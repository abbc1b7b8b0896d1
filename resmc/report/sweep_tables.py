"""The table of a sweep's page, its cells already in the page's typography."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..tables import Column, Table
from .numbers import counted, plain, pm_values
from .words_sweep import NAMES, title

if TYPE_CHECKING:
    from ..sweep.result import SweepResult

MOST_ROWS = 10_000


def points(result: SweepResult) -> Table:
    """Return a row for each point of a sweep: its place, its networks, each quantity and the theory beside it."""
    plan = result.plan
    fields = [f for f in plan.models[0].to_dict() if len({getattr(m, f) for m in plan.models}) > 1]
    fields = fields or ["width", "depth"]
    aspects = len(set(plan.ratios)) > 1
    columns = [Column(f, numeric=f != "variant") for f in fields] + ([Column("d/n")] if aspects else [])
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
        line = [_shown(getattr(model, f)) for f in fields] + ([plain(model.ratio)] if aspects else [])
        line += [str(networks[i]), "yes" if networks[i] == wanted[i] > 0 else "no"]
        for value, stderr, beside, sure in texts:
            line += [pm_values(value[i], stderr[i]), plain(beside[i]) + (" exact" if sure[i] else "")]
        out.append(line)
    note = "± one standard error. Theory: the limit at leading order in 1/n, or the exact value where it says so."
    if len(plan.models) > MOST_ROWS:
        note += (
            f" The first {MOST_ROWS} of {counted(len(plan.models), 'point')} are shown; `resmc export` writes "
            "all of them."
        )
    return Table("points", "Every point", columns, out, notes=[note])


def _shown(value: object) -> str:
    return plain(value, 6) if isinstance(value, float) else str(value)
