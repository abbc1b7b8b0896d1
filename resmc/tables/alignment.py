"""Columns of numbers, aligned on the decimal point in HTML.

What follows the integer digits of a number is an element of its own, as wide in every cell of a column as in the
widest, and the cells are aligned right. The width is counted in digits, which are all equally wide in a table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(
    r"((?:z[\s=]+)?[+\-\u2212]?[0-9][0-9\u202f]*)"  # up to the point; thousands are apart by a narrow space
    r"((?:\.[0-9]+)?(?:e[+\-\u2212]?[0-9]+)?(?:\s(?:±|\+-)\s[^\s]+)?%?(?:\sexact|\s\(.*\))?)"
)
NONE = ("", "\u2014", "no value", "log 0")  # stand where there is no number
_WIDTHS = {".": 0.55, " ": 0.55, "\xa0": 0.55, "\u202f": 0.4, "+": 1.35, "\u2212": 1.35, "±": 1.35, "=": 1.35, "%": 1.6}


def parts(cell: str) -> tuple[str, str] | None:
    """Return the text of a cell up to the decimal point, and the rest; None for words."""
    found = _NUMBER.fullmatch(cell)
    return (found[1], found[2]) if found else None


def width_of_rest(cells: Sequence[str], numeric: bool) -> float | None:
    """Return how many digits wide the widest text after a decimal point is; None if the cells are a column of words.

    A column that is called ``numeric`` may have words in some of its cells.
    """
    there = [cell for cell in cells if cell not in NONE]
    numbers = [found for found in map(parts, there) if found]
    if not numbers or len(numbers) < len(there) * (0.5 if numeric else 1.0):
        return None
    return max(_width(rest) for _, rest in numbers)


def _width(text: str) -> float:
    """Return the width of a text in digits, or a little more: a font is not known."""
    return sum(_WIDTHS.get(letter, 1.0) for letter in text)
