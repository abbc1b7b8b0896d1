"""`Table`, which draws itself as text, as HTML and as a data frame, and `Shown`, the base of what shows a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._system.plain import Plain
from . import html, text
from .content import MOST_LAYERS as MOST_LAYERS
from .content import MOST_ROWS as MOST_ROWS
from .content import Column as Column
from .content import Content
from .content import few as few
from .frames import of_records

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False, eq=False)
class Table(Content):
    __doc__ = Content.__doc__

    def __str__(self) -> str:
        return text.render(self, self.text_width)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return html.render(self)

    def __contains__(self, words: str) -> bool:
        """Say whether the table shows these words, as text."""
        return words in str(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and (str(self), self.records()) == (str(other), other.records())

    def __hash__(self) -> int:
        return hash((self.key, self.title, len(self.rows)))

    def to_dataframe(self) -> pandas.DataFrame:
        """Return all rows as a data frame, with the columns that records have (needs ``resmc[pandas]``).

        The value of an estimate has the column's own name, its other numbers stand beside it: ``growth``,
        ``growth_stderr``, ``growth_n``. What is missing is NaN.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        whole = self.all_rows()
        keyed = [(i, column.key) for i, column in enumerate(whole.columns) if column.key]
        return of_records([{key: row[i] for i, key in keyed} for row in whole.rows], [key for _, key in keyed])

    def _plain_(self) -> list[Plain]:
        return self.records()


class Shown:
    """Base of objects that show themselves as a table: in notebooks, and as a data frame."""

    def _table(self) -> Table:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    def to_dataframe(self) -> pandas.DataFrame:
        """Return the object's table, with all rows, as a data frame (needs ``resmc[pandas]``): `Table.to_dataframe`.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return self._table().to_dataframe()
