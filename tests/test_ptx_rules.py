"""The machine that runs PTX on a CPU, on small kernels: its instructions are right, and what CUDA forbids is seen.

Kernels are written in PTX here, so that no nvcc is needed; those of resmc itself are in test_ptx.py.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from translated import Fault, Machine, library, machine, opcodes, translate, why_no_machine

pytestmark = pytest.mark.cpu

HEAD = """\
.version 8.0
.target sm_90
.address_size 64
.extern .shared .align 16 .b8 room[];
"""
KERNEL = """\
.visible .entry {name}(
.param .u64 {name}_p
)
{bounds}
{{
.reg .pred %p<9>;
.reg .b32 %r<20>;
.reg .b64 %rd<20>;
.reg .f32 %f<9>;
.reg .f64 %fd<9>;
ld.param.u64 %rd1, [{name}_p];
cvta.to.global.u64 %rd2, %rd1;
mov.u32 %r1, %tid.x;
mul.wide.u32 %rd3, %r1, 4;
add.s64 %rd4, %rd2, %rd3;
shl.b32 %r2, %r1, 2;
{body}
}}
"""


def source(bodies: dict[str, str], bounds: str = ".maxntid 64, 1, 1") -> str:
    """Kernels that are given the address of some words: %rd2 is its own, %rd4 that of the thread's word; %r1 is the
    thread, and %r2 the address of the thread's word in shared memory. Bodies are statements and labels in a row."""
    lines = {name: re.sub(r"(?<=[;:]) ", "\n", body) for name, body in bodies.items()}
    return "".join(KERNEL.format(name=name, bounds=bounds, body=body) for name, body in lines.items())


