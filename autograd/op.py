"""An op: a forward body, one derivative rule per input, and how a call of it is recorded.

The body and the rules are read several ways.  On arrays they are eager NumPy.  With the words
rebound to tensor functions (`Words`) a rule is recorded itself, which is a gradient of a gradient.
On a printer (`printer.py`) they are text.

**The names a rule asks for are what the tape keeps**: an input, ``out`` (or the name of another
output), ``<input>_shape``, ``<input>_dtype``.  ``g`` and settings cost nothing.  A rule's names
count only when its own input wants a gradient.  What several rules need can be a rule of its own,
``shared``, which is computed once for all that ask for it by that name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from . import dtypes as dt
from . import scalar, version
from .dtypes import dtype
from .large import LARGE
from .large import formula as large_formula
from .modes import recording
from .printer import (
    Numbers,
    arguments,
    foreign_names,
    names_of_numbers,
    print_rule,
    read,
    straight_rule,
    with_named_numbers,
)
from .tape import Many, Node, new_node, seals
from .tensor import Tensor, node_of, wrap

Array = np.ndarray[Any, Any]
Rule = Callable[..., Any]
ndarray = np.ndarray

registry: dict[str, Op] = {}
functions: dict[str, Callable[..., Any]] = {}  # every public op and composite, by PyTorch's name


words: dict[str, Callable[..., Any]] = {}  # tensor meanings that are no public function
array_words: dict[str, Callable[..., Any]] = {}  # and what those mean for arrays
announced: set[str] = set()  # what rules name before it is declared


class Words:
    """The words of the rules, meaning functions of tensors.

    A word that computes with shapes alone has one meaning for all.
    """

    def __getattr__(self, name: str) -> Any:
        if name in words:
            found = words[name]
        elif name in functions:
            found = functions[name]
        elif name in registry:
            found = registry[name].function
        else:
            found = getattr(scalar, name)
        setattr(self, name, found)
        return found


class ArrayWords:
    """The words of the rules, meaning functions of arrays: an op that is named is its body."""

    def __getattr__(self, name: str) -> Any:
        if name in array_words:
            found = array_words[name]
        elif hasattr(scalar, name):
            found = getattr(scalar, name)
        elif name in registry:
            found = registry[name].body
        else:
            raise AttributeError(f"{name!r} is neither a word nor an op")
        setattr(self, name, found)
        return found


TENSOR_WORDS = Words()
ARRAY_WORDS = ArrayWords()
SCALAR = frozenset(n for n, word in vars(scalar).items() if callable(word) and n[0] != "_")


def announce(*names: str) -> None:
    """Let rules name ops and words that are declared further down."""
    announced.update(names)


def unkept_announcements() -> set[str]:
    """What was announced and never declared; `ops` asks when all is declared."""
    return announced - {*registry, *words}


class Op:
    """One declared operation.

    ``kind`` says how it may be fused: elementwise, reduction, movement (a view), contraction,
    select, or opaque.  ``domain`` and ``kinks`` are mathematics: where the op is defined, and where
    it has no derivative.  ``cases`` are example arguments; tests and documentation read all three.
    """

    def __init__(
        self,
        kind: str,
        body: Callable[..., Any],
        rules: dict[str, Rule | None],
        *,
        outputs: tuple[str, ...] = ("out",),
        single: bool = False,
        promote: str = "same",
        numbers: str = "both",
        ordered: bool = False,
        ints: str = "same",
        uncounted: tuple[str, ...] = (),
        domain: tuple[float, float] = (-2.0, 2.0),
        kinks: tuple[float, ...] = (),
        cases: Sequence[Any] = (),
        symbol: str | None = None,
        aliases: bool = False,
        shared: Rule | None = None,
        states: int = 0,
    ):
        self.kind = kind
        self.body = self.declared = body
        self.name = body.__name__
        self.doc = inspect.getdoc(body) or ""
        self.outputs = outputs
        self.single = single  # whether the outputs after the first are for the rules alone
        self.promote = promote
        self.ordered = ordered  # whether it compares: complex numbers have no order
        self.numbers = numbers  # which operands may be Python numbers: none, other, either, both
        self.ints = ints
        self.with_number: tuple[Any, ...] | None = None  # versions for a number on either side
        self.uncounted = uncounted
        self.domain = domain
        self.kinks = kinks
        self.cases = cases
        self.symbol = symbol
        self.aliases = aliases  # whether the result may be a view of the first input
        self.shared = shared  # what several rules need and ask for by this name: computed once
        self.states = states  # inputs that the step before made, see `chain`; 0 if it is no step
        self.backward_name = "".join(p.title() for p in self.name.split("_") if p) + "Backward0"
        self.function: Callable[..., Any]
        self.pull = self._derivative(ARRAY_WORDS, "node.kept")
        self.pull_tensors = self._derivative(TENSOR_WORDS, "revive(node)")

        self.signature = inspect.signature(body)
        parameters = list(self.signature.parameters.values())
        self.variadic = parameters[0].kind is inspect.Parameter.VAR_POSITIONAL
        tensors = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_ONLY]
        if self.variadic:
            tensors = [parameters[0].name]
        elif not tensors:  # no slash: all are tensors
            tensors = [p.name for p in parameters]
        self.inputs = tuple(tensors)
        # A reduction's dtype is a conversion made before it; the body never sees it.
        self.settings = tuple(
            p.name for p in parameters if p.name not in tensors and p.name != "dtype"
        )
        if self.variadic:
            self.body = self._with_named_settings(body)
        self.unary = len(self.inputs) == 1 and not self.variadic  # its rule gives its shape exactly
        self.rules = self._checked(rules)
        self.flat = all(rule is None for rule in self.rules.values())
        self._decide_what_to_keep()

    def _with_named_settings(self, body: Callable[..., Any]) -> Callable[..., Any]:
        n = len(self.settings)
        return lambda *args: body(*args[:-n], **dict(zip(self.settings, args[-n:], strict=True)))

    def _checked(self, rules: dict[str, Rule | None]) -> dict[str, Rule | None]:
        """The rules by input, after checking that each names only what exists."""
        found: dict[str, Rule | None] = {}
        for name in self.inputs:
            if f"d_{name}" not in rules:
                raise TypeError(f"{self.name}: no d_{name}; write d_{name}=None if it is flat")
            found[name] = rules[f"d_{name}"]
        extra = set(rules) - {f"d_{name}" for name in self.inputs}
        if extra:
            raise TypeError(f"{self.name}: {sorted(extra)} are derivatives of no input")
        known = {"g", "i", *self.settings, *self.inputs, *self.outputs}
        known |= {f"{n}_{fact}" for n in self.inputs for fact in ("shape", "dtype")}
        if self.shared is not None:
            known.add("shared")
        for name, rule in {**found, "shared": self.shared}.items():
            if rule is None:
                continue
            unknown = set(arguments(rule)) - known
            if unknown:
                raise TypeError(f"{self.name}: d_{name} asks for unknown {sorted(unknown)}")
            outside = foreign_names(rule, SCALAR) - {*registry, *words, *announced}
            if outside:
                raise TypeError(
                    f"{self.name}: d_{name} uses {sorted(outside)}; a rule may use its parameters, "
                    "literals, the words of scalar and other ops, so that it can be read in other "
                    "ways"
                )
            if self.kind == "elementwise" and not set(arguments(rule)) & set(self.settings):
                print_rule(rule)  # complains of a rule that branches on a value
        return found

    def _decide_what_to_keep(self) -> None:
        demand: dict[str, int] = {}
        for bit, rule in enumerate(self.rules.values()):
            for name in self.names_of(rule):
                if name not in ("g", "i") and name not in self.settings:
                    demand[name] = demand.get(name, 0) | 1 << bit
        self.kept_names = tuple(demand)
        # For each kept name: which inputs' rules want it, and where its value is found.
        self.keeping = tuple((demand[name], *self._origin(name)) for name in demand)

    def names_of(self, rule: Rule | None) -> tuple[str, ...]:
        """What a rule asks for, also by way of what it shares with others."""
        names = () if rule is None else arguments(rule)
        if self.shared is None or "shared" not in names:
            return names
        return *(n for n in names if n != "shared"), *arguments(self.shared)

    def _origin(self, name: str) -> tuple[str, int]:
        if name in self.outputs:
            return "out", self.outputs.index(name)
        if name in self.inputs:
            return "array", self.inputs.index(name)
        stem, _, fact = name.rpartition("_")
        return fact, self.inputs.index(stem)

    def keep(self, needs: int, arrays: Sequence[Any], outs: Sequence[Array]) -> tuple[Any, ...]:
        """What the rules of the needed inputs will ask for, in the order of `kept_names`."""
        kept: list[Any] = []
        for wanted_by, what, index in self.keeping:
            if not wanted_by & needs:
                kept.append(None)
            elif what == "out":
                kept.append(outs[index])
            elif what == "array":
                kept.append(arrays if self.variadic else arrays[index])
            elif self.variadic:
                kept.append(tuple(getattr(a, what) for a in arrays))
            else:
                kept.append(getattr(arrays[index], what, None))
        return tuple(kept)

    def revive(self, node: Node) -> tuple[Any, ...]:
        """What ``node`` keeps, as tensors that are connected to the tape again."""
        revived: list[Any] = []
        for value, (_, what, index) in zip(node.kept, self.keeping, strict=True):
            if type(value) is not ndarray:
                revived.append(value)
            elif what == "array":
                revived.append(wrap(value, node.inputs[index]))
            else:
                revived.append(wrap(value, node if index == 0 else None))
        return tuple(revived)

    def _derivative(self, words: Any, kept: str) -> Callable[..., Any]:
        """The function that computes derivatives, which is written when it is first called.

        So importing is quick, and reading the attribute in the walk is nothing but that.
        """
        space: dict[str, Any] = {"__name__": __name__, "revive": self.revive}

        def complete() -> Callable[..., Any]:
            scratch: dict[str, Any] = {}
            exec(self.pull_source(words, kept, space), scratch)
            function.__code__ = scratch["pull"].__code__
            return function

        space["complete"] = complete
        function = FunctionType(_first_pull.__code__, space, "pull")
        return function

    def pull_source(self, words: Any, kept: str, space: dict[str, Any]) -> str:
        """The text of a function (g, node) → one derivative per input, None where none is wanted.

        For `mul` it reads as follows; rules that branch are called::

            def pull(g, node):
                b, a, = node.kept
                n0, n1, = node.inputs
                if g.size >= 32768:
                    return (None if n0 is None else large0(g, b), …)
                return (None if n0 is None else g * b, None if n1 is None else g * a,)
        """
        terms, large_terms, before = [], [], []
        numbers: list[str] = []
        if self.shared is not None:
            asking = [r is not None and "shared" in arguments(r) for r in self.rules.values()]
            idle = " and ".join(f"n{i} is None" for i, asks in enumerate(asking) if asks)
            term = self._term(self.shared, "d_shared", words, space)
            before.append(f"    shared = {term if all(asking) else f'None if {idle} else {term}'}")
        for index, (name, rule) in enumerate(self.rules.items()):
            term = large = self._term(rule, f"d{index}", words, space)
            if words is ARRAY_WORDS and (formula := large_formula(self, name)):
                space[f"large{index}"] = formula
                large = f"large{index}({', '.join(arguments(formula.rule))})"
            if self.variadic:
                terms = [f"*(None if n is None else {term} for i, n in enumerate(node.inputs))"]
                continue
            # One that has only one input was recorded because that wants a gradient.
            asks = f"None if n{index} is None else " if len(self.rules) > 1 and rule else ""
            large_terms.append(asks + large)
            if words is ARRAY_WORDS and self._is_formula:
                term = with_named_numbers(term, numbers)
            terms.append(asks + term)
        lines = ["def pull(g, node):"]
        if self.kept_names:
            lines.append(f"    {', '.join(self.kept_names)}, = {kept}")
        if any(n in self.settings for rule in self.rules.values() for n in self.names_of(rule)):
            lines.append(f"    {', '.join(self.settings)}, = node.settings")
        if len(self.rules) > 1:
            lines.append(f"    {', '.join(f'n{i}' for i in range(len(self.rules)))}, = node.inputs")
        lines += before
        if large_terms != terms and not self.variadic:
            lines.append(f"    if g.size >= {LARGE}:")
            lines.append(f"        return ({', '.join(large_terms)},)")
        if numbers:
            space["numbers"] = Numbers(numbers)
            lines.append(f"    {names_of_numbers(numbers)} = numbers[g.dtype]")
        lines.append(f"    return ({', '.join(terms)},)")
        return "\n".join(lines)

    @property
    def _is_formula(self) -> bool:
        """Whether the rules are formulas whose numbers are of the elements' type."""
        return self.kind == "elementwise" and not self.settings

    def _term(self, rule: Rule | None, name: str, words: Any, space: dict[str, Any]) -> str:
        """The text of one derivative: its formula where it can be printed, else a call."""
        if rule is None:
            return "None"
        used: set[str] = set()
        text = None if self.variadic else straight_rule(rule, used)
        if text is None or not used.isdisjoint((*self.kept_names, *self.settings)):
            space[name] = read(rule, words)
            return f"{name}({', '.join(arguments(rule))})"
        space.update({word: getattr(words, word) for word in used})
        return text

    def __repr__(self) -> str:
        return f"<op {self.name}>"


