"""What the tests of figures share: simulations that are made once, a call of every function, and what is drawn."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

import resmc
from resmc import Simulation, Sweep
from resmc.analyses import Regime, roughness_change
from resmc.engine import native
from resmc.engine.weights import WeightSource
from resmc.experiments.train.data import checked_data
from resmc.experiments.train.settings import Settings
from resmc.models.residual_network import ResidualNetwork
from resmc.models.scaling import DepthScaling
from resmc.sweep import SweepResult
from resmc.theory.facts import facts
from resmc.theory.roughness import increment_mean_squares, path_exponents

HALF = math.sqrt(0.5)
P = resmc.plot


@pytest.fixture(autouse=True)
def no_figure_remains() -> Iterator[None]:
    """And no function warns."""
    plt.close("all")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    plt.close("all")


@cache
def ordinary() -> Simulation:
    """With some paths kept."""
    return resmc.simulate(width=30, depth=30, alpha=HALF, lam=HALF, networks=20_000, n_out=10, keep_trajectories=40)


@cache
def deep() -> Simulation:
    """One whose growth is not reliable at its end."""
    return resmc.simulate(width=20, depth=60, alpha=HALF, lam=HALF, networks=20_000)


@cache
def balanced() -> Simulation:
    """One with exact values beside everything."""
    return resmc.simulate(width=30, depth=30, alpha=HALF, lam=HALF, variant="balanced", networks=20_000)


@cache
def grid() -> SweepResult:
    """Three widths, three ratios, two variants."""
    plan = Sweep(width=[8, 16, 24], ratio=[0.5, 1, 2], alpha=HALF, lam=HALF, variant=["vanilla", "balanced"],
                 networks=4000)  # fmt: skip
    return plan.run(_folder("grid"), progress=False)


@cache
def unfinished() -> SweepResult:
    """A grid of which only the first width was run."""
    given: dict[str, Any] = {"ratio": [0.5, 1], "alpha": HALF, "lam": HALF, "networks": 500}
    Sweep(width=[8], **given).run(_folder("unfinished"), progress=False)
    return Sweep(width=[8, 16], **given).result(_folder("unfinished"))


def residual(beta: float, depth: int = 1, width: int = 20) -> ResidualNetwork:
    """Of two matrices in a block, ReLU between them."""
    return ResidualNetwork(width, depth, "v-phi-w", scaling=DepthScaling(beta))


@cache
def regimes() -> dict[str, Regime]:
    """Identity, neither, explosion."""
    return {f"β = {beta:g}": resmc.regime(residual(beta), (4, 16, 64, 256), networks=400, progress=False)
            for beta in (1.0, 0.5, 0.25)}  # fmt: skip


@cache
def deep_residual() -> Simulation:
    """Near the limit in depth."""
    return resmc.simulate(residual(0.5, 300), networks=4000, gradients=True, layers=[0])


@cache
def over_beta_and_depth() -> tuple[Simulation, ...]:
    """Three exponents, two depths."""
    return tuple(resmc.simulate(residual(beta, depth), networks=64, gradients=True, layers=[0])
                 for beta in (0.0, 0.5, 1.0) for depth in (8, 32))  # fmt: skip


@cache
def linear_descent(targets: int = 32, depths: tuple[int, ...] = (4, 8, 16)) -> resmc.ode.LinearDescent:
    """Linear networks of width 2, which reach their targets."""
    rng = np.random.default_rng(0)
    return resmc.ode.linear_descent(np.eye(2) + 0.3 * rng.standard_normal((targets, 2, 2)), depths, time=10)


@cache
def training(networks: int = 32, epochs: int = 6) -> resmc.train.Fit:
    """Losses that fall by epoch, the more slowly the larger the exponent of the scaling, at one learning rate."""
    models = tuple(residual(beta) for beta in (0.25, 0.5, 1.0))
    settings = Settings(epochs=epochs)
    data = checked_data(np.arange(20.0)[:, None], np.arange(20) % 2, settings)
    rng = np.random.default_rng(0)
    falls = np.exp(-np.arange(1, epochs + 1) / np.array([[1.0], [2.0], [4.0]]))[:, None, None]
    loss = falls * (1.0 + 0.1 * rng.random((3, 1, networks, epochs)))
    ends = loss[..., -1]
    return resmc.train.Fit(
        models, tuple(range(networks)), settings, data,
        0.8 * loss, loss, 1.0 - 0.5 * loss, ends, 1.0 - 0.5 * ends, np.ones(ends.shape, bool), ({}, {}, {}),
    )  # fmt: skip


@cache
def success(networks: int = 32) -> resmc.ode.Success:
    """Training that fails in shallow networks, of Euler's method more often."""
    depths, rng = np.array([2, 3, 4, 6, 8]), np.random.default_rng(0)
    fails = np.array([[0.9, 0.6, 0.2, 0.0, 0.0], [0.4, 0.1, 0.0, 0.0, 0.0]])[:, :, None]
    loss = np.where(rng.random((2, 5, networks)) < fails, 10.0, 0.5)
    return resmc.ode.Success(
        residual(1.0), depths, ("euler", "heun"), networks, 0, 100, 32, 0.1, 0.9, 10, 1.0,
        loss, np.full_like(loss, 0.4), 0.5 * np.ones_like(loss), 0.8 * np.ones_like(loss),
        np.full_like(loss, 0.1), np.full_like(loss, 0.2),
    )  # fmt: skip


