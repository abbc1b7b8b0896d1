"""Sums of weights +-1 are often exactly 0: kernels and twin against integers, network by network.

With carry, steps and slopes that are ratios of small integers, a network of weights +-1 is one of integers once h_0 and
biases are cut to multiples of 2^-40: nothing is rounded. Which h_l, h_l - h_0, p_l, p_l - p_L are 0 is then known.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import ResidualNetwork
from resmc.models.blocks import BLOCKS
from resmc.reference import simulate_residual, vectors
from resmc.reference.sources import Counters

pytestmark = pytest.mark.cpu

SEED, DEPTH = 3, 6
PARTS = 2.0**40
# slopes below and above 0, as multiples of 1/100, or of 1
SLOPES = {"relu": (1, 0, 1), "leaky_relu": (100, 1, 100), "linear": (1, 1, 1)}
NAMES = ("displacement", "gradient", "gradient_displacement")
CASES = [
    ("v-phi-w", "relu", 5, 1, 1, 0.4),
    ("v-phi-w", "relu", 2, -1, 7, 0.4),
    ("v-phi-w", "leaky_relu", 2, 0, 7, 0.0),
    ("v-phi-w", "linear", 3, 1, 10, 0.0),
    ("phi-out", "relu", 3, 1, 10, 0.0),
    ("phi-out", "relu", 5, 0, 3, 0.4),
    ("phi-out", "leaky_relu", 2, 0, 7, 0.0),
    ("phi-out", "linear", 3, 1, 10, 0.4),
    ("phi-in", "relu", 5, 0, 7, 0.4),
    ("phi-in", "relu", 3, 0, 10, 0.0),
    ("phi-in", "leaky_relu", 2, 0, 3, 0.0),
    ("phi-in", "linear", 2, 1, 10, 0.0),
]


def network(block: str, activation: str, width: int, carry: int, tenths: int, bias: float, **given: Any) -> Any:
    """A network in which every matrix that is as the integers' meets the step tenths/10."""
    step = tenths / 10 * (float(width) if block == "v-phi-w" else math.sqrt(width))
    scaling = (step,) * DEPTH
    return ResidualNetwork(
        width, DEPTH, block, activation, float(carry), scaling, bias=bias, weights="rademacher", **given
    )


def integers(model: ResidualNetwork, networks: int, tenths: int, unit: float = 1.0) -> dict[str, np.ndarray]:
    """Logarithms of squares (networks, DEPTH + 1) by name, -inf where a vector is 0; inputs are multiples of a unit."""
    drawn = Counters(model, SEED, np.arange(networks, dtype=np.uint64))
    block, n, carry = model.block, model.width, int(model.carry)
    above, below, slope_unit = SLOPES[model.activation]
    exact = np.vectorize(lambda x: round(x * PARTS), otypes=[object])
    sign = lambda entries: entries.astype(np.int64).astype(object)  # noqa: E731
    if model.inputs.explicit:
        h = (sign(drawn.first_layer()) @ np.array([round(x / unit) for x in model.inputs.x], object)) * int(PARTS)
        size = unit / math.sqrt(len(model.inputs.x))
    else:
        h, size = exact(drawn.first_layer()[:, :, 0]), model.inputs.x[0]
    V = [sign(drawn.matrix("outer", layer)) for layer in range(DEPTH)]
    W = [sign(drawn.matrix("inner", layer)) for layer in range(DEPTH)] if block == "v-phi-w" else V
    b = [exact(model.bias / size * drawn.bias(layer) * math.sqrt(n)) for layer in range(DEPTH)]
    product = lambda matrix, x: np.einsum("nij,nj->ni", matrix, x)  # noqa: E731
    back = lambda matrix, x: np.einsum("nij,ni->nj", matrix, x)  # noqa: E731
    step, scale = tenths, 10 * slope_unit  # each layer multiplies h by `scale`
    hs, slopes, total, first = [h], [], 1, h
    squares = {"log_norm": [log_square(h, 0.0)], "displacement": [log_square(h - h, 0.0)]}
    for layer in range(DEPTH):
        u = h if block == "phi-in" else product(W[layer], h) + total * b[layer]
        slope = np.where(u > 0, above, below)
        y = slope * u
        if block == "phi-in":
            y = product(V[layer], y) + slope_unit * total * b[layer]
        elif block == "v-phi-w":
            y = product(V[layer], y)
        slopes.append(slope)
        h, total = scale * carry * h + step * y, total * scale
        hs.append(h)
        squares["log_norm"].append(log_square(h, math.log(total)))
        squares["displacement"].append(log_square(h - total * first, math.log(total)))
    found = {name: np.stack(values, axis=1) for name, values in squares.items()}
    with np.errstate(invalid="ignore"):
        found["displacement"] = found["displacement"] - found["log_norm"][:, :1]
    found["log_norm"] += 2.0 * math.log(size) - 2.0 * math.log(PARTS) - math.log(n)

    p = last = sign(drawn.readout(1))[:, 0, :]
    total, moved, lengths = 1, [log_square(p - p, 0.0)], [log_square(p, 0.0)]
    for layer in reversed(range(DEPTH)):
        v = slopes[layer] * (p if block == "phi-out" else back(V[layer], p)) if block != "phi-in" else p
        v = slopes[layer] * back(V[layer], v) if block == "phi-in" else back(W[layer], v)
        p, total = scale * carry * p + step * v, total * scale
        lengths.append(log_square(p, math.log(total)))
        moved.append(log_square(p - total * last, math.log(total)))
    start = math.log(n)
    found["gradient"] = np.stack(lengths[::-1], axis=1) - start
    found["gradient_displacement"] = np.stack(moved[::-1], axis=1) - start
    return found


