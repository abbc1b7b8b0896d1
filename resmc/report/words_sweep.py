"""Sentences about a sweep: its progress, its damaged shards, the machines that computed it, and its points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..models.resnet import ResNet
from ..plot.select import chosen
from ..results.estimates import MIN_NETWORKS, WORTH_SAYING
from ..results.layer_estimates import MIN_EFFECTIVE_SAMPLE
from .found import LOOK, Answer, rounding
from .numbers import RESOLVED, count, counted, disagrees, percent, plain, pm

if TYPE_CHECKING:
    from ..sweep.result import SweepResult

NAMES = {
    "log_norm.mean": "The mean of L_d",
    "log_norm.variance": "The variance of L_d",
    "log_norm.skewness": "The skewness of L_d",
    "log_norm.excess_kurtosis": "The excess kurtosis of L_d",
    "asymmetry": "The mean asymmetry A_d",
    "active_fraction": "The mean active fraction F_d",
    "growth": "log E|z_d|²/|z_0|²",
}
QUESTIONS = {
    "log_norm.mean": "Where is the log-norm centred?",
    "log_norm.variance": "How wide is the log-norm's law?",
    "log_norm.skewness": "Is the log-norm's law symmetric?",
    "log_norm.excess_kurtosis": "Are its tails those of a Gaussian?",
    "asymmetry": "Does activation favour one sign?",
    "active_fraction": "Do fewer than half of the ReLUs fire?",
    "growth": "How does the output variance grow?",
}
REFERENCES: dict[str, tuple[str, Callable[[ResNet], float]]] = {
    "log_norm.skewness": ("0", lambda model: 0.0),
    "log_norm.excess_kurtosis": ("0", lambda model: 0.0),
    "asymmetry": ("0", lambda model: 0.0),
    "active_fraction": ("one half", lambda model: 0.5),
    "growth": ("what infinite width says", lambda model: model.depth * model.log_scale),
}


def title(name: str) -> str:
    """Return a quantity as a heading."""
    text = NAMES[name].removeprefix("The ")
    return text if text == NAMES[name] else text[0].upper() + text[1:]


def progress(result: SweepResult) -> str:
    """Say how much of the plan is there."""
    points = len(result.plan.models)
    there = f"{counted(int(result.networks.sum()), 'network')} in {counted(result.shards, 'shard')}"
    if result.complete:
        return f"Complete: all {counted(points, 'point')} are finished, {there}."
    unknown = int((result.wanted == 0).sum())
    wanted = f"of {count(int(result.wanted.sum()))}{' or more' if unknown else ''} networks"
    begun = int((result.networks > 0).sum())
    finished = f"{count(result.points_complete)} of {counted(points, 'point')}"
    text = f"INCOMPLETE: {finished} are finished and {count(begun)} begun; {there}, {wanted} wanted."
    if unknown:
        text += f" For {counted(unknown, 'point')} a pilot has not said yet how many networks it takes."
    return f"{text} Run the sweep again to go on."


def caveats(result: SweepResult) -> Iterator[str]:
    """Yield sentences that concern all points."""
    if result.damaged:
        names = ", ".join(result.damaged[:5]) + (", ..." if len(result.damaged) > 5 else "")
        yield (
            f"{counted(len(result.damaged), 'shard is', 'shards are')} damaged and not part of any number here: "
            f"{names}. The sweep, run again, computes anew what is missing."
        )
    classes = result.numerics[1:]
    if len(classes) > 1:
        yield (
            f"Several numerics classes have filled the store: {', '.join(classes)}. Their networks are the same, "
            f"their rounding is not; {rounding(result.plan.models, result.plan.method)}."
        )
    dead = int(result.dead.sum())
    if dead:
        yield (
            f"{counted(dead, 'network is', 'networks are')} dead at the last layer (z = 0, possible with alpha = "
            "0): left out of log-norm, asymmetry and active fraction, and counted as 0 in E|z|²."
        )
    few = int(((result.networks > 0) & (result.networks < MIN_NETWORKS)).sum())
    if few:
        yield (
            f"{counted(few, 'point has', 'points have')} fewer than {MIN_NETWORKS} networks and so no standard errors."
        )


def answers(result: SweepResult, figures: dict[str, tuple[str, ...]], left_out: str = "") -> list[Answer]:
    """Return an answer for each quantity, with the keys of its ``figures``; ``left_out`` says which are not drawn."""
    out = []
    for name, question in QUESTIONS.items():
        drawn = figures.get(name, ())
        sentences = [*_resolved(result, name), span(result, name), *_sentences(result, name)]
        sentences += [left_out] if drawn and left_out else []
        out.append(Answer(slug(name), question, sentences[0], tuple(sentences[1:]), drawn))
    return out


def _resolved(result: SweepResult, name: str) -> Iterator[str]:
    """Say at how many points of each variant the quantity differs from infinite width's value, if that is known."""
    if name not in REFERENCES:
        return
    words, reference = REFERENCES[name]
    models = result.plan.models
    away = result.estimates[name].value.ravel() - np.array([reference(m) for m in models])
    stderr = result.estimates[name].stderr.ravel()
    parts = []
    for variant in dict.fromkeys(m.variant for m in models):
        here = np.array([m.variant == variant for m in models]) & np.isfinite(stderr)
        if here.any():
            below, above = (int((here & (sign * away > RESOLVED * stderr)).sum()) for sign in (-1, 1))
            parts.append(_away(variant, words, below, above, int(here.sum())))
    if parts:
        yield " ".join(parts) + " (More than three standard errors are needed to count.)"


