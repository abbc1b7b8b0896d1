"""The command line: any network as in Python, the same JSON keys as documented, and a sentence for what is refused."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import refusal, run
from sweeps import as_toml, contents, small

import resmc
from resmc import DepthScaling, ResidualNetwork, cli
from resmc.experiments.regime import DEPTHS
from resmc.models.activations import ACTIVATIONS

pytestmark = pytest.mark.cpu

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
SIMULATE = ("simulate", "--width=8", "--depth=4", "--networks=40", "--quiet")
REGIME = ("regime", "--width=8", "--depths=4,8,16", "--networks=64", "--quiet")
LIMIT = ("limit", "--width=4", "--networks=64", "--steps=8", "--quiet")
COARSE: dict[str, Any] = {"width": [8, 16], "ratio": [0.5], "networks": 100, "shard_updates": 10**9}


def strict(text: str) -> Any:
    """Read JSON; a NaN or an infinity, which Python's reader would take, is an error."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def answer(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    """The JSON object that a command prints, which begins as all do."""
    found: dict[str, Any] = strict(run(capsys, *arguments, "--json"))
    assert list(found)[:2] == ["command", "version"]
    assert (found.pop("command"), found.pop("version")) == (arguments[0], resmc.__version__)
    return found


def documented(heading: str, after: str = "") -> set[str]:
    """The keys in the table of the page's section that begins so, or in the table after a line in it."""
    page = PAGE.read_text(encoding="utf-8")
    (section,) = (part for part in page.split("\n### ") if part.startswith(heading + "\n"))
    table = section.partition(f"\n{after}\n\n" if after else "\n\n")[2].partition("\n\n")[0]
    keys = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert keys
    return set(keys)


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


# ------------------------------------------------------------------------------------------------------------ the model


GENERAL: dict[str, tuple[tuple[str, ...], ResidualNetwork]] = {
    "defaults but the block": (("--block=phi-in",), ResidualNetwork(8, 4)),
    "bias": (("--bias", "0.1"), ResidualNetwork(8, 4, bias=0.1)),
    "power": (
        ("--block=v-phi-w", "--activation=tanh", "--beta=1", "--c", "-1e-1", "--carry=0.5"),
        ResidualNetwork(8, 4, "v-phi-w", "tanh", 0.5, DepthScaling(1.0, -0.1)),
    ),
    "inside": (
        ("--block=phi-out", "--activation=gelu", "--inside"),
        ResidualNetwork(8, 4, "phi-out", "gelu", scaling=DepthScaling(0.5, inside=True)),
    ),
    "by layer": (("--scaling", "-0.1,.2,0.3,4e-1"), ResidualNetwork(8, 4, scaling=(-0.1, 0.2, 0.3, 0.4))),
    "dense": (
        ("--weights=rademacher", "--input", "-1,2,0.5", "--n-out=3", "--method=dense"),
        ResidualNetwork(8, 4, weights="rademacher", input=(-1.0, 2.0, 0.5), n_out=3),
    ),
    "input norm": (
        ("--activation=sigmoid", "--input-norm=2"),
        ResidualNetwork(8, 4, "phi-in", "sigmoid", input_norm=2),
    ),
}


@pytest.mark.parametrize("name", GENERAL)
def test_general_options_give_the_bits_of_the_python_call(capsys, tmp_path, name):
    options, model = GENERAL[name]
    run(capsys, *SIMULATE, *options, "--output", tmp_path / "a.resmc")
    method = "dense" if name == "dense" else "projected"
    resmc.simulate(model, networks=40, method=method, progress=False).save(tmp_path / "b.resmc")
    assert (tmp_path / "a.resmc").read_bytes() == (tmp_path / "b.resmc").read_bytes()
    assert resmc.load(tmp_path / "a.resmc").model == model