STORE = "st.shared.u32 [%r2], %r1; "
LEFT = "ld.shared.u32 %r3, [%r5]; st.global.u32 [%rd4], %r3; ret;"
# Of the neighbour, within a warp and in another warp.
NEIGHBOUR = "xor.b32 %r4, %r1, 1; shl.b32 %r5, %r4, 2; "
OTHER_WARP = "xor.b32 %r4, %r1, 32; shl.b32 %r5, %r4, 2; "
ODD = "and.b32 %r6, %r1, 1; setp.eq.s32 %p1, %r6, 1; "
GOOD = {
    "barrier": STORE + OTHER_WARP + "bar.sync 0; " + LEFT,
    "warp_barrier": STORE + NEIGHBOUR + "bar.warp.sync -1; " + LEFT,
    "read_then_write": STORE
    + OTHER_WARP
    + "bar.sync 0; ld.shared.u32 %r3, [%r5]; bar.sync 0; st.shared.u32 [%r2], %r3; "
    "bar.sync 0; ld.shared.u32 %r3, [%r2]; st.global.u32 [%rd4], %r3; ret;",
    "shuffle": "shfl.sync.bfly.b32 %r3|%p2, %r1, 1, 31, -1; st.global.u32 [%rd4], %r3; ret;",
    "halves": ODD + "@%p1 bra odd; shfl.sync.bfly.b32 %r3, %r1, 2, 31, 1431655765; bra end; "
    "odd: shfl.sync.bfly.b32 %r3, %r1, 2, 31, -1431655766; end: st.global.u32 [%rd4], %r3; ret;",
    "counting": "atom.global.add.u32 %r3, [%rd2], 1; ret;",
    "generic": STORE
    + "cvt.u64.u32 %rd6, %r2; cvta.shared.u64 %rd5, %rd6; ld.u32 %r3, [%rd5]; st.u32 [%rd4], %r3; ret;",
}
RACE = r"(reads|writes) what thread \d+ (wrote|read) at .*, and no barrier is between them \(a race in shared memory\)"
# What is wrong, and how it is said.
BAD = {
    "no_barrier": (
        STORE + OTHER_WARP + LEFT,
        r"thread (\d+): reads what thread \d+ wrote at .*, and no barrier is between them \(a race in shared memory\)"
        r"|reads shared memory at \d+, which nobody has written",
    ),
    "no_barrier_of_what_was_there": (
        STORE + OTHER_WARP + "bar.sync 0; st.shared.u32 [%r2], %r1; " + LEFT,
        RACE,
    ),
    "no_barrier_behind_the_reader": (
        STORE + OTHER_WARP + "bar.sync 0; ld.shared.u32 %r3, [%r5]; st.shared.u32 [%r2], %r3; ret;",
        RACE,
    ),
    "no_warp_barrier": (
        STORE + "bar.warp.sync -1; st.shared.u32 [%r2], %r2; " + NEIGHBOUR + LEFT,
        RACE,
    ),
    "shuffle_is_no_barrier": (
        STORE
        + "bar.warp.sync -1; st.shared.u32 [%r2], %r2; shfl.sync.idx.b32 %r3, %r1, 0, 31, -1; "
        + NEIGHBOUR
        + LEFT,
        r"reads what thread \d+ wrote at .*, and no barrier is between them",
    ),
    "race_in_device_memory": (
        "st.global.u32 [%rd2], %r1; ret;",
        r"writes what thread \d+ wrote at .*, and no barrier is between them \(a race in device memory\)",
    ),
    "atomic_and_not": (
        "atom.global.add.u32 %r3, [%rd2], 1; ld.global.u32 %r4, [%rd2]; ret;",
        r"(reads|writes) what thread \d+ (wrote|read) at .*\(a race in device memory\)",
    ),
    "nobody_wrote": (NEIGHBOUR + "bar.sync 0; " + LEFT, r"reads shared memory at \d+, which nobody has written"),
    "misaligned": (
        "ld.global.v2.f32 {%f1, %f2}, [%rd2+4]; ret;",
        r"\(ld.global.v2.f32 .*reads 8 bytes at 0x[0-9a-f]+, which is misaligned: no multiple of 8",
    ),
    "misaligned_shared": ("st.shared.v4.u32 [room+8], {%r1, %r1, %r1, %r1}; ret;", "misaligned: no multiple of 16"),
    "beyond_shared": (
        "st.shared.u32 [%r2+1024], %r1; ret;",
        r"writes 4 bytes out of bounds: at 1\d+ of 1024 bytes of shared memory",
    ),
    "beyond_an_allocation": (
        "st.global.u32 [%rd4+512], %r1; ret;",
        r"writes 4 bytes out of bounds: \d+ bytes into the nearest allocation, of 256",
    ),
    "null": (
        "mov.u64 %rd5, 0; ld.global.u32 %r3, [%rd5]; ret;",
        "out of bounds: there is no allocation at or below 0x0",
    ),
    "beyond_parameters": ("ld.param.u32 %r3, [beyond_parameters_p+8]; ret;", "reads beyond its parameters"),
    "mask_without_itself": (
        "shfl.sync.bfly.b32 %r3, %r1, 1, 31, 65535; ret;",
        r"is not in its own mask, 0xffff",
    ),
    "lane_outside_of_the_mask": (
        ODD + "@%p1 bra end; shfl.sync.bfly.b32 %r3, %r1, 1, 31, 1431655765; end: ret;",
        r"reads lane \d+, which is outside of its mask, 0x55555555",
    ),
    "mask_of_threads_that_ended": (
        ODD + "@%p1 bra end; shfl.sync.bfly.b32 %r3, %r1, 2, 31, -1; end: ret;",
        r"waits for thread \d+, which has ended",
    ),
    "mask_of_threads_elsewhere": (
        ODD + "@%p1 bra odd; shfl.sync.bfly.b32 %r3, %r1, 2, 31, -1; ret; odd: bar.warp.sync -1; ret;",
        r"waits with mask 0xffffffff for thread \d+, which waits elsewhere: .*line \d+ \((bar.warp|shfl).sync",
    ),
    "divergent_barrier": (
        ODD + "@%p1 bra odd; bar.sync 0; ret; odd: bar.sync 0; ret;",
        r"waits at a barrier while thread \d+ waits at another",
    ),
    "barrier_not_reached": (
        "setp.gt.u32 %p1, %r1, 31; @%p1 bra end; bar.sync 0; end: ret;",
        r"waits at a barrier that thread \d+, which has ended, will not reach",
    ),
    "division_by_zero": ("div.u32 %r3, %r1, 0; ret;", "divides by zero"),
}
UNKNOWN = {
    "sin.approx.f32 %f1, %f2;": r"the instruction 'sin.approx.f32 %f1, %f2' is unknown: sin.approx.f32 is in no row",
    "add.sat.s32 %r1, %r2, %r3;": r"'add.sat.s32 %r1, %r2, %r3' is unknown",
    "add.s32 %r1, %r2;": r"'add.s32 %r1, %r2' has 2 operands, not 3",
    "add.s32 %r1, %r2, %warpid;": r"has an operand '%warpid' that is not understood as .s32",
    "add.f32 %f1, %f2, %rd3;": r"has an operand '%rd3' that is not understood as .f32",
    "add.s64 %r1, %rd2, %rd3;": r"writes to '%r1', which is not understood as .s64",
    "ld.global.u32 %r1, [nowhere];": r"has an address '\[nowhere\]' that is not understood",
    ".local .align 4 .b8 depot[8];": r"'.local .align 4 .b8 depot\[8\];' is not understood",
}


