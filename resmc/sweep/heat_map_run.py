"""`heat_map`: the map over H and beta, computed like a sweep, into a store or in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from ..engine.devices import Named
from ..experiments.heat_map import HeatMap
from ..models.residual_network import ResidualNetwork
from . import coordinator
from .engines import Cluster
from .heat_map_campaign import HeatMapCampaign
from .heat_map_plan import HeatMapPlan
from .memory_store import MemoryStore
from .store import Store

Numbers = Sequence[float] | NDArray[Any]


def heat_map(
    model: ResidualNetwork,
    *,
    hurst: Numbers,
    beta: Numbers,
    networks: int = 5,
    n_inputs: int = 10,
    seed: int = 0,
    gradients: bool = True,
    store: str | Path | None = None,
    engine: Literal["threads", "processes"] | Executor | Cluster | None = None,
    workers: int | None = None,
    threads: int | None = None,
    device: Named = "auto",
    progress: bool | Callable[[int, int], object] | None = None,
    replace: bool = False,
) -> HeatMap:
    r"""Map how far networks go, over the Hurst exponent H of their weights and the exponent beta of their scaling.

    At each point networks of ``model`` have weights of fractional noise across depth
    (``Weights(depth=FractionalNoise(H))``) and the scaling c L^-beta. Inputs x are uniform on [0, 1]^64, and
    h_0 = A x with a Gaussian A of variance 1/64. The map has the means over networks and inputs of

    .. code-block:: text

        log10 |h_L - h_0|/|h_0|     log10 |h_L|/|h_0|        forward
        log10 |p_0 - p_L|/|p_L|     log10 |p_0|/|p_L|        backward: p_l is the gradient of an output by h_l

    All exponents and inputs of a network share its weights, and are computed together. Networks of different H are
    independent.

    >>> model = resmc.ResidualNetwork(40, 1000, block="v-phi-w")
    >>> found = resmc.heat_map(model, hurst=[0.1, 0.5, 0.9], beta=np.linspace(0, 1.3, 14))
    >>> print(found.summary())
    >>> resmc.plot.plot_heat_map(found)

    Parameters
    ----------
    model : ResidualNetwork
        The network. Its scaling must be a `DepthScaling`, of which ``c`` and ``inside`` are kept; its carry 1, its
        weights Gaussian, and without an input.
    hurst : sequence of float
        H, each above 0 and below 1, all different.
    beta : sequence of float
        Exponents of the scaling, all different.
    networks : int
        Networks of each H. Fewer than 32, as the default of 5 that the paper has, give no errors; ``networks=32``
        gives them.
    n_inputs : int
        Inputs of each network.
    seed : int
        0 to 2^64 - 1.
    gradients : bool
        False for the forward quantities alone, in about a quarter of the time.
    store : path, optional
        A directory, made if it does not exist, from which nothing is lost: after Ctrl-C, a crash or a full disk the
        same call goes on, several processes may make it at once, on one machine or on many, and `load_heat_map` reads
        it. More networks or more values of H find what is there; other values of ``beta`` or inputs make all anew. By
        default everything stays in memory.
    engine, workers, threads, device, progress, replace
        As for `Sweep.run`. Progress counts the networks of every H.

    Returns
    -------
    HeatMap

    Raises
    ------
    ValueError
        For an argument that is not allowed, and for a store with another plan; the message says what differs.
    OSError
        If the store cannot be written to; finished shards are safe.
    DeviceError
        As for `resmc.simulate`.
    Stopped
        If `resmc.stop` was called in another thread; finished shards are safe.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), section 5 and figure 7.
    """
    plan = HeatMapPlan(model, hurst, beta, networks, n_inputs, seed, gradients)  # type: ignore[arg-type]
    found: HeatMap = coordinator.run(
        plan, MemoryStore() if store is None else store, engine=engine, workers=workers, threads=threads,
        device=device, progress=progress, replace=replace,
    )  # fmt: skip
    return found


def load_heat_map(path: str | Path) -> HeatMap:
    """Read the heat map that was last run into a store, finished or not.

    Raises
    ------
    StoreError
        If ``path`` is not a store, or holds no plan; it is a ValueError, too, if the plan in it is none of a heat map.
    """
    store = Store(path)
    return HeatMapCampaign(store.plan(HeatMapPlan.from_dict, "resmc.load_heat_map")).collect(store)
