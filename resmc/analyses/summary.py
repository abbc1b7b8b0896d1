"""The table of `Simulation.summary`: every quantity with its error, and the theory beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..results.estimates import WORTH_SAYING, Estimate, KSDistance
from ..results.layer_estimates import MIN_EFFECTIVE_SAMPLE
from ..results.record import Record
from ..tables import Column, Table
from . import growth as growths
from . import hypoactivation, interlayer, log_gaussian, log_ratio


@dataclass(frozen=True)
class Row:
    """One line: an estimate with an exact value, or with a limit at leading order in 1/n, or alone."""

    name: str
    estimate: Estimate
    exact: float | None = None
    limit: float | None = None
    kind: str = "leading order"  # the kind of limit, in words

    def comparison(self) -> tuple[str, str, str]:
        """Return the last columns: the theory's number, its kind, and the z-score or relative difference."""
        if self.exact is not None and np.isfinite(self.exact):
            z = float(self.estimate.z_score(self.exact))
            score = f"z = {z:+.2f}" if np.isfinite(z) else "equal" if float(self.estimate.value) == self.exact else ""
            exact = self.exact if abs(self.exact) > 1e-12 else 0.0  # log(alpha^2 + lam^2) of rounded alpha and lam
            return f"{exact:.6g}", "exact", score
        if self.limit is not None and np.isfinite(self.limit):
            difference = float(self.estimate.relative_difference(self.limit))
            return f"{self.limit:.6g}", self.kind, f"{difference:+.2%}" if abs(difference) <= WORTH_SAYING else ""
        if isinstance(self.estimate, KSDistance) and np.isfinite(self.estimate.noise_floor):
            return f"{self.estimate.noise_floor:.2g}", "noise floor", ""
        return "", "", ""

    def cells(self) -> list[Any]:
        """Return the row's cells in `table`."""
        e, exact, limit = self.estimate, self.exact, self.limit
        z = None if exact is None else float(e.z_score(exact))
        difference = None if limit is None else float(e.relative_difference(limit))
        numbers = [float(e.value), float(e.stderr), int(e.n), exact, z, limit, difference]
        return [self.name, e, *self.comparison(), *numbers]


QUOTIENT_SYMBOLS = {
    "growth": "|h_{0}|^2/|h_0|^2",
    "displacement": "|h_{0}-h_0|^2/|h_0|^2",
    "gradient": "|p_0|^2/|p_{0}|^2",
    "gradient_displacement": "|p_0-p_{0}|^2/|p_{0}|^2",
}


def rows(sim: Record) -> Iterator[Row]:
    """Yield every quantity of ``sim``, at the first and last layer where it depends on the layer; Corr A if kept."""
    first = sim.facts.first_layer
    yield Row("mean L_0", sim.log_norm_mean[0], exact=None if first is None else first.mean)
    yield Row("variance L_0", sim.log_norm_variance[0], exact=None if first is None else first.variance)
    if sim.lowered.log_gaussian is None:
        yield Row(f"mean L_{sim.model.depth}", sim.log_norm_mean[-1])
        yield Row(f"variance L_{sim.model.depth}", sim.log_norm_variance[-1])
    else:
        yield from _resnet_rows(sim)
    yield from _quotient_rows(sim)


def _quotient_rows(sim: Record) -> Iterator[Row]:
    """Yield final values of the quotients that were followed, with the limit in depth and the exact mean square."""
    for name in sim.laws:
        quotient, symbol = log_ratio.analyse(sim, name), QUOTIENT_SYMBOLS[name].format(sim.model.depth)
        limit = sim.facts.final_limit(name)
        mean, variance = (None, None) if limit is None else (limit.mean, limit.variance)
        yield Row(f"median log {symbol}", _present(quotient.median))
        yield Row(f"mean log {symbol}", quotient.final_mean, limit=mean, kind="limit in depth")
        yield Row(f"variance log {symbol}", quotient.final_variance, limit=variance, kind="limit in depth")
        yield Row(f"log E {symbol}", quotient.final_log_second_moment, sim.facts.final_second_moment(name))


def _present(estimate: Estimate | None) -> Estimate:
    assert estimate is not None
    return estimate


