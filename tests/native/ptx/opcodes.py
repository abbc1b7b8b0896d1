"""The instructions of PTX that kernels use, a row for each, and the C++ that a row makes."""

from __future__ import annotations

import itertools
import math
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from translate import Translation

# ---- types ----------------------------------------------------------------------------------------------------------

# What C++ calls a type of PTX; registers without a sign, `.b32` or `.s32`, are unsigned.
C_TYPES = {
    **{f"{kind}{width}": f"uint{width}_t" for kind in ("b", "u") for width in (8, 16, 32, 64)},
    **{f"s{width}": f"int{width}_t" for width in (8, 16, 32, 64)},
    "f32": "float", "f64": "double", "pred": "bool",
}  # fmt: skip
WIDER = {"u16": "u32", "s16": "s32", "u32": "u64", "s32": "s64"}
SPECIAL = {"%tid.x": "t.tid", "%ctaid.x": "t.ctaid", "%ntid.x": "t.ntid", "%nctaid.x": "t.nctaid"}
EXPORTED = '"C" __attribute__((visibility("default")))'
SPACES = {"param": "PARAM", "shared": "SHARED", "global": "GLOBAL", "": "GENERIC"}


def width(kind: str) -> int:
    """Bits of a type."""
    return 1 if kind == "pred" else int(kind[1:])


def real(digits: str) -> str:
    """A float or a double of these hexadecimal digits."""
    number = struct.unpack(">f" if len(digits) == 8 else ">d", bytes.fromhex(digits))[0]
    if not math.isfinite(number):
        return f"as_{'float' if len(digits) == 8 else 'double'}(0x{digits}u)"
    return number.hex() + ("f" if len(digits) == 8 else "")


def register_type(kind: str) -> str:
    """The type that a register declared so has in C++."""
    return C_TYPES["u" + kind[1:] if kind[0] in "bs" else kind]


# ---- instructions ---------------------------------------------------------------------------------------------------


class PtxError(Exception):
    """Something that is not understood, and where it stands."""


class Row(NamedTuple):
    """How instructions of one opcode are written in C++.

    Attributes
    ----------
    form : callable
        Makes the statement.
    operands : str
        In the order of PTX, each with its type where that is not the instruction's: d is written, others read. T is
        the last type of the opcode, U the one before it (of cvt: from and to), W twice as wide as T.
    code : str
        The expression; {a} is an operand, {T} a type in C++, {site} the number of the instruction.
    """

    form: Callable[[Translation, Row, Instruction], str]
    operands: str
    code: str


class Instruction(NamedTuple):
    """One instruction, with its operands as text."""

    line: int
    text: str
    opcode: str
    operands: list[str]

    @property
    def types(self) -> list[str]:
        """The types that its opcode names."""
        return [part for part in self.opcode.split(".") if part in C_TYPES]


INTEGERS = "u16|s16|u32|s32|u64|s64"
SIGNLESS = "b16|b32|b64"
FLOATS = "f32|f64"
IN_MEMORY = "b8|u8|s8|b16|u16|s16|b32|u32|s32|b64|u64|s64|f32|f64"
ADDED = "u32|s32|u64"


def expand(pattern: str) -> Iterator[str]:
    """Every opcode that a pattern stands for: of alternatives in brackets one."""
    parts = [part.split("|") for part in re.split(r"\[(.*?)\]", pattern)]
    return ("".join(choice) for choice in itertools.product(*parts))


def assign(translation: Translation, row: Row, instruction: Instruction) -> str:
    """``d`` becomes the row's expression of what is read."""
    kinds = instruction.types
    named = {"T": kinds[-1], "U": kinds[-2] if len(kinds) > 1 else kinds[-1], "W": WIDER.get(kinds[-1], kinds[-1])}
    names = [operand.partition(":")[::2] for operand in row.operands.split()]
    if len(names) != len(instruction.operands):
        raise translation.not_understood(instruction, f"has {len(instruction.operands)} operands, not {len(names)}")
    values = {letter: C_TYPES[kind] for letter, kind in named.items()}
    (_, to), *read = ((name, named.get(kind or "T", kind)) for name, kind in names)
    for (name, kind), operand in zip(read, instruction.operands[1:], strict=True):
        values[name] = translation.value(instruction, operand, kind)
    site = translation.site(instruction) if "{site}" in row.code else 0
    return translation.set(instruction, instruction.operands[0], to, row.code.format(**values, site=site))


