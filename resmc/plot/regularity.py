"""Roughness of weights over the layers before and after training, and one weight against its layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from ..experiments.train.regularity import Regularity, TrainedRoughness
from ..models.processes import FractionalNoise, SmoothProcess
from ..theory.roughness import PATHS
from . import places
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {"sums": "partial sums", "weights": "weights"}
LOOKS = {
    "before": (st.Series(st.SOFT, "s", "-"), "before training"),
    "after": (st.Series(st.DATA, "o", "-"), "after"),
    "learnt": (st.Series(st.ORANGE, "^", "-"), "the change"),
}
APART = 0.22  # between the points of one law, where the laws are 1 apart


def plot_regularity(result: Regularity, path: str = "weights", *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw exponents of weights as paths over the layers, before and after training, by activation and law.

    Beside those of the weights stands that of what was learnt, after - before; crosses are those of the exact mean
    square increments before training.

    Parameters
    ----------
    result : Regularity
        Exponents, as `resmc.train.regularity` returns them.
    path : {"weights", "sums"}
        The weights themselves, smooth at 1 and noise at 0, or their partial sums over the layers, smooth at 1,
        fractional noise at H and independent layers at 1/2.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the points (``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` is anything else, ``path`` is neither, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.
    """
    st.require("plot_regularity")
    st.check_kind("result", result, (Regularity,), "a Regularity, as resmc.train.regularity returns it")
    checks.choice("path", path, PATHS)
    changes = [getattr(row, path) for row in result.rows]
    at = np.arange(len(changes), dtype=np.float64)
    with st.panel("plot_regularity", ax) as ax:
        handles, bare = [], False
        for i, (name, (series, label)) in enumerate(LOOKS.items()):
            found = [getattr(change, name).reshape((1,)) for change in changes]
            words = f"{label} ± s.e." if any(np.isfinite(one.stderr).all() for one in found) else label
            drawn = [
                st.points(ax, [x + (i - 1) * APART], one, style, series, None if x else words)
                for x, one in zip(at, found, strict=True)
            ]
            handles.append(drawn[0])
            bare = bare or any(bool(st.bare(one).any()) for one in found)
        expected = np.array([getattr(row, f"expected_{path}") for row in result.rows])
        exact = st.exact(ax, at - APART, expected, joined=False)
        handles += [exact] if exact is not None else []
        handles += [st.hollow_proxy()] * bare
        ax.set(xlim=(-0.6, len(at) - 0.4), xlabel="weights at the start", ylabel=f"exponent of {NAMES[path]}")
        ax.set_xticks(at, [_tick(row) for row in result.rows], fontsize=places.LEGEND)
        ax.tick_params(axis="x", length=0.0)
        st.legend(ax, handles)
    return ax


def plot_weight_path(result: TrainedRoughness, *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw one weight against k/L, before and after training; the exponents are those of all weights and networks.

    Parameters
    ----------
    result : TrainedRoughness
        A row of a `Regularity`, such as ``result.row("relu", "iid")``.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the curve after training (``plot``).

    Raises
    ------
    ValueError
        If ``result`` is anything else, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), figure 8.
    """
    st.require("plot_weight_path")
    st.check_kind("result", result, (TrainedRoughness,), "a row of what resmc.train.regularity returns")
    before, after = result.example
    t = np.arange(len(before)) / len(before)
    with st.panel("plot_weight_path", ax) as ax:
        words = [f"{name}: exponent {st.in_words(getattr(result.weights, name))}" for name in ("before", "after")]
        st.line(ax, t, before, color=st.SOFT, ls=st.DASHED, lw=0.8, label=words[0], zorder=1)
        st.line(ax, t, after, style, color=st.DATA, lw=0.9, label=words[1])
        ax.set(xlabel="$k/L$", ylabel=f"one weight ({_tick(result)})".replace("\n", ", "))
        st.legend(ax)
    return ax


def _tick(row: TrainedRoughness) -> str:
    """Return activation and law in few letters."""
    process = row.model.dependence
    if isinstance(process, FractionalNoise):
        law = f"H = {process.hurst:g}"
    elif isinstance(process, SmoothProcess):
        law = "smooth"
    else:
        law = process if isinstance(process, str) else "other"
    return f"{row.model.activation}\n{law}"
