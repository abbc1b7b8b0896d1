"""Simulations on a GPU: the same networks and statistics as on a CPU, however they are cut.

Every test of the fixture `gpu` runs on the emulated GPU and, where there is one, on a real one. Networks against the
reference, in all numbers and coefficients, are in test_native.py.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from conftest import normals_of
from engines import fast_network

import resmc
import resmc.engine.cuda
from resmc import ResNet, Simulation, _native
from resmc.engine.arrays import Arrays
from resmc.engine.cuda import plan, runner
from resmc.engine.sums import ACTIVITY_SUMS, NORM_SUMS

HALF = math.sqrt(0.5)
TOLERANCE = 1e-4  # contract 3
SPLIT_TOLERANCE = 1e-12  # contract 4
REGISTERS, SHARED, DEVICE = 0, 1, 2  # where states are kept


def on_gpu(model: ResNet, networks: int, **settings: Any) -> Simulation:
    return resmc.simulate(model, networks=networks, device="cuda", **{"progress": False, **settings})


def on_cpu(model: ResNet, networks: int, **settings: Any) -> Simulation:
    return resmc.simulate(model, networks=networks, device="cpu", **{"progress": False, **settings})


def with_shape(monkeypatch: pytest.MonkeyPatch, threads: int, memory: int) -> None:
    """Teams of so many threads, with states in this memory, instead of the best."""
    run = runner.run

    def shaped(*arguments: Any) -> Any:
        return run(*arguments, shape=(threads, memory))

    monkeypatch.setattr(resmc.engine.cuda, "run", shaped)


def assert_same_networks(a: Simulation, b: Simulation) -> None:
    """Contract 3, and that what the networks do is the same: who dies, who is silent, how many neurons fire."""
    x, y = a.trajectories.log_norm, b.trajectories.log_norm
    assert x.shape == y.shape
    alive = np.isfinite(x)
    np.testing.assert_array_equal(alive, np.isfinite(y))
    error = np.abs(x[alive] - y[alive])
    assert np.quantile(error, 0.99) < TOLERANCE
    if a.model.width >= 64:
        assert error.max() < TOLERANCE
    np.testing.assert_array_equal(a.statistics.norms.alive, b.statistics.norms.alive)
    # Counts differ where some |z| is closer to 0 than the error; with so few networks that is rare.
    assert np.abs(a.statistics.activity.active - b.statistics.activity.active).sum() <= 2
    assert np.abs(a.statistics.histogram - b.statistics.histogram).sum() <= 4
    size = np.sqrt((b.samples.output**2).mean(axis=1, keepdims=True)) + 1e-300
    assert np.quantile(np.abs(a.samples.output - b.samples.output) / size, 0.99) < TOLERANCE


def scales(sim: Simulation) -> dict[str, Any]:
    """The natural scale of every sum (contract 4), from the simulation itself."""
    n = max(sim.networks, 1)
    sigma = np.sqrt(np.nan_to_num(sim.log_norm_variance.value)) + 1e-6
    powers = np.stack([sigma, *(n * sigma**k for k in (2, 3, 4))])
    return {
        "log_norm": 30 * powers,
        "growth_log": 30 * powers[:2],
        "growth": np.abs(sim.statistics.norms.growth).max() + 1e-300,
        "asymmetry": n,
        "asymmetry_square": n,
        "active_square": n * sim.model.width**2,
        "products": n,
        "partial_sums": n,
        "partial_squares": n,
    }


def assert_equal_statistics(a: Simulation, b: Simulation, tolerance: float) -> None:
    """Integers equal; floats within the tolerance times their natural scale."""
    scale = scales(b)
    others = b.statistics.by_name()
    for name, x in a.statistics.by_name().items():
        if x.dtype == np.int64:
            np.testing.assert_array_equal(x, others[name], err_msg=name)
        else:
            assert np.all(np.abs(x - others[name]) <= tolerance * scale[name]), name


def assert_same_bits(a: Simulation, b: Simulation) -> None:
    others = b.statistics.by_name()
    for name, x in a.statistics.by_name().items():
        assert x.tobytes() == others[name].tobytes(), name
    for part in ("samples", "trajectories"):
        for f in fields(getattr(a, part)):
            x, y = getattr(getattr(a, part), f.name), getattr(getattr(b, part), f.name)
            if f.name == "ratios":  # test_cuda_residual.py
                assert x == y == {}
            else:
                assert x.tobytes() == y.tobytes(), f"{part}.{f.name}"


# ---------------------------------------------------------------------------------------------------- the same networks


def test_normals_are_those_of_a_cpu_with_fused_multiply_add(gpu: Any) -> None:
    """In every bit: the same correctly rounded operations in the same order."""
    fused = [name for name, _ in _native.instruction_sets() if name != "baseline"]
    if not fused:
        pytest.skip("this machine has no fused multiply-add")
    words = np.random.default_rng(1).integers(2**32, size=(20_000, 4), dtype=np.uint32)
    words[:8] = [
        [0, 0, 0, 0],
        [2**32 - 1] * 4,
        [2**31] * 4,
        [2**31 - 1] * 4,
        [1] * 4,
        [2**30] * 4,
        [3] * 4,
        [2**29] * 4,
    ]
    for name in fused:
        assert normals_of(gpu, words).tobytes() == _native.normals(name, words).tobytes()


SHAPES = [
    # width, threads of a team, memory, method: every kernel, whole and partial quads, idle threads
    (1, 1, REGISTERS, "projected"), (3, 4, REGISTERS, "projected"), (30, 1, REGISTERS, "projected"),
    (40, 2, REGISTERS, "projected"), (61, 4, REGISTERS, "projected"), (100, 8, REGISTERS, "projected"),
    (130, 16, REGISTERS, "projected"), (190, 8, REGISTERS, "projected"), (200, 32, REGISTERS, "projected"),
    (500, 64, REGISTERS, "projected"), (1030, 128, REGISTERS, "projected"), (33, 2, SHARED, "projected"),
    (200, 4, SHARED, "projected"), (300, 32, SHARED, "projected"), (700, 64, SHARED, "projected"),
    (900, 512, SHARED, "projected"), (50, 8, DEVICE, "projected"), (2500, 256, DEVICE, "projected"),
    (5, 1, SHARED, "dense"), (21, 4, SHARED, "dense"), (40, 8, SHARED, "dense"), (67, 32, SHARED, "dense"),
    (90, 64, SHARED, "dense"), (23, 2, DEVICE, "dense"), (130, 128, DEVICE, "dense"),
]  # fmt: skip


@pytest.mark.parametrize(("width", "threads", "memory", "method"), SHAPES)
@pytest.mark.parametrize("variant", ["vanilla", "balanced"])
def test_every_shape_of_teams_gives_the_same_networks(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, width: int, threads: int, memory: int, method: str, variant: str
) -> None:
    model = ResNet(width, 6, HALF, HALF, variant, n_out=3)
    networks = 45 if method == "dense" and width > 60 else 150
    settings = {
        "method": method, "first_network": 2**32 - 39, "seed": 11,
        "keep_samples": networks, "keep_trajectories": networks,
    }  # fmt: skip
    expected = on_cpu(model, networks, **settings)
    with_shape(monkeypatch, threads, memory)
    assert_same_networks(on_gpu(model, networks, **settings), expected)


def test_networks_die_as_on_a_cpu(gpu: Any) -> None:
    for width, variant in ((2, "vanilla"), (3, "balanced"), (2, "balanced-half")):
        model = ResNet(width, 9, 0.0, 1.3, variant, n_out=2)
        settings = {"keep_samples": 300, "keep_trajectories": 300, "seed": 3}
        a, b = on_gpu(model, 300, **settings), on_cpu(model, 300, **settings)
        assert b.dead[-1] > 0
        assert_same_networks(a, b)
        for name in ("partial_sums", "partial_squares"):
            np.testing.assert_allclose(getattr(a.statistics, name), getattr(b.statistics, name), atol=1e-4)


def test_the_best_shape_wastes_less_than_a_tenth_of_its_threads(gpu: Any) -> None:
    """A team of T threads with R rounds of quads has 4 T R neurons: little more than the width, from 40 on."""
    for width in (40, 64, 100, 192, 200, 256, 1000, 1024, 4096, 10_000, 32_768):
        shape = gpu.kernels.shape(fast_network(ResNet(width, 2, HALF, HALF)), 0, gpu.properties)
        slots = 4 * shape.threads * shape.rounds
        assert width <= slots <= 1.1 * width, (width, shape)
        if width in (40, 192):
            assert shape.memory == REGISTERS
            assert slots == width


@pytest.mark.parametrize("width", [1, 2, 5, 77, 4095, 32_768, 100_003])
def test_every_width_has_a_shape_whose_memory_is_there(gpu: Any, width: int) -> None:
    for method in (0, 1):
        shape = gpu.kernels.shape(fast_network(ResNet(width, 2, HALF, HALF)), method, gpu.properties)
        assert 4 * shape.threads * shape.rounds >= width
        if shape.memory == SHARED:
            assert 4 * shape.block_floats < gpu.properties.shared_block


def test_a_shape_that_does_not_fit_is_refused(gpu: Any) -> None:
    network = fast_network(ResNet(4096, 2, HALF, HALF))
    for threads, memory in ((1, REGISTERS), (64, REGISTERS), (1, SHARED)):
        with pytest.raises(ValueError, match="no such shape"):
            gpu.kernels.shape(network, 0, gpu.properties, (threads, memory))
    assert gpu.kernels.shape(network, 0, gpu.properties, (128, REGISTERS)).rounds == 8


# ------------------------------------------------------------------------------------------- statistics and their order


def test_sums_of_layers_have_one_layout(gpu: Any) -> None:
    assert gpu.kernels.sums_bytes == (NORM_SUMS.itemsize, ACTIVITY_SUMS.itemsize)


def test_statistics_are_those_of_the_cpu(gpu: Any) -> None:
    for model, networks, first in (
        (ResNet(40, 12, HALF, HALF), 3000, 5),
        (ResNet(12, 7, -0.6, 0.8, "balanced"), 150_000 if gpu.name != "emulated" else 9000, 4095),
        (ResNet(64, 5, 0.9, 0.5, "balanced-half", input_norm=3.0), 33, 2**40 - 3),
        (ResNet(5, 4, HALF, HALF), 1, 0),
    ):
        a, b = on_gpu(model, networks, first_network=first), on_cpu(model, networks, first_network=first)
        np.testing.assert_array_equal(a.statistics.networks, b.statistics.networks)
        np.testing.assert_array_equal(a.statistics.norms.alive, b.statistics.norms.alive)
        counted = np.abs(a.statistics.activity.active - b.statistics.activity.active).sum()
        assert counted <= 1e-6 * networks * model.width * (model.depth + 1) + 2
        found, expected = a.statistics.by_name(), b.statistics.by_name()
        for name, scale in scales(b).items():
            got = found[name]
            if name == "growth":  # in units of its own: sums of W and W^2
                shift = (found["growth_exponent"] - expected["growth_exponent"])[:, None]
                got = np.ldexp(got, (shift * np.array([[1], [2]])).astype(np.int32))
            assert np.all(np.abs(got - expected[name]) <= TOLERANCE * scale), name
        assert a.numerics == (str(_native.NUMERICS_VERSION), gpu.numerics)


def test_the_same_simulation_gives_the_same_bits(gpu: Any) -> None:
    model, settings = ResNet(21, 5, HALF, HALF, n_out=2), {"keep_samples": 40, "keep_trajectories": 9}
    assert_same_bits(on_gpu(model, 700, **settings), on_gpu(model, 700, **settings))


def cut_launches(monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    """Launches of so many networks, which no real plan would make."""
    make_plan = runner.make_plan
    monkeypatch.setattr(runner, "make_plan", lambda *a: replace(make_plan(*a), part=part))


def test_launches_cut_otherwise_give_the_same_bits(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, settings = ResNet(40, 5, HALF, HALF, n_out=2), {"keep_samples": 5000, "keep_trajectories": 3000}
    whole = on_gpu(model, 6000, first_network=77, **settings)
    cut_launches(monkeypatch, 1001)
    assert_same_bits(on_gpu(model, 6000, first_network=77, **settings), whole)


@pytest.mark.parametrize("alpha", [HALF, 0.0])
def test_chunks_cut_otherwise_give_the_same_statistics(gpu: Any, monkeypatch: pytest.MonkeyPatch, alpha: float) -> None:
    """Integers and all that is folded by blocks in every bit; products within contract 4's rounding."""
    model, settings = ResNet(6, 5, alpha, HALF, n_out=2), {"keep_samples": 2500, "keep_trajectories": 1200}
    whole = on_gpu(model, 3000, first_network=77, **settings)
    monkeypatch.setattr(plan, "RECORD_BYTES", 1)
    columns = []
    make_plan = runner.make_plan
    monkeypatch.setattr(runner, "make_plan", lambda *a: columns.append(make_plan(*a)) or columns[-1])
    cut = on_gpu(model, 3000, first_network=77, **settings)
    assert len(list(columns[-1].chunks())) > 40
    assert_equal_statistics(cut, whole, SPLIT_TOLERANCE)
    others = whole.statistics.by_name()
    for name, array in cut.statistics.by_name().items():
        if name not in ("products", "partial_sums", "partial_squares"):
            assert array.tobytes() == others[name].tobytes(), name
    for part in ("samples", "trajectories"):
        for f in fields(getattr(cut, part)):
            np.testing.assert_array_equal(getattr(getattr(cut, part), f.name), getattr(getattr(whole, part), f.name))


