"""Arguments and answers that several commands have: integers such as 1e6, lists, files that can be written, JSON."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from .._system.plain import Plain
from ..tables.cells import plain

Entry = TypeVar("Entry")


def number(text: str) -> int:
    """Read an integer, which may be written like 1e6."""
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not value.is_integer():
            raise
        return int(value)


number.__name__ = "integer"  # argparse's messages name the type of an argument by its function


def layer_list(text: str | None) -> list[int] | None:
    """Read ``0,10,20``, or ``START:STOP:STEP`` as in Python, where all but STOP may be left out."""
    if text is None:
        return None
    try:
        if ":" in text:
            start, stop, step = (int(p) if p else None for p in (*text.split(":"), "")[:3])
            return list(range(start or 0, stop or 0, 1 if step is None else step))
        return [int(p) for p in text.split(",")]
    except ValueError:
        raise ValueError(f"layers={text!r} is not allowed: it must look like 0,10,20 or 0:201:10") from None


def entries(name: str, text: str, read: Callable[[str], Entry], example: str) -> list[Entry]:
    """Read numbers with commas between them, each by ``read``; ``example`` is shown where that fails."""
    try:
        return [read(part) for part in text.split(",")]
    except (ValueError, OverflowError):
        raise ValueError(f"{name}={text!r} is not allowed: it must look like {example}") from None


def matrix(name: str, text: str | None) -> list[list[float]] | None:
    """Read the rows of a matrix with semicolons between them."""
    if text is None:
        return None
    return [entries(name, row, float, "1,0.5;0.5,1") for row in text.split(";")]


def check_output(path: Path, *endings: str) -> Path:
    """Return where an output shall lie, or refuse one that could not be written, before hours are spent on computing.

    The path is absolute, so that it means the same hours later. Where ``endings`` are given, the name must have one of
    them.
    """
    if path.is_dir():
        raise ValueError(f"output={str(path)!r} is not allowed: it is a folder")
    if path.exists() and not path.is_file():
        raise ValueError(f"output={str(path)!r} is not allowed: it is a device or a pipe")
    check_folder(path)
    if endings and path.suffix not in endings:
        raise ValueError(f"output={str(path)!r} is not allowed: it must end in {endings[0]}")
    return path.absolute()


def check_folder(path: Path) -> None:
    """Refuse a path whose folder is not there or cannot be written to."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ValueError(f"output={str(path)!r} is not allowed: its folder does not exist")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"output={str(path)!r} is not allowed: its folder cannot be written to")


def terminal_width() -> int | None:
    """Return the columns of the terminal, or the environment variable COLUMNS; None if there is neither."""
    wanted = sys.stdout.isatty() or os.environ.get("COLUMNS")
    return shutil.get_terminal_size().columns if wanted else None


def add_command(commands: Any, name: str, summary: str, description: str, example: str) -> argparse.ArgumentParser:
    """Add a subcommand with an example below its options, and with ``--json``, which every command has."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=textwrap.fill(description, 80),
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, and nothing else")
    return parser


def as_json(command: str, found: Plain) -> str:
    """Write the answer of a command as strict JSON: infinity and NaN, which JSON lacks, become null."""
    whole = {"command": command, "version": metadata.version("resmc")} | found
    return json.dumps(plain(whole), indent=1, allow_nan=False)


def print_json(command: str, found: Plain) -> None:
    """Print the answer of a command as one JSON object, which begins with the command and the version of resmc."""
    print(as_json(command, found))
