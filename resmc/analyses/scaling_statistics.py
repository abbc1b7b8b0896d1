"""Sizes of a network's weights, of their increments, of their trend and of their noise, at one depth.

Weights are arrays (networks, L, d): layer k of a network has the d entries A_k, and |.| is the Frobenius norm. Every
statistic is a mean square, and one number for each network:

.. code-block:: text

    size             max_k |A_k|^2 / m(N, d)
    root_square      sum_k |A_k|^2
    increment        max_k |A_{k+1} - A_k|^2 / m(N', d)
    root_increment   L sum_k |A_{k+1} - A_k|^2 L/(L - 1)
    trend            sum over windows of sum_{j != k} <A_j, A_k>,  by the number of such pairs
    noise            mean_k |A_{k+3} - 3 A_{k+2} + 3 A_{k+1} - A_k|^2 / 20
    sum              sum over windows of |sum_k A_k|^2

**Extreme values.** The largest of L independent layers grows with L though no layer does, and the largest value of a
smooth function does not: the factor depends on how many layers are independent. Their number is taken to be

.. code-block:: text

    N = (1 + 1/(P d)) (sum_f p_f)^2 / sum_f p_f^2,       p_f the power at frequency f = 0 .. L - 1, over all P networks

the number of equal frequencies that would vary as much: L for independent layers (1 + 1/(P d) takes out the scatter of
p_f itself), proportional to L for noise with a memory, and the same at all depths for weights that tend to a function
of k/L, smooth or as rough as a Brownian path. N' is that of the increments, and m(N, d) = E max |g|^2/d over N
independent vectors of d standard normals (`resmc.theory.extremes`). So the factor is right for Gaussian entries of one
size; where entries are few and their law is another, or they differ in size or depend on each other, it is off by a
factor that changes slowly with L. A single layer that stands out is not taken for chance.

There are L - 1 increments: L/(L - 1) takes their number out of the slope.

**Trend and noise.** The layers are cut into 6 windows. Products of different layers of a window have the mean
|trend|^2, whatever the size of a noise that is independent from layer to layer; a trend that changes within a window
loses a share which is the same at all depths. Third differences leave the noise, and of a smooth trend what it changes
by over a layer to the third power, L^(-6) of its square. A noise with a memory counts in part as a trend: fractional
noise of H > 1/2 has windows' means of size 1/L. Where the products' sum is not positive no trend is seen. The sums
of windows have both, and always a size.

**Memory.** Of the sums S_k = A_0 + .. + A_{k-1} the mean square third differences of step m grow like m^(2 h): h is 1/2
for independent noise, H for fractional noise, above 1 for weights that are a continuous function of k/L. Third
differences do not see a smooth trend, up to the steps used, L/64.

Sources: Cohen, Cont, Rossier, Xu (arXiv 2105.12245), section 3, for the four sizes, there without factors; their code
finds the trend by averages over windows. The number N is the participation ratio of the spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..results.estimates import Floats
from ..theory.extremes import largest_mean_square

KINDS = ("size", "root_square", "increment", "root_increment", "trend", "noise", "sum")
WINDOWS = 6
FEWEST_LAYERS = 8
STEPS = 64  # the longest step of third differences is the depth by this, and at least 2


@dataclass(frozen=True, eq=False)
class DepthStatistics:
    """Statistics of the networks of one depth.

    ``mean_squares`` (7, networks) has a row for each of `KINDS`; ``of_sums`` (steps, networks) the mean square third
    differences of sums at the steps 1, 2, 4, ..; ``independent_layers`` is (N, N').
    """

    mean_squares: Floats
    of_sums: Floats
    independent_layers: tuple[float, float]


def statistics(weights: Floats) -> DepthStatistics:
    """Return the statistics of weights (networks, L, d), all finite, L at least `FEWEST_LAYERS`."""
    depth, entries = weights.shape[1:]
    increments = np.diff(weights, axis=1)
    squares, changes = (np.einsum("pld,pld->pl", x, x) for x in (weights, increments))
    counts = independent_layers(weights), independent_layers(increments)
    factors = [largest_mean_square(count, entries) for count in counts]
    third = np.diff(increments, 2, axis=1)
    rows = [
        squares.max(axis=1) / factors[0],
        squares.sum(axis=1),
        changes.max(axis=1) / factors[1],
        depth**2 * changes.mean(axis=1),
        *_trend_and_sum(weights, squares),
    ]
    rows.insert(KINDS.index("noise"), np.einsum("pld,pld->p", third, third) / (20.0 * third.shape[1]))
    return DepthStatistics(np.array(rows), _of_sums(weights), counts)


def independent_layers(weights: Floats) -> float:
    """Return the number N of layers that vary like independent ones, at least 1, of weights (networks, L, d)."""
    networks, _, entries = weights.shape
    power = (np.abs(np.fft.fft(weights, axis=1)) ** 2).sum(axis=(0, 2))
    largest = power.max()
    if largest == 0.0:
        return 1.0
    power /= largest
    return max(1.0, float((1.0 + 1.0 / (networks * entries)) * power.sum() ** 2 / (power @ power)))


def _trend_and_sum(weights: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """Return the mean product of different layers of a window, which may be negative, and the squares of sums."""
    depth = weights.shape[1]
    edges = np.arange(WINDOWS + 1) * depth // WINDOWS
    sums = np.add.reduceat(weights, edges[:-1], axis=1)
    sizes = np.diff(edges)
    whole = np.einsum("pwd,pwd->p", sums, sums)
    return (whole - squares.sum(axis=1)) / (sizes * (sizes - 1)).sum(), whole


def _of_sums(weights: Floats) -> Floats:
    """Return the mean square third differences of the sums of layers, (steps, networks)."""
    networks, depth, entries = weights.shape
    sums = np.concatenate([np.zeros((networks, 1, entries)), weights.cumsum(axis=1)], axis=1)
    rows = []
    for step in steps(depth):
        third = (
            sums[:, 3 * step :] - sums[:, : -3 * step] - 3.0 * (sums[:, 2 * step : -step] - sums[:, step : -2 * step])
        )
        rows.append(np.einsum("pld,pld->p", third, third) / third.shape[1])
    return np.array(rows)


def steps(depth: int) -> list[int]:
    """Return the steps of third differences at a depth: 1, 2, 4, .. up to depth/64, and at least 1 and 2."""
    return [1 << i for i in range(max(2, (depth // STEPS).bit_length()))]
