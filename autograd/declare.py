"""The declarators: what stands above an op's body and turns it into an op.

One per kind.  The kind says how results are shaped and typed, and later how ops fuse::

    @elementwise(symbol="*", d_a=lambda g, b: g * b, d_b=lambda g, a: g * a)
    def mul(a, b):
        '''Product, element by element.'''
        return a * b

Arrays stand before the slash of the signature (all parameters, where there is no slash), settings
after it.  From the declaration come the public function, the `Tensor` method, the operator with
its reflected and in-place forms, the in-place method, and the tests.

Settings are made canonical on the way in, by name: ``dim`` is counted from the first input's axes
and checked, ``shape`` may be given as separate numbers.  Functions that are built of other ops are
`composite`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import call, scalar
from . import dtypes as dt
from . import op as machine
from .inplace import write
from .op import Op, functions, registry, run
from .printer import print_body
from .promotion import computed, elementwise_slowly, operator_slowly
from .shapes import axes_of, axis_of
from .tape import recording
from .tensor import Tensor, node_of, wrap

Function = Callable[..., Any]

OPERATORS = {
    **{"+": "add", "-": "sub", "*": "mul", "/": "truediv", "**": "pow", "@": "matmul"},
    **{"//": "floordiv", "%": "mod", "&": "and", "|": "or", "^": "xor"},
    **{"<<": "lshift", ">>": "rshift"},
}
COMPARISONS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
UNARY = {"neg": "neg", "abs": "abs", "~": "invert"}


# ---------------------------------------------------------------- the kinds


def elementwise(*, promote: str = "same", inplace: bool = True, **facts: Any) -> Any:
    """An op of one element each; inputs broadcast and are brought to one type.

    ``promote``: "same" computes in the inputs' common type, "float" makes integers the default
    float type first, "bool" is "same" with truth values as result.  ``ints="refuse"`` says that
    integers are no input, as PyTorch does of many.
    """
    return _declarator(
        "elementwise",
        {**facts, "promote": promote, "inplace": inplace},
        slowly=elementwise_slowly,
        operator=operator_slowly,
    )


def reduction(*, ints: str = "same", **facts: Any) -> Any:
    """An op that combines the elements along ``dim`` (all, when None).

    ``ints`` says what becomes of integers and truth values: "same", "int64" (they are added up
    in it), "float" (the default float type), or "refuse".
    """
    return _declarator("reduction", {**facts, "ints": ints}, axes=axes_of, slowly=_reduce_slowly)


def movement(
    *, axes: Function | None = axis_of, quickly: Function | None = None, **facts: Any
) -> Any:
    """An op that looks at the same memory in another way: its result is a view when it can be.

    ``axes(dim, ndim)`` makes ``dim`` canonical, where that is not one axis of the input.
    ``quickly`` may raise where the body explains what is wrong.
    """
    return _declarator("movement", {**facts, "aliases": True}, axes=axes, quickly=quickly)


def contraction(*, slowly: Function, operator: Function, **facts: Any) -> Any:
    """An op that multiplies and adds up: matrix products.

    ``slowly`` takes what the body refuses: vectors, mixed types, mistakes.
    """
    return _declarator(
        "contraction", facts, slowly=slowly, operator=operator, quickly=scalar.matmul
    )


def selection(**facts: Any) -> Any:
    """An op that picks or places elements and computes nothing."""
    return _declarator("select", facts, axes=axis_of)


def opaque(**facts: Any) -> Any:
    """Any other op."""
    return _declarator("opaque", facts, axes=axis_of)


def cast(**facts: Any) -> Any:
    """An op that changes the element type."""
    return _declarator("cast", facts)


def _declarator(
    kind: str,
    facts: dict[str, Any],
    *,
    slowly: Function = run,
    operator: Function = run,
    axes: Function | None = None,
    quickly: Function | None = None,
) -> Callable[[Function], Function]:
    method, public = facts.pop("method", True), facts.pop("public", True)
    inplace, symbol = facts.pop("inplace", False), facts.get("symbol")

    def declare(body: Function) -> Function:
        rules = {k: facts.pop(k) for k in [*facts] if k.startswith("d_")}
        op = Op(kind, body, rules, **facts)
        quick = _ufunc_or(op.body) if kind == "elementwise" else quickly or op.body
        typed = "dtype" in op.signature.parameters and "dtype" not in op.settings
        prepare = _in_type if typed else None
        function = call.write(op, quick, run if prepare else slowly, axes=axes, prepare=prepare)
        by_number = None
        if kind == "elementwise" and len(op.inputs) == 2 and not op.uncounted:
            op.with_number = tuple(call.write(op, quick, computed, numbers=(i,)) for i in (0, 1))
            by_number = op.with_number[1]
        _install(op, function, method=method, public=public)
        if inplace:
            _install_in_place(op.name, function)
        if symbol in UNARY:
            setattr(Tensor, f"__{UNARY[symbol]}__", function)
        elif symbol is not None:
            _install_operators(op, symbol, call.write(op, quick, operator, by_number=by_number))
        return function

    return declare


def _ufunc_or(body: Function) -> Function:
    """NumPy's own function, where the body is exactly one, without a Python call around it."""
    named = {
        **{"a + b": np.add, "a - b": np.subtract, "a * b": np.multiply, "a / b": np.true_divide},
        **{"a == b": np.equal, "a != b": np.not_equal, "a < b": np.less, "a <= b": np.less_equal},
        **{"a > b": np.greater, "a >= b": np.greater_equal, "-x": np.negative},
    }
    text = print_body(body)
    name, _, arguments = text.partition("(")
    if arguments in ("x)", "a, b)") and name in scalar.SCALAR_WORDS:
        return getattr(scalar, name)  # type: ignore[no-any-return]
    return named.get(text, body)


