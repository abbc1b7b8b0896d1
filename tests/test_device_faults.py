"""What goes wrong on a GPU: too little memory, an error in a kernel, an interrupt. On an emulated one with planted
faults, and on a real one where there is one.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from typing import Any

import numpy as np
import pytest
from conftest import missing
from numpy.typing import NDArray
from test_cuda import on_cpu, on_gpu

import resmc
import resmc.engine.cuda
from resmc import DeviceError, ResNet, _native
from resmc.engine.cuda.raw import Raw
from resmc.engine.cuda.tally import DeviceTally
from resmc.results.kept import host

HALF = math.sqrt(0.5)


class Wrapped:
    """An emulated GPU of which one thing is different."""

    def __init__(self, accelerator: Any, **changed: Any) -> None:
        self.accelerator = accelerator
        self.__dict__.update(changed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.accelerator, name)


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch, emulated_kernels: Any) -> Any:
    """emulated(..): makes device="cuda" an emulated GPU with these attributes changed."""
    from emulated import Emulated

    def set_up(**changed: Any) -> Any:
        accelerator = Wrapped(Emulated(emulated_kernels), **changed)
        monkeypatch.setattr(resmc.engine.cuda, "open_cuda", lambda ordinal: accelerator)
        return accelerator

    return set_up


class SmallMemory:
    """torch whose allocations fail while the tensors that are still alive would exceed ``limit`` bytes."""

    def __init__(self, torch: Any, limit: int, error: type[Exception]) -> None:
        self.torch, self.limit, self.error = torch, limit, error
        self.tensors: list[weakref.ref[Any]] = []
        self.failures = 0

    def used(self) -> int:
        alive = [tensor for tensor in (reference() for reference in self.tensors) if tensor is not None]
        return sum(tensor.numel() * tensor.element_size() for tensor in alive)

    def __getattr__(self, name: str) -> Any:
        made = getattr(self.torch, name)
        if name not in ("empty", "zeros"):
            return made

        def allocate(*size: Any, **options: Any) -> Any:
            tensor = made(*size, **options)
            if self.used() + tensor.numel() * tensor.element_size() > self.limit:
                self.failures += 1
                raise self.error("out of memory")
            self.tensors.append(weakref.ref(tensor))
            return tensor

        return allocate


def test_too_little_memory_makes_smaller_chunks(emulated: Any) -> None:
    model = ResNet(8, 20, HALF, HALF)
    expected = on_cpu(model, 5000)
    accelerator = emulated()
    # A chunk of all takes 8.5 MB; 3.5 MB are of the groups and of no chunk.
    accelerator.torch = SmallMemory(accelerator.accelerator.torch, 5_000_000, accelerator.out_of_memory)
    sim = on_gpu(model, 5000)
    assert accelerator.torch.failures >= 1
    np.testing.assert_array_equal(sim.alive, expected.alive)
    np.testing.assert_allclose(sim.log_norm_mean.value, expected.log_norm_mean.value, atol=1e-5)


def test_too_little_memory_for_the_smallest_chunk_says_how_much_is_needed(emulated: Any) -> None:
    accelerator = emulated()
    accelerator.torch = SmallMemory(accelerator.accelerator.torch, 100_000, accelerator.out_of_memory)
    with pytest.raises(
        DeviceError, match=r"too little memory: .* GB are needed for \d+ networks at a time, 21 recorded"
    ):
        on_gpu(ResNet(8, 20, HALF, HALF), 5000)


@pytest.mark.parametrize(("kernel", "named"), [("simulate", "simulate"), ("reduce", "reduce"), ("raw", "raw")])
def test_a_kernel_that_cannot_be_launched_is_named(emulated: Any, kernel: str, named: str) -> None:
    accelerator = emulated()

    def fail(*arguments: Any) -> None:
        raise _native.KernelError(f"kernel '{named}': cudaErrorInvalidValue, invalid argument")

    accelerator.kernels = Wrapped(accelerator.accelerator.kernels, **{kernel: fail})
    with pytest.raises(DeviceError, match=f"kernel '{named}': cudaErrorInvalidValue.*the device can be used again"):
        on_gpu(ResNet(8, 3, HALF, HALF), 50, keep_samples=5)


def test_an_error_inside_a_kernel_names_it_and_the_lost_context(emulated: Any) -> None:
    """As torch reports it: at the first event after it, in several lines."""

    class Failed:
        def query(self) -> bool:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ..\n")

    emulated(record=Failed, failure=lambda: "cudaErrorIllegalAddress, ..")
    with pytest.raises(DeviceError) as caught:
        on_gpu(ResNet(8, 3, HALF, HALF), 50)
    sentence = str(caught.value)
    assert "an illegal memory access was encountered, in kernel 'simulate'" in sentence
    assert "this process has lost its CUDA context: start a new process" in sentence
    assert "\n" not in str(caught.value)


def test_an_error_that_shows_later_is_not_blamed_on_the_next_kernel(emulated: Any) -> None:
    """An access in `simulate` may show when `reduce` is launched: both are named, the first one first."""
    accelerator = emulated(failure=lambda: "cudaErrorIllegalAddress, ..")

    def fail(*arguments: Any) -> None:
        raise _native.KernelError("kernel 'reduce': cudaErrorIllegalAddress, an illegal memory access was encountered")

    class Running:
        def query(self) -> bool:
            return False

    accelerator.record = Running
    accelerator.kernels = Wrapped(accelerator.accelerator.kernels, reduce=fail)
    with pytest.raises(
        DeviceError, match=r"illegal memory .* in kernel 'simulate' or one after it \(reduce\); this process"
    ):
        on_gpu(ResNet(8, 3, HALF, HALF), 50)


ILLEGAL = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ..\n"
LOST = "an illegal memory access was encountered; this process has lost its CUDA context: start a new process"


def illegal(*_: Any, **__: Any) -> Any:
    raise RuntimeError(ILLEGAL)


@pytest.mark.parametrize("place", ["results", "law", "samples on the device"])
def test_an_error_that_shows_after_the_last_kernel_says_so_too(
    emulated: Any, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Whoever touches the device next is told: copies, counts of final values, and what is kept there."""
    emulated(failure=lambda: "cudaErrorIllegalAddress, ..")
    settings: dict[str, Any] = {"keep_samples": 5}
    if place == "results":
        monkeypatch.setattr(Raw, "_to_numpy", illegal)
    elif place == "law":
        monkeypatch.setattr(DeviceTally, "_to_host", illegal)
        settings["gradients"] = True
    else:
        torch = pytest.importorskip("torch")
        monkeypatch.setattr(torch, "exp2", illegal)
        settings["keep_on_device"] = True
    with pytest.raises(DeviceError, match=LOST):
        on_gpu(ResNet(8, 3, HALF, HALF), 50, **settings)


