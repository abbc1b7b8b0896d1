"""Arguments that several commands have: integers such as 1e6, lists of layers, files that can be written."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


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


def check_output(path: Path | None) -> None:
    """Refuse an output that could not be written, before hours are spent on computing it."""
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"output={str(path)!r} is not allowed: it is a folder")
    check_folder(path)


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
