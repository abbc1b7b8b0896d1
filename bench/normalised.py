"""``python -m bench.normalised``: how do networks behind a layer norm grow with their depth, and does d/n matter?

Relu, phi-in, h + s V relu(N h) with s^2 = 2 and layer norm (pre), n = 32 and 128, L = 10 to 1000: the mean square
E|h_L|^2/n, which is 1 + s^2 L/2 to leading order in 1/n, and Var log|h_L|^2, both to 1%. A line through n Var over d/n
says how much it could grow: its slope's upper bound (95%) stands beside what the variance has for each d/n in the same
networks without a norm. A few minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import resmc

from .machine import commit, cpu_model

RESULTS = Path(__file__).parent / "results"
WIDTHS, DEPTHS = (32, 128), (10, 30, 100, 300, 1000)
SCALING, WANTED, NORMAL_95 = resmc.DepthScaling(0.0, math.sqrt(2.0)), 0.01, 1.645


def network(width: int, depth: int, norm: str | None = "layer") -> resmc.ResidualNetwork:
    """Return the network of a row; without a norm it is He's with a skip, whose branch doubles the mean square."""
    return resmc.ResidualNetwork(width, depth, "phi-in", "relu", scaling=SCALING, norm=norm)


def rows(networks: int, seed: int, threads: int | None, progress: bool) -> list[dict[str, Any]]:
    """Simulate all networks; a row for each width and depth."""
    found = []
    for width in WIDTHS:
        for depth in DEPTHS:
            sim = resmc.simulate(
                network(width, depth), networks=networks, seed=seed + depth, layers=[depth], threads=threads,
                progress=progress,
            )  # fmt: skip
            mean, variance = sim.estimate("mean_square"), sim.estimate("log_norm.variance")
            found.append(
                {
                    "width": width,
                    "depth": depth,
                    "mean_square": math.exp(mean.value[-1]),
                    "mean_square_error": math.exp(mean.value[-1]) * float(mean.stderr[-1]),
                    "leading_order": 1.0 + depth,
                    "variance": float(variance.value[-1]),
                    "variance_error": float(variance.stderr[-1]),
                }
            )
    return found


def slope(found: list[dict[str, Any]]) -> tuple[float, float]:
    """Return the slope of n Var over d/n, with an intercept for each width, and its standard error."""
    ratios = np.array([row["depth"] / row["width"] for row in found])
    widths = np.array([row["width"] for row in found])
    y = np.array([row["variance"] for row in found]) * widths
    error = np.array([row["variance_error"] for row in found]) * widths
    columns = np.stack([ratios, *[(widths == width) * 1.0 for width in sorted(set(widths.tolist()))]], axis=1)
    design = columns / error[:, None]
    covariance = np.linalg.inv(design.T @ design)
    return float((covariance @ design.T @ (y / error))[0]), float(math.sqrt(covariance[0, 0]))


def main() -> int:
    """Simulate, print a table and write it to bench/results; 1 if an error is not below 1%."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=22)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--output", type=Path, default=RESULTS / "normalised.json")
    given = parser.parse_args()
    found = rows(given.networks, given.seed, given.threads, False)
    for row in found:
        of_mean, of_variance = row["mean_square_error"] / row["mean_square"], row["variance_error"] / row["variance"]
        print(
            f"n {row['width']:4d}  L {row['depth']:5d}  d/n {row['depth'] / row['width']:7.3f}  "
            f"E|h|^2/n {row['mean_square']:9.3f} ({of_mean:.2%})  of 1 + s^2 L/2 "
            f"{row['mean_square'] / row['leading_order']:.4f}  n Var {row['width'] * row['variance']:.4f} "
            f"({of_variance:.2%})"
        )
    late = [row for row in found if row["depth"] >= 100]
    value, error = slope(late)
    bound = value + NORMAL_95 * error
    bare = resmc.simulate(
        network(128, 300, None), networks=4096, seed=given.seed, layers=[300], threads=given.threads, progress=False
    )
    without = float(bare.estimate("log_norm.variance").value[-1]) / (300 / 128)
    print(f"slope of n Var over d/n from L = 100 on: {value:.4f} +- {error:.4f}, at most {bound:.4f} (95%)")
    print(f"so Var grows by at most {bound / 128:.1e} d/n at n = 128; without a norm by {without:.2f} d/n")
    record = {
        "command": f"python -m bench.normalised --networks {given.networks} --seed {given.seed}",
        "commit": commit(),
        "cpu": cpu_model(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "networks": given.networks,
        "rows": found,
        "slope": value,
        "slope_error": error,
        "slope_bound": bound,
        "without_norm": without,
    }
    given.output.write_text(json.dumps(record, indent=2) + "\n")
    errors = [row[name + "_error"] / row[name] for row in found for name in ("mean_square", "variance")]
    return int(max(errors) > WANTED)


if __name__ == "__main__":
    raise SystemExit(main())
