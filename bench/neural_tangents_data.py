"""``python -m bench.neural_tangents_data``: infinite-width kernels of google/neural-tangents, as data for tests.

Writes tests/data/neural_tangents.json: networks as resmc spells them, their inputs, and what neural-tangents finds in
float64, the covariance of the last layer (NNGP) and the tangent kernel (NTK). It needs an environment of its own, since
neural-tangents wants an older JAX: ``pip install jax==0.4.30 jaxlib==0.4.30 frozendict`` and, without TensorFlow,
``pip install --no-deps neural-tangents==0.6.5``. Networks are made of `stax` layers in the NTK parametrisation: first
layer, residual layers and readout; a branch of phi-in, say, is ``serial(Relu(), Dense(n, W_std=s))``.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

TARGET = Path(__file__).resolve().parents[1] / "tests" / "data" / "neural_tangents.json"
INPUTS = [[0.6, -1.1, 0.4], [1.2, 0.3, -0.5], [-0.5, 0.9, 0.7]]
NODES = 240  # of a quadrature, in each of two directions


def case(block: str, activation: str, scale: float, depth: int, carry: float = 1.0) -> dict[str, Any]:
    """Return the fields of a `resmc.ResidualNetwork`."""
    scaling = [scale] * depth
    return {"block": block, "activation": activation, "carry": carry, "scaling": scaling, "width": 64, "depth": depth}


# What neural-tangents has closed forms for, and tanh by quadrature. The sum of a skip and of what an activation gives
# out is no Gaussian, so that it has no phi-out with a skip; scalings there would be layers of their own. Biases are
# trained there, which leaves networks without.
NETWORKS = [
    case("phi-in", "relu", math.sqrt(2.0), 4, 0.0),
    case("phi-in", "leaky_relu", 1.4, 3, 0.0),
    case("phi-in", "gelu", 1.5, 3, 0.0),
    case("phi-out", "relu", 1.0, 3, 0.0),
    case("phi-out", "gelu", 1.0, 3, 0.0),
    case("phi-in", "relu", 0.8, 5),
    case("phi-in", "leaky_relu", 0.8, 3),
    case("v-phi-w", "relu", 0.8, 5),
    case("v-phi-w", "gelu", 0.8, 3),
    case("phi-in", "linear", 0.8, 3),
]
BY_QUADRATURE = [case("phi-in", "tanh", 0.8, 3), case("v-phi-w", "tanh", 0.8, 3, 0.0)]


def network(model: dict[str, Any]) -> Any:
    """Return the stax network of a case: (init, apply, kernel)."""
    import jax

    # Its experiments alone want TensorFlow, and the package imports them.
    sys.modules.setdefault("neural_tangents.experimental", ModuleType("neural_tangents.experimental"))
    from neural_tangents import stax

    def dense(size: float) -> Any:
        return stax.Dense(1, W_std=size, b_std=None, parameterization="ntk")

    sigma: dict[str, Callable[[], Any]] = {
        "relu": stax.Relu,
        "leaky_relu": lambda: stax.LeakyRelu(0.01),
        "gelu": lambda: stax.Gelu(approximate=False),
        "linear": stax.Identity,
        "tanh": lambda: stax.ElementwiseNumerical(jax.numpy.tanh, deg=NODES),
    }

    def layer(scale: float) -> Any:
        activation = sigma[model["activation"]]()
        branch = {
            "phi-in": [activation, dense(scale)],
            "phi-out": [dense(1.0), activation],
            "v-phi-w": [dense(1.0), activation, dense(scale)],
        }[model["block"]]
        if model["carry"] == 0.0:
            return stax.serial(*branch)
        return stax.serial(stax.FanOut(2), stax.parallel(stax.Identity(), stax.serial(*branch)), stax.FanInSum())

    return stax.serial(dense(1.0), *map(layer, model["scaling"]), dense(1.0))


def found(model: dict[str, Any]) -> dict[str, Any]:
    """Return a case with its kernels."""
    _, _, kernel = network(model)
    kernels = kernel(np.array(INPUTS), None, ("nngp", "ntk"))
    covariance, tangent_kernel = (np.asarray(one).tolist() for one in (kernels.nngp, kernels.ntk))
    return {"model": model, "covariance": covariance, "tangent_kernel": tangent_kernel}


def main() -> None:
    """Find all kernels and write them, a row of a matrix to a line."""
    import jax

    jax.config.update("jax_enable_x64", True)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("neural-tangents", "jax"))
    record = {
        "made_by": f"{versions}, float64",
        "inputs": INPUTS,
        "networks": [found(model) for model in NETWORKS],
        "by_quadrature": [found(model) for model in BY_QUADRATURE],
    }
    text = json.dumps(record, indent=1)
    TARGET.write_text(re.sub(r"\[([^][{}]*)\]", lambda row: f"[{' '.join(row[1].split())}]", text) + "\n")


if __name__ == "__main__":
    main()
