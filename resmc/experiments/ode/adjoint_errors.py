"""`adjoint_errors`: how far the gradient without stored states is from autograd's, and recovered inputs from true ones.

torch is imported when the experiment runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._system import checks
from ..._system.memory import available_memory
from ..._system.progress import reporting
from ..._system.stopping import look, stoppable
from ..._system.words import brief, brief_repr, counted
from ...models.fields import shown
from ...models.residual_network import ResidualNetwork
from ...models.scaling import DepthScaling
from ...results.arithmetic import share_networks
from ...results.estimates import Estimate, Floats
from ...results.propagation import Networks
from ...tables import Column, Shown, Table
from ..convergence import checked_depths, left_out, mean_log, slope
from .groups import SCHEMES

if TYPE_CHECKING:
    from torch import Tensor

    from ...torch_module import ExplicitResidualNetwork

DTYPES = ("float32", "float64")
MAX_NETWORKS = 10**6
MAX_DEPTH = 1 << 16
MAX_BATCH = 1 << 20
DEEP = 64  # slopes are those of networks of at least so many layers
ABOVE_ROUNDING = 64.0  # times the rounding unit: errors that slopes are fitted to
TOGETHER = 1 << 30  # bytes for networks that are followed side by side
AGAIN = 8  # arrays as large as the weights, and as large as all states, that are there at once at most


@dataclass(frozen=True, eq=False)
class AdjointErrors(Shown):
    """Errors of the gradient without stored states, as `adjoint_errors` returns them.

    Attributes
    ----------
    model : ResidualNetwork
        The network; its depth has no meaning here.
    depths : ndarray of int, shape (D,)
        N, steps.
    schemes, dtypes : tuple of str
    networks, seed, batch : int
    gradient : ndarray, shape (schemes, dtypes, D, networks)
        |g - g_autograd|/|g_autograd| of the gradients of all V, W and b together, both in the same dtype.
    inversion : ndarray, shape (schemes, dtypes, D, networks)
        |x_0 - recovered x_0|/|x_0|, of all inputs together.
    """

    __repr__ = brief_repr

    model: ResidualNetwork
    depths: NDArray[np.int64]
    schemes: tuple[str, ...]
    dtypes: tuple[str, ...]
    networks: int
    seed: int
    batch: int
    gradient: Floats
    inversion: Floats

    def log_gradient(self, scheme: str, dtype: str) -> Estimate:
        """Return means over networks of ln(gradient error) at every depth."""
        return mean_log(self.gradient[self._at(scheme, dtype)])

    def log_inversion(self, scheme: str, dtype: str) -> Estimate:
        """Return means over networks of ln(inversion error) at every depth."""
        return mean_log(self.inversion[self._at(scheme, dtype)])

    def gradient_slope(self, scheme: str, dtype: str) -> Estimate:
        """Return the mean over networks of the slope of ln(gradient error) against ln N.

        By least squares over depths of at least 64 where the error's geometric mean is above 64 rounding units of the
        dtype; NaN where fewer than two are.
        """
        return self._slope(self.gradient[self._at(scheme, dtype)], dtype)

    def inversion_slope(self, scheme: str, dtype: str) -> Estimate:
        """Return the mean over networks of the slope of ln(inversion error) against ln N, as `gradient_slope` does."""
        return self._slope(self.inversion[self._at(scheme, dtype)], dtype)

    def _at(self, scheme: str, dtype: str) -> tuple[int, int]:
        checks.choice("scheme", scheme, self.schemes)
        checks.choice("dtype", dtype, self.dtypes)
        return self.schemes.index(scheme), self.dtypes.index(dtype)

    def _slope(self, errors: Floats, dtype: str) -> Estimate:
        floor = np.log(ABOVE_ROUNDING * np.finfo(dtype).eps)
        with np.errstate(divide="ignore", invalid="ignore"):
            fitted = (self.depths >= DEEP) & (np.log(errors).mean(axis=1) > floor)
        if fitted.sum() < 2:
            return Estimate(np.asarray(np.nan), np.asarray(np.nan), np.asarray(0))
        return slope(self.depths[fitted].tolist(), errors[fitted])

    def _table(self) -> Table:
        columns, notes, logs = [Column("depth", "depth", width=8)], [], []
        for scheme in self.schemes:
            for dtype in self.dtypes:
                short = f"{scheme} {dtype[-2:]}"
                columns.append(Column(f"ln gradient, {short}", f"gradient_{scheme}_{dtype}", width=24))
                columns.append(Column(f"ln inversion, {short}", f"inversion_{scheme}_{dtype}", width=24))
                logs += [self.log_gradient(scheme, dtype), self.log_inversion(scheme, dtype)]
                found = self.gradient_slope(scheme, dtype)
                few = "" if np.isfinite(float(found.value)) else ": too few depths have errors above rounding"
                notes.append(f"{scheme}, {dtype}: gradient error ~ N^s, s = {found}{few}")
        rows: list[list[Any]] = [[int(depth), *(log[i] for log in logs)] for i, depth in enumerate(self.depths)]
        notes += left_out(*self.gradient.reshape(-1, *self.gradient.shape[2:]))
        m = self.model
        title = f"gradient without stored states: {m.block} {m.activation}  width {m.width}  scaling {shown(m.scaling)}"
        lines = [
            f"relative to autograd in the same dtype: the same {counted(self.networks, 'network')} at every depth, "
            f"seed {self.seed}, {counted(self.batch, 'input')} each",
            f"weights {m.weights}",
        ]
        return Table("adjoint_errors", title, columns, rows, lines, notes)

    def summary(self) -> Table:
        """Return a table of mean logarithms of both errors by depth, and the slopes below it."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


