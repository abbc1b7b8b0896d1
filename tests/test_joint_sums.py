"""Sums over networks with several inputs, from arrays as the kernels fill them: against the states, one by one."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import ResidualNetwork, ResNet, Simulation
from resmc.engine import joint_sums
from resmc.engine.joint_states import States
from resmc.engine.joint_sums import JointSums, add_networks, layer_arrays, pairs_of, shapes
from resmc.engine.recording import JointRecording
from resmc.engine.request import NetworkRange, group_sizes
from resmc.models.joint_inputs import of_gram
from resmc.results.joint_estimates import JointEstimates

pytestmark = pytest.mark.cpu
N, WIDTH, LAYERS, M, K = 300, 7, 3, 3, 2
GRAM = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, -0.3], [0.2, -0.3, 1.0]])
RECORDING = JointRecording(of_gram(GRAM), tangents=K, kernel=True)
START = RECORDING.inputs.unit_start
Array = Any


def in_units(columns: Array) -> dict[str, Array]:
    """Inner products of columns (m, n, N), in units of a column's own size, as kernels leave them."""
    a, b = pairs_of(len(columns))
    size = np.linalg.norm(columns, axis=1)
    unit = np.where(size > 0.0, np.rint(np.log2(np.where(size > 0.0, size, 1.0))), 0.0).astype(np.int32)
    scaled = np.ldexp(columns, -unit[:, None])
    return {"gram": np.einsum("pin,pin->pn", scaled[a], scaled[b]), "unit": unit}


def columns_of(h: Array) -> Array:
    """h^0 and the differences to it, from states (m, n, N)."""
    return np.concatenate([h[:1], h[1:] - h[:1]])


def drawn(seed: int = 0) -> tuple[dict[str, Array], Array, Array, Array]:
    """Arrays of networks with random states, and these: (R, m, n, N), gradients alike, and kernels (R, P, N).

    States are kept without factors, as if they had been brought to one norm.
    """
    rng = np.random.default_rng(seed)
    log_scale = np.random.default_rng(seed + 1).standard_normal((LAYERS, M - 1, N))
    h, p = (rng.standard_normal((LAYERS, M, WIDTH, N)) for _ in range(2))
    kernel = np.cumsum(rng.exponential(size=(LAYERS, 6, N)), axis=0)[::-1].copy()
    kernel -= kernel[-1]
    arrays = layer_arrays(RECORDING, LAYERS, N)
    arrays["log_scale"][:] = log_scale
    for r in range(LAYERS):
        kept = np.concatenate([h[r, :1], h[r, 1:] * np.exp(-log_scale[r, :, None])])
        for name, array in in_units(columns_of(kept)).items():
            arrays[name][r] = array
        for name, array in in_units(p[r]).items():
            arrays[f"gradient_{name}"][r] = array
    arrays["kernel"][:] = kernel
    arrays["log_stretch"][:] = rng.standard_normal((LAYERS, K, N))
    return arrays, h, p, kernel


