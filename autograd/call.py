"""How an op is called: the function that a declaration becomes, written from one template.

Every microsecond of an eager op is spent here, so the function is written out for each op: no
``*args``, no loops over inputs, no questions whose answer the declaration knows.  Read `TEMPLATE`;
``python -m retrograd source mul`` prints what became of it.

The template handles tensors of one type whose shapes fit.  Anything else makes NumPy raise, or the
checks in the ``try``, and goes to ``slowly(op, inputs, settings)``, which starts afresh, converts
what can be converted and explains what cannot.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from . import scalar, version
from .large import LARGE, formula
from .modes import recording
from .op import Op, not_a_tensor, public_name, watch
from .printer import (
    Numbers,
    Text,
    as_array,
    names_of_numbers,
    print_body,
    with_named_numbers,
)
from .shapes import axis_of, size_of
from .tape import Node, new_node
from .tensor import Source, Tensor, node_of, wrap

Function = Callable[..., Any]

TEMPLATE = """\
def function({parameters}):
    {number}
    {canonical}
    try:
        {arrays}
        {check}
        {numbers}
        {outs} = {body}{large}
    except Exception:
        pass  # left before `slowly` complains, so that the user sees its complaint alone
    else:
        {recheck}
        if out.__class__ is not ndarray:
            out = asarray(out)  # NumPy makes scalars of 0-d results
        {arrays_too}
        made = new(Tensor)
        made.array = out
        made.source = None
        {nodes}
        {source}
        if {none_wants} or {not_recording}:
            made.node = None
            return {answer}
        made.node = node = Node()
        node.born = tick()
        node.inputs = ({inputs},)
        node.kept = kept = ({kept})
        node.op = op
        node.settings = ({settings})
        node.shape = out.shape
        node.dtype = {dtype}
        if exposed or mode is not True:
            watch(node, kept, mode)
        return {answer}
    return slowly(op, ({tensors},), ({settings}))
"""

# An op of any number of tensors is given them as a sequence; all are kept for, or none.
VARIADIC = """\
def function({parameters}):
    {canonical}
    try:
        arrays = [x.array for x in tensors]
        first = arrays[0].dtype
        for x in arrays:
            if x.dtype is not first:
                raise TypeError
        out = body(*arrays, {named})
    except Exception:
        pass
    else:
        made = new(Tensor)
        made.array = out
        made.source = None
        mode = recording()
        nodes = () if mode is None else [
            x.node if x.source is None else node_of(x) for x in tensors
        ]
        if not any(nodes):
            made.node = None
            return made
        made.node = node = new_node(tuple(nodes), ({kept}), op, ({settings}), out)
        if exposed or mode is not True:
            watch(node, node.kept, mode)
        return made
    return slowly(op, tensors, ({settings}))
