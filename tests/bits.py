"""Hashes of every number that a fixed list of simulations leaves: what a change of the code must not change.

    python tests/bits.py            compare this machine's instruction sets, and the emulated GPU, with the record
    python tests/bits.py --record   write the record anew, after a change of the numerics that is meant

A numerics class (an instruction set, the emulated GPU) has hashes of its own: within one, every bit is the same on
every machine. Only sums and raw values are hashed, as the kernels leave them; what NumPy makes of them may differ in
the last digit from processor to processor.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, Simulation, Sweep

RECORD = Path(__file__).parent / "data" / "bits.json"
HALF = 0.5**0.5
KEPT: dict[str, Any] = {"keep_samples": 20, "keep_trajectories": 10}
BACK: dict[str, Any] = {"gradients": True, "layers": [0, 3, 7], **KEPT}
CENTRED_SOFTPLUS = "centred_softplus"


def _cases() -> dict[str, tuple[Any, dict[str, Any]]]:
    """A model and the settings of a run, by name."""
    dense: dict[str, Any] = {"method": "dense"}
    inside = DepthScaling(0.5, 1.5, inside=True)
    return {
        "projected": (ResNet(20, 30, HALF, HALF, n_out=3), {"networks": 5000, **KEPT}),
        "projected, many": (ResNet(8, 5, 0.8, 0.6), {"networks": 140_000, "first_network": 4095}),
        "without correlations": (ResNet(9, 40, -0.6, 0.8), {"networks": 1000, "correlations": False}),
        "own scale": (ResNet(12, 25, 1.5, 0.7, input_norm=3.0), {"networks": 700, "layers": [5], **KEPT}),
        "dying": (ResNet(2, 9, 0.0, 1.0), {"networks": 3000, **KEPT}),
        "balanced": (ResNet(7, 20, HALF, HALF, "balanced"), {"networks": 3000, **KEPT}),
        "balanced-half": (ResNet(6, 20, HALF, HALF, "balanced-half"), {"networks": 3000, **KEPT}),
        "skip alone": (ResNet(5, 8, 0.9, 0.0), {"networks": 100}),
        "tiny lam": (ResNet(5, 8, 1.0, 1e-40), {"networks": 100, **KEPT}),
        "dense": (ResNet(11, 12, HALF, HALF, n_out=2), {"networks": 600, **KEPT, **dense}),
        "dense, balanced": (ResNet(8, 6, HALF, HALF, "balanced"), {"networks": 300, **dense}),
        "gradients of a ResNet": (ResNet(10, 14, HALF, HALF), {"networks": 500, "gradients": True, **KEPT}),
        "the same network, spelled otherwise": (
            ResidualNetwork(20, 30, "phi-in", "relu", HALF, DepthScaling(0.0, 1.0), n_out=3),
            {"networks": 500, "displacement": False, **KEPT},
        ),
        "phi-in tanh": (ResidualNetwork(10, 7, "phi-in", "tanh", bias=0.3), {"networks": 400, **BACK}),
        "phi-in leaky_relu": (
            ResidualNetwork(9, 40, "phi-in", "leaky_relu", 0.9), {"networks": 400, "gradients": True}
        ),
        "phi-in balanced": (
            ResidualNetwork(10, 7, "phi-in", "balanced-half", bias=0.2), {"networks": 400, **BACK, **dense}
        ),
        "phi-out gelu inside": (
            ResidualNetwork(10, 7, "phi-out", "gelu", scaling=inside, bias=0.4), {"networks": 400, **BACK}
        ),
        "phi-out sigmoid": (ResidualNetwork(10, 7, "phi-out", "sigmoid", 0.5), {"networks": 400, **BACK, **dense}),
        "phi-out softplus": (ResidualNetwork(10, 7, "phi-out", CENTRED_SOFTPLUS), {"networks": 400, **BACK}),
        "v-phi-w relu": (ResidualNetwork(12, 200, "v-phi-w", "relu"), {"networks": 300, "gradients": True, **KEPT}),
        "v-phi-w uniform": (
            ResidualNetwork(10, 7, "v-phi-w", "relu", weights="uniform", input=(0.5, -1.0, 2.0)),
            {"networks": 300, **BACK, **dense},
        ),
        "v-phi-w rademacher": (
            ResidualNetwork(5, 7, "v-phi-w", "relu", weights="rademacher", bias=0.4), {"networks": 300, **BACK, **dense}
        ),
        "v-phi-w linear by layer": (
            ResidualNetwork(6, 5, "v-phi-w", "linear", scaling=(0.1, 0.0, -2.0, 1.0, 0.5)),
            {"networks": 300, "gradients": True},
        ),
    }  # fmt: skip


def _plans() -> dict[str, Sweep]:
    return {
        "grid": Sweep(width=[8, 16], ratio=[0.5, 1], alpha=HALF, lam=HALF, networks=20_000, shard_updates=1 << 20,
                      correlations=True),
        "targets": Sweep(width=8, depth=[4, 8], alpha=0.0, lam=1.0, variant=["vanilla", "balanced"], seed=5,
                         target_stderr={"log_norm.variance": 0.02}, max_networks=20_000, shard_updates=1 << 18),
        "list": Sweep([ResNet(8, 8, 0.6, 0.8), ResNet(6, 3, 1.0, 0.5, "balanced-half")], networks=5000, layers=4,
                      method="dense", independent=False),
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------- numbers, one by one

NORM = ("alive", "log_norm", "growth_log", "growth", "growth_exponent")
ACTIVITY = ("inactive", "asymmetry", "asymmetry_square", "active", "active_square")
PAIRS = ("products", "partial_sums", "partial_squares")


def raw(sim: Simulation) -> Iterator[tuple[str, Any]]:
    """Every sum and every raw value, with its name."""
    sums = sim.statistics.by_name()
    nothing = np.zeros_like(sums["alive"])  # hashed for networks without an A
    for name in ("networks", *NORM, *ACTIVITY, *PAIRS, "histogram"):
        yield name, sums.get(name, nothing)
    for ratio, sums in sorted(sim.ratios.items()):
        if ratio == "mean_square":  # younger than the record, and made of the h whose bits are hashed above
            continue
        for name in NORM:
            yield f"{ratio}.{name}", getattr(sums, name)
    for ratio, law in sorted(sim.laws.items()):
        yield f"{ratio}.law", [law.bins, law.counts, [law.zeros]]
    for name in ("networks", "log_norm", "output"):
        yield f"samples.{name}", getattr(sim.samples, name)
    for name in ("networks", "log_norm", "asymmetry"):
        yield f"trajectories.{name}", getattr(sim.trajectories, name)
    for kind, kept in (("samples", sim.samples.ratios), ("trajectories", sim.trajectories.ratios)):
        for ratio, values in sorted(kept.items()):
            yield f"{kind}.{ratio}", values
    yield "layers", sim.layers


def _update(digest: Any, value: Any) -> None:
    for array in value if isinstance(value, list) else [value]:
        found: NDArray[Any] = np.ascontiguousarray(array)
        kind = np.float64 if found.dtype.kind == "f" else np.int64  # one type each, whatever holds them
        digest.update(f"{found.shape}".encode())
        digest.update(found.astype(kind).tobytes())


def digest_of(sims: Mapping[str, Simulation]) -> str:
    """One hash of all numbers of some simulations."""
    digest = hashlib.sha256()
    for title, sim in sims.items():
        digest.update(title.encode())
        for name, value in raw(sim):
            digest.update(name.encode())
            _update(digest, value)
    return digest.hexdigest()[:16]


def case_digest(name: str, device: str = "cpu") -> str:
    """The hash of one case on what the environment says."""
    model, settings = _cases()[name]
    return digest_of({"": resmc.simulate(model, **{"seed": 7, "progress": False, "device": device, **settings})})


def sweep_digest(name: str, device: str = "cpu") -> str:
    """The hash of all shards of a plan: their keys and ranges, and what they hold."""
    with tempfile.TemporaryDirectory() as folder:
        _plans()[name.removeprefix(SWEEP)].run(folder, workers=2, progress=False, device=device)
        files = sorted(Path(folder, "shards").rglob("*.resmc"))
        return digest_of({path.name.rsplit("-", 2)[0]: resmc.load(path) for path in files})


SWEEP = "sweep: "
CASES: dict[str, Callable[..., str]] = {
    **dict.fromkeys(_cases(), case_digest),
    **dict.fromkeys((SWEEP + name for name in _plans()), sweep_digest),
}
EMULATED = (
    "projected", "dying", "balanced-half", "dense", "gradients of a ResNet", "phi-in tanh", "phi-out gelu inside",
    "v-phi-w rademacher",
)  # fmt: skip


def found(name: str) -> dict[str, str]:
    """The hashes of a numerics class on this machine: an instruction set."""
    before = os.environ.get("RESMC_INSTRUCTION_SET")
    os.environ["RESMC_INSTRUCTION_SET"] = name
    try:
        return {case: digest(case) for case, digest in CASES.items()}
    finally:
        if before is None:
            del os.environ["RESMC_INSTRUCTION_SET"]
        else:
            os.environ["RESMC_INSTRUCTION_SET"] = before


def main() -> int:
    import emulated

    from resmc import _native
    from resmc.engine import cuda

    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    here = {name: found(name) for name, _ in _native.instruction_sets()}
    accelerator = emulated.Emulated(emulated.module().kernels)
    cuda.open_cuda = lambda ordinal: accelerator  # type: ignore[assignment]
    here["emulated"] = {case: CASES[case](case, "cuda") for case in EMULATED}
    if "--record" in sys.argv[1:]:
        RECORD.write_text(json.dumps(record | here, indent=1, sort_keys=True) + "\n")
        return 0
    wrong = [f"{name}: {case}" for name, cases in here.items() for case, digest in cases.items()
             if record.get(name, {}).get(case) != digest]  # fmt: skip
    print("\n".join(wrong) or f"the same bits: {', '.join(here)}, {len(CASES)} cases each")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
