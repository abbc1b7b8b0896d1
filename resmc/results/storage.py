"""One file per simulation: an archive (`resmc.results.archive`) of few arrays, quick to write, check and read.

manifest.json            model, method, seed, ranges, bins, numerics, and which of the arrays there are
layers                   (R,)
statistics.networks      (32,)
statistics.norms         (G, R) records: `resmc.engine.sums.NORM_SUMS`; G of the 32 groups hold networks. Fields that
                         count networks whose start is 0 are left out where there are none
statistics.activity      (G, R) records: `resmc.engine.sums.ACTIVITY_SUMS`, for networks that have an A
statistics.histogram     (G, 2 + k): underflow, the k bins from `histogram_offset` that hold all else, overflow
statistics.products, .partial_sums, .partial_squares     (G, pairs), unless empty
quotients.*              (G, R) records of NORM_SUMS, of what was followed besides h (`Simulation.log_ratio`),
                         and of the mean square of h where there is one
laws.*.bins, .counts     (K,) of each quotient's final value; the manifest has zeros, offset, exploded
samples.*, trajectories.*                                unless nothing was kept

A range of a few batches, as a sweep cuts them, has networks in a few groups; the others take no room.

This is schema version 3. Files of version 2 are read too: their ``statistics.sums`` and ``ratios.*`` are of LAYER_SUMS.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system.plain import Plain
from .._system.writers import temporary_name
from ..engine.lowering import BACKWARD, lower
from ..engine.recording import GROUPS, Bins
from ..engine.request import NetworkRange
from ..engine.sums import ACTIVITY_SUMS, NORM_SUMS, ActivitySums, LayerSums, NormSums, Sums
from ..models.residual_network import Model
from ..models.spelling import of_dict
from . import archive
from .archive import Archive
from .entries import FinalSums
from .kept import Samples, Trajectories, host
from .laws import Law
from .merge import Kind
from .record import Record

FORMAT = "resmc-simulation"
SCHEMA_VERSION = 3
SCHEMA_VERSION_01 = 2  # the last one of version 0.1
# Records of a group at a layer in version 0.1: zeros where a network has no A, and in quotients for all but norms.
LAYER_SUMS = np.dtype(
    [
        ("alive", np.int64),
        ("inactive", np.int64),
        ("active", np.int64),
        ("growth_exponent", np.int64),
        ("log_norm", np.float64, 4),
        ("growth_log", np.float64, 2),
        ("growth", np.float64, 2),
        ("asymmetry", np.float64),
        ("asymmetry_square", np.float64),
        ("active_square", np.float64),
    ]
)
_NORM_SUMS_OF_ALL = np.dtype([(name, NORM_SUMS[name]) for name in NORM_SUMS.names or () if "startless" not in name])
_PRODUCTS = ("products", "partial_sums", "partial_squares")


def to_bytes(simulation: Record) -> bytes:
    """The file's content."""
    statistics = simulation.statistics
    filled = statistics.networks > 0
    offset, histogram = _trimmed(statistics.histogram[filled])
    kept: dict[str, Samples | Trajectories] = {"samples": simulation.samples, "trajectories": simulation.trajectories}
    manifest = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        **{name: value for name, value in described(simulation).items() if name != "layers"},  # layers are an array
        "histogram_offset": offset,
        **{name: len(part.networks) for name, part in kept.items()},
    }
    if simulation.laws:  # a network of which only h was followed needs none of this
        manifest |= {f"{name}.quotients": sorted(part.ratios) for name, part in kept.items()}
        manifest["quotients"] = list(simulation.ratios)
        manifest["laws"] = {  # a third number only where it says something: files without it stay as they were
            name: [law.zeros, law.offset, *([law.exploded] if law.exploded else [])]
            for name, law in simulation.laws.items()
        }
    arrays: dict[str, NDArray[Any]] = {
        "layers": simulation.layers,
        "statistics.networks": statistics.networks,
        "statistics.norms": _stored(statistics.norms)[filled],
    }
    if statistics.activity is not None:
        arrays["statistics.activity"] = statistics.activity.records[filled]
    arrays["statistics.histogram"] = histogram
    arrays |= {f"statistics.{name}": a[filled] for name in _PRODUCTS if (a := getattr(statistics, name)).size}
    for name, part in kept.items():
        if len(part.networks):
            arrays |= {f"{name}.{f.name}": host(getattr(part, f.name)) for f in fields(part) if f.name != "ratios"}
            arrays |= {f"{name}.quotients.{quotient}": values for quotient, values in sorted(part.ratios.items())}
    arrays |= {f"quotients.{name}": _stored(sums)[filled] for name, sums in simulation.ratios.items()}
    for name, law in simulation.laws.items():
        arrays |= {f"laws.{name}.bins": law.bins, f"laws.{name}.counts": law.counts}
    return archive.to_bytes(manifest, arrays)


