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
joint.*                  (G, ..) arrays of `resmc.engine.joint_sums.JointSums`, of several inputs, a tangent kernel or
                         tangents; the manifest's ``joint`` says which

A range of a few batches, as a sweep cuts them, has networks in a few groups; the others take no room.

This is schema version 3. Files of version 2 are read too: their ``statistics.sums`` and ``ratios.*`` are of LAYER_SUMS.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.plain import Plain
from .._system.reading import in_words, read_file, reason
from .._system.writers import temporary_name
from ..engine import native
from ..engine.lowering import BACKWARD
from ..engine.recording import GROUPS
from ..engine.sums import ACTIVITY_SUMS, NORM_SUMS, ActivitySums, LayerSums, NormSums, Sums
from ..models.residual_network import Model
from ..models.spelling import of_dict
from . import archive, joint_files, manifest, sound
from .archive import Archive
from .entries import FinalSums
from .kept import Samples, Trajectories, host
from .laws import Law
from .manifest import FORMAT, SCHEMA_VERSION, SCHEMA_VERSION_01, Manifest
from .merge import Kind
from .record import Record

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
_COUNTS = tuple(np.dtype(f"u{size}") for size in (1, 2, 4, 8))  # types of a histogram's counts


def to_bytes(simulation: Record, trimmed: Trimmed | None = None) -> bytes:
    """The file's content; ``trimmed`` is the histogram, where the simulation does not hold it any more."""
    statistics = simulation.statistics
    filled = statistics.networks > 0
    norms = statistics.norms
    offset, histogram = Trimmed.of(statistics) if trimmed is None else trimmed
    kept: dict[str, Samples | Trajectories] = {"samples": simulation.samples, "trajectories": simulation.trajectories}
    said = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        **{name: value for name, value in described(simulation).items() if name != "layers"},  # layers are an array
        "histogram_offset": offset,
        **{name: len(part.networks) for name, part in kept.items()},
    }
    if simulation.laws:  # a network of which only h was followed needs none of this
        said |= {f"{name}.quotients": sorted(part.ratios) for name, part in kept.items()}
        said["quotients"] = list(simulation.ratios)
        said["laws"] = {  # a third number only where it says something: files without it stay as they were
            name: [law.zeros, law.offset, *([law.exploded] if law.exploded else [])]
            for name, law in simulation.laws.items()
        }
    arrays: dict[str, NDArray[Any]] = {
        "layers": simulation.layers,
        "statistics.networks": statistics.networks,
        "statistics.norms": _stored(norms, filled),
    }
    if statistics.activity is not None:
        arrays["statistics.activity"] = statistics.activity.records[filled]
    arrays["statistics.histogram"] = histogram
    arrays |= {f"statistics.{name}": a[filled] for name in _PRODUCTS if (a := getattr(statistics, name)).size}
    for name, part in kept.items():
        if len(part.networks):
            arrays |= {f"{name}.{f.name}": host(getattr(part, f.name)) for f in fields(part) if f.name != "ratios"}
            arrays |= {f"{name}.quotients.{quotient}": values for quotient, values in sorted(part.ratios.items())}
    arrays |= {f"quotients.{name}": _stored(sums, filled) for name, sums in simulation.ratios.items()}
    for name, law in simulation.laws.items():
        arrays |= {f"laws.{name}.bins": law.bins, f"laws.{name}.counts": law.counts}
    if simulation.joint is not None:
        arrays |= joint_files.arrays(simulation.joint)
    if simulation.joint_samples is not None:
        said["joint_samples"] = len(simulation.joint_samples.networks)
        arrays |= joint_files.sample_arrays(simulation.joint_samples)
    return archive.to_bytes(said, arrays)


def _stored(sums: NormSums, filled: NDArray[np.bool_]) -> NDArray[Any]:
    """The records as a file has them, of groups that are ``filled``."""
    records = sums.records[filled]
    if records["startless"].any():
        return records
    words = records.view(np.int64).reshape(*records.shape, -1)  # without those of `startless` and `startless_alive`
    return np.concatenate([words[..., :1], words[..., 3:]], axis=-1).view(_NORM_SUMS_OF_ALL)[..., 0]


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
        **({} if simulation.joint is None else {"joint": simulation.joint.recording.to_dict()}),
    }


