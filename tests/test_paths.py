"""Relative paths mean the same to the end of a call, whatever folder the program has changed to meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sweeps import environment, files, leftovers, small

import resmc
from resmc.cli import main
from resmc.report import simulation_page
from resmc.results import datasets, storage
from resmc.sweep.manage import join, status

pytestmark = pytest.mark.cpu
HALF = 0.5**0.5


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the program; another beside it, ``elsewhere``."""
    for name in ("home", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def leave(*arguments: Any) -> None:
    """Changes the program's folder, as another of its threads may."""
    os.chdir(Path.cwd().parent / "elsewhere")


def elsewhere(home: Path) -> list[str]:
    return sorted(path.name for path in (home.parent / "elsewhere").iterdir())


@pytest.mark.parametrize("engine", [None, "processes", "executor"])
def test_a_sweep_puts_every_shard_where_it_has_begun(home, engine):
    plan = small(networks=3000, width=8)
    with ThreadPoolExecutor(1) as pool:
        given = {"engine": pool} if engine == "executor" else {"engine": engine, "workers": 1}
        result = plan.run("store", progress=leave, **given)
    assert result.complete
    assert files(home / "store")
    assert leftovers(home / "store") == []
    assert elsewhere(home) == []


def test_a_result_reads_its_store_later(home):
    result = small(networks=3000, width=8).run("store", progress=False)
    leave()
    assert result.store == home / "store"
    assert result.simulation(ratio=1).networks == 3000


def test_stores_are_joined_and_looked_at_where_they_were(home, monkeypatch):
    plan = small(networks=3000, width=8)
    plan.run("one", progress=False)
    read = resmc.sweep.store.Store.read_final
    monkeypatch.setattr(resmc.sweep.store.Store, "read_final", lambda self, stored: leave() or read(self, stored))
    assert join("two", ["one"]) > 1
    os.chdir(home)
    assert status(plan, "two").points_complete == 2
    assert elsewhere(home) == []


SIM = dict(width=4, depth=3, alpha=HALF, lam=HALF, networks=64)  # noqa: C408


def during(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> None:
    """Lets the program leave its folder within a call."""
    call = getattr(where, name)

    def leaving(*arguments: Any, **options: Any) -> Any:
        leave()
        return call(*arguments, **options)

    monkeypatch.setattr(where, name, leaving)


def test_a_simulation_is_saved_where_it_was_asked_for(home, monkeypatch):
    sim = resmc.simulate(**SIM)
    during(monkeypatch, storage, "to_bytes")
    sim.save("run.resmc")
    os.chdir(home)
    monkeypatch.undo()
    os.chdir(home)
    during(monkeypatch, os, "replace")
    sim.save("again.resmc")
    os.chdir(home)
    assert sorted(os.listdir()) == ["again.resmc", "run.resmc"]
    assert elsewhere(home) == []


def test_a_page_is_written_where_it_was_asked_for(home, monkeypatch):
    sim = resmc.simulate(**SIM)
    monkeypatch.setattr(simulation_page, "render", lambda sim: leave() or "<html>")
    sim.report("page.html")
    os.chdir(home)
    assert os.listdir() == ["page.html"]


@pytest.mark.parametrize("kind", ["nc", "zarr"])
def test_a_data_set_is_written_where_it_was_asked_for(home, monkeypatch, kind):
    pytest.importorskip({"nc": "h5netcdf", "zarr": "zarr"}[kind])
    data = resmc.simulate(**SIM).to_xarray()
    during(monkeypatch, type(data), {"nc": "to_netcdf", "zarr": "to_zarr"}[kind])
    (datasets.to_netcdf if kind == "nc" else datasets.to_zarr)(data, f"run.{kind}")
    os.chdir(home)
    assert os.listdir() == [f"run.{kind}"]
    assert elsewhere(home) == []


def test_commands_write_their_outputs_where_they_were_asked_to(home, monkeypatch, capsys):
    size = ["--width", "4", "--depth", "3", "--networks", "64"]
    during(monkeypatch, resmc.cli.simulate, "simulate")
    assert main(["simulate", *size, "--output", "run.resmc", "--quiet"]) == 0
    os.chdir(home)
    during(monkeypatch, resmc.cli.saved, "load")
    assert main(["export", "../home/run.resmc", "--output", "run.csv"]) == 0
    os.chdir(home)
    assert sorted(os.listdir()) == ["run.csv", "run.resmc"]
    assert elsewhere(home) == []
    assert "saved to run.resmc" in capsys.readouterr().out


def test_worker_processes_find_the_package_from_another_folder(home):
    """The package may be found in the folder of the program's start alone."""
    source = Path(resmc.__file__).parents[1]
    inherited = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    code = (
        "import os, resmc; os.chdir('/'); plan = resmc.Sweep(width=4, depth=4, alpha=.5, lam=.5, networks=64); "
        f"print(plan.run({str(home / 'store')!r}, engine='processes', workers=1, progress=False).complete)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, env=inherited, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
