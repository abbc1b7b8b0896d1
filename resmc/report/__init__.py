"""A report of a simulation or a sweep: one HTML page of answers in words, figures, numbers, and how to get them again.

In reading order: `numbers` (how numbers are written), `found` (what is said of), `words`, `words_law`, `words_layers`,
`words_growth`, `words_sweep` (the sentences), `alternatives` (what is seen in a figure), `figures` and `colours`
(drawings as SVG that follow the page's colours), `tables`, `reproduce` (command lines and Python that give the same
bits), `page` (all of it in the template).
"""

from .page import render, write

__all__ = ["render", "write"]
