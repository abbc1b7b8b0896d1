"""The page of a simulation: whole, by itself, the same each time."""

from __future__ import annotations

import builtins
import itertools
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reports import HALF, Page, bare, bare_page_of, page_of, simulation

import resmc
from resmc import cli

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
from resmc.report import colours, render, write

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
    drawn = request.param in ("vanilla", "dying", "all dead", "one network")
    return (page_of if drawn else bare_page_of)(**SIMULATIONS[request.param])


def test_a_page_is_well_formed_and_stands_by_itself(page: Page):
    assert page.source.startswith("<!doctype html>\n")
    assert len(page.source.encode()) < 2e6
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

    sim, first = simulation(**SIMULATIONS["one network"]), page_of(**SIMULATIONS["one network"]).source
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"figure.facecolor": "red", "lines.linewidth": 9.0, "font.size": 30.0}):
        assert render(sim) == first
    assert dict(matplotlib.rcParams) == before


@pytest.mark.long
def test_a_page_is_small_and_quickly_made(tmp_path: Path):
    sim = resmc.simulate(width=40, depth=512, alpha=HALF, lam=HALF, networks=4096, keep_trajectories=100)
    begin = time.process_time()
    sim.report(tmp_path / "report.html")
    assert time.process_time() - begin < 10.0
    assert (tmp_path / "report.html").stat().st_size < 2e6


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
