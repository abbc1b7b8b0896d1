"""Labelled data sets as files: netCDF and Zarr, each whole or not there."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from .._system import checks
from .._system.reading import in_words, reason
from .._system.writers import temporary_name
from .storage import write_atomically

if TYPE_CHECKING:
    import xarray


def to_netcdf(data: xarray.Dataset, path: str | Path) -> None:
    """Write a data set as netCDF 4. A file that is there already is replaced when the new one is whole.

    Raises
    ------
    ImportError
        If h5netcdf or h5py is not installed.
    OSError
        If the file cannot be written.
    """
    try:
        import h5netcdf
        import h5py  # noqa: F401 (needed by h5netcdf, which no longer installs it)
        from xarray.backends import H5NetCDFStore
    except ImportError:
        raise ImportError("to_netcdf needs h5netcdf and h5py: install resmc[netcdf]") from None
    path = checks.absolute("path", path)  # resolved now: another thread may change the folder of the program
    # HDF5 may end the process where the disk is full: it writes into memory, and its bytes go to the disk at once.
    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        data.dump_to_store(H5NetCDFStore(file))
    try:
        write_atomically(buffer.getvalue(), path)
    except OSError as error:
        raise _said(error, path) from None


def to_zarr(data: xarray.Dataset, path: str | Path) -> None:
    """Write a data set as a Zarr store of format 2, which every Zarr library reads.

    A Zarr store that is there already is replaced when the new one is whole.

    Raises
    ------
    ImportError
        If zarr is not installed.
    ValueError
        If the path is a file, or a folder with other files, which would be lost.
    OSError
        If the store cannot be written.
    """
    try:
        import zarr  # noqa: F401 (used by xarray)
    except ImportError:
        raise ImportError("to_zarr needs zarr: install resmc[zarr]") from None
    path = checks.absolute("path", path)
    check_zarr(path)
    temporary = path.with_name(temporary_name())
    try:
        data.to_zarr(temporary, mode="w", zarr_format=2)
        if path.exists():
            path.rename(old := path.with_name(temporary_name()))
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
    except OSError as error:  # the words of the system would name a file within the temporary folder
        raise _said(error, path) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _said(error: OSError, path: str | Path) -> OSError:
    return in_words(error, f"path={str(path)!r} cannot be written: {reason(error)}")


def check_zarr(path: Path) -> None:
    """Refuse a file, and a folder with other files than a Zarr store's, because `to_zarr` replaces what is there."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"path={str(path)!r} is not allowed: it is a file")
    if path.is_dir() and any(path.iterdir()) and not any((path / name).is_file() for name in (".zgroup", "zarr.json")):
        raise ValueError(f"path={str(path)!r} is not allowed: it is a folder with other files in it")
