"""Networks with explicit weights in NumPy alone, to hold predictions against."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from resmc.models.resnet import ResNet

Floats = NDArray[np.float64]

HALF = math.sqrt(0.5)


def network(width: int = 10, depth: int = 20, alpha: float = HALF, **other: float | str) -> ResNet:
    """A normalised network."""
    return ResNet(width, depth, alpha, math.sqrt(1.0 - alpha * alpha), **other)  # type: ignore[arg-type]


def assert_within_errors(samples: Floats, expected: float, errors: float = 4.5) -> None:
    """The mean of independent samples lies within 4.5 of its standard errors of ``expected``."""
    error = samples.std(ddof=1) / math.sqrt(samples.size)
    assert abs(samples.mean() - expected) < errors * error, (samples.mean(), expected, error)


def simulate(
    rng: np.random.Generator, model: ResNet, networks: int, *, dense: bool = True
) -> tuple[Floats, Floats, Floats]:
    """|z_l|^2, A_l and F_l (axis 0: layers, axis 1: networks), from explicit weights or with |phi| g in their place."""
    n = model.width
    z = rng.standard_normal((networks, n)) * model.input_norm
    norms, asymmetries, fractions = [], [], []
    for _ in range(model.depth + 1):
        signs: Floats = np.ones(z.shape)
        if model.variant != "vanilla":
            signs = rng.choice(np.array([-1.0, 1.0]), z.shape)
        if model.variant == "balanced-half":
            signs[:, 1::2] = -signs[:, ::2]
        phi = np.maximum(signs * z, 0.0)
        norm, active = (z * z).sum(1), (phi * phi).sum(1)
        norms.append(norm)
        asymmetries.append(2.0 * active / np.where(norm > 0.0, norm, 1.0) - 1.0)
        fractions.append((phi > 0.0).mean(1))
        if dense:
            branch = np.einsum("bij,bj->bi", rng.standard_normal((networks, n, n)), phi)
        else:
            branch = np.sqrt(active)[:, None] * rng.standard_normal(z.shape)
        z = model.alpha * z + model.lam * math.sqrt(2.0 / n) * branch
    return np.array(norms), np.array(asymmetries), np.array(fractions)