def test_tensors_that_cannot_be_copied_any_more_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tensor:
        device = type("Device", (), {"index": 1, "__str__": lambda self: "cuda:1"})()
        cpu = illegal

    class Broken:
        def failure(self, ordinal: int) -> str:
            return f"cudaErrorIllegalAddress on {ordinal}"

    monkeypatch.setattr("resmc.engine.cuda.device.cuda_kernels", Broken)
    with pytest.raises(DeviceError, match=f"cuda:1: CUDA error: {LOST}"):
        host(Tensor())
    monkeypatch.setattr(Broken, "failure", lambda self, ordinal: "")
    with pytest.raises(DeviceError, match=r"cuda:1: CUDA error: an illegal memory access was encountered$"):
        host(Tensor())


def test_a_caller_s_own_error_stays_what_it_is(gpu: Any) -> None:
    def fail(done: int, total: int) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine") as caught:
        on_gpu(ResNet(8, 3, HALF, HALF), 50, progress=fail)
    assert not isinstance(caught.value, DeviceError)


def test_an_interrupt_stops_the_device_and_waits_for_it(emulated: Any) -> None:
    waited = []

    class Interrupted:
        def query(self) -> bool:
            raise KeyboardInterrupt

    words: list[NDArray[np.int32]] = []

    def host_words(count: int) -> Any:
        made = accelerator.accelerator.host_words(count)
        words.append(made[1])
        return made

    accelerator = emulated(record=Interrupted, synchronize=lambda: waited.append(True), host_words=host_words)
    with pytest.raises(KeyboardInterrupt):
        on_gpu(ResNet(8, 3, HALF, HALF), 50)
    assert waited
    assert words[0][0] == 1


