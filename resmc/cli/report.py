"""The command ``resmc report``: a saved simulation, or a sweep's store, as one page for a browser."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..simulation import load
from .common import check_output

REPORT_EXAMPLE = """\
example:
  resmc simulate --width 200 --depth 200 --networks 1e6 --output run.resmc
  resmc report run.resmc --output report.html       # or the directory of a sweep
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand ``report``."""
    report = commands.add_parser(
        "report",
        help="write a simulation or a sweep as one HTML page",
        description="Write one HTML file with the answers in words, figures, all numbers, and the command that gives "
        "the same bits again. It needs nothing from the network. A store is read as it is, finished or not.",
        epilog=REPORT_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    report.add_argument("run", type=Path, metavar="RUN", help="a saved simulation, or a sweep's store")
    report.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the page, as report.html")


def run_report(args: argparse.Namespace) -> None:
    """Run ``resmc report``: read a simulation or a store, and write its page."""
    from ..report import write  # not at the top, because it imports SciPy, which takes long

    check_output(args.output)
    if args.output.suffix not in (".html", ".htm"):
        raise ValueError(f"output={str(args.output)!r} is not allowed: it must end in .html")
    result = read(args.run)
    if sys.stderr.isatty():
        print("resmc: drawing figures and writing the page takes some seconds", file=sys.stderr, flush=True)
    write(result, args.output)
    print(f"written to {args.output}" + ("" if getattr(result, "complete", True) else " (INCOMPLETE)"))


def read(run: Path) -> Any:
    """Read the simulation, or the sweep's result as far as it has come, that lies at ``run``; change nothing there.

    Raises
    ------
    ValueError, OSError
        If ``run`` is neither; the message says what is wrong with it.
    """
    from ..sweep import stored_plan
    from ..sweep.result import collect

    if not run.exists():
        raise ValueError(f"{run} does not exist: give a saved simulation, or the directory of a sweep")
    if run.is_dir():
        return collect(stored_plan(run), run, set_aside=False)
    return load(run)
