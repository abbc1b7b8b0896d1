"""``python -m bench.size_biased``: would a size-biased proposal pay in `resmc.moment_growth`? A prototype in NumPy.

For q = 1 a layer may be drawn from the law that is weighted by |z'|^2 already. The coordinates of z' = alpha z + sigma
g have the mean squares alpha^2 z_i^2 + sigma^2: one coordinate i is chosen in proportion to these and drawn from the
density x^2 N(x; alpha z_i, sigma^2), all others as always. The weight that is left is the mean of |z'|^2/|z|^2 given
z, alpha^2 + n sigma^2/|z|^2, which scatters less. Both proposals are resampled on one schedule, that of
`moment_growth`. The table has the variance of log Z over populations of 256 networks, plain over size-biased, and the
time of both in NumPy: a proposal pays if it is worth twice the networks. ``--quick`` takes few populations.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmc import ResNet
from resmc.engine.lowering import lower
from resmc.experiments.moments import schedule
from resmc.results.estimates import format_estimate

from .asked import options, origin, run

HALF = 0.5**0.5
SIZE = 256
RATIOS = (1, 2, 5, 10)
TOGETHER = 8  # populations side by side, whose states fit into a cache
ENOUGH = 2.0  # quotient of variances from which on the proposal would be built, if it cost little

Floats = NDArray[Any]


@dataclass(frozen=True)
class Compared:
    """Two proposals at one ratio: log-means and variances of log Z, and the quotients of variances and of times.

    ``gain`` is the quotient of variances over that of times: how many times the networks the proposal is worth.
    """

    variant: str
    width: int
    ratio: int
    plain_mean: float
    biased_mean: float
    plain_variance: float
    biased_variance: float
    quotient: float
    quotient_error: float
    time: float
    gain: float


def drawn(rng: np.random.Generator, model: ResNet, z: Floats, biased: bool) -> tuple[Floats, Floats]:
    """Return the next layer of networks (networks, width), and the logarithms of their weights."""
    n = model.width
    signs = rng.integers(0, 2, z.shape, np.int8) * 2 - 1 if model.variant == "balanced" else np.int8(1)
    active = np.maximum(signs * z, 0.0)
    before = np.einsum("ij,ij->i", z, z)
    sigma = np.sqrt(2.0 / n * np.einsum("ij,ij->i", active, active)) * np.float32(model.lam)
    mean = z * np.float32(model.alpha)
    after = mean + sigma[:, None] * rng.standard_normal(z.shape, np.float32)
    if not biased:
        return after, np.log(np.einsum("ij,ij->i", after, after) / before)
    squares = np.cumsum(mean * mean + sigma[:, None] ** 2, axis=1)
    chosen = (squares < rng.random((len(z), 1), np.float32) * squares[:, -1:]).sum(axis=1)
    chosen = np.minimum(chosen, n - 1)
    rows = np.arange(len(z))
    after[rows, chosen] = size_biased_normals(rng, mean[rows, chosen], sigma)
    return after, np.log(squares[:, -1] / before)


def size_biased_normals(rng: np.random.Generator, mean: Floats, sigma: Floats) -> Floats:
    """Draw from the densities x^2 N(x; m, s^2)/(m^2 + s^2).

    With x = m + s y, (m + s y)^2 <= 2 (m^2 + s^2 y^2): candidates y are normal, or by part s^2/(m^2 + s^2) have the
    density y^2 N(y), and half of them are taken.
    """
    out, left = mean.copy(), np.flatnonzero(sigma > 0.0)
    while len(left):
        m, s = mean[left], sigma[left]
        y = rng.standard_normal(len(left))
        wide = rng.random(len(left)) * (m * m + s * s) < s * s
        y[wide] *= np.sqrt(y[wide] ** 2 + rng.chisquare(2.0, int(wide.sum()))) / np.abs(y[wide])
        x = m + s * y
        taken = rng.random(len(left)) * 2.0 * (m * m + (s * y) ** 2) < x * x
        out[left[taken]] = x[taken]
        left = left[~taken]
    return out


def resampled(rng: np.random.Generator, logs: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the logarithms of the weights' means by population, (P,), and who goes on, systematically."""
    top = logs.max(axis=1, keepdims=True)
    weights = np.exp(logs - top)
    total = np.cumsum(weights, axis=1, dtype=np.float64)
    populations, size = logs.shape
    place = np.arange(populations)[:, None]
    points = (np.arange(size) + rng.random((populations, 1))) / size
    found = np.searchsorted((total / total[:, -1:] + place).ravel(), (points + place).ravel())
    last = (place + 1) * size - 1
    return top[:, 0] + np.log(total[:, -1] / size), np.minimum(found.reshape(logs.shape), last).ravel()


