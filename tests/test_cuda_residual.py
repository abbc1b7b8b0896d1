"""Any residual network on a GPU, there and back: the reference's networks and the CPU's statistics, however it is cut.

The fixture `gpu` is the emulated GPU and, where there is one, a real one.
"""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from typing import Any

import emulated
import numpy as np
import pytest
from compiled import ROOT as ROOT_FOLDER
from engines import residual_network

import resmc
import resmc.engine.cuda
from resmc import ResNet, Simulation, _native
from resmc.engine import run as engine_run
from resmc.engine.cuda import plan, runner
from resmc.engine.cuda.kernels import Shape
from resmc.engine.lowering import KernelNetwork
from resmc.engine.sums import NormSums
from resmc.models.activations import ACTIVATIONS
from resmc.models.blocks import BLOCKS
from resmc.models.residual_network import ResidualNetwork
from resmc.models.scaling import DepthScaling
from resmc.reference import simulate_residual

DEVICE = 2  # where vectors are kept
TOLERANCE = 1e-4  # contract 3
SPLIT_TOLERANCE = 1e-12  # contract 4
ROOT = DepthScaling(0.5, 1.3)
INSIDE = DepthScaling(0.5, -1.3, inside=True)
BY_LAYER = (0.5, 0.2, -0.1, -0.4, 0.5)
RATIOS = ("displacement", "gradient", "gradient_displacement")


def on_gpu(model: Any, networks: int, **settings: Any) -> Simulation:
    return resmc.simulate(model, networks=networks, device="cuda", **{"progress": False, **settings})


def on_cpu(model: Any, networks: int, **settings: Any) -> Simulation:
    return resmc.simulate(model, networks=networks, device="cpu", **{"progress": False, **settings})


def with_threads(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """Teams of so many threads instead of the best."""
    run = runner.run
    monkeypatch.setattr(resmc.engine.cuda, "run", lambda *a: run(*a, shape=(threads, DEVICE)))


def with_segment(monkeypatch: pytest.MonkeyPatch, segment: int) -> None:
    """So many layers kept at a time for the way back."""
    monkeypatch.setattr(runner, "best_segment", lambda *_: segment)


def errors(sim: Simulation, model: ResidualNetwork, networks: int, **settings: Any) -> dict[str, float]:
    """The largest distance from the reference, network by network and layer by layer, of everything that is kept."""
    ref, paths = simulate_residual(model, networks, **settings), sim.trajectories
    pairs = {
        "log_norm": (paths.log_norm, ref.log_norm),
        "displacement": (paths.ratios["displacement"], ref.log_displacement),
        "gradient": (paths.ratios["gradient"], ref.log_gradient),
        "gradient_displacement": (paths.ratios["gradient_displacement"], ref.log_gradient_displacement),
        "overlap": (paths.ratios["overlap"], ref.overlap),
        "output": (sim.samples.output, ref.output),
    }
    if ref.asymmetry is not None:
        pairs["asymmetry"] = paths.asymmetry, ref.asymmetry
    out = {}
    for name, (got, expected) in pairs.items():
        assert got.shape == expected.shape, name
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(np.isfinite(got), finite, err_msg=name)
        scale = np.sqrt((expected**2).mean()) if name == "output" else 1.0
        out[name] = float(np.abs(got[finite] - expected[finite]).max(initial=0.0)) / scale
    return out


def checked(model: ResidualNetwork, networks: int, method: str) -> dict[str, float]:
    """`errors` of a simulation on the GPU that keeps everything."""
    settings: dict[str, Any] = {"seed": 11, "first_network": 2**32 - 9, "method": method}
    keep = {"keep_samples": networks, "keep_trajectories": networks, "layers": range(model.depth + 1)}
    return errors(on_gpu(model, networks, gradients=True, **keep, **settings), model, networks, **settings)


# ---------------------------------------------------------------------------------------------------- the same networks

# Threads of a team and width: whole and partial quads, idle threads, several rounds, several warps.
TEAMS = [(1, 1), (1, 7), (2, 21), (8, 30), (32, 100), (32, 301), (64, 130), (128, 600)]


SOME = ("relu", "balanced-half", "gelu")  # of the activations, in every run: all are one function


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("threads", "width"), TEAMS)
def test_projected_networks_of_every_team_are_the_references(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, block: str, threads: int, width: int
) -> None:
    with_threads(monkeypatch, threads)
    with_segment(monkeypatch, 2)
    activation = ("relu", "tanh", "balanced")[(width + len(block)) % 3]
    model = ResidualNetwork(width, 5, block, activation, scaling=ROOT, bias=0.3, n_out=3)
    # A single neuron comes back to where it was now and then, and then has few digits of how far it is.
    assert max(checked(model, 40, "projected").values()) < (10 * TOLERANCE if width == 1 else TOLERANCE)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("threads", "width"), [team for team in TEAMS if team[1] <= 130])
