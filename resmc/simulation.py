"""`Simulation`, the facade over what was simulated, and the functions that make one: `simulate`, `merge`, `load`.

A `Simulation` is a `resmc.results.record.Record` whose methods ask the analyses, draw tables and write files, in one
line each: nothing below this file knows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._system.progress import reporting
from ._system.stopping import stoppable
from ._system.words import brief
from .engine import gpus
from .engine.devices import Named
from .engine.joint_request import Asked
from .engine.memory import check_memory
from .engine.request import check
from .engine.run import run
from .models.joint_inputs import JointInputs
from .models.residual_network import Model
from .results import storage
from .results.arithmetic import share_networks
from .results.merge import merged
from .results.record import Record
from .tables import Shown, Table

if TYPE_CHECKING:
    import pandas
    import xarray

    from .analyses import (
        Angles,
        ExactComparison,
        Growth,
        Hypoactivation,
        InterlayerCorrelations,
        JointLogNorms,
        LogGaussianFit,
        LogRatio,
        LyapunovExponents,
        OutputCovariance,
        TangentKernel,
    )


class Simulation(Record, Shown):
    __doc__ = Record.__doc__
    kind: ClassVar[str] = "simulation"  # the name that commands use

    @classmethod
    def of_record(cls, record: Record) -> Simulation:
        """The facade over a record."""
        return cls(**{f.name: getattr(record, f.name) for f in fields(record)})

    def log_ratio(self, name: str) -> LogRatio:
        """ln(|v_l|^2/|start|^2) by layer, and its final value: mean, variance, median, quantiles, second moment.

        Parameters
        ----------
        name : {"growth", "displacement", "gradient", "gradient_displacement"}
            v_l and start: h_l and h_0; h_l - h_0 and h_0; p_l and p_L; p_l - p_L and p_L. The gradients end at layer 0.

        Returns
        -------
        LogRatio

        Raises
        ------
        ValueError
            If it was not followed; the message says how to.
        """
        from .analyses import log_ratio

        return share_networks(log_ratio.analyse(self, name), self.drawn)

    def exact_comparison(self, name: str = "growth") -> ExactComparison:
        """Quantiles and distribution function of a final quotient beside its exact law, with z-scores and a p-value.

        Parameters
        ----------
        name : {"growth", "gradient"}
            A quotient that was followed, of a network whose law `resmc.theory.exact_law` knows.

        Raises
        ------
        ValueError
            If there is no such law, or the quotient was not followed; the message says why.
        """
        from .analyses import exact_comparison

        return share_networks(exact_comparison.compare(self, name), self.drawn)

    # -- the four questions -------------------------------------------------------------------------------------------

    def log_gaussian_fit(self) -> LogGaussianFit:
        """Is the final log-norm Gaussian, and with which parameters? See `resmc.analyses.log_gaussian`."""
        from .analyses import log_gaussian

        return share_networks(log_gaussian.fit(self), self.drawn)

    def hypoactivation(self) -> Hypoactivation:
        """Do fewer than half of the ReLUs fire? See `resmc.analyses.hypoactivation`."""
        from .analyses import hypoactivation

        return share_networks(hypoactivation.analyse(self), self.drawn)

    def interlayer_correlations(self) -> InterlayerCorrelations:
        """How do the layers' asymmetries correlate? See `resmc.analyses.interlayer`."""
        from .analyses import interlayer

        return share_networks(interlayer.analyse(self), self.drawn)

    def variance_growth(self) -> Growth:
        """How does E|z_l|^2 grow with l/n? See `resmc.analyses.growth`."""
        from .analyses import growth

        return share_networks(growth.analyse(self), self.drawn)

    # -- several inputs, the tangent kernel, tangents -----------------------------------------------------------------

    def angles(self) -> Angles:
        """How do the angles between inputs change from layer to layer? See `resmc.analyses.angles`.

        Raises
        ------
        ValueError
            If there is one input alone.
        """
        from .analyses import angles

        return share_networks(angles.analyse(self), self.drawn)

    def output_covariance(self) -> OutputCovariance:
        """Means of h^a . h^b/n, the covariance of the outputs of two inputs: see `resmc.analyses.joint_norms`.

        Raises
        ------
        ValueError
            If there is one input alone.
        """
        from .analyses import joint_norms

        return share_networks(joint_norms.output_covariance(self), self.drawn)

    def joint_log_norms(self) -> JointLogNorms:
        """Means and covariances of the log-norms of all inputs: see `resmc.analyses.joint_norms`.

        Raises
        ------
        ValueError
            If there is one input alone.
        """
        from .analyses import joint_norms

        return share_networks(joint_norms.log_norms(self), self.drawn)

    def tangent_kernel(self) -> TangentKernel:
        """The tangent kernel over networks, its parts and its scatter: see `resmc.analyses.tangent_kernel`.

        Raises
        ------
        ValueError
            If it was not asked for.
        """
        from .analyses import tangent_kernel

        return share_networks(tangent_kernel.analyse(self), self.drawn)

    def lyapunov(self) -> LyapunovExponents:
        """How fast do small changes of an input grow, and in how many directions? See `resmc.analyses.lyapunov`.

        Raises
        ------
        ValueError
            If there are no tangents.
        """
        from .analyses import lyapunov

        return share_networks(lyapunov.analyse(self), self.drawn)

    def summary(self) -> Table:
        """A table of every quantity: estimate, error, and the exact value or the limit beside it.

        ``print`` draws it as text and a notebook as a table; ``to_dataframe()`` and ``records()`` have all digits.
        """
        return self._table()

    def _table(self) -> Table:
        from .analyses.summary import table

        return table(self)

    # -- files and tables ---------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write one file that `resmc.load` reads; the old file stays whole if that fails: `resmc.results.storage`."""
        from .results.storage import save

        save(self, path)

    def report(self, path: str | Path) -> None:
        """Write one HTML page: answers in words, figures, all numbers, how to reproduce (needs ``resmc[report]``)."""
        from .report.simulation_page import write

        write(self, path)

    def to_xarray(self, *, laws: bool = False) -> xarray.Dataset:
        """Return every quantity with its error and theory (needs ``resmc[xarray]``); see `resmc.analyses.export`."""
        from .analyses.export import to_xarray

        return to_xarray(self, laws=laws)

    def to_dataframe(self) -> pandas.DataFrame:
        """Return a row for each recorded layer (needs ``resmc[pandas]``); see `resmc.analyses.export`."""
        from .analyses.export import to_dataframe

        return to_dataframe(self)


