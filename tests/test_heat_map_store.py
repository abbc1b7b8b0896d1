"""The store of a map over H and beta: nothing is lost or made twice, and what is damaged or another plan is noticed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from heat_maps import NETWORK, SMALL, WIDE, damage, run_of, same, small
from sweeps import Enough, contents, files, identities, leftovers, running, stopped_after, until

import resmc
from resmc import DepthScaling, ResidualNetwork, heat_map, load_heat_map
from resmc.engine.native import NUMERICS_VERSION
from resmc.experiments.heat_row import FILES
from resmc.results import archive
from resmc.sweep import Store, StoreError
from resmc.sweep.heat_map_plan import HeatMapPlan
from resmc.sweep.manage import join

pytestmark = pytest.mark.cpu


def test_threads_processes_executors_and_memory_make_the_same_map(tmp_path):
    expected = small()
    with ThreadPoolExecutor(2) as pool:
        for name, engine in (("threads", None), ("processes", "processes"), ("executor", pool)):
            workers = {} if engine is pool else {"workers": 2}
            found = small(store=tmp_path / name, engine=engine, **workers)
            assert same(found, expected)
            assert found.complete
            assert leftovers(tmp_path / name) == []
            assert contents(tmp_path / name) == contents(tmp_path / "threads")
            assert same(load_heat_map(tmp_path / name), expected)
            assert same(small(engine=engine, **workers), expected)  # in memory, wherever the work is done
    assert len(files(tmp_path / "threads")) == 2


def test_a_gpu_makes_the_map_that_a_cpu_does(gpu, tmp_path):
    """Rounding apart: means of log10 agree within 1e-4. A shard says who has made it, and a CPU goes on with it."""
    ours, theirs = (small(device=device, store=tmp_path / device) for device in ("cuda", "cpu"))
    for name in ours.quantities:
        np.testing.assert_allclose(ours.estimate(name).value, theirs.estimate(name).value, atol=1e-4)
    assert ours.numerics[1:] == (gpu.numerics.replace("/", "-"),)
    kept = identities(tmp_path / "cuda")
    grown = small(device="cpu", store=tmp_path / "cuda", networks=4)
    assert {name: identities(tmp_path / "cuda")[name] for name in kept} == kept
    assert set(grown.numerics[1:]) == {*ours.numerics[1:], *theirs.numerics[1:]}


def test_a_map_in_memory_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert small().store is None
    assert list(tmp_path.iterdir()) == []


def test_a_map_killed_at_any_moment_loses_and_repeats_nothing(tmp_path):
    model, store = ResidualNetwork(16, 200, block="v-phi-w"), tmp_path / "store"
    expected = heat_map(model, **WIDE, store=tmp_path / "expected", progress=False)
    kept: dict[str, Any] = {}
    for wanted in (2, 9):
        with running(run_of(store, model)) as process:
            assert process.line() == "ready"
            until(lambda wanted=wanted: len(files(store)) >= wanted or process.popen.poll() is not None, "shards")
            process.kill()
        now = identities(store)
        assert {name: now[name] for name in kept} == kept
        kept = now
    half = load_heat_map(store)
    assert half.complete == (len(kept) == 19)
    assert (half.networks > 0).sum() == len(kept)
    with running(run_of(store, model)) as process:
        assert process.line() == "ready"
        assert process.line() == "1"
        assert process.end()[0] == 0
    now = identities(store)
    assert {name: now[name] for name in kept} == kept
    assert contents(store) == contents(tmp_path / "expected")
    assert leftovers(store) == []
    assert same(load_heat_map(store), expected)


def test_two_processes_on_one_store_make_one_map(tmp_path):
    model, store = ResidualNetwork(16, 100, block="v-phi-w"), tmp_path / "store"
    with running(run_of(store, model)) as one, running(run_of(store, model)) as other:
        for process in (one, other):
            assert process.line() == "ready"
        for process in (one, other):
            assert process.line() == "1"
    heat_map(model, **WIDE, store=tmp_path / "alone", progress=False)
    assert contents(store) == contents(tmp_path / "alone")
    assert leftovers(store) == []


def test_a_map_that_is_stopped_goes_on_with_what_is_missing(tmp_path):
    store, seen = tmp_path / "store", []
    with pytest.raises(Enough):
        heat_map(NETWORK, **WIDE, store=store, workers=1, progress=stopped_after(10))
    kept = identities(store)
    assert 5 <= len(kept) < 19
    assert leftovers(store) == []
    half = load_heat_map(store)
    assert not half.complete
    assert "INCOMPLETE" in str(half.summary())
    assert set(half.networks.tolist()) == {0, 2}
    assert np.isnan(half.growth.value).sum() == 3 * (half.networks == 0).sum()
    assert (half.growth.n[half.networks == 0] == 0).all()
    found = heat_map(NETWORK, **WIDE, store=store, progress=lambda done, in_all: seen.append((done, in_all)))
    assert seen[0] == (2 * len(kept), 38)
    assert seen[-1] == (38, 38)
    assert {name: identities(store)[name] for name in kept} == kept
    assert same(found, heat_map(NETWORK, **WIDE, progress=False))


@pytest.mark.parametrize("how", ["byte", "cut", "empty", "other"])
def test_a_damaged_file_is_set_aside_and_computed_again(how, tmp_path):
    store = tmp_path / "store"
    expected = small(store=store)
    before = contents(store)
    first, last = files(store)
    damage(first, how, last)
    found = load_heat_map(store)
    assert found.damaged == (first.name,)
    assert not found.complete
    assert "1 file is damaged and left out" in str(found.summary())
    assert (store / "damaged" / first.name).exists()
    assert same(small(store=store), expected)
    assert contents(store) == before


ROW = HeatMapPlan(NETWORK, **SMALL).rows[0]
GOOD = {"format": "resmc-heat-map-row", "schema_version": 1, "row": ROW.to_dict(), "range": [0, 3],
        "numerics": [NUMERICS_VERSION, "cpu/baseline"]}  # fmt: skip
VALUES = np.zeros((3, 3, 2, 4))


@pytest.mark.parametrize(
    ("changes", "values", "words"),
    [
        ({"format": "resmc-simulation"}, VALUES, "its manifest does not say 'resmc-heat-map-row'"),
        ({"schema_version": 2}, VALUES, "schema version 2, not 1"),
        ({"row": 3}, VALUES, "is no part of a heat map"),
        ({"row": {}}, VALUES, "its manifest has no 'model'"),
        ({"row": ROW.to_dict() | {"beta": 0.5}}, VALUES, "no list of exponents"),
        ({"row": ROW.to_dict() | {"n_inputs": 0}}, VALUES, "n_inputs=0 is out of range"),
        ({"row": ROW.to_dict() | {"model": {"width": 3}}}, VALUES, "is no part of a heat map"),
        ({"range": [3, 0]}, VALUES, r"range=\[3, 0\] is not allowed"),
        ({"range": [0, 10**30]}, VALUES, "values have the shape"),
        ({"range": 7}, VALUES, "is no part of a heat map"),
        ({"numerics": ["1", "cpu/baseline"]}, VALUES, "numerics="),
        ({}, VALUES[:2], "values have the shape"),
        ({}, VALUES.astype(np.float32), "values has the wrong type"),
        ({}, np.full(VALUES.shape, np.nan), "its values hold what is no number"),
    ],
)
def test_files_with_a_right_checksum_that_say_what_no_row_is_are_refused_with_their_name(changes, values, words):
    with pytest.raises(ValueError, match=f"^file.*{words}"):
        FILES.from_bytes(archive.to_bytes(GOOD | changes, {"values": values}), "file")
    assert FILES.from_bytes(archive.to_bytes(GOOD, {"values": VALUES}), "file").row == ROW


def test_a_damaged_file_is_noticed_in_the_run_that_needs_it(tmp_path, capsys):
    expected = small(store=tmp_path)
    damage(files(tmp_path)[0], "byte", files(tmp_path)[1])
    assert same(small(store=tmp_path, progress=None), expected)
    assert "was damaged: it is set aside, and computed again" in capsys.readouterr().err


def test_more_networks_and_more_values_of_h_keep_what_is_there(tmp_path):
    small(store=tmp_path)
    kept = identities(tmp_path)
    grown = small(store=tmp_path, networks=5, hurst=[0.2, 0.5, 0.8])
    now = identities(tmp_path)
    assert {name: now[name] for name in kept} == kept
    assert len(now) == 2 + 2 + 1  # two networks more of each, and five of the new one
    assert same(grown, small(networks=5, hurst=[0.2, 0.5, 0.8]))
    assert grown.networks.tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"beta": [0.0, 0.5, 1.0]}, "beta="),
        ({"n_inputs": 3}, "n_inputs=3 instead of 2"),
        ({"networks": 2}, "networks=2 instead of 3"),
        ({"hurst": [0.2, 0.5]}, "hurst lacks 0.8"),
        ({"seed": 1}, "seed=1 instead of 0"),
        ({"gradients": False}, "gradients=False instead of True"),
    ],
)
def test_a_map_that_does_not_extend_the_stored_one_is_refused_unless_it_is_to_replace_it(changes, said, tmp_path):
    small(store=tmp_path)
    kept = identities(tmp_path)
    with pytest.raises(StoreError, match=f"holds another plan, which this one does not extend: .*{said}"):
        small(store=tmp_path, **changes)
    assert identities(tmp_path) == kept
    assert same(small(store=tmp_path, replace=True, **changes), small(**changes))
    assert {name: identities(tmp_path)[name] for name in kept} == kept
    assert same(small(store=tmp_path, replace=True), small())  # what was there is used again


def test_sweeps_and_maps_know_each_others_stores(tmp_path):
    sweep = resmc.Sweep(width=4, depth=3, alpha=0.6, lam=0.8, networks=32)
    sweep.run(tmp_path / "sweep", progress=False)
    small(store=tmp_path / "map")
    with pytest.raises(ValueError, match=r"holds the plan of a heat map: resmc\.load_heat_map reads it"):
        resmc.load_sweep(tmp_path / "map")
    with pytest.raises(ValueError, match=r"holds the plan of a sweep: resmc\.load_sweep reads it"):
        load_heat_map(tmp_path / "sweep")
    with pytest.raises(StoreError, match="it is that of a sweep, and this one of a heat map"):
        small(store=tmp_path / "sweep")
    with pytest.raises(StoreError, match="it is that of a heat map, and this one of a sweep"):
        sweep.run(tmp_path / "map", progress=False)
    with pytest.raises(StoreError, match="does not exist"):
        load_heat_map(tmp_path / "nothing")


def test_shards_of_other_stores_are_brought_in(tmp_path):
    small(store=tmp_path / "one", hurst=[0.2])
    small(store=tmp_path / "other", hurst=[0.8])
    assert join(tmp_path / "one", [tmp_path / "other"]) == 1
    kept = identities(tmp_path / "one")
    assert same(small(store=tmp_path / "one"), small())
    assert identities(tmp_path / "one") == kept


def test_names_of_files_do_not_change_unnoticed():
    """A key that changes makes every stored map anew: raise `KEY_VERSION` if that is meant, and say it to users."""
    keys = [row.key for row in HeatMapPlan(NETWORK, **SMALL).rows]
    assert keys == ["f0386cb2ec5017517e50c92a11174641", "d5c9164a7ff03837d3846568f0d9dd03"]
    assert HeatMapPlan(NETWORK, **SMALL | {"networks": 9, "hurst": [0.1, 0.2]}).rows[1].key == keys[0]
    for changes in ({"beta": [0.0, 0.4]}, {"n_inputs": 1}, {"seed": 1}, {"gradients": False}):
        assert HeatMapPlan(NETWORK, **SMALL | changes).rows[0].key != keys[0]


def test_a_full_plan_is_read_as_it_was_written_and_nothing_else_is(tmp_path):
    model = ResidualNetwork(5, 7, block="phi-out", activation="tanh", bias=0.2, scaling=DepthScaling(1, 2, inside=True))
    plan = HeatMapPlan(model, **SMALL, seed=3)
    assert HeatMapPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    for change, words in (
        ({"format": "resmc-sweep"}, "not the plan of a heat map"),
        ({"schema_version": 2}, "schema version 2, not 1"),
        ({"colour": 1}, "'colour' is not a setting of a heat map"),
        ({"model": 3}, "model=3 is not allowed"),
        ({"hurst": []}, "hurst has 0 values"),
    ):
        with pytest.raises(ValueError, match=words):
            HeatMapPlan.from_dict(plan.to_dict() | change)
    store = Store(tmp_path)
    store.create()
    store.plans.path.write_text(json.dumps({"format": "resmc-heat-map", "schema_version": 1}), encoding="utf-8")
    with pytest.raises(StoreError, match="is no plan that this resmc can run: model is missing"):
        load_heat_map(tmp_path)
