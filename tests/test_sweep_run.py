"""A sweep computes what `simulate` does, whatever the engine, the order, or what was there before."""

from __future__ import annotations

import math
import os
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
from sweeps import Enough, contents, small, stopped_after

import resmc
from resmc import ResNet, Sweep, load_sweep
from resmc.results import storage
from resmc.results.observables import SWEPT
from resmc.sweep import StoreError, compute, coordinator, engines
from resmc.sweep.compute import compute_all
from resmc.sweep.coordinator import MOST_TOGETHER
from resmc.sweep.store import Store
from resmc.sweep.sweep_campaign import SweepCampaign

HALF = math.sqrt(0.5)
pytestmark = pytest.mark.cpu


# ----------------------------------------------------------------------------------------------------- what is computed


def test_a_point_is_the_simulation_of_its_model_and_seed(tmp_path):
    plan = small(shard_updates=100_000)
    result = plan.run(tmp_path / "store", progress=False)
    for index, (model, seed) in enumerate(zip(plan.models, plan.seeds, strict=True)):
        alone = resmc.simulate(model, networks=20_000, seed=seed, layers=plan.point(index, 20_000).recorded)
        there = result.load(index)
        assert there.ranges == alone.ranges
        assert (there.statistics.histogram == alone.statistics.histogram).all()
        assert (there.statistics.activity.active == alone.statistics.activity.active).all()
        for name, estimate in (("log_norm.variance", alone.log_norm_variance[-1]),
                               ("asymmetry", alone.asymmetry_mean[-1]),
                               ("growth", alone.variance_growth().log_second_moment[-1])):  # fmt: skip
            found = result.estimates[name]
            np.testing.assert_allclose(found.value.flat[index], estimate.value, rtol=1e-11)
            np.testing.assert_allclose(found.stderr.flat[index], estimate.stderr, rtol=1e-9)


def test_a_point_is_stored_as_it_was_spelled_whatever_was_simulated_before(tmp_path):
    model = {"width": 8, "depth": 4, "alpha": 1.0}
    resmc.simulate(**model, lam=0.0, networks=64, progress=False)  # equal to the next one, but written otherwise
    assert Sweep(**model, lam=-0.0, networks=64).run(tmp_path / "store", progress=False).complete


def test_small_shards_are_one_task_and_hold_what_they_would_alone(tmp_path, monkeypatch):
    """Up to so many, and so much work; fewer as the end comes; a large one is a task of its own."""
    begun: list[list[int]] = []

    def noted(tasks: Any, *arguments: Any) -> Any:
        begun.append([task.shard.updates for task in tasks])
        return compute_all(tasks, *arguments)

    monkeypatch.setattr(engines, "compute_all", noted)
    plan = Sweep(width=4, depth=4, alpha=np.linspace(0.1, 0.9, 150).tolist(), lam=HALF, networks=64)
    assert plan.run(tmp_path / "store", workers=1, progress=False).complete
    sizes = [len(task) for task in begun]
    assert max(sizes) <= MOST_TOGETHER
    assert max(sizes) > 1
    assert sizes[-1] == 1
    assert sum(sizes) == 150
    for changes in ((coordinator, "MOST_TOGETHER", 1), (compute, "MOST_HELD", 0)):
        with monkeypatch.context() as patch:
            patch.setattr(*changes)
            begun.clear()
            assert plan.run(tmp_path / changes[1], workers=1, progress=False).complete
        assert contents(tmp_path / changes[1]) == contents(tmp_path / "store")
        assert (max(map(len, begun)) == 1) == (changes[0] is coordinator)
    begun.clear()
    monkeypatch.setattr(SweepCampaign, "together", 3 * 64 * 20)
    assert plan.run(tmp_path / "few", workers=1, progress=False).complete
    assert max(map(len, begun)) == 3
    assert all(sum(task) <= 3 * 64 * 20 for task in begun)


