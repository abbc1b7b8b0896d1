"""Data frames of pandas, made of columns or of records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system.plain import Plain

if TYPE_CHECKING:
    import pandas


def frame(columns: Mapping[str, Any]) -> pandas.DataFrame:
    """Return a data frame of columns, each a sequence of one value for each row.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise ImportError("to_dataframe needs pandas: install resmc[pandas]") from None
    return pandas.DataFrame(dict(columns))


def of_records(records: Sequence[Plain], names: Sequence[str]) -> pandas.DataFrame:
    """Return a data frame of records that have these names; a value of several numbers becomes several columns."""
    flat = [_flat(record) for record in records]
    found = dict.fromkeys(name for record in flat for name in record) if flat else dict.fromkeys(names)
    return frame({name: _column([record.get(name) for record in flat]) for name in found})


def _flat(record: Plain) -> Plain:
    out: Plain = {}
    for name, value in record.items():
        numbers = value._numbers_() if hasattr(value, "_numbers_") else {"value": value}
        for part, number in numbers.items():
            single = number.item() if isinstance(number, np.generic | np.ndarray) and number.size == 1 else number
            out[name if part == "value" else f"{name}_{part}"] = single
    return out


def _column(values: list[Any]) -> Any:
    """Return values as an array: of numbers where all are numbers or missing, else of objects."""
    there = [value for value in values if value is not None]
    if there and all(isinstance(value, int | float) and not isinstance(value, bool) for value in there):
        if len(there) == len(values):
            return np.array(values)
        return np.array([np.nan if value is None else value for value in values])
    column = np.empty(len(values), object)
    for i, value in enumerate(values):  # one by one, since arrays of one shape would be spread
        column[i] = value
    return column if there or not values else np.full(len(values), np.nan)
