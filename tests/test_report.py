"""The page of a simulation: whole, by itself, the same each time; and its command gives the same bits."""

from __future__ import annotations

import builtins
import dataclasses
import hashlib
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reports import HALF, Page, bare, bare_page_of, page_of, simulation

import resmc
from resmc import cli
from resmc._system.build import VARIABLE

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
from resmc.report import colours, render, reproduce, write

pytestmark = pytest.mark.cpu

SIMULATIONS: dict[str, dict[str, Any]] = {
    "vanilla": {},
    "balanced": {"variant": "balanced"},
    "one network": {"networks": 1},
    "few": {"networks": 20},
    "dying": {"width": 3, "depth": 20, "alpha": 0.0, "lam": 1.0, "keep_trajectories": 7, "keep_samples": 5},
    "all dead": {"width": 1, "depth": 40, "alpha": 0.0, "lam": 1.0, "networks": 200},
    "no residual branch": {"lam": 0.0, "alpha": 1.0},
    "no correlations": {"correlations": False, "networks": 500},
    "unreliable": {"width": 4, "depth": 200, "networks": 2000},
    "huge": {"alpha": 2.0, "lam": 3.0, "depth": 600, "networks": 500, "layers": tuple(range(0, 600, 50))},
    "negative": {"alpha": -1e-5, "lam": 1.0, "input_norm": 1e-3, "n_out": 3, "networks": 300},
    "one layer": {"depth": 1, "networks": 300},
    "some layers": {"layers": (3, 7), "networks": 300},
    "a scale of two names": {"lam": 0.030589983033553536, "networks": 300},
}


@pytest.fixture(scope="module", params=list(SIMULATIONS))
def page(request: pytest.FixtureRequest) -> Page:
    """Figures take most of a page's time, and these kinds of simulations have all kinds of them."""
    drawn = request.param in ("vanilla", "balanced", "dying", "all dead", "few", "one network", "unreliable")
    return (page_of if drawn else bare_page_of)(**SIMULATIONS[request.param])


def test_a_page_is_well_formed_and_stands_by_itself(page: Page):
    assert page.source.startswith("<!doctype html>\n")
    assert page.all("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "srcset", "data"):
                assert value is not None
                assert value.startswith(("data:", "#")), (tag, name, value[:80])
                if value.startswith("#"):
                    assert value[1:] in ids, value
            if name in ("aria-labelledby", "aria-describedby"):
                assert value in ids
    assert "@import" not in page.source
    assert "://" not in page.source
    assert set(re.findall(r"url\((.)", page.source)) <= {"#"}


def test_drawings_of_an_answer_are_equally_high_and_all_are_equally_wide(page: Page):
    widths = set()
    for section in page.source.split("<section")[1:]:
        boxes = re.findall(r'<svg width="([0-9]+)pt" height="([0-9]+)pt" viewBox="0 0 [0-9.]+ ([0-9.]+)"', section)
        assert len({height for _, height, _ in boxes}) <= 1
        assert all(abs(float(height) - float(inner)) < 1.0 for _, height, inner in boxes)
        widths |= {width for width, _, _ in boxes}
    assert len(widths) == bool(page.all("svg"))


def test_headings_are_in_order_and_pictures_are_described(page: Page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    for svg in page.all("svg"):
        assert svg["role"] == "img"
        label = svg["aria-label"] or ""
        assert len(label) > 40
        assert re.search(r"\d", label)
    for inner in page.all("image"):
        assert (inner["href"] or "").startswith("data:image/png;base64,")
    assert len(page.all("figure")) == len(page.all("figcaption"))


def test_no_word_of_a_program_is_on_the_page(page: Page):
    for word in ("nan", "NaN", "None", "inf", "Estimate(", "+-", "{{", "array("):
        assert not re.search(rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])", page.text), word
    assert "  " not in page.text.strip()


def test_every_colour_of_a_drawing_is_a_variable_that_is_defined_twice(page: Page):
    used = set(re.findall(r"var\((--c-[0-9a-f]{6})\)", page.source))
    for name in used:
        assert page.source.count(f"{name}:#") == 2, name
    for svg in re.findall(r"<svg.*?</svg>", page.source, re.DOTALL):
        assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {f"#{c}" for c in colours.KEPT}


@pytest.mark.parametrize("colour", ["000000", "0072b2", "d55e00", "009e73", "cc79a7", "e69f00", "56b4e9", "595959"])
def test_lines_are_as_clear_on_dark_paper(colour: str):
    wanted = min(colours.contrast(colour, colours.PAPER), colours.CONTRAST)
    assert colours.contrast(colours.on_dark(colour), colours.DARK_PAPER) >= min(wanted, 3.0)
    assert colours.contrast("ffffff", "000000") == pytest.approx(21.0)


def test_the_same_simulation_gives_the_same_page_whatever_the_settings_of_matplotlib():
    import matplotlib

    sim, first = simulation(**SIMULATIONS["few"]), page_of(**SIMULATIONS["few"]).source
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"figure.facecolor": "red", "lines.linewidth": 9.0, "font.size": 30.0}):
        assert render(sim) == first
    assert dict(matplotlib.rcParams) == before


