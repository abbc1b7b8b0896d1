"""The commands for sweeps: what they print, and that everything that can go wrong is one sentence and status 2."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import refusal, run
from sweeps import Enough, as_toml, contents, finish, small, start, stopped_after

import resmc
from resmc import Sweep, cli, load_sweep
from resmc.cli import sweep as cli_sweep

pytestmark = pytest.mark.cpu
EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store of `small`."""
    store = tmp_path_factory.mktemp("whole") / "store"
    assert small().run(store, workers=1, progress=False).complete
    return store


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """The plan of `small` as a file."""
    path = tmp_path / "plan.toml"
    path.write_text(as_toml(), encoding="utf-8")
    return path


def stopped(store: Path, done: int = 40_000, **changes: Any) -> Path:
    """A store with about so many networks of `small`."""
    with pytest.raises(Enough):
        small(**changes).run(store, workers=1, progress=stopped_after(done))
    return store


# ------------------------------------------------------------------------------------------------------------ the sweep


def test_a_plan_is_run_into_a_store_and_printed(capsys, plan, tmp_path, whole):
    out = run(capsys, "sweep", plan, "--store", tmp_path / "store", "--workers", 2, "--quiet")
    assert contents(tmp_path / "store") == contents(whole)
    assert out == str(load_sweep(tmp_path / "store").summary()) + "\n"
    again = run(capsys, "sweep", plan, "--store", tmp_path / "store", "--threads", 2)
    assert again == out


@pytest.mark.long
def test_processes_of_the_command_write_the_same_bytes(plan, tmp_path, whole):
    arguments = ("sweep", plan, "--store", tmp_path / "store", "--processes", "--workers", 2, "--quiet")
    status, out, err = finish(start(*arguments))
    assert (status, err) == (0, "")
    assert "width 16, ratio 1" in out
    assert contents(tmp_path / "store") == contents(whole)


def test_an_estimate_computes_nothing(capsys, plan, tmp_path):
    out = run(capsys, "sweep", plan, "--estimate", "--store", tmp_path / "store")
    assert "4 points, 8e+04 networks" in out
    assert "160 shards" in out
    assert not (tmp_path / "store").exists()


def test_a_prepared_store_is_ready_for_workers(capsys, plan, tmp_path, whole):
    out = run(capsys, "sweep", plan, "--store", tmp_path / "store", "--prepare")
    assert f"ready for: resmc worker {tmp_path / 'store'}" in out
    assert contents(tmp_path / "store") == {}
    out = run(capsys, "worker", tmp_path / "store", "--quiet")
    assert out == f"complete: 4 points, 80000 networks in {tmp_path / 'store'}\n"
    assert contents(tmp_path / "store") == contents(whole)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"networks": None}, "PLAN: networks is missing: give it, or target_stderr and max_networks"),
        ({"networks": 0}, "PLAN, line 5: networks=0 is out of range"),
        ({"wdth": 3}, "PLAN, line 7: 'wdth' is not a setting of a sweep: they are models, block"),
        ({"width": [8, "x"]}, "PLAN, line 1: width='x' is not allowed"),
        ({"width": None}, "PLAN: width is missing"),
        ({"method": "fast"}, "PLAN, line 7: method='fast' is not allowed"),
        ({"models": [3]}, "PLAN, line 7: models"),
    ],
)
def test_what_is_wrong_in_a_plan_is_said_with_its_line(capsys, tmp_path, changes, words):
    path = tmp_path / "plan.toml"
    path.write_text(as_toml(**changes), encoding="utf-8")
    for arguments in (("--store", tmp_path / "store"), ("--estimate",), ("--prepare", "--store", tmp_path / "store")):
        assert refusal(capsys, "sweep", path, *arguments).startswith(words.replace("PLAN", str(path)))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "PLAN cannot be read: No such file or directory"),
        (b"width = [8,\n", "PLAN: "),
        (b"width == 8\n", "PLAN: line 1: Invalid value"),
        (b"\xff\xfe\x00", "PLAN: it is no text in UTF-8"),
        (b"", "PLAN: width is missing"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(capsys, tmp_path, content, words):
    path = tmp_path / "plan.toml"
    if content is not None:
        path.write_bytes(content)
    assert refusal(capsys, "sweep", path, "--estimate").startswith(words.replace("PLAN", str(path)))
    assert "it is a directory" in refusal(capsys, "sweep", tmp_path, "--estimate")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--store is missing: say where the shards shall lie, or ask for --estimate"),
        (("--prepare",), "--store is missing"),
        (("--store", "STORE", "--processes", "--dask", "tcp://here:1"), "--processes is not allowed beside --dask"),
        (("--store", "STORE", "--device", "gpu"), "device='gpu' is not allowed: it must be 'auto', 'cpu', 'cuda'"),
        (("--store", "STORE", "--workers", "0"), "workers=0 is out of range"),
        (("--store", "STORE", "--threads", "0"), "threads=0 is out of range"),
        (("--store", "STORE", "--device", "cuda:99"), "device='cuda:99' is not available: "),
        (("--store", "FILE"), "store='FILE' is not allowed: it, or a folder above it, is a file"),
        (("--store", "FILE/below"), "store='FILE/below' is not allowed: it, or a folder above it, is a file"),
        (("--store", "FOLDER"), "store='FOLDER' is not allowed: it is a directory with other files in it"),
        (("--store", "FOLDER", "--prepare"), "store='FOLDER' is not allowed"),
        (("--estimate", "--device", "gpu"), "device='gpu' is not allowed"),
    ],
)
def test_wrong_arguments_of_a_sweep_are_refused(capsys, plan, tmp_path, arguments, words):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").touch()
    for name in ("store", "file", "folder"):
        arguments = [a.replace(name.upper(), str(tmp_path / name)) for a in arguments]
        words = words.replace(name.upper(), str(tmp_path / name))
    assert refusal(capsys, "sweep", plan, *arguments).startswith(words)


