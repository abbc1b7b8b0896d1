"""Figures of `resmc.plot` as SVG within the page: no font, no file, ids of their own, colours that are the page's."""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass, field
from typing import Any

from .colours import as_variables

FUNCTIONS = {
    name: f"plot_{name}"
    for name in (
        "log_norm", "qq", "output", "trajectories", "hypoactivation", "interlayer", "interlayer_by_lag", "growth",
        "extrapolation", "sweep",
    )
}  # fmt: skip
SIZE = (5.0, 3.6)  # inches: words of 9 points stay legible on a phone, where two thirds of that width are left
SETTINGS: dict[str, Any] = {
    "svg.fonttype": "path", "svg.hashsalt": "resmc", "font.size": 9.0, "axes.titlesize": 9.0, "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0, "ytick.labelsize": 8.0, "legend.fontsize": 8.0,
}  # fmt: skip
_NAMES = re.compile(r'(\bid="|href="#|url\(#)([^")]+)')


@dataclass(frozen=True)
class Figure:
    """A drawing with its title and description; or why there is none."""

    key: str
    title: str
    description: str
    svg: str = ""
    colours: frozenset[str] = field(default=frozenset())
    refusal: str = ""


def need_matplotlib() -> None:
    """Raises ImportError in words if figures cannot be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("a report needs Jinja2 and matplotlib: install resmc[report]") from None


def figure(key: str, function: str, result: Any, title: str, description: str, **arguments: Any) -> Figure:
    """One of `FUNCTIONS` drawn; what refuses to be drawn says why in its place."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    from .. import plot

    with matplotlib.rc_context(matplotlib.rcParamsDefault), matplotlib.rc_context(SETTINGS):
        canvas = Canvas(figsize=SIZE, layout="constrained")
        try:
            getattr(plot, FUNCTIONS[function])(result, ax=canvas.subplots(), **arguments)
        except ValueError as error:
            return Figure(key, title, description, refusal=str(error))
        for ax in canvas.axes:
            ax.set_title("")  # the page has its own
        file = io.StringIO()
        canvas.savefig(
            file, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    svg, used = as_variables(cleaned(file.getvalue(), key, description))
    return Figure(key, title, description, svg, frozenset(used))


def cleaned(document: str, key: str, description: str) -> str:
    """The svg element for use within a page: ids begin with ``key``, and it is described."""
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