def test_dense_networks_of_every_team_are_the_references(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, block: str, threads: int, width: int
) -> None:
    with_threads(monkeypatch, threads)
    with_segment(monkeypatch, 2)
    activation = ("gelu", "balanced", "relu")[(width + len(block)) % 3]
    model = ResidualNetwork(width, 4, block, activation, scaling=ROOT, bias=0.3, n_out=3)
    assert max(checked(model, 33 if width < 50 else 6, "dense").values()) < TOLERANCE


@pytest.mark.parametrize("method", ["projected", "dense"])
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(
    "activation",
    [name if name in SOME else pytest.param(name, marks=pytest.mark.long) for name in ACTIVATIONS],
)
def test_every_activation_is_the_references(gpu: Any, activation: str, block: str, method: str) -> None:
    inside = block == "phi-out"
    for scaling, bias, carry in ((BY_LAYER, 0.0, 1.0), (INSIDE if inside else ROOT, 0.7, -0.8)):
        model = ResidualNetwork(10, 5, block, activation, carry=carry, scaling=scaling, bias=bias, n_out=2)
        assert max(checked(model, 35, method).values()) < TOLERANCE


@pytest.mark.parametrize("weights", ["uniform", "rademacher"])
@pytest.mark.parametrize("block", BLOCKS)
def test_other_weights_and_inputs_are_the_references(gpu: Any, block: str, weights: str) -> None:
    """Smooth activations: with a kink at 0, sums of signs that are 0 but for rounding would have a slope of either
    side."""
    for width, given in ((9, (0.3, -2.0, 1.1)), (6, None), (13, tuple(np.linspace(-1.0, 1.0, 40)))):
        model = ResidualNetwork(width, 4, block, "tanh", scaling=ROOT, weights=weights, input=given, n_out=2)
        assert max(checked(model, 34, "dense").values()) < TOLERANCE


def test_another_seed_or_scale_is_found_to_differ(gpu: Any) -> None:
    """Negative control of `errors`."""
    model = ResidualNetwork(20, 6, "v-phi-w", "tanh", scaling=ROOT, n_out=2)
    keep = {"gradients": True, "keep_samples": 20, "keep_trajectories": 20, "layers": range(7)}
    for other, seed in ((model, 1), (replace(model, scaling=DepthScaling(0.5, 1.31)), 0)):
        sim = on_gpu(other, 20, seed=seed, **keep)
        found = errors(sim, model, 20, seed=0, first_network=0, method="projected")
        assert min(found.values()) > 10 * TOLERANCE, found


def test_a_log_gaussian_network_is_the_cpus(gpu: Any) -> None:
    """Its own units, and ratios that grow with the layer; networks that die leave ratios without a logarithm."""
    for model in (ResNet(30, 9, 0.6, 2.0, "balanced", n_out=2), ResNet(2, 9, 0.0, 1.3, n_out=2)):
        settings = {"gradients": True, "keep_trajectories": 200, "keep_samples": 200}
        a, b = on_gpu(model, 200, **settings), on_cpu(model, 200, **settings)
        for name in (*RATIOS, "overlap"):
            x, y = a.trajectories.ratios[name], b.trajectories.ratios[name]
            np.testing.assert_array_equal(np.isfinite(x), np.isfinite(y))
            assert np.abs(x[np.isfinite(x)] - y[np.isfinite(y)]).max() < TOLERANCE
        for name in ("growth", *RATIOS):
            assert a.laws[name].zeros == b.laws[name].zeros
            x, y = a.samples.ratios[name], b.samples.ratios[name]
            np.testing.assert_allclose(x[np.isfinite(x)], y[np.isfinite(y)], rtol=0, atol=TOLERANCE)


# ----------------------------------------------------------------------------------------------------------- statistics


def sums_of(sim: Simulation) -> dict[str, NormSums]:
    return {"growth": sim.statistics.norms, **sim.ratios}


