"""Nested objects as named arrays and a JSON table, and back: what a checkpoint holds besides bytes.

The table has a row for every container, tensor and unusual number; rows name one another by
position, and only ever an earlier one.  So what was shared stays shared, nothing can be cyclic or
too deep to read, and reading is one loop.  Plain numbers, strings, booleans and None stand in the
rows as themselves, a reference as a list of one number.

Tensors that share memory are stored once, as in PyTorch: one holds the bytes, and the others are
described as windows on them.
"""

from __future__ import annotations

import base64
import json
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from .device import Size, device
from .dtypes import BY_ARRAY, dtype
from .safetensors import CODES, DTYPES, strict_json
from .storage import Array, check_bools, count_bytes, strided
from .tensor import Parameter, Tensor, wrap_as

FORMAT = 1
KEYS = (str, int, float, complex, bool, bytes, type(None), dtype, Size)
CLASSES: dict[str, type[Tensor]] = {"tensor": Tensor, "Parameter": Parameter}

# What a NumPy array or scalar may be: numbers, and not the records that store half floats here.
NUMPY = {
    np.dtype(order + code).str: np.dtype(order + code)
    for order in "<>"
    for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
}


def describe(obj: Any) -> tuple[str, dict[str, Array]]:
    """The JSON text and the named arrays that `rebuild` makes the object from.

    Raises `TypeError` for an object that is not made of data, and `ValueError` for one that
    contains itself, naming the place.
    """
    writer = _Writer()
    try:
        root = writer.child(obj, "obj", "")
    except RecursionError:
        raise RecursionError("the object is nested too deeply to be saved; flatten it") from None
    writer.place_tensors()
    content = {"format": FORMAT, "root": root, "table": writer.table}
    return json.dumps(content, separators=(",", ":")), writer.arrays


def rebuild(text: str, arrays: Mapping[str, Array]) -> Any:
    """The object that `describe` described; `ValueError` and its like for any other text."""
    content = strict_json(text)
    if content["format"] != FORMAT:
        raise ValueError("it was made by a newer retrograd; upgrade to read it")
    made: list[Any] = []

    def value(child: Any) -> Any:
        if type(child) is not list:
            return child
        (at,) = child
        if type(at) is not int or not 0 <= at < len(made):
            raise ValueError("its description refers to a row that is not there")
        return made[at]

    for kind, *row in content["table"]:
        made.append(READERS[kind](row, value, arrays))
    return value(content["root"])


def plain_key(key: Any) -> Any:
    """A key of a dictionary or element of a set, if it is one that can be saved.

    Tuples go one deep: hashing a tuple nested a million deep, as a file may hold, overflows the
    stack of the interpreter.
    """
    for part in key if type(key) is tuple else (key,):
        if type(part) not in KEYS:
            raise TypeError(
                f"a key or an element of a set is a {type(part).__name__}; they may be strings, "
                "numbers, bytes, None, and tuples of these"
            )
    return key


class _Placed(NamedTuple):
    """A tensor met on the way, whose row waits for where its bytes go."""

    row: list[Any]
    array: Array
    name: str
    low: int  # addresses of its first byte
    high: int  # and of the one after its last