def test_a_page_is_small_and_quickly_made(tmp_path: Path):
    sim = resmc.simulate(width=40, depth=512, alpha=HALF, lam=HALF, networks=4096, keep_trajectories=100)
    begin = time.process_time()
    sim.report(tmp_path / "report.html")
    assert time.process_time() - begin < 10.0
    assert (tmp_path / "report.html").stat().st_size < 2e6


# --------------------------------------------------------------------------------------------------------- reproduction

RUNS: dict[str, dict[str, Any]] = SIMULATIONS | {
    "dense": {"method": "dense", "networks": 100},
    "a range": {"first_network": 123, "networks": 333, "seed": 2**64 - 1},
    "every fifth layer": {"layers": tuple(range(0, 13, 5)), "networks": 300},
    "layers 0 and d": {"layers": (0,), "networks": 300},
}


@pytest.fixture
def resmc_on_path(tmp_path: Path) -> dict[str, str]:
    """An environment in which `resmc` is this package."""
    program = tmp_path / "bin" / "resmc"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport sys\nfrom resmc.cli import main\nsys.exit(main())\n")
    program.chmod(0o755)
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    package = str(Path(resmc.__file__).parents[1])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    search = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    return os.environ | {"PATH": search, "PYTHONPATH": path, VARIABLE: "baseline"}


@pytest.mark.parametrize(
    "name", [name if i % 2 == 0 else pytest.param(name, marks=pytest.mark.long) for i, name in enumerate(RUNS)]
)
def test_the_command_line_gives_the_same_file(name: str, tmp_path: Path, resmc_on_path: dict[str, str]):
    sim = simulation(**RUNS[name])
    sim.save(tmp_path / "run.resmc")
    page = bare_page_of(**RUNS[name])
    done = subprocess.run(["sh", "-ec", page.code("shell")], cwd=tmp_path, env=resmc_on_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.resmc").read_bytes() == (tmp_path / "run.resmc").read_bytes()
    assert page.code("sha256") == hashlib.sha256((tmp_path / "run.resmc").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", RUNS)
def test_the_python_call_gives_the_same_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sim, code = simulation(**RUNS[name]), bare_page_of(**RUNS[name]).code("python")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, os.environ.get(VARIABLE, ""))  # it is put back
    exec(code, {})
    sim.save("run.resmc")
    assert Path("again.resmc").read_bytes() == Path("run.resmc").read_bytes()


def test_separate_ranges_are_run_and_merged(tmp_path: Path, resmc_on_path: dict[str, str], monkeypatch):
    parts = [simulation(networks=200, first_network=k, keep_samples=3) for k in (0, 1000)]
    whole = resmc.merge(*parts)
    whole.save(tmp_path / "run.resmc")
    with bare():
        page = Page(render(whole))
    done = subprocess.run(["sh", "-ec", page.code("shell")], cwd=tmp_path, env=resmc_on_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.resmc").read_bytes() == (tmp_path / "run.resmc").read_bytes()
    (tmp_path / "again.resmc").unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, os.environ.get(VARIABLE, ""))
    exec(page.code("python"), {})
    assert (tmp_path / "again.resmc").read_bytes() == (tmp_path / "run.resmc").read_bytes()


def test_neighbouring_ranges_are_run_apart_for_the_samples_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = resmc.merge(*(simulation(networks=1000, first_network=k, keep_samples=10, keep_trajectories=4)
                          for k in (0, 1000)))  # fmt: skip
    assert len(whole.ranges) == 1
    found = reproduce.of_simulation(whole)
    assert found.shell.count("resmc simulate") == found.shell.count("--keep-samples=10") == 2
    assert "byte for byte" in found.sentences[0]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, os.environ.get(VARIABLE, ""))
    exec(found.python, {})
    whole.save("run.resmc")
    assert resmc.load("again.resmc").samples.networks.tolist() == [*range(10), *range(1000, 1010)]
    assert Path("again.resmc").read_bytes() == Path("run.resmc").read_bytes()


