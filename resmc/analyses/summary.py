"""The table of `Simulation.summary`: every quantity with its error, and the theory beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._system.words import counted, shortened
from ..engine.lowering import QUOTIENTS
from ..models.activation_record import FLAT
from ..results.estimates import COARSEST, MIN_NETWORKS, ROUNDING, WORTH_SAYING, Estimate, KSDistance
from ..results.observable import NEXT, Observable, Predictions
from ..results.observable import letter as letter_of
from ..results.observables import OBSERVABLES
from ..results.record import Record
from ..results.reliability import FEWEST_ACTIVE
from ..tables import Column, Table
from ..tables.cells import cell
from . import joint_summary
from .found import estimates, places

NAMED = 3  # quantities that a note names
LAGS = 4  # distances of layers in a summary, 0 among them, which is left out


@dataclass(frozen=True)
class Row:
    """One line: an estimate at a layer, with an exact value, or with a limit in one order or two, or alone.

    ``layer`` is the recorded layer, the distance of two layers, or None for what belongs to the whole simulation.
    """

    observable: Observable
    name: str
    estimate: Estimate
    layer: int | None = None
    exact: float | None = None
    limit: float | None = None
    second_order: float | None = None

    def comparison(self) -> tuple[str, str, str]:
        """Return the last columns: the theory's number, its kind, and the z-score or relative difference."""
        if self.exact is not None:
            z = float(self.estimate.z_score(self.exact))
            away = abs(float(self.estimate.value) - self.exact)
            rounding = away <= ROUNDING and np.isfinite(self.estimate.stderr)
            same = "equal" if away == 0.0 else "equal to rounding" if rounding else ""
            score = f"z = {z:+z.2f}" if np.isfinite(z) else same
            return cell(self.exact), "exact", score
        if self.limit is not None:
            difference = float(self.estimate.relative_difference(self.limit))
            said = f"{difference:+z.2%}" if abs(difference) <= WORTH_SAYING else ""
            return cell(self.limit), self.observable.limit_kind, said
        e = self.estimate
        if isinstance(e, KSDistance) and np.isfinite(e.noise_floor) and np.isfinite(e.value):
            tested = f"p = {e.p_value:.2g}" if self.observable.tests_exact else ""
            return f"{e.noise_floor:.2g}", "noise floor", tested
        return "", "", ""

    def next_order(self) -> str:
        """Return the limit with the next order in 1/n, and the relative difference; nothing beside an exact value."""
        if self.exact is not None or self.second_order is None:
            return ""
        difference = float(self.estimate.relative_difference(self.second_order))
        said = f" ({difference:+z.2%})" if abs(difference) <= WORTH_SAYING else ""
        return cell(self.second_order) + said

    def cells(self) -> list[Any]:
        """Return the row's cells in `table`."""
        e, exact, limit, second = self.estimate, self.exact, self.limit, self.second_order
        z = None if exact is None else float(e.z_score(exact))
        difference = None if limit is None else float(e.relative_difference(limit))
        kind = None if limit is None else self.observable.limit_kind
        numbers = [float(e.value), float(e.stderr), int(e.n), exact, z, limit, kind, difference, second]
        return [self.name, e, *self.comparison(), self.observable.name, self.layer, *numbers]


def rows(sim: Record) -> Iterator[Row]:
    """Yield every quantity of ``sim``, at the first and last layer where it changes from one to the other."""
    found = estimates(sim, [name for name in sim.observables if OBSERVABLES[name].per != "lag" or sim.correlations])
    letter, depth = letter_of(sim.lowered), sim.model.depth
    for name, estimate in found.items():
        one = OBSERVABLES[name]
        if one.per == "run":
            yield Row(one, one.called(""), estimate)
        elif one.per == "lag":
            known = one.predictions(sim.facts, sim.layers)
            for k, lag in enumerate(places(sim, name)[:LAGS].tolist()[1:], 1):
                yield Row(one, one.called(lag), estimate[k], lag, *_numbers(known[k]))
        elif one.sums in QUOTIENTS:  # quotients stand for their ends, since all of them begin with nothing
            layer = one.end(depth)
            final = estimate if one.per == "end" else estimate[0 if one.backward else -1]
            yield Row(one, one.called(layer, letter, depth), final, layer, *_theory(sim, one, layer))
        else:
            for index in one.rows:
                layer = int(sim.layers[index])
                yield Row(one, one.called(layer, letter, depth), estimate[index], layer, *_theory(sim, one, layer))


def _theory(sim: Record, one: Observable, layer: int) -> Iterator[float | None]:
    return _numbers(one.predictions(sim.facts, np.array([layer]))[0])


def _numbers(known: Predictions) -> Iterator[float | None]:
    """Yield the exact value, the limit, and the limit with the next order, or None where they are not known."""
    for value in (known.exact, known.limit, known.second_order):
        yield float(value) if np.isfinite(value) else None


