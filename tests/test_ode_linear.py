"""Linear residual networks under gradient descent: weights tend to functions of the depth, at the rate 1/N.

A slope passes within .05 of -1, what is asked, and within 4 standard errors and a term of order 1/N of it; its standard
error over 32 targets is a few 1e-4, so the bound of .05 is never met by chance. The negative controls are a start that
is no function of the depth, whose slope is not below -.2, and a target that is not reached. Seeds are fixed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

import resmc
from resmc.experiments.ode import linear_steps
from resmc.experiments.ode.products import derivatives, products

pytestmark = pytest.mark.cpu

DEPTHS = (16, 32, 64, 128)


def near_targets(count: int, width: int, seed: int, size: float = 0.3) -> np.ndarray:
    """Exponentials of random matrices: their determinants are positive and no singular value is small."""
    rng = np.random.default_rng(seed)
    return np.stack([expm(size * rng.standard_normal((width, width)) / np.sqrt(width)) for _ in range(count)])


def history(target: np.ndarray, depth: int, steps: int, rate: float, weights: np.ndarray | None = None) -> np.ndarray:
    """Weights before every step and after the last, (steps + 1, N, d, d), by plain loops over layers."""
    d = len(target)
    a = np.zeros((depth, d, d)) if weights is None else weights.copy()
    out = [a.copy()]
    for _ in range(steps):
        factors = [np.eye(d) + one / depth for one in a]
        before, after = [np.eye(d)], [np.eye(d)]
        for k in range(depth):
            before.append(factors[k] @ before[-1])
            after.append(after[-1] @ factors[depth - 1 - k])
        error = before[-1] - target
        for k in range(depth):
            a[k] -= rate * after[depth - 1 - k].T @ error @ before[k].T
        out.append(a.copy())
    return np.array(out)


def loss_of(weights: np.ndarray, target: np.ndarray) -> float:
    product = np.eye(len(target))
    for one in weights:
        product = product + one @ product / len(weights)
    return float(0.5 * np.sum((product - target) ** 2))


# ------------------------------------------------------------------------------------------------------------- products


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 13])
def test_a_tree_of_products_has_the_product_and_its_derivatives_for_any_number_of_factors(count: int) -> None:
    rng = np.random.default_rng(count)
    factors, outer = rng.standard_normal((2, count, 3, 3)), rng.standard_normal((2, 3, 3))
    levels = products(factors)
    assert levels[-1].shape == (2, 1, 3, 3)
    found = derivatives(levels, outer)
    for i in range(2):
        before, after = np.eye(3), np.eye(3)
        for k in range(count):
            after = factors[i, k] @ after
        assert levels[-1][i, 0] == pytest.approx(after, rel=1e-12, abs=1e-12)
        for k in range(count):
            rest = np.eye(3)
            for j in range(k + 1, count):
                rest = factors[i, j] @ rest
            assert found[i, k] == pytest.approx(rest.T @ outer[i] @ before.T, rel=1e-11, abs=1e-11)
            before = factors[i, k] @ before


def test_a_step_follows_the_gradient_of_autograd_times_the_depth() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    depth, rate = 11, 0.1
    target, start = np.eye(3) + rng.standard_normal((3, 3)), rng.standard_normal((depth, 3, 3))
    weights = torch.tensor(start, requires_grad=True)
    product = torch.eye(3, dtype=torch.float64)
    for one in weights:
        product = product + one @ product / depth
    loss = 0.5 * ((product - torch.tensor(target)) ** 2).sum()
    loss.backward()
    stepped = start[None].copy()
    found = linear_steps._descend(stepped, target[None], rate)
    assert found[0] == pytest.approx(loss.item(), rel=1e-12)
    assert stepped[0] == pytest.approx(start - rate * depth * weights.grad.numpy(), rel=1e-12)


# ----------------------------------------------------------------------------------------------------- what is recorded


def test_everything_recorded_is_that_of_whole_histories() -> None:
    targets = near_targets(2, 3, seed=2)
    steps, rate, depths = 12, 0.2, (5, 10)
    found = resmc.ode.linear_descent(targets, depths, time=steps * rate, learning_rate=rate, every=5)
    assert found.times == pytest.approx(rate * np.array([0, 5, 10, 12]))
    for p, target in enumerate(targets):
        paths = {n: history(target, n, steps, rate) for n in (5, 10, 20)}
        for i, n in enumerate(depths):
            apart = np.linalg.norm(paths[2 * n][:, ::2] - paths[n], axis=(2, 3)).max(axis=1)
            rough = n * np.linalg.norm(np.diff(paths[n], axis=1), axis=(2, 3)).max(axis=1)
            for row, step in enumerate((0, 5, 10, 12)):
                assert found.distance[i, row, p] == pytest.approx(apart[: step + 1].max(), rel=1e-10, abs=1e-15)
                assert found.smoothness[i, row, p] == pytest.approx(rough[step], rel=1e-10, abs=1e-15)
                assert found.loss[i, row, p] == pytest.approx(loss_of(paths[n][step], target), rel=1e-10)
            if p == 0:
                assert found.weights[i] == pytest.approx(paths[n][-1], rel=1e-10, abs=1e-15)


def test_neither_batches_nor_recorded_times_nor_other_depths_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = near_targets(5, 2, seed=3)
    one = resmc.ode.linear_descent(targets, (8, 16), time=4, every=1)
    monkeypatch.setattr(linear_steps, "GROWN", 1e-6)  # The bound has no effect on what is found.
    monkeypatch.setattr("resmc.experiments.ode.linear.CHUNK", 2 * 2 * 2 * 32)
    other = resmc.ode.linear_descent(targets, (4, 8, 16), time=4, every=40)
    assert np.array_equal(one.distance[:, -1], other.distance[1:, -1])
    assert np.array_equal(one.loss[:, -1], other.loss[1:, -1])
    assert all(np.array_equal(a, b) for a, b in zip(one.weights, other.weights[1:], strict=True))


# ------------------------------------------------------------------------------------------------------------ the claim


def test_weights_tend_to_functions_of_the_depth_at_the_rate_1_over_n() -> None:
    """Also the smoothness: it stays where it is while N grows by a factor of 8."""
    found = resmc.ode.linear_descent(near_targets(32, 4, seed=4), DEPTHS, time=25)
    assert found.reached.all()
    slope = found.distance_slope
    print("SLOPE", slope)
    assert slope.n == 32
    assert float(slope.stderr) < 0.01
    assert abs(float(slope.value) + 1.0) < min(0.05, 4.0 * float(slope.stderr) + 0.01)
    smoothness = found.final_smoothness.value
    assert smoothness[-1] > 0.1  # Layers differ.
    assert np.ptp(smoothness) < 0.05 * smoothness[-1]


def test_the_distance_is_uniform_in_time_where_targets_are_reached_and_grows_where_one_is_not() -> None:
    targets = near_targets(8, 3, seed=5)
    horizons = [resmc.ode.linear_descent(targets, (16, 32), time=time).distance[:, -1] for time in (20, 40, 80)]
    assert np.allclose(horizons[0], horizons[1], rtol=0.01)
    assert np.allclose(horizons[1], horizons[2], rtol=1e-4)
    found = resmc.ode.linear_descent(np.diag([1.0, 0.0]), (16, 32), time=60)
    assert (found.late_growth > 0.3).all()
    assert not found.reached.any()
    assert (resmc.ode.linear_descent(targets, (16, 32), time=80).late_growth < 1e-4).all()


def test_from_independent_weights_in_each_layer_the_distance_does_not_fall() -> None:
    rng = np.random.default_rng(6)
    targets = near_targets(32, 3, seed=6)
    found = resmc.ode.linear_descent(
        targets, (16, 32, 64), time=25, start=lambda t: 0.5 * rng.standard_normal(targets.shape)
    )
    assert found.reached.all()
    assert float(found.distance_slope.value) > -0.2
    assert float(found.distance_slope.stderr) > 0.0
    assert (np.diff(np.log(found.final_smoothness.value)) > 0.5).all()  # It grows like N.


def test_from_a_start_that_is_smooth_in_depth_the_distance_falls_like_1_over_n() -> None:
    targets = near_targets(8, 3, seed=7)
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.5], [0.0, 0.0, 0.2]])
    found = resmc.ode.linear_descent(targets, (32, 64, 128), time=15, start=lambda t: np.sin(2.0 * np.pi * t) * turn)
    assert abs(float(found.distance_slope.value) + 1.0) < 0.05
    assert not found.zero_start


# -------------------------------------------------------------------------------------------------------- exact values


def test_diagonal_targets_have_the_same_weights_in_every_layer_and_known_ones_at_the_end() -> None:
    """A = N (B^(1/N) - 1), whose distance between N and 2N is (ln B)^2/(4N) and terms of order 1/N^2."""
    values = np.array([0.6, 1.0, 1.7])
    found = resmc.ode.linear_descent(np.diag(values), (8, 64), time=80)
    for i, n in enumerate((8, 64)):
        exact = [m * np.expm1(np.log(values) / m) for m in (n, 2 * n)]
        assert found.weights[i] == pytest.approx(np.broadcast_to(np.diag(exact[0]), (n, 3, 3)), abs=1e-9)
        assert found.distance[i, -1, 0] == pytest.approx(np.linalg.norm(exact[1] - exact[0]), rel=0.02)
        assert found.smoothness[i, :, 0] == pytest.approx(0.0, abs=1e-9)
    assert found.loss[:, -1].max() < 1e-20


def test_the_product_follows_the_flow_of_balanced_networks() -> None:
    """From zeros, dP/ds = -(1/N) sum_j (P P^T)^((N-1-j)/N) (P - B) (P^T P)^(j/N): Arora, Cohen, Hazan, 2018, theorem 1.

    Steps of gradient descent of length h are h away from the flow, so half of it halves the difference.
    """
    (target,) = near_targets(1, 3, seed=8, size=1.0)
    n, time = 6, 1.0
    product, small = np.eye(3), 1.0 / 512

    def powers(symmetric: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(symmetric)
        return (vectors * values ** (np.arange(n)[:, None, None] / n)) @ vectors.T

    def speed(p: np.ndarray) -> np.ndarray:
        return -np.mean(powers(p @ p.T)[::-1] @ (p - target) @ powers(p.T @ p), axis=0)

    for _ in range(int(time / small)):
        product = product + small * speed(product + 0.5 * small * speed(product))
    exact = 0.5 * np.sum((product - target) ** 2)
    off = []
    for rate in (1.0 / 64, 1.0 / 128):
        found = resmc.ode.linear_descent(target, (n, 2 * n), time=time, learning_rate=rate)
        off.append(abs(found.loss[0, -1, 0] - exact) / exact)
    assert off[0] < 0.05
    assert off[1] / off[0] == pytest.approx(0.5, abs=0.05)


# ------------------------------------------------------------------------------------------------------ what it says


def test_the_summary_says_the_rate_and_what_was_not_reached() -> None:
    said = str(resmc.ode.linear_descent(near_targets(32, 2, seed=9), (8, 16), time=15))
    assert "32 targets" in said
    assert "slope -1.0" in said or "slope -0.9" in said
    assert "tends to -1 as N grows" in said
    assert "not reached" not in said
    target = np.stack([np.diag([1.0, -1.0]), np.eye(2)])
    found = resmc.ode.linear_descent(target, (8, 16), time=5)
    said = str(found.summary())
    assert "1 of 2 targets is not reached within 0.1%" in said
    assert "no deep network reaches 1 target: det B <= 0" in said
    assert "tends to -1" not in said
    assert "left out: 1 of 2 networks" in said  # The identity is there from the start, and has no distance.
    assert [row["depth"] for row in found.summary().records()] == [8, 16]
    assert found.reached.tolist() == [[False, True]] * 2


def test_targets_that_are_reached_at_the_start_have_no_slope_and_are_said_to_have_none() -> None:
    said = str(resmc.ode.linear_descent(np.stack([np.eye(2)] * 3), (8, 16), time=2))
    assert "slope no value in ln N" in said
    assert "tends to -1" not in said
    assert "left out: 3 of 3 networks, without a logarithm at some depth: a distance of 0, as where the start" in said
    assert "exploded" not in said


def test_what_the_second_half_of_the_time_adds_is_a_percentage_without_an_exponent() -> None:
    found = resmc.ode.linear_descent(np.diag([3.0, -1.0]), (8, 16), time=1, learning_rate=0.1)
    assert found.late_growth.max() > 1.0
    assert f"it grows by {100.0 * found.late_growth.max():.0f}% at most" in str(found)


def test_targets_and_starts_may_be_tensors_that_require_a_gradient() -> None:
    torch = pytest.importorskip("torch")
    targets = near_targets(2, 2, seed=15)
    plain = resmc.ode.linear_descent(targets, (4, 8), time=1, start=lambda t: t * np.eye(2))
    eye = torch.eye(2, dtype=torch.float64, requires_grad=True)
    for given in (
        torch.tensor(targets, requires_grad=True),
        [torch.tensor(one, requires_grad=True) for one in targets],
    ):
        found = resmc.ode.linear_descent(given, (4, 8), time=1, start=lambda t: t * eye)
        assert np.array_equal(found.loss, plain.loss)


def test_two_descents_to_the_same_targets_are_dependent() -> None:
    targets = near_targets(32, 2, seed=10)
    one, other = (resmc.ode.linear_descent(targets, depths, time=5).final_distance[0] for depths in ((4, 8), (8, 16)))
    assert np.isnan((one - other).stderr)
    apart = resmc.ode.linear_descent(near_targets(32, 2, seed=11), (4, 8), time=5).final_distance[0]
    assert (one - apart).stderr > 0.0


def test_fewer_than_32_targets_have_no_error() -> None:
    found = resmc.ode.linear_descent(near_targets(31, 2, seed=12), (4, 8), time=2)
    assert np.isnan(found.distance_slope.stderr)
    assert np.isnan(found.final_distance.stderr).all()


def test_progress_is_told_and_may_stop_the_run() -> None:
    seen: list[tuple[int, int]] = []
    resmc.ode.linear_descent(near_targets(3, 2, seed=13), (4, 8), time=2, progress=lambda *now: seen.append(now))
    assert seen[-1] == (3, 3)

    def stop(*now: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resmc.ode.linear_descent(np.eye(2), (4, 8), progress=stop)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"target": np.ones(3)}, r"target of shape \(3,\) is not allowed: it must be numbers of shape \(d, d\)"),
        ({"target": np.ones((2, 3))}, r"target of shape \(2, 3\)"),
        ({"target": np.ones((0, 2, 2))}, r"target of shape \(0, 2, 2\)"),
        ({"target": np.ones((300, 300))}, "d from 1 to 256"),
        ({"target": [[1, 2], [3]]}, "it must be numbers of shape"),
        ({"target": "B"}, "target='B' is not allowed"),
        ({"target": 1j * np.eye(2)}, "target of complex numbers is not allowed: it must be numbers of shape"),
        ({"target": [np.eye(2), 1e200 * np.eye(2)]}, r"\(number 1\): \|B\|\^2 must be finite"),
        ({"target": [np.eye(2), np.full((2, 2), np.nan)]}, r"\(number 1\): it must be finite"),
        ({"depths": (1, 2)}, "depths=1 is out of range: it must be an integer from 2 to 524288"),
        ({"depths": (8,)}, "at least two integers, increasing"),
        ({"depths": (8, 4)}, "at least two integers, increasing"),
        ({"depths": (8, 2**20)}, r"depths=1048576 is out of range"),
        ({"time": 0}, "time=0.0 is not allowed: it must be a finite number above 0"),
        ({"time": np.inf}, "time=inf is not allowed"),
        ({"time": 0.01}, r"time=0\.01 is not allowed: it is less than half a step of learning_rate=0\.1"),
        ({"time": 1e9}, r"more than 10\^7 steps"),
        ({"learning_rate": -1}, "learning_rate=-1.0 is not allowed"),
        ({"every": 0}, "every=0 is out of range"),
        ({"every": 201}, r"every=201 is out of range: it must be an integer from 1 to 200 \(all steps\)"),
        ({"start": np.zeros((2, 2))}, "it must be a function of t"),
        ({"start": lambda t: np.zeros(3)}, r"start\(0\)=array\(\[0., 0., 0.\]\) is not allowed"),
        ({"start": lambda t: np.full((2, 2), np.inf)}, "it must be finite"),
        ({"start": lambda t: 1j * np.eye(2)}, r"start\(0\) cannot be had as an array of numbers: .*complex"),
        ({"start": lambda t: "a"}, r"start\(0\) cannot be had as an array of numbers"),
        ({"start": lambda: np.eye(2)}, r"start\(0\) cannot be had as an array of numbers: .*argument"),
        ({"target": 4.0 * np.eye(2), "learning_rate": 0.2}, r"steps are stable below 0\.125"),
        ({"target": np.zeros((256, 256)), "depths": (2**18, 2**19)}, "GB of memory"),
        ({"progress": 3}, "progress=3 is not allowed"),
    ],
)
def test_what_cannot_be_done_is_said(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        resmc.ode.linear_descent(**{"target": np.eye(2)} | given)


def test_a_step_that_is_too_large_names_the_target_the_depth_and_the_step() -> None:
    with pytest.raises(
        ValueError, match=r"learning_rate=0\.3 is too large: the loss of target 2 at depth 8 grows in step"
    ):
        resmc.ode.linear_descent([np.eye(2), 1.1 * np.eye(2), 4.0 * np.eye(2)], (8, 16), learning_rate=0.3)


@pytest.mark.long
def test_depth_16384_keeps_the_rate_in_memory_that_a_step_needs() -> None:
    """Weights of depth 32768, width 4, take 4 MiB a target; a hundred steps of history would take 400."""
    import tracemalloc

    targets = near_targets(2, 4, seed=14)
    tracemalloc.start()
    found = resmc.ode.linear_descent(targets, (4096, 8192, 16384), time=10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert abs(float(found.distance_slope.value) + 1.0) < 0.001
    assert peak < 100 * 2**20