def _first_pull(g: Any, node: Node) -> Any:
    return complete()(g, node)  # type: ignore[name-defined]  # noqa: F821


# ---------------------------------------------------------------- calling


def run(op: Op, xs: Sequence[Any], settings: tuple[Any, ...]) -> Any:
    """Compute ``op`` and record it, when any input wants a gradient."""
    try:
        arrays = [x.array for x in xs]
    except AttributeError:
        raise not_a_tensor(op, xs) from None
    stored = any(a.dtype.names for a in arrays)
    if stored and op.kind not in STORABLE:
        return _run_in_float32(op, xs, settings)
    try:
        outs = compute(op, arrays, settings)
    except TypeError:
        if not stored:
            raise
        return _run_in_float32(op, xs, settings)  # one that adds up where places coincide
    return record(op, xs, arrays, settings, outs)


STORABLE = ("movement", "select", "cast")  # kinds that only move elements about


def _run_in_float32(op: Op, xs: Sequence[Any], settings: tuple[Any, ...]) -> Any:
    """Storage types (float16, bfloat16): compute in float32, store the result as it came."""
    stored = next(x.dtype for x in xs if x.array.dtype.names)
    wide = [x.to(dt.float32) if x.array.dtype.names else x for x in xs]
    out = run(op, wide, settings)
    if isinstance(out, tuple):
        return tuple(o.to(stored) if o.dtype is dt.float32 else o for o in out)
    return out.to(stored) if out.dtype is dt.float32 else out


