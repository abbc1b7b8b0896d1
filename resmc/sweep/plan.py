"""The plan of a sweep: which models, how many networks of each, and how they are recorded.

Users meet a plan as a `resmc.Sweep`, which adds the methods that run it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.plain import Plain
from ..engine.joint_request import Asked, joint_of
from ..engine.lowering import BACKWARD, QUOTIENTS, Lowered, lower
from ..engine.recording import JointRecording, batch_size
from ..engine.request import chosen_method
from ..models.fields import told_apart
from ..models.network import CHOICES
from ..models.residual_network import Model
from ..models.scaling import DepthScaling
from ..models.spelling import canonical
from ..models.user_activation import Activation
from ..models.user_law import QuantileLaw
from ..models.weights import Weights
from ..results.entries import End, Entries
from ..results.observable import letter
from ..results.observables import SWEPT, existing
from .axes import AXES, model_of_table, plain_fields
from .plan_checks import checked_displacement, gridded, how_many, listed
from .point import Point, point_seed

Numbers = float | Sequence[float] | NDArray[Any]
Words = str | Sequence[str]
Activations = str | Activation | Sequence[str | Activation]
Vector = Sequence[float] | NDArray[Any]
Scaled = DepthScaling | Vector
Weighted = str | QuantileLaw | Weights

FORMAT = "resmc-sweep"
SCHEMA_VERSION = 1
ASKED = ("gram", "angle", "tangent_kernel", "independent_backward", "tangents")
# Off, these are left out of a plan's file, as in those of version 0.1.
NEW_SWITCHES = ("gradients", "displacement", *ASKED)


@dataclass(frozen=True, eq=False)
class Plan:
    """Simulations of many networks: a grid over their fields, or a list.

    >>> plan = resmc.Sweep(width=[50, 100], ratio=[0.5, 1, 2], alpha=0.5**0.5, lam=0.5**0.5, networks=1e6)
    >>> print(plan.estimate())
    >>> result = plan.run("runs/growth")  # stopped, or crashed? the same line again goes on
    >>> plan = resmc.Sweep(block="v-phi-w", width=40, depth=[10, 100, 1000], beta=[0.25, 0.5, 1], networks=2000)

    Parameters
    ----------
    models : sequence of ResNet and ResidualNetwork, optional
        A list instead of a grid; no other field of a model is given then. Both spellings of one network share shards.
    width, depth, ratio, n_out, input_norm : value or sequence
        Fields of all networks. ``ratio`` = d/n may be given instead of ``depth``: the depth is then ratio * width
        rounded to the nearest integer, at least 1.
    alpha, lam, variant : value or sequence
        Fields of `ResNet`; not beside those of a `ResidualNetwork`.
    block, activation, weights, carry, bias, keep, inner_width, bias_law, norm, norm_at, eps : value or sequence
        Fields of `ResidualNetwork`, with its defaults. ``weights`` are names of laws, or `Weights`.
    beta, c, inside : value or sequence
        The scaling c L^-beta of a `ResidualNetwork`, with the defaults 0.5, 1 and False of its `DepthScaling`.
    scaling : DepthScaling, one number for each layer, or a sequence of either
        The scaling as a whole, instead of beta, c and inside.
    input : sequence of float, or a sequence of such sequences
        The input, or several.
    networks : int
        Networks of each point. Give either ``networks``, or ``target_stderr`` and ``max_networks``.
    target_stderr : mapping of str to float
        The standard error wanted, by quantity, such as ``log_norm.variance``, ``growth`` or ``displacement.median``
        (`resmc.results.observables`). A pilot of each point says how many networks that takes; its own networks are
        not part of the estimate, so nothing is biased. The number allows for the uncertainty of both standard errors,
        the pilot's and the final one: at least nine points in ten end at or below the target (measured: 95% for a
        median, 92% for an excess kurtosis, 90% for growth), the others little above.
    max_networks : int
        With ``target_stderr``: the most networks that a point may take.
    seed : int
        0 to 2^64 - 1.
    independent : bool
        True: every point has a seed of its own, made of ``seed`` and its model, so that points are independent and a
        fit over them has honest errors. Points whose depths round to one integer have different seeds, too. False: all
        points use ``seed`` itself and share random numbers.
    method : {"auto", "projected", "dense"}
        As for `resmc.simulate`.
    layers : int
        At most how many layers of each network are recorded, equally spaced, the first and the last among them.
    correlations : bool
        True: record what `Simulation.interlayer_correlations` needs, layers (layers + 1) / 2 more numbers per group.
        Networks that are no `ResNet` have none.
    gradients, displacement : bool
        As for `resmc.simulate`. Networks that are no `ResNet` follow their displacement in any case.
    gram, angle, tangent_kernel, independent_backward, tangents
        As for `resmc.simulate`, the same for all networks, on the CPU alone: `SweepResult.simulation` has the angles,
        the kernel and the exponents of a point. ``inputs`` is not allowed: give their Gram matrix.
    shard_updates : int, optional
        Neuron updates (weights, if dense) in a shard, the unit that is computed, written and lost at a time. By
        default, about a second of a CPU core or of a GPU, or 1/2^15 of the whole plan if that is more.

    Attributes
    ----------
    dims : tuple of str
        The dimensions: the fields given as sequences, in the order block, activation, weights, width, depth, ratio,
        beta, c, inside, scaling, carry, bias, keep, inner_width, bias_law, norm, norm_at, eps, alpha, lam, variant,
        n_out, input_norm, input; ("point",) for a list.
    shape : tuple of int
        The lengths of the dimensions.
    models : tuple of ResNet and ResidualNetwork
        All points, the last dimension running fastest.

    Raises
    ------
    ValueError
        For an argument out of range, before any work; the message names the argument, its value and what is allowed.

    Source: Li, Nica, Roy 2021 (arXiv 2106.04013) and Marion, Fermanian, Biau, Vert (arXiv 2206.06929) for the models.
    """

    models: tuple[Model, ...] = None  # type: ignore[assignment]
    _: KW_ONLY
    block: Words | None = None
    activation: Activations | None = None
    weights: Weighted | Sequence[Weighted] | None = None
    width: Numbers | None = None
    depth: Numbers | None = None
    ratio: Numbers | None = None
    beta: Numbers | None = None
    c: Numbers | None = None
    inside: bool | Sequence[bool] | None = None
    scaling: Scaled | Sequence[Scaled] | None = None
    carry: Numbers | None = None
    bias: Numbers | None = None
    keep: Numbers | None = None
    inner_width: Numbers | None = None
    bias_law: Words | None = None
    norm: Words | None = None
    norm_at: Words | None = None
    eps: Numbers | None = None
    alpha: Numbers | None = None
    lam: Numbers | None = None
    variant: Words | None = None
    n_out: Numbers | None = None
    input_norm: Numbers | None = None
    input: Vector | Sequence[Vector] | None = None
    networks: int | None = None
    target_stderr: Mapping[str, float] | None = None
    max_networks: int | None = None
    seed: int = 0
    independent: bool = True
    method: str = "auto"
    layers: int = 32
    correlations: bool = False
    gradients: bool = False
    displacement: bool = False
    gram: Sequence[Vector] | None = None
    angle: float | None = None
    tangent_kernel: bool = False
    independent_backward: bool = False
    tangents: int = 0
    shard_updates: int | None = None
    inputs: InitVar[None] = None
    dims: tuple[str, ...] = field(init=False)
    shape: tuple[int, ...] = field(init=False)
    listed: bool = field(init=False)
    joints: tuple[JointRecording | None, ...] = field(init=False)

    if TYPE_CHECKING:  # the fields above have the types that checked values have; these may be given

        def __init__(
            self,
            models: Sequence[Model] | None = None,
            *,
            block: Words | None = None,
            activation: Activations | None = None,
            weights: Weighted | Sequence[Weighted] | None = None,
            width: Numbers | None = None,
            depth: Numbers | None = None,
            ratio: Numbers | None = None,
            beta: Numbers | None = None,
            c: Numbers | None = None,
            inside: bool | Sequence[bool] | None = None,
            scaling: Scaled | Sequence[Scaled] | None = None,
            carry: Numbers | None = None,
            bias: Numbers | None = None,
            keep: Numbers | None = None,
            inner_width: Numbers | None = None,
            bias_law: Words | None = None,
            norm: Words | None = None,
            norm_at: Words | None = None,
            eps: Numbers | None = None,
            alpha: Numbers | None = None,
            lam: Numbers | None = None,
            variant: Words | None = None,
            n_out: Numbers | None = None,
            input_norm: Numbers | None = None,
            input: Vector | Sequence[Vector] | None = None,
            networks: float | None = None,
            target_stderr: Mapping[str, float] | None = None,
            max_networks: float | None = None,
            seed: int = 0,
            independent: bool = True,
            method: str = "auto",
            layers: int = 32,
            correlations: bool = False,
            gradients: bool = False,
            displacement: bool = False,
            gram: Sequence[Vector] | NDArray[Any] | None = None,
            angle: float | None = None,
            tangent_kernel: bool = False,
            independent_backward: bool = False,
            tangents: int = 0,
            shard_updates: float | None = None,
            inputs: None = None,
        ) -> None: ...

    def __post_init__(self, inputs: Any) -> None:
        if inputs is not None:
            raise ValueError("inputs is not allowed in a sweep: give gram=x @ x.T / n_in of its rows x, or angle=")

        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("listed", self.models is not None)
        given = {name: getattr(self, name) for name in AXES}
        for name, value in (listed(self.models, given) if self.listed else gridded(given)).items():
            put(name, value)
        put("seed", checks.integer("seed", self.seed, 0, (1 << 64) - 1, "2^64 - 1"))
        put("independent", checks.boolean("independent", self.independent))
        put("method", checks.choice("method", self.method, CHOICES))
        put("layers", checks.integer("layers", self.layers, 2, 4096, "4096"))
        put("correlations", checks.boolean("correlations", self.correlations))
        if self.shard_updates is not None:
            put("shard_updates", checks.integer("shard_updates", self.shard_updates, 1, 1 << 62, "2^62"))
        put("gradients", checks.boolean("gradients", self.gradients))
        put("displacement", checked_displacement(self.displacement, self.models))
        self._check_asked(put)
        self._check_networks(put)
        distinct = {id(one): one for one in self.lowered}.values()
        methods = {chosen_method(one, self.method) for one in distinct}
        if len(methods) == 1:  # a plan of version 0.1 is equal to one that names its method
            put("method", methods.pop())
        for one in distinct:
            if one.log_gaussian is not None and (self.gradients or self.displacement):
                one.kernel(self.gradients, self.displacement)  # refuses layers that differ too much in size

    # -- checks -------------------------------------------------------------------------------------------------------

    def _check_asked(self, put: Any) -> None:
        """Check what is asked for besides one input, of which every network has the first."""
        asked = Asked(**{name: getattr(self, name) for name in ASKED})
        if asked.gram is not None and self.input_norm is not None:
            raise ValueError("input_norm is not allowed beside gram: gram says it already")
        found = [joint_of(model, asked, self.gradients) for model in self.models]
        put("models", tuple(model for model, _ in found))
        put("joints", tuple(joint for _, joint in found))
        joint = self.joints[0]
        if joint is None:
            return
        put("gradients", joint.backward)
        put("displacement", True)
        put("tangents", joint.tangents)
        if self.gram is not None:
            put("gram", [list(row) for row in joint.inputs.gram])
        if self.angle is not None:
            put("angle", checks.real("angle", self.angle))

    def _check_networks(self, put: Any) -> None:
        def lacking(name: str) -> str | None:
            for i, names in enumerate(self.observables):
                if name not in names:
                    return f"{self.describe(i)} has no such quantity" + self.how_to_follow(name)
            return None

        for name, value in how_many(self.networks, self.target_stderr, self.max_networks, lacking).items():
            put(name, value)

    # -- points -------------------------------------------------------------------------------------------------------

    @property
    def most(self) -> int:
        """The most networks that a point may take: ``networks``, or with targets ``max_networks``."""
        return self.networks or self.max_networks or 0

    @property
    def ratios(self) -> tuple[float, ...]:
        """Aspects depth / width of all points, after rounding the depth."""
        return tuple(model.ratio for model in self.models)

    @cached_property
    def lowered(self) -> tuple[Lowered, ...]:
        """Networks of all points as the engine sees them; equal models are one object."""
        known: dict[Model, Lowered] = {}
        for model in self.models:
            if model not in known:
                known[model] = lower(model)
        return tuple(known[model] for model in self.models)

    @cached_property
    def letter(self) -> str:
        """The letter of the networks' state: z where all are a `ResNet`, else h."""
        letters = {letter(one) for one in self.lowered}
        return letters.pop() if len(letters) == 1 else "h"

    @cached_property
    def observables(self) -> tuple[frozenset[str], ...]:
        """Names of the quantities that each point has."""
        known: dict[int, frozenset[str]] = {}
        for one in self.lowered:
            if id(one) not in known:
                followed = one.sums_of(self.gradients, self.displacement)
                known[id(one)] = frozenset(existing(one, followed)) & SWEPT.keys()
        return tuple(known[id(one)] for one in self.lowered)

    def how_to_follow(self, name: str) -> str:
        """Return the words that say how a point gets a quantity, if an argument gives it."""
        sums = SWEPT[name].sums
        if sums not in QUOTIENTS:
            return ""
        return "; ask for gradients=True" if sums in BACKWARD else "; ask for displacement=True"

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of all points. Rounded depths may make two points of one model: their seeds differ, too."""
        if not self.independent:
            return (self.seed,) * len(self.models)
        seen: Counter[str] = Counter()
        seeds = []
        for model in self.models:
            network = repr(canonical(model))
            seeds.append(point_seed(self.seed, model, seen[network]))
            seen[network] += 1
        return tuple(seeds)

    @cached_property
    def identities(self) -> tuple[tuple[Model, int], ...]:
        """Network and seed of each point, whatever the spelling: points that are equal in both share their shards."""
        return tuple((one.log_gaussian or one.model, seed) for one, seed in zip(self.lowered, self.seeds, strict=True))

    def method_of(self, index: int) -> str:
        """Return the method of point number ``index``."""
        return chosen_method(self.lowered[index], self.method)

    def point(self, index: int, networks: int) -> Point:
        """Return point number ``index``, with batches of the size that a run of ``networks`` networks takes."""
        model, seed = self.identities[index]
        return Point(
            model=model,
            seed=seed,
            method=self.method_of(index),
            layers=self.layers,
            correlations=self.correlations and self.lowered[index].log_gaussian is not None,
            batch=batch_size(networks),
            gradients=self.gradients,
            displacement=self.displacement,
            joint=self.joints[index],
        )

    def describe(self, index: int) -> str:
        """Name a point in words, by what distinguishes it from the others."""
        model = self.models[index]
        if self.listed:
            return f"point {index}: {model.title.replace('  ', ', ')}"
        place = np.unravel_index(index, self.shape) if self.shape else ()
        words = [f"{name} {self._words[name][i]}" for name, i in zip(self.dims, place, strict=True)]
        return ", ".join(words) or f"{model.width_in_words}, depth {model.depth}"

    @cached_property
    def _words(self) -> dict[str, list[str]]:
        """Values of the dimensions of a grid, in a few letters."""
        return {name: told_apart(getattr(self, name)) for name in self.dims}

    # -- as data ------------------------------------------------------------------------------------------------------

    def to_dict(self) -> Plain:
        """Return the plan as plain values; `from_dict` reads them."""
        out: Plain = {"format": FORMAT, "schema_version": SCHEMA_VERSION}
        if self.listed:
            out["models"] = [model.to_dict() for model in self.models]
        else:
            out |= plain_fields({name: getattr(self, name) for name in AXES})
        for f in fields(self):
            left_out = f.name in NEW_SWITCHES and not getattr(self, f.name)
            if f.init and f.name not in ("models", *AXES) and getattr(self, f.name) is not None and not left_out:
                out[f.name] = getattr(self, f.name)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in out.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the plan that `to_dict` has written.

        Raises
        ------
        ValueError
            If ``data`` is not a plan, or a plan in a newer format.
        """
        if data.get("format") != FORMAT:
            raise ValueError(f"this is not the plan of a sweep: its format is {data.get('format')!r}")
        if data.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(f"the plan has schema version {data.get('schema_version')}, not {SCHEMA_VERSION}")
        return cls.built({name: value for name, value in data.items() if name not in ("format", "schema_version")})

    @classmethod
    def built(cls, arguments: Mapping[str, Any]) -> Self:
        """Make a plan of plain values, as a file holds them: models are tables of fields.

        Raises
        ------
        ValueError
            For an unknown name, or for an argument that `Sweep` does not allow.
        """
        allowed = [f.name for f in fields(cls) if f.init]
        for name in arguments:
            if name not in allowed:
                raise ValueError(f"{name!r} is not a setting of a sweep: they are {', '.join(allowed)}")
        arguments = dict(arguments)
        models = arguments.get("models")
        if isinstance(models, Sequence) and not isinstance(models, str):
            arguments["models"] = [model_of_table(number, model) for number, model in enumerate(models)]
        return cls(**arguments)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.models, self.seed))

    def __repr__(self) -> str:
        size = " x ".join(f"{name} {n}" for name, n in zip(self.dims, self.shape, strict=True)) or "1 point"
        wanted = f"networks={self.networks}" if self.networks else f"target_stderr={self.target_stderr}"
        points = "" if len(self.models) == 1 else f": {len(self.models)} points"
        return f"{type(self).__name__}({size}{points}, {wanted}, method={self.method!r}, seed={self.seed})"


Plan.__init__.__qualname__ = "Sweep"  # users meet a plan by that name, in the messages of a wrong call too


def ends(plan: Plan, indices: Sequence[int], found: Sequence[End]) -> Entries:
    """Return the ends of some points side by side; there is at least one."""
    return Entries.of_ends(found, [plan.lowered[i] for i in indices])
