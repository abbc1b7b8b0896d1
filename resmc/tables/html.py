"""`render`: a table as HTML for notebooks, with all text escaped, without external files, in the reader's colours."""

from __future__ import annotations

from html import escape

from .alignment import parts, width_of_rest
from .content import Content

# Lines have the text's own colour, and everything else is inherited: tables are legible on light and dark pages.
_TABLE = "border-collapse:collapse;font-size:0.9em;margin:0.3em 0"
_CAPTION = "caption-side:top;text-align:left;padding:0.2em 0"
_CELL = "padding:0.15em 0.9em 0.15em 0"
_HEAD = f"{_CELL};border-bottom:1px solid currentColor"
_REST = "display:inline-block;text-align:left;white-space:pre"


def render(table: Content) -> str:
    """Draw a table; the lines above it and the notes below it go into the caption."""
    columns, rows = table.shown()
    names = [str(column.name) for column in columns]
    rows = [[text.replace(" +- ", " ± ") for text in row] for row in rows]
    wide = [width_of_rest([row[i] for row in rows], column.numeric) for i, column in enumerate(columns)]
    sides = [f"text-align:{'left' if w is None else 'right'}" for w in wide]
    caption = [line for line in (table.title, *table.lines, *table.notes) if line]
    if table.left_out:
        part = f"the first {len(rows)} of {len(rows) + table.left_out} {table.unit}"
        caption.append(f"{part}: {table.whole}" if table.whole else part)
    parts = [f'<table style="{_TABLE}">']
    if caption:
        parts.append(f'<caption style="{_CAPTION}">{"<br>".join(map(_escaped, caption))}</caption>')
    if any(names):
        heads = "".join(
            f'<th scope="col" style="{side};{_HEAD}">{_escaped(name)}</th>'
            for name, side in zip(names, sides, strict=True)
        )
        parts.append(f"<thead><tr>{heads}</tr></thead>")
    parts.append("<tbody>")
    for row in rows:
        texts = "".join(
            f'<td style="{side};{_CELL};font-variant-numeric:tabular-nums">{_cell(text, w)}</td>'
            for text, side, w in zip(row, sides, wide, strict=True)
        )
        parts.append(f"<tr>{texts}</tr>")
    parts.append("</tbody></table>")
    return "".join(parts)


def _cell(text: str, wide: float | None) -> str:
    """Return the text of a cell, a number in two parts where that aligns it with those above and below."""
    found = parts(text) if wide else None
    if found is None:
        return _escaped(text)
    return f'{_escaped(found[0])}<span style="{_REST};min-width:{wide:.4g}ch">{_escaped(found[1])}</span>'


def _escaped(text: str) -> str:
    return escape(text.replace(" +- ", " ± "))
