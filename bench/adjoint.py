"""``python -m bench.adjoint``: the gradient without stored states against autograd: errors, memory, time, and a peer.

Tables: errors at one depth in float32; peak memory in a process of its own for each run, beyond parameters and their
gradients; time of a forward and a backward pass by turns, on one thread; torchdiffeq's `odeint_adjoint` on the same
equation with the same steps, by turns too; errors of gradient and recovered input by depth, from
`resmc.ode.adjoint_errors`, smooth and independent weights, tanh and ReLU apart. ``--parts`` chooses among them, and
``--parts deep`` measures these errors of one network at 4096 and 32768 steps. On two cores that are not busy the tables
take five minutes, and the deep networks ten.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resmc import DepthScaling, ResidualNetwork, SmoothProcess, Weights, ode
from resmc.torch_module import ExplicitResidualNetwork, fill_from_arrays

from . import adjoint_tables
from .adjoint_tables import BACKWARD, Size
from .harness import spread
from .machine import publish
from .run_record import run_record

SMOOTH = Weights(depth=SmoothProcess())
ONCE = DepthScaling(1.0)
CASES = {  # of the tables by depth
    "smooth, tanh": ResidualNetwork(16, 2, "v-phi-w", "tanh", scaling=ONCE, weights=SMOOTH),
    "smooth, relu": ResidualNetwork(16, 2, "v-phi-w", "relu", scaling=ONCE, weights=SMOOTH),
    "independent, tanh": ResidualNetwork(16, 2, "v-phi-w", "tanh", scaling=DepthScaling(0.5)),
    "independent, relu": ResidualNetwork(16, 2, "v-phi-w", "relu", scaling=DepthScaling(0.5)),
}


FULL = Size(
    depths=(4, 16, 64, 256, 1024),
    networks=32,
    deep=(4096, 32768),
    claim=(30, 4096, 8),
    memory=(64, 64, (512, 4096)),
    memory_blocks=("phi-out", "v-phi-w"),
    times=((64, 64, 512), (64, 512, 256), (256, 256, 64)),
    peer=(30, 64, 256),
    rounds=9,
)
QUICK = Size((4, 16), 2, (32, 64), (8, 64, 4), (32, 2048, (256,)), ("v-phi-w",), ((16, 32, 16),), (8, 8, 16), 2)


def by_depth(size: Size) -> dict[str, Any]:
    """Mean ln errors and slopes by case, scheme and dtype."""
    found: dict[str, Any] = {}
    for name, model in CASES.items():
        result = ode.adjoint_errors(model, size.depths, networks=size.networks, batch=4, progress=False)
        found[name] = {"depths": list(size.depths), "networks": size.networks, "rows": []}
        for scheme in result.schemes:
            for dtype in result.dtypes:
                of = {"gradient": result.log_gradient, "inversion": result.log_inversion}
                slopes = {"gradient": result.gradient_slope, "inversion": result.inversion_slope}
                row: dict[str, Any] = {"scheme": scheme, "dtype": dtype}
                for kind in of:
                    row[kind] = np.exp(of[kind](scheme, dtype).value).tolist()
                    slope = slopes[kind](scheme, dtype)
                    row[f"{kind}_slope"] = [float(slope.value), float(slope.stderr)]
                found[name]["rows"].append(row)
        print(f"{name}: done", flush=True)
    return found


def deep(size: Size) -> dict[str, Any]:
    """Errors of one network at great depths by case, scheme and dtype: gradient and inversion at each depth."""
    found: dict[str, Any] = {"depths": list(size.deep), "cases": {}}
    for name, model in CASES.items():
        result = ode.adjoint_errors(model, size.deep, networks=1, batch=4, progress=False)
        both = np.stack([result.gradient, result.inversion], axis=-1)[:, :, :, 0]
        found["cases"][name] = {
            f"{scheme} {dtype}": both[i, j].tolist()
            for i, scheme in enumerate(result.schemes)
            for j, dtype in enumerate(result.dtypes)
        }
        print(f"{name}, deep: done", flush=True)
    return found


def claims(size: Size) -> list[dict[str, Any]]:
    """Gradient errors in float32 against autograd in float32, smooth weights and tanh."""
    width, depth, batch = size.claim
    found = []
    for block in ("phi-in", "phi-out", "v-phi-w"):
        model = ResidualNetwork(width, depth, block, "tanh", scaling=ONCE, weights=SMOOTH)
        for scheme in ("euler", "heun"):
            result = ode.adjoint_errors(
                model, (2, depth), schemes=scheme, dtypes="float32", networks=1, batch=batch, progress=False
            )
            found.append({"block": block, "scheme": scheme, "error": float(result.gradient[0, 0, 1, 0])})
    return found


# -------------------------------------------------------------------------------------------------------------- memory


def kilobytes(name: str) -> int:
    """Return a line of /proc/self/status, in kB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")


