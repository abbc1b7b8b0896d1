"""`success`: how many layers the adjoint's gradient needs before training with it succeeds, by either scheme."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._system import checks
from ..._system.progress import reporting
from ..._system.stopping import look, stoppable
from ..._system.words import brief_repr, counted
from ...models.fields import shown
from ...models.residual_network import ResidualNetwork
from ...results.arithmetic import share_networks
from ...results.estimates import Estimate, Floats
from ...results.layer_estimates import share
from ...results.propagation import Networks
from ...tables import Column, Shown, Table
from ..convergence import checked_depths
from ..networks import check_model
from .data import checked_data
from .groups import SCHEMES

MAX_NETWORKS = 10**4
MAX_DEPTH = 1 << 15
MAX_STEPS = 10**6
BACKWARD = ("adjoint", "autograd")


@dataclass(frozen=True, eq=False)
class Success(Shown):
    """Training of the same networks with the adjoint and with autograd, as `success` returns it.

    S is the number of schemes, D that of depths, P that of networks.

    Attributes
    ----------
    model : ResidualNetwork
        The networks at the start; depth, input and output have no meaning here.
    depths : ndarray of int, shape (D,)
        N, steps of a scheme.
    schemes : tuple of str
    networks, seed : int
    steps, batch : int
    learning_rate, momentum : float
    classes : int
    threshold : float
        The largest loss with which training counts as a success.
    adjoint_loss, autograd_loss : ndarray, shape (S, D, P)
        Mean cross entropy of the examples for training after the last step; infinite where states or gradients left
        the range of numbers.
    adjoint_accuracy, autograd_accuracy : ndarray, shape (S, D, P)
        Fraction of the examples held out that are classified rightly; it says nothing where the loss is infinite.
    start_error, final_error : ndarray, shape (S, D, P)
        |adjoint's gradient - autograd's|/|autograd's| at the same weights, before and after training with the adjoint;
        NaN or infinite beyond the range of numbers.
    """

    __repr__ = brief_repr

    model: ResidualNetwork
    depths: NDArray[np.int64]
    schemes: tuple[str, ...]
    networks: int
    seed: int
    steps: int
    batch: int
    learning_rate: float
    momentum: float
    classes: int
    threshold: float
    adjoint_loss: Floats
    autograd_loss: Floats
    adjoint_accuracy: Floats
    autograd_accuracy: Floats
    start_error: Floats
    final_error: Floats

    def succeeded(self, backward: str = "adjoint") -> NDArray[np.bool_]:
        """Return where training ended with a loss of at most the threshold, (S, D, P)."""
        checks.choice("backward", backward, BACKWARD)
        return np.asarray(getattr(self, f"{backward}_loss") <= self.threshold)

    def success(self, backward: str = "adjoint") -> Estimate:
        """Return the fraction of networks whose training succeeded, (S, D), with the error of a binomial count."""
        return self._share(self.succeeded(backward))

    def layers_needed(self, backward: str = "adjoint") -> Floats:
        """Return the smallest depth from which on training succeeded at every depth, (S, P); infinite if at none."""
        good = np.flip(np.cumprod(np.flip(self.succeeded(backward), axis=1), axis=1), axis=1).astype(bool)
        first = self.depths[np.argmax(good, axis=1)].astype(np.float64)
        return np.where(good.any(axis=1), first, np.inf)

    @property
    def heun_needs_fewer(self) -> Estimate:
        """The fraction of networks that need fewer layers with Heun's method than with Euler's, for the adjoint."""
        euler, heun = self._both()
        return self._share(heun < euler)

    @property
    def euler_needs_fewer(self) -> Estimate:
        """The fraction of networks that need fewer layers with Euler's method than with Heun's, for the adjoint."""
        euler, heun = self._both()
        return self._share(euler < heun)

    def _both(self) -> Floats:
        if set(self.schemes) != set(SCHEMES):
            raise ValueError(f"schemes={self.schemes!r} is not allowed here: both are compared")
        return self.layers_needed()[[self.schemes.index(scheme) for scheme in SCHEMES]]

    def _share(self, these: NDArray[np.bool_]) -> Estimate:
        found = share(these.sum(axis=-1), np.full(these.shape[:-1], these.shape[-1]))
        return share_networks(found, Networks.of(self.seed, [(0, self.networks)]))

    def _table(self) -> Table:
        columns = [
            Column("scheme", "scheme", width=8),
            Column("depth", "depth", width=8),
            Column("success, adjoint", "adjoint", width=20),
            Column("autograd", "autograd", width=20),
            Column("loss, adjoint", "adjoint_loss", width=14, digits=3),
            Column("autograd", "autograd_loss", width=10, digits=3),
            Column("error at start", "start_error", width=16, digits=2),
            Column("at end", "final_error", digits=2),
        ]
        adjoint, autograd = self.success("adjoint"), self.success("autograd")
        medians = [
            np.median(np.where(np.isnan(one), np.inf, one), axis=-1)
            for one in (self.adjoint_loss, self.autograd_loss, self.start_error, self.final_error)
        ]
        rows: list[list[Any]] = [
            [scheme, int(n), adjoint[i, j], autograd[i, j], *(float(one[i, j]) for one in medians)]
            for i, scheme in enumerate(self.schemes)
            for j, n in enumerate(self.depths)
        ]
        m = self.model
        title = f"training with the adjoint: {m.block} {m.activation}  width {m.width}  scaling {shown(m.scaling)}"
        lines = [
            f"{counted(self.networks, 'network')}, the same for all, seed {self.seed}; {self.steps} steps, batch "
            f"{self.batch}, learning rate {self.learning_rate:g}/(N s^2), momentum {self.momentum:g}",
            f"success: a loss of at most {self.threshold:.4g}; losses and errors of gradients are medians of "
            "these networks, without errors",
        ]
        return Table("success", title, columns, rows, lines, self._notes())

    def _notes(self) -> list[str]:
        notes = []
        if set(self.schemes) == set(SCHEMES):
            never = int(np.isinf(self.layers_needed()).all(axis=0).sum())
            neither = (
                f"; {never} of {self.networks} do not succeed at N = {self.depths[-1]} with either" if never else ""
            )
            notes.append(
                f"with the adjoint, Heun needs fewer layers than Euler in {self.heun_needs_fewer} of the networks, "
                f"more in {self.euler_needs_fewer}{neither}; a layer of Heun's takes two branches"
            )
        if not self.succeeded("autograd").all():
            notes.append("not all networks succeed with autograd: failures are not the adjoint's alone")
        return notes

    def summary(self) -> Table:
        """Return a table by scheme and depth; below it, how often Heun's method needs fewer layers."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


