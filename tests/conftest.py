"""What several test files share: the device under test, instruction sets, and a GPU, real or emulated.

    pytest                    the CPU; what needs a GPU runs on an emulated one, and on a real one if there is one
    pytest --device cuda      the whole suite on a GPU: `device="auto"` then means it
    pytest --device emulated  the same on the emulated one (slow: choose with -k)
    pytest --device ptx       the same on the kernels' PTX, translated (slower: choose files; needs nvcc, but no GPU)

RESMC_REQUIRE_GPU=1 makes an error of every skip for want of a GPU. `make test` runs in several processes, with
pytest-xdist, and `pytest` in one: no test needs what another has left.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from typing import Any

import emulated as emulation
import gallery_scripts
import numpy as np
import pytest
import sweeps
from numpy.typing import NDArray

import resmc.engine.cuda
from resmc import _native
from resmc._system.build import VARIABLE
from resmc.engine import native
from resmc.engine.devices import VARIABLE as DEVICE_VARIABLE
from resmc.engine.lowering import KernelNetwork

AVAILABLE = [name for name, _ in _native.instruction_sets()]
KNOWN = ["avx512", "avx2", "baseline"]
GPUS = ["emulated", "cuda"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", choices=["cpu", "cuda", "emulated", "ptx"], default="cpu", help="what 'auto' means")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        os.environ.pop("COLUMNS", None)  # set in pytest-xdist's workers, and heeded by the command line
    # A shell's background jobs ignore SIGINT, and so would the programs that tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    device = config.getoption("--device")
    if device == "cuda":
        reason = resmc.engine.cuda.why_no_cuda()
        if reason is not None:
            pytest.exit(f"--device cuda: {reason}", returncode=1)
    if device != "cpu":
        os.environ[DEVICE_VARIABLE] = "cuda"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, as some tests wait for processes; each worker takes half a gigabyte."""
    return min(len(os.sched_getaffinity(0)) + 1, 8)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--device") != "cpu":
        for item in items:
            if item.get_closest_marker("cpu"):
                item.add_marker(pytest.mark.skip(reason="of the CPU alone"))


def pytest_collection_finish() -> None:
    """What has been imported and collected lives to the end: the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()


def missing(reason: str) -> None:
    """Skips, or fails where a GPU is required."""
    if os.environ.get("RESMC_REQUIRE_GPU", "0") not in ("", "0"):
        pytest.fail(f"RESMC_REQUIRE_GPU is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def emulated_kernels() -> Any:
    """The kernels over emulated warps; torch's CPU tensors are their memory."""
    pytest.importorskip("torch")
    if not emulation.can_compile():
        pytest.skip("no C++ compiler or Python headers to compile the emulated GPU with")
    return emulation.module().kernels


def imitated(request: pytest.FixtureRequest) -> Any:
    """The GPU without hardware: emulated warps or, with --device ptx, the kernels' own PTX."""
    if request.config.getoption("--device") != "ptx":
        return emulation.Emulated(request.getfixturevalue("emulated_kernels"))
    pytest.importorskip("torch")
    import translated

    if (reason := translated.why_no_kernels()) is not None:
        pytest.skip(reason)
    return translated.Translated()


@pytest.fixture(scope="session", autouse=True)
def device_under_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """With --device emulated or ptx, every simulation on a GPU is one on that."""
    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption("--device") in ("emulated", "ptx"):
            accelerator = imitated(request)
            patch.setattr(resmc.engine.cuda, "open_cuda", lambda ordinal: accelerator)
        yield


def open_gpu(name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The emulated GPU or a real one, made the one that device="cuda" means; PTX runs in the place of the former."""
    device = request.config.getoption("--device")
    if device not in ("cpu", name) and (device, name) != ("ptx", "emulated"):
        pytest.skip(f"--device {device}")
    if name == "cuda":
        reason = resmc.engine.cuda.why_no_cuda()
        if reason is not None:
            missing(reason)
        return resmc.engine.cuda.open_cuda(None)
    accelerator = imitated(request)
    monkeypatch.setattr(resmc.engine.cuda, "open_cuda", lambda ordinal: accelerator)
    return accelerator


@pytest.fixture(params=GPUS)
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The emulated GPU and a real one in turn."""
    return open_gpu(request.param, request, monkeypatch)


@pytest.fixture(params=[*KNOWN, *(name for name in AVAILABLE if name not in KNOWN), *GPUS])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every instruction set and GPU in turn, made the one that `resmc.simulate` uses; skipped where there is none."""
    name, device = request.param, request.config.getoption("--device")
    if device != "cpu" and name not in GPUS:
        pytest.skip(f"--device {device}")
    if name in GPUS:
        monkeypatch.setenv(DEVICE_VARIABLE, "cuda")
        return open_gpu(name, request, monkeypatch)
    if name not in AVAILABLE:
        pytest.skip(f"this machine has no {name}")
    monkeypatch.setenv(VARIABLE, name)
    return name


def words_of(backend: Any, *counter: int) -> NDArray[np.uint32]:
    """The four words of one counter (seed, stream, layer, network, input, quad) on an instruction set or a GPU."""
    if isinstance(backend, str):
        return _native.words(backend, *counter)
    out = backend.torch.zeros(4, dtype=backend.torch.int32, device=backend.device)
    backend.kernels.words(*counter, out.data_ptr(), backend.ordinal, backend.stream())
    return np.asarray(out.cpu().numpy().view(np.uint32))


def normals_of(backend: Any, words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """The normals (n, 4) of words (n, 4), likewise."""
    if isinstance(backend, str):
        return _native.normals(backend, words)
    there = backend.torch.from_numpy(np.ascontiguousarray(words).view(np.int32)).to(backend.device)
    out = backend.torch.zeros(there.shape, dtype=backend.torch.float32, device=backend.device)
    backend.kernels.normals(there.data_ptr(), len(words), out.data_ptr(), backend.ordinal, backend.stream())
    return np.asarray(out.cpu().numpy())


def draw_of(backend: Any, network: KernelNetwork, seed: int, networks: int) -> float:
    """The sum of all normals that so many networks draw, likewise."""
    if isinstance(backend, str):
        return _native.draw(backend, native.plain(network), seed, networks)
    sums = backend.torch.zeros(-(-networks // 128) * 128, dtype=backend.torch.float32, device=backend.device)
    backend.kernels.draw(network, seed, 1, networks, sums.data_ptr(), backend.ordinal, backend.stream())
    return float(sums[:networks].sum())


@pytest.fixture(scope="session")
def small_shards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The shards of `sweeps.small`, from one thread."""
    store = tmp_path_factory.mktemp("small") / "store"
    assert sweeps.small().run(store, workers=1, progress=False).complete
    return sweeps.contents(store)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gallery_scripts.Scripts]:
    """All scripts of the gallery, each run when it is asked for."""
    yield from gallery_scripts.running(tmp_path_factory)
