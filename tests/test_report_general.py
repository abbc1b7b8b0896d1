"""Pages of any network, of regimes, and of sweeps over any dimension: what they say, and what they leave out."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reports import HALF, Page, bare, only

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, Sweep
from resmc._system.build import VARIABLE, instruction_set
from resmc.results.observables import OBSERVABLES

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
from resmc.report import alternatives, render, simulation_page, sweep_tables, tables, words, write
from resmc.report.found import Analyses

pytestmark = pytest.mark.cpu
FORWARD, BACKWARD = ("displacement",), ("gradient", "gradient_displacement")
NETWORKS: dict[str, tuple[ResidualNetwork, dict[str, Any]]] = {
    "bias": (ResidualNetwork(12, 6, "phi-in", "relu", bias=0.1), {"gradients": True}),
    "by layer": (ResidualNetwork(12, 4, "phi-in", "leaky_relu", scaling=[0.5, 0.4, 0.3, 0.2]), {}),
    "without a skip": (ResidualNetwork(3, 6, "v-phi-w", "relu", carry=0.0, scaling=DepthScaling(0.0, 1.4)), {}),
    "inside": (ResidualNetwork(12, 6, "phi-out", "tanh", scaling=DepthScaling(0.5, inside=True)), {"gradients": True}),
    "two matrices": (ResidualNetwork(12, 6, "v-phi-w", "centred_softplus"), {"keep_trajectories": 3}),
    "rademacher": (ResidualNetwork(12, 6, "v-phi-w", "gelu", weights="rademacher", input=[1.0, 2.0]),
                   {"method": "dense", "gradients": True}),
    "a ResNet's": (ResidualNetwork(12, 6, "phi-in", "balanced"), {"gradients": True}),
    "silent": (ResidualNetwork(4, 6, "phi-in", "relu", bias=0.2), {}),
    "huge": (ResidualNetwork(12, 80, "phi-in", "linear", scaling=DepthScaling(0.0, 3.0)), {"gradients": True}),
    "few": (ResidualNetwork(12, 6, "phi-out", "silu"), {"gradients": True, "networks": 20}),
}  # fmt: skip


@functools.cache
def general(name: str) -> resmc.Simulation:
    network, given = NETWORKS[name]
    return resmc.simulate(network, **{"networks": 2000, "seed": 1, "progress": False} | given)


@functools.cache
def bare_page(name: str) -> Page:
    with bare():
        return Page(render(general(name)))


def said(name: str) -> dict[str, str]:
    """All sentences of each answer."""
    return {
        one.key: " ".join((one.verdict, *one.sentences)).replace("\xa0", " ")
        for one in words.answers(Analyses.of(general(name)))
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_a_page_in_words(name: str):
    page, sim = bare_page(name), general(name)
    for word in ("nan", "NaN", "None", "Estimate(", "+-", "{{", "array("):
        assert not re.search(rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])", page.text), word
    asked = [OBSERVABLES[f"{each}.median"].question for each in sim.laws if each != "growth"]
    asked += [OBSERVABLES["growth"].question, *([OBSERVABLES["active_fraction"].question] * sim.has_asymmetry)]
    for question in asked:
        assert page.text.count(question) == 3  # in the contents, in short, and above its section
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", [pytest.param("rademacher", marks=pytest.mark.long), "two matrices"])
def test_figures_of_any_network_are_drawn_and_described(name: str):
    content = simulation_page.content(general(name))
    assert [figure.key for figure in content.figures.values() if figure.refusal] == []
    for figure in content.figures.values():
        assert figure.svg.startswith("<svg")
        assert re.search(r"\d", figure.description)


@pytest.mark.parametrize("name", ["bias", "inside"])
def test_theory_is_not_spoken_of_where_there_is_none(name: str):
    """The log-norm of these networks has no known law; that of a ResNet's other spelling has one."""
    for sentence in said(name).values():
        assert "infinite width" not in sentence
        assert "leading order" not in sentence
        assert "no value" not in sentence
    assert "No limit law of this network's log-norm is known" in said(name)["log-gaussian"]
    assert "leading order" in said("a ResNet's")["log-gaussian"]
    assert "infinite width predicts" in said("a ResNet's")["log-gaussian"]


def test_quotients_say_their_medians_and_the_theory_beside_their_moments():
    sim, answers = general("a ResNet's"), said("a ResNet's")
    for name in (*FORWARD, *BACKWARD):
        median = 0.5 * float(sim.estimate(f"{name}.median").value)
        shown = re.search(r"^In the median \S+ is ([0-9.]+) ±", answers[name.replace("_", "-")])
        assert float(shown[1]) == pytest.approx(np.exp(median), rel=0.01)
    assert "at infinite depth, relative difference" in answers["gradient"]
    exact = OBSERVABLES["gradient.second_moment"].exact_value(sim.facts)
    assert np.isfinite(exact)
    assert f"(theory: exactly {exact:.4g}, z = " in answers["gradient"]


def test_the_dead_are_asked_for_where_there_may_be_some():
    assert general("without a skip").dead[-1] > 100
    assert said("without a skip")["dead-fraction"].startswith("Yes: ")
    assert "dead-fraction" not in said("bias")
    assert "inactive-fraction" in said("silent")  # 2^-4 of all at layer 0
    assert "inactive-fraction" not in said("inside")  # nothing acts on its layers


def test_a_log_norm_beyond_its_histogram_is_said_so():
    assert general("huge").histogram.counts.sum() == 0
    assert "no log-norm lies between −128 and 128" in said("huge")["log-gaussian"]


