"""A zip archive of .npy arrays and a JSON manifest with a checksum of the whole, written and read in microseconds.

`numpy.load` can read it too. The archive's comment holds the SHA-256 of the file (taken with the digest itself as
zeros), so any changed or missing byte is noticed. Nothing is compressed: floats gain next to nothing, integers are kept
as small ones instead, and the bytes are a function of the content alone on every machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .._system.plain import Plain, of_json
from .._system.words import cut

_COMMENT = b"sha256:"
_BLANK = b"0" * 64
_MANIFEST = "manifest.json"
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # a mark, and the lengths of the name and of an extra field
# Records of the format: before a member, of a member in the directory, and at the end; of all members here alike are
# the version that is needed to read them, their date, the system that made them and the rights of a file there.
_LOCAL, _CENTRAL, _END = struct.Struct("<4s5H3L2H"), struct.Struct("<4s2B5H3L5H2L"), struct.Struct("<4s4H2LH")
_VERSION, _FIRST_DAY, _UNIX, _MODE = 20, 1 << 5 | 1, 3, 0o600 << 16
SMALL, MANY = 1 << 30, 1 << 15  # bytes and members below which no size needs the format's 64 bits
LONGEST_HEADER = 4096
# The header of an array as NumPy writes it. Only these words are understood, whatever else the format may say, so that
# no text of a file is ever evaluated.
_ARRAY = re.compile(
    rb"\x93NUMPY\x01\x00(..)\{'descr': ([^{}]+), 'fortran_order': False, 'shape': \(([0-9, ]*)\), \} *\n", re.DOTALL
)


def to_bytes(manifest: Plain, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The file's content: ``arrays`` by name, without the ending .npy."""
    members = {_MANIFEST: json.dumps(manifest).encode()}
    for name, array in arrays.items():
        members[f"{name}.npy"] = _header(array.shape, array.dtype) + array.tobytes()
    size = sum(map(len, members.values()))
    data = small_zip(members) if size < SMALL and len(members) < MANY else any_zip(members)
    return data[: -len(_BLANK)] + hashlib.sha256(data).hexdigest().encode()


