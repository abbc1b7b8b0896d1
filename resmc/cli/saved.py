"""The commands for saved simulations and for the stores of sweeps: ``resmc show``, ``merge``, ``export``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from .._system.plain import Plain
from .._system.words import are, counted
from ..results.datasets import check_zarr, to_netcdf, to_zarr
from ..results.storage import write_atomically
from ..simulation import Simulation, load, merge
from .common import add_command, as_json, check_folder, check_output, print_json
from .records import kind_of
from .simulate import save_and_print
from .sweep import print_result

SHOW_EXAMPLE = """\
example:
  resmc show run.resmc
  resmc show runs/growth --json                     # every point of a sweep
"""
MERGE_EXAMPLE = """\
example:
  resmc merge part-1.resmc part-2.resmc --output run.resmc
  resmc merge runs/growth runs/growth-from-elsewhere
"""
EXPORT_EXAMPLE = """\
example:
  resmc export run.resmc --output run.csv           # or run.json, run.nc, run.zarr
  resmc export runs/growth --output growth.nc
"""
ENDINGS = (".nc", ".zarr", ".csv", ".json")


def add_parsers(commands: Any) -> None:
    """Add the subcommands that read what was saved."""
    show = add_command(
        commands,
        "show",
        "print a saved simulation or a sweep's results",
        "Print every quantity of a saved simulation, or every point of a sweep as far as it has come, with errors and "
        "theory. Nothing is changed.",
        SHOW_EXAMPLE,
    )
    show.add_argument("run", type=Path, metavar="RUN", help="a saved simulation, or the store of a sweep or a map")

    merging = add_command(
        commands,
        "merge",
        "bring saved simulations, or stores, together",
        "Merge saved simulations of one network, whose ranges of networks do not overlap, into one file, and print it. "
        "Or bring the shards of other stores into the first one, and print the sweep's results.",
        MERGE_EXAMPLE,
    )
    merging.add_argument("run", type=Path, metavar="RUN", help="a saved simulation, or a store that gains shards")
    merging.add_argument("others", type=Path, nargs="*", metavar="OTHER", help="simulations to add; or other stores")
    merging.add_argument("-o", "--output", type=Path, metavar="FILE", help="the merged simulation; not with stores")

    export = add_command(
        commands,
        "export",
        "write results as netCDF, Zarr, CSV or JSON",
        "Write every quantity of a saved simulation, or of every point of a sweep or of a map over H and beta (before "
        "training or after), with its standard error and theory: "
        "as one labelled data set (.nc, .zarr), or as one table (.csv, .json).",
        EXPORT_EXAMPLE,
    )
    export.add_argument("run", type=Path, metavar="RUN", help="a saved simulation, or the store of a sweep or a map")
    export.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="ends in .nc, .zarr, .csv or .json"
    )
    export.add_argument(
        "--laws", action="store_true", help="Kolmogorov-Smirnov distances as well (30 ms a point of a sweep)"
    )


def read(run: Path) -> Any:
    """Read the simulation, or a sweep's result or heat map as far as it has come, at ``run``; change nothing there.

    Raises
    ------
    ValueError, OSError
        If ``run`` is neither; the message says what is wrong with it.
    """
    if not run.exists():
        raise ValueError(f"{run} does not exist: give a saved simulation, or the directory of a sweep")
    if run.is_dir():
        from ..sweep import load_stored

        return load_stored(run, set_aside=False)
    return load(run)


def run_show(args: argparse.Namespace) -> None:
    """Run ``resmc show``: print a simulation or a sweep's result."""
    result = read(args.run)
    if isinstance(result, Simulation):
        save_and_print(args, result, None)
    else:
        print_result(args, result)


def run_merge(args: argparse.Namespace) -> None:
    """Run ``resmc merge``: merge files into one, or bring other stores' shards into the first."""
    runs = [args.run, *args.others]
    files, folders = [p for p in runs if p.is_file()], [p for p in runs if p.is_dir()]
    if files and folders:
        raise ValueError(
            f"{folders[0]} is not allowed beside {files[0]}: merge takes saved simulations, or stores of sweeps"
        )
    if files or (args.output is not None and not folders):
        _merge_files(args, runs)
    elif args.output is not None:
        raise ValueError(
            f"--output is not allowed with stores of sweeps: the shards of the others are brought into {args.run}"
        )
    else:
        _merge_stores(args)


def _merge_files(args: argparse.Namespace, runs: list[Path]) -> None:
    if args.output is None:
        raise ValueError("--output is missing: say where the merged simulation shall be saved")
    output = check_output(args.output)
    save_and_print(args, merge(*(read(run) for run in runs)), output)


def _merge_stores(args: argparse.Namespace) -> None:
    from ..sweep import any_stored_plan, load_stored
    from ..sweep.manage import join, other_plans, status

    if args.others:
        new = join(args.run, args.others)
        print(f"{counted(new, 'shard')} brought into {args.run}", file=sys.stderr)
        plan = any_stored_plan(args.run)
        for words in other_plans(args.run, args.others):
            print(words, file=sys.stderr)
        if unused := status(plan, args.run).of_other_plans:
            said = f"{counted(unused, 'shard')} there {are(unused)} not used by its plan: run one that has them"
            print(said, file=sys.stderr)
    print_result(args, load_stored(args.run))


def run_export(args: argparse.Namespace) -> None:
    """Run ``resmc export``: write a result as netCDF, Zarr, CSV or JSON."""
    output, ending = args.output, args.output.suffix
    if ending not in ENDINGS:
        allowed = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
        raise ValueError(f"output={str(output)!r} is not allowed: it must end in {allowed}")
    if ending == ".zarr":
        check_folder(output)
        check_zarr(output)
        output = output.absolute()
    else:
        output = check_output(output)
    if args.laws and ending in (".csv", ".json"):
        raise ValueError(f"--laws is not allowed with {ending}: a table has no distances; .nc and .zarr have")
    result = read(args.run)
    if args.laws and kind_of(result) not in ("simulation", "sweep"):
        raise ValueError(f"--laws is not allowed with a {kind_of(result)}, which has no laws")
    given: Plain = {"laws": True} if args.laws else {}
    if ending in (".nc", ".zarr"):
        (to_netcdf if ending == ".nc" else to_zarr)(result.to_xarray(**given), output)
    else:
        write_atomically(_table_file(result, ending).encode(), output)
    print_written(args, args.run, result)


def _table_file(result: Any, ending: str) -> str:
    """Return the table of a result as a file: CSV, or JSON with the model or the plan above the rows."""
    frame = result.to_dataframe()
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    if ending == ".csv":
        return str(frame.to_csv(index=False))
    from .records import record_of

    listed = ("quantities", "points", "rows", "store")
    head = {name: value for name, value in record_of(result).items() if name not in listed}
    return as_json("export", {**head, "rows": frame.to_dict("records")}) + "\n"


def print_written(args: argparse.Namespace, run: Path, result: Any) -> None:
    """Say that ``--output`` was written from a result, and whether that is a sweep without all of its networks."""
    complete = bool(getattr(result, "complete", True))
    if args.json:
        found = {"kind": kind_of(result), "run": str(run), "output": str(args.output), "complete": complete}
        print_json(args.command, found)
    else:
        said = "" if isinstance(result, Simulation) or args.command == "report" else f"{result}\n"
        print(f"{said}written to {args.output}" + ("" if complete else " (INCOMPLETE)"))


COMMANDS = {"show": run_show, "merge": run_merge, "export": run_export}
