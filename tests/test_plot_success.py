"""Figures of training with the adjoint: what is drawn is what was counted, and autograd stands beside it."""

from __future__ import annotations

import figures
import numpy as np
import pytest
from figures import P, lines, segments, success, words
from matplotlib import pyplot as plt

from resmc.plot import style as st

pytestmark = pytest.mark.cpu
no_figure_remains = figures.no_figure_remains  # around every test here


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
        (lambda: P.plot_success(3), "result=3 is not allowed: it must be a Success"),
        (lambda: P.plot_success({}), "result holds 0 curves"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_leaves_no_figure(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert plt.get_fignums() == []
