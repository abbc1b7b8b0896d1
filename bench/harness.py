"""Check the answer, warm up, then time by turns on one thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

import resmc

from .peers import Floats, Peer, Problem

Run = Callable[[int], Any]  # simulates so many networks


class WrongAnswer(RuntimeError):
    """A peer whose log-norms do not have the law of the network: it is not timed."""


@dataclass(frozen=True)
class Moments:
    """Mean and variance of L_d with their standard errors."""

    mean: float
    mean_stderr: float
    variance: float
    variance_stderr: float
    networks: int


@dataclass(frozen=True)
class Spread:
    """Median and extremes over the rounds."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(float(np.median(values)), min(values), max(values))


@dataclass(frozen=True)
class Comparison:
    """resmc against one peer: networks/s of each, and the ratio resmc/peer of each round."""

    resmc: Spread
    peer: Spread
    ratio: Spread
    rounds: int
    networks: tuple[int, int]  # of one measurement: resmc, peer


def resmc_run(problem: Problem, networks: int, seed: int = 0) -> resmc.Simulation:
    """The projected method on one thread, recording the first and the last layer only."""
    return resmc.simulate(
        **asdict(problem), networks=networks, seed=seed, layers=[0, problem.depth], threads=1, progress=False
    )


def reference_moments(problem: Problem, networks: int, seed: int = 1) -> Moments:
    """Mean and variance of L_d from a long run of resmc."""
    fit = resmc_run(problem, networks, seed).log_gaussian_fit()
    mean, variance = fit.mean, fit.variance
    return Moments(float(mean.value), float(mean.stderr), float(variance.value), float(variance.stderr), networks)


def sample_moments(log_norms: Floats) -> Moments:
    """The same of a peer's sample."""
    n = len(log_norms)
    mean, variance = float(np.mean(log_norms)), float(np.var(log_norms, ddof=1))
    fourth = float(np.mean((log_norms - mean) ** 4))
    spread = math.sqrt(max(fourth - variance**2, 0.0) / n)
    return Moments(mean, math.sqrt(variance / n), variance, spread, n)


def check_answer(name: str, log_norms: Floats, reference: Moments, limit: float = 4.0) -> dict[str, float]:
    """The distances from the reference in combined standard errors; a peer's own are at least a Gaussian's.

    Raises
    ------
    WrongAnswer
        If mean or variance is further than ``limit`` combined standard errors off, or not finite.
    """
    sample = sample_moments(log_norms)
    floor = math.sqrt(reference.variance / sample.networks), reference.variance * math.sqrt(2.0 / sample.networks)
    scores = {
        "mean": (sample.mean - reference.mean) / math.hypot(max(sample.mean_stderr, floor[0]), reference.mean_stderr),
        "variance": (sample.variance - reference.variance)
        / math.hypot(max(sample.variance_stderr, floor[1]), reference.variance_stderr),
    }
    for what, score in scores.items():
        if not abs(score) <= limit:
            value, expected = getattr(sample, what), getattr(reference, what)
            raise WrongAnswer(
                f"{name}: the {what} of L_d over {sample.networks} networks is {value:.5g}, {score:.1f} standard "
                f"errors off {expected:.5g}: not timed"
            )
    return scores


def checked(name: str, peer: Peer, problem: Problem, networks: int, reference: Moments) -> dict[str, float]:
    """Run a peer's own code and `check_answer`."""
    return check_answer(name, peer(problem, networks, 2), reference)


def calibrated(run: Run, start: int, seconds: float) -> int:
    """How many networks take about ``seconds``, a multiple of ``start``. It warms up at the same time."""
    networks = start
    while (elapsed := _elapsed(run, networks)) < 0.3 * seconds:
        networks *= 2
    return start * max(1, round(networks / start * seconds / elapsed))


def compare(
    peer: Peer, problem: Problem, rounds: int, seconds: float = 1.0, peer_unit: int = 1, resmc_unit: int = 256
) -> Comparison:
    """Time resmc and a peer by turns, A B A B ...; a round's ratio is of its two neighbours in time.

    Raises
    ------
    ValueError
        For fewer than 5 rounds.
    """
    if rounds < 5:
        raise ValueError(f"rounds={rounds!r} is not allowed: it must be at least 5")
    torch.set_num_threads(1)
    runs: tuple[Run, Run] = (partial(resmc_run, problem), lambda networks: peer(problem, networks, 0))
    counts = calibrated(runs[0], resmc_unit, seconds), calibrated(runs[1], peer_unit, seconds)
    rates: tuple[list[float], list[float]] = [], []
    for _ in range(rounds):
        for run, count, reached in zip(runs, counts, rates, strict=True):
            reached.append(count / _elapsed(run, count))
    ratios = [a / b for a, b in zip(*rates, strict=True)]
    return Comparison(Spread.of(rates[0]), Spread.of(rates[1]), Spread.of(ratios), rounds, counts)


def _elapsed(run: Run, networks: int) -> float:
    begin = time.perf_counter()
    run(networks)
    return time.perf_counter() - begin
