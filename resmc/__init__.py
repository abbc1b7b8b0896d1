"""resmc: millions of independent random residual networks at once, and what they say about deep learning theory.

>>> import resmc
>>> sim = resmc.simulate(width=200, depth=200, alpha=0.5**0.5, lam=0.5**0.5, variant="vanilla", networks=100_000)
>>> print(sim.summary())

`simulate` returns a `Simulation`; its methods `log_gaussian_fit`, `hypoactivation`, `interlayer_correlations` and
`variance_growth` return estimates with standard errors and the theory beside them. `Sweep` simulates many models into a
directory from which nothing is lost. `plot` draws all of these, and `report` writes them as a page. `theory` holds the
closed forms, `reference` a slow and readable NumPy twin of the kernels.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._system.build import build_info
from ._system.stopping import Stopped, stop
from .engine.cuda.device import DeviceError
from .models.activation_families import elu, leaky_relu, shaped_relu
from .models.processes import FractionalNoise, Mixture, SmoothProcess
from .models.residual_network import ResidualNetwork
from .models.resnet import ResNet
from .models.scaling import DepthScaling
from .models.user_activation import Activation
from .models.user_law import QuantileLaw
from .models.weights import Weights
from .results.estimates import Estimate, KSDistance
from .simulation import Simulation, load, merge, simulate

if TYPE_CHECKING:
    from . import analyses, ode, plot, reference, report, theory, train
    from .analyses import (
        RoughnessExponent,
        ScalingExponents,
        extrapolate,
        roughness_exponent,
        scaling_exponents,
    )
    from .experiments.depth_limit import DepthLimit
    from .experiments.frontier import FrontierSlopes, frontier
    from .experiments.gram_chain import GramChain, gram_chain
    from .experiments.heat_map import HeatMap
    from .experiments.jacobian import jacobian_singular_values
    from .experiments.limit import limit
    from .experiments.moment_run import MomentRun
    from .experiments.moments import moment_growth
    from .experiments.ode_limit import OdeLimit
    from .experiments.quadratic_variation import QuadraticVariation, quadratic_variation
    from .experiments.rates import RateFunction, rate_function
    from .experiments.regime import regime
    from .experiments.singular_values import SingularValues
    from .experiments.trend_limit import TrendNoiseLimit
    from .sweep import (
        MomentSweep,
        Sweep,
        SweepResult,
        heat_map,
        load_heat_map,
        load_moment_sweep,
        load_sweep,
        moment_sweep,
    )
    from .torch_module.reading import from_torch

__all__ = [
    "Activation",
    "DepthLimit",
    "DepthScaling",
    "DeviceError",
    "Estimate",
    "FractionalNoise",
    "FrontierSlopes",
    "GramChain",
    "HeatMap",
    "KSDistance",
    "Mixture",
    "MomentRun",
    "MomentSweep",
    "OdeLimit",
    "QuadraticVariation",
    "QuantileLaw",
    "RateFunction",
    "ResNet",
    "ResidualNetwork",
    "RoughnessExponent",
    "ScalingExponents",
    "Simulation",
    "SingularValues",
    "SmoothProcess",
    "Stopped",
    "Sweep",
    "SweepResult",
    "TrendNoiseLimit",
    "Weights",
    "analyses",
    "build_info",
    "elu",
    "extrapolate",
    "from_torch",
    "frontier",
    "gram_chain",
    "heat_map",
    "jacobian_singular_values",
    "leaky_relu",
    "limit",
    "load",
    "load_heat_map",
    "load_moment_sweep",
    "load_sweep",
    "merge",
    "moment_growth",
    "moment_sweep",
    "ode",
    "plot",
    "quadratic_variation",
    "rate_function",
    "reference",
    "regime",
    "report",
    "roughness_exponent",
    "scaling_exponents",
    "shaped_relu",
    "simulate",
    "stop",
    "theory",
    "train",
]


ANALYSES = ("RoughnessExponent", "ScalingExponents", "extrapolate", "roughness_exponent", "scaling_exponents")
SWEEPS = (
    "MomentSweep",
    "Sweep",
    "SweepResult",
    "heat_map",
    "load_heat_map",
    "load_moment_sweep",
    "load_sweep",
    "moment_sweep",
)
EXPERIMENTS = {  # files of the experiments' public names
    "DepthLimit": "depth_limit",
    "FrontierSlopes": "frontier",
    "GramChain": "gram_chain",
    "HeatMap": "heat_map",
    "MomentRun": "moment_run",
    "OdeLimit": "ode_limit",
    "QuadraticVariation": "quadratic_variation",
    "RateFunction": "rates",
    "SingularValues": "singular_values",
    "TrendNoiseLimit": "trend_limit",
    "frontier": "frontier",
    "gram_chain": "gram_chain",
    "jacobian_singular_values": "jacobian",
    "limit": "limit",
    "moment_growth": "moments",
    "quadratic_variation": "quadratic_variation",
    "rate_function": "rates",
    "regime": "regime",
}


def __getattr__(name: str) -> Any:
    """Imports what needs SciPy only when it is asked for, so that ``import resmc`` stays quick."""
    if name in ("analyses", "ode", "plot", "reference", "report", "theory", "train"):
        return importlib.import_module(f".{name}", __name__)
    if name == "__version__":
        return build_info()["version"]
    if name in SWEEPS:
        return getattr(importlib.import_module(".sweep", __name__), name)
    if name in ANALYSES:
        return getattr(importlib.import_module(".analyses", __name__), name)
    if name in EXPERIMENTS:
        return getattr(importlib.import_module(f".experiments.{EXPERIMENTS[name]}", __name__), name)
    if name == "from_torch":
        return importlib.import_module(".torch_module.reading", __name__).from_torch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
