"""Looks of any number of curves: colours, markers and lines that differ, or one map of colours over numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 24  # curves up to which a legend names each; of more, a bar of colours says their numbers
MARKERS = (*(one.marker for one in st.SERIES), "X", "<", "p", ">", "h", "*")
LIGHTEST = 0.88  # end of the colours of many curves: what lies beyond is too pale for a line on white
MOST_TICKS = 6
NUMBER = re.compile(r"^(?P<name>.*?)(?:\s*=\s*)?(?P<number>[-+−]?\d+(?:\.\d*)?(?:e[-+]?\d+)?)$")


def looks(labels: Sequence[str]) -> list[st.Series]:
    """Return a look for each curve, no two alike.

    Six curves differ in colour, marker and line at once, and more in two of these. Of more than `NAMED` whose labels
    are numbers, the colours go along the order of the numbers.
    """
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
    values = numbers(labels)
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


def _look(i: int) -> st.Series:
    """Return the look number i: the colour changes with i, marker and line with i and with each round of colours."""
    kinds = len(st.SERIES)
    again, kind = divmod(i, kinds)
    line = st.SERIES[(kind + again + again // len(MARKERS)) % kinds].line
    return st.Series(st.SERIES[kind].colour, MARKERS[(kind + again) % len(MARKERS)], line)


def _map() -> Any:
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("resmc_many", colormaps["viridis"](np.linspace(0.0, LIGHTEST, 64)))


def _hex(colour: Any) -> str:
    return "#" + "".join(f"{round(255.0 * float(part)):02x}" for part in colour[:3])