def test_a_range_whose_ends_read_alike_is_a_number():
    """Half of a law may lie within rounding of its median; its 5% and 95% quantiles seldom do."""
    assert alternatives._range("0.99", "1.01") == "lie between 0.99 and 1.01"
    assert alternatives._range("1.00", "1.00") == "are 1.00 to three digits"


@pytest.mark.parametrize("name", ["bias", "without a skip", "a ResNet's"])
def test_the_table_by_layer_has_every_quantity_by_layer(name: str):
    analyses = Analyses.of(general(name))
    table = tables.layers(analyses)
    headings = [column.name for column in table.columns]
    for one in (OBSERVABLES[each] for each in general(name).observables):
        if one.per == "layer":
            heading = tables.capital(alternatives.typeset(one.called("l", "h")))
            assert heading in headings
            values = one.exact(general(name).facts, general(name).layers)
            if np.isfinite(values).any():
                column = [row[headings.index(f"{heading}, theory")] for row in table.rows]
                assert [cell.endswith(" exact") for cell in column] == np.isfinite(values).tolist()
    assert all(len(row) == len(headings) for row in table.rows)


def test_what_a_quantity_is_called_and_asks_stands_in_the_table_alone():
    folder = Path(resmc.__file__).parent / "report"
    source = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    for one in OBSERVABLES.values():
        assert not one.question or one.question not in source
        assert one.words not in source


# ------------------------------------------------------------------------------------------------------------- a regime


@functools.cache
def regime(beta: float = 1.0) -> resmc.Regime:
    network = ResidualNetwork(10, 1, "v-phi-w", "tanh", scaling=DepthScaling(beta), bias=0.1)
    return resmc.regime(network, [4, 12, 36, 108], networks=300, progress=False)


def test_a_regime_has_its_page(tmp_path: Path):
    found = regime()
    write(found, tmp_path / "regime.html")
    page = Page((tmp_path / "regime.html").read_text(encoding="utf-8"))
    assert "Identity: |h_L−h_0|/|h_0| tends to 0" in page.text.replace("hL", "h_L").replace("h0", "h_0")
    assert len(page.all("svg")) == 4
    for name in ("displacement", "gradient_displacement"):
        assert OBSERVABLES[f"{name}.median"].question in page.text
    for verdict in (found.forward, found.backward):
        assert f"{float(verdict.slope.value):.3f}".replace("-", "−")[:5] in page.text
    assert not re.search(r"(?<![A-Za-z])(nan|None)(?![A-Za-z])|\+-", page.text)


def test_the_python_of_a_regime_gives_it_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, instruction_set())  # what the program sets is put back
    with bare():
        page = Page(render(regime()))
    names: dict[str, Any] = {}
    exec(page.code("python"), names)
    np.testing.assert_array_equal(names["found"].displacement.value, regime().displacement.value)
    assert names["found"].forward.sentence == regime().forward.sentence
    for option in (
        "--width=10",
        "--block=v-phi-w",
        "--beta=1.0",
        "--bias=0.1",
        "--depths=4,12,36,108",
        "--networks=300",
    ):
        assert option in page.code("shell")
    assert "--depth=" not in page.code("shell")


# -------------------------------------------------------------------------------------------------------------- a sweep


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> resmc.SweepResult:
    plan = Sweep(block=["v-phi-w", "phi-out"], beta=[0.25, 0.5, 1.0], depth=[4, 8], width=8, activation="tanh",
                 networks=300, gradients=True)  # fmt: skip
    return plan.run(tmp_path_factory.mktemp("general") / "store", workers=1, progress=False)


def test_a_sweep_over_words_and_numbers_has_its_page(swept: resmc.SweepResult, monkeypatch: pytest.MonkeyPatch):
    only(monkeypatch, *(f"{name}.median" for name in (*FORWARD, *BACKWARD)))
    page = Page(render(swept))
    assert "There is no figure" not in page.text
    assert not re.search(r"(?<![A-Za-z])(nan|None|inf)(?![A-Za-z])", page.text)
    for name in (*FORWARD, *BACKWARD):
        assert OBSERVABLES[f"{name}.median"].question in page.text
    captions = "".join(text for tag, text in page.texts if tag == "figcaption")
    for block in ("v-phi-w", "phi-out"):
        assert captions.count(f" as a map (block {block})") == captions.count(f" over depth (block {block})") == 3
    assert "(a grid of 2 blocks × 2 depths × 3 betas)" in page.text


def test_a_point_without_a_quantity_has_a_dash(tmp_path: Path):
    plan = Sweep([ResNet(8, 4, HALF, HALF), ResidualNetwork(8, 4, "v-phi-w", "tanh", bias=0.1)], networks=300)
    result = plan.run(tmp_path / "store", workers=1, progress=False)
    table = sweep_tables.points(result)
    headings = [column.name for column in table.columns]
    active, moved = (headings.index(one) for one in ("E F_d", "Median log |h_d−h_0|²/|h_0|²"))
    assert [row[active] == "—" for row in table.rows] == [False, True]
    assert [row[moved] == "—" for row in table.rows] == [True, False]
    assert [row[headings.index("bias")] for row in table.rows] == ["—", "0.1"]
    with bare():
        assert "where they do not, a dash stands in the table" in Page(render(result)).text


def test_curves_are_not_limited_to_those_that_have_a_colour_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    only(monkeypatch, "growth", "log_norm.variance")
    plan = Sweep(activation=["relu", "tanh", "gelu", "silu", "sigmoid", "leaky_relu", "linear"], beta=[0.5, 1.0],
                 block="v-phi-w", width=6, depth=3, networks=100)  # fmt: skip
    page = Page(render(plan.run(tmp_path / "store", workers=1, progress=False)))
    assert "There is no figure" not in page.text
    assert len(page.all("svg")) == 2
