"""Sentences about a sweep: its progress, its damaged shards, the machines that computed it, and its points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..engine.lowering import MEAN_SQUARE, Lowered
from ..plot.select import chosen, letter_of_sweep
from ..results.estimates import MIN_NETWORKS, WORTH_SAYING
from ..results.observable import IN_DEPTH, SECOND_ORDER, SENTENCES, Observable, letter
from ..results.observables import OBSERVABLES
from .found import LOOK, Answer, rounding
from .numbers import RESOLVED, count, counted, disagrees, percent, plain, pm, the, typeset
from .tables import capital
from .words_quotient import slug

if TYPE_CHECKING:
    from ..sweep.result import SweepResult

# Names of fields whose plural is no sentence of its own are left as they are.
PLURALS = {name: f"{name}s" for name in ("block", "activation", "width", "depth", "ratio", "beta", "alpha", "variant")}
PLURALS |= {"bias": "biases", "scaling": "scalings", "carry": "carries", "input": "inputs", "point": "points"}

MOST_NAMED = 4  # quantities that a sentence names


def asked(result: SweepResult) -> dict[str, Observable]:
    """Return the quantities that have a section: those that ask a question of their own.

    A mean square that follows from the growth asks none.
    """
    own = any(one.follows_mean_square for one in result.plan.lowered)
    found = result.quantities.items()
    return {name: one for name, one in found if one.question and (own or one.sums != MEAN_SQUARE)}


def words_of(result: SweepResult, name: str) -> str:
    """Return a quantity in words that begin a sentence."""
    one = OBSERVABLES[name]
    return the(one.described(_end(one), letter_of_sweep(result)))


def title(result: SweepResult, name: str) -> str:
    """Return a quantity as a heading."""
    one = OBSERVABLES[name]
    return capital(typeset(one.called(_end(one), letter_of_sweep(result))))


def _end(one: Observable) -> str:
    return "0" if one.backward else "d"


def progress(result: SweepResult) -> str:
    """Say how much of the plan is there."""
    points = len(result.plan.models)
    there = f"{counted(int(result.networks.sum()), 'network')} in {counted(result.shards, 'shard')}"
    if result.complete:
        return f"Complete: {'its point is' if points == 1 else f'all {count(points)} points are'} finished, {there}."
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
    dead, z = int(result.dead.sum()), letter_of_sweep(result)
    if dead:
        activity = ", asymmetry and active fraction" if "asymmetry" in result.quantities else ""
        why = ", possible with alpha = 0" if z == "z" else ""
        yield (
            f"{counted(dead, 'network is', 'networks are')} dead at the last layer ({z} = 0{why}): left out of "
            f"log-norm{activity}, and counted as 0 in E|{z}|²."
        )
    lacking = [name for name in result.quantities if any(name not in names for names in result.plan.observables)]
    if lacking:
        named = ", ".join(title(result, name) for name in lacking[:MOST_NAMED])
        more = f" and {counted(len(lacking) - MOST_NAMED, 'other')}" if len(lacking) > MOST_NAMED else ""
        yield f"Not all networks have {named}{more}: where they do not, a dash stands in the table."
    few = int(((result.networks > 0) & (result.networks < MIN_NETWORKS)).sum())
    if few:
        yield f"{counted(few, 'point has', 'points have')} fewer than {MIN_NETWORKS} networks and so no error bars."


def answers(result: SweepResult, figures: dict[str, tuple[str, ...]], left_out: str = "") -> list[Answer]:
    """Return an answer for each quantity, with the keys of its ``figures``; ``left_out`` says which are not drawn."""
    out = []
    for name, one in asked(result).items():
        drawn = figures.get(name, ())
        sentences = [*_resolved(result, one), span(result, name), *_sentences(result, name)]
        sentences += [left_out] if drawn and left_out else []
        out.append(Answer(slug(name), one.question, sentences[0], tuple(sentences[1:]), drawn))
    return out


def _resolved(result: SweepResult, one: Observable) -> Iterator[str]:
    """Say at how many points of each kind of network the quantity differs from its neutral value, if that is known."""
    if one.neutral is None:
        return
    neutral, lowered = one.neutral, result.plan.lowered
    known = {id(each): neutral.value(each.facts) for each in lowered}
    estimate = result.estimates[one.name].reshape((-1,))
    away = estimate.value - np.array([known[id(each)] for each in lowered])
    stderr, kinds = estimate.stderr, [kind(each) for each in lowered]
    parts = []
    for name in dict.fromkeys(kinds):
        here = np.array([each == name for each in kinds]) & np.isfinite(stderr) & np.isfinite(away)
        if here.any():
            below, above = (int((here & (sign * away > RESOLVED * stderr)).sum()) for sign in (-1, 1))
            parts.append(_away(name, neutral.words, below, above, int(here.sum())))
    if parts:
        yield " ".join(parts) + " (More than three standard errors are needed to count.)"


def kind(lowered: Lowered) -> str:
    """Return what distinguishes networks in words: a ResNet's variant, else block and activation."""
    found = lowered.log_gaussian
    if letter(lowered) == "z" and found is not None:
        return found.variant
    return f"{lowered.general.block} with {lowered.general.activation}"