def compute(op: Op, arrays: Sequence[Any], settings: tuple[Any, ...]) -> tuple[Array, ...]:
    """The body's results as arrays.  Floating-point events are PyTorch's: silent."""
    try:
        out = op.body(*arrays, *settings)
    except (RuntimeWarning, FloatingPointError):
        with np.errstate(all="ignore"):
            out = op.body(*arrays, *settings)
    except ValueError as error:
        raise explain(op, arrays, error) from None
    if len(op.outputs) == 1:
        return (out if type(out) is ndarray else np.asarray(out),)
    return tuple(np.asarray(o) for o in out)


def record(
    op: Op, xs: Sequence[Any], arrays: Sequence[Any], settings: tuple[Any, ...], outs: Any
) -> Any:
    """Tensors round ``outs``, the first with a node on the tape if one is due."""
    node = None
    mode = recording()
    if mode is not None and not op.flat:
        needs, nodes = _nodes(op, xs)
        if needs:
            kept = op.keep(needs, arrays, outs)
            node = new_node(nodes, kept, op, settings, outs[0])
            watch(node, kept, mode)
    first = wrap(outs[0], node)
    if len(outs) == 1 or op.single:
        return first
    return first, *map(wrap, outs[1:])


def _nodes(op: Op, xs: Sequence[Any]) -> tuple[int, tuple[Node | None, ...]]:
    """The nodes of inputs that have a rule, and one bit for each that wants a gradient."""
    nodes: list[Node | None] = []
    needs = 0
    rules = op.rules.values()
    for i, (x, rule) in enumerate(zip(xs, [*rules] * len(xs) if op.variadic else rules)):  # noqa: B905
        node = None
        if rule is not None and isinstance(x, Tensor):
            node = x.node if x.source is None else node_of(x)
        nodes.append(node)
        if node is not None:
            needs |= 1 if op.variadic else 1 << i
    return needs, tuple(nodes)


