"""The commands that run sweeps: ``resmc sweep``, ``worker``, ``status``.

A sweep needs SciPy, which takes long to import; commands therefore import `resmc.sweep` when they run, not before.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .._system.words import counted
from .common import add_command, print_json, terminal_width
from .signals import polite_end

DASK_TIMEOUT = 10  # seconds that a scheduler has to answer

WEIGHTS_IN_TOML = 'weights = ["gaussian", {depth = {process = "fractional_noise", hurst = 0.3}}]'

SWEEP_EXAMPLE = f"""\
example, growth.toml:
  width = [50, 100, 200, 400]
  ratio = [0.25, 0.5, 1, 2]        # depth / width
  alpha = 0.7071067811865476
  lam = 0.7071067811865476
  variant = ["vanilla", "balanced"]
  networks = 1e6

  resmc sweep growth.toml --estimate
  resmc sweep growth.toml --store runs/growth       # interrupted? the same again goes on

Any residual network has its fields as keys, too, in place of alpha, lam and variant:
  block = "v-phi-w"
  {WEIGHTS_IN_TOML}

A store has one plan. Another is refused unless it extends that one (more points, more networks), or with --replace.
"""
WORKER_EXAMPLE = """\
example, on any number of machines that share the directory; examples/job_array.sh does it under SLURM:
  resmc sweep growth.toml --store runs/growth --prepare
  resmc worker runs/growth
"""
STATUS_EXAMPLE = """\
example:
  resmc status runs/growth
