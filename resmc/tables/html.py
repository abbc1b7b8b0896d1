"""`render`: a table as HTML for notebooks, with all text escaped, without external files, in the reader's colours."""

from __future__ import annotations

from html import escape

from .content import Content

# Lines have the text's own colour, and everything else is inherited: tables are legible on light and dark pages.
_TABLE = "border-collapse:collapse;font-size:0.9em;margin:0.3em 0"
_CAPTION = "caption-side:top;text-align:left;padding:0.2em 0"
_HEAD = "text-align:left;padding:0.15em 0.9em 0.15em 0;border-bottom:1px solid currentColor"
_CELL = "text-align:left;padding:0.15em 0.9em 0.15em 0;font-variant-numeric:tabular-nums"


def render(table: Content) -> str:
    """Draw a table; the lines above it and the notes below it go into the caption."""
    columns, rows = table.shown()
    names = [str(column.name) for column in columns]
    caption = [line for line in (table.title, *table.lines, *table.notes) if line]
    if table.left_out:
        part = f"the first {len(rows)} of {len(rows) + table.left_out} {table.unit}"
        caption.append(f"{part}: {table.whole}" if table.whole else part)
    parts = [f'<table style="{_TABLE}">']
    if caption:
        parts.append(f'<caption style="{_CAPTION}">{"<br>".join(map(_escaped, caption))}</caption>')
    if any(names):
        heads = "".join(f'<th scope="col" style="{_HEAD}">{_escaped(name)}</th>' for name in names)
        parts.append(f"<thead><tr>{heads}</tr></thead>")
    parts.append("<tbody>")
    for row in rows:
        texts = "".join(f'<td style="{_CELL}">{_escaped(text)}</td>' for text in row)
        parts.append(f"<tr>{texts}</tr>")
    parts.append("</tbody></table>")
    return "".join(parts)


def _escaped(text: str) -> str:
    return escape(text.replace(" +- ", " ± "))
