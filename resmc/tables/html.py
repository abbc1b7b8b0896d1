"""Results as small HTML tables, for notebooks and reports: nothing external, and the reader's own colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

from ..results.estimates import Estimate, KSDistance, format_estimate

MOST_ROWS = 20  # of a table by entry
MOST_LAYERS = 12

# Lines in the colour of the text read on light and dark ground alike; everything else is inherited.
_TABLE = "border-collapse:collapse;font-size:0.9em;margin:0.3em 0"
_CAPTION = "caption-side:top;text-align:left;padding:0.2em 0"
_HEAD = "text-align:left;padding:0.15em 0.9em 0.15em 0;border-bottom:1px solid currentColor"
_CELL = "text-align:left;padding:0.15em 0.9em 0.15em 0;font-variant-numeric:tabular-nums"


def table(headers: Sequence[Any], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    """An HTML table of texts and numbers, everything escaped.

    Parameters
    ----------
    headers : sequence
        Of the columns; empty for none.
    rows : iterable of sequences
        Cells: shown as `str`, estimates with their errors, None as nothing.
    caption : str
        Above the table; lines are kept.
    """
    parts = [f'<table style="{_TABLE}">']
    if caption:
        parts.append(f'<caption style="{_CAPTION}">{"<br>".join(map(escape, caption.splitlines()))}</caption>')
    if headers:
        cells = "".join(f'<th scope="col" style="{_HEAD}">{escape(str(head))}</th>' for head in headers)
        parts.append(f"<thead><tr>{cells}</tr></thead>")
    parts.append("<tbody>")
    for row in rows:
        cells = "".join(f'<td style="{_CELL}">{escape(cell(value))}</td>' for value in row)
        parts.append(f"<tr>{cells}</tr>")
    parts.append("</tbody></table>")
    return "".join(parts)


def cell(value: Any) -> str:
    """A value as the text of a cell: numbers short, estimates with ±."""
    if value is None:
        return ""
    if isinstance(value, Estimate):
        if value.shape:
            return str(value).replace("+-", "±")
        return format_estimate(float(value.value), float(value.stderr)).replace("+-", "±")
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        if abs(float(value)) < 1e-12:  # -0, and log(alpha^2 + lam^2) of rounded square roots
            return "0"
        return f"{value:.6g}" if np.isfinite(value) else ""
    if isinstance(value, np.ndarray):
        return cell(value.item()) if value.size == 1 else f"array of shape {value.shape}"
    return str(value)


def few(count: int, most: int = MOST_LAYERS) -> list[int]:
    """At most ``most`` of 0 .. count - 1, equally spaced, the first and the last among them."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))


def estimate_table(estimate: Estimate) -> str:
    """Value, error and sample size, for every entry or the first ones."""
    values, stderr, n = (np.ravel(a) for a in (estimate.value, estimate.stderr, estimate.n))
    shown = min(len(values), MOST_ROWS)
    name = type(estimate).__name__
    headers = ["value ± standard error", "networks"]
    body: list[list[Any]] = [
        [format_estimate(float(values[i]), float(stderr[i])).replace("+-", "±"), int(n[i])] for i in range(shown)
    ]
    if isinstance(estimate, KSDistance):
        headers += ["noise floor", "resolution"]
        body = [[*row, f"{estimate.noise_floor:.2g}", f"{estimate.resolution:.2g}"] for row in body]
    if not estimate.shape:
        return table(headers, body, name)
    places = [", ".join(map(str, place)) for place in list(np.ndindex(estimate.shape))[:shown]]
    more = f": the first {shown} of {len(values)} entries" if shown < len(values) else ""
    return table(["index", *headers], [[p, *row] for p, row in zip(places, body, strict=True)],
                 f"{name} of shape {estimate.shape}{more}")  # fmt: skip
