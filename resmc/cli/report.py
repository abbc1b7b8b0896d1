"""The command ``resmc report``: a saved simulation, or a sweep's store, as one page for a browser."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from .common import add_command, check_output
from .saved import print_written, read

REPORT_EXAMPLE = """\
example:
  resmc simulate --width 200 --depth 200 --networks 1e6 --output run.resmc
  resmc report run.resmc --output report.html       # or the directory of a sweep
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand ``report``."""
    report = add_command(
        commands,
        "report",
        "write a simulation or a sweep as one HTML page",
        "Write one HTML file with the answers in words, figures, all numbers, and the command that gives the same bits "
        "again. It needs nothing from the network. A store is read as it is, finished or not.",
        REPORT_EXAMPLE,
    )
    report.add_argument("run", type=Path, metavar="RUN", help="a saved simulation, or the store of a sweep or a map")
    report.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the page, as report.html")


def run_report(args: argparse.Namespace) -> None:
    """Run ``resmc report``: read a simulation or a store, and write its page."""
    from ..report import write  # not at the top, because it imports SciPy, which takes long

    output = check_output(args.output, ".html", ".htm")
    result = read(args.run)
    if sys.stderr.isatty():
        print("resmc: drawing figures and writing the page takes some seconds", file=sys.stderr, flush=True)
    write(result, output)
    print_written(args, args.run, result)
