"""`resmc.train.heat_map`: the map over H and beta after training, computed like a sweep, into a store or in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from ..engine.devices import Named
from ..experiments.train.data import FRACTIONS, checked_data
from ..experiments.train.fit import check_training
from ..experiments.train.heat_map import TrainedHeatMap
from ..experiments.train.map_row import DataDescription
from ..experiments.train.settings import Settings
from ..models.residual_network import ResidualNetwork
from . import coordinator
from .engines import Cluster
from .memory_store import MemoryStore
from .store import Store
from .trained_map_campaign import TrainedMapCampaign
from .trained_map_plan import TrainedMapPlan

Numbers = Sequence[float] | NDArray[Any]


def heat_map(
    model: ResidualNetwork,
    X: Any,
    y: Any,
    *,
    hurst: Numbers,
    beta: Numbers,
    learning_rate: float | Sequence[float] = (1e-4, 1e-3, 1e-2, 0.1, 1.0),
    networks: int = 3,
    seed: int = 0,
    rate_exponent: float = 0.0,
    optimizer: str = "sgd",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    epochs: int = 10,
    batch: int = 64,
    step_epochs: int | None = None,
    decay: float = 0.1,
    loss: str | None = None,
    ends: str = "trained",
    standardise: bool | None = None,
    split: Sequence[Any] = FRACTIONS,
    classes: int | None = None,
    store: str | Path | None = None,
    engine: Literal["threads", "processes"] | Executor | Cluster | None = None,
    workers: int | None = None,
    threads: int | None = None,
    device: Named = "cpu",
    progress: bool | Callable[[int, int], object] | None = None,
    replace: bool = False,
) -> TrainedHeatMap:
    r"""Map how well networks do after training, over the Hurst exponent H of their weights and the exponent beta.

    At each point networks of ``model`` begin with weights of fractional noise across depth
    (``Weights(depth=FractionalNoise(H))``) and have the scaling c L^-beta, as in `resmc.heat_map`. Each is trained at
    every learning rate, with `resmc.train.fit`'s settings of the same names. The rate of a point is chosen on the
    validation examples, and what is told of it is measured on the test examples; beside it stands log10 |h_L|/|h_0|
    of the same networks before training, averaged over the test examples.

    >>> X, y = resmc.train.digits()
    >>> model = resmc.ResidualNetwork(30, 100, block="phi-in")
    >>> found = resmc.train.heat_map(model, X, y, hurst=[0.1, 0.5, 0.9], beta=[0.1, 0.5, 0.9], optimizer="adam")
    >>> print(found.summary())
    >>> resmc.plot.plot_trained_map(found)

    All exponents and rates of a network begin with the same weights V, W, A and W_out. Networks of different H are
    independent; all have the same data, split once.

    Parameters
    ----------
    model : ResidualNetwork
        The network. Its scaling must be a `DepthScaling`, of which ``c`` and ``inside`` are kept; its carry 1, its
        weights Gaussian, and without an input.
    X, y, split, classes
        The data and their parts, as for `resmc.train.fit`.
    hurst : sequence of float
        H, each above 0 and below 1, all different.
    beta : sequence of float
        Exponents of the scaling, all different.
    learning_rate : float or sequence of float
        Rates of which each point has the best.
    networks : int
        Networks of each H. Fewer than 32 give no errors.
    seed : int
        0 to 2^64 - 1.
    rate_exponent, optimizer, momentum, weight_decay, epochs, batch, step_epochs, decay, loss, ends, standardise
        As for `resmc.train.fit`.
    store : path, optional
        A directory, made if it does not exist, from which nothing is lost but the rows at work: after Ctrl-C, a crash
        or a full disk the same call goes on, several processes may make it at once, on one machine or on many, and
        `load_heat_map` reads it. It does not hold the data. More networks or more values of H find what is there;
        other settings or data are refused, with a sentence that says which. By default everything stays in memory.
    engine, workers, threads, device, progress, replace
        As for `Sweep.run`, but that by default one row after the other is trained with all threads. Progress counts
        the networks of every H.

    Returns
    -------
    TrainedHeatMap

    Raises
    ------
    ValueError
        For an argument that is not allowed, and for a store with another plan; the message says what differs.
    ImportError
        If torch is not installed (the extra ``resmc[torch]``).
    OSError
        If the store cannot be written to; finished shards are safe.
    Stopped
        If `resmc.stop` was called in another thread; finished shards are safe.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), section 5 and figure 9: there block "phi-in" with ReLU,
    width 30, L = 1000, trained by Adam on MNIST for 10 epochs of batches of 128, with rates 10^-4, .., 1 that fall to
    a tenth after 5 epochs, over 10 x 10 points from 0.1 to 0.9 (the authors' program, PierreMarion23/scaling-resnets).
    There are differences: they have one network at each point, and of its rates the one that is best on the test
    examples; a bias in every layer, which begins at 0 and is trained; uniform A and W_out, of the same variances; and
    pixels as they are, from 0 to 1.
    """
    settings = Settings(
        seed=seed, learning_rate=learning_rate, rate_exponent=rate_exponent, optimizer=optimizer,
        momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch=batch,
        step_epochs=step_epochs, decay=decay, loss=loss, ends=ends, standardise=standardise,
    )  # fmt: skip
    examples = checked_data(X, y, settings, split, classes)
    described = DataDescription(**examples.described())
    plan = TrainedMapPlan(model, hurst, beta, networks, settings, described, examples)  # type: ignore[arg-type]
    check_training([plan.model], settings, examples)
    if engine in (None, "threads") and workers is None and threads is None:
        workers = 1  # a row's networks are side by side already, and torch's threads are those of a process
    found: TrainedHeatMap = coordinator.run(
        plan, MemoryStore() if store is None else store, engine=engine, workers=workers, threads=threads,
        device=device, progress=progress, replace=replace,
    )  # fmt: skip
    return found


def load_heat_map(path: str | Path) -> TrainedHeatMap:
    """Read the map after training that was last made in a store, finished or not; the data are not needed.

    Raises
    ------
    StoreError
        If ``path`` is not a store, or holds no plan; it is a ValueError, too, if the plan in it is none of a map after
        training.
    """
    store = Store(path)
    plan = store.plan(TrainedMapPlan.from_dict, "resmc.train.load_heat_map")
    return TrainedMapCampaign(plan).collect(store)