def any_zip(members: Mapping[str, bytes]) -> bytes:
    """A zip archive of members, however large, with a checksum of zeros in its comment."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = _COMMENT + _BLANK
        for name, data in members.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system = _UNIX
            archive.writestr(info, data)
    return buffer.getvalue()


def small_zip(members: Mapping[str, bytes]) -> bytes:
    """The bytes of `any_zip` where the format's 32-bit sizes suffice: a sweep of small networks makes many such files.

    Source: PKWARE, APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12 and 4.3.16.
    """
    parts, directory, at = list[bytes](), list[bytes](), 0
    for text, data in members.items():
        name = text.encode("ascii")
        about = (_VERSION, 0, 0, 0, _FIRST_DAY, zlib.crc32(data), len(data), len(data), len(name))
        parts += (_LOCAL.pack(b"PK\3\4", *about, 0), name, data)
        directory += (_CENTRAL.pack(b"PK\1\2", _VERSION, _UNIX, *about, 0, 0, 0, 0, _MODE, at), name)
        at += _LOCAL.size + len(name) + len(data)
    listed = b"".join(directory)
    end = _END.pack(b"PK\5\6", 0, 0, len(members), len(members), len(listed), at, len(_COMMENT) + len(_BLANK))
    return b"".join((*parts, listed, end, _COMMENT, _BLANK))


class Archive:
    """A file that `to_bytes` made; arrays are read-only views of ``data``, which may lie at odd addresses.

    ``kind`` is what the file should hold, in words.

    Raises
    ------
    ValueError
        If the checksum is missing or wrong (then the sentence begins with ``name``), or anything else is amiss.
    """

    def __init__(self, data: bytes, name: str, kind: str = "simulation") -> None:
        check_end(data, name, kind)
        if checksum(data) != checksum_at_end(data):
            raise ValueError(f"{name} is damaged: its checksum does not match its content")
        self._data = memoryview(data)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = archive.infolist()
        except Exception as error:  # whatever zipfile raises for a directory that was made to fool it
            raise refusal(name, ValueError(f"its list of members is wrong ({error})"), kind) from None
        self._members = {info.filename: info for info in members}
        try:
            if len(self._members) < len(members):
                raise ValueError("it has two members of one name")
            self.manifest = of_json(bytes(self._content(_MANIFEST)))
        except ValueError as error:
            raise refusal(name, error, kind) from None

    def array(self, name: str, *types: np.dtype[Any]) -> NDArray[Any]:
        """The array of that name, which must have one of these types."""
        content = self._content(f"{name}.npy")
        found = _ARRAY.match(content[:LONGEST_HEADER])
        if found is None:
            raise ValueError(f"{name} is no array by rows, of .npy version 1.0")
        start = found.end()
        dtype = next((dtype for dtype in types if _description(dtype) == found[2]), None)
        if dtype is None or start != 10 + int.from_bytes(found[1], "little"):
            raise ValueError(f"{name} has the wrong type")
        shape = tuple(int(size) for size in found[3].split(b",") if size.strip())
        if len(content) - start != dtype.itemsize * math.prod(shape):
            raise ValueError(f"{name} is not as long as it says")
        return np.ndarray(shape, dtype, content, start)

    def _content(self, name: str) -> memoryview:
        # Not by `zipfile`, which copies and takes a second checksum.
        info = self._members.get(name)
        if info is None:
            raise ValueError(f"it has no {name}")
        at = max(info.header_offset, 0)
        header = self._data[at : at + _LOCAL_HEADER.size]
        if len(header) < _LOCAL_HEADER.size or info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"its {name} is compressed or misplaced")
        mark, name_length, extra = _LOCAL_HEADER.unpack(header)
        at += _LOCAL_HEADER.size
        start = at + name_length + extra
        content = self._data[start : start + info.file_size]
        named = self._data[at : at + name_length] == name.encode()
        if mark != b"PK\3\4" or not named or len(content) != info.file_size:
            raise ValueError(f"its {name} is compressed or misplaced")
        return content


def checksum(data: bytes) -> bytes:
    """Return the checksum that a file of this content must end with."""
    digest = hashlib.sha256(memoryview(data)[: -len(_BLANK)])
    digest.update(_BLANK)
    return digest.hexdigest().encode()


def checksum_at_end(data: bytes) -> bytes:
    """Return the checksum that a file ends with."""
    return data[-len(_BLANK) :]


def format_of(data: bytes, name: str) -> str | None:
    """Return the format that a file says it has, None if it says none; raises ValueError if it is damaged."""
    manifest = Archive(data, name).manifest
    said = manifest.get("format") if isinstance(manifest, dict) else None
    return said if isinstance(said, str) else None


def check_end(data: bytes, name: str, kind: str = "simulation") -> None:
    """Refuse a file whose last bytes, or more of it, are not those of an archive."""
    start = len(data) - len(_COMMENT) - len(_BLANK)
    if not data:
        raise ValueError(f"{name} is not a resmc {kind}, or its end is missing: it is empty")
    if start < 0 or data[start : start + len(_COMMENT)] != _COMMENT:
        raise ValueError(f"{name} is not a resmc {kind}, or its end is missing: no checksum was found")


def refusal(name: str, error: Exception, kind: str = "simulation") -> ValueError:
    """The error for a file with a right checksum whose content is not what it should be."""
    return ValueError(f"{name} is not a {kind} that this resmc can read: {cut(str(error))}")


@lru_cache(maxsize=256)
def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    file = io.BytesIO()
    description = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, description)
    return file.getvalue()


@cache
def _description(dtype: np.dtype[Any]) -> bytes:
    """The words for a type in an array's header."""
    return repr(npy.dtype_to_descr(dtype)).encode()