def save(simulation: Record, path: str | Path) -> None:
    """Write ``simulation`` to ``path`` at once; errors as for `write_atomically`."""
    path = checks.absolute("path", path)  # resolved now: another thread may change the folder of the program
    check_place(path)
    write_atomically(to_bytes(simulation), path)


def check_place(path: Path) -> None:
    """Raises OSError if ``path`` is a folder, or a device or pipe, which no file may replace, or in no folder."""
    try:
        there = path.stat().st_mode
    except OSError:
        there = None  # no such file yet; what else is wrong is said when it is written
    if there is not None and stat.S_ISDIR(there):
        raise in_words(IsADirectoryError(errno.EISDIR, ""), f"{path} is a folder: give the name of a file")
    if there is not None and not stat.S_ISREG(there):
        raise in_words(OSError(errno.EINVAL, ""), f"{path} is a device or a pipe: give the name of a file")
    if not path.parent.is_dir():
        raise in_words(FileNotFoundError(errno.ENOENT, ""), f"{path} cannot be written: its folder does not exist")


def write_atomically(data: bytes, path: str | Path) -> None:
    """Write a file that is either whole or not there: to a temporary name beside it, flushed, synced and renamed.

    Raises
    ------
    OSError
        If the file cannot be written (no permission, disk full); an older file of that name stays as it was.
    """
    path = os.path.abspath(path)  # resolved now: another thread may change the folder of the program
    if os.path.lexists(path):
        path = os.path.realpath(path)  # a link stays one: the file that it leads to is written
        check_place(Path(path))
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, temporary_name())
    try:
        # The kernel takes the umask off; to read it here would be to set it for a moment, for other threads too.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        flush_folder(folder)
        return
    except OSError as error:  # the system's own words would name the temporary file, or none
        failure = error
    check_place(Path(path))
    raise in_words(failure, f"{path} cannot be written: {reason(failure)}")


def flush_folder(path: str | Path) -> None:
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
    path = checks.path("path", path)
    try:
        data = read_file(path, lambda end: archive.check_end(end, str(path)))
    except IsADirectoryError:
        if (path / "shards").is_dir():
            raise IsADirectoryError(
                f"{path} is a directory, the store of a sweep: resmc.load_sweep reads it (resmc.load_heat_map that of "
                "a heat map)"
            ) from None
        raise
    return from_bytes(data, kind, str(path))


def from_bytes(data: bytes, kind: type[Kind], name: str = "data") -> Kind:
    """The inverse of `to_bytes`; ``name`` is for messages."""
    with _opened(data, name) as (found, checked):
        return _record(found, checked, kind)


def final_from_bytes(data: bytes, name: str = "data") -> tuple[Plain, FinalSums]:
    """The manifest with the recorded layers, and the sums of the end, from a file whose checksum is right."""
    with _opened(data, name) as (found, checked):
        layers = _layers(found, checked)
        sums = _layer_sums(found, checked, len(layers), slice(-1, None))
        quotients = {
            name: _quotient_sums(
                found, checked, name, len(layers), slice(0, 1) if name in BACKWARD else slice(-1, None)
            )
            for name in checked.followed
        }
        return {**found.manifest, "layers": layers.tolist()}, FinalSums(sums, quotients, _laws(found, checked))


@contextlib.contextmanager
def _opened(data: bytes, name: str) -> Iterator[tuple[Archive, Manifest]]:
    found = Archive(data, name)
    try:
        yield found, manifest.checked(found.manifest)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise archive.refusal(name, error) from None
    except MemoryError:
        raise archive.refusal(name, ValueError("it takes more memory than there is")) from None


def _array(found: Archive, name: str, dtype: np.dtype[Any] | type, *shape: int | None) -> NDArray[Any]:
    """A view of an array, whose type and shape must be these; None is any length above 0."""
    array = found.array(name, np.dtype(dtype))
    fits = array.ndim == len(shape) and all(
        a == b if b is not None else a > 0 for a, b in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} has the wrong shape or type")
    return array


