"""``python -m bench.training``: training networks side by side against a loop over single networks, on all cores.

Both sides take steps of stochastic gradient descent with momentum, in float32: an ensemble of `resmc.torch_module`,
whose chunks lie in threads, and as many processes as there are cores, each with one thread and one network, which is
ordinary autograd through torch's fused operations and torch's fused optimiser. Rounds are by turns. Beside stand the
share of the machine's matrix rate, that of a large product in float32 on all cores, and what optimisers take of a step.
Two minutes on two cores that are not busy.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from resmc import ResidualNetwork
from resmc._system.cpus import usable_cpus
from resmc.torch_module.chunks import Chunk
from resmc.torch_module.ensemble import Ensemble

from .adjoint import turns
from .adjoint_tables import table
from .harness import cell, spread
from .machine import publish
from .run_record import run_record

Tensor = torch.Tensor
FEATURES, CLASSES, RATE, MOMENTUM = 64, 10, 1e-3, 0.9  # inputs and classes are those of scikit-learn's digits


@dataclass(frozen=True)
class Case:
    """Networks that are trained.

    Attributes
    ----------
    block, activation, width, depth, batch : of a network and of a step
    members : networks of the ensemble
    target : how many times as fast as the loop the ensemble shall be, or 0 where nothing is promised
    """

    block: str
    activation: str
    width: int
    depth: int
    batch: int
    members: int
    target: float = 0.0

    @property
    def model(self) -> ResidualNetwork:
        return ResidualNetwork(self.width, self.depth, self.block, self.activation)

    @property
    def operations(self) -> float:
        """Floating-point operations of a network's step in the products of its layers, forward and backward."""
        return 6.0 * self.model.residual_block.matrices * self.depth * self.batch * self.width**2

    def __str__(self) -> str:
        return f"{self.block}, {self.activation}, n = {self.width}"


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes
    ----------
    cases : networks
    rounds : of everything that is timed by turns
    steps : of each process of the loop in a round
    product : width of a large product
    """

    cases: tuple[Case, ...]
    rounds: int
    steps: int
    product: int


FULL = Size(
    (
        Case("v-phi-w", "relu", 30, 100, 64, 150, 2.5),
        Case("v-phi-w", "relu", 8, 100, 64, 150, 10.0),
        Case("v-phi-w", "tanh", 30, 100, 64, 150),
        Case("v-phi-w", "gelu", 30, 100, 64, 150),
        Case("phi-in", "relu", 30, 100, 64, 150),
        Case("phi-out", "relu", 30, 100, 64, 150),
        Case("v-phi-w", "relu", 30, 1000, 64, 30),
        Case("v-phi-w", "relu", 64, 100, 64, 60),
    ),
    rounds=15,
    steps=20,
    product=2048,
)
QUICK = Size((Case("v-phi-w", "relu", 8, 10, 16, 6, 10.0), Case("phi-in", "tanh", 6, 5, 8, 4)), 2, 1, 128)


def examples(case: Case, *networks: int) -> tuple[Tensor, Tensor]:
    """Inputs and labels of a step."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*networks, case.batch, FEATURES, generator=generator)
    return x, torch.randint(0, CLASSES, (*networks, case.batch), generator=generator)


# ---------------------------------------------------------------------------------------------------------- the loop


FUNCTIONS = {"relu": torch.relu, "tanh": torch.tanh, "gelu": torch.nn.functional.gelu}


class Single(torch.nn.Module):
    """One network as a user would write it for speed: transposed matrices, stacked, and fused operations.

    Matrices that are transposed, or parameters of their own in every layer, take longer.
    """

    def __init__(self, case: Case) -> None:
        super().__init__()
        ensemble = Ensemble([case.model], [0], features=FEATURES, outputs=CLASSES)
        weights = {name: ensemble.weights(name) for name in ensemble.chunks[0].weights}
        self.stacks = torch.nn.ParameterDict(
            {name: weights[name][:, 0].mT.contiguous() for name in "VW" if name in weights}
        )
        self.A, self.W_out = (torch.nn.Parameter(weights[name][0].T.contiguous()) for name in ("A", "W_out"))
        self.scales, self.sigma = case.model.scales.tolist(), FUNCTIONS[case.activation]

    def forward(self, x: Tensor) -> Tensor:
        V, W = (self.stacks[name].unbind(0) if name in self.stacks else None for name in "VW")
        h = x @ self.A
        for k, s in enumerate(self.scales):
            y = self.sigma(h if W is None else h @ W[k])
            h = torch.add(h, y, alpha=s) if V is None else torch.addmm(h, y, V[k], alpha=s)
        return h @ self.W_out


@lru_cache(maxsize=1)
def single(case: Case) -> tuple[Single, torch.optim.Optimizer]:
    """The network that a process of the loop trains, and its optimiser."""
    torch.set_num_threads(1)
    module = Single(case)
    return module, torch.optim.SGD(module.parameters(), lr=RATE, momentum=MOMENTUM, fused=True)


def loop_steps(case: Case, steps: int) -> float:
    """Train one network for some steps; return the last loss."""
    (module, optimizer), (x, y) = single(case), examples(case)
    loss = torch.zeros(())
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(x), y)
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def all_loops(pool: ProcessPoolExecutor, workers: int, case: Case, steps: int) -> None:
    """Let every process train for some steps."""
    for one in [pool.submit(loop_steps, case, steps) for _ in range(workers)]:
        one.result()


