"""Figures of many models and states: few networks, dead ones, values without errors, one layer, 512, wide labels.

``python tests/figure_cases.py FOLDER [NAME ..]`` draws all (or those whose name begins so) as PNG files, in the
situations of `SITUATIONS`, and sheets of them: for looking at. The tests ask what can be asked of a picture.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import figures
import matplotlib
import numpy as np
from figures import HALF, P, residual
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import resmc
from resmc import Simulation, Sweep
from resmc.models.residual_network import ResidualNetwork
from resmc.sweep import SweepResult


@cache
def resnet(width: int, depth: int, alpha: float = HALF, lam: float = HALF, **given: Any) -> Simulation:
    """A simulation of a ResNet, made once."""
    given = {"networks": 400, "keep_trajectories": 20} | given
    return resmc.simulate(width=width, depth=depth, alpha=alpha, lam=lam, **given)


@cache
def network(*arguments: Any, networks: int = 400, **given: Any) -> Simulation:
    """A simulation of a residual network with its gradients, made once."""
    model = ResidualNetwork(*arguments, **given)
    return resmc.simulate(model, networks=networks, gradients=True, keep_trajectories=20)


@cache
def swept(name: str, **given: Any) -> SweepResult:
    """A sweep, run once."""
    given = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    return Sweep(**given).run(figures._folder(name), progress=False)


def by_depth(beta: float, depths: tuple[int, ...] = (4, 16, 64), **given: Any) -> list[Simulation]:
    """Simulations of several depths."""
    return [_deep(beta, depth, **given) for depth in depths]


@cache
def _deep(beta: float, depth: int, networks: int = 200) -> Simulation:
    return resmc.simulate(residual(beta, depth, 8), networks=networks, gradients=True, layers=[0])


def many_dimensions() -> SweepResult:
    """48 curves over depth."""
    return swept("many", width=(4, 6, 8), depth=(2, 4, 8), beta=(0.25, 0.5, 0.75, 1.0), block=("v-phi-w", "phi-out"),
                 activation=("relu", "tanh"), networks=64)  # fmt: skip


def words_only() -> SweepResult:
    """Blocks and activations, which have no order."""
    return swept("words", width=8, depth=4, beta=0.5, block=("v-phi-w", "phi-out", "phi-in"),
                 activation=("relu", "tanh", "gelu", "linear"), networks=200)  # fmt: skip


def unreliable() -> SweepResult:
    """Deep narrow networks, whose growth has no error at most points."""
    return swept("unreliable", width=(4, 8), ratio=(0.5, 1, 2, 8, 16), alpha=HALF, lam=HALF, networks=2000)


@cache
def over_hurst(rows: int = 19, exponents: int = 27, networks: int = 32) -> resmc.HeatMap:
    """A map over H and beta."""
    hurst, beta = np.linspace(0.05, 0.95, rows), np.linspace(0.0, 1.3, exponents)
    model = resmc.ResidualNetwork(8, 50, "v-phi-w")
    return resmc.heat_map(model, hurst=hurst, beta=beta, networks=networks, n_inputs=1, progress=False)


def large_map() -> SweepResult:
    """20 times 9 points."""
    return swept("large", width=tuple(range(4, 24)), depth=tuple(range(1, 10)), alpha=HALF, lam=HALF, networks=64)


def balanced_map() -> SweepResult:
    """Nothing but noise in A and in the growth."""
    return swept("noise", width=(8, 16, 24), ratio=(0.5, 1, 2), alpha=HALF, lam=HALF, variant="balanced",
                 networks=1000)  # fmt: skip


def _extrapolated(networks: int, degree: int = 1, quantity: str = "log_norm.variance", times: int = 1) -> Any:
    """Of widths ``times`` the depth: rare networks rule the growth of deeper ones."""
    sims = [resnet(n, n // times, networks=networks, seed=n) for n in (8, 16, 32, 64)]
    return resmc.extrapolate(sims, quantity, degree=degree)


def _wide_labels(count: int = 4) -> dict[str, Simulation]:
    return {f"a network with a very long description indeed, number {i}": resnet(6 + i, 10) for i in range(count)}


LONG = 'v-phi-w, "balanced-half", Rademacher'

CASES: dict[str, Callable[..., Axes]] = dict(figures.FIGURES) | {
    "log_norm few": lambda **k: P.plot_log_norm(resnet(6, 3, networks=3), **k),
    "log_norm one": lambda **k: P.plot_log_norm(resnet(6, 3, networks=1), **k),
    "log_norm dying": lambda **k: P.plot_log_norm(resnet(3, 8, 0.0, 1.0), **k),
    "log_norm balanced": lambda **k: P.plot_log_norm(figures.balanced(), **k),
    "log_norm skip": lambda **k: P.plot_log_norm(resnet(16, 8, 0.0, 1.0), **k),
    "log_norm wide": lambda **k: P.plot_log_norm(resnet(1000, 10, networks=2000), **k),
    "log_norm deep": lambda **k: P.plot_log_norm(resnet(20, 512), **k),
    "log_norm general": lambda **k: P.plot_log_norm(network(16, 8, "phi-in", "gelu", bias=0.3), **k),
    "log_norm linear": lambda **k: P.plot_log_norm(network(8, 1, "phi-out", "linear"), **k),
    "output few": lambda **k: P.plot_output(resnet(6, 3, networks=3), **k),
    "output many": lambda **k: P.plot_output(figures.ordinary(), n_out=2000, **k),
    "output dying": lambda **k: P.plot_output(resnet(3, 8, 0.0, 1.0), **k),
    "output general": lambda **k: P.plot_output(network(16, 8, "phi-in", "gelu", bias=0.3), **k),
    "qq few": lambda **k: P.plot_qq(resnet(6, 3, networks=40), **k),
    "qq dying": lambda **k: P.plot_qq(resnet(3, 8, 0.0, 1.0), **k),
    "qq general": lambda **k: P.plot_qq(network(16, 8, "phi-in", "gelu", bias=0.3), **k),
    "hypoactivation asymmetry": lambda **k: P.plot_hypoactivation(figures.ordinary(), quantity="asymmetry", **k),
    "hypoactivation few": lambda **k: P.plot_hypoactivation(resnet(6, 30, networks=3), **k),
    "hypoactivation dying": lambda **k: P.plot_hypoactivation(resnet(2, 40, 0.0, 1.0), **k),
    "hypoactivation balanced": lambda **k: P.plot_hypoactivation(figures.balanced(), **k),
    "hypoactivation one layer": lambda **k: P.plot_hypoactivation(resnet(6, 1), **k),
    "hypoactivation deep": lambda **k: P.plot_hypoactivation(resnet(20, 512), **k),
    "hypoactivation general": lambda **k: P.plot_hypoactivation(network(16, 8, "phi-in", "relu", bias=0.3), **k),
    "trajectories one": lambda **k: P.plot_trajectories(resnet(6, 3, networks=1), **k),
    "trajectories dying": lambda **k: P.plot_trajectories(resnet(2, 40, 0.0, 1.0), **k),
    "trajectories one layer": lambda **k: P.plot_trajectories(resnet(6, 1), **k),
    "trajectories deep": lambda **k: P.plot_trajectories(resnet(20, 512), **k),
    "trajectories general": lambda **k: P.plot_trajectories(network(16, 8, "v-phi-w", "relu"), **k),
    "interlayer deep": lambda **k: P.plot_interlayer(resnet(30, 200), **k),
    "interlayer 512": lambda **k: P.plot_interlayer(resnet(20, 512), **k),
    "interlayer negative": lambda **k: P.plot_interlayer(resnet(30, 10, -0.8, 0.6), **k),
    "interlayer negative deep": lambda **k: P.plot_interlayer(resnet(30, 100, -0.95, 0.3), **k),
    "interlayer balanced": lambda **k: P.plot_interlayer(resnet(30, 100, variant="balanced"), **k),
    "interlayer dying": lambda **k: P.plot_interlayer(resnet(2, 20, 0.0, 1.0), **k),
    "interlayer one layer": lambda **k: P.plot_interlayer(resnet(6, 1), **k),
    "interlayer_by_lag few": lambda **k: P.plot_interlayer_by_lag(resnet(6, 10, networks=3), **k),
    "interlayer_by_lag one layer": lambda **k: P.plot_interlayer_by_lag(resnet(6, 1), **k),
    "interlayer_by_lag deep": lambda **k: P.plot_interlayer_by_lag(resnet(30, 200, 0.99, 0.1), **k),
    "interlayer_by_lag many": lambda **k: P.plot_interlayer_by_lag(
        {f"alpha = {a:g}": resnet(10, 12, a, 0.6) for a in np.linspace(0.1, 0.9, 7)}, **k),
    "interlayer_by_lag wide labels": lambda **k: P.plot_interlayer_by_lag(_wide_labels(), **k),
    "growth balanced": lambda **k: P.plot_growth(figures.balanced(), **k),
    "growth few": lambda **k: P.plot_growth(resnet(6, 10, networks=3), **k),
    "growth dying": lambda **k: P.plot_growth(resnet(2, 40, 0.0, 1.0), **k),
    "growth one layer": lambda **k: P.plot_growth(resnet(6, 1), **k),
    "growth general": lambda **k: P.plot_growth(network(16, 8, "v-phi-w", "relu"), **k),
    "growth unnormalised": lambda **k: P.plot_growth(resnet(20, 10, 1.0, 0.5), **k),
    "growth seven": lambda **k: P.plot_growth({f"n = {n}": resnet(n, 12, networks=2000) for n in range(6, 20, 2)}, **k),
    "growth thirty": lambda **k: P.plot_growth({f"n = {n}": resnet(n, 12) for n in range(4, 34)}, most=3, **k),
    "growth wide labels": lambda **k: P.plot_growth(_wide_labels(), **k),
    "growth unreliable": lambda **k: P.plot_growth(unreliable(), **k),
    "depth_ratio one": lambda **k: P.plot_depth_ratio(by_depth(0.5), "growth", **k),
    "depth_ratio gradient": lambda **k: P.plot_depth_ratio(figures.regimes(), "gradient", **k),
    "depth_ratio few": lambda **k: P.plot_depth_ratio(by_depth(0.5, networks=3), **k),
    "depth_ratio single": lambda **k: P.plot_depth_ratio(by_depth(0.5, (16,)), **k),
    "depth_ratio eight": lambda **k: P.plot_depth_ratio({f"β = {b:g}": by_depth(b) for b in np.arange(8) / 8}, **k),
    "depth_ratio sweep": lambda **k: P.plot_depth_ratio(many_dimensions(), sel={"activation": "relu"}, **k),
    "ratio_law few": lambda **k: P.plot_ratio_law(by_depth(0.5, networks=3)[-1], **k),
    "ratio_law displacement": lambda **k: P.plot_ratio_law(figures.deep_residual(), "displacement", **k),
    "ratio_law several": lambda **k: P.plot_ratio_law({f"L = {s.model.depth}": s for s in by_depth(0.5)}, **k),
    "ratio_law sweep": lambda **k: P.plot_ratio_law(words_only(), "displacement", sel={"block": "v-phi-w"}, **k),
    "heat_map explosion": lambda **k: P.plot_heat_map([s for b in (-0.5, 0.25, 1) for s in by_depth(b)], **k),
    "heat_map missing": lambda **k: P.plot_heat_map(figures.over_beta_and_depth()[:-1], "gradient", **k),
    "heat_map large": lambda **k: P.plot_heat_map(
        [s for b in np.linspace(0, 1, 9) for s in by_depth(float(b), (4, 8, 16, 32, 64, 96, 128))], **k),
    "heat_map words": lambda **k: P.plot_heat_map(words_only(), "displacement", **k),
    "heat_map few": lambda **k: P.plot_heat_map([s for b in (0.0, 0.5, 1.0) for s in by_depth(b, networks=3)], **k),
    "heat_map hurst": lambda **k: P.plot_heat_map(over_hurst(), **k),
    "heat_map hurst few": lambda **k: P.plot_heat_map(over_hurst(networks=3), "gradient", "beta", **k),
    "heat_map hurst written": lambda **k: P.plot_heat_map(over_hurst(4, 5), "gradient_displacement", **k),
    "adjoint_errors few": lambda **k: P.plot_adjoint_errors(figures.adjoint_errors(3), **k),
    "adjoint_errors inversion": lambda **k: P.plot_adjoint_errors(figures.adjoint_errors(), "inversion", **k),
    "ode_distance few": lambda **k: P.plot_ode_distance(figures.ode_distance(3), **k),
    "ode_distance euler": lambda **k: P.plot_ode_distance(figures.ode_distance(schemes="euler"), **k),
    "ode_distance two": lambda **k: P.plot_ode_distance(dict.fromkeys("ab", figures.ode_distance(3)), **k),
    "regularity few": lambda **k: P.plot_regularity(figures.regularity(3), "sums", **k),
    "trained_log_ratio few": lambda **k: P.plot_trained_log_ratio(figures.trained_log_ratios(3, "growth"), **k),
    "scaling_exponents few": lambda **k: P.plot_scaling_exponents(figures.scaling_exponents(3), **k),
    "scaling_exponents noise": lambda **k: P.plot_scaling_exponents(figures.scaling_exponents(), "noise", **k),
    "trained_scaling": lambda **k: P.plot_scaling_exponents(figures.trained_scaling(), **k),
    "trained_scaling few": lambda **k: P.plot_scaling_exponents(figures.trained_scaling(3), "increment", **k),
    "success few": lambda **k: P.plot_success(figures.success(3), **k),
    "success two": lambda **k: P.plot_success({"smooth": figures.success(), "rough": figures.success(64)}, **k),
    "training few": lambda **k: P.plot_training(figures.training(3, 2), **k),
    "training long": lambda **k: P.plot_training(figures.training(64, 300), **k),
    "training accuracy": lambda **k: P.plot_training(figures.training(), "accuracy", **k),
    "linear_descent few": lambda **k: P.plot_linear_descent(figures.linear_descent(3, (4, 8)), **k),
    "linear_descent deep": lambda **k: P.plot_linear_descent(figures.linear_descent(3, (4, 16, 64, 256, 1024)), **k),
    "linear_descent loss": lambda **k: P.plot_linear_descent(figures.linear_descent(), "loss", **k),
    "linear_descent smoothness": lambda **k: P.plot_linear_descent(figures.linear_descent(), "smoothness", **k),
    "linear_descent weights": lambda **k: P.plot_linear_descent(figures.linear_descent(), "weights", **k),
    "extrapolation few": lambda **k: P.plot_extrapolation(_extrapolated(400), **k),
    "extrapolation quadratic": lambda **k: P.plot_extrapolation(_extrapolated(4000, 2), **k),
    "extrapolation asymmetry": lambda **k: P.plot_extrapolation(_extrapolated(4000, 1, "asymmetry"), **k),
    "extrapolation growth": lambda **k: P.plot_extrapolation(_extrapolated(4000, 1, "growth", times=4), **k),
    "sweep growth": lambda **k: P.plot_sweep(figures.grid(), "growth", sel={"variant": "vanilla"}, **k),
    "sweep relative": lambda **k: P.plot_sweep(figures.grid(), show="relative", sel={"variant": "vanilla"}, **k),
    "sweep stderr": lambda **k: P.plot_sweep(figures.grid(), show="stderr", sel={"variant": "vanilla"}, **k),
    "sweep noise": lambda **k: P.plot_sweep(balanced_map(), "asymmetry", **k),
    "sweep unreliable": lambda **k: P.plot_sweep(unreliable(), "growth", **k),
    "sweep unfinished": lambda **k: P.plot_sweep(figures.unfinished(), **k),
    "sweep words": lambda **k: P.plot_sweep(words_only(), "displacement.median", **k),
    "sweep large": lambda **k: P.plot_sweep(large_map(), **k),
    "sweep large asymmetry": lambda **k: P.plot_sweep(large_map(), "asymmetry", **k),
    "quantity growth": lambda **k: P.plot_quantity(figures.deep(), "growth", **k),
    "quantity general": lambda **k: P.plot_quantity(network(16, 8, "v-phi-w", "relu"), "gradient.mean", **k),
    "quantity deep": lambda **k: P.plot_quantity(resnet(20, 512), "log_norm.mean", **k),
    "quantity few": lambda **k: P.plot_quantity(resnet(6, 10, networks=3), "log_norm.mean", **k),
    "quantity one layer": lambda **k: P.plot_quantity(resnet(6, 1), "asymmetry", **k),
    "quantity dying": lambda **k: P.plot_quantity(resnet(2, 40, 0.0, 1.0), "active_fraction", **k),
    "quantity run": lambda **k: P.plot_quantity(resnet(20, 10), "ks.fitted", **k),
    "quantity runs": lambda **k: P.plot_quantity({LONG + str(i): resnet(8 + i, 10) for i in range(5)},
                                                 "ks.fitted", **k),
    "quantity lag": lambda **k: P.plot_quantity(resnet(20, 60), "interlayer.lag1", **k),
    "quantity seven": lambda **k: P.plot_quantity({f"n = {n}": resnet(n, 12, networks=2000) for n in range(6, 20, 2)},
                                                  "growth", **k),
    "quantity wide labels": lambda **k: P.plot_quantity(_wide_labels(), "log_norm.mean", **k),
    "quantity many dimensions": lambda **k: P.plot_quantity(many_dimensions(), "displacement.median",
                                                            along="depth", **k),
    "quantity words": lambda **k: P.plot_quantity(words_only(), "displacement.median", **k),
    "quantity unreliable": lambda **k: P.plot_quantity(unreliable(), "growth", along="ratio", **k),
    "quantity regime": lambda **k: P.plot_quantity(figures.regimes()["β = 0.25"], "displacement.median", **k),
}  # fmt: skip


@contextmanager
def column() -> Iterator[dict[str, Any]]:
    """A new figure."""
    yield {}


@contextmanager
def page() -> Iterator[dict[str, Any]]:
    """Axes of the width of a page."""
    yield {"ax": plt.figure(figsize=(7.0, 3.2), layout="constrained").subplots()}


@contextmanager
def dark() -> Iterator[dict[str, Any]]:
    """A new figure in matplotlib's dark style."""
    with plt.style.context("dark_background"):
        yield {}


