"""Figures by layer: activations, paths, correlations and growth are the estimates, with their errors."""

from __future__ import annotations

import math

import figures
import numpy as np
import pytest
from figures import (
    P,
    balanced,
    deep,
    grid,
    lines,
    ordinary,
    segments,
    words,
)
from matplotlib import pyplot as plt

import resmc
from resmc import theory
from resmc.plot import style as st

pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here


# --------------------------------------------------------------------------------------------------------------- layers


@pytest.mark.parametrize("quantity", ["active_fraction", "asymmetry"])
def test_activations_are_drawn_with_band_limit_and_infinite_width(quantity):
    hypo = ordinary().hypoactivation()
    for result in (ordinary(), hypo):
        ax = P.plot_hypoactivation(result, quantity=quantity)
        estimate = getattr(hypo, quantity)
        curve = lines(ax, color=st.DATA)[0]
        np.testing.assert_array_equal(curve.get_xdata(), hypo.layers)
        np.testing.assert_array_equal(curve.get_ydata(), estimate.value)
        edge = ax.collections[0].get_paths()[0].vertices[:, 1]
        assert edge.max() == pytest.approx((estimate.value + estimate.stderr).max())
        assert edge.min() == pytest.approx((estimate.value - estimate.stderr).min())
        limit = lines(ax, color=st.THEORY)[0]
        np.testing.assert_array_equal(limit.get_ydata(), getattr(hypo.theory, quantity))
        half = 0.5 if quantity == "active_fraction" else 0.0
        assert list(lines(ax, color=st.INFINITE)[0].get_ydata()) == [half, half]


def test_where_infinite_width_is_exact_it_is_called_so_and_no_limit_is_drawn():
    ax = P.plot_hypoactivation(balanced())
    assert any(text.startswith("exact") for text in words(ax))
    assert lines(ax, color=st.THEORY) == []


def test_paths_are_those_kept_with_the_mean_and_spread_of_all():
    ax = P.plot_trajectories(ordinary(), most=7)
    paths = lines(ax, color=st.SKY)
    assert len(paths) == 7
    for path, kept in zip(paths, ordinary().trajectories.log_norm, strict=False):
        np.testing.assert_array_equal(path.get_ydata(), kept)
        np.testing.assert_array_equal(path.get_xdata(), ordinary().layers / 30)
    mean = lines(ax, color=st.BLUE)[0]
    np.testing.assert_array_equal(mean.get_ydata(), ordinary().log_norm_mean.value)
    limit = theory.log_norm(ordinary().model, ordinary().layers)
    found = [one.get_ydata() for one in lines(ax, color=st.THEORY)]
    np.testing.assert_allclose(found, [limit.mean + k * np.sqrt(limit.variance) for k in (0, -1, 1)])
    assert "7 networks" in words(ax)


def test_a_path_ends_where_its_network_dies():
    run = resmc.simulate(width=1, depth=6, alpha=0.0, lam=1.0, networks=64, keep_trajectories=64)
    ax = P.plot_trajectories(run, most=64)
    for path, kept in zip(lines(ax, color=st.SKY), run.trajectories.log_norm, strict=True):
        np.testing.assert_array_equal(np.isfinite(path.get_ydata()), np.isfinite(kept))


def test_the_map_of_correlations_holds_the_matrix_and_is_centred_at_0():
    inter = ordinary().interlayer_correlations()
    for result in (ordinary(), inter):
        ax = P.plot_interlayer(result)
        (mesh,) = (c for c in ax.collections if hasattr(c, "get_clim"))
        np.testing.assert_array_equal(mesh.get_array().reshape(31, 31), inter.matrix.value)
        assert mesh.get_clim() == (-1.0, 1.0)
        assert mesh.norm(0.0) == 0.5


def test_negative_cells_have_a_dash_that_grey_shows():
    run = resmc.simulate(width=30, depth=10, alpha=-0.8, lam=0.6, networks=20_000)
    ax = P.plot_interlayer(run)
    (dashes,) = ax.lines
    matrix = run.interlayer_correlations().matrix.value
    m, el = np.nonzero(matrix < -0.1)
    np.testing.assert_array_equal(dashes.get_xdata(), el)
    np.testing.assert_array_equal(dashes.get_ydata(), m)
    assert words(ax) == ["dash: below −0.1"]


