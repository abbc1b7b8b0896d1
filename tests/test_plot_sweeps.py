"""Figures over widths and sweeps: fits and maps hold the estimates of their points."""

from __future__ import annotations

import figures
import numpy as np
import pytest
from figures import (
    HALF,
    P,
    extrapolation,
    grid,
    lines,
    luminance,
    segments,
    unfinished,
    words,
)

from resmc import Sweep
from resmc.plot import style as st

pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here


def test_an_extrapolation_shows_estimates_fit_value_and_limit():
    found = extrapolation()
    ax = P.plot_extrapolation(found)
    estimates, value = ax.containers
    np.testing.assert_allclose(estimates.lines[0].get_xdata(), 1.0 / found.widths)
    np.testing.assert_array_equal(estimates.lines[0].get_ydata(), found.estimates.value)
    np.testing.assert_allclose(np.diff(segments(estimates))[:, 0], 2.0 * found.estimates.stderr)
    assert value.lines[0].get_xydata().tolist() == [[0.0, float(found.value.value)]]
    np.testing.assert_allclose(np.diff(segments(value))[:, 0], 2.0 * found.value.stderr)
    fit = next(one for one in lines(ax, color=st.DATA) if len(one.get_xdata()) > 100)
    x, y = fit.get_data()
    assert y[0] == pytest.approx(float(found.value.value))
    np.testing.assert_allclose(y, found.coefficients[0] + found.coefficients[1] * x)
    assert set(lines(ax, color=st.THEORY)[0].get_ydata()) == {found.limit}
    edge = ax.collections
    band = next(c for c in edge if len(c.get_paths()[0].vertices) > 300).get_paths()[0].vertices
    at_zero = band[band[:, 0] == 0.0][:, 1]
    assert at_zero.max() - at_zero.min() == pytest.approx(2.0 * float(found.covariance[0, 0]) ** 0.5)


@pytest.mark.parametrize("show", ["value", "stderr", "relative"])
@pytest.mark.parametrize("quantity", ["log_norm.variance", "asymmetry"])
def test_a_map_of_a_sweep_holds_what_it_says(show, quantity):
    ax = P.plot_sweep(grid(), quantity, show=show, sel={"variant": "vanilla"})
    estimate, limit = grid().estimates[quantity], grid().limits[quantity]
    with np.errstate(divide="ignore"):  # of balanced networks
        relative = (estimate.value - limit) / limit  # the sign of a summary, also for negative limits
    wanted = {"value": estimate.value, "stderr": estimate.stderr, "relative": relative}[show]
    (mesh,) = (c for c in ax.collections if hasattr(c, "get_clim"))
    np.testing.assert_allclose(mesh.get_array(), wanted[:, :, 0])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.5", "1", "2"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["8", "16", "24"]
    assert len(ax.texts) == 9
    if show == "relative":
        assert mesh.norm(0.0) == pytest.approx(0.5)


def test_the_axes_of_a_map_may_be_exchanged_and_any_other_dimension_fixed():
    ax = P.plot_sweep(grid(), "growth", x="variant", y="ratio", sel={"width": 16})
    (mesh,) = (c for c in ax.collections if hasattr(c, "get_clim"))
    np.testing.assert_allclose(mesh.get_array(), grid().estimates["growth"].value[1])
    other = P.plot_sweep(grid(), "growth", x="ratio", y="variant", sel={"width": 16})
    (mesh,) = (c for c in other.collections if hasattr(c, "get_clim"))
    np.testing.assert_allclose(mesh.get_array(), grid().estimates["growth"].value[1].T)
    assert other.get_title() == "$n$ = 16"


def test_points_without_a_value_are_hatched_and_said_so():
    ax = P.plot_sweep(unfinished())
    hatched = [patch for patch in ax.patches if patch.get_hatch()]
    assert sorted(patch.get_xy() for patch in hatched) == [(-0.5, 0.5), (0.5, 0.5)]
    assert words(ax) == ["no value"]
    missing = ~np.isfinite(grid().estimates["growth"].stderr[:, :, 1])
    ax = P.plot_sweep(grid(), "growth", show="stderr", sel={"variant": "balanced"})
    assert missing.any()
    assert len([patch for patch in ax.patches if patch.get_hatch()]) == missing.sum()
    assert words(ax) == ["no standard error"]


def test_numbers_in_dark_cells_are_white_and_in_light_ones_black():
    ax = P.plot_sweep(grid(), sel={"variant": "vanilla"})
    (mesh,) = (c for c in ax.collections if hasattr(c, "get_clim"))
    for text in ax.texts:
        column, row = (int(v) for v in text.get_position())
        ground, ink = luminance(mesh.to_rgba(mesh.get_array()[row, column])[:3]), luminance(text.get_color())
        assert (max(ground, ink) + 0.05) / (min(ground, ink) + 0.05) > 3.0


def test_a_large_map_has_few_ticks_and_no_numbers(tmp_path):
    plan = Sweep(width=list(range(4, 24)), depth=list(range(1, 10)), alpha=HALF, lam=HALF, networks=64)
    ax = P.plot_sweep(plan.run(tmp_path / "store", progress=False))
    assert len(ax.texts) == 0
    assert len(ax.get_yticks()) <= 8
    assert np.ptp(np.diff(ax.get_yticks())) == 0
