"""The tangent kernel's mean and scatter against d/n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from ..analyses import tangent_kernel
from ..results.estimates import Estimate
from ..results.record import Record
from ..theory.tangent_moments import kernel_moment_limit, kernel_moments, no_kernel_moments
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
    known = [None if a != b or no_kernel_moments(sim.model) else kernel_moments(sim.model) for sim in sims]
    with st.panel("plot_tangent_kernel", ax) as ax:
        series = st.Series(st.DATA, "o", "-")
        if quantity == "mean":
            values = _stacked([one.total[a, b] / limit for one, limit in zip(found, limits, strict=True)])
            spread = [np.sqrt(one.variance.value[a, b]) / abs(limit) for one, limit in zip(found, limits, strict=True)]
            ax.errorbar(aspect, values.value, spread, ls="", color=st.SKY, lw=0.6, zorder=1, label="± one deviation")
            ax.axhline(1.0, color=st.ink(ax), ls=st.DOTTED, lw=1.4, zorder=2, label="infinite width")
        else:
            values = _stacked([one.second_moment_ratio[a, b] for one in found])
            exact = [np.nan if one is None else one.second_moment_ratio for one in known]
            st.exact(ax, aspect, exact, joined=False)
            if any(one is not None and sim.model.sigma.rectifier for one, sim in zip(known, sims, strict=True)):
                grid = np.linspace(0.0, 1.05 * float(aspect.max()), 200)[1:]
                curve = [kernel_moment_limit(t) for t in grid.tolist()]
                st.limit(ax, grid, curve, "limit of large $d$ and $n$")
            ax.set_yscale("log")
        st.points(ax, aspect, values, style, series, st.simulated(values))
        entries = ax.get_legend_handles_labels()[0]
        if st.bare(values).any():
            entries.append(st.hollow_proxy())
        ax.set(xlabel="$d/n$", ylabel=QUANTITIES[quantity])
        st.legend(ax, entries)
    return ax


def _stacked(values: Sequence[Estimate]) -> Estimate:
    return Estimate(*(np.array([getattr(one, name) for one in values]) for name in ("value", "stderr", "n")))
