"""The kernels' own PTX, as nvcc has made it, on a CPU: the emulation's bits from every kernel, in orders no GPU has.

The emulated GPU runs the same source through another compiler, a warp at a time; test_cuda.py and others hold it to the
reference and the CPU. What this shows besides lies behind the source: the code that nvcc makes, the launches, their
parameters and shared memory, and that no thread depends on another without a barrier. It does not show how fast that
is, nor what ptxas and the hardware make of it.

    pytest -m long tests/test_ptx.py
    pytest --device ptx tests/test_cuda.py tests/test_cuda_residual.py    against the reference, without the emulation
"""

from __future__ import annotations

import copy
import importlib.util
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from compiled import ROOT
from conftest import draw_of, normals_of, words_of
from emulated import Emulated
from engines import fast_network
from translated import Machine, Translated, entries, library, opcodes, programs, why_no_kernels

import resmc
import resmc.engine.cuda
from resmc import DeviceError, FractionalNoise, ResNet, Weights, _native
from resmc.engine import column_plan
from resmc.engine.cuda import columns, plan, populations, runner
from resmc.engine.cuda.kernels import Kernels
from resmc.models.residual_network import ResidualNetwork
from resmc.models.scaling import DepthScaling

pytestmark = [pytest.mark.cpu, pytest.mark.long]

REGISTERS, SHARED, DEVICE = 0, 1, 2  # where states are kept
TOLERANCE = 1e-4  # contract 3
PRODUCTS = ("products", "partial_sums", "partial_squares")  # of torch, which are not the kernels'
VARIANTS = {"Relu": "vanilla", "Balanced": "balanced", "BalancedHalf": "balanced-half"}
BLOCKS = {"BLOCK_PHI_IN": "phi-in", "BLOCK_PHI_OUT": "phi-out", "BLOCK_V_PHI_W": "v-phi-w"}
KERNELS = sorted(json.loads((ROOT / "tests" / "data" / "device_code.json").read_text())["sm_90"]["kernels"])
OF_POPULATIONS = [name for name in KERNELS if "population" in name or name in ("resample_kernel", "move_kernel")]
NETWORKS = {"first_network": 2**32 - 9, "seed": 11, "progress": False}


@pytest.fixture(scope="module", autouse=True)
def reason() -> None:
    if (reason := why_no_kernels()) is not None:
        pytest.skip(reason)
    pytest.importorskip("torch")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Translated]:
    """The PTX, made what device="cuda" means, with all settings as they are at first."""
    accelerator = Translated()
    monkeypatch.setattr(resmc.engine.cuda, "open_cuda", lambda ordinal: accelerator)
    yield accelerator
    accelerator.machine.configure()


@pytest.fixture
def emulated(emulated_kernels: Any) -> Emulated:
    return Emulated(emulated_kernels)


# ---- every kernel ---------------------------------------------------------------------------------------------------


def _device_code() -> ModuleType:
    spec = importlib.util.spec_from_file_location("device_code", ROOT / ".ci" / "device_code.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("device_code", module)
    spec.loader.exec_module(module)
    return module


@cache
def mangled() -> dict[str, str]:
    """The kernels in the PTX, by the names that device_code.json has."""
    names = [entry.name for entry in entries()]
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(map(_device_code().short_name, done.stdout.splitlines()), names, strict=True))


def shaped(accelerator: Any, threads: int, memory: int) -> Callable[..., Any]:
    """`resmc.simulate` on an accelerator, with teams of so many threads."""

    def simulate(model: Any, networks: int, **settings: Any) -> resmc.Simulation:
        run = runner.run
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(resmc.engine.cuda, "open_cuda", lambda ordinal: accelerator)
            patch.setattr(resmc.engine.cuda, "run", lambda *a: run(*a, shape=(threads, memory)))
            patch.setattr(runner, "best_segment", lambda *_: 2)
            patch.setattr(plan, "LOOK_WORK", 256)  # looks whether to stop within these short runs, too
            patch.setattr(columns, "LOOK_WORK", 256)
            patch.setattr(columns.Device, "shape", lambda device, network: device.accelerator.kernels.shape(
                network, columns.DENSE, accelerator.properties, (threads, memory)
            ))  # fmt: skip
            patch.setattr(column_plan, "STATES_HELD", 1)  # layers are computed again on the way back
            return resmc.simulate(model, networks=networks, device="cuda", **NETWORKS, **settings)

    return simulate