def _stored(sums: NormSums) -> NDArray[Any]:
    """The records as a file has them."""
    return sums.records if sums.startless.any() else _of_fields(sums.records, _NORM_SUMS_OF_ALL)


def _of_fields(records: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Records of other fields; those that ``records`` lack are 0."""
    out = np.zeros(records.shape, dtype)
    for name in dtype.names or ():
        if name in (records.dtype.names or ()):
            out[name] = records[name]
    return out


def described(simulation: Record) -> Plain:
    """All but the numbers: of which networks it is, and how they were recorded and computed."""
    return {
        "model": simulation.model.to_dict(),
        "method": simulation.method,
        "seed": simulation.seed,
        "ranges": [list(r) for r in simulation.ranges],
        "layers": simulation.layers.tolist(),
        "bins": [simulation.bins.low, simulation.bins.width, simulation.bins.count],
        "histogram_version": simulation.histogram_version,
        "numerics": list(simulation.numerics),
        "correlations": simulation.correlations,
    }


def save(simulation: Record, path: str | Path) -> None:
    """Write ``simulation`` to ``path`` at once; errors as for `write_atomically`."""
    path = Path(path)
    check_place(path)
    write_atomically(to_bytes(simulation), path)


def check_place(path: Path) -> None:
    """Raises OSError if ``path`` is a folder or its own folder does not exist."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: its folder does not exist")


def write_atomically(data: bytes, path: Path) -> None:
    """Write a file that is either whole or not there: to a temporary name beside it, flushed, synced and renamed.

    Raises
    ------
    OSError
        If the file cannot be written (no permission, disk full); an older file of that name stays as it was.
    """
    check_place(path)
    temporary = path.parent / temporary_name()
    # The kernel takes the umask off; to read it here would be to set it for a moment, for other threads too.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def flush_folder(path: Path) -> None:
    """Makes a folder's new names survive a loss of power, where its file system can."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems keep names at once
            raise
    finally:
        os.close(folder)


def load(path: str | Path, kind: type[Kind]) -> Kind:
    """Read a record, of the class ``kind``, from the file that `save` wrote.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, not a simulation, or of another format; the message says which.
    """
    return from_bytes(Path(path).read_bytes(), kind, str(path))


def from_bytes(data: bytes, kind: type[Kind], name: str = "data") -> Kind:
    """The inverse of `to_bytes`; ``name`` is for messages."""
    with _opened(data, name) as found:
        return _record(found, kind)


def final_from_bytes(data: bytes, name: str = "data") -> tuple[Plain, FinalSums]:
    """The manifest with the recorded layers, and the sums of the end, from a file whose checksum is right."""
    with _opened(data, name) as found:
        layers = _array(found, "layers", np.int64, None).tolist()
        sums = _layer_sums(found, model_of(found.manifest), slice(-1, None))
        ends = {
            quotient: slice(0, 1) if quotient in BACKWARD else slice(-1, None)
            for quotient in found.manifest.get(_quotients(found), ())
        }
        quotients = {q: _quotient_sums(found, q, sums.networks, layers) for q, layers in ends.items()}
        return {**found.manifest, "layers": layers}, FinalSums(sums, quotients, _laws(found))


@contextlib.contextmanager
def _opened(data: bytes, name: str) -> Iterator[Archive]:
    found = Archive(data, name)
    try:
        manifest = found.manifest
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ValueError(f"its manifest does not say {FORMAT!r}")
        if manifest.get("schema_version") not in (SCHEMA_VERSION_01, SCHEMA_VERSION):
            allowed = f"{SCHEMA_VERSION_01} or {SCHEMA_VERSION}"
            raise ValueError(f"it has schema version {manifest.get('schema_version')}, not {allowed}")
        yield found
    except KeyError as error:
        raise archive.refusal(name, ValueError(f"its manifest has no {error}")) from None
    except (TypeError, ValueError, OverflowError) as error:
        raise archive.refusal(name, error) from None


def _array(found: Archive, name: str, dtype: Any, *shape: int | None) -> NDArray[Any]:
    """A view of an array, whose type and shape must be these; None is any length above 0."""
    array = found.array(name)
    fits = array.ndim == len(shape) and all(
        a == b if b is not None else a > 0 for a, b in zip(array.shape, shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        raise ValueError(f"{name} has the wrong shape or type")
    return array


def _is_old(found: Archive) -> bool:
    """True if a file is of version 0.1's schema."""
    return bool(found.manifest["schema_version"] == SCHEMA_VERSION_01)