def move(translation: Translation, row: Row, instruction: Instruction) -> str:
    """d becomes a; either may be in parts, the lowest bits first."""
    to, given = translation.exactly(instruction, 2)
    kind = instruction.types[-1]
    parts = translation.elements(to if to.startswith("{") else given)
    if not (to.startswith("{") or given.startswith("{")):
        return translation.set(instruction, to, kind, translation.value(instruction, given, kind))
    each, whole = f"b{width(kind) // len(parts)}", C_TYPES[kind]
    if to.startswith("{"):
        sets = [
            translation.set(instruction, part, each, f"{C_TYPES[each]}(whole >> {i * width(each)})")
            for i, part in enumerate(parts)
        ]
        return f"const {whole} whole = {translation.value(instruction, given, kind)}; " + " ".join(sets)
    values = [
        f"{whole}({translation.value(instruction, part, each)}) << {i * width(each)}" for i, part in enumerate(parts)
    ]
    return translation.set(instruction, to, kind, " | ".join(values))


def load(translation: Translation, row: Row, instruction: Instruction) -> str:
    """Reads one or several neighbours from memory."""
    to, address = translation.exactly(instruction, 2)
    kind, registers = instruction.types[-1], translation.elements(to)
    at = translation.access("read", instruction, address, kind, len(registers))
    reads = [f"get<{C_TYPES[kind]}>(at + {i * width(kind) // 8})" for i in range(len(registers))]
    pairs = zip(registers, reads, strict=True)
    return f"const char* const at = {at}; " + " ".join(translation.set(instruction, r, kind, x) for r, x in pairs)


def store(translation: Translation, row: Row, instruction: Instruction) -> str:
    """Writes one or several neighbours into memory."""
    address, given = translation.exactly(instruction, 2)
    kind, values = instruction.types[-1], translation.elements(given)
    at = translation.access("write", instruction, address, kind, len(values))
    puts = [
        f"put<{C_TYPES[kind]}>(at + {i * width(kind) // 8}, {translation.value(instruction, x, kind)});"
        for i, x in enumerate(values)
    ]
    return f"char* const at = {at}; " + " ".join(puts)


def change(translation: Translation, row: Row, instruction: Instruction) -> str:
    """Reads, changes and writes at once; without ``d`` what was there is forgotten."""
    to, address, value = ["_", *instruction.operands][-3:]
    kind = instruction.types[-1]
    at = translation.access("atomic", instruction, address, kind, 1)
    b = translation.value(instruction, value, kind)
    code = row.code.format(a="old", b=b)
    keep = translation.set(instruction, to, kind, "old") if to != "_" else ""
    return f"char* const at = {at}; const auto old = get<{C_TYPES[kind]}>(at); {keep} put(at, {C_TYPES[kind]}({code}));"


def shuffle(translation: Translation, row: Row, instruction: Instruction) -> str:
    """d, and whether there is such a lane, of another thread's a."""
    to, *given = translation.exactly(instruction, 5)
    a, b, c, mask = (translation.value(instruction, operand, "b32") for operand in given)
    d, _, found = to.partition("|")
    kind = instruction.opcode.split(".")[2].upper()
    call = f"t.shuffle(Shuffle::{kind}, x, {b}, {c}, {mask}, {translation.site(instruction)})"
    keep = translation.set(instruction, found, "pred", "found") if found else ""
    return (
        f"uint32_t x = {a}; const bool found = {call}; (void)found; "
        + keep
        + translation.set(instruction, d, "b32", "x")
    )


def jump(translation: Translation, row: Row, instruction: Instruction) -> str:
    """Goes on elsewhere."""
    (label,) = translation.exactly(instruction, 1)
    return f"goto {translation.label(label)};"


def call(translation: Translation, row: Row, instruction: Instruction) -> str:
    """Does something that leaves no value."""
    names = row.operands.split()
    given = translation.exactly(instruction, len(names))
    pairs = zip((name.partition(":")[::2] for name in names), given, strict=True)
    values = {name: translation.value(instruction, operand, kind) for (name, kind), operand in pairs}
    site = translation.site(instruction) if "{site}" in row.code else 0
    return row.code.format(**values, site=site)


COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
EITHER_NAN = "({a} != {a} || {b} != {b})"
ROWS: list[tuple[str, Row]] = [
    # 9.7.1, 9.7.2: integers, which wrap
    (f"add.[{INTEGERS}]", Row(assign, "d a b", "{a} + {b}")),
    (f"sub.[{INTEGERS}]", Row(assign, "d a b", "{a} - {b}")),
    (f"mul.lo.[{INTEGERS}]", Row(assign, "d a b", "{a} * {b}")),
    ("mul.wide.[u16|s16|u32|s32]", Row(assign, "d:W a b", "{W}({a}) * {W}({b})")),
    ("mul.hi.[u32|s32]", Row(assign, "d a b", "({W}({a}) * {W}({b})) >> 32")),
    (f"mad.lo.[{INTEGERS}]", Row(assign, "d a b c", "{a} * {b} + {c}")),
    ("mad.wide.[u16|s16|u32|s32]", Row(assign, "d:W a b c:W", "{W}({a}) * {W}({b}) + {c}")),
    (f"div.[{INTEGERS}]", Row(assign, "d a b", "divide<{T}>(t, {a}, {b}, {site})")),
    (f"rem.[{INTEGERS}]", Row(assign, "d a b", "remainder<{T}>(t, {a}, {b}, {site})")),
    (f"min.[{INTEGERS}|{FLOATS}]", Row(assign, "d a b", "minimum<{T}>({a}, {b})")),
    (f"max.[{INTEGERS}|{FLOATS}]", Row(assign, "d a b", "maximum<{T}>({a}, {b})")),
    (f"neg.[s16|s32|s64|{FLOATS}]", Row(assign, "d a", "-{a}")),
    ("bfi.[b32|b64]", Row(assign, "d a b c:u32 n:u32", "insert_bits<{T}>({a}, {b}, {c}, {n})")),
    # 9.7.3: correctly rounded, subnormal numbers and all; the one approximation is an argument of the machine
    (f"add[|.rn].[{FLOATS}]", Row(assign, "d a b", "{a} + {b}")),
    (f"sub[|.rn].[{FLOATS}]", Row(assign, "d a b", "{a} - {b}")),
    (f"mul[|.rn].[{FLOATS}]", Row(assign, "d a b", "{a} * {b}")),
    ("fma.rn.f32", Row(assign, "d a b c", "__builtin_fmaf({a}, {b}, {c})")),
    ("fma.rn.f64", Row(assign, "d a b c", "__builtin_fma({a}, {b}, {c})")),
    (f"div.rn.[{FLOATS}]", Row(assign, "d a b", "{a} / {b}")),
    (f"rcp.rn.[{FLOATS}]", Row(assign, "d a", "{T}(1) / {a}")),
    (f"sqrt.rn.[{FLOATS}]", Row(assign, "d a", "std::sqrt({a})")),
    ("rsqrt.approx.ftz.f32", Row(assign, "d a", "t.rsqrt_approx({a})")),
    (f"abs.[{FLOATS}]", Row(assign, "d a", "std::fabs({a})")),
    # 9.7.6: comparisons; those of floats without u are false, with it true, where either is NaN
    (f"setp.[eq|ne].[{SIGNLESS}]", Row(assign, "d:pred a b", "{a} COMPARED {b}")),
    (f"setp.[eq|ne|lt|le|gt|ge].[{INTEGERS}]", Row(assign, "d:pred a b", "{a} COMPARED {b}")),
    (f"setp.[eq|lt|le|gt|ge].[{FLOATS}]", Row(assign, "d:pred a b", "{a} COMPARED {b}")),
    (f"setp.ne.[{FLOATS}]", Row(assign, "d:pred a b", "{a} != {b} && !" + EITHER_NAN)),
    (f"setp.[equ|neu|ltu|leu|gtu|geu].[{FLOATS}]", Row(assign, "d:pred a b", "{a} COMPARED {b} || " + EITHER_NAN)),
    (f"setp.num.[{FLOATS}]", Row(assign, "d:pred a b", "!" + EITHER_NAN)),
    (f"setp.nan.[{FLOATS}]", Row(assign, "d:pred a b", EITHER_NAN)),
    (f"selp.[{SIGNLESS}|{INTEGERS}|{FLOATS}]", Row(assign, "d a b p:pred", "{p} ? {a} : {b}")),
    # 9.7.8: bits
    (f"and.[pred|{SIGNLESS}]", Row(assign, "d a b", "{a} & {b}")),
    (f"or.[pred|{SIGNLESS}]", Row(assign, "d a b", "{a} | {b}")),
    (f"xor.[pred|{SIGNLESS}]", Row(assign, "d a b", "{a} ^ {b}")),
    ("not.pred", Row(assign, "d a", "!{a}")),
    (f"not.[{SIGNLESS}]", Row(assign, "d a", "~{a}")),
    (f"shl.[{SIGNLESS}]", Row(assign, "d a b:u32", "shift_left<{T}>({a}, {b})")),
    (f"shr.[{SIGNLESS}|{INTEGERS}]", Row(assign, "d a b:u32", "shift_right<{T}>({a}, {b})")),
    # 9.7.9: moves and conversions
    (f"mov.[pred|b16|{INTEGERS}|{FLOATS}]", Row(assign, "d a", "{a}")),
    ("mov.[b32|b64]", Row(move, "", "")),
    (f"cvt.[u8|s8|{INTEGERS}].[u8|s8|{INTEGERS}]", Row(assign, "d:U a:T", "{U}({a})")),
    (f"cvt.rn.[{FLOATS}].[u8|s8|{INTEGERS}]", Row(assign, "d:U a:T", "{U}({a})")),
    (f"cvt.rzi.[{INTEGERS}].[{FLOATS}]", Row(assign, "d:U a:T", "to_integer<{U}>({a})")),
    ("cvt.f64.f32", Row(assign, "d:U a:T", "{U}({a})")),
    ("cvt.rn.f32.f64", Row(assign, "d:U a:T", "{U}({a})")),
    ("cvta[|.to].global.u64", Row(assign, "d a", "{a}")),
    ("cvta.shared.u64", Row(assign, "d a", "{a} + SHARED_WINDOW")),
    ("cvta.to.shared.u64", Row(assign, "d a", "{a} - SHARED_WINDOW")),
    ("cvta.param.u64", Row(assign, "d a", "{a} + PARAM_WINDOW")),
    ("cvta.to.param.u64", Row(assign, "d a", "{a} - PARAM_WINDOW")),
    # memory; volatile loads and stores are ordinary ones that happen
    (f"ld[|.volatile][.param|.shared|.global|][|.v2|.v4].[{IN_MEMORY}]", Row(load, "", "")),
    (f"ld.global.nc[|.v2|.v4].[{IN_MEMORY}]", Row(load, "", "")),
    (f"st[|.volatile][.shared|.global|][|.v2|.v4].[{IN_MEMORY}]", Row(store, "", "")),
    (f"atom[.shared|.global|].add.[{ADDED}]", Row(change, "", "{a} + {b}")),
    (f"red[.shared|.global|].add.[{ADDED}]", Row(change, "", "{a} + {b}")),
    # 9.7.12, 9.7.13: control, barriers, shuffles
    ("bra[|.uni]", Row(jump, "", "")),
    ("ret", Row(call, "", "return;")),
    ("exit", Row(call, "", "return;")),
    ("bar.sync", Row(call, "barrier:u32", "t.barrier({site});")),
    ("bar.warp.sync", Row(call, "mask:u32", "t.warp_barrier({mask}, {site});")),
    ("shfl.sync.[idx|bfly|up|down].b32", Row(shuffle, "", "")),
]


def table(rows: Iterable[tuple[str, Row]]) -> dict[str, Row]:
    """Rows by opcode; comparisons get their operator."""
    found: dict[str, Row] = {}
    for pattern, row in rows:
        for opcode in expand(pattern):
            parts = opcode.split(".")
            compared = COMPARED.get(parts[1][:2], "") if parts[0] == "setp" else ""
            found[opcode] = row._replace(code=row.code.replace("COMPARED", compared))
    return found


TABLE = table(ROWS)
