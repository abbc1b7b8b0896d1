"""What `device=` may be, and the sentence that says why there is no GPU: no stack trace, nothing done on the CPU."""

from __future__ import annotations

import importlib
import json
import math
import os
import runpy
import sys
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import DeviceError, ResNet, _native
from resmc.engine import gpus
from resmc.engine.cuda.kernels import Kernels
from resmc.engine.devices import VARIABLE as DEVICE_VARIABLE
from resmc.engine.devices import parse

device_module = importlib.import_module("resmc.engine.cuda.device")
HALF = math.sqrt(0.5)


def test_devices_are_parsed() -> None:
    torch = pytest.importorskip("torch")
    assert parse("cpu") == ("cpu", None)
    assert parse("cuda") == ("cuda", None)
    assert parse("cuda:3") == ("cuda", 3)
    assert parse(torch.device("cuda:1")) == ("cuda", 1)
    assert parse(torch.device("cuda")) == ("cuda", None)
    assert parse(torch.device("cpu")) == ("cpu", None)


@pytest.mark.parametrize(
    "device",
    [
        np.array(["cpu"] * 2),
        "cuda:\u0661",
        "gpu",
        "CUDA",
        "cuda:",
        "cuda:-1",
        "cuda:x",
        "cuda:1 ",
        "mps",
        0,
        None,
        "",
        3.5,
    ],
)
def test_other_devices_are_refused_with_what_is_allowed(device: Any) -> None:
    with pytest.raises(ValueError, match=r"device=.* is not allowed: it must be 'auto', 'cpu', 'cuda'"):
        resmc.simulate(ResNet(4, 2, HALF, HALF), networks=4, device=device)


def test_auto_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    assert parse("auto") == ("cpu", None)
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda:1")
    assert parse("auto") == ("cuda", 1)
    monkeypatch.setenv(DEVICE_VARIABLE, "")
    assert parse("auto") == ("cpu", None)
    monkeypatch.setenv(DEVICE_VARIABLE, "tpu")
    with pytest.raises(ValueError, match="RESMC_DEVICE='tpu' is not allowed"):
        parse("auto")


class FakeKernels:
    """What a build with kernels would find on some machine."""

    architectures = "80-real 90"

    def __init__(self, devices: int = 0, driver: int = 13000, error: str = "", **properties: Any) -> None:
        self.found = {"driver": driver, "runtime": 13000, "devices": devices, "error": error}
        self.properties_found = {
            "name": "NVIDIA Example", "capability": (9, 0), "multiprocessors": 10, "memory": 1 << 33,
            "shared_block": 232448, "shared_multiprocessor": 233472, **properties,
        }  # fmt: skip
        self.state = ""

    def driver(self) -> dict[str, Any]:
        return self.found

    def properties(self, device: int) -> dict[str, Any]:
        return self.properties_found

    def failure(self, device: int) -> str:
        return self.state


class FakeTorch:
    """As much of torch with CUDA as `open_cuda` looks at."""

    __version__ = "2.99"

    class version:
        cuda: str | None = "13.0"

    class cuda:
        OutOfMemoryError = MemoryError
        init = staticmethod(lambda: None)
        current_device = staticmethod(lambda: 0)
        _is_in_bad_fork = staticmethod(lambda: False)

        device = staticmethod(lambda ordinal: nullcontext())

    device = staticmethod(lambda kind, index: f"{kind}:{index}")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """machine(kernels, torch): what `open_cuda` finds; torch=None: it is not installed."""

    def set_up(kernels: Any, torch: Any = FakeTorch) -> None:
        for module in (device_module, gpus):
            monkeypatch.setattr(module, "cuda_kernels", lambda: None if kernels is None else Kernels(kernels))
        monkeypatch.setattr(device_module, "_owner", None)
        monkeypatch.setitem(sys.modules, "torch", torch)  # None: importing it fails

    return set_up


def refusal(ordinal: int | None = None) -> str:
    with pytest.raises(DeviceError) as caught:
        device_module.open_cuda(ordinal)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_reason_for_no_gpu_has_a_sentence_of_its_own(machine: Any) -> None:
    class CpuTorch(FakeTorch):
        class version:
            cuda = None

    sentences = []
    for kernels, torch, words in (
        (None, FakeTorch, "built without CUDA kernels"),
        (FakeKernels(driver=0, error="cudaErrorInsufficientDriver, .."), FakeTorch, "no NVIDIA driver"),
        (
            FakeKernels(error="cudaErrorNoDevice, no CUDA-capable device"),
            FakeTorch,
            r"finds no device (cudaErrorNoDevice",
        ),
        (FakeKernels(driver=12020, error="cudaErrorInsufficientDriver, .."), FakeTorch, "supports CUDA 12.2, and this"),
        (FakeKernels(devices=1), None, "PyTorch is not installed"),
        (FakeKernels(devices=1), CpuTorch, "was built without CUDA: install one"),
    ):
        machine(kernels, torch)
        sentences.append(refusal())
        assert words in sentences[-1]
        assert sentences[-1].startswith("device='cuda' is not available: ")
    assert len(set(sentences)) == 6


def test_a_wrong_ordinal_names_those_there_are(machine: Any) -> None:
    machine(FakeKernels(devices=1))
    assert "device='cuda:1' is not available: this machine has cuda:0" in refusal(1)
    machine(FakeKernels(devices=4))
    assert "this machine has cuda:0 to cuda:3" in refusal(4)
    assert device_module.open_cuda(3).ordinal == 3