def log_sines(gram: Array, unit: Array) -> dict[int, Array]:
    """ln sin^2 of the angle of every pair of two inputs, by its place."""
    found = States(gram, unit, np.zeros((M - 1, gram.shape[-1])))
    logs = [np.log(norm) for norm in found.norms]
    return {a * (a + 1) // 2 + b: found.log_sine_squared(a, b, logs)[0] for a in range(M) for b in range(a)}


def summed(
    arrays: dict[str, Array], first: int = 0, batch: int = 4, threads: int = 1, lined: bool = False
) -> JointSums:
    count = arrays["gram"].shape[-1]
    sums = JointSums.zeros(RECORDING, LAYERS)
    add_networks(sums, arrays, START, WIDTH, first, batch, threads, lined)
    sums.networks[:] = group_sizes(NetworkRange(first, first + count, batch))
    return sums


def part(arrays: dict[str, Array], begin: int, end: int) -> dict[str, Array]:
    return {name: np.ascontiguousarray(array[..., begin:end]) for name, array in arrays.items()}


def test_sums_are_those_of_the_states_one_by_one():
    arrays, h, p, kernel = drawn()
    sums = summed(arrays)
    a, b = pairs_of(M)
    inner = np.einsum("rpin,rpin->rpn", h[:, a], h[:, b])
    own = inner[:, a == b]
    cosine = inner / np.sqrt(own[:, a] * own[:, b])
    logs = np.log(own / WIDTH)
    there = a != b
    np.testing.assert_array_equal(sums.alive.sum(axis=0), N)
    np.testing.assert_array_equal(sums.separated.sum(axis=0), np.broadcast_to(np.where(there, N, 0), (LAYERS, 6)))
    total = {name: array.sum(axis=0) for name, array in sums.arrays().items()}
    np.testing.assert_allclose(total["cosine"][..., 0], cosine.sum(axis=-1), atol=1e-9)
    np.testing.assert_allclose(total["cosine"][..., 1], (cosine**2).sum(axis=-1), atol=1e-9)
    sine = np.log1p(-(cosine[:, there] ** 2))
    np.testing.assert_allclose(total["log_sine"][:, there, 0], sine.sum(axis=-1), rtol=1e-9)
    np.testing.assert_allclose(total["log_sine"][:, there, 1], (sine**2).sum(axis=-1), rtol=1e-9)
    np.testing.assert_allclose(total["log_norm"][..., 0], logs[:, a].sum(axis=-1), atol=1e-9)
    np.testing.assert_allclose(total["log_norm"][..., 2], (logs[:, a] * logs[:, b]).sum(axis=-1), rtol=1e-9)
    np.testing.assert_allclose(total["covariance"], inner.sum(axis=-1) / WIDTH, atol=1e-9)
    np.testing.assert_allclose(total["square"], (own**2).sum(axis=-1) / WIDTH**2, rtol=1e-9)
    np.testing.assert_allclose(total["stretch"][..., 1], (arrays["log_stretch"] ** 2).sum(axis=-1), rtol=1e-9)
    np.testing.assert_allclose(total["residual"], kernel.sum(axis=-1), rtol=1e-9)
    first = np.einsum("pin,pin->pn", p[0][a], p[0][b]) * GRAM[a, b][:, None]
    whole = kernel[0] + inner[-1] / WIDTH + first
    np.testing.assert_allclose(total["first_layer"], first.sum(axis=-1), atol=1e-9)
    np.testing.assert_allclose(total["readout"], inner[-1].sum(axis=-1) / WIDTH, atol=1e-9)
    i, j = pairs_of(6)
    np.testing.assert_allclose(total["products"], (whole[i] * whole[j]).sum(axis=-1), rtol=1e-9)


@pytest.mark.parametrize("angle", [1e-6, 1e-30, 0.1])
def test_an_angle_is_right_to_a_millionth_of_itself(angle: float):
    """Between input 0 and another, and between two that are both close to it."""
    rng = np.random.default_rng(1)
    h0 = rng.standard_normal((1, WIDTH, N)).astype(np.float32).astype(float)
    moved = (angle * rng.standard_normal((2, WIDTH, N))).astype(np.float32).astype(float)
    if angle < 1e-20:
        moved = angle * rng.standard_normal((2, WIDTH, N))
    found = in_units(np.concatenate([h0, moved]))
    logs = log_sines(found["gram"], found["unit"])

    def exact(h: Array, delta: Array) -> Array:
        """ln sin^2 of h and h + delta, by the part of delta across h."""
        across = delta - h * (np.sum(h * delta, axis=0) / np.sum(h * h, axis=0))
        return np.log(np.sum(across**2, axis=0)) - np.log(np.sum((h + delta) ** 2, axis=0))

    np.testing.assert_allclose(logs[1], exact(h0[0], moved[0]), atol=2e-6)
    np.testing.assert_allclose(logs[3], exact(h0[0], moved[1]), atol=2e-6)
    np.testing.assert_allclose(logs[4], exact(h0[0] + moved[0], moved[1] - moved[0]), atol=2e-6)


def test_units_far_beyond_those_of_floats_change_no_angle():
    arrays, _, _, _ = drawn()
    gram, unit = arrays["gram"][0], arrays["unit"][0]
    expected = log_sines(gram, unit)
    for shift in (-5000, 3000):
        found = log_sines(gram, unit + np.int32(shift))
        np.testing.assert_allclose([found[p] for p in expected], list(expected.values()), rtol=1e-9, atol=1e-12)


def one_network(h: Array, lined: bool = False) -> JointSums:
    """Sums of one network with these states (3, n)."""
    arrays = {name: array[..., :1] for name, array in drawn()[0].items()}
    for name, array in in_units(columns_of(h[:, :, None])).items():
        arrays[name] = np.repeat(array[None], LAYERS, axis=0)
    arrays["log_scale"][:] = 0.0
    return summed(arrays, lined=lined)


def test_identical_opposite_and_collinear_inputs_are_on_one_line():
    h = np.random.default_rng(2).standard_normal(WIDTH)
    sums = one_network(np.stack([h, h, -h]))
    total = {name: array.sum(axis=0)[0] for name, array in sums.arrays().items() if name != "networks"}
    np.testing.assert_allclose(total["cosine"][:, 0], [1.0, 1.0, 1.0, -1.0, -1.0, 1.0])
    np.testing.assert_array_equal(total["separated"], 0)
    np.testing.assert_array_equal(total["log_sine"], 0.0)
    np.testing.assert_allclose(one_network(np.stack([h, 3.0 * h, -0.5 * h])).cosine.sum(axis=0)[0, 4], [-1.0, 1.0])
    np.testing.assert_array_equal(total["together"], 0)


@pytest.mark.parametrize("lined", [False, True])
def test_states_on_one_line_are_together_where_networks_have_no_skip(lined: bool):
    h = np.random.default_rng(2).standard_normal(WIDTH)
    for other, third, expected in (
        (3.0 * h, 0.5 * h, [0, 1, 0, 1, 1, 0]),
        (3.0 * h, -0.5 * h, [0, 1, 0, 0, 0, 0]),
        (3.0 * h, h + np.eye(WIDTH)[0], [0, 1, 0, 0, 0, 0]),
    ):
        sums = one_network(np.stack([h, other, third]), lined)
        np.testing.assert_array_equal(sums.together.sum(axis=0)[0], np.array(expected) * lined)
    # Columns that rounding has made equal say nothing of two inputs that are away from input 0.
    away = np.random.default_rng(3).standard_normal(WIDTH)
    np.testing.assert_array_equal(one_network(np.stack([h, away, away]), lined).together, 0)


def test_an_input_that_is_dead_is_in_no_sum_but_counts_as_0_in_means():
    rng = np.random.default_rng(3)
    h = rng.standard_normal((3, WIDTH))
    for dead in (0, 1, 2):
        left = h.copy()
        left[dead] = 0.0
        sums = one_network(left)
        a, b = pairs_of(3)
        expected = (a != dead) & (b != dead)
        np.testing.assert_array_equal(sums.alive.sum(axis=0)[0], expected)
        np.testing.assert_array_equal(sums.covariance.sum(axis=0)[0] != 0.0, expected)
        assert all(np.isfinite(array).all() for array in sums.arrays().values())
    # What float32 leaves of an input that is 0, while input 0 is not, counts as 0.
    dust = h.copy()
    dust[1] = 1e-8 * h[1]
    assert one_network(dust).alive.sum(axis=0)[0, 2] == 0
    assert one_network(np.zeros((3, WIDTH))).alive.sum() == 0


@pytest.mark.parametrize("batch", [1, 4, 4096])
def test_sums_of_parts_add_up_to_the_whole(batch: int):
    arrays, _, _, _ = drawn()
    first = 1000
    whole = summed(arrays, first, batch)
    cuts = [0, 1, 77, 300]
    parts = [summed(part(arrays, a, b), first + a, batch) for a, b in pairwise(cuts)]
    merged = parts[0].merged(parts[1]).merged(parts[2])
    for name, array in whole.arrays().items():
        found = merged.arrays()[name]
        if array.dtype == np.int64:
            np.testing.assert_array_equal(found, array, err_msg=name)
        else:
            np.testing.assert_allclose(found, array, rtol=1e-12, atol=1e-11, err_msg=name)


def test_threads_change_no_bit_of_the_sums():
    arrays, _, _, _ = drawn()
    one = summed(arrays)
    for threads in (2, 5):
        for name, array in summed(arrays, threads=threads).arrays().items():
            assert array.tobytes() == one.arrays()[name].tobytes(), name


def simulation(**changes: Any) -> Simulation:
    """A simulation, input 0 of which has nothing to do with its sums over several inputs."""
    model = ResidualNetwork(WIDTH, LAYERS - 1)
    sim = resmc.simulate(model, networks=N, gradients=True, progress=False)
    return replace(sim, joint=summed(drawn()[0], batch=sim.ranges[0].batch), **changes)


def test_a_file_has_them_in_every_bit(tmp_path: Path):
    sim = simulation()
    sim.save(tmp_path / "a.resmc")
    found = resmc.load(tmp_path / "a.resmc")
    assert sim.joint is not None
    assert found.joint is not None
    assert found.joint.recording == sim.joint.recording
    for name, array in sim.joint.arrays().items():
        assert found.joint.arrays()[name].tobytes() == array.tobytes(), name
    found.save(tmp_path / "b.resmc")
    assert (tmp_path / "a.resmc").read_bytes() == (tmp_path / "b.resmc").read_bytes()
    plain = replace(sim, joint=None)
    plain.save(tmp_path / "c.resmc")
    assert b"joint" not in (tmp_path / "c.resmc").read_bytes()
    assert resmc.load(tmp_path / "c.resmc").joint is None


@pytest.mark.parametrize("name", sorted(set(shapes(RECORDING, LAYERS)) - {"networks"}))
def test_a_file_whose_sums_contradict_each_other_is_refused(name: str, tmp_path: Path):
    sim = simulation()
    assert sim.joint is not None
    wrong = getattr(sim.joint, name).copy()
    wrong += N + 1 if wrong.dtype == np.int64 else np.inf
    replace(sim, joint=replace(sim.joint, **{name: wrong})).save(tmp_path / "a.resmc")
    if name in ("residual", "readout", "first_layer", "products", "covariance", "square"):  # may overflow
        assert resmc.load(tmp_path / "a.resmc").joint is not None
    else:
        with pytest.raises(ValueError, match=f"joint.{name}"):
            resmc.load(tmp_path / "a.resmc")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"angle": 1e-9, "tangents": 2}, "different tangents do not merge: 2 and 0$"),
        ({"angle": 1e-9, "tangent_kernel": True}, "different tangent_kernel do not merge: True and False$"),
        ({"gram": np.eye(3)}, "different numbers of inputs do not merge: 3 and 2$"),
        ({"gram": np.eye(2)}, r"different gram\[0, 1\] do not merge: 0.0 and 1.0$"),
        ({"angle": 1e-10}, r"different factors \[1, 1\] of the differences of inputs do not merge: 1e-10 and 1e-09$"),
        ({}, "different numbers of inputs do not merge: 1 and 2$"),
    ],
)
def test_simulations_of_other_inputs_do_not_merge_and_say_which_argument_differs(asked: dict[str, Any], said: str):
    first, other = (
        resmc.simulate(ResNet(8, 2, 0.6, 0.8), networks=32, first_network=at, progress=False, **given)
        for at, given in ((0, asked), (32, {"angle": 1e-9}))
    )
    with pytest.raises(ValueError, match=said):
        resmc.merge(first, other)


