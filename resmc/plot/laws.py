"""The law of the final log-norm and that of the output, beside the log-Gaussian limit and infinite width.

Li, Nica, Roy 2021 (arXiv 2106.04013): the infinite-width law is far off as soon as d is comparable to n, the
log-Gaussian law is not. Of networks that are no `ResNet` neither limit is known, and none is drawn; their histogram has
bins of 1/32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from .. import theory
from ..analyses.output_laws import output_norm, output_norm_cells, outputs
from ..results.estimates import MIN_NETWORKS, Floats
from ..results.record import Record
from . import style as st
from .fields import letter_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CELLS = 200  # in the density of an output
TAIL = 1e-4  # probability beyond either end of an axis
QUANTILES = 41
MARGIN = 0.02  # share of an axis on either side
MOMENTS = f"mean, variance to {st.NEXT_ORDER}"
MIN_BEYOND = 10.0  # a quantile is drawn only if so many networks lie beyond


@dataclass(frozen=True)
class Limit:
    """Mean and standard deviation of a Gaussian limit of L_d, and ``scale``, which is all of L_d at infinite width."""

    mean: float
    deviation: float
    scale: float


def plot_log_norm(sim: Record, *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw the law of L_d = log(|z_d|^2/n): simulated, in the log-Gaussian limit, and at infinite width.

    The histogram's fine bins are joined to about Scott's width, 3.5 sigma N^(-1/3); the height is counts / (alive
    networks x width), the band around it one standard error, sqrt(p (1 - p)/N) / width. The limit is the Gaussian of
    `theory.log_norm`, leading order in 1/n, and beside it the Gaussian of the mean and variance that the next order
    makes of it, where no law is exactly known; infinite width is log(chi^2_n/n) + 2 log input_norm +
    d log(alpha^2 + lam^2). Where the peak of the latter would lie far beyond the others, its density is divided by what
    the legend says. Where the exact law is known (`resmc.theory.exact_law`) its density is drawn, and mean and standard
    deviation are marked by upright lines. Of fewer than
    32 networks the histogram has no band, but a dashed outline.

    Parameters
    ----------
    sim : Simulation
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the histogram (a ``StepPatch``).

    Raises
    ------
    ValueError
        If ``sim`` is no Simulation, no network is alive at its last layer with a log-norm inside the histogram, or
        ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Li, Nica, Roy 2021 (arXiv 2106.04013).
    """
    st.require("plot_log_norm")
    _check(sim)
    limit, second = _limit(sim), _limit(sim, 2)
    edges, counts = _rebinned(sim)
    alive = int(sim.alive[-1])
    share = counts / alive
    width = float(edges[1] - edges[0])
    density, stderr = share / width, np.sqrt(share * (1.0 - share) / alive) / width
    with st.panel("plot_log_norm", ax) as ax:
        if alive < MIN_NETWORKS:  # too few for errors, here as everywhere
            stderr = np.full(density.shape, np.nan)
        label = st.counted(alive) + (" ± s.e." if np.isfinite(stderr).all() else ", no error band") + _left_out(sim)
        st.histogram(ax, edges, density, stderr, style, label)
        top = float((density + np.nan_to_num(stderr)).max())
        used = edges[:-1][counts > 0]
        low, high = min(quantile(sim, TAIL), float(used[-1])), max(quantile(sim, 1.0 - TAIL), float(used[0]) + width)
        if limit is None:
            top *= st.HEADROOM
        else:
            x = np.linspace(limit.mean - 5.0 * limit.deviation, limit.mean + 5.0 * limit.deviation, 500)
            gauss = _gaussian_density(x, limit)
            st.line(ax, x, gauss, color=st.THEORY, ls=st.DASHED, lw=1.4, label="log-Gaussian limit", zorder=3)
            if second is not None:
                st.next_order(ax, x, _gaussian_density(x, second), MOMENTS, zorder=3)
            x_infinite, infinite = _chi_square_density(sim.model.width, limit.scale)
            top, divisor, peak = st.shown_peak(max(top, float(gauss.max())), float(infinite.max()))
            name = f"infinite width{peak}"
            st.line(ax, x_infinite, infinite / divisor, color=st.ink(ax), ls=st.DOTTED, lw=1.4, label=name, zorder=3)
            low = min(low, limit.mean - 3.7 * limit.deviation, float(x_infinite[0]))
            high = max(high, limit.mean + 3.7 * limit.deviation, float(x_infinite[-1]))
        _mark_exact(ax, sim, top / st.HEADROOM)
        exact = sim.facts.exact_law("log_norm")
        if exact is not None:
            x = np.linspace(low, high, 500)
            st.line(ax, x, exact.pdf(x), color=st.EXACT, ls=st.DASH_DOTTED, lw=1.4, label="exact law", zorder=4)
        ax.set(xlim=_with_margin(low, high), ylim=(0.0, top))
        ax.set(xlabel=rf"final log-norm $L_d = \log(|{letter_of(sim)}_d|^2/n)$", ylabel="density")
        st.legend(ax)
    return ax


