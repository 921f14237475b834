"""The rules of the optimizers, and how a rule runs.

A rule is the recurrence of the paper: a pure function of a parameter, its gradient and its state
that returns the new parameter and the new state, written with Python's operators and the words of
`scalar`.  Called on arrays, it is the definition.  To make it fast it is read once more: on
symbols, which turns it into a `Program`: straight-line code that overwrites the parameter and the
state.  The tape takes no part.

A program runs as a list of NumPy calls that share a few pieces of scratch memory, and over large
arrays as one compiled loop.  Both round alike, so that the results are equal bit for bit.

A setting that is a flag, None or zero is a constant of the program, so a rule may branch on it
(``if weight_decay:``); any other number is an operand, and changing it costs nothing.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from ..autograd import kernels
from ..autograd.printer import read

Array = np.ndarray[Any, Any]
Settings = Mapping[str, Any]
Line = tuple[str, tuple[Any, ...], int]  # word, operands, and the index of the result

CHUNK = 65536  # elements worked on at a time: five such float32 arrays fit the L2 cache
WORTH_SHARING = 1 << 15  # elements; below, a loop is over before another thread has begun
GRAIN = 1 << 13  # elements that one thread takes at a time of what no cache holds
CACHED = 1 << 19  # elements; up to here each thread finds its half in its core's own cache

# What can be said in a rule: the meaning for arrays, for numbers, and the text.
WORDS: dict[str, tuple[Callable[..., Any], Callable[..., float], str]] = {
    "add": (np.add, operator.add, "{} + {}"),
    "sub": (np.subtract, operator.sub, "{} - {}"),
    "mul": (np.multiply, operator.mul, "{} * {}"),
    "truediv": (np.divide, operator.truediv, "{} / {}"),
    "pow": (np.power, operator.pow, "{} ** {}"),
    "neg": (np.negative, operator.neg, "-{}"),
    "sqrt": (np.sqrt, math.sqrt, "sqrt({})"),
    "abs": (np.absolute, abs, "abs({})"),
    "sign": (np.sign, lambda x: math.copysign(1, x), "sign({})"),
    "maximum": (lambda a, b, out: np.maximum(a, b, out=out), max, "maximum({}, {})"),
    "minimum": (lambda a, b, out: np.minimum(a, b, out=out), min, "minimum({}, {})"),
    "copy": (np.positive, operator.pos, "{}"),
}


class Rule:
    """An update rule: ``rule(p, g, *state, **settings)`` returns the new ``(p, *state)``.

    The positional parameters after ``p`` and ``g`` are the names of the state; one that is not in
    use is None, going in and coming out.

    >>> @Rule
    ... def descend(p, g, /, *, lr):
    ...     return (p - lr * g,)
    >>> print(descend.program((), {"lr": 0.1}))
    def descend(p, g, lr):
        t0 = lr * g
        t1 = p - t0
        return t1,
    """

    def __init__(self, function: Callable[..., tuple[Any, ...]]):
        self.function = function
        self.name = function.__name__
        parameters = inspect.signature(function).parameters.values()
        places = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
        self.state = tuple(places[2:])
        self._programs: dict[tuple[Any, ...], Program] = {}

    def __call__(self, *arrays: Any, **settings: Any) -> tuple[Any, ...]:
        """The recurrence itself."""
        return self.function(*arrays, **settings)

    def program(self, state: tuple[str, ...], settings: Settings) -> Program:
        """The program for this state and for which of the settings are constants."""
        key = (state, *[v if not v or v is True else ... for v in settings.values()])
        found = self._programs.get(key)
        if found is None:
            found = self._programs[key] = Program(self, state, settings)
        return found


class Symbol:
    """A value of which a program knows only where it comes from."""

    __slots__ = ("index", "is_array", "program")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, program: Program, index: int, is_array: bool):
        self.program = program
        self.index = index
        self.is_array = is_array

    def __bool__(self) -> bool:
        if not self.program.is_setting(self.index):
            raise TypeError("a rule may branch on its settings only, not on what it computed")
        return True  # zero would be a constant


def _operator(word: str, reflected: bool) -> Callable[..., Symbol]:
    if reflected:
        return lambda self, other: self.program.say(word, other, self)
    return lambda self, *others: self.program.say(word, self, *others)


for _word in ("add", "sub", "mul", "truediv", "pow"):
    setattr(Symbol, f"__{_word}__", _operator(_word, False))
    setattr(Symbol, f"__r{_word}__", _operator(_word, True))
setattr(Symbol, "__neg__", _operator("neg", False))  # noqa: B010 - as its siblings above


class _Words:
    """The scalar words, said of symbols."""

    def __init__(self, program: Program):
        self._program = program

    def __getattr__(self, word: str) -> Callable[..., Symbol]:
        if word not in WORDS:
            raise AttributeError(f"'{word}' is not a word of update rules")
        return lambda *args: self._program.say(word, *args)


class Program:
    """A rule as straight-line code.

    Every value has an index: first the arrays that go in, then the settings, then the result of
    each line ``(word, operands)``; an operand is an index, or a constant in a 1-tuple.
    """

    def __init__(self, rule: Rule, state: tuple[str, ...], settings: Settings):
        self.rule = rule
        self.arrays = ("p", "g", *state)
        self.operands = tuple(k for k, v in settings.items() if v and v is not True)
        self._is_array = [True] * len(self.arrays) + [False] * len(self.operands)
        self._lines: list[Line] = []
        self._loops: dict[np.dtype[Any], Callable[..., Any]] = {}

        symbols = [Symbol(self, i, is_array) for i, is_array in enumerate(self._is_array)]
        given = dict(zip((*self.arrays, *self.operands), symbols, strict=True))
        results = read(rule.function, _Words(self))(
            *[given.get(name) for name in ("p", "g", *rule.state)],
            **{name: given.get(name, value) for name, value in settings.items()},
        )
        self._results = self._settle(dict(zip(("p", *rule.state), results, strict=True)))
        self._allocate()

    def say(self, word: str, *args: Any) -> Symbol:
        """Append a line; one without arrays is computed once per step, on Python's floats."""
        if word == "mul":
            for one, other in (args, args[::-1]):
                if not isinstance(one, Symbol) and one == 1 and isinstance(other, Symbol):
                    return other
        is_array = any(isinstance(a, Symbol) and a.is_array for a in args)
        made = Symbol(self, len(self._is_array), is_array)
        operands = tuple(a.index if isinstance(a, Symbol) else (a,) for a in args)
        self._lines.append((word, operands, made.index))
        self._is_array.append(is_array)
        return made

    def is_setting(self, index: int) -> bool:
        """Whether this value is one of the settings."""
        return 0 <= index - len(self.arrays) < len(self.operands)

    def _settle(self, results: dict[str, Symbol | None]) -> dict[int, int]:
        """Which value ends up in which array; what is no line of its own is copied."""
        ends: dict[int, int] = {}
        for place, name in enumerate(self.arrays):
            made = None if name == "g" else results[name]
            if made is None or made.index == place:
                continue
            if made.index < len(self.arrays) or made.index in ends:
                made = self.say("copy", made)
            ends[made.index] = place
        return ends

    def _allocate(self) -> None:
        """Give every line a cell to write to, and turn the lines into calls.

        Cells are the arrays, then scratch, then the numbers that the lines mention.  A result is
        written over the old value as soon as no later line reads that; until then, the array
        serves values that are dead by the time the result comes, as scratch does for the others.
        """
        lines = [line for line in self._lines if self._is_array[line[2]]]
        last_use = {operand: at for at, line in enumerate(lines) for operand in line[1]}
        last_use |= dict.fromkeys(self._results, len(lines))
        due = {self._results.get(line[2]): at for at, line in enumerate(lines)}
        n = len(self.arrays)
        cell: dict[Any, int] = {i: i for i in range(n)}
        free: list[int] = []
        late: list[tuple[int, int]] = []  # results that could not be written in place
        self.scratch = 0
        for at, (_, operands, index) in enumerate(lines):
            dead = {cell[o] for o in operands if o in cell and last_use[o] == at}
            free += [c for c in dead if c >= n]
            lent = [c for c in dead if at < due.get(c, 0) and last_use[index] <= due[c]]
            target = self._results.get(index)
            if target is not None and last_use.get(target, -1) <= at:
                cell[index] = target
            elif target is None and lent:
                cell[index] = lent[0]
            else:
                if not free:
                    free.append(n + self.scratch)
                    self.scratch += 1
                cell[index] = free.pop()
                if target is not None:
                    late.append((cell[index], target))
        self._emit(lines, cell, late)

    def _emit(
        self, lines: list[Line], cell: dict[Any, int], late: Iterable[tuple[int, int]]
    ) -> None:
        operands = (o for line in lines for o in line[1])
        self._numbers = tuple(dict.fromkeys(o for o in operands if o not in cell))
        start = len(self.arrays) + self.scratch
        cell = cell | {number: start + i for i, number in enumerate(self._numbers)}
        self._code = [
            (WORDS[word][0], itemgetter(*[cell[i] for i in (*operands, index)]))
            for word, operands, index in lines
        ] + [(np.positive, itemgetter(*pair)) for pair in late]
        self._prologue = [
            (WORDS[word][1], operands, index)
            for word, operands, index in self._lines
            if not self._is_array[index]
        ]

    def numbers(self, settings: Settings, kind: np.dtype[Any]) -> list[Array]:
        """The numbers that the code mentions, computed from the settings.

        They are 0-d arrays: a ufunc takes twice as long to start on a Python float.
        """
        values: dict[Any, Any] = {}
        for index, name in enumerate(self.operands, start=len(self.arrays)):
            values[index] = settings[name]
        for function, operands, index in self._prologue:
            values[index] = function(*[o[0] if type(o) is tuple else values[o] for o in operands])
        return [np.array(n[0] if type(n) is tuple else values[n], kind) for n in self._numbers]

    def run(self, arrays: Sequence[Array], numbers: list[Array], scratch: Scratch) -> None:
        """Update ``arrays`` (flat, of one size and type: p, g, then the state) in place."""
        size = arrays[0].size
        p, g = arrays[:2]  # the state is our own
        if size >= kernels.WORTH_COMPILING and p.flags.aligned and g.flags.aligned:
            self._run_loop(arrays, [number[()] for number in numbers])
            return
        kind, piece = arrays[0].dtype, min(size, CHUNK)
        spare = [scratch.piece(kind, i, piece) for i in range(self.scratch)]
        for start in range(0, size, CHUNK):
            part = slice(start, min(start + CHUNK, size))
            here, temporary = arrays, spare
            if size > CHUNK:
                here = [a[part] for a in arrays]
                temporary = [t[: part.stop - start] for t in spare]
            cells = [*here, *temporary, *numbers]
            for ufunc, pick in self._code:
                ufunc(*pick(cells))

    def _run_loop(self, arrays: Sequence[Array], numbers: list[Any]) -> None:
        kind = arrays[0].dtype
        loop = self._loops.get(kind) or self._compile(kind)
        if arrays[0].size < WORTH_SHARING:
            loop(*arrays, *numbers)
            return
        size = arrays[0].size
        grain = GRAIN if size > CACHED else -(-size // kernels.threads()) + 15 & ~15
        cut = [1] * len(arrays) + [0] * len(numbers)
        kernels.launch(loop, [*arrays, *numbers], size, grain, cut)

    def _compile(self, kind: np.dtype[Any]) -> Callable[..., Any]:
        words = ("sqrt", "abs", "sign", "maximum", "minimum")
        space: dict[str, Any] = {"__name__": __name__, **{w: getattr(np, w) for w in words}}
        source, name = self.loop_source(), f"{self.rule.name}_loop"
        exec(source, space)
        types = [f"{kind.name}[::1]" for _ in self.arrays]
        types[1] = kernels.readonly(kind.name)
        types += [kind.name] * len(self._numbers)
        loop = kernels.compile(space[name], f"void({', '.join(types)})", source=source)
        self._loops[kind] = loop
        return loop

    def loop_source(self) -> str:
        """The program as Python source, as a loop over the elements of flat arrays."""
        numbers = {number: f"c{i}" for i, number in enumerate(self._numbers)}
        names = {i: f"{name}_i" for i, name in enumerate(self.arrays)} | numbers
        lines = [line for line in self._lines if self._is_array[line[2]]]
        body = [f"{name}_i = {name}[i]" for name in self.arrays]
        body += self._spell(lines, names)
        body += [f"{self.arrays[at]}[i] = {names[index]}" for index, at in self._results.items()]
        parameters = ", ".join((*self.arrays, *numbers.values()))
        head = f"def {self.rule.name}_loop({parameters}):\n    for i in range(p.size):\n"
        return head + "".join(f"        {line}\n" for line in body)

    def __str__(self) -> str:
        """The program as Python source, on whole arrays, with every value named."""
        names: dict[Any, str] = dict(enumerate((*self.arrays, *self.operands)))
        head = f"def {self.rule.name}({', '.join(names.values())}):"
        body = self._spell(self._lines, names)
        ends = {place: names[index] for index, place in self._results.items()}
        updated = [ends.get(i, name) for i, name in enumerate(self.arrays) if name != "g"]
        return "\n    ".join([head, *body, f"return {', '.join(updated)},"])

    @staticmethod
    def _spell(lines: list[Line], names: dict[Any, str]) -> list[str]:
        """The lines as text; the names of their results are added to ``names``."""
        text = []
        for number, (word, operands, index) in enumerate(lines):
            said = [names.get(o) or f"({o[0]!r})" for o in operands]
            names[index] = f"t{number}"
            text.append(f"t{number} = {WORDS[word][2].format(*said)}")
        return text


class Scratch:
    """Reused memory: growing pieces, each known by its type and a name."""

    def __init__(self) -> None:
        self._pieces: dict[tuple[np.dtype[Any], Any], Array] = {}

    def piece(self, kind: np.dtype[Any], name: Any, size: int) -> Array:
        """An array of ``size`` elements, whose values last until the name is used again."""
        found = self._pieces.get((kind, name))
        if found is None or found.size < size:
            found = self._pieces[kind, name] = np.empty(size, kind)
        return found[:size]
