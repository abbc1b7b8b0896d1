"""The report as one page: everything in the template, nothing from anywhere else."""

from __future__ import annotations

import base64
import hashlib
import platform
import re
import reprlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._system import checks
from ..results.storage import check_place, write_atomically
from ..simulation import Simulation
from . import alternatives, colours, reproduce, sweep_figures, tables, words, words_sweep
from .figures import figure, need_matplotlib
from .found import Analyses
from .numbers import count, counted, plain

if TYPE_CHECKING:
    from ..sweep import SweepResult

_SYMBOL = re.compile(r"(?:\b([zLAFW])|(?<=χ)(²))_([0-9]+|[a-z]+)\b")
_FORMULA = re.compile(r"[^\s<>]*\|[^\s<>]*")


def write(result: Simulation | SweepResult, path: str | Path) -> None:
    """Writes the report of ``result`` to ``path``, whole or not at all.

    Raises
    ------
    ValueError
        If ``result`` is neither, or ``path`` no name of a file.
    ImportError
        If Jinja2 or matplotlib is not installed.
    OSError
        If the file cannot be written; an older one of that name stays as it was.
    """
    _check_result(result)
    path = checks.path("path", path)
    check_place(path)
    write_atomically(render(result).encode(), path)


def _check_result(result: Any) -> None:
    from ..sweep import SweepResult

    if not isinstance(result, Simulation | SweepResult):
        raise ValueError(f"result={reprlib.repr(result)} is not allowed: it must be a Simulation or a SweepResult "
                         "(resmc.load and resmc.load_sweep read saved ones)")  # fmt: skip