def _gaussian_density(x: Floats, law: Limit) -> Floats:
    density = np.exp(-0.5 * ((x - law.mean) / law.deviation) ** 2) / (law.deviation * np.sqrt(2.0 * np.pi))
    return np.asarray(density)


def _with_margin(low: float, high: float) -> tuple[float, float]:
    """Return the ends of an axis on whose frame nothing lies."""
    return low - MARGIN * (high - low), high + MARGIN * (high - low)


def _mark_exact(ax: Axes, sim: Record, top: float) -> None:
    """Mark the exact mean, and one standard deviation on either side, where they are known."""
    last = np.array([sim.model.depth])
    mean, variance = (float(sim.facts.log_norm_moment(name, last)[0]) for name in ("mean", "variance"))
    for index, shift in enumerate((0.0, -1.0, 1.0)):
        if np.isfinite(mean) and np.isfinite(variance):
            label = r"exact mean, $\pm\sigma$" if index == 0 else None
            look: st.Style = {"color": st.EXACT, "ls": st.DASH_DOTTED, "lw": 1.2 if index == 0 else 0.8}
            st.line(ax, [mean + shift * variance**0.5] * 2, [0.0, top], look, label=label, zorder=2)


def plot_output(sim: Record, *, n_out: int | None = None, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw the law of log|z_out|^2 with n_out outputs: simulated, in the log-Gaussian limit, and at infinite width.

    Given L_d, |z_out|^2 = exp(L_d) chi^2_{n_out} exactly, so the simulated law is mixed from the histogram of L_d and
    nothing is sampled; the band is one standard error. The legend holds the Kolmogorov-Smirnov distances from it to the
    two others (`OutputNormLaw`) with their errors. Networks without limits have the simulated law alone.

    Parameters
    ----------
    sim : Simulation
    n_out : int, optional
        Outputs, 1 to 2^17; those of the model by default.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the simulated law (a ``Line2D``).

    Raises
    ------
    ValueError
        If `plot_log_norm` would refuse ``sim`` or ``ax``, its weights are not Gaussian, or ``n_out`` is out of range.
    ImportError
        If matplotlib is not installed.

    Source: Li, Nica, Roy 2021 (arXiv 2106.04013).
    """
    st.require("plot_output")
    _check(sim)
    limit, n_out = _limit(sim), outputs(sim, n_out)
    chi = np.log(2.0 * special.gammaincinv(0.5 * n_out, np.array([2e-3, 0.999])))
    low, high = quantile(sim, TAIL), quantile(sim, 1.0 - TAIL)
    if limit is not None:
        low = min(low, limit.mean - 3.0 * limit.deviation, limit.scale)
        high = max(high, limit.mean + 3.0 * limit.deviation, limit.scale)
    low, high = low + chi[0], high + chi[1]
    spread = float(np.sqrt(special.polygamma(1, 0.5 * n_out)))
    finest = max(_scott(sim), sim.bins.width)
    smooth = spread > finest  # a narrower chi-square leaves the law as rough as a histogram of L_d
    cells = MOST_CELLS if smooth else int(np.clip((high - low) / finest, 4 if limit is None else 20, MOST_CELLS))
    edges = np.linspace(low, high, cells + 1)
    step = float(edges[1] - edges[0])
    centres, found = 0.5 * (edges[1:] + edges[:-1]), output_norm_cells(sim, edges, n_out)
    density, stderr = found.value / step, found.stderr / step
    with st.panel("plot_output", ax) as ax:
        band = np.nan_to_num(stderr)
        label = ("simulated ± s.e." if np.isfinite(stderr).any() else "simulated") + _left_out(sim)
        curve = st.line(ax, centres, density, style, color=st.DATA, label=label, zorder=2)
        st.band(ax, centres, density - band, density + band, st.DATA)
        top = float(np.nanmax(density + band))
        top = st.HEADROOM * top if limit is None else _output_limits(ax, sim, limit, n_out, (low, high), top)
        ax.set(xlim=(low, high), ylim=(0.0, top))
        number = "1 output" if n_out == 1 else f"{n_out} outputs"
        entries = ax.get_legend_handles_labels()[0]
        if st.hollow(ax, centres[:: max(len(centres) // 20, 1)], density[:: max(len(centres) // 20, 1)],
                     st.bare(found)[:: max(len(centres) // 20, 1)], curve.get_color()):  # fmt: skip
            entries.append(st.hollow_proxy())
        ax.set(xlabel=rf"output $\log |{letter_of(sim)}_{{\mathrm{{out}}}}|^2$, {number}", ylabel="density")
        st.legend(ax, entries)
    return ax


def _output_limits(ax: Axes, sim: Record, limit: Limit, n_out: int, ends: tuple[float, float], top: float) -> float:
    """Draw both limits of an output's law between ``ends``, and return the top of an axis that holds ``top`` too."""
    law = output_norm(sim, n_out=n_out)
    fine = np.linspace(*ends, 801)
    mixture = np.diff(theory.output_norm_cdf(fine, n_out, limit.mean, limit.deviation**2)) / np.diff(fine)
    x_infinite, infinite = _chi_square_density(n_out, limit.scale + float(np.log(n_out)))
    top, divisor, peak = st.shown_peak(max(top, float(mixture.max())), float(infinite.max()))
    look: st.Style = {"lw": 1.4, "zorder": 3}
    name = f"log-Gaussian limit, KS {st.in_words(law.ks_log_gaussian)}"
    st.line(ax, 0.5 * (fine[1:] + fine[:-1]), mixture, color=st.THEORY, ls=st.DASHED, label=name, **look)
    second = _limit(sim, 2)
    if second is not None:
        more = np.diff(theory.output_norm_cdf(fine, n_out, second.mean, second.deviation**2)) / np.diff(fine)
        st.next_order(ax, 0.5 * (fine[1:] + fine[:-1]), more, MOMENTS, **look)
    name = f"infinite width{peak}, KS {st.in_words(law.ks_gaussian)}"
    st.line(ax, x_infinite, infinite / divisor, color=st.ink(ax), ls=st.DOTTED, label=name, **look)
    return top


def plot_qq(sim: Record, *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw quantiles of L_d against those of the log-Gaussian limit, with the prediction of infinite width.

    Of networks without that limit the quantiles are drawn against those of the Gaussian of their own mean and variance.
    Quantiles of the exact law are a line where it is known (`resmc.theory.exact_law`).

    Their probabilities p are equally spaced in normal scores, as far into the tails as ten networks lie beyond. The
    bars go from the quantile at p - s to the one at p + s, s = sqrt(p (1 - p)/N): pointwise standard errors, which are
    not symmetric. On the dashed line the laws agree. Where the histogram's bins may be wide, as they are for networks
    that are no `ResNet`, the bars go to the ends of these bins.

    Parameters
    ----------
    sim : Simulation
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the quantiles (``errorbar``).

    Raises
    ------
    ValueError
        If `plot_log_norm` would refuse ``sim`` or ``ax``, or fewer than 32 networks are alive.
    ImportError
        If matplotlib is not installed.

    Source: Li, Nica, Roy 2021 (arXiv 2106.04013).
    """
    st.require("plot_qq")
    _check(sim)
    alive = int(sim.alive[-1])
    if alive < 32:
        raise ValueError(f"sim has {alive} living network{'s' * (alive != 1)}: quantiles with errors need at least 32")
    from matplotlib.lines import Line2D

    limit = _limit(sim)
    reach = float(-special.ndtri(MIN_BEYOND / alive))
    scores = np.linspace(-reach, reach, QUANTILES)
    p = special.ndtr(scores)
    s = np.sqrt(p * (1.0 - p) / alive)
    wide = limit is None
    value, low, high = (
        quantile(sim, q, within if wide else None) for q, within in ((p, None), (p - s, 0.0), (p + s, 1.0))
    )
    law = limit or Limit(float(sim.log_norm_mean.value[-1]), float(sim.log_norm_variance.value[-1]) ** 0.5, 0.0)
    x = law.mean + law.deviation * scores
    called, diagonal = (
        ("log-Gaussian limit", st.THEORY) if limit else ("Gaussian of the same mean and variance", st.SOFT)
    )
    with st.panel("plot_qq", ax, 3.0) as ax:
        look: st.Style = {"lw": 1.4, "zorder": 2}
        others = [st.line(ax, x, x, color=diagonal, ls=st.DASHED, label=called, **look)]
        if limit is not None:
            n = sim.model.width
            infinite = np.log(special.gammaincinv(0.5 * n, p) * 2.0 / n) + limit.scale
            others.append(st.line(ax, x, infinite, color=st.ink(ax), ls=st.DOTTED, label="infinite width", **look))
        second = _limit(sim, 2)
        if second is not None:
            others.append(st.next_order(ax, x, second.mean + second.deviation * scores, MOMENTS, **look))
        exact = sim.facts.exact_law("log_norm")
        if exact is not None:
            known = exact.quantile(p)
            others.append(st.line(ax, x, known, color=st.EXACT, ls=st.DASH_DOTTED, label="exact law", **look))
        label = f"{st.counted(alive)} ± s.e.{' and bins' * wide}"
        given = st.merged(Line2D, style, color=st.DATA, marker="o", ls="", ms=2.8, lw=0.9, label=label)
        bars = np.maximum([value - low, high - value], 0.0)
        found = ax.errorbar(x, value, bars, capsize=1.2, zorder=3, **given)
        ax.set(xlabel=f"quantile of the {'fitted Gaussian' if limit is None else called}", ylabel="quantile of $L_d$")
        st.legend(ax, [found, *others])
    return ax


def _check(sim: Any) -> None:
    st.check_kind("sim", sim, (Record,), "a resmc.Simulation")
    if not sim.alive[-1]:
        raise ValueError(f"sim has no living network at depth {sim.model.depth}: its log-norm has no law")
    if not sim.histogram.counts.any():
        low, high = sim.histogram.edges[[0, -1]]
        raise ValueError(f"sim has no log-norm between {low:.4g} and {high:.4g}, the ends of its histogram")


def _limit(sim: Record, order: int = 1) -> Limit | None:
    """Return the log-Gaussian limit, or None where there is none; order 2 not beside an exact law."""
    last = np.array([sim.model.depth])
    limit = sim.facts.log_norm_limit(last, order)
    if limit is None or (order == 2 and sim.facts.log_norm(last) is not None):
        return None
    scale = sim.resnet.log_norm_offset(sim.model.depth)
    return Limit(float(limit.mean[0]), float(limit.variance[0]) ** 0.5, scale)


def _left_out(sim: Record) -> str:
    return f", {st.count_in_words(int(sim.dead[-1]))} dead" if sim.dead[-1] else ""


def _scott(sim: Record) -> float:
    """Return Scott's bin width for a Gaussian with the spread of L_d: 1/8 to 1 of the standard deviation."""
    spread = float(sim.log_norm_variance[-1].value) ** 0.5 if sim.alive[-1] > 1 else 0.0
    limit = _limit(sim)
    spread = spread if spread > 0.0 else sim.bins.width if limit is None else limit.deviation
    return spread * float(np.clip(3.5 * float(sim.alive[-1]) ** (-1.0 / 3.0), 0.125, 1.0))


def _rebinned(sim: Record) -> tuple[Floats, Floats]:
    """Return edges and counts of the histogram with its bins joined."""
    histogram = sim.histogram
    joined = int(np.clip(round(_scott(sim) / sim.bins.width), 1, sim.bins.count // 4))
    kept = sim.bins.count // joined * joined
    return histogram.edges[: kept + 1 : joined], histogram.counts[:kept].reshape(-1, joined).sum(axis=1)


def quantile(sim: Record, p: Any, within: float | None = None) -> Any:
    """Return the quantile at p of L_d, linear within a bin; the first or last edge where it lies beyond.

    ``within`` takes a place in the bin instead: 0 its lower end, 1 its upper.
    """
    histogram = sim.histogram
    used = np.flatnonzero(histogram.counts)
    if not used.size:
        return np.full(np.shape(p), histogram.edges[-1 if histogram.overflow else 0])[()]
    counts = histogram.counts[used]
    upto = histogram.underflow + np.cumsum(counts)
    wanted = np.asarray(p) * int(sim.alive[-1])
    index = np.minimum(np.searchsorted(upto, wanted), len(used) - 1)
    part = np.clip(1.0 - (upto[index] - wanted) / counts[index], 0.0, 1.0) if within is None else within
    return (histogram.edges[used[index]] + part * sim.bins.width)[()]


def _chi_square_density(n: int, shift: float) -> tuple[Floats, Floats]:
    """Return points between the outer millionths of the law of log(chi^2_n/n) + shift, and its density there."""
    half = 0.5 * n
    low, high = np.log(special.gammaincinv(half, np.array([1e-6, 1.0 - 1e-6])) / half)
    y = np.linspace(low, high, 400)
    # With n e^y = chi^2_n; lgamma(h) - h log h + h is small where each of its three terms is large.
    log_density = half * (y - np.exp(y) + 1.0) - (special.gammaln(half) - half * np.log(half) + half)
    return y + shift, np.exp(log_density)
