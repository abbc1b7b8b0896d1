"""The NumPy reference: the law of its networks, by either method, and against what is known exactly.

Statistical tests use fixed seeds and `BOUND` standard errors: about 500 comparisons at 5.7e-7 each, so that a correct
program had a chance below 3e-4 of failing when the seeds were chosen. Each has a negative control that must fail.
"""

from __future__ import annotations

import ast
import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from resmc.models.resnet import ResNet
from resmc.reference import METHODS, ReferencePaths, normals, signs, simulate
from resmc.reference.sources import Counters

scipy_special = pytest.importorskip("scipy.special")
scipy_stats = pytest.importorskip("scipy.stats")

BOUND = 5.0  # standard errors
CONTROL = 10.0  # what a negative control must exceed
HALF_ROOT = math.sqrt(0.5)


# ------------------------------------------------------------------------------------------------- projected and dense


def observables(paths: ReferencePaths) -> np.ndarray:
    """(L, A, F) at the first recorded layer, then at the second, ..; shape (N, 3 R)."""
    stacked = np.stack([paths.log_norm, paths.asymmetry, paths.active_fraction], axis=2)
    return stacked.reshape(len(stacked), -1)


def features(paths: ReferencePaths, centre: np.ndarray) -> np.ndarray:
    """Columns whose means are first and second moments of (L, A, F) in and between layers; shape (N, features)."""
    x = observables(paths)
    c = x - centre
    squares, within, between = c * c, c * np.roll(c, -1, axis=1), c[:, :-3] * c[:, 3:]
    return np.concatenate([x, squares, within, between, np.log(np.abs(paths.output)), paths.output > 0], axis=1)


def discrepancies(p: ReferencePaths, q: ReferencePaths) -> np.ndarray:
    """z-scores of the differences between two independent sets of paths, feature by feature."""
    centre = observables(q).mean(axis=0)
    a, b = features(p, centre), features(q, centre)
    error = np.sqrt(np.var(a, axis=0) / len(a) + np.var(b, axis=0) / len(b))
    difference = np.abs(np.mean(a, axis=0) - np.mean(b, axis=0))
    return np.where(error > 0, difference / np.where(error > 0, error, 1), np.where(difference > 1e-12, np.inf, 0))


CASES = [
    (variant, width, *setting)
    for variant in ("vanilla", "balanced", "balanced-half")
    for width, *setting in ((3, 10, HALF_ROOT, HALF_ROOT), (6, 8, -0.6, 0.8), (16, 6, 0.8, 0.6))
    if variant != "balanced-half" or width % 2 == 0
] + [("balanced-half", 2, 6, HALF_ROOT, HALF_ROOT)]


COUNTS = {2: 100_000, 3: 100_000, 6: 60_000, 16: 30_000}  # networks by width: enough to see lam 2% off


QUICK = [("vanilla", 16), ("vanilla", 6), ("balanced", 3), ("balanced-half", 6), ("balanced-half", 2)]  # all of both


