"""Random tensors: PyTorch's functions and in-place methods, on the streams of `generator.py`.

New tensors are filled directly; the methods that end in an underscore write through `inplace`, so
they obey the rules of autograd.  Values and the generator's state after each call are PyTorch's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import generator as streams
from . import scalar as s
from .creation import empty, finish, like
from .declare import opaque, word
from .device import CPU
from .dtypes import cast, dtype, int64
from .generator import Generator
from .inplace import update
from .op import functions
from .shapes import broadcast
from .tensor import Tensor, wrap

__all__ = [
    "Generator",
    "bernoulli",
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "multinomial",
    "normal",
    "poisson",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "seed",
    "set_rng_state",
]

Array = np.ndarray[Any, Any]

default_generator = streams.default

# ------------------------------------------------------------ the generator and its state


def manual_seed(seed: Any) -> Generator:
    """Seed the default generator, and return it.

    Raises `ValueError` for a seed outside [-2⁶³, 2⁶⁴).

    >>> import retrograd as rg
    >>> _ = rg.manual_seed(0)
    >>> rg.rand(3)
    tensor([0.4963, 0.7682, 0.0885])
    """
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Seed the default generator from the operating system, and return the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator, as a tensor of bytes that PyTorch reads too."""
    return _get_state(default_generator)


def set_rng_state(new_state: Tensor) -> None:
    """Let the default generator continue from a state that `get_rng_state` returned."""
    _set_state(default_generator, new_state)


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, **ignored: Any) -> Iterator[None]:
    """Put the state of the default generator back when the block ends.

    >>> import retrograd as rg
    >>> before = rg.get_rng_state()
    >>> with rg.random.fork_rng():
    ...     noise = rg.randn(8)
    >>> rg.equal(before, rg.get_rng_state())
    True
    """
    if not enabled:
        yield
        return
    before = default_generator.pack_state()
    try:
        yield
    finally:
        default_generator.unpack_state(before)


def _get_state(self: Generator) -> Tensor:
    """Everything the next draws depend on, as a tensor of bytes."""
    return wrap(self.pack_state())


def _set_state(self: Generator, new_state: Tensor) -> Generator:
    """Continue from a state that `get_state` returned."""
    if not isinstance(new_state, Tensor):
        raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
    self.unpack_state(new_state.array)
    return self


def _clone_state(self: Generator) -> Generator:
    """A new generator that goes on as this one would."""
    clone = Generator()
    clone.unpack_state(self.pack_state())
    return clone


for _name, _method in (
    ("get_state", _get_state),
    ("set_state", _set_state),
    ("clone_state", _clone_state),
    ("device", property(lambda self: CPU, doc="Always the CPU.")),
):
    setattr(Generator, _name, _method)


def source(generator: Generator | None) -> Generator:
    """The generator to draw from: the one given, or the default one."""
    if generator is None:
        return default_generator
    if not isinstance(generator, Generator):
        raise TypeError(f"generator must be a torch.Generator, not {type(generator).__name__}")
    return generator


# ------------------------------------------------------------ new tensors


def _target(out: Tensor | None, size: tuple[Any, ...], options: dict[str, Any]) -> Tensor:
    """What to fill: a new tensor, or ``out`` in the wanted size."""
    if out is None:
        return empty(*size, **options)
    wanted = options.get("dtype")
    if wanted is not None and wanted is not out.dtype:
        raise RuntimeError(f"dtype {wanted} does not match dtype of out parameter ({out.dtype})")
    array = empty(*size, **options | {"dtype": out.dtype}).array
    if out.array.shape != array.shape:
        if out.array.size:
            raise RuntimeError(
                f"out has shape {list(out.array.shape)}, the result {list(array.shape)}: "
                "give an empty tensor, or one of the result's shape"
            )
        out.array = array
    return out


def _fill(target: Tensor, out: Tensor | None, op: str, draw: Callable[[Array], Array]) -> Tensor:
    """Draw into a new tensor directly, into ``out`` by the rules of in-place writes."""
    if target is out:
        return update(target, op, draw)
    draw(target.array)
    return target


def rand(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    **options: Any,
) -> Tensor:
    """Uniform numbers in [0, 1).

    >>> import retrograd as rg
    >>> rg.rand(2, 2, generator=rg.Generator().manual_seed(0))
    tensor([[0.4963, 0.7682],
            [0.0885, 0.1320]])
    """
    target = _target(out, size, {"dtype": dtype, **options})
    return _fill(target, out, "rand", source(generator).uniform_)


def randn(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    **options: Any,
) -> Tensor:
    """Normal numbers of mean 0 and variance 1.

    >>> import retrograd as rg
    >>> rg.randn(3, generator=rg.Generator().manual_seed(0))
    tensor([ 1.5410, -0.2934, -2.1788])
    """
    target = _target(out, size, {"dtype": dtype, **options})
    return _fill(target, out, "randn", _normals(source(generator), target, 0.0, 1.0))


