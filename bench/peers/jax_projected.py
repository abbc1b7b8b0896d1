"""The projected trick in JAX: `lax.scan` over the layers under `jit`, in float32 on a batch of networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .problem import SCALE, Floats, Problem, log_norms


def projected(
    problem: Problem,
    networks: int,
    seed: int,
    *,
    batch: int = 256,
    threads: int = 1,
    generator: str = "threefry2x32",
    devices: int = 1,
) -> Floats:
    """z <- alpha z + lam sqrt(2/n) |phi(z)| g; batches go round the devices, which work at the same time.

    A CPU is one device with all its threads, or as many as --xla_force_host_platform_device_count says.
    """
    return on_devices(_scanned(problem, batch), networks, seed, batch, generator, devices)


@cache
def _scanned(problem: Problem, batch: int) -> Callable[[Any], Any]:
    shape, alpha, step = (batch, problem.width), problem.alpha, problem.step

    def layer(z: Any, key: Any) -> tuple[Any, None]:
        if problem.variant == "vanilla":
            active = jnp.maximum(z, 0.0)
        else:  # relu(s z) has the norm of z over the neurons with s = sign z: a fair bit each, whatever z
            key, other = jax.random.split(key)
            active = z * (jax.random.bits(other, shape, jnp.uint8) & 1)
        norm = jnp.sqrt(jnp.sum(jnp.square(active), axis=1, keepdims=True))
        return alpha * z + step * norm * jax.random.normal(key, shape, jnp.float32), None

    def simulate(key: Any) -> Any:
        first, *_ = keys = jax.random.split(key, problem.depth + 1)
        z, _ = jax.lax.scan(layer, SCALE * jax.random.normal(first, shape, jnp.float32), keys[1:])
        return z

    return jax.jit(simulate)  # type: ignore[no-any-return]


def on_devices(
    simulate: Callable[[Any], Any], networks: int, seed: int, batch: int, generator: str, devices: int
) -> Floats:
    """Log-norms from one call of ``simulate`` per batch, which returns z_d of its networks."""
    places = jax.devices("cpu")[:devices]
    keys = jax.random.split(jax.random.key(seed, impl=generator), -(-networks // batch))
    found = [simulate(jax.device_put(key, places[i % len(places)])) for i, key in enumerate(keys)]
    return np.concatenate([log_norms(np.asarray(part)) for part in found])[:networks]
