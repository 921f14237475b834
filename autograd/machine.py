"""Machine code without the compiler that made it.

Numba takes 0.3 s and 60 MiB to load, and all that is needed of it from the second process on is a
piece of machine code.  So what is kept on disk is the object code of a kernel behind an *entry*, a
function of C: ``entry(table, start, stop, member)``.  The table says for each argument which NumPy
array or number it is; the entry checks type, axes and layout of the arrays, where they stand, and
passes them on as Numba's calling convention wants them.  LLVM's linker, which `llvmlite` brings,
loads it.

An argument can be *cut*: then the kernel is given its rows from ``start·step`` to ``stop·step``,
so that one call by a thread is one part of the work; or, if the step is below 0, so many rows for
each member of the crew (`crew`) that computes, whatever the part.

All of it is optional: `pack` and `load` answer None where anything is not as expected, and the
kernel is Numba's own.
"""

from __future__ import annotations

import ctypes
import json
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from .linker import linked

__all__ = ["ENTRY", "PARAMETERS", "Machine", "assemble", "load", "pack"]

Array = np.ndarray[Any, Any]
ndarray = np.ndarray

HEAD = object.__basicsize__  # of a Python object; then come data, ndim, dimensions, strides, …
CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400  # NumPy's flags
PARAMETERS = "ptr %table, i64 %start, i64 %stop, i64 %member"  # of an entry, in LLVM's language
MISFIT = -1  # what an entry returns when an array is not what its kernel takes

# What the C library has under the same name everywhere.
CALLABLE = {"memcpy", "memmove", "memset"} | {
    name + kind
    for kind in ("", "f")
    for name in (
        *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "erf", "erfc"),
        *("exp", "exp2", "expm1", "fmod", "hypot", "ldexp", "lgamma", "log", "log10", "log1p"),
        *("log2", "pow", "rint", "sin", "sinh", "sqrt", "tan", "tanh", "tgamma"),
        *("cbrt", "ceil", "copysign", "fabs", "floor", "fmax", "fmin", "nearbyint", "trunc"),
    )
}


# ---------------------------------------------------------------- from the compiler to the disk


def pack(lowered: Any, wide: bool = False) -> bytes | None:
    """The object code of what `lowering` made; None where it needs more than the C library."""
    import llvmlite.binding as llvm
    from numba import types

    kinds: list[Any] = []  # for each argument [type, axes, whether it is written], or its type
    for t in lowered.signature.args:
        if isinstance(t, types.Array) and t.layout == "C" and str(t.dtype) in SIZES:
            kinds.append([str(t.dtype), t.ndim, t.mutable])
        elif isinstance(t, (types.Float, types.Integer, types.Boolean)):
            kinds.append("d" if isinstance(t, types.Float) else "q")
        else:
            return None
    name = lowered.fndesc.llvm_func_name
    module = lowered.library._final_module
    numbers = [str(a.type) for a in module.get_function(name).arguments]
    entry = _entry(name, kinds, numbers)
    if entry is None:
        return None
    module.link_in(llvm.parse_assembly(entry))
    for function in module.functions:
        if not function.is_declaration and function.name != "entry":
            function.linkage = "internal"
    codegen = lowered.library.codegen
    machine = _widest(codegen) if wide else codegen._tm
    settings = llvm.create_pipeline_tuning_options(speed_level=2)
    settings.loop_vectorization = True
    passes = llvm.create_pass_builder(machine, settings)
    passes.getModulePassManager().run(module, passes)
    outside = {f.name for f in module.functions if f.is_declaration}
    outside = {n for n in outside if not n.startswith("llvm.")}
    if not outside <= CALLABLE:
        return None
    facts = {"kinds": kinds, "outside": sorted(outside), "names": ["entry"]}
    return json.dumps(facts).encode() + b"\n" + machine.emit_object(module)  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def _widest(codegen: Any) -> Any:
    """Numba's own target, with the longest vectors of processors that are not slowed down by them.

    LLVM prefers half of AVX-512, because its first processors lowered their clock for the whole.
    """
    import llvmlite.binding as llvm

    options: dict[str, Any] = {"opt": 3}
    codegen._customize_tm_options(options)
    if "+avx512vbmi2" in options["features"]:
        options["features"] += ",-prefer-256-bit"
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(**options)