def load(text: str) -> Machine:
    there = machine()
    there.load(library(translate.parse(text, "written.ptx")))
    return there


@pytest.fixture(scope="module")
def loaded() -> Machine:
    """A machine with all kernels of this file: one file to compile."""
    if (reason := why_no_machine()) is not None:
        pytest.skip(reason)
    kernels = {**GOOD, "own_room": STORE + "ret;", **{name: body for name, (body, _) in BAD.items()}}
    return load(HEAD + source(kernels) + source({"unbounded": "ret;", **ARITHMETIC}, bounds=""))


def run(there: Machine, name: str, threads: int = 64, shared: int = 1024) -> NDArray[np.uint32]:
    """The 64 words that a kernel leaves, which begin as 0."""
    memory = there.memory(4 * 64, 0)
    try:
        there.launch(name, 1, threads, shared=shared, parameters=struct.pack("<Q", address_of(memory)))
    finally:
        there.configure()
    return np.frombuffer(memory, np.uint32).copy()


def address_of(memory: Any) -> int:
    return int(np.frombuffer(memory, np.uint8).ctypes.data)


THREADS = np.arange(64)
LEFT_BY = {
    "barrier": THREADS ^ 32, "warp_barrier": THREADS ^ 1, "read_then_write": THREADS ^ 32, "shuffle": THREADS ^ 1,
    "halves": THREADS ^ 2, "counting": 64 * (THREADS == 0), "generic": THREADS,
}  # fmt: skip


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", GOOD)
def test_kernels_that_keep_to_the_rules_run_in_any_order(loaded: Machine, name: str, order: int) -> None:
    loaded.configure(order=order)
    np.testing.assert_array_equal(run(loaded, name), LEFT_BY[name])


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("name", BAD)
def test_what_cuda_forbids_is_seen(loaded: Machine, name: str, order: int) -> None:
    """By a sentence that says which kernel, instruction and thread."""
    loaded.configure(order=order)
    with pytest.raises(Fault, match=BAD[name][1]) as caught:
        run(loaded, name)
    assert str(caught.value).startswith(f"{name}, written.ptx line ")
    assert ", block 0, thread " in str(caught.value)
    np.testing.assert_array_equal(run(loaded, "barrier"), LEFT_BY["barrier"])  # the machine goes on


def test_blocks_have_shared_memory_of_their_own(loaded: Machine) -> None:
    loaded.launch("own_room", 5, 64, shared=1024, parameters=bytes(8))


