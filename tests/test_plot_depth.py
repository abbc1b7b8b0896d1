"""Figures of deep networks: what is drawn is what was simulated, and the limit stands beside it."""

from __future__ import annotations

from itertools import pairwise

import figures
import numpy as np
import pytest
from figures import P, deep_residual, lines, ordinary, over_beta_and_depth, regimes, residual, segments, words
from matplotlib.collections import QuadMesh
from matplotlib.patches import StepPatch
from trained_maps import made as trained_map

import resmc
from resmc.plot import style as st

pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here
RATIOS = ("growth", "displacement", "gradient", "gradient_displacement")


# ---------------------------------------------------------------------------------------------------------- over depth


@pytest.mark.parametrize("ratio", RATIOS)
def test_points_are_medians_with_their_errors_and_the_band_lies_between_quantiles(ratio):
    (label,) = [label for label in regimes() if "0.25" in label]
    one = regimes()[label]
    ax = P.plot_depth_ratio(one, ratio, between=(0.1, 0.9))
    (bars,) = ax.containers
    median, logs = bars.lines[0].get_xydata().T, getattr(one, ratio)
    assert median[0].tolist() == one.depths.tolist()
    assert median[1] == pytest.approx(np.exp(logs.value))
    half = 0.5 * np.diff(segments(bars), axis=1)[:, 0]
    assert half == pytest.approx(np.exp(logs.value) * logs.stderr, rel=1e-6)
    corners = ax.collections[0].get_paths()[0].vertices[:, 1]
    ends = [np.exp(0.5 * sim.log_ratio(ratio).quantile([0.1, 0.9]).value) for sim in one.simulations]
    assert {round(float(x), 9) for x in np.ravel(ends)} <= {round(float(x), 9) for x in corners}
    assert "400 networks" in " ".join(words(ax))


def test_a_legend_holds_the_verdict_on_what_is_drawn_and_on_nothing_else():
    drawn = words(P.plot_depth_ratio(regimes()))
    assert drawn[:3] == ["β = 1: identity", "β = 0.5: non-trivial", "β = 0.25: explosion"]
    assert "median ± s.e., 400 networks" in drawn
    assert "5% to 95%" in drawn
    assert words(P.plot_depth_ratio(regimes(), "growth"))[:3] == list(regimes())
    assert words(P.plot_depth_ratio(list(regimes()["β = 1"].simulations)))[0] == "median ± s.e., 400 networks"


def test_axes_are_logarithmic_where_the_ratio_goes_over_more_than_ten_times():
    assert P.plot_depth_ratio(regimes()).get_yscale() == "log"
    assert P.plot_depth_ratio(regimes()["β = 0.5"], "growth").get_yscale() == "linear"
    assert P.plot_depth_ratio(regimes()["β = 0.5"], "growth").get_xscale() == "log"


def test_ticks_of_few_depths_are_these_depths_and_do_not_overlap():
    run = [resmc.simulate(residual(0.5, depth), networks=64) for depth in (3, 10, 11, 30)]
    ax = P.plot_depth_ratio(run, "growth")
    ax.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels(which="both") if label.get_text()]
    assert [label.get_text() for label in ax.get_xticklabels(which="both")] == ["3", "10", "30"]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_simulations_in_any_order_are_drawn_by_depth():
    sims = regimes()["β = 1"].simulations
    one, other = (P.plot_depth_ratio({"a": list(given)}) for given in (sims, sims[::-1]))
    assert np.array_equal(one.containers[0].lines[0].get_xydata(), other.containers[0].lines[0].get_xydata())


# --------------------------------------------------------------------------------------------------------------- laws


@pytest.mark.parametrize("ratio", ["growth", "gradient"])
def test_the_histogram_holds_all_but_the_tails_and_has_the_density_of_the_limit(ratio):
    ax = P.plot_ratio_law(deep_residual(), ratio, bins=20)
    histogram = next(patch for patch in ax.patches if isinstance(patch, StepPatch))
    density, edges, _ = histogram.get_data()
    inside = float(np.sum(density * np.diff(edges)))
    assert 0.997 < inside <= 1.0
    limit = lines(ax, color=st.THEORY)[0].get_xydata()
    assert np.trapezoid(limit[:, 1], limit[:, 0]) == pytest.approx(1.0, abs=0.005)
    middle = 0.5 * (edges[1:] + edges[:-1])
    expected = np.interp(middle, *limit.T)
    share = expected * np.diff(edges)
    stderr = np.sqrt(share * (1.0 - share) / 4000) / np.diff(edges)
    # 20 bins at 4.5 standard errors, and what a depth of 300 and the width of a bin add: 1% of the largest density each
    assert np.all(np.abs(density - expected) < 4.5 * stderr + 0.02 * expected.max())
    assert not np.all(np.abs(density - np.interp(1.05 * middle, *limit.T)) < 4.5 * stderr + 0.02 * expected.max())


def test_a_limit_that_is_known_is_drawn_and_one_that_is_not_is_simulated_or_left_out():
    assert "log-Gaussian limit, $L = \\infty$" in words(P.plot_ratio_law(deep_residual()))
    assert len(words(P.plot_ratio_law(deep_residual(), "displacement"))) == 1
    limit = resmc.limit(residual(0.5), networks=2000, steps=20, progress=False)
    ax = P.plot_ratio_law(deep_residual(), "displacement", limit=limit, bins=10)
    assert "limit, $L = \\infty$, simulated" in words(ax)
    density = next(patch for patch in ax.patches if isinstance(patch, StepPatch)).get_data().values
    simulated = lines(ax, color=st.THEORY)[0].get_ydata()
    assert np.max(np.abs(density - simulated)) < 0.15 * density.max()
    other = resmc.simulate(residual(1.0, 100), networks=400, displacement=True, layers=[0])
    assert words(P.plot_ratio_law(other))[1:] == ["exact law"]  # no limit but the identity