@pytest.mark.parametrize(
    "arguments",
    [("worker",), ("status",), ("merge",), ("show",), ("export", "--output", "O.nc"), ("export", "--output", "O.zarr")],
)
def test_what_is_no_store_is_refused_by_every_command(capsys, tmp_path, arguments):
    command, *more = [a.replace("O", str(tmp_path / "o"), 1) if a.startswith("O") else a for a in arguments]
    store = tmp_path / "store"
    missing, file = f"store={str(store)!r} does not exist", "is not a store"
    if command in ("show", "export"):  # they take saved simulations as well
        missing = f"{store} does not exist: give a saved simulation, or the directory of a sweep"
        file = "is not a resmc simulation"
    elif command == "merge":
        file = "--output is missing"
    assert refusal(capsys, command, store, *more) == missing
    (tmp_path / "empty").mkdir()
    assert "is not a store: it has no folder 'shards'" in refusal(capsys, command, tmp_path / "empty", *more)
    store.touch()
    assert file in refusal(capsys, command, store, *more)
    store.unlink()
    resmc.sweep.Store(store).create()
    assert "holds no plan yet: run a sweep into it" in refusal(capsys, command, store, *more)
    for text in ("{", "[]", '{"format": "other"}'):
        (store / "plan.json").write_text(text, encoding="utf-8")
        assert re.search("damaged|not the plan of a sweep", refusal(capsys, command, store, *more))
    newer = small().to_dict() | {"schema_version": 99}
    (store / "plan.json").write_text(json.dumps(newer), encoding="utf-8")
    assert "the plan has schema version 99" in refusal(capsys, command, store, *more)
    assert not list(tmp_path.glob("o*"))


def test_the_plan_in_the_help_is_one(tmp_path):
    text = cli_sweep.SWEEP_EXAMPLE.split("\n\n")[0].partition("\n")[2]
    (tmp_path / "growth.toml").write_text(text, encoding="utf-8")
    assert len(Sweep.from_toml(tmp_path / "growth.toml").models) == 32


# ------------------------------------------------------------------------------------------------------------ its state


def test_status_says_how_far_a_sweep_is(capsys, whole, tmp_path):
    out = run(capsys, "status", whole)
    assert "4 of 4 points complete, 80000 of 80000 networks\n160 shards" in out
    found = json.loads(run(capsys, "status", whole, "--json"))
    assert (found["points"], found["points_complete"], found["pilots_missing"]) == (4, 4, 0)
    assert (found["networks"], found["networks_wanted"], found["shards"]) == (80_000, 80_000, 160)
    assert (found["of_other_plans"], found["at_work"], found["damaged"]) == (0, 0, [])
    assert sum(found["classes"].values()) == 160
    store = stopped(tmp_path / "store")
    found = json.loads(run(capsys, "status", store, "--json"))
    assert found["points_complete"] < 4
    assert 40_000 <= found["networks"] < found["networks_wanted"] == 80_000


def test_status_names_what_is_damaged_and_changes_nothing(capsys, tmp_path):
    store = stopped(tmp_path / "store")
    file = next((store / "shards").rglob("*.resmc"))
    file.write_bytes(file.read_bytes()[:-100])
    before = contents(store)
    for _ in range(2):
        assert f"damaged: {file.name}" in run(capsys, "status", store, status=1)
    assert json.loads(run(capsys, "status", store, "--json", status=1))["damaged"] == [file.name]
    assert json.loads(run(capsys, "status", store, "--json", status=1))["of_other_plans"] == 0
    assert contents(store) == before


