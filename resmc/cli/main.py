"""The command ``resmc``: its subcommands, their errors and exit statuses, and ``resmc doctor``."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from typing import Any, NoReturn

from .._system.build import build_info, installed_packages
from .._system.reading import reason
from ..engine import devices
from ..engine import gpus as machine
from . import depth as cli_depth
from . import report as cli_report
from . import saved as cli_saved
from . import simulate as cli_simulate
from . import sweep as cli_sweep
from .common import add_command, print_json
from .signals import polite_end

EXAMPLE = """\
example:
  resmc simulate --width 100 --depth 100 --networks 1e5 --output run.resmc
  resmc show run.resmc
  resmc report run.resmc --output report.html
  resmc regime --width 40 --block v-phi-w --activation tanh
  resmc COMMAND --help                              # options, and an example of each
"""


class Parser(argparse.ArgumentParser):
    """A parser that names a misspelt option and the one that may be meant, and that takes -1e-3 and -1,2 as values."""

    given: Sequence[str] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._negative_number_matcher = re.compile(r"^-\.?\d")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        options = self._options()
        for word in self.given if "required" in message or "unrecognized" in message else ():
            option = word.partition("=")[0]
            if option.startswith("--") and not any(name.startswith(option) for name in options):
                close = difflib.get_close_matches(option, options, 1)
                message = f"unknown option {option}" + (f": did you mean {close[0]}?" if close else "")
                break
        super().error(message)

    def _options(self) -> list[str]:
        """Return the options of this parser and of the subcommand that was given."""
        found = list(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name in set(self.given) & set(action.choices):
                    found += action.choices[name]._option_string_actions
        return found


def parser() -> argparse.ArgumentParser:
    """Build the parser of the command line, with a parser for each subcommand."""
    top = Parser(
        prog="resmc",
        description="Simulate random residual networks, one model or many, and read what was saved.\n"
        "Every command takes --json. The exit status is 0, 2 after an error in a sentence, 130\nafter Ctrl-C.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"resmc {metadata.version('resmc')}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")

    cli_simulate.add_parser(commands)
    cli_depth.add_parsers(commands)
    cli_saved.add_parsers(commands)
    cli_report.add_parser(commands)
    cli_sweep.add_parsers(commands)

    add_command(
        commands,
        "doctor",
        "print versions, instruction sets and devices",
        "Print what this installation is and what it can run on.",
        "example:\n  resmc doctor\n",
    )
    return top


def run_doctor(args: argparse.Namespace) -> None:
    """Run ``resmc doctor``: print versions, instruction sets and devices."""
    info = build_info()
    packages = installed_packages()
    gpus = machine.report()
    if args.json:
        print_json("doctor", {**info, **gpus, "packages": packages})
        return
    print(f"resmc {info['version']}, numerics version {info['numerics_version']}, built with {info['compiler']}")
    sets = ", ".join(
        f"{name} ({lanes} networks per pack{', in use' if name == info['instruction_set'] else ''})"
        for name, lanes in info["networks_per_pack"].items()
    )
    print(f"devices: cpu ({info['threads']} threads on {info['processor']})")
    print(f"instruction sets: {sets}")
    if gpus["architectures"]:
        driver = gpus["driver"] or "not installed"
        print(f"CUDA kernels: built for {gpus['architectures']}, runtime {gpus['runtime']}, driver {driver}")
    for gpu in gpus["gpus"]:
        if "error" in gpu:
            print(f"{gpu['device']}: {gpu['error']}")
            continue
        size = f"{gpu['multiprocessors']} multiprocessors, {gpu['memory'] / 1e9:.0f} GB"
        built = "" if gpu["built"] else ", NO KERNELS BUILT FOR IT"
        print(f"{gpu['device']}: {gpu['name']}, architecture {gpu['architecture']}, {size}{built}")
    try:
        print(f"device='auto': {':'.join(str(x) for x in devices.parse('auto') if x is not None)}")
    except ValueError as error:
        print(f"device='auto': {error}")
    print("device='cuda': " + (f"not available: {gpus['cuda']}" if gpus["cuda"] else "available"))
    print("packages: " + ", ".join(f"{name} {version or 'not installed'}" for name, version in packages.items()))


COMMANDS = {
    "simulate": cli_simulate.run_simulate,
    "doctor": run_doctor,
    "report": cli_report.run_report,
    **cli_depth.COMMANDS,
    **cli_saved.COMMANDS,
    **cli_sweep.COMMANDS,
}


def _output_fails(found: Exception) -> str:
    """Say why standard output does not take what was printed; nothing if it does.

    Without a buffer (PYTHONUNBUFFERED) nothing waits there that could be tried again. Then the error itself tells: all
    others that come here have a sentence as their text, or the name of a file.
    """
    raw = isinstance(found, OSError) and found.strerror is not None and found.filename is None
    try:
        sys.stdout.flush()
        failed = found if raw else None
    except OSError as error:
        failed = error
    if not isinstance(failed, OSError):
        return ""
    _leave_output()
    return f"standard output cannot be written to: {reason(failed)}"


def _leave_output() -> None:
    """Let nobody try again, at the end of the process, to write what standard output did not take."""
    with suppress(OSError):  # an output that a program has put in its place has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; an error prints one sentence and returns 2; no command, the help."""
    top = parser()
    args = top.parse_args(argv)
    if args.command is None:
        top.print_help()
        return 0
    with polite_end(signal.SIGINT):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    try:
        status = COMMANDS[args.command](args) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of our output has gone, as `head` does after its lines
        _leave_output()
        return 141
    except (ValueError, OSError, MemoryError, ImportError, RuntimeError) as error:
        print(f"resmc: {_output_fails(error) or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("resmc: interrupted", file=sys.stderr)
        return 130