@stoppable()
def success(
    model: ResidualNetwork,
    depths: Sequence[int] = (2, 3, 4, 6, 8),
    *,
    data: Any = None,
    networks: float = 32,
    seed: int = 0,
    schemes: str | Sequence[str] = SCHEMES,
    steps: int = 200,
    batch: int = 64,
    learning_rate: float = 0.2,
    momentum: float = 0.9,
    threshold: float | None = None,
    device: str = "cpu",
    progress: bool | Callable[[int, int], object] | None = None,
) -> Success:
    """Train classifiers with the memory-free adjoint and with autograd, and count at which depths that succeeds.

    Sander, Ablin and Peyre find, for a small convolutional network on CIFAR-10 with 2 to 64 layers, that training with
    the adjoint's gradient succeeds from some depth on, and that Heun's method needs fewer layers for it than Euler's:
    states recovered backwards are off by O(1/N), or O(1/N^2) where weights are smooth in depth. Here

    .. code-block:: text

        h_0 = A x,   N steps of Euler's or Heun's method,   logits W_out h_N,   loss = mean cross entropy

    and A and W_out stay as they are drawn, so that what is learnt is learnt by the layers between, through the gradient
    in question. **Success** is a training loss of at most ``threshold`` in the end. Each network is trained four times
    from the same start, on the same batches: by both schemes, with the adjoint and, beside it as a control, with
    autograd. Nothing is refused and no warning given: what the adjoint's guards would refuse is what fails here.

    Descent is stochastic with momentum and the step size learning_rate/(N s^2), s the size of a branch, with which h_N
    moves as much whatever the depth. Networks train side by side in float32; 32 of width 16 take half a minute by
    default.

    Parameters
    ----------
    model : ResidualNetwork
        The law of the weights at the start, with a `DepthScaling`, carry 1, and an activation without random signs; its
        depth, input and output have no meaning here. Smooth and tied weights are the same functions of k/N at every
        depth.
    depths : sequence of int
        N: at least two, increasing, 2 to 32,768.
    data : pair (X, y), optional
        Examples (M, F) and their labels, M at least 10; by default scikit-learn's 1,797 handwritten digits (the extra
        ``resmc[digits]``). A fifth is held out. X is centred by column and divided by one number, so that the examples
        for training have means 0 and a mean of x^2 of 1.
    networks : int
        P: 1 to 10^4; errors take 32. Each has a start and batches of its own.
    seed : int
        0 to 2^64 - 1. Weights are those of ``model.to_torch(seed, range(P), scheme=..)``, but for A, whose entries
        N(0, 1/F) come from ``numpy.random.Philox``.
    schemes : str or sequence of str
        "euler", "heun" or both.
    steps, batch : int
        Steps of descent, and examples that a network sees in each.
    learning_rate, momentum : float
        A momentum from 0 to 1, excluding 1.
    threshold : float, optional
        By default half of ln(classes), the loss of one who knows nothing.
    device : str
        A device of torch's, such as "cuda".
    progress
        As for `simulate`.

    Raises
    ------
    ImportError
        If torch is not installed, or no data is given and scikit-learn is not.
    ValueError
        For an argument out of range, or data of another shape.

    Source: Sander, Ablin, Peyre (arXiv 2205.14612), section 4 for the adjoint and its errors, section 5 for training.
    """
    check_model(model)
    chosen = checked_depths(depths, MAX_DEPTH, "2^15", smallest=2)
    count = checks.integer("networks", networks, 1, MAX_NETWORKS, "10^4")
    seed = checks.integer("seed", seed, 0, 2**64 - 1, "2^64 - 1")
    asked = checks.choices("schemes", schemes, SCHEMES)
    steps = checks.integer("steps", steps, 1, MAX_STEPS, "10^6")
    batch = checks.integer("batch", batch, 1, 2**20, "2^20")
    rate = checks.real("learning_rate", learning_rate, positive=True)
    momentum = checks.real("momentum", momentum)
    if not 0.0 <= momentum < 1.0:
        raise ValueError(f"momentum={momentum!r} is out of range: it must be from 0 to 1, excluding 1")
    examples = checked_data(data, np.random.Generator(np.random.Philox(seed)))
    if threshold is None:
        threshold = 0.5 * float(np.log(examples.classes))
    threshold = checks.real("threshold", threshold, positive=True)
    from ...torch_module.threads import threads_for
    from .training import Course, Training, check_step_sizes

    check_step_sizes(model, chosen, rate)
    course = Course(seed, count, steps, batch, rate, momentum, device)
    losses = np.empty((2, len(asked), len(chosen), count))
    accuracies, errors = np.empty_like(losses), np.empty_like(losses)
    done, work = 0, 2 * steps * len(asked) * sum(chosen)
    with reporting(progress, count, "training") as report, threads_for(model.width):

        def after(depth: int) -> Callable[[], None]:
            def stepped() -> None:
                nonlocal done
                look()
                done += depth
                if report is not None:
                    report(done / work)

            return stepped

        for i, scheme in enumerate(asked):
            for j, depth in enumerate(chosen):
                training = Training(model, scheme, depth, examples, course)
                errors[0, i, j] = training.gradient_error()
                for k, backward in enumerate(BACKWARD):
                    training.run(backward, after(depth))
                    losses[k, i, j], accuracies[k, i, j] = training.loss, training.accuracy
                    if backward == "adjoint":
                        errors[1, i, j] = training.gradient_error()
                        training.start()
    return Success(
        model=model,
        depths=np.array(chosen),
        schemes=asked,
        networks=count,
        seed=seed,
        steps=steps,
        batch=batch,
        learning_rate=rate,
        momentum=momentum,
        classes=examples.classes,
        threshold=threshold,
        adjoint_loss=losses[0],
        autograd_loss=losses[1],
        adjoint_accuracy=accuracies[0],
        autograd_accuracy=accuracies[1],
        start_error=errors[0],
        final_error=errors[1],
    )
