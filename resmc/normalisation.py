"""Between a model and the normalised network that the kernels simulate: alpha^2 + lam^2 = 1, unit input, float32."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .model import ResNet


def native_network(model: ResNet) -> dict[str, Any]:
    """The normalised network as the kernels take it (csrc/include/resmc/description.hpp)."""
    alpha, lam = model.normalised
    mantissa, exponent = 0.0, 0
    if model.alpha != 0.0:
        # alpha itself may underflow beside lam, but the norm of a network that never fires again is alpha^l
        largest = max(abs(model.alpha), abs(model.lam))
        (ma, ea), (ml, el) = math.frexp(model.alpha), math.frexp(largest)
        mantissa, rest = math.frexp(ma / ml / math.hypot(model.alpha / largest, model.lam / largest))
        exponent = ea - el + rest
    tiny = 2.0**-100  # beside the other coefficient, which is near 1, a float32 network does not see less
    step = lam * math.sqrt(2.0 / model.width)
    return {
        "width": model.width,
        "depth": model.depth,
        "n_out": model.n_out,
        "carry": float(np.float32(alpha if abs(alpha) > tiny else 0.0)),
        "carry_mantissa": float(np.float32(mantissa)),
        "carry_exponent": exponent,
        "step": float(np.float32(step if abs(step) > tiny else 0.0)),
        "readout": float(np.float32(1.0 / math.sqrt(model.width))),
    }


def rounding_correction(model: ResNet) -> float:
    """What every layer lacks in log-norm because alpha and lam were rounded to float32.

    With carry a and step c the kernel's E|z_{l+1}|^2/|z_l|^2 is a^2 + c^2 n/2 instead of 1; minus its logarithm, about
    1e-8, would add up to 1e-2 at depth 10^6. (A network that never fires again drifts by as much through the float32
    mantissa of alpha, which this leaves alone.)
    """
    network = native_network(model)
    return -math.log(network["carry"] ** 2 + network["step"] ** 2 * model.width / 2.0)


def log_norm_offsets(model: ResNet, layers: NDArray[np.int64]) -> NDArray[np.float64]:
    """What separates the kernels' log-norms from the model's, by layer: l log s + 2 log input_norm + l correction."""
    correction = rounding_correction(model)
    return np.array([model.log_norm_offset(layer) + layer * correction for layer in layers.tolist()])
