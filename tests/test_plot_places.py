"""Figures as a journal takes them: nothing is hidden, clipped, too small or lost on its ground, in any situation.

Where a legend lies is judged by what is painted: the same figure without its legend and words has nothing there.
"""

from __future__ import annotations

from itertools import combinations

import figure_cases
import figures
import numpy as np
import pytest
from figure_cases import CASES, SITUATIONS
from figures import FIGURES, P, words
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from resmc.plot import style as st

pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here
SMALLEST = 6.0  # points
# the states that are drawn always; all of them in all situations are drawn with the long tests
CROWDED = ["growth seven", "growth wide labels", "quantity many dimensions", "interlayer_by_lag many", "log_norm skip"]
EVERY = [(name, situation) for name in CASES for situation in SITUATIONS]
ALWAYS = [(name, "column") for name in FIGURES] + [(name, "grid") for name in CROWDED] + [("log_norm", "dark")]


def written(ax):
    """Texts that are shown of the axes and its bar of colours."""
    for one in [other for other in ax.figure.axes if other is ax or other.get_label() == "<colorbar>"]:
        for axis in (one.xaxis, one.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            shown = [tick for tick in ticks if low <= tick.get_loc() <= high]
            yield from (label for tick in shown for label in (tick.label1, tick.label2)
                        if label.get_visible() and label.get_text())  # fmt: skip
        yield from (t for t in (one.xaxis.label, one.yaxis.label, one.title, *one.texts) if t.get_text())
    if ax.get_legend() is not None:
        yield from (t for t in ax.get_legend().get_texts() if t.get_text())


def painted_beneath(ax) -> int:
    """The number of pixels beneath the legend that the figure without legend and words paints."""
    legend = ax.get_legend()
    box = legend.get_window_extent()
    hidden = [legend, *written(ax), *(other for other in ax.figure.axes if other is not ax)]
    for one in hidden:
        one.set_visible(False)
    ax.tick_params(length=0, which="both")
    ax.figure.set_layout_engine("none")
    ax.figure.canvas.draw()
    image = np.asarray(ax.figure.canvas.buffer_rgba())[::-1]
    part = image[int(np.ceil(box.y0)) : int(box.y1), int(np.ceil(box.x0)) : int(box.x1), :3].astype(int)
    ground = np.round(255.0 * np.array(to_rgb(ax.figure.get_facecolor()))).astype(int)
    return int((np.abs(part - ground).max(axis=2) > 8).sum())


def check(name: str, situation: str) -> None:
    with SITUATIONS[situation]() as given:
        ax = CASES[name](**given)
        ax.figure.draw_without_rendering()
        page, texts = ax.figure.bbox, list(written(ax))
        boxes = [text.get_window_extent() for text in texts]
        shown = [text.get_text() for text in texts]
        assert min(text.get_fontsize() for text in texts) >= SMALLEST
        for text, box in zip(shown, boxes, strict=True):
            assert box.x0 >= -1.0, text
            assert box.y0 >= -1.0, text
            assert box.x1 <= page.x1 + 1.0, text
            assert box.y1 <= page.y1 + 1.0, text
        for (one, first), (other, second) in combinations(zip(shown, boxes, strict=True), 2):
            apart = first.x1 - 1 <= second.x0 or second.x1 - 1 <= first.x0
            apart = apart or first.y1 - 1 <= second.y0 or second.y1 - 1 <= first.y0
            assert apart, (one, other)
        ground = to_rgb(ax.figure.get_facecolor())
        for line in ax.lines:
            if line.get_linestyle() not in ("None", "") and line.get_alpha() is None:
                least = 3.0 if line.get_color() == st.ink(ax) else 2.0
                assert st.contrast(to_rgb(line.get_color()), ground) >= least, line
        if ax.get_legend() is not None:
            assert painted_beneath(ax) == 0


@pytest.mark.parametrize(("name", "situation"), ALWAYS)
def test_nothing_is_hidden_clipped_or_too_small(name, situation):
    check(name, situation)


@pytest.mark.long
@pytest.mark.parametrize(("name", "situation"), [one for one in EVERY if one not in ALWAYS])
def test_nothing_is_hidden_clipped_or_too_small_in_any_state(name, situation):
    check(name, situation)


def test_a_legend_over_the_data_is_seen_by_the_check():
    ax = FIGURES["growth"]()
    ax.figure.canvas.draw()
    ax.get_legend().set_loc("upper left")
    assert painted_beneath(ax) > 0


@pytest.mark.parametrize("transparent", [False, True])
def test_the_line_of_infinite_width_has_the_colour_of_the_words_and_so_is_seen_on_every_ground(transparent):
    with plt.style.context("dark_background"):
        figure = plt.figure()
        ax = figure.subplots()
        if transparent:
            figure.patch.set_alpha(0.0)
            ax.patch.set_alpha(0.0)
        P.plot_log_norm(figures.ordinary(), ax=ax)
        assert [line for line in ax.lines if line.get_color() == "#ffffff"]
    figure = plt.figure(facecolor="#101010")
    ax = figure.subplots()
    ax.set_facecolor("#101010")  # with words in black, which nobody could read
    assert st.ink(ax) == "#ffffff"
    assert st.ink(plt.figure().subplots()) == "#000000"


def test_a_figure_of_few_curves_gives_no_height_to_its_legend():
    for name in ("log_norm", "growth", "hypoactivation", "trajectories", "quantity", "ratio_law"):
        assert FIGURES[name]().figure.get_figheight() == pytest.approx(2.4), name
    ax = FIGURES["growth"]()
    inner, frame = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert frame.y0 <= inner.y0 < inner.y1 <= frame.y1


def test_a_legend_of_48_curves_names_the_values_of_each_dimension_and_no_two_curves_look_alike():
    ax = CASES["quantity many dimensions"]()
    named = words(ax)
    assert len(named) <= 13
    assert {r"$\beta$ = 0.25", "$n$ = 8", "phi-out, tanh"} <= set(named)
    joined = {str(line._dash_pattern) for line in ax.lines if line.get_linestyle() != "None"}
    points = [bars.lines[0] for bars in ax.containers]
    assert len(points) == 48
    assert len({(one.get_color(), one.get_marker()) for one in points}) * 4 == 48
    assert len(joined) == 4


def test_kinds_without_an_order_are_not_joined_by_lines():
    ax = CASES["quantity words"]()
    assert all(line.get_linestyle() == "None" for line in ax.lines)
    places = np.array([bars.lines[0].get_xdata()[0] for bars in ax.containers])
    assert len(set(places.tolist())) == len(places)  # side by side, so that none hides another


@pytest.mark.parametrize(
    ("name", "marked"),
    [("hypoactivation few", 31), ("quantity few", 11), ("trajectories one", 4), ("output few", 20), ("growth few", 11),
     ("interlayer_by_lag few", 10), ("depth_ratio few", 3)],
)  # fmt: skip
def test_values_without_an_error_are_hollow_and_the_legend_says_so(name, marked):
    ax = CASES[name]()
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white" and line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in hollow) >= marked
    assert any("no error bar" in text or "without error bar" in text for text in words(ax))
    assert not any("± s.e." in text for text in words(ax) if "median" not in text)


@pytest.mark.parametrize("name", ["log_norm few", "ratio_law few"])
def test_a_histogram_of_few_networks_has_no_band(name):
    ax = CASES[name]()
    assert words(ax)[0] == "3 networks, no error band"
    assert [patch.get_linestyle() for patch in ax.patches if patch.get_linestyle() != "solid"]


def test_every_situation_is_one_of_those_that_are_looked_at():
    assert set(figure_cases.SITUATIONS) >= {"column", "page", "dark", "grid", "constrained"}
