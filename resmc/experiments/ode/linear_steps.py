"""Steps of gradient descent of linear residual networks of several depths, all depths together."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..._system.progress import Report
from ..._system.stopping import look
from ...results.estimates import Floats
from .products import derivatives, products

GROWN = 1e-9  # relative growth of a loss in a step beyond which it counts as growth
NOISE = 1e-20  # losses below this part of |B|^2 are noise of rounding


@dataclass(frozen=True)
class Descent:
    """The steps of all depths together, and what is recorded of them, (D, T, P)."""

    targets: Floats
    depths: list[int]
    rate: float
    recorded: list[int]
    starts: dict[int, Floats]
    loss: Floats = field(init=False)
    smoothness: Floats = field(init=False)
    distance: Floats = field(init=False)

    def __post_init__(self) -> None:
        for name in ("loss", "smoothness", "distance"):
            shape = (len(self.depths), len(self.recorded), len(self.targets))
            object.__setattr__(self, name, np.empty(shape))

    def run(self, part: slice, report: Report | None) -> dict[int, Floats]:
        """Train networks for some targets from the start to the end; return their weights by depth."""
        targets = self.targets[part]
        weights = {n: start[part].copy() for n, start in self.starts.items()}
        noise = NOISE * np.sum(targets**2, axis=(1, 2))
        before = {n: np.full(len(targets), np.inf) for n in weights}
        distance = np.zeros((len(self.depths), len(targets)))
        rows = {step: row for row, step in enumerate(self.recorded)}
        last = self.recorded[-1]
        for step in range(last + 1):
            look()
            row = rows.get(step)
            for i, n in enumerate(self.depths):
                np.maximum(distance[i], _largest_norm(weights[2 * n][:, ::2] - weights[n]), out=distance[i])
                if row is not None:
                    self.distance[i, row, part] = distance[i]
                    self.smoothness[i, row, part] = n * _largest_norm(np.diff(weights[n], axis=1))
            for n, one in weights.items():
                loss = _descend(one, targets, self.rate if step < last else 0.0)
                falls = loss <= before[n] * (1.0 + GROWN) + noise
                if not falls.all():
                    raise ValueError(self._too_large(part.start + int(np.argmin(falls)), n, step))
                before[n] = loss
                if row is not None and n in self.depths:
                    self.loss[self.depths.index(n), row, part] = loss
            if report is not None:
                report((part.start + len(targets) * (step + 1) / (last + 1)) / len(self.targets))
        return weights

    def _too_large(self, target: int, depth: int, step: int) -> str:
        largest = max(1.0, float(np.linalg.norm(self.targets[target], 2)))
        stable = 2.0 / largest / largest  # A square could be beyond the range of numbers.
        return (
            f"learning_rate={self.rate:g} is too large: the loss of target {target} at depth {depth} grows in step "
            f"{step}; near the start and this target steps are stable below {stable:.3g}, and smaller ones may be "
            "needed between them"
        )


def _descend(weights: Floats, targets: Floats, rate: float) -> Floats:
    """Take a step of networks (P, N, d, d) in place, unless the rate is 0; return the losses (P,) before it."""
    factors = weights / weights.shape[1]
    diagonal = np.arange(weights.shape[-1])
    factors[..., diagonal, diagonal] += 1.0
    levels = products(factors)
    error = levels[-1][:, 0] - targets
    if rate:
        weights -= derivatives(levels, rate * error)
    return np.asarray(0.5 * np.sum(error**2, axis=(1, 2)))


def _largest_norm(matrices: Floats) -> Floats:
    """Return the largest norm of Frobenius of matrices (P, K, d, d) over K."""
    return np.asarray(np.sqrt(np.einsum("pkij,pkij->pk", matrices, matrices).max(axis=1)))
