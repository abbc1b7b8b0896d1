"""What the tests of maps after training share: a network, data, maps in a line, and results without any training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from resmc import ResidualNetwork
from resmc.experiments.train.data import checked_data
from resmc.experiments.train.heat_map import TrainedHeatMap
from resmc.experiments.train.map_row import DataDescription, RowResults
from resmc.experiments.train.settings import Settings
from resmc.sweep.trained_map_plan import TrainedMapPlan
from resmc.sweep.trained_map_run import heat_map

NETWORK = ResidualNetwork(4, 6, block="v-phi-w")
HURST, BETA, RATES = (0.3, 0.8), (0.2, 0.5, 1.0), (0.01, 0.1)
SMALL: dict[str, Any] = {"hurst": HURST, "beta": BETA, "learning_rate": RATES, "networks": 3, "epochs": 2, "batch": 16}


def classes(count: int = 60) -> tuple[Any, Any]:
    """Points in the plane and the sign of a coordinate."""
    rng = np.random.Generator(np.random.Philox(5))
    x = rng.standard_normal((count, 3))
    return x, (x[:, 0] > 0.0).astype(int)


def small(**changes: Any) -> TrainedHeatMap:
    """A map of 2 x 3 points, which is trained."""
    x, y = classes()
    given = {"X": x, "y": y, "progress": False, **SMALL, **changes}
    return heat_map(given.pop("model", NETWORK), given.pop("X"), given.pop("y"), **given)


def plan_of(networks: int = 3, regression: bool = False, **settings: Any) -> TrainedMapPlan:
    """The plan of such a map."""
    x, y = classes()
    data = checked_data(x, x[:, :1] if regression else y, chosen := Settings(learning_rate=RATES, **settings))
    return TrainedMapPlan(NETWORK, HURST, BETA, networks, chosen, DataDescription(**data.described()))


def made(networks: int = 3, regression: bool = False, **arrays: Any) -> TrainedHeatMap:
    """A map whose results are made up: by default all the same, and none failed.

    ``arrays`` are those of a `RowResults`, for all rows, or a tuple with one for each row.
    """
    plan = plan_of(networks, regression)
    shape = (networks, len(BETA), len(RATES))
    rows = []
    for i, _ in enumerate(HURST):
        default = {
            "loss": np.ones((*shape, 2)),
            "accuracy": None if regression else np.full((*shape, 2), 0.5),
            "failed": np.zeros(shape, bool),
            "growth": np.zeros(shape[:2]),
        }
        own = {name: one[i] if isinstance(one, tuple) else one for name, one in arrays.items()}
        rows.append(RowResults(**default | own))
    return TrainedHeatMap(
        model=plan.model, hurst=np.array(HURST), beta=np.array(BETA), rates=np.array(RATES), settings=plan.settings,
        data=plan.data, seeds=tuple(row.seed for row in plan.rows), wanted=networks,
        networks=np.array([len(row.loss) for row in rows]), numerics=("cpu-torch",), store=None, damaged=(), shards=2,
        plan=plan, _rows=tuple(rows),
    )  # fmt: skip


def without_networks(found: TrainedHeatMap, row: int) -> TrainedHeatMap:
    """The same map without the networks of a row."""
    rows = list(found._rows)
    one = rows[row]
    rows[row] = RowResults(one.loss[:0], None if one.accuracy is None else one.accuracy[:0], one.failed[:0],
                           one.growth[:0])  # fmt: skip
    return replace(found, _rows=tuple(rows), networks=np.array([len(one.loss) for one in rows]))


def same(a: TrainedHeatMap, b: TrainedHeatMap) -> bool:
    """True if all numbers of two maps are the same in every bit."""
    return (
        all(a.estimate(name) == b.estimate(name) for name in a.quantities)
        and np.array_equal(a.learning_rate, b.learning_rate)
        and np.array_equal(a.failures, b.failures)
    )
