"""Between a model and what the kernels simulate, in float32.

A `ResNet` is normalised: alpha^2 + lam^2 = 1, unit input. Any other network keeps its own units, but for the size of
its input where that only rescales it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.residual_network import Model, ResidualNetwork
from ..models.resnet import ResNet
from ..models.spelling import general as general_spelling


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


SEGMENT_BYTES = 1 << 19  # of the layers that a pack of networks keeps for the way back: they should stay in a cache
LARGEST_PACK_BYTES = 128
KEEP_RANGE = 100.0  # powers of two between the units of two neighbouring layers


def native_residual(model: Model, gradients: bool) -> dict[str, Any]:
    """Any network as the general kernels take it: by layers, and backwards with ``gradients``.

    Raises
    ------
    ValueError
        For a `ResNet` whose layers differ in size by more than 2^100.
    """
    resnet = model.as_resnet
    general = general_spelling(model if resnet is None else resnet)
    n, depth = general.width, general.depth
    segment = depth
    if gradients:
        vector = (n + 3) // 4 * 4 * LARGEST_PACK_BYTES
        segment = min(depth, max(math.isqrt(depth) + 1, SEGMENT_BYTES // vector))
    out: dict[str, Any] = {
        "block": general.residual_block.number,
        "activation": general.sigma.number,
        "law": general.weight_law.number,
        "homogeneous": general.homogeneous,
        "grounded": general.bias > 0.0 or general.sigma.at_zero != 0.0,
        "inside": general.inside,
        "gradients": gradients,
        "segment": segment,
        "n_in": 0,
        "input": np.zeros(0, np.float32),
        "bias": float(np.float32(general.bias * math.sqrt(n))),
        "bias_square": float(np.float32(general.bias**2 * n)),
        "size": 1.0 if general.homogeneous else float(np.float32(general.size)),
        "keep": 1.0,
    }
    if resnet is not None:
        halving = 0.5 * resnet.log_scale / math.log(2.0)
        if abs(halving) > KEEP_RANGE:
            said = f"alpha={resnet.alpha!r} and lam={resnet.lam!r} are"
            if isinstance(model, ResidualNetwork):
                said = f"carry={model.carry!r} and scaling={model.scaling!r} are"
            raise ValueError(
                f"{said} not allowed with gradients or displacement: layers must differ in size by less than 2^100"
            )
        network = native_network(resnet)
        steps = np.full(depth, network["step"], np.float32)
        return out | network | {"steps": steps, "keep": float(np.float32(math.exp(-0.5 * resnet.log_scale)))}
    outer = 1.0 if general.block == "phi-out" else 1.0 / math.sqrt(n)
    carry = float(np.float32(general.carry))
    out |= {
        "width": n, "depth": depth, "n_out": general.n_out, "carry": carry, "carry_mantissa": carry,
        "carry_exponent": 0, "step": 0.0, "readout": float(np.float32(1.0 / math.sqrt(n))),
        "steps": (general.scales * outer).astype(np.float32),
    }  # fmt: skip
    if general.inputs.explicit:
        size = general.size if general.homogeneous else 1.0
        x = np.array(general.inputs.x) / (math.sqrt(len(general.inputs.x)) * size)
        out |= {"n_in": len(x), "input": np.concatenate([np.zeros(4), x, np.zeros(8)]).astype(np.float32)}
    return out


def ratio_offsets(model: Model, layers: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """What separates the kernels' logarithms of ratios from the model's, by layer.

    Of a `ResNet` its normalisation; of all homogeneous networks what rounding alpha or carry and the scaling to float32
    takes away, as in `rounding_correction`. Networks that cannot be rescaled have none: there a layer's rounding has no
    one effect, some 1e-8 of the norm at most.
    """
    resnet = model.as_resnet
    if resnet is not None:
        each = np.full(model.depth, resnet.log_scale + rounding_correction(resnet))
    else:
        assert isinstance(model, ResidualNetwork)
        each = _rounding_by_layer(model)
    sums = np.concatenate([[0.0], np.cumsum(each)])
    there, back = sums[layers], sums[-1] - sums[layers]
    return {"growth": there, "displacement": there, "gradient": back, "gradient_displacement": back}


def _rounding_by_layer(model: ResidualNetwork) -> NDArray[np.float64]:
    """log E|h'|^2/|h|^2 of every layer less that of the rounded one, a branch having the norm s sqrt(E sigma(g)^2)."""
    if not model.homogeneous:
        return np.zeros(model.depth)
    gain, outer = model.sigma.mean_square(), 1.0 if model.block == "phi-out" else 1.0 / math.sqrt(model.width)
    carry = float(np.float32(model.carry))
    scales = (model.scales * outer).astype(np.float32).astype(np.float64) / outer
    exact, rounded = (c**2 + gain * s**2 for c, s in ((model.carry, model.scales), (carry, scales)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rounded > 0.0, np.log(exact / rounded), 0.0)


def rounding_correction(model: ResNet) -> float:
    """What every layer lacks in log-norm because alpha and lam were rounded to float32.

    With carry a and step c the kernel's E|z_{l+1}|^2/|z_l|^2 is a^2 + c^2 n/2 instead of 1; minus its logarithm, about
    1e-8, would add up to 1e-2 at depth 10^6. (A network that never fires again drifts by as much through the float32
    mantissa of alpha, which this leaves alone.)
    """
    network = native_network(model)
    return -math.log(network["carry"] ** 2 + network["step"] ** 2 * model.width / 2.0)


def log_norm_offsets(model: Model, layers: NDArray[np.int64]) -> NDArray[np.float64]:
    """What separates the kernels' log-norms from the model's, by layer: l log s + 2 log input_norm + l correction."""
    resnet = model.as_resnet
    if resnet is not None:
        correction = rounding_correction(resnet)
        return np.array([resnet.log_norm_offset(layer) + layer * correction for layer in layers.tolist()])
    assert isinstance(model, ResidualNetwork)
    size = 2.0 * math.log(model.size) if model.homogeneous else 0.0
    return ratio_offsets(model, layers)["growth"] + size