def test_an_architecture_that_was_not_built_is_named(machine: Any) -> None:
    machine(FakeKernels(devices=1, capability=(7, 5)))
    sentence = refusal()
    for words in ("NVIDIA Example", "architecture 75", "built for 80-real 90", "RESMC_CUDA_ARCHITECTURES=75"):
        assert words in sentence


@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        ("80-real 90", (9, 0), True), ("80-real 90", (8, 0), True), ("80-real 90", (8, 9), True),
        ("80-real 90", (10, 0), True), ("80-real 90-real", (10, 0), False), ("90", (8, 9), False),
        ("86-real", (8, 0), False), ("90-virtual", (9, 0), True), ("75-real", (8, 0), False), ("120", (12, 1), True),
        ("native", (3, 5), True), ("100-real", (10, 3), True),
    ],
)  # fmt: skip
def test_machine_code_and_ptx_run_where_they_can(architectures: str, capability: tuple[int, int], runs: bool) -> None:
    assert device_module.runs_on(architectures, capability) == runs


def test_a_gpu_that_does_not_answer_is_a_line_of_doctor(machine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from resmc.cli import main

    class Broken(FakeKernels):
        def properties(self, device: int) -> dict[str, Any]:
            raise _native.KernelError("kernel 'properties': cudaErrorUnknown, unknown error")

    machine(Broken(devices=1))
    assert main(["doctor"]) == 0
    assert "cuda:0: kernel 'properties': cudaErrorUnknown" in capsys.readouterr().out


def test_a_lost_context_says_to_start_a_new_process(machine: Any) -> None:
    kernels = FakeKernels(devices=1)
    kernels.state = "cudaErrorIllegalAddress, an illegal memory access was encountered"
    machine(kernels)
    assert "cudaErrorIllegalAddress" in refusal()
    assert "start a new process" in refusal()


def test_devices_that_are_gone_after_an_error_say_to_start_a_new_process(machine: Any) -> None:
    kernels = FakeKernels(devices=1)
    machine(kernels)
    device_module.open_cuda(None)
    kernels.found |= {"devices": 0, "error": "cudaErrorIllegalAddress, an illegal memory access was encountered"}
    assert "finds no device any more (cudaErrorIllegalAddress" in refusal()
    assert refusal().endswith("start a new process")


def test_torch_s_own_words_for_a_lost_context_say_so_too(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def illegal(ordinal: int) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")

    kernels = FakeKernels(devices=1)
    machine(kernels)
    monkeypatch.setattr(FakeTorch.cuda, "device", staticmethod(illegal))
    assert refusal().endswith("cannot be used: CUDA error: an illegal memory access was encountered")
    kernels.state = "cudaErrorIllegalAddress"
    assert refusal().endswith("encountered; this process has lost its CUDA context: start a new process")


def test_a_fork_of_a_process_that_used_cuda_is_refused(machine: Any) -> None:
    machine(FakeKernels(devices=1))
    device_module.open_cuda(None)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:  # the child: says what happens, and is gone
        try:
            device_module.open_cuda(None)
            answer = "no error"
        except DeviceError as error:
            answer = str(error)
        os.write(write, answer.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    assert "fork of one that has used CUDA" in answer
    assert "spawn" in answer


def test_a_device_that_the_environment_asks_for_is_not_blamed_on_the_caller(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(FakeKernels())
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda")
    with pytest.raises(DeviceError, match=r"\(RESMC_DEVICE asks for it\)"):
        resmc.simulate(ResNet(4, 2, HALF, HALF), networks=4)


@pytest.mark.cpu
def test_nothing_is_computed_on_the_cpu_when_cuda_was_asked_for(monkeypatch: pytest.MonkeyPatch, machine: Any) -> None:
    machine(FakeKernels())

    def computed(*arguments: Any) -> None:
        raise AssertionError("the CPU's kernels were called")

    monkeypatch.setattr(_native, "simulate", computed)
    with pytest.raises(DeviceError):
        resmc.simulate(ResNet(4, 2, HALF, HALF), networks=4, device="cuda")


def test_the_command_line_says_it_in_a_sentence(machine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from resmc.cli import main

    machine(FakeKernels())
    assert main(["simulate", "--width", "4", "--depth", "2", "--networks", "4", "--device", "cuda"]) == 2
    assert capsys.readouterr().err.startswith("resmc: device='cuda' is not available: ")


def test_doctor_shows_kernels_driver_and_devices(machine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from resmc.cli import main

    machine(FakeKernels(devices=2, capability=(7, 5)))
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "CUDA kernels: built for 80-real 90, runtime 13.0, driver 13.0" in out
    assert "cuda:1: NVIDIA Example, architecture 75, 10 multiprocessors, 9 GB, NO KERNELS BUILT FOR IT" in out
    assert "device='cuda': available" in out
    machine(None)
    assert main(["doctor"]) == 0
    assert "device='cuda': not available: this resmc was built without CUDA kernels" in capsys.readouterr().out


def test_doctor_says_the_same_as_json(machine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from resmc.cli import main

    machine(FakeKernels(devices=2, capability=(7, 5)))
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["version"], found["instruction_sets"]) == (
        resmc.build_info()["version"],
        list(resmc.build_info()["instruction_sets"]),
    )
    assert [gpu["name"] for gpu in found["gpus"]] == ["NVIDIA Example"] * 2
    assert found["packages"]["numpy"] == np.__version__


def test_the_package_run_as_a_program_is_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["resmc", "doctor", "--json"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("resmc", run_name="__main__")
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["version"] == resmc.build_info()["version"]
