"""One random residual network with its weights written out, as a torch module.

`resnet` and `residual` have the modules, made of a model alone; `fill` gives them their weights. The random numbers are
those of `resmc.reference.simulate` and `resmc.reference.simulate_residual` with ``method="dense"``: the same seed and
network number give the same weights, and so the same path, here and there.
"""

from __future__ import annotations

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError("networks as torch modules need PyTorch: install it with `pip install resmc[torch]`") from error

from .fill import explicit, fill
from .residual import ExplicitResidualNetwork
from .resnet import ExplicitResNet

__all__ = ["ExplicitResNet", "ExplicitResidualNetwork", "explicit", "fill"]
