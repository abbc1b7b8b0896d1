"""LNR's claim about the output variance, as a sweep: it grows as exp(c d/n) in vanilla ResNets, not in balanced ones.

    python examples/growth.py [--plan examples/growth.toml] [--store growth-store] [--output growth.png]

Minutes on two cores; stopped, the same line goes on. Prints every point and draws a figure: log E|z_d|^2/|z_0|^2 over
d/n, with standard errors as far as the plain mean is reliable (beyond that hollow points without one), the theory at
leading order in 1/n, and the Gaussian limit, which knows no growth at all.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import resmc
from resmc.results.estimates import Estimate


def figure(result: resmc.SweepResult, path: Path) -> None:
    """One panel for each variant, a colour and a marker for each width."""
    from matplotlib.figure import Figure

    variants = result.plan.variant
    fig = Figure(figsize=(7.6, 3.4), layout="constrained")
    axes = fig.subplots(1, len(variants), sharey=True)
    for ax, variant in zip(axes, variants, strict=True):
        resmc.plot.plot_growth(result, sel={"variant": variant}, ax=ax)
    for ax in axes[1:]:  # the first panel's serve for all
        ax.set_ylabel("")
        ax.get_legend().remove()
    fig.savefig(path, dpi=150)


@dataclass(frozen=True)
class Slope:
    """Growth per unit of d/n: simulated, that of the leading order at the same points, and how many are reliable."""

    estimate: Estimate
    limit: float
    points: int


def slope(result: resmc.SweepResult, variant: str, width: int) -> Slope:
    """A weighted line through 0 over the reliable points; no value if there are none."""
    models = result.plan.models
    index = [i for i, m in enumerate(models) if (m.variant, m.width) == (variant, width)]
    growth, limit = result.estimates["growth"].reshape((-1,))[index], result.limits["growth"].ravel()[index]
    x, weight = np.array([models[i].ratio for i in index]), growth.stderr**-2.0
    good = np.isfinite(weight)
    with np.errstate(invalid="ignore"):
        value, theory = (np.sum((weight * x * y)[good]) / np.sum((weight * x * x)[good]) for y in (growth.value, limit))
    stderr = np.sum((weight * x * x)[good]) ** -0.5 if good.any() else np.nan
    return Slope(Estimate(value, stderr, growth.n.sum()), float(theory), int(good.sum()))


def slopes(result: resmc.SweepResult) -> list[str]:
    """The slope of each variant and width, and the limit of large d and n."""
    out = []
    for variant in result.plan.variant:
        model = next(m for m in result.plan.models if m.variant == variant)
        limit = resmc.theory.infinite_depth_and_width(model)
        for width in result.plan.width:
            line = slope(result, variant, width)
            out.append(f"{variant}, n = {width}: {line.estimate} per unit of d/n ({line.points} reliable points; "
                       f"limit {limit.log_second_moment / limit.ratio:.4f})")  # fmt: skip
    return out


def main() -> None:
    """Run the sweep, print it, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", type=Path, default=Path(__file__).with_name("growth.toml"))
    parser.add_argument("--store", type=Path, default=Path("growth-store"), help="directory of the shards")
    parser.add_argument("--output", type=Path, default=Path("growth.png"), help="the figure")
    parser.add_argument("--networks", type=float, default=1.0, help="times the plan's number of networks")
    args = parser.parse_args()
    plan = resmc.Sweep.from_toml(args.plan)
    if args.networks != 1.0:
        if plan.networks is None:
            raise ValueError("--networks is not allowed here: the plan's targets decide on the networks")
        changed = plan.to_dict() | {"networks": max(int(plan.networks * args.networks), 1)}
        plan = resmc.Sweep.from_dict(changed)
    print(plan.estimate(), end="\n\n")
    result = plan.run(args.store)
    print(result.summary(), end="\n\n")
    print("\n".join(slopes(result)))
    figure(result, args.output)
    print(f"\nfigure: {args.output}\nshards: {args.store}")


if __name__ == "__main__":
    try:
        main()
    except (resmc.DeviceError, OSError, ValueError) as error:
        sys.exit(f"growth: {error}")
    except KeyboardInterrupt:
        sys.exit("growth: interrupted; the same command goes on")
