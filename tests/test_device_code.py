"""The budget of the kernels' machine code: what is read of the compiler's output, and what breaks the budget."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / ".ci" / "device_code.py"
spec = importlib.util.spec_from_file_location("device_code", SCRIPT)
assert spec is not None
assert spec.loader is not None
device_code = importlib.util.module_from_spec(spec)
sys.modules["device_code"] = device_code
spec.loader.exec_module(device_code)

# ---- what the tools print -------------------------------------------------------------------------------------------

USAGE = """\

Fatbin elf code:
================
arch = sm_90
code version = [1,8]
host = linux
compile_size = 64bit

Resource usage:
 Common:
  GLOBAL:0
 Function _Z4drawv:
  REG:31 STACK:0 SHARED:0 LOCAL:0 CONSTANT[0]:552 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function _Z6reducev:
  REG:56 STACK:8 SHARED:14448 LOCAL:0 CONSTANT[0]:504 TEXTURE:0 SURFACE:0 SAMPLER:0
"""


def test_usage_is_read_by_function() -> None:
    read = {
        name: tuple(map(numbers.get, ("registers", "shared", "stack")))
        for name, numbers in device_code.parse_usage(USAGE).items()
    }
    assert read == {"_Z4drawv": (31, 0, 0), "_Z6reducev": (56, 14448, 8)}
    assert [(c.name, c.quantity) for c in device_code.spills(device_code.parse_usage(USAGE))] == [
        ("_Z6reducev", "stack")
    ]


@pytest.mark.parametrize(
    ("demangled", "short"),
    [
        (
            "void resmc::cuda::simulate_in_registers<resmc::cuda::Relu, 6u>(resmc::SimulateArguments)",
            "simulate_in_registers<Relu, 6>",
        ),
        (
            "void resmc::cuda::simulate_in_shared<resmc::cuda::Relu, (resmc::Method)1>(resmc::SimulateArguments, int)",
            "simulate_in_shared<Relu, METHOD_DENSE>",
        ),
        ("resmc::cuda::draw_kernel(resmc::DrawArguments)", "draw_kernel"),
        ("void (anonymous namespace)::probe<4u>(unsigned int*)", "probe<4>"),
    ],
)
def test_names_are_short(demangled: str, short: str) -> None:
    assert device_code.short_name(demangled) == short


# A loop over layers 0x30 .. 0xb0 around one over quads, 0x50 .. 0x80. What is far behind is not of the loops: a way
# that returns to 0xa0 from 0xd0, and that of a diverged warp, which returns to 0x40 from 0xf0.
SASS = """\
        Function : _Z4drawv
    .headerflags    @"EF_CUDA_SM90"
        /*0000*/                   LDC R1, c[0x0][0x28] ;                  /* 0x00000a00ff017b82 */
                                                                           /* 0x000ff00000000800 */
        /*0010*/              @!P0 EXIT ;                                  /* 0x000000000000894d */
        /*0020*/               @P1 CALL.REL.NOINC 0xe0 ;                   /* 0x000000d000000947 */
        /*0030*/                   BRA.DIV UR4, 0xf0 ;                     /* 0x000000d000000947 */
        /*0040*/                   MOV R4, RZ ;                            /* 0x000000ff00047202 */
        /*0050*/                   IMAD.WIDE.U32 R2, R5, -0x2daee0ad, RZ ; /* 0xd2511f5305027825 */
        /*0060*/                   MUFU.RSQ R6, R7 ;                       /* 0x0000000700067308 */
        /*0070*/                   MUFU.RSQ R8, R7 ;                       /* 0x0000000700087308 */
        /*0080*/               @P2 BRA 0x50 ;                              /* 0xfffffd0000002947 */
        /*0090*/               @P3 BRA 0xd0 ;                              /* 0x0000003000003947 */
        /*00a0*/                   FFMA R9, R6, R8.reuse, 1.5 ;            /* 0x3fc0000006097423 */
        /*00b0*/              @!P4 BRA P5, 0x30 ;                          /* 0xfffffa000000c947 */
        /*00c0*/                   EXIT ;                                  /* 0x000000000000794d */
        /*00d0*/                   BRA 0xa0 ;                              /* 0xffffff9000007947 */
        /*00e0*/                   RET.REL.NODEC R20 0x0 ;                 /* 0xffffff0014007950 */
        /*00f0*/                   BRA 0x40 ;                              /* 0xfffffe8000007947 */
        /*0100*/                   BRA 0x100;                              /* 0xfffffffc00fc7947 */
        /*0110*/                   NOP;                                    /* 0x0000000000007918 */