"""


def add_parsers(commands: Any) -> None:
    """Add the subcommands that concern sweeps."""

    def add_engine(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--workers", type=int, help="shards at a time (default: one to a core, or to a GPU)")
        parser.add_argument("--threads", type=int, help="CPU threads of each (default: the cores are shared)")
        parser.add_argument(
            "--device", default="auto", help="cpu, cuda or cuda:N (default: auto, $RESMC_DEVICE or cpu)"
        )
        parser.add_argument("--quiet", action="store_true", help="no progress")

    sweep = add_command(
        commands,
        "sweep",
        "simulate many models into a store",
        "Run the plan in a TOML file into a store of shards, and print every point. What is there already is not "
        "computed again.",
        SWEEP_EXAMPLE,
    )
    sweep.add_argument("plan", type=Path, metavar="PLAN.toml", help="the arguments of resmc.Sweep as keys")
    sweep.add_argument("--weights", help=argparse.SUPPRESS)  # the refusal says how a file has them
    sweep.add_argument("--store", type=Path, metavar="DIR", help="directory of the shards; made if missing")
    sweep.add_argument("--estimate", action="store_true", help="say what it would cost, and do nothing")
    sweep.add_argument("--prepare", action="store_true", help="only write the plan into the store, for `resmc worker`")
    sweep.add_argument(
        "--replace", action="store_true", help="put this plan in the place of the store's; shards and old plan are kept"
    )
    sweep.add_argument("--processes", action="store_true", help="workers are processes, one to a GPU, not threads")
    sweep.add_argument("--dask", metavar="ADDRESS", help="work on the Dask cluster with this scheduler")
    add_engine(sweep)

    worker = add_command(
        commands,
        "worker",
        "help with the sweep in a store",
        "Compute what is missing in a store, together with any number of other workers, until all is there. May be "
        "stopped and started at will.",
        WORKER_EXAMPLE,
    )
    worker.add_argument("store", type=Path, metavar="STORE", help="a store that `resmc sweep` has prepared or begun")
    add_engine(worker)

    status = add_command(
        commands,
        "status",
        "say how far a sweep is",
        "Verify every shard and say what is there, what is missing, and who is at work. The exit status is 1 if shards "
        "are damaged.",
        STATUS_EXAMPLE,
    )
    status.add_argument("store", type=Path, metavar="STORE")


def run_sweep(args: argparse.Namespace) -> None:
    """Run ``resmc sweep``: estimate, prepare or run the plan of a TOML file."""
    from ..sweep import Sweep
    from ..sweep.store import Store

    if args.weights is not None:
        raise ValueError(f"--weights is not allowed: a sweep has its weights in {args.plan}, as {WEIGHTS_IN_TOML}")
    plan = Sweep.from_toml(args.plan)
    if args.estimate:
        cost = plan.estimate(args.device)
        if args.json:
            print_json("sweep", {"kind": "estimate", **asdict(cost)})
        else:
            print(cost)
        return
    if args.store is None:
        raise ValueError("--store is missing: say where the shards shall lie, or ask for --estimate")
    if args.prepare:
        store = Store(args.store)
        store.create()
        store.write_plan(plan.to_dict(), args.replace)
        if args.json:
            points = len(plan.models)
            print_json("sweep", {"kind": "plan", "store": str(args.store), "points": points, "plan": plan.to_dict()})
        else:
            print(f"{plan}\nready for: resmc worker {args.store}")
        return
    if args.processes and args.dask:
        raise ValueError("--processes is not allowed beside --dask: give one or the other")
    engine: Any = "processes" if args.processes else None
    if args.dask:
        try:
            import distributed
        except ImportError:
            raise ValueError("--dask needs Dask: install resmc[dask]") from None
        try:
            engine = distributed.Client(args.dask, timeout=DASK_TIMEOUT)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise ValueError(f"--dask {args.dask}: no scheduler answers there ({error})") from None
    from ..sweep.coordinator import run

    def begin(**options: Any) -> Any:
        return run(plan, args.store, engine=engine, replace=args.replace, **options)

    print_result(args, _run(begin, args))


def print_result(args: argparse.Namespace, result: Any) -> None:
    """Print the result of a sweep, or a heat map: a table as wide as the terminal, or all points as JSON."""
    if args.json:
        from .records import record_of

        print_json(args.command, record_of(result))
    else:
        print(result.summary(terminal_width()))


def run_worker(args: argparse.Namespace) -> None:
    """Run ``resmc worker``: compute what a store lacks of the plan in it."""
    from ..sweep import any_stored_plan
    from ..sweep.coordinator import work
    from ..sweep.gpus import pin
    from ..sweep.manage import UNITS

    any_stored_plan(args.store)  # refuses what is no store before a GPU is looked for
    pin(args.device)

    def say(what: str) -> None:
        if not args.quiet:
            print(f"resmc: {what}", file=sys.stderr, flush=True)

    result = _run(lambda **options: work(args.store, say, engine=None, **options), args)
    points, networks = result.networks.size, int(result.networks.sum())
    if args.json:
        print_json("worker", {"store": str(args.store), "points": points, "networks": networks})
    else:
        print(f"complete: {counted(points, UNITS[result.kind])}, {counted(networks, 'network')} in {args.store}")


def _run(begin: Callable[..., Any], args: argparse.Namespace) -> Any:
    """Begin a run; SIGTERM, which batch queues send, ends it as Ctrl-C does, so that claims are given back."""

    progress = False if args.quiet else None
    try:
        with polite_end(signal.SIGTERM):
            return begin(workers=args.workers, threads=args.threads, device=args.device, progress=progress)
    except KeyboardInterrupt:
        print("resmc: finished shards are safe, the same command goes on", file=sys.stderr)
        raise


def run_status(args: argparse.Namespace) -> int:
    """Run ``resmc status``: print how far a store is with its plan; return 1 if shards are damaged."""
    from ..sweep import any_stored_plan
    from ..sweep.manage import status

    plan = any_stored_plan(args.store)
    found = status(plan, args.store)
    if args.json:
        print_json("status", {"store": str(args.store), **found.to_dict()})
    else:
        print(f"{plan}\n{found}")
    return int(bool(found.damaged))


COMMANDS = {"sweep": run_sweep, "worker": run_worker, "status": run_status}
