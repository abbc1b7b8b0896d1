"""What the measurements on a GPU share: jobs as the kernels take them, rows that are written as they come, and timing.

Each of parity, speed and peers is a program of its own, so that one that fails, or is stopped at its time
limit, costs the others nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmc import ResidualNetwork, ResNet
from resmc.engine import request as engine
from resmc.engine.arrays import Arrays
from resmc.engine.devices import Device
from resmc.engine.lowering import KernelNetwork, lower
from resmc.engine.recording import batch_size, recorded_layers
from resmc.engine.request import NetworkRange, Recording, Request

from ..harness import Spread

HALF = 0.5**0.5
MEMORIES = ("registers", "shared", "device")  # Memory of csrc/cuda/arguments.hpp
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Work:
    """What `resmc.simulate` would hand to the kernels; ``arrays`` are filled by `resmc.engine.cuda.run`."""

    model: ResNet | ResidualNetwork
    network: KernelNetwork
    job: engine.Job
    layers: NDArray[np.uint32]
    arrays: dict[str, NDArray[Any]]

    @classmethod
    def of(
        cls,
        model: ResNet | ResidualNetwork,
        networks: int,
        method: str = "projected",
        layers: list[int] | None = None,
        first: int = 0,
        keep_samples: int = 0,
        keep_trajectories: int = 0,
        gradients: bool = False,
    ) -> Work:
        recorded, lowered = recorded_layers(model.depth, layers), lower(model)
        request = Request(
            lowered=lowered,
            networks=NetworkRange(first, first + networks, batch_size(networks)),
            seed=0,
            method=method,
            recording=Recording(
                recorded,
                correlations=lowered.has_asymmetry,
                gradients=gradients,
                displacement=gradients or lowered.follows_displacement,
                samples=keep_samples,
                trajectories=keep_trajectories,
            ),
            device=Device("cuda", None),
            threads=1,
        )
        network, job = request.network(), request.job()
        arrays = Arrays.empty(network, job, len(recorded)).part(0, job).named()
        return cls(model, network, job, recorded.astype(np.uint32), arrays)

    @property
    def final_offset(self) -> float:
        """Between the kernels' final log-norm and the model's."""
        return float(lower(self.model).offsets(np.array([self.model.depth]))[0])


class Rows:
    """Results by name, written to ``path`` after each; stops to begin new ones when ``seconds`` are over."""

    def __init__(self, path: Path | None, seconds: float) -> None:
        self.path, self.deadline = path, time.monotonic() + seconds
        self.rows: list[dict[str, Any]] = []

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def add(self, name: str, work: Callable[[], dict[str, Any]], needs: float = 1.0) -> dict[str, Any]:
        """The row that ``work`` returns, unless fewer than ``needs`` seconds are left; a failure makes a row too."""
        begin = time.monotonic()
        row: dict[str, Any] = {"name": name}
        if self.left < needs:
            row["skipped"] = f"{max(self.left, 0.0):.0f} s left, {needs:.0f} s wanted"
        else:
            try:
                row |= work()
            except Exception as error:  # whatever it is: the other rows are still wanted
                row["error"] = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
            row["took_s"] = round(time.monotonic() - begin, 3)
        self.rows.append(row)
        print(json.dumps(row, default=plain), flush=True)
        if self.path is not None:
            self.path.write_text(json.dumps(self.rows, indent=1, default=plain) + "\n", encoding="utf-8")
        return row

    @property
    def failed(self) -> bool:
        return any("error" in row for row in self.rows)


def plain(value: Any) -> Any:
    """NumPy's numbers and our spreads as JSON has them."""
    if isinstance(value, Spread):
        return asdict(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"no JSON for {type(value).__name__}")


def seconds_of(torch: Any, device: Any, work: Callable[[], Any], repeats: int = 1) -> float:
    """Of one of ``repeats`` calls in a row: by CUDA events on the device's stream, on a CPU by the clock."""
    if device.type != "cuda":
        begin = time.perf_counter()
        for _ in range(repeats):
            work()
        return (time.perf_counter() - begin) / repeats
    stream = torch.cuda.current_stream(device)
    begin_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin_event.record(stream)
    for _ in range(repeats):
        work()
    end_event.record(stream)
    end_event.synchronize()
    return float(begin_event.elapsed_time(end_event)) / 1e3 / repeats


def rate_of(torch: Any, device: Any, work: Callable[[], Any], amount: float, rounds: int = 7) -> Spread:
    """``amount`` per second over the rounds, after a warm-up that also finds how many calls take 10 ms."""
    spent = once = seconds_of(torch, device, work)
    while spent < 0.05:  # an idle GPU takes a while to reach its clock
        once = seconds_of(torch, device, work)
        spent += once + 1e-4
    repeats = max(1, min(1000, round(0.01 / max(once, 1e-6))))
    return Spread.of([amount / seconds_of(torch, device, work, repeats) for _ in range(rounds)])


def arguments(doc: str | None, given: list[str] | None) -> argparse.Namespace:
    """The options that all of these programs have."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--rows", type=Path, help="JSON file of the results, written after each")
    parser.add_argument("--seconds", type=float, default=60.0, help="begin nothing that would end later (default: 60)")
    return parser.parse_args(given)