def _layer_sums(found: Archive, model: Model, layers: slice) -> LayerSums:
    networks = _array(found, "statistics.networks", np.int64, GROUPS).copy()
    names = ("statistics.sums",) * 2 if _is_old(found) else ("statistics.norms", "statistics.activity")
    norms = NormSums(networks, _records(found, names[0], NORM_SUMS, networks, layers))
    if not model.has_asymmetry:
        return LayerSums(norms, None)
    records = _records(found, names[1], ACTIVITY_SUMS, networks, layers)
    if records.shape != norms.records.shape:
        raise ValueError(f"{names[1]} has the wrong shape or type")
    return LayerSums(norms, ActivitySums.beside(norms, records))


def _records(
    found: Archive, name: str, dtype: np.dtype[Any], networks: NDArray[np.int64], layers: slice
) -> NDArray[Any]:
    """Records of all 32 groups at some layers; in version 2 they are a part of larger ones."""
    stored = LAYER_SUMS if _is_old(found) else dtype
    if stored is NORM_SUMS and found.array(name).dtype != NORM_SUMS:
        stored = _NORM_SUMS_OF_ALL
    there = _array(found, name, stored, int(np.count_nonzero(networks)), None)[:, layers]
    return _in_groups(there if stored is dtype else _of_fields(there, dtype), networks)


def _in_groups(rows: NDArray[Any], networks: NDArray[np.int64]) -> NDArray[Any]:
    """The rows of the groups that hold networks among those of all 32, which are 0; never a view of ``rows``."""
    out = np.zeros((GROUPS, *rows.shape[1:]), rows.dtype)
    out[networks > 0] = rows
    return out


def _record(found: Archive, kind: type[Kind]) -> Kind:
    manifest = found.manifest
    model, bins = model_of(manifest), Bins(*manifest["bins"])
    layers = _array(found, "layers", np.int64, None).copy()
    size = len(layers)
    sums = _layer_sums(found, model, slice(None))
    if sums.norms.records.shape[1] != size:
        raise ValueError("the sums have the wrong shape or type")
    if not isinstance(manifest["correlations"], bool):
        raise ValueError("its manifest does not say whether there are correlations")
    pairs = size * (size + 1) // 2 if manifest["correlations"] else 0
    groups = int(np.count_nonzero(sums.networks))
    products: dict[str, NDArray[Any]] = {}
    for name in _PRODUCTS:
        there = pairs if name == "products" or lower(model).can_die else 0
        products[name] = (
            _in_groups(_array(found, f"statistics.{name}", np.float64, groups, there), sums.networks)
            if there
            else np.zeros((GROUPS, 0))
        )

    statistics = Sums(sums.norms, sums.activity, **products, histogram=_histogram(found, bins, sums.networks))
    quotients = _quotients(found)

    def kept(name: str, count: int, dtype: Any, *shape: int) -> NDArray[Any]:
        return _array(found, name, dtype, count, *shape).copy() if count else np.empty((0, *shape), dtype)

    s, t = manifest["samples"], manifest["trajectories"]

    def kept_quotients(name: str, count: int, *shape: int) -> dict[str, NDArray[Any]]:
        part = f"{name}.{quotients}"
        return {q: kept(f"{part}.{q}", count, np.float64, *shape) for q in manifest.get(part, ())}

    def norms_of(name: str) -> NormSums:
        found_sums = _quotient_sums(found, name, sums.networks, slice(None))
        if found_sums.records.shape[1] != size:
            raise ValueError(f"{quotients}.{name} has the wrong shape or type")
        return found_sums

    return kind(
        model=model,
        method=manifest["method"],
        seed=manifest["seed"],
        ranges=tuple(NetworkRange(*r) for r in manifest["ranges"]),
        layers=layers,
        bins=bins,
        statistics=statistics,
        samples=Samples(
            kept("samples.networks", s, np.uint64),
            kept("samples.log_norm", s, np.float64),
            kept("samples.output", s, np.float64, model.n_out),
            kept_quotients("samples", s),
        ),
        trajectories=Trajectories(
            kept("trajectories.networks", t, np.uint64),
            kept("trajectories.log_norm", t, np.float64, size),
            kept("trajectories.asymmetry", t, np.float32, size),
            kept_quotients("trajectories", t, size),
        ),
        numerics=tuple(manifest["numerics"]),
        histogram_version=manifest["histogram_version"],
        ratios={name: norms_of(name) for name in manifest.get(quotients, ())},
        laws=_laws(found),
    )


