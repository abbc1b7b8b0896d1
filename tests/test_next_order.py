"""The next order in 1/n (`resmc.theory.next_order`): against exact laws, simulations, and the leading order.

Simulations have fixed seeds. The leading order is the negative control: each comparison asks first that it is off by
more than 6 standard errors, and then that the next order removes at least two thirds of what it is off by.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from commands import run

import resmc
from resmc import theory
from resmc.theory import next_order
from resmc.theory.facts import MOST_LAYERS, facts

SHARE = 2.0 / 3.0


def model_of(width: int, depth: int, alpha: float, variant: str = "vanilla") -> resmc.ResNet:
    return resmc.ResNet(width=width, depth=depth, alpha=alpha, lam=math.sqrt(1.0 - alpha**2), variant=variant)


def test_without_a_skip_the_errors_are_those_of_the_third_order():
    """The law is exactly known there: halving 1/n divides order 1's error by 4 layer by layer, and order 2's by 8."""
    off = []
    for width in (128, 256):
        model = model_of(width, 32, 0.0)
        exact = theory.fully_connected(model, [32])
        known = [theory.log_norm(model, [32], order=order) for order in (1, 2)]
        off.append([[exact.mean[0] - o.mean[0], exact.variance[0] - o.variance[0]] for o in known])
    ratio = np.array(off[0]) / np.array(off[1])
    np.testing.assert_allclose(ratio[0], 4.0, rtol=0.06)
    np.testing.assert_allclose(ratio[1], 8.0, rtol=0.20)
    assert (np.abs(off[1][1]) < 0.02 * np.abs(off[1][0])).all()


def removed(estimate, first: float, second: float) -> float:
    """Return which share of order 1's error order 2 removes, where order 1 is off by more than 6 standard errors."""
    value, error = float(estimate.value), float(estimate.stderr)
    assert abs(value - first) > 6.0 * error
    return (second - first) / (value - first)


@pytest.mark.parametrize(
    ("width", "depth", "alpha", "variant"),
    [(48, 96, 0.8, "vanilla"), (64, 64, 0.5, "vanilla"), (16, 32, 0.9, "balanced"), (16, 32, 0.9, "balanced-half")],
)
def test_it_removes_two_thirds_of_what_the_leading_order_of_the_log_norm_is_off_by(width, depth, alpha, variant):
    model = model_of(width, depth, alpha, variant)
    networks = 100_000 if variant == "vanilla" else 400_000
    sim = resmc.simulate(model, networks=networks, seed=20, layers=[depth], correlations=False)
    first, second = (theory.log_norm(model, [depth], order=order) for order in (1, 2))
    shares = [removed(sim.log_norm_variance[-1], first.variance[0], second.variance[0])]
    if variant == "vanilla":
        shares.append(removed(sim.log_norm_mean[-1], first.mean[0], second.mean[0]))
    assert all(SHARE < share < 2.0 - SHARE for share in shares), shares


def test_it_removes_two_thirds_of_what_the_leading_order_of_hypoactivation_is_off_by():
    model = model_of(40, 30, 0.8)
    sim = resmc.simulate(model, networks=400_000, seed=23, layers=[30], correlations=False)
    first, second = (theory.hypoactivation(model, [30], order=order) for order in (1, 2))
    for estimate, name in ((sim.asymmetry_mean[-1], "asymmetry"), (sim.active_fraction[-1], "active_fraction")):
        share = removed(estimate, getattr(first, name)[0], getattr(second, name)[0])
        assert SHARE < share < 2.0 - SHARE, (name, share)


