"""One table, drawn as text, as HTML, as records and on a report's page: the same cells everywhere, and nothing lost."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, replace
from html import unescape
from typing import Any

import numpy as np
import pytest

import resmc
from resmc.results.estimates import Estimate, KSDistance
from resmc.tables import Column, Table, alignment, html, text
from resmc.tables.cells import cell, format_estimate, plain
from resmc.tables.table import few

pytestmark = pytest.mark.cpu


@dataclass(frozen=True)
class Measured:
    """A stand-in for what a higher room shows."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:.1f} +- 0.1"

    def _plain_(self) -> dict[str, Any]:
        return {"value": self.value}


TABLE = Table(
    "things",
    "two <things>",
    [
        Column("name", "name", numeric=False, obvious=True),
        Column("size +- error", "size", width=16),
        Column("<share>", "share", digits=2),
        Column("seen"),
        Column(None, "exact"),
    ],
    [["a & b", Measured(1.25), 1 / 3, True, np.float64(0.1)], ["c", None, np.nan, False, np.inf]],
    ["a second line"],
    ["", "a note"],
    left_out=3,
    unit="things",
    whole="the catalogue has all",
)


def rows_of(source: str, tag: str) -> list[list[str]]:
    source = re.sub("</?span[^>]*>", "", source)  # around what follows a decimal point
    return [
        [unescape(found) for found in re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", source)
        if f"<{tag}" in row
    ]


def test_text_has_a_line_for_each_row_under_aligned_headings():
    assert text.render(TABLE).splitlines() == [
        "two <things>",
        "a second line",
        "",
        "       size +- error   <share>  seen",
        "a & b  1.2 +- 0.1      0.33     yes",
        "c                               no",
        ".. and 3 more things: the catalogue has all",
        "",
        "a note",
    ]


def test_text_that_is_too_wide_becomes_a_paragraph_for_each_row():
    lines = text.render(TABLE).splitlines()
    longest = 7 + 16 + 9 + 6
    assert text.render(TABLE, longest).splitlines() == lines
    assert text.render(TABLE, longest - 1).splitlines() == [
        *lines[:3],
        "a & b",
        "  size +- error  1.2 +- 0.1",
        "  <share>        0.33",
        "  seen           yes",
        "",
        "c",
        "  size +- error",
        "  <share>",
        "  seen           no",
        "",
        *lines[-3:],
    ]


def test_html_has_the_same_cells_escaped_and_errors_after_a_sign():
    source = html.render(TABLE)
    assert rows_of(source, "th") == [["name", "size ± error", "<share>", "seen"]]
    assert rows_of(source, "td") == [["a & b", "1.2 ± 0.1", "0.33", "yes"], ["c", "", "", "no"]]
    assert "two &lt;things&gt;<br>a second line<br>a note<br>the first 2 of 5 things: the catalogue has all<" in source
    assert "<things>" not in source
    assert "a & b" not in source


def test_numbers_stand_in_a_column_by_their_points_and_words_by_their_beginnings():
    columns = [Column("of"), Column("number"), Column("count"), Column("value")]
    rows = [["x", "1.25 +- 0.10", 3, "1, 2, 3"], ["y", "-12.5 +- 3.1", 17, "9"], ["z", "no value", 120, "tanh"]]
    source = html.render(Table("key", "", columns, rows))
    sides = re.findall(r'<td style="text-align:(\w+);', source)
    assert sides == ["left", "right", "right", "left"] * 3
    ends = re.findall(r"min-width:([0-9.]+)ch\">(.*?)</span>", source)
    assert [text for _, text in ends] == [".25 ± 0.10", ".5 ± 3.1"]
    assert len({width for width, _ in ends}) == 1
    assert rows_of(source, "td")[1] == ["y", "-12.5 ± 3.1", "17", "9"]


@pytest.mark.parametrize(
    ("cell", "parts"),
    [("0.25 ± 0.01", ("0", ".25 ± 0.01")), ("\u22123.1", ("\u22123", ".1")),
     ("1.2e-05 ± 1.0e-06", ("1", ".2e-05 ± 1.0e-06")),
     ("20\u202f000", ("20\u202f000", "")), ("0 exact", ("0", " exact")), ("+4.75%", ("+4", ".75%")),
     ("z = +0.9", ("z = +0", ".9")), ("width 8", None), ("1, 2, 3", None), ("e^(5.0)", None), ("\u2014", None),
     ("2 and 3", None), ("", None)],
)  # fmt: skip
def test_a_number_parts_at_its_point(cell: str, parts: tuple[str, str] | None):
    assert alignment.parts(cell) == parts


def test_records_have_stable_keys_and_all_digits():
    expected = [
        {"name": "a & b", "size": {"value": 1.25}, "share": 1 / 3, "exact": 0.1},
        {"name": "c", "size": None, "share": None, "exact": None},
    ]
    assert TABLE.records() == expected
    reworded = replace(TABLE, columns=[replace(c, name="another") for c in TABLE.columns])
    assert reworded.records() == expected


def test_a_page_has_the_same_cells_escaped():
    jinja2 = pytest.importorskip("jinja2")
    from resmc.report import page

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["symbols"] = page.symbols
    macro = page._file("template.html.j2").split("{% endmacro %}")[0]
    columns, rows = TABLE.shown()
    shown = replace(TABLE, columns=columns, rows=rows, notes=["a note"])
    template = environment.from_string(macro + "{% endmacro %}{{ sortable(table) }}")
    source = template.render(table=shown, rows_at_once=50)
    found = re.findall(r'<th scope="row">(.*?)</th>((?:<td>.*?</td>)*)', source)
    texts = [[unescape(first), *map(unescape, re.findall("<td>(.*?)</td>", others))] for first, others in found]
    assert texts == rows
    assert '<p class="note">a note</p>' in source
    assert re.findall(r'scope="col"( class="n")?>', source) == ["", *[' class="n"'] * 3]
    assert "<things>" not in source
    assert "<share>" not in source


def test_cells_that_would_touch_make_their_column_wider():
    narrow = replace(TABLE, columns=[replace(TABLE.columns[0], width=3), *TABLE.columns[1:]])
    assert text.render(narrow).splitlines()[4].startswith("a & b 1.2 +- 0.1")


def test_a_table_without_headings_rows_or_lines_is_drawn_too():
    bare = Table("bare", "", [Column(""), Column("")], [("points", 3)])
    assert text.render(bare) == "points  3"
    assert "<thead>" not in html.render(bare)
    assert "<caption" not in html.render(bare)
    assert text.render(Table("empty", "", [Column("one")], [])) == "one"
    assert text.render(Table("empty", "", [Column("")], [])) == ""


def test_rows_that_do_not_fit_the_columns_are_no_table():
    """The negative control: a lost or a surplus cell must not pass for a table."""
    for row in (["a"], ["a", "b", "c"]):
        with pytest.raises(ValueError, match="2 columns"):
            Table("wrong", "", [Column("one"), Column("two")], [row])


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(None, 6, ""), (1 / 3, 6, "0.333333"), (1 / 3, 2, "0.33"), (-0.0, 6, "0"), (1e-13, 6, "0"), (np.inf, 6, ""),
     (True, 6, "yes"), (np.bool_(False), 6, "no"), (7, 2, "7"), (np.array(0.5), 6, "0.5"),
     (np.zeros((2, 3)), 6, "array of shape (2, 3)"), (Measured(2.0), 6, "2.0 +- 0.1")],
)  # fmt: skip
def test_numbers_are_short(value: Any, digits: int, shown: str):
    assert cell(value, digits) == shown