def test_ranges_merge_to_the_whole(gpu: Any) -> None:
    model = ResNet(16, 6, HALF, HALF)
    whole = on_gpu(model, 9000)
    blocks = {"first_network": 4096}
    parts = [on_gpu(model, 4096), on_gpu(model, 9000 - 4096, **blocks)]
    merged = resmc.merge(*parts)
    np.testing.assert_array_equal(merged.alive, whole.alive)
    np.testing.assert_allclose(merged.log_norm_mean.value, whole.log_norm_mean.value, rtol=0, atol=1e-12)
    np.testing.assert_allclose(merged.log_norm_variance.value, whole.log_norm_variance.value, rtol=0, atol=1e-12)


def test_ranges_of_a_gpu_and_a_cpu_merge_and_say_so(gpu: Any, tmp_path: Any) -> None:
    model = ResNet(16, 6, HALF, HALF)
    merged = resmc.merge(on_gpu(model, 500), on_cpu(model, 500, first_network=500))
    assert merged.networks == 1000
    assert {name.split("/")[0] for name in merged.numerics[1:]} == {"cpu", gpu.numerics.split("/")[0]}
    merged.save(tmp_path / "merged.resmc")
    assert resmc.load(tmp_path / "merged.resmc").numerics == merged.numerics


def test_another_seed_or_lam_is_found_to_differ(gpu: Any) -> None:
    """Negative control of `assert_same_networks`."""
    model, settings = ResNet(64, 30, HALF, HALF), {"keep_trajectories": 40, "keep_samples": 40}
    expected = on_cpu(model, 40, **settings)
    for other in (on_gpu(model, 40, seed=1, **settings), on_gpu(ResNet(64, 30, HALF, 0.708), 40, **settings)):
        with pytest.raises(AssertionError):
            assert_same_networks(other, expected)