def test_blocks_of_a_launch_are_in_no_order(loaded: Machine) -> None:
    memory = loaded.memory(4 * 64, 0)
    parameters = struct.pack("<Q", address_of(memory))
    loaded.launch("shuffle", 1, 64, parameters=parameters)
    loaded.launch("shuffle", 1, 64, parameters=parameters)  # launches are in one
    with pytest.raises(Fault, match=r"block 1, thread \d+: writes what a thread of another block wrote at"):
        loaded.launch("shuffle", 2, 64, parameters=parameters)


def test_launches_that_cuda_refuses_are_refused(loaded: Machine) -> None:
    for name, threads, shared, said in (
        (
            "barrier",
            64,
            49153,
            r"49153 bytes of shared memory, of which it may have 49152: cudaFuncSet",
        ),
        ("barrier", 96, 1024, r"barrier is launched with 96 threads, its launch bounds allow 64"),
        ("unbounded", 288, 0, r"has no launch bounds, so that 288 threads may need more registers than there are"),
        ("unbounded", 2048, 0, r"cannot be launched with 1 blocks of 2048 threads"),
        ("unbounded", 0, 0, r"cannot be launched with 1 blocks of 0 threads"),
        ("nothing", 32, 0, r"no PTX of nothing has been loaded"),
    ):
        with pytest.raises(Fault, match=said):
            run(loaded, name, threads, shared)
    run(loaded, "unbounded", 256, 0)
    with pytest.raises(Fault, match=r"of 33 threads|where there is no thread"):
        run(loaded, "shuffle", 33)
    with pytest.raises(Fault, match=r"cannot have 232449 bytes of shared memory: there are 232448"):
        loaded.opt_in("barrier", 232449)


def test_more_shared_memory_has_to_be_asked_for(loaded: Machine) -> None:
    loaded.opt_in("generic", 100_000)
    np.testing.assert_array_equal(run(loaded, "generic", shared=100_000), LEFT_BY["generic"])
    with pytest.raises(Fault, match=r"100004 bytes of shared memory, of which it may have 100000"):
        run(loaded, "generic", shared=100_004)


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_is_not_known_is_said_with_its_line(text: str) -> None:
    whole = HEAD + source({"unknown": text + " ret;"})
    line = 1 + whole.splitlines().index(text)
    with pytest.raises(opcodes.PtxError, match=UNKNOWN[text]) as caught:
        translate.translate(translate.parse(whole, "written.ptx"))
    assert f"written.ptx line {line}: " in str(caught.value)


def test_the_translator_says_so_as_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, out = tmp_path / "some.ptx", tmp_path / "some.cpp"
    place.write_text(HEAD + source({"one": "ret;"}))
    assert translate.main([str(out), str(place)]) == 0
    assert "1 kernels" in capsys.readouterr().out
    place.write_text(HEAD + source({"one": "trap;"}))
    assert translate.main([str(out), str(place)]) == 1
    assert "some.ptx line" in capsys.readouterr().err


# ---- instructions ---------------------------------------------------------------------------------------------------