class _Writer:
    """Walks an object once and fills the table."""

    def __init__(self) -> None:
        self.table: list[list[Any]] = []
        self.arrays: dict[str, Array] = {}
        self.tensors: list[_Placed] = []
        self.rows: dict[int, list[int] | None] = {}  # by id; None while inside the object
        self.alive: list[Any] = []  # what is in `rows` must keep its id

    def child(self, value: Any, path: str, name: str) -> Any:
        """How a row speaks of ``value``: itself if JSON has it, else a reference to its row."""
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int and -(2**63) <= value < 2**63:
            return value
        if kind is float and math.isfinite(value):
            return value
        if id(value) not in self.rows:
            self.rows[id(value)] = None
            self.alive.append(value)
            row = self.row(value, path, name)
            self.rows[id(value)] = [len(self.table)]
            self.table.append(row)
        found = self.rows[id(value)]
        if found is None:
            raise ValueError(f"{path} contains itself, and such a cycle cannot be saved")
        return found

    def row(self, value: Any, path: str, name: str) -> list[Any]:
        kind = type(value)
        if kind is Tensor or kind is Parameter:
            return self.tensor(value, path, name)
        if kind in (list, tuple):
            return [kind.__name__, *self.items(value, path, name)]
        if kind is set:
            return ["set", *self.items((_checked(item, path) for item in value), path, name)]
        if kind in (dict, OrderedDict, Counter):
            return self.mapping(value, path, name)
        if kind is np.ndarray or kind is np.memmap:
            return self.numpy(value, path, name)
        if isinstance(value, np.generic) and value.dtype.str in NUMPY:
            return ["scalar", value.dtype.str, value.tobytes().hex()]
        write = LEAVES.get(kind)
        if write is None:
            raise TypeError(_unsupported(value, path))
        return [kind.__name__, *write(value)]

    def items(self, values: Iterable[Any], path: str, name: str) -> Iterable[Any]:
        return (self.child(v, f"{path}[{i}]", _join(name, i)) for i, v in enumerate(values))

    def mapping(self, value: Any, path: str, name: str) -> list[Any]:
        row: list[Any] = [type(value).__name__]
        # A state dict carries its modules' versions as an attribute.
        metadata = getattr(value, "_metadata", None)
        if metadata is not None:
            row = ["state_dict", self.child(metadata, f"{path}._metadata", name)]
        for key, item in value.items():
            place = f"{path}[{key!r}]"
            row += (
                self.child(_checked(key, path), place, name),
                self.child(item, place, _join(name, key)),
            )
        return row

    def tensor(self, value: Tensor, path: str, name: str) -> list[Any]:
        attributes = dict(_additions(vars(value)))
        described = self.child(attributes, f"vars({path})", name) if attributes else None
        cls = "Parameter" if type(value) is Parameter else "tensor"
        row = [cls, described, value.requires_grad]
        low, high = np.lib.array_utils.byte_bounds(value.array) if value.array.size else (0, 0)
        self.tensors.append(_Placed(row, value.array, name, low, high))
        return row

    def numpy(self, value: Array, path: str, name: str) -> list[Any]:
        if value.dtype.str not in NUMPY:
            raise TypeError(
                f"{path} is a NumPy array of {value.dtype}, and only numbers are saved; "
                "use a list for strings and objects"
            )
        native = np.asarray(value.astype(value.dtype.newbyteorder("="), copy=False))
        return ["array", value.dtype.str, list(value.shape), self.store(_storable(native), name)]

    def store(self, array: Array, name: str) -> str:
        """Put an array into the file under its path in the object, or close to it."""
        clean = (name or "tensor").encode("utf-8", "replace").decode()
        while clean in self.arrays or clean == "__metadata__":
            clean += "~"
        self.arrays[clean] = array
        return clean

    def place_tensors(self) -> None:
        """Give every tensor its bytes: its own, or a window on those it shares with others."""
        groups: list[list[int]] = []
        reach = 0
        for i in sorted(range(len(self.tensors)), key=lambda i: self.tensors[i].low):
            if self.tensors[i].low < reach:
                groups[-1].append(i)
            else:
                groups.append([i])
            reach = max(reach, self.tensors[i].high)
        # By the member met first, so that the file keeps the order of the object.
        for group in sorted(map(sorted, groups)):
            self.share([self.tensors[i] for i in group])

    def share(self, group: list[_Placed]) -> None:
        """Store the memory that tensors have in common, under the name of the first."""
        low, high = min(p.low for p in group), max(p.high for p in group)
        whole = (p for p in group if (p.low, p.high) == (low, high) and p.array.flags.c_contiguous)
        holder = group[0] if len(group) == 1 else next(whole, None)
        if holder is not None:
            entry = self.store(_storable(holder.array), group[0].name)
        else:
            memory = {"data": (low, True), "shape": (high - low,), "typestr": "|u1", "version": 3}
            entry = self.store(
                np.asarray(SimpleNamespace(__array_interface__=memory)), group[0].name
            )
        for placed in group:
            start = placed.array.__array_interface__["data"][0] - low
            window = _window(placed.array, start)
            if holder is not None and (placed is holder or window == _window(holder.array, 0)):
                placed.row.extend(_plain(holder.array, entry))
            else:
                placed.row.extend((entry, *window))


def _checked(key: Any, path: str) -> Any:
    try:
        return plain_key(key)
    except TypeError as error:
        raise TypeError(f"{path} cannot be saved: {error}") from None


def _plain(array: Array, entry: str) -> list[Any]:
    """A row's end for a tensor that is just the named array."""
    if array.dtype in CODES:
        return [entry]
    return [entry, *_window(np.empty(array.shape, array.dtype), 0)]


def _window(array: Array, offset: int) -> list[Any]:
    return [BY_ARRAY[array.dtype].name, list(array.shape), list(array.strides), offset]


def _storable(array: Array) -> Array:
    """complex128, for which the format has no name, is stored as pairs of float64."""
    if array.dtype != np.complex128:
        return array
    return np.ascontiguousarray(array).reshape(-1).view(np.float64).reshape(*array.shape, 2)


def _join(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)


def _unsupported(value: Any, path: str) -> str:
    kind = type(value).__name__
    said = f"{path} is a {kind}, and only data is saved, no code and no classes: "
    if isinstance(value, Tensor):
        return f"{said}save a plain Tensor made from it"
    if hasattr(value, "state_dict"):
        return f"{said}save {path}.state_dict() in its place, and load that with load_state_dict()"
    if callable(value):
        return f"{said}save a name or the settings from which you can make it again"
    for plain in (dict, tuple, list, str, float, int):
        if isinstance(value, plain):
            return f"{said}save {plain.__name__}({path})"
    return f"{said}save the tensors, numbers and strings it is made of, for example vars({path})"


