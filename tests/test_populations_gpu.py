"""Populations that are resampled on a GPU, emulated and, where there is one, real: a CPU's, in its bits or within
contract 3, however they are cut.

Resampling is a step function of the weights: where a sum of weights is as close to one of its points as rounding moves
it, an offspring goes to the neighbour, and the population is another one from there on. Among so few and so small ones
as here none does. z-scores are bounded by 4.5, of t with 31 degrees of freedom: 8.9e-5 each, for the 4 of them 4e-4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import resmc
import resmc.engine.cuda
from resmc import DepthScaling, DeviceError, MomentRun, ResidualNetwork, ResNet, moment_growth, moment_sweep
from resmc._system.build import instruction_set
from resmc.engine import devices
from resmc.engine.cuda import populations
from resmc.engine.cuda.kernels import Kernels
from resmc.engine.lowering import lower
from resmc.engine.native import PopulationJob

HALF = 0.5**0.5
TOLERANCE = 1e-4  # contract 3
ARRAYS = ("log_product", "growth", "effective")
MODELS = (
    ResNet(30, 12, HALF, HALF),
    ResNet(33, 12, 0.6, 0.9, "balanced"),
    ResNet(18, 12, HALF, HALF, "balanced-half", input_norm=3.0),
    ResidualNetwork(30, 12, "phi-in", "tanh", bias=0.3),
    ResidualNetwork(30, 12, "phi-in", "relu", keep=0.8, scaling=DepthScaling(0.0, 0.5)),
    ResidualNetwork(29, 12, "phi-out", "relu", scaling=DepthScaling(0.5, 1.3, inside=True)),
    ResidualNetwork(31, 12, "v-phi-w", "gelu", bias=0.2),
    ResidualNetwork(18, 12, "v-phi-w", "relu", inner_width=43),
)
WIDE = (ResNet(700, 6, HALF, HALF), ResidualNetwork(700, 4, "v-phi-w"), ResidualNetwork(260, 4, "phi-out", "silu"))


def run_on(device: str, model: Any, q: float = 1.0, **settings: Any) -> MomentRun:
    given = {"populations": 5, "size": 45, "seed": 3, "progress": False, "threads": 1, **settings}
    return moment_growth(model, q, device=device, **given)


def assert_same_bits(a: MomentRun, b: MomentRun) -> None:
    for name in ARRAYS:
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name


def assert_close(a: MomentRun, b: MomentRun, tolerance: float = TOLERANCE) -> None:
    for name in ARRAYS:
        x, y = getattr(a, name), getattr(b, name)
        np.testing.assert_array_equal(np.isfinite(x), np.isfinite(y))
        alive = np.isfinite(y)
        np.testing.assert_allclose(x[alive], y[alive], rtol=0.0, atol=tolerance, err_msg=name)


def with_threads(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """Teams of so many threads instead of the best."""
    bound = Kernels.population_shape
    monkeypatch.setattr(Kernels, "population_shape", lambda kernels, *a: bound(kernels, *a, threads))


# ---- the same populations --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.title)
@pytest.mark.parametrize("q", [-0.5, 2.0])
def test_teams_of_one_thread_make_a_cpus_bits(gpu, monkeypatch, model, q):
    """Of networks, their weights and sums, and of all that follows from who has offspring and who takes its place."""
    if instruction_set() == "baseline":
        pytest.skip("this machine has no fused multiply-add")
    with_threads(monkeypatch, 1)
    ours, theirs = (run_on(device, model, q) for device in ("cuda", "cpu"))
    assert_same_bits(ours, theirs)
    assert ours.numerics == gpu.numerics != theirs.numerics
    with pytest.raises(AssertionError):
        assert_close(ours, run_on("cpu", model, q, seed=4))


@pytest.mark.parametrize("threads", [2, 8, 32, 64, 256])
def test_teams_of_any_size_follow_the_cpu(gpu, monkeypatch, threads):
    with_threads(monkeypatch, threads)
    for model in (*(MODELS if threads < 64 else MODELS[-1:]), *WIDE):
        few = {"populations": 2, "size": 20} if model.width > 200 else {}
        assert_close(run_on("cuda", model, **few), run_on("cpu", model, **few))


def test_the_teams_that_are_chosen_follow_the_cpu_at_any_width(gpu):
    for width in (1, 2, 5, 40, 192, 1100):
        for model in (ResNet(width, 5, HALF, HALF), ResidualNetwork(width, 5, "v-phi-w", "tanh", bias=0.1)):
            few = {"populations": 2, "size": 11, "q": 0.2}
            bound = TOLERANCE if width > 2 else 10 * TOLERANCE
            assert_close(run_on("cuda", model, **few), run_on("cpu", model, **few), bound)


def test_dead_populations_are_those_of_a_cpu(gpu):
    model = ResNet(2, 8, 0.0, 1.0)
    ours, theirs = (run_on(device, model, 0.5, populations=200, size=4) for device in ("cuda", "cpu"))
    assert 0 < np.isneginf(theirs.log_product[:, -1]).sum() < 200
    assert_close(ours, theirs)


def test_moments_are_exact_on_a_gpu(gpu):
    run = run_on("cuda", ResNet(16, 64, HALF, HALF, "balanced"), populations=32, size=256)
    assert np.abs(run.z_score[[1, 4, -1]]).max() < 4.5
    assert (run.log_moment.stderr[1:] > 0.0).all()
    chain = run_on("cuda", ResidualNetwork(12, 24, "v-phi-w", scaling=DepthScaling(0.0, 0.5)), 2.0,
                   populations=32, size=256)  # fmt: skip
    assert abs(chain.z_score[-1]) < 4.5


def test_a_population_of_two_networks_and_one_of_a_thousand(gpu):
    model = ResNet(8, 16, HALF, HALF)
    for size in (2, 1000):
        few = {"populations": 3, "size": size, "layers": range(0, 17, 8)}
        assert_close(run_on("cuda", model, **few), run_on("cpu", model, **few))


# ---- however it is cut -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [MODELS[0], MODELS[3], WIDE[0]], ids=lambda m: m.title)
def test_chunks_and_how_many_populations_there_are_change_no_bit(gpu, monkeypatch, model):
    whole = run_on("cuda", model)
    for together in (1, 64, 128):
        monkeypatch.setattr(populations, "TOGETHER", together)
        assert_same_bits(run_on("cuda", model), whole)
    fewer = run_on("cuda", model, populations=2)
    assert fewer.log_product.tobytes() == whole.log_product[:2].tobytes()


class TightMemory:
    """A device whose memory holds no more than so many populations at a time, though it says otherwise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gpu: Any, most: int) -> None:
        self.asked: list[int] = []
        made = populations.Buffers.of

        def of(*arguments: Any) -> Any:
            self.asked.append(arguments[-1])
            if arguments[-1] > most:
                raise gpu.out_of_memory("out of memory")
            return made(*arguments)

        monkeypatch.setattr(populations.Buffers, "of", of)


