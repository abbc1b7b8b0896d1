"""The tangent kernel's mean and scatter against d/n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from ..analyses import tangent_kernel
from ..results.estimates import Estimate
from ..results.record import Record
from ..theory.tangent_moments import kernel_moment_limit
from . import places
from . import style as st
from .angles import input_pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTITIES = {
    "mean": "tangent kernel, mean over infinite width's",
    "second_moment_ratio": r"$\mathbb{E} K^2/(\mathbb{E} K)^2$",
}


def plot_tangent_kernel(
    result: Record | Sequence[Record] | Mapping[str, Record],
    *,
    quantity: str = "second_moment_ratio",
    inputs: tuple[int, int] = (0, 0),
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw the tangent kernel of several networks against d/n: its mean, or the second moment over the squared mean.

    Means are divided by the kernel at infinite width; thin bars beside them are one standard deviation of networks. For
    one input of fully connected networks the second moment is known, exactly at every width, and for ReLU as width and
    depth grow with d/n fixed, e^{5t} (1/3 + 2/(9t) - 1/(27t^2)) + e^{-t}/(27t^2), t = d/n. Where rare networks rule it,
    points are hollow.

    Parameters
    ----------
    result : Simulation, or several in a list or as values of a mapping
        Simulations with ``tangent_kernel=True``.
    quantity : {"second_moment_ratio", "mean"}
    inputs : pair of int
        The entry of the kernel.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the points (``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` is another one or has no tangent kernel, ``quantity`` or ``inputs`` are not of it, or ``ax`` is no
        Axes.
    ImportError
        If matplotlib is not installed.

    Source: `resmc.theory.tangent_moments`; Hanin, Nica 2020 (arXiv 1909.05989).
    """
    st.require("plot_tangent_kernel")
    quantity = checks.choice("quantity", quantity, tuple(QUANTITIES))
    listed = dict(enumerate(result)) if isinstance(result, list | tuple) else result
    sims = list(st.several("result", listed, (Record,), "a Simulation").values())
    found = [tangent_kernel.analyse(sim) for sim in sims]
    a, b = input_pair(inputs, min(len(one.exact) for one in found), "the numbers of two inputs, such as (0, 0)")
    aspect = np.array([sim.model.ratio for sim in sims])
    order = np.argsort(aspect, kind="stable")
    aspect, sims, found = aspect[order], [sims[i] for i in order], [found[i] for i in order]
    limits = [float(one.infinite_width.total[a, b]) for one in found]
    with st.panel("plot_tangent_kernel", ax) as ax:
        series = st.Series(st.DATA, "o", "-")
        if quantity == "mean":
            values = _stacked([one.total[a, b] / limit for one, limit in zip(found, limits, strict=True)])
            spread = [np.sqrt(one.variance.value[a, b]) / abs(limit) for one, limit in zip(found, limits, strict=True)]
            ax.errorbar(
                aspect, values.value, spread, ls="", color=st.SKY, lw=0.6, zorder=1, label="± one standard deviation"
            )
            ax.axhline(1.0, color=st.ink(ax), ls=st.DOTTED, lw=1.4, zorder=2, label="infinite width")
        else:
            values = _stacked([one.second_moment_ratio[a, b] for one in found])
            exact = np.array([one.exact_second_moment_ratio[a, b] for one in found])
            st.exact(ax, aspect, exact, joined=False)
            _draw_limits(ax, sims, found, np.isfinite(exact), float(aspect.max()))
            ax.set_yscale("log")
            places.last(ax, partial(st.log_ticks, ax.yaxis))
        st.points(ax, aspect, values, style, series, st.simulated(values))
        entries = ax.get_legend_handles_labels()[0]
        if st.bare(values).any():
            entries.append(st.hollow_proxy())
        ax.set(xlabel="$d/n$", ylabel=QUANTITIES[quantity])
        st.legend(ax, entries)
    return ax


def _draw_limits(ax: Axes, sims: Sequence[Any], found: Sequence[Any], known: Any, most: float) -> None:
    """Draw limits of large width and depth, for each kind of backward pass that ReLU networks of known moments have."""
    grid = np.linspace(0.0, 1.05 * most, 200)[1:]
    rectified = [i for i, sim in enumerate(sims) if known[i] and sim.model.sigma.rectifier]
    for independent in sorted({found[i].independent_backward for i in rectified}):
        curve = [kernel_moment_limit(t, independent) for t in grid.tolist()]
        words = ", independent backward pass" if independent else ""
        st.limit(ax, grid, curve, f"limit of large $d$, $n${words}", lw=0.8 if independent else 1.4)


def _stacked(values: Sequence[Estimate]) -> Estimate:
    return Estimate(*(np.array([getattr(one, name) for one in values]) for name in ("value", "stderr", "n")))
