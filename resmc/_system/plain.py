"""Plain values: numbers, words, lists and dictionaries, as JSON and TOML hold them; and their reading from JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NoReturn

from .words import brief

Plain = dict[str, Any]  # values by name, as in a model's fields, a plan or a manifest


def key_of(*values: Any) -> str:
    """Return a hash of plain values, 32 hexadecimal digits; the order of names counts."""
    text = json.dumps(values, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def of_json(data: bytes) -> Any:
    """Return the values that a JSON text holds.

    Raises
    ------
    ValueError
        If it is no JSON in UTF-8, holds NaN or infinity, the same key twice, or lists within lists without end.
    """
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it holds lists within lists within lists, too many to read") from None


def _distinct(pairs: list[tuple[str, Any]]) -> Plain:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"it says {brief(twice)} twice")
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"it holds {word}, which JSON lacks")
