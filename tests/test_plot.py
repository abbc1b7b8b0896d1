"""All figures: labels, sizes, styles, grey, and what is refused; matplotlib's own state is never touched.

No picture is compared with another: what is drawn is compared with the data, here and in the files beside this one.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import figures
import matplotlib
import numpy as np
import pytest
from figures import (
    FIGURES,
    P,
    deep,
    grid,
    lines,
    luminance,
    ordinary,
    words,
)
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import resmc
from resmc import Simulation, Sweep
from resmc.plot import style as st

every_figure = pytest.mark.parametrize("name", FIGURES)
pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here


# ------------------------------------------------------------------------------------------------------ of every figure


@every_figure
def test_a_new_figure_has_labels_explains_its_lines_has_the_width_of_a_column_and_touches_nothing_global(
    name, tmp_path
):
    before = dict(matplotlib.rcParams)
    ax = FIGURES[name]()
    assert dict(matplotlib.rcParams) == before
    assert isinstance(ax, Axes)
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    if name in ("sweep", "interlayer", "heat_map"):  # a colour bar says what the colours are
        (bar,) = (other for other in ax.figure.axes if other is not ax)
        assert bar.get_ylabel()
    else:
        assert len(words(ax)) >= 2
        assert any("±" in text or "s.e." in text or "networks" in text or "hollow" in text for text in words(ax))
    assert ax.figure.get_figwidth() == P.COLUMN == 3.4
    assert [plt.figure(number) for number in plt.get_fignums()] == [ax.figure]  # pyplot knows it once
    ax.figure.savefig(tmp_path / "figure.pdf")


@every_figure
def test_given_axes_are_drawn_on_with_the_style_for_the_data_and_nothing_global_is_touched(name):
    figure = Figure(layout="constrained")
    ax = figure.subplots()
    before = dict(matplotlib.rcParams)
    assert FIGURES[name](ax=ax, alpha=0.314) is ax
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []
    assert figure.get_figwidth() == matplotlib.rcParams["figure.figsize"][0]
    artists = [*ax.lines, *ax.collections, *ax.patches]
    assert any(artist.get_alpha() == 0.314 for artist in artists)


@pytest.mark.parametrize("name", ["output", "growth_of_sweep", "sweep"])
def test_axes_of_a_part_of_a_figure_are_as_good(name):
    part = Figure(figsize=(7, 3), layout="constrained").subfigures(1, 2)[0]
    assert FIGURES[name](ax=part.subplots()).get_xlabel()


@pytest.mark.parametrize("name", ["output", "qq", "hypoactivation", "growth", "trajectories"])
def test_a_style_may_use_the_short_names_and_overrides_ours(name):
    ax = FIGURES[name](c="#123456", lw=2.5, ax=Figure().subplots())
    assert [one for one in ax.lines if one.get_color() == "#123456"]
    long = FIGURES[name](color="#123456", linewidth=2.5, ax=Figure().subplots())
    assert len(lines(long, color="#123456")) == len(lines(ax, color="#123456"))


@every_figure
def test_axes_of_another_kind_are_refused_in_a_sentence(name):
    with pytest.raises(ValueError, match="is not allowed: it must have two dimensions, not three"):
        FIGURES[name](ax=Figure().add_subplot(projection="3d"))
    with pytest.raises(ValueError, match=r"^ax=3 is not allowed: it must be a matplotlib Axes"):
        FIGURES[name](ax=3)


@every_figure
def test_of_a_figure_that_fails_nothing_remains(name):
    with pytest.raises(ValueError, match=r"^plot_\w+ was given an option that is neither its own nor the artist's"):
        FIGURES[name](no_such_style=1)
    assert plt.get_fignums() == []


@every_figure
def test_a_missing_matplotlib_is_said_in_a_sentence_that_names_the_extra(name, monkeypatch):
    ordinary(), deep(), grid(), figures.regimes(), figures.deep_residual(), figures.over_beta_and_depth()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    function = "plot_" + name.removesuffix("_of_sweep")
    with pytest.raises(ImportError, match=rf"^{function} needs matplotlib: install resmc\[plot\]$"):
        FIGURES[name]()


def test_matplotlib_is_imported_when_a_figure_is_drawn_and_not_before():
    code = (
        "import sys, resmc; resmc.plot.plot_log_norm; assert 'matplotlib' not in sys.modules\n"
        "resmc.plot.plot_log_norm(resmc.simulate(width=4, depth=2, alpha=.6, lam=.8, networks=64))\n"
        "assert 'matplotlib' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=_environment())


def _environment() -> dict[str, str]:

    return os.environ | {"PYTHONPATH": str(Path(resmc.__file__).parents[1]), "MPLBACKEND": "Agg"}


# ------------------------------------------------------------------------------------------------------------- in grey


def test_curves_of_one_figure_differ_in_marker_and_line_style_and_not_in_colour_alone():
    assert len({series.marker for series in st.SERIES}) == len(st.SERIES)
    assert len({str(series.line) for series in st.SERIES}) == len(st.SERIES)
    assert len({series.colour for series in st.SERIES}) == len(st.SERIES)
    assert st.DOTTED not in [series.line for series in st.SERIES]  # infinite width alone
    assert len({"-", str(st.DASHED), str(st.DOTTED)}) == 3


def test_curves_are_dark_enough_on_white_and_what_is_pale_lies_under_them():
    for colour in (st.DATA, st.THEORY, st.INFINITE, *(series.colour for series in st.SERIES[:4])):
        assert 1.05 / (luminance(colour) + 0.05) > 2.5, colour
    for colour in (st.PALE, st.MISSING):
        assert luminance(colour) - luminance(st.THEORY) > 0.3


def test_a_centred_map_is_white_at_0_and_its_ends_differ_in_grey():
    colours = st.diverging()(np.linspace(0.0, 1.0, 101))
    grey = np.array([luminance(c[:3]) for c in colours])
    assert grey[50] > 0.98
    assert (np.diff(grey[:51]) > 0).all()
    assert (np.diff(grey[50:]) < 0).all()
    assert grey[0] - grey[-1] > 0.1


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, g: P.plot_log_norm(3), "sim=3 is not allowed: it must be a resmc.Simulation"),
        (lambda s, g: P.plot_output(g), "sim=.* is not allowed: it must be a resmc.Simulation"),
        (lambda s, g: P.plot_output(s, n_out=0), "n_out=0 is out of range"),
        (lambda s, g: P.plot_output(s, n_out="ten"), "n_out='ten' is not allowed"),
        (lambda s, g: P.plot_qq("x"), "sim='x' is not allowed"),
        (lambda s, g: P.plot_qq(_of(31)), "sim has 31 living networks: .* at least 32"),
        (lambda s, g: P.plot_log_norm(_dead()), "sim has no living network at depth 60"),
        (lambda s, g: P.plot_hypoactivation(g), "result=.* must be a Simulation or a Hypoactivation"),
        (lambda s, g: P.plot_hypoactivation(s, quantity="F"), "quantity='F' is not allowed: .*'active_fraction'"),
        (lambda s, g: P.plot_interlayer(s.hypoactivation()), r"result=Hypoactivation"),
        (lambda s, g: P.plot_interlayer(_of(40, False)), "there are no correlations"),
        (lambda s, g: P.plot_interlayer_by_lag([s]), "result=.* or a mapping from labels"),
        (lambda s, g: P.plot_interlayer_by_lag({}), "result holds 0 curves: it must be at least 1"),
        (lambda s, g: P.plot_interlayer_by_lag({"a": 1}), r"result\['a'\]=1 is not allowed"),
        (lambda s, g: P.plot_interlayer_by_lag(s, max_lag=0), "max_lag=0 is out of range"),
        (lambda s, g: P.plot_interlayer_by_lag(_sparse(), max_lag=4), "max_lag=4 .* at least 5 apart"),
        (lambda s, g: P.plot_interlayer(_of(1)), "result has no correlation between layers: too few networks live"),
        (lambda s, g: P.plot_interlayer_by_lag({"a": _of(1)}), r"result\['a'\] has no correlation between layers"),
        (
            lambda s, g: P.plot_hypoactivation(s, colour="red"),
            "plot_hypoactivation was given an option that is neither",
        ),
        (lambda s, g: P.plot_growth(s, label="x"), "plot_growth was given an option that is neither"),
        (lambda s, g: P.plot_growth(1), "result=1 is not allowed: .*SweepResult"),
        (lambda s, g: P.plot_growth(s, sel={"width": 1}), "sel=.* it chooses points of a SweepResult"),
        (lambda s, g: P.plot_growth(s, most=1), "most=1 is out of range"),
        (lambda s, g: P.plot_growth(g, sel={"ratio": 1}), "result has no dimension ratio or depth left"),
        (lambda s, g: P.plot_growth(g, sel={"depth": 1}), r"sel\['depth'\]=1 is not allowed: the dimensions are width"),
        (
            lambda s, g: P.plot_growth(g, sel={"width": 9}),
            r"sel\['width'\]=9 is not in the sweep: it has \(8, 16, 24\)",
        ),
        (lambda s, g: P.plot_growth(g, sel="vanilla"), "sel='vanilla' is not allowed: it must be a mapping"),
        (lambda s, g: P.plot_extrapolation(s), "result=.* must be an Extrapolation"),
        (lambda s, g: P.plot_ode_distance(s), "result=.* must be a Distance"),
        (lambda s, g: P.plot_adjoint_errors(s), "result=.* must be an AdjointErrors"),
        (lambda s, g: P.plot_adjoint_errors(figures.adjoint_errors(3), "state"), "kind='state' is not allowed"),
        (lambda s, g: P.plot_ode_distance({}), "result holds 0 curves"),
        (lambda s, g: P.plot_sweep(s), "result=.* must be a SweepResult"),
        (lambda s, g: P.plot_sweep(g), "sel leaves width beside x='variant' and y|sel leaves .* fix them"),
        (lambda s, g: P.plot_sweep(g, "speed"), "quantity='speed' is not allowed: .*log_norm.mean"),
        (lambda s, g: P.plot_sweep(g, show="z"), "show='z' is not allowed: .*'relative'"),
        (lambda s, g: P.plot_sweep(g, x="depth"), "x='depth' is not allowed: the dimensions left are width, ratio"),
        (lambda s, g: P.plot_sweep(g, x="width", y="width"), "y='width' is not allowed: it is x already"),
        (lambda s, g: P.plot_sweep(g, sel={"width": 8, "ratio": 1}), r"result has 1 dimensions left \(variant\)"),
        (lambda s, g: P.plot_sweep(g, "growth", show="relative", sel={"variant": "balanced"}), "its limit is 0"),
        (
            lambda s, g: P.plot_sweep(_without_errors(g), "growth", show="stderr", sel={"variant": "vanilla"}),
            "growth has no standard error",
        ),
        (lambda s, g: P.plot_trajectories(_of(40)), "sim kept no trajectories: .*keep_trajectories=20"),
        (lambda s, g: P.plot_trajectories(s, most=0), "most=0 is out of range"),
    ],
)
def test_bad_input_is_refused_in_a_sentence_and_leaves_no_figure(call, message):
    with pytest.raises(ValueError, match=message):
        call(ordinary(), grid())
    assert plt.get_fignums() == []


def test_a_sweep_over_a_list_of_models_has_no_dimensions_to_draw_over(tmp_path):
    result = Sweep([resmc.ResNet(8, 4, 0.6, 0.8)], networks=64).run(tmp_path / "store", progress=False)
    for function in (P.plot_sweep, P.plot_growth):
        with pytest.raises(ValueError, match=r"^result is a sweep over a list of models"):
            function(result)


def _sparse() -> Simulation:
    return resmc.simulate(width=8, depth=20, alpha=0.6, lam=0.8, networks=64, layers=range(0, 21, 5))


def _of(networks: int, correlations: bool = True) -> Simulation:
    return resmc.simulate(width=6, depth=3, alpha=0.6, lam=0.8, networks=networks, correlations=correlations)


def _without_errors(result: resmc.SweepResult) -> resmc.SweepResult:
    """Return the same result with estimates that have no standard errors."""
    bare = copy.copy(result)
    found = {name: replace(e, stderr=np.full(e.shape, np.nan)) for name, e in result.estimates.items()}
    vars(bare)["estimates"] = found
    return bare


def _dead() -> Simulation:
    run = resmc.simulate(width=1, depth=60, alpha=0.0, lam=1.0, networks=40)
    assert run.dead[-1] == 40
    return run
