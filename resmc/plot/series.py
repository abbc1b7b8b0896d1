"""Looks of any number of curves: colours, markers and lines that differ, or one map of colours over numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 24  # curves up to which a legend names each; of more, a bar of colours says their numbers
PLAIN = 8  # curves of a sweep up to which each has a name; of more, the values of each dimension have a look
SCALED = 6  # numbers of one dimension from which their colours go along their order
MARKERS = (*(one.marker for one in st.SERIES), "X", "<", "p", ">", "h", "*")
# ends of the colours of many curves: what lies beyond is too dark for a line on black, or too pale for one on white
DARKEST, LIGHTEST = 0.15, 0.77
MOST_TICKS = 6
MOST_ENTRIES = 12  # values of one dimension that a legend names
NUMBER = re.compile(r"^(?P<name>.*?)(?:\s*=\s*)?(?P<number>[-+−]?\d+(?:\.\d*)?(?:e[-+]?\d+)?)$")


class Label(str):
    """A curve's label, with the words for its value of each dimension, of which the label is made."""

    parts: tuple[str, ...]

    def __new__(cls, parts: Sequence[str]) -> Label:
        """Return the label of these parts."""
        found = super().__new__(cls, ", ".join(parts))
        found.parts = tuple(parts)
        return found


@dataclass(frozen=True)
class Factors:
    """Three sets of words, which colours, markers and lines stand for, and the places of all curves in them."""

    words: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    places: tuple[tuple[int, int, int], ...]


def factors(labels: Sequence[str]) -> Factors | None:
    """Return what colours, markers and lines stand for in many curves of several dimensions; None for all others.

    The dimension with most values has the colours, the next the markers; those that remain share the lines.
    """
    if len(labels) <= PLAIN or not all(isinstance(one, Label) for one in labels):
        return None
    parts = [one.parts for one in labels if isinstance(one, Label)]
    columns = [tuple(dict.fromkeys(column)) for column in zip(*parts, strict=True)]
    there = sorted((i for i, column in enumerate(columns) if len(column) > 1), key=lambda i: -len(columns[i]))
    if len(there) < 2:
        return None
    groups = [there[:1], there[1:2], sorted(there[2:])]
    named = [[", ".join(one[i] for i in group) for one in parts] for group in groups]
    words = [tuple(dict.fromkeys(column)) for column in named]
    if len(words[1]) > len(MARKERS) or len(words[2]) > len(st.SERIES):
        return None
    places = [tuple(words[k].index(named[k][i]) for k in range(3)) for i in range(len(parts))]
    return Factors((words[0], words[1], words[2]), tuple((a, b, c) for a, b, c in places))


def by_line(labels: Sequence[str]) -> bool:
    """Return True if the line of a curve says which one it is."""
    found = factors(labels)
    return found is not None and len(found.words[2]) > 1


def _colours(words: Sequence[str]) -> list[str]:
    """Return a colour for each value of a dimension, along their order if they are many numbers."""
    known = numbers(words)
    if len(words) > len(st.SERIES) or (known is not None and len(words) >= SCALED):
        order = np.arange(len(words)) if known is None else np.argsort(np.argsort(known[1]))
        return [_hex(c) for c in _map()(order / (len(words) - 1))]
    return [st.SERIES[i].colour for i in range(len(words))]


def looks(labels: Sequence[str]) -> list[st.Series]:
    """Return a look for each curve, no two alike.

    Six curves differ in colour, marker and line at once, and more in two of these. Of more than `NAMED` whose labels
    are numbers, the colours go along the order of the numbers; in many curves of several dimensions colours, markers
    and lines stand for one each: see `factors`.
    """
    parted = factors(labels)
    if parted is not None:
        colours = _colours(parted.words[0])
        return [st.Series(colours[a], MARKERS[b], st.SERIES[c].line) for a, b, c in parted.places]
    count = len(labels)
    values = numbers(labels)
    found = [_look(i) for i in range(count)]
    if values is None or count <= NAMED:
        return found
    order = np.argsort(np.argsort(values[1]))
    colours = [_hex(c) for c in _map()(order / (count - 1))]
    return [one._replace(colour=colour) for one, colour in zip(found, colours, strict=True)]


def numbers(labels: Sequence[str]) -> tuple[str, list[float]] | None:
    """Return name and values of labels like "β = 0.5", of one name and different values; None for other labels."""
    found = [NUMBER.match(label) for label in labels]
    names = {one["name"] for one in found if one is not None}
    values = [float(one["number"].replace("−", "-")) for one in found if one is not None]
    if len(values) < len(labels) or len(names) != 1 or len(set(values)) < len(values):
        return None
    return names.pop(), values


def legend(ax: Axes, labels: Sequence[str], curves: Sequence[Any], others: Sequence[Any]) -> None:
    """Explain the curves, and what else is drawn: below the axes, or the curves by a bar of colours if they are many.

    ``labels`` are those that `looks` was given; an entry for each of ``curves`` carries its own words.
    """
    values, parted = numbers(labels), factors(labels)
    if parted is not None:
        st.legend(ax, [*_entries(parted), *others])
        return
    if values is None or len(labels) <= NAMED:
        st.legend(ax, [*curves, *others])
        return
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    name, ordered = values[0], sorted(values[1])
    mappable = ScalarMappable(Normalize(0.0, len(labels) - 1.0), _map())
    bar = st.colour_bar(ax, mappable, name)
    ticks = st.thinned(len(labels), MOST_TICKS)
    bar.set_ticks(ticks.tolist(), labels=[f"{ordered[i]:g}" for i in ticks])
    if others:
        st.legend(ax, others)


def _entries(parted: Factors) -> list[Any]:
    """Return the legend's entries for all values of the dimensions."""
    colours, (first, second, third) = _colours(parted.words[0]), parted.words
    kept = st.thinned(len(first), MOST_ENTRIES)
    entries = [st.proxy(first[i], color=colours[i], lw=2.5) for i in kept]
    entries += [st.proxy(word, ls="", marker=MARKERS[i], ms=3.5) for i, word in enumerate(second)]
    return entries + [st.proxy(word, ls=st.SERIES[i].line, lw=0.9) for i, word in enumerate(third) if len(third) > 1]


def _look(i: int) -> st.Series:
    """Return the look number i: the colour changes with i, marker and line with i and with each round of colours."""
    kinds = len(st.SERIES)
    again, kind = divmod(i, kinds)
    line = st.SERIES[(kind + again + again // len(MARKERS)) % kinds].line
    return st.Series(st.SERIES[kind].colour, MARKERS[(kind + again) % len(MARKERS)], line)


def _map() -> Any:
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("resmc_many", colormaps["viridis"](np.linspace(DARKEST, LIGHTEST, 64)))


def _hex(colour: Any) -> str:
    return "#" + "".join(f"{round(255.0 * float(part)):02x}" for part in colour[:3])
