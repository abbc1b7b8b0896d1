"""A report of a simulation or a sweep: one HTML page of answers in words, figures, numbers, and how to get them again.

>>> sim.report("report.html")  # a Simulation, or a SweepResult
>>> resmc.report.write(resmc.load("run.resmc"), "report.html")

The page needs nothing from the network and can be sent as it is. ``resmc report RUN --output report.html`` makes it
too. Needs the extra ``resmc[report]``.
"""

# In reading order: numbers (how numbers are written), found (what is said of), words, words_law, words_layers,
# words_growth, words_sweep (the sentences), alternatives (what is seen in a figure), figures and colours (drawings as
# SVG that follow the page's colours), tables, reproduce (command lines and Python that give the same bits), page (all
# of it in the template).

from .page import render, write

__all__ = ["render", "write"]
