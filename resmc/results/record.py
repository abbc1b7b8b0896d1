"""The record of a finished simulation: sums over independent networks in 32 groups, and what follows layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache, cached_property, wraps
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.words import brief_repr, shortened
from ..engine.joint_sums import JointSums
from ..engine.lowering import BACKWARD, QUOTIENTS, Lowered, lower
from ..engine.native import NUMERICS_VERSION
from ..engine.recording import HISTOGRAM_VERSION, Bins, histogram_bins
from ..engine.request import NetworkRange, Request
from ..engine.run import Outcome
from ..engine.sums import ActivitySums, NormSums, Sums
from ..models.residual_network import Model
from ..models.resnet import ResNet
from ..models.spelling import listed
from . import estimates, layer_estimates
from .arithmetic import share_networks
from .entries import Entries, FinalSums
from .estimates import Estimate
from .joint_kept import JointSamples
from .kept import Samples, Trajectories, final_offsets, samples_of, trajectories_of
from .laws import Law
from .pairs import Pairs, pair_statistics, places_of_pairs
from .propagation import Networks
from .reliability import CORRELATION, least_networks

if TYPE_CHECKING:
    from ..theory.facts import Facts

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Kind = TypeVar("Kind", bound="Record")


def _estimated(method: Callable[[Any], Estimate]) -> cached_property[Estimate]:
    """A property that is worked out once, so that it is one estimate however often it is asked for."""

    @wraps(method)
    def found(record: Any) -> Estimate:
        return share_networks(method(record), record.drawn)

    return cached_property(found)


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of the final log-norm L_depth of the networks alive there.

    ``edges`` has one entry more than ``counts``; ``underflow`` and ``overflow`` lie outside.
    """

    __repr__ = brief_repr

    edges: Floats
    counts: Integers
    underflow: int
    overflow: int


