"""Residual networks beside ordinary differential equations: is a deep network a discretised one, and what follows?

Every name is imported when it is asked for; those that need torch (the extra ``resmc[torch]``) import it then.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .experiments.ode.adjoint_errors import AdjointErrors, adjoint_errors
    from .experiments.ode.distance import Distance, distance
    from .experiments.ode.linear import LinearDescent, linear_descent
    from .experiments.ode.weights import WeightFunction
    from .torch_module.ode import ResidualODE
    from .torch_module.recovery import AdjointWarning

__all__ = [
    "AdjointErrors",
    "AdjointWarning",
    "Distance",
    "LinearDescent",
    "ResidualODE",
    "WeightFunction",
    "adjoint_errors",
    "distance",
    "linear_descent",
]

HOMES = {  # files of the public names
    "AdjointErrors": "experiments.ode.adjoint_errors",
    "AdjointWarning": "torch_module.recovery",
    "Distance": "experiments.ode.distance",
    "LinearDescent": "experiments.ode.linear",
    "ResidualODE": "torch_module.ode",
    "WeightFunction": "experiments.ode.weights",
    "adjoint_errors": "experiments.ode.adjoint_errors",
    "distance": "experiments.ode.distance",
    "linear_descent": "experiments.ode.linear",
}


def __getattr__(name: str) -> Any:
    """Imports the file of a public name when it is asked for, so that nothing is loaded that is not used."""
    if name in HOMES:
        return getattr(importlib.import_module(f".{HOMES[name]}", __package__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
