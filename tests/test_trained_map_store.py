"""The store of a map after training: nothing is lost or trained twice; other settings and data are refused by name."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
from sweeps import Enough, contents, files, identities, leftovers, stopped_after
from trained_maps import HURST, NETWORK, SMALL, classes, plan_of, same, small

import resmc
from resmc.experiments.train.map_row import FILES, RowResults
from resmc.results import archive
from resmc.sweep import Store, StoreError, any_stored_plan, load_stored
from resmc.sweep.coordinator import work
from resmc.sweep.manage import join, status
from resmc.sweep.trained_map_campaign import TrainedMapCampaign
from resmc.sweep.trained_map_plan import TrainedMapPlan
from resmc.train import load_heat_map

pytest.importorskip("torch")
pytestmark = pytest.mark.cpu


def test_a_map_in_memory_leaves_no_file_and_is_the_one_in_a_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = small()
    assert expected.store is None
    assert list(tmp_path.iterdir()) == []
    found = small(store="store", workers=2, threads=1)
    assert same(found, expected)
    assert found.complete
    assert leftovers(tmp_path / "store") == []
    assert len(files(tmp_path / "store")) == len(HURST)
    loaded = load_heat_map("store")
    assert same(loaded, expected)
    assert loaded.plan == found.plan
    assert loaded.plan.examples is None  # data are not in the store, and not needed to read it
    assert same(load_stored("store"), expected)


@pytest.mark.long
def test_processes_train_the_same_map(tmp_path):
    small(store=tmp_path / "processes", engine="processes", workers=1, threads=1)
    small(store=tmp_path / "threads")
    assert contents(tmp_path / "processes") == contents(tmp_path / "threads")


def test_a_map_that_is_stopped_goes_on_with_what_is_missing(tmp_path):
    seen: list[Any] = []
    with pytest.raises(Enough):
        small(store=tmp_path, progress=stopped_after(3))
    kept = identities(tmp_path)
    assert len(kept) == 1
    assert leftovers(tmp_path) == []
    half = load_heat_map(tmp_path)
    assert not half.complete
    assert sorted(half.networks.tolist()) == [0, 3]
    found = small(store=tmp_path, progress=lambda done, in_all: seen.append((done, in_all)))
    assert (seen[0], seen[-1]) == ((3, 6), (6, 6))
    assert kept.items() <= identities(tmp_path).items()
    assert same(found, small())


def test_a_stop_within_a_row_ends_its_training(tmp_path):
    """A row of ten thousand epochs is left at once; nothing half trained is written."""

    def stop(done: int, in_all: int) -> None:
        resmc.stop()

    with pytest.raises(resmc.Stopped):
        small(store=tmp_path, epochs=10**4, progress=stop)
    assert files(tmp_path) == []
    assert leftovers(tmp_path) == []


def test_more_networks_and_more_values_of_h_keep_what_is_there(tmp_path):
    before = small(store=tmp_path)
    kept = identities(tmp_path)
    grown = small(store=tmp_path, networks=5, hurst=[0.3, 0.5, 0.8])
    assert kept.items() <= identities(tmp_path).items()
    assert grown.networks.tolist() == [5, 5, 5]
    assert np.array_equal(grown._rows[2].loss[:3], before._rows[1].loss)
    whole = small(networks=5, hurst=[0.3, 0.5, 0.8])  # no bit depends on what is trained beside a network
    assert same(grown, whole)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 3}, "epochs=3, where it was 2"),
        ({"batch": 8}, "batch=8, where it was 16"),
        ({"learning_rate": [0.01]}, r"learning_rate=\[0\.01\], where it was \[0\.01, 0\.1\]"),
        ({"optimizer": "adam"}, "optimizer='adam', where it was 'sgd'"),
        ({"momentum": 0.9}, r"momentum=0\.9, where it was 0\.0"),
        ({"beta": [0.2, 0.5]}, "beta="),
        ({"networks": 2}, "networks=2 instead of 3"),
        ({"hurst": [0.3, 0.5]}, "hurst lacks 0.8"),
        ({"seed": 1}, "seed=1, where it was 0"),
        ({"split": (0.6, 0.2, 0.2)}, "split="),
        ({"y": 1 - classes()[1]}, "data="),
    ],
)
def test_a_map_with_other_settings_or_data_is_refused_and_says_which_differ(changes, said, tmp_path):
    plan_of_store(tmp_path)
    with pytest.raises(StoreError, match=f"holds another plan, which this one does not extend: .*{said}"):
        small(store=tmp_path, **changes)


def plan_of_store(path: Any) -> TrainedMapPlan:
    """Write the plan of `small` into a store, without any training."""
    plan, store = plan_of(epochs=2, batch=16), Store(path)
    store.create()
    store.write_plan(plan.to_dict())
    return plan


def test_a_worker_without_the_data_says_what_to_do_and_a_finished_store_needs_none(tmp_path):
    plan_of_store(tmp_path)
    options = {"engine": None, "workers": 1, "threads": 1, "device": "cpu", "progress": False}
    with pytest.raises(ValueError, match=r"does not hold its data: make the call of resmc\.train\.heat_map again"):
        work(tmp_path, print, **options)
    found = small(store=tmp_path)
    assert same(work(tmp_path, print, **options), found)


def test_a_damaged_file_is_set_aside_and_trained_again(tmp_path):
    expected = small(store=tmp_path)
    before, first = contents(tmp_path), files(tmp_path)[0]
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(bytes(data))
    assert status(any_stored_plan(tmp_path), tmp_path).damaged == (first.name,)
    found = load_heat_map(tmp_path)
    assert found.damaged == (first.name,)
    assert "1 file is damaged and left out" in str(found.summary())
    assert same(small(store=tmp_path), expected)
    assert contents(tmp_path) == before


def test_shards_of_other_stores_are_brought_in_and_other_kinds_are_refused(tmp_path):
    small(store=tmp_path / "one", hurst=[0.3])
    small(store=tmp_path / "other", hurst=[0.8])
    assert join(tmp_path / "one", [tmp_path / "other"]) == 1
    kept = identities(tmp_path / "one")
    assert small(store=tmp_path / "one").complete
    assert identities(tmp_path / "one") == kept
    with pytest.raises(ValueError, match=r"holds the plan of a trained heat map: resmc\.train\.load_heat_map reads it"):
        resmc.load_heat_map(tmp_path / "one")
    with pytest.raises(StoreError, match="it is that of a trained heat map, and this one of a heat map"):
        resmc.heat_map(NETWORK, hurst=[0.3], beta=[0.2], store=tmp_path / "one", progress=False)


def test_names_of_files_do_not_change_unnoticed():
    """A key that changes trains every stored map anew: raise `KEY_VERSION` if that is meant, and say it to users."""
    assert [row.key for row in plan_of().rows] == [
        "e42b299b7c766edc185906ff4181c103",
        "77a42fb068d79fb572450de0791a4835",
    ]


def test_a_plan_is_read_as_it_was_written_and_nothing_else_is():
    plan = plan_of(optimizer="adam", step_epochs=5, seed=2**63)
    assert TrainedMapPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    assert pickle.loads(pickle.dumps(plan)) == plan
    for change, words in (
        ({"format": "resmc-heat-map"}, "not the plan of a trained heat map"),
        ({"schema_version": 2}, "schema version 2, not 1"),
        ({"examples": 1}, "'examples' is not a setting of a trained heat map"),
        ({"model": 3}, "model=3 is not allowed"),
        ({"settings": 3}, "settings=3 is not allowed"),
        ({"hurst": []}, "hurst has 0 values"),
    ):
        with pytest.raises(ValueError, match=words):
            TrainedMapPlan.from_dict(plan.to_dict() | change)
    lacking = plan.to_dict()
    del lacking["data"]
    with pytest.raises(ValueError, match="data is missing"):
        TrainedMapPlan.from_dict(lacking)


def test_shards_keep_networks_together_that_are_trained_well_side_by_side():
    campaign = TrainedMapCampaign(plan_of(networks=100))
    row = campaign.plan.rows[0]
    assert row.batch == 11  # 32 networks over 3 exponents
    (size, _) = campaign.sizes([(0, 100), (1, 100)], "cpu")
    assert size % row.batch == 0


ROW = plan_of().rows[0]
GOOD = {"format": "resmc-trained-map-row", "schema_version": 1, "row": ROW.to_dict(), "range": [0, 3],
        "numerics": "cpu/torch"}  # fmt: skip
ARRAYS: dict[str, Any] = {"loss": np.ones((3, 3, 2, 2)), "accuracy": np.ones((3, 3, 2, 2)),
                          "failed": np.zeros((3, 3, 2), bool), "growth": np.zeros((3, 3))}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "arrays", "words"),
    [
        ({"format": "resmc-simulation"}, {}, "its manifest does not say 'resmc-trained-map-row'"),
        ({"schema_version": 2}, {}, "schema version 2, not 1"),
        ({"row": 3}, {}, "is no part of a trained heat map"),
        ({"row": {}}, {}, "its manifest has no 'model'"),
        ({"row": ROW.to_dict() | {"beta": 0.5}}, {}, "no list of exponents"),
        ({"row": ROW.to_dict() | {"settings": {"epochs": 0}}}, {}, "epochs=0 is out of range"),
        ({"row": ROW.to_dict() | {"data": {"colour": 1}}}, {}, "is no part of a trained heat map"),
        ({"range": [3, 0]}, {}, r"range=\[3, 0\] is not allowed"),
        ({"range": [0, 10**30]}, {}, "loss has the shape"),
        ({"numerics": 3}, {}, "numerics=3 is not allowed"),
        ({}, {"loss": ARRAYS["loss"][:2]}, "loss has the shape"),
        ({}, {"loss": ARRAYS["loss"].astype(np.float32)}, "loss has the wrong type"),
        ({}, {"growth": np.full((3, 3), np.nan)}, "growth holds what is no number"),
        ({}, {"failed": np.zeros((3, 3, 2))}, "failed has the wrong type"),
    ],
)
def test_files_with_a_right_checksum_that_say_what_no_row_is_are_refused_with_their_name(changes, arrays, words):
    with pytest.raises(ValueError, match=f"^file.*{words}"):
        FILES.from_bytes(archive.to_bytes(GOOD | changes, ARRAYS | arrays), "file")
    assert FILES.from_bytes(FILES.to_bytes(ROW, 0, 3, "cpu/torch", RowResults(**ARRAYS).arrays), "file").row == ROW


def test_the_small_map_is_the_one_of_the_plan():
    """What `plan_of_store` writes is what `small` asks for, so that refusals name one thing each."""
    assert plan_of(SMALL["networks"], epochs=SMALL["epochs"], batch=SMALL["batch"]) == small().plan
