"""One random residual network with its weights written out, as a torch module.

The random numbers are those of `resmc.reference.simulate` and `resmc.reference.simulate_residual` with
``method="dense"``: the same seed and network number give the same weights, and so the same path, here and there.
"""

from __future__ import annotations

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError("networks as torch modules need PyTorch: install it with `pip install resmc[torch]`") from error

from .residual import ExplicitResidualNetwork, explicit_residual_network
from .resnet import ExplicitResNet, explicit_network

__all__ = ["ExplicitResNet", "ExplicitResidualNetwork", "explicit_network", "explicit_residual_network"]
