"""Results of analyses, which show each field in a line, and arrays by their ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..results.estimates import Estimate, Floats
from ..tables import Column, Shown, Table
from ..tables.cells import cell
from ..tables.table import MOST_LAYERS, few


def if_known(values: Floats) -> Floats | None:
    """Return theory's values, or None where none of them is known."""
    return values if np.isfinite(values).any() else None


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 6:
        ends = [f"{x:.6g}" for x in (*value.flat[:2], value.flat[-1])]
        return f"[{ends[0]}, {ends[1]}, ..., {ends[2]}] shape {value.shape}"
    if isinstance(value, Estimate):
        return str(value) if value.shape else repr(value)
    if is_dataclass(value):
        inner = "".join(f"\n    {f.name} = {_short(getattr(value, f.name))}" for f in fields(value))
        return type(value).__name__ + inner
    return repr(value)


class Result(Shown):
    """Base of the analyses' results.

    ``_by_entry`` names the fields with an entry for each layer, lag or width, these layers, lags or widths first: the
    columns of the table in a notebook, without those that are None. The other fields stand above that table. A result
    without such fields has a table with a row for each field.
    """

    _by_entry: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        lines = [f"  {f.name} = {_short(getattr(self, f.name))}" for f in fields(self)]  # type: ignore[arg-type]
        return "\n".join([type(self).__name__, *lines])

    def _chosen(self, count: int, most: int) -> list[int]:
        """Choose ``most`` of ``count`` entries for the table, or so, that say most."""
        return few(count, most)

    def _table(self) -> Table:
        return self._rows(MOST_LAYERS)

    def _rows(self, most: int) -> Table:
        """Return the table of so many entries at most."""
        key = name = type(self).__name__
        parts = dict(_flat(self))
        if not self._by_entry:
            columns = [Column("", "field", numeric=False), Column("value", "value")]
            return Table(key, name, columns, list(parts.items()))
        entries = {field: parts.pop(field) for field in self._by_entry if field in parts}
        count = len(entries[self._by_entry[0]])
        chosen = self._chosen(count, most)
        title = name if len(chosen) == count else f"{name}: {len(chosen)} of {count} entries"
        lines = [f"{field} = {cell(value)}" for field, value in parts.items() if np.ndim(_value(value)) == 0]
        rows = [[values[i] for values in entries.values()] for i in chosen]
        complete = partial(self._rows, count) if len(chosen) < count else None
        return Table(key, title, [Column(field, field) for field in entries], rows, lines, complete=complete)


def _flat(result: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield names and values of all fields; an inner result's field is named by its path."""
    for field in fields(result):
        value = getattr(result, field.name)
        if is_dataclass(value) and not isinstance(value, Estimate):
            yield from _flat(value, f"{prefix}{field.name}.")
        elif value is not None:
            yield prefix + field.name, value


def _value(value: Any) -> Any:
    return value.value if isinstance(value, Estimate) else value