# ------------------------------------------------------------------------------------------------------ estimates


def found() -> tuple[JointEstimates, Array, Array]:
    arrays, h, p, kernel = drawn()
    sim = simulation()
    assert sim.joint is not None
    a, b = pairs_of(M)
    first = np.einsum("pin,pin->pn", p[0][a], p[0][b]) * GRAM[a, b][:, None]
    whole = kernel[0] + np.einsum("pin,pin->pn", h[-1][a], h[-1][b]) / WIDTH + first
    assert arrays["gram"].shape[-1] == N
    return JointEstimates(sim.joint, sim.lowered, sim.layers), h, whole


def test_estimates_are_means_and_covariances_over_networks():
    estimates, h, whole = found()
    logs = np.log(np.sum(h**2, axis=2) / WIDTH)  # (R, m, N)
    shift = estimates.offsets[:, None]
    mean, covariance = estimates.log_norms()
    np.testing.assert_allclose(mean.value, logs.mean(axis=-1) + shift, rtol=1e-9)
    np.testing.assert_allclose(covariance.value, np.stack([np.cov(rows) for rows in logs]), atol=1e-9)
    np.testing.assert_allclose(mean.stderr, logs.std(axis=-1) / math.sqrt(N), rtol=0.6)
    matrix = estimates.matrix(np.arange(6.0))
    np.testing.assert_array_equal(matrix, [[0.0, 1.0, 3.0], [1.0, 2.0, 4.0], [3.0, 4.0, 5.0]])
    four, ratio = estimates.kernel_moments()
    scale = estimates.kernel_scale
    expected = np.cov(whole * scale[:, None])
    order = estimates.matrix(np.arange(6))
    np.testing.assert_allclose(four.value, expected[order[:, :, None, None], order], atol=1e-9)
    np.testing.assert_allclose(ratio.value, (np.mean(whole**2, -1) / np.mean(whole, -1) ** 2)[order], rtol=1e-9)
    parts = estimates.kernel_parts()
    np.testing.assert_allclose(parts["total"].value, (whole.mean(axis=-1) * scale)[order], rtol=1e-9)
    assert (parts["total"].value - sum(p.value for n, p in parts.items() if n != "total") < 1e-9).all()


