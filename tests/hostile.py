"""Files that were made to do harm: mutations of sound ones, of bytes and of structure, with a right checksum."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ENDING = b"sha256:" + b"0" * 64
NUMBERS = [0, -1, 1, 2, 31, 2**15, 2**31, 2**47, 2**63 - 1, 2**63, 2**64, -(2**63), 10**12, 10**15, 10**40, 0.5, -0.0]
FLOATS = [1e308, -1e308, 1e-320, float("nan"), float("inf"), float("-inf")]
WORDS = [
    "",
    "evil",
    "projected",
    "cuda",
    "2",
    "\0",
    "\ud800",
    "relu",
    "x" * 5000,
    "growth",
    "../../etc/passwd",
    "__class__",
]
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [None], {"": None}, [0] * 40, [[0, 1, 1]] * 3, {"beta": -1e300}]
HEADERS = [
    "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '>i8', 'fortran_order': False, 'shape': (7,), }",
    "{'descr': '<i8', 'fortran_order': True, 'shape': (7,), }",
    "{'descr': '<i8', 'fortran_order': False, 'shape': (-1,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",
    "{'descr': '<i8', 'fortran_order': False, 'shape': (0, 1000000000000000), }",
    "{'descr': [('a', '<i8'), ('a', '<i8')], 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '<i8'}", "__import__('os').abort()", "(" * 2000, "[" * 500 + "]" * 500, "9" * 3000, "'''", "\\", "{",
]  # fmt: skip


class Parts:
    """A saved simulation taken apart: its manifest, and the members of the archive in their order."""

    def __init__(self, data: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            self.members = [(name, archive.read(name)) for name in archive.namelist()]
        self.manifest = json.loads(self.members.pop(0)[1])

    def together(self, compressed: bool = False) -> bytes:
        """The archive with a right checksum."""
        members = [("manifest.json", as_json(self.manifest)), *self.members]
        return zipped(members, zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED)


def as_json(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def zipped(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", compression) as archive:
        warnings.simplefilter("ignore")  # two members may have one name
        archive.comment = ENDING
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, compression)
    return signed(out.getvalue()[: -len(ENDING)])


def signed(data: bytes) -> bytes:
    """Data with the ending of an archive, and the checksum that belongs to it."""
    whole = data + ENDING
    return whole[:-64] + hashlib.sha256(whole).hexdigest().encode()


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all values in a tree of dictionaries and lists."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*here, key)
        yield from places(inner, (*here, key))


def hostile_value(rng: random.Random, old: Any) -> Any:
    kind = rng.randrange(6)
    if kind == 0 and isinstance(old, int | float) and not isinstance(old, bool):
        return rng.choice([old + 1, old - 1, -old, old * 2, float(old), str(old)])
    if kind == 1:
        deep: Any = old
        for _ in range(rng.choice([1, 5, 60, 150])):
            deep = [deep] if rng.random() < 0.8 else {"width": deep}
        return deep
    if kind == 2 and isinstance(old, list) and old:
        return rng.choice([old[:-1], old + old, old[::-1], old * 100])
    return copy.deepcopy(rng.choice(rng.choice([NUMBERS, FLOATS, WORDS, OTHERS])))


def changed_tree(rng: random.Random, tree: Any) -> Any:
    """A tree with one value replaced, left out, or added."""
    tree = copy.deepcopy(tree)
    *above, key = rng.choice(list(places(tree)))
    inside = tree
    for step in above:
        inside = inside[step]
    action = rng.random()
    if action < 0.75:
        inside[key] = hostile_value(rng, inside[key])
    elif action < 0.9:
        del inside[key]
    elif isinstance(inside, dict):
        inside[rng.choice(WORDS)] = hostile_value(rng, inside[key])
    else:
        inside.append(inside[key])
    return tree


def changed_json(rng: random.Random, tree: Any) -> bytes:
    """A tree as JSON that is wrong as JSON, or as no writer would write it."""
    text = as_json(tree)
    at = rng.randrange(len(text))
    return rng.choice(
        [
            text[:at], text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :], b"[" * 100_000, b"{\"a\":" * 5000,
            text[:-1] + b', "seed": 3}', text.decode().encode("utf-16"), b"", b"null", b"9" * 10_000, b"\xff" + text,
            text[:-1] + b', "more": ' + b"[" * 900 + b"]" * 900 + b"}", text.replace(b"1", b"1e999", 1), b"NaN",
        ]
    )  # fmt: skip


def changed_numbers(rng: random.Random, content: bytes) -> bytes:
    """An array with hostile numbers in some places."""
    start = 10 + int.from_bytes(content[8:10], "little")
    numbers = bytearray(content[start:])
    for _ in range(rng.choice([1, 1, 3])):
        if len(numbers) >= 8:
            at = 8 * rng.randrange(len(numbers) // 8)
            value = rng.choice(NUMBERS[:9] + FLOATS)
            new = (
                np.float64(value).tobytes()
                if isinstance(value, float) or rng.random() < 0.3
                else np.int64(value).tobytes()
            )
            numbers[at : at + 8] = new
    return content[:start] + bytes(numbers)


def with_header(content: bytes, text: str) -> bytes:
    start = 10 + int.from_bytes(content[8:10], "little")
    header = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content[start:]


def changed_member(rng: random.Random, members: list[tuple[str, bytes]]) -> None:
    """One member of an archive replaced, cut, doubled, renamed or left out."""
    at = rng.randrange(len(members))
    name, content = members[at]
    ways: list[Callable[[], Any]] = [
        lambda: members.__setitem__(at, (name, changed_numbers(rng, content))),
        lambda: members.__setitem__(at, (name, changed_numbers(rng, content))),
        lambda: members.__setitem__(at, (name, with_header(content, rng.choice(HEADERS)))),
        lambda: members.__setitem__(at, (name, content[: rng.randrange(len(content) + 1)])),
        lambda: members.__setitem__(at, (name, content + content[-8 * rng.randrange(1, 9) :])),
        lambda: members.__setitem__(at, (name, rng.choice(members)[1])),
        lambda: members.__setitem__(at, (name[: rng.randrange(max(len(name), 1))], content)),
        lambda: members.__setitem__(at, (name, content[:6] + rng.choice([b"\2\0", b"\3\0", b"\1\1"]) + content[8:])),
        lambda: members.insert(rng.randrange(len(members)), (name, rng.choice(members)[1])),
        lambda: members.pop(at),
        lambda: rng.shuffle(members),
    ]
    rng.choice(ways)()


def changed_bytes(rng: random.Random, data: bytes) -> bytes:
    """An archive with bytes changed anywhere, most often in its directory, where offsets and sizes are."""
    body = bytearray(data[: -len(ENDING)])
    for _ in range(rng.choice([1, 1, 2, 8])):
        low = 0 if rng.random() < 0.4 else max(0, len(body) - 1500)
        at = rng.randrange(low, len(body))
        action = rng.random()
        if action < 0.7:
            body[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        elif action < 0.8:
            del body[at : at + rng.randrange(1, 40)]
        elif action < 0.9:
            body[at:at] = body[at : at + rng.randrange(1, 40)]
        else:
            body[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"PK\5\6", b"PK\3\4", b"PK\6\6"])
    return signed(bytes(body))


def mutant(rng: random.Random, data: bytes) -> bytes:
    """A saved simulation with one to three changes, and a right checksum."""
    kind = rng.random()
    if kind < 0.2:
        return changed_bytes(rng, data)
    parts = Parts(data)
    if kind < 0.27:
        parts.manifest = changed_json(rng, parts.manifest)
    elif kind < 0.65:
        for _ in range(rng.choice([1, 1, 2])):
            parts.manifest = changed_tree(rng, parts.manifest)
    else:
        for _ in range(rng.choice([1, 1, 3])):
            changed_member(rng, parts.members)
    if kind > 0.97:
        parts.members.append(("more.npy", bytes(1 << 20)))  # a thousand times smaller, where it is compressed
    with_bomb = kind > 0.97 or rng.random() < 0.01
    return parts.together(compressed=with_bomb and rng.random() < 0.8)


@contextmanager
def little_memory(room: int = 256 << 20) -> Iterator[None]:
    """Let this process have so many bytes of address space more than it has."""
    import resource

    has = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (has + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