def _layers(found: Archive, checked: Manifest) -> NDArray[np.int64]:
    layers = _array(found, "layers", np.int64, None).copy()
    sound.check_layers(layers, checked.lowered.model.depth)
    return layers


def _layer_sums(found: Archive, checked: Manifest, size: int, layers: slice) -> LayerSums:
    """Sums at some of ``size`` layers."""
    networks = _array(found, "statistics.networks", np.int64, GROUPS).copy()
    sound.check_networks(networks, checked)
    names = ("statistics.sums",) * 2 if checked.old else ("statistics.norms", "statistics.activity")
    rows = _rows(found, checked, names[0], NORM_SUMS, size)[:, layers]
    sound.check_norms(names[0], rows, networks[networks > 0])
    norms = NormSums(networks, _in_groups(rows, networks))
    model = checked.lowered.model
    if not model.has_asymmetry:
        return LayerSums(norms, None)
    activity = _rows(found, checked, names[1], ACTIVITY_SUMS, size)[:, layers]
    widths = model.width if model.widths is None else model.layer_widths[_layers(found, checked)[layers]]
    sound.check_activity(names[1], activity, rows["alive"], widths)
    return LayerSums(norms, ActivitySums.beside(norms, _in_groups(activity, networks)))


def _quotient_sums(found: Archive, checked: Manifest, name: str, size: int, layers: slice) -> NormSums:
    """Sums of a quotient at some of ``size`` layers."""
    networks = checked.networks
    name = f"{checked.quotients}.{name}"
    rows = _rows(found, checked, name, NORM_SUMS, size)[:, layers]
    sound.check_norms(name, rows, networks[networks > 0], quotient=True)
    return NormSums(networks, _in_groups(rows, networks))


def _rows(found: Archive, checked: Manifest, name: str, dtype: np.dtype[Any], size: int) -> NDArray[Any]:
    """Records of the groups that hold networks, at all layers; in version 2 they are a part of larger ones."""
    stored = LAYER_SUMS if checked.old else dtype
    if stored is NORM_SUMS:
        stored = found.array(name, NORM_SUMS, _NORM_SUMS_OF_ALL).dtype
    there = _array(found, name, stored, int(np.count_nonzero(checked.networks)), size)
    return there if stored == dtype else _of_fields(there, dtype)


def _in_groups(rows: NDArray[Any], networks: NDArray[np.int64]) -> NDArray[Any]:
    """The rows of the groups that hold networks among those of all 32, which are 0; never a view of ``rows``."""
    out = np.zeros((GROUPS, *rows.shape[1:]), rows.dtype)
    out[networks > 0] = rows
    return out


def _record(found: Archive, checked: Manifest, kind: type[Kind]) -> Kind:
    layers = _layers(found, checked)
    size = len(layers)
    sums = _layer_sums(found, checked, size, slice(None))
    lowered = checked.lowered
    pairs = size * (size + 1) // 2 if checked.correlations else 0
    groups = int(np.count_nonzero(sums.networks))
    products: dict[str, NDArray[Any]] = {}
    for name in _PRODUCTS:
        there = pairs if name == "products" or lowered.can_die else 0
        rows = _array(found, f"statistics.{name}", np.float64, groups, there) if there else np.zeros((groups, 0))
        sound.check_products(f"statistics.{name}", rows, squares=name == "partial_squares")
        products[name] = _in_groups(rows, sums.networks)
    statistics = Sums(sums.norms, sums.activity, **products, histogram=_histogram(found, checked, sums))

    def kept(name: str, count: int, dtype: Any, *shape: int) -> NDArray[Any]:
        return _array(found, name, dtype, count, *shape).copy() if count else np.empty((0, *shape), dtype)

    def kept_quotients(name: str, count: int, *shape: int) -> dict[str, NDArray[Any]]:
        part = f"{name}.{checked.quotients}"
        return {q: kept(f"{part}.{q}", count, np.float64, *shape) for q in checked.kept_quotients[name]}

    s, t = checked.samples, checked.trajectories
    samples = Samples(
        kept("samples.networks", s, np.uint64),
        kept("samples.log_norm", s, np.float64),
        kept("samples.output", s, np.float64, lowered.model.n_out),
        kept_quotients("samples", s),
    )
    trajectories = Trajectories(
        kept("trajectories.networks", t, np.uint64),
        kept("trajectories.log_norm", t, np.float64, size),
        kept("trajectories.asymmetry", t, np.float32, size),
        kept_quotients("trajectories", t, size),
    )
    sound.check_kept("samples", samples, checked)
    sound.check_kept("trajectories", trajectories, checked)
    joint = joint_files.read(found, checked, size)
    return kind(
        model=lowered.model,
        method=checked.method,
        seed=checked.seed,
        ranges=checked.ranges,
        layers=layers,
        bins=checked.bins,
        statistics=statistics,
        samples=samples,
        trajectories=trajectories,
        numerics=checked.numerics,
        histogram_version=checked.histogram_version,
        ratios={name: _quotient_sums(found, checked, name, size, slice(None)) for name in checked.followed},
        laws=_laws(found, checked),
        joint=joint,
        joint_samples=joint_files.read_samples(found, checked, joint),
    )