def test_no_general_option_gives_the_log_gaussian_network_of_before(capsys):
    found = answer(capsys, *SIMULATE, "--input-norm=2")
    assert found["model"] == resmc.ResNet(8, 4, 0.5**0.5, 0.5**0.5, input_norm=2.0).to_dict()
    found = answer(capsys, *SIMULATE, "--alpha", "-1e-1", "--lam=1", "--variant=balanced")
    assert found["model"] == resmc.ResNet(8, 4, -0.1, 1.0, "balanced").to_dict()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--alpha=1", "--carry=1"), "--carry is not allowed beside --alpha: "),
        (("--lam=1", "--block=phi-in", "--c=2"), "--block is not allowed beside --lam: "),
        (("--inside", "--variant=vanilla"), "--inside is not allowed beside --variant: "),
        (("--scaling=1,1,1,1", "--c=2"), "--c is not allowed beside --scaling: --scaling says it already"),
        (("--inside", "--scaling=1,1,1,1"), "--inside is not allowed beside --scaling"),
        (("--input=1,2", "--input-norm=1"), "--input-norm is not allowed beside --input: --input says it already"),
        (("--scaling=1,2",), "scaling has 2 entries: it must have one for each of depth=4 layers"),
        (("--scaling=1;2",), "scaling='1;2' is not allowed: it must look like 0.1,0.2,0.1, a number for each layer"),
        (("--input=one",), "input='one' is not allowed: it must look like 0.5,-1,2"),
        (("--input=nan",), "input is not allowed to hold infinite numbers or NaN"),
        (("--block=phi",), "block='phi' is not allowed: it must be one of 'phi-in', 'phi-out', 'v-phi-w'"),
        (("--activation=softmax",), "activation='softmax' is not allowed: "),
        (("--activation=leaky_relu(x)",), "activation='leaky_relu(x)' is not allowed: parameters must be numbers"),
        (("--activation={",), "activation='{' is not allowed: it must be what Activation.to_dict gives"),
        (("--inside",), "scaling inside is not allowed with block='phi-in': only with 'phi-out'"),
        (("--c=0",), "c=0.0 is not allowed: no layer would do anything"),
        (("--weights=uniform", "--method=projected"), "weights='uniform' are not allowed with method='projected'"),
        (("--weights={",), "weights='{' is not allowed: it must look like {"),
        (('--weights={"law": "uniform", "depth": {"process": "smooth"}}',), "law='uniform' is not allowed with depth="),
        (("--gradients", "--no-displacement"), "displacement=False is not allowed with gradients=True"),
    ],
)
def test_networks_that_are_refused(capsys, options, words):
    assert refusal(capsys, *SIMULATE, *options).startswith(words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*REGIME, "--carry=0.5"), "carry=0.5 is not allowed: a regime needs 1"),
        ((*REGIME, "--depths=4,8"), "depths"),
        ((*REGIME, "--depths=4,x"), "depths='4,x' is not allowed: it must look like 10,30,100"),
        ((*REGIME, "--networks=3"), "networks=3 is out of range"),
        ((*REGIME, "--threshold=-1"), "threshold=-1.0"),
        ((*REGIME, "--output=page.pdf"), "output='page.pdf' is not allowed: it must end in .html"),
        ((*REGIME, "--output=/nowhere/page.html"), "output='/nowhere/page.html' is not allowed: its folder"),
        ((*LIMIT, "--beta=1"), "beta=1.0 has the input itself as its limit"),
        ((*LIMIT, "--steps=7"), "steps=7 is not allowed: it must be even"),
        ((*LIMIT, "--h0=1,2"), "h0 of shape (2,) is not allowed: it must have width=4 entries"),
        ((*LIMIT, "--h0=x"), "h0='x' is not allowed: it must look like 0.5,-1,2"),
    ],
)
def test_what_regime_and_limit_refuse(capsys, arguments, words):
    assert refusal(capsys, *arguments).startswith(words)


def has_frames() -> bool:
    """Return True if pandas is installed, which tables need."""
    return importlib.util.find_spec("pandas") is not None


@pytest.mark.parametrize(
    "block", ["v-phi-w", *(pytest.param(b, marks=pytest.mark.long) for b in ("phi-in", "phi-out"))]
)
def test_every_network_is_simulated_shown_exported_and_merged(capsys, tmp_path, block):
    whole, parts = tmp_path / "whole.resmc", [tmp_path / f"{k}.resmc" for k in (0, 1)]
    for activation in ACTIVATIONS:
        options = (f"--block={block}", f"--activation={activation}", "--width=4", "--depth=3", "--quiet")
        for k, part in enumerate(parts):
            run(capsys, "simulate", *options, f"--first-network={5 * k}", "--networks=5", "--output", part)
        merged = answer(capsys, "merge", *parts, "--output", whole)
        assert merged.pop("output") == str(whole)
        shown = answer(capsys, "show", whole)
        assert shown.pop("output") is None
        assert shown == merged
        assert (shown["networks"], shown["ranges"]) == (10, [[0, 10]])
        assert (shown["model"]["block"], shown["model"]["activation"]) == (block, activation)
        assert whole.read_bytes() == contents_of(resmc.merge(*map(resmc.load, parts)))
        if has_frames():
            run(capsys, "export", whole, "--output", tmp_path / "whole.json")
            found = strict((tmp_path / "whole.json").read_text(encoding="utf-8"))
            assert (found["model"], found["ranges"]) == (shown["model"], [[0, 10]])
            assert found["rows"]


def contents_of(sim: resmc.Simulation) -> bytes:
    from resmc.results.storage import to_bytes

    return to_bytes(sim)


# ----------------------------------------------------------------------------------------------------- regime and limit