def test_a_resnet_has_a_law_without_a_limit_in_depth():
    sim = resmc.simulate(width=20, depth=10, alpha=0.6, lam=0.8, networks=400, displacement=True)
    assert len(words(P.plot_ratio_law(sim))) == 1


# --------------------------------------------------------------------------------------------------------------- maps


@pytest.mark.parametrize("ratio", RATIOS)
def test_cells_hold_means_of_log10_and_colours_end_at_two_powers_of_ten(ratio):
    ax = P.plot_heat_map(over_beta_and_depth(), ratio)
    (mesh,) = [one for one in ax.collections if isinstance(one, QuadMesh)]
    expected = np.array([0.5 * float(sim.log_ratio(ratio).final_mean.value) / np.log(10.0)
                         for sim in over_beta_and_depth()]).reshape(3, 2).T  # fmt: skip
    assert np.asarray(mesh.get_array()) == pytest.approx(expected)
    reach = min(np.abs(expected).max(), 2.0)
    assert mesh.get_clim() == (pytest.approx(-reach), pytest.approx(reach))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "0.5", "1"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["8", "32"]
    turned = P.plot_heat_map(over_beta_and_depth(), ratio, x="depth", y="beta")
    (mesh,) = [one for one in turned.collections if isinstance(one, QuadMesh)]
    assert np.asarray(mesh.get_array()) == pytest.approx(expected.T)


def test_a_pair_without_a_simulation_is_hatched():
    ax = P.plot_heat_map(over_beta_and_depth()[:-1])
    assert len([patch for patch in ax.patches if patch.get_hatch()]) == 1
    assert "no value" in words(ax)


# ---------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: P.plot_depth_ratio(3), "result=3 is not allowed: it must be a Regime, a sequence of Simulation"),
        (lambda: P.plot_depth_ratio(deep_residual()), "result=.* is not allowed: it must be a Regime"),
        (lambda: P.plot_depth_ratio([]), r"result=\[\] is not allowed"),
        (lambda: P.plot_depth_ratio({}), "result holds 0 curves"),
        (lambda: P.plot_depth_ratio([deep_residual()] * 2), "several simulations of one depth"),
        (lambda: P.plot_depth_ratio(regimes(), "norm"), "ratio='norm' is not allowed"),
        (lambda: P.plot_depth_ratio(regimes(), between=(0.9, 0.1)), r"between=\(0.9, 0.1\) is not allowed"),
        (lambda: P.plot_depth_ratio(regimes(), between=0.5), "between=0.5 is not allowed"),
        (lambda: P.plot_depth_ratio([ordinary()]), "'displacement' was not followed"),
        (lambda: P.plot_depth_ratio([_huge()]), r"ratio='displacement' is as large as exp\(.*leave out"),
        (lambda: P.plot_ratio_law(3), "sim=3 is not allowed: it must be a resmc.Simulation"),
        (lambda: P.plot_ratio_law(ordinary()), "sim has no law of 'growth': simulate with displacement=True"),
        (lambda: P.plot_ratio_law(deep_residual(), "norm"), "ratio='norm' is not allowed"),
        (lambda: P.plot_ratio_law(deep_residual(), limit=3), "limit=3 is not allowed: it must be a resmc.DepthLimit"),
        (lambda: P.plot_ratio_law(deep_residual(), "gradient", limit=_forward()), "limit has no 'gradient'"),
        (lambda: P.plot_ratio_law(deep_residual(), bins=0), "bins=0 is out of range"),
        (lambda: P.plot_ratio_law(_huge()), r"ratio='growth' goes from exp\(.*too far for an axis"),
        (lambda: P.plot_heat_map(3), "simulations=3 is not allowed: it must be a sequence of Simulation"),
        (lambda: P.plot_heat_map(trained_map()), "simulations=.* is not allowed: plot_trained_map draws maps after"),
        (lambda: P.plot_heat_map([ordinary()]), "'displacement' was not followed"),
        (lambda: P.plot_heat_map(over_beta_and_depth(), x="alpha"), "has no alpha: no ResNet is this network"),
        (lambda: P.plot_depth_ratio(regimes(), sel={"beta": 1}), "sel=.* it chooses points of a SweepResult"),
        (lambda: P.plot_heat_map([_huge()], "gradient"), "'gradient' was not followed"),
        (lambda: P.plot_heat_map(over_beta_and_depth(), x="seed"), "x='seed' is not allowed"),
        (lambda: P.plot_heat_map(over_beta_and_depth(), x="depth"), "y='depth' is not allowed: it is x already"),
        (lambda: P.plot_heat_map(over_beta_and_depth(), x="width"), "simulations has several at one pair"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def _huge() -> resmc.Simulation:
    return resmc.simulate(residual(-0.5, 400), networks=64, displacement=True, layers=[0])


def _forward() -> resmc.DepthLimit:
    return resmc.limit(residual(0.5), networks=64, steps=2, gradients=False, progress=False)