def regularity(networks: int = 32) -> resmc.train.Regularity:
    """Roughness of weights that have moved by a trend and by noise, of three laws and two activations."""
    laws = ("iid", resmc.FractionalNoise(0.7), resmc.SmoothProcess())
    rows = [_roughness(law, activation, networks) for activation in ("relu", "gelu") for law in laws]
    return resmc.train.Regularity(tuple(rows), networks, 0, "Adam, learning rate 0.01")


@cache
def _roughness(law: Any, activation: str, networks: int) -> resmc.train.TrainedRoughness:
    model = ResidualNetwork(4, 100, activation=activation, weights=resmc.Weights(depth=law))
    rng, before = np.random.default_rng(0), WeightSource(model, 0).draw(range(networks), 0, 100).outer
    trend = np.sin(np.arange(100) / 20.0)[:, None, None] * rng.standard_normal((networks, 1, 4, 4))
    after = before + 0.3 * trend + 0.01 * rng.standard_normal(trend.shape)
    options: dict[str, Any] = {"axis": 1, "members": 0}
    changes = [roughness_change(before, after, path=path, **options) for path in ("sums", "weights")]
    exact = [float(path_exponents(one.lags, increment_mean_squares(law, 100, one.lags, one.path))[-1])
             for one in changes]  # fmt: skip
    value = resmc.Estimate(0.9, 0.01, networks)
    example = np.stack([before[0, :, 0, 0], after[0, :, 0, 0]])
    return resmc.train.TrainedRoughness(model, *changes, *exact, 0.01, 0, value, value, example)


@cache
def scaling_exponents(networks: int = 32, trend: bool = True) -> resmc.ScalingExponents:
    """Independent noise of size L^-1/2, with a trend of size 1/L upon it or not."""
    rng = np.random.default_rng(0)
    weights = {}
    for depth in (16, 64, 256):
        noise = depth**-0.5 * rng.standard_normal((networks, depth, 3, 3))
        weights[depth] = noise + trend * 3.0 / depth
    return resmc.scaling_exponents(weights, axis=1, members=0)


@cache
def trained_scaling(networks: int = 32) -> resmc.train.TrainedScaling:
    """Exponents of arrays in place of those of trained networks, of which the figure asks no more."""
    before, after = scaling_exponents(networks, False), scaling_exponents(networks)
    learnt = scaling_exponents(networks + 1)
    model = residual(0.5)
    return resmc.train.TrainedScaling(model, after.depths, "W", before, after, learnt, networks, fit=Any)


@cache
def trained_log_ratios(networks: int = 32, name: str = "gradient") -> resmc.train.TrainedLogRatios:
    """Quotients of two depths that grow with the layer, more so after training."""

    def row(depth: int) -> resmc.train.TrainedLogRatio:
        layers = np.arange(depth + 1)
        passed = 1.0 - layers / depth if name == "gradient" else layers / depth
        stderr = np.full(depth + 1, 0.02 if networks >= 32 else np.nan)
        before, after, change, spread = (
            resmc.Estimate(c * passed, stderr, networks) for c in (0.45, 0.1 * depth, 0.1 * depth - 0.45, 0.1)
        )
        ends = np.full(networks, 0.45), np.full(networks, 0.1 * depth)
        model = residual(0.5, depth)
        end = 0 if name == "gradient" else depth
        return resmc.train.TrainedLogRatio(
            model, layers, before, after, change, spread, spread, facts(model).final_limit(name), end, *ends, 0, 0.1
        )

    return resmc.train.TrainedLogRatios(name, "fresh", (row(8), row(16)), networks, 10, 0, None, None)


@cache
def two_inputs(angle: float = 1e-3, networks: int = 400) -> Simulation:
    """Two inputs of fully connected networks, and their tangent kernel."""
    model = resmc.ResNet(20, 10, 0.0, 1.0)
    return resmc.simulate(model, networks=networks, angle=angle, tangent_kernel=True)


@cache
def kernels(networks: int = 400) -> list[Simulation]:
    """Tangent kernels of three depths, of a network whose second moment is known and of one where it is not."""
    models = [resmc.ResNet(16, depth, 0.0, 1.0) for depth in (2, 8, 4)] + [resmc.ResNet(16, 8, 0.6, 0.8)]
    return [resmc.simulate(model, networks=networks, tangent_kernel=True) for model in models]