@contextmanager
def grid_of_axes() -> Iterator[dict[str, Any]]:
    """One of four Axes of a figure without a layout, as wide as a page."""
    figure = plt.figure(figsize=(7.0, 5.0))
    axes = figure.subplots(2, 2)
    for other in axes.ravel()[1:]:
        other.plot([0, 1], [0, 1])
    yield {"ax": axes[0, 0]}


@contextmanager
def constrained_grid() -> Iterator[dict[str, Any]]:
    """One of four Axes of a figure with a layout, as wide as a page."""
    figure = plt.figure(figsize=(7.0, 5.0), layout="constrained")
    axes = figure.subplots(2, 2)
    for other in axes.ravel()[1:]:
        other.plot([0, 1], [0, 1])
    yield {"ax": axes[0, 0]}


SITUATIONS = {"column": column, "page": page, "dark": dark, "grid": grid_of_axes, "constrained": constrained_grid}


def draw_all(folder: Path, wanted: list[str], situations: list[str]) -> None:
    """Draw all cases in all situations, and print what fails."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, function in CASES.items():
        if wanted and not any(name.startswith(one) for one in wanted):
            continue
        for situation in situations:
            with SITUATIONS[situation]() as given:
                try:
                    ax = function(**given)
                    ax.figure.savefig(folder / f"{name.replace(' ', '-')}.{situation}.png", dpi=150)
                except Exception as error:
                    print(name, situation, type(error).__name__, error)
                plt.close("all")


if __name__ == "__main__":
    matplotlib.use("Agg")
    warnings.simplefilter("always")
    draw_all(Path(sys.argv[1]), sys.argv[2:], list(SITUATIONS))
