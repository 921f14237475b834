"""A graph in ONNX's file format, for Netron and other programs that show such files.

It is a picture and not a model to run: each op is a node of the domain `retrograd`, with what is
known of it as attributes, and no values are in the file. The format is protobuf, of which two wire
types are enough: whole numbers, and bytes with their length. The numbers of the fields are those
of `onnx.proto`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .dot import box_heading
from .graph import Box, Graph
from .views import halves
from .words import visible

IR_VERSION, OPSET_VERSION, DOMAIN = 8, 1, "retrograd"
STRING = 3  # AttributeProto.Type
# TensorProto.DataType, by the names of dtypes
TYPES = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9,
    "float16": 10, "float64": 11, "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15,
    "bfloat16": 16,
}  # fmt: skip


def write_onnx(graph: Graph) -> bytes:
    """The bytes of a `ModelProto` that holds a graph."""
    return b"".join(
        [
            number(1, IR_VERSION),
            text(2, "retrograd"),  # who wrote it
            text(6, "\n".join([graph.title, graph.subtitle, *graph.notes])),
            nested(7, graph_bytes(graph)),
            nested(8, text(1, DOMAIN) + number(2, OPSET_VERSION)),
        ]
    )


def graph_bytes(graph: Graph) -> bytes:
    """A `GraphProto`: nodes in order, what goes in, what comes out, what is between."""
    parts = halves(graph)
    boxes = [box for part in parts for box in part.boxes]
    names = value_names(boxes)
    into: dict[str, list[str]] = {}
    before: dict[str, list[str]] = {}
    for edge in (edge for part in parts for edge in part.edges):
        kind = before if edge.loop else into
        kind.setdefault(edge.target, []).extend([names[edge.source]] * edge.count)
    modules = module_names(graph)
    fields = [
        node(box, names[box.id], into, before, modules.get(box.group, ""))
        for box in boxes
        if not box.is_leaf
    ]
    fields.append(text(2, graph.title))
    used = {name for given in into.values() for name in given}
    for box in boxes:
        if (box.shape is not None) and box.dtype in TYPES:
            field = 11 if box.is_leaf else 13 if names[box.id] in used else 12
            fields.append(nested(field, value(box, names[box.id])))
    return b"".join(fields)


def value_names(boxes: Sequence[Box]) -> dict[str, str]:
    """What the value of each box is called: the user's name where it is the only one, or its id."""
    called = [
        box.title if box.is_leaf or box.title.endswith(".grad") else box.name for box in boxes
    ]
    return {
        box.id: visible(name) if name and called.count(name) == 1 else box.id
        for box, name in zip(boxes, called, strict=True)
    }


def module_names(graph: Graph) -> dict[str, str]:
    """The path of titles that leads to each group."""
    paths: dict[str, str] = {}
    for group in graph.groups:  # inner groups come after the ones round them
        outer = paths.get(group.parent, "")
        paths[group.id] = f"{outer}/{group.title}" if outer else group.title
    return paths


def node(
    box: Box,
    made: str,
    into: dict[str, list[str]],
    before: dict[str, list[str]],
    module: str,
) -> bytes:
    """A `NodeProto`, as the field of a graph."""
    facts = {
        "module": module,
        "what": "; ".join(box.lines),
        "takes from the step before": ", ".join(before.get(box.id, ())),
        "source line": box.place,
        "settings": ", ".join(box.settings),
    }
    parts = [text(1, name) for name in into.get(box.id, ())]
    parts += [text(2, made), text(3, f"{module}/{box.id}" if module else box.id)]
    parts += [text(4, box.title), text(7, DOMAIN), text(6, f"{box_heading(box)}\n{box.detail}")]
    parts += [nested(5, attribute(name, fact)) for name, fact in facts.items() if fact]
    return nested(1, b"".join(parts))


def attribute(name: str, fact: str) -> bytes:
    """An `AttributeProto` that holds a text."""
    return text(1, name) + text(4, fact) + number(20, STRING)


def value(box: Box, name: str) -> bytes:
    """A `ValueInfoProto`: the name, element type and shape of a value."""
    shape = b"".join(nested(1, number(1, int(n))) for n in box.shape or ())
    return text(1, name) + nested(2, nested(1, number(1, TYPES[box.dtype]) + nested(2, shape)))


def number(field: int, value: int) -> bytes:
    """A field that is a whole number, none below zero."""
    return varint(field << 3) + varint(value)


def text(field: int, value: str) -> bytes:
    """A field that is text."""
    return nested(field, visible(value).encode())


def nested(field: int, value: bytes) -> bytes:
    """A field that is bytes: a text, or a message of its own."""
    return varint(field << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """A whole number in groups of seven bits, the lowest first."""
    groups: list[int] = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