NAN, INFINITY = 0x7FC00000, 0x7F800000
ONE, TWO, MINUS_ZERO = 0x3F800000, 0x40000000, 0x80000000
# instruction on %r6, %r7 (or %f6, %f7, %rd6, %rd7), what they hold, what comes out in %r5, %f5 or %rd5
TABLE: list[tuple[str, int, int, int]] = [
    ("add.s32 %r5, %r6, %r7", 0x7FFFFFFF, 1, 0x80000000),
    ("sub.s32 %r5, %r6, %r7", 0, 1, 0xFFFFFFFF),
    ("mul.lo.s32 %r5, %r6, %r7", 0x10001, 0x10001, 0x20001),
    ("mul.hi.u32 %r5, %r6, %r7", 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE),
    ("mul.hi.s32 %r5, %r6, %r7", 0xFFFFFFFF, 2, 0xFFFFFFFF),
    ("mad.lo.s32 %r5, %r6, %r7, %r6", 3, 5, 18),
    ("div.u32 %r5, %r6, %r7", 0xFFFFFFFF, 2, 0x7FFFFFFF),
    ("div.s32 %r5, %r6, %r7", 0xFFFFFFF9, 2, 0xFFFFFFFD),
    ("div.s32 %r5, %r6, %r7", 0x80000000, 0xFFFFFFFF, 0x80000000),
    ("rem.u32 %r5, %r6, %r7", 17, 5, 2),
    ("rem.s32 %r5, %r6, %r7", 0xFFFFFFF9, 2, 0xFFFFFFFF),
    ("min.u32 %r5, %r6, %r7", 0xFFFFFFFF, 1, 1),
    ("min.s32 %r5, %r6, %r7", 0xFFFFFFFF, 1, 0xFFFFFFFF),
    ("max.s32 %r5, %r6, %r7", 0xFFFFFFFF, 1, 1),
    ("neg.s32 %r5, %r6", 5, 0, 0xFFFFFFFB),
    ("and.b32 %r5, %r6, %r7", 12, 10, 8),
    ("or.b32 %r5, %r6, %r7", 12, 10, 14),
    ("xor.b32 %r5, %r6, %r7", 12, 10, 6),
    ("not.b32 %r5, %r6", 12, 0, 0xFFFFFFF3),
    ("shl.b32 %r5, %r6, %r7", 3, 4, 48),
    ("shl.b32 %r5, %r6, %r7", 3, 32, 0),
    ("shr.u32 %r5, %r6, %r7", 0x80000000, 31, 1),
    ("shr.u32 %r5, %r6, %r7", 0x80000000, 40, 0),
    ("shr.s32 %r5, %r6, %r7", 0x80000000, 31, 0xFFFFFFFF),
    ("shr.s32 %r5, %r6, %r7", 0x80000000, 99, 0xFFFFFFFF),
    ("bfi.b32 %r5, %r6, %r7, 8, 16", 0xFFFF1234, 0xAAAAAAAA, 0xAA1234AA),
    ("bfi.b32 %r5, %r6, %r7, 24, 16", 0xFFFF1234, 0xAAAAAAAA, 0x34AAAAAA),
    ("bfi.b32 %r5, %r6, %r7, 0, 32", 0xFFFF1234, 0xAAAAAAAA, 0xFFFF1234),
    ("bfi.b32 %r5, %r6, %r7, 32, 8", 0xFFFF1234, 0xAAAAAAAA, 0xAAAAAAAA),
    ("bfi.b32 %r5, %r6, %r7, 8, 0", 0xFFFF1234, 0xAAAAAAAA, 0xAAAAAAAA),
    ("cvt.u32.u8 %r5, %r6", 0x1FF, 0, 0xFF),
    ("cvt.s32.s8 %r5, %r6", 0x80, 0, 0xFFFFFF80),
    ("cvt.s32.s16 %r5, %r6", 0x18000, 0, 0xFFFF8000),
    ("cvt.rn.f32.s32 %f5, %r6", 0xFFFFFFFF, 0, 0xBF800000),
    ("cvt.rn.f32.s32 %f5, %r6", 16777217, 0, 0x4B800000),
    ("cvt.rn.f32.u32 %f5, %r6", 0xFFFFFFFF, 0, 0x4F800000),
    ("cvt.rzi.s32.f32 %r5, %f6", 0xBFC00000, 0, 0xFFFFFFFF),
    ("cvt.rzi.s32.f32 %r5, %f6", INFINITY, 0, 0x7FFFFFFF),
    ("cvt.rzi.u32.f32 %r5, %f6", 0xBF800000, 0, 0),
    ("cvt.rzi.u32.f32 %r5, %f6", NAN, 0, 0),
    ("add.rn.f32 %f5, %f6, %f7", ONE, 0x33800000, ONE),
    ("sub.rn.f32 %f5, %f6, %f7", ONE, TWO, 0xBF800000),
    ("mul.rn.f32 %f5, %f6, %f7", 0x00800000, 0x3F000000, 0x00400000),
    ("div.rn.f32 %f5, %f6, %f7", ONE, 0x40400000, 0x3EAAAAAB),
    ("fma.rn.f32 %f5, %f6, %f6, %f7", 0x3F800001, 0xBF800002, 0x28800000),
    ("rcp.rn.f32 %f5, %f6", 0x40400000, 0, 0x3EAAAAAB),
    ("rcp.rn.f32 %f5, %f6", 0x80000000, 0, 0xFF800000),
    ("sqrt.rn.f32 %f5, %f6", TWO, 0, 0x3FB504F3),
    ("neg.f32 %f5, %f6", 0, 0, MINUS_ZERO),
    ("abs.f32 %f5, %f6", MINUS_ZERO, 0, 0),
    ("max.f32 %f5, %f6, %f7", NAN, ONE, ONE),
    ("max.f32 %f5, %f6, %f7", MINUS_ZERO, 0, 0),
    ("min.f32 %f5, %f6, %f7", ONE, NAN, ONE),
    ("min.f32 %f5, %f6, %f7", 0, MINUS_ZERO, MINUS_ZERO),
    ("mov.f32 %f5, 0fC0490FDB", 0, 0, 0xC0490FDB),
    ("mov.f32 %f5, 0fFF800000", 0, 0, 0xFF800000),
    ("mov.b32 %r5, %f6", NAN, 0, NAN),
    ("mov.b32 %f5, %r6", NAN, 0, NAN),
    *((f"setp.{name}.u32 %p5, %r6, %r7", 0xFFFFFFFF, 1, says) for name, says in
      (("eq", 0), ("ne", 1), ("lt", 0), ("le", 0), ("gt", 1), ("ge", 1))),
    *((f"setp.{name}.s32 %p5, %r6, %r7", 0xFFFFFFFF, 1, says) for name, says in
      (("eq", 0), ("ne", 1), ("lt", 1), ("le", 1), ("gt", 0), ("ge", 0))),
    *((f"setp.{name}.f32 %p5, %f6, %f7", NAN, ONE, says) for name, says in
      (("eq", 0), ("ne", 0), ("lt", 0), ("le", 0), ("gt", 0), ("ge", 0), ("equ", 1), ("neu", 1), ("ltu", 1), ("leu", 1),
       ("gtu", 1), ("geu", 1), ("num", 0), ("nan", 1))),
    *((f"setp.{name}.f32 %p5, %f6, %f7", ONE, TWO, says) for name, says in
      (("eq", 0), ("ne", 1), ("lt", 1), ("le", 1), ("gt", 0), ("ge", 0), ("equ", 0), ("neu", 1), ("ltu", 1), ("leu", 1),
       ("gtu", 0), ("geu", 0), ("num", 1), ("nan", 0))),
]  # fmt: skip


