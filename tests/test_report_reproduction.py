"""How a page says to get its numbers again: commands and calls that give the same file, and what they promise."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from reports import Page, bare, bare_page_of, simulation
from test_report import SIMULATIONS

import resmc
from resmc import cli
from resmc._system.build import VARIABLE, instruction_set

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
from resmc.report import render, reproduce

pytestmark = pytest.mark.cpu

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
    monkeypatch.setenv(VARIABLE, instruction_set())  # what the program sets is put back
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
    monkeypatch.setenv(VARIABLE, instruction_set())
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
    monkeypatch.setenv(VARIABLE, instruction_set())
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
    "dropout": (resmc.ResidualNetwork(8, 6, activation="tanh", keep=0.1 + 0.2), {"gradients": True}),
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
    monkeypatch.setenv(VARIABLE, instruction_set())
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