@pytest.mark.parametrize(
    ("variant", "width", "depth", "alpha", "lam"),
    [case if case[:2] in QUICK else pytest.param(*case, marks=pytest.mark.long) for case in CASES],
)
def test_projected_and_dense_agree_in_law(variant, width, depth, alpha, lam):
    model = ResNet(width, depth, alpha, lam, variant, n_out=2, input_norm=1.5)
    layers = [0, 1, depth // 2, depth]
    p = simulate(model, COUNTS[width], seed=11, method="projected", layers=layers)
    q = simulate(model, COUNTS[width], seed=12, method="dense", layers=layers)
    assert np.max(discrepancies(p, q)) < BOUND
    for a, b in ((p.log_norm[:, -1], q.log_norm[:, -1]), (p.output[:, 1], q.output[:, 1])):
        assert scipy_stats.ks_2samp(a, b).pvalue > 1e-6


def repeated_counter(seed, networks, stream, layer, count):
    return normals(seed, networks, stream, 0, count)


def dropped_sign(seed, networks, stream, layer, count, half):
    return np.abs(signs(seed, networks, stream, layer, count, half))


@pytest.mark.parametrize("width", [3, 6, 16])
def test_two_percent_of_lam_are_caught(width):
    layers = [0, 1, 3, 6]
    p = simulate(ResNet(width, 6, -0.6, 0.8 * 1.02), COUNTS[width], seed=11, method="projected", layers=layers)
    q = simulate(ResNet(width, 6, -0.6, 0.8), COUNTS[width], seed=12, method="dense", layers=layers)
    assert np.max(discrepancies(p, q)) > CONTROL


@pytest.mark.parametrize("width", [3, 6, 16])
@pytest.mark.parametrize("faulty", METHODS)
def test_a_counter_repeated_at_every_layer_is_caught(width, faulty):
    sound = METHODS[1 - METHODS.index(faulty)]
    model, layers = ResNet(width, 6, 0.8, 0.6), [0, 1, 3, 6]
    p = simulate(model, 10_000, seed=11, method=faulty, layers=layers, normals=repeated_counter)
    q = simulate(model, 10_000, seed=12, method=sound, layers=layers)
    assert np.max(discrepancies(p, q)) > CONTROL


@pytest.mark.parametrize("width", [2, 6, 16])
@pytest.mark.parametrize("variant", ["balanced", "balanced-half"])
def test_a_dropped_sign_is_caught(variant, width):
    model, layers = ResNet(width, 6, 0.8, 0.6, variant), [0, 1, 3, 6]
    p = simulate(model, 10_000, seed=11, layers=layers, signs=dropped_sign)
    q = simulate(model, 10_000, seed=12, method="dense", layers=layers)
    assert np.max(discrepancies(p, q)) > CONTROL


# ------------------------------------------------------------------------------------------------------- exact oracles


@pytest.mark.parametrize("method", METHODS)
def test_first_layer_is_chi_square(method):
    n, count = 6, 50_000
    paths = simulate(ResNet(n, 1, 0.8, 0.6, input_norm=3.0), count, seed=21, method=method, layers=[0])
    log_norm, a = paths.log_norm[:, 0] - 2 * math.log(3.0), paths.asymmetry[:, 0]
    assert scipy_stats.kstest(n * np.exp(log_norm), scipy_stats.chi2(n).cdf).pvalue > 1e-6
    variance = scipy_special.polygamma(1, n / 2)
    mean = scipy_special.digamma(n / 2) - math.log(n / 2)
    assert abs(np.mean(log_norm) - mean) < BOUND * math.sqrt(variance / count)
    assert abs(np.mean(a**2) - 3 / (n + 2)) < BOUND * np.std(a**2) / math.sqrt(count)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("variant", ["balanced", "balanced-half"])
def test_balanced_networks_keep_the_expected_square_norm(variant, method):
    n, d, alpha, lam, count = 16, 4, 0.8, 0.6, 40_000
    model = ResNet(n, d, alpha, lam, variant)
    ratio = np.exp(simulate(model, count, seed=31, method=method, layers=[d]).log_norm[:, 0])  # |z_d|^2 / n
    fourth, quartic = n * n + 2.0 * n, 3.0 * n  # E|z|^4 and E sum_i z_i^4 of independent signs, by recursion
    for _ in range(d):
        fourth, quartic = (
            (alpha**4 + (2 + 4 / n) * alpha**2 * lam**2 + (1 + 2 / n) * lam**4) * fourth
            + (1 + 2 / n) * lam**4 * quartic,
            (alpha**4 + 3 * lam**4 / n) * quartic + (6 * alpha**2 * lam**2 / n + 3 * lam**4 / n) * fourth,
        )
    exact_second = fourth / n**2
    error = math.sqrt((exact_second - 1) / count) if variant == "balanced" else np.std(ratio) / math.sqrt(count)
    assert abs(np.mean(ratio) - 1) < BOUND * error
    if variant == "balanced":
        assert abs(np.mean(ratio**2) - exact_second) < BOUND * np.std(ratio**2) / math.sqrt(count)
    # negative control: without the signs the expectation grows
    if method == "projected":
        grown = np.exp(simulate(model, count, seed=31, layers=[d], signs=dropped_sign).log_norm[:, 0])
        assert (np.mean(grown) - 1) * math.sqrt(count) / np.std(grown) > BOUND


@pytest.mark.parametrize("method", METHODS)
def test_about_60_percent_of_the_narrowest_networks_are_inactive(method):
    paths = simulate(ResNet(3, 12, HALF_ROOT, HALF_ROOT), 40_000, seed=41, method=method, layers=[12])
    inactive = paths.active_fraction[:, 0] == 0
    assert abs(np.mean(inactive) - 0.60) < 0.01
    assert np.all(paths.asymmetry[inactive] == -1.0)
    assert np.all(np.isfinite(paths.log_norm))


@pytest.mark.parametrize("method", METHODS)
def test_without_a_skip_connection_networks_die_and_double_as_the_binomial_says(method):
    n, d, count = 3, 4, 40_000
    paths = simulate(ResNet(n, d, 0.0, 1.0), count, seed=51, method=method)
    dead = np.isneginf(paths.log_norm)
    assert not dead[:, 0].any()
    for name in ("asymmetry", "active_fraction"):
        np.testing.assert_array_equal(np.isnan(getattr(paths, name)), dead)
    np.testing.assert_array_equal(paths.output[:, 0] == 0, dead[:, -1])
    alive = (1 - 2.0**-n) ** d
    assert abs(np.mean(~dead[:, -1]) - alive) < BOUND * math.sqrt(alive * (1 - alive) / count)
    step = np.exp(paths.log_norm[:, 1] - paths.log_norm[:, 0])  # mean 1, second moment 1 + 5/n
    assert abs(np.mean(step) - 1) < BOUND * math.sqrt(5 / n / count)
    assert abs(np.mean(step**2) - 1 - 5 / n) < BOUND * np.std(step**2) / math.sqrt(count)


# ----------------------------------------------------------------------------------------------- scaling and plumbing


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [1e200, 1e-200, 3.0])
def test_scaling_alpha_and_lam_only_adds_to_the_log_norm(method, factor):
    model, scaled = ResNet(3, 12, 0.8, 0.6, input_norm=2.0), ResNet(3, 12, 0.8 * factor, 0.6 * factor, input_norm=2.0)
    p, q = (simulate(m, 200, seed=61, method=method) for m in (model, scaled))
    np.testing.assert_allclose(q.log_norm, p.log_norm + 2 * math.log(factor) * p.layers, rtol=1e-13, atol=1e-9)
    np.testing.assert_allclose(q.asymmetry, p.asymmetry, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(q.active_fraction, p.active_fraction)
    assert not np.isnan(q.output).any()
    if factor == 3.0:
        np.testing.assert_allclose(q.output, p.output * factor**12, rtol=1e-9)


def test_inactive_networks_survive_an_alpha_far_below_lam():
    paths = simulate(ResNet(3, 12, 1e-200, 1e200), 1000, seed=62)
    steps = np.diff(paths.log_norm, axis=1)
    inactive = paths.active_fraction[:, :-1] == 0
    assert inactive.any()
    np.testing.assert_allclose(steps[inactive], 2 * math.log(1e-200), rtol=1e-12)
    assert np.all(steps[~inactive] > 800)


def test_deep_networks_neither_overflow_nor_underflow():
    for scale in (0.5, 2.0):
        paths = simulate(ResNet(8, 3000, scale, scale), 4, seed=63, layers=[0, 1500, 3000])
        assert np.all(np.isfinite(paths.log_norm))
        assert np.min(np.abs(paths.log_norm[:, 2])) > 1400


def test_without_a_residual_branch_only_alpha_remains():
    paths = simulate(ResNet(5, 7, -0.9, 0.0, input_norm=0.1), 20, seed=64)
    expected = paths.log_norm[:, :1] + 2 * math.log(0.9) * paths.layers
    np.testing.assert_allclose(paths.log_norm, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("method", "width"), [("projected", 4), ("projected", 40_000), ("dense", 200)])
def test_a_network_does_not_depend_on_the_range_it_is_computed_in(method, width):
    model, first = ResNet(width, 2, 0.8, 0.6, "balanced"), 2**32 - 3
    many = simulate(model, 7, seed=65, first_network=first, method=method)
    few = simulate(model, 2, seed=65, first_network=first + 4, method=method)
    np.testing.assert_array_equal(many.networks, np.arange(first, first + 7))
    for name in ("networks", "log_norm", "asymmetry", "active_fraction", "output"):
        np.testing.assert_array_equal(getattr(many, name)[4:6], getattr(few, name))


def test_recorded_layers_are_columns_of_the_full_record():
    model = ResNet(4, 9, 0.8, 0.6)
    full, part = simulate(model, 5, seed=66), simulate(model, 5, seed=66, layers=[0, 4, 9])
    np.testing.assert_array_equal(full.layers, np.arange(10))
    np.testing.assert_array_equal(part.layers, [0, 4, 9])
    np.testing.assert_array_equal(part.log_norm, full.log_norm[:, [0, 4, 9]])
    np.testing.assert_array_equal(part.output, full.output)
    assert full.output.shape == (5, 1)


def test_last_network_is_allowed_and_the_next_is_refused():
    model = ResNet(4, 2, 0.8, 0.6)
    assert simulate(model, 1, first_network=2**48 - 1).networks[0] == 2**48 - 1
    with pytest.raises(ValueError, match="first_network"):
        simulate(model, 2, first_network=2**48 - 1)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("networks", 0), ("seed", -1), ("method", "fast"), ("layers", [0, 10]), ("layers", [2, 1]), ("layers", [])],
)
def test_simulate_refuses_bad_arguments_by_name(argument, value):
    with pytest.raises(ValueError, match=argument):
        simulate(ResNet(4, 9, 0.8, 0.6), **{"networks": 3, argument: value})