def _away(name: str, words: str, below: int, above: int, points: int) -> str:
    seen = [f"{side} {words} at {count(k)}" for side, k in (("below", below), ("above", above)) if k]
    name = name if " with " in name else name[0].upper() + name[1:]  # the name of a block is code
    if not seen:
        return f"{name}: not seen to differ from {words} {_anywhere(points)}."
    if points == 1:
        return f"{name}: {'below' if below else 'above'} {words} at its one point."
    return f"{name}: {' and '.join(seen)} of {count(points)} points."


def _anywhere(points: int) -> str:
    """Return the words for none of so many points."""
    return "at its one point" if points == 1 else f"at any of {count(points)} points"


def span(result: SweepResult, name: str, sel: Mapping[str, Any] | None = None) -> str:
    """Say the range of a quantity over the points at ``sel``, over those with an error if there are any."""
    estimate, what = result.estimates[name], words_of(result, name)
    value = estimate.value.ravel()
    here = _points(result, sel)
    here = here[[name in result.plan.observables[i] for i in here.tolist()]]
    good, kind = here[np.isfinite(estimate.stderr.ravel()[here])], "an error"
    if not good.size:
        good, kind = here[np.isfinite(value[here])], "a value"
    if not good.size:
        return f"{what} has no value{'' if result.complete else ' yet'}."
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
    return f"{kind(result.plan.lowered[int(index)])}, {model.width_in_words}, depth {model.depth}"


def _sentences(result: SweepResult, name: str) -> Iterator[str]:
    estimate, one = result.estimates[name], OBSERVABLES[name]
    flat = estimate.reshape((estimate.value.size,))
    exact, limit = result.exact[name].ravel(), result.limits[name].ravel()
    z = np.where(flat.value == exact, np.nan, flat.z_score(exact))  # an error beside an equal value is a bound
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
    points, sentence = int(compared.sum()), SENTENCES[one.limit_kind]
    if seen.size:
        worst = int(seen[np.argmax(np.abs(relative[seen]))])
        most, middle = float(relative[worst]), float(np.median(np.abs(relative[seen])))
        where = "at its one point" if points == 1 else f"at {count(seen.size)} of {count(points)} points"
        by = f"{_share(most)} at most (at {place(result, worst)})"
        by += f" and by {_share(middle).lstrip('+')} in the median of these"
        by = _share(most) if points == 1 else f"{_share(most)} (at {place(result, worst)})" if seen.size == 1 else by
        of = "depth" if one.limit_kind == IN_DEPTH else "width"
        yield f"From the {sentence} it is seen to differ {where}, by {by}; that is finite {of}."
        yield from _next_order(result, name, seen)
    elif points:
        yield f"From the {sentence} it is not seen to differ {_anywhere(points)}."
    yield from _without_error(result, one)


def _next_order(result: SweepResult, name: str, seen: NDArray[np.int64]) -> Iterator[str]:
    """Say how far the quantity is from the limit with the next order, at the points at which it is off the limit."""
    flat, second = result.estimates[name].reshape((-1,)), result.second_order[name].ravel()
    left = np.abs(flat.relative_difference(second)[seen])
    if np.isfinite(left).any():
        resolved = np.abs(flat.value - second)[seen] > RESOLVED * flat.stderr[seen]
        at = "there" if seen.size == 1 else f"at {count(int(resolved.sum()))} of these"
        by = _share(float(np.nanmedian(left))).lstrip("+")
        where = f"it is seen to differ {at}" if resolved.any() else f"it is not seen to differ {_there(seen.size)}"
        yield f"From the {SECOND_ORDER} {where}; the difference is {by}{' in the median' * (seen.size > 1)}."


def _there(points: int) -> str:
    return "there" if points == 1 else "at any of these"


def _without_error(result: SweepResult, one: Observable) -> Iterator[str]:
    """Say at how many points there is a value without an error, and why."""
    estimate, networks = result.estimates[one.name], result.networks.ravel()
    without = (np.isfinite(estimate.value) & ~np.isfinite(estimate.stderr)).ravel()
    few = networks < MIN_NETWORKS
    if one.rare:
        why = f" since the mean of |{letter_of_sweep(result)}|² is ruled by rare networks there"
    else:
        why = ", which takes more networks at that width" if one.least is not None else ""
    for which, said in ((few, f" of fewer than {MIN_NETWORKS} networks"), (~few, why)):
        if number := int((without & which).sum()):
            yield f"It has no error bar at {counted(number, 'point')}{said}."


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
        else f"as many networks as the standard errors wanted take, at most {count(plan.most)}"
    )
    return f"{counted(len(plan.models), 'point')} ({over}), {wanted}."


def _plural(name: str, n: int) -> str:
    if n == 1 or name not in PLURALS:
        return name
    return PLURALS[name]


def describe(result: SweepResult, name: str, sel: Mapping[str, Any] | None = None) -> str:
    """Describe the figure of a quantity at the points with the coordinates ``sel``."""
    return f"{words_of(result, name)} at {counted(len(_points(result, sel)), 'point')}. {span(result, name, sel)}"