def measured_memory(block: str, width: int, depth: int, batch: int, backward: str) -> float:
    """Return the peak of this process in a forward and a backward pass, beyond parameters and gradients, in MiB."""
    torch.set_num_threads(1)

    def module(layers: int) -> ExplicitResidualNetwork:
        model = ResidualNetwork(width, layers, block, "tanh", scaling=ONCE)
        made = ExplicitResidualNetwork(model, scheme="euler", backward=backward).to(torch.float32)
        with torch.no_grad():
            for one in made.parameters():
                one.normal_(0.0, width**-0.5)
        return made

    x = torch.ones(batch, 1)
    module(4)(x).square().sum().backward()  # libraries take their own memory now
    deep = module(depth)
    gradients = sum(4 * one.numel() for one in deep.parameters()) / 2**10
    before = kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    deep(x).square().sum().backward()
    return (kilobytes("VmHWM") - before - gradients) / 2**10


def memory(size: Size) -> list[dict[str, Any]]:
    """Peaks of every block, depth and way back, each in a process of its own."""
    width, batch, depths = size.memory
    found = []
    for block in size.memory_blocks:
        for depth in depths:
            for backward in BACKWARD:
                words = [block, str(width), str(depth), str(batch), backward]
                run = subprocess.run(
                    [sys.executable, "-m", "bench.adjoint", "--memory-of", ",".join(words)],
                    capture_output=True,
                    text=True,
                    check=True,
                    cwd=Path(__file__).resolve().parents[1],
                )
                found.append({"block": block, "depth": depth, "backward": backward, "MiB": json.loads(run.stdout)})
    return found


# ---------------------------------------------------------------------------------------------------------------- time


def turns(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, by turns, after a first turn that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in taken.items()}


def plain(module: ExplicitResidualNetwork, x: torch.Tensor) -> torch.Tensor:
    """The same network as a loop of torch's own operations, as a user would write it."""
    V, W = (None if one is None else one.unbind(0) for one in (module.V, module.W))
    h = x @ module.A.T
    for k, s in enumerate(module.model.scales.tolist()):
        if V is None:
            h = h + s * torch.tanh(h @ W[k].T)
        elif W is None:
            h = h + s * (torch.tanh(h) @ V[k].T)
        else:
            h = h + s * (torch.tanh(h @ W[k].T) @ V[k].T)
    return h @ module.W_out.T


def time_of(block: str, width: int, batch: int, depth: int, rounds: int) -> dict[str, Any]:
    """Seconds of forward and backward passes in float32, Euler's method, and ratios within each round."""
    model = ResidualNetwork(width, depth, block, "tanh", scaling=ONCE, weights=SMOOTH)
    modules = {b: model.to_torch(scheme="euler", backward=b).to(torch.float32) for b in BACKWARD}
    x = torch.randn(batch, 1, generator=torch.Generator().manual_seed(0))

    def both(backward: str, call: Callable[..., Any]) -> None:
        modules[backward].zero_grad()
        call(modules[backward], x).square().sum().backward()

    works = {b: partial(both, b, lambda module, x: module(x)) for b in BACKWARD}
    taken = turns(works | {"loop": partial(both, "autograd", plain)}, rounds)
    found: dict[str, Any] = {"block": block, "width": width, "batch": batch, "depth": depth}
    for name, values in taken.items():
        found[f"{name}_seconds"] = spread(values)
        found[f"over_{name}"] = spread([a / b for a, b in zip(taken["adjoint"], values, strict=True)])
    return found


def times(size: Size) -> list[dict[str, Any]]:
    """Times of all blocks and sizes."""
    return [time_of(block, *one, size.rounds) for one in size.times for block in ("phi-in", "phi-out", "v-phi-w")]


# ---------------------------------------------------------------------------------------------------------------- peer

IN_TIME: dict[str, Callable[[float], list[float]]] = {  # V(t) and W(t) are these coefficients of matrices that train
    "tied": lambda t: [1.0],
    "linear in time": lambda t: [1.0 - t, t],
}


