"""Losses and accuracies of networks by epoch, as they are trained."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from ..experiments.train.record import Fit
from ..models.fields import told_apart
from . import places
from . import series as looks
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTITIES = ("loss", "accuracy")
MOST_MARKS = 12  # epochs of a curve that have a point with an error


def plot_training(result: Fit, quantity: str = "loss", *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw the loss or the accuracy of the examples for validation against the epoch, a curve for each model.

    Networks are those at the learning rate that is chosen for their model, and curves are their means. Dotted lines of
    the same colours are losses of training. Epochs in which a network had failed have no value.

    Parameters
    ----------
    result : Fit
        Networks, as `resmc.train.fit` returns them.
    quantity : {"loss", "accuracy"}
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the points (``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` is anything else, has no accuracy or no loss that is finite, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.
    """
    st.require("plot_training")
    st.check_kind("result", result, (Fit,), "a Fit, as resmc.train.fit returns it")
    checks.choice("quantity", quantity, QUANTITIES)
    found = result.over_epochs(f"validation_{quantity}")
    if quantity == "accuracy" and not result.data.measures:
        raise ValueError("quantity='accuracy' is not allowed for target values, which have a loss alone")
    if not np.isfinite(found.value).any():
        raise ValueError("result has no loss that is finite: in every model, a network failed in the first epoch")
    epochs = np.arange(1, result.settings.epochs + 1)
    labels = _labels(result)
    marked = st.thinned(len(epochs), MOST_MARKS)
    with st.panel("plot_training", ax) as ax:
        handles: list[Any] = []
        for b, (label, series) in enumerate(zip(labels, looks.looks(labels), strict=True)):
            of_epochs = np.where(np.isfinite(found[b].value), found[b].value, np.nan)
            st.line(ax, epochs, of_epochs, color=series.colour, ls=series.line, lw=0.9, zorder=2)
            kept = marked[np.isfinite(of_epochs[marked])]
            handles.append(st.points(ax, epochs[kept], found[b][kept], style, series, label))
            if quantity == "loss":
                training = result.over_epochs("training_loss")[b].value
                st.line(
                    ax, epochs, np.where(np.isfinite(training), training, np.nan), color=series.colour, ls=st.DOTTED
                )
        explained = [st.proxy(f"{_measured(result)}, {st.counted(len(result.networks))}", lw=0.9)]
        if quantity == "loss":
            explained.append(st.proxy("loss of training", ls=st.DOTTED))
            ax.set_yscale("log")
            places.last(ax, partial(st.log_ticks, ax.yaxis))
        explained += [st.hollow_proxy()] * bool(st.bare(found).any())
        ax.set(xlabel="epoch", ylabel=f"{quantity} of validation")
        st.integer_ticks(ax.xaxis)
        looks.legend(ax, labels, handles, explained)
    return ax


def _measured(result: Fit) -> str:
    return "mean ± s.e." if len(result.networks) >= 32 else "mean"


def _labels(result: Fit) -> list[str]:
    """Return what tells each model from the others, its place where nothing does; different for each."""
    models = result.models
    if len(models) == 1:
        return [f"{models[0].block} {models[0].activation}"]
    values = {f.name: [getattr(model, f.name) for model in models] for f in fields(models[0])}
    differ = [[f"{name} {one}" for one in told_apart(of)] for name, of in values.items() if len(set(of)) > 1]
    said = [", ".join(parts) for parts in zip(*differ, strict=True)] or [""] * len(models)
    return [label if said.count(label) == 1 else f"model {b}" for b, label in enumerate(said)]