def test_plain_values_are_what_json_can_hold():
    given = [None, np.nan, np.float32(0.5), np.int64(3), True, "x", np.array([1.0, np.nan]), (1, 2), Measured(1.0)]
    assert plain(given) == [None, None, 0.5, 3, True, "x", [1.0, None], [1, 2], {"value": 1.0}]
    json.dumps(plain(given), allow_nan=False)


def test_errors_have_two_digits_and_what_is_missing_has_words():
    assert format_estimate(1.23456, 0.0123) == "1.235 +- 0.012"
    assert format_estimate(np.nan, 1.0) == "no value"
    assert format_estimate(1.0, np.nan) == "1 (no error bar)"
    assert format_estimate(1.0, 1e-15) == "1 +- 0"
    assert format_estimate(2.53206385e-11, 8.6e-13) == "2.532e-11 +- 8.6e-13"
    assert format_estimate(1e300, 1e298) == "1.000e+300 +- 1.0e+298"
    assert format_estimate(0.0, 3e-12) == "0 +- 3.0e-12"


def test_a_few_of_many_are_spread_with_both_ends():
    assert few(3, 5) == [0, 1, 2]
    assert few(100, 4) == [0, 33, 66, 99]


def test_an_estimate_keeps_value_error_and_number_in_its_record():
    estimate = KSDistance(np.array(0.125), np.array(0.01), np.array(40), noise_floor=0.0123456, resolution=np.nan)
    (record,) = estimate._table().records()
    assert record.pop("estimate") == {"value": 0.125, "stderr": 0.01, "n": 40}
    assert record == {"networks": 40, "noise_floor": 0.0123456, "resolution": None}
    assert rows_of(html.render(estimate._table()), "td") == [["0.125 ± 0.010", "40", "0.012", ""]]
    many = Estimate(np.arange(30.0), np.ones(30), np.full(30, 100))
    assert many._table().left_out == 10
    assert len(many._table().rows) == 20
    assert many._table().records()[-1]["index"] == "29"
    assert many._table().records()[-1]["estimate"] == {"value": 29.0, "stderr": 1.0, "n": 100}


