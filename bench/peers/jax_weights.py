"""Explicit weights in JAX: one network is a `lax.scan` over its layers, `vmap` makes a batch of it, under `jit`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from .jax_projected import on_devices
from .problem import SCALE, Floats, Problem


def batched(
    problem: Problem,
    networks: int,
    seed: int,
    *,
    batch: int = 16,
    threads: int = 1,
    generator: str = "threefry2x32",
    devices: int = 1,
) -> Floats:
    """Weights drawn afresh for each layer of each network."""
    return on_devices(_mapped(problem, batch), networks, seed, batch, generator, devices)


@cache
def _mapped(problem: Problem, batch: int) -> Callable[[Any], Any]:
    n, alpha, step = problem.width, problem.alpha, problem.step

    def layer(z: Any, key: Any) -> tuple[Any, None]:
        key, other = jax.random.split(key)
        signed = z if problem.variant == "vanilla" else z * jax.random.rademacher(other, (n,), jnp.float32)
        return alpha * z + step * (jax.random.normal(key, (n, n), jnp.float32) @ jnp.maximum(signed, 0.0)), None

    def network(key: Any) -> Any:
        keys = jax.random.split(key, problem.depth + 1)
        z, _ = jax.lax.scan(layer, SCALE * jax.random.normal(keys[0], (n,), jnp.float32), keys[1:])
        return z

    return jax.jit(lambda key: jax.vmap(network)(jax.random.split(key, batch)))  # type: ignore[no-any-return]
