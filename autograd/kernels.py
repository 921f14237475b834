"""Compiled loops: how they are compiled, and shared out among threads.

Numba and LLVM take a third of a second to load, so nothing here imports them before the first
kernel is asked for.  A kernel has one signature with read-only inputs, which serves writable and
read-only arrays alike; its arguments are contiguous, which its caller sees to.

What was compiled is kept on disk (`cache`).

Threads are Python's own, and kernels run without the interpreter's lock.  Numba's ``parallel=True``
deals out the work beforehand, and waits for every thread: where another program has one of two
cores, an OpenMP call was seen to take 8 ms instead of 0.1.  It also aborts the process when two
threads enter its ``workqueue`` layer, and hangs or kills a forked process.  Here whoever is awake
takes the next part, so the caller never waits for a thread that has not begun.

`Elementwise` makes a kernel of the text of an op: all steps of a formula in one pass over memory.
"""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from . import assembly, machine, polynomials, scalar
from .cache import Pickled, cache_folder, makers, read, text_of, write
from .crew import Crew, pool
from .printer import arguments, print_rule

__all__ = ["Elementwise", "compile", "elementwise", "erf", "launch"]
__all__ += ["launch_pieces", "share", "threads"]

Array = np.ndarray[Any, Any]

# ---------------------------------------------------------------- compiling


def readonly(dtype: str, ndim: int = 1) -> str:
    """How a signature writes an input: a contiguous array that the kernel does not change."""
    return f"Array({dtype}, {ndim}, 'C', readonly=True)"


def compile(
    function: Callable[..., Any],
    signature: str,
    *,
    contract: bool = False,
    reorder: bool = False,
    wide: bool = False,
    source: str | None = None,
    prepare: Callable[[], object] = lambda: None,
) -> Callable[..., Any]:
    """The machine code of a function for one signature, from disk where it is known.

    ``contract`` lets a product and a sum be rounded once, ``reorder`` sums be added up in another
    order (in this function, not in those it calls).  ``wide`` asks for the longest vectors, which
    is for long loops with much to compute.  ``source`` is what the function was made of; if not
    given, the file it stands in.  ``prepare`` is called where the function is about
    to be compiled, or called as it is.  With ``NUMBA_DISABLE_JIT=1`` the function itself.
    """
    if _asked_for("NUMBA_DISABLE_JIT"):
        prepare()
        return function
    checking = _asked_for("NUMBA_BOUNDSCHECK")  # which is no part of a file's name
    folder = None if checking else cache_folder()
    name = function.__name__
    source = source or text_of(function.__code__.co_filename)
    path, found = _kept(folder, name, (source, signature, f"{contract} {reorder} {wide}"))
    if found:
        return found
    prepare()
    pickled = None if path is None else path.with_suffix(".numba")
    fast = {flag for flag, wanted in (("contract", contract), ("reassoc", reorder)) if wanted}
    with _said_if_it_takes_long(folder):
        if not checking and not (pickled and pickled.exists()):
            payload = _packed(function, signature, fast, wide)
            known = payload and machine.load(payload)
            if payload and known:
                if path is not None:
                    write(path, payload)
                return known
        return _by_numba(function, signature, fast, pickled)


@cache
def name_of(dtype: np.dtype[Any]) -> str:
    """A type's name, which NumPy makes anew in 2.6 µs each time it is asked."""
    return dtype.name


def written(
    name: str, key: tuple[Any, ...], text: Callable[[], str], sources: tuple[str, ...]
) -> int | None:
    """Where the ``entry`` of a kernel in LLVM's language is; see `functions`."""
    found = functions(name, key, text, sources, ("entry",))
    return found[0] if found else None


def functions(
    name: str,
    key: tuple[Any, ...],
    text: Callable[[], str],
    sources: tuple[str, ...],
    names: Sequence[str],
    outside: Sequence[str] = (),
) -> Sequence[int] | None:
    """Where functions in LLVM's language are; they come from disk where they are known.

    ``text`` makes their text, of which the files ``sources`` and the ``key`` decide everything;
    they call those of the C library that are ``outside``.  None where code cannot be loaded.
    Files are read: callers remember the answer.
    """
    path, found = _kept(cache_folder(), name, (text_of(*sources, assembly.__file__), repr(key)))
    if not found:
        payload = machine.assemble(text(), names, outside)
        if path is not None:
            write(path, payload)
        found = machine.load(payload)
    return found.addresses if found else None


