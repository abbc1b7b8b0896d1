"""resmc itself: what is timed, and the long run that the answers of all others are checked against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import resmc
from resmc import _native
from resmc.engine import native
from resmc.engine.lowering import lower

from .harness import Moments
from .peers.problem import Problem


def simulate(
    problem: Problem,
    networks: int,
    seed: int = 0,
    threads: int = 1,
    method: str = "projected",
    layers: Sequence[int] | None = None,
) -> resmc.Simulation:
    """By default recording the first and the last layer only."""
    layers = [0, problem.depth] if layers is None else layers
    return resmc.simulate(
        **asdict(problem), networks=networks, seed=seed, layers=layers, threads=threads, method=method, progress=False
    )


def unit(method: str, threads: int) -> int:
    """The fewest networks that keep the threads' packs full: a benchmark's runs are multiples of it."""
    lanes: int = resmc.build_info()["networks_per_pack"][resmc.build_info()["instruction_set"]]
    return threads * (lanes if method == "dense" else 256)


def reference_moments(problem: Problem, networks: int, seed: int = 1, threads: int = 1) -> Moments:
    """Mean and variance of L_d from a long projected run."""
    fit = simulate(problem, networks, seed, threads).log_gaussian_fit()
    mean, variance = fit.mean, fit.variance
    return Moments(float(mean.value), float(mean.stderr), float(variance.value), float(variance.stderr), networks)


def draw(problem: Problem, networks: int, seed: int = 0) -> float:
    """The generator alone, on one thread: all normals of so many networks, drawn and forgotten; returns their sum."""
    model = resmc.ResNet(**asdict(problem))
    total: float = _native.draw(
        resmc.build_info()["instruction_set"], native.plain(lower(model).network), seed, networks
    )
    return total
