"""Object code brought into memory and made ready to run, without a linker of LLVM's.

LLVM's own comes in a library of which 65 MiB stay in memory once it has loaded anything, more than
Python, NumPy and this package together; and loading it takes 60 ms.  What the compiler makes for
x86-64 needs little: its sections one after the other, and 64-bit addresses filled in where it asks
for them (System V ABI, AMD64 supplement, chapter 4).

Only that is done here.  For other object code, other systems, and where memory cannot be made
executable, `linked` answers None, and LLVM's linker is asked.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["linked"]

HEADER = struct.Struct("<4sBB10xHH20xQ10xHHH")  # of a file: what it is, and where its sections are
RELOCATABLE, X86_64 = 1, 62
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
RELOCATION = struct.Struct("<QQq")
ADDRESS = struct.Struct("<Q")
PROGRAM, SYMBOLS, RELOCATIONS, ZEROS = 1, 2, 4, 8  # types of sections
WRITTEN, ALLOCATED = 1, 2  # flags: what a section is in memory
GLOBAL = 1  # a symbol's binding, in the upper half of a byte
ABSOLUTE = 1  # a relocation: the symbol's address, plus a number
READ_AND_RUN = 5  # what may be done with a page


class Section(NamedTuple):
    """An entry of the table of sections."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry: int


class Symbol(NamedTuple):
    """A name, and where in which section it stands; in none if it is outside."""

    name: str
    is_global: bool
    section: int
    value: int


def linked(code: bytes, outside: Mapping[str, int]) -> dict[str, int] | None:
    """Where the functions of an object file are, which calls those that are ``outside``.

    None if it needs more than is done here.
    """
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return None
    if len(code) < HEADER.size:
        return None
    magic, bits, order, kind, processor, begin, size, count, names = HEADER.unpack_from(code)
    expected = (b"\x7fELF", 2, 1, RELOCATABLE, X86_64, SECTION.size)
    if (magic, bits, order, kind, processor, size) != expected:
        return None
    sections = [Section(*SECTION.unpack_from(code, begin + i * size)) for i in range(count)]
    places = _places(code, sections, sections[names])
    if places is None:
        return None
    memory = mmap.mmap(-1, max(1, *(at + sections[i].size for i, at in places.items())))
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for i, place in places.items():
        if sections[i].type == PROGRAM:  # others are zeros
            start = sections[i].offset
            memory[place : place + sections[i].size] = code[start : start + sections[i].size]

    functions = {}
    for table in sections:
        if table.type == SYMBOLS:
            for symbol in _symbols(code, sections, table):
                if symbol.is_global and symbol.section in places:
                    functions[symbol.name] = base + places[symbol.section] + symbol.value
    known = {**outside, **functions}
    for table in sections:
        if table.type == RELOCATIONS and table.info in places:
            symbols = _symbols(code, sections, sections[table.link])
            for i in range(table.size // RELOCATION.size):
                at, what, more = RELOCATION.unpack_from(code, table.offset + i * RELOCATION.size)
                symbol = symbols[what >> 32]
                if symbol.section in places:
                    target = base + places[symbol.section] + symbol.value
                else:
                    target = known.get(symbol.name, 0)
                if not target or what & 0xFFFFFFFF != ABSOLUTE:
                    return None
                ADDRESS.pack_into(memory, places[table.info] + at, target + more & (1 << 64) - 1)
    if ctypes.CDLL(None).mprotect(ctypes.c_void_p(base), len(memory), READ_AND_RUN):
        return None  # a system that lets nobody write programs
    # It is never given back: other threads may run in it while the interpreter comes to its end.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
    return functions


def _places(code: bytes, sections: Sequence[Section], names: Section) -> dict[int, int] | None:
    """Where sections go, one after the other; None if the program writes to some."""
    places, end = {}, 0
    for i, section in enumerate(sections):
        if not section.flags & ALLOCATED or section.type not in (PROGRAM, ZEROS):
            continue
        if _text(code, names, section.name) == ".eh_frame":  # is for exceptions
            continue
        if section.flags & WRITTEN and section.size:
            return None
        places[i] = -(-end // max(1, section.alignment)) * max(1, section.alignment)
        end = places[i] + section.size
    return places


def _symbols(code: bytes, sections: Sequence[Section], table: Section) -> list[Symbol]:
    found = []
    for i in range(table.size // SYMBOL.size):
        name, info, _, section, value, _ = SYMBOL.unpack_from(code, table.offset + i * SYMBOL.size)
        text = _text(code, sections[table.link], name)
        found.append(Symbol(text, info >> 4 == GLOBAL, section, value))
    return found


def _text(code: bytes, texts: Section, at: int) -> str:
    start = texts.offset + at
    return code[start : code.index(b"\0", start)].decode()
