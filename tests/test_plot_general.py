"""Figures of networks that no ResNet is, and of many curves: no theory where none is, exact values where known."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import figures
import numpy as np
import pytest
from figures import P, grid, lines, ordinary, regimes, words
from matplotlib import pyplot as plt
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

import resmc
from resmc import ResidualNetwork, Simulation
from resmc.analyses import found
from resmc.models.scaling import DepthScaling
from resmc.plot import series
from resmc.plot import style as st
from resmc.results.observables import OBSERVABLES
from resmc.sweep import SweepResult

pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here

NETWORKS = {
    "phi-out tanh": ResidualNetwork(16, 8, "phi-out", "tanh"),
    "v-phi-w relu": ResidualNetwork(16, 8, "v-phi-w", "relu"),
    "phi-in gelu": ResidualNetwork(16, 8, "phi-in", "gelu", bias=0.3),
    "phi-in relu": ResidualNetwork(16, 8, "phi-in", "relu", bias=0.3),
    "phi-in balanced": ResidualNetwork(16, 8, "phi-in", "balanced", scaling=DepthScaling(0.5, 1.3)),
}
WITHOUT_LIMIT = [name for name in NETWORKS if name != "phi-in balanced"]
FOLDER = tempfile.TemporaryDirectory()  # of a store; the end of Python removes it
every_network = pytest.mark.parametrize("name", NETWORKS)


@cache
def general(name: str) -> Simulation:
    return resmc.simulate(NETWORKS[name], networks=2000, gradients=True, keep_trajectories=5)


@cache
def swept() -> SweepResult:
    """A sweep over block, depth and beta."""
    plan = resmc.Sweep(block=["v-phi-w", "phi-out"], beta=[0.25, 0.5, 1.0], depth=[4, 16], width=8, networks=64)
    return plan.run(Path(FOLDER.name) / "store", progress=False)


# -------------------------------------------------------------------------------------------------------- any network


@every_network
def test_every_figure_of_a_simulation_draws_every_network_and_shows_limits_only_where_there_are_some(name):
    sim = general(name)
    functions = [P.plot_log_norm, P.plot_output, P.plot_qq, P.plot_growth, P.plot_trajectories]
    functions += [P.plot_hypoactivation] if sim.has_asymmetry else []
    for function in functions:
        ax = function(sim, ax=Figure().subplots())
        if name in WITHOUT_LIMIT:
            assert lines(ax, color=st.THEORY) == [], function
            assert not any("limit" in text or "infinite" in text for text in words(ax)), function
        assert "z_" not in ax.get_xlabel() + ax.get_ylabel(), function
    if name == "phi-in balanced":
        assert any("log-Gaussian limit" in text for text in words(P.plot_log_norm(sim)))


def of_quantity(place: int, quantity: str) -> str | None:
    """The network of which a quantity is drawn: one after the other of those that have it."""
    having = [name for name in NETWORKS if quantity in general(name).observables]
    return having[place % len(having)] if having else None


@every_network
def test_every_quantity_of_a_network_has_a_figure_with_its_estimates(name):
    sim = general(name)
    for quantity in (one for i, one in enumerate(OBSERVABLES) if name == of_quantity(i, one)):
        ax = P.plot_quantity(sim, quantity, ax=Figure().subplots())
        value, one = np.atleast_1d(found.estimate(sim, quantity).value), OBSERVABLES[quantity]
        drawn = ax.lines[0].get_ydata() if one.per in ("layer", "lag") else ax.containers[0].lines[0].get_ydata()
        np.testing.assert_array_equal(drawn, value[np.isfinite(value)][1 if one.per == "lag" else 0 :])
        plt.close("all")


def test_a_network_without_an_asymmetry_has_no_figure_of_it():
    with pytest.raises(ValueError, match="A and the active fraction do not exist for block='phi-out'"):
        P.plot_hypoactivation(general("phi-out tanh"))
    with pytest.raises(ValueError, match=r"name='asymmetry' is not allowed: it must be one of 'log_norm.mean'"):
        P.plot_quantity(general("phi-out tanh"), "asymmetry")


def test_exact_values_have_a_style_of_their_own_where_facts_know_them():
    sim = general("v-phi-w relu")
    for ax in (P.plot_growth(sim), P.plot_quantity(sim, "growth")):
        (line,) = lines(ax, color=st.EXACT)
        np.testing.assert_array_equal(line.get_ydata(), sim.facts.growth(sim.layers))
        assert "exact" in words(ax)
    skip = resmc.simulate(width=16, depth=8, alpha=0.0, lam=1.0, networks=400, keep_trajectories=3)
    mean = skip.facts.log_norm_moment("mean", skip.layers)
    assert np.isfinite(mean).all()
    np.testing.assert_array_equal(lines(P.plot_trajectories(skip), color=st.EXACT)[0].get_ydata(), mean)
    assert lines(P.plot_log_norm(skip), color=st.EXACT)[0].get_xdata()[0] == mean[-1]
    assert lines(P.plot_growth(general("phi-out tanh")), color=st.EXACT) == []


def test_weights_that_are_not_gaussian_have_no_law_of_the_output():
    sim = resmc.simulate(replace(NETWORKS["phi-out tanh"], weights="uniform"), networks=64, method="dense")
    P.plot_log_norm(sim)
    with pytest.raises(ValueError, match="weights='uniform' have no law of the output"):
        P.plot_output(sim)


# --------------------------------------------------------------------------------------------------------- many curves


def looks_of(ax) -> list[tuple[str, str, str]]:
    """Colour, line and marker of the curves: points with bars, or lines with markers."""
    artists = [bars.lines[0] for bars in ax.containers] or [one for one in ax.lines if one.get_label() in words(ax)]
    return [(one.get_color(), str(one.get_linestyle()), one.get_marker()) for one in artists]


def test_thirteen_curves_are_drawn_and_no_two_look_alike():
    for result in (ordinary(), general("phi-out tanh")):
        many = {f"run {letter}": result for letter in "abcdefghijklm"}
        for ax in (P.plot_growth(many, most=3), P.plot_quantity(many, "growth", ax=Figure().subplots())):
            assert set(many) <= set(words(ax))
            looks = looks_of(ax)
            assert len(looks) == len(set(looks)) == 13
            plt.close("all")
    assert len(P.plot_depth_ratio(dict.fromkeys("abcdefgh", regimes()["β = 1"])).containers) == 8
    assert len(P.plot_ratio_law({c: general("v-phi-w relu") for c in "abcdefgh"}).get_legend().get_texts()) > 8


@pytest.mark.parametrize("count", [1, 6, 13, 72, 400])
def test_looks_differ_and_the_first_six_are_those_of_old(count):
    found = series.looks([f"curve of {'abc'[i % 3]} {i} {'x' * (i % 2)}." for i in range(count)])
    assert len(set(found)) == count
    assert found[:6] == list(st.SERIES[: min(count, 6)])


def test_many_curves_of_numbers_have_colours_in_their_order_and_a_bar():
    many = {f"n = {n}": general("phi-out tanh") for n in range(30, 0, -1)}
    ax = P.plot_growth(many, most=3)
    (bar,) = (other for other in ax.figure.axes if other is not ax)
    assert bar.get_ylabel() == "n"
    colours = [bars.lines[0].get_color() for bars in ax.containers]
    assert len(set(colours)) == 30
    assert series.looks(list(many))[0].colour == series.looks([*many][::-1])[-1].colour
    assert series.numbers(["β = 0.5", "β = 1"]) == ("β", [0.5, 1.0])
    assert series.numbers(["β = 0.5", "n = 1"]) is None


# -------------------------------------------------------------------------------------------------------------- sweeps


def test_a_sweep_over_depth_has_a_curve_for_each_value_of_its_other_dimensions():
    result = swept()
    ax = P.plot_depth_ratio(result, sel={"block": "v-phi-w"})
    assert words(ax)[:3] == [r"$\beta$ = 0.25", r"$\beta$ = 0.5", r"$\beta$ = 1"]
    ours = P.plot_depth_ratio([result.load(0), result.load(3)])
    np.testing.assert_array_equal(ax.containers[0].lines[0].get_xydata(), ours.containers[0].lines[0].get_xydata())
    assert len(P.plot_depth_ratio(result).containers) == 6


def test_a_map_of_a_sweep_holds_the_means_of_its_points():
    result = swept()
    ax = P.plot_heat_map(result, x="beta", y="depth", sel={"block": "phi-out"})
    (mesh,) = [one for one in ax.collections if isinstance(one, QuadMesh)]
    expected = 0.5 * result.estimates["displacement.mean"].value[1] / np.log(10.0)
    np.testing.assert_allclose(np.asarray(mesh.get_array()), expected)
    by_name = P.plot_heat_map([result.load(i) for i in (3, 4, 5, 9, 10, 11)], x="block", y="beta")
    assert [text.get_text() for text in by_name.get_xticklabels()] == ["phi-out", "v-phi-w"]
    with pytest.raises(ValueError, match=r"gradient. was not followed in this sweep: there are growth, displacement"):
        P.plot_heat_map(result, "gradient")


def test_laws_of_a_sweep_are_those_of_its_points():
    ax = P.plot_ratio_law(swept(), "displacement", sel={"block": "v-phi-w", "depth": 16}, bins=8)
    assert words(ax)[:3] == [r"$\beta$ = 0.25", r"$\beta$ = 0.5", r"$\beta$ = 1"]
    assert P.plot_ratio_law(swept(), "growth", sel={"block": "v-phi-w", "depth": 16, "beta": 0.5}).get_title()


def test_a_quantity_is_drawn_over_any_dimension_of_a_sweep_and_over_the_depths_of_a_regime():
    result = swept()
    ax = P.plot_quantity(result, "displacement.median", along="block", sel={"depth": 4})
    assert [text.get_text() for text in ax.get_xticklabels()] == ["v-phi-w", "phi-out"]
    values = [bars.lines[0].get_ydata() for bars in ax.containers]
    np.testing.assert_array_equal(values, result.estimates["displacement.median"].value[:, 0, :].T)
    assert P.plot_sweep(result, "displacement.median", sel={"depth": 4}).get_xlabel() == r"exponent $\beta$"
    for name in list(grid().estimates)[::3]:
        P.plot_quantity(grid(), name, along="width", sel={"variant": "vanilla"}, ax=Figure().subplots())
    regime = regimes()["β = 0.5"]
    ax = P.plot_quantity(regime, "displacement.median")
    np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata(), 2.0 * regime.displacement.value)
    assert ax.get_xscale() == "log"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: P.plot_quantity(3, "growth"), "result=3 is not allowed: it must be a Simulation"),
        (lambda: P.plot_quantity(ordinary(), "speed"), "name='speed' is not allowed"),
        (lambda: P.plot_quantity(ordinary(), "growth", along="depth"), "along='depth' is not allowed here"),
        (
            lambda: P.plot_quantity(grid(), "growth", along="beta"),
            "along='beta' is not allowed: the dimensions left are",
        ),
        (lambda: P.plot_quantity(swept(), "asymmetry"), "name='asymmetry' is not in this sweep"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_values_that_read_alike_in_few_letters_are_told_apart_in_curves_tables_and_data_sets(tmp_path):
    layers = [(0.1, 0.1, 0.1, 0.1), (0.1, 0.1, 0.1, 0.9)]
    plan = resmc.Sweep(width=[4, 8], depth=4, scaling=layers, carry=[0.50001, 0.50002], networks=64)
    result = plan.run(tmp_path, progress=False)
    ax = P.plot_quantity(result, "log_norm.variance", along="width")
    assert len(ax.containers) == 4
    assert len({one.get_label() for one in ax.containers}) == 4
    assert len({plan.describe(i) for i in range(8)}) == 8
    assert len(set(result.to_xarray()["scaling"].values.tolist())) == 2
    assert result.to_dataframe().set_index(["width", "scaling", "carry"]).index.is_unique
