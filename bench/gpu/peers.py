"""The same networks on a GPU without resmc: as good as torch and JAX allow, at width 192 and depth 200.

    python -m bench.gpu.peers [--rows FILE] [--seconds 90]

Each peer is a function ``peer(problem, networks, seed, device, **options)`` that returns the final log-norms on the
host, so that its time includes all it has to wait for. Mean and variance must lie within 5 combined standard errors of
a long run of resmc on the CPU before a peer is timed; then the best of a few batch sizes, and the median of 5 rounds.
Also normals per second: `torch.randn` against our generator alone. Exits with 1 if an answer is wrong or a peer fails.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
import torch

import resmc
from resmc.engine import cuda

from ..harness import Moments, Spread, check_answer
from ..peers import published
from ..peers.problem import Problem, steps
from .common import Floats, Rows, arguments, rate_of
from .speed import draw_rate, of

Peer = Callable[..., Floats]
PROBLEM = Problem(192, 200)
NETWORKS = 200_000  # of the reference run
LAYERS_AT_ONCE = 10  # that torch.compile sees: calling compiled code costs some microseconds of Python
EXPLICIT_BYTES = 0.25  # of the free memory for a batch's weights


class NotHere(RuntimeError):
    """A library that is missing, or has no GPU: the peer is left out, which is no failure."""


def explicit_batched(problem: Problem, networks: int, seed: int, device: Any, batch: int = 1024) -> Floats:
    """Explicit weights, fresh for each layer, a batch of networks in one matrix product."""
    n, step = problem.width, problem.lam * math.sqrt(2.0 / problem.width)
    generator = torch.Generator(device).manual_seed(seed)
    found = []
    with torch.inference_mode():
        weights = torch.empty(batch, n, n, device=device)
        branch = torch.empty(batch, n, 1, device=device)
        for _ in range(0, networks, batch):
            z = torch.randn(batch, n, 1, device=device, generator=generator)
            for _ in range(problem.depth):
                weights.normal_(generator=generator)
                torch.bmm(weights, torch.relu(z), out=branch)
                z.mul_(problem.alpha).add_(branch, alpha=step)
            found.append(_log_norms(z[:, :, 0]))
    return _joined(found, networks)


def module_loop(problem: Problem, networks: int, seed: int, device: Any) -> Floats:
    """As published: one torch.nn.Module per network, explicit weights, made and applied on the device."""
    with torch.device(device):
        return published.module_loop(problem, networks, seed)


def projected(problem: Problem, networks: int, seed: int, device: Any, batch: int = 16_384) -> Floats:
    """The projected trick on a batch, eagerly, in place, alpha folded into the step as in `torch_projected.eager`."""
    generator = torch.Generator(device).manual_seed(seed)
    found = []
    with torch.inference_mode():
        g, active = (torch.empty(batch, problem.width, device=device) for _ in range(2))
        norm = torch.empty(batch, 1, device=device)
        for _ in range(0, networks, batch):
            z = torch.randn(batch, problem.width, device=device, generator=generator)
            for factor, rescale in steps(problem):
                torch.clamp_min(z, 0.0, out=active)
                torch.linalg.vector_norm(active, dim=1, keepdim=True, out=norm)
                z.addcmul_(g.normal_(generator=generator), norm.mul_(factor))
                if rescale != 1.0:
                    z.mul_(rescale)
            found.append(_log_norms(z))
    return _joined(found, networks)


@cache
def _compiled(alpha: float, step: float, layers: int) -> Callable[[torch.Tensor], torch.Tensor]:
    def some_layers(z: torch.Tensor) -> torch.Tensor:
        for _ in range(layers):
            norm = torch.linalg.vector_norm(torch.relu(z), dim=1, keepdim=True)
            z = alpha * z + step * norm * torch.randn_like(z)
        return z

    return torch.compile(some_layers, dynamic=False)


def projected_compiled(problem: Problem, networks: int, seed: int, device: Any, batch: int = 16_384) -> Floats:
    """The same under torch.compile, which fuses the passes and draws within them; several layers to a call."""
    layers = math.gcd(problem.depth, LAYERS_AT_ONCE)
    advance = _compiled(problem.alpha, problem.lam * math.sqrt(2.0 / problem.width), layers)
    torch.manual_seed(seed)
    found = []
    with torch.no_grad():
        for _ in range(0, networks, batch):
            z = torch.randn(batch, problem.width, device=device)
            for _ in range(0, problem.depth, layers):
                z = advance(z)
            found.append(_log_norms(z))
    return _joined(found, networks)


@cache
def _scanned(problem: Problem, batch: int, platform: str) -> Callable[..., Any]:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # torch wants memory too
    if importlib.util.find_spec("jax") is None:
        raise NotHere("JAX is not installed")
    jax = importlib.import_module("jax")
    jnp = jax.numpy
    try:
        device = jax.devices("gpu" if platform == "cuda" else platform)[0]
    except RuntimeError as error:
        raise NotHere(f"JAX has no such device: {str(error).splitlines()[0]}") from error
    alpha, step = problem.alpha, problem.lam * math.sqrt(2.0 / problem.width)

    def layer(z: Any, key: Any) -> tuple[Any, None]:
        norm = jnp.sqrt(jnp.sum(jnp.square(jnp.maximum(z, 0.0)), axis=1, keepdims=True))
        return alpha * z + step * norm * jax.random.normal(key, z.shape, z.dtype), None

    @jax.jit  # type: ignore[untyped-decorator]
    def simulate(key: Any) -> Any:
        keys = jax.random.split(key, problem.depth + 1)
        z, _ = jax.lax.scan(layer, jax.random.normal(keys[0], (batch, problem.width), jnp.float32), keys[1:])
        return jnp.log(jnp.sum(z * z, axis=1) / problem.width)

    def run(seed: int, generator: str) -> Any:
        with jax.default_device(device):
            return simulate(jax.random.key(seed, impl=generator))

    return run


def jax_projected(
    problem: Problem, networks: int, seed: int, device: Any, batch: int = 16_384, generator: str = "threefry2x32"
) -> Floats:
    """The same in JAX: a scan over the layers under jit."""
    run = _scanned(problem, batch, torch.device(device).type)
    chunks = [run(1000 * seed + i, generator) for i in range(-(-networks // batch))]
    return _joined([np.asarray(chunk, np.float64) for chunk in chunks], networks)


def ours(problem: Problem, networks: int, seed: int, device: Any, batch: int = 0) -> Floats:
    """resmc itself, all included; it finds its own batches, so that ``batch`` only says in what steps to count."""
    sim = resmc.simulate(
        **asdict(problem),
        networks=networks,
        seed=seed,
        layers=[0],
        device=device,
        keep_samples=networks,
        progress=False,
    )
    return sim.samples.log_norm


def _log_norms(z: torch.Tensor) -> Floats:
    return np.asarray(torch.log(z.double().square().mean(dim=1)).cpu().numpy(), np.float64)


def _joined(found: list[Floats], networks: int) -> Floats:
    return np.concatenate(found)[:networks]


def reference(problem: Problem, networks: int) -> Moments:
    """Mean and variance of L_d from a long run of resmc on the CPU."""
    sim = resmc.simulate(**asdict(problem), networks=networks, seed=1, layers=[0], device="cpu", progress=False)
    mean, variance = sim.log_gaussian_fit().mean, sim.log_gaussian_fit().variance
    return Moments(float(mean.value), float(mean.stderr), float(variance.value), float(variance.stderr), networks)


def measure(
    peer: Peer,
    problem: Problem,
    device: Any,
    expected: Moments,
    options: list[dict[str, Any]],
    sample: int,
    seconds: float = 0.3,
    rounds: int = 5,
) -> dict[str, Any]:
    """Check, find the best of ``options``, and time it: neuron updates per second."""
    name = peer.__name__
    if name == "jax_projected" and torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
    scores = check_answer(name, peer(problem, sample, 2, device, **options[0]), expected, limit=5.0)
    tried = []
    for option in options:
        batch = option.get("batch", 1)
        try:
            peer(problem, batch, 3, device, **option)  # compiles, and fills caches of memory
            tried.append((_rate(peer, problem, batch, device, option), option))
        except torch.cuda.OutOfMemoryError:
            continue
    best, option = max(tried, key=lambda t: t[0])
    batch = option.get("batch", 1)
    networks = batch * max(1, round(seconds * best / problem.neurons / batch))
    rates = [_rate(peer, problem, networks, device, option, seed) for seed in range(rounds)]
    return {
        "per_s": Spread.of(rates),
        "options": option,
        "tried": [{**o, "per_s": rate} for rate, o in tried],
        "networks": networks,
        "check": scores,
    }


def _rate(peer: Peer, problem: Problem, networks: int, device: Any, options: dict[str, Any], seed: int = 0) -> float:
    begin = time.perf_counter()
    peer(problem, networks, seed, device, **options)
    return networks * problem.neurons / (time.perf_counter() - begin)


def normals(accelerator: cuda.Accelerator, count: int = 1 << 28, work: float = 6e9) -> dict[str, Any]:
    """Normals per second: torch's into a large buffer and into one that a cache holds, ours drawn and forgotten."""
    device, row = accelerator.device, {}
    with torch.inference_mode():
        for name, size in (("randn_per_s", count), ("randn_in_cache_per_s", count >> 6)):
            buffer = torch.empty(size, device=device)
            row[name] = rate_of(torch, device, buffer.normal_, size)
            if not abs(float(buffer.var().item()) - 1.0) < 0.1:
                raise RuntimeError("torch's normals have not the variance 1")
    row["ours_per_s"] = draw_rate(accelerator, of(192, 200), 8, work)
    return row