def test_regime_prints_and_records_what_the_python_call_says(capsys):
    model = ResidualNetwork(8, 1, "v-phi-w", "tanh", scaling=DepthScaling(1.0))
    expected = resmc.regime(model, (4, 8, 16), networks=64, seed=3, threshold=0.1, progress=False)
    options = (*REGIME, "--block=v-phi-w", "--activation=tanh", "--beta=1", "--seed=3", "--threshold=0.1")
    assert run(capsys, *options) == str(expected.summary()) + "\n"
    found = answer(capsys, *options)
    assert set(found) == documented("regime")
    assert set(found["forward"]) == set(found["backward"]) == documented("regime", "A verdict:")
    assert (found["forward"]["sentence"], found["backward"]["name"]) == (
        expected.forward.sentence, expected.backward.name,
    )  # fmt: skip
    assert [row["depth"] for row in found["depths"]] == [4, 8, 16]
    assert [row["gradient"]["value"] for row in found["depths"]] == expected.gradient.value.tolist()
    assert "depth" not in found["model"]


def test_the_default_depths_in_the_help_are_those_of_python():
    (commands,) = (a for a in cli.parser()._actions if a.dest == "command")
    assert f"(default: {','.join(map(str, DEPTHS))})" in commands.choices["regime"].format_help()


def test_regime_writes_its_page_after_the_work_and_says_where(capsys, tmp_path, monkeypatch):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    import resmc.report

    written: list[tuple[Any, Path]] = []
    monkeypatch.setattr(resmc.report, "write", lambda found, path: written.append((found, path)))
    page = tmp_path / "regime.html"
    assert run(capsys, *REGIME, "--output", page).endswith(f"\n\nwritten to {page}\n")
    assert answer(capsys, *REGIME, "--output", page)["output"] == str(page)
    assert [(type(found).__name__, path) for found, path in written] == [("Regime", page)] * 2


def test_verdicts_are_printed_even_if_their_page_cannot_be_written(capsys, tmp_path, monkeypatch):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    import resmc.report

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resmc.report, "write", full)
    assert cli.main([*REGIME, "--output", str(tmp_path / "regime.html")]) == 2
    out, err = capsys.readouterr()
    assert "backward: " in out
    assert "written" not in out
    assert err == "resmc: standard output cannot be written to: No space left on device\n"


def test_limit_prints_and_records_what_the_python_call_says(capsys):
    model = ResidualNetwork(4, 1, "phi-out", "tanh", scaling=DepthScaling(0.5, 0.5), bias=0.1)
    options = (*LIMIT, "--block=phi-out", "--activation=tanh", "--c=0.5", "--bias=0.1", "--seed=2", "--h0", "-1,2,3,4")
    given: dict[str, Any] = {"networks": 64, "seed": 2, "steps": 8, "h0": [-1, 2, 3, 4], "progress": False}
    expected = resmc.limit(model, **given)
    assert run(capsys, *options) == str(expected.summary()) + "\n"
    found = answer(capsys, *options)
    assert set(found) == documented("limit")
    assert found["quantities"][0]["estimate"]["value"] == float(expected.growth.mean.value)
    assert {"quantity", "name", "estimate", "refinement", "exact", "z_score"} <= set(found["quantities"][0])
    fewer = answer(capsys, *options, "--no-gradients")["quantities"]
    assert {row["quantity"] for row in found["quantities"]} - {row["quantity"] for row in fewer} >= {
        "mean log |p_0|^2/|p_d|^2"
    }


def test_limit_of_tied_weights_records_how_networks_tend_to_their_equations(capsys):
    tied = resmc.Weights(depth="tied")
    model = ResidualNetwork(4, 1, "phi-out", "tanh", scaling=DepthScaling(1.0), weights=tied)
    options = ("limit", "--width=4", "--quiet", "--block=phi-out", "--activation=tanh", "--beta=1")
    options = (*options, "--weights", json.dumps(tied.to_dict()), "--networks=32", "--depths=8,16")
    expected = resmc.limit(model, networks=32, depths=(8, 16), progress=False)
    assert run(capsys, *options) == str(expected.summary()) + "\n"
    found = answer(capsys, *options)
    besides = documented("limit", "Where networks were compared with their own equations, besides:")
    assert set(found) == (documented("limit") | besides) - {"steps", "exploded"}
    assert [row["depth"] for row in found["distances"]] == [8, 16]
    assert found["forward_slope"]["value"] == float(expected.convergence.forward_slope.value)
    assert {"name", "mean", "variance", "median"} <= set(found["quantities"][0])


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
    monkeypatch.setitem(globals(), "PAGE", page)
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


# ------------------------------------------------------------------------------------------------------------- the rest


def test_resmc_alone_prints_its_help(capsys):
    out = run(capsys)
    assert out == cli.parser().format_help()
    for command in ("simulate", "regime", "limit", "show", "merge", "export", "report", "sweep", "doctor"):
        assert re.search(rf"^    {command} ", out, re.MULTILINE)


def test_every_command_takes_json():
    (commands,) = (a for a in cli.parser()._actions if a.dest == "command")
    assert [name for name, parser in commands.choices.items() if "--json" not in parser._option_string_actions] == []


def test_ctrl_c_ends_a_command_with_130(capsys, monkeypatch):
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("resmc.cli.simulate.simulate", interrupted)
    assert cli.main(list(SIMULATE)) == 130
    assert capsys.readouterr() == ("", "resmc: interrupted\n")