def test_it_removes_two_thirds_of_what_the_leading_order_of_correlations_is_off_by():
    model = model_of(48, 48, 0.8)
    lags = [1, 2, 3, 6]
    layers = [(48 - k) // 2 for k in lags] + [(48 - k) // 2 + k for k in lags]
    sim = resmc.simulate(model, networks=100_000, seed=21, layers=sorted(set(layers)))
    first, second = (theory.interlayer_correlation(model, lags, order=order) for order in (1, 2))
    at = {int(layer): i for i, layer in enumerate(sim.layers)}
    for k, low, high in zip(lags, first, second, strict=True):
        layer = (48 - k) // 2
        share = removed(sim.asymmetry_correlation[at[layer], at[layer + k]], low, high)
        assert SHARE < share < 2.0 - SHARE, (k, share)


def test_correlations_have_it_at_every_pair_of_layers():
    """At 6 standard errors of the limit's error, also where the first layer has not become stationary yet."""
    model = model_of(24, 12, 0.8)
    sim = resmc.simulate(model, networks=400_000, seed=24)
    inter = sim.interlayer_correlations()
    off = np.triu(np.abs(inter.matrix.value - inter.theory) > 6.0 * inter.matrix.stderr, 1)
    assert off[0].any()
    assert off[np.triu_indices(13, 1)].mean() > 0.3
    shares = (inter.next_order - inter.theory)[off] / (inter.matrix.value - inter.theory)[off]
    assert (shares > 0.0).all()
    assert SHARE < np.median(shares) < 2.0 - SHARE
    lags = np.subtract.outer(np.arange(13), np.arange(13))
    np.testing.assert_allclose(inter.next_order_by_lag, [inter.next_order[lags == k].mean() for k in range(13)])
    seen = np.abs(inter.by_lag.value - inter.theory_by_lag) > 6.0 * inter.by_lag.stderr
    assert seen[1:8].all()
    left = np.abs(inter.by_lag.value - inter.next_order_by_lag)[seen]
    assert (left < (1.0 - SHARE) * np.abs(inter.by_lag.value - inter.theory_by_lag)[seen]).all()


def test_pairs_of_layers_are_those_that_are_asked_for():
    model = model_of(48, 40, 0.8)
    middle = theory.interlayer_correlation(model, [1, 3], order=2)
    np.testing.assert_array_equal(theory.interlayer_correlation(model, [1, 3], order=2, layers=[19, 18]), middle)
    first = theory.interlayer_correlation(model, [1, 3], order=2, layers=[0])
    assert (np.abs(first / middle - 1.0) > 1e-3).all()
    np.testing.assert_array_equal(theory.interlayer_correlation(model, 3, layers=[[0], [7]]), 2 * [middle_at(model, 3)])
    matrix = facts(model).correlation_matrix(np.array([0, 4, 40]), 2)
    assert matrix.shape == (3, 3)
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_array_equal(np.diag(matrix), 1.0)
    alone = theory.interlayer_correlation(model, [36], order=2, layers=[4])[0]
    assert matrix[1, 2] == pytest.approx(alone, rel=1e-9)  # sums in another order
    for layers, words in (([40, 0], "at most depth=40"), ([41], "layers="), ([[0, 1, 2]], "shapes")):
        with pytest.raises(ValueError, match=words):
            theory.interlayer_correlation(model, [1, 3], order=2, layers=layers)


def middle_at(model: resmc.ResNet, lag: int) -> list[float]:
    return theory.interlayer_correlation(model, [lag]).tolist()


def test_growth_of_the_second_moment_is_within_errors_where_the_leading_order_is_not():
    model = model_of(16, 8, 0.71)
    sim = resmc.simulate(model, networks=2_000_000, seed=22, layers=[8], correlations=False)
    found = sim.variance_growth().log_second_moment[-1]
    first, second = (theory.variance_growth(model, [8], order=order)[0] for order in (1, 2))
    assert abs(float(found.value) - first) > 5.0 * float(found.stderr)
    assert abs(float(found.value) - second) < 3.5 * float(found.stderr)  # one in 2000 where it is unbiased


@pytest.mark.parametrize("alpha", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("signed", [False, True])
def test_going_on_after_the_recursion_is_what_the_recursion_would_find(alpha, signed):
    lam, decay = math.sqrt(1.0 - alpha**2), -math.log(alpha)
    depth = 2 * next_order.relaxed(decay)
    found = next_order.coefficients(alpha, lam, signed, depth, decay)
    whole = next_order._recursion(alpha, lam, signed, depth)
    for name, row in zip(("mean", "variance", "second_moment", "asymmetry"), whole, strict=False):
        ends = getattr(found, name)[depth], row[depth]
        assert ends[0] == pytest.approx(ends[1], rel=0.01, abs=1e-9), name
    assert found.variance[depth] != pytest.approx(whole[1, depth // 2], rel=0.3)  # the control: it does go on


@pytest.mark.parametrize("alpha", [0.5, 0.8, 0.9])
def test_more_modes_change_little(alpha):
    lam = math.sqrt(1.0 - alpha**2)
    depth = next_order.relaxed(-math.log(alpha))
    few, some, many = (next_order._recursion(alpha, lam, False, depth, highest)[:4, -1] for highest in (7, 31, 47))
    np.testing.assert_allclose(some, many, rtol=0.01)
    assert np.abs(few / many - 1.0).max() > 0.05  # the control: fewer do


def test_balanced_networks_have_no_correction_where_symmetry_makes_them_exact():
    model = model_of(20, 30, 0.7, "balanced")
    low, high = (theory.hypoactivation(model, order=order) for order in (1, 2))
    np.testing.assert_array_equal(low.asymmetry, high.asymmetry)
    np.testing.assert_array_equal(theory.variance_growth(model, order=2), theory.variance_growth(model))
    np.testing.assert_array_equal(theory.interlayer_correlation(model, [0, 1, 5], order=2), [1.0, 0.0, 0.0])
    assert (theory.log_norm(model, [30], order=2).variance != theory.log_norm(model, [30]).variance).all()


def test_the_scale_of_the_weights_enters_as_in_the_leading_order():
    model = model_of(40, 20, 0.6)
    doubled = resmc.ResNet(width=40, depth=20, alpha=1.2, lam=1.6)
    one, two = (theory.log_norm_growth(m, [20], order=2) for m in (model, doubled))
    assert two.mean[0] - one.mean[0] == pytest.approx(20 * math.log(4.0))
    assert two.variance[0] == pytest.approx(one.variance[0])


def test_networks_without_a_branch_have_nothing_to_correct():
    model = resmc.ResNet(width=10, depth=5, alpha=1.0, lam=0.0)
    for function in (theory.log_norm, theory.log_norm_growth):
        np.testing.assert_array_equal(function(model, order=2).variance, function(model).variance)
    np.testing.assert_array_equal(theory.interlayer_correlation(model, [0, 1, 2], order=2), 1.0)


@pytest.mark.parametrize("order", [0, 3, 1.5, "2"])
def test_other_orders_are_refused(order):
    model = model_of(10, 5, 0.5)
    for function in (theory.log_norm, theory.log_norm_growth, theory.hypoactivation, theory.variance_growth):
        with pytest.raises(ValueError, match="order="):
            function(model, order=order)
    with pytest.raises(ValueError, match="order="):
        theory.interlayer_correlation(model, [1], order=order)


def test_a_summary_shows_both_orders_and_neither_beside_an_exact_value():
    model = model_of(48, 24, 0.8)
    table = resmc.simulate(model, networks=2000, seed=1).summary()
    record = {r["quantity"]: r for r in table.records()}
    assert record["variance L_24"]["limit"] == pytest.approx(theory.log_norm(model, [24]).variance[0])
    assert record["variance L_24"]["second_order"] == pytest.approx(theory.log_norm(model, [24], order=2).variance[0])
    pairs = theory.interlayer_correlation(model, [3], order=2, layers=np.arange(22))
    assert record["Corr A, lag 3"]["second_order"] == pytest.approx(pairs.mean())
    lines = {line[:14].strip(): line for line in str(table).splitlines()}
    assert "next order" in str(table)
    assert "(" in lines["variance L_24"]
    assert lines["variance L_0"].rstrip().split("z = ")[1].count(" ") == 0
    general = resmc.simulate(resmc.ResidualNetwork(10, 5, block="v-phi-w"), networks=100).summary()
    assert "next order" not in str(general)


def test_a_sweep_shows_both_orders_where_nothing_exact_is_known(tmp_path):
    plan = resmc.Sweep(width=[16, 32], ratio=[0.5], alpha=0.8, lam=0.6, variant=["vanilla", "balanced"], networks=200)
    result = plan.run(tmp_path / "store", progress=False)
    records = result.summary().records()
    models = result.plan.models
    for record, model in zip(records, models, strict=True):
        expected = theory.log_norm(model, [model.depth], order=2).variance[0]
        assert record["log_norm.variance_second_order"] == pytest.approx(expected)
        assert (record["asymmetry_second_order"] is None) == (model.variant == "balanced")  # where 0 is exact
    assert "next order: the limit with the next order in 1/n" in result.summary()


VANILLA = model_of(24, 12, 0.8)


def test_every_surface_of_a_simulation_shows_both_orders(tmp_path, capsys):
    """Beside the limit stands the number that theory gives, in results, data sets, pages, figures and JSON."""
    sim = resmc.simulate(VANILLA, networks=4000, seed=3, keep_trajectories=2)
    last, layers = np.array([12]), np.arange(13)
    law, fired = theory.log_norm(VANILLA, last, order=2), theory.hypoactivation(VANILLA, order=2)
    growth, by_lag = theory.variance_growth(VANILLA, order=2), facts(VANILLA).correlation_by_lag(layers, 2)
    assert sim.log_gaussian_fit().next_order.variance == law.variance
    np.testing.assert_array_equal(sim.variance_growth().next_order, growth)
    np.testing.assert_array_equal(sim.hypoactivation().next_order.asymmetry, fired.asymmetry)
    np.testing.assert_array_equal(sim.interlayer_correlations().next_order_by_lag, by_lag)

    sim.save(tmp_path / "sim")
    records = json.loads(run(capsys, "show", str(tmp_path / "sim"), "--json"))["quantities"]
    assert {"variance L_12", "Corr A, lag 1"} <= {r["quantity"] for r in records if r["second_order"] is not None}

    pytest.importorskip("jinja2")
    page = resmc.report.render(sim)
    assert f"{law.variance[0]:.4g} with the next order" in page
    assert page.count("ext order") > 10

    pytest.importorskip("xarray")
    data = sim.to_xarray()
    np.testing.assert_array_equal(data["asymmetry_second_order"], fired.asymmetry)
    np.testing.assert_array_equal(data["asymmetry_correlation_by_lag_second_order"], by_lag)


@pytest.mark.parametrize("name", ["log_norm", "qq", "output", "growth", "hypoactivation", "interlayer_by_lag",
                                  "trajectories"])  # fmt: skip
def test_figures_draw_both_orders_and_of_what_is_exactly_known_neither(name):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    plot = getattr(resmc.plot, f"plot_{name}")
    for model, there in ((VANILLA, True), (resmc.ResNet(24, 12, 0.0, 1.0), False)):
        sim = resmc.simulate(model, networks=2000, seed=3, keep_trajectories=2)
        said = [text.get_text() for text in plot(sim).get_legend().get_texts()]
        assert any("next order in 1/n" in words for words in said) == there, said
    pyplot.close("all")


def test_every_surface_of_a_sweep_shows_both_orders(tmp_path, capsys):
    plan = resmc.Sweep(width=[16, 24], depth=[6, 12], alpha=0.8, lam=0.6, networks=20_000)
    result = plan.run(tmp_path / "store", progress=False)
    expected = [theory.log_norm(model, [model.depth], order=2).variance[0] for model in plan.models]
    np.testing.assert_array_equal(result.second_order["log_norm.variance"].ravel(), expected)
    points = json.loads(run(capsys, "show", tmp_path / "store", "--json"))["points"]
    assert [p["quantities"]["log_norm.variance"]["second_order"] for p in points] == pytest.approx(expected)
    pytest.importorskip("xarray")
    np.testing.assert_array_equal(result.to_xarray()["log_norm_variance_second_order"].values.ravel(), expected)
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    page = resmc.report.render(result)
    assert "From the limit with the next order in 1/n it is" in page
    assert page.count(", next order</th>") >= 4
    for ax in (
        resmc.plot.plot_growth(result, sel={"width": 16}),
        resmc.plot.plot_quantity(result, "log_norm.variance"),
    ):
        assert any("next order in 1/n" in text.get_text() for text in ax.get_legend().get_texts())


def test_where_there_is_no_next_order_nothing_says_so():
    pytest.importorskip("jinja2")
    sim = resmc.simulate(resmc.ResidualNetwork(10, 5, block="phi-in", activation="relu", bias=0.3), networks=200)
    assert sim.variance_growth().next_order is None
    assert sim.log_gaussian_fit().next_order is None
    assert "next_order" not in str(sim.variance_growth()._table())
    assert "next order" not in resmc.report.render(sim)


def test_tables_do_not_make_anybody_wait_for_the_next_order_of_very_slow_networks():
    slow = resmc.ResNet(width=10, depth=4 * MOST_LAYERS, alpha=math.sqrt(1.0 - 1e-8), lam=1e-4)
    assert facts(slow).log_norm_limit(np.array([slow.depth]), 2) is None
    assert facts(slow).log_norm_limit(np.array([slow.depth])) is not None
    assert np.isnan(facts(slow).growth_limit(np.array([slow.depth]), 2)).all()
