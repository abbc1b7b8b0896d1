"""`render`: a table as text."""

from __future__ import annotations

from .content import Content

GAP = 2  # spaces between columns


def render(table: Content, width: int | None = None) -> str:
    """Draw a line for each row, or a paragraph for each if the lines would be longer than ``width``."""
    columns, rows = table.shown()
    heads = ["" if column.obvious else str(column.name) for column in columns]
    drawn = [heads, *rows] if any(heads) else rows
    longest = [max(map(len, cells)) for cells in zip(*drawn, strict=True)]
    sizes = [max(c.width, n + (1 if c.width else GAP)) for c, n in zip(columns, longest, strict=False)]
    lines = [line for line in (table.title, *table.lines) if line]
    if lines:
        lines.append("")
    if width is None or sum(sizes) <= width:
        lines += ["".join(f"{c:<{size}}" for c, size in zip(row, sizes, strict=True)).rstrip() for row in drawn]
    else:
        names = [str(column.name) for column in columns[1:]]
        size = max(map(len, names), default=0) + GAP
        for first, *others in rows:
            lines += [first, *(f"  {n:<{size}}{c}".rstrip() for n, c in zip(names, others, strict=True)), ""]
    if table.left_out:
        lines.append(f".. and {table.left_out} more {table.unit}{': ' * bool(table.whole)}{table.whole}")
    return "\n".join([*lines, *table.notes])
