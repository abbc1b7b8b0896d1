"""Several `resmc worker` processes on one store, as a job array starts them: killed, late, told to end, all share."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sweeps import contents, finish, small, start

from resmc import Sweep, load_sweep
from resmc.cli import main
from resmc.sweep import Store
from resmc.sweep.claims import Claims

pytestmark = pytest.mark.cpu
EXAMPLES = Path(__file__).parents[1] / "examples"
LONGEST = 60.0  # seconds that anything here is waited for


class Jobs:
    """A prepared store, its workers, and shards that are kept from them as if another host were at them.

    What is kept back decides how far the workers get, not how fast they are.
    """

    def __init__(self, store: Path) -> None:
        self.plan: Sweep = small()
        self.store = Store(store)
        self.store.create()
        self.store.write_plan(self.plan.to_dict())
        self.processes: list[subprocess.Popen[str]] = []
        self.kept: list[Path] = []
        self.files: dict[str, tuple[int, int]] = {}

    def keep_back(self, names: list[str]) -> None:
        """Claims them for a host that never ends."""
        for name in names:
            path = self.store.claims / name
            path.write_text("00000000-1", encoding="ascii")
            os.utime(path, (time.time() + 1e6,) * 2)
            self.kept.append(path)

    def release(self, count: int) -> list[str]:
        """Lets the workers have so many of them."""
        released, self.kept = self.kept[:count], self.kept[count:]
        for path in released:
            path.unlink()
        return [path.name for path in released]

    def start(self) -> subprocess.Popen[str]:
        self.processes.append(start("worker", self.store.path, "--workers", 1, "--quiet"))
        return self.processes[-1]

    def freeze(self, process: subprocess.Popen[str]) -> None:
        """Stops it where it is; when this returns, it has stopped."""
        os.kill(process.pid, signal.SIGSTOP)
        status = Path(f"/proc/{process.pid}/stat")
        self.wait(lambda: status.read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T")

    def wait(self, reached: Callable[[], Any]) -> None:
        until = time.monotonic() + LONGEST
        while not reached():
            assert time.monotonic() < until, [p.poll() for p in self.processes]
            self.watch()
            time.sleep(0.01)
        self.watch()

    def watch(self) -> None:
        """A file that is there is never written again: nobody computes what another has, or is at."""
        for path in self.store.shards.rglob("*.resmc"):
            status = path.stat()
            identity = status.st_ino, status.st_mtime_ns
            assert self.files.setdefault(path.name, identity) == identity

    def there(self) -> set[str]:
        """Names of the shards that are finished, as claims name them."""
        return {path.name.rpartition("-cpu")[0] for path in self.store.shards.rglob("*.resmc")}

    def claimed_by(self, process: subprocess.Popen[str]) -> bool:
        """Whether a worker is at something."""
        for path in self.store.claims.iterdir():
            try:
                if path.name[0] != "." and path.read_text(encoding="ascii").endswith(f"-{process.pid}"):
                    return True
            except FileNotFoundError:
                pass
        return False


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    found = Jobs(tmp_path / "store")
    yield found
    for process in found.processes:
        process.kill()
        process.communicate()


def names(small_shards: dict[str, bytes]) -> list[str]:
    return [name.rpartition("-cpu")[0] for name in small_shards]


def test_workers_share_a_store_whoever_is_killed_or_late(jobs, small_shards):
    everything = names(small_shards)
    jobs.keep_back(everything[40:])
    first, second = jobs.start(), jobs.start()
    jobs.wait(lambda: jobs.there() == set(everything[:40]))
    # Each of the two takes part: while the other is frozen, what is released is done all the same.
    for frozen in (first, second):
        jobs.freeze(frozen)
        released = jobs.release(10)
        jobs.wait(lambda wanted=set(released): wanted <= jobs.there())
        os.kill(frozen.pid, signal.SIGCONT)
    jobs.freeze(first)
    jobs.release(20)  # the second has these to itself, and is killed over them
    jobs.wait(lambda: jobs.claimed_by(second) or len(jobs.there()) >= 80)
    second.kill()
    assert second.wait() == -signal.SIGKILL
    os.kill(first.pid, signal.SIGCONT)
    jobs.wait(lambda: len(jobs.there()) == 80)
    late = jobs.start()
    jobs.release(len(jobs.kept))
    for process in (first, late):
        status, out, err = finish(process)
        assert (status, err) == (0, "")
        assert out == f"complete: 4 points, 80000 networks in {jobs.store.path}\n"
    jobs.watch()
    assert contents(jobs.store.path) == small_shards
    assert not list(jobs.store.claims.iterdir())


def test_a_worker_that_is_told_to_end_gives_back_what_it_claimed(jobs, small_shards):
    everything = names(small_shards)
    jobs.keep_back(everything[5:])
    worker = jobs.start()
    jobs.wait(lambda: jobs.there() == set(everything[:5]))
    worker.send_signal(signal.SIGTERM)  # as a queue does before it kills
    status, out, err = finish(worker)
    assert (status, out, err) == (128 + signal.SIGTERM, "", "")
    assert {path.name for path in jobs.store.claims.iterdir()} == {path.name for path in jobs.kept}
    jobs.release(len(jobs.kept))
    assert jobs.plan.run(jobs.store.path, progress=False).complete
    jobs.watch()
    assert contents(jobs.store.path) == small_shards


def test_status_counts_the_shards_that_living_workers_are_at(jobs, small_shards, capsys):
    jobs.keep_back(names(small_shards)[3:])
    worker = jobs.start()
    jobs.wait(lambda: len(jobs.there()) == 3 and Claims(jobs.store.claims).others() == len(jobs.kept))
    assert main(["status", str(jobs.store.path)]) == 0
    assert f"{len(jobs.kept)} being computed" in capsys.readouterr().out
    worker.kill()


def test_a_late_worker_finds_nothing_to_do(jobs):
    jobs.plan.run(jobs.store.path, progress=False)
    before = contents(jobs.store.path)
    assert main(["worker", str(jobs.store.path), "--quiet"]) == 0
    assert contents(jobs.store.path) == before
    assert load_sweep(jobs.store.path).complete


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_worker_says_in_a_sentence_why_it_cannot_work(jobs, device, capsys):
    assert main(["worker", str(jobs.store.path), "--device", device]) == 2
    assert capsys.readouterr().err.startswith(f"resmc: device={device!r} is not ")
    assert not list(jobs.store.claims.iterdir())


def test_a_worker_leaves_a_plan_that_has_been_prepared_meanwhile(tmp_path, monkeypatch):
    from resmc.sweep import coordinator

    store, longer, create = Store(tmp_path / "store"), small(networks=30_000), Store.create
    store.create()
    store.write_plan(small().to_dict())

    def prepare(self: Store) -> None:  # after the worker has read the plan
        create(self)
        self.write_plan(longer.to_dict())

    monkeypatch.setattr(coordinator.Store, "create", prepare)
    assert main(["worker", str(store.path), "--quiet"]) == 0
    assert Sweep.from_dict(store.read_plan()) == longer


def test_the_job_array_is_a_script_that_starts_a_worker(tmp_path):
    script = EXAMPLES / "job_array.sh"
    subprocess.run(["bash", "-n", script], check=True)
    stand_ins = {"srun": 'echo "$1"; shift; exec "$@"', "resmc": 'echo "$@"'}  # they say how they were called
    for name, body in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_CPUS_PER_TASK": "8"}
    called = subprocess.run(["bash", script, "runs/growth"], env=environment, text=True, capture_output=True)
    assert (called.returncode, called.stdout) == (0, "--cpus-per-task=8\nworker runs/growth --device cpu\n")
    called = subprocess.run(["bash", script], env=environment, text=True, capture_output=True)
    assert called.returncode != 0
    assert "usage: sbatch --array=0-99 job_array.sh STORE" in called.stderr