class Equation(torch.nn.Module):
    """dx/dt = V(t) tanh(W(t) x) as torchdiffeq has it, V(t) and W(t) combinations of few matrices."""

    def __init__(self, coefficients: Callable[[float], list[float]], width: int) -> None:
        super().__init__()
        drawn = torch.randn(2, len(coefficients(0.0)), width, width, generator=torch.Generator().manual_seed(1))
        self.matrices = torch.nn.Parameter(drawn / width**0.5)
        self.coefficients = coefficients

    def at(self, t: float) -> torch.Tensor:
        """V(t) and W(t), (2, width, width)."""
        return sum(c * self.matrices[:, j] for j, c in enumerate(self.coefficients(t)))

    def forward(self, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        V, W = self.at(float(t.detach()))
        return torch.tanh(x @ W.T) @ V.T


def peer_of(weights: str, width: int, batch: int, depth: int, rounds: int) -> list[dict[str, Any]]:
    """Errors of the matrices' gradients against autograd through the same steps, and seconds, float32, Euler."""
    from torchdiffeq import odeint_adjoint

    equation = Equation(IN_TIME[weights], width)
    model = ResidualNetwork(width, depth, "v-phi-w", "tanh", scaling=ONCE)
    modules = {b: ExplicitResidualNetwork(model, scheme="euler", backward=b).to(torch.float32) for b in BACKWARD}
    layers = torch.tensor([IN_TIME[weights](k / depth) for k in range(depth + 1)])
    V, W = torch.einsum("kj,pjab->pkab", layers, equation.matrices.detach())
    for module in modules.values():
        fill_from_arrays(module, V=V, W=W)
    start = torch.randn(batch, width, generator=torch.Generator().manual_seed(0))

    def theirs() -> torch.Tensor:
        equation.zero_grad()
        interval, options = torch.tensor([0.0, 1.0]), {"step_size": 1.0 / depth}
        end = odeint_adjoint(equation, start, interval, method="euler", options=options)[-1]
        (0.5 * end.square().sum()).backward()
        return equation.matrices.grad.clone()

    def ours(backward: str) -> torch.Tensor:
        module = modules[backward]
        module.zero_grad()
        (0.5 * module.states(start)[-1].square().sum()).backward()
        return torch.stack([torch.einsum("kj,kab->jab", layers, one.grad) for one in (module.V, module.W)])

    true, works = ours("autograd"), {"resmc": partial(ours, "adjoint"), "torchdiffeq": theirs}
    errors = {name: float((work() - true).norm() / true.norm()) for name, work in works.items()}
    taken = turns(works, rounds)
    return [{"weights": weights, "who": n, "error": errors[n], "seconds": spread(taken[n])} for n in works]


def peer(size: Size) -> list[dict[str, Any]]:
    """torchdiffeq's adjoint and resmc's with the same Euler steps of the same equations."""
    return [row for weights in IN_TIME for row in peer_of(weights, *size.peer, size.rounds)]


PARTS: dict[str, tuple[Callable[[Size], Any], Callable[[Any, Size], list[str]]]] = {
    "claims": (claims, adjoint_tables.claims_table),
    "memory": (memory, adjoint_tables.memory_table),
    "times": (times, adjoint_tables.times_table),
    "peer": (peer, adjoint_tables.peer_table),
    "by_depth": (by_depth, adjoint_tables.by_depth_table),
    "deep": (deep, adjoint_tables.deep_table),
}
USUAL = [name for name in PARTS if name != "deep"]  # the deep networks take longer than all else


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.adjoint", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all of it works")
    parser.add_argument("--parts", default=",".join(USUAL), help=f"several of {', '.join(PARTS)}")
    parser.add_argument("--output", type=Path, help="folder for the JSON and the tables; without it they are printed")
    parser.add_argument("--memory-of", metavar="BLOCK,WIDTH,N,BATCH,BACKWARD", help="measure this process, print MiB")
    args = parser.parse_args(arguments)
    if args.memory_of is not None:
        block, width, depth, batch, backward = args.memory_of.split(",")
        print(json.dumps(measured_memory(block, int(width), int(depth), int(batch), backward)))
        return 0
    size, threads, parts = QUICK if args.quick else FULL, torch.get_num_threads(), args.parts.split(",")
    if not set(parts) <= set(PARTS):
        print(f"bench.adjoint: --parts={args.parts} is not allowed: they are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    if "peer" in parts:
        try:
            import torchdiffeq  # noqa: F401
        except ImportError:
            print("bench.adjoint: torchdiffeq is missing: pip install resmc[bench]", file=sys.stderr)
            return 1
    command = "python -m bench.adjoint" + " --quick" * args.quick
    report: dict[str, Any] = {
        **run_record("cpus", "version"),
        "command": command if parts == USUAL else f"{command} --parts {args.parts}",
        "seed": 0,
        "torch": torch.__version__,
        "size": asdict(size),
    }
    lines = [
        f"{report['cpu']}, torch {report['torch']}, one thread, load average {report['load']:.1f} at the start. "
        f"Command: `{report['command']}`, seed 0, commit {report['commit']}.\n"
    ]
    torch.set_num_threads(1)
    try:
        for part in parts:
            measured, shown = PARTS[part]
            report[part] = measured(size)
            lines += shown(report[part], size)
            print(f"{part}: done", flush=True)
    finally:
        torch.set_num_threads(threads)
    text = "\n".join(lines)
    publish(args.output, "adjoint" if parts == USUAL else f"adjoint-{'-'.join(parts)}", report, text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
