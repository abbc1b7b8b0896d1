"""Translates the PTX that nvcc makes of kernels into C++, a function for each, which machine.hpp runs on a CPU.

    python tests/native/ptx/translate.py OUTPUT.cpp FILE.ptx...

Every instruction is a row of `ROWS` in opcodes.py, after NVIDIA's "PTX ISA", with its modifiers and types in full.
What is in no row, be it an instruction, an operand or a directive, ends the translation with a sentence that says where
it stands: nothing is skipped, nothing guessed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from opcodes import C_TYPES, EXPORTED, SPACES, SPECIAL, TABLE, Instruction, PtxError, real, register_type, width

# ---- what a file holds ----------------------------------------------------------------------------------------------


class Entry:
    """A kernel: its parameters, registers, shared memory and instructions, and the file's extern shared memory."""

    def __init__(self, file: str, name: str, extern: set[str]) -> None:
        self.file, self.name, self.extern = file, name, extern
        self.parameters: dict[str, tuple[int, int]] = {}  # offset and bytes
        self.registers: dict[str, str] = {}  # types, by name; names of many without their number
        self.declared: list[tuple[str, str]] = []  # type and name in C++
        self.shared: dict[str, int] = {}  # offsets
        self.shared_bytes = self.parameter_bytes = self.most_threads = 0
        self.body: list[Instruction | str] = []  # a label is text

    @staticmethod
    def _placed(end: int, alignment: int) -> int:
        return -(-end // alignment) * alignment

    def add_parameter(self, name: str, size: int, alignment: int) -> None:
        offset = self._placed(self.parameter_bytes, alignment)
        self.parameters[name] = offset, size
        self.parameter_bytes = offset + size

    def add_shared(self, name: str, size: int, alignment: int) -> None:
        self.shared[name] = self._placed(self.shared_bytes, alignment)
        self.shared_bytes = self.shared[name] + size

    def add_registers(self, kind: str, name: str, count: int | None) -> None:
        """As `.reg .b32 %r<3>;`, which declares %r0 to %r2, or `.reg .pred p;`."""
        self.registers[name] = kind
        names = [name] if count is None else [f"{name}{i}" for i in range(count)]
        self.declared += [(register_type(kind), register(each)) for each in names]


def register(name: str) -> str:
    """A register's name in C++."""
    return "r_" + name.lstrip("%").replace("$", "_")


# Directives of no consequence here: versions, and advice to the compiler behind this one.
IGNORED = re.compile(r"\.(version|target|address_size|pragma|minnctapersm)\b.*")
EXTERN_SHARED = re.compile(r"\.extern \.shared \.align \d+ \.b8 ([\w$]+)\[\];")
ENTRY = re.compile(r"(?:\.visible )?\.entry ([\w$]+)\s*\(?")
PARAMETER = re.compile(
    r"\.param (?:\.align (\d+) )?\.(\w+) (?:\.ptr (?:\.global )?(?:\.align \d+ )?)?([\w$]+)(?:\[(\d+)\])?,?"
)
REGISTERS = re.compile(r"\.reg \.(\w+)\s+(%?[\w$]+)(?:<(\d+)>)?;")
SHARED = re.compile(r"\.shared \.align (\d+) \.b8 ([\w$]+)\[(\d+)\];")
MAXNTID = re.compile(r"\.maxntid (\d+)(?:, 1){0,2}")
LABEL = re.compile(r"([\w$]+):")
INSTRUCTION = re.compile(r"(?:@!?%?\w+\s+)?([a-z][\w.]*)\s*(.*?);")


def parse(text: str, file: str) -> list[Entry]:
    """The kernels of a file; raises PtxError where a line is none of those that nvcc makes of our kernels."""
    entries: list[Entry] = []
    extern: set[str] = set()
    inside = False
    uncommented = re.sub(r"/\*.*?\*/", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)
    for number, whole in enumerate(uncommented.splitlines(), 1):
        line = " ".join(whole.partition("//")[0].split())
        entry = entries[-1] if entries else None
        if not line or line in ("(", ")") or IGNORED.fullmatch(line):
            continue
        if found := EXTERN_SHARED.fullmatch(line):
            extern.add(found[1])
        elif found := ENTRY.fullmatch(line):
            entries.append(Entry(file, found[1], extern))
        elif entry is None:
            raise PtxError(f"{file} line {number}: '{line}' is not understood before the first kernel")
        elif (found := PARAMETER.fullmatch(line)) and not inside and found[2] in C_TYPES:
            one = width(found[2]) // 8
            entry.add_parameter(found[3], one * int(found[4] or 1), int(found[1] or one))
        elif (found := MAXNTID.fullmatch(line)) and not inside:
            entry.most_threads = int(found[1])
        elif line == "{" and not inside:
            inside = True
        elif line == "}" and inside:
            inside = False
        elif not inside:
            raise PtxError(f"{file} line {number}: '{line}' is not understood outside of a kernel's body")
        elif (found := REGISTERS.fullmatch(line)) and found[1] in C_TYPES:
            entry.add_registers(found[1], found[2], int(found[3]) if found[3] else None)
        elif found := SHARED.fullmatch(line):
            entry.add_shared(found[2], int(found[3]), int(found[1]))
        elif found := LABEL.fullmatch(line):
            entry.body.append(found[1])
        elif found := INSTRUCTION.fullmatch(line):
            entry.body.append(Instruction(number, line[:-1], found[1], operands(found[2])))
        else:
            raise PtxError(f"{file} line {number}: '{line}' is not understood")
    return entries


def operands(text: str) -> list[str]:
    """What stands between commas, but for those in braces or brackets."""
    return [part.strip() for part in re.findall(r"(?:\{[^}]*\}|\[[^\]]*\]|[^,{\[])+", text)]


# ---- C++ ------------------------------------------------------------------------------------------------------------


class Translation:
    """One kernel's function; the methods are what the forms of rows are written with."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.sites: list[Instruction] = []

    def not_understood(self, instruction: Instruction, why: str) -> PtxError:
        """The error that an instruction makes."""
        return PtxError(f"{self.entry.file} line {instruction.line}: the instruction '{instruction.text}' {why}")

    def exactly(self, instruction: Instruction, count: int) -> list[str]:
        """The operands, if there are so many."""
        if len(instruction.operands) != count:
            raise self.not_understood(instruction, f"has {len(instruction.operands)} operands, not {count}")
        return instruction.operands

    def site(self, instruction: Instruction) -> int:
        """The number of an instruction that can fail."""
        self.sites.append(instruction)
        return len(self.sites) - 1

    @staticmethod
    def label(name: str) -> str:
        return "at_" + name.replace("$", "_")

    @staticmethod
    def elements(text: str) -> list[str]:
        """The registers of a vector, or the one."""
        return [part.strip() for part in text.strip("{} ").split(",")]

    def declared(self, name: str) -> str | None:
        """The type of a register, if it is one."""
        return self.entry.registers.get(name) or self.entry.registers.get(re.sub(r"\d+$", "", name))

    def value(self, instruction: Instruction, text: str, kind: str) -> str:
        """An operand, read as of a type: a register of that width, or for integers a wider one's lower part."""
        to = C_TYPES[kind]
        if text in SPECIAL and width(kind) == 32:
            return f"{to}({SPECIAL[text]})"
        declared = self.declared(text)
        if declared is not None:
            own = register_type(declared)
            if own == to:
                return register(text)
            if width(declared) == width(kind) and "float" not in (own, to) and "double" not in (own, to):
                return f"{to}({register(text)})"
            if width(declared) == width(kind):
                return f"as_{to}({register(text)})" if kind[0] == "f" else f"{to}(as_bits({register(text)}))"
            if width(declared) > width(kind) > 1 and declared[0] != "f" and kind[0] != "f":
                return f"{to}({register(text)})"
        elif found := re.fullmatch(r"0[fF]([0-9a-fA-F]{8})|0[dD]([0-9a-fA-F]{16})", text):
            if width(kind) == (32 if found[1] else 64):
                return real(found[1] or found[2]) if kind[0] == "f" else f"{to}(0x{found[1] or found[2]}u)"
        elif re.fullmatch(r"-?(0[xX][0-9a-fA-F]+|\d+)U?", text) and kind[0] != "f":
            number = int(text.rstrip("U"), 0) & ((1 << width(kind)) - 1)
            return ("true" if number else "false") if kind == "pred" else f"{to}(UINT64_C({number}))"
        elif (address := self.symbol(text)) is not None and width(kind) >= 32:
            return f"{to}({address})"
        raise self.not_understood(instruction, f"has an operand '{text}' that is not understood as .{kind}")

    def symbol(self, name: str) -> int | None:
        """The address of a parameter, or of shared memory, in its space."""
        if name in self.entry.parameters:
            return self.entry.parameters[name][0]
        if name in self.entry.shared:
            return self.entry.shared[name]
        return -(-self.entry.shared_bytes // 16) * 16 if name in self.entry.extern else None

    def set(self, instruction: Instruction, to: str, kind: str, code: str) -> str:
        """A register becomes an expression's value, which is of a type; into a wider one by its sign."""
        if to == "_":
            return ""
        declared, given = self.declared(to), C_TYPES[kind]
        if declared is not None:
            own = register_type(declared)
            if own == given:
                return f"{register(to)} = {code};"
            if width(declared) == width(kind) and (declared[0] == "f" or kind[0] == "f"):
                return f"{register(to)} = {f'as_{own}' if declared[0] == 'f' else 'as_bits'}({code});"
            if width(declared) >= width(kind) > 1 and declared[0] != "f" and kind[0] != "f":
                return f"{register(to)} = {own}({given}({code}));"
        raise self.not_understood(instruction, f"writes to '{to}', which is not understood as .{kind}")

    def access(self, use: str, instruction: Instruction, address: str, kind: str, count: int) -> str:
        """Where so many neighbours of a type are on the host."""
        found = re.fullmatch(r"\[([%\w$]+)(?:\s*\+\s*(-?\d+))?\]", address)
        space = next((part for part in instruction.opcode.split(".") if part in SPACES), "")
        declared = self.declared(found[1]) if found else None
        if not found or (declared is None and self.symbol(found[1]) is None):
            raise self.not_understood(instruction, f"has an address '{address}' that is not understood")
        wide = declared if declared in ("b64", "u64", "s64") else "u32"
        base = self.value(instruction, found[1], "u64" if wide != "u32" else "u32")
        site, size = self.site(instruction), count * width(kind) // 8
        at = f"{base} + {C_TYPES['u64' if wide != 'u32' else 'u32']}(INT64_C({found[2] or 0}))"
        return f"t.{use}(Space::{SPACES[space]}, {at}, {size}, {site})"

    def statement(self, instruction: Instruction) -> str:
        """One instruction, with its guard."""
        row = TABLE.get(instruction.opcode)
        if row is None:
            raise self.not_understood(instruction, f"is unknown: {instruction.opcode} is in no row of the table")
        guard = re.match(r"@(!?)(%?\w+)", instruction.text)
        code = row.form(self, row, instruction)
        if guard is None:
            return f"{{ {code} }}"
        return f"if ({guard[1]}{self.value(instruction, guard[2], 'pred')}) {{ {code} }}"

    def function(self, number: int) -> str:
        """The kernel's function, and its tables. Registers that PTX leaves undefined begin as what nobody wants."""
        body = [
            self.statement(one) if isinstance(one, Instruction) else f"{self.label(one)}:;" for one in self.entry.body
        ]
        declared = [f"{kind} {name} = {kind}(-21555);" for kind, name in self.entry.declared]
        parameters = ", ".join(f"{{{offset}, {size}}}" for offset, size in self.entry.parameters.values())
        sites = ", ".join(f'{{{one.line}, "{one.text}"}}' for one in self.sites)
        return "\n".join([
            f"void run_{number}(Thread& t) {{", *declared, *body, "}",
            f"const Parameter parameters_{number}[] = {{{parameters or '{0, 0}'}}};",
            f"const Site sites_{number}[] = {{{sites or '{0, nullptr}'}}};\n",
        ])  # fmt: skip

    def program(self, number: int) -> str:
        """The kernel's row of the list of programs."""
        e = self.entry
        return (
            f'    {{"{e.name}", "{e.file}", run_{number}, {e.most_threads}, {e.shared_bytes}, {e.parameter_bytes}, '
            f"{len(e.parameters)}, parameters_{number}, sites_{number}}},"
        )


def translate(entries: Iterable[Entry]) -> str:
    """The C++ of some kernels: compiled as a shared library it is what `Machine::load` takes."""
    translations = [Translation(entry) for entry in entries]
    functions = [translation.function(number) for number, translation in enumerate(translations)]
    programs = [translation.program(number) for number, translation in enumerate(translations)]
    return "\n".join([
        '#include "program.hpp"', "namespace {", "using namespace ptx;", *functions, "}",
        f"extern {EXPORTED} const Program ptx_programs[] = {{", *programs, "};",
        f"extern {EXPORTED} const uint32_t ptx_program_count = {len(programs)};\n",
    ])  # fmt: skip


def main(arguments: list[str]) -> int:
    """Everything; returns the exit status."""
    if len(arguments) < 2:
        print(__doc__)
        return 2
    try:
        entries = [entry for file in arguments[1:] for entry in parse(Path(file).read_text(), Path(file).name)]
        Path(arguments[0]).write_text(translate(entries))
    except PtxError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(entries)} kernels, {sum(len(entry.body) for entry in entries)} instructions and labels")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
