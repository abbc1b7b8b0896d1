r"""The output variance of a vanilla ResNet grows exponentially in d/n; that of a balanced one not at all.

The growth $\log E|z_d|^2/|z_0|^2$ tends to $(\lambda^4/n) \sum_{m < d} \sum_{k \le m} K(\alpha^k)$, about $c\, d/n$,
for $\alpha^2 + \lambda^2 = 1$ (`resmc.theory.variance_growth`, $K$ is `resmc.theory.growth_kernel`, $c$ is
`log_second_moment`/`ratio` of `resmc.theory.infinite_depth_and_width`). It is exactly 0 for balanced networks, and 0 at
infinite width. A sweep in small; `examples/growth.py` is the same with more networks.

    python examples/gallery/d_growth.py [--networks 1.0] [--seed 0] [--output d_growth.png] [--store DIRECTORY]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import common
from common import WEIGHT, Finding

import resmc

sys.path.append(str(Path(__file__).resolve().parents[1]))
from growth import figure, slope

CLAIM = "log E|z_d|²/|z_0|² grows in proportion to d/n: per unit of d/n, over d/n = 1/4 to 1"
NETWORKS = 150_000
WIDTHS, RATIOS, VARIANTS = (40, 80, 160), (0.25, 0.5, 0.75, 1), ("vanilla", "balanced")


def simulate(args: argparse.Namespace, store: Path) -> resmc.SweepResult:
    """Every point with a seed of its own, kept in ``store``."""
    networks = max(int(NETWORKS * args.networks), 1)
    plan = resmc.Sweep(width=WIDTHS, ratio=RATIOS, alpha=WEIGHT, lam=WEIGHT, variant=VARIANTS, networks=networks,
                       seed=args.seed)  # fmt: skip
    return plan.run(store)


def findings(result: resmc.SweepResult) -> list[Finding]:
    """The slope of each width and variant, beside that of the leading order at the same points, or the exact 0."""
    found = []
    for variant in VARIANTS:
        for width in WIDTHS:
            line = slope(result, variant, width)
            beside = ("limit", line.limit) if variant == "vanilla" else ("exact", 0.0)
            found.append(Finding.of(f"{variant}, n = {width}", line.estimate, *beside))
    return found


def sentence(result: resmc.SweepResult, found: list[Finding]) -> str:
    """Which of them grow."""
    shown = []
    for one in found:
        errors = one.value / one.stderr
        shown.append(f"{one.name}: {one}, {common.word(errors, 'it falls', 'it grows', 'no clear growth')}")
    whole = resmc.theory.infinite_depth_and_width(result.plan.models[0])
    return (
        f"Per unit of d/n, log E|z_d|^2/|z_0|^2 changes by ({'; '.join(shown)}). "
        f"For vanilla networks the limit of large d and n is {whole.log_second_moment / whole.ratio:.4f}."
    )


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    parser = common.arguments(__doc__, "d_growth.png")
    parser.add_argument("--store", type=Path, help="directory that keeps the sweep; a temporary one by default")
    args = parser.parse_args(given)
    with tempfile.TemporaryDirectory() as folder:
        result = simulate(args, args.store or Path(folder) / "store")
        found = findings(result)
        print(sentence(result, found))
        figure(result, args.output)
    print(f"figure: {args.output}")
    return found


if __name__ == "__main__":
    common.run(main)