def test_a_worker_computes_while_a_shard_waits_for_the_disk(tmp_path, monkeypatch):
    """The first shard is not written before the second one is begun."""
    begun, waited, kernel, write = list[Any](), list[bool](), compute.run, storage.write_atomically

    def simulate(*arguments: Any) -> Any:
        begun.append(arguments)
        return kernel(*arguments)

    def wait(data: bytes, path: str) -> None:
        end = time.monotonic() + 60.0
        while not waited and len(begun) < 2 and time.monotonic() < end:
            time.sleep(0.001)
        waited.append(len(begun) > 1)
        write(data, path)

    plan = Sweep(width=4, depth=4, alpha=[0.1, 0.2, 0.3], lam=HALF, networks=64)
    assert plan.run(tmp_path / "plain", workers=1, progress=False).complete
    monkeypatch.setattr(compute, "run", simulate)
    monkeypatch.setattr(Store, "write_plan", lambda *arguments: None)
    monkeypatch.setattr(storage, "write_atomically", wait)
    assert plan.run(tmp_path / "store", workers=1, progress=False).complete
    assert waited[0]
    assert contents(tmp_path / "store") == contents(tmp_path / "plain")


def test_the_table_of_a_point_is_that_of_its_merged_simulation(tmp_path):
    result = small(alpha=[0.0, HALF]).run(tmp_path / "store", progress=False)
    for index in range(8):
        sim = result.load(index)
        hypo, growth = sim.hypoactivation(), sim.variance_growth()
        pairs = {
            "log_norm.mean": sim.log_norm_mean[-1],
            "log_norm.variance": sim.log_norm_variance[-1],
            "log_norm.skewness": sim.log_norm_skewness[-1],
            "log_norm.excess_kurtosis": sim.log_norm_excess_kurtosis[-1],
            "asymmetry": hypo.asymmetry[-1],
            "active_fraction": hypo.active_fraction[-1],
            "growth": growth.log_second_moment[-1],
        }
        pairs |= {name: sim.estimate(name)[-1] for name in sim.observables if name in SWEPT and name not in pairs}
        assert set(pairs) == set(result.estimates)
        for name, estimate in pairs.items():
            found = result.estimates[name]
            np.testing.assert_allclose(found.value.flat[index], estimate.value, rtol=1e-12, err_msg=name)
            np.testing.assert_allclose(found.stderr.flat[index], estimate.stderr, rtol=1e-9, err_msg=name)
            assert found.n.flat[index] == estimate.n
        assert result.limits["asymmetry"].flat[index] == hypo.theory.asymmetry[-1]
        np.testing.assert_equal(result.exact["growth"].flat[index], growth.exact[-1])
        np.testing.assert_equal(result.exact["active_fraction"].flat[index], hypo.exact_active_fraction[-1])
        assert result.dead.flat[index] == sim.dead[-1]
        assert result.inactive.flat[index] == sim.inactive[-1]


