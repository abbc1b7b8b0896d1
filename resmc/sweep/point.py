"""A point of a sweep: one model and everything else that decides what its shards hold, and the key made of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system.plain import key_of
from ..engine.devices import Device
from ..engine.joint_request import check_recording, named
from ..engine.lowering import QUOTIENTS, lower
from ..engine.native import NUMERICS_VERSION
from ..engine.recording import HISTOGRAM_VERSION, JointRecording, histogram_bins
from ..engine.request import NetworkRange, Recording, Request
from ..models.residual_network import Model
from ..models.spelling import canonical
from ..results.storage import model_of

# The version is raised when keys are made of other things. Files have a version of their own, so that a new format of
# files leaves the names of old shards as they are.
KEY_VERSION = 2
FOLLOWED = QUOTIENTS[1:]  # A plan decides on these; all else that a file holds follows from its model.
BACKWARD_WORK = 3  # A backward pass takes as long as three forward passes, roughly, one of them computed once more.


@dataclass(frozen=True)
class Point:
    """Networks of one model and one seed, recorded in one way: their shards can be merged.

    ``layers`` says at most how many layers are recorded, ``batch`` how many networks are summed together.
    """

    model: Model
    seed: int
    method: str
    layers: int
    correlations: bool
    batch: int
    gradients: bool = False
    displacement: bool = False
    joint: JointRecording | None = None

    @cached_property
    def recorded(self) -> NDArray[np.int64]:
        """Recorded layers: 0, s, 2s, .., depth with the smallest s that leaves at most ``layers`` of them."""
        return spaced_layers(self.model.depth, self.layers)

    @cached_property
    def key(self) -> str:
        """Hash of all that two shards must share to be merged: 32 hexadecimal digits."""
        bins = histogram_bins(self.model)
        described = {
            "model": canonical(self.model),
            "seed": self.seed,
            "method": self.method,
            "layers": self.recorded.tolist(),
            "correlations": self.correlations,
            "quotients": lower(self.model).quotients(self.gradients, self.displacement),
            "bins": [bins.low, bins.width, bins.count],
            "histogram_version": HISTOGRAM_VERSION,
        }
        if self.joint is not None:
            described["joint"] = self.joint.to_dict()
        return _key_of_canonical(described, NUMERICS_VERSION, self.batch)

    def request(self, start: int, stop: int, device: Device, threads: int) -> Request:
        """Request the networks start .. stop - 1, to be simulated on ``device``."""
        if self.joint is not None:
            check_recording(named(self.joint), device, False)
        displacement = self.gradients or self.displacement
        return Request(
            lowered=lower(self.model),
            networks=NetworkRange(start, stop, self.batch),
            seed=self.seed,
            method=self.method,
            recording=Recording(self.recorded, self.correlations, self.gradients, displacement, joint=self.joint),
            device=device,
            threads=min(threads, stop - start),
        )

    @cached_property
    def updates(self) -> int:
        """Work for one network: neuron updates, or with dense weights the number of weights that are drawn.

        A block of two matrices counts twice, with the mean of its widths for the width; a gradient as `BACKWARD_WORK`
        passes more, and m inputs as m^2.
        """
        model, dense = self.model, self.method == "dense"
        n, inner = model.width, model.inner
        layers = model.depth * (n * inner if dense else (n + inner) // 2)
        if model.widths is not None:
            into, out_of = model.layer_widths[:-1], model.layer_widths[1:]
            layers = int((into * out_of if dense else out_of).sum())
        passes = model.residual_block.matrices * (1 + BACKWARD_WORK * self.gradients)
        columns = 1 if self.joint is None else self.joint.count + self.joint.tangents
        return layers * passes * columns**2 + n


def description_key(described: Mapping[str, Any], numerics_version: str, batch: int) -> str:
    """Make the key from a description such as a file's manifest (`resmc.results.storage`), which may hold more."""
    return _key_of_canonical({**described, "model": canonical(model_of(described))}, numerics_version, batch)


def _key_of_canonical(described: Mapping[str, Any], numerics_version: str, batch: int) -> str:
    """Make the key from a description whose model is in the spelling that all share."""
    names = ("model", "seed", "method", "layers", "correlations", "bins", "histogram_version")
    description = [KEY_VERSION, *(described[name] for name in names), numerics_version, batch]
    followed = [name for name in FOLLOWED if name in described.get("quotients", ())]
    description += [followed] if followed else []  # stores of version 0.1 followed h alone
    description += [described["joint"]] if described.get("joint") else []
    return key_of(*description)


def spaced_layers(depth: int, most: int) -> NDArray[np.int64]:
    """Return 0, s, 2s, .., depth with the smallest s that leaves at most ``most`` layers."""
    spacing = -(-depth // (most - 1))
    layers = np.arange(0, depth + 1, spacing)
    return layers if layers[-1] == depth else np.append(layers, depth)


def point_seed(seed: int, model: Model, number: int = 0) -> int:
    """Make a seed of 64 bits for one model of a sweep and its ``number``-th point.

    Points with different seeds share no random number, and so are independent.
    """
    described = ["resmc-sweep", seed, canonical(model), *([number] if number else [])]
    text = json.dumps(described, separators=(",", ":"), allow_nan=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