def test_where_memory_lacks_there_are_fewer_at_a_time(gpu, monkeypatch):
    whole = run_on("cuda", MODELS[0])
    tight = TightMemory(monkeypatch, gpu, 2)
    assert_same_bits(run_on("cuda", MODELS[0]), whole)
    assert tight.asked == [5, 2]
    none = TightMemory(monkeypatch, gpu, 0)
    with pytest.raises(DeviceError, match=r"too little memory: .* GB are needed for a population of size=45 and width"):
        run_on("cuda", MODELS[0])
    assert none.asked == [5, 2, 1]


def test_a_plan_keeps_to_the_free_memory(gpu, monkeypatch):
    monkeypatch.setattr(gpu, "free_bytes", lambda: 1_000_000)
    tight = TightMemory(monkeypatch, gpu, 10**9)
    job = PopulationJob(0, 0, 0, 10**4, 45, 1.0)
    shape = gpu.kernels.population_shape(lower(MODELS[0]).kernel(False, False), gpu.properties)
    each = populations.bytes_of_population(shape, job.size, 7)
    run_on("cuda", MODELS[0], populations=200)
    assert tight.asked == [800_000 // each]
    assert 1 < tight.asked[0] < 200
    held = populations.Buffers.of(gpu, lower(MODELS[0]).kernel(False, False), shape, job, 7, 8)
    taken = sum(tensor.numel() * tensor.element_size() for tensor in held.tensors.values())
    assert 8 * each == taken
    monkeypatch.setattr(gpu, "free_bytes", lambda: 1000)
    with pytest.raises(DeviceError, match="take smaller populations or fewer layers"):
        run_on("cuda", MODELS[0])


# ---- stopping, and what is refused -----------------------------------------------------------------------------------


def test_progress_reaches_all_networks_and_may_stop_the_run(gpu):
    seen: list[tuple[int, int]] = []
    run_on("cuda", MODELS[0], progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (225, 225)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    class Enough(Exception):
        pass

    def stop(done: int, _of: int) -> None:
        if done:
            raise Enough

    with pytest.raises(Enough):
        run_on("cuda", MODELS[0], progress=stop)
    assert_close(run_on("cuda", MODELS[0]), run_on("cpu", MODELS[0]))  # the device can be used again


def test_the_extension_checks_what_it_is_handed(gpu, monkeypatch):
    real, wrong = gpu.kernels.populations, {}

    def launch(network: Any, settings: Any, *others: Any) -> None:
        real(network, replace(settings, **wrong), *others)

    monkeypatch.setattr(gpu.kernels, "populations", launch)
    for field, value in (
        ("first", 16), ("size", 0), ("size", 2**24 + 1), ("populations", 2**27), ("slot", 99), ("to_layer", 13),
        ("from_layer", 1), ("power", float("nan")), ("look_every", 0), ("variant", 3), ("resamples", 1),
    ):  # fmt: skip
        wrong = {field: value}
        with pytest.raises(ValueError, match=f"'{field}' must be"):
            run_on("cuda", MODELS[0])
    wrong = {}
    run_on("cuda", MODELS[0])
    gradients = lower(MODELS[3]).kernel(True, True)
    monkeypatch.setattr(gpu.kernels, "populations", lambda _, *others: real(gradients, *others))
    with pytest.raises(ValueError, match="populations go forwards"):
        run_on("cuda", MODELS[3])


@pytest.mark.cpu
@pytest.mark.parametrize("call", [moment_growth, resmc.rate_function])
def test_devices_are_as_for_simulations(monkeypatch, call):
    model = ResNet(8, 8, HALF, HALF)
    with pytest.raises(ValueError, match="device='gpu' is not allowed: it must be 'auto', 'cpu', 'cuda', 'cuda:0'"):
        call(model, device="gpu")
    monkeypatch.setattr(resmc.engine.cuda.device, "why_no_cuda", lambda: "there is none")
    with pytest.raises(DeviceError, match="device='cuda:1' is not available: there is none"):
        call(model, device="cuda:1")
    monkeypatch.setenv(devices.VARIABLE, "cuda")
    with pytest.raises(DeviceError, match=r"there is none \(RESMC_DEVICE asks for it\)"):
        call(model)


# ---- rates and sweeps ------------------------------------------------------------------------------------------------


def test_rates_have_the_populations_of_moments(gpu):
    model = ResNet(8, 20, HALF, HALF)
    few = {"populations": 3, "size": 40, "seed": 2, "progress": False, "device": "cuda"}
    found = resmc.rate_function(model, [0.5, 1.0], **few)
    assert_same_bits(found.runs[0], moment_growth(model, 0.5, **few))
    assert found.runs[1].numerics == gpu.numerics


GRID: dict[str, Any] = {"width": [6, 9], "ratio": [0.5, 2], "alpha": HALF, "lam": HALF, "variant": "balanced",
                        "q": [0.5, 1.0], "populations": 6, "size": 20, "progress": False}  # fmt: skip


def test_sweeps_of_moments_are_made_by_a_gpu_and_a_gpu_goes_on_with_a_cpus(gpu, tmp_path, monkeypatch):
    found = moment_sweep(**GRID, device="cuda", store=tmp_path / "gpu")
    assert found.numerics[1:] == (gpu.numerics,)
    run = found.run(width=9, ratio=2, q=0.5)
    assert_same_bits(run, moment_growth(run.model, 0.5, populations=6, size=20, seed=run.seed, device="cuda"))
    there = moment_sweep(**GRID, device="cpu")
    for ours, theirs in zip(found.runs, there.runs, strict=True):
        assert_close(ours, theirs)
    for device, count in (("cpu", 3), ("cuda", 6)):
        both = moment_sweep(**{**GRID, "populations": count}, device=device, store=tmp_path / "both")
    assert both.complete
    assert len(both.numerics) == 3
    mixed = both.run(width=9, ratio=2, q=0.5)
    assert_close(mixed, run)
    assert mixed.numerics == ", ".join(sorted(both.numerics[1:]))


@pytest.mark.cpu
def test_a_sweep_refuses_a_gpu_that_is_not_there_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(resmc.engine.cuda.device, "why_no_cuda", lambda: "there is none")
    with pytest.raises(DeviceError, match="there is none"):
        moment_sweep(**GRID, device="cuda", store=tmp_path / "store")
    assert not (tmp_path / "store").exists()