def assert_same_bits(a: Simulation, b: Simulation) -> None:
    """Of all that is summed or kept."""
    for name, sums in sums_of(a).items():
        assert sums.records.tobytes() == sums_of(b)[name].records.tobytes(), name
    assert a.statistics.networks.tobytes() == b.statistics.networks.tobytes()
    for name, array in a.statistics.arrays().items():
        assert array.tobytes() == b.statistics.arrays()[name].tobytes(), name
    for name, law in a.laws.items():
        assert law.bins.tobytes() == b.laws[name].bins.tobytes()
        assert law.counts.tobytes() == b.laws[name].counts.tobytes()
    for part in ("samples", "trajectories"):
        x, y = getattr(a, part), getattr(b, part)
        for f in fields(x):
            p, q = getattr(x, f.name), getattr(y, f.name)
            if isinstance(p, dict):
                assert {k: v.tobytes() for k, v in p.items()} == {k: v.tobytes() for k, v in q.items()}, f.name
            else:
                assert p.tobytes() == q.tobytes(), f.name


def assert_equal_sums(a: Simulation, b: Simulation) -> None:
    """Integers equal, floats within 1e-12 of their natural scale (contract 4); sums of W in their own units."""
    for name, x in sums_of(a).items():
        y = sums_of(b)[name]
        n = max(b.networks, 1)
        spread = np.sqrt(np.nan_to_num(y.log_norm[:, 1].max() / n)) + 1.0
        for f in ("networks", "alive"):
            np.testing.assert_array_equal(getattr(x, f), getattr(y, f))
        powers = np.array([[spread], [n * spread**2], [n * spread**3], [n * spread**4]])
        assert np.all(np.abs(x.log_norm - y.log_norm) <= 30 * SPLIT_TOLERANCE * powers), name
        assert np.all(np.abs(x.growth_log - y.growth_log) <= 30 * SPLIT_TOLERANCE * powers[:2]), name
        shift = (x.growth_exponent - y.growth_exponent)[:, None] * np.array([[1], [2]])
        growth = np.ldexp(x.growth, shift.astype(np.int32))
        np.testing.assert_allclose(growth, y.growth, rtol=SPLIT_TOLERANCE, atol=0, err_msg=name)


@pytest.mark.parametrize("method", ["projected", "dense"])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_team_of_one_thread_makes_the_cpus_records_and_sums(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, block: str, method: str
) -> None:
    """The same sums in the same order of correctly rounded operations: paths agree in every bit with a CPU that fuses
    multiply and add, and sums over networks, whose order is another, within rounding."""
    if "avx2" not in dict(_native.instruction_sets()):
        pytest.skip("this machine has no fused multiply-add")
    with_threads(monkeypatch, 1)
    model = ResidualNetwork(11, 6, block, "relu", scaling=ROOT, n_out=2)
    settings = {"gradients": True, "keep_trajectories": 900, "first_network": 70, "method": method}
    a, b = on_gpu(model, 900, **settings), on_cpu(model, 900, **settings)
    for name in (*RATIOS, "overlap"):
        np.testing.assert_array_equal(a.trajectories.ratios[name], b.trajectories.ratios[name])
    assert_equal_sums(a, b)
    for name, law in a.laws.items():
        np.testing.assert_array_equal(law.bins, b.laws[name].bins)
        np.testing.assert_array_equal(law.counts, b.laws[name].counts)


