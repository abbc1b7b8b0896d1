"""The command ``resmc simulate``, which simulates one model and prints its quantities with errors and theory."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .._system.plain import Plain
from ..models.network import METHODS
from ..models.resnet import VARIANTS
from ..simulation import simulate
from .common import check_output, layer_list, number

SIMULATE_EXAMPLE = """\
example:
  resmc simulate --width 200 --depth 200 --networks 1e6 --variant vanilla --output run.resmc
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand ``simulate``."""
    run = commands.add_parser(
        "simulate",
        help="simulate random networks and print what they say",
        description="Simulate independent random ResNets and print every quantity with its error and theory.",
        epilog=SIMULATE_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--width", type=number, required=True, help="neurons per layer, n")
    run.add_argument("--depth", type=number, required=True, help="residual layers, d")
    run.add_argument("--networks", type=number, required=True, help="how many, e.g. 1e6")
    run.add_argument("--alpha", type=float, default=0.5**0.5, help="weight of the skip (default: 1/sqrt(2))")
    run.add_argument("--lam", type=float, default=0.5**0.5, help="weight of the residual branch (default: 1/sqrt(2))")
    run.add_argument("--variant", default="vanilla", help=f"{', '.join(VARIANTS)} (default: vanilla)")
    run.add_argument("--n-out", type=number, default=1, help="output neurons (default: 1)")
    run.add_argument("--input-norm", type=float, default=1.0, help="|x|/sqrt(n_in) (default: 1)")
    run.add_argument("--seed", type=number, default=0, help="0 to 2^64 - 1 (default: 0)")
    run.add_argument("--first-network", type=number, default=0, help="number of the first network (default: 0)")
    run.add_argument("--method", default="projected", help=f"{' or '.join(METHODS)} (default: projected)")
    run.add_argument("--layers", help="layers to record, as 0,10,20 or START:STOP:STEP (default: up to 513 of them)")
    run.add_argument("--gradients", action="store_true", help="follow the gradient of an output back to layer 0")
    run.add_argument("--displacement", action="store_true", help="follow how far a network goes from its first layer")
    run.add_argument("--no-correlations", action="store_true", help="leave out the products of A between layers")
    run.add_argument("--keep-samples", type=number, default=0, metavar="K", help="keep the first K networks' ends")
    run.add_argument("--keep-trajectories", type=number, default=0, metavar="K", help="and their paths")
    run.add_argument("--device", default="auto", help="cpu, cuda or cuda:N (default: auto, $RESMC_DEVICE or cpu)")
    run.add_argument("--threads", type=number, help="CPU threads (default: all)")
    run.add_argument("--output", type=Path, metavar="FILE", help="save the simulation; resmc.load reads it")
    run.add_argument("--json", action="store_true", help="print the table as JSON")
    run.add_argument("--quiet", action="store_true", help="no progress bar")


def run_simulate(args: argparse.Namespace) -> None:
    """Run ``resmc simulate``: simulate, save if asked, and print the table."""
    check_output(args.output)
    model = {name: getattr(args, name) for name in ("width", "depth", "alpha", "lam", "variant", "n_out", "input_norm")}
    sim = simulate(
        **model,
        networks=args.networks,
        seed=args.seed,
        first_network=args.first_network,
        method=args.method,
        gradients=args.gradients,
        displacement=args.displacement or None,
        layers=layer_list(args.layers),
        correlations=not args.no_correlations,
        keep_samples=args.keep_samples,
        keep_trajectories=args.keep_trajectories,
        device=args.device,
        threads=args.threads,
        progress=False if args.quiet else None,
    )
    failure: OSError | None = None
    if args.output is not None:
        try:
            sim.save(args.output)  # saving comes before printing, so that an interrupt cannot lose what was computed
        except OSError as error:  # the table is worth printing even if, say, the disk is full
            failure = error
    if args.json:
        from ..analyses.summary import table  # not at the top, because it imports SciPy, which takes long

        result: Plain = {
            "model": sim.model.to_dict(),
            "networks": sim.networks,
            "seed": sim.seed,
            "method": sim.method,
            "numerics": list(sim.numerics),
            "quantities": table(sim).records(),
        }
        print(json.dumps(result, indent=1))
    else:
        print(sim.summary())
        if args.output is not None and failure is None:
            print(f"\nsaved to {args.output}")
    if failure is not None:
        raise OSError(f"output={str(args.output)!r} could not be saved: {failure.strerror}")