def _kept(folder: Path | None, name: str, parts: Sequence[str]) -> tuple[Path | None, Any]:
    """Where a kernel is kept that depends on these texts, and what is there."""
    if folder is None:
        return None, None
    digest = hashlib.sha256("\0".join((makers(), *parts)).encode()).hexdigest()
    path = folder / f"{name}-{digest[:24]}.kernel"
    payload = read(path)
    return path, machine.load(payload) if payload else None


def _asked_for(variable: str) -> bool:
    return os.environ.get(variable, "0") not in ("", "0")


def _packed(
    function: Callable[..., Any], signature: str, fast: set[str], wide: bool
) -> bytes | None:
    """What `machine.load` turns into a kernel; None for one that needs Numba to run."""
    try:
        from .lowering import lowered

        return machine.pack(lowered(function, signature, fast), wide)
    except Exception:  # another version of Numba or LLVM than the one this was written for
        return None


def _by_numba(
    function: Callable[..., Any], signature: str, fast: set[str], path: Path | None
) -> Any:
    """A kernel that needs Numba to run, with its pickle where there is a path for it."""
    import numba

    kernel = numba.njit(error_model="numpy", nogil=True, fastmath=fast or False)(function)
    if path is not None:
        kernel._cache = Pickled(path)
    kernel.compile(signature)
    kernel.disable_compile()
    return kernel


silence = 1.0  # seconds that this process may compile without a word


@contextmanager
def _said_if_it_takes_long(folder: Path | None) -> Iterator[None]:
    """Say on the screen, once, what goes on when this process has compiled for a second."""
    global silence
    kept = "once for every process" if folder is None else f"once; they are kept in {folder}"
    words = f"retrograd: compiling kernels, {kept}"
    notice = threading.Timer(silence, print, [words], {"file": sys.stderr, "flush": True})
    notice.name, notice.daemon = "retrograd kernels", True
    begun = time.monotonic()
    if started := silence > 0:
        notice.start()
    try:
        yield
    finally:
        notice.cancel()
        if started:
            notice.join()  # or it would be there for a while, and be counted as a helper
        silence -= time.monotonic() - begun


# ---------------------------------------------------------------- threads

limit: int | None = None  # set by set_num_threads


def threads() -> int:
    """How many threads may share a kernel's work."""
    return allowed() if limit is None else limit


@cache
def allowed() -> int:
    """How many threads the environment allows: asked once, for it takes 4 µs."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted):
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Job:
    """Work in parts, for anyone to take."""

    def __init__(self, work: Callable[[int, int], Any], total: int, grain: int):
        self.work = work
        self.parts = deque((start, min(start + grain, total)) for start in range(0, total, grain))
        self.unfinished = len(self.parts)
        self.counting = threading.Lock()
        self.finished = threading.Event()
        self.error: BaseException | None = None

    def take_part(self) -> None:
        """Do parts until none is left."""
        while True:
            try:
                start, stop = self.parts.popleft()
            except IndexError:
                return
            try:
                self.work(start, stop)
            except BaseException as error:
                self.error = error
            with self.counting:
                self.unfinished -= 1
                if not self.unfinished:
                    self.finished.set()


_jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
_helpers = 0
_hiring = threading.RLock()


def share(work: Callable[[int, int], Any], total: int, grain: int) -> None:
    """Call ``work(start, stop)`` for parts of ``range(total)``, from several threads.

    It should release the interpreter's lock; no part has more than ``grain`` elements.
    """
    count = min(threads(), -(-total // grain))
    if count <= 1:
        for start in range(0, total, grain):
            work(start, min(start + grain, total))
        return
    if _helpers < count - 1:
        _hire(count - 1)
    job = _Job(work, total, grain)
    for _ in range(count - 1):
        _jobs.put(job)
    job.take_part()
    job.finished.wait()
    if job.error is not None:
        raise job.error


def launch(
    kernel: Callable[..., Any],
    arguments: Sequence[Any],
    total: int,
    grain: int,
    cut: Sequence[int] | None = None,
    most: int | None = None,
) -> None:
    """Call a compiled kernel for parts of ``range(total)``, from several threads.

    Arrays are cut along their first axis: of the i-th argument a part from ``start`` to ``stop``
    gets the rows from ``start·cut[i]`` to ``stop·cut[i]``; 0 leaves it whole.  Below 0 it is
    scratch memory, of which each thread has so many rows to itself: then it has room for ``most``
    threads.  The default is 1 for every array.  No part is longer than ``grain``.  This begins
    sooner than `share`, which may do anything in a part.
    """
    if cut is None:
        if total <= grain and isinstance(kernel, machine.Machine):
            kernel(*arguments)
            return
        cut = [1 if isinstance(a, np.ndarray) and a.ndim else 0 for a in arguments]
    count = min(most or threads(), -(-total // grain))
    if isinstance(kernel, machine.Machine) and (sharers := crew()) is not None:
        table = kernel.table(arguments, tuple(cut))
        kernel.check(sharers.run(kernel.address, table, total, grain, count), arguments)
        return

    def part(a: Any, step: int, start: int, stop: int) -> Any:
        if step < 0:
            return np.empty((-step, *a.shape[1:]), a.dtype)
        return a[start * step : stop * step] if step else a

    def work(start: int, stop: int) -> None:
        kernel(*[part(a, c, start, stop) for a, c in zip(arguments, cut, strict=True)])

    with np.errstate(all="ignore"):  # for the day the loop is Python's
        share(work, total, grain)


def launch_pieces(kernel: Callable[..., Any], total: int, *arguments: Any) -> None:
    """Call a kernel whose first argument is the numbers of the pieces to do, from several threads.

    All of them see the other arguments whole.
    """
    grain = -(-total // (2 * threads()))
    cut = (1,) + (0,) * len(arguments)
    launch(kernel, (np.arange(total), *arguments), total, grain, cut)


@cache
def crew() -> Crew | None:
    """The threads that `launch` shares with; None where only `share` has some."""
    kind = platform.machine()
    with _hiring:
        found = functions("crew", (kind,), lambda: pool(kind), (pool.__code__.co_filename,),
                          ("run", "serve"), ("sched_yield",))  # fmt: skip
        return Crew(*found) if found else None


def _hire(count: int) -> None:
    global _helpers
    with _hiring:
        while _helpers < count:
            _helpers += 1
            threading.Thread(
                target=_help, args=(_jobs,), name="retrograd kernels", daemon=True
            ).start()


def _help(jobs: queue.SimpleQueue[_Job]) -> None:
    np.seterr(all="ignore")  # a setting of each thread
    while True:
        job = jobs.get()
        job.take_part()
        del job  # and with it the arrays


forgotten_by_children: list[Callable[[], object]] = [crew.cache_clear, allowed.cache_clear]


def _after_fork() -> None:
    """A forked process has none of its parent's threads, and perhaps their locks."""
    global _jobs, _helpers, _hiring
    for forget in forgotten_by_children:
        forget()
    _jobs, _helpers, _hiring = queue.SimpleQueue(), 0, threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# ---------------------------------------------------------------- element by element