def test_status_counts_pilots_claims_and_shards_of_other_plans(capsys, tmp_path):
    given: dict[str, Any] = {"depth": 4, "alpha": 0.6, "lam": 0.8, "max_networks": 1000}
    store = tmp_path / "store"
    Sweep(width=8, target_stderr={"growth": 1e-9}, **given).run(store, progress=False)
    path = tmp_path / "plan.toml"
    path.write_text(
        "width = [8, 16]\ndepth = 4\nalpha = 0.6\nlam = 0.8\nmax_networks = 1000\n[target_stderr]\ngrowth = 1e-9\n",
        encoding="utf-8",
    )
    run(capsys, "sweep", path, "--store", store, "--prepare")
    (store / "claims" / "shard").write_text("00000000-1", encoding="ascii")  # of another host
    out = run(capsys, "status", store)
    assert "1 of 2 points complete, 1000 of so far unknown networks" in out
    assert "1 pilot still to run" in out
    assert "1 being computed" in out
    found = json.loads(run(capsys, "status", store, "--json"))
    assert (found["networks_wanted"], found["pilots_missing"], found["of_other_plans"]) == (None, 1, 0)
    path.write_text(as_toml(networks=100), encoding="utf-8")
    assert "which this one does not extend" in refusal(capsys, "sweep", path, "--store", store, "--prepare")
    run(capsys, "sweep", path, "--store", store, "--prepare", "--replace")
    out = run(capsys, "status", store)
    assert "2 shards are not used by this plan\nplans before this one: plans/0001.json, plans/0002.json" in out
    found = json.loads(run(capsys, "status", store, "--json"))
    assert found["earlier_plans"] == ["plans/0001.json", "plans/0002.json"]


# ------------------------------------------------------------------------------------------------------ stores together


def test_two_halves_come_together(capsys, tmp_path, whole):
    small(width=[8]).run(tmp_path / "a", progress=False)
    small(width=[16]).run(tmp_path / "b", progress=False)
    small().run(tmp_path / "all", progress=False)
    (tmp_path / "plan.toml").write_text(as_toml(), encoding="utf-8")
    run(capsys, "sweep", tmp_path / "plan.toml", "--store", tmp_path / "joined", "--prepare")
    assert "INCOMPLETE" in run(capsys, "merge", tmp_path / "joined", tmp_path / "a")
    out = run(capsys, "merge", tmp_path / "joined", tmp_path / "a", tmp_path / "b")
    assert contents(tmp_path / "joined") == contents(whole)
    assert out.split("\n\n", 1)[1] == str(load_sweep(whole).summary()).split("\n\n", 1)[1] + "\n"


def test_stopped_halves_come_together_and_the_same_twice_is_harmless(capsys, tmp_path, whole):
    first = stopped(tmp_path / "first", 30_000)
    second = tmp_path / "second"
    small().run(second, progress=False)
    for path in sorted((second / "shards").rglob("*.resmc"))[::2]:  # what the first may have, or not
        path.unlink()
    there, missing = contents(first), set(contents(second)) - set(contents(first))
    assert cli.main(["merge", str(first), str(second)]) == 0
    assert capsys.readouterr().err == f"{len(missing)} shards brought into {first}\n"
    assert contents(first) == there | contents(second)
    for others in ([second], [second, second], [first]):
        assert cli.main(["merge", str(first), *map(str, others)]) == 0
        assert capsys.readouterr().err == f"0 shards brought into {first}\n"
    assert small().run(first, progress=False).complete
    assert contents(first) == contents(whole)


def test_merging_into_nothing_makes_a_store_with_the_plan(capsys, tmp_path, whole):
    out = run(capsys, "merge", tmp_path / "new", whole)
    assert "INCOMPLETE" not in out
    assert contents(tmp_path / "new") == contents(whole)


def test_merge_takes_nothing_that_is_damaged_or_no_store(capsys, tmp_path):
    store, other = stopped(tmp_path / "store"), tmp_path / "other"
    small().run(other, progress=False)
    before = contents(store)
    for path, words in ((tmp_path / "nothing", "does not exist"), (tmp_path, "is not a store")):
        assert refusal(capsys, "merge", store, other, path).endswith((words, "it has no folder 'shards'"))
        assert contents(store) == before  # also of the other, which would have been sound
    file = max((other / "shards").rglob("*.resmc"), key=lambda path: path.name not in before)
    file.write_bytes(b"x" + file.read_bytes()[1:])
    words = refusal(capsys, "merge", store, other)
    assert file.name in words
    assert words.endswith(f"run the sweep in {other} once more, which mends it")
    assert file.name not in contents(store)


