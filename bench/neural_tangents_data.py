"""``python -m bench.neural_tangents_data``: infinite-width kernels of google/neural-tangents, as data for a test.

Writes tests/data/neural_tangents.json: networks as resmc spells them, their inputs, and what neural-tangents finds in
float64, the covariance of the last layer (NNGP) and the tangent kernel (NTK). It needs an environment of its own, since
neural-tangents wants an older JAX: ``pip install jax==0.4.30 jaxlib==0.4.30 frozendict`` and, without TensorFlow,
``pip install --no-deps neural-tangents==0.6.5``. Networks are made of `stax` layers in the NTK parametrisation: first
layer, residual layers and readout; a branch of phi-in, say, is ``serial(Relu(), Dense(n, W_std=s))``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

TARGET = Path(__file__).resolve().parents[1] / "tests" / "data" / "neural_tangents.json"
INPUTS = [[0.5, -1.2, 0.8], [0.9, -0.7, 0.1], [-1.5, 0.3, 2.0]]
DEPTH, SCALE = 3, 0.8

# Blocks, activations and carries: what neural-tangents has closed forms for, and a tanh by quadrature. A sum of a skip
# and of what an activation gives out is no Gaussian, so that it has no phi-out with a skip. Biases there are trained,
# which leaves networks without.
CASES = [
    ("phi-in", "relu", 0.0),
    ("phi-out", "relu", 0.0),
    ("phi-in", "relu", 1.0),
    ("v-phi-w", "relu", 1.0),
    ("phi-in", "leaky_relu", 1.0),
    ("phi-in", "gelu", 1.0),
    ("v-phi-w", "gelu", 1.0),
    ("phi-out", "gelu", 0.0),
    ("phi-in", "linear", 1.0),
    ("phi-in", "tanh", 1.0),
    ("v-phi-w", "tanh", 0.0),
]


def network(block: str, activation: str, carry: float) -> Any:
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
        "tanh": lambda: stax.ElementwiseNumerical(jax.numpy.tanh, deg=240),
    }
    branch = {
        "phi-in": [sigma[activation](), dense(SCALE)],
        "phi-out": [dense(1.0), sigma[activation]()],
        "v-phi-w": [dense(1.0), sigma[activation](), dense(SCALE)],
    }[block]
    layer = stax.serial(*branch)
    if carry:
        layer = stax.serial(stax.FanOut(2), stax.parallel(stax.Identity(), layer), stax.FanInSum())
    return stax.serial(dense(1.0), *[layer] * DEPTH, dense(1.0))


def main() -> None:
    """Find all kernels and write them."""
    import jax

    jax.config.update("jax_enable_x64", True)
    x = np.array(INPUTS)
    found = []
    for block, activation, carry in CASES:
        _, _, kernel = network(block, activation, carry)
        kernels = kernel(x, None, ("nngp", "ntk"))
        found.append(
            {
                "block": block,
                "activation": activation,
                "carry": carry,
                "scale": 1.0 if block == "phi-out" else SCALE,
                "depth": DEPTH,
                "covariance": np.asarray(kernels.nngp).tolist(),
                "tangent_kernel": np.asarray(kernels.ntk).tolist(),
            }
        )
    versions = {name: metadata.version(name) for name in ("neural-tangents", "jax", "jaxlib")}
    TARGET.write_text(json.dumps({"versions": versions, "inputs": INPUTS, "cases": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