GRAIN = 1 << 16  # elements that one thread takes at a time
WORTH_COMPILING = 1 << 15  # elements from which a kernel beats NumPy's passes

# Words that kernels compute as vectors; the others are calls of the C library.
VECTOR_WORDS = {
    *("abs", "ceil", "copysign", "floor", "maximum", "minimum", "sign", "sqrt", "trunc", "where"),
    *("erf", "normal_cdf"),  # NumPy has none at all
}

SINGLES = {"exp", "expm1", "log1p", "tanh"}  # vectors in float32 only


class Elementwise:
    """A formula as one loop over arrays; the parameters in ``numbers`` are the same for all."""

    def __init__(
        self, names: tuple[str, ...], formula: str, dtype: str, name: str, numbers: Any = ()
    ):
        parameters = ", ".join(names)
        self.formula = formula
        self.name = f"{name}_kernel"  # unlike any word
        self.dtype = np.dtype(dtype)
        self.arrays = tuple(n not in numbers for n in names)
        types = ", ".join(readonly(dtype) if each else dtype for each in self.arrays)
        self.signature = f"void({types}, {dtype}[::1])"
        values = ", ".join(n if n in numbers else f"{n}[i]" for n in names)
        self.source = (
            f"def formula({parameters}):\n    return {_with_typed_literals(formula)}\n\n\n"
            f"def {self.name}({parameters}, result):\n    for i in range(result.size):\n"
            f"        result[i] = formula({values})\n"
        )
        self.loop: Callable[..., Any] | None = None

    def compiled(self) -> Callable[..., Any]:
        """The loop: it takes flat arrays and numbers, and last the array of the results."""
        if self.loop is not None:
            return self.loop
        with _hiring:
            if self.loop is None:
                space: dict[str, Any] = {"__name__": __name__}
                exec(self.source, space)

                def prepare() -> None:
                    space.update(compiled_words(self.dtype.name))
                    space["formula"] = inner(space["formula"])

                self.loop = compile(
                    space[self.name], self.signature, contract=True, wide=True,
                    source=self.source, prepare=prepare,
                )  # fmt: skip
            return self.loop

    def __call__(self, *arguments: Any) -> Array:
        """The formula on arrays, which are broadcast together; the result is fresh."""
        arrays = [a for a, is_array in zip(arguments, self.arrays, strict=True) if is_array]
        shape = arrays[0].shape
        if any(a.shape != shape for a in arrays):
            shape = np.broadcast_shapes(*[a.shape for a in arrays])
        result = np.empty(shape, self.dtype)
        loop = self.compiled()
        flat = [
            self._flat(a, shape) if is_array else self.dtype.type(a)
            for a, is_array in zip(arguments, self.arrays, strict=True)
        ]
        into = result.reshape(-1)
        if into.size < 2 * GRAIN:
            with np.errstate(all="ignore"):  # for the day the loop is Python's
                loop(*flat, into)
        else:
            share(
                lambda i, j: loop(*[a[i:j] if a.ndim else a for a in flat], into[i:j]),
                into.size,
                GRAIN,
            )
        return result

    def _flat(self, a: Array, shape: tuple[int, ...]) -> Array:
        if a.shape != shape:
            a = np.broadcast_to(a, shape)
        return np.ascontiguousarray(a, self.dtype).reshape(-1)

    def __repr__(self) -> str:
        return f"<{self.name}: {self.formula}>"