@stoppable()
def adjoint_errors(
    model: ResidualNetwork,
    depths: Sequence[int] = (4, 8, 16, 32, 64, 128, 256, 512, 1024),
    *,
    schemes: str | Sequence[str] = SCHEMES,
    dtypes: str | Sequence[str] = DTYPES,
    networks: float = 32,
    seed: int = 0,
    batch: int = 8,
    progress: bool | Callable[[int, int], object] | None = None,
) -> AdjointErrors:
    """Measure the error of gradients that recover their states, and of the input recovered, against autograd.

    .. code-block:: text

        gradient     |g - g_autograd|/|g_autograd|           g that of |x_N|^2/2 with respect to all V_k, W_k, b_k
        inversion    |x_0 - recovered x_0|/|x_0|

    For smooth weights at beta = 1 and smooth activations both fall like 1/N (Euler) and 1/N^3 (Heun), down to rounding
    errors: a step back with Heun's method undoes the step forward but for O(1/N^4), as errors of both of O(1/N^3)
    cancel. States of kinked activations cross kinks on their way back, and gradients scatter. No step is refused here,
    near-invertible or not. The last step of the gradient is taken at the true x_0, which is kept, and not at the one
    whose error is the inversion's.

    Parameters
    ----------
    model : ResidualNetwork
        A network with a `DepthScaling` and carry 1. Its depth has no meaning here.
    depths : sequence of int
        N: at least two, increasing, 2 to 65,536. At 32,768 and width 30 a network takes about 3 GiB and a minute.
    schemes : str or sequence of str
        "euler", "heun" or both.
    dtypes : str or sequence of str
        "float32", "float64" or both.
    networks : int
        1 to 10^6; errors take 32.
    seed : int
        0 to 2^64 - 1. Weights are those of ``model.to_torch(seed, range(networks), scheme=..)``.
    batch : int
        Inputs of every network, 1 to 2^20: x_0 = input_norm N(0, I) from NumPy's Philox generator.
    progress : bool or callable, optional
        As for `simulate`.

    Returns
    -------
    AdjointErrors

    Raises
    ------
    ValueError
        For any other model, or an argument out of range; for states that are not finite (the message names network and
        layer), and for weights that do not fit into memory.
    ImportError
        If torch is not installed.

    Source: Sander, Ablin, Peyre (arXiv 2205.14612), section 4, which bounds the errors by O(1/N) and O(1/N^2).
    """
    if not isinstance(model, ResidualNetwork):
        raise ValueError(f"model={brief(model)} is not allowed: it must be a resmc.ResidualNetwork")
    if not isinstance(model.scaling, DepthScaling):
        raise ValueError("a scaling by layer is not allowed: networks of all depths need a DepthScaling")
    chosen = checked_depths(depths, MAX_DEPTH, "2^16", smallest=2)
    asked, kinds = checks.choices("schemes", schemes, SCHEMES), checks.choices("dtypes", dtypes, DTYPES)
    count = checks.integer("networks", networks, 1, MAX_NETWORKS, "10^6")
    seed = checks.integer("seed", seed, 0, 2**64 - 1, "2^64 - 1")
    batch = checks.integer("batch", batch, 1, MAX_BATCH, "2^20")
    shape = (len(asked), len(kinds), len(chosen), count)
    found = np.full((2, *shape), np.nan)
    from ...torch_module.threads import threads_for

    work, done = count * sum(chosen), 0
    together = [_together(replace(model, depth=depth), batch) for depth in chosen]
    with reporting(progress, count, "errors of the adjoint") as report, threads_for(model.width):
        for at, depth in enumerate(chosen):
            deep = replace(model, depth=depth)
            for first in range(0, count, together[at]):
                group = range(first, min(first + together[at], count))
                for i, scheme in enumerate(asked):
                    for j, errors in enumerate(_errors(deep, scheme, kinds, seed, group, batch)):
                        found[:, i, j, at, group.start : group.stop] = errors
                done += len(group) * depth
                if report is not None:
                    report(done / work)
    result = AdjointErrors(model, np.array(chosen), asked, kinds, count, seed, batch, found[0], found[1])
    return share_networks(result, Networks.of(seed, [(0, count)]))


