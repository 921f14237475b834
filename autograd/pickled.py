"""PyTorch's ``.pt`` and ``.pth`` files, read without PyTorch and without running anything.

Such a file is a zip: ``data.pkl`` is a pickle of the object, ``data/0``, ``data/1``, … are the
storages of its tensors.  A pickle is a program for a small stack machine, and the usual machine
calls whatever the program names.  The one here knows the instructions that ``torch.save`` writes,
and the names of `KNOWN` stand for functions of this file; any other name is an error.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, NamedTuple

import numpy as np

from .device import Size, device
from .dtypes import dtype, uint8
from .safetensors import DTYPES
from .storage import Array, FileSource, count_bytes, from_order, strided
from .tensor import Parameter, Tensor
from .tree import NUMPY, plain_key, read_size, revive

LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how files begin that are no zip

Restore = Callable[[Array, str], None]


def read_zip(source: FileSource, restore: Restore) -> Any:
    """The object that ``torch.save`` wrote; ``restore`` is asked whether a location is welcome.

    Raises `pickle.UnpicklingError` for what is not plain data, `RuntimeError` for a damaged file.
    """
    records = _Records(source)
    try:
        order = records.text("byteorder").decode() if "byteorder" in records.found else "little"
        if order not in ("little", "big"):
            raise ValueError(f"the byte order {order[:20]!r} is unknown")
        machine = _Machine(source.name, records, order, restore)
        result = machine.run(records.text("data.pkl"))
        _check(result)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise UnpicklingError(
            f"{source.name}: its pickle is not one that torch.save writes "
            f"({type(error).__name__}: {str(error)[:300]}); copy or save the file again"
        ) from error
    return result


class _Records:
    """The files inside the zip, which must be stored as they are, whole, and each once."""

    def __init__(self, source: FileSource):
        self.source = source
        try:
            with zipfile.ZipFile(source.file) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, *_ODDITIES) as error:
            raise RuntimeError(
                f"{source.name} is a damaged or truncated zip archive ({error}); copy or save it "
                "again"
            ) from error
        folder = entries[0].filename.partition("/")[0] + "/" if entries else ""
        self.found = {e.filename.removeprefix(folder): e for e in entries}
        if "data.pkl" not in self.found:
            arrays = any(name.endswith(".npy") for name in self.found)
            raise RuntimeError(
                f"{source.name} is a zip archive, but no checkpoint of torch.save (it has no "
                f"data.pkl); {'read it with numpy.load' if arrays else 'check the path'}"
            )
        if "constants.pkl" in self.found:
            raise RuntimeError(
                f"{source.name} is a TorchScript archive, which holds code; in PyTorch, save the "
                "weights alone: torch.save(torch.jit.load(path).state_dict(), new_path)"
            )
        if len(self.found) < len(entries) or sum(e.file_size for e in entries) > source.size:
            raise RuntimeError(f"{source.name}: the records of its zip archive overlap")

    def take(self, name: str) -> Array:
        """The bytes of a record, compared with its checksum."""
        entry = self.found.get(name)
        where = f"{self.source.name}: the record {name[:80]!r} of its zip archive"
        if entry is None:
            raise RuntimeError(f"{where} is missing; copy or save the file again")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise RuntimeError(
                f"{where} is compressed or encrypted, which torch.save never does; unpack it and "
                "zip it again with no compression (zip -0)"
            )
        # The local header: its length depends on two lengths at its end.
        local = self.source.text(entry.header_offset, 30)
        name_length, extra_length = struct.unpack("<HH", local[26:])
        begin = entry.header_offset + 30 + name_length + extra_length
        raw = self.source.take(begin, entry.file_size)
        if zlib.crc32(raw.data) != entry.CRC:
            raise RuntimeError(f"{where} has changed since it was written (checksum)")
        return raw

    def text(self, name: str) -> bytes:
        return self.take(name).tobytes()


_ODDITIES = (ValueError, KeyError, IndexError, OverflowError, EOFError, RuntimeError, struct.error)


# ---------------------------------------------------------------- what the names stand for


class _Call(NamedTuple):
    """A name that the program may call."""

    name: str
    function: Callable[..., Any]


class _StorageType(NamedTuple):
    """A name such as ``torch.FloatStorage``, and the type of element it stands for."""

    name: str
    element: dtype


class _Storage(NamedTuple):
    """The bytes of a storage, and how the program says to read them."""

    raw: Array
    element: dtype


class _NumpyType:
    """A NumPy type under construction: its byte order comes by a later instruction."""

    def __init__(self, code: str, *flags: Any):
        self.code = code
        self.order = "<"

    def build(self, state: Any) -> None:
        self.order = "<" if state[1] in ("|", "=") else state[1]

    @property
    def kind(self) -> np.dtype[Any]:
        small = "|" + self.code
        return NUMPY[small if small in NUMPY else self.order + self.code]


def _tensor(
    storage: _Storage,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    requires_grad: bool,
    hooks: Any,
    metadata: Any = None,
    element: dtype | None = None,
) -> Tensor:
    kind = (element or storage.element).array
    raw = storage.raw
    for bit, is_set in (metadata or {}).items():
        # A lazily conjugated or negated tensor: the flag says what the bytes still lack.
        finish = {"conj": np.conjugate, "neg": np.negative}[bit]
        raw = finish(raw.view(kind)).view(np.uint8) if is_set else raw
    steps = [step * kind.itemsize for step in strides]
    array = strided(raw, kind, shape, steps, offset * kind.itemsize)
    return revive(Tensor, array, requires_grad, {})


def _tensor_of_type(
    storage: _Storage, offset: int, shape: Any, strides: Any, grad: bool, hooks: Any,
    element: dtype, metadata: Any = None,
) -> Tensor:  # fmt: skip
    return _tensor(storage, offset, shape, strides, grad, hooks, metadata, element)


def _parameter(data: Tensor, requires_grad: bool, hooks: Any, state: Any = None) -> Tensor:
    return revive(Parameter, data.array, requires_grad, _attributes(state))


def _tensor_with_state(rebuild: _Call, cls: _Call, args: tuple[Any, ...], state: Any) -> Tensor:
    if rebuild.function not in (_tensor, _tensor_of_type, _parameter):
        raise ValueError(f"{rebuild.name} does not rebuild a tensor")
    made = rebuild.function(*args)
    return revive(type(made), made.array, made.requires_grad, _attributes(state))


def _attributes(state: Any) -> dict[Any, Any]:
    if isinstance(state, tuple):  # attributes, and those in slots
        state = {**(state[0] or {}), **(state[1] or {})}
    if not isinstance(state or {}, dict):
        raise TypeError("the attributes of a tensor are no dictionary")
    return state or {}


def _ordered(items: Any = ()) -> OrderedDict[Any, Any]:
    return OrderedDict((plain_key(key), value) for key, value in items)


def _counter(counts: dict[Any, Any]) -> Counter[Any]:
    return Counter({plain_key(key): count for key, count in counts.items()})


def _set(items: list[Any]) -> set[Any]:
    return {plain_key(item) for item in items}


def _bytearray(data: bytes | tuple[()] = ()) -> bytearray:
    if data and type(data) is not bytes:  # a number would ask for as many bytes
        raise TypeError("a bytearray is made of bytes")
    return bytearray(data or b"")


def _empty() -> bytes:
    return b""


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError("bytes in an encoding that pickle does not use")
    return text.encode("latin1")


def _numpy_scalar(kind: _NumpyType, data: bytes) -> Any:
    (scalar,) = np.frombuffer(data, kind.kind)
    return scalar


def _numpy_array(cls: _Call, shape: Any, code: bytes) -> Array:
    return np.empty(0, np.int8)


def _fill_numpy(array: Array, state: tuple[Any, ...]) -> None:
    _version, shape, kind, fortran, data = state
    if type(data) is not bytes or count_bytes(shape, kind.kind.itemsize) != len(data):
        raise ValueError("a NumPy array whose bytes do not fit its shape")
    fill: Any = array.__setstate__
    fill((1, tuple(shape), kind.kind, bool(fortran), data))


def _complex(real: float, imag: float) -> complex:
    return complex(float(real), float(imag))


def _marker(*args: Any) -> Any:
    raise UnpicklingError("a class is called to make an object of it, which only PyTorch can do")


KNOWN: dict[str, Any] = {f"torch.{name}": kind for name, kind in DTYPES.items()} | {
    f"torch.{name}Storage": _StorageType(name, DTYPES[element])
    for name, element in {
        "Double": "float64",
        "Float": "float32",
        "Half": "float16",
        "BFloat16": "bfloat16",
        "Long": "int64",
        "Int": "int32",
        "Short": "int16",
        "Char": "int8",
        "Byte": "uint8",
        "Bool": "bool",
        "ComplexFloat": "complex64",
        "ComplexDouble": "complex128",
    }.items()
}
KNOWN |= {
    f"torch.storage.{name}": _StorageType("Untyped", uint8)
    for name in ("UntypedStorage", "_UntypedStorage")
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_type,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _tensor_with_state,
    "torch.tensor._rebuild_from_type_v2": _tensor_with_state,
    "torch.Tensor": _marker,
    "torch.nn.parameter.Parameter": _marker,
    "torch.Size": lambda sizes: read_size(*sizes),
    "torch.device": device,
    "collections.OrderedDict": _ordered,
    "collections.Counter": _counter,
    "_codecs.encode": _encode,
    "builtins.bytes": _empty,
    "builtins.set": _set,
    "builtins.bytearray": _bytearray,
    "builtins.complex": _complex,
    "numpy.dtype": _NumpyType,
    "numpy.ndarray": _marker,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "numpy.core.multiarray._reconstruct": _numpy_array,
    "numpy._core.multiarray._reconstruct": _numpy_array,
}
KNOWN |= {name: _Call(name, function) for name, function in FUNCTIONS.items()}


# ---------------------------------------------------------------- the machine


class _Machine:
    """Runs the instructions of protocol 2 that ``torch.save`` writes."""

    def __init__(self, file: str, records: _Records, order: str, restore: Restore):
        self.file = file
        self.records = records
        self.order = order
        self.restore = restore
        self.storages: dict[str, Array] = {}
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.program = b""
        self.at = 0

    def run(self, program: bytes) -> Any:
        self.program = program
        while True:
            if self.at >= len(program):
                raise EOFError(f"{self.file}: its pickle has no end; copy or save the file again")
            code = program[self.at : self.at + 1]
            self.at += 1
            if code == b".":
                return self.stack.pop()
            instruction = INSTRUCTIONS.get(code)
            if instruction is None:
                raise UnpicklingError(
                    f"{self.file}: its pickle has the instruction {code!r}, which torch.save does "
                    "not write with its usual pickle_protocol=2; save it with that"
                )
            instruction(self)

    # Reading what follows an instruction.

    def bytes(self, count: int) -> bytes:
        taken = self.program[self.at : self.at + count]
        if len(taken) < count:
            raise EOFError(f"{self.file}: its pickle ends in the middle of an instruction")
        self.at += count
        return taken

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.bytes(struct.calcsize(layout)))[0]

    def line(self) -> str:
        end = self.program.index(b"\n", self.at)
        return self.bytes(end + 1 - self.at)[:-1].decode()

    def text(self) -> str:
        return str(self.bytes(self.number("<I")), "utf-8", "surrogatepass")

    # The instructions that do more than push a value.

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def pop(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise IndexError("it takes more from the stack than there is")
        taken = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return taken

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def append(self, items: Any) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise TypeError(f"it appends to a {type(target).__name__}")
        target.extend(items)

    def set_items(self, items: Any) -> None:
        target = self.stack[-1]
        if type(target) not in (dict, OrderedDict, Counter):
            raise TypeError(f"it sets items of a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[plain_key(key)] = value

    def name(self) -> None:
        module, name = self.line(), self.line()
        full = f"{RENAMED.get(module, module)}.{name}"
        if full not in KNOWN:
            raise UnpicklingError(_refusal(self.file, full[:200]))
        self.push(KNOWN[full])

    def call(self) -> None:
        called, arguments = self.pop(2)
        if type(called) is not _Call or type(arguments) is not tuple:
            raise TypeError("it calls what is no function")
        self.push(called.function(*arguments))

    def build(self) -> None:
        target, state = self.pop(2)
        if type(target) is OrderedDict and state.keys() == {"_metadata"}:
            target._metadata = state["_metadata"]  # type: ignore[attr-defined]
        elif type(target) is _NumpyType:
            target.build(state)
        elif type(target) is np.ndarray:
            _fill_numpy(target, state)
        else:
            raise TypeError(f"it sets attributes of a {type(target).__name__}")
        self.push(target)

    def storage(self) -> None:
        (address,) = self.pop(1)
        word, kind, key, location, count = address
        if (
            word != "storage"
            or type(kind) is not _StorageType
            or {type(key), type(location)} != {str}
        ):
            raise TypeError("it refers to something outside that is no storage")
        if key not in self.storages:
            raw = self.records.take(f"data/{key}")
            self.restore(raw, location)
            self.storages[key] = from_order(self.order, raw, kind.element.array)
        raw = self.storages[key]
        if type(count) is not int or count * kind.element.itemsize != raw.size:
            raise ValueError(f"the storage {key!r} is not of the size that is said")
        self.push(_Storage(raw, kind.element))


# Protocol 2 writes the names of Python 2.
RENAMED = {"__builtin__": "builtins"}

INSTRUCTIONS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m.bytes(1),
    b"(": _Machine.mark,
    b"}": lambda m: m.push({}),
    b"]": lambda m: m.push([]),
    b")": lambda m: m.push(()),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"J": lambda m: m.push(m.number("<i")),
    b"\x8a": lambda m: m.push(int.from_bytes(m.bytes(m.number("<B")), "little", signed=True)),
    b"\x8b": lambda m: m.push(int.from_bytes(m.bytes(m.number("<I")), "little", signed=True)),
    b"G": lambda m: m.push(m.number(">d")),
    b"X": lambda m: m.push(m.text()),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"\x85": lambda m: m.push(m.pop(1)),
    b"\x86": lambda m: m.push(m.pop(2)),
    b"\x87": lambda m: m.push(m.pop(3)),
    b"q": lambda m: m.put(m.number("<B")),
    b"r": lambda m: m.put(m.number("<I")),
    b"h": lambda m: m.push(m.memo[m.number("<B")]),
    b"j": lambda m: m.push(m.memo[m.number("<I")]),
    b"a": lambda m: m.append(m.pop(1)),
    b"e": lambda m: m.append(m.since_mark()),
    b"s": lambda m: m.set_items(m.pop(2)),
    b"u": lambda m: m.set_items(m.since_mark()),
    b"c": _Machine.name,
    b"R": _Machine.call,
    b"b": _Machine.build,
    b"Q": _Machine.storage,
}


def _refusal(file: str, name: str) -> str:
    if name.startswith("torch.") and name.count(".") == 1:
        return f"{file} holds a {name}, which has no equal here; in PyTorch, convert it first"
    return (
        f"{file} asks to import and run {name}, which is refused, with weights_only=False too: "
        "only tensors and plain containers are loaded, never code. If you trust the file, load it "
        "in PyTorch and save the weights alone: torch.save(model.state_dict(), path)"
    )


PLAIN = (
    *(type(None), bool, int, float, complex, str, bytes, bytearray),
    *(Size, device, dtype, np.ndarray),
)


def _check(result: Any) -> None:
    """Nothing of the machine itself is handed out: no name, no bare storage."""
    seen: set[int] = set()
    waiting = [result]
    while waiting:
        value = waiting.pop()
        if id(value) in seen or type(value) in PLAIN or isinstance(value, np.generic):
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            waiting += vars(value).values()
        elif type(value) in (dict, OrderedDict, Counter):
            waiting += value.values()
            waiting += getattr(value, "__dict__", {}).values()
        elif type(value) in (list, tuple, set):
            waiting += value
        else:
            raise UnpicklingError(
                f"the object contains a {getattr(value, 'name', type(value).__name__)!s} by "
                "itself; in PyTorch, save tensors instead of storages and names"
            )
