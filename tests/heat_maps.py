"""What the tests of heat maps share: a network, plans, maps in a line, and a process that makes one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from resmc import ResidualNetwork, heat_map
from resmc.experiments.heat_map import HeatMap
from resmc.sweep.heat_map_plan import HeatMapPlan

NETWORK = ResidualNetwork(6, 12, block="v-phi-w")
SMALL: dict[str, Any] = {"hurst": [0.2, 0.8], "beta": [0.0, 0.4, 1.0], "networks": 3, "n_inputs": 2}
WIDE: dict[str, Any] = {"hurst": np.linspace(0.05, 0.95, 19), "beta": [0.2, 0.5, 0.8], "networks": 2, "n_inputs": 2}
RUN = """
import json, sys
import resmc
from resmc.sweep.heat_map_plan import HeatMapPlan
plan, store, options = json.loads(sys.argv[1])
plan = HeatMapPlan.from_dict(plan)
given = {name: getattr(plan, name) for name in ("hurst", "beta", "networks", "n_inputs", "seed", "gradients")}
print("ready", flush=True)
print(int(resmc.heat_map(plan.model, **given, store=store, **options).complete), flush=True)
"""


def small(**changes: Any) -> HeatMap:
    return heat_map(NETWORK, **{"progress": False, **SMALL, **changes})


def run_of(store: Path, model: ResidualNetwork = NETWORK, **changes: Any) -> list[str]:
    """The command of a process that makes a map: prints ``ready`` when it begins, and ``1`` when it has finished."""
    options = {"progress": False, "workers": 1, "threads": 1}
    plan = HeatMapPlan(model, **{**WIDE, **changes}).to_dict()
    return [sys.executable, "-c", RUN, json.dumps([plan, str(store), options])]


def same(a: HeatMap, b: HeatMap) -> bool:
    return all(a.estimate(name) == b.estimate(name) for name in a.quantities)


def damage(path: Path, how: str, other: Path) -> None:
    data = bytearray(path.read_bytes())
    if how == "byte":
        data[len(data) // 2] ^= 1
    elif how == "cut":
        del data[-100:]
    elif how == "empty":
        data.clear()
    elif how == "other":
        data = bytearray(other.read_bytes())
    path.write_bytes(bytes(data))