def _normals(
    stream: Generator, target: Tensor, mean: float, std: float
) -> Callable[[Array], Array]:
    """A draw for ``target``, which may be made in memory of another layout."""
    contiguous = target.array.flags.c_contiguous
    return lambda array: stream.normal_(array, mean, std, contiguous=contiguous)


def randint(
    *bounds_and_size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    **options: Any,
) -> Tensor:
    """Integers of [low, high): ``randint(high, size)`` or ``randint(low, high, size)``.

    Raises `RuntimeError` for an empty range, or one that the dtype cannot hold.

    >>> import retrograd as rg
    >>> rg.randint(3, 10, (4,), generator=rg.Generator().manual_seed(0))
    tensor([7, 6, 3, 5])
    """
    bounds: Any
    if "size" in options:
        bounds, size = bounds_and_size, options.pop("size")
    else:
        *bounds, size = bounds_and_size or [None]
    low, high = _bounds(bounds, options, "randint")
    if dtype is None and out is None:
        dtype = int64
    target = _target(out, (size,), {"dtype": dtype, **options})
    stream = source(generator)
    return _fill(target, out, "randint", lambda array: stream.random_(array, low, high))


def _bounds(given: Any, options: dict[str, Any], name: str) -> tuple[int, int]:
    """``(high)``, ``(low, high)``, or either of them by keyword."""
    named = [options.pop(key) for key in ("low", "high") if key in options]
    bounds = [operator.index(bound) for bound in (*given, *named)]
    if not 1 <= len(bounds) <= 2:
        raise TypeError(f"{name}() takes (high) or (low, high), and a size")
    if not all(-(2**63) <= bound < 2**63 for bound in bounds):
        raise ValueError(f"{name}: the bounds {bounds} do not fit int64")
    return (0, bounds[0]) if len(bounds) == 1 else (bounds[0], bounds[1])


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    **options: Any,
) -> Tensor:
    """The integers 0 … n-1 in random order.

    Raises `RuntimeError` when the dtype cannot hold them all.

    >>> import retrograd as rg
    >>> rg.randperm(5, generator=rg.Generator().manual_seed(0))
    tensor([4, 0, 1, 3, 2])
    """
    if dtype is None and out is None:
        dtype = int64
    target = _target(out, (n,), {"dtype": dtype, **options})
    kind, stream = target.dtype, source(generator)
    largest = {"float16": 2**11, "bfloat16": 2**8, "float32": 2**24, "float64": 2**53}.get(
        kind.name
    ) or np.iinfo(kind.array).max
    if n > largest + 1:
        raise RuntimeError(f"randperm: {kind} cannot hold the integers up to n={n}")
    return _fill(target, out, "randperm", lambda array: _put(array, cast(stream.randperm(n), kind)))


def _put(array: Array, values: Array) -> Array:
    array[...] = values
    return array


def rand_like(input: Tensor, *, generator: Generator | None = None, **options: Any) -> Tensor:
    """`rand` in the shape and type of ``input``."""
    return _fill(like("rand_like", input, options), None, "rand_like", source(generator).uniform_)


def randn_like(input: Tensor, *, generator: Generator | None = None, **options: Any) -> Tensor:
    """`randn` in the shape and type of ``input``."""
    return _fill(like("randn_like", input, options), None, "randn_like", source(generator).normal_)


def randint_like(
    input: Tensor, *bounds: Any, generator: Generator | None = None, **options: Any
) -> Tensor:
    """`randint` in the shape and type of ``input``: ``(high)`` or ``(low, high)``."""
    low, high = _bounds(bounds, options, "randint_like")
    stream = source(generator)
    target = like("randint_like", input, options)
    return _fill(target, None, "randint_like", lambda array: stream.random_(array, low, high))


# ------------------------------------------------------------ draws shaped by tensors


@word
def zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Zeros of a shape, of another tensor's element type."""
    return wrap(np.zeros(shape, like.array.dtype))


@opaque(
    d_values=lambda g: g,
    d_input=lambda g, input_shape, input_dtype: s.cast(s.zeros(input_shape, g), input_dtype),
    uncounted=("input",),
    cases=[((2, 3), (3,))],
    public=False,
    method=False,
)
def drawn(values, input, /):  # type: ignore[no-untyped-def] # read with arrays, tensors and text
    """Values drawn at random by what ``input`` says: its gradient is zero, as PyTorch has it."""
    return values


