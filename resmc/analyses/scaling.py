"""How do weights scale with the depth, and what does that say of a deep network: an ODE, an SDE or neither?

Weights A_0 .. A_{L-1} of networks of several depths L have sizes that grow or fall like powers of L, and
`scaling_exponents` measures these (Cohen, Cont, Rossier, Xu, arXiv 2105.12245, section 3).
`resmc.analyses.scaling_statistics` says what is measured at one depth, and `resmc.analyses.weight_regime` what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from .._system.words import brief, counted
from ..models.resnet import MAX_DEPTH
from ..results.arithmetic import share_networks
from ..results.estimates import Estimate, Floats
from ..results.propagation import Networks
from ..tables import Column, Table
from ._result import Result
from .roughness import UNKNOWN, checked_weights
from .scaling_fit import HURST, NOISE_SUM, fit
from .scaling_statistics import FEWEST_LAYERS, KINDS, statistics
from .weight_regime import decide

FEWEST_DEPTHS = 3
SHOWN = {  # the sizes of `KINDS` as formulas
    "size": "max |A_k|",
    "root_square": "(sum |A_k|^2)^(1/2)",
    "increment": "max |A_{k+1} - A_k|",
    "root_increment": "(L sum |A_{k+1} - A_k|^2)^(1/2)",
    "trend": "trend",
    "noise": "noise",
    "sum": "sums of windows of layers",
}


@dataclass(frozen=True, eq=False, repr=False)
class ScalingExponents(Result):
    """Exponents of the depth in the sizes of weights, as `scaling_exponents` returns them.

    Attributes
    ----------
    depths : ndarray of int, shape (D,)
    networks, entries : int
        Independent networks of each depth, and entries of a layer.
    beta : float
    log_sizes : Estimate, shape (7, D)
        Natural logarithms of the seven sizes by depth, in the order of the exponents, the maxima corrected: of roots of
        mean squares over networks. NaN for a trend where none is seen.
    independent_layers : ndarray, shape (2, D)
        N, the number of layers that vary like independent ones, of the weights and of their increments.
    size_exponent, root_square_exponent, increment_exponent, root_increment_exponent : Estimate
    trend_exponent, noise_exponent : Estimate
        Exponents of the sizes of trend and noise; NaN where a trend is not seen at some depth.
    sum_exponent : Estimate
        Exponent of the sums over windows of a sixth of the layers: of what all adds up to.
    noise_hurst : Estimate
        h, the exponent of the sums of layers as their number grows: 1/2 for independent noise.
    trend_sum, noise_sum : Estimate
        1 + trend_exponent - beta and noise_exponent + noise_hurst - beta: exponents of what trend and noise add up to
        over the depth.
    regime : {"ODE", "SDE", "neither", "undecided"}
    sentence : str
        Why.
    """

    depths: NDArray[np.int64]
    networks: int
    entries: int
    beta: float
    log_sizes: Estimate
    independent_layers: Floats
    size_exponent: Estimate
    root_square_exponent: Estimate
    increment_exponent: Estimate
    root_increment_exponent: Estimate
    trend_exponent: Estimate
    noise_exponent: Estimate
    sum_exponent: Estimate
    noise_hurst: Estimate
    trend_sum: Estimate
    noise_sum: Estimate
    regime: str
    sentence: str

    def _table(self) -> Table:
        columns = [Column("size", "size", numeric=False), Column("exponent", "exponent", width=22)]
        columns += [Column(f"ln at L = {depth}", f"log_{depth}") for depth in (self.depths[0], self.depths[-1])]
        rows: list[list[Any]] = [
            [SHOWN[kind], getattr(self, f"{kind}_exponent"), *self.log_sizes.value[i, [0, -1]]]
            for i, kind in enumerate(KINDS)
        ]
        listed = ", ".join(map(str, self.depths.tolist()))
        lines = [f"{counted(self.networks, 'network')}, {self.entries} numbers a layer, L = {listed}"]
        notes = [f"regime: {self.regime}", f"  {self.sentence}"]
        return Table("scaling_exponents", "scaling exponents of weights", columns, rows, lines, ["", *notes])

    def summary(self) -> Table:
        """Return a table of the exponents, and the regime below it."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


