"""The page of a heat map: its answers, figures and tables, and the program that computes the same map again."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reports import Page, bare

import resmc
from resmc import DepthScaling, HeatMap, ResidualNetwork, cli, heat_map
from resmc._system.build import VARIABLE, instruction_set

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
from resmc.report import heat_map_page, render, write

pytestmark = pytest.mark.cpu
NETWORK = ResidualNetwork(8, 60, block="v-phi-w", bias=0.1, scaling=DepthScaling(0.0, 1.5))
HURST, BETA = (0.1, 0.5, 0.9), (0.0, 0.4, 0.8, 1.2)


@functools.cache
def found(networks: int = 32, gradients: bool = True) -> HeatMap:
    return heat_map(NETWORK, hurst=HURST, beta=BETA, networks=networks, n_inputs=2, gradients=gradients, progress=False)


def test_the_page_of_a_map_has_an_answer_each_way_with_maps_frontiers_and_every_point():
    page = Page(render(found()))
    assert len(page.all("svg")) == 4
    for question in heat_map_page.QUESTIONS.values():
        assert page.text.count(question) == 3  # in the contents, in short, and above its section
    beta = found().frontier().beta
    for i in (0, 2):
        assert f"{beta.value[i]:.3f}"[:5] in page.text
    assert not re.search(r"(?<![A-Za-z])(nan|None)(?![A-Za-z])|\+-", page.text)
    frontiers, points = heat_map_page.content(found()).tables
    assert [row[-1] for row in frontiers.rows] == ["0.5", "0.5", "0.9"]
    assert [len(points.rows), len(points.rows[0])] == [12, 6]
    assert "no errors" not in page.text
    with bare():
        assert len(Page(render(found(gradients=False))).all("svg")) == 0
    assert len(heat_map_page.content(found(gradients=False)).answers) == 1


def test_the_page_says_what_a_map_lacks():
    with bare():
        page = Page(render(found(networks=3)))
        one = heat_map(NETWORK, hurst=[0.3], beta=[0.5], networks=32, n_inputs=1, progress=False)
        alone = Page(render(one))
        rows = tuple(replace(row, exploded=row.exploded + (row.averages > 0.0).any(axis=0)) for row in found()._rows)
        far = Page(render(replace(found(), _rows=rows)))
    points = int((found().exploded("displacement") == 0).sum())
    said = re.search(r"At (\d+) points inputs leave the range of numbers: the mean is infinite there", far.text)
    assert said is not None
    assert 0 < int(said[1]) < points
    assert "leave the range" not in page.text
    assert "Fewer than 32 networks of an H give no errors; networks=32 has them." in page.text
    assert "1 value of H = 0.3, 1 exponent β = 0.5; 32 networks of 1 input at each H" in alone.text
    assert "At β = 0.5 the mean of log10 |h0−h" not in alone.text  # indices are marked up
    assert [table.key for table in heat_map_page.content(one).tables] == ["points"]


def test_a_stored_map_has_its_page_from_the_command_line_and_its_program_gives_it_again(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, instruction_set())  # what the program sets is put back
    monkeypatch.chdir(tmp_path)
    whole = heat_map(NETWORK, hurst=HURST, beta=BETA, networks=2, n_inputs=2, store="store", progress=False)
    with bare():
        assert cli.main(["report", "store", "--output", "map.html"]) == 0
        write(whole, "again.html")
    page = Page(Path("map.html").read_text(encoding="utf-8"))
    assert page.source == Path("again.html").read_text(encoding="utf-8")
    names: dict[str, HeatMap] = {}
    exec(page.code("python"), names)
    again = names["found"]
    assert again.complete
    for name in whole.quantities:
        np.testing.assert_array_equal(again.estimate(name).value, whole.estimate(name).value)
    sizes = [sorted(path.name for path in Path(store).rglob("*.resmc")) for store in ("store", "again")]
    assert sizes[0] == sizes[1]
    next(Path("store").rglob("*.resmc")).unlink()
    with bare():
        assert (
            "The map is not complete: 2 of 3 values of H have all of their networks."
            in Page(render(resmc.load_heat_map("store"))).text
        )