def bits_of(sim: resmc.Simulation) -> dict[str, bytes]:
    """All that a simulation has summed and kept, but for torch's products."""
    arrays = {name: x for name, x in sim.statistics.arrays().items() if name not in PRODUCTS}
    arrays |= {f"ratios.{name}": sums.records for name, sums in sim.ratios.items()}
    arrays |= {
        f"laws.{name}.{part}": getattr(law, part) for name, law in sim.laws.items() for part in ("bins", "counts")
    }
    for part in ("samples", "trajectories"):
        for name, x in vars(getattr(sim, part)).items():
            arrays |= {f"{part}.{name}.{key}": y for key, y in (x if isinstance(x, dict) else {"": x}).items()}
    return {name: np.asarray(x).tobytes() for name, x in arrays.items()}


def distance(a: resmc.Simulation, b: resmc.Simulation) -> float:
    """The largest difference of a logarithm in the paths of nearly all networks; those that die are the same."""
    paths = [(a.trajectories.log_norm, b.trajectories.log_norm)]
    paths += [(x, b.trajectories.ratios[name]) for name, x in a.trajectories.ratios.items()]
    out = 0.0
    for x, y in paths:
        finite = np.isfinite(y)
        np.testing.assert_array_equal(np.isfinite(x), finite)
        out = max(out, float(np.quantile(np.abs(x[finite] - y[finite]), 0.99)))
    return out


def cases(kernel: str) -> list[tuple[Any, int, str, int, int, dict[str, Any]]]:
    """What makes a kernel run: model, networks, method, threads of a team, memory, settings. Teams of a part of a warp
    and of a whole block, widths that leave idle threads and parts of quads."""
    name, _, arguments = kernel.rstrip(">").partition("<")
    first, _, second = arguments.partition(", ")
    method = "dense" if second.endswith("DENSE") else "projected"
    half = math.sqrt(0.5)
    if name == "simulate_in_registers":
        rounds = int(second)
        widths = {threads: 4 * threads * rounds - 2 for threads in (4, 64)}
        return [(ResNet(w, 5, half, half, VARIANTS[first], n_out=3), 70, method, t, REGISTERS, {})
                for t, w in widths.items()]  # fmt: skip
    if name in ("simulate_in_shared", "simulate_in_device"):
        memory = SHARED if name.endswith("shared") else DEVICE
        widths = {8: 22, 64: 34} if method == "dense" else {8: 190, 128: 1022}
        return [(ResNet(w, 5, 0.0 if t == 8 else half, half, VARIANTS[first], n_out=3), 40, method, t, memory, {})
                for t, w in widths.items()]  # fmt: skip
    block = BLOCKS.get(first, "v-phi-w")
    scaling = DepthScaling(0.5, 1.3)
    if name == "simulate_columns_kernel":
        noise, tied = Weights(depth=FractionalNoise(0.7)), Weights("uniform", "tied")
        models = [
            ResidualNetwork(21, 5, block, "tanh", scaling=scaling, bias=0.3, n_out=3, weights=noise),
            ResidualNetwork(130, 4, block, "relu", scaling=scaling, weights=tied),
        ]
        return [(model, n, "dense", t, DEVICE, {"gradients": True})
                for model, t, n in zip(models, (8, 64), (40, 5), strict=True)]  # fmt: skip
    models = [
        ResidualNetwork(21, 5, block, "tanh", scaling=scaling, bias=0.3, n_out=3),
        ResidualNetwork(130, 4, block, "relu", scaling=scaling, weights="uniform" if method == "dense" else "gaussian"),
    ]
    return [(model, n, method, t, DEVICE, {"gradients": True})
            for model, t, n in zip(models, (8, 64), (40, 5), strict=True)]  # fmt: skip


GENERATORS = ("words_kernel", "normals_kernel", "draw_kernel", "roots_kernel")


