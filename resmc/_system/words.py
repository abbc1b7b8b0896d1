"""Values in a few characters, for messages and for the ``repr`` of records: long ones by their ends."""

from __future__ import annotations

import reprlib
from dataclasses import fields
from typing import Any

import numpy as np

MOST_ENTRIES = 6  # more entries of a sequence or an array are not written out
MOST_ALIKE = 3  # from so many entries on, equal ones are written as a product
MOST_LETTERS = 320


class _Brief(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = self.maxarray = MOST_ENTRIES
        self.maxlevel, self.maxstring, self.maxlong, self.maxother = 4, 120, 40, MOST_LETTERS

    def repr_int(self, x: int, level: int) -> str:
        if abs(x) < 10**self.maxlong:
            return repr(x)
        try:
            return f"{float(x):g}"
        except OverflowError:
            return f"an integer of {x.bit_length()} bits"

    def repr_tuple(self, x: tuple[Any, ...], level: int) -> str:
        return _sequence(self, x, level, "(", ")") or super().repr_tuple(x, level)

    def repr_list(self, x: list[Any], level: int) -> str:
        return _sequence(self, x, level, "[", "]") or super().repr_list(x, level)

    def repr_ndarray(self, x: np.ndarray, level: int) -> str:
        text = " ".join(np.array2string(x, separator=", ", threshold=MOST_ENTRIES, edgeitems=2).split())
        return f"array({text})" if x.size <= MOST_ENTRIES else f"array({text}, shape={x.shape})"


def _sequence(writer: _Brief, x: Any, level: int, left: str, right: str) -> str:
    """Write a long sequence: equal entries as a product, which Python reads, others by their ends and their number."""
    if len(x) <= MOST_ENTRIES:
        return ""
    first = x[0]
    if isinstance(first, int | float | str) and all(type(y) is type(first) and y == first for y in x):
        return f"{left}{first!r}{',' * (left == '(')}{right} * {len(x)}"
    ends = [writer.repr1(y, level - 1) for y in (*x[:MOST_ALIKE], x[-1])]
    return f"{left}{', '.join(ends[:-1])}, .., {ends[-1]}{right} of {len(x)}"


_WRITER = _Brief()


def brief(value: Any) -> str:
    """Write a value as ``repr`` does, long ones by their ends, whatever is given."""
    return cut(" ".join(_WRITER.repr(value).splitlines()))


def cut(text: str, most: int = MOST_LETTERS) -> str:
    """Return a text, or its beginning and its end where it is longer than a sentence should be."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} .. {text[-half:]}"


def are(number: int) -> str:
    """Return the verb that follows so many things: is, or are."""
    return "is" if number == 1 else "are"


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, in the plural but for 1."""
    return f"{number} {noun}{'s' * (number != 1)}"


def shortened(words: list[str]) -> list[str]:
    """Return a long list of words by its ends and its number, a short one as it is."""
    return words if len(words) <= MOST_ENTRIES else [*words[:MOST_ALIKE], "..", words[-1] + f" ({len(words)} in all)"]


def brief_repr(record: Any) -> str:
    """Write a dataclass as its own ``repr`` would, in few characters: ``__repr__ = brief_repr``."""
    shown = [f"{f.name}={brief(getattr(record, f.name))}" for f in fields(record) if f.repr]
    return f"{type(record).__qualname__}({', '.join(shown)})"
