"""Estimates that several simulations are behind, whose intervals `python -m bench.coverage` counts too."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

import resmc
from resmc import DepthScaling, Estimate, ResidualNetwork, ResNet

HALF = 0.5**0.5
STEPS = 40  # of the grid on which limits are solved, the same for the truth: its error in time is another matter
WIDTHS = (16, 24, 32, 48, 64)
SCALED = ("log_norm.mean", "log_norm.variance", "growth", "asymmetry", "active_fraction")
SMOOTH = ResidualNetwork(4, 10, "phi-out", "tanh", bias=0.3)
EXPLODING = ResidualNetwork(2, 10, "phi-out", "gelu", scaling=DepthScaling(0.5, 1.5, inside=True), bias=0.4)


@dataclass(frozen=True)
class Experiment:
    """Estimates that take several simulations, or none.

    Attributes
    ----------
    name, words : str
    estimates : callable
        From a number of networks and a seed to estimates of one number each, by name.
    truths : callable
        Return the true values by name.
    exact : bool
        True if these are known in closed form.
    sizes : tuple of int
        Numbers of networks.
    """

    name: str
    words: str
    estimates: Callable[[int, int], dict[str, Estimate]]
    truths: Callable[[], Mapping[str, float]]
    exact: bool
    sizes: tuple[int, ...]


def smooth(networks: int, seed: int) -> dict[str, Estimate]:
    """Return mean, variance and median of every ratio of a limit in depth."""
    found = resmc.limit(SMOOTH, networks=networks, seed=seed, steps=STEPS, progress=False)
    ratios = ("growth", "displacement", "gradient", "gradient_displacement")
    parts = ("mean", "variance", "median")
    return {f"{ratio}.{part}": getattr(getattr(found, ratio), part) for ratio in ratios for part in parts}


def exploding(networks: int, seed: int) -> dict[str, Estimate]:
    """Return medians of a limit in which one network of seven explodes."""
    found = resmc.limit(EXPLODING, networks=networks, seed=seed, steps=STEPS, gradients=False, progress=False)
    return {"growth.median": found.growth.median, "displacement.median": found.displacement.median}


def extrapolated(networks: int, seed: int) -> dict[str, Estimate]:
    """Return values at infinite width from five widths at d/n = 1/2, where all widths have an error."""
    sims = [
        resmc.simulate(
            ResNet(n, n // 2, HALF, HALF),
            networks=networks,
            seed=1000 * seed + n,
            threads=1,
            correlations=False,
            layers=[0, n // 2],
            progress=False,
        )
        for n in WIDTHS
    ]
    found = {}
    for name in SCALED:
        known = all(np.isfinite(sim.estimate(name).stderr[-1]) for sim in sims)
        found[name] = resmc.extrapolate(sims, name).value if known else Estimate(np.nan, np.nan, 0)
    return found


def limits() -> dict[str, float]:
    """Return the limits of what `extrapolated` gives."""
    sims = [resmc.simulate(ResNet(n, n // 2, HALF, HALF), networks=200_000, seed=n, progress=False) for n in WIDTHS]
    return {name: float(resmc.extrapolate(sims, name).limit) for name in SCALED}


def of_many(estimates: Callable[[int, int], dict[str, Estimate]]) -> Callable[[], dict[str, float]]:
    """Return a function that takes the values of many networks for true ones."""
    return lambda: {name: float(e.value) for name, e in estimates(400_000, 999_999).items()}


EXPERIMENTS = (
    Experiment(
        "limit in depth",
        "resmc.limit, phi-out tanh with biases, width 4, 40 steps",
        smooth,
        of_many(smooth),
        False,
        (100, 2000),
    ),
    Experiment(
        "limit that explodes",
        "resmc.limit, phi-out gelu inside, width 2, 40 steps: 14% explode",
        exploding,
        of_many(exploding),
        False,
        (100, 2000),
    ),
    Experiment(
        "extrapolation",
        "resmc.extrapolate, vanilla, widths 16 to 64 at d/n = 1/2, networks of each width",
        extrapolated,
        limits,
        True,
        (2000, 20000),
    ),
)


def targets(seeds: int) -> tuple[int, int]:
    """Return how many of some points with ``target_stderr`` have an error below the binding target, and how many."""
    met = total = 0
    for seed in range(seeds):
        plan = resmc.Sweep(
            width=[4, 16, 64],
            ratio=0.5,
            alpha=HALF,
            lam=HALF,
            target_stderr={"log_norm.variance": 0.02, "log_norm.mean": 0.02},
            max_networks=2**17,
            seed=seed,
        )
        with tempfile.TemporaryDirectory() as store:
            result = plan.run(store, progress=False, workers=1, threads=1)
        over = np.max([result.estimates[name].stderr / target for name, target in plan.target_stderr.items()], axis=0)
        met += int(np.count_nonzero(over <= 1.0))
        total += over.size
    return met, total