def test_fewer_than_32_networks_have_no_errors():
    arrays, _, _, _ = drawn()
    sim = resmc.simulate(ResidualNetwork(WIDTH, LAYERS - 1), networks=20, gradients=True, progress=False)
    few = replace(sim, joint=summed(part(arrays, 0, 20), batch=sim.ranges[0].batch))
    assert few.joint is not None
    estimates = JointEstimates(few.joint, few.lowered, few.layers)
    for one in (estimates.cosine(), *estimates.log_norms(), estimates.kernel_parts()["total"], estimates.stretch()[0]):
        assert np.isfinite(one.value[-1]).all()
        assert np.isnan(one.stderr).all()


def test_rare_networks_leave_a_mean_without_an_error():
    """One network of a thousand that carries the mean: no error; without it there is one."""
    arrays, _, _, _ = drawn()
    arrays["unit"][-1, 0, 5] += 8
    sim = simulation()
    for sums, reliable in ((summed(arrays, batch=8), False), (summed(drawn()[0], batch=8), True)):
        covariance, known = JointEstimates(sums, sim.lowered, sim.layers).covariance()
        assert np.isfinite(covariance.stderr[-1, 0, 0]) == reliable
        assert known[-1, 0, 0] == reliable


def test_as_many_networks_are_simulated_at_a_time_as_memory_holds():
    wide = JointRecording(of_gram(np.eye(16)), kernel=True)
    assert joint_sums.layer_bytes(wide, 100) == 100 * (8 * (136 * 3 + 15) + 2 * 4 * 16)
