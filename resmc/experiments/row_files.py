"""Files of maps over H and beta, and of sweeps of moments: each holds arrays of a range of networks of a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from numpy.typing import NDArray

from .._system.plain import Plain
from .._system.words import cut
from ..models.residual_network import ResidualNetwork
from ..models.spelling import of_dict
from ..results import archive

SCHEMA_VERSION = 1


class Described(Protocol):
    """A row that can be written as plain values."""

    def to_dict(self) -> Plain:
        """Return the row as plain values."""


Row = TypeVar("Row", bound=Described)
Content = TypeVar("Content")


@dataclass(frozen=True, eq=False)
class RowRange(Generic[Row, Content]):
    """A range of a row, as its file holds it.

    Attributes
    ----------
    row : object
    start, stop : int
        The networks are start .. stop - 1.
    numerics : str
        The numerics class.
    content : object
        What the file holds of these networks.
    """

    row: Row
    start: int
    stop: int
    numerics: str
    content: Content


@dataclass(frozen=True)
class RowFiles(Generic[Row, Content]):
    """A kind of files with ranges of rows.

    Attributes
    ----------
    format : str
        The word that names the kind in manifests.
    of : str
        What the files are parts of, in words.
    row : callable
        Reads a row; raises KeyError, TypeError or ValueError for what is none.
    content : callable
        Reads what a file holds of so many networks of a row; raises likewise.
    version : str or None
        The numerics version that stands before the class; None if the class says all.
    """

    format: str
    of: str
    row: Callable[[Mapping[str, Any]], Row]
    content: Callable[[archive.Archive, Row, int], Content]
    version: str | None = None

    def to_bytes(self, row: Row, start: int, stop: int, numerics: str, arrays: Mapping[str, NDArray[Any]]) -> bytes:
        """Return the content of a range's file, computed by a numerics class."""
        manifest: Plain = {
            "format": self.format,
            "schema_version": SCHEMA_VERSION,
            "row": row.to_dict(),
            "range": [start, stop],
            "numerics": numerics if self.version is None else [self.version, numerics],
        }
        return archive.to_bytes(manifest, arrays)

    def from_bytes(self, data: bytes, name: str) -> RowRange[Row, Content]:
        """Read the content of a range's file.

        Raises
        ------
        ValueError
            If it is damaged, or no such file; the message begins with ``name``.
        """
        found = archive.Archive(data, name)
        try:
            row, start, stop, numerics = self._checked(found.manifest)
            return RowRange(row, start, stop, numerics, self.content(found, row, stop - start))
        except KeyError as error:
            raise self._refusal(name, f"its manifest has no {error}") from None
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise self._refusal(name, str(error)) from None

    def _refusal(self, name: str, why: str) -> ValueError:
        return ValueError(f"{name} is no part of {self.of} that this resmc can read: {cut(why)}")

    def _checked(self, manifest: Any) -> tuple[Row, int, int, str]:
        if not isinstance(manifest, dict) or manifest.get("format") != self.format:
            raise ValueError(f"its manifest does not say {self.format!r}")
        if manifest.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(f"it has schema version {manifest.get('schema_version')}, not {SCHEMA_VERSION}")
        row = self.row(manifest["row"])
        start, stop = manifest["range"]
        if type(start) is not int or type(stop) is not int or not 0 <= start < stop:
            raise ValueError(f"range={[start, stop]} is not allowed: it must be two increasing numbers of networks")
        return row, start, stop, self._class(manifest["numerics"])

    def _class(self, numerics: Any) -> str:
        if self.version is None:
            if not isinstance(numerics, str):
                raise ValueError(f"numerics={numerics!r} is not allowed: it must be a class")
            return numerics
        version, name = numerics
        if version != self.version or not isinstance(name, str):
            raise ValueError(f"numerics={[version, name]} is not allowed: it must be {self.version!r} and a class")
        return name


def read_model(described: Mapping[str, Any]) -> tuple[ResidualNetwork, list[Any]]:
    """Read the model and the exponents, unchecked, of a row; raises KeyError, TypeError or ValueError for none."""
    model, betas = of_dict(described["model"]), described["beta"]
    if not isinstance(model, ResidualNetwork) or not isinstance(betas, list):
        raise ValueError("its row has no ResidualNetwork, or no list of exponents")
    return model, betas
