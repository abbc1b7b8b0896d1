"""Several inputs through one network: the projected method against the dense one, which writes every weight out.

The two runs of a comparison have different seeds. Of every network some numbers are taken that are of the order of 1
and have light tails (`features`): logarithms of squares, cosines and stretches. Their means, and those of all products
of two, are compared: a difference of two means divided by its standard error is standard normal, up to 1/sqrt(N). A
comparison of c numbers has the bound that all are within with probability 1 - 1e-4, so that this file fails a correct
program with probability 0.4% when seeds are chosen. Seeds are fixed, and no test is repeated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from resmc._system.build import instruction_set
from resmc.engine import native
from resmc.engine.lowering import lower
from resmc.models.residual_network import ResidualNetwork
from resmc.models.scaling import DepthScaling
from resmc.reference import METHODS, JointPaths, simulate_joint
from resmc.reference.columns import pairs

LEVEL = 1e-4
OUTSIDE, INSIDE = DepthScaling(0.0, 0.8), DepthScaling(0.0, -0.8, inside=True)
NETWORKS = 8192


def start_of(gram: np.ndarray) -> np.ndarray:
    """Cholesky factor of the Gram matrix of input 0 and the differences to it."""
    change = np.eye(len(gram))
    change[1:, 0] = -1.0
    return np.linalg.cholesky(change @ gram @ change.T)


def gram_of(m: int, cosine: float = 0.6) -> np.ndarray:
    """Inputs of sizes 1, 1.2, .., whose angles grow with their distance in the list."""
    size = 1.0 + 0.2 * np.arange(m)
    return size[:, None] * size * cosine ** np.abs(np.subtract.outer(np.arange(m), np.arange(m)))


def raw(products: np.ndarray, m: int) -> np.ndarray:
    """Products of all inputs, (N, m, m), from those of input 0 and the differences, (P, N)."""
    full = np.empty((products.shape[1], m, m))
    a, b = pairs(m)
    full[:, a, b] = full[:, b, a] = products.T
    change = np.eye(m)
    change[1:, 0] = 1.0
    return change @ full @ change.T


def matrix_features(full: np.ndarray) -> list[np.ndarray]:
    """Logarithms of the diagonal and cosines of matrices (N, m, m)."""
    m = full.shape[1]
    diagonal = full[:, range(m), range(m)]
    a, b = np.tril_indices(m, -1)
    small = 1e-3  # a network's squares are rarely below it, and their logarithms end there
    cosines = full[:, a, b] / np.sqrt((diagonal[:, a] + small) * (diagonal[:, b] + small))
    return [*np.log(diagonal + small).T, *cosines.T]


def features(paths: JointPaths) -> np.ndarray:
    """Numbers that tell the joint law of the last layer, the gradients at layer 0 and the kernel, (N, features)."""
    m, (a, b) = paths.unit.shape[1], pairs(paths.unit.shape[1])
    n = paths.model.width
    last = raw(paths.gram[-1] * 2.0 ** (paths.unit[-1, a] + paths.unit[-1, b]), m) / n
    scale = np.exp(np.concatenate([np.zeros((1, len(last))), paths.log_scale[-1]])).T
    last *= scale[:, :, None] * scale[:, None]
    p = paths.gradient_gram[0] * 2.0 ** (paths.gradient_unit[0, a] + paths.gradient_unit[0, b])
    gradients, kernels = np.empty((2, len(last), m, m))
    gradients[:, a, b] = gradients[:, b, a] = p.T
    kernels[:, a, b] = kernels[:, b, a] = paths.kernel[0].T
    found = [*matrix_features(last), *matrix_features(gradients), *matrix_features(kernels), paths.overlap[0]]
    return np.array([*found, *paths.log_stretch[-1]]).T


def worst(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The largest |z| of means of features and of their products, and the bound at the level."""
    pooled = np.concatenate([a, b])
    centre, spread = pooled.mean(axis=0), pooled.std(axis=0)
    first, second = np.tril_indices(a.shape[1])
    found = []
    for x in (a, b):
        y = (x - centre) / spread
        found.append(np.concatenate([y, y[:, first] * y[:, second]], axis=1))
    means = [x.mean(axis=0) for x in found]
    errors = [x.var(axis=0, ddof=1) / len(x) for x in found]
    z = (means[0] - means[1]) / np.sqrt(errors[0] + errors[1])
    return float(np.abs(z).max()), float(stats.norm.isf(LEVEL / 2.0 / len(z)))