@cache
def elementwise(op: Any, input: str | None = None, dtype: str = "float32") -> Elementwise:
    """The kernel of an elementwise op, or of its derivative by ``input``.

    It takes what the body or the rule takes; settings are numbers.

    >>> from retrograd.autograd.op import registry
    >>> elementwise(registry["silu"])
    <silu_kernel: x / (1 + exp(-x))>
    >>> elementwise(registry["tanh"], "x")
    <tanh_d_x_kernel: g - g * out * out>

    Raises `TypeError` for an op of another kind, or whose result is no floating number.
    """
    if op.kind != "elementwise" or op.promote == "bool":
        raise TypeError(f"{op.name} has no elementwise kernel: it is {op.kind}, {op.promote}")
    rule = op.body if input is None else op.rules[input]
    name = op.name if input is None else f"{op.name}_d_{input}"
    return Elementwise(arguments(rule), print_rule(rule), dtype, name, op.settings)


def erf(x: Array) -> Array:
    """``2/√π ∫₀ˣ exp(-t²) dt`` of float32 or float64, element by element."""
    if x.dtype.kind != "f":
        raise TypeError(f"erf is defined for real floating numbers, not {x.dtype}")
    return _erf(name_of(x.dtype))(x)


@lru_cache(maxsize=2)
def _erf(dtype: str) -> Elementwise:
    return Elementwise(("x",), "erf(x)", dtype, "erf")


def _with_typed_literals(formula: str) -> str:
    """Every number as ``f(number)``: Numba would make float64 of a float32 times ``0.5``."""

    class Typed(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.AST:
            return ast.Call(ast.Name("f", ast.Load()), [node], [])

    return ast.unparse(ast.fix_missing_locations(Typed().visit(ast.parse(formula, mode="eval"))))


# ---------------------------------------------------------------- the words, compiled


def inner(function: Callable[..., Any]) -> Any:
    """A function that LLVM puts in its caller's place, which lets it make vectors of the whole."""
    if _asked_for("NUMBA_DISABLE_JIT"):
        return function
    if not _asked_for("NUMBA_BOUNDSCHECK"):
        with suppress(
            ImportError
        ):  # of another version of Numba, which compiles all by itself then
            from . import lowering

            return lowering.inner(function)
    import numba

    return numba.njit(error_model="numpy", fastmath={"contract"}, forceinline=True)(function)


@lru_cache(maxsize=2)
def compiled_words(dtype: str) -> dict[str, Any]:
    """What the words of a formula mean in a kernel of one element type."""
    import math

    def where(condition: Any, a: Any, b: Any) -> Any:
        return a if condition else b

    def normal_cdf(x: Any) -> Any:
        return 0.5 * (1 + math.erf(x * 0.7071067811865476))

    numpys = {"acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh",
              "atan": "arctan", "atan2": "arctan2", "atanh": "arctanh", "pow": "power",
              "round": "rint", "shift_left": "left_shift",
              "shift_right": "right_shift"}  # fmt: skip
    own = {"f": getattr(np, dtype), "where": inner(where), "erf": math.erf, "erfc": math.erfc}
    own["normal_cdf"] = inner(normal_cdf)
    others = [w for w in scalar.SCALAR_WORDS if w not in own]
    words = own | {w: getattr(np, numpys.get(w, w)) for w in others}
    if dtype == "float32":
        space = {**vars(polynomials), "where": words["where"]}
        for name in ("exp", "expm1", "log1p", "tanh", "erf", "normal_cdf"):
            plain = FunctionType(getattr(polynomials, name).__code__, space, name)
            space[name] = words[name] = inner(plain)
    return words
