"""Figures of linear residual networks: what is drawn is what was found, and its limits stand beside it."""

from __future__ import annotations

import figures
import numpy as np
import pytest
from figures import P, linear_descent, lines, segments, words
from matplotlib import pyplot as plt

import resmc
from resmc.plot import style as st

pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here


def test_distances_are_means_with_their_errors_beside_a_line_that_falls_like_1_over_n():
    result = linear_descent()
    ax = P.plot_linear_descent(result)
    (bars,) = ax.containers
    depths, values = bars.lines[0].get_xydata().T
    found = result.final_distance
    assert depths.tolist() == [4, 8, 16]
    assert values == pytest.approx(found.value)
    assert 0.5 * np.diff(segments(bars), axis=1)[:, 0] == pytest.approx(found.stderr)
    (limit,) = lines(ax, color=st.THEORY)
    x, y = limit.get_xydata().T
    assert x * y == pytest.approx(np.full(3, 16 * found.value[-1]))
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert any("32 targets: slope −1" in one for one in words(ax))


@pytest.mark.parametrize("quantity", ["loss", "smoothness"])
def test_a_curve_over_time_is_the_mean_over_targets_of_its_depth(quantity):
    result = linear_descent()
    ax = P.plot_linear_descent(result, quantity)
    values = getattr(result, quantity)
    curves = [one for one in ax.lines if len(one.get_xdata()) == len(result.times)]
    for i, curve in enumerate(curves):
        assert pytest.approx(np.array([result.times, values[i].mean(axis=1)])) == curve.get_xydata().T
    assert len(curves) == 3
    marks = segments(ax.containers[0])
    assert marks[-1].mean() == pytest.approx(values[0, -1].mean())
    assert 0.5 * np.ptp(marks[-1]) == pytest.approx(values[0, -1].std(ddof=1) / np.sqrt(32))
    assert words(ax) == ["N = 4", "N = 8", "N = 16", "mean ± s.e., 32 targets"]
    assert ax.get_yscale() == ("log" if quantity == "loss" else "linear")


def test_weights_of_all_depths_are_drawn_over_the_same_depth():
    result = linear_descent()
    ax = P.plot_linear_descent(result, "weights")
    curves = [one for one in ax.lines if len(one.get_xdata())]
    assert len(curves) == 3 * 4
    for i, n in enumerate((4, 8, 16)):
        for entry in range(4):
            x, y = curves[4 * i + entry].get_xydata().T
            assert x == pytest.approx(np.arange(n) / n)
            assert y == pytest.approx(result.weights[i].reshape(n, 4)[:, entry])
    assert "entries (0, 0), (0, 1), (1, 0), (1, 1)" in words(ax)


def test_entries_that_differ_most_over_the_depth_are_drawn():
    target = np.eye(3)
    target[:2, :2] += [[0.2, 0.5], [-0.3, 0.1]]  # The third coordinate has no part in it.
    ax = P.plot_linear_descent(resmc.ode.linear_descent(target, (4, 8), time=5), "weights")
    assert "entries (0, 0), (0, 1), (1, 0), (1, 1)" in words(ax)


def test_fewer_than_32_targets_are_hollow():
    ax = P.plot_linear_descent(linear_descent(3, (4, 8)))
    assert all(len(bars.lines[0].get_xdata()) == 0 for bars in ax.containers)
    assert any("mean, 3 targets: slope" in one and "±" not in one for one in words(ax))
    assert st.HOLLOW in words(ax)
    assert st.HOLLOW in words(P.plot_linear_descent(linear_descent(3, (4, 8)), "loss"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: P.plot_linear_descent(3), "result=3 is not allowed: it must be a LinearDescent"),
        (lambda: P.plot_linear_descent(linear_descent(), "speed"), "quantity='speed' is not allowed"),
        (lambda: P.plot_linear_descent(_still()), "result has a distance of 0"),
        (lambda: P.plot_linear_descent(_still(), "loss"), "result has a loss of 0 at all times"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_leaves_no_figure(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert plt.get_fignums() == []


def _still() -> resmc.ode.LinearDescent:
    """A target that is reached from the start."""
    return resmc.ode.linear_descent(np.eye(2), (4, 8), time=1)
