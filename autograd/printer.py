"""The text reading: a rule or a body of an elementwise op, printed as an expression.

The printed text is Python that Numba can compile, and the formula that documentation shows.  A
rule is called with `Text` arguments and with words that make text; what comes out is the formula.
Printing instead of jitting each body keeps literals under control: Numba would type the ``1`` in
``1 - out * out`` as int64 and turn a float32 kernel into a float64 one.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

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

    def __init__(self, used: set[str]):
        self.used = used

    def __getattr__(self, name: str) -> Callable[..., Text]:
        if name not in SCALAR_WORDS:
            raise AttributeError(f"'{name}' is not a scalar word")
        self.used.add(name)

        def word(*args: Any) -> Text:
            return Text(f"{name}({', '.join(_as_text(a).text for a in args)})")

        return word


def read(rule: Callable[..., Any], words: Any) -> Callable[..., Any]:
    """The same rule with `s` meaning something else."""
    return FunctionType(rule.__code__, {"s": words}, "rule", rule.__defaults__)  # type: ignore[attr-defined]


ATTRIBUTES = frozenset(("dtype", "mT", "ndim", "shape"))  # what a rule may ask of an array


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


def print_body(body: Callable[..., Any], settings: dict[str, Any] | None = None) -> str:
    """The formula of an elementwise body.  Raises `TypeError` where it is not a closed formula."""
    outside = foreign_names(body, frozenset(SCALAR_WORDS))
    if outside:
        raise TypeError(f"{body.__name__} uses {sorted(outside)}, which is no word of scalar")
    return print_rule(body, settings)
