"""Figures of `resmc.plot` as SVG within the page: without fonts or files, with ids and colours of the page."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .colours import KEPT, as_variables

SIZE = (4.6, 3.5)  # inches: a phone has three quarters of that width, where words are still legible
TOP = 0.12  # inches above the axes, half a number beside their upper end included
AXES = 2.5  # inches: the height of the axes, and so their scale, whatever stands below them
SETTINGS: Any = {
    "svg.fonttype": "path",
    "svg.hashsalt": "resmc",
    "savefig.dpi": 150.0,
    "font.size": 10.0,
    "axes.labelsize": 10.0,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.0,
}
_BOX = re.compile(r'height="[0-9]+pt" viewBox="0 0 ([0-9.]+) ([0-9.]+)"')
_NAMES = re.compile(r'(\bid="|href="#|url\(#)([^")]+)')


@dataclass(frozen=True)
class Figure:
    """A drawing with its title and description, or instead of the drawing a refusal."""

    key: str
    title: str
    description: str
    svg: str = ""
    colours: frozenset[str] = field(default=frozenset())
    refusal: str = ""

    @property
    def height(self) -> float:
        """Height of the drawing in points, 0 where there is none."""
        box = _BOX.search(self.svg)
        return float(box[2]) if box else 0.0

    def with_height(self, height: float) -> Figure:
        """Return the same drawing with room below it."""
        return replace(
            self, svg=_BOX.sub(rf'height="{height:.0f}pt" viewBox="0 0 \g<1> {height:g}"', self.svg, count=1)
        )


def figure(key: str, title: str, description: str, draw: Callable[[Any], Any]) -> Figure:
    """Return the figure that ``draw`` draws on the Axes it is given, or its refusal, a ValueError, in words."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context():  # a user's own settings stay as they are
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        canvas = Canvas(figsize=SIZE, layout="constrained", facecolor="none")
        ax = canvas.subplots()
        ax.set_facecolor("none")
        try:
            draw(ax)
        except ValueError as error:
            refusal = re.sub(r"^(sim|result)\b|\bsim(?='s)", "the simulation", str(error))
            return Figure(key, title, description, refusal=refusal)
        ax.set_title("")  # the page shows the title
        _keep_maps(canvas)
        _set_axes(canvas, ax)
        file = io.StringIO()
        canvas.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg, used = as_variables(cleaned(file.getvalue(), key, description))
    return Figure(key, title, description, svg, frozenset(used))


def level(figures: Mapping[str, Figure], beside: Sequence[Sequence[str]]) -> dict[str, Figure]:
    """Return the figures with those that stand beside each other, given by their keys, made equally high."""
    out = dict(figures)
    for keys in beside:
        highest = max((figures[key].height for key in keys), default=0.0)
        out |= {key: figures[key].with_height(highest) for key in keys}
    return out


def _set_axes(canvas: Any, ax: Any) -> None:
    """Give the axes the place and height of those of all figures: a legend below makes the canvas higher instead."""
    canvas.draw_without_rendering()  # places everything
    canvas.set_layout_engine("none")
    old, main = canvas.get_figheight(), ax.get_position()
    below = old * main.y0
    new = below + AXES + TOP
    canvas.set_figheight(new)
    for each in canvas.axes:
        place = each.get_position()
        low, high = (below + (old * y - below) * AXES / (old * main.height) for y in (place.y0, place.y1))
        if each is not ax:
            each.set_box_aspect(None)  # a colour bar is as high as its map
        each.set_position((place.x0, low / new, place.width, (high - low) / new))


def _keep_maps(canvas: Any) -> None:
    """Make heat maps pictures, lest ten thousand cells be drawn one by one, and keep the colours of words on them."""
    from matplotlib.collections import QuadMesh

    for ax in canvas.axes:
        maps = [child for child in ax.get_children() if isinstance(child, QuadMesh)]
        for one in maps:
            one.set_rasterized(True)
        for text in ax.texts if maps else ():
            text.set_color(f"#{KEPT[text.get_color() in ('w', 'white')]}")


def cleaned(document: str, key: str, description: str) -> str:
    """Return the svg element for use within a page: with its description, and with ids that begin with ``key``."""
    start = document.index("<svg")
    svg = document[start:]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'\s*<defs>\s*<style type="text/css">.*?</style>\s*</defs>', "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = _NAMES.sub(lambda match: f"{match[1]}{key}-{match[2]}", svg)
    head, _, rest = svg.partition(">")
    box = re.search(r'viewBox="([^"]*)"', head)
    assert box is not None
    width, height = box[1].split()[2:]
    size = f'width="{float(width):.0f}pt" height="{float(height):.0f}pt" viewBox="{box[1]}"'
    label = f'role="img" aria-label="{html.escape(description)}"'
    return f"<svg {size} {label}>{rest}".replace("xlink:href", "href").rstrip()