def _laws(found: Archive, checked: Manifest) -> dict[str, Law]:
    networks = int(checked.networks.sum())
    out = {}
    for name, (zeros, offset, exploded) in checked.laws.items():
        bins, counts = (found.array(f"laws.{name}.{part}", np.dtype(np.int64)) for part in ("bins", "counts"))
        if bins.ndim != 1 or bins.shape != counts.shape:
            raise ValueError(f"laws.{name} has the wrong shape or type")
        sound.check_law(name, bins, counts, zeros + exploded, networks)
        out[name] = Law(bins.copy(), counts.copy(), zeros, exploded, offset)
    return out


def model_of(manifest: Mapping[str, Any]) -> Model:
    """Return the model that a manifest describes, in the names of its version or, where it says none, of this one."""
    version = manifest.get("schema_version", SCHEMA_VERSION)
    return of_dict(manifest["model"], version_01=version <= SCHEMA_VERSION_01)


class Trimmed(NamedTuple):
    """A histogram as a file has it: the first occupied bin, and the counts from there to the last, as small ones.

    ``counts`` (G, 2 + k) are of the groups that hold networks, between those of underflow and overflow.
    """

    offset: int
    counts: NDArray[Any]

    @staticmethod
    def of(sums: Sums) -> Trimmed:
        """Trim the histogram of ``sums``.

        Megabytes of empty bins are not copied, nor looked through where all networks are in the middle of them.
        """
        histogram, filled = sums.histogram, sums.networks > 0
        bins = histogram.shape[1] - 2
        outside = histogram[:, :: bins + 1]
        networks = int(sums.norms.records["alive"][:, -1].sum())
        first, last, largest = native.occupied(histogram, networks - int(outside.sum()))
        largest = max(largest, int(outside.max()))
        counts = np.empty((len(histogram), last - first + 2), np.min_scalar_type(largest))
        counts[:, 0], counts[:, -1] = outside[:, 0], outside[:, 1]
        counts[:, 1:-1] = histogram[:, 1 + first : 1 + last]
        return Trimmed(first, counts if filled.all() else counts[filled])


def _histogram(found: Archive, checked: Manifest, sums: LayerSums) -> NDArray[np.int64]:
    """The inverse of `Trimmed.of`."""
    counts, first = found.array("statistics.histogram", *_COUNTS), checked.histogram_offset
    filled = sums.networks > 0
    occupied = counts.shape[-1] - 2 if counts.ndim == 2 else -1
    if occupied < 0 or len(counts) != np.count_nonzero(filled) or first > checked.bins.count - occupied:
        raise ValueError("statistics.histogram has the wrong shape or type")
    sound.check_histogram(counts, sums.norms.alive[filled, -1])
    out = np.zeros((GROUPS, checked.bins.count + 2), np.int64)
    out[filled, 1 + first : 1 + first + occupied] = counts[:, 1:-1]
    out[filled, 0], out[filled, -1] = counts[:, 0], counts[:, -1]
    return out