SIZES = {"float32": 4, "float64": 8, "int64": 8, "int32": 4, "uint8": 1, "int8": 1, "uint32": 4,
         "uint64": 8, "int16": 2, "uint16": 2}  # fmt: skip


def _entry(name: str, kinds: list[Any], types: list[str]) -> str | None:
    """The text of an entry in LLVM's language; None if the function takes other arguments."""
    lines: list[str] = []
    say = lines.append
    passed = ["ptr %result", "ptr %trouble"]
    slot = len(kinds)  # where the next array's type and cut stand, below all arguments

    def load(to: str, kind: str, of: str, offset: int) -> None:
        say(f"{to}_p = getelementptr i8, ptr {of}, i64 {offset}")
        say(f"{to} = load {kind}, ptr {to}_p")

    for k, kind in enumerate(kinds):
        if isinstance(kind, str):
            wanted = types[len(passed)] if len(passed) < len(types) else ""
            whole = "double" if kind == "d" else "i64"
            turn = (
                {"float": "fptrunc"} if kind == "d" else dict.fromkeys(("i32", "i8", "i1"), "trunc")
            )
            load(f"%n{k}", whole, "%table", 8 * k)
            if wanted != whole:
                if wanted not in turn:
                    return None
                say(f"%m{k} = {turn[wanted]} {whole} %n{k} to {wanted}")
            passed.append(f"{wanted} %{'n' if wanted == whole else 'm'}{k}")
            continue
        dtype, ndim, written = kind
        size = SIZES[dtype]
        load(f"%o{k}", "ptr", "%table", 8 * k)
        load(f"%t{k}", "i64", "%table", 8 * slot)
        load(f"%c{k}", "i64", "%table", 8 * slot + 8)
        slot += 2
        load(f"%a{k}", "i64", f"%o{k}", HEAD)
        load(f"%d{k}", "i32", f"%o{k}", HEAD + 8)
        load(f"%s{k}", "ptr", f"%o{k}", HEAD + 16)
        load(f"%e{k}", "i64", f"%o{k}", HEAD + 40)
        load(f"%f{k}", "i32", f"%o{k}", HEAD + 48)
        flags = CONTIGUOUS | ALIGNED | (WRITEABLE if written else 0)
        say(f"%g{k} = and i32 %f{k}, {flags}")
        say(f"%x{k} = icmp eq i32 %g{k}, {flags}")
        say(f"%y{k} = icmp eq i32 %d{k}, {ndim}")
        say(f"%z{k} = icmp eq i64 %e{k}, %t{k}")
        say(f"%v{k} = and i1 %x{k}, %y{k}")
        say(f"%w{k} = and i1 %v{k}, %z{k}")
        say(f"br i1 %w{k}, label %fits{k}, label %misfit")
        say(f"fits{k}:")
        for axis in range(ndim):
            load(f"%n{k}_{axis}", "i64", f"%s{k}", 8 * axis)
        if ndim:  # of an array that is cut, the rows of this part or member
            say(f"%own{k} = icmp slt i64 %c{k}, 0")
            say(f"%step{k} = call i64 @llvm.abs.i64(i64 %c{k}, i1 false)")
            say(f"%from{k} = select i1 %own{k}, i64 %member, i64 %start")
            say(f"%r{k}_a = select i1 %own{k}, i64 1, i64 %parts")
            say(f"%r{k}_b = mul i64 %r{k}_a, %step{k}")
            say(f"%r{k}_c = icmp eq i64 %c{k}, 0")
            say(f"%q{k}_0 = select i1 %r{k}_c, i64 %n{k}_0, i64 %r{k}_b")
        steps = [str(size)] * ndim
        for axis in range(ndim - 2, -1, -1):
            say(f"%h{k}_{axis} = mul i64 %n{k}_{axis + 1}, {steps[axis + 1]}")
            steps[axis] = f"%h{k}_{axis}"
        first, sizes = "0", []
        if ndim:
            say(f"%i{k}_a = mul i64 %from{k}, %step{k}")
            say(f"%i{k} = mul i64 %i{k}_a, {steps[0]}")
            first = f"%i{k}"
            sizes = [f"%q{k}_0", *(f"%n{k}_{axis}" for axis in range(1, ndim))]
            say(f"%j{k}_a = mul i64 %q{k}_0, {steps[0]}")
            say(f"%j{k} = sdiv exact i64 %j{k}_a, {size}")
        else:
            say(f"%j{k} = add i64 1, 0")
        say(f"%k{k} = add i64 %a{k}, {first}")
        say(f"%l{k} = inttoptr i64 %k{k} to ptr")
        passed += ["ptr null", "ptr null", f"i64 %j{k}", f"i64 {size}", f"ptr %l{k}"]
        passed += [f"i64 {n}" for n in (*sizes, *steps)]
    if [p.split()[0] for p in passed] != types:
        return None
    body = "\n".join(lines)
    return f"""
declare i32 @{_quoted(name)}({", ".join(types)})

declare i64 @llvm.abs.i64(i64, i1)

define i32 @entry({PARAMETERS}) {{
  %result = alloca i64
  %trouble = alloca ptr
  %parts = sub i64 %stop, %start
{body}
  %status = call i32 @{_quoted(name)}({", ".join(passed)})
  ret i32 %status
misfit:
  ret i32 {MISFIT}
}}
"""


