"""The figure of distances from ordinary equations: what is drawn is what was measured, and bounds lie above it."""

from __future__ import annotations

import figures
import numpy as np
import pytest
from figures import P, ode_distance, segments, words

import resmc
from resmc import DepthScaling, ResidualNetwork
from resmc.plot import style as st

pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here


def test_points_are_geometric_means_with_the_errors_of_their_logarithms():
    found = ode_distance()
    ax = P.plot_ode_distance(found)
    assert len(ax.containers) == 2
    for bars, values in zip(ax.containers, (found.euler, found.heun), strict=True):
        logs = np.log(values)
        x, y = bars.lines[0].get_xydata().T
        assert x.tolist() == found.depths.tolist()
        assert y == pytest.approx(np.exp(logs.mean(axis=1)))
        half = 0.5 * np.diff(segments(bars), axis=1)[:, 0]
        assert half == pytest.approx(y * logs.std(axis=1, ddof=1) / np.sqrt(32), rel=1e-6)
    assert ax.get_yscale() == "log"


def test_bounds_stand_beside_one_result_and_the_legend_says_the_slopes():
    found = ode_distance()
    ax = P.plot_ode_distance(found)
    drawn = [one.get_ydata() for one in ax.lines if one.get_color() == st.SOFT]
    for line, bound in zip(drawn, (found.bound, found.step_bound), strict=True):
        assert line == pytest.approx(np.exp(np.log(bound).mean(axis=1)))
    said = " ".join(words(ax))
    assert f"Euler: slope {st.in_words(found.euler_slope)}" in said
    assert f"Heun: slope {st.in_words(found.heun_slope)}" in said
    assert "Euler's bound by step" in said
    assert "bound" not in " ".join(words(P.plot_ode_distance(found, bounds=False)))
    assert "bound" not in " ".join(words(P.plot_ode_distance({"a": found, "b": found})))
    assert "bound" not in " ".join(words(P.plot_ode_distance(ode_distance(schemes="heun"))))


def test_a_bound_that_would_leave_no_room_is_said_in_words_and_distances_that_stay_have_a_linear_axis():
    model = ResidualNetwork(4, 1, "v-phi-w", "tanh", scaling=DepthScaling(0.5, 2.0))
    found = resmc.ode.distance(model, (64, 128), networks=4, tolerance=1e-3)
    ax = P.plot_ode_distance(found)
    power = int(np.floor(np.log10(np.exp(np.log(found.bound).mean(axis=1)).min())))
    assert rf"Euler's bound: above $10^{{{power}}}$" in words(ax)
    assert [one for one in ax.lines if one.get_color() == st.SOFT] == []
    assert ax.get_yscale() == "linear"


def test_distances_that_are_all_zero_are_refused():
    zero = {"V": lambda t: np.zeros((2, 2))}
    model = ResidualNetwork(2, 1, "phi-in", "tanh", scaling=DepthScaling(1.0))
    found = resmc.ode.distance(model, (2, 4), networks=2, weights=zero)
    assert (found.euler == 0.0).all()
    with pytest.raises(ValueError, match="no logarithm of a distance of Euler"):
        P.plot_ode_distance(found)
