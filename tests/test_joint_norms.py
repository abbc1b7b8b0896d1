"""Forward and backward norms together are a chain of few numbers, docs/theory.md, which has the simulated joint law."""

from __future__ import annotations

import math

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, ResidualNetwork

pytestmark = pytest.mark.cpu
N, DEPTH, CARRY, S = 3, 4, 0.9, 1.1
NETWORKS = 60_000


def on_sphere(rng: np.random.Generator, dimension: int) -> np.ndarray:
    """A coordinate of a uniform point on the unit sphere."""
    x = rng.standard_normal(NETWORKS)
    return x / np.sqrt(x**2 + rng.chisquare(dimension - 1, NETWORKS)) if dimension > 1 else np.sign(x)


def chain(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """log |h_L|^2/|h_0|^2 and log |p_0|^2/|p_L|^2 of networks of which nothing but norms and cosines is drawn."""
    rng = np.random.default_rng(seed)
    forward, size = [], np.ones(NETWORKS)
    for _ in range(DEPTH):
        active = rng.binomial(N, 0.5, NETWORKS)
        t = np.where(active > 0, rng.chisquare(np.maximum(active, 1)), 0.0)
        c = S * np.sqrt(t) / N
        along = CARRY + c * rng.standard_normal(NETWORKS)
        factor = along**2 + c**2 * rng.chisquare(N - 1, NETWORKS)
        forward.append((size, active, t, along / np.sqrt(factor)))
        size = size * np.sqrt(factor)
    growth, start = 2.0 * np.log(size), rng.chisquare(N, NETWORKS)
    p = start.copy()  # |p|^2
    kappa = size * np.sqrt(p) * on_sphere(rng, N)
    after = size
    for before, active, t, cosine in reversed(forward):
        beside = np.sqrt(np.maximum(p - (kappa / after) ** 2, 0.0)) * np.sqrt(np.maximum(1.0 - cosine**2, 0.0))
        along = kappa / after * cosine + on_sphere(rng, N - 1) * beside
        w = (kappa - CARRY * along * before) / S
        fresh = np.where(active > 1, rng.chisquare(np.maximum(active - 1, 1)), 0.0)
        b = np.where(active > 0, N * w**2 / (before**2 * np.where(t > 0.0, t, 1.0)), 0.0) + p / N * fresh
        across, c = np.sqrt(np.maximum(p - along**2, 0.0)), S * np.sqrt(b / N)
        pushed = (CARRY * across + c * rng.standard_normal(NETWORKS)) ** 2 + c**2 * rng.chisquare(N - 2, NETWORKS)
        p, after = (kappa / before) ** 2 + pushed, before
    return growth, np.log(p / start)


def differences(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Differences of means of both, of their squares, products and mixed powers, in standard errors."""

    def parts(pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        x, y = (np.clip(one, -6.0, 6.0) for one in pair)
        return np.array([x, y, x**2, y**2, x * y, x**2 * y, x * y**2, np.abs(x - y)])

    one, other = parts(a), parts(b)
    apart = one.mean(axis=1) - other.mean(axis=1)
    return apart / np.hypot(one.std(axis=1) / math.sqrt(one.shape[1]), other.std(axis=1) / math.sqrt(other.shape[1]))


def test_a_chain_of_norms_and_cosines_has_the_joint_law_of_growth_and_gradient():
    """Eight numbers at 4.5 standard errors: a level of 5e-5."""
    model = ResidualNetwork(N, DEPTH, "v-phi-w", carry=CARRY, scaling=DepthScaling(0.0, S))
    kept = resmc.simulate(model, networks=NETWORKS, seed=3, gradients=True, keep_samples=NETWORKS).samples.ratios
    simulated = kept["growth"], kept["gradient"]
    found = chain(4)
    z = differences(found, simulated)
    assert np.abs(z).max() < 4.5, z
    shuffled = found[0], np.random.default_rng(5).permutation(found[1])  # as if they were independent
    assert np.abs(differences(shuffled, simulated)[4:]).max() > 20.0
