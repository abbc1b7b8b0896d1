"""A few small simulations of every kind of kernel, for compute-sanitizer to watch:

    PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool memcheck python -m bench.gpu.sanitize

(with torch's own cache of memory, neighbouring tensors share an allocation, and a step from one into the next is not
seen). Every number of rounds in registers, states in shared and in device memory, teams of part of a warp, of a warp
and of a whole block, both methods, all variants; ranges that begin and end within a block, samples, paths, deaths.
Residual networks there and back, every block and method in teams of every kind, with segments that are computed once
more and counts of their final values. Populations that are resampled, of both families of kernels. The answers are
compared with the CPU's, so that a run says whether it computed what it should.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple
from unittest import mock

import numpy as np

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet
from resmc.engine import cuda
from resmc.engine.cuda import populations, runner
from resmc.engine.cuda.kernels import Kernels
from resmc.models.blocks import BLOCKS

from .common import HALF, Work
from .parity_residual import quantities

REGISTERS, SHARED, DEVICE = 0, 1, 2  # Memory of csrc/cuda/arguments.hpp
FIRST, NETWORKS = 37, 70  # neither on a warp's nor on a block's border
VARIANTS = ("vanilla", "balanced", "balanced-half")


class Case(NamedTuple):
    method: str
    width: int
    threads: int  # of a team
    memory: int


def cases() -> list[Case]:
    """Widths are even for the sake of balanced-half, and most are no multiple of four."""
    registers = [(4, 16 * rounds - 2) for rounds in range(1, 9)]
    registers += [(1, 2), (2, 14), (8, 190), (16, 200), (32, 192), (64, 250), (128, 1022)]
    found = [Case("projected", width, threads, REGISTERS) for threads, width in registers]
    for threads, width in [(1, 38), (8, 190), (32, 250), (64, 1022), (512, 4094)]:
        found += [Case("projected", width, threads, memory) for memory in (SHARED, DEVICE)]
    for threads, width in [(1, 6), (4, 22), (32, 34), (128, 34), (512, 18)]:
        found += [Case("dense", width, threads, memory) for memory in (SHARED, DEVICE)]
    return found


def difference(accelerator: cuda.Accelerator, case: Case, variant: str, alpha: float, depth: int = 5) -> float:
    """The largest difference of a final log-norm from the CPU's."""
    model = ResNet(case.width, depth, alpha, HALF, variant, n_out=3)
    job = Work.of(model, NETWORKS, case.method, first=FIRST, keep_samples=NETWORKS, keep_trajectories=50)
    shape = (case.threads, case.memory)
    raw = cuda.run(accelerator, job.network, job.job, job.layers, job.arrays, None, shape=shape).to_numpy()
    cpu = resmc.simulate(
        model, networks=NETWORKS, first_network=FIRST, method=case.method, device="cpu", keep_samples=NETWORKS
    )
    mine, theirs = raw["sample_log_norm"] + job.final_offset, cpu.samples.log_norm
    dead = np.isneginf(mine) & np.isneginf(theirs)
    with np.errstate(invalid="ignore"):
        return float(np.max(np.where(dead, 0.0, np.abs(mine - theirs))))


class ResidualCase(NamedTuple):
    method: str
    block: str
    activation: str
    width: int
    threads: int


def residual_cases() -> list[ResidualCase]:
    """Teams of part of a warp, of a warp and of a block for every block and method."""
    teams = {"projected": [(1, 38), (32, 190), (128, 1022)], "dense": [(1, 6), (32, 34), (128, 34)]}
    return [
        ResidualCase(method, block, ("relu", "balanced-half", "gelu")[(i + j) % 3], width, threads)
        for method, chosen in teams.items()
        for i, block in enumerate(BLOCKS)
        for j, (threads, width) in enumerate(chosen)
    ]


def residual_difference(case: ResidualCase, depth: int = 6) -> float:
    """The largest difference from the CPU's of a log-norm, of h and of all that is followed."""
    model = ResidualNetwork(
        case.width, depth, case.block, case.activation, scaling=DepthScaling(0.5, 1.3), bias=0.3, n_out=3
    )
    simulate = partial(
        resmc.simulate, model, networks=NETWORKS, first_network=FIRST, method=case.method, gradients=True,
        keep_samples=NETWORKS, keep_trajectories=NETWORKS, progress=False,
    )  # fmt: skip
    shaped = partial(cuda.run, shape=(case.threads, DEVICE))
    segmented = mock.patch.object(runner, "best_segment", return_value=2)  # three, of which two are computed once more
    with mock.patch.object(cuda, "run", shaped), segmented:
        here = quantities(simulate(device="cuda"))
    there = quantities(simulate(device="cpu"))
    known = {name: np.isfinite(values) for name, values in there.items()}  # at the start nothing has been displaced
    return max(float(np.max(np.abs(here[name][at] - there[name][at]))) for name, at in known.items())


def population_cases() -> list[tuple[ResNet | ResidualNetwork, int]]:
    """Teams of part of a warp, of a warp and of a block for every variant and block."""
    teams = [(1, 38), (32, 190), (128, 1022)]
    resnets = [ResNet(width, 6, HALF, HALF, VARIANTS[j]) for j, (_, width) in enumerate(teams)]
    others = [
        ResidualNetwork(width, 6, block, "tanh", bias=0.3) for block, (_, width) in zip(BLOCKS, teams, strict=True)
    ]
    return [(model, threads) for models in (resnets, others) for model, (threads, _) in zip(models, teams, strict=True)]


def population_difference(model: ResNet | ResidualNetwork, threads: int) -> float:
    """The largest difference of log Z from the CPU's, of populations in several chunks."""
    grow = partial(resmc.moment_growth, model, 2.0, populations=5, size=21, layers=range(7), progress=False)
    shape = Kernels.population_shape
    shaped = mock.patch.object(Kernels, "population_shape", lambda kernels, *a: shape(kernels, *a, threads))
    with mock.patch.object(populations, "TOGETHER", 64), shaped:
        here = grow(device="cuda").log_product
    return float(np.max(np.abs(here - grow(device="cpu").log_product)))


def main() -> int:
    accelerator = cuda.open_cuda(None)
    worst = 0.0
    for model, threads in population_cases():
        found = population_difference(model, threads)
        print(f"populations of {model.title}, {threads} threads: {found:.2g}", flush=True)
        worst = max(worst, found) if found == found else float("inf")
    for residual in residual_cases():
        found = residual_difference(residual)
        print(f"{residual.method} {residual.block} {residual.activation} width {residual.width}, "
              f"{residual.threads} threads, there and back: {found:.2g}", flush=True)  # fmt: skip
        worst = max(worst, found) if found == found else float("inf")
    for i, case in enumerate(cases()):
        variant, alpha = VARIANTS[i % 3], 0.0 if i % 4 == 3 else HALF
        found = difference(accelerator, case, variant, alpha)
        print(f"{case.method} {variant} width {case.width}, {case.threads} threads, memory {case.memory}, "
              f"alpha {alpha:.2g}: {found:.2g}", flush=True)  # fmt: skip
        worst = max(worst, found) if found == found else float("inf")
    count = len(cases()) + len(residual_cases()) + len(population_cases())
    print(f"sanitize: {count} simulations, largest difference of a log-norm {worst:.2g}")
    return int(not worst <= 1e-3)


if __name__ == "__main__":
    raise SystemExit(main())
