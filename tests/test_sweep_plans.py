"""Which plan a store has: one that extends it takes its place, any other only on demand, and none is forgotten."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from commands import refusal, run
from sweeps import as_toml, contents

from resmc import ResNet, Sweep, load_sweep
from resmc.cli import main
from resmc.models import spelling
from resmc.sweep import Store, StoreError, coordinator
from resmc.sweep.extension import differences
from resmc.sweep.plans import Plans

pytestmark = pytest.mark.cpu
OLD = Path(__file__).parent / "data" / "version-0.1" / "store"
GRID: dict[str, Any] = {"width": [4, 8], "depth": [2, 3], "alpha": 0.6, "lam": 0.8, "networks": 100}
TARGETS: dict[str, Any] = {
    "networks": None, "target_stderr": {"growth": 0.1, "log_norm.mean": 0.1}, "max_networks": 500,
}  # fmt: skip


def plan(**changes: Any) -> Sweep:
    return Sweep(**GRID | changes)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {}),
        ({}, {"networks": 101}),
        ({}, {"width": [2, 8, 4]}),
        ({"width": 4}, {}),
        ({}, {"shard_updates": 5}),
        ({}, {"gradients": True, "displacement": True, "correlations": True}),
        ({}, {"layers": 64}),
        ({"layers": 2}, {"layers": 3}),
        (TARGETS, TARGETS | {"target_stderr": {"growth": 0.01, "log_norm.mean": 0.1, "log_norm.variance": 1.0}}),
        (TARGETS, TARGETS | {"max_networks": 501}),
        (TARGETS, {"networks": 500}),
    ],
)
def test_a_plan_that_asks_for_more_extends_another(old, new):
    assert differences(plan(**new), plan(**old)) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({}, {"seed": 1}, "seed=1 instead of 0"),
        ({}, {"method": "dense"}, "method='dense' instead of 'projected'"),
        ({}, {"independent": False}, "independent=False instead of True"),
        ({}, {"networks": 99}, "networks=99 instead of 100"),
        ({}, {"width": 4}, "2 points are not in it any more (width 8, depth 2; width 8, depth 3)"),
        ({}, {"alpha": 0.5}, "4 points are not in it any more (width 4, depth 2; width 4, depth 3; width 8, depth 2; "
         "and 1 more)"),
        ({"depth": 2}, {"depth": 2, "width": [8, 16]}, "1 point is not in it any more (width 4)"),
        ({"gradients": True}, {}, "gradients=False instead of True"),
        ({"displacement": True}, {}, "displacement=False instead of True"),
        ({"correlations": True}, {}, "correlations=False instead of True"),
        ({}, {"layers": 2}, "layers=2 instead of 32, which leaves out layers that were recorded"),
        ({}, TARGETS, "networks=100 has become target_stderr, which may take fewer"),
        (TARGETS, {"networks": 499}, "networks=499 is less than max_networks=500"),
        (TARGETS, TARGETS | {"max_networks": 499}, "max_networks=499 instead of 500"),
        (TARGETS, TARGETS | {"target_stderr": {"growth": 0.2, "log_norm.mean": 0.1}},
         "target_stderr['growth']=0.2 instead of 0.1"),
        (TARGETS, TARGETS | {"target_stderr": {"growth": 0.1}}, "there is no target_stderr['log_norm.mean'] any more"),
    ],
)  # fmt: skip
def test_what_a_plan_lacks_of_another_is_said(old, new, words):
    assert differences(plan(**new), plan(**old)) == [words]


def test_a_network_in_another_spelling_is_the_same_point():
    resnet = ResNet(8, 4, 0.8, 0.6)
    assert differences(Sweep([spelling.general(resnet)], networks=3), Sweep([resnet], networks=3)) == []


def test_a_store_refuses_another_plan_and_stays_as_it_is(tmp_path):
    store = tmp_path / "store"
    plan().run(store, progress=False)
    before = contents(store), (store / "plan.json").read_bytes()
    for kind in (ValueError, StoreError):
        with pytest.raises(kind, match=r"^store='.*store' holds another plan, which this one does not extend: seed=1 "):
            plan(seed=1).run(store, progress=False)
    assert (contents(store), (store / "plan.json").read_bytes()) == before
    assert not (store / "plans").exists()
    assert load_sweep(store).complete


@pytest.mark.parametrize("wrong", ["yes", 1, None])
def test_replace_is_true_or_false(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"^replace="):
        plan().run(tmp_path / "store", replace=wrong)
    assert not (tmp_path / "store").exists()


def test_plans_that_were_replaced_or_extended_are_kept_in_their_order(tmp_path):
    store, plans = tmp_path / "store", [plan(), plan(networks=200), plan(seed=1), plan()]
    for one in plans:
        one.run(store, replace=True, progress=False)
    kept = Plans(store).earlier()
    assert [path.name for path in kept] == ["0001.json", "0002.json", "0003.json"]
    assert [Sweep.from_dict(json.loads(path.read_bytes())) for path in kept] == plans[:-1]
    assert load_sweep(store).plan == plans[-1]
    assert all(one.result(store).complete for one in plans)  # no shard is lost
    plans[-1].run(store, progress=False)  # the same again is no other plan
    assert len(Plans(store).earlier()) == 3


def test_an_old_store_can_be_extended_and_nothing_of_it_is_computed_again(tmp_path):
    shutil.copytree(OLD, tmp_path / "store")
    before = contents(tmp_path / "store")
    old = load_sweep(tmp_path / "store").plan
    with pytest.raises(StoreError, match="does not extend: seed="):
        Sweep.from_dict(old.to_dict() | {"seed": 99}).run(tmp_path / "store", progress=False)
    assert old.run(tmp_path / "store", progress=False).complete
    assert before.items() <= contents(tmp_path / "store").items()
    assert Plans(tmp_path / "store").earlier() == []


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "other"}', "\0"])
def test_a_plan_that_is_damaged_gives_way_and_is_kept_too(tmp_path, text):
    store = Store(tmp_path / "store")
    plan().run(store.path, progress=False)
    store.plans.path.write_text(text, encoding="utf-8")
    assert plan().run(store.path, progress=False).complete
    assert [path.read_text(encoding="utf-8") for path in store.plans.earlier()] == [text]


def test_a_plan_of_a_newer_version_does_not_give_way(tmp_path):
    store = Store(tmp_path / "store")
    store.create()
    store.plans.path.write_text(json.dumps(plan().to_dict() | {"schema_version": 99}), encoding="utf-8")
    with pytest.raises(StoreError, match="does not extend: the plan has schema version 99"):
        plan().run(store.path, progress=False)


def test_of_two_plans_at_once_one_is_refused(tmp_path):
    store = Store(tmp_path / "store")
    store.create()
    outcomes: list[str] = []

    def keep(seed: int) -> None:
        try:
            Store(store.path).write_plan(plan(seed=seed).to_dict())
            outcomes.append("kept")
        except StoreError:
            outcomes.append("refused")

    threads = [threading.Thread(target=keep, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["kept"] + ["refused"] * 7
    assert store.plans.earlier() == []


# ------------------------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize("prepare", [True, False])
def test_the_command_refuses_another_plan_unless_it_is_told_to_replace_it(capsys, tmp_path, prepare):
    path, store = tmp_path / "plan.toml", tmp_path / "store"
    plan().run(store, progress=False)
    path.write_text(as_toml(networks=50, shard_updates=1 << 20), encoding="utf-8")
    arguments = ["sweep", path, "--store", store, *["--prepare"] * prepare]
    words = refusal(capsys, *arguments)
    assert words.startswith(
        f"store={str(store)!r} holds another plan, which this one does not extend: 4 points are not"
    )
    assert "--replace" in words
    run(capsys, *arguments, "--replace")
    assert load_sweep(store).plan == Sweep.from_toml(path)
    assert "plans before this one: plans/0001.json" in run(capsys, "status", store)


def test_merge_says_which_other_plan_asks_for_more(capsys, tmp_path):
    plan().run(tmp_path / "a", progress=False)
    plan(width=[4, 8, 16]).run(tmp_path / "b", progress=False)
    assert main(["merge", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    words = capsys.readouterr().err
    assert f"the plan of {tmp_path / 'b'} asks for more: 2 points are not in it any more (width 16, depth 2; " in words
    assert load_sweep(tmp_path / "a").plan == plan()
    assert plan(width=[4, 8, 16]).run(tmp_path / "a", progress=False).complete


def test_a_worker_goes_on_with_a_plan_that_has_taken_the_place_of_its_own(tmp_path, monkeypatch, capsys):
    """Extended before it looks again, and replaced while it works: it is complete when the last of them is."""
    store = Store(tmp_path / "store")
    store.create()
    plans = [plan(), plan(networks=200), plan(seed=1)]
    store.write_plan(plans[0].to_dict())
    collect, later = coordinator.collect, plans[1:]

    def collected(*arguments: Any) -> Any:
        if later:
            store.write_plan(later.pop(0).to_dict(), replace=True)
        return collect(*arguments)

    monkeypatch.setattr(coordinator, "collect", collected)
    assert main(["worker", str(store.path)]) == 0
    found = capsys.readouterr()
    assert found.err.count(f"resmc: {store.path} has another plan by now, which is computed next") == 2
    assert found.out == f"complete: 4 points, 400 networks in {store.path}\n"
    assert all(one.result(store.path).complete for one in plans)


def test_a_worker_leaves_a_replaced_plan_at_its_next_look(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    store.create()
    store.write_plan(plan(networks=20_000, shard_updates=1).to_dict())
    monkeypatch.setattr(coordinator, "LOOK", 0.0)
    count, write, look = [0], Store.write, coordinator.Runner._look

    def counted(self: Store, *arguments: Any) -> None:
        count[0] += 1
        write(self, *arguments)

    def replaced(self: Any, waiting: Any) -> None:
        if count[0] >= 5 and not store.plans.earlier():
            store.write_plan(plan(seed=1).to_dict(), replace=True)
        look(self, waiting)

    monkeypatch.setattr(Store, "write", counted)
    monkeypatch.setattr(coordinator.Runner, "_look", replaced)
    said: list[str] = []
    options = {"engine": None, "workers": 1, "threads": 1, "device": "cpu", "progress": False}
    result = coordinator.work(store.path, said.append, **options)
    assert result.complete
    assert result.plan == plan(seed=1)
    assert len(said) == 1
    assert count[0] < 30  # of 160 shards of the first plan
    assert list(store.claims.iterdir()) == []