def log_square(x: np.ndarray, log_scale: float) -> np.ndarray:
    """ln |x|^2/scale^2 of integers of any length."""
    squares = [int(value) for value in np.sum(x * x, axis=1)]
    return np.array([math.log(s) - 2.0 * log_scale if s else -math.inf for s in squares])


def compared(found: dict[str, np.ndarray], exact: dict[str, np.ndarray], tolerance: float) -> int:
    """How many zeros all have alike; where none is, logarithms agree."""
    zeros = 0
    for name, values in found.items():
        np.testing.assert_array_equal(np.isneginf(values), np.isneginf(exact[name]), err_msg=name)
        there = np.isfinite(exact[name])
        np.testing.assert_allclose(values[there], exact[name][there], atol=tolerance, rtol=0.0, err_msg=name)
        zeros += int(np.isneginf(values[:, 1:-1]).sum())
    return zeros


def of_kernels(model: ResidualNetwork, networks: int, **settings: Any) -> dict[str, np.ndarray]:
    kept = {"keep_trajectories": networks, "gradients": True, "method": "dense", "progress": False, "threads": 1}
    paths = resmc.simulate(model, networks=networks, seed=SEED, **kept, **settings).trajectories
    return {"log_norm": paths.log_norm, **{name: paths.ratios[name] for name in NAMES}}


def of_twin(model: ResidualNetwork, networks: int) -> dict[str, np.ndarray]:
    paths = simulate_residual(model, networks, seed=SEED, method="dense")
    return {"log_norm": paths.log_norm, **{name: getattr(paths, f"log_{name}") for name in NAMES}}


@pytest.mark.parametrize(("block", "activation", "width", "carry", "tenths", "bias"), CASES)
def test_what_cancels_exactly_is_0_and_nothing_else_is(block, activation, width, carry, tenths, bias):
    model = network(block, activation, width, carry, tenths, bias)
    exact = integers(model, 300, tenths)
    assert compared(of_twin(model, 300), exact, 1e-6) > 0
    assert compared(of_kernels(model, 300), exact, 1e-3) > 0


@pytest.mark.parametrize(("bias", "x"), [(0.0, (0.3, 0.6, 0.9)), (0.4, (0.3, 0.6, 0.9)), (0.4, (1.0, 1.0))])
@pytest.mark.parametrize("block", BLOCKS)
def test_an_input_that_cancels_starts_from_0(block, bias, x):
    model = network(block, "leaky_relu", 2, 1, 3, bias, input=x)
    exact = integers(model, 300, 3, unit=x[0])
    assert np.isneginf(exact["log_norm"][:, 0]).sum() > 5
    # Rounding leaves a few slopes otherwise, where h_l is nearly 0: what is 0 is the same in all.
    for found in (of_twin(model, 300), of_kernels(model, 300)):
        for name, values in found.items():
            np.testing.assert_array_equal(np.isneginf(values), np.isneginf(exact[name]), err_msg=name)
            np.testing.assert_array_equal(np.isposinf(values), np.isposinf(exact[name]), err_msg=name)


def test_the_gpu_finds_the_same_zeros(gpu):
    for case in CASES[::4]:
        model = network(*case)
        exact = integers(model, 100, case[4])
        assert compared(of_kernels(model, 100, device="cuda"), exact, 1e-3) > 0


