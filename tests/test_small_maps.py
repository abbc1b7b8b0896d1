"""Heat maps at their edges: one exponent, one H, a run that is stopped, and what a map says of its errors."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import ResidualNetwork, cli, heat_map
from resmc.cli.records import kind_of, record_of
from resmc.engine import devices
from resmc.engine.columns import Threads
from resmc.engine.cuda.columns import Device
from resmc.experiments.heat_row import HeatRow, row_of

NETWORK = ResidualNetwork(6, 12, block="v-phi-w")


def small(hurst: Any = (0.2, 0.8), beta: Any = (0.1, 0.5, 0.9), networks: int = 3, **changes: Any) -> resmc.HeatMap:
    given = {"n_inputs": 2, "progress": False} | changes
    return heat_map(NETWORK, hurst=hurst, beta=beta, networks=networks, **given)


# ------------------------------------------------------------------------------------------------- one value of a kind


def test_a_map_of_one_exponent_has_means_and_says_why_it_has_no_frontier():
    found = small(beta=[0.5], networks=32)
    text = str(found.summary())
    assert "2 x 1 points, beta 0.5, 32 networks" in text
    assert "no frontier: it lies between two values of beta, and the map has one" in text
    assert np.isfinite(found.displacement.stderr).all()
    assert np.isnan(found.frontier().beta.value).all()
    assert "no frontier" not in str(small().summary())
    pytest.importorskip("xarray")
    assert found.to_xarray().sizes == {"hurst": 2, "beta": 1}


@pytest.mark.parametrize("x", ["hurst", "beta"])
def test_a_map_of_one_h_has_its_frontier_drawn_across_the_cells(x):
    pytest.importorskip("matplotlib")
    found = small(hurst=[0.3], networks=32)
    ax = resmc.plot.plot_heat_map(found, x=x)
    lines = {line.get_label(): np.array(line.get_data())[:: 1 if x == "hurst" else -1] for line in ax.lines}
    at = np.interp(float(found.frontier().beta.value[0]), found.beta, np.arange(3))
    np.testing.assert_allclose(lines["mean 0"], [[-0.5, 0.5], [at, at]])
    np.testing.assert_allclose(lines[r"$\max(H, 1/2)$"], [[-0.5, 0.5], [1.0, 1.0]])


@pytest.mark.parametrize(("beta", "drawn"), [(0.5, True), (0.4, False)])
def test_a_map_of_one_exponent_has_the_frontier_where_it_is_in_the_map(beta, drawn):
    pytest.importorskip("matplotlib")
    ax = resmc.plot.plot_heat_map(small(hurst=[0.2, 0.3], beta=[beta]))
    legend = {text.get_text() for text in ax.get_legend().get_texts()}
    assert (r"$\max(H, 1/2)$" in legend) == drawn
    assert len(ax.lines) == drawn


# ------------------------------------------------------------------------------------------------------ its memory


def row(**changes: Any) -> HeatRow:
    given = {"betas": tuple(np.linspace(0.0, 1.0, 7)), "n_inputs": 60, "gradients": True} | changes
    return HeatRow(row_of(ResidualNetwork(40, 50, block="v-phi-w", bias=0.1), 0.3), 1, 1.0, **given)


def most_taken(one: HeatRow, machine: Any) -> int:
    """The most bytes of NumPy's arrays that are there at a time while five networks are computed."""
    one.values(0, 1, machine)  # what is kept from call to call
    tracemalloc.start()
    one.values(0, 5, machine)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("n_inputs", [1, 60])
def test_a_row_takes_the_memory_that_it_says(gradients, n_inputs):
    one = row(gradients=gradients, n_inputs=n_inputs)
    needed = one.needed_bytes(5, devices.parse("cpu"), 1)
    assert 0.4 * needed < most_taken(one, Threads(1)) < needed


def test_a_row_takes_less_of_this_machine_s_memory_where_a_gpu_has_its_states(gpu):
    one = row()
    needed = one.needed_bytes(5, devices.parse("cuda"), 1)
    assert 0.4 * needed < most_taken(one, Device(gpu)) < needed
    assert needed < 0.5 * one.needed_bytes(5, devices.parse("cpu"), 1)