@cache
def singular_values(networks: int = 100) -> resmc.SingularValues:
    """Of fully connected networks, some of whose values are 0 in all, or in some networks."""
    return resmc.jacobian_singular_values(resmc.ResNet(12, 5, 0.0, 1.0), networks=networks)


@cache
def _everything() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="resmc-figures-")  # removed with the process


def _folder(name: str) -> Path:
    return Path(_everything().name) / name


FIGURES: dict[str, Callable[..., Axes]] = {
    "log_norm": lambda **k: P.plot_log_norm(ordinary(), **k),
    "output": lambda **k: P.plot_output(ordinary(), **k),
    "qq": lambda **k: P.plot_qq(ordinary(), **k),
    "hypoactivation": lambda **k: P.plot_hypoactivation(ordinary(), **k),
    "interlayer": lambda **k: P.plot_interlayer(ordinary(), **k),
    "interlayer_by_lag": lambda **k: P.plot_interlayer_by_lag(ordinary(), **k),
    "growth": lambda **k: P.plot_growth(deep(), **k),
    "growth_of_sweep": lambda **k: P.plot_growth(grid(), sel={"variant": "vanilla"}, **k),
    "depth_ratio": lambda **k: P.plot_depth_ratio(regimes(), **k),
    "ratio_law": lambda **k: P.plot_ratio_law(deep_residual(), **k),
    "heat_map": lambda **k: P.plot_heat_map(over_beta_and_depth(), **k),
    "ode_distance": lambda **k: P.plot_ode_distance(ode_distance(), **k),
    "adjoint_errors": lambda **k: P.plot_adjoint_errors(adjoint_errors(), **k),
    "success": lambda **k: P.plot_success(success(), **k),
    "linear_descent": lambda **k: P.plot_linear_descent(linear_descent(), **k),
    "training": lambda **k: P.plot_training(training(), **k),
    "regularity": lambda **k: P.plot_regularity(regularity(), **k),
    "weight_path": lambda **k: P.plot_weight_path(regularity().rows[-1], **k),
    "trained_log_ratio": lambda **k: P.plot_trained_log_ratio(trained_log_ratios(), **k),
    "singular_values": lambda **k: P.plot_singular_values(singular_values(), **k),
    "scaling_exponents": lambda **k: P.plot_scaling_exponents(scaling_exponents(), **k),
    "extrapolation": lambda **k: P.plot_extrapolation(extrapolation(), **k),
    "sweep": lambda **k: P.plot_sweep(grid(), sel={"variant": "vanilla"}, **k),
    "trajectories": lambda **k: P.plot_trajectories(ordinary(), **k),
    "quantity": lambda **k: P.plot_quantity(ordinary(), "log_norm.variance", **k),
    "quantity_of_sweep": lambda **k: P.plot_quantity(grid(), "growth", sel={"variant": "vanilla"}, **k),
}


if hasattr(native._native, "joint"):  # an extension of before several inputs has no such networks
    FIGURES["angles"] = lambda **k: P.plot_angles(two_inputs(), quantity="log_sine_squared", **k)
    FIGURES["tangent_kernel"] = lambda **k: P.plot_tangent_kernel(kernels(), **k)


@cache
def ode_distance(networks: int = 32, **given: Any) -> resmc.ode.Distance:
    """Of narrow networks with tied weights."""
    tied = resmc.Weights(depth="tied")
    model = ResidualNetwork(4, 1, activation="tanh", scaling=DepthScaling(1.0), weights=tied)
    return resmc.ode.distance(model, **{"depths": (16, 64, 128), "tolerance": 1e-8, "networks": networks} | given)


@cache
def adjoint_errors(networks: int = 32) -> resmc.ode.AdjointErrors:
    """Of narrow networks with tied weights."""
    model = ResidualNetwork(4, 1, activation="tanh", scaling=DepthScaling(1.0), weights=resmc.Weights(depth="tied"))
    return resmc.ode.adjoint_errors(model, (4, 64, 128), networks=networks, batch=2, progress=False)


def extrapolation() -> Any:
    """Of three widths."""
    return resmc.extrapolate(grid().simulations(ratio=1, variant="vanilla"))


def words(ax: Axes) -> list[str]:
    """Of the legend."""
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def lines(ax: Axes, **look: Any) -> list[Any]:
    """The lines of a colour, a line style or a marker."""
    return [one for one in ax.lines if all(getattr(one, f"get_{k}")() == v for k, v in look.items())]


def segments(container: Any) -> Any:
    """Ends of an errorbar's bars, (points, 2)."""
    return np.array([bar[:, 1] for bar in container.lines[2][0].get_segments()])


def luminance(colour: Any) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))
