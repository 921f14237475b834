"""Seeing ops as they happen: in which module, on which line, how long, with what values.

The tape itself knows shapes and what is kept. All else is noted here, by a recorder that is in
force only inside `tracing`, so nothing is paid for it elsewhere. What is noted hangs on the nodes
by weak references and goes when they go.
"""

from __future__ import annotations

import linecache
import os
import re
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from types import FrameType, TracebackType
from typing import Any, Self

import numpy as np

from .. import dtypes as dt
from .. import tape
from ..errors import PACKAGE
from ..tape import Node
from ..tensor import Tensor
from ..version import owner

# Frames of these are how an op is called, not where: the first call of an op has one more.
MACHINERY = frozenset(
    f"{PACKAGE}.autograd.{name}"
    for name in ("call", "op", "declare", "promotion", "tape", "anomaly", "draw.tracer")
)
INNER_CAPITAL = re.compile("(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a module: its name in the model, its class, and which call of it this is."""

    name: str
    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class Values:
    """What an array holds, in a few numbers; low and high are of the finite ones."""

    nan: int
    inf: int
    low: float
    high: float

    @property
    def kind(self) -> str:
        """`NaN`, `inf`, both, or nothing when all is finite."""
        return " and ".join([*["NaN"][: self.nan], *["inf"][: self.inf]])


@dataclass(frozen=True, slots=True)
class Outside:
    """An input of an op that is not on the tape: what it is called, if that is known."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    values: Values | None


@dataclass(slots=True)
class Facts:
    """What was seen when a node was made."""

    calls: tuple[Call, ...]  # the modules whose forward was running, outermost first
    site: int  # one number for all callers and the instructions they were at
    place: tuple[str, int, str] | None  # file, line and function of the user's own code
    function: str  # the public function the op was called by, the op's own name if it is public
    seconds: float  # since the op before it
    made: Values | None
    outside: tuple[Outside | None, ...]  # for each input

    def where(self) -> str:
        """The place as `file:line in function: source`."""
        return place_text(self.place)


@dataclass(slots=True)
class Failure:
    """The op whose call raised, and what it was called with."""

    op: str
    message: str
    inputs: tuple[Node | None, ...]
    shapes: tuple[str, ...]
    calls: tuple[Call, ...]
    place: tuple[str, int, str] | None


known: weakref.WeakKeyDictionary[Node, Facts] = weakref.WeakKeyDictionary()
ran: weakref.WeakSet[Any] = weakref.WeakSet()  # modules whose forward was seen


class tracing:  # noqa: N801 - a mode, spelled as its siblings
    """In a ``with`` block: note of every op its module, source line, time and values.

    `draw` then shows them. Give it the model, or several, whose modules shall be known by name.
    Recording is several times slower so; nothing is paid outside the block.

    >>> import retrograd as rg
    >>> x = rg.ones(2, requires_grad=True)
    >>> with rg.tracing():
    ...     y = (x * 0).log()
    >>> print(rg.draw(y, names={"x": x}).note)  # doctest: +ELLIPSIS
    inf arises in log (n2) and reaches the output, at ...
    """

    def __init__(self, *models: Any, inputs: Mapping[str, Any] | None = None):
        for model in models:
            if not hasattr(model, "named_modules"):
                raise TypeError(
                    f"tracing() takes the modules to know by name, not {type(model).__name__}"
                )
        self.models = models
        self.failure: Failure | None = None
        self.newest: Node | None = None  # the last node seen, while a failure is being drawn
        self._named: dict[int, str] = {}
        self._held: list[Any] = []  # keeps the ids of `_named` valid
        for name, value in (inputs or {}).items():
            self._name(name, value)
        self._calls: list[Call] = []
        self._broken: tuple[int, tuple[Call, ...]] = 0, ()  # the id of an error, and where it rose
        self._counts: Counter[str] = Counter()
        self._swapped: list[tuple[Any, Any]] = []
        self._public = public_names()
        self._floor: FrameType | None = None

    def _name(self, name: str, value: Any) -> None:
        """Know an array, and whatever shares its memory, by a name."""
        waiting = [(name, value)]
        while waiting:
            name, value = waiting.pop()
            if isinstance(value, Tensor):
                held = owner(value.array)
                self._named.setdefault(id(held), name)
                self._held.append(held)
            elif isinstance(value, (tuple, list)) and len(value) <= 64:
                waiting += [(f"{name}[{k}]", part) for k, part in enumerate(value)]

    def __enter__(self) -> Self:
        self._floor = sys._getframe(1)
        self._thread = threading.get_ident()
        before = tape.recording()
        self._other: Callable[[Node], None] | None = before if callable(before) else None
        for model in self.models:
            title = type(model).__name__
            for name, buffer in model.named_buffers():
                self._name(name, buffer)
            for name, module in model.named_modules():
                self._wrap(module, name or title)
        self._recorder = tape.recorder(self._see)
        self._recorder.__enter__()
        self._last = perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._recorder.__exit__(kind, error, tb)
        for module, forward in reversed(self._swapped):
            if forward is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = forward
        self._swapped.clear()
        if error is not None:
            raised, calls = self._broken
            self.failure = failure_of(error, calls if raised == id(error) else ())
        else:
            self.newest = None
        self._floor = None
        self._held.clear()
        self._calls.clear()

    def _wrap(self, module: Any, name: str) -> None:
        """Let a module's forward say when it begins and ends."""
        forward, kind, thread = module.forward, type(module).__name__, self._thread

        def seen(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != thread:
                return forward(*args, **kwargs)
            ran.add(module)
            self._counts[name] += 1
            self._calls.append(Call(name, kind, self._counts[name]))
            try:
                return forward(*args, **kwargs)
            except BaseException as error:
                if self._broken[0] != id(error):
                    self._broken = id(error), tuple(self._calls)
                raise
            finally:
                self._calls.pop()

        self._swapped.append((module, module.__dict__.get("forward")))
        module.__dict__["forward"] = seen

    def _see(self, node: Node) -> None:
        seconds = perf_counter() - self._last
        self.newest = node
        if self._other is not None:
            self._other(node)
        frame = sys._getframe(2)  # who called `op.watch`: the op's function
        made, inputs = arrays_of(frame, node)
        outside: list[Outside | None] = []
        for parent, array in zip(node.inputs, inputs, strict=True):
            if parent is not None or array is None or array.ndim == 0:
                outside.append(None)
                continue
            name = self._named.get(id(owner(array)), "")
            outside.append(Outside(name, array.shape, array.dtype, values_of(array)))
        site, place, function = self._stack(frame)
        function = function or named_by_layer(self._calls, self._public)
        known[node] = Facts(
            tuple(self._calls),
            site,
            place,
            function,
            seconds,
            None if made is None else values_of(made),
            tuple(outside),
        )
        self._last = perf_counter()

    def _stack(self, start: FrameType) -> tuple[int, tuple[str, int, str] | None, str]:
        """Every caller up to the block; the nearest outside the package; the public function."""
        site: list[tuple[int, int]] = []
        place, function = None, ""
        inside, layer = True, False  # of the block; at the layer, or the user, that called it
        frame: FrameType | None = start
        while frame is not None and (inside or place is None):
            name = frame.f_globals.get("__name__", "")
            if inside and name not in MACHINERY:
                site.append((id(frame.f_code), frame.f_lasti))
            ours = name == PACKAGE or name.startswith(PACKAGE + ".")
            layer = layer or not inside or not ours or name == __name__
            if not layer and not function and frame.f_code.co_name in self._public:
                function = frame.f_code.co_name
            if place is None and not ours:
                place = frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
            inside = inside and frame is not self._floor
            frame = frame.f_back
        return hash(tuple(site)), place, function


def public_names() -> frozenset[str]:
    """What users may call: an op that is not among it is shown by the function that called it."""
    names: list[str] = []
    for module in (PACKAGE, f"{PACKAGE}.nn.functional"):
        known_there = vars(sys.modules[module]) if module in sys.modules else {}
        names += known_there.get("__all__", known_there)
    return frozenset([*names, *vars(Tensor)])


def named_by_layer(calls: Sequence[Call], public: frozenset[str]) -> str:
    """The name for an op that a layer calls itself: that of a Linear is linear."""
    name = INNER_CAPITAL.sub("_", calls[-1].kind).lower() if calls else ""
    return name if name in public else ""


def arrays_of(frame: FrameType, node: Node) -> tuple[np.ndarray | None, list[np.ndarray | None]]:
    """What an op made and what it was given, read from the variables of the function it became.

    They are `out` and `x0`, `x1`, … in a call written from the template, and `outs` and `arrays`
    on the slow way. What is not found is simply not known.
    """
    found = frame.f_locals
    made = found.get("out", found.get("outs", found.get("base")))
    if isinstance(made, (tuple, list)):
        made = made[0] if made else None
    made = getattr(made, "array", made)
    if not (isinstance(made, np.ndarray) and made.shape == node.shape):
        made = None
    given = found.get("arrays") or [found.get(f"x{k}") for k in range(len(node.inputs))]
    inputs = [x if isinstance(x, np.ndarray) else None for x in given][: len(node.inputs)]
    return made, inputs + [None] * (len(node.inputs) - len(inputs))


def values_of(array: np.ndarray) -> Values | None:
    """The few numbers that say what is in an array of floats."""
    array = dt.widen(array)
    if array.dtype.kind not in "fc" or not array.size:
        return None
    with np.errstate(all="ignore"):
        parts = np.abs(array) if array.dtype.kind == "c" else array
        low, high = parts.min(), parts.max()
        if np.isfinite(low) and np.isfinite(high):
            return Values(0, 0, float(low), float(high))
        finite = np.isfinite(parts)
        nan = int(np.isnan(parts).sum())
        rest = parts[finite]
        low, high = (float(rest.min()), float(rest.max())) if rest.size else (0.0, 0.0)
        return Values(nan, int(parts.size - finite.sum()) - nan, low, high)


def failure_of(error: BaseException, calls: tuple[Call, ...]) -> Failure | None:
    """The op that raised, from the traceback: the innermost frame that is an op's function."""
    tb, public = error.__traceback__, public_names()
    op, function, given, place = "", "", [], None
    while tb is not None:
        frame = tb.tb_frame
        module = frame.f_globals.get("__name__", "")
        if not (module == PACKAGE or module.startswith(PACKAGE + ".")):
            place = frame.f_code.co_filename, tb.tb_lineno, frame.f_code.co_name
            function = ""
        elif module == __name__:  # a layer begins
            function = ""
        elif not op and frame.f_code.co_name in public:
            function = frame.f_code.co_name
        if frame.f_code.co_filename.startswith("<call of "):
            op = frame.f_code.co_name
            names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
            given = [frame.f_locals.get(name) for name in names]
        tb = tb.tb_next
    flat: list[Any] = []
    for x in given:
        flat += x if isinstance(x, (tuple, list)) else [x]
    tensors = [x for x in flat if isinstance(x, Tensor)]
    if op and op not in public:
        op = function or named_by_layer(calls, public) or op
    return Failure(
        op or type(error).__name__,
        f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}",
        tuple(x.node for x in tensors),
        tuple(str(tuple(x.array.shape)) for x in tensors),
        calls,
        place,
    )


def place_text(place: tuple[str, int, str] | None) -> str:
    """A place as `file:line in function: source`; relative to the working folder, if below."""
    if place is None:
        return ""
    file, line, function = place
    source = linecache.getline(file, line).strip()
    here, real = os.path.realpath(os.getcwd()), os.path.realpath(file)  # links lead elsewhere
    inside = real.startswith(here + os.sep)
    where = f"{os.path.relpath(real, here) if inside else file}:{line} in {function}"
    return f"{where}: {source}" if source else where


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in a result, through tuples, lists and dictionaries, each once."""
    found: list[Tensor] = []
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Tensor):
            if not any(item is x for x in found):
                found.append(item)
        elif isinstance(item, Mapping):
            waiting += reversed(list(item.values()))
        elif isinstance(item, Sequence) and not isinstance(item, (str, bytes)):
            waiting += reversed(item)
    return found