def test_dense_refuses_a_width_beyond_its_counters():
    with pytest.raises(ValueError, match="width"):
        simulate(ResNet(2**17 + 1, 1, 0.8, 0.6), 1, method="dense")


def test_reference_imports_nothing_but_numpy_the_models_and_the_series_of_processes():
    folder = Path(importlib.import_module("resmc.reference").__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level < 2:
                imported = set() if node.level == 1 else {str(node.module)}
            elif isinstance(node, ast.ImportFrom):
                assert node.module is not None
                room = node.module.partition(".")[0]
                plain = room == "models" or node.module == "theory.processes"  # which imports NumPy and models alone
                imported = set() if plain else {f"resmc.{room}.{alias.name}" for alias in node.names}
            else:
                continue
            system = {
                f"resmc._system.{name}"
                for name in ("checks", "look", "stoppable", "brief", "brief_repr", "available_memory")
            }
            allowed = {"numpy", *system, *sys.stdlib_module_names}
            assert {name if name in allowed else name.split(".")[0] for name in imported} <= allowed, path


@pytest.mark.parametrize("method", METHODS)
def test_networks_advance_in_parts_as_at_once(method):
    network = importlib.import_module("resmc.reference.network")
    model = ResNet(4, 9, -0.8, 0.6, "balanced", input_norm=2.0)
    networks = Counters(model, 72, np.arange(3, dtype=np.uint64))
    start = network.first_state(networks)
    half_way = network.advance(start, 0, 4, networks, method)
    at_once, in_parts = (network.advance(*part, 9, networks, method) for part in ((start, 0), (half_way, 4)))
    np.testing.assert_array_equal(in_parts.v, at_once.v)
    np.testing.assert_array_equal(in_parts.log, at_once.log)
    paths = simulate(model, 3, seed=72, method=method)
    np.testing.assert_allclose(at_once.log_square()[:, 0] - math.log(4), paths.log_norm[:, 9], rtol=0, atol=1e-13)


# ---------------------------------------------------------------------------------------------------------- explicit
