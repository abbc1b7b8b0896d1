"""Figures of gradients without stored states: what is drawn is what was found, and autograd stands beside it."""

from __future__ import annotations

from dataclasses import replace

import figures
import numpy as np
import pytest
from figures import P, adjoint_errors, lines, segments, success, words
from matplotlib import pyplot as plt

from resmc.plot import style as st

pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here


@pytest.mark.parametrize("quantity", ["gradient", "inversion"])
def test_errors_are_geometric_means_of_both_schemes_with_their_slopes(quantity):
    result = adjoint_errors()
    ax = P.plot_adjoint_errors(result, quantity)
    for bars, row in zip(ax.containers, getattr(result, quantity), strict=True):
        depths, values = bars.lines[0].get_xydata().T
        assert depths.tolist() == [16, 64, 256, 1024]
        mean = np.exp(np.log(row[0]).mean(axis=-1))
        assert values == pytest.approx(mean)
        spread = np.log(row[0]).std(axis=-1, ddof=1) / np.sqrt(32)
        assert 0.5 * np.diff(segments(bars), axis=1)[:, 0] == pytest.approx(mean * spread)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    named = words(ax)
    for name, scheme in zip(named, ("euler", "heun"), strict=True):
        assert name == f"{scheme.title()}: slope {st.in_words(getattr(result, f'{quantity}_slope')(scheme, 'float64'))}"


def test_formats_and_labels_are_named_and_few_networks_are_hollow():
    ax = P.plot_adjoint_errors({"a": adjoint_errors(3, ("float32", "float64"))})
    named = words(ax)
    assert [one.split(":")[0] for one in named[:4]] == [
        f"a, {scheme}, {dtype}" for scheme in ("Euler", "Heun") for dtype in ("float32", "float64")
    ]
    assert st.HOLLOW in named


def test_success_is_a_fraction_with_its_error_beside_that_of_autograd():
    result = success()
    ax = P.plot_success(result)
    for i, bars in enumerate(ax.containers):
        depths, values = bars.lines[0].get_xydata().T
        assert depths.tolist() == [2, 3, 4, 6, 8]
        assert values == pytest.approx((result.adjoint_loss[i] <= 1.0).mean(axis=-1))
        assert 0.5 * np.diff(segments(bars), axis=1)[:, 0] == pytest.approx(result.success()[i].stderr)
    for colour in (one.colour for one in st.SERIES[:2]):
        assert [one.get_ydata().tolist() for one in lines(ax, color=colour) if one.get_linewidth() == 1.2] == [
            [1.0] * 5
        ]
    assert words(ax) == ["Euler, adjoint", "Heun, adjoint", "autograd, 32 networks"]
    assert st.HOLLOW in words(P.plot_success(success(3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: P.plot_adjoint_errors(3), "result=3 is not allowed: it must be an AdjointErrors"),
        (lambda: P.plot_adjoint_errors(adjoint_errors(), "loss"), "quantity='loss' is not allowed"),
        (lambda: P.plot_adjoint_errors(replace(adjoint_errors(), gradient=np.zeros((2, 1, 4, 32)))), "no logarithm"),
        (lambda: P.plot_success(3), "result=3 is not allowed: it must be a Success"),
        (lambda: P.plot_success({}), "result holds 0 curves"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_leaves_no_figure(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert plt.get_fignums() == []