def computed(instruction: str) -> str:
    """Statements that leave what an instruction makes of the first two words in the thread's word."""
    begin = "ld.global.u32 %r6, [%rd2]; ld.global.u32 %r7, [%rd2+4]; mov.b32 %f6, %r6; mov.b32 %f7, %r7; "
    end = {"r": "", "f": "mov.b32 %r5, %f5; ", "p": "selp.u32 %r5, 1, 0, %p5; "}[instruction.split("%")[1][0]]
    return begin + instruction + "; " + end + "st.global.u32 [%rd2+8], %r5; ret;"


ARITHMETIC = {f"row_{i}": computed(row[0]) for i, row in enumerate(TABLE)} | {
    "wide": "ld.global.u32 %r6, [%rd2]; ld.global.u32 %r7, [%rd2+4]; mul.wide.s32 %rd5, %r6, %r7; "
    "shr.s64 %rd6, %rd5, 60; cvt.s64.s32 %rd7, %r6; mad.lo.s64 %rd8, %rd7, %rd6, %rd5; cvt.rn.f64.s64 %fd1, %rd8; "
    "mov.f64 %fd2, 0d3FE0000000000000; fma.rn.f64 %fd3, %fd1, %fd2, %fd2; cvt.rzi.s64.f64 %rd9, %fd3; "
    "st.global.v2.u32 [%rd2+8], {%r6, %r7}; st.global.u64 [%rd2+16], %rd9; cvt.rn.f32.f64 %f5, %fd3; "
    "cvt.f64.f32 %fd4, %f5; setp.lt.f64 %p5, %fd4, 0d0000000000000000; selp.f64 %fd5, %fd4, %fd2, %p5; "
    "st.global.f64 [%rd2+24], %fd5; ret;",
    "parts": "ld.global.v2.u32 {%r6, %r7}, [%rd2]; mov.b64 %rd5, {%r6, %r7}; shr.u64 %rd6, %rd5, 16; "
    "mov.b64 {%r8, _}, %rd6; st.global.u32 [%rd2+8], %r8; ret;",
    "root": "ld.global.f32 %f6, [%rd2]; rsqrt.approx.ftz.f32 %f5, %f6; st.global.f32 [%rd2+8], %f5; ret;",
}


