"""Figures: one function for each question, each returning the matplotlib Axes it drew on.

>>> ax = resmc.plot.plot_log_norm(sim)
>>> ax.figure.savefig("log_norm.pdf")

Every function takes ``ax`` (by default a new figure of the width of a column, `COLUMN` inches) and hands other keywords
to the artist of the data. Nothing is shown, and no setting of matplotlib is changed. What was simulated is blue, in
solid lines or markers with standard errors; limits are vermilion and dashed; exact values are green and dash-dotted;
infinite width is black and dotted; so a figure reads in grey as well. Every function takes every network: where theory
knows no limit and no exact value, the estimates stand alone. Any number of curves can be drawn: beyond 24 whose labels
are numbers, a bar of colours takes the place of the legend. All quantities are dimensionless and logarithms natural.

In reading order: `laws` (the final log-norm and the output), `layers` (activations and paths, layer by layer),
`interlayer` (their correlations), `growth`, `extrapolation`, `depth` (how far networks go as their depth grows),
`quotients` (the laws of how far), `sweeps`, `quantity` (any quantity by its name); `style`, `series`, `fields` and
`select` hold what they share. matplotlib (the extra ``resmc[plot]``) is imported when a function is called.
"""

from .depth import plot_depth_ratio, plot_heat_map
from .extrapolation import plot_extrapolation
from .growth import plot_growth
from .interlayer import plot_interlayer, plot_interlayer_by_lag
from .laws import plot_log_norm, plot_output, plot_qq
from .layers import plot_hypoactivation, plot_trajectories
from .quantity import plot_quantity
from .quotients import plot_ratio_law
from .style import COLUMN
from .sweeps import plot_sweep

__all__ = [
    "COLUMN",
    "plot_depth_ratio",
    "plot_extrapolation",
    "plot_growth",
    "plot_heat_map",
    "plot_hypoactivation",
    "plot_interlayer",
    "plot_interlayer_by_lag",
    "plot_log_norm",
    "plot_output",
    "plot_qq",
    "plot_quantity",
    "plot_ratio_law",
    "plot_sweep",
    "plot_trajectories",
]