def _away(variant: str, words: str, below: int, above: int, points: int) -> str:
    seen = [f"{side} {words} at {count(k)}" for side, k in (("below", below), ("above", above)) if k]
    name = variant[0].upper() + variant[1:]
    if not seen:
        return f"{name}: not seen to differ from {words} at any of {counted(points, 'point')}."
    return f"{name}: {' and '.join(seen)} of {counted(points, 'point')}."


def slug(name: str) -> str:
    """Return a quantity's name as an id."""
    return name.replace(".", "-").replace("_", "-")


def span(result: SweepResult, name: str, sel: Mapping[str, Any] | None = None) -> str:
    """Say the range of a quantity over the points at ``sel``, over those with an error if there are any."""
    estimate, what = result.estimates[name], NAMES[name]
    value = estimate.value.ravel()
    here = _points(result, sel)
    good, kind = here[np.isfinite(estimate.stderr.ravel()[here])], "an error"
    if not good.size:
        good, kind = here[np.isfinite(value[here])], "a value"
    if not good.size:
        return f"{what} has no value yet."
    some = good.size < here.size
    low, high = good[np.argmin(value[good])], good[np.argmax(value[good])]
    if good.size == 1:
        only = f", the only one with {kind}" if some and not sel else ""
        return f"{what} is {pm(_at(estimate, low))} at {place(result, low)}{only}."
    if value[low] == value[high]:
        return f"{what} is {pm(_at(estimate, low))} at all {counted(good.size, 'point')}{f' with {kind}' * some}."
    return (
        f"{what} goes from {pm(_at(estimate, low))} ({place(result, low)}) to {pm(_at(estimate, high))} "
        f"({place(result, high)}){f', where it has {kind}' * some}."
    )


def _points(result: SweepResult, sel: Mapping[str, Any] | None) -> NDArray[np.int64]:
    """Return the numbers of the points with the coordinates ``sel``."""
    return chosen(result, sel)[0].ravel() if sel else np.arange(len(result.plan.models))


def _at(estimate: Any, index: Any) -> Any:
    return estimate.reshape((estimate.value.size,))[int(index)]


def place(result: SweepResult, index: Any) -> str:
    """Name a point by the values that distinguish it."""
    if not result.plan.listed:
        return result.plan.describe(int(index))
    model = result.plan.models[int(index)]
    return f"{model.variant}, width {model.width}, depth {model.depth}"