def _together(model: ResidualNetwork, batch: int) -> int:
    """Return how many networks are followed side by side; refuse those of which none fits into memory."""
    n = model.width
    entries = n * n * model.residual_block.matrices + n * (model.bias > 0.0)
    size = 8 * AGAIN * (model.depth + 1) * (entries + batch * n)
    available = available_memory()
    if size > available:
        raise ValueError(
            f"depths with {model.depth} are not allowed at width={n} and batch={batch}: a network needs "
            f"{size / 1e9:.3g} GB of memory, and {available / 1e9:.3g} GB are available"
        )
    return max(1, TOGETHER // size)


def _errors(
    model: ResidualNetwork, scheme: str, dtypes: tuple[str, ...], seed: int, group: range, batch: int
) -> Floats:
    """Return the gradient's and the inversion's errors of some networks, (dtypes, 2, len(group))."""
    import torch

    from ...torch_module import ExplicitResidualNetwork, explicit

    module = explicit(model, seed, group, scheme=scheme)
    assert isinstance(module, ExplicitResidualNetwork)
    starts = [
        np.random.Generator(np.random.Philox(key=[seed, network])).standard_normal((batch, model.width))
        for network in group
    ]
    x = torch.from_numpy(model.size * np.stack(starts))
    found = {}
    for dtype in reversed(dtypes):  # float64 comes first: the weights are rounded in place
        look()
        kind = getattr(torch, dtype)
        found[dtype] = _errors_of(module.to(kind), x.to(kind))
    return np.stack([found[dtype] for dtype in dtypes])


def _errors_of(module: ExplicitResidualNetwork, x: Tensor) -> Floats:
    """Return both errors, (2, networks), in the module's own dtype."""
    import torch

    from ...torch_module.adjoint import Steps, adjoint

    assert module.steps is not None
    steps = Steps(module.steps.scheme, module.steps.steps, "adjoint", checked=False)
    parameters = [one for one in (module.V, module.W, module.b) if one is not None]
    gradients = []
    for backwards in (False, True):
        x = x.detach().requires_grad_()
        last = adjoint(steps, module.transposed, x, parameters, False) if backwards else module.states(x)[-1]
        gradients.append(torch.autograd.grad(0.5 * last.square().sum(), parameters))
    with torch.no_grad():
        f, recovered = module.transposed(parameters), last.detach()
        for k in reversed(range(steps.steps)):
            recovered = steps.method.recovered(f, k, recovered)
    pairs = [(b.transpose(0, 1), a.transpose(0, 1)) for a, b in zip(*gradients, strict=True)]
    return np.stack([_relative(pairs), _relative([(recovered, x.detach())])])


def _relative(pairs: list[tuple[Tensor, Tensor]]) -> Floats:
    """Return |a - b|/|b| of pairs (a, b) together, along the first axis."""
    squares = [[one.double().flatten(1).square().sum(1).numpy() for one in (a - b, b)] for a, b in pairs]
    with np.errstate(invalid="ignore", divide="ignore"):
        off, size = np.sum(squares, axis=0)
        return np.asarray(np.sqrt(off / size))