def _quoted(name: str) -> str:
    return f'"{name}"'


# ---------------------------------------------------------------- from the disk to the processor


@lru_cache(maxsize=1)
def _probed() -> bool:
    """Whether a NumPy array is laid out in memory as entries expect."""
    if sys.implementation.name != "cpython" or sys.platform == "win32":
        return False  # Windows's code generator calls for functions that are nowhere
    a = np.zeros((2, 3), np.float32)
    there = id(a) + HEAD
    try:
        data, ndim = (ctypes.c_int64.from_address(there + o).value for o in (0, 8))
        kind, flags = (ctypes.c_int64.from_address(there + o).value for o in (40, 48))
        shape = ctypes.c_int64.from_address(there + 16).value
        second = ctypes.c_int64.from_address(shape + 8).value
    except (ValueError, OSError):
        return False
    wanted = CONTIGUOUS | ALIGNED | WRITEABLE
    expected = (a.ctypes.data, 2, id(a.dtype), wanted, 3)
    return expected == (data, ndim & 0xFFFFFFFF, kind, flags & wanted, second)


@lru_cache(maxsize=1)
def _target() -> Any:
    """What code is made for: this processor."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    static = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(),
        opt=2, reloc=static, codemodel="jitdefault", jit=True,
    )  # fmt: skip


def _outside(name: str) -> int | None:
    """Where a function of the C library is; None if there is none."""
    for library in (None, "libm.so.6"):
        try:
            function = getattr(ctypes.CDLL(library), name)
        except (OSError, AttributeError):
            continue
        return ctypes.cast(function, ctypes.c_void_p).value
    return None


def assemble(text: str, names: Sequence[str] = ("entry",), outside: Sequence[str] = ()) -> bytes:
    """What `load` takes: the object code of functions that are written in LLVM's language."""
    import llvmlite.binding as llvm

    facts = {"kinds": [], "outside": outside, "names": names}  # a table is its caller's
    code = _target().emit_object(llvm.parse_assembly(text))
    return json.dumps(facts).encode() + b"\n" + code  # type: ignore[no-any-return]


_engines: list[Any] = []  # what they loaded lives as long as they do