def _too_few(sim: Record, found: list[Row]) -> list[str]:
    """Say which quantities have no error bar, and why."""
    if sim.networks < MIN_NETWORKS:
        return [f"No error bars: they take {MIN_NETWORKS} networks or more."]
    without = [row for row in found if np.isfinite(row.estimate.value) and np.isnan(row.estimate.stderr)]
    rare = [row for row in without if row.observable.rare]
    notes = []
    for kind in sorted({_least(sim, row) for row in without if row.observable.least and not row.observable.rare}):
        some = [row for row in without if row not in rare and row.observable.least and _least(sim, row) == kind]
        notes.append(f"No error bar of {_named(some)}: it takes {kind} networks or more.")
    if rare:
        why = "rare networks rule that mean, and these are too few to tell how far it is off"
        notes.append(f"No error bar of {_named(rare)}: {why}.")
    return notes


def _too_coarse(found: list[Row]) -> list[str]:
    """Say which distances between laws have no value, and why."""
    without = [row for row in found if isinstance(row.estimate, KSDistance) and row.estimate.resolution > COARSEST]
    if not without:
        return []
    return [
        f"No value of {_named(without)}: the bins of the histogram are too wide for a law that is so narrow or steep."
    ]


def _flat_slopes(sim: Record) -> list[str]:
    """Say where gradients may lose what slopes carry that are too small for the kernels."""
    if "gradient" not in sim.ratios:
        return []
    name = sim.lowered.general.activation
    # Some of many neurons have a slope that counts, unless sigma is flat on either side.
    beyond = sim.lowered.general.sigma.flat_beyond(both=int(sim.model.layer_widths.min()) >= FEWEST_ACTIVE)
    largest = np.nanmax(np.append(sim.log_norm_mean.value + 2.0 * np.sqrt(sim.log_norm_variance.value), -np.inf))
    if largest < 2.0 * np.log(beyond):
        return []
    size = f"{np.exp(0.5 * largest):.2g}" if largest < 1400.0 else f"e^{0.5 * largest:.0f}"
    return [
        f"Slopes of {name} below {FLAT:g} count as 0, and layers reach |h|/sqrt(n) = {size}, where they are: what "
        "gradients lose by that is in no error bar."
    ]


def _least(sim: Record, row: Row) -> int:
    """Return how many networks an error bar of a row takes, of networks such as these."""
    least = row.observable.least
    assert least is not None
    assert row.layer is not None
    if row.observable.per == "lag":
        index = -1  # all pairs of layers have the networks that are alive at the end
    else:
        index = 0 if row.observable.per == "end" else int(np.searchsorted(sim.layers, row.layer))
    entries = sim.end if row.observable.per == "end" else sim.entries
    return int(np.ceil(np.broadcast_to(least(entries), entries.layers.shape)[index]))


def _named(rows_: list[Row]) -> str:
    more = f" and {len(rows_) - NAMED} more" if len(rows_) > NAMED else ""
    return ", ".join(row.name for row in rows_[:NAMED]) + more


def _heading(sim: Record) -> list[str]:
    m = sim.model
    ranges = ", ".join(shortened([f"{r.start}..{r.stop - 1}" for r in sim.ranges]))
    lines = [
        m.title,
        f"{counted(sim.networks, 'network')} ({ranges}), {sim.method}, seed {sim.seed}, "
        f"numerics {' '.join(sim.numerics)}",
    ]
    if sim.has_asymmetry:
        lines.append(f"at depth {m.depth}: {sim.inactive[-1]} inactive, {sim.dead[-1]} dead")
    return lines + joint_summary.heading(sim)


def table(sim: Record) -> Table:
    """Return every quantity with its error, and the theory beside it: in words for people, as numbers in records."""
    found = list(rows(sim))
    title, *lines = _heading(sim)
    notes = [*_too_few(sim, found), *_too_coarse(found), *_flat_slopes(sim), *joint_summary.notes(sim)]
    return as_table(found, title, lines, notes)


def as_table(found: Sequence[Row], title: str = "", lines: Sequence[str] = (), notes: Sequence[str] = ()) -> Table:
    """Return rows as a table."""
    people = [
        Column("quantity", "quantity", numeric=False, width=max(30, *(len(row.name) + 2 for row in found))),
        Column("estimate +- standard error", width=30),
        Column("theory", width=13),
        Column("which is", numeric=False, width=16, obvious=True),
        Column("", numeric=False),
    ]
    theory = ("exact", "z_score", "limit", "limit_kind", "relative_difference", "second_order")
    keys = ("name", "layer", "value", "stderr", "n", *theory)
    cells, second = [row.cells() for row in found], [row.next_order() for row in found]
    if any(second):
        people.append(Column(NEXT, numeric=False))
        cells = [[*c[: len(people) - 1], said, *c[len(people) - 1 :]] for c, said in zip(cells, second, strict=True)]
    columns = [*people, *(Column(None, key) for key in keys)]
    return Table("quantities", title, columns, cells, lines, notes)