@stoppable()
def simulate(
    model: Model | None = None,
    *,
    networks: float,
    seed: int = 0,
    first_network: int = 0,
    method: str = "auto",
    gradients: bool = False,
    displacement: bool | None = None,
    layers: Sequence[int] | NDArray[np.int64] | None = None,
    correlations: bool = True,
    device: Named = "auto",
    threads: int | None = None,
    progress: bool | Callable[[int, int], object] | None = None,
    keep_samples: int = 0,
    keep_trajectories: int = 0,
    keep_on_device: bool = False,
    gram: ArrayLike | JointInputs | None = None,
    inputs: ArrayLike | None = None,
    angle: float | None = None,
    tangent_kernel: bool = False,
    independent_backward: bool = False,
    tangents: int = 0,
    **model_fields: Any,
) -> Simulation:
    """Simulate independent random networks and return their statistics.

    >>> sim = resmc.simulate(width=200, depth=200, alpha=0.5**0.5, lam=0.5**0.5, networks=100_000)
    >>> print(sim.summary())

    Parameters
    ----------
    model : ResNet or ResidualNetwork, optional
        The network; or give its fields as keywords: width, depth, n_out, input_norm, and alpha, lam, variant of a
        `ResNet`, or block, activation, beta, c, inside, scaling, carry, weights, bias, keep, inner_width,
        bias_law, norm, norm_at, eps, input of a `ResidualNetwork`.
    networks : int
        How many, at least 1; below 32 there are no standard errors. 1e6 is accepted for 1_000_000.
    seed : int
        0 to 2^64 - 1. The same seed gives the same networks on every machine, whatever the threads and ranges. Two
        models, or the two methods, with one seed share random numbers, and their results correlate: for a difference
        whose error is the root of the sum of both errors' squares, give each a seed or a range of networks of its own.
    first_network : int
        Number of the first network; networks first_network .. first_network + networks - 1 < 2^48 are simulated.
        Disjoint ranges are independent and can be merged.
    method : {"auto", "projected", "dense"}
        ``projected``: exactly the law of the network at cost width per layer, for independent layers with Gaussian
        or orthogonal weights. ``dense``: every weight is drawn, cost width^2, the ground truth, and the way for all
        other weights.
        ``auto``: projected where it is exact, else dense.
    gradients : bool
        Also follow the gradient of one output back to layer 0: |p_l|/|p_L| and |p_l - p_L|/|p_L|
        (`Simulation.log_ratio`). It takes 2 to 4 times as long as without: most in networks that a `ResNet` can spell,
        whose forward pass alone has faster kernels. With ``norm="batch"`` one output depends on all inputs:
        p is then its gradient with respect to the states of all of them, as one vector.
    displacement : bool, optional
        Whether to follow |h_l - h_0|/|h_0|. By default for a `ResidualNetwork`; always where gradients are.
    layers : sequence of int, optional
        Layers to record; 0 and depth are always added. By default all up to depth 512, then every
        ceil(depth/512)-th.
    correlations : bool
        Whether to sum the products of A over all pairs of recorded layers, for `asymmetry_correlation` and the like.
        False: all else is the same in every bit, smaller by far where many layers are recorded, and faster.
        Only for networks that a `ResNet` can spell; others never sum them.
    device : {"auto", "cpu", "cuda", "cuda:N"} or torch.device
        ``cuda``: torch's current GPU, on torch's current stream (needs ``resmc[torch]``); the same networks, their
        log-norms within 1e-4 (ARCHITECTURE.md, contract 3). ``auto``: what the environment variable RESMC_DEVICE
        names, else the CPU.
    threads : int, optional
        CPU threads, at least 1; by default as many as this process may use CPUs, by its affinity, its container's
        quota and SLURM. Does not change a bit of the result.
    progress : None, bool or callable
        None: a bar on a terminal if it takes longer than a second; True: always; False: never; a callable is called
        as progress(done, networks), and what it raises stops the simulation and comes out here.
    keep_samples : int
        Of how many of the first networks to keep the final log-norm and the output: ``Simulation.samples``. With
        several inputs, a tangent kernel or tangents, of all inputs the final log-norms and angles, the kernel, and how
        much tangents have grown: ``Simulation.joint_samples``.
    keep_trajectories : int
        Of how many of the first networks to keep the paths of log-norm and A over the recorded layers.
    keep_on_device : bool
        On a GPU: leave samples and trajectories there, as float64 and float32 tensors. Not with gradients or
        displacement.
    gram : array of float, shape (m, m), or JointInputs, optional
        Several inputs, m from 1 to 16, share every network: x^a . x^b/n_in, in place of ``input`` and ``input_norm``.
        All other results are those of input 0, in the same bits as without the others; gradients, where ``projected``,
        in the same law. The cost per layer is width m^2 (``projected``), and the law exact: W meets all inputs at once.
        On the CPU; layers must be independent. See `Simulation.angles`, `Simulation.output_covariance` and
        `Simulation.joint_log_norms`.
    inputs : array of float, shape (m, n_in), optional
        The inputs themselves instead. Weights that are not Gaussian see more of them than a Gram matrix says; with
        ``gram`` or ``angle``, the first layer is Gaussian whatever the others are.
    angle : float, optional
        Two inputs of the network's input norm at this angle in radians instead, 0 or from 1e-12 to pi; small ones keep
        their digits.
    tangent_kernel : bool
        Also go back from one output to all weights: `Simulation.tangent_kernel`, and what ``gradients`` gives of
        input 0. Not with ``norm="batch"``.
    independent_backward : bool
        Send gradients back through matrices that are independent of those of the forward pass, as the gradient
        independence assumption of the literature has it, to see what that changes.
    tangents : int
        How many tangent vectors, up to 15, and 16 with the inputs, are carried along by the derivative at input 0:
        `Simulation.lyapunov`.

    Returns
    -------
    Simulation

    Raises
    ------
    ValueError
        For any argument out of range, before any work, naming the argument, its value and what is allowed.
    DeviceError
        If a GPU was asked for and there is none to use, its memory does not suffice, or it fails. Nothing is computed
        on the CPU instead.
    KeyboardInterrupt
        On Ctrl-C, within a second; no thread is left behind. Ctrl-C reaches Python's main thread alone.
    Stopped
        If `resmc.stop` was called in another thread, or Ctrl-C ended the executor of this one.

    Source: Li, Nica, Roy 2021 (arXiv 2106.04013) for the model; Lu 2021, "Householder Dice" (arXiv 2101.07464), for
    using one Gaussian matrix several times, forward and back, without drawing it.
    """
    request = check(
        model, model_fields, networks=networks, seed=seed, first_network=first_network, method=method,
        gradients=gradients, displacement=displacement, layers=layers, correlations=correlations, device=device,
        threads=threads, keep_samples=keep_samples, keep_trajectories=keep_trajectories, keep_on_device=keep_on_device,
        asked=Asked(gram, inputs, angle, tangent_kernel, independent_backward, tangents),
    )  # fmt: skip
    check_memory(request)
    gpus.require(request.device, device)
    with reporting(progress, request.count, request.lowered.model.short_title) as report:
        return Simulation.of(request, run(request, report))


def load(path: str | Path) -> Simulation:
    """Read a simulation written by `Simulation.save`.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, not a simulation, or of another format; the message says which.
    """
    return storage.load(path, Simulation)


def merge(*simulations: Simulation) -> Simulation:
    """One simulation from several of disjoint ranges of networks, equal to the one big run.

    Integers are equal exactly, floats within 1e-12 of their natural scale; standard errors too where the ranges use
    the same batches (runs of at least 131072 networks, or of equal length).

    Raises
    ------
    ValueError
        If nothing is given, ranges overlap, or model, method, seed, layers, bins, correlations, inputs or numerics
        version differ.
    """
    if len(simulations) == 1 and isinstance(simulations[0], list | tuple):
        simulations = tuple(simulations[0])
    if not simulations:
        raise ValueError("simulations is empty: merge needs at least one")
    for s in simulations:
        if not isinstance(s, Simulation):
            raise ValueError(f"simulations holds {brief(s)}: merge takes Simulation objects (resmc.load reads files)")
    return merged(simulations)