def load(content: bytes) -> Machine | None:
    """The kernel that `pack` or `assemble` made; None where it cannot run here."""
    if not _probed():
        return None
    head, _, code = content.partition(b"\n")
    facts = json.loads(head)
    outside = {name: _outside(name) for name in facts["outside"]}
    known = {name: where for name, where in outside.items() if where}
    if len(known) < len(outside):
        return None
    found = linked(code, known) or _linked_by_llvm(code, known, facts["names"])
    addresses = [found.get(name, 0) for name in facts["names"]]
    return Machine(addresses, facts["kinds"]) if all(addresses) else None


def _linked_by_llvm(
    code: bytes, outside: Mapping[str, int], names: Sequence[str]
) -> dict[str, int]:
    import llvmlite.binding as llvm

    machine = _target()
    for name, where in outside.items():
        llvm.add_symbol(name, where)
    empty = llvm.parse_assembly("")
    empty.triple = machine.triple
    engine = llvm.create_mcjit_compiler(empty, machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return {name: engine.get_function_address(name) for name in names}


def _read_place(a: Array, at: Any = ctypes.c_void_p.from_address) -> int:
    return at(id(a) + HEAD).value or 0


def _ask_place(a: Array) -> int:
    return int(a.ctypes.data)


# Where an array's memory begins: to ask takes eight times as long as to read.
place_of: Callable[[Array], int] = _read_place if _probed() else _ask_place


ENTRY = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, *[ctypes.c_int64] * 3)
ARRAY = "P"  # among the codes of `struct`


@cache
def _packer(codes: str) -> Any:
    """A function that packs arguments of these kinds, written out: a loop takes twice as long."""
    names = [f"a{i}" for i in range(len(codes))]
    words = (
        f"id({n}) if {n}.__class__ is ndarray else place({n})" if code == ARRAY else n
        for n, code in zip(names, codes, strict=True)
    )
    text = f"lambda {', '.join(names)}: pack({', '.join(words)})"
    return eval(text, {"pack": struct.Struct(codes).pack, "ndarray": ndarray, "place": _place})


def _place(a: Any) -> int:
    if isinstance(a, ndarray):
        return id(a)
    raise TypeError(f"a kernel takes an array here, not {type(a).__name__}")


class Machine:
    """A kernel as machine code: called as the function that it was made of."""

    def __init__(self, addresses: Sequence[int], kinds: list[Any]):
        self.addresses = addresses  # of its functions; the first one is its entry
        self.address = address = addresses[0]
        self.kinds = [np.dtype(k[0]) if isinstance(k, list) else None for k in kinds]
        self._words = _packer("".join(k if isinstance(k, str) else ARRAY for k in kinds))
        self._whole = (0,) * len(kinds)  # the cut of arrays that are given as they are
        self._facts = cache(self._facts_of)
        self._entry = ENTRY(address)

    def table(self, arguments: Sequence[Any], cut: tuple[int, ...]) -> bytes:
        """What an entry reads.  Raises `TypeError` for an argument that is no array."""
        return self._words(*arguments) + self._facts(cut)  # type: ignore[no-any-return]

    def _facts_of(self, cut: tuple[int, ...]) -> bytes:
        """What a table says of every array: its type, and its rows for one of the total."""
        facts = [(id(k), c) for k, c in zip(self.kinds, cut, strict=True) if k is not None]
        return b"".join(struct.pack("qq", *pair) for pair in facts)

    def __call__(self, *arguments: Any) -> None:
        """Run it on whole arrays, without the interpreter's lock."""
        self.check(self._entry(self.table(arguments, self._whole), 0, 1, 0), arguments)

    def check(self, status: int, arguments: Sequence[Any]) -> None:
        """Raise what an entry's answer means."""
        if not status:
            return
        if status != MISFIT:
            raise RuntimeError(f"a kernel failed with status {status}")
        wanted = ", ".join("number" if k is None else str(k) for k in self.kinds)
        given = ", ".join(
            f"{a.dtype} {a.shape} with strides {a.strides}"
            if isinstance(a, np.ndarray)
            else repr(a)
            for a in arguments
        )
        raise TypeError(f"a kernel takes contiguous arrays and numbers ({wanted}), not ({given})")
