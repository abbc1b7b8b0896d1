"""The GPU's networks against the CPU's, one by one: words, normals, log-norms, asymmetries, and the statistics.

    python -m bench.gpu.parity [--rows FILE] [--seconds 60]

Both devices simulate the same networks with all their recorded layers kept. A row says how far log-norms differ
(median, quantiles and maximum over networks of the largest difference on a path), which part of them is equal in every
bit, and whether ARCHITECTURE.md, contract 3, holds; of populations that are resampled, how far their products of
weights' means do. Exits with 1 if it does not, or if something failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import resmc
from resmc import ResNet, Simulation, _native
from resmc.engine import cuda

from .common import HALF, MEMORIES, Rows, Work, arguments
from .parity_populations import POPULATION_CASES, PopulationCase
from .parity_populations import compare as compare_populations
from .parity_residual import RESIDUAL_CASES, ResidualCase
from .parity_residual import compare as compare_residual

BOUND = 1e-4  # of contract 3, for a log-norm
PIECE_BYTES = 1 << 28  # of trajectories that are kept at a time
INTEGERS = ("alive", "inactive", "active", "growth_exponent", "histogram")


@dataclass(frozen=True)
class Case:
    model: ResNet
    networks: int
    method: str = "projected"

    @property
    def name(self) -> str:
        m = self.model
        at = "" if (m.alpha, m.lam) == (HALF, HALF) else f" alpha={m.alpha:g} lam={m.lam:g}"
        return f"{self.method} {m.variant} {m.width}x{m.depth}{at}"

    @property
    def tolerated(self) -> float:
        """The part of the networks that may differ by more than BOUND (contract 3)."""
        return 0.5 if self.method == "dense" else 0.0 if self.model.width >= 64 else 0.01


def of(width: int, depth: int, networks: int, variant: str = "vanilla", alpha: float = HALF, lam: float = HALF) -> Case:
    return Case(ResNet(width, depth, alpha, lam, variant), networks)


# The most telling first; the last are the first to be left out if time is short.
CASES = (
    of(192, 200, 100_000),
    of(192, 200, 20_000, "balanced"),
    of(192, 200, 20_000, "balanced-half"),
    of(200, 200, 20_000),
    of(190, 200, 20_000),
    of(40, 200, 20_000),
    of(3, 200, 20_000),
    of(1, 200, 20_000),
    of(1024, 200, 4_000),
    of(4096, 64, 2_000),
    of(60_000, 6, 300),  # states in device memory: 240 kB of them
    of(192, 200, 20_000, alpha=0.0, lam=1.0),
    of(3, 200, 20_000, alpha=0.0, lam=1.0),  # networks die
    of(40, 200, 20_000, alpha=-0.5, lam=1.0),
    Case(ResNet(24, 50, HALF, HALF), 8_192, "dense"),
    Case(ResNet(24, 50, HALF, HALF, "balanced"), 8_192, "dense"),
    Case(ResNet(130, 20, HALF, HALF, "balanced-half"), 512, "dense"),
    of(192, 1000, 10_000),
)


def words_and_normals(accelerator: cuda.Accelerator, counters: int = 100, normals: int = 1 << 20) -> dict[str, Any]:
    """How many of the GPU's words differ from the CPU's, and how many normals in any bit, by instruction set."""
    torch, kernels, device = accelerator.torch, accelerator.kernels, accelerator.device
    stream, generator = accelerator.stream(), np.random.Generator(np.random.PCG64(1))
    wrong = 0
    out = torch.empty(4, dtype=torch.int32, device=device)
    for _ in range(counters):
        seed, network = (int(generator.integers(0, 1 << k, dtype=np.uint64)) for k in (63, 48))
        stream_id, layer, quad = (int(generator.integers(0, high)) for high in (5, 1 << 20, 1 << 32))
        kernels.words(seed, stream_id, layer, network, 0, quad, out.data_ptr(), accelerator.ordinal, stream)
        wanted = _native.words("auto", seed, stream_id, layer, network, 0, quad)
        wrong += int(np.count_nonzero(out.cpu().numpy().view(np.uint32) != wanted))

    words = generator.integers(0, 1 << 32, (normals, 4), dtype=np.uint32)
    edges = np.array([0, 1, 3, 1 << 30, 1 << 31, 0xFFFFFFFC, 0xFFFFFFFF], np.uint32)
    corners = np.stack(np.meshgrid(edges, edges, indexing="ij"), -1).reshape(-1, 2)
    words[: len(corners)] = np.hstack([corners, corners])
    there = torch.from_numpy(words.view(np.int32)).to(device)
    drawn = torch.empty(normals, 4, dtype=torch.float32, device=device)
    kernels.normals(there.data_ptr(), normals, drawn.data_ptr(), accelerator.ordinal, stream)
    mine = drawn.cpu().numpy()
    report: dict[str, Any] = {"words": 4 * counters, "words_that_differ": wrong, "normals": 4 * normals}
    for name, _ in _native.instruction_sets():
        theirs = _native.normals(name, words)
        steps = np.abs(mine.view(np.int32).astype(np.int64) - theirs.view(np.int32))  # units in the last place
        report[name] = {"normals_that_differ": int(np.count_nonzero(steps)), "most_ulp": int(steps.max())}
    # Contract 3 asks for equal words. The baseline has no fused multiply-add, so its normals differ from all others'.
    report["holds"] = wrong == 0 and all(report[name]["most_ulp"] <= 4 for name, _ in _native.instruction_sets())
    return report


def square_roots(
    accelerator: cuda.Accelerator, mantissas: int = 1 << 24, exponents: range = range(-40, 10, 2)
) -> dict[str, Any]:
    """How many square roots of normals' radicands are not the correctly rounded ones: every float of their range.

    They rest on the last bit of a reciprocal root that a GPU's manual bounds and does not promise. Scaled by a power
    of four, a radicand has the same root, scaled by its root.
    """
    torch, device = accelerator.torch, accelerator.device
    bits = np.linspace(0x3F800000, 0x407FFFFF, mantissas).astype(np.int32)  # from 1 to 4
    numbers = bits.view(np.float32)
    x = torch.from_numpy(numbers).to(device)
    roots = torch.from_numpy(np.sqrt(numbers)).to(device)
    out, scaled = torch.empty_like(x), torch.empty_like(x)
    differ = 0
    for exponent in exponents:
        torch.mul(x, 2.0**exponent, out=scaled)
        out.fill_(float("nan"))
        accelerator.kernels.roots(
            scaled.data_ptr(), mantissas, out.data_ptr(), accelerator.ordinal, accelerator.stream()
        )  # fmt: skip
        expected = roots * 2.0 ** (exponent // 2)
        differ += int((out.view(torch.int32) != expected.view(torch.int32)).sum().item())
    radicands = mantissas * len(exponents)
    return {"radicands": radicands, "roots_that_differ": differ, "asked": "correctly rounded", "holds": differ == 0}


def memory_of(accelerator: cuda.Accelerator, case: Case) -> str:
    """Where the states of a case are kept."""
    work = Work.of(case.model, 32, case.method, layers=[0])
    return MEMORIES[accelerator.kernels.shape(work.network, work.job.method, accelerator.properties).memory]


def compare(case: Case, device: Any = "cuda", seed: int = 11, piece: int | None = None) -> dict[str, Any]:
    """One case, piece by piece."""
    layers = len(resmc.engine.recording.recorded_layers(case.model.depth, None))
    size = piece or max(256, PIECE_BYTES // (12 * layers) // 4096 * 4096)
    pieces = []
    for first in range(0, case.networks, size):
        count = min(size, case.networks - first)
        pieces.append(_piece(*(_simulate(case, where, seed, first, count) for where in ("cpu", device))))
    differences = np.concatenate([p["difference"] for p in pieces])
    quantiles = np.quantile(differences, [0.5, 0.99, 0.999, 1.0])
    above = float(np.mean(~(differences <= BOUND)))  # a NaN is above
    report: dict[str, Any] = {
        "networks": case.networks,
        "log_norm_difference": dict(zip(("median", "q99", "q999", "max"), quantiles.tolist(), strict=True)),
        "above_1e-4": above,
        "deaths_differ": sum(p["deaths_differ"] for p in pieces),
    }
    weights = np.array([p["networks"] for p in pieces], float)
    for what in ("log_norm_bits_equal", "final_bits_equal", "asymmetry_bits_equal", "asymmetry_within_1e-4"):
        report[what] = float(np.average([p[what] for p in pieces], weights=weights))
    report["integers_equal"] = {n: float(np.average([p["integers"][n] for p in pieces])) for n in INTEGERS}
    report["statistics_difference"] = {n: max(p["floats"][n] for p in pieces) for n in pieces[0]["floats"]}
    report["asked"] = f"{1.0 - case.tolerated:.0%} within {BOUND:g}"
    report["holds"] = above <= case.tolerated
    return report


def _simulate(case: Case, device: Any, seed: int, first: int, count: int) -> Simulation:
    return resmc.simulate(
        case.model, networks=count, first_network=first, seed=seed, method=case.method, device=device,
        keep_trajectories=count, progress=False,
    )  # fmt: skip


def _piece(cpu: Simulation, gpu: Simulation) -> dict[str, Any]:
    a, b = cpu.trajectories.log_norm, gpu.trajectories.log_norm
    dead = np.isneginf(a), np.isneginf(b)
    with np.errstate(invalid="ignore"):
        difference = np.where(dead[0] & dead[1], 0.0, np.abs(a - b))  # infinite where only one of them is dead
        asymmetry = np.abs(cpu.trajectories.asymmetry - gpu.trajectories.asymmetry)
    asymmetry = np.where(np.isnan(asymmetry), np.where(dead[0] & dead[1], 0.0, np.inf), asymmetry)
    return {
        "networks": len(a),
        "difference": difference.max(axis=1),
        "deaths_differ": int(np.count_nonzero(dead[0] != dead[1])),
        "log_norm_bits_equal": float(np.mean(difference == 0.0)),
        "final_bits_equal": float(np.mean(difference[:, -1] == 0.0)),
        "asymmetry_bits_equal": float(np.mean(asymmetry == 0.0)),
        "asymmetry_within_1e-4": float(np.mean(asymmetry <= BOUND)),
        "integers": {n: _equal(cpu.statistics.by_name()[n], gpu.statistics.by_name()[n]) for n in INTEGERS},
        "floats": dict(_distances(cpu, gpu)),
    }


def _equal(a: Any, b: Any) -> float:
    """The part of the sums that are equal, of those that are not 0 on both sides."""
    there = (a != 0) | (b != 0)
    return float(np.mean((a == b)[there])) if there.any() else 1.0


def _distances(cpu: Simulation, gpu: Simulation) -> Iterator[tuple[str, float]]:
    """Of the sums that are floats: the largest difference over the largest value of its layer or pair."""
    theirs = gpu.statistics.by_name()
    for name, a in cpu.statistics.by_name().items():
        b = theirs[name]
        if a.dtype.kind != "f" or a.size == 0 or name in INTEGERS:
            continue
        if name == "growth":  # in units that may differ
            steps = (gpu.statistics.norms.growth_exponent - cpu.statistics.norms.growth_exponent)[:, None]
            b = np.ldexp(b, np.concatenate([steps, 2 * steps], axis=1).astype(np.int32))
        scale = np.max(np.abs(a), axis=0)
        yield name, float(np.max(np.abs(a - b) / np.where(scale > 0.0, scale, 1.0)))


def main(given: list[str] | None = None) -> int:
    args = arguments(__doc__, given)
    rows = Rows(args.rows, args.seconds)
    accelerator = cuda.open_cuda(None)
    rows.add("words and normals", lambda: words_and_normals(accelerator))
    rows.add("square roots", lambda: square_roots(accelerator), needs=2.0)
    compare(of(8, 4, 64))  # not to count what the first use of a device takes

    def add(case: Case) -> None:
        rows.add(case.name, lambda: {"states": memory_of(accelerator, case), **compare(case)}, needs=3.0)

    def add_residual(case: ResidualCase) -> None:
        rows.add(case.name, lambda: compare_residual(case), needs=3.0)

    def add_populations(case: PopulationCase) -> None:
        rows.add(case.name, lambda: compare_populations(case), needs=3.0)

    # The first of every kind before the rest of all, should time be short.
    for case in CASES[:6]:
        add(case)
    for residual in RESIDUAL_CASES[:6]:
        add_residual(residual)
    for populations in POPULATION_CASES[:2]:
        add_populations(populations)
    for case in CASES[6:]:
        add(case)
    for residual in RESIDUAL_CASES[6:]:
        add_residual(residual)
    for populations in POPULATION_CASES[2:]:
        add_populations(populations)
    return int(rows.failed or not all(row.get("holds", True) for row in rows.rows))


if __name__ == "__main__":
    raise SystemExit(main())
