"""Residual networks side by side, layer by layer, and the ordinary equations of which they are Euler's or Heun's steps.

.. code-block:: text

    dx/dt   = F(t, x),     F(t, x) = N branch(theta(t), s_N, x)              s_N = c N^-beta
    Euler     x_{k+1} = x_k + F(k/N, x_k)/N
    Heun      x_{k+1} = x_k + (F(k/N, x_k) + F((k + 1)/N, x_k + F(k/N, x_k)/N))/(2N)

SciPy solves the equation: where weights are smooth on all of [0, 1] by DOP853, or with a kinked activation by LSODA;
where they have kinks or jumps at layers by DOP853 from each layer to the next, so that no step of it meets one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from scipy.integrate import DOP853, solve_ivp

from ..._system.stopping import look
from ...models.residual_network import ResidualNetwork
from ...models.scaling import DepthScaling
from ...results.estimates import Floats
from ..branches import Branch, Matrices
from .weights import LayerWeights, OverTime

MOST_EVALUATIONS = 1_000_000  # solvers that look at an equation more often do not come to its end
STRICTER = 0.1  # a solver's own tolerance over that of the solution, into which local errors add up


class Equation:
    """The ordinary equation of P networks at one depth N, and the networks themselves.

    Attributes
    ----------
    depth : int
        N.
    weights : OverTime
    starts : ndarray, shape (P, n, 1)
    numbers : sequence of int
        The networks' numbers, for messages.
    """

    def __init__(
        self, model: ResidualNetwork, depth: int, weights: OverTime, starts: Floats, numbers: Sequence[int]
    ) -> None:
        assert isinstance(model.scaling, DepthScaling)
        self.model, self.depth, self.weights, self.starts, self.numbers = model, depth, weights, starts, numbers
        self.branch, self.s = Branch(model), model.scaling.at(depth)
        self.kinked = model.sigma.homogeneous and model.activation != "linear"

    def force(self, m: Matrices, x: Floats) -> Floats:
        """Return F at states x, (P, n, 1), with the matrices of a time."""
        return self.depth * self.branch(m, self.s, x)

    # -- the equation --------------------------------------------------------------------------------------------------

    def solved(self, times: Floats, tolerance: float) -> Floats:
        """Return the solution at increasing times from 0 to 1, (T, P, n, 1); edges of interpolated weights, if any."""
        with np.errstate(over="ignore", invalid="ignore"):
            if isinstance(self.weights, LayerWeights):
                found = self._from_layer_to_layer(self.weights, tolerance)
            else:
                found = self._smooth(times, tolerance)
        if not np.isfinite(found).all():
            raise ValueError(
                f"the equation of network {self._largest(found[-1])} cannot be solved: it leaves the range "
                f"of numbers at depth {self.depth}: use a smaller c or a larger beta"
            )
        return found

    def _smooth(self, times: Floats, tolerance: float) -> Floats:
        layout, shape = self.weights.layout, self.starts.shape
        evaluations = 0

        def function(t: float, x: Floats) -> Floats:
            nonlocal evaluations
            evaluations += 1
            self._check(evaluations, x.reshape(shape))
            return self.force(layout.matrices(self.weights.rows(np.array([t]))[0]), x.reshape(shape)).ravel()

        strict, size = STRICTER * tolerance, self._size()
        method = "LSODA" if self.kinked else "DOP853"
        found = solve_ivp(
            function,
            (0.0, 1.0),
            self.starts.ravel(),
            method,
            t_eval=times,
            max_step=self.weights.finest,
            rtol=strict,
            atol=1e-3 * strict * size,
        )
        if not found.success:
            raise ValueError(f"the equation of network {self.numbers[0]} cannot be solved: {found.message}")
        return np.asarray(found.y.T.reshape(-1, *shape))

    def _from_layer_to_layer(self, weights: LayerWeights, tolerance: float) -> Floats:
        shape, layer, evaluations = self.starts.shape, 0, 0

        def function(t: float, x: Floats) -> Floats:
            nonlocal evaluations
            evaluations += 1
            self._check(evaluations, x.reshape(shape))
            return self.force(weights.layout.matrices(weights.at(layer, t)), x.reshape(shape)).ravel()

        strict, size = STRICTER * tolerance, self._size()
        x = self.starts.ravel()
        found = [self.starts]
        for layer, (begin, end) in enumerate(pairwise(weights.edges)):
            step = end - begin
            solver = DOP853(function, begin, x, end, rtol=strict, atol=1e-3 * strict * size, first_step=step)
            while solver.status == "running":
                message = solver.step()
            if solver.status == "failed":
                number = self._largest(solver.y.reshape(shape))
                raise ValueError(f"the equation of network {number} cannot be solved after layer {layer}: {message}")
            x = solver.y
            found.append(x.reshape(shape))
        return np.array(found)

    def _size(self) -> float:
        return float(np.abs(self.starts).max()) or 1.0

    def _check(self, evaluations: int, x: Floats) -> None:
        look()
        if evaluations > MOST_EVALUATIONS:
            raise ValueError(
                f"the equation of network {self._largest(x)} cannot be solved at depth {self.depth}: SciPy's solver "
                f"has looked at it {MOST_EVALUATIONS} times without coming to its end; use a larger tolerance or a "
                "smaller c"
            )

    def _largest(self, x: Floats) -> int:
        """Return the number of the network whose state is not finite, or the largest."""
        sizes = np.abs(x).max(axis=(1, 2))
        return self.numbers[int(np.where(np.isfinite(sizes), sizes, np.inf).argmax())]

    # -- the network ---------------------------------------------------------------------------------------------------

    def sets(self) -> Iterator[Matrices]:
        """Yield the N + 1 sets of weights, at k/N."""
        weights = self.weights
        if isinstance(weights, LayerWeights):
            yield from map(weights.layout.matrices, weights.layers)
            return
        for layers in weights.layout.chunks(self.depth + 1):
            look()
            rows = weights.rows(np.arange(layers.start, layers.stop) / self.depth)
            yield from map(weights.layout.matrices, rows)

    def distances(self, scheme: str, solution: Floats) -> Floats:
        """Return max_k |x_k - x(k/N)| of each network, (P,), from the solution at k/N, (N + 1, P, n, 1)."""
        step = {"euler": self._euler, "heun": self._heun}[scheme]
        x, farthest = self.starts, np.zeros(len(self.starts))
        with np.errstate(over="ignore", invalid="ignore"):
            for k, (now, after) in enumerate(pairwise(self.sets()), 1):
                x = step(now, after, x)
                distance = np.sqrt(np.sum((x - solution[k]) ** 2, axis=(1, 2)))
                if not np.isfinite(distance).all():
                    raise ValueError(
                        f"network {self._largest(x)} of depth {self.depth} is not finite after layer {k} ({scheme}): "
                        "use a smaller c or a larger beta"
                    )
                farthest = np.maximum(farthest, distance)
        return farthest

    def _euler(self, now: Matrices, after: Matrices, x: Floats) -> Floats:
        return x + self.branch(now, self.s, x)

    def _heun(self, now: Matrices, after: Matrices, x: Floats) -> Floats:
        first = self.branch(now, self.s, x)
        return x + 0.5 * (first + self.branch(after, self.s, x + first))
