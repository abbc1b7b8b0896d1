"""The page of a regime: what a network and its gradient do as the depth grows, and the evidence for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..analyses.regime import Regime
from ..analyses.verdict import LEVEL, SHOWN, Verdict
from ..engine.lowering import lower
from ..models.scaling import DepthScaling
from ..plot.depth import plot_depth_ratio
from ..results.estimates import Estimate
from ..results.observables import OBSERVABLES
from ..tables import Column, Table
from . import reproduce
from .figures import Figure, figure
from .found import Answer
from .numbers import MINUS, count, counted, percent, plain, plain_ratio, pm, ratio, score, typeset
from .page import Content, need_extra, rendered, sources, write_page
from .settings import of_model, scaling_of, whole
from .words_quotient import slug

FIGURES = {"displacement": "growth", "gradient_displacement": "gradient"}  # the ratio that stands beside each verdict's


def write(found: Regime, path: str | Path) -> None:
    """Write the page of ``found``; errors are those of `resmc.report.write`."""
    write_page(path, lambda: render(found))


def render(found: Regime) -> str:
    """Return the page of ``found``; errors are those of `resmc.report.render`."""
    need_extra()
    return rendered(content(found))


def content(found: Regime) -> Content:
    """Return the content of a regime's page."""
    m, sims = found.model, found.simulations
    answers = [_answer(found, verdict) for verdict in (found.forward, found.backward)]
    bias = f", bias\xa0=\xa0{plain(m.bias)}" if m.bias else ""
    keep = f", dropout with keep\xa0=\xa0{plain(m.keep)}" if m.keep != 1.0 else ""
    return Content(
        title=f"As the depth grows: {whole(m.block)} with {whole(m.activation)}, {m.width_in_words}",
        kind="regime",
        lead=f"{counted(len(sims), 'depth')} from {count(int(found.depths[0]))} to {count(int(found.depths[-1]))}, "
        f"{counted(sims[0].networks, 'independent random network')} each; branches {scaling_of(m, 'L')}, "
        f"{m.weights} weights{bias}{keep}.",
        progress="",
        caveats=[],
        answers=answers,
        figures={key: _figure(found, key) for answer in answers for key in answer.figures},
        tables=[depths(found)],
        settings=settings(found),
        reproduction=reproduce.of_regime(found),
        sources=sources([lower(m)], depth=True),
    )


def shown(name: str) -> str:
    """Return a ratio as it is written in text."""
    return typeset(SHOWN[name].replace(" - ", "-"))


def _answer(found: Regime, verdict: Verdict) -> Answer:
    name = verdict.ratio
    said = verdict.sentence
    said = _typeset(f"{said[0].upper()}{said[1:]}")
    sentences = (*_evidence(found, verdict), *_beside(found, FIGURES[name]))
    keys = tuple(slug(each) for each in (name, FIGURES[name]))
    return Answer(f"regime-{slug(name)}", OBSERVABLES[f"{name}.median"].question, said, sentences, keys)


def _typeset(text: str) -> str:
    """Return a sentence of a verdict in the page's typography."""
    for each in SHOWN:
        text = text.replace(SHOWN[each], shown(each))
    text = text.replace(" +- ", "\xa0±\xa0").replace("+-", "±")
    for before in ("(", "[", " "):
        for digit in "0123456789":
            text = text.replace(f"{before}-{digit}", f"{before}{MINUS}{digit}")
    return text


def _evidence(found: Regime, verdict: Verdict) -> Iterator[str]:
    low, high = (plain(end, 3) for end in verdict.interval)
    yield (
        f"The median of ln {shown(verdict.ratio)} is fitted by a + s ln L + b/L: s is {pm(verdict.slope)}, its "
        f"{100 * LEVEL:g}% interval goes from {low} to {high}, and slopes between {MINUS}{plain(verdict.threshold)} "
        f"and {plain(verdict.threshold)} count as none."
    )
    fitted = int((found.depths >= verdict.smallest_depth).sum())
    tested = "three depths leave nothing to test" if fitted == 3 else f"its p-value is {plain(verdict.p_value, 2)}"
    yield (
        f"The fit takes {counted(fitted, 'depth')} from L = {count(verdict.smallest_depth)} on; {tested}, and b is "
        f"{plain(verdict.correction, 3)}."
    )
    scaling = found.model.scaling
    if verdict.ratio == "displacement" and isinstance(scaling, DepthScaling):
        yield (
            f"For independent weights, theory says that 1/2 is the only exponent that leads neither to explosion nor "
            f"to the identity; here it is {plain(scaling.beta)}."
        )


def _beside(found: Regime, name: str) -> Iterator[str]:
    """Say what the other ratio of the same pass is at the largest depth, and in the limit where that is known."""
    value: Estimate = getattr(found, name)[-1]
    last, facts = found.simulations[-1], found.simulations[-1].facts
    text = (
        f"At L = {count(int(found.depths[-1]))} the median of {shown(name)} is "
        f"{ratio(2.0 * float(value.value), 2.0 * float(value.stderr))}"
    )
    exact = float(facts.final_quantile(name, 0.5))
    if math.isfinite(exact):
        z = score(value, 0.5 * exact)
        text += f" (theory: exactly {plain_ratio(exact)}{', ' * bool(z)}{z})"
    law = facts.final_limit(name)
    if law is None:
        yield f"{text}."
        return
    limit = math.exp(0.5 * law.mean)
    away = math.exp(float(value.value)) / limit - 1.0
    yield (
        f"{text}. At infinite depth that ratio is log-Gaussian with the median {plain(limit)} (relative difference "
        f"{percent(away)}, with {counted(last.networks, 'network')})."
    )


def _figure(found: Regime, key: str) -> Figure:
    name = key.replace("-", "_")
    values: Estimate = getattr(found, name)
    ends = (
        f"{ratio(2.0 * float(values.value[i]), 2.0 * float(values.stderr[i]))} at L = {count(int(found.depths[i]))}"
        for i in (0, -1)
    )
    described = (
        f"Median of {shown(name)} over {counted(len(found.depths), 'depth')}, with a band that holds 90% of the "
        f"networks: {' and '.join(ends)}."
    )

    def draw(ax: Any) -> None:
        plot_depth_ratio(found, name, ax=ax)

    return figure(key, f"{shown(name)} over the depth L", described, draw)


def depths(found: Regime) -> Table:
    """Return a row for each depth: the medians of the logarithms of the four ratios."""
    columns = [Column("Depth L"), *(Column(f"Median ln {shown(name)}") for name in SHOWN), Column("Networks")]
    parts: dict[str, Estimate] = {name: getattr(found, name) for name in SHOWN}
    rows = [
        [str(depth), *(pm(parts[name][i]) for name in SHOWN), str(sim.networks)]
        for i, (depth, sim) in enumerate(zip(found.depths.tolist(), found.simulations, strict=True))
    ]
    note = "± one standard error, whatever the law: the number of networks below a value is binomial."
    return Table("depths", "By depth", columns, rows, notes=[note])


def settings(found: Regime) -> list[tuple[str, str]]:
    """Return names and values of all that decides on the result."""
    first = found.simulations[0]
    classes = sorted({name for sim in found.simulations for name in sim.numerics[1:]})
    return [
        *of_model(found.model, depth=False),
        ("Depths L", ", ".join(map(str, found.depths.tolist()))),
        ("Networks at each depth", count(first.networks)),
        ("Seed", str(first.seed)),
        ("Method", first.method),
        ("Threshold", repr(found.forward.threshold)),
        ("Numerics version", first.numerics[0]),
        ("Numerics classes", ", ".join(classes)),
    ]