def main(given: list[str] | None = None) -> int:
    args = arguments(__doc__, given)
    rows = Rows(args.rows, args.seconds)
    accelerator, device, problem = cuda.open_cuda(None), "cuda", PROBLEM
    expected = reference(problem, NETWORKS)
    explicit = [b for b in (256, 1024, 4096) if 4 * b * problem.width**2 < EXPLICIT_BYTES * accelerator.free_bytes()]
    batches = [{"batch": 2**k} for k in (12, 14, 16, 18)]
    plan: list[tuple[Peer, list[dict[str, Any]], int, float]] = [  # with how many networks to check, seconds wanted
        (ours, [{"batch": 1 << 20}], 1 << 20, 3.0),
        (projected, batches, 1 << 16, 4.0),
        (explicit_batched, [{"batch": b} for b in explicit or [64]], 8192, 6.0),
        (module_loop, [{}], 200, 8.0),
        (projected_compiled, [batches[2]], 1 << 16, 15.0),
        (jax_projected, [{**b, "generator": g} for b in batches[1:3] for g in ("threefry2x32", "rbg")], 1 << 16, 15.0),
    ]
    for peer, options, sample, wanted in plan:

        def work(peer: Peer = peer, options: list[dict[str, Any]] = options, sample: int = sample) -> dict[str, Any]:
            try:
                return measure(peer, problem, device, expected, options, sample)
            except NotHere as reason:
                return {"skipped": str(reason)}

        rows.add(peer.__name__, work, needs=wanted)
        if peer is projected:
            rows.add("normals", lambda: normals(accelerator), needs=2.0)
    return int(rows.failed)


if __name__ == "__main__":
    raise SystemExit(main())
