"""The main job: LNR's setting, alpha = lam = 1/sqrt(2), vanilla and balanced, at two sizes.

    python examples/demo.py [--output demo-output] [--networks 1.0] [--page docs/results.md]

Prints a table for each network, and one for the documentation, and leaves a figure (log_gaussian.png) and a data
file (vanilla-200x200.resmc, read by resmc.load).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import resmc
from resmc.results.estimates import Estimate, format_estimate

SIZES = ((100, 10, 1_000_000), (200, 200, 200_000))
VARIANTS = ("vanilla", "balanced")
WEIGHT = 0.5**0.5

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def simulations(scale: float) -> list[resmc.Simulation]:
    """The four simulations, each with a progress bar."""
    sims = []
    for width, depth, networks in SIZES:
        for variant in VARIANTS:
            model = resmc.ResNet(width, depth, WEIGHT, WEIGHT, variant)
            sims.append(resmc.simulate(model, networks=max(int(networks * scale), 1), seed=0))
    return sims


def row(
    name: str,
    estimate: Estimate,
    exact: float | None = None,
    limit: float | None = None,
    second_order: float | None = None,
) -> str:
    """An estimate with its error, the theory beside it, and z against an exact value or the difference from a limit."""
    shown = format_estimate(float(estimate.value), float(estimate.stderr)).replace("+-", "±")
    theory, away, more = "", "", ""
    if exact is not None and np.isfinite(exact):
        theory = f"exact {exact if abs(exact) > 1e-12 else 0.0:.5g}"
        away = f"z = {round(float(estimate.z_score(exact)), 1) + 0.0:+.1f}"
    elif limit is not None:
        theory, away = f"limit {limit:.5g}", f"{float(estimate.value) / limit - 1.0:+.1%}"
        more = f"{second_order:.5g} ({float(estimate.value) / second_order - 1.0:+.1%})"
    elif isinstance(estimate, resmc.KSDistance):
        theory = f"noise {estimate.noise_floor:.1g}"
    return f"| {name} | {shown} | {theory} | {away} | {more} |"


def page_table(sim: resmc.Simulation) -> str:
    """The headline quantities of one simulation as Markdown."""
    fit, hypo = sim.log_gaussian_fit(), sim.hypoactivation()
    inter, growth = sim.interlayer_correlations(), sim.variance_growth()
    m, law, limit, second = sim.model, fit.next_order, hypo.theory, hypo.next_order
    return "\n".join([
        f"## {m.variant.capitalize()}, n = {m.width}, d = {m.depth}",
        "",
        "| quantity | estimate | theory | difference | next order |",
        "|---|---|---|---|---|",
        row("mean of L_d", fit.mean, limit=float(fit.theory.mean[0]), second_order=float(law.mean[0])),
        row("variance of L_d", fit.variance, limit=float(fit.theory.variance[0]), second_order=float(law.variance[0])),
        row("KS of L_d to the log-Gaussian limit", fit.ks_theory),
        row("KS of L_d to infinite width", fit.ks_gaussian_limit),
        row("KS of the output to the log-Gaussian limit", fit.output.ks_log_gaussian),
        row("KS of the output to infinite width", fit.output.ks_gaussian),
        row("E A_d", hypo.asymmetry[-1], hypo.exact_asymmetry[-1], limit.asymmetry[-1], second.asymmetry[-1]),
        row("E F_d", hypo.active_fraction[-1], hypo.exact_active_fraction[-1], limit.active_fraction[-1],
            second.active_fraction[-1]),
        row("Corr(A_l, A_(l+1))", inter.by_lag[1], inter.exact, inter.theory_by_lag[1], inter.next_order_by_lag[1]),
        row("log E\\|z_d\\|²/\\|z_0\\|²", growth.log_second_moment[-1], growth.exact[-1], growth.theory[-1],
            growth.next_order[-1]),
    ])  # fmt: skip


def figure(sims: list[resmc.Simulation], path: Path) -> None:
    """The law of the final log-norm at the larger size: simulated, log-Gaussian limit, infinite width."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(7, 3.2), layout="constrained")
    for ax, sim in zip(fig.subplots(1, len(VARIANTS)), sims[-len(VARIANTS) :], strict=True):
        resmc.plot.plot_log_norm(sim, ax=ax)
        ax.set_title(f"{sim.model.variant}, $n$ = {sim.model.width}, $d$ = {sim.model.depth}")
    fig.savefig(path, dpi=150)


def main() -> None:
    """Simulate, print, and write the figure, the data file and (if asked) the tables of a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder for figure and data")
    parser.add_argument("--networks", type=float, default=1.0, help="times the usual number of networks")
    parser.add_argument("--page", type=Path, help="replace the tables between the markers in this file")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)

    start = time.perf_counter()
    sims = simulations(args.networks)
    seconds = time.perf_counter() - start
    for sim in sims:
        print(sim.summary(), end="\n\n")
    tables = "\n\n".join(map(page_table, sims))
    print(tables)
    info = resmc.build_info()
    print(f"\nsimulations took {seconds:.1f} s with {info['instruction_set']} on {info['threads']} threads")
    picture, data = args.output / "log_gaussian.png", args.output / "vanilla-200x200.resmc"
    figure(sims, picture)
    sims[-2].save(data)
    print(f"figure: {picture}\ndata:   {data}")
    if args.page is not None:
        text = args.page.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        args.page.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except (resmc.DeviceError, OSError) as error:  # no GPU for RESMC_DEVICE, no room for files
        sys.exit(f"demo: {error}")
