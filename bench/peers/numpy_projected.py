"""The projected trick in NumPy, with its ziggurat normals in float32 and all arrays in place."""

from __future__ import annotations

import numpy as np

from .problem import SCALE, Floats, Problem, in_batches, log_norms, steps


def projected(
    problem: Problem, networks: int, seed: int, *, batch: int = 64, threads: int = 1, bit_generator: str = "SFC64"
) -> Floats:
    """z <- alpha z + lam sqrt(2/n) |phi(z)| g on a batch, alpha folded into the step; a thread has its own batches."""

    def simulate(worker: int, batches: int) -> list[Floats]:
        generator = np.random.Generator(getattr(np.random, bit_generator)([seed, worker]))
        z, g, active = (np.empty((batch, problem.width), np.float32) for _ in range(3))
        found = []
        for _ in range(batches):
            generator.standard_normal(out=z, dtype=np.float32)
            np.multiply(z, np.float32(SCALE), out=z)
            for factor, rescale in steps(problem):
                if problem.variant == "vanilla":
                    np.maximum(z, np.float32(0.0), out=active)
                else:  # relu(s z) has the norm of z over the neurons with s = sign z: a fair bit each, whatever z
                    signs = np.frombuffer(generator.bytes(-(-z.size // 8)), np.uint8)
                    np.multiply(z, np.unpackbits(signs, count=z.size).reshape(z.shape), out=active)
                norm = np.sqrt(np.einsum("ij,ij->i", active, active)) * np.float32(factor)
                generator.standard_normal(out=g, dtype=np.float32)
                np.multiply(g, norm[:, None], out=g)
                np.add(z, g, out=z)
                if rescale != 1.0:
                    np.multiply(z, np.float32(rescale), out=z)
            found.append(log_norms(z))
        return found

    return in_batches(simulate, networks, batch, threads)
