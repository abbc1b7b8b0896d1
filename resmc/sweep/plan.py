"""The plan of a sweep: which models, how many networks of each, and how they are recorded.

Users meet a plan as a `resmc.Sweep`, which adds the methods that run it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import cached_property
from typing import Any, Self

import numpy as np

from .._system import checks
from .._system.plain import Plain
from ..engine.recording import batch_size
from ..engine.request import MAX_NETWORK
from ..models.network import METHODS
from ..models.residual_network import Model, ResidualNetwork
from ..models.resnet import MAX_WIDTH_DENSE, ResNet
from ..models.spelling import listed, of_dict
from .point import Point, point_seed
from .quantities import QUANTITIES

FORMAT = "resmc-sweep"
SCHEMA_VERSION = 1
AXES = ("width", "depth", "ratio", "alpha", "lam", "variant", "n_out", "input_norm")  # dimensions, in this order
INTEGERS = ("width", "depth", "n_out")
MAX_POINTS = 10**5
FIRST_OF_PILOT = 1 << 47  # first network of every pilot: estimates use networks below, so that nothing is biased


@dataclass(frozen=True, eq=False)
class Plan:
    r"""Simulations of many models: a grid over widths, depths, (alpha, lam), variants, or a list.

    >>> plan = resmc.Sweep(width=[50, 100], ratio=[0.5, 1, 2], alpha=0.5**0.5, lam=0.5**0.5, networks=1e6)
    >>> print(plan.estimate())
    >>> result = plan.run("runs/growth")  # stopped, or crashed? the same line again goes on

    Parameters
    ----------
    models : sequence of ResNet, optional
        A list instead of a grid; no other field of a model is given then. A `ResidualNetwork` that describes the same
        network as a `ResNet` counts as that `ResNet`, and shares its shards.
    width, depth, ratio, alpha, lam, variant, n_out, input_norm : value or sequence
        Fields of `ResNet`; every sequence is a dimension of the grid, in this order. ``ratio`` = d/n may be given
        instead of ``depth``: the depth is then ratio * width rounded to the nearest integer, at least 1.
    networks : int
        Networks of each point. Give either ``networks``, or ``target_stderr`` and ``max_networks``.
    target_stderr : mapping of str to float
        The standard error wanted, by quantity: ``log_norm.mean``, ``log_norm.variance``, ``log_norm.skewness``,
        ``log_norm.excess_kurtosis``, ``asymmetry``, ``active_fraction``, ``growth``. A pilot of each point says how
        many networks that takes; its own networks are not part of the estimate, so nothing is biased. The number
        allows for the pilot's own uncertainty: nine points in ten end at or below the target, but for the noise of
        the final standard error.
    max_networks : int
        With ``target_stderr``: the most networks that a point may take.
    seed : int
        0 to 2^64 - 1.
    independent : bool
        True: every point has a seed of its own, made of ``seed`` and its model, so that points are independent and a
        fit over them has honest errors. Points whose depths round to one integer have different seeds, too. False: all
        points use ``seed`` itself and share random numbers.
    method : {"projected", "dense"}
        As for `resmc.simulate`.
    layers : int
        At most how many layers of each network are recorded, equally spaced, the first and the last among them.
    correlations : bool
        True: record what `Simulation.interlayer_correlations` needs, layers (layers + 1) / 2 more numbers per group.
    shard_updates : int, optional
        Neuron updates (weights, if dense) in a shard, the unit that is computed, written and lost at a time. By
        default, about a second of a CPU core or of a GPU, or 1/2^15 of the whole plan if that is more.

    Attributes
    ----------
    dims : tuple of str
        The dimensions: the fields given as sequences; ("point",) for a list of models.
    shape : tuple of int
        The lengths of the dimensions.
    models : tuple of ResNet
        All points, the last dimension running fastest.

    Raises
    ------
    ValueError
        For an argument out of range, before any work; the message names the argument, its value and what is allowed.

    Source: Li, Nica, Roy 2021 (arXiv 2106.04013) for the model.
    """

    models: Any = None
    _: KW_ONLY
    width: Any = None
    depth: Any = None
    ratio: Any = None
    alpha: Any = None
    lam: Any = None
    variant: Any = None
    n_out: Any = None
    input_norm: Any = None
    networks: Any = None
    target_stderr: Any = None
    max_networks: Any = None
    seed: int = 0
    independent: bool = True
    method: str = "projected"
    layers: int = 32
    correlations: bool = False
    shard_updates: int | None = None
    dims: tuple[str, ...] = field(init=False)
    shape: tuple[int, ...] = field(init=False)
    listed: bool = field(init=False)

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("listed", self.models is not None)
        if self.listed:
            self._check_list(put)
        else:
            self._check_grid(put)
        put("seed", checks.integer("seed", self.seed, 0, (1 << 64) - 1, "2^64 - 1"))
        put("independent", checks.boolean("independent", self.independent))
        put("method", checks.choice("method", self.method, METHODS))
        put("layers", checks.integer("layers", self.layers, 2, 4096, "4096"))
        put("correlations", checks.boolean("correlations", self.correlations))
        if self.shard_updates is not None:
            put("shard_updates", checks.integer("shard_updates", self.shard_updates, 1, 1 << 62, "2^62"))
        self._check_networks(put)
        if self.method == "dense":
            for model in self.models:
                if model.width > MAX_WIDTH_DENSE:
                    raise ValueError(
                        f"width={model.width} is too large for method='dense': it must be at most {MAX_WIDTH_DENSE}"
                    )

    # -- checks -------------------------------------------------------------------------------------------------------

    def _check_list(self, put: Any) -> None:
        for name in AXES:
            if getattr(self, name) is not None:
                raise ValueError(f"{name} is not allowed beside models: give a list of models, or a grid")
        try:
            models = tuple(self.models)
        except TypeError:
            raise ValueError(f"models={self.models!r} is not allowed: it must be a sequence of ResNet") from None
        if not 1 <= len(models) <= MAX_POINTS:
            raise ValueError(f"models holds {len(models)} of them: it must be 1 to {MAX_POINTS}")
        put("models", tuple(_listed(model) for model in models))
        put("dims", ("point",))
        put("shape", (len(models),))

    def _check_grid(self, put: Any) -> None:
        if self.depth is not None and self.ratio is not None:
            raise ValueError("ratio is not allowed beside depth: give one or the other")
        length = self.depth if self.ratio is None else self.ratio
        needed = {"width": self.width, "depth or ratio": length, "alpha": self.alpha, "lam": self.lam}
        for name, given in needed.items():
            if given is None:
                raise ValueError(f"{name} is missing: give width, depth or ratio, alpha and lam, or a list of models")
        put("dims", tuple(name for name in AXES if not _is_scalar(getattr(self, name))))
        for name in AXES:
            given = getattr(self, name)
            if given is not None:
                put(name, _axis(name, given))
        put("shape", tuple(len(getattr(self, name)) for name in self.dims))
        if math.prod(self.shape) > MAX_POINTS:
            raise ValueError(f"the grid has {math.prod(self.shape)} points: at most {MAX_POINTS} are allowed")
        put("models", tuple(self._grid()))

    def _grid(self) -> Iterator[ResNet]:
        given = [name for name in AXES if getattr(self, name) is not None]
        values = [getattr(self, name) if name in self.dims else (getattr(self, name),) for name in given]
        for index in np.ndindex(*(len(v) for v in values)):
            chosen = {name: v[i] for name, v, i in zip(given, values, index, strict=True)}
            if "ratio" in chosen:
                chosen["depth"] = max(1, math.floor(chosen.pop("ratio") * chosen["width"] + 0.5))
            yield ResNet(**chosen)

    def _check_networks(self, put: Any) -> None:
        if self.networks is None and self.target_stderr is None:
            raise ValueError("networks is missing: give it, or target_stderr and max_networks")
        if self.networks is not None:
            if self.target_stderr is not None:
                raise ValueError("target_stderr is not allowed beside networks: give one or the other")
            if self.max_networks is not None:
                raise ValueError("max_networks is not allowed beside networks: it belongs to target_stderr")
            put("networks", checks.integer("networks", self.networks, 1, FIRST_OF_PILOT, "2^47"))
            return
        if self.max_networks is None:
            raise ValueError("max_networks is missing: target_stderr needs a bound on the networks of a point")
        put("max_networks", checks.integer("max_networks", self.max_networks, 32, FIRST_OF_PILOT, "2^47"))
        if not isinstance(self.target_stderr, Mapping) or not self.target_stderr:
            example = "{'log_norm.variance': 1e-3}"
            raise ValueError(f"target_stderr={self.target_stderr!r} is not allowed: it must be like {example}")
        targets = {}
        for name, target in self.target_stderr.items():
            if name not in QUANTITIES:
                raise ValueError(f"target_stderr[{name!r}] is not allowed: it must be one of {', '.join(QUANTITIES)}")
            targets[name] = checks.real(f"target_stderr[{name!r}]", target, positive=True)
        put("target_stderr", targets)

    # -- points -------------------------------------------------------------------------------------------------------

    @property
    def ratios(self) -> tuple[float, ...]:
        """Aspects depth / width of all points, after rounding the depth."""
        return tuple(model.ratio for model in self.models)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of all points. Rounded depths may make two points of one model: their seeds differ, too."""
        if not self.independent:
            return (self.seed,) * len(self.models)
        seen: Counter[ResNet] = Counter()
        seeds = []
        for model in self.models:
            seeds.append(point_seed(self.seed, model, seen[model]))
            seen[model] += 1
        return tuple(seeds)

    def point(self, index: int, networks: int) -> Point:
        """Return point number ``index``, with batches of the size that a run of ``networks`` networks takes."""
        return Point(
            model=self.models[index],
            seed=self.seeds[index],
            method=self.method,
            layers=self.layers,
            correlations=self.correlations,
            batch=batch_size(networks),
        )

    def describe(self, index: int) -> str:
        """Name a point in words, by what distinguishes it from the others."""
        model = self.models[index]
        if self.listed:
            return f"point {index}: {model}"
        place = np.unravel_index(index, self.shape) if self.shape else ()
        shown = [f"{name} {_plain(getattr(self, name)[i])}" for name, i in zip(self.dims, place, strict=True)]
        return ", ".join(shown) or f"width {model.width}, depth {model.depth}"

    # -- as data ------------------------------------------------------------------------------------------------------

    def to_dict(self) -> Plain:
        """Return the plan as plain values; `from_dict` reads them."""
        out: Plain = {"format": FORMAT, "schema_version": SCHEMA_VERSION}
        if self.listed:
            out["models"] = [model.to_dict() for model in self.models]
        else:
            out |= {name: getattr(self, name) for name in AXES if getattr(self, name) is not None}
        for f in fields(self):
            if f.init and f.name not in ("models", *AXES) and getattr(self, f.name) is not None:
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
            arguments["models"] = [_model(number, model) for number, model in enumerate(models)]
        return cls(**arguments)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.models, self.seed))

    def __repr__(self) -> str:
        size = " x ".join(f"{name} {n}" for name, n in zip(self.dims, self.shape, strict=True)) or "1 point"
        wanted = f"networks={self.networks}" if self.networks else f"target_stderr={self.target_stderr}"
        name, points = type(self).__name__, f"{len(self.models)} points"
        return f"{name}({size}: {points}, {wanted}, method={self.method!r}, seed={self.seed})"


