"""The text reading: a rule or a body of an elementwise op, printed as an expression.

The printed text is Python that Numba can compile, and the formula that documentation shows.  A
rule is called with `Text` arguments and with words that make text; what comes out is the formula.
Printing instead of jitting each body keeps literals under control: Numba would type the ``1`` in
``1 - out * out`` as int64 and turn a float32 kernel into a float64 one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Container, Iterator
from functools import lru_cache
from opcode import hasjabs, hasjrel, opmap
from types import FunctionType
from typing import Any

import numpy as np

from .scalar import SCALAR_WORDS

# How tightly an operator binds, loosest first.
LEVELS = {
    "==": 0, "!=": 0, "<": 0, "<=": 0, ">": 0, ">=": 0, "|": 1, "^": 2, "&": 3, "<<": 4, ">>": 4,
    "+": 5, "-": 5, "*": 6, "/": 6, "//": 6, "%": 6, "u": 7, "**": 8,
}  # fmt: skip
ATOM = 9


class Text:
    """A piece of an expression and how tightly it holds together."""

    __slots__ = ("level", "text")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, text: str, level: int = ATOM):
        self.text = text
        self.level = level

    def __str__(self) -> str:
        return self.text

    def within(self, level: int) -> str:
        """The text, in parentheses where a tighter operator is around it."""
        return self.text if self.level >= level else f"({self.text})"

    def __bool__(self) -> bool:
        raise TypeError(
            "a rule may not branch on a value: an `if`, `and` or `or` has no array meaning; "
            "use s.where"
        )

    def __neg__(self) -> Text:
        return Text(f"-{self.within(LEVELS['u'])}", LEVELS["u"])

    def __invert__(self) -> Text:
        return Text(f"~{self.within(LEVELS['u'])}", LEVELS["u"])


def _as_text(value: Any) -> Text:
    if isinstance(value, Text):
        return value
    if isinstance(value, tuple):
        return Text(f"({''.join(f'{_as_text(v)}, ' for v in value)})")
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise TypeError(f"{value!r} has no text")
    if value != value:
        return Text("(1e999 - 1e999)")
    text = repr(value).replace("inf", "1e999")  # infinity as a literal, which needs no name
    return Text(text, LEVELS["u"] if text.startswith("-") else ATOM)


def _operator(symbol: str) -> Callable[[Any, Any], Text]:
    level = LEVELS[symbol]
    left, right = (level + 1, level) if symbol == "**" else (level, level + 1)
    if level == 0:
        left = right = 1

    def join(a: Any, b: Any) -> Text:
        return Text(f"{_as_text(a).within(left)} {symbol} {_as_text(b).within(right)}", level)

    return join


def _reflected(join: Callable[[Any, Any], Text]) -> Callable[[Any, Any], Text]:
    return lambda self, other: join(other, self)


for _symbol, _name in {
    "+": "add", "-": "sub", "*": "mul", "/": "truediv", "//": "floordiv", "%": "mod",
    "**": "pow", "&": "and", "|": "or", "^": "xor", "<<": "lshift", ">>": "rshift",
    "==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge",
}.items():  # fmt: skip
    setattr(Text, f"__{_name}__", _operator(_symbol))
    if LEVELS[_symbol]:
        setattr(Text, f"__r{_name}__", _reflected(_operator(_symbol)))


class Words:
    """The scalar words, meaning their own text; which of them were said is written to ``used``."""

    def __init__(self, used: set[str], known: Container[str] = SCALAR_WORDS):
        self.used = used
        self.known = known

    def __getattr__(self, name: str) -> Callable[..., Text]:
        if name not in self.known:
            raise AttributeError(f"'{name}' is not a scalar word")
        self.used.add(name)

        def word(*args: Any) -> Text:
            return Text(f"{name}({', '.join(_as_text(a).text for a in args)})")

        return word


def read(rule: Callable[..., Any], words: Any) -> Callable[..., Any]:
    """The same rule with `s` meaning something else."""
    return FunctionType(rule.__code__, {"s": words}, "rule", rule.__defaults__)  # type: ignore[attr-defined]


ATTRIBUTES = frozenset(("dtype", "mT", "ndim", "shape"))  # what a rule may ask of an array


def _attribute(name: str) -> property:
    return property(lambda self: Text(f"{self.within(ATOM)}.{name}"))


for _name in ATTRIBUTES:
    setattr(Text, _name, _attribute(_name))


def arguments(rule: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a rule's parameters."""
    code = rule.__code__  # type: ignore[attr-defined]
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names