def of_kernels(
    model: ResidualNetwork,
    start: np.ndarray,
    networks: int,
    seed: int,
    method: str,
    tangents: int = 0,
    independent_backward: bool = False,
) -> JointPaths:
    """Return what `simulate_joint` returns, by the compiled kernels."""
    kernel, layers = lower(model).in_own_units(gradients=True), np.array([0, model.depth])
    start = start * (kernel.size / start[0, 0])
    job = native.JointJob(
        method=METHODS.index(method), seed=seed, first=0, networks=networks, inputs=len(start), tangents=tangents,
        backward=True, independent=independent_backward, reorthogonalise=1, row=networks, row_first=0,
    )  # fmt: skip
    pairs_of, m = len(start) * (len(start) + 1) // 2, len(start)
    doubles = {
        "gram": pairs_of,
        "log_scale": m - 1,
        "log_stretch": tangents,
        "gradient_gram": pairs_of,
        "kernel": pairs_of,
    }
    found = {name: np.empty((2, rows, networks)) for name, rows in doubles.items()}
    found |= {name: np.empty((2, m, networks), np.int32) for name in ("unit", "gradient_unit")}
    first = native.empty_records(kernel, 2, networks, outputs=False)
    native.joint(kernel, job, layers, {"start": start} | first | found, 1, instruction_set(), None)
    ids = np.arange(networks, dtype=np.uint64)
    return JointPaths(model, ids, layers, log_displacement=np.empty(0), overlap=first["overlap"], **found)


def run(
    model: ResidualNetwork, m: int, seed: int, method: str, cosine: float = 0.6, kernels: bool = False, **options: Any
) -> np.ndarray:
    start, ends = start_of(gram_of(m, cosine)), [0, model.depth]
    if kernels:
        return features(of_kernels(model, start, 4 * NETWORKS, seed, method, **options))
    return features(simulate_joint(model, start, NETWORKS, seed, 0, method, ends, backward=True, **options))


CASES = [
    ("phi-in", "relu", 0.0, OUTSIDE, 2),
    ("phi-in", "balanced", 0.4, OUTSIDE, 3),
    ("phi-in", "tanh", 0.0, OUTSIDE, 5),
    ("phi-in", "gelu", 0.4, OUTSIDE, 2),
    ("phi-out", "relu", 0.4, OUTSIDE, 3),
    ("phi-out", "balanced", 0.0, INSIDE, 2),
    ("phi-out", "tanh", 0.0, INSIDE, 3),
    ("phi-out", "gelu", 0.4, INSIDE, 5),
    ("v-phi-w", "relu", 0.0, OUTSIDE, 5),
    ("v-phi-w", "balanced", 0.4, OUTSIDE, 2),
    ("v-phi-w", "tanh", 0.4, OUTSIDE, 2),
    ("v-phi-w", "gelu", 0.0, OUTSIDE, 3),
]


def model_of(case: tuple[str, str, float, DepthScaling, int], width: int = 6) -> ResidualNetwork:
    block, activation, bias, scaling, _ = case
    return ResidualNetwork(width, 2, block, activation, 0.7, scaling, bias=bias)


SOME = [case if i in (1, 5) else pytest.param(case, marks=pytest.mark.long) for i, case in enumerate(CASES)]
SOME_BLOCKS = ["phi-in", *(pytest.param(block, marks=pytest.mark.long) for block in ("phi-out", "v-phi-w"))]


