"""The commands ``resmc regime`` and ``resmc limit``: networks of growing depth, and the equation that they tend to.

Both questions need SciPy, which takes long to import; commands therefore import `resmc.experiments` when they run.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..models.network import CHOICES
from .common import add_command, check_output, entries, number, print_json
from .model import add_model_options, residual_network_of

REGIME_EXAMPLE = """\
example:
  resmc regime --width 40 --block v-phi-w --activation tanh --beta 0.5
  resmc regime --width 40 --beta 1 --depths 10,30,100,300 --networks 500
"""
LIMIT_EXAMPLE = """\
example:
  resmc limit --width 20 --block v-phi-w --activation tanh --c 0.5 --networks 1000 --steps 100
"""


def add_parsers(commands: Any) -> None:
    """Add the subcommands ``regime`` and ``limit``."""
    regime = add_command(
        commands,
        "regime",
        "say what a network does as its depth grows",
        "Simulate a network at several depths L, and say whether it explodes as L grows, tends to the identity, or "
        "does neither (non-trivial), forwards and backwards, with the evidence.",
        REGIME_EXAMPLE,
    )
    add_model_options(regime, depth=False)
    regime.add_argument("--depths", metavar="LIST", help="four or more (default: 10,30,100,300,1000)")
    regime.add_argument("--networks", type=number, help="how many at each depth (default: 2000)")
    regime.add_argument("--seed", type=number, help="0 to 2^64 - 1 (default: 0)")
    regime.add_argument("--method", help=f"{', '.join(CHOICES)} (default: auto)")
    regime.add_argument("--threshold", type=float, help="smaller slopes in ln L count as none (default: 0.05)")
    regime.add_argument("--device", help="cpu, cuda or cuda:N (default: auto, $RESMC_DEVICE or cpu)")
    regime.add_argument("--threads", type=number, help="CPU threads (default: all)")
    regime.add_argument("--output", type=Path, metavar="FILE", help="write a page with figures, as regime.html")
    regime.add_argument("--quiet", action="store_true", help="no progress bar")

    limit = add_command(
        commands,
        "limit",
        "simulate what a network tends to as its depth grows",
        "Simulate the equation that a network of fixed width tends to as its depth grows, and print every quantity "
        "with its standard error: for independent weights (beta 0.5, carry 1) a stochastic one, with the error of the "
        "grid; for weights that are smooth in depth (beta 1) an ordinary one for each network, and how networks tend "
        "to it.",
        LIMIT_EXAMPLE,
    )
    add_model_options(limit, depth=False)
    limit.add_argument("--networks", type=number, help="how many (default: 10000 with independent weights)")
    limit.add_argument("--seed", type=number, help="0 to 2^64 - 1 (default: 0)")
    limit.add_argument("--steps", type=number, help="steps of the fine grid, even (default: 400)")
    limit.add_argument("--depths", metavar="LIST", help="depths of networks to compare with their own equations")
    limit.add_argument("--h0", metavar="LIST", help="a start that all networks share, a number for each neuron")
    limit.add_argument("--no-gradients", action="store_true", help="leave the backward pass out")
    limit.add_argument("--quiet", action="store_true", help="no progress bar")


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the options that were given, by name; the others have the defaults of the Python function."""
    found = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return found | {"progress": False if args.quiet else None}


def run_regime(args: argparse.Namespace) -> None:
    """Run ``resmc regime``: simulate several depths, print the verdicts, and write the page if asked."""
    from ..experiments.regime import regime

    output = None
    if args.output is not None:
        output = check_output(args.output, ".html", ".htm")
        from ..report.page import need_extra

        need_extra()
    given = _given(args, "networks", "seed", "method", "threshold", "device", "threads")
    if args.depths is not None:
        given["depths"] = entries("depths", args.depths, number, "10,30,100")
    found = regime(residual_network_of(args), **given)
    failure: Exception | None = None
    if output is not None:
        from .. import report

        page: Any = found
        try:
            report.write(page, output)
        except (OSError, ValueError) as error:  # the verdicts are worth printing even if, say, the disk is full
            failure = error
    written = output is not None and failure is None
    if args.json:
        from .records import regime_record

        print_json(args.command, {**regime_record(found), "output": str(args.output) if written else None})
    else:
        print(found.summary())
        if written:
            print(f"\nwritten to {args.output}")
    if failure is not None:
        raise failure


def run_limit(args: argparse.Namespace) -> None:
    """Run ``resmc limit``: simulate the limit in depth, and print its quantities."""
    from ..experiments.limit import limit

    given = _given(args, "networks", "seed", "steps")
    if args.depths is not None:
        given["depths"] = entries("depths", args.depths, number, "128,256,512")
    if args.h0 is not None:
        given["h0"] = entries("h0", args.h0, float, "0.5,-1,2")
    found = limit(residual_network_of(args), gradients=not args.no_gradients, **given)
    if args.json:
        from .records import limit_record

        print_json(args.command, limit_record(found))
    else:
        print(found.summary())


COMMANDS = {"regime": run_regime, "limit": run_limit}
