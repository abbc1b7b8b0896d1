"""Sums over several inputs and tangents in a file, beside those of `resmc.results.storage`, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.joint_sums import COUNTS, JointSums, shapes
from .archive import Archive
from .manifest import Manifest


def arrays(sums: JointSums) -> dict[str, NDArray[Any]]:
    """Return the arrays of the groups that hold networks, by the names that a file has for them; no empty ones."""
    filled = sums.networks > 0
    return {
        f"joint.{name}": array[filled]
        for name, array in sums.arrays().items()
        if array.size and name != "networks" and (name != "together" or sums.recording.version > 1)
    }


def read(found: Archive, checked: Manifest, n_layers: int) -> JointSums | None:
    """Return the sums that a file has, or None.

    Raises
    ------
    ValueError
        For arrays of the wrong shape or type, and sums that no networks could have.
    """
    if checked.joint is None:
        return None
    networks = checked.networks
    filled = networks > 0
    out: dict[str, NDArray[Any]] = {"networks": networks.copy()}
    for name, shape in shapes(checked.joint, n_layers).items():
        if name == "networks" or (name == "together" and checked.joint.version == 1):
            continue
        dtype = np.dtype(np.int64 if name in COUNTS else np.float64)
        whole = np.zeros(shape, dtype)
        if whole.size:
            rows = found.array(f"joint.{name}", dtype)
            if rows.shape != (int(np.count_nonzero(filled)), *shape[1:]):
                raise ValueError(f"joint.{name} has the wrong shape")
            whole[filled] = rows
        out[name] = whole
    out.setdefault("together", np.zeros_like(out["alive"]))  # version 1 has not counted them
    sums = JointSums(checked.joint, **out)
    _check(sums)
    return sums


def _check(sums: JointSums) -> None:
    """Refuse sums that contradict each other."""
    networks = sums.networks[:, None, None]
    for name, most in (
        ("alive", networks),
        ("separated", sums.alive),
        ("together", sums.alive - sums.separated),
        ("stretched", networks),
    ):
        counts = getattr(sums, name)
        if (counts < 0).any() or (counts > most).any():
            raise ValueError(f"joint.{name} counts fewer networks than none, or more than there are")
    if (np.abs(sums.cosine) > sums.alive[..., None] * (1.0 + 1e-9)).any():
        raise ValueError("joint.cosine has a sum that no cosines have")
    if sums.recording.kernel and (sums.log_kernel[:, :, 0] > sums.networks[:, None]).any():
        raise ValueError("joint.log_kernel counts more networks than there are")
    for name in ("cosine", "log_sine", "log_norm", "stretch", "log_kernel"):
        if not np.isfinite(getattr(sums, name)).all():
            raise ValueError(f"joint.{name} has a sum that is infinite, or no number")
    if (sums.square < 0.0).any():
        raise ValueError("joint.square has a sum of squares below 0")