def test_a_merged_file_does_not_promise_what_it_cannot_keep():
    whole = resmc.merge(*(simulation(networks=200, first_network=k) for k in (0, 200)))
    with bare():
        assert "merged from shorter runs" in Page(render(whole)).text


GENERAL: dict[str, tuple[resmc.ResidualNetwork, dict[str, Any]]] = {
    "defaults": (resmc.ResidualNetwork(8, 6, "v-phi-w"), {}),
    "a ResNet in the general spelling": (resmc.ResidualNetwork(8, 6), {"correlations": False}),
    "the same without displacement": (resmc.ResidualNetwork(8, 6, "phi-in", "balanced"), {"displacement": False}),
    "all but defaults": (
        resmc.ResidualNetwork(
            8, 6, "phi-out", "gelu", -0.5, resmc.DepthScaling(0.25, -1.5, True), bias=0.1, n_out=2, input_norm=3.0
        ),
        {"gradients": True, "layers": [0, 3], "keep_samples": 3, "first_network": 7, "seed": 2**63},
    ),
    "by layer, dense": (
        resmc.ResidualNetwork(
            8, 3, "v-phi-w", "tanh", scaling=(0.1, -1e-3, 0.3), weights="uniform", input=(-1.0, 0.1 + 0.2)
        ),
        {"method": "dense", "keep_trajectories": 2},
    ),
    "tied": (resmc.ResidualNetwork(8, 6, weights=resmc.Weights("uniform", "tied")), {}),
    "smooth": (resmc.ResidualNetwork(8, 6, weights=resmc.Weights(depth=resmc.SmoothProcess(0.3))), {}),
    "a mixture": (
        resmc.ResidualNetwork(
            8,
            6,
            scaling=resmc.DepthScaling(0.0),
            weights=resmc.Weights(depth=resmc.Mixture(resmc.SmoothProcess(), resmc.FractionalNoise(0.3))),
        ),
        {},
    ),
    "a covariance matrix": (resmc.ResidualNetwork(8, 2, weights=resmc.Weights(depth=[[1.0, 0.5], [0.5, 1.0]])), {}),
}


@pytest.mark.parametrize("name", GENERAL)
def test_any_network_comes_again_from_its_command_and_from_its_python(name: str, tmp_path: Path, monkeypatch):
    model, options = GENERAL[name]
    sim = resmc.simulate(model, networks=40, progress=False, **options)
    sim.save(tmp_path / "run.resmc")
    found = reproduce.of_simulation(sim)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(found.shell.replace("\\\n", " "))
    assert words[1:3] == ["resmc", "simulate"]
    monkeypatch.setenv(*words[0].split("="))
    assert "--no-correlations" not in words or sim.lowered.log_gaussian is not None
    assert cli.main(words[2:]) == 0
    again = Path("again.resmc")
    assert again.read_bytes() == Path("run.resmc").read_bytes()
    assert found.sha256 == hashlib.sha256(again.read_bytes()).hexdigest()
    again.unlink()
    exec(found.python, {})
    assert again.read_bytes() == Path("run.resmc").read_bytes()


