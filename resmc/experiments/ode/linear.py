"""`linear_descent`: gradient descent of deep linear residual networks, whose weights tend to functions of the depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._system import checks
from ..._system.memory import available_memory
from ..._system.progress import reporting
from ..._system.stopping import stoppable
from ..._system.words import are, brief, brief_repr, counted
from ...results.arithmetic import share_networks
from ...results.estimates import Estimate, Floats, mean_estimate
from ...results.propagation import Networks
from ...tables import Column, Shown, Table
from ..convergence import checked_depths, left_out, slope
from .linear_steps import Descent

MAX_WIDTH = 256
MAX_DEPTH = 2**19  # networks of twice the depth are made beside
MAX_STEPS = 10**7
RECORDED = 100  # about so many times are recorded unless ``every`` says otherwise
CHUNK = 2**18  # entries of the weights of networks that are stepped together, so that they stay in a cache
HELD = 7  # arrays of the size of the largest weights that a step needs besides them
REACHED = 1e-3  # |product - B| over |B|, from which on a target counts as reached

Start = Callable[[float], ArrayLike]


@dataclass(frozen=True, eq=False)
class LinearDescent(Shown):
    """Gradient descent of linear residual networks of several depths N, as `linear_descent` returns it.

    Norms are those of Frobenius. P is the number of targets, each with a network of its own at every depth, and T that
    of recorded times.

    Attributes
    ----------
    targets : ndarray, shape (P, d, d)
        B.
    depths : ndarray of int, shape (D,)
        N; networks of depth 2N are trained beside them.
    times : ndarray, shape (T,)
        Time s: the number of steps times ``learning_rate``.
    learning_rate : float
        The step size over N.
    zero_start : bool
        True if all weights were 0 at the start.
    loss : ndarray, shape (D, T, P)
        |product - B|^2/2.
    smoothness : ndarray, shape (D, T, P)
        max_k N |A_{k+1} - A_k|, which stays bounded in N where weights tend to a smooth function of k/N.
    distance : ndarray, shape (D, T, P)
        The largest |A^{2N}_{2k} - A^N_k| over layers k and over all steps up to a time, recorded or not.
    weights : tuple of ndarray, shapes (N, d, d)
        Final weights of the first target's networks, for each depth.
    distance_slope : Estimate
        The mean over targets of the slope of ln(final distance) against ln N.
    """

    __repr__ = brief_repr

    targets: Floats
    depths: NDArray[np.int64]
    times: Floats
    learning_rate: float
    zero_start: bool
    loss: Floats
    smoothness: Floats
    distance: Floats
    weights: tuple[Floats, ...]
    distance_slope: Estimate

    @property
    def final_distance(self) -> Estimate:
        """Mean over targets of the distance over all layers and times, (D,)."""
        return self.mean_over_targets(self.distance[:, -1])

    @property
    def final_smoothness(self) -> Estimate:
        """Mean over targets of the smoothness at the end, (D,)."""
        return self.mean_over_targets(self.smoothness[:, -1])

    @property
    def late_growth(self) -> Floats:
        """The distance over the whole time over that of its first half, less 1, (D, P).

        It is 0 where the supremum over time was reached in the first half; where the first half has no distance, it is
        NaN.
        """
        half = int(np.searchsorted(self.times, 0.5 * self.times[-1], side="right")) - 1
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.distance[:, -1] / self.distance[:, half] - 1.0)

    @property
    def reached(self) -> NDArray[np.bool_]:
        """True where |product - B| is at most 0.1% of |B| at the end, (D, P)."""
        size = np.sum(self.targets**2, axis=(1, 2))
        return np.asarray(2.0 * self.loss[:, -1] <= REACHED**2 * size)

    def mean_over_targets(self, values: Floats) -> Estimate:
        """Return the mean of values (K, P) over targets, (K,), with the error of independent ones."""
        count = np.full(len(values), values.shape[1])
        spread = np.sum((values - values.mean(axis=1, keepdims=True)) ** 2, axis=1)
        return share_networks(mean_estimate(values.sum(axis=1), spread, count), _networks(self.targets))

    def _table(self) -> Table:
        columns = [
            Column("depth N", "depth", width=10),
            Column("sup |A^2N - A^N|", "distance", width=24),
            Column("times N", "scaled_distance", width=24),
            Column("max N |A_k+1 - A_k|", "smoothness", width=24),
            Column("largest loss", "loss", digits=3),
        ]
        distance, smoothness = self.final_distance, self.final_smoothness
        rows: list[list[Any]] = [
            [int(n), distance[i], float(n) * distance[i], smoothness[i], float(self.loss[i, -1].max())]
            for i, n in enumerate(self.depths)
        ]
        targets, d, _ = self.targets.shape
        title = f"gradient descent of linear residual networks  width {d}  {counted(targets, 'target')}"
        start = "zero" if self.zero_start else "given"
        lines = [
            f"time 0 to {self.times[-1]:g}, learning rate {self.learning_rate:g} N, {start} start; means over targets"
        ]
        return Table("linear_descent", title, columns, rows, lines, self._notes())

    def _notes(self) -> list[str]:
        known = self.zero_start and self.reached.all() and np.isfinite(float(self.distance_slope.value))
        theory = "; from a zero start it tends to -1 as N grows" if known else ""
        notes = [f"sup |A^2N - A^N| over layers and times: slope {self.distance_slope} in ln N{theory}"]
        late = self.late_growth
        if np.isfinite(late).any():
            grown = 100.0 * float(np.nanmax(late[np.isfinite(late)]))
            notes.append(
                f"in the second half of the time it grows by {grown:{'.0f' if grown >= 100.0 else '.2g'}}% at most"
            )
        missing = int((~self.reached.all(axis=0)).sum())
        if missing:
            notes.append(
                f"{missing} of {counted(len(self.targets), 'target')} {are(missing)} not reached within 0.1%: near B "
                "the loss falls like exp(-2 v^2 s), v the smallest singular value of B"
            )
        turned = int((np.linalg.det(self.targets) <= 0.0).sum())
        if turned:
            notes.append(f"no deep network reaches {counted(turned, 'target')}: det B <= 0, and products have det > 0")
        return notes + left_out(self.distance[:, -1], why="a distance of 0, as where the start reaches the target")

    def summary(self) -> Table:
        """Return a table by depth; below it the slope of the distance, and how much of it came late."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