def test_the_comparison_sees_dust(monkeypatch):
    """Negative control: without a bound on what is dust, zeros are missed in all of these."""
    monkeypatch.setattr(vectors, "DUST", 0.0)
    for case in CASES:
        model = network(*case)
        found, exact = of_twin(model, 300), integers(model, 300, case[4])
        assert any((np.isneginf(found[name]) != np.isneginf(exact[name])).any() for name in found), case


def test_weights_that_do_not_cancel_keep_all_their_bits(monkeypatch):
    """What is dust is asked of weights +-1 alone: with all else taken for dust, the others' networks are the same."""
    models = [ResidualNetwork(4, 5, block, bias=0.2, weights="uniform", input=(1.0, 1.0)) for block in BLOCKS]
    before = [of_twin(model, 20) for model in models]
    monkeypatch.setattr(vectors, "DUST", math.inf)
    for model, expected in zip(models, before, strict=True):
        found = of_twin(model, 20)
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values)


# -------------------------------------------------------------------------------------------------- quotients from 0

FROM_0 = ResidualNetwork(1, 3, "phi-in", "linear", 1.0, (1.0,) * 3, weights="rademacher", input=(1.0, 1.0), bias=0.3)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_network_that_starts_from_0_has_no_quotient(gpu, device):
    """Half of these networks have h_0 = +-sqrt(2), the others h_0 = 0."""
    networks = 1000
    sim = resmc.simulate(
        FROM_0, networks=networks, seed=5, method="dense", device=device, progress=False,
        keep_samples=networks, keep_trajectories=networks,
    )  # fmt: skip
    norms = sim.trajectories.log_norm
    from_0 = np.isneginf(norms[:, 0])
    left = networks - int(from_0.sum())
    assert 0.4 * networks < left < 0.6 * networks
    np.testing.assert_array_equal(sim.statistics.norms.started.sum(axis=0), left)
    for name in ("growth", "displacement"):
        found = sim.log_ratio(name)
        last = norms[:, -1] - norms[:, 0] if name == "growth" else sim.trajectories.ratios[name][:, -1]
        assert np.isposinf(last[from_0]).all()
        there = last[np.isfinite(last)]
        assert int(found.final_mean.n) == int(found.final_variance.n) == len(there) <= left
        assert float(found.final_mean.value) == pytest.approx(there.mean(), abs=1e-5)
        assert float(found.final_variance.value) == pytest.approx(there.var(ddof=1), rel=1e-4)
        assert int(found.final_log_second_moment.n) == left
        mean_square = np.exp(last[~from_0]).mean()
        assert float(found.final_log_second_moment.value) == pytest.approx(math.log(mean_square), abs=1e-4)
        assert found.law.exploded == int(from_0.sum())
        assert np.isposinf(sim.samples.ratios[name][from_0]).all()
        assert float(found.law.quantile(0.9).value) == math.inf
    # The log-norm is that of all, those that came from 0 among them.
    alive = norms[:, -1][np.isfinite(norms[:, -1])]
    assert int(sim.log_norm_mean.n[-1]) == len(alive) > left
    assert float(sim.log_norm_mean.value[-1]) == pytest.approx(alive.mean(), abs=1e-5)


def test_networks_that_start_from_0_survive_files_merges_and_ends(tmp_path):
    def simulated(first: int, networks: int) -> resmc.Simulation:
        return resmc.simulate(
            FROM_0, networks=networks, first_network=first, seed=5, method="dense", progress=False, layers=[3]
        )

    whole, parts = simulated(0, 8192), [simulated(0, 4096), simulated(4096, 4096)]
    merged = resmc.merge(*parts)
    for sim in (whole, merged):
        sim.save(tmp_path / "a.resmc")
        loaded = resmc.load(tmp_path / "a.resmc")
        np.testing.assert_array_equal(loaded.statistics.norms.records, sim.statistics.norms.records)
        np.testing.assert_array_equal(loaded.ratios["displacement"].records, sim.ratios["displacement"].records)
        for name in ("growth", "displacement"):
            by_layer, end = sim.log_ratio(name).final_log_second_moment, sim.end
            assert int(by_layer.n) == int(whole.statistics.norms.started.sum(axis=0)[0]) < 8192
            assert float(by_layer.value) == pytest.approx(
                float(whole.log_ratio(name).final_log_second_moment.value), abs=1e-12
            )
            assert int(end.quotient(name).grown.sum()) == int(sim.log_ratio(name).final_mean.n)
    without = resmc.simulate(ResidualNetwork(2, 3, "v-phi-w"), networks=100, progress=False)
    without.save(tmp_path / "b.resmc")
    assert b"startless" not in (tmp_path / "b.resmc").read_bytes()
    assert b"startless" in (tmp_path / "a.resmc").read_bytes()
