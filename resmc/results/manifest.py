"""The manifest of a file: every name, type and range in it, checked before an array is read or made."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief
from ..engine.lowering import BACKWARD, MEAN_SQUARE, QUOTIENTS, Lowered, lower
from ..engine.recording import HISTOGRAM_VERSION, JOINT_VERSION, LARGEST_BATCH, Bins, JointRecording, histogram_bins
from ..engine.request import MAX_NETWORK, NetworkRange, group_sizes
from ..models.joint_inputs import MAX_JOINT, JointInputs
from ..models.network import METHODS
from ..models.spelling import of_dict

FORMAT = "resmc-simulation"
SCHEMA_VERSION = 3
SCHEMA_VERSION_01 = 2  # the last one of version 0.1
MOST_BINS = 1 << 16
# Numerics classes: instruction sets, GPU architectures, and the GPU's kernels run by a CPU, as the tests do.
CLASSES = re.compile("cpu/[a-z0-9]{1,20}|cuda/sm_[0-9]{2,4}|emulated")


@dataclass(frozen=True)
class Manifest:
    """All that a file says of its numbers, in types of this package.

    Attributes
    ----------
    old : bool
        True for a file of version 0.1.
    lowered : Lowered
        The model as the engine sees it.
    followed : tuple of str
        Names of what has sums besides h: quotients, and the mean square.
    laws : dict of (int, float, int)
        Zeros, offset and exploded networks of the law of each quotient's final value.
    samples, trajectories : int
        How many networks were kept.
    joint : JointRecording or None
        Several inputs, a tangent kernel or tangents.
    joint_samples : int
        How many of such networks were kept.
    """

    old: bool
    lowered: Lowered
    method: str
    seed: int
    ranges: tuple[NetworkRange, ...]
    bins: Bins
    histogram_version: int
    histogram_offset: int
    numerics: tuple[str, ...]
    correlations: bool
    followed: tuple[str, ...]
    laws: dict[str, tuple[int, float, int]]
    samples: int
    trajectories: int
    joint: JointRecording | None = None
    joint_samples: int = 0

    @property
    def quotients(self) -> str:
        """Name under which a file has its quotients."""
        return "ratios" if self.old else "quotients"

    @property
    def kept_quotients(self) -> dict[str, tuple[str, ...]]:
        """Names of the quotients that samples and trajectories have."""
        return _kept(self.followed, self.laws)

    @cached_property
    def networks(self) -> NDArray[np.int64]:
        """How many networks there are in each of the 32 groups."""
        columns: Any = np.array(self.ranges, np.int64).T[:, :, None]
        return np.asarray(group_sizes(NetworkRange(*columns)).sum(axis=0))


def checked(found: Any) -> Manifest:
    """Check a manifest.

    Raises
    ------
    ValueError
        For anything that no simulation's manifest says.
    """
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"its manifest does not say {FORMAT!r}")
    version = found.get("schema_version")
    if type(version) is not int or version not in (SCHEMA_VERSION_01, SCHEMA_VERSION):
        raise ValueError(f"it has schema version {version}, not {SCHEMA_VERSION_01} or {SCHEMA_VERSION}")
    needed = (
        "model", "method", "seed", "ranges", "bins", "histogram_version", "histogram_offset", "numerics",
        "correlations", "samples", "trajectories",
    )  # fmt: skip
    for name in needed:
        if name not in found:
            raise ValueError(f"its manifest has no {name!r}")
    old = version == SCHEMA_VERSION_01
    if not isinstance(found["model"], dict):
        raise ValueError(f"model={found['model']!r} is not allowed: it must have a model's fields")
    lowered = lower(of_dict(found["model"], version_01=old))
    ranges = _ranges(found["ranges"])
    networks = sum(r.stop - r.start for r in ranges)
    histogram_version = _integer("histogram_version", found["histogram_version"], 1, 1 << 31)
    bins = _bins(found["bins"], lowered, histogram_version)
    followed = _names("ratios" if old else "quotients", found.get("ratios" if old else "quotients", []))
    laws = _laws(found.get("laws", {}), networks)
    _check_followed(lowered, followed, tuple(laws))
    for part, names in _kept(followed, laws).items():
        said = found.get(f"{part}.{'ratios' if old else 'quotients'}", [])
        if sorted(_names(part, said)) != sorted(names):
            raise ValueError(f"its {part} have other quotients than its networks")
    correlations = checks.boolean("correlations", found["correlations"])
    if correlations and lowered.log_gaussian is None:
        raise ValueError("correlations=True is not allowed with a network that no ResNet can spell")
    return Manifest(
        old=old,
        lowered=lowered,
        method=checks.choice("method", found["method"], METHODS),
        seed=_integer("seed", found["seed"], 0, (1 << 64) - 1, "2^64 - 1"),
        ranges=ranges,
        bins=bins,
        histogram_version=histogram_version,
        histogram_offset=_integer("histogram_offset", found["histogram_offset"], 0, bins.count),
        numerics=_numerics(found["numerics"]),
        correlations=correlations,
        followed=followed,
        laws=laws,
        samples=_integer("samples", found["samples"], 0, networks),
        trajectories=_integer("trajectories", found["trajectories"], 0, networks),
        joint=_joint(found.get("joint"), lowered, followed),
        joint_samples=_integer("joint_samples", found.get("joint_samples", 0), 0, networks),
    )


def _joint(found: Any, lowered: Lowered, followed: tuple[str, ...]) -> JointRecording | None:
    """Check what a file says of several inputs, and that it was recorded beside what they need."""
    if found is None:
        return None
    names = ("inputs", "tangents", "tangent_kernel", "independent_backward")
    said = {name for name in found if name != "version"} if isinstance(found, dict) else set()
    if said != set(names) or not isinstance(found["inputs"], dict):
        raise ValueError(f"joint={brief(found)} is not allowed: it must have {', '.join(names)}")
    drawn = ["x"] if lowered.model.inputs.explicit else []
    if sorted(found["inputs"]) != ["gram", "start", *drawn]:
        raise ValueError(f"joint.inputs are not allowed: they must have {', '.join(('gram', 'start', *drawn))}")
    inputs = JointInputs.from_dict(found["inputs"])
    if drawn and inputs.x[0] != lowered.model.inputs.x:
        raise ValueError("joint.inputs are not allowed: the first of x must be the network's input")
    tangents = _integer("joint.tangents", found["tangents"], 0, MAX_JOINT - inputs.count)
    kernel, independent = (checks.boolean(f"joint.{name}", found[name]) for name in names[2:])
    batch, backward = lowered.general.norm == "batch", "gradient" in followed
    if not lowered.independent or kernel != (backward and not batch) or (independent and not backward):
        raise ValueError("joint is not allowed beside what else was recorded")
    version = _joint_version(found, inputs.count)
    return JointRecording(inputs, tangents, kernel, independent, version, gradients=backward and batch)


def _joint_version(found: Plain, count: int) -> int:
    """Return the version of what several inputs leave: files of the first one do not say it, nor those of one input."""
    if "version" not in found:
        return JOINT_VERSION if count == 1 else 1
    if count == 1:
        raise ValueError("joint.version is not allowed with one input: it is that of several")
    return _integer("joint.version", found["version"], 2, JOINT_VERSION)


def _integer(name: str, value: Any, low: int, high: int, why: str = "") -> int:
    if type(value) is not int:  # neither True nor 1.0
        raise ValueError(f"{name}={brief(value)} is not allowed: it must be an integer")
    return value if low <= value <= high else checks.integer(name, value, low, high, why)


def _list(name: str, value: Any, length: int | None = None) -> list[Any]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        size = "" if length is None else f" of {length}"
        raise ValueError(f"{name}={brief(value)} is not allowed: it must be a list{size}")
    return value


def _ranges(found: Any) -> tuple[NetworkRange, ...]:
    out = []
    for one in _list("ranges", found):
        start, stop, batch = _list("ranges", one, 3)
        out.append(
            NetworkRange(
                _integer("ranges", start, 0, MAX_NETWORK),
                _integer("ranges", stop, 0, MAX_NETWORK),
                _integer("ranges", batch, 1, LARGEST_BATCH),
            )
        )
    if not out:
        raise ValueError("ranges=[] is not allowed: there must be a network")
    if any(r.start >= r.stop or r.batch & (r.batch - 1) for r in out):
        raise ValueError("ranges are not allowed to be empty, or to have a batch that is no power of two")
    if any(b.start < a.stop for a, b in pairwise(out)):
        raise ValueError("ranges are not allowed to overlap, or to be out of order")
    return tuple(out)


def _bins(found: Any, lowered: Lowered, version: int) -> Bins:
    low, width, count = _list("bins", found, 3)
    bins = Bins(
        checks.real("bins", low), checks.real("bins", width, positive=True), _integer("bins", count, 1, MOST_BINS)
    )
    if version == HISTOGRAM_VERSION and bins != histogram_bins(lowered.model):
        raise ValueError(f"bins={brief(found)} are not those of the model")
    if not math.isfinite(bins.low + bins.count * bins.width):
        raise ValueError(f"bins={brief(found)} are not allowed: they end at infinity")
    return bins


def _numerics(found: Any) -> tuple[str, ...]:
    words = _list("numerics", found)
    sound = len(words) > 1 and all(isinstance(word, str) for word in words)
    if not sound or not re.fullmatch("[0-9]{1,9}", words[0]) or not all(map(CLASSES.fullmatch, words[1:])):
        raise ValueError(f"numerics={brief(found)} is not allowed: it must be a version, then numerics classes")
    if words[1:] != sorted(set(words[1:])):
        raise ValueError(f"numerics={brief(found)} is not allowed: classes must be sorted, and each said once")
    return tuple(words)


def _names(what: str, found: Any) -> tuple[str, ...]:
    names = _list(what, found)
    if any(not isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError(f"{what}={brief(found)} is not allowed: it must be a list of different names")
    return tuple(names)


def _laws(found: Any, networks: int) -> dict[str, tuple[int, float, int]]:
    if not isinstance(found, dict):
        raise ValueError(f"laws={brief(found)} is not allowed: it must have zeros and offset by name")
    out = {}
    for name, law in found.items():
        if len(_list(f"laws.{name}", law)) not in (2, 3):
            raise ValueError(f"laws.{name}={brief(law)} is not allowed: it must be a list of 2 or 3")
        zeros, offset, exploded = (*law, 0)[:3]
        counts = [_integer(f"laws.{name}", count, 0, networks) for count in (zeros, exploded)]
        out[name] = (counts[0], checks.real(f"laws.{name}", offset), counts[1])
    return out


def _check_followed(lowered: Lowered, followed: tuple[str, ...], laws: tuple[str, ...]) -> None:
    """Refuse sums of what is not followed together; the mean square may be missing, as in files of version 0.1."""
    for gradients, displacement in ((False, False), (False, True), (True, True)):
        expected = lowered.sums_of(gradients, displacement)
        quotients = [name for name in expected if name != MEAN_SQUARE]
        if set(laws) == set(quotients) and set(followed) in (set(expected) - {"growth"}, set(quotients) - {"growth"}):
            return
    raise ValueError(f"its quotients {list(followed)} with laws of {list(laws)} are not those of any simulation")


def _kept(followed: Iterable[str], laws: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Names of the quotients that samples and trajectories have where so much is followed."""
    paths = tuple(name for name in QUOTIENTS if name in followed)
    overlap = ("overlap",) if set(BACKWARD) & set(paths) else ()
    return {"samples": tuple(laws), "trajectories": (*paths, *overlap)}


def networks_within(numbers: NDArray[np.uint64], ranges: tuple[NetworkRange, ...]) -> bool:
    """Say whether numbers of networks are increasing, and all in the ranges."""
    if not len(numbers):
        return True
    starts, stops, _ = np.array(ranges, np.uint64).T
    place = np.searchsorted(starts, numbers, side="right").astype(np.int64) - 1
    return bool((place >= 0).all() and (numbers < stops[place]).all() and (numbers[1:] > numbers[:-1]).all())