def test_shards_are_whole_blocks_and_there_is_one_for_each_block_if_asked(small_shards):
    assert len(small_shards) == 4 * -(-20_000 // 512)
    starts = sorted(int(name.split("-")[1]) for name in small_shards)
    assert all(start % 512 == 0 for start in starts)


def test_large_shards_and_small_ones_agree_to_rounding(tmp_path):
    fine = small(shard_updates=1).run(tmp_path / "fine", progress=False)
    coarse = small(shard_updates=10**9).run(tmp_path / "coarse", progress=False)
    assert (fine.shards, coarse.shards) == (160, 4)
    for name in fine.estimates:
        np.testing.assert_allclose(fine.estimates[name].value, coarse.estimates[name].value, rtol=1e-10)
        np.testing.assert_allclose(fine.estimates[name].stderr, coarse.estimates[name].stderr, rtol=1e-8)


def test_dense_sweeps_and_correlations_are_recorded_when_asked_for(tmp_path):
    plan = Sweep(width=[4, 8], depth=6, alpha=0.6, lam=0.8, networks=500, method="dense", correlations=True)
    result = plan.run(tmp_path / "store", progress=False)
    sim = result.simulation(width=8)
    alone = resmc.simulate(ResNet(8, 6, 0.6, 0.8), networks=500, seed=plan.seeds[1], method="dense")
    assert sim.method == "dense"
    assert (sim.interlayer_correlations().by_lag.value == alone.interlayer_correlations().by_lag.value).all()
    with pytest.raises(ValueError, match="correlations=False"):
        small(networks=100).run(tmp_path / "none", progress=False).load(0).interlayer_correlations()


def test_points_with_the_same_model_and_seed_are_computed_once(tmp_path):
    models = [ResNet(8, 4, 0.6, 0.8), ResNet(9, 4, 0.6, 0.8), ResNet(8, 4, 0.6, 0.8)]
    result = Sweep(models, networks=100, independent=False).run(tmp_path / "store", progress=False)
    assert result.shards == 2
    values = result.estimates["log_norm.mean"].value
    assert values[0] == values[2] != values[1]


# -------------------------------------------------------------------------------------------------------------- engines


class Backwards(Executor):
    """Runs tasks one by one in a thread, the last submitted first."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Any, Any]] = []
        self.condition = threading.Condition()
        threading.Thread(target=self._work, daemon=True).start()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self.condition:
            self.waiting.append((future, fn, args))
            self.condition.notify()
        return future

    def _work(self) -> None:
        while True:
            with self.condition:
                while not self.waiting:
                    self.condition.wait()
                future, fn, args = self.waiting.pop()
            if future.set_running_or_notify_cancel():
                future.set_result(fn(*args))


def test_any_number_of_threads_writes_the_same_bytes(tmp_path, small_shards):
    for workers, threads in ((3, 1), (1, 3), (2, 2)):
        store = tmp_path / f"{workers}-{threads}"
        assert small().run(store, workers=workers, threads=threads, progress=False).complete
        assert contents(store) == small_shards


def test_processes_write_the_same_bytes(tmp_path, small_shards):
    assert small().run(tmp_path / "store", engine="processes", workers=2, progress=False).complete
    assert contents(tmp_path / "store") == small_shards


def test_an_executor_writes_the_same_bytes_in_any_order(tmp_path, small_shards):
    assert small().run(tmp_path / "backwards", engine=Backwards(), progress=False).complete
    assert contents(tmp_path / "backwards") == small_shards
    with ThreadPoolExecutor(3) as pool:
        assert small().run(tmp_path / "threads", engine=pool, progress=False).complete
    assert contents(tmp_path / "threads") == small_shards


def test_an_executor_of_processes_works(tmp_path, small_shards):
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        assert small().run(tmp_path / "store", engine=pool, progress=False).complete
        assert pool.submit(abs, -1).result() == 1  # it is the caller's, and not shut down
    assert contents(tmp_path / "store") == small_shards


def test_wrong_engines_and_workers_are_refused_before_anything_is_written(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        for arguments, words in (
            ({"engine": "fast"}, "engine='fast' is not allowed"),
            ({"engine": 3}, "engine=3 is not allowed"),
            ({"workers": 0}, "workers=0 is out of range"),
            ({"threads": 0}, "threads=0 is out of range"),
            ({"engine": pool, "workers": 2}, "workers=2 is not allowed with an engine of your own"),
            ({"device": "gpu"}, "device='gpu' is not allowed"),
            ({"progress": 3}, "progress=3 is not allowed"),
        ):
            with pytest.raises(ValueError, match=words):
                small().run(tmp_path / "store", **arguments)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("broken", [False, True])
def test_an_executor_that_is_shut_down_or_broken_is_refused_in_a_sentence(tmp_path, broken):
    pool = ProcessPoolExecutor(1, get_context("spawn"))
    if broken:
        with pytest.raises(BrokenExecutor):
            pool.submit(os._exit, 1).result()
    else:
        pool.shutdown()
    words = "a worker of it has died before" if broken else "it takes no more work"
    with pytest.raises(ValueError, match=f"^engine=.* is not allowed: {words}"):
        small().run(tmp_path / "store", engine=pool, progress=False)
    pool.shutdown()


def test_threads_have_a_name_too(tmp_path, small_shards):
    assert small().run(tmp_path / "store", engine="threads", progress=False).complete
    assert contents(tmp_path / "store") == small_shards


# ------------------------------------------------------------------------------------------------ stopping and going on


def test_a_run_that_is_stopped_goes_on_with_what_is_missing(tmp_path, small_shards):
    store = tmp_path / "store"
    with pytest.raises(Enough):
        small().run(store, workers=1, progress=stopped_after(10_000))
    before = {path: path.stat().st_mtime_ns for path in (store / "shards").rglob("*.resmc")}
    assert 0 < len(before) < len(small_shards)
    assert small().run(store, progress=False).complete
    assert contents(store) == small_shards
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())  # and nothing twice
    assert not list((store / "claims").iterdir())


def test_an_unfinished_store_has_a_result_that_says_so(tmp_path):
    store = tmp_path / "store"
    with pytest.raises(Enough):
        small().run(store, workers=1, progress=stopped_after(40_000))
    result = load_sweep(store)
    assert not result.complete
    assert 40_000 <= result.networks.sum() < 80_000
    assert (result.networks > 0).all()  # all points advance together
    assert "INCOMPLETE" in result.summary()
    assert np.isfinite(result.to_xarray()["log_norm_mean"]).all()


def test_a_finished_run_computes_nothing_and_gives_the_same_result(tmp_path):
    first = small().run(tmp_path / "store", progress=False)
    before = contents(tmp_path / "store")
    again = small().run(tmp_path / "store", progress=False, engine=Backwards())
    assert contents(tmp_path / "store") == before
    for name, estimate in first.estimates.items():
        np.testing.assert_array_equal(estimate.value, again.estimates[name].value)
        np.testing.assert_array_equal(estimate.stderr, again.estimates[name].stderr)


def test_a_plan_that_is_extended_keeps_what_is_there(tmp_path):
    store = tmp_path / "store"
    grown = {"networks": 300_000, "shard_updates": 1 << 21}
    small(**grown).run(store, progress=False)
    before = set(contents(store))
    result = small(**grown | {"networks": 400_000, "width": [8, 16, 24]}).run(store, progress=False)
    after = set(contents(store))
    assert before < after
    used = {stored.file for point in result._shards for stored in point}
    assert before <= used  # that which ends within a block, too
    assert result.complete
    fresh = small(**grown | {"networks": 400_000, "width": [8, 16, 24]}).run(tmp_path / "fresh", progress=False)
    for name, estimate in fresh.estimates.items():
        np.testing.assert_allclose(result.estimates[name].value, estimate.value, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(result.estimates[name].stderr, estimate.stderr, rtol=1e-9, atol=1e-12)


def test_shards_of_another_size_are_used(tmp_path):
    small(shard_updates=1).run(tmp_path / "store", progress=False)
    before = contents(tmp_path / "store")
    assert small(shard_updates=10**9).run(tmp_path / "store", progress=False).complete
    assert contents(tmp_path / "store") == before


def test_numerics_classes_live_in_one_store_and_are_named(tmp_path, monkeypatch):
    sets = resmc.build_info()["instruction_sets"]
    if len(sets) < 2:
        pytest.skip("this machine has one instruction set")
    store = tmp_path / "store"
    with pytest.raises(Enough):
        small().run(store, workers=1, progress=stopped_after(40_000))
    monkeypatch.setenv("RESMC_INSTRUCTION_SET", sets[-1])
    result = small().run(store, progress=False)
    assert set(result.numerics[1:]) == {f"cpu-{sets[0]}", f"cpu-{sets[-1]}"}
    assert result.complete
    assert {c for i in range(4) for c in result.load(i).numerics[1:]} == {f"cpu/{sets[0]}", f"cpu/{sets[-1]}"}
    monkeypatch.setenv("RESMC_INSTRUCTION_SET", sets[0])
    whole = small().run(tmp_path / "whole", progress=False)
    for name in ("log_norm.mean", "growth"):
        np.testing.assert_allclose(result.estimates[name].value, whole.estimates[name].value, atol=1e-4)


# ---------------------------------------------------------------------------------------------------- progress and cost


def test_progress_is_called_with_networks_done_and_in_all(tmp_path):
    calls: list[tuple[int, int]] = []
    small().run(tmp_path / "store", progress=lambda done, in_all: calls.append((done, in_all)))
    assert calls[-1] == (80_000, 80_000)
    assert all(a[0] <= b[0] for a, b in pairwise(calls))
    small().run(tmp_path / "store", progress=lambda done, in_all: calls.append((done, in_all)))
    assert calls[-1] == (80_000, 80_000)


def test_a_log_file_gets_a_line_a_minute_and_a_bar_only_if_asked_for(tmp_path, capsys, monkeypatch):
    small().run(tmp_path / "quiet", progress=None)
    assert capsys.readouterr().err == ""
    from resmc.sweep import progress

    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    monkeypatch.setattr(progress, "FIRST_LINE", 0.0)
    small(networks=200_000).run(tmp_path / "lines", progress=None)
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert "networks" in lines[-1]
    assert "left" in lines[-1]
    small().run(tmp_path / "bar", progress=True)
    shown = capsys.readouterr().err
    assert "100%" in shown
    assert "8e+04 of 8e+04 networks" in shown
    small().run(tmp_path / "none", progress=False)
    assert capsys.readouterr().err == ""


def test_the_cost_is_known_beforehand(tmp_path):
    plan = Sweep(width=[20, 60], ratio=[0.5, 2], alpha=HALF, lam=HALF, networks=100_000, shard_updates=1 << 26)
    cost = plan.estimate("cpu")
    assert cost.points == 4
    assert cost.networks == 400_000
    assert cost.updates == sum(1e5 * (m.depth + 1) * m.width for m in plan.models)
    assert cost.seconds > 0
    result = plan.run(tmp_path / "store", progress=False)
    assert cost.shards == result.shards
    size = sum(len(data) for data in contents(tmp_path / "store").values())
    assert 0.6 < size / cost.bytes < 1.6
    assert "400000" in str(cost) or "4e+05" in str(cost)


# ------------------------------------------------------------------------------------------------------------ the store


@pytest.mark.parametrize("make", ["file", "folder with files", "below a file"])
def test_a_store_that_cannot_be_one_is_refused(tmp_path, make):
    path = tmp_path / "store"
    if make == "folder with files":
        path.mkdir()
        (path / "thesis.tex").write_text("mine", encoding="utf-8")
    else:
        path.write_text("mine", encoding="utf-8")
    with pytest.raises(StoreError, match="is not allowed"):
        small().run(path / "below" if make == "below a file" else path, progress=False)


def test_what_is_no_store_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        load_sweep(tmp_path / "nothing")
    with pytest.raises(StoreError, match="is not a store"):
        load_sweep(tmp_path)
    Store(tmp_path / "store").create()
    with pytest.raises(StoreError, match="holds no plan yet"):
        load_sweep(tmp_path / "store")
    (tmp_path / "store" / "plan.json").write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match="is damaged"):
        load_sweep(tmp_path / "store")


def test_an_empty_folder_becomes_a_store(tmp_path):
    assert small(networks=50).run(tmp_path, progress=False).complete
