"""The command ``resmc simulate``, which simulates one model and prints its quantities with errors and theory."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .._system.reading import reason
from ..models.network import CHOICES
from ..simulation import Simulation, simulate
from .common import add_command, check_output, layer_list, matrix, number, print_json
from .model import add_model_options, model_of

SIMULATE_EXAMPLE = """\
example:
  resmc simulate --width 200 --depth 200 --networks 1e6 --variant vanilla --output run.resmc
  resmc simulate --width 100 --depth 500 --networks 1e4 --block v-phi-w --activation tanh --beta 0.5 --gradients
  resmc simulate --width 100 --depth 20 --networks 1e4 --gram "1,0.5;0.5,1" --tangent-kernel
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand ``simulate``."""
    run = add_command(
        commands,
        "simulate",
        "simulate random networks and print what they say",
        "Simulate independent random residual networks and print every quantity with its error and theory.",
        SIMULATE_EXAMPLE,
    )
    add_model_options(run)
    run.add_argument("--networks", type=number, required=True, help="how many, e.g. 1e6")
    run.add_argument("--seed", type=number, default=0, help="0 to 2^64 - 1 (default: 0)")
    run.add_argument("--first-network", type=number, default=0, help="number of the first network (default: 0)")
    run.add_argument("--method", default="auto", help=f"{', '.join(CHOICES)} (default: auto)")
    run.add_argument("--layers", help="layers to record, as 0,10,20 or START:STOP:STEP (default: up to 513 of them)")
    run.add_argument("--gradients", action="store_true", help="follow the gradient of an output back to layer 0")
    run.add_argument(
        "--displacement",
        action=argparse.BooleanOptionalAction,
        help="follow how far a network goes from its first layer, or do not (default: not in log-Gaussian networks)",
    )
    run.add_argument("--no-correlations", action="store_true", help="leave out the products of A between layers")
    run.add_argument("--keep-samples", type=number, default=0, metavar="K", help="keep the first K networks' ends")
    run.add_argument("--keep-trajectories", type=number, default=0, metavar="K", help="and their paths")
    add_joint_options(run)
    run.add_argument("--device", default="auto", help="cpu, cuda or cuda:N (default: auto, $RESMC_DEVICE or cpu)")
    run.add_argument("--threads", type=number, help="CPU threads (default: all)")
    run.add_argument("--output", type=Path, metavar="FILE", help="save the simulation; resmc.load reads it")
    run.add_argument("--quiet", action="store_true", help="no progress bar")


def add_joint_options(run: argparse.ArgumentParser) -> None:
    """Add the options about several inputs, the tangent kernel and tangents."""
    run.add_argument("--gram", metavar="ROWS", help='inner products of several inputs over n_in, as "1,0.5;0.5,1"')
    run.add_argument("--angle", type=float, metavar="RADIANS", help="two inputs at this angle")
    run.add_argument("--tangent-kernel", action="store_true", help="go back to all weights: the tangent kernel")
    run.add_argument(
        "--independent-backward", action="store_true", help="go back through matrices independent of those forward"
    )
    run.add_argument("--tangents", type=number, default=0, metavar="K", help="the first K Lyapunov exponents")


def run_simulate(args: argparse.Namespace) -> None:
    """Run ``resmc simulate``: simulate, save if asked, and print the table."""
    output = check_output(args.output) if args.output is not None else None
    sim = simulate(
        model_of(args),
        networks=args.networks,
        seed=args.seed,
        first_network=args.first_network,
        method=args.method,
        gradients=args.gradients,
        displacement=args.displacement,
        layers=layer_list(args.layers),
        correlations=not args.no_correlations,
        keep_samples=args.keep_samples,
        keep_trajectories=args.keep_trajectories,
        device=args.device,
        threads=args.threads,
        progress=False if args.quiet else None,
        gram=matrix("gram", args.gram),
        angle=args.angle,
        tangent_kernel=args.tangent_kernel,
        independent_backward=args.independent_backward,
        tangents=args.tangents,
    )
    save_and_print(args, sim, output)


def save_and_print(args: argparse.Namespace, sim: Simulation, output: Path | None) -> None:
    """Save a simulation to ``output``, which is the absolute path of ``--output``, and print its table."""
    failure: OSError | None = None
    if output is not None:
        try:
            sim.save(output)  # saving comes before printing, so that an interrupt cannot lose what was computed
        except OSError as error:  # the table is worth printing even if, say, the disk is full
            failure = error
    saved = output is not None and failure is None
    if args.json:
        from .records import simulation_record

        print_json(args.command, {**simulation_record(sim), "output": str(args.output) if saved else None})
    else:
        print(sim.summary())
        if saved:
            print(f"\nsaved to {args.output}")
    if failure is not None:
        raise OSError(f"output={str(args.output)!r} could not be saved: {reason(failure)}")