def test_a_network_too_long_to_print_is_read_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    depth = reproduce.MOST_NUMBERS + 1
    model = resmc.ResidualNetwork(4, depth, "v-phi-w", scaling=tuple(1e-3 * (1 + k % 7) for k in range(depth)))
    whole = resmc.merge(*(resmc.simulate(model, networks=8, first_network=k, layers=[0]) for k in (0, 100)))
    found = reproduce.of_simulation(whole)
    assert len(found.shell) < 1000
    assert "1\u202f001 numbers in its scaling, input and weights: too many to print here" in found.sentences[-1]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, os.environ.get(VARIABLE, ""))
    whole.save("run.resmc")
    assert shlex.split(found.shell) == ["python", "-c", found.python]
    exec(found.python, {})
    assert Path("again.resmc").read_bytes() == Path("run.resmc").read_bytes()
    short = resmc.simulate(resmc.ResidualNetwork(4, 3, scaling=(0.1, 0.2, 0.3)), networks=8)
    assert "too many" not in " ".join(reproduce.of_simulation(short).sentences)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 64}, "; log-norms agree within 1e-4."),
        ({"width": 63}, "; 99% of log-norms agree within 1e-4."),
        ({"width": 64, "depth": 1001}, "; log-norms agree up to rounding."),
        ({"width": 64, "method": "dense"}, "; log-norms agree up to rounding."),
    ],
)
def test_no_more_agreement_is_promised_than_the_contract_does(changes: dict[str, Any], words: str):
    sim = simulation(networks=40, **changes)
    assert reproduce.of_simulation(sim).sentences[-1].endswith(words)
    several = dataclasses.replace(sim, numerics=("2", "cpu/avx2", "cuda/sm_90"))
    assert reproduce.of_simulation(several).sentences[-1].endswith(words[2:])


def test_several_numerics_classes_are_named():
    sim = dataclasses.replace(simulation(networks=300), numerics=("2", "cpu/avx2", "cuda/sm_90"))
    with bare():
        text = Page(render(sim)).text
    assert "Several numerics classes computed it (cpu/avx2, cuda/sm_90)" in text


@pytest.mark.parametrize("wrong", [3, None, "run.resmc", [1.0] * 100])
def test_what_is_no_result_is_refused_by_name(wrong: Any, tmp_path: Path):
    for call in (lambda: render(wrong), lambda: write(wrong, tmp_path / "x.html")):
        with pytest.raises(
            ValueError,
            match=r"^result=.{1,60} is not allowed: it must be a Simulation, a SweepResult, a Regime, a HeatMap or a T",
        ):
            call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [None, 3, b"x.html"])
def test_what_is_no_path_is_refused_by_name(wrong: Any):
    with pytest.raises(
        ValueError, match=rf"^path={wrong} is not allowed: it must be the name of a file, a str or a Path$"
    ):
        simulation(networks=40).report(wrong)


# ----------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def no_figures() -> Iterator[None]:
    with bare():
        yield


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    status = cli.main([str(a) for a in arguments])
    return status, *capsys.readouterr()


@pytest.fixture
def saved(tmp_path: Path, no_figures: None) -> Path:
    simulation(networks=100).save(tmp_path / "run.resmc")
    return tmp_path / "run.resmc"


