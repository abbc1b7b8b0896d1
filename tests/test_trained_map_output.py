"""The map after training as it is shown: on the command line, as a data set, as figures and as a page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from reports import Page, bare
from sweeps import contents, files
from trained_maps import BETA, HURST, RATES, classes, made, same, small, without_networks

import resmc
from resmc import cli
from resmc import plot as P
from resmc.report import render, trained_map_page, write

pytestmark = pytest.mark.cpu


def learnt(**changes: object) -> resmc.train.TrainedHeatMap:
    """A made-up map of 32 networks whose accuracy falls with beta, and whose first row fails at the largest rate."""
    rng = np.random.Generator(np.random.Philox(1))
    shape = (32, len(BETA), len(RATES))
    accuracy = np.clip(0.9 - 0.3 * np.array(BETA)[:, None, None] + 0.05 * rng.standard_normal((*shape, 2)), 0.0, 1.0)
    failed = np.zeros(shape, bool)
    failed[:, :, 1] = True
    lost = np.where(failed[..., None], 0.0, accuracy)
    given = {"accuracy": (lost, accuracy), "failed": (failed, np.zeros(shape, bool)),
             "loss": (np.where(failed[..., None], np.inf, 1.0 / accuracy), 1.0 / accuracy),
             "growth": (rng.normal(3.0, 0.1, shape[:2]), rng.normal(-0.1, 0.01, shape[:2]))}  # fmt: skip
    return made(32, **given | changes)


# ------------------------------------------------------------------------------------------------- the command line


def test_the_command_line_shows_exports_and_reports_a_stored_map(tmp_path, monkeypatch, capsys):
    for needed in ("torch", "pandas", "jinja2", "matplotlib"):
        pytest.importorskip(needed)
    monkeypatch.chdir(tmp_path)
    found = small(store="store")
    assert cli.main(["status", "store"]) == 0
    assert "2 of 2 rows complete, 6 of 6 networks" in capsys.readouterr().out
    assert cli.main(["worker", "store", "--quiet"]) == 0
    assert capsys.readouterr().out == "complete: 2 rows, 6 networks in store\n"
    assert cli.main(["show", "store"]) == 0
    assert "map of trained v-phi-w relu" in capsys.readouterr().out
    assert cli.main(["show", "store", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["kind"] == "trained heat map"
    assert record["plan"]["settings"]["epochs"] == 2
    assert record["points"][4]["accuracy"]["value"] == float(found.accuracy.value[1, 1])
    assert record["points"][4]["learning_rate"] == float(found.learning_rate[1, 1])
    assert record["points"][4]["log10_growth"]["stderr"] is None
    with pytest.raises(SystemExit):
        cli.main(["export", "--help"])
    assert "or of a map over H and beta" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["export", "store", "-o", "map.csv"]) == 0
    assert Path("map.csv").read_text(encoding="utf-8").count("\n") == 7
    assert cli.main(["export", "store", "-o", "map.json"]) == 0
    assert len(json.loads(Path("map.json").read_text(encoding="utf-8"))["rows"]) == 6
    assert cli.main(["export", "store", "-o", "map.nc", "--laws"]) != 0
    assert "--laws is not allowed with a trained heat map" in capsys.readouterr().err
    with bare():
        assert cli.main(["report", "store", "--output", "map.html"]) == 0
    assert "After training" in Page(Path("map.html").read_text(encoding="utf-8")).text
    x, y = classes()
    names = {"X": x, "y": y}
    exec(Page(Path("map.html").read_text(encoding="utf-8")).code("python"), names)
    assert same(names["found"], found)
    assert contents(tmp_path / "again") == contents(tmp_path / "store")
    files(tmp_path / "store")[0].unlink()
    capsys.readouterr()
    assert cli.main(["show", "store", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["complete"] is False
    assert cli.main(["worker", "store", "--quiet"]) != 0
    assert "make the call of resmc.train.heat_map again" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------- data sets


def test_a_map_is_a_labelled_data_set_and_a_row_for_each_point_that_survive_files(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("pandas")
    found = learnt()
    data = found.to_xarray()
    assert data.sizes == {"hurst": 2, "beta": 3}
    for name in ("accuracy", "loss", "growth"):
        variable = "log10_growth" if name == "growth" else name
        np.testing.assert_array_equal(data[variable].values, found.estimate(name).value)
        np.testing.assert_array_equal(data[f"{variable}_stderr"].values, found.estimate(name).stderr)
    np.testing.assert_array_equal(data["learning_rate"].values, found.learning_rate)
    assert all(one.attrs["long_name"] and one.attrs["units"] == "1" for one in data.variables.values())
    assert data.attrs["title"] == "random residual networks before and after training"
    pytest.importorskip("h5netcdf")
    data.to_netcdf(tmp_path / "map.nc", engine="h5netcdf")
    read = xarray.load_dataset(tmp_path / "map.nc", engine="h5netcdf")
    assert data.equals(read)
    assert read.attrs["rates"].tolist() == list(RATES)
    table = found.to_dataframe()
    assert len(table) == 6
    assert table["accuracy"][4] == found.accuracy.value[1, 1]
    assert table["hurst"].tolist() == [HURST[0]] * 3 + [HURST[1]] * 3
    assert "accuracy" not in made(regression=True).to_xarray()


# --------------------------------------------------------------------------------------------------------- figures


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.close("all")


def test_two_maps_stand_side_by_side_and_show_what_was_found():
    pytest.importorskip("matplotlib")
    found = learnt()
    after = P.plot_trained_map(found)
    before, *_ = after.figure.axes
    assert after.figure.get_figwidth() == 2 * P.COLUMN
    for ax, values in ((before, found.growth.value), (after, found.accuracy.value)):
        (mesh, *_) = ax.collections
        np.testing.assert_array_equal(mesh.get_array().reshape(3, 2), values.T)  # H from left to right
    bars = [ax.get_ylabel() for ax in after.figure.axes]
    assert "test accuracy" in bars
    assert any("before" in label for label in bars)


@pytest.mark.parametrize(
    ("quantity", "values"),
    [
        ("loss", lambda found: np.log10(found.loss.value)),
        ("failed", lambda found: found.failed),
        ("learning_rate", lambda found: np.log10(found.learning_rate)),
    ],
)
def test_any_quantity_is_drawn_on_given_axes_with_a_style(quantity, values):
    figure = pytest.importorskip("matplotlib.figure").Figure(layout="constrained")
    ax, found = figure.subplots(), learnt()
    assert P.plot_trained_map(found, quantity, x="beta", ax=ax, alpha=0.3) is ax
    (mesh, *_) = ax.collections
    np.testing.assert_array_equal(mesh.get_array().reshape(2, 3), values(found))
    assert mesh.get_alpha() == 0.3
    assert ax.get_xlabel() == r"exponent $\beta$"


def test_a_regression_is_drawn_by_its_loss_and_points_without_networks_are_hatched():
    pytest.importorskip("matplotlib")
    assert P.plot_trained_map(made(regression=True)).figure.axes[-1].get_ylabel() == r"$\log_{10}$ test loss"
    ax = P.plot_trained_map(without_networks(learnt(), 0), "accuracy")
    assert "no value" in [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: P.plot_trained_map(3), "result=3 is not allowed: it must be a TrainedHeatMap"),
        (lambda: P.plot_trained_map(learnt(), "growl"), "quantity='growl' is not allowed"),
        (lambda: P.plot_trained_map(made(regression=True), "accuracy"), "quantity='accuracy' is not there"),
        (lambda: P.plot_trained_map(learnt(), x="depth"), "a heat map has the dimensions 'hurst' and 'beta'"),
        (lambda: P.plot_trained_map(learnt(), ax=3), "ax=3 is not allowed"),
        (lambda: P.plot_trained_map(without_networks(without_networks(learnt(), 0), 1)), "has no finite value"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence_and_leaves_no_figure(call, words):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    with pytest.raises(ValueError, match=words):
        call()
    assert pyplot.get_fignums() == []


# ---------------------------------------------------------------------------------------------------------- a page


def test_the_page_answers_how_well_where_it_fails_and_how_far_before():
    pytest.importorskip("jinja2")
    found = learnt()
    page = Page(render(found))
    assert len(page.all("svg")) == 3
    for question in trained_map_page.QUESTIONS.values():
        assert page.text.count(question) == 3  # in the contents, in short, and above its section
    assert "At 3 points of 6 some networks failed, at some learning rate; most at H = 0.3" in page.text
    rows, points = trained_map_page.content(found).tables
    assert [len(rows.rows), len(points.rows)] == [2, 6]
    assert rows.rows[0][-1] == "50%"
    assert found.data.data in page.text
    assert "no errors" not in page.text
    compile(page.code("python"), "page", "exec")


def test_the_page_says_what_a_map_lacks(tmp_path):
    pytest.importorskip("jinja2")
    with bare():
        page = Page(render(without_networks(made(), 0)))
        write(without_networks(without_networks(made(), 0), 1), tmp_path / "empty.html")
    assert "The map is not complete: 1 of 2 values of H have all of their networks." in page.text
    assert "Fewer than 32 networks of an H give no errors; networks=32 has them." in page.text
    assert "At no point did a network's loss stop being finite." in page.text
    assert "0 of 2 values of H" in Page((tmp_path / "empty.html").read_text(encoding="utf-8")).text