@dataclass(frozen=True, eq=False, repr=False)
class Record:
    """The statistics of independent random networks; made by `resmc.simulate`, `resmc.merge` and `resmc.load`.

    Attributes
    ----------
    model : ResNet or ResidualNetwork
    method : str
        "projected" or "dense".
    seed : int
    ranges : tuple of NetworkRange
        Sorted, disjoint.
    layers : ndarray of int, shape (R,)
        The recorded layers; 0 and depth are always among them.
    bins : Bins
        Of the histogram, for the normalised network.
    statistics : Sums
        All sums, by group.
    samples, trajectories : Samples, Trajectories
        What was kept raw.
    numerics : tuple of str
        What computed it: numerics version, then the sorted numerics classes (device and instruction set).
    ratios : mapping of str to NormSums
        Sums of ln(|v_l|^2/|start|^2) for what was followed besides h: see `log_ratio`. "mean_square" is among them
        where E|h_l|^2/n cannot be known from the growth: sums of W_l = |h_l|^2/n, and no law; `offsets` are theirs.
    laws : mapping of str to Law
        Laws of the final values of quotients: at the last layer, of gradients at layer 0.
    joint : JointSums or None
        Sums over networks with several inputs, a tangent kernel or tangents; all else is that of input 0.
    joint_samples : JointSamples or None
        What was kept raw of such networks, in place of ``samples``.
    """

    model: Model
    method: str
    seed: int
    ranges: tuple[NetworkRange, ...]
    layers: Integers
    bins: Bins
    statistics: Sums = field(repr=False)
    samples: Samples = field(repr=False)
    trajectories: Trajectories = field(repr=False)
    numerics: tuple[str, ...]
    histogram_version: int = HISTOGRAM_VERSION
    ratios: Mapping[str, NormSums] = field(default_factory=dict, repr=False)
    laws: Mapping[str, Law] = field(default_factory=dict, repr=False)
    joint: JointSums | None = field(default=None, repr=False)
    joint_samples: JointSamples | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        kept = (self.samples, self.trajectories, self.joint_samples)
        for part in (self.layers, self.statistics, *kept, self.ratios, self.joint):
            _freeze(part)
        for law in self.laws.values():
            law.of_networks(self.drawn)

    @classmethod
    def of(cls, request: Request, outcome: Outcome) -> Self:
        """The record of a request that was run, in the model's own units."""
        lowered, layers = request.lowered, request.recording.layers
        offsets = lowered.offsets(layers)
        ends = final_offsets(lowered, layers) if outcome.finals else {}
        return cls(
            model=lowered.model,
            method=request.method,
            seed=request.seed,
            ranges=(request.networks,),
            layers=layers,
            bins=histogram_bins(lowered.model),
            statistics=outcome.sums,
            samples=samples_of(request, outcome, offsets, ends),
            trajectories=trajectories_of(request, outcome, offsets),
            numerics=(NUMERICS_VERSION, outcome.numerics),
            ratios=outcome.quotients,
            laws={name: Law.shifted(counts, ends[name]) for name, counts in outcome.finals.items()},
            joint=outcome.joint,
            joint_samples=_joint_samples(request, outcome, layers),
        )

    @property
    def sampled(self) -> NDArray[np.uint64]:
        """Numbers of the networks whose final values were kept, of one input or of several."""
        return self.samples.networks if self.joint_samples is None else self.joint_samples.networks

    # -- what the model is -------------------------------------------------------------------------------------------

    @cached_property
    def lowered(self) -> Lowered:
        """The network as the engine sees it."""
        return lower(self.model)

    @property
    def facts(self) -> Facts:
        """Exact values, limits and symmetries that theory knows of the network."""
        return self.lowered.facts

    @property
    def resnet(self) -> ResNet:
        """The model as a `ResNet`, which the theory of Li, Nica, Roy is about.

        Raises
        ------
        ValueError
            If no `ResNet` is this network.
        """
        found = listed(self.model)
        if found is None:
            general = self.lowered.general
            raise ValueError(
                f"block={general.block!r} with activation={general.activation!r} has no log-Gaussian theory of "
                "ResNets to compare with: see Simulation.observables, estimate and resmc.limit"
            )
        return found

    @property
    def followed(self) -> tuple[str, ...]:
        """Names of the quotients that there are: "growth", and on request the other three of `log_ratio`."""
        return tuple(name for name in QUOTIENTS if name == "growth" or name in self.ratios)

    @property
    def observables(self) -> tuple[str, ...]:
        """Names of all quantities that there are, as `estimate` takes them: see `resmc.results.observables`."""
        from .observables import existing

        return tuple(existing(self.lowered, {*self.ratios, *self.laws}))

    @property
    def gram(self) -> Floats:
        """Gram matrix x^a . x^b/n_in of the inputs that share every network, (m, m)."""
        if self.joint is None:
            return np.array([[self.model.inputs.size**2]])
        return np.array(self.joint.recording.inputs.gram)

    @property
    def has_asymmetry(self) -> bool:
        """True if A and F exist: activations relu, balanced and balanced-half of the layers themselves (phi-in)."""
        return self.lowered.has_asymmetry

    # -- counts -------------------------------------------------------------------------------------------------------

    @property
    def networks(self) -> int:
        """Number of independent networks."""
        return int(self.statistics.networks.sum())

    @property
    def drawn(self) -> Networks:
        """The networks by seed and number: what tells dependent estimates from independent ones."""
        return Networks.of(self.seed, [(r.start, r.stop) for r in self.ranges])

    @property
    def alive(self) -> Integers:
        """Networks with z_l != 0, by recorded layer (R,)."""
        return np.asarray(self.statistics.norms.alive.sum(axis=0))

    @property
    def dead(self) -> Integers:
        """Networks with z_l = 0, by recorded layer (R,): without a skip, where weights +-1 cancel, or below 1e-16."""
        return np.asarray(self.networks - self.alive)

    @property
    def inactive(self) -> Integers:
        """Living networks with phi_l(z_l) = 0 exactly, by recorded layer (R,)."""
        activity = self.statistics.activity
        return np.zeros_like(self.alive) if activity is None else np.asarray(activity.inactive.sum(axis=0))

    @property
    def histogram(self) -> Histogram:
        """Histogram of the final log-norm, in the model's units."""
        counts = self.statistics.histogram.sum(axis=0)
        edges = self.bins.edges() + self.offsets[-1]
        return Histogram(edges, counts[1:-1], int(counts[0]), int(counts[-1]))

    @property
    def offsets(self) -> Floats:
        """Differences of the model's log-norms from those in `statistics`, by recorded layer (R,)."""
        return self.lowered.offsets(self.layers)

    @property
    def correlations(self) -> bool:
        """True if the products of A between layers were summed: `simulate`'s argument."""
        return self.statistics.products.size > 0

    # -- moments by layer ---------------------------------------------------------------------------------------------

    @_estimated
    def log_norm_mean(self) -> Estimate:
        """Mean of L_l = log(|z_l|^2/n), by recorded layer (R,)."""
        return self.estimate("log_norm.mean")

    @_estimated
    def log_norm_variance(self) -> Estimate:
        """Variance of L_l (unbiased), by recorded layer (R,)."""
        return self.estimate("log_norm.variance")

    @_estimated
    def log_norm_skewness(self) -> Estimate:
        """Skewness m3/m2^(3/2) of L_l, by recorded layer (R,); 0 for a Gaussian."""
        return self.estimate("log_norm.skewness")

    @_estimated
    def log_norm_excess_kurtosis(self) -> Estimate:
        """Excess kurtosis m4/m2^2 - 3 of L_l, by recorded layer (R,); 0 for a Gaussian."""
        return self.estimate("log_norm.excess_kurtosis")

    @_estimated
    def asymmetry_mean(self) -> Estimate:
        """Mean of A_l, by recorded layer (R,)."""
        return layer_estimates.asymmetry_mean(self.activity, self.entries.widths)

    @_estimated
    def asymmetry_variance(self) -> Estimate:
        """Variance of A_l (unbiased), by recorded layer (R,)."""
        return layer_estimates.asymmetry_variance(self.activity)

    @_estimated
    def active_fraction(self) -> Estimate:
        """Mean of F_l, the fraction of neurons that fire, by recorded layer (R,)."""
        return layer_estimates.active_fraction(self.activity, self.entries.widths, self.model.width)

    @_estimated
    def asymmetry_covariance(self) -> Estimate:
        """Covariance of A_l and A_m over the networks alive at both, shape (R, R)."""
        return self.jackknife_pairs(np.stack([one.covariance for one in self.pairs()]))

    @_estimated
    def asymmetry_correlation(self) -> Estimate:
        """Correlation of A_l and A_m over the networks alive at both, shape (R, R); NaN where one does not vary.

        There is no error where the networks times the width are below 1600, or below 60/(1 - r) with r the limit of
        the correlation of neighbouring layers.
        """
        return self.correlated(self.jackknife_pairs(self.pooled_correlations), np.eye(len(self.layers), dtype=bool))

    @cached_property
    def pooled_correlations(self) -> Floats:
        """(33, R (R + 1)/2): the correlations from all networks, then without each group, packed as in ``Pairs``."""
        return np.stack([one.correlation for one in self.pairs()])

    def jackknife_pairs(self, values: Floats) -> Estimate:
        """The estimate over pairs of layers, (R, R), from values that are packed as in ``Pairs``."""
        size = len(self.layers)
        return self.jackknife(values, self.alive[np.triu_indices(size)[1]])[places_of_pairs(size)]

    def correlated(self, found: Estimate, same: NDArray[np.bool_]) -> Estimate:
        """Return correlations without the errors that take more networks; those of a layer with itself are exact."""
        known = found.n >= least_networks(CORRELATION, self.lowered)
        return replace(found, stderr=np.where(same, 0.0 * found.stderr, np.where(known, found.stderr, np.nan)))

    @_estimated
    def dead_fraction(self) -> Estimate:
        """Fraction of the networks with z_l = 0, by recorded layer (R,)."""
        return layer_estimates.dead_fraction(self.statistics.norms)

    @_estimated
    def inactive_fraction(self) -> Estimate:
        """Fraction of the living networks with phi_l(z_l) = 0, by recorded layer (R,)."""
        return layer_estimates.inactive_fraction(self.activity)

    def estimate(self, name: str) -> Estimate:
        """Return a quantity by its name: by recorded layer (R,), or a median of a final value, which is one number.

        Parameters
        ----------
        name : str
            One of `observables` that is estimated from sums, such as "log_norm.variance", "mean_square" or
            "displacement.median".

        Raises
        ------
        ValueError
            If there is no such quantity here; the message names those that there are.
        """
        from .observables import SWEPT

        there = [one for one in self.observables if one in SWEPT]
        observable = SWEPT[checks.choice("name", name, tuple(there))]
        end = observable.per == "end"
        found = observable.estimate_of(self.end)[0] if end else observable.estimate_of(self.entries)
        return share_networks(found, self.drawn)

    # -- helpers for the analyses -------------------------------------------------------------------------------------

    @cached_property
    def entries(self) -> Entries:
        """The recorded layers side by side."""
        return Entries.of_layers(self.statistics, self.ratios, self.lowered, self.layers)

    @cached_property
    def end(self) -> Entries:
        """The end of the simulation: the last layer, and layer 0 of gradients."""
        return Entries.of_ends([self.final().end()], [self.lowered])

    def final(self) -> FinalSums:
        """Sums of the end alone."""
        quotients = {name: sums.first() if name in BACKWARD else sums.final() for name, sums in self.ratios.items()}
        return FinalSums(self.statistics.final(), quotients, self.laws)

    @property
    def activity(self) -> ActivitySums:
        """Sums of A and of active counts.

        Raises
        ------
        ValueError
            If A and the active fraction do not exist.
        """
        if self.statistics.activity is None:
            general = self.lowered.general
            raise ValueError(
                f"A and the active fraction do not exist for block={general.block!r} with "
                f"activation={general.activation!r}: only for 'phi-in' with relu, balanced or balanced-half"
            )
        return self.statistics.activity

    def jackknife(self, values: Floats, n: Any = None) -> Estimate:
        """The estimate from (33, ...) values: from all networks, then without each group."""
        return estimates.jackknife(values, self.statistics.networks, self.alive if n is None else n)

    def pairs(self) -> Iterator[Pairs]:
        """Yield covariances of A between layers, from all networks, then without each group: ``pair_statistics``."""
        activity = self.activity
        if not self.correlations:
            why = "this simulation was made with correlations=False"
            if self.lowered.log_gaussian is None:
                why = "products of A are summed for networks that a ResNet can spell"
            raise ValueError(f"there are no correlations: {why}")
        return pair_statistics(self.statistics, activity)

    def __repr__(self) -> str:
        ranges = ", ".join(shortened([f"[{r.start}, {r.stop})" for r in self.ranges]))
        networks = ranges if self.joint is None else f"{ranges}, {self.joint.recording.words}"
        return f"{type(self).__name__}({self.model}, method={self.method!r}, seed={self.seed}, networks={networks})"


def _joint_samples(request: Request, outcome: Outcome, layers: Integers) -> JointSamples | None:
    if outcome.joint is None or outcome.joint_ends is None or not request.recording.joint_samples:
        return None
    return JointSamples.of(outcome.joint_ends, outcome.joint, request.lowered, layers, request.networks.start)


def _freeze(kept: Any) -> None:
    """Makes all arrays read-only."""
    if isinstance(kept, np.ndarray):
        kept.setflags(write=False)
    elif names := _fields(kept.__class__):
        for name in names:
            _freeze(getattr(kept, name))
    elif isinstance(kept, Mapping):
        for part in kept.values():
            _freeze(part)


@cache
def _fields(kind: Hashable) -> tuple[str, ...]:
    """Names of the fields of a data class, none of any other; a sweep asks for them with every shard."""
    return tuple(f.name for f in fields(kind)) if isinstance(kind, type) and is_dataclass(kind) else ()
