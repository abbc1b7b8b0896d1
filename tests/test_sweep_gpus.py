"""Each worker process takes a GPU of its own, before CUDA starts, and holds it for life. The GPUs here are names."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweeps import small

import resmc
from resmc.sweep import gpus
from resmc.sweep.compute import Task, compute
from resmc.sweep.shards import Shard

pytestmark = pytest.mark.cpu

# Says which GPU it has, and what it sees, then lives until its input ends.
HOLDER = """\
import os, sys
from pathlib import Path
from resmc.sweep.gpus import pin
print(pin(sys.argv[2], Path(sys.argv[1])), os.environ.get("CUDA_VISIBLE_DEVICES"), "torch" in sys.modules, flush=True)
sys.stdin.read()
"""


class Holders:
    """Processes that each ask for a GPU of one folder of locks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, device: str = "cuda", visible: str = "0,1,2") -> str:
        """What a new process says."""
        path = str(Path(resmc.__file__).parents[1])
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(self.folder), device], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=os.environ | {"CUDA_VISIBLE_DEVICES": visible, "PYTHONPATH": path},
        )  # fmt: skip
        self.processes.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def kill(self, number: int) -> None:
        self.processes[number].send_signal(signal.SIGKILL)
        self.processes[number].wait()


@pytest.fixture
def holders(tmp_path: Path) -> Iterator[Holders]:
    found = Holders(tmp_path / "locks")
    yield found
    for process in found.processes:
        process.kill()
        process.communicate()


@pytest.fixture
def nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not asked for a GPU yet."""
    monkeypatch.setattr(gpus, "_held", None)
    monkeypatch.setenv(gpus.VISIBLE, "0,1,2")


def test_processes_take_a_gpu_each_and_the_next_shares_one(holders):
    taken = [holders.start() for _ in range(3)]
    assert taken == ["0 0 False", "1 1 False", "2 2 False"]  # and CUDA sees that one alone; torch was not imported
    assert holders.start() in taken


def test_a_gpu_is_free_again_when_its_process_has_ended_however_it_did(holders):
    assert [holders.start() for _ in range(3)] == ["0 0 False", "1 1 False", "2 2 False"]
    holders.kill(1)
    assert holders.start() == "1 1 False"


def test_names_of_gpus_may_be_anything_that_cuda_takes(holders):
    names = "GPU-8932f937-d72c,MIG-GPU-8932f937/1/0"
    assert [holders.start(visible=names).split()[0] for _ in range(2)] == names.split(",")


@pytest.mark.parametrize(
    ("device", "visible"), [("cpu", "0,1,2"), ("auto", "0,1,2"), ("cuda:1", "0,1,2"), ("cuda", "1"), ("cuda", "")]
)
def test_where_there_is_nothing_to_choose_nothing_is_done(device, visible, monkeypatch, tmp_path, nothing_held):
    monkeypatch.setenv(gpus.VISIBLE, visible)
    assert gpus.pin(device, tmp_path / "locks") is None
    assert os.environ[gpus.VISIBLE] == visible
    assert not (tmp_path / "locks").exists()


def test_a_process_that_has_a_gpu_keeps_it(tmp_path, nothing_held, monkeypatch):
    assert gpus.pin("cuda", tmp_path / "locks") == "0"
    monkeypatch.setenv(gpus.VISIBLE, "0,1,2")
    assert gpus.pin("cuda", tmp_path / "locks") is None
    gpus._held.close()


def test_a_process_that_uses_cuda_already_is_left_alone(tmp_path, nothing_held, monkeypatch):
    class Torch:
        class cuda:
            is_initialized = staticmethod(lambda: True)

    monkeypatch.setitem(sys.modules, "torch", Torch)
    assert gpus.pin("cuda", tmp_path / "locks") is None
    assert os.environ[gpus.VISIBLE] == "0,1,2"


def test_gpus_are_counted_without_starting_cuda(tmp_path, monkeypatch):
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.setattr(gpus, "DRIVER", tmp_path)
    assert gpus.visible() == []
    for bus in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / bus).mkdir()
    assert gpus.visible() == ["0", "1"]
    monkeypatch.setattr(gpus, "DRIVER", tmp_path / "nothing")
    assert gpus.visible() == []


COMPUTE = """\
import os, sys
from resmc.sweep import compute
from resmc.sweep.point import Point
from resmc.sweep.shards import Shard
from resmc import ResNet

def run(*arguments, **options):  # in place of a GPU: what CUDA would find, were it started here
    print(os.environ["CUDA_VISIBLE_DEVICES"], "torch" in sys.modules)
    raise SystemExit

compute.run = run
point = Point(ResNet(8, 4, 0.6, 0.8), 0, "projected", 32, False, 32)
compute.compute(compute.Task("nowhere", Shard(point, 0, 32), "cuda", 1, pin=sys.argv[1] == "pin"))
"""


@pytest.mark.parametrize(("pin", "seen"), [("pin", r"^[012] False$"), ("no", "^0,1,2 False$")])
def test_a_task_takes_its_gpu_before_anything_imports_torch(pin, seen, tmp_path):
    path = str(Path(resmc.__file__).parents[1])
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "0,1,2", "PYTHONPATH": path, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPUTE, pin], text=True, stdout=subprocess.PIPE, env=env, check=True)
    assert re.search(seen, done.stdout.strip())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_engines_ask_for_it_where_workers_are_processes_on_gpus(device, nothing_held):
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    from resmc.sweep.engines import Processes, open_engine

    with ThreadPoolExecutor(1) as threads, ProcessPoolExecutor(1) as pool:
        assert open_engine(pool, None, None, device).pin == (device == "cuda")
        assert not open_engine(threads, None, None, device).pin  # it would hide GPUs from the caller
    own = open_engine(None, None, None, device)
    assert not own.pin  # threads of one process share its GPUs
    own.close()
    processes: Any = open_engine("processes", None, None, device)
    assert isinstance(processes, Processes)
    assert processes.workers == (3 if device == "cuda" else len(os.sched_getaffinity(0)))
    processes.close()


def test_pinning_changes_nothing_on_the_cpu(tmp_path):
    plan = small(networks=100)
    (tmp_path / "shards").mkdir()
    done = compute(Task(str(tmp_path), Shard(plan.point(0, 100), 0, 100), "cpu", 1, pin=True))
    assert done.stored.range == (0, 100)