def foreign_names(rule: Callable[..., Any], words: frozenset[str]) -> set[str]:
    """The names that a rule uses besides its parameters, ``s``, words and plain attributes."""
    code = rule.__code__  # type: ignore[attr-defined]
    return {*code.co_names, *code.co_freevars} - words - ATTRIBUTES - {"s"}


def print_rule(
    rule: Callable[..., Any],
    settings: dict[str, Any] | None = None,
    used: set[str] | None = None,
) -> str:
    """The formula of a rule; ``settings`` become literals, its words are put in ``used``."""
    settings = settings or {}
    args = [settings[p] if p in settings else Text(p) for p in arguments(rule)]
    words = Words(set() if used is None else used)
    return _as_text(read(rule, words)(*args)).text


# What text has no meaning for, and what could tell it from a value.
BRANCHING = {*hasjrel, *hasjabs, opmap["IS_OP"], opmap["CONTAINS_OP"]}


def straight_rule(rule: Callable[..., Any], used: set[str]) -> str | None:
    """The text of a rule of any kind; None where it branches or says more than this reading knows.

    Its words are put in ``used``.
    """
    code = rule.__code__  # type: ignore[attr-defined]
    if not BRANCHING.isdisjoint(code.co_code[::2]):
        return None
    words = Words(used, known=code.co_names)
    try:
        return _as_text(read(rule, words)(*map(Text, arguments(rule)))).text
    except (AttributeError, TypeError):
        return None


def print_body(
    body: Callable[..., Any],
    settings: dict[str, Any] | None = None,
    used: set[str] | None = None,
) -> str:
    """The formula of an elementwise body.  Raises `TypeError` where it is not a closed formula."""
    outside = foreign_names(body, frozenset(SCALAR_WORDS))
    if outside:
        raise TypeError(f"{body.__name__} uses {sorted(outside)}, which is no word of scalar")
    return print_rule(body, settings, used)


# ---------------------------------------------------------------- numbers in a formula for arrays


class Numbers(dict[Any, tuple[Any, ...]]):
    """The numbers of a formula, by the element type it is computed in.

    They are arrays without axes: of a Python number NumPy makes one at every operation, in 0.3 µs.
    Other types than floats follow Python's numbers to rules of their own, and get these.
    """

    def __init__(self, texts: list[str]):
        super().__init__()
        self.written = tuple(ast.literal_eval(text) for text in texts)

    def __missing__(self, dtype: np.dtype[Any]) -> tuple[Any, ...]:
        found = self.written
        if dtype.kind == "f":
            found = tuple(_frozen(number, dtype) for number in found)
        self[dtype] = found
        return found


def _frozen(number: Any, dtype: np.dtype[Any]) -> Any:
    made = np.array(number, dtype)
    made.flags.writeable = False
    return made


@lru_cache(maxsize=256)
def as_array(number: Any, dtype: np.dtype[Any]) -> Any:
    """A number other than zero (which may be -0) as a read-only array without axes."""
    return _frozen(number, dtype)


def with_named_numbers(text: str, numbers: list[str]) -> str:
    """A formula with ``number0``, … for its numbers, whose text is put in ``numbers``.

    Exponents stay as they are: NumPy has quick ways for some.
    """
    names = []
    for node in _numbers_in(ast.parse(text, mode="eval").body):
        number = text[node.col_offset : node.end_col_offset]
        if number not in numbers:
            numbers.append(number)
        names.append((node.col_offset, node.end_col_offset, f"number{numbers.index(number)}"))
    for start, end, name in sorted(names, reverse=True):
        text = text[:start] + name + text[end:]
    return text


def names_of_numbers(numbers: list[str]) -> str:
    """The left side of an assignment to them."""
    return "".join(f"number{i}, " for i in range(len(numbers)))


def _numbers_in(node: Any) -> Iterator[Any]:
    """The numbers of an expression, with their signs."""
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    inner = node.operand if negative else node
    if isinstance(inner, ast.Constant) and isinstance(inner.value, (int, float)):
        yield node
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        yield from _numbers_in(node.left)
    elif not isinstance(node, ast.Call) or node.func.id != "pow":  # type: ignore[attr-defined]
        for child in ast.iter_child_nodes(node):
            yield from _numbers_in(child)
