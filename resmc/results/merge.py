"""Records of disjoint ranges of networks as the record of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from functools import reduce
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from .._system.words import brief
from ..engine.joint_sums import JointSums
from ..engine.request import NetworkRange
from ..engine.sums import NormSums, Sums
from .joint_kept import JointSamples
from .kept import Samples, Trajectories
from .laws import Law
from .record import Record

Kind = TypeVar("Kind", bound=Record)


def merged(parts: Sequence[Kind]) -> Kind:
    """The record of all networks of several, of the class of the first.

    Raises
    ------
    ValueError
        If ranges overlap, or model, method, seed, layers, bins, correlations, inputs or numerics version differ.
    """
    parts = sorted(parts, key=lambda s: s.ranges)
    first = parts[0]
    for other in parts[1:]:
        _check_alike(first, other)
    ranges = sorted(r for s in parts for r in s.ranges)
    for a, b in pairwise(ranges):
        if b.start < a.stop:
            raise ValueError(f"simulations overlap: networks [{a.start}, {a.stop}) and [{b.start}, {b.stop})")
    # Files of version 0.1 have no mean square: then there is none of all networks.
    followed = [name for name in first.ratios if all(name in s.ratios for s in parts)]
    classes = sorted({c for s in parts for c in s.numerics[1:]})
    return replace(
        first,
        ranges=_joined(ranges),
        statistics=reduce(Sums.merged, [s.statistics for s in parts]),
        samples=Samples(**_in_order([s.samples.to_numpy() for s in parts])),
        trajectories=Trajectories(**_in_order([s.trajectories.to_numpy() for s in parts])),
        numerics=(first.numerics[0], *classes),
        ratios={name: reduce(NormSums.merged, [s.ratios[name] for s in parts]) for name in followed},
        laws={name: Law.joined([s.laws[name] for s in parts]) for name in first.laws},
        joint=_joint([s.joint for s in parts]),
        joint_samples=JointSamples.joined([s.joint_samples for s in parts]),
    )


def _joint(parts: Sequence[JointSums | None]) -> JointSums | None:
    """Sums over the networks of all parts, which have them or have none."""
    there = [part for part in parts if part is not None]
    return reduce(JointSums.merged, there) if there else None


def _check_alike(first: Record, other: Record) -> None:
    """Refuses records of networks that are not the same, or were not recorded in the same way."""
    pairs: dict[str, tuple[Any, Any]] = {
        name: (getattr(first, name), getattr(other, name))
        for name in ("model", "method", "seed", "bins", "histogram_version", "correlations")
    }
    if first.lowered.log_gaussian is not None:  # one network in two spellings
        pairs["model"] = (first.lowered.log_gaussian, other.lowered.log_gaussian)
    pairs |= _asked(first.joint, other.joint)
    pairs["observables"] = (first.followed, other.followed)
    pairs["layers"] = (first.layers.tolist(), other.layers.tolist())
    pairs["numerics version"] = (first.numerics[0], other.numerics[0])
    for name, (a, b) in pairs.items():
        if a != b:
            raise ValueError(f"simulations with different {name} do not merge: {' and '.join(_told_apart(a, b))}")


def _told_apart(a: Any, b: Any) -> tuple[str, str]:
    """Write two values that differ; of two records of one class, their differing fields alone."""
    if type(a) is not type(b) or not is_dataclass(a):
        return brief(a), brief(b)
    names = [f.name for f in fields(a) if getattr(a, f.name) != getattr(b, f.name)]
    first, other = (", ".join(f"{name}={brief(getattr(one, name))}" for name in names) for one in (a, b))
    return first, other


def _asked(first: JointSums | None, other: JointSums | None) -> dict[str, tuple[Any, Any]]:
    """Return what both asked for besides one input, argument by argument, of a matrix the entry that differs most."""
    a, b = (None if sums is None else sums.recording for sums in (first, other))
    pairs: dict[str, tuple[Any, Any]] = {
        "tangents": (a.tangents if a else 0, b.tangents if b else 0),
        "tangent_kernel": (a.kernel if a else False, b.kernel if b else False),
        "independent_backward": (a.independent if a else False, b.independent if b else False),
        "numbers of inputs": (a.count if a else 1, b.count if b else 1),
        "versions of several inputs": (a.version if a else None, b.version if b else None),
    }
    if a is None or b is None:
        return pairs | {"gram": (a.inputs.gram if a else None, b.inputs.gram if b else None)}
    if a.count == b.count:
        pairs |= _entries("gram[{}, {}]", a.inputs.gram, b.inputs.gram)
        # Gram matrices have no digits for the small differences of inputs that were given as such.
        pairs |= _entries("factors [{}, {}] of the differences of inputs", a.inputs.start, b.inputs.start)
        pairs["inputs"] = (a.inputs.x, b.inputs.x)
    return pairs


def _entries(name: str, first: Any, other: Any) -> dict[str, tuple[Any, Any]]:
    """Return the entry in which two matrices of one shape differ most, under a name with its place."""
    a, b = np.array(first), np.array(other)
    i, j = np.unravel_index(np.argmax(np.abs(a - b)), a.shape)
    return {name.format(i, j): (float(a[i, j]), float(b[i, j]))}


def _in_order(parts: list[Any]) -> dict[str, Any]:
    names = [f.name for f in fields(parts[0]) if f.name != "ratios"]
    joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    order = np.argsort(joined["networks"], kind="stable")
    ratios = {name: np.concatenate([p.ratios[name] for p in parts])[order] for name in parts[0].ratios}
    return {name: array[order] for name, array in joined.items()} | {"ratios": ratios}


def _joined(ranges: list[NetworkRange]) -> tuple[NetworkRange, ...]:
    """Neighbouring ranges of the same batch as one."""
    out: list[NetworkRange] = []
    for r in ranges:
        if out and out[-1].stop == r.start and out[-1].batch == r.batch:
            out[-1] = out[-1]._replace(stop=r.stop)
        else:
            out.append(r)
    return tuple(out)