def test_correlations_by_lag_are_the_estimates_with_bars_and_limit():
    inter = ordinary().interlayer_correlations()
    ax = P.plot_interlayer_by_lag(ordinary(), max_lag=9)
    (bars,) = ax.containers
    x, y = bars.lines[0].get_data()
    np.testing.assert_array_equal(x, np.arange(1, 10))
    np.testing.assert_array_equal(y, inter.by_lag.value[1:10])
    np.testing.assert_allclose(np.diff(segments(bars))[:, 0], 2.0 * inter.by_lag.stderr[1:10])
    np.testing.assert_array_equal(lines(ax, color=st.THEORY)[0].get_ydata(), inter.theory_by_lag[1:10])
    assert any("J" in text for text in words(ax))


def test_by_default_lags_end_where_the_limits_are_small():
    ax = P.plot_interlayer_by_lag(ordinary())
    x = ax.containers[0].lines[0].get_xdata()
    assert theory.interlayer_correlation(ordinary().model, [int(x[-1]), int(x[-1]) + 1])[0] >= 0.01
    assert theory.interlayer_correlation(ordinary().model, [int(x[-1]) + 1])[0] < 0.01
    assert "exact: 0" in words(P.plot_interlayer_by_lag(balanced()))


def test_curves_of_a_mapping_have_their_labels_markers_and_own_lines():
    for function in (P.plot_interlayer_by_lag, P.plot_growth):
        ax = function({"one": ordinary(), "two": balanced(), "three": deep()})
        assert words(ax)[:3] == ["one", "two", "three"] or {"one", "two", "three"} <= set(words(ax))
        markers = {c.lines[0].get_marker() for c in ax.containers}
        assert len(markers) == 3
        plt.close("all")


# --------------------------------------------------------------------------------------------------------------- growth


def test_growth_is_drawn_with_errors_limit_and_hollow_points_where_it_is_not_reliable():
    growth = deep().variance_growth()
    assert 0 < growth.reliable.sum() < len(growth.layers)
    ax = P.plot_growth(deep(), most=1000)
    (bars,) = ax.containers
    x, y = bars.lines[0].get_data()
    np.testing.assert_array_equal(x, growth.ratio[growth.reliable])
    np.testing.assert_array_equal(y, growth.log_second_moment.value[growth.reliable])
    np.testing.assert_allclose(np.diff(segments(bars))[:, 0], 2.0 * growth.log_second_moment.stderr[growth.reliable],
                               atol=1e-12)  # fmt: skip
    (hollow,) = lines(ax, markerfacecolor="white")
    np.testing.assert_array_equal(hollow.get_ydata(), growth.log_second_moment.value[~growth.reliable])
    assert bars.lines[0].get_markerfacecolor() != "white"
    np.testing.assert_array_equal(lines(ax, color=st.THEORY)[0].get_ydata(), growth.theory)
    assert any(text.startswith("hollow") for text in words(ax))
    assert any("Gaussian limit: 0" in text for text in words(ax))
    assert list(lines(ax, color=st.INFINITE)[0].get_ydata()) == [0.0, 0.0]


def test_where_all_is_reliable_no_hollow_point_is_spoken_of():
    ax = P.plot_growth(balanced(), most=5)
    kept = balanced().variance_growth()
    if kept.reliable.all():
        assert not any(text.startswith("hollow") for text in words(ax))
    assert len(ax.containers[0].lines[0].get_xdata()) <= 5


def test_the_gaussian_limit_of_unnormalised_weights_is_their_scale():
    run = resmc.simulate(width=20, depth=10, alpha=1.0, lam=0.5, networks=2000)
    ax = P.plot_growth(run.variance_growth(), most=100)
    gaussian = lines(ax, color=st.INFINITE)[0]
    np.testing.assert_allclose(gaussian.get_ydata(), np.arange(11) * math.log(1.25), rtol=1e-12)
    assert any("alpha" in text for text in words(ax))


def test_growth_over_a_sweep_is_its_last_layers():
    ax = P.plot_growth(grid(), sel={"variant": "vanilla"})
    assert words(ax)[:3] == ["$n$ = 8", "$n$ = 16", "$n$ = 24"]
    estimate, limits = grid().estimates["growth"], grid().limits["growth"]
    for index, bars in enumerate(ax.containers):
        value, stderr = estimate.value[index, :, 0], estimate.stderr[index, :, 0]
        good = np.isfinite(stderr)
        np.testing.assert_array_equal(bars.lines[0].get_ydata(), value[good])
        np.testing.assert_allclose(np.diff(segments(bars))[:, 0] if good.any() else [], 2.0 * stderr[good])
        series = st.SERIES[index]
        curve = next(one for one in lines(ax, color=series.colour) if one.get_linestyle() != "None")
        np.testing.assert_array_equal(curve.get_ydata(), limits[index, :, 0])
    assert ax.get_title() == "vanilla"