def _listed(model: Any) -> ResNet:
    """Return a model of a list as a ResNet, however it was spelled."""
    known = isinstance(model, Model)
    found = listed(model) if known else None
    if found is None:
        what = "a network that no ResNet is: " if known else ""
        raise ValueError(f"models holds {what}{model!r}: it must be a sequence of ResNet")
    return found


def _model(number: int, model: Any) -> ResNet:
    """Read a model from a table of its fields; messages begin with the model's place in the list."""
    if isinstance(model, Model):
        return _listed(model)
    general = isinstance(model, Mapping) and "block" in model
    names = [f.name for f in fields(ResidualNetwork if general else ResNet)]
    try:
        if not isinstance(model, Mapping):
            raise ValueError(f"{model!r} is not a table of a model's fields: {', '.join(names)}")
        for name in model:
            if name not in names:
                raise ValueError(f"{name!r} is not a field of a model: they are {', '.join(names)}")
        needed = ("width", "depth") if general else ("width", "depth", "alpha", "lam")
        missing = [name for name in needed if name not in model]
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        return _listed(of_dict(model, version_01=True))
    except ValueError as error:
        raise ValueError(f"models[{number}]: {error}") from None


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | bytes) or _dimensions(value) == 0


def _dimensions(value: Any) -> int:
    """Count the dimensions of an array or nested sequence; 2 for rows of different lengths, which NumPy refuses."""
    try:
        return np.ndim(value)
    except ValueError:
        return 2


def _axis(name: str, given: Any) -> Any:
    """Check a field of the grid, and return it as a value or a tuple of distinct values."""

    def one(value: Any) -> Any:
        if name == "variant":
            return value if not isinstance(value, np.str_) else str(value)
        if name in INTEGERS:
            return checks.integer(name, value.item() if isinstance(value, np.generic) else value, 1, MAX_NETWORK)
        return checks.real(name, value, positive=name in ("ratio", "input_norm"))

    if isinstance(given, Iterator | Set):
        raise ValueError(f"{name}={given!r} is not allowed: make it a list, which has an order and can be read twice")
    if _is_scalar(given):
        return one(given)
    if _dimensions(given) != 1 or isinstance(given, Mapping):
        raise ValueError(f"{name}={given!r} is not allowed: it must be a value or a sequence of values")
    values = tuple(one(value) for value in given)
    if not values:
        raise ValueError(f"{name}=[] is not allowed: a dimension needs at least one value")
    if len(set(values)) < len(values):
        twice = next(v for i, v in enumerate(values) if v in values[:i])
        raise ValueError(f"{name} holds {twice!r} twice: the values of a dimension must differ")
    return values


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