def scaling_exponents(
    weights: Mapping[int, ArrayLike], *, axis: int = 0, members: int | None = None, beta: float = 0.0
) -> ScalingExponents:
    """Estimate how weights scale with the depth L, from arrays of several depths, and the regime this indicates.

    .. code-block:: text

        size_exponent              of max_k |A_k|                             |.| the Frobenius norm,
        root_square_exponent       of (sum_k |A_k|^2)^(1/2)                   k = 0 .. L - 1
        increment_exponent         of max_k |A_{k+1} - A_k|
        root_increment_exponent    of (L sum_k |A_{k+1} - A_k|^2)^(1/2)
        trend_exponent, noise_exponent    of the sizes of a smooth trend and of noise upon it
        sum_exponent               of (sum over windows |sum of a window's A_k|^2)^(1/2)

                                          size   root   increment   root        trend   noise
                                                 square             increment
        L^-1 f(k/L), f smooth             -1     -1/2   -2          -1          -1
        independent, size L^-1/2          -1/2   0      -1/2        1/2                 -1/2
        a Brownian path at k/L            0      1/2    -1/2        1/2         0       -1/2
        L^-H fractional noise             -H     1/2-H  -H          1-H                 -H
        a fractional path at k/L          0      1/2    -H          1-H         0       -H
        L^-1 trend + L^-1/2 noise         -1/2   0      -1/2        1/2         -1      -1/2

    The sums have the larger of 1 + trend_exponent and noise_exponent + h, h being 1/2 for independent noise. Each is
    the slope of a logarithm against ln L by least squares. Maxima are corrected by their extreme-value factor,
    without which that of independent numbers would be -0.37 at L = 16 to 1024 instead of -1/2. The formulas of factor,
    trend, noise and h are those of `resmc.analyses.scaling_statistics`; the rule of the regime is in
    `resmc.analyses.weight_regime`. Smooth weights have a noise_exponent too, that of third differences, about 3 below
    the trend's, and h is far above 1 there.

    Errors are the larger of two: what the depths show (delete one depth; with D depths D - 2 degrees of freedom), so
    that a curve which is no power of L has a larger one; and, from 32 networks on, what the networks show, which may be
    the same or related at all depths. The first takes the networks of different depths for independent, or alike. They
    are errors of the slope over these depths, which may be off the exponent of the limit by more where sizes come near
    to a power slowly: 0.02 for the largest layer of a fractional path of H = 0.3 at L = 16 to 512, 0.05 for that of a
    trend L^-1 whose size at L = 1 is twice that of the noise, L^-1/2, at L = 16 to 256.
    Estimates from arrays are taken for dependent, and their differences have no error.

    Parameters
    ----------
    weights : mapping from depth to array of float
        At least three depths L, from 8 on; arrays with an axis of L layers, all others but ``members`` being entries:
        (L, n, n) as a rule, and at every depth as many. Arrays, tensors and nested lists. For sums to mean something
        for the network they are what multiplies the state, but for the factor L^(-beta).
    axis : int
        The axis of the layers.
    members : int, optional
        The axis of independent networks; as many at every depth.
    beta : float
        Exponent of the network's own scaling, L^(-beta), of every branch; only the regime, ``trend_sum`` and
        ``noise_sum`` depend on it.

    Raises
    ------
    ValueError
        For too few depths, arrays that do not fit their depth or each other, or that are not finite, or are 0.

    Source: Cohen, Cont, Rossier, Xu (arXiv 2105.12245), section 3; Cont, Rossier, Xu (arXiv 2212.08199),
    hypothesis 2.1.
    """
    arrays = _by_depth(weights, axis, members)
    beta = checks.real("beta", beta)
    networks, _, entries = next(iter(arrays.values())).shape
    found = [statistics(array) for array in arrays.values()]
    log_sizes, fitted = fit(list(arrays), found)
    trend_sum, noise_sum = fitted[KINDS.index("trend")] + (1.0 - beta), fitted[NOISE_SUM] - beta
    noiseless = not found[-1].mean_squares[KINDS.index("noise")].any()
    regime = decide(trend_sum, noise_sum, fitted[KINDS.index("sum")] - beta, fitted[HURST], noiseless=noiseless)
    result = ScalingExponents(
        depths=np.array(list(arrays)),
        networks=networks,
        entries=entries,
        beta=beta,
        log_sizes=log_sizes,
        independent_layers=np.array([one.independent_layers for one in found]).T,
        size_exponent=fitted[0],
        root_square_exponent=fitted[1],
        increment_exponent=fitted[2],
        root_increment_exponent=fitted[3],
        trend_exponent=fitted[4],
        noise_exponent=fitted[5],
        sum_exponent=fitted[6],
        noise_hurst=fitted[HURST],
        trend_sum=trend_sum,
        noise_sum=noise_sum,
        regime=regime.name,
        sentence=regime.sentence,
    )
    return share_networks(result, Networks.of(UNKNOWN, [(0, networks)]))


def _by_depth(weights: Any, axis: Any, members: Any) -> dict[int, Floats]:
    """Return weights (networks, L, entries) by depth, the depths increasing."""
    if not isinstance(weights, Mapping):
        raise ValueError(f"weights={brief(weights)} is not allowed: it must map each depth L to an array of L layers")
    if len(weights) < FEWEST_DEPTHS:
        raise ValueError(
            f"weights of {counted(len(weights), 'depth')} are too few: a slope takes {FEWEST_DEPTHS} depths"
        )
    arrays: dict[int, Floats] = {}
    for given, array in weights.items():
        depth = checks.integer("a depth of weights", given, FEWEST_LAYERS, MAX_DEPTH, "2^20 - 1")
        arrays[depth] = _checked(depth, checked_weights(f"weights[{depth}]", array, axis, members))
    alike = {depth: (array.shape[0], array.shape[2]) for depth, array in arrays.items()}
    if len(set(alike.values())) > 1:
        said = "; ".join(f"{networks} x {entries} at L = {depth}" for depth, (networks, entries) in alike.items())
        raise ValueError(f"weights differ in networks x entries ({said}): exponents need the same at every depth")
    return {depth: arrays[depth] for depth in sorted(arrays)}


def _checked(depth: int, array: Floats) -> Floats:
    """Return weights of a depth if they have its layers and are not 0."""
    if array.shape[1] != depth:
        raise ValueError(f"weights[{depth}] has {array.shape[1]} layers along its axis: it must have {depth}")
    if not array.any():
        raise ValueError(f"weights[{depth}] are all 0: they have no logarithm")
    return array