@stoppable()
def linear_descent(
    target: ArrayLike,
    depths: Sequence[int] = (64, 128, 256, 512),
    *,
    time: float = 20.0,
    learning_rate: float = 0.1,
    every: int | None = None,
    start: Start | None = None,
    progress: bool | Callable[[int, int], object] | None = None,
) -> LinearDescent:
    """Train linear residual networks of several depths N, and compare each with a network of depth 2N.

    .. code-block:: text

        x_{k+1} = x_k + A_k x_k/N,   product = (I + A_{N-1}/N) .. (I + A_0/N),   loss = |product - B|^2/2
        A_k <- A_k - learning_rate S_k^T (product - B) R_k^T

    with R_k and S_k the products of the layers before and after k: gradient descent of all layers at once, with the
    step size learning_rate N, so that a weight moves as fast at every depth and time s is the number of steps times
    ``learning_rate``. Weights are 0 at the start, or A_k = start(k/N).

    From such a start weights stay smooth in depth: A^N_k at time s tends to a function of k/N and s, at the rate 1/N
    and uniformly in time where the loss is small enough at the start. The network then tends to the ordinary equation
    dx/dt = A(t) x, which no penalty asks for. From independent weights in each layer it does not: that start is no
    function of k/N, and descent does not forget it.

    All depths advance together, and no earlier weights are kept. A step makes 2N products of two matrices a network, in
    2 log2 N batches; 32 targets of width 4 take about 5 s by default, and N = 16384, beside 2N, takes about 15 ms a
    step and target.

    Parameters
    ----------
    target : array of float, shape (d, d) or (P, d, d)
        B; several have a network each. From a zero start the loss falls to 0 only where det B > 0, and quickly only
        where the singular values of B are not small. A zero singular value lets weights grow without bound.
    depths : sequence of int
        N, at least two, increasing, from 2 on. Where one is twice another, networks are shared.
    time : float
        The last time s; the nearest multiple of ``learning_rate``, which is not 0.
    learning_rate : float
        The step size over N. Near B steps are stable below 2/|B|^2, |B| the largest singular value.
    every : int, optional
        Record every so many steps, besides the first and the last; about 100 times by default.
    start : callable, optional
        A function of t from 0 to 1, excluding 1, that returns the weights A(t) at the start: (d, d) for all targets, or
        (P, d, d). It is called once for each layer of each depth, so that it may draw them.
    progress
        As for `simulate`.

    Raises
    ------
    ValueError
        For an argument out of range, or if the loss grows in a step, which is then too large.

    Source: Sander, Ablin, Peyre (arXiv 2205.14612), the section on linear residual networks: under gradient flow,
    smoothness in depth is kept and weights converge uniformly in time, at the rate 1/N.
    """
    targets = _targets(target)
    d = targets.shape[1]
    chosen = checked_depths(depths, MAX_DEPTH, "2^19", smallest=2)
    rate = checks.real("learning_rate", learning_rate, positive=True)
    steps = checks.real("time", time, positive=True) / rate
    if round(min(steps, 1.0)) < 1:
        raise ValueError(f"time={brief(time)} is not allowed: it is less than half a step of learning_rate={rate:g}")
    if steps > MAX_STEPS:
        raise ValueError(f"time={brief(time)} is not allowed: it is more than 10^7 steps of learning_rate={rate:g}")
    steps = round(steps)
    every = max(1, steps // RECORDED) if every is None else checks.integer("every", every, 1, steps, "all steps")
    _check_memory(chosen, d)
    starts = {n: _start(start, n, targets.shape) for n in sorted({*chosen, *(2 * n for n in chosen)})}
    recorded = sorted({*range(0, steps, every), steps})
    descent = Descent(targets, chosen, rate, recorded, starts)
    size = max(1, CHUNK // (2 * chosen[-1] * d * d))
    first: dict[int, Floats] = {}
    with reporting(progress, len(targets), "linear descent") as report, np.errstate(over="ignore", invalid="ignore"):
        for begin in range(0, len(targets), size):
            weights = descent.run(slice(begin, min(begin + size, len(targets))), report)
            first = first or {n: weights[n][0].copy() for n in chosen}
    result = LinearDescent(
        targets=targets,
        depths=np.array(chosen),
        times=rate * np.array(recorded),
        learning_rate=rate,
        zero_start=start is None,
        loss=descent.loss,
        smoothness=descent.smoothness,
        distance=descent.distance,
        weights=tuple(first[n] for n in chosen),
        distance_slope=slope(chosen, descent.distance[:, -1]),
    )
    return share_networks(result, _networks(targets))


def _networks(targets: Floats) -> Networks:
    """Return what stands for the networks of these targets: two descents to the same ones are dependent."""
    return Networks.of(f"targets {sha256(targets.tobytes()).hexdigest()}", [(0, len(targets))])


def _targets(given: Any) -> Floats:
    """Return the targets (P, d, d), a copy."""
    allowed = f"it must be numbers of shape (d, d) or (P, d, d), d from 1 to {MAX_WIDTH}"
    found = checks.numbers("target", given, allowed)
    targets = np.ascontiguousarray(found[None] if found.ndim == 2 else found)
    if targets.ndim != 3 or targets.shape[1] != targets.shape[2] or not targets.size or targets.shape[1] > MAX_WIDTH:
        raise ValueError(f"target of shape {found.shape} is not allowed: {allowed}")
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(targets).all(axis=(1, 2)), np.isfinite(np.sum(targets**2, axis=(1, 2)))
    for good, asked in zip(finite, ("it must be finite", "|B|^2 must be finite, and the loss with it"), strict=True):
        if not good.all():
            number = int(np.argmin(good))
            raise ValueError(f"target={brief(targets[number])} is not allowed (number {number}): {asked}")
    return targets


def _start(start: Any, depth: int, shape: tuple[int, ...]) -> Floats:
    """Return the weights of networks of a depth at the start, (P, N, d, d), a view where targets have the same."""
    targets, width, _ = shape
    if start is not None and not callable(start):
        raise ValueError(f"start={brief(start)} is not allowed: it must be a function of t, or None for zeros")
    if start is None:
        return np.broadcast_to(0.0, (targets, depth, width, width))
    layers = np.broadcast_arrays(*(_layer(start, k / depth, shape) for k in range(depth)))
    weights = np.stack(layers, axis=-3)
    return np.broadcast_to(weights, (targets, depth, width, width))


def _layer(start: Start, t: float, shape: tuple[int, ...]) -> Floats:
    """Return the weights of a layer at the start, (d, d) or (P, d, d)."""
    weights = checks.numbers_at(f"start({t:g})", start, t)
    if weights.shape not in (shape, shape[1:]) or not np.isfinite(weights).all():
        raise ValueError(
            f"start({t:g})={brief(weights)} is not allowed: it must be finite, of shape {shape[1:]} or {shape}"
        )
    return weights


def _check_memory(depths: Sequence[int], width: int) -> None:
    """Refuse networks of which not even one target's fit into memory."""
    needed = 8 * width**2 * (sum({*depths, *(2 * n for n in depths)}) + HELD * 2 * depths[-1])
    if needed > 0.9 * available_memory():
        raise ValueError(
            f"depths={brief(list(depths))} and a target of width {width} are not allowed: they need {needed / 1e9:.3g} "
            f"GB of memory, and {available_memory() / 1e9:.3g} GB are available; take smaller depths"
        )
