"""A zip archive of .npy arrays and a JSON manifest with a checksum of the whole, written and read in microseconds.

`numpy.load` can read it too. The archive's comment holds the SHA-256 of the file (taken with the digest itself as
zeros), so any changed or missing byte is noticed. Nothing is compressed: floats gain next to nothing, integers are kept
as small ones instead, and the bytes are a function of the content alone on every machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .._system.plain import Plain

_COMMENT = b"sha256:"
_BLANK = b"0" * 64
_MANIFEST = "manifest.json"
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # a mark, and the lengths of the name and of an extra field


def to_bytes(manifest: Plain, arrays: dict[str, NDArray[Any]]) -> bytes:
    """The file's content: ``arrays`` by name, without the ending .npy."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = _COMMENT + _BLANK

        def put(name: str, data: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)

        put(_MANIFEST, json.dumps(manifest).encode())
        for name, array in arrays.items():
            put(f"{name}.npy", _header(array.shape, array.dtype) + array.tobytes())
    data = buffer.getvalue()
    return data[: -len(_BLANK)] + hashlib.sha256(data).hexdigest().encode()


class Archive:
    """A file that `to_bytes` made; arrays are read-only views of ``data``, which may lie at odd addresses.

    Raises
    ------
    ValueError
        If the checksum is missing or wrong (then the sentence begins with ``name``), or anything else is amiss.
    """

    def __init__(self, data: bytes, name: str) -> None:
        start = len(data) - len(_COMMENT) - len(_BLANK)
        if start < 0 or data[start : start + len(_COMMENT)] != _COMMENT:
            raise ValueError(f"{name} is not a resmc simulation, or its end is missing: no checksum was found")
        digest = hashlib.sha256(memoryview(data)[: -len(_BLANK)])
        digest.update(_BLANK)
        if digest.hexdigest().encode() != data[-len(_BLANK) :]:
            raise ValueError(f"{name} is damaged: its checksum does not match its content")
        self._data = memoryview(data)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                self._members = {info.filename: info for info in archive.infolist()}
            self.manifest = json.loads(bytes(self._content(_MANIFEST)))
        except (ValueError, zipfile.BadZipFile, struct.error) as error:
            raise refusal(name, error) from None

    def array(self, name: str) -> NDArray[Any]:
        """The array of that name."""
        content = self._content(f"{name}.npy")
        length = 10 + int.from_bytes(content[8:10], "little")
        shape, dtype = _parsed(bytes(content[:length]))
        if len(content) - length != dtype.itemsize * int(np.prod(shape)):
            raise ValueError(f"{name} is not as long as it says")
        return np.ndarray(shape, dtype, content, length)

    def _content(self, name: str) -> memoryview:
        # Not by `zipfile`, which copies and takes a second checksum.
        info = self._members.get(name)
        if info is None:
            raise ValueError(f"it has no {name}")
        mark, name_length, extra = _LOCAL_HEADER.unpack_from(self._data, info.header_offset)
        start = info.header_offset + _LOCAL_HEADER.size + name_length + extra
        if mark != b"PK\3\4" or info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"its {name} is compressed or misplaced")
        return self._data[start : start + info.file_size]


def refusal(name: str, error: Exception) -> ValueError:
    """The error for a file with a right checksum whose content is not what it should be."""
    return ValueError(f"{name} is not a simulation that this resmc can read: {error}")


@lru_cache(maxsize=256)
def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    file = io.BytesIO()
    description = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, description)
    return file.getvalue()


@lru_cache(maxsize=256)
def _parsed(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    file = io.BytesIO(header)
    if npy.read_magic(file) != (1, 0):
        raise ValueError("an array is not of .npy version 1.0")
    shape, fortran_order, dtype = npy.read_array_header_1_0(file)
    if fortran_order or dtype.hasobject:
        raise ValueError("an array is not of plain numbers by rows")
    return shape, dtype