def _in_type(op: Op, x: Any, dtype: dt.dtype | None) -> Any:
    """A reduction's ``dtype``: a conversion made before it."""
    if dtype is not None:
        x = x.to(dtype)
    return x if dtype is not None and op.ints == "int64" else _as_ints_say(op, x)


def _reduce_slowly(op: Op, xs: tuple[Any, ...], settings: tuple[Any, ...]) -> Any:
    return run(op, (_as_ints_say(op, xs[0]),), settings)


def _as_ints_say(op: Op, x: Any) -> Any:
    """What a reduction of integers and truth values is computed in."""
    if op.ints != "same" and isinstance(x, Tensor) and x.dtype.category < dt.FLOAT:
        if op.ints == "refuse":
            raise RuntimeError(
                f"{op.name}(): could not infer output dtype. Input dtype must be either a "
                f"floating point or complex dtype. Got: {x.dtype}. Convert with .float() first."
            )
        return x.to(dt.int64 if op.ints == "int64" else dt.get_default_dtype())
    return x


# ---------------------------------------------------------------- what a declaration installs


def composite(
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    method: bool = True,
    public: bool = True,
    inplace: bool = False,
) -> Callable[[Function], Function]:
    """A public function of tensors that is built of other ops."""

    def declare(function: Function) -> Function:
        called = name or function.__name__
        function.__name__ = function.__qualname__ = called
        for each in (called, *aliases):
            if public:
                functions[each] = function
            if method:
                setattr(Tensor, each, function)
            if inplace:
                _install_in_place(each, function, composed=True)
        return function

    return declare


def word(function: Function | None = None, *, arrays: Function | None = None) -> Any:
    """A word of the rules in its tensor meaning, where that is no op of its own.

    ``arrays`` is its meaning for arrays, where that does not stand in `scalar`.
    """
    if function is None:
        return functools.partial(word, arrays=arrays)
    machine.words[function.__name__] = function
    if arrays is not None:
        machine.array_words[function.__name__] = arrays
    return function


def alias(name: str, *others: str) -> None:
    """More names for a public function, its method and its in-place method."""
    for other in others:
        functions[other] = functions[name]
        setattr(Tensor, other, getattr(Tensor, name))
        if hasattr(Tensor, name + "_"):
            setattr(Tensor, other + "_", getattr(Tensor, name + "_"))


def _install(op: Op, function: Function, *, method: bool, public: bool) -> None:
    function.__name__ = function.__qualname__ = op.name
    function.__module__ = op.body.__module__
    function.__doc__ = op.doc
    function.__signature__ = call.Unwritten(function)  # type: ignore[attr-defined]
    op.function = function
    registry[op.name] = op
    if public:
        functions[op.name] = function
    if method:
        setattr(Tensor, op.name, function)


def _install_in_place(name: str, function: Function, composed: bool = False) -> None:
    form = name + "_"

    def in_place(self: Any, *args: Any, **settings: Any) -> Any:
        seen = self
        if composed and recording() is not None and (node := node_of(self)) is not None:
            seen = wrap(self.array.copy(), node)  # ops inside keep this, not what is overwritten
        out = function(seen, *args, **settings)
        return write(self, out, form, fresh=out is not seen)

    in_place.__name__ = in_place.__qualname__ = form
    in_place.__doc__ = f"`{name}` in place: overwrites this tensor and returns it."
    setattr(Tensor, form, in_place)


def _install_operators(op: Op, symbol: str, operator: Function) -> None:
    if symbol in COMPARISONS:
        setattr(Tensor, f"__{COMPARISONS[symbol]}__", operator)
        return
    name = OPERATORS[symbol]

    def reflected(self: Any, other: Any) -> Any:
        if op.with_number is not None and (other.__class__ is float or other.__class__ is int):
            return op.with_number[0](other, self)
        return operator(other, self)

    def in_place(self: Any, other: Any) -> Any:
        out = operator(self, other)
        return out if out is NotImplemented else write(self, out, f"{op.name}_", fresh=True)

    setattr(Tensor, f"__{name}__", operator)
    setattr(Tensor, f"__r{name}__", reflected)
    setattr(Tensor, f"__i{name}__", in_place)
