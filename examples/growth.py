"""LNR's claim about the output variance, as a sweep: it grows as exp(c d/n) in vanilla ResNets, not in balanced ones.

    python examples/growth.py [--plan examples/growth.toml] [--store growth-store] [--output growth.png]

Minutes on two cores; stopped, the same line goes on. Prints every point and draws a figure: log E|z_d|^2/|z_0|^2 over
d/n, with standard errors as far as the plain mean is reliable (beyond that hollow points without one), the theory at
leading order in 1/n, and the Gaussian limit, which knows no growth at all.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import resmc

COLOURS = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a")
MARKERS = "osD^"


def figure(result: resmc.SweepResult, path: Path) -> None:
    """One panel for each variant, a colour and a marker for each width."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    data = result.to_xarray()
    variants = data["variant"].values
    fig, axes = plt.subplots(1, len(variants), figsize=(9, 3.6), sharey=True, layout="constrained")
    for ax, variant in zip(np.atleast_1d(axes), variants, strict=True):
        ax.axhline(0.0, color="0.3", ls="--", label="Gaussian limit: no growth")
        for width, colour, marker in zip(data["width"].values, COLOURS, MARKERS, strict=False):
            d = data.sel(width=width, variant=variant)
            x = d["ratio_rounded"].values
            y, stderr = d["log_second_moment"].values, d["log_second_moment_stderr"].values
            good = d["log_second_moment_reliable"].values
            style = {"color": colour, "marker": marker, "ls": "", "ms": 4}
            ax.errorbar(x[good], y[good], stderr[good], capsize=2, label=f"n = {width}", **style)
            ax.plot(x[~good], y[~good], mfc="white", **style)
            ax.plot(x, d["log_second_moment_theory"].values, color=colour, lw=1)
        ax.set(title=variant, xlabel="d / n")
    first = np.atleast_1d(axes)[0]
    first.set_ylabel(r"log E$|z_d|^2/|z_0|^2$")
    first.legend(frameon=False, fontsize=8, title="lines: leading order in 1/n", title_fontsize=8)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def slopes(result: resmc.SweepResult) -> list[str]:
    """Growth per unit of d/n: a weighted line through 0 over the reliable points, and the theory's."""
    data, out = result.to_xarray(), []
    for variant in data["variant"].values:
        d = data.sel(variant=variant)
        model = next(m for m in result.plan.models if m.variant == variant)
        limit = resmc.theory.infinite_depth_and_width(model)
        for width in data["width"].values:
            e = d.sel(width=width)
            good = e["log_second_moment_reliable"].values
            x, y = e["ratio_rounded"].values[good], e["log_second_moment"].values[good]
            weight = e["log_second_moment_stderr"].values[good] ** -2.0
            slope, stderr = np.sum(weight * x * y) / np.sum(weight * x * x), np.sum(weight * x * x) ** -0.5
            shown = resmc.estimates.format_estimate(float(slope), float(stderr))
            out.append(f"{variant}, n = {width}: {shown} per unit of d/n ({good.sum()} reliable points; "
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