# --------------------------------------------------------------------------------------------------- torch as a citizen


def test_samples_and_trajectories_stay_on_the_device(gpu: Any, tmp_path: Any) -> None:
    torch = pytest.importorskip("torch")
    model, settings = ResNet(30, 6, 0.5, 2.0, n_out=3, input_norm=7.0), {"keep_samples": 50, "keep_trajectories": 20}
    there, here = on_gpu(model, 80, keep_on_device=True, **settings), on_gpu(model, 80, **settings)
    for part in ("samples", "trajectories"):
        kept = getattr(there, part)
        for f in fields(kept):
            if f.name not in ("networks", "ratios"):
                assert isinstance(getattr(kept, f.name), torch.Tensor)
                assert getattr(kept, f.name).device == gpu.device
        for f in fields(kept):
            if f.name == "ratios":
                continue
            x, y = getattr(kept.to_numpy(), f.name), getattr(getattr(here, part), f.name)
            assert x.dtype == y.dtype
            np.testing.assert_allclose(x.astype(float), y.astype(float), rtol=1e-14)
    there.save(tmp_path / "there.resmc")
    np.testing.assert_array_equal(resmc.load(tmp_path / "there.resmc").samples.log_norm, here.samples.log_norm)
    assert resmc.merge(there, on_gpu(model, 9, first_network=80)).samples.output.shape == (50, 3)