def test_the_command_writes_what_the_method_writes(capsys, saved, tmp_path):
    for option, name in (("-o", "a.html"), ("--output", "b.html")):
        assert run(capsys, "report", saved, option, tmp_path / name) == (0, f"written to {tmp_path / name}\n", "")
    simulation(networks=100).report(str(tmp_path / "c.html"))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "c.html").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "b.html", "c.html", "run.resmc"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_is_told_that_it_takes_a_while(capsys, saved, tmp_path, monkeypatch, terminal: bool):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    _, out, err = run(capsys, "report", saved, "-o", tmp_path / "a.html")
    assert out == f"written to {tmp_path / 'a.html'}\n"
    assert err == "resmc: drawing figures and writing the page takes some seconds\n" * terminal


def test_an_old_page_is_replaced_when_the_new_one_is_whole(capsys, saved, tmp_path, monkeypatch):
    old = tmp_path / "report.html"
    old.write_text("old")

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(os, "fsync", full)
        status, out, err = run(capsys, "report", saved, "-o", old)
    assert (status, out) == (2, "")
    assert "No space left on device" in err
    assert old.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "run.resmc"]
    assert run(capsys, "report", saved, "-o", old)[0] == 0
    assert old.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: p.unlink(), "run.resmc does not exist: give a saved simulation, or the directory of a sweep"),
        (lambda p: p.write_bytes(b""), "run.resmc is not a resmc simulation"),
        (lambda p: p.write_text("width = 3"), "run.resmc is not a resmc simulation"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "no checksum was found"),
        (lambda p: (p.unlink(), p.mkdir()), "run.resmc"),
    ],
)
def test_what_is_no_result_is_refused_in_a_sentence(capsys, saved, tmp_path, spoil, words):
    spoil(saved)
    status, out, err = run(capsys, "report", saved, "-o", tmp_path / "report.html")
    assert (status, out) == (2, "")
    assert err.startswith("resmc: ")
    assert err.count("\n") == 1
    assert words in err
    assert not (tmp_path / "report.html").exists()


def test_what_cannot_be_written_to_is_refused_before_any_work(capsys, saved, tmp_path):
    for path, words in (
        (tmp_path, "it is a folder"),
        (tmp_path / "none" / "report.html", "its folder does not exist"),
        (saved, "it must end in .html"),
    ):
        status, out, err = run(capsys, "report", saved, "-o", path)
        assert (status, out) == (2, "")
        assert words in err
    if os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        assert "cannot be written to" in run(capsys, "report", saved, "-o", locked / "report.html")[2]
    with pytest.raises(SystemExit):
        cli.main(["report", str(saved)])
    assert "--output" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_is_said_with_the_extra(capsys, saved, tmp_path, monkeypatch, package):
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(f"No module named {name!r}")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    status, _, err = run(capsys, "report", saved, "-o", tmp_path / "report.html")
    assert (status, err) == (2, "resmc: a report needs Jinja2 and matplotlib: install resmc[report]\n")


def test_the_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", "--help"])
    assert stop.value.code == 0
    assert "resmc report run.resmc --output report.html" in capsys.readouterr().out


def test_simulate_keeps_what_the_command_line_asks_for(capsys, tmp_path):
    arguments = ("simulate", "--width=8", "--depth=4", "--networks=100", "--no-correlations", "--keep-samples=5",
                 "--keep-trajectories=6", "--quiet", "--output", tmp_path / "run.resmc")  # fmt: skip
    assert run(capsys, *arguments)[0] == 0
    sim = resmc.load(tmp_path / "run.resmc")
    assert (len(sim.samples.networks), len(sim.trajectories.networks), sim.correlations) == (5, 6, False)


def test_the_files_of_the_package_are_where_a_wheel_takes_them_from():
    import tomllib

    project = Path(__file__).parents[1] / "pyproject.toml"
    patterns = tomllib.loads(project.read_text())["tool"]["setuptools"]["package-data"]["resmc.report"]
    folder = Path(resmc.__file__).parent / "report"
    others = {p.name for p in folder.iterdir() if p.suffix != ".py" and p.is_file()}
    assert others == {p.name for pattern in patterns for p in folder.glob(pattern)}
    assert shutil.which("sh")