def watch(node: Node, kept: tuple[Any, ...], mode: Any) -> None:
    """The rare duties of recording: seal exposed memory, show the node to a recorder."""
    if version.exposed:
        sums = version.seal(kept)
        if sums is not None:
            seals[node] = sums
    if mode is not True:
        mode(node)


# ---------------------------------------------------------------- saying no


def not_a_tensor(op: Op, xs: Sequence[Any]) -> TypeError:
    """The complaint about an argument that should have been a tensor."""
    for index, x in enumerate(xs):
        if not isinstance(x, Tensor):
            name = public_name(op.inputs[min(index, len(op.inputs) - 1)])
            return TypeError(
                f"{op.name}(): argument '{name}' (position {index + 1}) must be Tensor, "
                f"not {type(x).__name__}; wrap it with torch.tensor(...)"
            )
    raise AssertionError("every argument is a tensor")


def explain(op: Op, arrays: Sequence[Any], error: ValueError) -> Exception:
    """NumPy's complaint, as PyTorch's exception, with the shapes in it."""
    shapes = ", ".join(str(list(a.shape)) for a in arrays if isinstance(a, ndarray))
    return RuntimeError(f"{op.name}: {error}; the inputs have shapes {shapes}")


def public_name(name: str) -> str:
    """What callers call an input that rules call ``x``, or ``a`` and ``b``."""
    return {"x": "input", "a": "input", "b": "other"}.get(name, name)


__all__ = [
    "Many",
    "Op",
    "compute",
    "dtype",
    "functions",
    "read",
    "record",
    "registry",
    "run",
    "watch",
]
