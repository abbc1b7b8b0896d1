"""The answers of commands as plain values for JSON; docs/reference/cli.md describes their keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from .._system.plain import Plain
from ..simulation import Simulation
from .model import without_depth

if TYPE_CHECKING:
    from ..analyses.regime import Regime
    from ..experiments.depth_limit import DepthLimit
    from ..experiments.heat_map import HeatMap
    from ..experiments.ode_limit import OdeLimit
    from ..experiments.train.heat_map import TrainedHeatMap
    from ..sweep.moment_result import MomentSweep
    from ..sweep.result import SweepResult


def record_of(result: Any) -> Plain:
    """Return the record of a simulation, of a sweep's result, of a map, or of moments."""
    return RECORDS[kind_of(result)](result)


def kind_of(result: Simulation | SweepResult | HeatMap | TrainedHeatMap | MomentSweep) -> str:
    """Name the kind of a result, as its record does."""
    return result.kind


def simulation_record(sim: Simulation) -> Plain:
    """Return a simulation's model and run, and a record for each of its quantities."""
    return {
        "kind": sim.kind,
        "model": sim.model.to_dict(),
        "networks": sim.networks,
        "ranges": [[r.start, r.stop] for r in sim.ranges],
        "seed": sim.seed,
        "method": sim.method,
        "numerics": sim.numerics,
        "quantities": sim._table().records(),
        **_joint(sim),
    }


def _joint(sim: Simulation) -> Plain:
    """Return the records of what there is besides one input."""
    if sim.joint is None:
        return {}
    from ..analyses.joint_summary import answers

    return {"gram": sim.gram.tolist(), **{name: found._table().records() for name, found in answers(sim).items()}}


def sweep_record(result: SweepResult) -> Plain:
    """Return a sweep's plan and progress, and a record for each of its points with all of its quantities."""
    plan = result.plan
    return {
        "kind": result.kind,
        "store": str(result.store),
        "plan": plan.to_dict(),
        "networks": int(result.networks.sum()),
        "complete": result.complete,
        "points_complete": result.points_complete,
        "shards": result.shards,
        "damaged": result.damaged,
        "numerics": result.numerics,
        "points": _points(result),
    }


def _points(result: SweepResult) -> list[Plain]:
    plan = result.plan
    counts = {"networks": result.networks, "wanted": result.wanted, "over_target": result.over_target}
    columns = {name: numbers.ravel().tolist() for name, numbers in counts.items()}
    points: list[Plain] = [
        {
            "point": plan.describe(i),
            "model": model.to_dict(),
            "seed": seed,
            **{name: column[i] for name, column in columns.items()},
            "quantities": {},
        }
        for i, (model, seed) in enumerate(zip(plan.models, plan.seeds, strict=True))
    ]
    for name, found in result.estimates.items():
        estimate = found.reshape((-1,))
        known = result.predictions[name].ravel()
        theory = {part: getattr(known, part).tolist() for part in ("exact", "limit", "second_order")}
        for i, point in enumerate(points):
            point["quantities"][name] = estimate[i]._plain_() | {part: value[i] for part, value in theory.items()}
    if plan.joints[0] is not None:
        for i, point in enumerate(points):
            point |= _joint(result.load(i)) if point["networks"] else {}
    return points


def heat_map_record(found: HeatMap) -> Plain:
    """Return a heat map's plan and progress, its frontiers, and a record for each of its points."""
    rows = [{"hurst": h, "networks": n, "seed": s} for h, n, s in
            zip(found.hurst.tolist(), found.networks.tolist(), found.seeds, strict=True)]  # fmt: skip
    for name in ("displacement", "gradient_displacement"):
        if name in found.quantities:
            beta = found.frontier(name).beta
            for i, row in enumerate(rows):
                row[f"{name}.frontier"] = beta[i]._plain_()
    points = [
        {"hurst": h, "beta": b, **{f"log10_{name}": found.estimate(name)[i, j]._plain_() for name in found.quantities}}
        for i, h in enumerate(found.hurst.tolist())
        for j, b in enumerate(found.beta.tolist())
    ]
    return {**_progress(found), "rows": rows, "points": points}