def test_outputs_beyond_a_float_survive_on_the_device(gpu: Any) -> None:
    """z_out of 1e+-250 and dead networks: the powers of two are taken in steps that do not overflow."""
    for lam, depth in ((1e30, 16), (1e-30, 16)):
        model = ResNet(8, depth, 0.0, lam)
        a = on_gpu(model, 60, keep_samples=60, keep_on_device=True).samples.to_numpy()
        b = on_cpu(model, 60, keep_samples=60).samples
        dead = np.isinf(b.log_norm) | (b.output[:, 0] == 0.0) | np.isinf(b.output[:, 0])
        np.testing.assert_array_equal(a.output[dead], b.output[dead])
        np.testing.assert_allclose(a.output[~dead], b.output[~dead], rtol=1e-3)


def test_what_stays_on_the_device_takes_no_memory_on_the_host(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    empty = Arrays.empty
    monkeypatch.setattr(Arrays, "empty", lambda *a: made.append(empty(*a)) or made[-1])
    for keep_on_device, kept in ((True, 0), (False, 50)):
        on_gpu(ResNet(30, 6, HALF, HALF), 80, keep_samples=50, keep_trajectories=50, keep_on_device=keep_on_device)
        arrays = made.pop()
        assert {len(arrays.sample_log_norm), len(arrays.sample_output), len(arrays.path_log_norm)} == {kept}


def test_keep_on_device_is_refused_on_the_cpu() -> None:
    with pytest.raises(ValueError, match=r"keep_on_device=True .*device='cuda'"):
        resmc.simulate(ResNet(4, 2, HALF, HALF), networks=4, device="cpu", keep_on_device=True)
    with pytest.raises(ValueError, match="keep_on_device='yes' is not allowed"):
        resmc.simulate(ResNet(4, 2, HALF, HALF), networks=4, device="cuda", keep_on_device="yes")  # type: ignore[arg-type]


def test_progress_rises_to_the_number_of_networks(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    cut_launches(monkeypatch, 500)
    on_gpu(ResNet(40, 5, HALF, HALF), 5000, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5000, 5000)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
