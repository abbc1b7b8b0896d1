"""Check the answer, warm up, find the best options, then time by turns. It knows neither resmc nor its peers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from .peers.problem import Floats

Run = Callable[[int], Any]  # simulates so many networks
Options = dict[str, Any]


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
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(float(np.median(values)), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.min:.3g} to {self.max:.3g})"


def spread(values: Sequence[float]) -> dict[str, float]:
    """`Spread.of` by the names of its fields, as reports hold it."""
    return asdict(Spread.of(values))


def cell(found: dict[str, float], factor: float = 1.0) -> str:
    """A `spread`, scaled, as tables show it."""
    return str(Spread(**{name: factor * value for name, value in found.items()}))


def sample_moments(log_norms: Floats) -> Moments:
    """Mean and variance of a peer's sample."""
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


def autotune(
    run: Callable[[int, Options], Any], axes: dict[str, tuple[Any, ...]], seconds: float, workers: int = 1
) -> tuple[Options, list[dict[str, Any]]]:
    """The fastest options and the rate of all that were tried, in networks/s.

    ``run(networks, options)`` simulates. One axis after the other, every value beside the best of the other axes:
    first a batch to warm up, which compiles, then whole batches for about ``seconds``, twice; the faster counts. There
    are as many batches for each of the ``workers``: none of them is left idle.
    """
    best: Options = {name: values[0] for name, values in axes.items()}
    tried: dict[str, dict[str, Any]] = {}

    def rate(options: Options) -> float:
        unit = options.get("batch", 1) * workers
        key = repr(sorted(options.items()))
        if key not in tried:
            run(unit, options)
            networks = calibrated(lambda count: run(count, options), unit, seconds)
            fastest = min(elapsed(lambda: run(networks, options)) for _ in range(2))
            tried[key] = {**options, "networks_per_s": networks / fastest}
        found: float = tried[key]["networks_per_s"]
        return found

    for name, values in axes.items():
        if len(values) > 1:
            rates = [rate({**best, name: value}) for value in values]
            best[name] = values[int(np.argmax(rates))]
    return best, list(tried.values())


def calibrated(run: Run, start: int, seconds: float) -> int:
    """How many networks take about ``seconds``: ``start`` times a power of two. It warms up at the same time."""
    networks = start
    while True:
        took = elapsed(partial(run, networks))
        if took >= 0.3 * seconds:  # a second time: one long run may be the machine's, or a first call's
            took = min(took, elapsed(partial(run, networks)))
        if took >= 0.3 * seconds:
            return networks << max(0, round(math.log2(seconds / took)))
        networks *= 2


def by_turns(measurements: Sequence[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Seconds of each measurement in each round, A B .. A B ..: a machine that slows down slows them all.

    Raises
    ------
    ValueError
        For fewer than 5 rounds.
    """
    if rounds < 5:
        raise ValueError(f"rounds={rounds!r} is not allowed: it must be at least 5")
    taken: list[list[float]] = [[] for _ in measurements]
    for _ in range(rounds):
        for measurement, seconds in zip(measurements, taken, strict=True):
            seconds.append(elapsed(measurement))
    return taken


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Of two measurements round by round, each of two neighbours in time."""
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])


def elapsed(measurement: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    measurement()
    return time.perf_counter() - begin