def _resnet_rows(sim: Record) -> Iterator[Row]:
    fit, hypo, growth = log_gaussian.fit(sim), hypoactivation.analyse(sim), growths.analyse(sim)
    first, d = sim.facts.first_layer, sim.resnet.depth
    assert first is not None
    yield Row("variance A_0", sim.asymmetry_variance[0], exact=first.asymmetry_variance)
    for name in ("mean", "variance", "skewness", "excess_kurtosis"):
        limit = float(getattr(fit.theory, name)[0]) if name in ("mean", "variance") else 0.0
        known = None if fit.exact is None else float(getattr(fit.exact, name)[0])
        yield Row(f"{name.replace('_', ' ')} L_{d}", getattr(fit, name), known, limit)
    yield Row("KS of L, fitted Gaussian", fit.ks_fitted)
    yield Row("KS of L, log-Gaussian limit", fit.ks_theory)
    yield Row("KS of L, infinite width", fit.ks_gaussian_limit)
    yield Row("KS of output, log-Gaussian", fit.output.ks_log_gaussian)
    yield Row("KS of output, infinite width", fit.output.ks_gaussian)
    for i in (0, -1):
        exact_a, limit_a = float(hypo.exact_asymmetry[i]), float(hypo.theory.asymmetry[i])
        exact_f, limit_f = float(hypo.exact_active_fraction[i]), float(hypo.theory.active_fraction[i])
        yield Row(f"E A_{sim.layers[i]}", hypo.asymmetry[i], exact_a, limit_a)
        yield Row(f"E F_{sim.layers[i]}", hypo.active_fraction[i], exact_f, limit_f)
    if sim.correlations:
        inter = interlayer.analyse(sim)
        for k in range(1, min(4, len(inter.lags))):
            yield Row(f"Corr A, lag {inter.lags[k]}", inter.by_lag[k], inter.exact, float(inter.theory_by_lag[k]))
    yield Row(
        f"log E|z_{d}|^2/|z_0|^2",
        growth.log_second_moment[-1],
        float(growth.exact[-1]),
        float(growth.theory[-1]),
    )


def _too_few(sim: Record) -> list[str]:
    """Say why a mean square has no error bar, if it has none."""
    if sim.lowered.log_gaussian is not None:
        reliable = bool(growths.analyse(sim).reliable[-1])
    else:
        moments = [log_ratio.analyse(sim, name).final_log_second_moment for name in sim.laws]
        reliable = all(np.isfinite(m.stderr) or np.isnan(m.value) for m in moments)
    if reliable:
        return []
    which = "a mean square" if sim.lowered.log_gaussian is None else "E|z|^2"
    fewer = sim.networks < MIN_EFFECTIVE_SAMPLE
    why = f"it needs at least {MIN_EFFECTIVE_SAMPLE:.0f}" if fewer else "its mean is ruled by rare networks"
    return [f"Too few networks for an error bar of {which} at this depth: {why}."]


def _heading(sim: Record) -> list[str]:
    m = sim.model
    ranges = ", ".join(f"{r.start}..{r.stop - 1}" for r in sim.ranges)
    lines = [
        m.title,
        f"{sim.networks} network{'s' * (sim.networks != 1)} ({ranges}), {sim.method}, seed {sim.seed}, "
        f"numerics {' '.join(sim.numerics)}",
    ]
    if sim.has_asymmetry:
        lines.append(f"at depth {m.depth}: {sim.inactive[-1]} inactive, {sim.dead[-1]} dead")
    return lines


def table(sim: Record) -> Table:
    """Return every quantity with its error, and the theory beside it: in words for people, as numbers in records."""
    found = list(rows(sim))
    people = [
        Column("quantity", "quantity", numeric=False, width=max(30, *(len(row.name) + 2 for row in found))),
        Column("estimate +- standard error", width=30),
        Column("theory", width=13),
        Column("which is", numeric=False, width=16, obvious=True),
        Column("", numeric=False),
    ]
    keys = ("value", "stderr", "n", "exact", "z_score", "limit", "relative_difference")
    columns = [*people, *(Column(None, key) for key in keys)]
    title, *lines = _heading(sim)
    return Table("quantities", title, columns, [row.cells() for row in found], lines, _too_few(sim))
