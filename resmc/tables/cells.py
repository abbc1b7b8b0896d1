"""Numbers and words as the text of a cell, and as plain values for JSON.

An object that a caller defines, such as an estimate, is shown by its own ``str``; JSON takes what its method
``_plain_()`` returns.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

ROUNDING = 1e-14  # relative standard errors below this bound come from adding up equal numbers, and are shown as 0
NOTHING = (
    1e-12  # values below this share of their size come from rounding, as in log(alpha^2 + lam^2), and are shown as 0
)

MOST_DECIMALS = 9  # digits after a point; where it would take more, numbers have an exponent
MOST_WITHOUT_EXPONENT = 1e15


def cell(value: Any, digits: int = 6, size: float = 1.0) -> str:
    """Write a value in few characters: floats with ``digits`` significant digits; None, infinity and NaN are empty.

    Floats that are rounding beside numbers of this ``size`` are 0.
    """
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        if value == 0.0 or abs(float(value)) < NOTHING * size:  # without a sign, which -0.0 has as well
            return "0"
        return f"{value:.{digits}g}" if np.isfinite(value) else ""
    if isinstance(value, np.ndarray):
        return cell(value.item(), digits) if value.size == 1 else f"array of shape {value.shape}"
    return str(value)


def format_estimate(value: float, stderr: float, spec: str = "", sign: str = "") -> str:
    """Write ``value +- stderr`` with two digits of the error, or say in words which of the two is missing.

    ``spec`` is the format of both numbers instead, and ``sign`` that of the value's sign, as `format` takes them.
    """
    if np.isnan(value):
        return "no value"
    if np.isneginf(value):
        return "log 0"  # A ratio is 0 where networks never move.
    if np.isnan(stderr):
        return f"{format(value, sign + (spec or '.6g'))} (no error bar)"
    if spec or sign:
        return f"{format(value, sign + (spec or '.6g'))} +- {format(stderr, spec or '.2g')}"
    if stderr < ROUNDING * abs(value):
        stderr = 0.0
    if stderr == 0.0 or not np.isfinite(stderr):
        return f"{value:.6g} +- {stderr:.2g}"
    digits = int(1 - np.floor(np.log10(stderr)))  # after the point, to the second one of the error
    largest = max(abs(value), stderr)
    if np.isfinite(value) and value and (digits > MOST_DECIMALS or largest >= MOST_WITHOUT_EXPONENT):
        return f"{value:.{int(np.floor(np.log10(largest))) + digits}e} +- {stderr:.1e}"
    if digits > MOST_DECIMALS:
        return f"{value:g} +- {stderr:.1e}"
    digits = max(digits, 0)
    return f"{value:.{digits}f} +- {stderr:.{digits}f}"


def plain(value: Any) -> Any:
    """Convert a value to one that JSON can hold: arrays become lists; infinity and NaN become None."""
    if hasattr(value, "_plain_"):
        return value._plain_()
    if isinstance(value, dict):
        return {str(key): plain(x) for key, x in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(x) for x in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int | bool) else str(value)