"""

SPACE: dict[str, Any] = {
    "__name__": __name__,
    "Node": Node,
    "Source": Source,
    "Tensor": Tensor,
    "as_array": as_array,
    "asarray": np.asarray,
    "exposed": version.exposed,
    "ndarray": np.ndarray,
    "new": object.__new__,
    "new_node": new_node,
    "node_of": node_of,
    "recording": recording,
    "size_of": size_of,
    "tick": version.tick,
    "watch": watch,
    "wrap": wrap,
}


def write(
    op: Op,
    body: Function,
    slowly: Function,
    *,
    axes: Function | None = None,
    prepare: Function | None = None,
    numbers: tuple[int, ...] = (),
    by_number: Function | None = None,
) -> Function:
    """The function of ``op``; it is written when it is first called, so that importing is quick.

    ``axes`` makes a setting called ``dim`` canonical; ``prepare`` sees the first input before all
    else; ``numbers`` are the positions of inputs that are Python numbers in this version, and
    ``by_number`` is the version for a number in the second place.
    """
    space = {**SPACE, "op": op, "body": op.declared if op.variadic else body, "slowly": slowly}
    space |= {"axes": axes, "prepare": prepare, "by_number": by_number}

    def complete() -> Function:
        text = source(op, space, axes=axes, prepare=prepare, numbers=numbers)
        name = f"<call of {op.name}>"
        linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
        scratch: dict[str, Any] = {}
        exec(compile(text, name, "exec"), scratch)
        given = [p for p in op.signature.parameters.values() if p.default is not p.empty]
        function.__defaults__ = tuple(p.default for p in given if p.kind is not p.KEYWORD_ONLY)
        named = {p.name: p.default for p in given if p.kind is p.KEYWORD_ONLY}
        function.__kwdefaults__ = {**(scratch["function"].__kwdefaults__ or {}), **named}
        function.__code__ = scratch["function"].__code__.replace(co_name=op.name)
        if hasattr(function, "__signature__"):
            del function.__signature__
        return function

    space["complete"] = complete
    function: Any = FunctionType(_first_call.__code__, space, op.name)
    return function  # type: ignore[no-any-return]


def _first_call(*args: Any, **settings: Any) -> Any:
    return complete()(*args, **settings)  # type: ignore[name-defined]  # noqa: F821


class Unwritten(inspect.Signature):
    """The signature of a function that is written when somebody asks for it."""

    __slots__ = ("function",)

    def __init__(self, function: Function):
        self.function = function

    @property
    def parameters(self) -> Any:
        """Those of the function."""
        function: Any = self.function
        if function.__dict__.get("__signature__") is self:
            function.__globals__["complete"]()
        return inspect.signature(function).parameters

    @property
    def return_annotation(self) -> Any:
        """None is written."""
        return inspect.Signature.empty


def source(
    op: Op,
    space: dict[str, Any],
    *,
    axes: Function | None = None,
    prepare: Function | None = None,
    numbers: tuple[int, ...] = (),
) -> str:
    """The text of an op's function."""
    names = [public_name(n) for n in op.inputs]
    settings = "".join(f"{s}, " for s in op.settings)
    canonical = _canonical(op, names[0], space, axes)
    if prepare is not None:
        dtype = ", dtype" if "dtype" in op.signature.parameters else ""
        plain = f"{names[0]}.__class__ is Tensor and {names[0]}.array.dtype.kind == 'f'"
        plain += " and dtype is None" if dtype else ""
        canonical.insert(0, f"if not ({plain}):")
        canonical.insert(1, f"    {names[0]} = prepare(op, {names[0]}{dtype})")
    if op.variadic:
        kept = {"out": "out", "array": "tuple(arrays)"}
        filled = VARIADIC.format(
            parameters=_parameters(op, ["tensors"]),
            canonical=_lines(canonical, 4),
            settings=settings,
            named=", ".join(f"{s}={s}" for s in op.settings),
            kept="".join(
                kept.get(what, f"tuple([x.{what} for x in arrays])") + ", "
                for _, what, _ in op.keeping
            ),
        )
        return _without_empty_lines(filled)

    number = []
    if space["by_number"] is not None:
        number = [f"if {names[1]}.__class__ is float or {names[1]}.__class__ is int:",
                  f"    return by_number({', '.join(names)})"]  # fmt: skip
    tensors = [i for i in range(len(names)) if i not in numbers]
    counted = [i for i in tensors if op.inputs[i] not in op.uncounted]
    ruled = [i for i in tensors if op.rules[op.inputs[i]] is not None]
    nodes = [f"n{i}" for i in ruled]
    others = [f"o{i}" for i in range(1, len(op.outputs))]
    answer = "made"
    if others and not op.single:
        answer = f"(made, {', '.join(f'wrap({o})' for o in others)})"
    operands = ", ".join([*(f"x{i}" for i in range(len(names))), *op.settings])
    space["large"] = formula(op)
    large = f" if x{tensors[0]}.size < {LARGE} else large({operands})"
    large = "" if space["large"] is None else large
    body = f"body({operands})"
    named: list[str] = []
    if op.kind == "elementwise" and not op.settings:
        body, named = _formula(op, tensors, numbers, space) or (body, named)
    recheck = _recheck(op, counted, names, settings)
    filled = TEMPLATE.format(
        parameters=_parameters(op, names),
        number=_lines(number, 4),
        canonical=_lines(canonical, 4),
        arrays=_lines([f"x{i} = {n}" if i in numbers else f"x{i} = {n}.array"
                       for i, n in enumerate(names)], 8),
        check=_lines(_check(op, counted, numbers, prepare is not None), 8),
        numbers=_lines(named, 8),
        outs=", ".join(["out", *others]),
        body=body,
        arrays_too=_lines([f"if {o}.__class__ is not ndarray: {o} = asarray({o})"
                           for o in others], 8),
        answer=answer,
        large=large,
        tensors=", ".join(names),
        settings=settings,
        recheck=_lines(recheck, 8),
        dtype="dtype_" if recheck else "out.dtype",
        source=_lines(_source(op, names[0], settings), 8),
        not_recording="mode is None" if op.aliases else "(mode := recording()) is None",
        nodes=_lines([f"n{i} = {names[i]}.node if {names[i]}.source is None else "
                      f"node_of({names[i]})" for i in ruled], 8),
        none_wants=" and ".join(f"{n} is None" for n in nodes) if len(nodes) < 2
        else f"({' and '.join(f'{n} is None' for n in nodes)})",
        inputs=", ".join(f"n{i}" if i in ruled else "None" for i in range(len(names))),
        kept=_kept(op, nodes),
    )  # fmt: skip
    if not nodes:
        start, _, end = filled.partition("        if  or")
        slow = end[end.rindex("    return slowly") :]
        filled = f"{start}        made.node = None\n        return {answer}\n{slow}"
    return _without_empty_lines(filled)


