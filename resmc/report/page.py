"""The report as one page, made from a template, that loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata, resources
from typing import Any

from .._system import checks
from ..engine.lowering import Lowered
from ..results.storage import check_place, write_atomically
from ..tables import Table, alignment
from . import colours
from .figures import Figure, level
from .found import Answer
from .reproduce import Reproduction

ROWS_AT_ONCE = 50  # rows of a table that are shown at once where scripts run
_SYMBOL = re.compile(r"(?:\b([zhpLAFW])|(?<=χ)(²))_([0-9]+|[a-z]+|L)\b")
_FORMULA = re.compile(r"[^\s<>]*\|[^\s<>]*")


@dataclass(frozen=True)
class Source:
    """A paper whose theory stands on a page: a sentence up to its title, the title, and where it is."""

    words: str
    title: str
    place: str


LOG_GAUSSIAN = Source("Li, Nica and Roy", "The future is log-Gaussian", "NeurIPS 2021, arXiv 2106.04013")
DEEP = Source(
    "Marion, Fermanian, Biau and Vert", "Scaling ResNets in the large-depth regime", "JMLR 2025, arXiv 2206.06929"
)


def sources(networks: Iterable[Lowered], depth: bool = False) -> list[Source]:
    """Return the papers whose theory stands beside these networks; with ``depth`` those on deep ones too."""
    networks = list(networks)
    out = [LOG_GAUSSIAN] if any(one.log_gaussian is not None for one in networks) else []
    return out + ([DEEP] if depth or any(one.facts.depth_limit is not None for one in networks) else [])


@dataclass(frozen=True)
class Content:
    """All that the template shows of a result."""

    title: str
    kind: str
    lead: str
    progress: str
    caveats: Sequence[str]
    answers: Sequence[Answer]
    figures: Mapping[str, Figure]
    tables: Sequence[Table]
    settings: Sequence[tuple[str, str]]
    reproduction: Reproduction
    sources: Sequence[Source]


def rendered(content: Content) -> str:
    """Return the page that shows ``content``; the same content gives the same text.

    Raises
    ------
    ImportError
        If Jinja2 or matplotlib is not installed.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["symbols"] = symbols
    environment.filters["drawing"] = lambda drawn: _markup(drawn.svg)
    figures = level(content.figures, [answer.figures for answer in content.answers])
    used = {colour for drawn in figures.values() for colour in drawn.colours}
    light, dark = colours.definitions(used)
    style = _file("style.css").replace("/* drawings: light */", light).replace("/* drawings: dark */", dark)
    tables = [aligned(table) for table in content.tables]
    style += "\n".join(rule for _, rules in tables for rule in rules)
    script = _file("sort.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment.get_template("template.html.j2")
    return page.render(
        **vars(content) | {"figures": figures, "tables": [table for table, _ in tables]},
        rows_at_once=ROWS_AT_ONCE,
        style=_markup(style),
        script=_markup(script),
        script_digest=digest,
        versions=versions(),
    )


def aligned(table: Table) -> tuple[Table, list[str]]:
    """Return a table whose numbers are in two parts, and the rules of a style sheet that align these."""
    rules, columns = [], []
    for number, (column, cells) in enumerate(zip(table.columns, zip(*table.rows, strict=True), strict=False), 1):
        wide = alignment.width_of_rest(cells, column.numeric)
        place = f"#{table.key} tr>:nth-child({number})"
        if wide is not None:
            rules.append(f"{place}{{text-align:right}}")
        if wide:
            rules.append(f"{place}>.r{{min-width:{wide:.4g}ch}}")
        columns.append([_placed(cell) for cell in cells] if wide else cells)
    return replace(table, rows=list(zip(*columns, strict=True))), rules


def _placed(cell: str) -> str:
    found = alignment.parts(cell)
    return cell if found is None else _markup(f'{found[0]}<span class="r">{html.escape(found[1])}</span>')


def symbols(text: str) -> Any:
    """Return text with z_d, L_10 and the like as letters with an index."""
    from markupsafe import escape

    # A formula is never broken across lines.
    whole = _FORMULA.sub(r'<span class="whole">\g<0></span>', str(escape(text)))
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
    """Return names and versions of the programs that write the report."""
    found = [("resmc", metadata.version("resmc")), ("Python", platform.python_version())]
    return found + [(name, metadata.version(name)) for name in ("numpy", "scipy", "matplotlib", "jinja2")]


def need_extra() -> None:
    """Raise ImportError in words if pages cannot be made."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("a report needs Jinja2 and matplotlib: install resmc[report]") from None


def write_page(path: Any, page: Callable[[], str]) -> None:
    """Write what ``page`` returns to ``path``, whole or not at all.

    Raises
    ------
    ValueError
        If ``path`` is no name of a file.
    OSError
        If the file cannot be written; an older one of that name stays as it was.
    """
    path = checks.absolute("path", path)  # resolved now: the page takes seconds, and the program may go elsewhere
    check_place(path)
    write_atomically(page().encode(), path)