"""


def test_loops_are_found() -> None:
    code = device_code.parse_sass(SASS)["_Z4drawv"]
    assert len(code) == 17
    bodies = sorted(sorted(code[i].address for i in body) for body in device_code.loops(code))
    assert bodies == [[*range(0x30, 0xC0, 0x10), 0xD0], list(range(0x50, 0x90, 0x10))]


def test_the_hot_loop_is_that_over_quads_unless_they_are_unrolled() -> None:
    code = device_code.parse_sass(SASS)["_Z4drawv"]
    quads = device_code.hot_loop("draw", code)
    assert +quads == {"instructions": 4, "imad_wide": 1, "mufu": 2, "roots": 2, "other": 1}
    layers = device_code.hot_loop("simulate_in_registers<Relu, 1>", code)
    assert (layers["instructions"], layers["fp32"], layers["alu"]) == (10, 1, 1)
    assert device_code.hot_loop("draw", code[:2]) == {}


def test_a_quad_costs_the_slope_or_its_part_of_the_loop() -> None:
    mixes = {
        "simulate_in_registers<Relu, 1>": {"instructions": 380, "fp32": 100, "roots": 3},
        "simulate_in_registers<Relu, 6>": {"instructions": 1242, "fp32": 450, "roots": 13},
        "simulate_in_registers<Relu, 8>": {"instructions": 1591, "fp32": 605, "roots": 17},
        "simulate_in_shared<Relu, METHOD_PROJECTED>": {"instructions": 362, "fp32": 148, "roots": 4},
        "fold_kernel": {"instructions": 216, "fp32": 0, "roots": 0},
    }
    costs = device_code.per_quad({name: device_code.Counter(counts) for name, counts in mixes.items()})
    assert {name: (cost["instructions"], cost["fp32"]) for name, cost in costs.items()} == {
        "simulate_in_registers<Relu>": (173.0, 72.14),
        "simulate_in_registers<Relu, 6>": (207.0, 75.0),
        "simulate_in_shared<Relu, METHOD_PROJECTED>": (181.0, 74.0),
    }


# ---- the budget -----------------------------------------------------------------------------------------------------

NAME = "simulate_in_registers<Relu, 8>"
FAMILY = "simulate_in_registers<Relu>"


def result(registers: int = 72, stack: int = 0, instructions: float = 173.0) -> dict[str, Any]:
    kernel = {"registers": registers, "shared": 0, "stack": stack}
    return {"kernels": {NAME: kernel}, "per_quad": {FAMILY: {"instructions": instructions}}}


def failures(stored: dict[str, Any], measured: dict[str, Any], same_compiler: bool = True) -> list[str]:
    """Names of what fails; the others are only told."""
    return [change.name for change in device_code.compare(stored, measured, same_compiler) if change.fails]


def test_what_is_as_it_was_passes() -> None:
    assert device_code.compare(result(), result(), True) == []


@pytest.mark.parametrize(
    ("measured", "name"),
    [
        (result(registers=73), NAME),
        (result(stack=8), NAME),
        (result(instructions=176.6), FAMILY),
    ],
)
def test_what_is_over_budget_fails_by_name(
    measured: dict[str, Any], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failures(result(), measured) == [name]
    assert not device_code.report("sm_90", device_code.compare(result(), measured, True))
    printed = capsys.readouterr().out
    assert "FAILED" in printed
    assert name in printed


def test_a_little_more_or_less_is_only_told(capsys: pytest.CaptureFixture[str]) -> None:
    for measured, verdict in ((result(instructions=176.4), "within budget"), (result(60), "better; consider --update")):
        changes = device_code.compare(result(), measured, True)
        assert device_code.report("sm_90", changes)
        assert verdict in capsys.readouterr().out


def test_new_and_missing_kernels_fail() -> None:
    none: dict[str, Any] = {"kernels": {}, "per_quad": {}}
    assert failures(none, result()) == failures(result(), none) == failures({}, result()) == [NAME, FAMILY]


def test_another_compiler_may_count_otherwise_but_not_spill() -> None:
    assert failures(result(), result(registers=80, instructions=250.0), same_compiler=False) == []
    assert len(device_code.compare(result(), result(registers=80, instructions=250.0), False)) == 2
    assert failures(result(), result(registers=88), same_compiler=False) == [NAME]
    assert failures(result(), result(stack=8), same_compiler=False) == [NAME]


def test_the_data_file_has_a_line_for_each_kernel() -> None:
    data = {"nvcc": "13.0.88", "sm_90": result()}
    text = device_code.dump(data)
    assert json.loads(text) == data
    assert len([line for line in text.splitlines() if "simulate_in_registers" in line]) == 2


def test_the_stored_budget_excuses_no_spill() -> None:
    stored = json.loads((SCRIPT.parents[1] / "tests" / "data" / "device_code.json").read_text())
    for architecture, kernels in stored.items():
        if architecture != "nvcc":
            assert failures(kernels, kernels) == []
