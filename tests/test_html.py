"""Tables for notebooks: well formed, escaped, with nothing external, and with the numbers of the results."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import ResNet, Sweep
from resmc.results.estimates import Estimate
from resmc.tables import Column, Table, cells, html

pytestmark = pytest.mark.cpu

HALF = math.sqrt(0.5)


class Reader(HTMLParser):
    """The rows of a table and its caption; an unbalanced or unexpected tag fails."""

    ALLOWED = frozenset({"table", "caption", "thead", "tbody", "tr", "th", "td", "br", "span"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.caption = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.ALLOWED
        assert {name for name, _ in attrs} <= {"style", "scope"}  # no class, no link, no script
        assert not any("url(" in (value or "") or "#" in (value or "") for _, value in attrs)  # inherits colours
        if tag == "br":
            self.caption += "\n"
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "caption" in self.open:
            self.caption += data
        else:
            self.rows[-1][-1] += data


def cell(value: Any) -> str:
    """A cell's text as HTML has it."""
    return cells.cell(value).replace("+-", "±")


@pytest.fixture(scope="module")
def sim() -> resmc.Simulation:
    return resmc.simulate(width=20, depth=30, alpha=HALF, lam=HALF, networks=5000)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> resmc.SweepResult:
    plan = Sweep(width=[4, 8, 12], depth=list(range(1, 9)), alpha=HALF, lam=HALF, networks=100)
    return plan.run(tmp_path_factory.mktemp("grid") / "store", progress=False)


def test_whatever_is_in_a_cell_is_escaped():
    columns, rows = [Column("<b>"), Column("a & b")], [["<script>alert(1)</script>", '"quoted"']]
    read = Reader(html.render(Table("key", "<i>caption", columns, rows, ["second line"])))
    assert read.rows == [["<b>", "a & b"], ["<script>alert(1)</script>", '"quoted"']]
    assert read.caption == "<i>caption\nsecond line"


def test_cells_are_short_and_what_is_missing_is_empty():
    assert [cell(v) for v in (None, math.nan, 1 / 3, -0.0, True, 7, "x")] == ["", "", "0.333333", "0", "yes", "7", "x"]
    assert cell(Estimate(np.array(1.234), np.array(0.05), np.array(40))) == "1.234 ± 0.050"


def test_every_result_has_a_table_that_is_well_formed(sim, grid):
    analyses: list[Any] = [sim.log_gaussian_fit(), sim.hypoactivation(), sim.interlayer_correlations(),
                           sim.variance_growth(), sim.log_gaussian_fit().output,
                           sim.log_gaussian_fit().output_norm]  # fmt: skip
    sims = [resmc.simulate(width=n, depth=n, alpha=HALF, lam=HALF, networks=2000, seed=n) for n in (8, 16, 32)]
    others = [sim, resmc.extrapolate(sims), sim.log_norm_mean, sim.log_norm_mean[-1], sim.log_gaussian_fit().ks_theory,
              grid, grid.plan, grid.plan.estimate(), Sweep([ResNet(8, 4, 0.6, 0.8)], networks=10)]  # fmt: skip
    for result in analyses + others:
        read = Reader(result._repr_html_())
        assert read.rows, type(result)
        assert len({len(row) for row in read.rows}) == 1, type(result)
        assert "+-" not in result._repr_html_()


def test_a_simulations_table_is_its_summary(sim):
    read = Reader(sim._repr_html_())
    text = str(sim.summary())
    assert read.caption.splitlines()[:3] == text.splitlines()[:3]
    for name, estimate, *_ in read.rows[1:]:
        assert name in text
        assert estimate.replace("±", "+-") in text
    assert read.rows[1][3] == "exact"
    for name, _, *compared in read.rows[1:]:
        line = next(line for line in text.splitlines() if line.startswith(f"{name}  "))
        assert re.split(" {2,}", line)[2:] == [part for part in compared if part]


def test_an_analysis_shows_a_few_of_its_layers_the_first_and_last_among_them(sim):
    read = Reader(sim.hypoactivation()._repr_html_())
    assert read.caption.splitlines()[0] == "Hypoactivation: 12 of 31 entries"
    assert [read.rows[1][0], read.rows[-1][0]] == ["0", "30"]
    assert read.rows[-1][1] == cell(sim.asymmetry_mean[-1])
    assert read.rows[0][:3] == ["layers", "asymmetry", "theory.asymmetry"]


def test_correlations_are_shown_at_the_lags_that_have_some(sim):
    inter = sim.interlayer_correlations()
    read = Reader(inter._repr_html_())
    assert [row[0] for row in read.rows] == ["lags", *map(str, range(13))]
    slow = Estimate(0.9 ** np.arange(31), np.full(31, 1e-4), np.full(31, 5000))
    assert [row[0] for row in Reader(replace(inter, by_lag=slow)._repr_html_()).rows][1::6] == ["0", "15", "30"]


def test_an_estimate_shows_its_first_entries_and_says_how_many_there_are(sim):
    read = Reader(sim.log_norm_mean._repr_html_())
    assert "first 20 of 31" in read.caption
    assert len(read.rows) == 21
    assert read.rows[1] == ["0", cell(sim.log_norm_mean[0]), "5000"]
    assert "noise floor" in Reader(sim.log_gaussian_fit().ks_fitted._repr_html_()).rows[0]


def test_a_long_sweep_shows_twenty_points_and_says_how_many_there_are(grid):
    read = Reader(grid._repr_html_())
    assert "the first 20 of 24 points" in read.caption
    assert len(read.rows) == 21
    assert read.rows[1][0] == "width 4, depth 1"
    assert read.rows[1][1] == "100"
    variance = grid.estimates["log_norm.variance"]
    assert read.rows[1][read.rows[0].index("log_norm.variance")].startswith(cell(variance[0, 0]))


def test_a_plan_of_many_values_shows_its_ends(grid):
    plan = Sweep(width=list(range(1, 1001)), depth=4, alpha=HALF, lam=HALF, networks=10)
    settings = dict(Reader(plan._repr_html_()).rows)
    assert settings["width"] == "1, 2, 3, 4, .., 999, 1000 (1000)"
    assert settings["networks"] == "10"
