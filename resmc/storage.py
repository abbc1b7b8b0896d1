"""One file per simulation: a zip archive of .npy arrays and a JSON manifest, checksummed as a whole.

`numpy.load` can read it too. The archive's comment holds the SHA-256 of the file (taken with the digest itself as
zeros), so any changed or missing byte is noticed. The bytes are a function of the content alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from .model import ResNet
from .recording import Bins
from .simulation import NetworkRange, Samples, Simulation, Trajectories, host
from .statistics import Statistics

FORMAT = "resmc-simulation"
SCHEMA_VERSION = 1
_COMMENT = b"sha256:"
_BLANK = b"0" * 64
_ARRAYS: dict[str, type[Any]] = {"statistics": Statistics, "samples": Samples, "trajectories": Trajectories}


def to_bytes(simulation: Simulation) -> bytes:
    """The file's content."""
    manifest = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "model": simulation.model.to_dict(),
        "method": simulation.method,
        "seed": simulation.seed,
        "ranges": [list(r) for r in simulation.ranges],
        "bins": [simulation.bins.low, simulation.bins.width, simulation.bins.count],
        "histogram_version": simulation.histogram_version,
        "numerics": list(simulation.numerics),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        archive.comment = _COMMENT + _BLANK

        def put(name: str, data: bytes) -> None:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)

        put("manifest.json", json.dumps(manifest, indent=1).encode())
        put("layers.npy", _array_bytes(simulation.layers))
        for part, kind in _ARRAYS.items():
            for f in fields(kind):
                put(f"{part}.{f.name}.npy", _array_bytes(host(getattr(getattr(simulation, part), f.name))))
    data = buffer.getvalue()
    return data[: -len(_BLANK)] + hashlib.sha256(data).hexdigest().encode()


def save(simulation: Simulation, path: str | Path) -> None:
    """Write ``simulation`` to ``path`` at once: to a temporary name beside it, flushed, synced and renamed.

    Raises
    ------
    OSError
        If the file cannot be written (no permission, disk full); an older file of that name stays as it was.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: its folder does not exist")
    data = to_bytes(simulation)
    handle, temporary = tempfile.mkstemp(prefix=".resmc-", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's files are private; a saved simulation is an ordinary file
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def load(path: str | Path) -> Simulation:
    """Read a simulation written by `Simulation.save`.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, not a simulation, or of a newer format; the message says which.
    """
    return from_bytes(Path(path).read_bytes(), str(path))


def from_bytes(data: bytes, name: str = "data") -> Simulation:
    """The inverse of `to_bytes`; ``name`` is for messages."""
    start = len(data) - len(_COMMENT) - len(_BLANK)
    if start < 0 or data[start : start + len(_COMMENT)] != _COMMENT:
        raise ValueError(f"{name} is not a resmc simulation, or its end is missing: no checksum was found")
    if hashlib.sha256(data[: -len(_BLANK)] + _BLANK).hexdigest().encode() != data[-len(_BLANK) :]:
        raise ValueError(f"{name} is damaged: its checksum does not match its content")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read(archive)
    except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{name} is not a simulation that this resmc can read: {error}") from None


def _read(archive: zipfile.ZipFile) -> Simulation:
    manifest = json.loads(archive.read("manifest.json"))
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"its manifest does not say {FORMAT!r}")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"it has schema version {manifest.get('schema_version')}, not {SCHEMA_VERSION}")

    def get(entry: str) -> Any:
        return npy.read_array(io.BytesIO(archive.read(f"{entry}.npy")), allow_pickle=False)

    parts = {part: kind(**{f.name: get(f"{part}.{f.name}") for f in fields(kind)}) for part, kind in _ARRAYS.items()}
    simulation = Simulation(
        model=ResNet(**manifest["model"]),
        method=manifest["method"],
        seed=manifest["seed"],
        ranges=tuple(NetworkRange(*r) for r in manifest["ranges"]),
        layers=get("layers"),
        bins=Bins(*manifest["bins"]),
        numerics=tuple(manifest["numerics"]),
        histogram_version=manifest["histogram_version"],
        **parts,
    )
    shape = len(simulation.layers), simulation.bins.count, simulation.model.alpha == 0.0, simulation.correlations
    expected = Statistics.zeros(*shape)
    for f in fields(Statistics):
        if getattr(simulation.statistics, f.name).shape != getattr(expected, f.name).shape:
            raise ValueError(f"statistics.{f.name} has the wrong shape")
    return simulation


def _array_bytes(array: Any) -> bytes:
    buffer = io.BytesIO()
    npy.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
