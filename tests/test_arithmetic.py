"""Estimates as numbers: values and errors against the delta method and against simulation, and what is refused."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import Estimate, KSDistance
from resmc.results.propagation import OF_VALUES, UNARY

pytestmark = pytest.mark.cpu
A, B = Estimate(2.0, 0.1, 100), Estimate(3.0, 0.2, 50, df=31)
ROW = Estimate([1.0, 2.0, 4.0], [0.1, 0.2, 0.3], [10, 20, 30], [5.0, np.inf, 7.0])


def numbers(e: Estimate) -> tuple[float, float]:
    return float(e.value), float(e.stderr)


@pytest.mark.parametrize(
    ("made", "value", "stderr"),
    [
        (lambda: A + B, 5.0, math.hypot(0.1, 0.2)),
        (lambda: A - B, -1.0, math.hypot(0.1, 0.2)),
        (lambda: A * B, 6.0, math.hypot(0.3, 0.4)),
        (lambda: A / B, 2 / 3, math.hypot(0.1 / 3, 0.4 / 9)),
        (lambda: A**B, 8.0, math.hypot(12 * 0.1, 8 * math.log(2) * 0.2)),
        (lambda: 1 + A, 3.0, 0.1), (lambda: 1 - A, -1.0, 0.1), (lambda: -2 * A, -4.0, 0.2),
        (lambda: 1 / A, 0.5, 0.025), (lambda: 3**A, 9.0, 9 * math.log(3) * 0.1), (lambda: A**2, 4.0, 0.4),
        (lambda: A**0, 1.0, 0.0), (lambda: A * 0, 0.0, 0.0), (lambda: -A, -2.0, 0.1), (lambda: abs(-A), 2.0, 0.1),
        (lambda: np.float64(2.0) * A, 4.0, 0.2), (lambda: np.array(2) + A, 4.0, 0.1),
        (lambda: np.log(A), math.log(2), 0.05), (lambda: np.exp(A), math.exp(2), math.exp(2) * 0.1),
        (lambda: np.sqrt(A), math.sqrt(2), 0.05 / math.sqrt(2)), (lambda: sum([A, B]), 5.0, math.hypot(0.1, 0.2)),
        (lambda: np.add(A, B), 5.0, math.hypot(0.1, 0.2)),
    ],
)  # fmt: skip
def test_operators_and_functions_carry_errors_to_first_order(made: Callable[[], Estimate], value: float, stderr: float):
    assert numbers(made()) == pytest.approx((value, stderr), rel=1e-12)
    assert type(made()) is Estimate


def test_every_known_function_has_the_slope_of_a_difference_quotient():
    for ufunc in UNARY:
        for x in (0.3, 0.8):
            slope = float((ufunc(x + 1e-6) - ufunc(x - 1e-6)) / 2e-6)
            found = ufunc(Estimate(x, 0.01, 100))
            assert numbers(found) == pytest.approx((float(ufunc(x)), abs(slope) * 0.01), rel=1e-7), ufunc
            assert numbers(found)[1] != pytest.approx(1.001 * abs(slope) * 0.01, rel=1e-7)  # the negative control


def test_what_stands_on_both_sides_cancels_or_adds_up_however_it_was_copied():
    for same in (A, copy.copy(A), copy.deepcopy(A), pickle.loads(pickle.dumps(A)), A.reshape((1,))[0], +A, (A + B) - B):
        assert numbers(A - same) == pytest.approx((0.0, 0.0), abs=1e-15)
        assert numbers(A + same) == pytest.approx((4.0, 0.2))
        assert numbers(A * same) == pytest.approx((4.0, 0.4))
        assert numbers(A / same) == pytest.approx((1.0, 0.0), abs=1e-15)
    twin = Estimate(2.0, 0.1, 100)  # the negative control: equal numbers of another estimate are independent
    assert numbers(A - twin) == pytest.approx((0.0, 0.1 * math.sqrt(2)))
    assert numbers(ROW[1] - ROW[1])[1] == 0.0
    assert numbers(ROW[0] - ROW[1])[1] == pytest.approx(math.hypot(0.1, 0.2))
    back = (ROW - ROW[1]) + ROW[1]
    np.testing.assert_allclose(back.stderr, ROW.stderr, rtol=1e-12)


def test_degrees_of_freedom_follow_welch_and_satterthwaite_and_networks_are_the_fewest():
    found = Estimate(0.0, 1.0, 10, df=9) + Estimate(0.0, 2.0, 20, df=4)
    assert found.df == pytest.approx(25.0 / (1.0 / 9.0 + 16.0 / 4.0))
    assert int(found.n) == 10
    assert (A + 1).df == np.inf
    assert (2 * B).df == pytest.approx(31.0)
    assert (1e-200 * B).df == pytest.approx(31.0)
    assert (A + Estimate(1.0, 0.0, 5, df=3)).df == np.inf
    low, high = (A + B).interval()
    t = (float(high) - 5.0) / math.hypot(0.1, 0.2)
    assert 1.96 < t < 2.04
    assert float(low) == pytest.approx(10.0 - float(high))


def test_intervals_of_a_difference_and_of_a_ratio_cover():
    """500 pairs of two samples of 12 and 40: 95% intervals, missed 25 times on average, 9 to 47 with all but 1e-4."""
    rng = np.random.default_rng(5)
    missed = {"difference": 0, "ratio": 0, "as if the same": 0}
    for _ in range(500):
        x, y = rng.normal(10.0, 1.0, 12), rng.normal(8.0, 3.0, 40)
        a, b = (Estimate(s.mean(), s.std(ddof=1) / math.sqrt(len(s)), len(s), len(s) - 1) for s in (x, y))
        wrong = Estimate(a.value - b.value, abs(a.stderr - b.stderr), 12, 11)  # the negative control
        for name, e, truth in (("difference", a - b, 2.0), ("ratio", a / b, 1.25), ("as if the same", wrong, 2.0)):
            low, high = e.interval()
            missed[name] += not low <= truth <= high
    assert 9 <= missed["difference"] <= 47
    assert 9 <= missed["ratio"] <= 47
    assert missed["as if the same"] > 100


def test_estimates_that_share_networks_make_no_error_and_others_do():
    given: dict[str, Any] = {"width": 8, "depth": 4, "lam": 0.8, "networks": 200}
    sim, other = (resmc.simulate(**given, alpha=0.6, seed=seed, gradients=seed == 0) for seed in (0, 1))
    alike = resmc.simulate(**given, alpha=0.7)
    later = resmc.simulate(**given, alpha=0.7, first_network=200)
    mean = sim.log_norm_mean[-1]
    dependent = [
        sim.log_norm_mean[0], sim.log_norm_variance[-1], sim.estimate("growth.mean")[-1], alike.log_norm_mean[-1],
        sim.log_ratio("growth").median, sim.laws["growth"].median,
        pickle.loads(pickle.dumps(sim)).laws["gradient"].median, sim.log_ratio("gradient").quantile(0.3),
        sim.log_gaussian_fit().variance,
        sim.log_gaussian_fit().ks_fitted, sim.interlayer_correlations().by_lag[1], sim.hypoactivation().asymmetry[-1],
        sim.variance_growth().log_second_moment[-1], 2 * sim.log_norm_mean[0] + other.log_norm_mean[0],
        resmc.merge(sim, resmc.simulate(**given, alpha=0.6, first_network=200, gradients=True)).log_norm_mean[-1],
    ]  # fmt: skip
    for one in dependent:
        assert math.isfinite((mean + one).value)
        assert math.isnan((mean + one).stderr)
        assert "(no error bar)" in str(mean + one)
    for one in (other.log_norm_mean[-1], later.log_norm_mean[-1], Estimate(1.0, 0.1, 10)):
        assert float((mean + one).stderr) == pytest.approx(math.hypot(mean.stderr, one.stderr))
    np.testing.assert_array_equal((sim.log_norm_mean - sim.log_norm_mean).stderr, 0.0)


def test_fits_over_the_same_simulations_make_no_error_and_their_parts_do():
    sims = [resmc.simulate(width=n, depth=n // 2, alpha=0.6, lam=0.8, networks=200, seed=n) for n in (8, 16, 32)]
    mean, variance = (resmc.extrapolate(sims, f"log_norm.{name}") for name in ("mean", "variance"))
    for one in (mean.value - variance.value, mean.value - mean.estimates[1], mean.value - sims[0].log_norm_mean[-1]):
        assert math.isfinite(one.value)
        assert math.isnan(one.stderr)
    assert math.isfinite((mean.estimates[0] - variance.estimates[1]).stderr)
    assert math.isfinite((mean.value - Estimate(1.0, 0.1, 10)).stderr)
    found = resmc.regime(resmc.ResidualNetwork(8, 1, "v-phi-w"), [10, 20, 50, 100], networks=64)
    assert math.isnan((found.forward.slope - found.backward.slope).stderr)


def test_points_of_a_sweep_are_independent_and_quantities_of_one_point_are_not(tmp_path):
    plan = resmc.Sweep(width=[4, 8], depth=3, alpha=0.6, lam=0.8, networks=100)
    mean, variance = (plan.run(tmp_path / "s", progress=False).estimates[f"log_norm.{m}"] for m in ("mean", "variance"))
    assert np.isfinite((mean[0] - mean[1]).stderr)
    assert np.isfinite((mean[0] - variance[1]).stderr)
    assert np.isnan((mean - variance).stderr).all()
    together = resmc.Sweep(width=[4, 8], depth=3, alpha=0.6, lam=0.8, networks=100, independent=False)
    mean = together.run(tmp_path / "t", progress=False).estimates["log_norm.mean"]
    assert np.isnan((mean[0] - mean[1]).stderr)


def test_there_is_no_error_where_first_order_knows_none():
    zero = Estimate(0.0, 0.1, 100)
    also = Estimate(0.0, 0.2, 100)
    assert math.isfinite((zero * A).stderr)
    assert numbers(zero * 0.0) == (0.0, 0.0)
    bent = (zero**2, zero * zero, zero * also, np.square(zero), np.cos(zero), np.log(Estimate(-1.0, 0.1, 9)))
    for found in (*bent, A + Estimate(1.0, np.nan, 3)):
        assert math.isnan(found.stderr)
    gone = np.exp(Estimate(-np.inf, np.nan, 10))
    assert float(gone.value) == 0.0
    assert math.isnan(gone.stderr)
    assert numbers(abs(zero)) == (0.0, 0.1)


def test_one_number_is_a_float_and_several_are_an_array():
    assert float(A) == 2.0
    assert math.log(A) == math.log(2.0)
    np.testing.assert_array_equal(np.asarray(ROW), [1.0, 2.0, 4.0])
    assert np.asarray(A).dtype == np.asarray(ROW).dtype == np.float64
    assert np.asarray(ROW, np.float32).dtype == np.float32
    assert np.array([A, B]).dtype == np.float64
    assert [float(e) for e in ROW] == [1.0, 2.0, 4.0]
    assert [float(e.stderr) for e in ROW] == [0.1, 0.2, 0.3]
    with pytest.raises(TypeError, match=r"shape \(3,\) is not one number: choose an entry, as estimate\[-1\]"):
        float(ROW)
    with pytest.raises(TypeError, match="no entries"):
        list(A)
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(A)


def test_comparisons_are_of_values_and_equality_is_of_all_that_an_estimate_says():
    assert A < B
    assert B >= 3
    assert 1 <= A <= 2
    assert max(ROW) == ROW[2]
    assert sorted([B, A]) == [A, B]
    np.testing.assert_array_equal(ROW > 1.5, [False, True, True])
    np.testing.assert_array_equal(np.float64(1.5) < ROW, [False, True, True])
    for ufunc in OF_VALUES:
        inputs = (ROW, 2.0)[: ufunc.nin]
        np.testing.assert_array_equal(ufunc(*inputs), ufunc(*(np.asarray(x) for x in inputs)))
    nothing = Estimate([np.nan, -0.0], [np.nan, 1.0], [0, 3])
    for one, twin in ((A, Estimate(2.0, 0.1, 100)), (nothing, Estimate([np.nan, 0.0], [np.nan, 1.0], [0, 3]))):
        assert one == twin
        assert hash(one) == hash(twin)
        assert one == pickle.loads(pickle.dumps(one))
    distance = KSDistance(2.0, 0.1, 100, noise_floor=0.1, resolution=0.2)
    for other in (
        Estimate(2.0, 0.2, 100),
        Estimate(2.0, 0.1, 99),
        Estimate(2.0, 0.1, 100, 31),
        distance,
        2.0,
        "2",
        None,
    ):
        assert other != A
    assert len({A, Estimate(2.0, 0.1, 100), B}) == 2
    assert distance != KSDistance(2.0, 0.1, 100, noise_floor=0.3, resolution=0.2)
    assert type(distance + 1) is type(distance[()]) is Estimate


@pytest.mark.parametrize(
    ("spec", "text"),
    [(".3f", "2.000 +- 0.100"), ("+.1e", "+2.0e+00 +- 1.0e-01"), (".1%", "200.0% +- 10.0%"), ("", "2.00 +- 0.10"),
     (">16", "    2.00 +- 0.10"), ("*^17.2f", "**2.00 +- 0.10***"), ("15.2f", "2.00 +- 0.10   "),
     (" .1f", " 2.0 +- 0.1"), ("s", "2.00 +- 0.10")],
)  # fmt: skip
def test_a_format_writes_value_and_error(spec: str, text: str):
    assert format(A, spec) == text


def test_formats_say_what_is_missing_and_refuse_what_is_no_format():
    assert f"{Estimate(2.0, np.nan, 3):.3f}" == "2.000 (no error bar)"
    assert f"{Estimate(np.nan, np.nan, 0):.3f}" == "no value"
    assert f"{ROW:.1f}" == "[1.0 +- 0.1, 2.0 +- 0.2, 4.0 +- 0.3]"
    for spec in ("q", "08.3f", "3 f", ".f", "=9.3f"):
        with pytest.raises(ValueError, match=r"[Ff]ormat"):
            format(A, spec)


@pytest.mark.parametrize(
    "wrong",
    [lambda: A + "x", lambda: A + None, lambda: "x" - A, lambda: A + 1j, lambda: A < "x", lambda: A // B, lambda: A % 2,
     lambda: np.add(A, None), lambda: np.sum(ROW), lambda: np.arctan2(A, B), lambda: np.add(A, B, out=np.zeros(())),
     lambda: np.multiply.outer(ROW, ROW), lambda: np.maximum(A, B), lambda: A + {"a": 1}],
)  # fmt: skip
def test_what_is_no_number_or_not_known_is_a_type_error(wrong: Callable[[], Any]):
    with pytest.raises(TypeError, match=r"not supported|unsupported|known for estimates|takes estimates"):
        wrong()


def test_arrays_spread_over_each_other_and_keep_their_errors():
    grid = ROW.reshape((3, 1)) * np.array([1.0, 10.0])
    assert grid.shape == (3, 2)
    np.testing.assert_allclose(grid.stderr, [[0.1, 1.0], [0.2, 2.0], [0.3, 3.0]])
    np.testing.assert_array_equal(grid.n, [[10, 10], [20, 20], [30, 30]])
    np.testing.assert_array_equal(grid.df, [[5, 5], [np.inf, np.inf], [7, 7]])
    assert numbers(grid[0, 1] - 10 * ROW[0]) == (0.0, 0.0)
    with pytest.raises(ValueError, match="broadcast"):
        ROW + np.zeros(2)
