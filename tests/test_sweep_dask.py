"""A sweep on a Dask cluster of real processes: the same bytes, whoever dies or joins; errors come out as sentences."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweeps import Enough, as_toml, contents, finish, small, start

from resmc import DeviceError, ResidualNetwork, Sweep, heat_map
from resmc.cli import main
from resmc.sweep import compute, coordinator

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.cpu

LONGEST = 60.0  # seconds that anything here is waited for


class Gate(distributed.WorkerPlugin):
    """In every worker, also in those that come later: what happens between a shard's computation and its file.

    The worker leaves its number in ``workers/``; dies, if there is a file in ``deaths/``, which it removes; and waits
    while ``wait`` exists and fewer workers than it says have come so far.
    """

    name = "gate"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def setup(self, worker: Any) -> None:
        self.to_bytes = compute.storage.to_bytes
        compute.storage.to_bytes = self.passed  # type: ignore[assignment]

    def teardown(self, worker: Any) -> None:
        compute.storage.to_bytes = self.to_bytes

    def passed(self, simulation: Any, trimmed: Any) -> bytes:
        (self.folder / "workers" / str(os.getpid())).touch()
        for death in (self.folder / "deaths").iterdir():
            try:
                death.unlink()
            except FileNotFoundError:
                continue  # another one died of it
            os.kill(os.getpid(), signal.SIGKILL)
        wait, until = self.folder / "wait", time.monotonic() + LONGEST
        while wait.exists() and time.monotonic() < until:
            if len(list((self.folder / "workers").iterdir())) >= int(wait.read_text(encoding="ascii")):
                break
            time.sleep(0.02)
        return self.to_bytes(simulation, trimmed)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster: Any) -> Iterator[Any]:
    with distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def gate(client: Any, tmp_path: Path) -> Iterator[Path]:
    """The folder of a `Gate` in every worker."""
    for name in ("workers", "deaths"):
        (tmp_path / name).mkdir()
    client.register_plugin(Gate(tmp_path))
    yield tmp_path
    with contextlib.suppress(KeyError):  # of a worker that has just been started anew
        client.unregister_worker_plugin("gate")


def left_on_the_scheduler(client: Any) -> list[str]:
    """The tasks of sweeps that it knows, once it has had the time to hear that nobody wants them."""
    until = time.monotonic() + LONGEST
    while True:
        found = client.run_on_scheduler(lambda dask_scheduler: [str(key) for key in dask_scheduler.tasks])
        found = [key for key in found if key.startswith("resmc")]
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.05)


def test_a_cluster_writes_the_same_bytes(client, tmp_path, small_shards):
    assert small().run(tmp_path / "store", engine=client, progress=False).complete
    assert contents(tmp_path / "store") == small_shards
    assert left_on_the_scheduler(client) == []
    assert client.submit(abs, -1).result() == 1  # the client is the caller's, and not closed


def test_a_cluster_takes_any_network_and_targets_of_any_quantity(client, tmp_path):
    plan = Sweep(
        block=["phi-in", "v-phi-w"], activation=["relu", "tanh"], width=4, depth=3, gradients=True,
        target_stderr={"gradient_displacement.median": 0.05}, max_networks=6000,
    )  # fmt: skip
    assert plan.run(tmp_path / "dask", engine=client, progress=False).complete
    assert plan.run(tmp_path / "here", progress=False).complete
    assert contents(tmp_path / "dask") == contents(tmp_path / "here")


def test_the_scheduler_computes_again_what_a_killed_worker_was_at(client, gate, small_shards):
    (gate / "deaths" / "1").touch()
    assert small().run(gate / "store", engine=client, progress=False).complete
    assert not list((gate / "deaths").iterdir())
    assert contents(gate / "store") == small_shards


def test_workers_that_join_are_given_work(cluster, client, gate, small_shards):
    (gate / "wait").write_text("3", encoding="ascii")  # nobody goes on before a third worker has a shard
    cluster.scale(3)
    assert small().run(gate / "store", engine=client, progress=False).complete
    assert len(list((gate / "workers").iterdir())) >= 3
    assert contents(gate / "store") == small_shards


def test_a_shard_that_the_scheduler_gives_up_is_submitted_again(
    cluster, client, gate, small_shards, monkeypatch, capsys
):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    (gate / "deaths" / "1").touch()
    plan = small(shard_updates=100_000)
    assert plan.run(gate / "store", engine=client, progress=None).complete
    assert "resmc: a worker has died; what it was at is computed again" in capsys.readouterr().err
    plan.run(gate / "alone", progress=False)
    assert contents(gate / "store") == contents(gate / "alone")


@pytest.mark.long  # the sentence is that of processes, which tests of kills ask for
def test_a_shard_that_kills_every_worker_ends_the_run_in_a_sentence(cluster, client, gate, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    monkeypatch.setattr(coordinator, "MOST_FAILURES", 1)
    for number in range(100):
        (gate / "deaths" / str(number)).touch()
    plan = small(width=8, ratio=1, shard_updates=1 << 40)  # one shard: a worker that dies takes seconds to come back
    with pytest.raises(RuntimeError, match=r"^a worker has died while computing width 8, depth 8: .* Finished shards"):
        plan.run(gate / "store", engine=client, progress=False)
    for death in (gate / "deaths").iterdir():
        death.unlink()
    assert left_on_the_scheduler(client) == []
    assert not list((gate / "store" / "claims").iterdir())
    client.wait_for_workers(2, timeout=LONGEST)
    assert plan.run(gate / "store", engine=client, progress=False).complete


@pytest.mark.long  # each worker imports torch
def test_a_device_that_is_not_there_is_a_sentence_and_the_client_stays_usable(client, tmp_path):
    with pytest.raises(DeviceError, match=r"^device='cuda:99' is not available: "):
        small().run(tmp_path / "store", engine=client, progress=False, device="cuda:99")
    assert left_on_the_scheduler(client) == []
    assert client.submit(abs, -1).result() == 1
    assert small(networks=1000).run(tmp_path / "store", engine=client, progress=False, replace=True).complete


def test_a_store_that_becomes_unwritable_is_a_sentence(client, tmp_path):
    store = tmp_path / "store"

    def break_it(done: int, in_all: int) -> None:
        while done and not (store / "shards").is_file():
            shutil.rmtree(store / "shards", ignore_errors=True)
            try:
                (store / "shards").touch(exist_ok=False)
            except OSError:
                continue  # a worker was quicker

    with pytest.raises(OSError, match="Not a directory"):  # a StoreError if a worker is the first to see it
        small().run(store, engine=client, progress=break_it)
    assert left_on_the_scheduler(client) == []


def test_nothing_of_a_stopped_run_stays_on_the_scheduler(client, tmp_path, small_shards):
    def stop(done: int, in_all: int) -> None:
        if done:
            raise Enough

    with pytest.raises(Enough):
        small().run(tmp_path / "store", engine=client, progress=stop)
    assert left_on_the_scheduler(client) == []
    assert not list((tmp_path / "store" / "claims").iterdir())
    assert small().run(tmp_path / "store", engine=client, progress=False).complete
    assert contents(tmp_path / "store") == small_shards


def test_shards_that_somebody_else_cancels_end_the_run_in_a_sentence(client, tmp_path):
    def cancel(done: int, in_all: int) -> None:
        if done:
            client.cancel([distributed.Future(key, client) for key in list(client.futures)], reason="tidied up")

    with pytest.raises(RuntimeError, match=r"^the Dask scheduler has dropped a shard \(tidied up\)\. Finished shards"):
        small().run(tmp_path / "store", engine=client, progress=cancel)
    assert left_on_the_scheduler(client) == []
    assert small(networks=1000).run(tmp_path / "store", engine=client, progress=False, replace=True).complete


def test_workers_beside_a_cluster_are_refused(client, tmp_path):
    with pytest.raises(ValueError, match="workers=2 is not allowed with an engine of your own"):
        small().run(tmp_path / "store", engine=client, workers=2)


# ----------------------------------------------------------------------------------------------------- the command line


def test_the_command_works_on_a_cluster(cluster, tmp_path, small_shards):
    (tmp_path / "plan.toml").write_text(as_toml(), encoding="utf-8")
    arguments = ("sweep", tmp_path / "plan.toml", "--store", tmp_path / "store", "--dask", cluster.scheduler_address)
    status, out, err = finish(start(*arguments, "--quiet"))
    assert (status, err) == (0, "")
    assert "width 16, ratio 1" in out
    assert contents(tmp_path / "store") == small_shards


@pytest.mark.parametrize("address", ["nonsense", pytest.param("127.0.0.1:x", marks=pytest.mark.long)])
def test_an_address_without_a_scheduler_is_a_sentence(address, tmp_path):
    (tmp_path / "plan.toml").write_text(as_toml(), encoding="utf-8")
    arguments = ("sweep", tmp_path / "plan.toml", "--store", tmp_path / "store", "--dask", address, "--quiet")
    status, out, err = finish(start(*arguments))
    assert (status, out) == (2, "")
    assert re.fullmatch(f"resmc: --dask {re.escape(address)}: no scheduler answers there .*\n", err)


def test_a_scheduler_that_does_not_answer_is_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("resmc.cli.sweep.DASK_TIMEOUT", 0.5)
    (tmp_path / "plan.toml").write_text(as_toml(), encoding="utf-8")
    store, address = str(tmp_path / "store"), "tcp://127.0.0.1:1"
    assert main(["sweep", str(tmp_path / "plan.toml"), "--store", store, "--dask", address]) == 2
    assert re.match(f"resmc: --dask {address}: no scheduler answers there .*\n$", capsys.readouterr().err)


def test_without_dask_the_command_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    (tmp_path / "plan.toml").write_text(as_toml(), encoding="utf-8")
    assert main(["sweep", str(tmp_path / "plan.toml"), "--store", str(tmp_path / "s"), "--dask", "tcp://here:1"]) == 2
    assert capsys.readouterr().err == "resmc: --dask needs Dask: install resmc[dask]\n"


def test_a_cluster_without_a_client_and_a_closed_client_are_refused(cluster, tmp_path):
    closed = distributed.Client(cluster)
    closed.close()
    for engine, words in ((cluster, r"distributed\.Client\(cluster\)"), (closed, "the client is closed")):
        with pytest.raises(ValueError, match=f"^engine=.* is not allowed: .*{words}"):
            small().run(tmp_path / "store", engine=engine, progress=False)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("stored", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_heat_map_is_made_on_a_cluster_with_a_store_and_without_one(client, tmp_path, stored):
    """Without one its numbers come back through the scheduler: the workers share no directory with it."""
    model = ResidualNetwork(6, 12, block="v-phi-w")
    given: dict[str, Any] = {"hurst": [0.2, 0.5, 0.8], "beta": [0.2, 0.8], "networks": 2, "n_inputs": 2}
    store = tmp_path / "store" if stored else None
    found = heat_map(model, **given, store=store, engine=client, progress=False)
    assert found.complete
    assert found.store == store
    assert found.displacement == heat_map(model, **given, progress=False).displacement
    assert left_on_the_scheduler(client) == []