def _quotients(found: Archive) -> str:
    """Return the name under which a file has its quotients."""
    return "ratios" if _is_old(found) else "quotients"


def _quotient_sums(found: Archive, name: str, networks: NDArray[np.int64], layers: slice) -> NormSums:
    return NormSums(networks, _records(found, f"{_quotients(found)}.{name}", NORM_SUMS, networks, layers))


def _laws(found: Archive) -> dict[str, Law]:
    return {name: _law(found, name, *law) for name, law in found.manifest.get("laws", {}).items()}


def _law(found: Archive, name: str, zeros: int, offset: float, exploded: int = 0) -> Law:
    counts = [found.array(f"laws.{name}.{part}") for part in ("bins", "counts")]
    if any(array.dtype != np.int64 or array.ndim != 1 for array in counts) or len(counts[0]) != len(counts[1]):
        raise ValueError(f"laws.{name} has the wrong shape or type")
    return Law(counts[0].copy(), counts[1].copy(), int(zeros), int(exploded), float(offset))


def model_of(manifest: Mapping[str, Any]) -> Model:
    """Return the model that a manifest describes, in the names of its version or, where it says none, of this one."""
    version = manifest.get("schema_version", SCHEMA_VERSION)
    return of_dict(manifest["model"], version_01=version <= SCHEMA_VERSION_01)


def _trimmed(histogram: NDArray[np.int64]) -> tuple[int, NDArray[Any]]:
    """The first occupied bin, and the counts from there to the last one between underflow and overflow, as small."""
    occupied = np.flatnonzero(histogram[:, 1:-1].any(axis=0))
    first, last = (int(occupied[0]), int(occupied[-1]) + 1) if occupied.size else (0, 0)
    counts = np.concatenate([histogram[:, :1], histogram[:, 1 + first : 1 + last], histogram[:, -1:]], axis=1)
    return first, counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


def _histogram(found: Archive, bins: Bins, networks: NDArray[np.int64]) -> NDArray[np.int64]:
    """The inverse of `_trimmed`."""
    counts, first = found.array("statistics.histogram"), found.manifest["histogram_offset"]
    occupied = counts.shape[-1] - 2
    groups = np.count_nonzero(networks)
    fits = counts.ndim == 2 and len(counts) == groups and occupied >= 0 and 0 <= first <= bins.count - occupied
    if counts.dtype.kind != "u" or not fits:
        raise ValueError("statistics.histogram has the wrong shape or type")
    out = np.zeros((groups, bins.count + 2), np.int64)
    out[:, 1 + first : 1 + first + occupied] = counts[:, 1:-1]
    out[:, 0], out[:, -1] = counts[:, 0], counts[:, -1]
    return out if groups == GROUPS else _in_groups(out, networks)
