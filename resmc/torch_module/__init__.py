"""Random residual networks with their weights written out, as torch modules, and residual networks of any branches.

`resnet` and `residual` have the modules, made of a model alone; `fill` gives them their weights; `ode` has networks of
functions that a user brings, on the same schemes and with the same adjoint. The random numbers are those of
`resmc.reference.simulate` and `resmc.reference.simulate_residual` with ``method="dense"``: the same seed and network
number give the same weights, and so the same path, here and there.
"""

from __future__ import annotations

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError("networks as torch modules need PyTorch: install it with `pip install resmc[torch]`") from error

from .fill import explicit, fill, fill_from_arrays, fill_from_generator
from .ode import ResidualODE
from .residual import ExplicitResidualNetwork
from .resnet import ExplicitResNet

__all__ = [
    "ExplicitResNet",
    "ExplicitResidualNetwork",
    "ResidualODE",
    "explicit",
    "fill",
    "fill_from_arrays",
    "fill_from_generator",
]