@pytest.mark.parametrize("kernel", [kernel for kernel in OF_POPULATIONS if "<" in kernel])
def test_every_kernel_of_populations_makes_the_emulations_bits(
    gpu: Translated, emulated: Emulated, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    """And the CPU's populations: by teams of a part of a warp in the order of the threads, of a block in a random one.

    Their weights, and who takes whose place, are other kernels', which run beside each of these.
    """
    _, _, argument = kernel.rstrip(">").partition("<")
    monkeypatch.setattr(populations, "LOOK_WORK", 64)  # looks whether to stop within these short runs, too
    monkeypatch.setattr(populations, "TOGETHER", 64)  # three chunks
    shape = Kernels.population_shape
    for order, (threads, width) in enumerate(((8, 70), (64, 262))):
        gpu.machine.configure(order=order)
        model = ResNet(width, 5, 0.6, 0.8, VARIANTS[argument]) if argument in VARIANTS else ResidualNetwork(
            width, 5, BLOCKS[argument], "tanh", scaling=DepthScaling(0.5, 1.3), bias=0.3
        )  # fmt: skip
        monkeypatch.setattr(Kernels, "population_shape", lambda kernels, a, b, t=threads: shape(kernels, a, b, t))
        found = []
        for accelerator in (gpu, emulated, None):
            if accelerator is not None:
                monkeypatch.setattr(resmc.engine.cuda, "open_cuda", lambda _, a=accelerator: a)
            found.append(resmc.moment_growth(
                model, 2.0, populations=5, size=11, seed=4, layers=[1, 3], progress=False,
                device="cpu" if accelerator is None else "cuda",
            ))  # fmt: skip
        for name in ("log_product", "growth", "effective"):
            ours, theirs, cpus = (getattr(run, name) for run in found)
            assert ours.tobytes() == theirs.tobytes(), (name, threads)
            np.testing.assert_allclose(ours, cpus, rtol=0.0, atol=TOLERANCE)
    assert all(gpu.machine.ran(mangled()[name]) for name in (kernel, "resample_kernel", "move_kernel"))


def test_a_missing_barrier_of_resampling_is_caught(gpu: Translated, plant: Callable[..., None]) -> None:
    """Every one in its turn, between the threads that weigh a population."""
    for place in places("resample_kernel", "bar.sync"):
        plant("resample_kernel", [place])
        with pytest.raises(
            DeviceError, match=rf"kernel 'resample'.*resample_kernel.*, populations.ptx line \d+ .*{CAUGHT}"
        ):
            resmc.moment_growth(ResNet(8, 4, 0.6, 0.8), populations=1, size=200, device="cuda", progress=False)


@pytest.mark.parametrize("kernel", [kernel for kernel in KERNELS if kernel not in (*GENERATORS, *OF_POPULATIONS)])
def test_every_kernel_makes_the_emulations_bits(gpu: Translated, emulated: Emulated, kernel: str) -> None:
    """And the CPU's networks; its first team in the order of the threads' numbers, its second in a random one."""
    for order, (model, networks, method, threads, memory, settings) in enumerate(cases(kernel)):
        keep = {"keep_samples": networks, "keep_trajectories": networks, "method": method, **settings}
        gpu.machine.configure(order=order)
        sim = shaped(gpu, threads, memory)(model, networks, **keep)
        found = bits_of(sim)
        expected = bits_of(shaped(emulated, threads, memory)(model, networks, **keep))
        assert found.keys() == expected.keys()
        assert [name for name in found if found[name] != expected[name]] == [], (model, threads)
        cpu = resmc.simulate(model, networks=networks, device="cpu", **NETWORKS, **keep)
        assert distance(sim, cpu) < TOLERANCE
    assert gpu.machine.ran(mangled()[kernel])


def test_there_is_ptx_of_every_kernel_of_the_budget() -> None:
    assert sorted(mangled()) == KERNELS


def test_words_normals_and_draws_are_the_cpus_in_every_bit(gpu: Translated) -> None:
    """With an approximate root off by four times what the manual allows; far beyond that it is found to matter."""
    fused = next((name for name, _ in _native.instruction_sets() if name != "baseline"), None)
    if fused is None:
        pytest.skip("this machine has no fused multiply-add")
    for counter in ((0, 0, 0, 0, 0, 0), (7, 3, 2**20 - 1, 2**48 - 1, 5, 2**22)):
        assert words_of(gpu, *counter).tobytes() == _native.words(fused, *counter).tobytes()
    words = np.random.default_rng(1).integers(2**32, size=(40_000, 4), dtype=np.uint32)
    words[:6] = [[0] * 4, [2**32 - 1] * 4, [2**31] * 4, [2**31 - 1] * 4, [2**30] * 4, [2**29] * 4]
    expected = _native.normals(fused, words).tobytes()
    for order, rsqrt_ulps in enumerate((0, 2, 8)):
        gpu.machine.configure(order=order, rsqrt_ulps=rsqrt_ulps)
        assert normals_of(gpu, words).tobytes() == expected
    gpu.machine.configure(rsqrt_ulps=1024)
    assert normals_of(gpu, words).tobytes() != expected  # the negative control
    gpu.machine.configure()
    network = fast_network(ResNet(40, 3, 0.6, 0.8))
    assert abs(draw_of(gpu, network, 5, 256) - _native.draw(fused, vars(network), 5, 256)) < 0.01
    assert all(gpu.machine.ran(mangled()[kernel]) for kernel in GENERATORS[:3])


@pytest.mark.skipif("roots_kernel" not in KERNELS, reason="no kernel takes square roots alone")
def test_square_roots_of_normals_are_correctly_rounded(gpu: Translated) -> None:
    numbers = 2.0 ** np.random.default_rng(2).uniform(-40.0, 10.0, 50_000)
    there = gpu.torch.from_numpy(numbers.astype(np.float32))
    roots = gpu.torch.empty(len(numbers), dtype=gpu.torch.float32)
    for rsqrt_ulps in (0, 2, 8):
        gpu.machine.configure(rsqrt_ulps=rsqrt_ulps)
        gpu.kernels.roots(there.data_ptr(), len(numbers), roots.data_ptr(), gpu.ordinal, gpu.stream())
        assert roots.numpy().tobytes() == np.sqrt(there.numpy()).tobytes()


def test_no_order_of_threads_changes_a_bit(gpu: Translated) -> None:
    model = ResidualNetwork(70, 6, "phi-in", "relu", scaling=DepthScaling(0.5, 1.3))
    simulate = shaped(gpu, 64, DEVICE)
    seen = []
    for order in range(4):
        gpu.machine.configure(order=order)
        seen.append(bits_of(simulate(model, 9, gradients=True, keep_trajectories=9)))
    assert seen.count(seen[0]) == 4
    assert gpu.machine.counters()["barriers"] > 0


# ---- planted faults -------------------------------------------------------------------------------------------------


def entry_of(kernel: str) -> Any:
    """A kernel with a body of its own to change."""
    entry = copy.copy(next(entry for entry in entries() if entry.name == mangled()[kernel]))
    entry.body = [*entry.body]
    return entry


@pytest.fixture
def plant(gpu: Translated) -> Iterator[Callable[..., None]]:
    """Puts another kernel into the place of one of resmc's: `plant(kernel, places, change)` changes the operands of the
    instructions at these places of its body, or leaves them out. Afterwards all is as it was."""

    def planted(kernel: str, places: list[int], change: Callable[[list[str]], list[str]] | None = None) -> None:
        entry = entry_of(kernel)
        for place in sorted(places, reverse=True):
            one = entry.body.pop(place)
            if change is not None:
                entry.body.insert(place, one._replace(operands=change(one.operands)))
        gpu.machine.load(library([entry]))

    yield planted
    for unchanged in programs():
        gpu.machine.load(unchanged)


def places(kernel: str, opcode: str) -> list[int]:
    """Where instructions of an opcode stand in a kernel's body."""
    body = entry_of(kernel).body
    found = [i for i, one in enumerate(body) if not isinstance(one, str) and one.opcode == opcode]
    assert found
    return found


def small(gpu: Translated, threads: int = 64, memory: int = SHARED, method: str = "projected") -> resmc.Simulation:
    """A simulation by some teams."""
    model = ResNet(300 if method == "projected" else 22, 4, 0.6, 0.8, n_out=2)
    return shaped(gpu, threads, memory)(model, 40, keep_samples=40, method=method)


CAUGHT = (
    r"((reads|writes) what thread \d+ (wrote|read) at \w+.ptx line \d+ .*, and no barrier is between them"
    r"|reads shared memory at \d+, which nobody has written)"
)


def test_a_missing_barrier_is_caught(gpu: Translated, plant: Callable[..., None]) -> None:
    """Every barrier that the sums of records have, each in its turn: a batch needs as many networks as threads."""
    for place in places("reduce_kernel", "bar.sync"):
        plant("reduce_kernel", [place])
        with pytest.raises(DeviceError, match=rf"kernel 'reduce'.*reduce_kernel.*, kernels.ptx line \d+ .*{CAUGHT}"):
            shaped(gpu, 1, REGISTERS)(ResNet(2, 1, 0.6, 0.8), 2100)


@pytest.mark.parametrize(
    ("kernel", "opcode", "threads"),
    [
        ("simulate_in_shared<Relu, METHOD_PROJECTED>", "bar.sync", 64),
        ("simulate_in_shared<Relu, METHOD_DENSE>", "bar.sync", 64),
        ("simulate_in_device<Relu, METHOD_DENSE>", "bar.warp.sync", 8),
    ],
)
def test_missing_barriers_of_a_team_are_caught(
    gpu: Translated, plant: Callable[..., None], kernel: str, opcode: str, threads: int
) -> None:
    """Of a block, and of a part of a warp."""
    plant(kernel, places(kernel, opcode))
    with pytest.raises(DeviceError, match=rf"kernel 'simulate'.*simulate_in_.*, kernels.ptx line \d+ .*{CAUGHT}"):
        small(gpu, threads, SHARED if "shared" in kernel else DEVICE, "dense" if "DENSE" in kernel else "projected")


def test_a_wrong_shuffle_mask_is_caught(gpu: Translated, plant: Callable[..., None]) -> None:
    kernel = "simulate_in_registers<Relu, 2>"
    plant(kernel, places(kernel, "shfl.sync.bfly.b32"), lambda operands: [*operands[:-1], "65535"])
    with pytest.raises(
        DeviceError, match=r"kernel 'simulate'.*shfl.sync.bfly.* (outside of its|not in its own) mask, 0xffff"
    ):
        small(gpu, memory=REGISTERS)


def test_a_misaligned_access_is_caught(gpu: Translated, plant: Callable[..., None]) -> None:
    def further(operands: list[str]) -> list[str]:
        found = re.fullmatch(r"\[([^+\]]+)(?:\+(\d+))?\]", operands[0])
        assert found
        return [f"[{found[1]}+{int(found[2] or 0) + 4}]", *operands[1:]]

    kernel = "simulate_in_shared<Relu, METHOD_PROJECTED>"
    plant(kernel, places(kernel, "st.shared.v4.f32"), further)
    with pytest.raises(DeviceError, match=r"kernel 'simulate'.*writes 16 bytes at 0x\w+, which is misaligned"):
        small(gpu)


def test_a_missing_opt_in_to_shared_memory_is_caught(gpu: Translated) -> None:
    simulate, model = shaped(gpu, 512, SHARED), ResNet(15_000, 1, 0.6, 0.8)
    simulate(model, 1)
    gpu.machine.configure(ignore_opt_in=True)
    with pytest.raises(
        DeviceError, match=r"cudaErrorInvalidValue, .* bytes of shared memory, of which it may have 49152"
    ):
        simulate(model, 1)


def test_memory_that_is_too_small_is_caught(gpu: Translated, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step beyond a tensor, though the bytes there are the process's own: no kernel may use its last word."""
    memory = gpu.machine.memory
    monkeypatch.setattr(gpu.machine, "memory", lambda size, fill: memory(size, fill, hidden=4))
    with pytest.raises(
        DeviceError, match=r"reads 4 bytes out of bounds: \d+ bytes into the nearest allocation, of \d+"
    ):
        small(gpu)


def test_an_unknown_instruction_ends_the_translation() -> None:
    """With its line in nvcc's own file."""
    entry = entry_of("words_kernel")
    at = next(i for i, one in enumerate(entry.body) if not isinstance(one, str) and one.opcode.startswith("xor"))
    entry.body[at] = entry.body[at]._replace(opcode="xor.sat.b32")
    line = entry.body[at].line
    with pytest.raises(opcodes.PtxError, match=rf"kernels.ptx line {line}: the instruction .* is unknown: xor.sat.b32"):
        library([entry])


def test_machines_are_apart(gpu: Translated) -> None:
    """A fault of one launch is that launch's alone."""
    assert isinstance(gpu.machine, Machine)
    first = bits_of(small(gpu))
    with pytest.raises(RuntimeError, match="no PTX of nothing has been loaded"):
        gpu.machine.launch("nothing", 1, 32)
    assert bits_of(small(gpu)) == first
