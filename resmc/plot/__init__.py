"""Figures: one function for each question, each returning the matplotlib Axes it drew on.

>>> ax = resmc.plot.plot_log_norm(sim)
>>> ax.figure.savefig("log_norm.pdf")

Every function takes ``ax`` (by default a new figure of the width of a column, `COLUMN` inches) and hands other keywords
to the artist of the data. Nothing is shown, and no setting of matplotlib is changed. What was simulated is blue, in
solid lines or markers with standard errors; limits are vermilion and dashed; exact values are green and dash-dotted;
infinite width is dotted, in the colour of the labels; so a figure reads in grey and on dark ground as well. A value
that has no standard error is hollow, in a map it has a circle, and the legend says so. Every function takes every
network: where theory knows no limit and no exact value, the estimates stand alone. Any number of curves can be drawn:
beyond 24 whose labels are numbers, a bar of colours takes the place of the legend; of more than eight curves of a sweep
over several dimensions, colours, markers and lines stand for a dimension each. All quantities are dimensionless and
logarithms natural. The depth is d, and L_l the log-norm of layer l; but in figures of |h_L|/|h_0| and the other
ratios, which show no log-norm, the depth is L.

A legend stands where nothing is drawn, if need be in room that is made for it above or below the data, so that it also
fits into Axes of a grid; one that would take a third of the height stands below the axes. A figure with
``layout="constrained"`` has room for labels and bars of colours; without a layout axes with such a bar become narrower.

In reading order: `laws` (the final log-norm and the output), `layers` (activations and paths, layer by layer),
`interlayer` (their correlations), `growth`, `extrapolation`, `depth` (how far networks go as their depth grows),
`heat_maps` (how far over H and beta), `trained_maps` (how well after training), `quotients` (the laws of how far),
`ode` (how far networks are from ordinary equations), `adjoint` (errors of gradients that keep no states), `success`
(training with them), `linear_descent` (linear networks as they are trained), `training` (losses by epoch),
`regularity` (roughness of trained weights over the layers), `trained_log_ratio` (how far signals and gradients go in
trained networks), `scaling` (how weights scale with the depth), `angles` (of two inputs, by layer), `tangent_kernel`
(its mean and scatter), `jacobian` (its singular values), `sweeps`, `quantity` (any quantity by its name); `style`,
`places`, `occupied`, `maps`, `series`, `fields` and `select` hold what they share. matplotlib (the extra
``resmc[plot]``) is imported when a function is called.
"""

from .adjoint import plot_adjoint_errors
from .angles import plot_angles
from .depth import plot_depth_ratio, plot_heat_map
from .extrapolation import plot_extrapolation
from .growth import plot_growth
from .interlayer import plot_interlayer, plot_interlayer_by_lag
from .jacobian import plot_singular_values
from .laws import plot_log_norm, plot_output, plot_qq
from .layers import plot_hypoactivation, plot_trajectories
from .linear_descent import plot_linear_descent
from .ode import plot_ode_distance
from .places import COLUMN
from .quantity import plot_quantity
from .quotients import plot_ratio_law
from .regularity import plot_regularity, plot_weight_path
from .scaling import plot_scaling_exponents
from .success import plot_success
from .sweeps import plot_sweep
from .tangent_kernel import plot_tangent_kernel
from .trained_log_ratio import plot_trained_log_ratio
from .trained_maps import plot_trained_map
from .training import plot_training

__all__ = [
    "COLUMN",
    "plot_adjoint_errors",
    "plot_angles",
    "plot_depth_ratio",
    "plot_extrapolation",
    "plot_growth",
    "plot_heat_map",
    "plot_hypoactivation",
    "plot_interlayer",
    "plot_interlayer_by_lag",
    "plot_linear_descent",
    "plot_log_norm",
    "plot_ode_distance",
    "plot_output",
    "plot_qq",
    "plot_quantity",
    "plot_ratio_law",
    "plot_regularity",
    "plot_scaling_exponents",
    "plot_singular_values",
    "plot_success",
    "plot_sweep",
    "plot_tangent_kernel",
    "plot_trained_log_ratio",
    "plot_trained_map",
    "plot_training",
    "plot_trajectories",
    "plot_weight_path",
]