def render(result: Simulation | SweepResult) -> str:
    """The report as HTML; the same result gives the same text.

    Raises
    ------
    ValueError
        If ``result`` is neither.
    ImportError
        If Jinja2 or matplotlib is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise ImportError("a report needs Jinja2 and matplotlib: install resmc[report]") from None
    need_matplotlib()
    if isinstance(result, Simulation):  # a report is about the theory of ResNets, and speaks of one
        result = replace(result, model=result.resnet)
    _check_result(result)
    content = of_simulation(result) if isinstance(result, Simulation) else of_sweep(result)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["symbols"] = symbols
    environment.filters["drawing"] = lambda drawn: _markup(drawn.svg)
    used = {colour for drawn in content["figures"].values() for colour in drawn.colours}
    light, dark = colours.definitions(used)
    style = _file("style.css").replace("/* drawings: light */", light).replace("/* drawings: dark */", dark)
    script = _file("sort.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment.get_template("template.html.j2")
    return page.render(
        **content,
        rows_at_once=tables.PAGE,
        style=_markup(style),
        script=_markup(script),
        script_digest=digest,
        versions=versions(),
    )


def symbols(text: str) -> Any:
    """Text with z_d, L_10 and the like as letters with an index."""
    from markupsafe import escape

    whole = _FORMULA.sub(r'<span class="whole">\g<0></span>', str(escape(text)))  # never broken across lines
    return _markup(_SYMBOL.sub(_indexed, whole))


def _indexed(match: re.Match[str]) -> str:
    letter, square, index = match.groups()
    below = f"<var>{index}</var>" if index.isalpha() and len(index) == 1 else index
    return f"{f'<var>{letter}</var>' if letter else square}<sub>{below}</sub>"


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def versions() -> list[tuple[str, str]]:
    """What has written the report."""
    found = [("resmc", metadata.version("resmc")), ("Python", platform.python_version())]
    return found + [(name, metadata.version(name)) for name in ("numpy", "scipy", "matplotlib", "jinja2")]


# --------------------------------------------------------------------------------------------------------- a simulation


def of_simulation(sim: Simulation) -> dict[str, Any]:
    """What the template shows of a simulation."""
    found = Analyses.of(sim)
    answers = words.answers(found)
    drawn = {
        key: figure(key, alternatives.TITLES[key], alternatives.DESCRIPTIONS[key](found), _of(sim, key))
        for answer in answers
        for key in answer.figures
    }
    m = sim.resnet
    name = m.variant[0].upper() + m.variant[1:]
    return {
        "title": f"{name} ResNet, width {m.width}, depth {m.depth}",
        "kind": "simulation",
        "lead": f"{counted(sim.networks, 'independent random network')} at initialisation, "
        f"d/n\xa0=\xa0{plain(m.ratio)}, alpha\xa0=\xa0{plain(m.alpha)}, lam\xa0=\xa0{plain(m.lam)}.",
        "progress": "",
        "caveats": list(words.caveats(sim)),
        "answers": answers,
        "figures": drawn,
        "tables": [tables.quantities(found), tables.layers(found)],
        "settings": settings(sim),
        "reproduction": reproduce.of_simulation(sim),
    }


def _of(sim: Simulation, key: str) -> Callable[[Any], Any]:
    from .. import plot

    return partial(_draw, getattr(plot, f"plot_{key}"), sim)


def _draw(function: Callable[..., Any], sim: Simulation, ax: Any) -> None:
    function(sim, ax=ax)


def settings(sim: Simulation) -> list[tuple[str, str]]:
    """All that decides on the result."""
    m = sim.resnet
    ranges = ", ".join(f"{r.start} to {r.stop - 1}" for r in sim.ranges)
    spacing = "" if len(sim.layers) == m.depth + 1 else f" of {m.depth + 1}"
    return [
        ("Variant", m.variant), ("Width n", count(m.width)), ("Depth d", count(m.depth)), ("d/n", plain(m.ratio)),
        ("alpha (skip)", repr(m.alpha)), ("lam (residual branch)", repr(m.lam)),
        ("Output neurons", count(m.n_out)), ("Input norm", repr(m.input_norm)),
        ("Networks", f"{count(sim.networks)} (numbers {ranges})"), ("Seed", str(sim.seed)),
        ("Method", sim.method), ("Recorded layers", f"{count(len(sim.layers))}{spacing}"),
        ("Correlations recorded", "yes" if sim.correlations else "no"),
        ("Raw samples, paths", f"{count(len(sim.samples.networks))}, {count(len(sim.trajectories.networks))}"),
        ("Numerics version", sim.numerics[0]), ("Numerics class", ", ".join(sim.numerics[1:])),
    ]  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- a sweep


def of_sweep(result: SweepResult) -> dict[str, Any]:
    """What the template shows of a sweep."""
    plan = result.plan
    drawn = sweep_figures.drawn(result)
    keys = {name: tuple(f.key for f in several) for name, several in drawn.items()}
    return {
        "title": f"Sweep of {counted(len(plan.models), 'random ResNet')}",
        "kind": "sweep",
        "lead": words_sweep.lead(result),
        "progress": words_sweep.progress(result) if result.complete else "",
        "caveats": [*([] if result.complete else [words_sweep.progress(result)]), *words_sweep.caveats(result)],
        "answers": words_sweep.answers(result, keys, sweep_figures.left_out(result)),
        "figures": {f.key: f for several in drawn.values() for f in several},
        "tables": [tables.points(result)],
        "settings": sweep_settings(result),
        "reproduction": reproduce.of_sweep(plan, result.numerics[1:]),
    }


def sweep_settings(result: SweepResult) -> list[tuple[str, str]]:
    """The plan."""
    plan = result.plan
    out = [("Points", count(len(plan.models)))]
    for name, value in plan.to_dict().items():
        if name not in ("format", "schema_version", "models"):
            shown = value if isinstance(value, list) else [value]
            text = ", ".join(map(str, shown[:20])) + (f", .. ({len(shown)} in all)" if len(shown) > 20 else "")
            out.append((name, text))
    out += [("Numerics version", result.numerics[0]),
            ("Numerics classes", ", ".join(result.numerics[1:]) or "none yet")]  # fmt: skip
    return out