def test_a_summary_is_its_table_and_its_records_are_the_command_lines(capsys: pytest.CaptureFixture[str]):
    from resmc.cli.main import main

    given = {"width": 8, "depth": 5, "alpha": 0.6, "lam": 0.8, "networks": 300}
    sim = resmc.simulate(**given)
    assert str(sim.summary()) == text.render(sim._table())
    assert sim._repr_html_() == html.render(sim._table())
    assert main(["simulate", "--json", "--quiet", *(f"--{name}={value}" for name, value in given.items())]) == 0
    printed = json.loads(capsys.readouterr().out)["quantities"]
    assert printed == sim._table().records()
    keys = ["quantity", "name", "layer", "value", "stderr", "n", "exact", "z_score", "limit", "limit_kind"]
    keys += ["relative_difference", "second_order"]
    assert all(list(record) == keys for record in printed)


# ------------------------------------------------------------------------------------------------------- data frames


def test_a_summary_is_a_table_that_prints_as_text_and_becomes_a_frame():
    sim = resmc.simulate(width=8, depth=5, alpha=0.6, lam=0.8, networks=300)
    found = sim.summary()
    assert str(found) == repr(found) == text.render(found)
    assert found._repr_html_() == html.render(found)
    assert "mean L_5" in found
    assert "mean L_6" not in found
    assert found == sim.summary()
    assert found != resmc.simulate(width=8, depth=5, alpha=0.6, lam=0.8, networks=300, seed=1).summary()
    frame = found.to_dataframe()
    assert frame["quantity"].tolist() == [record["quantity"] for record in found.records()]
    for name in ("value", "stderr", "exact", "limit", "relative_difference"):
        np.testing.assert_array_equal(frame[name], [np.nan if r[name] is None else r[name] for r in found.records()])