def _sentences(result: SweepResult, name: str) -> Iterator[str]:
    estimate, what = result.estimates[name], NAMES[name]
    flat = estimate.reshape((estimate.value.size,))
    exact, limit = result.exact[name].ravel(), result.limits[name].ravel()
    z = flat.z_score(exact)
    known = np.flatnonzero(np.isfinite(z))
    if known.size:
        worst = int(known[np.argmax(np.abs(z[known]))])
        spread = math.sqrt(float(np.mean(z[known] ** 2)))
        yield (
            f"Where it is known exactly ({counted(known.size, 'point')}), the z-scores have a root mean square of "
            f"{plain(spread, 2)} (1 is expected) and are at most {plain(abs(float(z[worst])), 2)} in size, at "
            f"{place(result, worst)}."
        )
        if disagrees(flat[worst], float(exact[worst])) and abs(float(z[worst])) > 4.0 + math.log10(known.size):
            yield LOOK
    relative = np.where(np.isfinite(exact) | ~np.isfinite(flat.stderr), np.nan, flat.relative_difference(limit))
    compared = np.isfinite(relative)
    seen = np.flatnonzero(compared & (np.abs(flat.value - limit) > RESOLVED * flat.stderr))
    of = f"of {counted(int(compared.sum()), 'point')}"
    if seen.size:
        worst = int(seen[np.argmax(np.abs(relative[seen]))])
        most, middle = float(relative[worst]), float(np.median(np.abs(relative[seen])))
        yield (
            f"From the limit at leading order in 1/n it is seen to differ at {count(seen.size)} {of}, by "
            f"{_share(most)} at most (at {place(result, worst)}) and by {_share(middle).lstrip('+')} in the median "
            "of these; that is finite width."
        )
    elif compared.any():
        yield f"From the limit at leading order in 1/n it is not seen to differ at any {of}."
    without = np.isfinite(flat.value) & ~np.isfinite(flat.stderr)
    few = result.networks.ravel() < MIN_NETWORKS
    short = ~few & (name == "growth") & (result.networks.ravel() < MIN_EFFECTIVE_SAMPLE)
    rare = " since the mean of |z|² is ruled by rare networks there" if name == "growth" else ""
    for which, why in (
        (few, f" of fewer than {MIN_NETWORKS} networks"),
        (short, f" of fewer than {MIN_EFFECTIVE_SAMPLE:.0f} networks, which it needs"),
        (~few & ~short, rare),
    ):
        if number := int((without & which).sum()):
            yield f"{what} has no standard error at {counted(number, 'point')}{why}."


def _share(relative: float) -> str:
    return percent(relative) if abs(relative) <= WORTH_SAYING else f"more than {100.0 * WORTH_SAYING:.0f}%"


def lead(result: SweepResult) -> str:
    """Say the plan in a sentence."""
    plan = result.plan
    if plan.listed:
        over = "a list of models"
    elif plan.dims:
        over = "a grid of " + " × ".join(
            f"{n} {_plural(name, n)}" for name, n in zip(plan.dims, plan.shape, strict=True)
        )
    else:
        over = "one model"
    wanted = (
        f"{counted(plan.networks, 'network')} each"
        if plan.networks
        else f"as many networks as the standard errors wanted take, at most {count(plan.max_networks)}"
    )
    return f"{counted(len(plan.models), 'point')} ({over}), {wanted}."


def _plural(name: str, n: int) -> str:
    return {"lam": "lam", "n_out": "n_out", "input_norm": "input_norm"}.get(name, name if n == 1 else f"{name}s")


def describe(result: SweepResult, name: str, sel: Mapping[str, Any] | None = None) -> str:
    """Describe the figure of a quantity at the points with the coordinates ``sel``."""
    return f"{NAMES[name]} at {counted(len(_points(result, sel)), 'point')}. {span(result, name, sel)}"
