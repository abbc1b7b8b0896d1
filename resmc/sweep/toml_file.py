"""A plan from a TOML file; messages about a mistake in the file name the key and the line.

.. code-block:: toml

    width = [50, 100, 200, 400]
    ratio = [0.25, 0.5, 1, 2]
    alpha = 0.7071067811865476
    lam = 0.7071067811865476
    variant = ["vanilla", "balanced"]
    networks = 1e7
    seed = 0

Keys are the arguments of `Sweep`; ``target_stderr`` is a table with quoted keys, ``models`` an array of tables.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from .._system.plain import Plain
from .plan import Plan

Kind = TypeVar("Kind", bound=Plan)


def read(path: str | Path, kind: type[Kind]) -> Kind:
    """Read the plan in the file ``path``.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file is not TOML, or no plan: the message begins with file and line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise type(error)(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: it is no text in UTF-8, and so no TOML") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {_with_line_first(str(error))}") from None
    try:
        return kind.built(data)
    except ValueError as error:
        line = _line_of(text, str(error))
        raise ValueError(f"{path}{f', line {line}' if line else ''}: {error}") from None


def _with_line_first(message: str) -> str:
    match = re.fullmatch(r"(.*) \(at (line \d+), column \d+\)", message)
    return f"{match[2]}: {match[1]}" if match else message


def _line_of(text: str, message: str) -> int | None:
    """Find the line that a message is about from the message's beginning, as ``width=0`` or ``models[2]: width=0``."""
    match = re.match(r"(?:(\w+)\[(?:(\d+)|'([^']*)')\](?:: )?)?'?(\w*)", message)
    assert match is not None  # the pattern matches every text, since each of its parts may be empty
    table, number, quoted, name = match.groups()
    inside = int(number) if number else quoted
    wanted = tuple(part for part in (table, inside, name) if part not in (None, ""))
    places = first_lines(text, wanted)
    return next((places[wanted[:n]] for n in range(len(wanted), 0, -1) if wanted[:n] in places), None)


def first_lines(text: str, wanted: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], int]:
    """Find the line on which every key begins, by the key's path; stop when ``wanted`` is found.

    tomllib keeps no positions, so statements are parsed one by one. A statement may have several lines: it is valid
    TOML when its last line is there, and not before. A table's header says where the keys below it belong.
    """
    found: dict[tuple[str | int, ...], int] = {}
    table: tuple[str | int, ...] = ()
    lines, begin = text.splitlines(), 0
    for end in range(1, len(lines) + 1):
        try:
            data = tomllib.loads("\n".join(lines[begin:end]))
        except tomllib.TOMLDecodeError:
            continue
        if lines[begin].lstrip().startswith("["):
            table = _table(data, found)
            paths = [table[:n] for n in range(1, len(table) + 1)]
        else:
            paths = [(*table, *path) for path in _paths(data)]
        for path in paths:
            found.setdefault(path, begin + 1)
        if wanted in found:
            break
        begin = end
    return found


def _table(header: Plain, found: dict[tuple[str | int, ...], int]) -> tuple[str | int, ...]:
    """Return the path of a parsed header; in an array of tables, the path of the first that was not ``found`` yet."""
    path: tuple[str | int, ...] = ()
    inside: Any = header
    while inside:
        if isinstance(inside, list):
            number = next(n for n in itertools.count() if (*path, n) not in found)
            path, inside = (*path, number), inside[0]
        else:
            key = next(iter(inside))
            path, inside = (*path, key), inside[key]
    return path


def _paths(data: Any, above: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items: Any = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    out: list[tuple[str | int, ...]] = []
    for key, value in items:
        out += [(*above, key), *_paths(value, (*above, key))]
    return out
