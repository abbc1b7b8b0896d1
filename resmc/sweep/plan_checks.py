"""Checks of a plan: its models, from a list or a grid, and how many networks each takes. Each returns fields of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from .._system import checks
from .._system.words import brief
from ..models.layer_widths import DISPLACEMENT, refuse_widths
from ..models.residual_network import Model
from ..results.observables import SWEPT
from .axes import MAX_POINTS, axis, check_grid, is_value, listed_model, network

FIRST_OF_PILOT = 1 << 47  # first network of every pilot: estimates use networks below, so that nothing is biased


def listed(models: Any, axes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the models, dimensions and shape of a plan that lists its models.

    Raises
    ------
    ValueError
        If one of ``axes`` is given too, or ``models`` is no sequence of networks, or too long a one.
    """
    for name, given in axes.items():
        if given is not None:
            raise ValueError(f"{name} is not allowed beside models: give a list of models, or a grid")
    try:
        models = tuple(models)
    except TypeError:
        raise ValueError(
            f"models={brief(models)} is not allowed: it must be a sequence of ResNet and ResidualNetwork"
        ) from None
    if not 1 <= len(models) <= MAX_POINTS:
        raise ValueError(f"models holds {len(models)} networks: it must hold 1 to {MAX_POINTS}")
    return {"models": tuple(map(listed_model, models)), "dims": ("point",), "shape": (len(models),)}


def gridded(axes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the axes, models, dimensions and shape of a plan of all combinations of the values of ``axes``.

    Raises
    ------
    ValueError
        If fields contradict each other, a value is not allowed, or there are too many points.
    """
    check_grid(axes)
    dims = tuple(name for name, given in axes.items() if not is_value(name, given))
    values = {name: axis(name, given) for name, given in axes.items() if given is not None}
    shape = tuple(len(values[name]) for name in dims)
    if math.prod(shape) > MAX_POINTS:
        raise ValueError(f"the grid has {math.prod(shape)} points: at most {MAX_POINTS} are allowed")
    return {**values, "models": tuple(_combinations(values, dims)), "dims": dims, "shape": shape}


def _combinations(axes: Mapping[str, Any], dims: tuple[str, ...]) -> Iterator[Model]:
    values = [given if name in dims else (given,) for name, given in axes.items()]
    for index in np.ndindex(*(len(v) for v in values)):
        yield network({name: v[i] for name, v, i in zip(axes, values, index, strict=True)})


def checked_displacement(given: Any, models: Iterable[Model]) -> bool:
    """Return whether displacements are followed; refuse those of networks that have none."""
    displacement = checks.boolean("displacement", given)
    for model in models if displacement else ():
        refuse_widths(model, *DISPLACEMENT)
    return displacement


def how_many(
    networks: Any, target_stderr: Any, max_networks: Any, lacking: Callable[[str], str | None]
) -> dict[str, Any]:
    """Return how many networks a point takes, or which standard errors are aimed at, with a bound on its networks.

    ``lacking`` says of a quantity which point has none, and why; None if all have it.

    Raises
    ------
    ValueError
        If neither is given, or both, or a quantity is not that of all points.
    """
    if networks is None and target_stderr is None:
        raise ValueError("networks is missing: give it, or target_stderr and max_networks")
    if networks is not None:
        if target_stderr is not None:
            raise ValueError("target_stderr is not allowed beside networks: give one or the other")
        if max_networks is not None:
            raise ValueError("max_networks is not allowed beside networks: it belongs to target_stderr")
        return {"networks": checks.integer("networks", networks, 1, FIRST_OF_PILOT, "2^47")}
    if max_networks is None:
        raise ValueError("max_networks is missing: target_stderr needs a bound on the networks of a point")
    bound = checks.integer("max_networks", max_networks, 32, FIRST_OF_PILOT, "2^47")
    if not isinstance(target_stderr, Mapping) or not target_stderr:
        example = "{'log_norm.variance': 1e-3}"
        raise ValueError(f"target_stderr={brief(target_stderr)} is not allowed: it must be like {example}")
    targets = {}
    for name, target in target_stderr.items():
        if name not in SWEPT:
            raise ValueError(f"target_stderr[{name!r}] is not allowed: it must be one of {', '.join(SWEPT)}")
        if (words := lacking(name)) is not None:
            raise ValueError(f"target_stderr[{name!r}] is not allowed: {words}")
        targets[name] = checks.real(f"target_stderr[{name!r}]", target, positive=True)
    return {"max_networks": bound, "target_stderr": targets}