# ------------------------------------------------------------------------------------------------------- the ensemble


def ensemble_steps(case: Case, workers: int) -> dict[str, Any]:
    """Functions that take a step of an ensemble: without an optimiser, with momentum, and with Adam."""
    ensemble = Ensemble(
        [case.model] * case.members, range(case.members), features=FEATURES, outputs=CLASSES, workers=workers
    )
    x, y = examples(case, case.members)
    kinds = {
        "sgd": partial(torch.optim.SGD, lr=RATE, momentum=MOMENTUM, fused=True),
        "adam": partial(torch.optim.Adam, lr=1e-6, fused=True),
    }

    def step(update: Callable[[Chunk], object] | None = None) -> None:
        ensemble.gradients(x, y, "cross_entropy", update)
        if not bool(ensemble.alive.all()):
            raise RuntimeError("a member is frozen, and what is frozen takes no time")

    found: dict[str, Any] = {"gradient": step}
    for name, kind in kinds.items():
        optimizers = {chunk: kind(chunk.parameters.values()) for chunk in ensemble.chunks}

        def update(chunk: Chunk, optimizers: dict[Chunk, Any] = optimizers) -> None:
            optimizers[chunk].step()

        found[name] = partial(step, update)
    return found


def product(width: int, workers: int) -> None:
    """Multiply two large matrices on all cores, ten times."""
    a = torch.ones(width, width)
    torch.set_num_threads(workers)
    for _ in range(10):
        torch.mm(a, a)
    torch.set_num_threads(1)


def measured(pool: ProcessPoolExecutor, case: Case, size: Size, workers: int) -> dict[str, Any]:
    """Seconds of a network's step by turns, times as fast, shares of the matrix rate and of a step."""
    operations = 20.0 * size.product**3
    loop, rate = partial(all_loops, pool, workers, case, size.steps), partial(product, size.product, workers)
    taken = turns({"loop": loop, "rate": rate, **ensemble_steps(case, workers)}, size.rounds)
    per_step = {"loop": size.steps * workers, **dict.fromkeys(("gradient", "sgd", "adam"), case.members)}
    steps = {name: [t / per_step[name] for t in taken[name]] for name in per_step}
    rates = [operations / t for t in taken["rate"]]

    def ratio(over: list[float], under: list[float]) -> dict[str, float]:
        return spread([a / b for a, b in zip(over, under, strict=True)])

    share = [case.operations / t / rate for t, rate in zip(steps["sgd"], rates, strict=True)]
    print(f"{case}, depth {case.depth}: done", flush=True)
    return {
        **asdict(case),
        "seconds": {name: spread(values) for name, values in steps.items()},
        "rate": spread(rates),
        "times_as_fast": ratio(steps["loop"], steps["sgd"]),
        "share": spread(share),
        **{f"{name}_over_gradient": ratio(steps[name], steps["gradient"]) for name in ("sgd", "adam")},
    }


def lines_of(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table, and what became of the targets."""
    shown, said = [], []
    for row in rows:
        case = Case(**{one.name: row[one.name] for one in fields(Case)})
        seconds = row["seconds"]
        shown.append(
            [
                str(case),
                f"{case.depth}",
                f"{case.members}",
                cell(seconds["loop"], 1e3),
                cell(seconds["sgd"], 1e3),
                cell(row["times_as_fast"]),
                cell(row["share"]),
                cell(row["sgd_over_gradient"]),
                cell(row["adam_over_gradient"]),
                cell(row["rate"], 1e-9),
            ]
        )
        if case.target:
            reached = "reached" if row["times_as_fast"]["median"] >= case.target else "NOT reached"
            said.append(f"{case}: at least {case.target:g} times as fast as the loop, {reached}.")
    headings = (
        "network|N|members|loop, ms a step|side by side, ms a step|times as fast|share of the matrix rate|"
        "SGD's step/gradient alone|Adam's step/gradient alone|matrix rate, GF/s"
    )
    first = (
        "Milliseconds are those of one network's step on all cores together: gradients, and an update with momentum. "
        "Median (least to most) of rounds by turns.\n"
    )
    return [first, *table(headings, shown), *said]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all of it works")
    parser.add_argument("--workers", type=int, default=usable_cpus(), help="threads, and processes of the loop")
    parser.add_argument("--output", type=Path, help="folder for the JSON and the table; without it they are printed")
    args = parser.parse_args(arguments)
    size, threads = QUICK if args.quick else FULL, torch.get_num_threads()
    machine = run_record("cpus", "version")
    torch.set_num_threads(1)
    try:
        with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
            rows = [measured(pool, case, size, args.workers) for case in size.cases]
    finally:
        torch.set_num_threads(threads)
    report = {
        **machine,
        "command": "python -m bench.training" + " --quick" * args.quick + f" --workers {args.workers}",
        "seed": 0,
        "torch": torch.__version__,
        "workers": args.workers,
        "rounds": size.rounds,
        "rows": rows,
    }
    first = (
        f"{report['cpu']}, torch {report['torch']}, {args.workers} threads or processes, load average "
        f"{report['load']:.1f} at the start. Command: `{report['command']}`, seed 0, commit {report['commit']}.\n"
    )
    text = "\n".join([first, *lines_of(rows)])
    publish(args.output, "training", report, text + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
