"""Residual networks after training: what do the scaling with depth and the regularity of the weights do to them?

Every name is imported when it is asked for; those that need torch (the extra ``resmc[torch]``) import it then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._system.facade import facade

if TYPE_CHECKING:
    from .experiments.examples import digits
    from .experiments.train.fit import fit
    from .experiments.train.heat_map import TrainedHeatMap
    from .experiments.train.log_ratio import TrainedLogRatio, TrainedLogRatios, log_ratio
    from .experiments.train.record import Fit
    from .experiments.train.regularity import Regularity, TrainedRoughness, regularity
    from .experiments.train.scaling import TrainedScaling, scaling
    from .experiments.train.tasks import gaussian_regression, ode_task
    from .sweep.trained_map_run import heat_map, load_heat_map

__all__ = [
    "Fit",
    "Regularity",
    "TrainedHeatMap",
    "TrainedLogRatio",
    "TrainedLogRatios",
    "TrainedRoughness",
    "TrainedScaling",
    "digits",
    "fit",
    "gaussian_regression",
    "heat_map",
    "load_heat_map",
    "log_ratio",
    "ode_task",
    "regularity",
    "scaling",
]

HOMES = {  # files of the public names
    "Fit": "experiments.train.record",
    "TrainedScaling": "experiments.train.scaling",
    "Regularity": "experiments.train.regularity",
    "TrainedHeatMap": "experiments.train.heat_map",
    "TrainedLogRatio": "experiments.train.log_ratio",
    "TrainedLogRatios": "experiments.train.log_ratio",
    "TrainedRoughness": "experiments.train.regularity",
    "digits": "experiments.examples",
    "fit": "experiments.train.fit",
    "gaussian_regression": "experiments.train.tasks",
    "heat_map": "sweep.trained_map_run",
    "load_heat_map": "sweep.trained_map_run",
    "log_ratio": "experiments.train.log_ratio",
    "ode_task": "experiments.train.tasks",
    "scaling": "experiments.train.scaling",
    "regularity": "experiments.train.regularity",
}

__getattr__, __dir__ = facade(__name__, HOMES)