LEAVES: dict[type, Callable[[Any], Iterable[Any]]] = {
    int: lambda v: [hex(v)],
    float: lambda v: [repr(v)],
    complex: lambda v: [repr(v.real), repr(v.imag)],
    bytes: lambda v: [base64.b64encode(v).decode()],
    bytearray: lambda v: [base64.b64encode(v).decode()],
    dtype: lambda v: [v.name],
    device: lambda v: [str(v)],
    Size: lambda v: v,
}


# ---------------------------------------------------------------- reading

Value = Callable[[Any], Any]


def revive(
    cls: type[Tensor], array: Array, requires_grad: bool, attributes: Mapping[Any, Any]
) -> Tensor:
    """A loaded tensor, with the attributes its owner hung on it."""
    made: Tensor = wrap_as(cls, array)
    if type(requires_grad) is not bool:
        raise ValueError("requires_grad is neither True nor False")
    made.requires_grad = requires_grad
    vars(made).update(_additions(attributes))
    return made


def _additions(attributes: Mapping[Any, Any]) -> Mapping[str, Any]:
    """Attributes that hide nothing a tensor has by itself."""
    for name in attributes:
        if type(name) is not str or hasattr(Parameter, name):
            raise ValueError(f"{str(name)[:80]!r} is an attribute that every tensor has already")
    return attributes


def _read_tensor(kind: str, row: list[Any], value: Value, arrays: Mapping[str, Array]) -> Tensor:
    attributes, requires_grad, entry, *window = row
    array = arrays[entry]
    if window:
        name, shape, strides, offset = window
        raw = array.reshape(-1).view(np.uint8)
        array = strided(raw, DTYPES[name].array, shape, strides, offset)
    elif array.dtype not in BY_ARRAY:
        raise ValueError(f"no tensor can be {array.dtype}")
    return revive(CLASSES[kind], array, requires_grad, value(attributes) or {})


def _read_array(row: list[Any], value: Value, arrays: Mapping[str, Array]) -> Array:
    code, shape, entry = row
    kind = NUMPY[code]
    raw = arrays[entry].reshape(-1).view(np.uint8)
    if count_bytes(shape, kind.itemsize) != raw.size:
        raise ValueError(f"the array {entry!r} does not have the shape its description says")
    array = raw.view(kind.newbyteorder("=")).reshape(shape)
    check_bools(array)
    return array.astype(kind, copy=False)


def _read_scalar(row: list[Any], value: Value, arrays: Mapping[str, Array]) -> Any:
    code, digits = row
    (scalar,) = np.frombuffer(bytes.fromhex(digits), NUMPY[code])
    return scalar


def _read_mapping(cls: type[Any], row: list[Any], value: Value) -> Any:
    if len(row) % 2:
        raise ValueError("a dictionary has a key without a value")
    made = cls()
    for key, item in zip(row[::2], row[1::2], strict=True):
        made[plain_key(value(key))] = value(item)
    if len(made) * 2 != len(row):
        raise ValueError("a dictionary has a key twice")
    return made


def _read_state_dict(row: list[Any], value: Value, arrays: Mapping[str, Array]) -> Any:
    metadata, *items = row
    made = _read_mapping(OrderedDict, items, value)
    made._metadata = value(metadata)
    return made


def _read_leaf(make: Callable[..., Any]) -> Callable[..., Any]:
    return lambda row, value, arrays: make(*row)


def _read_items(cls: type[Any]) -> Callable[..., Any]:
    return lambda row, value, arrays: cls(value(child) for child in row)


def read_size(*sizes: Any) -> Size:
    """A size of whole numbers."""
    if any(type(n) is not int for n in sizes):
        raise ValueError("a size is no whole number")
    return Size(sizes)


READERS: dict[str, Callable[[list[Any], Value, Mapping[str, Array]], Any]] = {
    "tensor": lambda row, value, arrays: _read_tensor("tensor", row, value, arrays),
    "Parameter": lambda row, value, arrays: _read_tensor("Parameter", row, value, arrays),
    "array": _read_array,
    "scalar": _read_scalar,
    "list": _read_items(list),
    "tuple": _read_items(tuple),
    "set": lambda row, value, arrays: {plain_key(value(child)) for child in row},
    "dict": lambda row, value, arrays: _read_mapping(dict, row, value),
    "OrderedDict": lambda row, value, arrays: _read_mapping(OrderedDict, row, value),
    "Counter": lambda row, value, arrays: _read_mapping(Counter, row, value),
    "state_dict": _read_state_dict,
    "int": _read_leaf(lambda digits: int(digits, 16)),
    "float": _read_leaf(float),
    "complex": _read_leaf(lambda real, imag: complex(float(real), float(imag))),
    "bytes": _read_leaf(lambda text: base64.b64decode(text, validate=True)),
    "bytearray": _read_leaf(lambda text: bytearray(base64.b64decode(text, validate=True))),
    "dtype": _read_leaf(lambda name: DTYPES[name]),
    "device": _read_leaf(device),
    "Size": _read_leaf(read_size),
}
