"""Residual networks beside ordinary differential equations: is a deep network a discretised one, and what follows?

Every name is imported when it is asked for; those that need torch (the extra ``resmc[torch]``) import it then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._system.facade import facade

if TYPE_CHECKING:
    from .experiments.ode.adjoint_errors import AdjointErrors, adjoint_errors
    from .experiments.ode.distance import Distance, distance
    from .experiments.ode.linear import LinearDescent, linear_descent
    from .experiments.ode.success import Success, success
    from .experiments.ode.weights import WeightFunction
    from .torch_module.ode import ResidualODE
    from .torch_module.recovery import AdjointWarning

__all__ = [
    "AdjointErrors",
    "AdjointWarning",
    "Distance",
    "LinearDescent",
    "ResidualODE",
    "Success",
    "WeightFunction",
    "adjoint_errors",
    "distance",
    "linear_descent",
    "success",
]

HOMES = {  # files of the public names
    "AdjointErrors": "experiments.ode.adjoint_errors",
    "AdjointWarning": "torch_module.recovery",
    "Distance": "experiments.ode.distance",
    "LinearDescent": "experiments.ode.linear",
    "ResidualODE": "torch_module.ode",
    "Success": "experiments.ode.success",
    "WeightFunction": "experiments.ode.weights",
    "adjoint_errors": "experiments.ode.adjoint_errors",
    "distance": "experiments.ode.distance",
    "linear_descent": "experiments.ode.linear",
    "success": "experiments.ode.success",
}

__getattr__, __dir__ = facade(__name__, HOMES)