def _formula(
    op: Op, tensors: list[int], numbers: tuple[int, ...], space: dict[str, Any]
) -> tuple[str, list[str]] | None:
    """The body as a formula, if it is one, and the lines that make arrays of its numbers."""
    first = f"x{tensors[0]}"
    if isinstance(space["body"], np.ufunc):
        if not numbers or op.promote == "bool":
            return None
        # The tape keeps the number, not the array: it is no memory that an op holds.
        (at,) = numbers
        ready = f"as_array(x{at}, {first}.dtype) if x{at} and {first}.size < {LARGE} else x{at}"
        names = ("number" if i in numbers else f"x{i}" for i in range(len(op.inputs)))
        return f"body({', '.join(names)})", [f"number = {ready}"]
    used: set[str] = set()
    try:
        text = print_body(op.body, {n: Text(f"x{i}") for i, n in enumerate(op.inputs)}, used)
    except TypeError:
        return None
    found: list[str] = []
    text = with_named_numbers(text, found)
    space.update({word: getattr(scalar, word) for word in used}, numbers=Numbers(found))
    return text, [f"{names_of_numbers(found)} = numbers[{first}.dtype]"] if found else []


def _without_empty_lines(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if line.strip())


def _parameters(op: Op, names: list[str]) -> str:
    """The public signature: PyTorch's names of the inputs, then the settings."""
    out = list(names)
    for p in op.signature.parameters.values():
        if p.name in op.inputs:
            continue
        if p.kind is p.VAR_POSITIONAL:
            out += [f"*_{p.name}", f"{p.name}=None"]  # x.view(2, 3), x.view((2, 3)), x.view(size=…)
            continue
        if p.kind is p.KEYWORD_ONLY and not any(o.startswith("*") for o in out):
            out.append("*")
        out.append(p.name if p.default is p.empty else f"{p.name}=None")
    return ", ".join(out)


def _canonical(op: Op, first: str, space: dict[str, Any], axes: Function | None) -> list[str]:
    """Lines that bring settings into the one form that bodies and rules know."""
    lines = []
    for p in op.signature.parameters.values():
        if p.name not in op.settings:
            continue
        if p.kind is p.VAR_POSITIONAL:
            lines.append(f"{p.name} = size_of(_{p.name} if {p.name} is None else ({p.name},))")
        elif axes is not None and p.name.rstrip("012") == "dim":
            count = f"ndim(op, {'tensors' if op.variadic else first})"
            if not op.variadic:  # without a call, where that is possible
                count = f"{first}.array.ndim if {first}.__class__ is Tensor else {count}"
            line = f"{p.name} = axes({p.name}, {count})"
            if axes is axis_of and not op.variadic and p.default is not None:
                plain = f"{p.name}.__class__ is int and {first}.__class__ is Tensor"
                plain += f" and 0 <= {p.name} < {first}.array.ndim"
                lines += [f"if not ({plain}):", f"    {line}"]
            elif p.default is None:
                lines += [f"if {p.name} is not None:", f"    {line}"]
            else:
                lines.append(line)
            space["ndim"] = ndim
    return lines


