"""The map over H and beta as it is shown: on the command line, as a data set, a summary and a figure."""

from __future__ import annotations

import json

import numpy as np
import pytest
from heat_maps import damage, small
from sweeps import files

from resmc import ResidualNetwork, cli, heat_map
from resmc import plot as P
from resmc.experiments.heat_map import HeatMap

pytestmark = pytest.mark.cpu


# ------------------------------------------------------------------------------------------------- the command line


def test_the_command_line_shows_exports_and_goes_on_with_a_stored_map(tmp_path, capsys):
    pytest.importorskip("pandas")
    store = tmp_path / "store"
    small(store=store)
    lost = files(store)[0]
    lost.unlink()
    assert cli.main(["status", str(store)]) == 0
    assert "1 of 2 rows complete, 3 of 6 networks" in capsys.readouterr().out
    assert cli.main(["worker", str(store), "--quiet"]) == 0
    assert capsys.readouterr().out == f"complete: 2 rows, 6 networks in {store}\n"
    assert lost.exists()
    assert cli.main(["show", str(store)]) == 0
    assert "heat map of v-phi-w relu" in capsys.readouterr().out
    assert cli.main(["show", str(store), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["kind"] == "heat map"
    assert record["points"][4]["log10_growth"]["value"] == float(small().growth.value[1, 1])
    assert record["rows"][0]["displacement.frontier"]["stderr"] is None
    assert cli.main(["export", str(store), "-o", str(tmp_path / "map.csv")]) == 0
    assert (tmp_path / "map.csv").read_text(encoding="utf-8").count("\n") == 7
    capsys.readouterr()
    assert cli.main(["export", str(store), "-o", str(tmp_path / "map.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "heat map"
    assert len(json.loads((tmp_path / "map.json").read_text(encoding="utf-8"))["rows"]) == 6
    small(store=tmp_path / "other", hurst=[0.5])
    assert cli.main(["merge", str(store), str(tmp_path / "other")]) == 0
    found = capsys.readouterr()
    assert "1 shard brought into" in found.err
    assert "1 shard there is not used by its plan" in found.err
    damage(lost, "byte", lost)
    assert cli.main(["status", str(store)]) == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["export", "-o", "map.nc", "--laws"], "--laws is not allowed with a heat map"),
        (["report", "-o", "map.txt"], "output='map.txt' is not allowed: it must end in .html"),
    ],
)
def test_what_a_map_has_not_is_refused_on_the_command_line(command, words, tmp_path, monkeypatch, capsys):
    pytest.importorskip("jinja2")
    monkeypatch.chdir(tmp_path)
    small(store="store")
    assert cli.main([command[0], "store", *command[1:]]) != 0
    assert words in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------ how it is shown


def test_a_map_is_a_data_set_with_units_and_names(tmp_path):
    pytest.importorskip("xarray")
    found = small()
    data = found.to_xarray()
    assert data.sizes == {"hurst": 2, "beta": 3}
    for name, variable in data.variables.items():
        assert variable.attrs["units"] == "1", name
        assert variable.attrs["long_name"], name
    np.testing.assert_array_equal(data["log10_gradient_displacement"], found.gradient_displacement.value)
    np.testing.assert_array_equal(data["displacement_frontier"], found.frontier().beta.value)
    assert data.attrs["complete"] == 1
    assert data["frontier_theory"].values.tolist() == [0.5, 0.8]
    pytest.importorskip("pandas")
    rows = found.to_dataframe()
    assert len(rows) == 6
    assert rows["log10_growth"].tolist() == found.growth.value.ravel().tolist()


def test_a_summary_says_the_frontiers_and_what_they_are():
    found = small()
    text = str(found)
    assert "heat map of v-phi-w relu  width 6  depth 12  scaling 1 depth^-beta" in text
    assert "frontier: the beta at which it is 0; as L grows: max(H, 1/2), by which small branches add up" in text
    assert [row[0] for row in found.summary().rows] == [0.2, 0.8]
    assert repr(found).startswith("HeatMap(")


@pytest.fixture(scope="module")
def drawn() -> HeatMap:
    hurst, beta = np.linspace(0.1, 0.9, 9), np.linspace(0.0, 1.2, 13)
    return heat_map(ResidualNetwork(8, 60, block="v-phi-w"), hurst=hurst, beta=beta, networks=32, n_inputs=1,
                    progress=False)  # fmt: skip


@pytest.mark.parametrize("ratio", ["displacement", "gradient_displacement"])
@pytest.mark.parametrize("x", ["hurst", "beta"])
def test_the_frontier_is_drawn_into_the_map_in_its_own_units(drawn, ratio, x):
    pytest.importorskip("matplotlib")
    ax = P.plot_heat_map(drawn, ratio, x=x)
    mesh = ax.collections[0]
    shape = (13, 9) if x == "hurst" else (9, 13)
    value = drawn.estimate(ratio).value
    np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(shape), value.T if x == "hurst" else value)
    lines = {line.get_label(): np.array(line.get_data()) for line in ax.lines}
    rows, exponents = lines[r"$\max(H, 1/2)$"][:: 1 if x == "hurst" else -1]
    np.testing.assert_allclose(rows, np.arange(9))
    np.testing.assert_allclose(exponents * 0.1, np.maximum(drawn.hurst, 0.5))
    at = lines["mean 0"][1 if x == "hurst" else 0]
    np.testing.assert_allclose(at * 0.1, drawn.frontier(ratio).beta.value)
    assert {text.get_text() for text in ax.get_legend().get_texts()} >= {"mean 0", r"$\max(H, 1/2)$"}
    assert "circle: no error bar" not in {text.get_text() for text in ax.get_legend().get_texts()}


def test_a_map_without_errors_says_so_and_other_dimensions_are_refused(drawn):
    pytest.importorskip("matplotlib")
    ax = P.plot_heat_map(small(), "growth")
    assert "no cell has an error bar" in {text.get_text() for text in ax.get_legend().get_texts()}
    with pytest.raises(ValueError, match="a heat map has the dimensions 'hurst' and 'beta'"):
        P.plot_heat_map(drawn, x="depth")
    with pytest.raises(ValueError, match="ratio='gradient' was not followed in this map"):
        P.plot_heat_map(small(gradients=False), "gradient")
    with pytest.raises(ValueError, match=r"sel=.* is not allowed here"):
        P.plot_heat_map(drawn, sel={"beta": 0.1})
