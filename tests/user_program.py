"""A program as a user writes it, for the type checker alone: `tests/test_types.py`."""

from __future__ import annotations

import numpy as np

import resmc

model = resmc.ResidualNetwork(8, 4, "v-phi-w", "tanh", scaling=resmc.DepthScaling(0.5))
sweep = resmc.Sweep(width=[8, 16], ratio=np.array([0.5, 1.0]), alpha=0.6, lam=0.8, variant="vanilla", networks=1e3)
listed = resmc.Sweep([model, resmc.ResNet(8, 4, 0.6, 0.8)], target_stderr={"log_norm.mean": 0.1}, max_networks=10_000)
result: resmc.SweepResult = sweep.run("store", engine="threads", workers=2, progress=False)
first: resmc.ResNet | resmc.ResidualNetwork = result.plan.models[0]
sim: resmc.Simulation = result.simulation(width=8, ratio=0.5)
estimate: resmc.Estimate = sim.log_norm_variance[-1]
doubled: resmc.Estimate = 2.0 * estimate - estimate / estimate**2 + abs(-estimate)
several: list[resmc.Estimate] = list(sim.log_norm_mean)
number: float = float(doubled)
values: np.ndarray = np.asarray(estimate)
text: str = f"{estimate:.3f} {sim.summary()}" + str(result.summary(80))
rows: int = len(sim.summary().to_dataframe()) + len(sim.summary().records())
sign: int = estimate.to_dataframe().size + sweep.estimate(device="cpu").points
judged: resmc.analyses.Regime = resmc.regime(model, depths=[10, 30, 100], networks=1e3, progress=lambda done, n: None)
limit: resmc.DepthLimit | resmc.OdeLimit = resmc.limit(model, networks=1000)