def _check(
    op: Op, counted: list[int], numbers: tuple[int, ...], prepared: bool = False
) -> list[str]:
    """What sends a call to ``slowly`` before the body runs; ``prepare`` has seen to integers."""
    lines = [
        f"if x{counted[0]}.dtype is not x{i}.dtype:\n            raise TypeError"
        for i in counted[1:]
    ]
    if op.ordered:
        lines.append(f'if x{counted[0]}.dtype.kind == "c":\n            raise TypeError')
    if (op.ints != "same" and not prepared) or (numbers and op.promote != "bool"):
        lines.append(f'if x{counted[0]}.dtype.kind != "f":\n            raise TypeError')
    if op.kind in ("reduction", "opaque", "contraction") and op.ints == "same":
        lines.append(f"if x{counted[0]}.dtype.names:\n            raise TypeError")
    return lines


def _recheck(op: Op, counted: list[int], names: list[str], settings: str) -> list[str]:
    """NumPy turns integers into float64 where PyTorch wants the default float type, or integers."""
    if op.promote != "float" and not (op.kind == "elementwise" and op.settings):
        return []
    return [
        "dtype_ = out.dtype",
        f"if dtype_ is not x{counted[0]}.dtype:",
        f"    return slowly(op, ({', '.join(names)},), ({settings}))",
    ]


def _source(op: Op, first: str, settings: str) -> list[str]:
    """A result that shares memory is a view, and remembers of what."""
    if not op.aliases:
        return []
    shared = "base is x0.base or base.__class__ is not ndarray"
    return [
        "base, mode = out.base, recording()",
        f"if base is x0 or (base is not None and ({shared})) or out is x0:",
        f"    made.source = viewing({first}, op, ({settings}), mode)",
    ]


def _kept(op: Op, nodes: list[str]) -> str:
    """The tuple of what the rules ask for: an entry is None when no one who asks is on the tape."""
    entries = []
    for wanted_by, what, index in op.keeping:
        out = f"o{index}" if index else "out"
        value = {"out": out, "array": f"x{index}"}.get(what, f"x{index}.{what}")
        wanting = [n for n in nodes if wanted_by & 1 << int(n[1:])]
        if not wanting:
            value = "None"
        elif len(wanting) < len(nodes):
            value += f" if {' or '.join(f'{n} is not None' for n in wanting)} else None"
        entries.append(value + ", ")
    return "".join(entries)


def _lines(lines: list[str], indent: int) -> str:
    return ("\n" + " " * indent).join(lines)


def ndim(op: Op, x: Any) -> int:
    """The number of axes by which ``dim`` is counted."""
    if op.variadic and isinstance(x, (tuple, list)) and x:
        x = x[0]
    if not isinstance(x, Tensor):
        raise not_a_tensor(op, [x])
    return x.array.ndim


def viewing(x: Tensor, op: Op, settings: tuple[Any, ...], mode: Any) -> Source:
    """How the result of a movement is seen from the base of its memory."""
    made, known = Source(), x.source
    if known is None:
        made.base, made.seen, made.trail = x, x.node, ((), op, settings)
    else:  # `seen` is up to date: before this, the template asks for the node of x
        made.base, made.seen, trail = known.base, known.seen, known.trail
        made.trail = None if trail is None else (trail, op, settings)
    if mode is None:
        made.seen, made.trail = made.base.node, None
    return made


SPACE["viewing"] = viewing


def parameters_of(op: Op) -> inspect.Signature:
    """The public signature of an op's function, for documentation and stubs."""
    names = {n: public_name(n) for n in op.inputs}
    return op.signature.replace(
        parameters=[
            p.replace(name=names.get(p.name, p.name)) for p in op.signature.parameters.values()
        ]
    )
