"""What is measured: one table of the sizes, variants, threads and peers of each part, and the jobs it makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .job import Effort, Job
from .peers.problem import Problem
from .peers.table import CONTENDERS

Size = tuple[int, int]

PARTS = ("peers", "dense", "limit", "threads", "recording", "curves", "memory")
MAIN: Size = (192, 200)
SIZES: tuple[Size, ...] = (MAIN, (40, 1000), (100, 10), (1024, 256), (4096, 64))
NARROW = Problem(4, 200)
CURVES = {  # the axis, its values, the network they are taken of
    "width": ("width", (128, 256, 512, 1024, 2048), Problem(192, 50)),
    "narrow width": ("width", (8, 16, 32, 64, 128), Problem(192, 50)),  # where the costs of a layer are not its neurons
    "depth": ("depth", (50, 100, 200, 400, 800), Problem(192, 200)),
    "networks": ("networks", (4096, 8192, 16384, 32768, 65536), Problem(192, 50)),
}
MEMORY = (Problem(8, 16), (100_000, 1_000_000, 10_000_000))

DEFAULT_LOOP, DRAWN_ONCE_LOOP = "torch module loop, default construction", "torch module loop, weights drawn once"
SMART = tuple(name for name, c in CONTENDERS.items() if c.role == "smart")
USUAL = tuple(name for name in SMART if name != "torch.compile")  # which takes longest to start
WEIGHTS = tuple(name for name, c in CONTENDERS.items() if c.role == "weights")


@dataclass(frozen=True)
class Group:
    """Peers that are compared at these sizes; brief ones carry no target and are timed more shortly."""

    part: str
    peers: tuple[str, ...]
    sizes: tuple[Size, ...]
    variant: str = "vanilla"
    several: bool = False  # threads
    brief: bool = True


OTHERS = SIZES[1:]
GROUPS = (
    Group("peers", (DEFAULT_LOOP,), (MAIN,), brief=False),
    Group("peers", (DRAWN_ONCE_LOOP,), (MAIN,)),
    Group("peers", SMART, SIZES, brief=False),
    Group("peers", (DEFAULT_LOOP,), OTHERS),
    Group("peers", SMART, (MAIN,), "balanced"),
    Group("peers", USUAL, OTHERS, "balanced"),
    Group("peers", SMART, (MAIN,), several=True),
    Group("peers", USUAL, OTHERS, several=True),
    Group("peers", SMART, (MAIN,), "balanced", several=True),
    Group("dense", WEIGHTS, (MAIN,), brief=False),
    Group("dense", WEIGHTS, ((40, 1000), (100, 10))),
    Group("dense", WEIGHTS[:1], ((1024, 256), (4096, 64))),
    Group("dense", WEIGHTS, (MAIN,), "balanced"),
    Group("dense", WEIGHTS, (MAIN,), several=True),
)


@dataclass(frozen=True)
class Scale:
    """How much of the plan, and how long each measurement."""

    name: str  # "" for the full one
    sizes: tuple[Size, ...]
    target: Effort
    brief: Effort
    reference_updates: float = 2e9
    weights: float = 5e8  # of one network, at most: more are left out
    groups: tuple[Group, ...] = GROUPS
    curves_every: int = 1  # takes every so many of the curves' values
    memory: tuple[int, ...] = MEMORY[1]


FULL = Scale("", SIZES, Effort(), Effort(rounds=5, seconds=0.2, tuning=0.05, checking=0.4))
QUICK = Scale(
    "quick",
    (MAIN, (100, 10)),
    Effort(rounds=5, seconds=0.2, tuning=0.03, checking=0.2, at_most=2),
    Effort(rounds=5, seconds=0.1, tuning=0.02, checking=0.1, at_most=2),
    groups=(
        Group("peers", (DEFAULT_LOOP,), (MAIN,)),
        Group("peers", SMART, (MAIN,), brief=False),
        Group("peers", USUAL, ((100, 10),), brief=False),
        Group("peers", SMART[:1], (MAIN,), "balanced"),
        Group("peers", USUAL, (MAIN,), several=True),
        Group("dense", WEIGHTS, (MAIN,)),
    ),
    curves_every=2,
    memory=(100_000, 1_000_000),
)
_TINY = Effort(rounds=5, seconds=0.005, tuning=0.005, checked=400, at_most=1)
_SMALL: tuple[Size, ...] = ((24, 16),)
SMOKE = Scale(
    "smoke",
    _SMALL,
    _TINY,
    _TINY,
    reference_updates=2e7,
    groups=(
        Group("peers", (DEFAULT_LOOP, DRAWN_ONCE_LOOP, *SMART), _SMALL),
        # Balanced ones differ by an argument, and tests/test_bench.py holds every peer to their law: one of them here.
        Group("peers", USUAL[:1], _SMALL, "balanced"),
        Group("peers", USUAL, _SMALL, several=True),
        Group("dense", WEIGHTS, _SMALL),
        Group("dense", WEIGHTS, _SMALL, several=True),
    ),
    curves_every=2,
    memory=(10_000, 100_000),
)


def jobs(
    scale: Scale, parts: Sequence[str], sizes: Sequence[Size], threads: Sequence[int], instruction_set: str
) -> list[Job]:
    """All of a run, in the order it is done; ``threads`` holds 1, the number of all, or both."""
    found = [job for group in scale.groups for job in _of_group(group, scale, sizes, threads)]
    found += _against_itself(scale, sizes, max(threads))
    order = {part: i for i, part in enumerate(PARTS)}
    chosen = sorted((job for job in found if job.part in parts), key=lambda job: order[job.part])
    return [replace(job, instruction_set=instruction_set) for job in chosen]


def _of_group(group: Group, scale: Scale, sizes: Sequence[Size], threads: Sequence[int]) -> Iterator[Job]:
    effort = scale.brief if group.brief else scale.target
    number = max(threads) if group.several else 1
    if (number > 1) != group.several or number not in threads:
        return
    for size in group.sizes:
        if size not in sizes:
            continue
        for peer in group.peers:
            contender, problem = CONTENDERS[peer], Problem(*size, variant=group.variant)
            estimate = 2.0 + 2.0 * (effort.rounds + 2) * effort.seconds + 12.0 * effort.tuning * 3.0
            skip, weights = "", float(problem.width * problem.neurons)
            if contender.role != "smart":
                estimate += 45.0 * weights * 1e-8
                if weights > scale.weights:
                    skip, estimate = (
                        f"one network has {weights:.3g} weights, {4e-9 * weights:.2g} GB: it takes too long",
                        0.0,
                    )
            if peer == "torch.compile":
                estimate += 8.0
            job = Job(group.part, "compare", problem, effort, number, method=contender.method, peer=peer)
            yield replace(job, estimate=estimate, skip=skip)


def _against_itself(scale: Scale, sizes: Sequence[Size], every: int) -> Iterator[Job]:
    effort = scale.target
    seconds = 2.0 + 2.0 * (effort.rounds + 2) * effort.seconds
    for size in sizes:
        for variant in ("vanilla", "balanced") if size == MAIN else ("vanilla",):
            problem = Problem(*size, variant=variant)
            yield Job("limit", "limit", problem, effort, estimate=seconds)
            if every > 1:
                yield Job("threads", "threads", problem, effort, every, estimate=2.0 * seconds)
    for problem in (Problem(*sizes[0]), Problem(*sizes[0], variant="balanced"), NARROW):
        yield Job("recording", "recording", problem, effort, estimate=seconds)
    for name, (axis, values, problem) in CURVES.items():
        few = values[:: scale.curves_every]
        yield Job("curves", "curve", problem, effort, name=name, axis=axis, values=few, estimate=2.0 + 2.0 * seconds)
    if every > 1:
        numbers = (
            tuple(range(1, every + 1))
            if every <= 8
            else tuple(sorted({every, *(1 << k for k in range(every.bit_length()))}))
        )
        problem = Problem(*sizes[0])
        yield Job("curves", "curve", problem, effort, every, name="threads", axis="threads", values=numbers)
    for networks in scale.memory:
        yield Job("memory", "memory", MEMORY[0], effort, every, values=(networks,), estimate=1.0 + 4e-7 * networks)


def reference_job(problem: Problem, scale: Scale, threads: int, instruction_set: str) -> Job:
    """The long projected run that the answers are checked against."""
    networks = max(1024, int(scale.reference_updates / problem.neurons))
    return Job(
        "reference", "reference", problem, scale.target, threads, instruction_set, values=(networks,), estimate=3.0
    )
