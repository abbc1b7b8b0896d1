"""Figures of trained networks: what is drawn is what was found, before and after."""

from __future__ import annotations

from dataclasses import replace

import figures
import numpy as np
import pytest
from figures import P, lines, regularity, segments, trained_log_ratios, words
from matplotlib import pyplot as plt

from resmc.plot import style as st

pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here


@pytest.mark.parametrize("path", ["weights", "sums"])
def test_exponents_before_after_and_of_the_change_stand_side_by_side(path):
    result = regularity()
    ax = P.plot_regularity(result, path)
    assert len(ax.containers) == 3 * len(result.rows)
    drawn = iter(ax.containers)
    for i, name in enumerate(("before", "after", "learnt")):
        for x, row in enumerate(result.rows):
            bars = next(drawn)
            found = getattr(getattr(row, path), name)
            assert bars.lines[0].get_xydata() == pytest.approx(np.array([[x + 0.22 * (i - 1), float(found)]]))
            assert 0.5 * np.ptp(segments(bars)) == pytest.approx(float(found.stderr), abs=1e-12)
    (exact,) = lines(ax, color=st.EXACT)
    assert exact.get_ydata() == pytest.approx([getattr(row, f"expected_{path}") for row in result.rows])
    assert [text.get_text() for text in ax.get_xticklabels()][:3] == ["relu\niid", "relu\nH = 0.7", "relu\nsmooth"]
    assert words(ax) == ["before training ± s.e.", "after ± s.e.", "the change ± s.e.", "exact"]


def test_a_path_is_one_weight_before_and_after():
    row = regularity().rows[1]
    ax = P.plot_weight_path(row, lw=3.0)
    before, after = ax.lines[:2]
    assert before.get_xydata() == pytest.approx(np.stack([np.arange(100) / 100, row.example[0]], axis=1))
    assert after.get_ydata() == pytest.approx(row.example[1])
    assert after.get_linewidth() == 3.0
    assert ax.get_ylabel() == "one weight (relu, H = 0.7)"
    assert words(ax)[1].startswith("after: exponent 0.0")


@pytest.mark.parametrize("name", ["gradient", "growth"])
def test_means_of_log_quotients_are_drawn_by_layer_before_and_after(name):
    result = trained_log_ratios(name=name)
    ax = P.plot_trained_log_ratio(result)
    curves = [one for one in ax.lines if len(one.get_xdata()) in (9, 17)]
    for i, row in enumerate(result.rows):
        before, after = (one for one in curves[2 * i : 2 * i + 2])
        assert before.get_xydata() == pytest.approx(
            np.stack([row.layers / row.model.depth, row.mean_before.value], axis=1)
        )
        assert after.get_ydata() == pytest.approx(row.mean_after.value)
        bars = segments(ax.containers[i])
        assert 0.5 * np.ptp(bars, axis=1) == pytest.approx(np.full(7, 0.02))
    assert curves[-1].get_ydata() == pytest.approx(result.rows[0].limit_by_layer)
    assert curves[-1].get_color() not in {one.get_color() for one in curves[:-1]}
    assert words(ax) == ["L = 8", "L = 16", "before training, 32 networks", "limit before, as L grows"]


def test_a_limit_that_not_all_have_is_not_drawn():
    result = trained_log_ratios()
    unknown = replace(result, rows=(result.rows[0], replace(result.rows[1], limit=None)))
    assert "limit before, as L grows" not in words(P.plot_trained_log_ratio(unknown))


def test_models_of_one_depth_are_told_apart_by_their_number():
    result = trained_log_ratios()
    same = replace(result, rows=(result.rows[0],) * 2)
    assert words(P.plot_trained_log_ratio(same))[:2] == ["model 0, L = 8", "model 1, L = 8"]


def test_few_networks_are_hollow():
    assert st.HOLLOW in words(P.plot_regularity(regularity(3)))
    assert st.HOLLOW in words(P.plot_trained_log_ratio(trained_log_ratios(3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: P.plot_regularity(3), "result=3 is not allowed: it must be a Regularity, as resmc.train.regularity"),
        (lambda: P.plot_regularity(regularity(), "steps"), "path='steps' is not allowed"),
        (lambda: P.plot_weight_path(regularity()), "is not allowed: it must be a row of what resmc.train.regularity"),
        (lambda: P.plot_trained_log_ratio({}), "is not allowed: it must be a TrainedLogRatios, as resmc.train.log_r"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_leaves_no_figure(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert plt.get_fignums() == []
