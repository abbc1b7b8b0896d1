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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from .._system import checks
from .._system.plain import Plain
from .._system.reading import read_file
from .._system.words import cut
from .plan import Plan

Kind = TypeVar("Kind", bound=Plan)
LARGEST = 64 << 20  # bytes of a plan: 10^5 networks in many words take less


def read(path: str | Path, kind: type[Kind]) -> Kind:
    """Read the plan in the file ``path``.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file is not TOML, or no plan: the message begins with file and line.
    """
    path = checks.path("path", path)
    content = read_file(path)
    if len(content) > LARGEST:
        raise ValueError(f"{path}: it is no plan, which takes at most {LARGEST >> 20} MB")
    try:
        # Editors of Windows put a mark of the byte order before a text, which TOML does not know.
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: it is no text in UTF-8, and so no TOML") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {_syntax(text, str(error))}") from None
    except RecursionError:
        raise ValueError(f"{path}: it holds lists within lists within lists, too many to read") from None
    except ValueError as error:  # for example an integer of more digits than Python reads
        raise ValueError(f"{path}: {cut(str(error))}") from None
    try:
        return kind.built(data)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        words = cut(str(error), 1000)
        line = _line_of(text, words)
        raise ValueError(f"{path}{f', line {line}' if line else ''}: {words}") from None


def _syntax(text: str, message: str) -> str:
    """Say what tomllib refuses, with the line first; of a key that is given twice, its name and both lines."""
    if message.startswith(("Cannot overwrite", "Cannot declare", "Cannot mutate")):
        seen: dict[tuple[str | int, ...], int] = {}
        for path, line in _statements(text):
            if path in seen:
                name = cut(".".join(map(str, path)))
                return f"line {line}: {name} is given twice, first on line {seen[path]}"
            seen[path] = line
    match = re.fullmatch(r"(.*) \(at (line \d+), column \d+\)", message, re.DOTALL)
    return f"{match[2]}: {match[1]}" if match else message


def _line_of(text: str, message: str) -> int | None:
    """Find the line that a message is about from the message's beginning, as ``width=0`` or ``models[2]: width=0``."""
    match = re.match(r"(?:(\w+)\[(?:(\d+)|'([^']*)')\](?:: )?)?'?(\w*)", message)
    assert match is not None  # the pattern matches every text, since each of its parts may be empty
    table, number, quoted, name = match.groups()
    inside = int(number) if number else quoted
    wanted = tuple(part for part in (table, inside, name) if part not in (None, ""))
    places = first_lines(text, wanted)
    near = next((places[wanted[:n]] for n in range(len(wanted), 0, -1) if wanted[:n] in places), None)
    return near or next((line for path, line in places.items() if path[-1] == name), None)


def first_lines(text: str, wanted: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], int]:
    """Find the line on which every key begins, by the key's path; stop when ``wanted`` is found."""
    found: dict[tuple[str | int, ...], int] = {}
    for path, line in _statements(text):
        for above in range(1, len(path) + 1):
            found.setdefault(path[:above], line)
        if wanted in found:
            break
    return found


def _statements(text: str) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """Yield the paths that every statement of a text gives, and the line on which it begins.

    tomllib keeps no positions, so statements are parsed one by one. A statement may have several lines: it is valid
    TOML when its last line is there, and not before. A table's header says where the keys below it belong.
    """
    tables: dict[tuple[str | int, ...], int] = {}
    table: tuple[str | int, ...] = ()
    lines, begin = text.splitlines(), 0
    for end in range(1, len(lines) + 1):
        try:
            data = tomllib.loads("\n".join(lines[begin:end]))
        except (ValueError, RecursionError):
            continue
        if lines[begin].lstrip().startswith("["):
            table = _table(data, tables)
            tables |= {table[:above]: begin + 1 for above in range(1, len(table) + 1)}
            yield table, begin + 1
        else:
            for path in _paths(data):
                yield (*table, *path), begin + 1
        begin = end


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