def test_a_map_that_memory_does_not_hold_is_refused_as_a_sweep_is(tmp_path, monkeypatch):
    monkeypatch.setattr(resmc.engine.memory, "available_memory", lambda: 10**6)
    with pytest.raises(
        ValueError, match=r"networks? of width=6, 3 values of beta and n_inputs=20 need .* GB of memory"
    ):
        small(store=tmp_path, n_inputs=20)
    assert not list(tmp_path.rglob("*.resmc"))
    with pytest.raises(ValueError, match=r"need .* GB of memory and 0\.001 GB are available"):
        resmc.Sweep(width=4, depth=[2, 3], alpha=0.6, lam=0.8, networks=10).run(tmp_path / "sweep", progress=False)
    monkeypatch.setattr(resmc.engine.memory, "available_memory", lambda: 10**9)
    assert small(store=tmp_path, n_inputs=20).complete


def test_columns_beyond_any_machine_s_bound_are_refused_with_the_plan(tmp_path):
    deep = ResidualNetwork(40, 1000, block="v-phi-w")
    given = {"hurst": [0.5], "beta": np.linspace(0.0, 1.0, 200), "progress": False, "store": tmp_path / "store"}
    with pytest.raises(ValueError, match=r"n_inputs=60000 is too many for 200 exponents, with a column .* GB are held"):
        heat_map(deep, n_inputs=60000, **given)
    with pytest.raises(ValueError, match="width=20000 is too large for weights that depend on each other in depth"):
        heat_map(replace(deep, width=20000), **given)
    assert not (tmp_path / "store").exists()


# ------------------------------------------------------------------------------------------------------ what is said


@pytest.mark.parametrize(("networks", "said"), [(5, True), (32, False)])
def test_a_map_of_few_networks_says_that_it_has_no_errors_and_how_many_have(networks, said):
    sentence = "no error bar: fewer than 32 networks of an H give no errors; networks=32 has them"
    assert (sentence in str(small(networks=networks).summary())) == said


def test_the_status_counts_the_rows_of_a_map_and_the_points_of_a_sweep(tmp_path, capsys):
    small(store=tmp_path / "map")
    resmc.Sweep(width=4, depth=[2, 3], alpha=0.6, lam=0.8, networks=10).run(tmp_path / "sweep", progress=False)
    for name, unit in (("map", "row"), ("sweep", "point")):
        assert cli.main(["status", str(tmp_path / name)]) == 0
        assert f"2 of 2 {unit}s complete" in capsys.readouterr().out
        assert cli.main(["status", str(tmp_path / name), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["unit"] == unit
        assert cli.main(["worker", str(tmp_path / name), "--quiet"]) == 0
        assert capsys.readouterr().out.startswith(f"complete: 2 {unit}s")


def test_the_kind_of_a_result_is_that_of_its_record(tmp_path):
    sweep = resmc.Sweep(width=4, depth=2, alpha=0.6, lam=0.8, networks=10).run(tmp_path, progress=False)
    sim = resmc.simulate(NETWORK, networks=10, progress=False)
    for result, kind in ((sim, "simulation"), (sweep, "sweep"), (small(), "heat map")):
        assert kind_of(result) == record_of(result)["kind"] == kind


def interrupted(done: int, in_all: int) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("kept", [True, False])
def test_ctrl_c_ends_a_map_with_a_line_that_says_how_it_goes_on(kept, tmp_path: Path):
    store = {"store": tmp_path / "store"} if kept else {}
    with pytest.raises(KeyboardInterrupt) as ending:
        small(progress=interrupted, **store)
    (line,) = ending.value.__notes__
    if kept:
        assert line == f"stopped: finished shards are safe in {tmp_path / 'store'}; the same call goes on"
        assert small(**store).complete
    else:
        assert line == "stopped: what was in memory is lost; with a store= the same call would go on"


def test_ctrl_c_ends_a_sweep_with_the_same_line(tmp_path: Path):
    plan = resmc.Sweep(width=4, depth=[2, 3], alpha=0.6, lam=0.8, networks=10)
    with pytest.raises(KeyboardInterrupt) as ending:
        plan.run(tmp_path, progress=interrupted)
    assert ending.value.__notes__ == [f"stopped: finished shards are safe in {tmp_path}; the same call goes on"]
    assert plan.run(tmp_path, progress=False).complete
