"""The figure of scaling exponents: points are sizes by depth, and the legend says exponents."""

from __future__ import annotations

import re

import figures
import numpy as np
import pytest
from figures import P, scaling_exponents, segments, trained_scaling, words

import resmc
from resmc.analyses.scaling_statistics import KINDS
from resmc.plot import style as st
from resmc.plot.scaling import LABELS

pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here


def test_points_are_sizes_with_the_errors_of_their_logarithms():
    found = scaling_exponents()
    ax = P.plot_scaling_exponents(found)
    assert len(ax.containers) == len(KINDS)
    for bars, logs in zip(ax.containers, found.log_sizes, strict=True):
        x, y = bars.lines[0].get_xydata().T
        assert x.tolist() == found.depths.tolist()
        assert y == pytest.approx(np.exp(logs.value))
        half = 0.5 * np.diff(segments(bars), axis=1)[:, 0]
        assert half == pytest.approx(y * logs.stderr, rel=1e-6)
    said = " ".join(words(ax))
    for kind in KINDS:
        assert f"{LABELS[kind]}: {st.in_words(getattr(found, f'{kind}_exponent'))}" in said
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_a_trend_that_is_not_seen_is_not_drawn():
    found = scaling_exponents(32, trend=False)
    assert np.isnan(found.trend_exponent.value)
    assert len(P.plot_scaling_exponents(found).containers) == len(KINDS) - 1
    with pytest.raises(ValueError, match="kind='trend' is not allowed: it is 0, or not seen"):
        P.plot_scaling_exponents(found, "trend")


def test_of_trained_networks_one_size_is_drawn_before_and_after():
    found = trained_scaling()
    ax = P.plot_scaling_exponents(found, "noise")
    for bars, one in zip(ax.containers, (found.before, found.after, found.learnt), strict=True):
        assert bars.lines[0].get_xydata()[:, 1] == pytest.approx(np.exp(one.log_sizes.value[5]))
    said = " ".join(words(ax))
    assert f"what was learnt: {st.in_words(found.learnt.noise_exponent)}" in said
    assert ax.get_ylabel() == "noise"
    assert P.plot_scaling_exponents(found).get_ylabel() == LABELS["size"]


def test_values_without_an_error_are_hollow():
    assert st.HOLLOW in words(P.plot_scaling_exponents(scaling_exponents(3)))


def test_wrong_arguments_are_refused():
    found = scaling_exponents()
    for call, said in (
        (lambda: P.plot_scaling_exponents(3), "result=3 is not allowed: it must be a ScalingExponents"),
        (lambda: P.plot_scaling_exponents(found, "length"), "kind='length' is not allowed"),
        (lambda: P.plot_scaling_exponents(found, ax=3), "ax=3"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            call()
    constant = resmc.scaling_exponents({depth: np.ones(depth) for depth in (8, 16, 32)})
    assert len(P.plot_scaling_exponents(constant).containers) == 4
