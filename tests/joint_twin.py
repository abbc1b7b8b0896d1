"""The NumPy twin in the place of `resmc._native.joint`: the same arguments, the same arrays filled."""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any

import numpy as np

from resmc.models.activation_table import MOST_KINKS
from resmc.models.activations import ACTIVATIONS
from resmc.models.blocks import BLOCKS
from resmc.models.normalisation import NORMS, PLACES
from resmc.models.residual_network import ResidualNetwork
from resmc.models.scaling import DepthScaling
from resmc.models.user_activation import Activation
from resmc.models.user_law import QuantileLaw
from resmc.models.weight_law import WEIGHTS
from resmc.reference import METHODS, simulate_joint

Arrays = dict[str, np.ndarray]


def activation_of(network: dict[str, Any]) -> str | Activation:
    """Return the activation that kernels are told of."""
    if network["activation"] < len(ACTIVATIONS):
        return list(ACTIVATIONS)[network["activation"]]
    above, below = network["kinks_above"], network["kinks_below"]
    head, cells = network["table"][: 2 * MOST_KINKS], network["table"][2 * MOST_KINKS :]
    kinks = [*-head[MOST_KINKS : MOST_KINKS + below][::-1], *head[:above]]
    return Activation.from_dict({
        "name": "own", "table": base64.b64encode(zlib.compress(cells.tobytes())).decode(), "fine": network["fine"],
        "octaves": network["octaves"], "kinks": kinks, "slope_at_zero": None, "curvature_at_zero": None,
    })  # fmt: skip


def norm_of(network: dict[str, Any]) -> dict[str, Any]:
    """Return what the kernels are told of a norm, as fields of a network."""
    places = {(place.before, place.branch, place.after): name for name, place in PLACES.items()}
    place = tuple(bool(network[f"norm_{where}"]) for where in ("before", "branch", "after"))
    names = [name for name, norm in NORMS.items() if norm.number == network["norm"]]
    return {"norm": names[0], "norm_at": places[place], "eps": float(network["norm_eps"])} if names else {}


def model_of(network: dict[str, Any]) -> ResidualNetwork:
    """Return the network that kernels are told of, with its coefficients in the kernels' units."""
    n, depth = network["width"], network["depth"]
    block = list(BLOCKS)[network["block"]]
    bare = block == "phi-out" or network["norm_branch"]  # steps are not divided by the root of a row's entries
    scales = np.asarray(network["steps"], np.float64) * (1.0 if bare else math.sqrt(n))
    scaling = DepthScaling(0.0, float(scales[0]), inside=True) if network["inside"] else tuple(scales.tolist())
    return ResidualNetwork(
        n, depth, block, activation_of(network), network["carry"], scaling,
        law_of(network), network["bias"] / math.sqrt(n), **norm_of(network),
        keep=network["kept_below"] / 2.0**32 if network["kept_below"] else 1.0,
    )  # fmt: skip


def law_of(network: dict[str, Any]) -> str | QuantileLaw:
    """Return the weight law that kernels are told of."""
    if network["weight_law"] < len(WEIGHTS):
        return list(WEIGHTS)[network["weight_law"]]
    cells = network["weight_table"][2 * MOST_KINKS :]
    packed = base64.b64encode(zlib.compress(cells.tobytes())).decode()
    return QuantileLaw.from_dict({"name": "own", "table": packed, "fine": network["weight_fine"]})


def joint(
    network: dict[str, Any],
    job: dict[str, Any],
    layers: np.ndarray,
    arrays: Arrays,
    threads: int = 1,
    instructions: str = "",
    report: Any = None,
) -> None:
    """Fill the arrays of a joint run, networks last, from place ``row_first`` on."""
    model, count, backward = model_of(network), job["networks"], bool(job["backward"])
    start, explicit = arrays["start"], "rows" in arrays
    if explicit:
        start = arrays["rows"][:, 4:-8] * (np.linalg.norm(start, axis=1)[:, None] * math.sqrt(network["n_in"]))
    paths = simulate_joint(
        model, start, count, job["seed"], job["first"], METHODS[job["method"]], layers.tolist(),
        backward=backward, explicit=explicit, independent_backward=bool(job["independent"]), tangents=job["tangents"],
        reorthogonalise=job["reorthogonalise"],
    )  # fmt: skip
    first = job["row_first"]

    def put(name: str, value: np.ndarray) -> None:
        arrays[name][..., first : first + count] = value

    def put_square(name: str, log: np.ndarray) -> None:
        """Put a square, whose logarithm is given, as a number of [1, 4) and an exponent of 4."""
        exponent = np.where(np.isfinite(log), np.floor(log / math.log(4.0)), 0.0)
        put(f"{name}square", np.exp(log - math.log(4.0) * exponent))
        put(f"{name}exponent", exponent)

    for name in ("gram", "unit", "log_scale", "log_stretch"):
        put(name, getattr(paths, name))
    log_square = _log_square(paths.gram, paths.unit)
    put_square("", log_square)
    put_square("displacement_", paths.log_displacement + log_square[:1])
    if model.has_asymmetry:
        put("asymmetry", np.nan_to_num(paths.asymmetry))
        put("active", np.rint(np.nan_to_num(paths.active_fraction) * model.width))
    if backward:
        for name in ("gradient_gram", "gradient_unit", *(["kernel"] if paths.kernel is not None else [])):
            put(name, getattr(paths, name))
        log_gradient = paths.log_gradient + _log_square(paths.gradient_gram, paths.gradient_unit)[-1:]
        put_square("gradient_", log_gradient)
        put_square("gradient_displacement_", paths.log_gradient_displacement + log_gradient[-1:])
        put("overlap", np.nan_to_num(paths.overlap))


def _log_square(gram: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return ln |c_0|^2, (R, N)."""
    with np.errstate(divide="ignore"):
        return np.log(gram[:, 0]) + 2.0 * math.log(2.0) * unit[:, 0]
