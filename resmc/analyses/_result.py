"""How a result shows itself: each field in a line, arrays by their ends."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from ..estimates import Estimate


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


class Result:
    """Base of the analyses' results."""

    def __repr__(self) -> str:
        lines = [f"  {f.name} = {_short(getattr(self, f.name))}" for f in fields(self)]  # type: ignore[arg-type]
        return "\n".join([type(self).__name__, *lines])
