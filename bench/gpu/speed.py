"""How fast the kernels are: neuron updates per second, against the generator alone, and over the shapes of a team.

    python -m bench.gpu.speed [--rows FILE] [--seconds 90]

Median, minimum and maximum of 7 rounds by CUDA events, after a warm-up, and after a check of the answer: the final
log-norms of some networks must be those of the CPU, network by network, and their variance that of the theory. The
generator alone (`kernels.draw`) draws what a network of the same shape needs and forgets it: the limit of any kernel on
these streams. Dense networks are counted in weights. Exits with 1 if something failed.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, theory
from resmc.engine import cuda
from resmc.engine.cuda.buffers import Buffers
from resmc.engine.cuda.kernels import BEST, Launch, Reduction, Shape
from resmc.engine.cuda.plan import best_segment, make_plan
from resmc.engine.lowering import KernelNetwork, KernelResidual

from ..harness import Spread, WrongAnswer
from .common import HALF, MEMORIES, Floats, Rows, Work, arguments, rate_of, seconds_of

WORK = 6e9  # neuron updates of one launch: some 10 ms on a large GPU
BOUND = 1e-3  # of a log-norm from the CPU's: not rounding, but a wrong answer


@dataclass(frozen=True)
class Case:
    model: ResNet | ResidualNetwork
    method: str = "projected"
    layers: tuple[int, ...] | None = ()  # recorded besides the first and the last; None: all
    gradients: bool = False

    @property
    def name(self) -> str:
        m = self.model
        kind = m.variant if isinstance(m, ResNet) else f"{m.block} {m.activation}"
        unit = "weights" if self.method == "dense" else "neurons"
        more = (", there and back" if self.gradients else "") + (", all layers" if self.layers is None else "")
        return f"{kind} {m.width}x{m.depth}, {unit}{more}"

    @property
    def work(self) -> float:
        """Of one network: neuron updates, or weights."""
        return float(self.model.width * self.model.depth * (self.model.width if self.method == "dense" else 1))


def of(width: int, depth: int, variant: str = "vanilla") -> Case:
    return Case(ResNet(width, depth, HALF, HALF, variant))


SIZES = ((192, 200), (200, 200), (40, 40), (40, 200), (16, 16), (4096, 64), (1024, 256), (32_768, 16))
DENSE = Case(ResNet(192, 50, HALF, HALF), "dense")
ALL_LAYERS = Case(ResNet(192, 200, HALF, HALF), layers=None)
ROOT = DepthScaling(0.5)
RESIDUAL = tuple(
    Case(ResidualNetwork(*size, block, activation, scaling=ROOT), method, gradients=gradients)
    for size, block, activation, method, gradients in (
        ((192, 200), "phi-in", "relu", "projected", True),
        ((192, 200), "phi-out", "tanh", "projected", False),
        ((192, 200), "v-phi-w", "relu", "projected", True),
        ((40, 40), "phi-in", "relu", "projected", True),
        ((4096, 32), "phi-in", "relu", "projected", True),
        ((192, 20), "phi-in", "relu", "dense", True),
    )
)
SWEEP = ((192, 200), (200, 200), (40, 200), (4096, 64))


def networks_for(work: float, each: float, wave: int) -> int:
    """Whole waves of networks that make so much work; a handful where a test asks for next to none.

    A wave is what runs at once; the last one of a launch, if it were not full, would take as long as a full one.
    """
    return min((1 << 20) // wave, max(1, round(work / each / wave))) * wave if work >= 1e8 else 64


class Chunk:
    """One chunk of networks, launched again and again without the host's loop in between."""

    def __init__(
        self, accelerator: cuda.Accelerator, case: Case, work: float = WORK, shape: tuple[int, int] = BEST
    ) -> None:
        self.accelerator, self.case = accelerator, case
        kernels, properties = accelerator.kernels, accelerator.properties
        multiprocessors, free = properties.multiprocessors, accelerator.free_bytes()
        layers = None if case.layers is None else [*case.layers, 0]
        networks = 1 << 20  # so many that the first plan has full waves
        for _ in range(2):
            self.work = Work.of(case.model, networks, case.method, layers, gradients=case.gradients)
            network, job, recorded = self.work.network, self.work.job, self.work.layers

            def shape_of(network: KernelNetwork, method: int = job.method) -> Shape:
                return kernels.shape(network, method, properties, shape)

            if isinstance(network, KernelResidual):
                segment = best_segment(network, job.count, shape_of, multiprocessors, free)
                network = replace(network, segment=segment)
            self.network, self.shape = network, shape_of(network)
            self.plan = make_plan(network, job, self.shape, len(recorded), multiprocessors, free)
            networks = networks_for(work, case.work, self.plan.wave)
        self.buffers = Buffers(accelerator, network, job, self.shape, recorded, self.plan)
        self.networks = min(networks, self.plan.columns // self.plan.wave * self.plan.wave or self.plan.columns)
        self.words, _ = accelerator.host_words(2)
        columns = (self.plan.columns, len(recorded), 0, self.networks)
        self.reduced = Reduction(*columns, 0, job.batch, job.bin_low, job.bin_width, job.n_bins)
        self.launch = Launch(
            *columns, 0, job.seed, job.variant, job.method, output_begin=0, output_end=0,
            look_every=self.plan.look_every, look_every_row=self.plan.look_every_row,
            blocks=self.plan.workspace_blocks,
        )  # fmt: skip
        self.pointers = self.buffers.simulate_pointers(0) | {
            "stop": self.words.data_ptr(),
            "progress": self.words.data_ptr() + 4,
        }

    def simulate(self) -> None:
        a = self.accelerator
        a.kernels.simulate(
            self.network, self.launch, a.properties, self.shape, self.pointers, a.ordinal, a.stream()
        )  # fmt: skip

    def reduce(self) -> None:
        """Sums of the records, and products of the asymmetries of all pairs of layers."""
        a = self.accelerator
        pointers = self.buffers.reduce_pointers()
        a.kernels.reduce(self.case.model.width, self.reduced, pointers, a.ordinal, a.stream())
        if self.work.job.correlations:
            self.buffers.add_products(0, 0, self.networks)

    def rate(self, rounds: int = 7) -> Spread:
        """Neuron updates or weights per second."""
        a, work = self.accelerator, self.networks * self.case.work
        return rate_of(a.torch, a.device, self.simulate, work, rounds)

    def log_norms(self) -> Floats:
        """The final log-norms of the last launch, from its records."""
        square = self.buffers.tensors["square"][-1, : self.networks].cpu().numpy().astype(np.float64)
        exponent = self.buffers.tensors["exponent"][-1, : self.networks].cpu().numpy()
        return np.asarray(np.log(square / self.case.model.width) + 2.0 * math.log(2.0) * exponent)

    def check(self) -> dict[str, float]:
        """Against the CPU network by network; and the variance over all against the leading order of the theory.

        Raises
        ------
        WrongAnswer
            If more than 1% of the networks are further than BOUND from the CPU's, or the variance is far off.
        """
        model = self.case.model
        self.buffers.tensors["square"].fill_(math.nan)  # a launch that writes nothing must not pass
        self.simulate()
        found = self.log_norms()
        count = int(min(self.networks, 20_000, max(64, 2e8 / self.case.work)))
        differences = np.abs(found[:count] + self.work.final_offset - cpu_log_norms(model, self.case.method, count))
        if np.mean(~(differences <= BOUND)) > 0.01:
            raise WrongAnswer(f"{self.case.name}: log-norms differ by up to {np.max(differences):.3g} from the CPU's")
        report = {"checked": count, "most_off": float(differences.max())}
        if not isinstance(model, ResNet):
            return report
        variance, limit = float(np.var(found)), float(theory.limits.log_norm(model).variance[-1])
        # Leading order in 1/n; the next one is some per cent at n = 100, and the tails of narrow networks are heavy.
        if not abs(variance / limit - 1.0) <= 6.0 * math.sqrt(2.0 / self.networks) + 10.0 / model.width:
            raise WrongAnswer(f"{self.case.name}: the variance of log-norms is {variance:.4g}, in theory {limit:.4g}")
        return report | {"variance": variance, "limit": limit}


@cache
def cpu_log_norms(model: ResNet | ResidualNetwork, method: str, count: int) -> Floats:
    """The final log-norms of the first networks."""
    sim = resmc.simulate(
        model, networks=count, method=method, layers=[0], device="cpu", keep_samples=count, progress=False
    )
    return sim.samples.log_norm


def shape_name(shape: Shape) -> str:
    return f"{shape.threads} threads, {shape.rounds} rounds, {MEMORIES[shape.memory]}"


def draw_rate(accelerator: cuda.Accelerator, case: Case, threads: int, work: float = WORK, rounds: int = 7) -> Spread:
    """Normals per second that networks of this shape need, drawn by teams of so many threads and forgotten.

    Of residual networks one normal for each neuron and layer, of the several that they draw.

    Raises
    ------
    WrongAnswer
        If the sums of the normals do not have the variance they should.
    """
    torch, device, model = accelerator.torch, accelerator.device, case.model
    network = Work.of(ResNet(model.width, model.depth, HALF, HALF), 32, layers=[0]).network
    wave = accelerator.properties.multiprocessors * 2048 // threads  # of the threads that it may have at most
    networks = networks_for(work, model.width * model.depth, wave)
    sums = torch.full((-(-networks * threads // 128) * 128,), math.nan, dtype=torch.float32, device=device)

    def draw() -> None:
        accelerator.kernels.draw(
            network, 0, threads, networks, sums.data_ptr(), accelerator.ordinal, accelerator.stream()
        )  # fmt: skip

    draw()
    drawn = sums[: networks * threads].double()
    expected = 4.0 * -(-((model.width + 3) // 4) // threads) * model.depth
    variance = float(drawn.var().item())
    if not abs(variance / expected - 1.0) <= 6.0 * math.sqrt(2.0 / len(drawn)):
        raise WrongAnswer(f"{case.name}: the variance of a thread's sum is {variance:.5g} instead of {expected:.5g}")
    return rate_of(torch, device, draw, float(networks) * model.width * model.depth, rounds)


def speed(accelerator: cuda.Accelerator, case: Case, work: float = WORK) -> dict[str, Any]:
    """One size: the rate, the generator's, and what the sums over networks take beside it."""
    chunk = Chunk(accelerator, case, work)
    row: dict[str, Any] = {"shape": shape_name(chunk.shape), "networks": chunk.networks, "check": chunk.check()}
    row["waves"] = chunk.networks / chunk.plan.wave
    if isinstance(chunk.network, KernelResidual):
        row["segment"] = chunk.network.segment
    row["per_s"] = rate = chunk.rate()
    chunk.reduce()
    reduce = seconds_of(accelerator.torch, accelerator.device, chunk.reduce, 3)
    row["layers_recorded"] = len(chunk.work.layers)
    row["reduce_over_simulate"] = reduce * rate.median / (chunk.networks * case.work)
    like = case if case.method == "projected" else of(192, 200)  # weights are drawn like any other normals
    row["generator_per_s"] = limit = draw_rate(accelerator, like, chunk.shape.threads, work)
    row["of_generator"] = rate.median / limit.median
    return row


def end_to_end(case: Case, networks: int, device: Any = "cuda", rounds: int = 5) -> dict[str, Any]:
    """Seconds of `resmc.simulate`, all included."""
    layers = None if case.layers is None else [0]
    settings: dict[str, Any] = {"layers": layers, "gradients": case.gradients, "device": device, "progress": False}
    run = partial(resmc.simulate, case.model, method=case.method, **settings)
    run(networks=min(networks, 8192))
    taken = []
    for i in range(rounds):
        begin = time.perf_counter()
        run(networks=networks, seed=i)
        taken.append(time.perf_counter() - begin)
    seconds = Spread.of(taken)
    return {"networks": networks, "seconds": seconds, "per_s": networks * case.work / seconds.median}


def populations_end_to_end(
    case: Case, populations: int, size: int = 1024, device: Any = "cuda", rounds: int = 5
) -> dict[str, Any]:
    """Seconds of `resmc.moment_growth` at q = 1, all included, over those of `resmc.simulate` of as many networks.

    By turns, so that both meet the same machine.
    """
    settings: dict[str, Any] = {"device": device, "progress": False}
    grow = partial(resmc.moment_growth, case.model, size=size, **settings)
    simulate = partial(resmc.simulate, case.model, networks=populations * size, layers=[0], **settings)
    grow(populations=1)
    simulate()
    taken: list[float] = []
    plain: list[float] = []
    for i in range(rounds):
        for run, into in ((partial(grow, populations=populations), taken), (simulate, plain)):
            begin = time.perf_counter()
            run(seed=i)
            into.append(time.perf_counter() - begin)
    seconds = Spread.of(taken)
    return {
        "networks": populations * size,
        "seconds": seconds,
        "per_s": populations * size * case.work / seconds.median,
        "of_plain": Spread.of([a / b for a, b in zip(taken, plain, strict=True)]),
    }


def sweep(accelerator: cuda.Accelerator, case: Case, work: float = WORK / 3, rounds: int = 5) -> dict[str, Any]:
    """All shapes that make sense for a width, and whether the chosen one is the best of them."""
    quads = -(-case.model.width // 4)
    network = Work.of(case.model, 32, case.method, [0]).network
    chosen = accelerator.kernels.shape(network, 0, accelerator.properties)
    rates: dict[str, float] = {}
    for memory in (0, 1):
        for threads in (2**k for k in range(10)):
            if threads >= 2 * quads or -(-quads // threads) > 512:
                continue
            try:
                shape = accelerator.kernels.shape(network, 0, accelerator.properties, (threads, memory))
            except ValueError:  # no such shape
                continue
            chunk = Chunk(accelerator, case, work, (threads, memory))
            chunk.check()
            rates[shape_name(shape)] = chunk.rate(rounds).median
    best = max(rates, key=lambda name: rates[name])
    name = shape_name(chosen)
    of_best = rates[name] / rates[best] if name in rates else None
    return {"chosen": name, "best": best, "chosen_over_best": of_best, "per_s": rates}


def main(given: list[str] | None = None) -> int:
    args = arguments(__doc__, given)
    rows = Rows(args.rows, args.seconds)
    accelerator = cuda.open_cuda(None)
    cases = [of(*size) for size in SIZES] + [of(192, 200, "balanced"), DENSE, ALL_LAYERS]
    for case in [cases[0], RESIDUAL[0], *cases[-3:], *RESIDUAL[1:4], *cases[1:-3], *RESIDUAL[4:]]:
        rows.add(case.name, lambda case=case: speed(accelerator, case), needs=3.0)  # type: ignore[misc]
    for case, networks in (
        (of(192, 200), 1_000_000),
        (RESIDUAL[0], 1_000_000),
        (RESIDUAL[3], 4_000_000),  # in parts of 2^18, between which the device should not wait for the host
        (of(192, 200), 8_000_000),
        (ALL_LAYERS, 1_000_000),
    ):
        name = f"simulate() end to end, {case.name}, {networks} networks"
        rows.add(name, lambda case=case, networks=networks: end_to_end(case, networks), needs=5.0)  # type: ignore[misc]
    for case, populations in ((of(40, 200), 4096), (RESIDUAL[1], 1024)):
        name = f"moment_growth() end to end, {case.name}, {populations} populations of 1024"
        rows.add(
            name,
            lambda case=case, populations=populations: populations_end_to_end(case, populations),  # type: ignore[misc]
            needs=5.0,
        )
    for size in SWEEP:
        name = "shapes, {}x{}".format(*size)
        rows.add(name, lambda size=size: sweep(accelerator, of(*size)), needs=8.0)  # type: ignore[misc]
    return int(rows.failed)


if __name__ == "__main__":
    raise SystemExit(main())
