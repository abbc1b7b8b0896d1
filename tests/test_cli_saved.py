"""What commands say in JSON has the documented keys, and what was saved is shown, merged, exported and reported."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import commands
import pytest
from commands import answer, contents_of, documented, has_frames, refusal, run, strict
from sweeps import as_toml, contents, small

import resmc
from resmc import ResidualNetwork

pytestmark = pytest.mark.cpu

SIMULATE = ("simulate", "--width=8", "--depth=4", "--networks=40", "--quiet")

COARSE: dict[str, Any] = {"width": [8, 16], "ratio": [0.5], "networks": 100, "shard_updates": 10**9}


SIMULATION = "simulate, merge of simulations, show of a simulation"
SWEEP = "sweep, merge of stores, show of a store"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A saved simulation of a general network."""
    model = ResidualNetwork(8, 4, "v-phi-w", "tanh")
    resmc.simulate(model, networks=40, progress=False).save(tmp_path / "run.resmc")
    return tmp_path / "run.resmc"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store of two points."""
    path = tmp_path_factory.mktemp("cli") / "store"
    assert small(**COARSE).run(path, workers=1, progress=False).complete
    return path


# ------------------------------------------------------------------------------------------------- JSON of all commands


def test_show_prints_the_summary_of_what_was_saved(capsys, saved, store):
    assert run(capsys, "show", saved) == str(resmc.load(saved).summary()) + "\n"
    assert run(capsys, "show", store) == str(resmc.load_sweep(store).summary()) + "\n"


def test_json_of_simulations_has_the_documented_keys(capsys, saved, tmp_path):
    for arguments in (
        SIMULATE,
        (*SIMULATE, "--block=phi-out", "--gradients", "--output", tmp_path / "a.resmc"),
        ("show", saved),
        ("merge", saved, "--output", tmp_path / "b.resmc"),
    ):
        found = answer(capsys, *arguments)
        assert set(found) == documented(SIMULATION)
        for row in found["quantities"]:
            assert set(row) >= documented(SIMULATION, "A quantity:")
        assert found["quantities"] == strict(json.dumps(found["quantities"]))


def test_a_number_without_error_is_null_in_json(capsys):
    """Thirty networks have no standard errors, and a dead network has no logarithm."""
    found = answer(capsys, *SIMULATE[:3], "--networks=3", "--quiet", "--alpha=0", "--lam=1", "--width=1", "--depth=20")
    assert {row["stderr"] for row in found["quantities"]} == {None}
    assert None in {row["value"] for row in found["quantities"]}


def test_json_of_sweeps_lists_every_point_with_its_documented_keys(capsys, store, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text(as_toml(**COARSE), encoding="utf-8")
    whole = resmc.load_sweep(store)
    shown = answer(capsys, "show", store)
    assert shown == answer(capsys, "merge", store)
    again = answer(capsys, "sweep", plan, "--store", tmp_path / "store", "--quiet", "--workers=1")
    assert again["points"] == shown["points"]
    assert set(shown) == set(again) == documented(SWEEP)
    assert len(shown["points"]) == 2
    for i, point in enumerate(shown["points"]):
        assert set(point) == documented(SWEEP, "A point:")
        assert point["model"] == whole.plan.models[i].to_dict()
        assert (point["seed"], point["networks"]) == (whole.plan.seeds[i], 100)
        assert list(point["quantities"]) == list(whole.estimates)
        for name, found in point["quantities"].items():
            assert set(found) == {"value", "stderr", "n", "exact", "limit", "second_order"}
            assert found["value"] == whole.estimates[name].value.ravel()[i]
    assert contents(tmp_path / "store") == contents(store)


def test_json_of_the_other_commands_has_the_documented_keys(capsys, store, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text(as_toml(**COARSE), encoding="utf-8")
    expected = resmc.load_sweep(store).plan.to_dict()
    found = answer(capsys, "sweep", plan, "--estimate")
    assert set(found) == documented("sweep --estimate")
    assert (found["points"], found["networks"], found["upper_bound"]) == (2, 200, False)
    found = answer(capsys, "sweep", plan, "--store", tmp_path / "store", "--prepare")
    assert set(found) == documented("sweep --prepare")
    assert found["plan"] == json.loads(json.dumps(expected))
    found = answer(capsys, "worker", tmp_path / "store", "--quiet")
    assert set(found) == documented("worker")
    assert (found["points"], found["networks"]) == (2, 200)
    found = answer(capsys, "status", tmp_path / "store")
    assert set(found) == documented("status")
    assert (found["points_complete"], found["damaged"]) == (2, [])
    assert set(answer(capsys, "doctor")) == documented("doctor")


def test_the_page_on_json_is_read(tmp_path, monkeypatch):
    """Negative control: keys are taken from the right table, and a missing section is an error."""
    page = tmp_path / "cli.md"
    page.write_text(
        "# A\n\n### x\n\n| key | holds |\n| - | - |\n| `a` | 1 |\n\nMore:\n\n| `b` | 2 |\n\n### y\n\n| `c` | 3 |\n"
    )
    monkeypatch.setattr(commands, "PAGE", page)
    assert (documented("x"), documented("x", "More:"), documented("y")) == ({"a"}, {"b"}, {"c"})
    for wrong in (("z",), ("x", "Less:")):
        with pytest.raises((ValueError, AssertionError)):
            documented(*wrong)


# ---------------------------------------------------------------------------------------------------- what was saved


def test_merging_files_gives_the_file_of_the_python_call(capsys, tmp_path):
    files = [tmp_path / f"{k}.resmc" for k in range(3)]
    for k, file in enumerate(files):
        run(capsys, *SIMULATE, "--block=v-phi-w", f"--first-network={40 * k}", "--output", file)
    out = run(capsys, "merge", *files, "--output", tmp_path / "all.resmc")
    assert out.endswith(f"\n\nsaved to {tmp_path / 'all.resmc'}\n")
    expected = resmc.merge(*map(resmc.load, files))
    assert (tmp_path / "all.resmc").read_bytes() == contents_of(expected)
    run(capsys, "merge", *files, "--output", files[0])  # an input may be replaced
    assert files[0].read_bytes() == contents_of(expected)


def test_merges_that_are_refused(capsys, saved, store, tmp_path):
    out = tmp_path / "out.resmc"
    words = refusal(capsys, "merge", saved, store, "--output", out)
    assert words == f"{store} is not allowed beside {saved}: merge takes saved simulations, or stores of sweeps"
    assert (
        refusal(capsys, "merge", saved, saved) == "--output is missing: say where the merged simulation shall be saved"
    )
    assert "overlap" in refusal(capsys, "merge", saved, saved, "--output", out)
    words = refusal(capsys, "merge", store, store, "--output", out)
    assert words == f"--output is not allowed with stores of sweeps: the shards of the others are brought into {store}"
    missing = tmp_path / "none.resmc"
    words = f"{missing} does not exist: give a saved simulation, or the directory of a sweep"
    assert refusal(capsys, "merge", saved, missing, "--output", out) == words
    assert refusal(capsys, "merge", missing, missing, "--output", out) == words
    assert refusal(capsys, "merge", saved, "--output", tmp_path).endswith("it is a folder")
    assert not out.exists()


@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_a_simulation_is_exported_as_its_data_set(capsys, saved, tmp_path, ending):
    xarray = pytest.importorskip("xarray")
    engine = {"nc": "h5netcdf", "zarr": "zarr"}[ending]
    pytest.importorskip(engine)
    output = tmp_path / f"out.{ending}"
    for _ in range(2):  # the second one replaces the first
        assert run(capsys, "export", saved, "--output", output) == f"written to {output}\n"
    with xarray.open_dataset(output, engine=engine) as found:
        xarray.testing.assert_equal(found.load(), resmc.load(saved).to_xarray())
    found = answer(capsys, "export", saved, "--output", output)
    assert found == {"kind": "simulation", "run": str(saved), "output": str(output), "complete": True}
    assert set(found) == documented("export, report")


frames = pytest.mark.skipif(not has_frames(), reason="pandas is not installed")


@frames
@pytest.mark.parametrize("kind", ["simulation", "sweep"])
def test_tables_are_exported_with_every_digit(capsys, saved, store, tmp_path, kind):
    run_of = {"simulation": saved, "sweep": store}[kind]
    result: Any = resmc.load(saved) if kind == "simulation" else resmc.load_sweep(store)
    expected = result.to_dataframe()
    if any(name is not None for name in expected.index.names):
        expected = expected.reset_index()
    assert f"written to {tmp_path / 'out.csv'}\n" in run(capsys, "export", run_of, "--output", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == list(expected.columns)
    run(capsys, "export", run_of, "--output", tmp_path / "out.json")
    found = strict((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (found["command"], found["version"], found["kind"]) == ("export", resmc.__version__, kind)
    assert len(found["rows"]) == len(read) == len(expected)
    numbers = [name for name in expected.columns if expected[name].dtype.kind == "f"]
    assert numbers
    for name in numbers:
        column = expected[name].tolist()
        assert [row[name] for row in read] == ["" if x != x else repr(x) for x in column]
        assert [row[name] for row in found["rows"]] == [x if abs(x) < float("inf") else None for x in column]


@frames
def test_a_table_without_pandas_is_refused_in_a_sentence(capsys, saved, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "pandas" in refusal(capsys, "export", saved, "--output", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_exports_that_are_refused(capsys, saved, store, tmp_path):
    words = refusal(capsys, "export", saved, "--output", tmp_path / "out.xls")
    assert words.endswith("out.xls' is not allowed: it must end in .nc, .zarr, .csv or .json")
    words = refusal(capsys, "export", store, "--output", tmp_path / "out.csv", "--laws")
    assert words == "--laws is not allowed with .csv: a table has no distances; .nc and .zarr have"
    assert refusal(capsys, "export", saved, "--output", tmp_path / "no" / "out.csv").endswith(
        "its folder does not exist"
    )
    for command in (("show",), ("export", "--output", tmp_path / "out.nc")):
        saved.write_bytes(b"x")
        assert "is not a resmc simulation" in refusal(capsys, command[0], saved, *command[1:])


def test_a_report_says_in_json_what_was_written(capsys, store, saved, tmp_path, monkeypatch):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    import resmc.report

    monkeypatch.setattr(resmc.report, "write", lambda result, path: None)
    page = tmp_path / "page.html"
    for kind, path in (("simulation", saved), ("sweep", store)):
        found = answer(capsys, "report", path, "--output", page)
        assert found == {"kind": kind, "run": str(path), "output": str(page), "complete": True}