def normal(
    mean: Tensor | float = 0.0,
    std: Tensor | float = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    **options: Any,
) -> Tensor:
    """Normal numbers, each of its own mean and standard deviation.

    Shape: that of ``mean`` and ``std`` broadcast together; with two numbers, ``size``.

    >>> import retrograd as rg
    >>> rg.normal(rg.tensor([0.0, 100.0]), 1.0, generator=rg.Generator().manual_seed(0))
    tensor([ 1.5410, 99.7066])
    """
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    stream = source(generator)
    if not tensors:
        if size is None:
            raise TypeError("normal() of two numbers needs a size")
        target = _target(out, (size,), options)
        return _fill(target, out, "normal", _normals(stream, target, float(mean), float(std)))
    if size is not None:
        raise TypeError("normal() takes its size from the tensors; leave size out")
    if isinstance(std, Tensor) and not (std.array >= 0).all():
        raise RuntimeError("normal expects all elements of std >= 0.0")
    shape = broadcast(*(x.array.shape for x in tensors))
    target = _target(out, (shape,), {"dtype": tensors[0].dtype if out is None else None})

    def draw(array: Array) -> Array:
        stream.normal_(array, 0.0, 1.0 if isinstance(std, Tensor) else std)
        if isinstance(std, Tensor):
            array *= std.array
        array += mean.array if isinstance(mean, Tensor) else array.dtype.type(mean)
        return array

    target = _fill(target, out, "normal", draw)
    for x in tensors:
        target = drawn(target, x)
    return target


def bernoulli(
    input: Tensor,
    p: float | None = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Ones with the probabilities that ``input`` holds (or all with ``p``), and zeros.

    >>> import retrograd as rg
    >>> rg.bernoulli(rg.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    target = out if out is not None else finish(np.empty(input.array.shape, input.array.dtype))
    _fill(target, out, "bernoulli", _coins(source(generator), input if p is None else p))
    return drawn(target, input)


def _coins(stream: Generator, p: Any) -> Callable[[Array], Array]:
    chance = p.array if isinstance(p, Tensor) else float(p)
    return lambda array: stream.bernoulli_(array, chance)


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Indices drawn with the probabilities that ``input`` holds, up to a factor for each row.

    Shape: (C,) → (num_samples,), or (N, C) → (N, num_samples).

    >>> import retrograd as rg
    >>> rg.multinomial(rg.tensor([0.0, 3.0, 0.0]), 2, replacement=True)
    tensor([1, 1])
    """
    drawn = source(generator).multinomial(input.array, num_samples, replacement)
    if out is None:
        return wrap(drawn)
    target = _target(out, drawn.shape, {"dtype": int64})
    return _fill(target, out, "multinomial", lambda array: _put(array, drawn))


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """How many events happen at each of the rates that ``input`` holds.

    Raises `RuntimeError` for a negative rate.

    >>> import retrograd as rg
    >>> rg.poisson(rg.tensor([0.0, 0.0]))
    tensor([0., 0.])
    """
    return drawn(wrap(source(generator).poisson(input.array)), input)


# ------------------------------------------------------------ in-place methods


def uniform_(
    self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with uniform numbers in [from, to)."""
    stream, low, high = source(generator), float(from_), float(to)
    return update(self, "uniform_", lambda array: stream.uniform_(array, low, high))


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers."""
    return update(self, "normal_", _normals(source(generator), self, float(mean), float(std)))


def random_(
    self: Tensor, *bounds: int | None, generator: Generator | None = None, **named: Any
) -> Tensor:
    """Fill with integers: ``random_()``, ``random_(to)`` or ``random_(from, to)``.

    Without bounds from the whole range of the type, as far as it counts without gaps.
    """
    if "to" in named:
        bounds = (*bounds, named.pop("to"))
    if named or len(bounds) > 2:
        raise TypeError("random_() takes (), (to) or (from, to)")
    stream = source(generator)
    low, high = (0, *bounds) if len(bounds) == 1 else bounds or (None, None)
    return update(self, "random_", lambda array: stream.random_(array, low, high))


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with ones of probability ``p`` (a number, or a tensor that broadcasts), and zeros."""
    return update(self, "bernoulli_", _coins(source(generator), p))


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers of density λ · exp(-λ · x)."""
    stream = source(generator)
    return update(self, "exponential_", lambda array: stream.exponential_(array, float(lambd)))


def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with exponentials of normal numbers."""
    stream = source(generator)
    return update(
        self, "log_normal_", lambda array: stream.log_normal_(array, float(mean), float(std))
    )


def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with Cauchy-distributed numbers."""
    stream = source(generator)
    return update(self, "cauchy_", lambda array: stream.cauchy_(array, float(median), float(sigma)))


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with the number of trials up to the first success of probability ``p``."""
    stream = source(generator)
    return update(self, "geometric_", lambda array: stream.geometric_(array, float(p)))


for _function in (
    *(rand, randn, randint, randperm, rand_like, randn_like, randint_like),
    *(normal, bernoulli, multinomial, poisson, manual_seed, seed, initial_seed),
    *(get_rng_state, set_rng_state),
):
    functions[_function.__name__] = _function
for _in_place in (
    *(uniform_, normal_, random_, bernoulli_, exponential_, log_normal_, cauchy_, geometric_),
    *(bernoulli, multinomial),
):
    setattr(Tensor, _in_place.__name__, _in_place)