def test_a_running_kernel_stops_when_it_is_told(emulated: Any) -> None:
    """A launch of minutes ends soon after the word is set, in teams and in blocks of several warps."""
    accelerator = emulated()
    for width in (8, 4096):
        words: list[NDArray[np.int32]] = []

        def host_words(count: int, words: list[NDArray[np.int32]] = words) -> Any:
            made = accelerator.accelerator.host_words(count)
            words.append(made[1])
            return made

        accelerator.host_words = host_words
        thread = threading.Thread(
            target=on_gpu, args=(ResNet(width, 1_000_000, HALF, HALF), 32), kwargs={"layers": [0]}
        )
        thread.start()
        while not words:
            time.sleep(0.01)
        time.sleep(0.5)
        progressed = int(words[0][1])
        words[0][0] = 1
        thread.join(20.0)
        assert not thread.is_alive()
        assert 0 < progressed < 1_000_000


# ----------------------------------------------------------------------------------------------------------- a real GPU

PREAMBLE = """
import signal, sys, threading, time
import resmc
from resmc import DeviceError, ResNet
model = ResNet(192, 200, 0.5, 0.5)
"""


def in_a_new_process(code: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
    reason = resmc.engine.cuda.why_no_cuda()
    if reason is not None:
        missing(reason)
    source = PREAMBLE + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=timeout)


def test_an_interrupt_ends_a_long_run_on_a_gpu_within_a_second() -> None:
    done = in_a_new_process(
        """
        import os
        resmc.simulate(model, networks=1000, device="cuda")  # what is slow the first time only
        def interrupt():
            global begin
            time.sleep(2.0)
            begin = time.monotonic()
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            resmc.simulate(ResNet(192, 1_000_000, 0.5, 0.5), networks=10**7, device="cuda", layers=[0], progress=False)
        except KeyboardInterrupt:
            print("interrupted after", time.monotonic() - begin)
        print(resmc.simulate(model, networks=1000, device="cuda").networks)
        """
    )
    assert done.returncode == 0, done.stderr
    alone = "PYTEST_XDIST_WORKER" not in os.environ  # else other tests use the GPU as well
    assert float(done.stdout.split()[2]) < (1.0 if alone else 4.0)
    assert done.stdout.split()[3] == "1000"


def test_an_illegal_access_on_a_gpu_is_named_and_the_next_call_says_that_the_context_is_lost() -> None:
    done = in_a_new_process(
        """
        from resmc.engine.cuda.buffers import Buffers
        pointers = Buffers.simulate_pointers
        Buffers.simulate_pointers = lambda self, offset: pointers(self, offset) | {"square": 8}
        for _ in range(2):
            try:
                resmc.simulate(model, networks=1000, device="cuda")
            except DeviceError as error:
                print(error)
        """
    )
    first, second = done.stdout.splitlines()
    assert "illegal" in first
    assert "in kernel 'simulate'" in first
    assert "start a new process" in second


def test_a_gpu_s_memory_that_is_taken_makes_smaller_chunks() -> None:
    done = in_a_new_process(
        """
        import torch
        free, total = torch.cuda.mem_get_info()
        torch.cuda.set_per_process_memory_fraction(min(1.0, 0.6e9 / total))
        print(resmc.simulate(ResNet(8, 500, 0.5, 0.5), networks=200_000, device="cuda").networks)
        torch.cuda.set_per_process_memory_fraction(min(1.0, 0.05e9 / total))
        torch.cuda.empty_cache()
        try:
            resmc.simulate(ResNet(8, 500, 0.5, 0.5), networks=200_000, device="cuda")
        except DeviceError as error:
            print(error)
        """
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "200000", done.stderr
    assert "memory" in lines[1]


def test_work_is_put_on_the_current_stream() -> None:
    done = in_a_new_process(
        """
        import torch
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            there = resmc.simulate(model, networks=5000, device="cuda", keep_samples=5000, keep_on_device=True)
            total = there.samples.log_norm.sum()
        here = resmc.simulate(model, networks=5000, device=torch.device("cuda:0"), keep_samples=5000)
        print(abs(float(total) - here.samples.log_norm.sum()) < 1e-6)
        """
    )
    assert done.stdout.split() == ["True"], done.stderr
