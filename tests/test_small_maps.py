"""Heat maps at their edges: one exponent, one H, a run that is stopped, and what a map says of its errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import ResidualNetwork, cli, heat_map
from resmc.cli.records import kind_of, record_of

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