def test_frames_hold_all_rows_and_all_numbers_of_an_estimate(tmp_path: Any):
    frame = TABLE.to_dataframe()
    assert frame.columns.tolist() == ["name", "size", "share", "exact"]
    estimates = Table(
        "e", "", [Column("one", "one")], [[Estimate(1.0, 0.1, 9)], [None], [Estimate(-np.inf, np.nan, 3)]]
    )
    frame = estimates.to_dataframe()
    np.testing.assert_array_equal(frame["one"], [1.0, np.nan, -np.inf])
    np.testing.assert_array_equal(frame["one_stderr"], [0.1, np.nan, np.nan])
    np.testing.assert_array_equal(frame["one_n"], [9.0, np.nan, 3.0])
    assert Table("none", "", [Column("a", "a")], []).to_dataframe().columns.tolist() == ["a"]

    many = Estimate(np.arange(30.0).reshape(5, 6), np.ones((5, 6)), 100, 31)
    frame = many.to_dataframe()
    assert frame.columns.tolist() == ["index_0", "index_1", "value", "stderr", "n", "df"]
    assert frame.iloc[-1].tolist() == [4, 5, 29.0, 1.0, 100, 31.0]
    distance = KSDistance(0.1, 0.01, 40, noise_floor=0.02, resolution=0.03).to_dataframe()
    assert distance[["value", "noise_floor", "resolution"]].to_numpy().tolist() == [[0.1, 0.02, 0.03]]

    sim = resmc.simulate(width=8, depth=40, alpha=0.6, lam=0.8, networks=300)
    shown = sim.hypoactivation()
    assert shown.to_dataframe()["layers"].tolist() == list(range(41))
    np.testing.assert_array_equal(shown.to_dataframe()["asymmetry_stderr"], shown.asymmetry.stderr)
    fit = sim.log_gaussian_fit().to_dataframe().set_index("field")
    assert fit.loc["variance", "value"] == float(sim.log_norm_variance.value[-1])
    plan = resmc.Sweep(width=list(range(2, 232)), depth=1, alpha=0.6, lam=0.8, networks=2)
    result = plan.run(tmp_path / "store", progress=False)
    assert ".. and 30 more points: to_xarray() has all of them" in result.summary()
    frame = result.summary().to_dataframe()
    np.testing.assert_array_equal(frame["log_norm.mean"], result.estimates["log_norm.mean"].value)
    np.testing.assert_array_equal(frame["growth_limit"], result.limits["growth"])
    assert plan.to_dataframe().set_index("setting").loc["networks", "value"] == "2"
    limit = resmc.limit(resmc.ResidualNetwork(4, 1, "v-phi-w"), networks=64, steps=4)
    assert limit.to_dataframe().set_index("name").loc["gradient.mean", "estimate"] == float(limit.gradient.mean.value)


def test_frames_need_pandas_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Any):
    sim = resmc.simulate(width=8, depth=4, alpha=0.6, lam=0.8, networks=64)
    plan = resmc.Sweep(width=[2, 3], depth=[1, 2], alpha=0.6, lam=0.8, networks=2)
    result = plan.run(tmp_path / "store", progress=False)
    whole, points = result.to_xarray(laws=True).to_dataframe().reset_index(), result.to_dataframe(laws=True)
    assert points.equals(whole[points.columns])
    assert set(points.columns) == set(whole.columns)
    by_layer = sim.to_xarray()
    layers = (
        by_layer[[n for n, one in by_layer.data_vars.items() if one.dims == ("layer",)]].to_dataframe().reset_index()
    )
    assert sim.to_dataframe().equals(layers[sim.to_dataframe().columns])
    assert all({"units", "long_name"} <= set(one.attrs) for one in by_layer.variables.values())
    monkeypatch.setitem(sys.modules, "xarray", None)
    assert sim.to_dataframe().equals(layers[sim.to_dataframe().columns])
    assert result.to_dataframe(laws=True).equals(points)
    with pytest.raises(ImportError, match=r"^to_xarray needs xarray: install resmc\[xarray\]$"):
        sim.to_xarray()
    monkeypatch.setitem(sys.modules, "pandas", None)
    for one in (sim, sim.summary(), result, plan, sim.log_norm_mean, sim.variance_growth(), result.summary()):
        with pytest.raises(ImportError, match=r"^to_dataframe needs pandas: install resmc\[pandas\]$"):
            one.to_dataframe()