def given(there: Machine, name: str, *words: int) -> NDArray[np.uint32]:
    """The words that one thread leaves of these."""
    memory = there.memory(4 * 64, 0)
    seen = np.frombuffer(memory, np.uint32)
    seen[: len(words)] = words
    there.launch(name, 1, 1, parameters=struct.pack("<Q", address_of(memory)))
    return seen.copy()


def test_every_instruction_is_what_its_manual_says(loaded: Machine) -> None:
    """Where types, signs, NaN and amounts above the width matter."""
    wrong = []
    for i, (instruction, a, b, expected) in enumerate(TABLE):
        if (found := int(given(loaded, f"row_{i}", a, b)[2])) != expected:
            wrong.append(f"{instruction} of {a:#x}, {b:#x}: {found:#x}, not {expected:#x}")
    assert not wrong, "\n".join(wrong)


def test_doubles_and_long_integers(loaded: Machine) -> None:
    a, b = -1_000_000, 3_000_000
    left = given(loaded, "wide", a & 0xFFFFFFFF, b)
    total = a * b + a * -1
    assert left[2:4].tolist() == [a & 0xFFFFFFFF, b]
    assert left[4:6].view(np.int64)[0] == int(total / 2 + 0.5)
    assert left[6:8].view(np.float64)[0] == float(np.float32(total / 2 + 0.5))


def test_numbers_are_put_together_and_taken_apart(loaded: Machine) -> None:
    assert given(loaded, "parts", 0x12345678, 0x9ABCDEF0)[2] == 0xDEF01234


def test_the_approximate_root_is_as_inexact_as_it_is_told_to_be(loaded: Machine) -> None:
    for most in (0, 1, 2):
        loaded.configure(rsqrt_ulps=most)
        errors = set()
        for x in np.linspace(0.5, 2.0, 40, dtype=np.float32):
            found = int(given(loaded, "root", int(x.view(np.uint32)))[2])
            errors.add(found - int(np.float32(1.0 / np.sqrt(np.float64(x))).view(np.uint32)))
        assert errors == set(range(-most, most + 1))
    loaded.configure()
    for x, root in ((0, INFINITY), (0x00000001, INFINITY), (0x80000001, 0xFF800000)):
        assert int(given(loaded, "root", x)[2]) == root


def test_there_is_a_row_for_every_opcode_once() -> None:
    patterns = [opcode for pattern, _ in opcodes.ROWS for opcode in opcodes.expand(pattern)]
    assert len(patterns) == len(set(patterns)) == len(opcodes.TABLE)
    assert {"ld.volatile.shared.v4.f32", "setp.geu.f64", "cvt.rzi.u32.f64"} <= set(patterns)
    assert "COMPARED" not in "".join(row.code for row in opcodes.TABLE.values())
