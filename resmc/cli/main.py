"""The command ``resmc``: simulations from a terminal, and what this installation can do."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

from .. import build_info, simulate
from ..engine import devices
from ..engine.simulate import METHODS
from ..models.resnet import VARIANTS
from . import report as cli_report
from . import sweep as cli_sweep

SIMULATE_EXAMPLE = """\
example:
  resmc simulate --width 200 --depth 200 --networks 1e6 --variant vanilla --output run.resmc
"""
EXAMPLE = """\
example:
  resmc simulate --width 100 --depth 100 --networks 1e5 --output run.resmc
  resmc report run.resmc --output report.html
  resmc COMMAND --help                              # options, and an example of each
"""


def number(text: str) -> int:
    """An integer, also as 1e6."""
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not value.is_integer():
            raise
        return int(value)


number.__name__ = "integer"  # what argparse calls it in its messages


class Parser(argparse.ArgumentParser):
    """One that names a misspelt option before it complains that the right one is missing."""

    given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        for word in self.given:
            option = word.partition("=")[0]
            known = any(name.startswith(option) for name in self._option_string_actions)
            if option.startswith("--") and not known and "required" in message:
                close = difflib.get_close_matches(option, self._option_string_actions, 1)
                message = f"unknown option {option}" + (f": did you mean {close[0]}?" if close else "")
        super().error(message)


def parser() -> argparse.ArgumentParser:
    """The command line, by subcommand."""
    top = Parser(
        prog="resmc", description="Simulate random ResNets, one model or many; see what this installation can do.",
        epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    top.add_argument("--version", action="version", version=f"resmc {metadata.version('resmc')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

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

    cli_sweep.add_parsers(commands)
    cli_report.add_parser(commands)

    doctor = commands.add_parser(
        "doctor",
        help="print versions, instruction sets and devices",
        description="Print what this installation is and what it can run on.",
        epilog="example:\n  resmc doctor\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument("--json", action="store_true", help="print it as JSON")
    return top


def layer_list(text: str | None) -> list[int] | None:
    """``0,10,20`` or ``START:STOP:STEP`` (as in Python, any of them may be left out but STOP) as a list."""
    if text is None:
        return None
    try:
        if ":" in text:
            start, stop, step = (int(p) if p else None for p in (*text.split(":"), "")[:3])
            return list(range(start or 0, stop or 0, 1 if step is None else step))
        return [int(p) for p in text.split(",")]
    except ValueError:
        raise ValueError(f"layers={text!r} is not allowed: it must look like 0,10,20 or 0:201:10") from None


def check_output(path: Path | None) -> None:
    """Refuses what could not be written to, before hours are spent on it."""
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"output={str(path)!r} is not allowed: it is a folder")
    check_folder(path)


def check_folder(path: Path) -> None:
    """Refuses what lies in a folder that is not there, or cannot be written to."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ValueError(f"output={str(path)!r} is not allowed: its folder does not exist")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"output={str(path)!r} is not allowed: its folder cannot be written to")


def run_simulate(args: argparse.Namespace) -> None:
    """The subcommand ``simulate``."""
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
            sim.save(args.output)  # before anything is printed: what was computed is safe first
        except OSError as error:  # a full disk, say: the table is still worth printing
            failure = error
    if args.json:
        from ..analyses.summary import table

        result: dict[str, Any] = {
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


def run_doctor(args: argparse.Namespace) -> None:
    """The subcommand ``doctor``."""
    from .._system.build import installed_packages

    info = build_info()
    packages = installed_packages()
    gpus = devices.report()
    if args.json:
        print(json.dumps({**info, **gpus, "packages": packages}, indent=1))
        return
    print(f"resmc {info['version']}, numerics version {info['numerics_version']}, built with {info['compiler']}")
    sets = ", ".join(
        f"{name} ({lanes} networks per pack{', in use' if name == info['instruction_set'] else ''})"
        for name, lanes in info["networks_per_pack"].items()
    )
    print(f"devices: cpu ({info['threads']} threads on {info['processor']})")
    print(f"instruction sets: {sets}")
    if gpus["architectures"]:
        print(f"CUDA kernels: built for {gpus['architectures']}, runtime {gpus['runtime']}, "
              f"driver {gpus['driver'] or 'not installed'}")  # fmt: skip
    for gpu in gpus["gpus"]:
        if "error" in gpu:
            print(f"{gpu['device']}: {gpu['error']}")
            continue
        built = "" if gpu["built"] else ", NO KERNELS BUILT FOR IT"
        print(f"{gpu['device']}: {gpu['name']}, architecture {gpu['architecture']}, "
              f"{gpu['multiprocessors']} multiprocessors, {gpu['memory'] / 1e9:.0f} GB{built}")  # fmt: skip
    try:
        print(f"device='auto': {':'.join(str(x) for x in devices.parse('auto') if x is not None)}")
    except ValueError as error:
        print(f"device='auto': {error}")
    print("device='cuda': " + (f"not available: {gpus['cuda']}" if gpus["cuda"] else "available"))
    print("packages: " + ", ".join(f"{name} {version or 'not installed'}" for name, version in packages.items()))


COMMANDS = {
    "simulate": run_simulate,
    "doctor": run_doctor,
    "report": cli_report.run_report,
    **cli_sweep.COMMANDS,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; errors are sentences, and the exit status 2."""
    args = parser().parse_args(argv)
    try:
        COMMANDS[args.command](args)
    except BrokenPipeError:  # whoever read our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, MemoryError, ImportError, RuntimeError) as error:
        print(f"resmc: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("resmc: interrupted", file=sys.stderr)
        return 130
    return 0