def test_sums_are_those_of_the_paths(gpu: Any) -> None:
    """By NumPy in float64: the mean and the spread of every ratio's logarithm, and of the ratio's square."""
    model = ResidualNetwork(12, 5, "phi-in", "relu", scaling=ROOT, n_out=2)
    sim = on_gpu(model, 700, gradients=True, keep_trajectories=700, keep_samples=700)
    for name in RATIOS:
        paths, ratio = sim.trajectories.ratios[name], sim.log_ratio(name)
        there = np.isfinite(paths).all(axis=0)
        assert there.sum() == paths.shape[1] - (name != "gradient")
        np.testing.assert_allclose(ratio.mean.value[there], paths[:, there].mean(axis=0), rtol=1e-12, atol=1e-12)
        variance = paths[:, there].var(axis=0, ddof=1)
        np.testing.assert_allclose(ratio.variance.value[there], variance, rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(
            ratio.log_second_moment.value[there], np.log(np.exp(paths[:, there]).mean(axis=0)), rtol=1e-6, atol=1e-6
        )
        end = 0 if name.startswith("gradient") else -1
        np.testing.assert_allclose(sim.samples.ratios[name], paths[:, end], rtol=0, atol=1e-12)
        assert sim.laws[name].networks == 700


# --------------------------------------------------------------------------------------------------- however it is cut

CUT = ResidualNetwork(21, 7, "v-phi-w", "tanh", scaling=ROOT, bias=0.2, n_out=2)
KEEP = {"gradients": True, "keep_samples": 400, "keep_trajectories": 300, "first_network": 77, "correlations": False}


@pytest.mark.parametrize("method", ["projected", "dense"])
def test_how_many_layers_are_kept_changes_no_bit(gpu: Any, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    networks = 500 if method == "projected" else 60
    whole = on_gpu(CUT, networks, method=method, **KEEP)
    for segment in (1, 2, 3, CUT.depth):
        with_segment(monkeypatch, segment)
        assert_same_bits(on_gpu(CUT, networks, method=method, **KEEP), whole)


def test_parts_of_a_range_are_added_in_order(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contract 4 on one device: the same bits whatever the parts; what a part before it left is not lost."""
    whole = on_gpu(CUT, 3000, **KEEP)
    monkeypatch.setattr(engine_run, "PART", 512)
    assert_same_bits(on_gpu(CUT, 3000, **KEEP), whole)


def test_launches_and_chunks_cut_otherwise_give_the_same_bits(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, make_plan, plans = on_gpu(CUT, 900, **KEEP), runner.make_plan, []

    def cut(*arguments: Any) -> plan.Plan:
        plans.append(replace(make_plan(*arguments), part=101))
        return plans[-1]

    monkeypatch.setattr(runner, "make_plan", cut)
    monkeypatch.setattr(plan, "RECORD_BYTES", 1)
    assert_same_bits(on_gpu(CUT, 900, **KEEP), whole)
    assert len(list(plans[-1].chunks())) > 20


def test_a_gpu_with_little_memory_keeps_fewer_layers_of_fewer_networks(
    gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors then take the share that is theirs, and no bit changes."""
    model = ResidualNetwork(40, 64, "phi-out", "relu", scaling=ROOT)
    settings: dict[str, Any] = {"gradients": True, "keep_trajectories": 50, "layers": [32]}
    make_plan, best_segment, seen = runner.make_plan, runner.best_segment, []

    def planned(available: int | None) -> Any:
        def made(*arguments: Any) -> plan.Plan:
            arguments = arguments if available is None else (*arguments[:5], available, *arguments[6:])
            seen.append((arguments[0], arguments[2], make_plan(*arguments)))
            return seen[-1][2]

        return made

    monkeypatch.setattr(runner, "make_plan", planned(None))
    whole = on_gpu(model, 300, **settings)
    assert seen[-1][0].segment == 64
    free = 5_000_000
    monkeypatch.setattr(runner, "best_segment", lambda *a: best_segment(*a[:-1], free))
    monkeypatch.setattr(runner, "make_plan", planned(free))
    assert_same_bits(on_gpu(model, 300, **settings), whole)
    network, shape, made = seen[-1]
    assert network.segment < 64
    assert made.workspace_blocks >= 1
    assert 4 * made.workspace_blocks * shape.block_floats <= plan.MEMORY_SHARE * free


def test_the_segment_is_the_longest_that_fits(gpu: Any) -> None:
    network = residual_network(ResidualNetwork(100, 900, "phi-out", "relu", scaling=ROOT), True)

    def shape_of(network: KernelNetwork) -> Shape:
        return gpu.kernels.shape(network, 0, gpu.properties)

    def need(segment: int) -> int:
        shape = shape_of(replace(network, segment=segment))
        return int(4 * plan.resident_blocks(shape, 132, plan.RESIDUAL_THREADS) * shape.block_floats)

    enough = 10**12, 2 * 10**10, 10**10
    found = [plan.best_segment(network, 10**9, shape_of, 132, free) for free in (*enough, 1)]
    assert found == sorted(set(found), reverse=True)
    assert found[0] == 900
    assert found[-1] == 30
    for segment, free in zip(found[:-1], enough, strict=True):
        parts = -(-900 // segment)
        assert need(segment) <= plan.MEMORY_SHARE * free
        assert parts == 1 or need(-(-900 // (parts - 1))) > plan.MEMORY_SHARE * free
    one_way = replace(network, gradients=False, segment=900)
    assert plan.best_segment(one_way, 10**9, shape_of, 132, 1) == 900


# Draws of each neuron in a layer there and back, of each pair of neurons with explicit weights (columns take two).
@pytest.mark.parametrize(
    ("width", "depth", "block", "method", "draws"),
    [
        (4096, 20, "phi-in", "projected", 3),
        (16384, 3, "v-phi-w", "projected", 9),
        (160, 3, "v-phi-w", "dense", 7),
        (500, 60, "phi-out", "projected", 4),
    ],
)
def test_kernels_look_whether_to_stop_as_often_as_planned(
    monkeypatch: pytest.MonkeyPatch, width: int, depth: int, block: str, method: str, draws: int
) -> None:
    """A look crosses to the host's memory: within a factor of four, one for every LOOK_WORK normals of a thread."""
    if not emulated.can_compile():
        pytest.skip("no compiler for the emulated GPU")
    module, made, make_plan = emulated.module(), [], runner.make_plan
    accelerator = emulated.Emulated(module.kernels)
    monkeypatch.setattr(resmc.engine.cuda, "open_cuda", lambda _: accelerator)
    monkeypatch.setattr(runner, "make_plan", lambda *a: made.append(a[2]) or make_plan(*a))
    monkeypatch.setattr(plan, "LOOK_WORK", 1 << 8)  # so that small networks have many
    before = module.looks()
    on_gpu(ResidualNetwork(width, depth, block, "relu", scaling=ROOT), 1, method=method, gradients=True)
    pairs = width if method == "dense" else 1
    looks = depth * draws * 4 * made[-1].rounds * pairs / plan.LOOK_WORK
    assert looks > 3.0
    assert looks / 4.0 <= module.looks() - before <= 4.0 * looks


def test_as_many_threads_are_planned_as_registers_allow() -> None:
    """By the machine code of kernels with states in device memory: that of each family which has most registers."""
    recorded = json.loads((ROOT_FOLDER / "tests" / "data" / "device_code.json").read_text(encoding="utf-8"))
    families = {
        "simulate_in_device": (16, plan.RESIDENT_THREADS),
        "simulate_residual_kernel": (4, plan.RESIDUAL_THREADS),
    }
    for code in (entry for name, entry in recorded.items() if name.startswith("sm_")):
        for family, (block, planned) in families.items():
            registers = [kernel["registers"] for name, kernel in code["kernels"].items() if family in name]
            warps = 65536 // (-(-max(registers) // 8) * 8 * 32)
            assert len(registers) == 6
            assert warps // block * block * 32 == planned, family


@pytest.mark.parametrize("width", [1, 5, 40, 100, 1000, 4096, 100_003])
def test_every_width_has_a_shape(gpu: Any, width: int) -> None:
    """One that depends on the width and the method alone, as contract 4 needs."""
    for method in (0, 1):
        models = [ResidualNetwork(width, depth, "phi-in", "relu", scaling=ROOT) for depth in (2, 3000)]
        shapes = [gpu.kernels.shape(residual_network(model, True), method, gpu.properties) for model in models]
        assert len({(shape.threads, shape.rounds, shape.memory) for shape in shapes}) == 1
        threads, rounds = shapes[0].threads, shapes[0].rounds
        assert shapes[0].memory == DEVICE
        assert width <= 4 * threads * rounds < width + 4 * threads


# ------------------------------------------------------------------------------------------------ progress and refusals


def test_progress_rises_over_all_parts(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(engine_run, "PART", 512)
    on_gpu(CUT, 2000, gradients=True, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2000, 2000)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) >= 4


def test_what_progress_raises_comes_out_and_the_device_goes_on(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_gpu(CUT, 500, gradients=True, progress=stop)
    assert math.isfinite(on_gpu(CUT, 50, gradients=True).log_ratio("gradient").final_mean.value)


def test_ratios_cannot_stay_on_the_device(gpu: Any) -> None:
    for model, settings in (
        (CUT, {}),
        (replace(CUT, block="phi-out"), {"displacement": False}),
        (ResNet(4, 2, 0.6, 0.8), {"gradients": True}),
    ):
        with pytest.raises(ValueError, match=r"keep_on_device=True is not allowed with gradients"):
            on_gpu(model, 4, keep_on_device=True, **settings)
