"""A table before it is drawn: columns, cells, and the lines above and below them; `tables.table` draws it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from .._system.plain import Plain
from .._system.words import brief
from .cells import cell, plain

MOST_ROWS = 20  # rows of a table in a notebook
MOST_LAYERS = 12  # layers of a network in a table


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str or None
        The heading; None for a column that only records have.
    key : str
        The column's name in records, which stays when the heading is reworded; empty for a column that only people see.
    numeric : bool
        True if the cells are numbers, False if they are words.
    digits : int
        Significant digits of floats, for people; records keep all digits.
    width : int
        Characters in text, including the space before the next column, unless a cell needs more; 0 for two more than
        the longest cell.
    obvious : bool
        True if the cells explain themselves, so that text leaves the heading out.
    """

    name: str | None
    key: str = ""
    _: KW_ONLY
    numeric: bool = True
    digits: int = 6
    width: int = 0
    obvious: bool = False


@dataclass(frozen=True)
class Content:
    """A result in rows and columns.

    Attributes
    ----------
    key : str
        The table's name in JSON and on a page.
    title : str
        The first line.
    columns : sequence of Column
    rows : sequence of sequences
        A value for each column: numbers, words, None, or an object as `tables.cells` takes it.
    lines : sequence of str
        Text between the title and the columns.
    notes : sequence of str
        Text below the rows. Empty notes are gaps, and drawn in text alone.
    left_out : int
        How many more rows the result has than the table.
    unit : str
        The word for several rows, such as "layers".
    whole : str
        Where a reader finds all rows, in words.
    complete : callable or None
        Function that returns the table with all rows, for data frames and records; None where nothing is left out.
    text_width : int or None
        Columns of text beyond which every row becomes a paragraph; None where lines may have any length.
    """

    key: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    lines: Sequence[str] = ()
    notes: Sequence[str] = ()
    left_out: int = 0
    unit: str = "rows"
    whole: str = ""
    complete: Callable[[], Content] | None = None
    text_width: int | None = None

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"a row of {len(row)} cells does not fit {len(self.columns)} columns: {brief(list(row))}"
                )

    def shown(self) -> tuple[list[Column], list[list[str]]]:
        """Return the columns that people see, and the texts of their cells."""
        places = [i for i, column in enumerate(self.columns) if column.name is not None]
        columns = [self.columns[i] for i in places]
        return columns, [[cell(row[i], self.columns[i].digits) for i in places] for row in self.rows]

    def records(self) -> list[Plain]:
        """Return the rows as JSON can hold them, by the columns' keys."""
        whole = self.all_rows()
        keyed = [(i, column.key) for i, column in enumerate(whole.columns) if column.key]
        return [{key: plain(row[i]) for i, key in keyed} for row in whole.rows]

    def all_rows(self) -> Content:
        """Return the table with all rows."""
        return self if self.complete is None else self.complete()


def few(count: int, most: int = MOST_LAYERS) -> list[int]:
    """Choose at most ``most`` of 0 .. count - 1, equally spaced, including the first and the last."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))