def trained_map_record(found: TrainedHeatMap) -> Plain:
    """Return the plan and progress of a map after training, and a record for each of its points."""
    rows = [{"hurst": h, "networks": n, "seed": s} for h, n, s in
            zip(found.hurst.tolist(), found.networks.tolist(), found.seeds, strict=True)]  # fmt: skip
    names = {name: "log10_growth" if name == "growth" else name for name in found.quantities}
    rates, failed = found.learning_rate.tolist(), found.failed.tolist()
    points = [
        {
            "hurst": h,
            "beta": b,
            "learning_rate": rates[i][j],
            "failed": failed[i][j],
            **{key: found.estimate(name)[i, j]._plain_() for name, key in names.items()},
        }
        for i, h in enumerate(found.hurst.tolist())
        for j, b in enumerate(found.beta.tolist())
    ]
    return {**_progress(found), "rows": rows, "points": points}


def moment_sweep_record(found: MomentSweep) -> Plain:
    """Return the plan and progress of a sweep of moments, and a record for each of its points."""
    log_moment, exact, scatter = found.log_moment.reshape((-1,)), found.exact.ravel(), found.scatter.ravel()
    points = [
        {
            "point": found.plan.describe(i),
            "model": row.model.to_dict(),
            "q": row.q,
            "seed": row.seed,
            "populations": populations,
            "log_moment": {**log_moment[i]._plain_(), "exact": float(exact[i])},
            "scatter": float(scatter[i]),
        }
        for i, (row, populations) in enumerate(zip(found.plan.rows, found.populations.ravel().tolist(), strict=True))
    ]
    return {**_progress(found), "points": points}


def _progress(found: HeatMap | TrainedHeatMap | MomentSweep) -> Plain:
    """Return the plan of a map or of moments, and how far it is."""
    return {
        "kind": found.kind,
        "store": str(found.store),
        "plan": found.plan.to_dict(),
        "networks": int(found.networks.sum()),
        "complete": found.complete,
        "points_complete": found.points_complete,
        "shards": found.shards,
        "damaged": found.damaged,
        "numerics": found.numerics,
    }


def regime_record(found: Regime) -> Plain:
    """Return a regime's model and run, the medians by depth, and both verdicts."""
    sim = found.simulations[0]
    verdicts = {
        name: {f.name: getattr(verdict, f.name) for f in fields(verdict)}
        for name, verdict in (("forward", found.forward), ("backward", found.backward))
    }
    return {
        "model": without_depth(found.model),
        "networks": sim.networks,
        "seed": sim.seed,
        "method": sim.method,
        "numerics": sim.numerics,
        "depths": found._table().records(),
        **verdicts,
    }


def limit_record(found: DepthLimit | OdeLimit) -> Plain:
    """Return the model and run of a simulated depth limit, and a record for each of its quantities.

    Where networks were compared with their own equations there is a record for each depth, and the slopes.
    """
    record: Plain = {
        "model": without_depth(found.model),
        "equation": found.equation,
        "networks": found.networks,
        "seed": found.seed,
    }
    record |= {name: getattr(found, name) for name in ("steps", "exploded") if hasattr(found, name)}
    record["quantities"] = found._table().records()
    convergence = getattr(found, "convergence", None)
    if convergence is not None:
        record["distances"] = convergence._table().records()
        names = ("forward_slope", "backward_slope", "order", "backward_order")
        record |= {name: getattr(convergence, name) for name in names}
    return record


RECORDS: dict[str, Callable[[Any], Plain]] = {  # by the kind of the result
    "simulation": simulation_record,
    "sweep": sweep_record,
    "heat map": heat_map_record,
    "trained heat map": trained_map_record,
    "moment sweep": moment_sweep_record,
}