@pytest.mark.parametrize("case", SOME, ids=str)
def test_projected_inputs_have_the_joint_law_of_inputs_to_explicit_weights(case):
    seed = 8_500 + CASES.index(case)
    projected = run(model_of(case), case[4], seed, "projected")
    dense = run(model_of(case), case[4], seed + 500, "dense")
    z, bound = worst(projected, dense)
    assert z < bound, (z, bound)


NARROW = [case if case[4] < 5 else pytest.param(case, marks=pytest.mark.long) for case in CASES]


@pytest.mark.cpu
@pytest.mark.parametrize("case", NARROW, ids=str)
def test_kernels_have_the_joint_law_of_inputs_to_explicit_weights(case):
    """Four times as many networks; tangents beside, which the gradients' matrices have met too."""
    seed, model = 8_700 + CASES.index(case), model_of(case)
    options = {"kernels": True, "tangents": CASES.index(case) % 3}
    projected = run(model, case[4], seed, "projected", **options)
    dense = run(model, case[4], seed + 500, "dense", **options)
    z, bound = worst(projected, dense)
    assert z < bound, (z, bound)


@pytest.mark.cpu
@pytest.mark.parametrize(("activation", "m"), [("relu", 2), ("tanh", 3)])
def test_kernels_have_the_joint_law_of_explicit_weights_with_dropout(activation, m):
    model, options = replace(model_of(("phi-in", activation, 0.3, OUTSIDE, m)), keep=0.7), {"kernels": True}
    projected = run(model, m, 8_641 + m, "projected", tangents=1, **options)
    z, bound = worst(projected, run(model, m, 8_651 + m, "dense", tangents=1, **options))
    assert z < bound, (z, bound)
    z, bound = worst(projected, run(replace(model, keep=0.8), m, 8_661 + m, "dense", tangents=1, **options))
    assert z > bound, (z, bound)  # the negative control


@pytest.mark.cpu
@pytest.mark.parametrize("block", ["phi-in", "phi-out", "v-phi-w"])
def test_kernels_have_the_law_of_independent_backward_weights(block):
    model, options = model_of((block, "relu", 0.3, OUTSIDE, 2)), {"kernels": True, "independent_backward": True}
    projected = run(model, 2, 8_631, "projected", **options)
    z, bound = worst(projected, run(model, 2, 8_632, "dense", **options))
    assert z < bound, (z, bound)
    z, bound = worst(projected, run(model, 2, 8_633, "dense", kernels=True))  # the negative control
    assert z > bound, (z, bound)


@pytest.mark.parametrize("block", SOME_BLOCKS)
def test_tangents_and_gradients_have_one_joint_law_in_both_methods(block):
    case = (block, "relu", 0.3, OUTSIDE, 2)
    projected, dense = (
        run(model_of(case), 2, seed, method, tangents=2) for seed, method in ((8_601, "projected"), (8_602, "dense"))
    )
    z, bound = worst(projected, dense)
    assert z < bound, (z, bound)


@pytest.mark.parametrize("block", SOME_BLOCKS)
def test_independent_backward_weights_have_one_law_in_both_methods_and_another_than_tied_ones(block):
    model = model_of((block, "relu", 0.0, OUTSIDE, 2))
    projected = run(model, 2, 8_611, "projected", independent_backward=True)
    z, bound = worst(projected, run(model, 2, 8_612, "dense", independent_backward=True))
    assert z < bound, (z, bound)
    z, bound = worst(projected, run(model, 2, 8_613, "dense"))  # the negative control of the backward pass
    assert z > bound, (z, bound)


def test_the_comparison_rejects_other_laws():
    """The negative controls: inputs with a cosine of .55 for .6, a width, at the sample sizes used above."""
    case = CASES[0]
    projected = run(model_of(case), 2, 8_621, "projected")
    for dense in (
        run(model_of(case), 2, 8_622, "dense", cosine=0.55),
        run(model_of(case, width=7), 2, 8_623, "dense"),
    ):
        z, bound = worst(projected, dense)
        assert z > bound, (z, bound)