# --------------------------------------------------------------------------------------------------------------- export


@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_an_export_reads_back_as_the_sweep(capsys, tmp_path, ending):
    xarray = pytest.importorskip("xarray")
    engine = {"nc": "h5netcdf", "zarr": "zarr"}[ending]
    pytest.importorskip(engine)
    coarse = {"networks": 2000, "shard_updates": 10**9}  # a shard for each point
    store, output = stopped(tmp_path / "store", 1, **coarse), tmp_path / f"out.{ending}"
    assert f"written to {output} (INCOMPLETE)" in run(capsys, "export", store, "--output", output)
    with xarray.open_dataset(output, engine=engine) as found:
        assert found.attrs["complete"] == 0
        xarray.testing.assert_identical(found.load(), load_sweep(store).to_xarray())
    small(**coarse).run(store, progress=False)
    out = run(capsys, "export", store, "--output", output, "--laws")  # the old one is replaced
    assert out.endswith(f"written to {output}\n")
    with xarray.open_dataset(output, engine=engine) as found:
        xarray.testing.assert_identical(found.load(), load_sweep(store).to_xarray(laws=True))


def test_a_narrow_terminal_gets_a_paragraph_for_each_point(capsys, monkeypatch, whole):
    wide = run(capsys, "merge", whole)
    monkeypatch.setenv("COLUMNS", "60")
    narrow = run(capsys, "merge", whole)
    assert max(map(len, narrow.splitlines()[3:])) <= 60 < max(map(len, wide.splitlines()[3:]))
    assert sorted(re.findall(r"\S+ \+- \S+ \(\S+ \S+\)", narrow)) == sorted(
        re.findall(r"\S+ \+- \S+ \(\S+ \S+\)", wide)
    )


def test_shards_that_nobody_uses_are_named(capsys, tmp_path, whole):
    other = tmp_path / "other"
    small(width=[9], networks=50).run(other, progress=False)
    shutil.copytree(whole, tmp_path / "store")
    assert cli.main(["merge", str(tmp_path / "store"), str(other)]) == 0
    assert (
        f"{len(contents(other))} shards there are not used by its plan: run one that has them"
        in capsys.readouterr().err
    )


def test_an_export_that_cannot_be_written_is_refused(capsys, tmp_path, whole):
    for name in ("out", "out.tsv", "out.nc.gz"):
        words = refusal(capsys, "export", whole, "--output", tmp_path / name)
        assert words == f"output={str(tmp_path / name)!r} is not allowed: it must end in .nc, .zarr, .csv or .json"
    for ending in ("nc", "zarr"):
        words = refusal(capsys, "export", whole, "--output", tmp_path / "nowhere" / f"out.{ending}")
        assert words.endswith("is not allowed: its folder does not exist")
    (tmp_path / "a.nc").mkdir()
    assert refusal(capsys, "export", whole, "--output", tmp_path / "a.nc").endswith("is not allowed: it is a folder")
    (tmp_path / "a.zarr").touch()
    assert refusal(capsys, "export", whole, "--output", tmp_path / "a.zarr").endswith("it is a file")
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "thesis.tex").touch()
    assert "it is a folder with other files" in refusal(capsys, "export", whole, "--output", tmp_path / "b.zarr")
    assert (tmp_path / "b.zarr" / "thesis.tex").exists()


# ------------------------------------------------------------------------------------------------------------- examples


def test_the_example_plan_is_what_its_comments_say():
    plan = Sweep.from_toml(EXAMPLES / "growth.toml")
    assert plan == Sweep(
        width=[50, 100, 200], ratio=[0.25, 0.5, 1, 2], alpha=0.5**0.5, lam=0.5**0.5,
        variant=["vanilla", "balanced"], networks=1e6,
    )  # fmt: skip


def test_weights_as_an_option_of_a_sweep_are_refused_with_the_way_to_say_them_in_its_file(tmp_path, capsys):
    weights = cli_sweep.WEIGHTS_IN_TOML
    plan = tmp_path / "plan.toml"
    plan.write_text(f'width = 4\ndepth = 3\nblock = "v-phi-w"\nnetworks = 20\n{weights}\n', encoding="utf-8")
    assert cli.main(["sweep", str(plan), "--weights", "tied"]) == 2
    said = capsys.readouterr().err
    assert said == f"resmc: --weights is not allowed: a sweep has its weights in {plan}, as {weights}\n"
    assert cli.main(["sweep", str(plan), "--store", str(tmp_path / "store"), "--quiet"]) == 0  # what it says works
    assert "fractional noise (H = 0.3)" in capsys.readouterr().out
