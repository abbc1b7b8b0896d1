"""Several inputs, the tangent kernel and tangents as variables of a data set, beside those of `analyses.export`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..results.estimates import Estimate
from ..results.record import Record
from . import angles, joint_norms, lyapunov, tangent_kernel

PAIR = ("input", "input_")
BY_LAYER = ("layer", *PAIR)

Named = tuple[str, tuple[str, ...], Any, str]  # name, dimensions, values, long name


def coordinates(sim: Record) -> Iterator[Named]:
    """Yield the coordinates of `variables`."""
    if sim.joint is None:
        return
    numbers = np.arange(sim.joint.recording.count)
    yield "input", ("input",), numbers, "number of an input"
    yield "input_", ("input_",), numbers, "number of the other input"
    if sim.joint.recording.tangents:
        yield "tangent", ("tangent",), np.arange(sim.joint.recording.tangents) + 1, "number of a tangent vector"


def variables(sim: Record) -> Iterator[Named]:
    """Yield what there is of several inputs, of the tangent kernel and of tangents, with errors and theory."""
    if sim.joint is None:
        return
    asked = sim.joint.recording
    yield "gram", PAIR, sim.gram, "inner product of two inputs over n_in"
    if asked.count > 1:
        yield from _pairs(sim)
    if asked.kernel:
        kernel = tangent_kernel.analyse(sim)
        for part in kernel.PARTS:
            name = "tangent_kernel" if part == "total" else f"tangent_kernel_{part}"
            words = f"mean of the tangent kernel, {part.replace('_', ' ')}"
            yield from _with_theory(name, PAIR, getattr(kernel, part), words, getattr(kernel.infinite_width, part))
        yield "tangent_kernel_exact", PAIR, kernel.exact, "exact value, where it is known, of the mean tangent kernel"
        yield from _estimate("tangent_kernel_variance", PAIR, kernel.variance, "variance of the tangent kernel")
        words = "second moment of the tangent kernel over its squared mean"
        yield from _estimate("tangent_kernel_second_moment_ratio", PAIR, kernel.second_moment_ratio, words)
    if asked.tangents:
        found = lyapunov.analyse(sim)
        yield from _estimate("lyapunov_exponent", ("tangent",), found.exponents, "Lyapunov exponent per layer")
        words = "exact value, where it is known, of the Lyapunov exponent per layer"
        yield "lyapunov_exponent_exact", ("tangent",), found.exact, words


def _pairs(sim: Record) -> Iterator[Named]:
    found, norms, outputs = angles.analyse(sim), joint_norms.log_norms(sim), joint_norms.output_covariance(sim)
    limit = found.infinite_width
    yield from _with_theory("cosine", BY_LAYER, found.cosine, "mean cosine of two states", limit.cosine)
    words = "mean logarithm of the squared sine of the angle of two states"
    yield from _with_theory("log_sine_squared", BY_LAYER, found.log_sine_squared, words, limit.log_sine_squared)
    yield "separated", BY_LAYER, found.separated, "networks whose two states are not on one line"
    yield "together", BY_LAYER, found.together, "networks whose two states have one direction"
    yield "unresolved", BY_LAYER, found.unresolved, "networks whose two states have an angle that has lost its digits"
    yield from _estimate("joint_log_norm_mean", BY_LAYER[:2], norms.mean, "mean of an input's log-norm")
    yield from _estimate("joint_log_norm_covariance", BY_LAYER, norms.covariance, "covariance of two inputs' log-norms")
    words = "mean inner product of two states over the width"
    yield from _with_theory("output_covariance", BY_LAYER, outputs.by_layer, words, outputs.infinite_width)
    yield "output_covariance_exact", BY_LAYER, outputs.exact, f"exact value, where it is known, of the {words}"


def _estimate(name: str, dims: tuple[str, ...], found: Estimate, words: str) -> Iterator[Named]:
    yield name, dims, found.value, words
    yield f"{name}_stderr", dims, found.stderr, f"standard error of the {words}"


def _with_theory(name: str, dims: tuple[str, ...], found: Estimate, words: str, limit: Any) -> Iterator[Named]:
    yield from _estimate(name, dims, found, words)
    yield f"{name}_theory", dims, limit, f"limit at infinite width of the {words}"