def log_products(rng: np.random.Generator, model: ResNet, populations: int, biased: bool) -> Floats:
    """Return log Z of populations at d/n of `RATIOS`, (ratios, populations)."""
    layers = set(schedule(lower(model), 1.0).tolist())
    asked = [ratio * model.width for ratio in RATIOS]
    parts = []
    for _ in range(-(-populations // TOGETHER)):
        z = rng.standard_normal((TOGETHER * SIZE, model.width), np.float32)
        logs, product, found = np.zeros((TOGETHER, SIZE)), np.zeros(TOGETHER), []
        for layer in range(1, model.depth + 1):
            z, weights = drawn(rng, model, z, biased)
            logs += weights.reshape(logs.shape)
            if layer in layers or layer in asked:
                mean, who = resampled(rng, logs)
                product, z, logs = product + mean, z[who], np.zeros_like(logs)
            if layer in asked:
                found.append(product)
        parts.append(np.stack(found))
    return np.concatenate(parts, axis=1)[:, :populations]


def compared(variant: str, width: int, populations: int, seed: int) -> list[Compared]:
    """Compare both proposals for one network at all ratios."""
    model = ResNet(width, max(RATIOS) * width, HALF, HALF, variant)
    found, seconds = [], []
    for biased in (False, True):
        rng = np.random.default_rng([seed, width, biased])
        began = time.process_time()
        found.append(log_products(rng, model, populations, biased))
        seconds.append(time.process_time() - began)
    variances = [logs.var(axis=1, ddof=1) for logs in found]
    lines = []
    for i, ratio in enumerate(RATIOS):
        quotient, times = float(variances[0][i] / variances[1][i]), seconds[1] / seconds[0]
        means = [float(np.log(np.exp(logs[i]).mean())) for logs in found]
        error = quotient * float(np.sqrt(4.0 / (populations - 1)))  # of two variances of normal numbers
        lines.append(
            Compared(variant, width, ratio, *means, float(variances[0][i]), float(variances[1][i]), quotient, error,
                     times, quotient / times)
        )  # fmt: skip
    return lines


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a table."""
    lines = [
        "# A size-biased proposal for moments\n",
        f"{origin(report)}, {report['seconds']:.0f} s. "
        f"{report['populations']} populations of {SIZE} networks, q = 1, alpha = lam = 1/sqrt(2). A quotient of "
        "variances is how many times the networks the proposal is worth if it costs nothing; the gain divides it by "
        f"that of the times in NumPy. {report['verdict']}\n",
        "| network | n | d/n | log mean, plain | size-biased | variance of log Z, plain | size-biased | quotient | "
        "time | gain |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in (Compared(**one) for one in report["lines"]):
        quotient = format_estimate(row.quotient, row.quotient_error).replace("+-", "±")
        lines.append(
            f"| {row.variant} | {row.width} | {row.ratio} | {row.plain_mean:.3f} | {row.biased_mean:.3f} | "
            f"{row.plain_variance:.4f} | {row.biased_variance:.4f} | {quotient} | {row.time:.2f} | {row.gain:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, and write it."""
    args = options("size_biased", __doc__, "few populations of narrow networks, in seconds").parse_args(arguments)
    populations, widths = (16, (8,)) if args.quick else (128, (24, 40))

    def measure() -> dict[str, Any]:
        lines = [
            line for variant in ("vanilla", "balanced") for width in widths
            for line in compared(variant, width, populations, 0)
        ]  # fmt: skip
        typical = float(np.median([line.quotient for line in lines if line.variant == "vanilla"]))
        word = "pays" if typical >= ENOUGH else "does not pay"
        return {
            "populations": populations,
            "lines": [asdict(line) for line in lines],
            "verdict": f"It {word}: for vanilla networks the median quotient is {typical:.2f}, and {ENOUGH:g} was "
            "asked even if it cost nothing; second moments of balanced networks are exact anyway.",
        }

    return run("size_biased", args, measure, markdown, lines=lambda report: [])


if __name__ == "__main__":
    sys.exit(main())
