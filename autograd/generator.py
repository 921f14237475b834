"""Random numbers on arrays: the streams of PyTorch's CPU generator, reproduced draw for draw.

A `Generator` hands out the 32-bit words of a Mersenne twister; every distribution turns a known
number of words into a value, so equal seeds and equal calls give PyTorch's numbers and leave
PyTorch's state.  Uniforms keep the low bits of a word (24 of one for float32, 53 of two for
float64).  Methods ending in an underscore fill an array in place, in the order of its memory.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .box_muller import BLOCK, box_muller
from .dtypes import cast, of_array, widen

__all__ = ["Generator", "default"]

Array = np.ndarray[Any, Any]
Draw = Callable[[int], Array]

DEFAULT_SEED = 67280421310721
CHUNK = 1 << 14  # values drawn at a time: temporaries of this size stay in the cache

# The bytes of a state, field by field as PyTorch lays them out, so that states can be exchanged.
STATE = np.dtype(
    [
        ("seed", "<u8"),
        ("left", "<i4"),
        ("seeded", "<i4"),
        ("next", "<u8"),
        ("words", "<u8", 624),
        ("unused_x", "<f8"),
        ("spare", "<f8"),
        ("unused_rho", "<f8"),
        ("has_spare", "<i8"),
        ("float_spare", "<f4"),
        ("has_float_spare", "<u4"),
    ]
)

DIGITS = {np.dtype(np.float32): 24, np.dtype(np.float64): 53}


class Generator:
    """A source of random numbers with a state of its own.

    Raises `RuntimeError` for a device other than the CPU.

    >>> import retrograd as rg
    >>> rg.rand(2, generator=rg.Generator().manual_seed(0))
    tensor([0.4963, 0.7682])
    """

    __slots__ = ("__weakref__", "_bits", "_reseed", "_seed", "_spare")

    def __init__(self, device: Any = "cpu"):
        if str(device).partition(":")[0] != "cpu":
            raise RuntimeError(f"there is no generator for device {device}; use 'cpu'")
        self._bits = np.random.MT19937(0)
        # RandomState seeds a twister by a single number as PyTorch does; MT19937 itself does not.
        self._reseed = np.random.RandomState(self._bits).seed
        self.manual_seed(DEFAULT_SEED)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream that belongs to ``seed``, and return this generator.

        Negative seeds count from 2⁶⁴ downwards; `ValueError` outside [-2⁶³, 2⁶⁴).
        """
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise RuntimeError(f"manual_seed expected an int, but got {type(seed).__name__}")
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"seed {seed} does not fit 64 bits; choose one in [-2**63, 2**64)")
        self._seed = int(seed) % 2**64
        self._reseed(self._seed & 0xFFFFFFFF)
        self._spare: float | None = None  # the second normal of a pair, not handed out yet
        return self

    def seed(self) -> int:
        """Seed from the operating system's randomness, and return that seed."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little") >> 11)
        return self._seed

    def initial_seed(self) -> int:
        """The seed the current stream started from."""
        return self._seed

    def pack_state(self) -> Array:
        """Everything the next draws depend on, as 5056 bytes."""
        twister = self._bits.state["state"]
        words, position = twister["key"], twister["pos"]
        # A freshly seeded twister has used up no block of words, although its position is 624.
        fresh = position == 624 and int(words[0]) == self._seed & 0xFFFFFFFF
        state = np.zeros(1, STATE)
        state["seed"], state["seeded"], state["words"] = self._seed, 1, words
        state["next"] = 0 if fresh else position
        state["left"] = 1 if fresh else 625 - position
        if self._spare is not None:
            state["spare"], state["has_spare"] = self._spare, 1
        return state.view(np.uint8)

    def unpack_state(self, data: Array) -> None:
        """Continue where the generator that `pack_state` described stood."""
        if data.dtype != np.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        if data.size != STATE.itemsize:
            raise RuntimeError(
                f"Expected a generator state of size {STATE.itemsize} "
                f"but found the input RNG state size to be {data.size}"
            )
        state = np.ascontiguousarray(data).view(STATE)[0]
        left, following = int(state["left"]), int(state["next"])
        if state["seeded"] != 1 or not 0 < left <= 624 or following > 624:
            raise RuntimeError("Invalid mt19937 state: these bytes are not a generator's state")
        twister: Any = {
            "key": state["words"].astype(np.uint32),
            "pos": 624 if left == 1 else following,
        }
        self._bits.state = {"bit_generator": "MT19937", "state": twister}
        self._seed = int(state["seed"])
        self._spare = float(state["spare"]) if state["has_spare"] else None

    def __getstate__(self) -> Array:
        return self.pack_state()

    def __setstate__(self, state: Array) -> None:
        self.__init__()  # type: ignore[misc]
        self.unpack_state(state)

    # Words and uniforms: what every distribution below is made of.

    def _words(self, n: int) -> Array:
        """The next ``n`` words of 32 bits, as uint64."""
        return self._bits.random_raw(n)

    def _wide_words(self, n: int) -> Array:
        """The next ``n`` words of 64 bits, each two draws, the first one high."""
        pairs = self._bits.random_raw(2 * n).reshape(n, 2)
        wide = pairs[:, 0] << 32
        wide |= pairs[:, 1]
        return wide

    def _mantissas(self, n: int, dtype: np.dtype[Any]) -> Array:
        """Uniform integers of 24 bits (float32) or 53 bits (float64), as that type."""
        if dtype == np.float64:
            wide = self._wide_words(n)
            wide &= (1 << 53) - 1
            return wide.view(np.int64).astype(np.float64)
        words = self._bits.random_raw(n).astype(np.int32)
        words &= 0xFFFFFF
        return words.astype(np.float32)

    def _uniform(self, n: int, dtype: Any = np.float64) -> Array:
        """``n`` uniforms in [0, 1)."""
        dtype = np.dtype(dtype)
        values = self._mantissas(n, dtype)
        values *= dtype.type(0.5 ** DIGITS[dtype])
        return values

    # Distributions.

    def uniform_(self, out: Array, low: float = 0.0, high: float = 1.0) -> Array:
        """Fill with uniforms in [low, high)."""
        out = _floating(out, "uniform_")
        if low == 0 and high == 1:
            return _fill(out, lambda n: self._uniform(n, out.dtype))
        _check_interval(low, high, out.dtype)
        base, top = out.dtype.type(low), out.dtype.type(high)
        width = top - base
        largest = np.array([1 - 0.5 ** DIGITS[out.dtype]], out.dtype)
        reaches = bool(scale_and_shift(largest, width, base)[0] == top)

        def draw(n: int) -> Array:
            values = scale_and_shift(self._uniform(n, out.dtype), width, base)
            if reaches:  # by rounding, the bound that is excluded
                values[values == top] = base
            return values

        return _fill(out, draw)

    def normal_(
        self, out: Array, mean: float = 0.0, std: float = 1.0, *, contiguous: bool = True
    ) -> Array:
        """Fill with normals of the given mean and standard deviation.

        Memory in row-major order without gaps is filled in blocks of sixteen, any other pair by
        pair; ``contiguous=False`` says that ``out`` stands for memory of the other kind.
        """
        if not std >= 0.0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
        if out.dtype.kind == "c":  # the two parts share the variance
            std /= math.sqrt(2)
        out = _floating(out, "normal_")
        if out.size < BLOCK or not (contiguous and out.flags.c_contiguous):
            return _fill(out, lambda n: scale_and_shift(self._normal_pairs(n), std, mean))

        flat, number = out.reshape(-1), out.dtype.type
        ragged = out.size % BLOCK
        whole = out.size - ragged

        def fill_blocks(target: Array) -> None:
            box_muller(self._uniform(target.size, out.dtype), target)
            if mean != 0 or std != 1:
                with np.errstate(all="ignore"):
                    target[:] = scale_and_shift(target, number(std), number(mean))

        for start in range(0, whole, CHUNK):
            fill_blocks(flat[start : min(start + CHUNK, whole)])
        if ragged:  # the uniforms drawn for the rest are dropped: the last block is drawn anew
            self._mantissas(ragged, out.dtype)
            fill_blocks(flat[-BLOCK:])
        return out

    def _normal_pairs(self, n: int) -> Array:
        """``n`` standard normals in float64, two from two uniforms; an odd one is kept."""
        had = 0 if self._spare is None else 1
        pairs = (n - had + 1) // 2
        u = self._uniform(2 * pairs).reshape(pairs, 2)
        values = np.empty(had + 2 * pairs)
        if had:
            values[0] = self._spare
        # One at a time while NumPy's overhead is larger than the work; and the last pair always, so
        # that a kept number is the C library's to the last bit.
        singly = 0 if n < BLOCK else pairs - 1
        radius = np.sqrt(-2.0 * np.log1p(-u[:singly, 1]))
        angle = 2.0 * math.pi * u[:singly, 0]
        values[had : had + 2 * singly : 2] = radius * np.cos(angle)
        values[had + 1 : had + 2 * singly : 2] = radius * np.sin(angle)
        for i, (turn, height) in enumerate(u[singly:].tolist(), singly):
            r, theta = math.sqrt(-2.0 * math.log1p(-height)), 2.0 * math.pi * turn
            values[had + 2 * i] = r * math.cos(theta)
            values[had + 2 * i + 1] = r * math.sin(theta)
        self._spare = float(values[-1]) if values.size > n else None
        return values[:n]

    def log_normal_(self, out: Array, mean: float = 1.0, std: float = 2.0) -> Array:
        """Fill with exponentials of normals."""
        if not std > 0.0:
            raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
        _real(out, "log_normal_")
        return _fill(out, lambda n: np.exp(scale_and_shift(self._normal_pairs(n), std, mean)))

    def exponential_(self, out: Array, rate: float = 1.0) -> Array:
        """Fill with exponentials of density rate · exp(-rate · x)."""
        if not rate > 0.0:
            raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={rate:g}")
        if out.dtype.kind != "f":
            raise RuntimeError(f"exponential_ expects a floating dtype, but got {out.dtype}")
        return _fill(out, lambda n: (-1.0 / rate) * np.log1p(-self._uniform(n)))

    def cauchy_(self, out: Array, median: float = 0.0, sigma: float = 1.0) -> Array:
        """Fill with Cauchy variates."""
        if not sigma > 0.0:
            raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
        if out.dtype.kind != "f":
            raise RuntimeError(f"cauchy_ expects a floating dtype, but got {out.dtype}")
        return _fill(
            out,
            lambda n: scale_and_shift(np.tan(math.pi * (self._uniform(n) - 0.5)), sigma, median),
        )

    def geometric_(self, out: Array, p: float) -> Array:
        """Fill with the number of trials up to the first success of probability ``p``."""
        if not 0.0 < p < 1.0:
            raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
        return _fill(out, lambda n: np.ceil(np.log(self._uniform(n)) / math.log1p(-p)))

    def bernoulli_(self, out: Array, p: float | Array = 0.5) -> Array:
        """Fill with ones of probability ``p``, and zeros; ``p`` may be an array that broadcasts."""
        if isinstance(p, np.ndarray):
            return self._bernoulli_each(out, p)
        if not 0.0 <= p <= 1.0:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
        threshold = math.ceil(p * 2.0**53)  # u < p, said in the integers that u is made of

        def draw(n: int) -> Array:
            wide = self._wide_words(n)
            wide &= (1 << 53) - 1
            return wide < threshold

        return _fill(out, draw)

    def _bernoulli_each(self, out: Array, p: Array) -> Array:
        p = widen(p)
        if p.dtype not in DIGITS:
            raise NotImplementedError(
                f"bernoulli of probabilities of type {p.dtype}; use float32 or float64"
            )
        if not ((p >= 0) & (p <= 1)).all():
            raise RuntimeError("bernoulli expects every probability to be in [0, 1]")
        axes = _memory_order(out)
        target = out.transpose(axes)
        chances = np.broadcast_to(p, out.shape).transpose(axes)
        _assign(target, self._uniform(out.size, p.dtype).reshape(target.shape) < chances)
        return out

    def random_(self, out: Array, low: int | None = None, high: int | None = None) -> Array:
        """Fill with integers: of [low, high), or of the whole range that the type can count."""
        kind, digits = out.dtype.kind, DIGITS.get(out.dtype)
        if kind not in "biuf":
            raise NotImplementedError(
                f"random_ is not implemented for {of_array(out.dtype)}; fill float32 and convert it"
            )
        largest = 2**digits if digits else 1 if kind == "b" else int(np.iinfo(out.dtype).max)
        if low is None:  # float64 and int64 take two words
            wide, base, count = out.dtype.itemsize == 8, 0, largest + 1
        elif high is None and low == -(2**63):
            if kind != "f" and out.dtype != np.int64:
                raise RuntimeError(f"random_ over all 64-bit integers does not fit {out.dtype}")
            wide, base, count = True, 0, 2**64
        else:
            last = largest if high is None else high - 1
            low, last = _representable(low, last, out.dtype)
            wide, base, count = last - low + 1 >= 2**28, low, last - low + 1

        def draw(n: int) -> Array:
            words = self._wide_words(n) if wide else self._words(n)
            if count < 2**64:
                words -= words // np.uint64(count) * np.uint64(count)
            words += np.uint64(base % 2**64)
            return words.view(np.int64)

        return _fill(out, draw)

    def randperm(self, n: int) -> Array:
        """The integers 0 … n-1 in random order, as int64."""
        if n < 0:
            raise RuntimeError(f"randperm expects n to be non-negative, but got n={n}")
        if n >= (2**32 - 1) // 20:
            raise NotImplementedError(f"randperm of {n} integers; at most {(2**32 - 1) // 20 - 1}")
        targets = np.arange(n)
        if n > 1:
            draws = self._words(n - 1)
            draws %= np.arange(n, 1, -1, dtype=np.uint64)
            targets[:-1] += draws.view(np.int64)
        return follow_swaps(targets)

    def multinomial(self, weights: Array, count: int, replacement: bool = False) -> Array:
        """Draw ``count`` indices of each row of ``weights``, as int64.

        Shape: (C,) → (count,), or (N, C) → (N, count).
        """
        if not 1 <= weights.ndim <= 2:
            raise RuntimeError(f"prob_dist must be 1 or 2 dim, but has {weights.ndim}")
        if weights.dtype not in DIGITS:
            raise RuntimeError(
                f"multinomial only supports floating-point dtypes for input, got: {weights.dtype}"
            )
        if count <= 0:
            raise RuntimeError(f"cannot sample n_sample <= 0 samples, but got {count}")
        if weights.shape[-1] > 2**24:
            raise RuntimeError(
                f"number of categories cannot exceed 2^24, but got {weights.shape[-1]}"
            )
        if not replacement and count > weights.shape[-1]:
            raise RuntimeError(
                f"cannot sample n_sample={count} > prob_dist.size(-1)={weights.shape[-1]} "
                "samples without replacement"
            )
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
        if not (weights.sum(-1) > 0).all():
            raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
        if not replacement:
            # The order of w / Exponential(1), largest first, is a draw without replacement.
            race = weights / self.exponential_(np.empty_like(weights))
            if count == 1:
                first: Array = np.argmax(race, -1, keepdims=True)
                return first
            order: Array = np.argsort(-race, -1, kind="stable")
            return order[..., :count]
        rows = np.cumsum(weights, -1).reshape(-1, weights.shape[-1])  # (N, C)
        rows /= rows[:, -1:].copy()
        rows[:, -1] = 1
        drawn = [row.astype(np.float64).searchsorted(self._uniform(count)) for row in rows]
        return np.array(drawn, np.int64).reshape(*weights.shape[:-1], count)

    def poisson(self, rates: Array) -> Array:
        """Counts of events that happen at the given rates, in their type."""
        _real(rates, "poisson")
        if not (rates >= 0).all():
            raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
        counts = [self._poisson_one(rate) for rate in rates.reshape(-1).tolist()]
        return np.array(counts, rates.dtype).reshape(rates.shape)

    def _poisson_one(self, rate: float) -> int:
        if rate == 0:
            return 0
        if rate < 10:  # how many uniforms can be multiplied before the product is e⁻ʳᵃᵗᵉ
            count, product, least = 0, self._one_uniform(), math.exp(-rate)
            while product > least:
                count, product = count + 1, product * self._one_uniform()
            return count
        # Hörmann's transformed rejection with squeeze (PTRS, 1993), with his constants.
        root = math.sqrt(rate)
        b = 0.931 + 2.53 * root
        a = -0.059 + 0.02483 * b
        inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
        accepted_at_once = 0.9277 - 3.6224 / (b - 2)
        while True:
            u, v = self._one_uniform() - 0.5, self._one_uniform()
            us = 0.5 - abs(u)
            if not (us and v):  # one in 2⁵³: no logarithm, no quotient
                continue
            count = math.floor((2 * a / us + b) * u + rate + 0.43)
            if us >= 0.07 and v <= accepted_at_once:
                return count
            if count < 0 or (us < 0.013 and v > us):
                continue
            likelihood = -rate + count * math.log(rate) - math.lgamma(count + 1)
            if math.log(v * inverse_alpha / (a / (us * us) + b)) <= likelihood:
                return count

    def _one_uniform(self) -> float:
        return float(self._uniform(1)[0])


def follow_swaps(targets: Array) -> Array:
    """0 … n-1 after swapping place ``i`` with place ``targets[i] >= i``, for each i in turn.

    What a swap finds at its target came from the place of the previous swap with that target, and
    what that one found at its own place from an earlier one still: chains, all followed at once.
    """
    n = targets.size
    by_place = np.sort(targets << 32 | np.arange(n))  # by place, then by time
    place, time = by_place >> 32, by_place & 0xFFFFFFFF
    origin = np.arange(n)  # of what lies at place i when its turn comes
    early = time < place
    origin[place[early]] = time[early]  # of several swaps the last one counts
    while not np.array_equal(further := origin[origin], origin):
        origin = further
    order = targets.copy()
    again = place[1:] == place[:-1]
    order[time[1:][again]] = origin[time[:-1][again]]
    return order


def scale_and_shift(x: Array, scale: Any, shift: Any) -> Array:
    """``x · scale + shift``, rounded once, as a fused multiply-add does."""
    if shift == 0:
        return x if scale == 1 else x * scale
    if x.dtype == np.float32:  # exact product of two float32 in float64
        wide = x.astype(np.float64)
        wide *= float(scale)
        wide += float(shift)
        return wide.astype(np.float32)
    scale, shift = float(scale), float(shift)
    if not (math.isfinite(scale) and math.isfinite(shift)):
        return np.asarray(x * scale + shift)
    if max(abs(scale), abs(shift)) > 2.0**960:  # too close to overflow for what follows
        return scale_and_shift(x, scale * 2.0**-200, shift * 2.0**-200) * 2.0**200
    # Dekker's product and Knuth's sum keep what each rounding lost.
    x_high, x_low = _split(x)
    scale_high, scale_low = _split(scale)
    product = x * scale
    lost = x_high * scale_high - product
    lost += x_high * scale_low
    lost += x_low * scale_high
    lost += x_low * scale_low
    total: Array = product + shift
    rest = total - product
    lost += (product - (total - rest)) + (shift - rest)
    total += lost
    return total


def _split(x: Any) -> tuple[Any, Any]:
    """Two numbers of 26 bits each whose sum is ``x``."""
    spread = x * 134217729.0  # 2²⁷ + 1
    high = spread - (spread - x)
    return high, x - high


def _memory_order(array: Array) -> list[int]:
    """The axes from the slowest to the fastest in memory."""
    return sorted(range(array.ndim), key=lambda axis: -array.strides[axis])


def _fill(out: Array, draw: Draw) -> Array:
    """Fill ``out`` with ``draw(n)``, in the order of its memory, a chunk at a time."""
    in_order = out.flags.c_contiguous
    flat = out.reshape(-1) if in_order else np.empty(out.size, out.dtype)
    with np.errstate(all="ignore"):
        for start in range(0, out.size, CHUNK):
            stop = min(start + CHUNK, out.size)
            _assign(flat[start:stop], draw(stop - start))
    if not in_order:
        target = out.transpose(_memory_order(out))
        target[...] = flat.reshape(target.shape)
    return out


def _assign(target: Array, values: Array) -> None:
    """Copy with conversion, also to the storage types, which NumPy would fill with raw bits."""
    target[...] = values if target.dtype.names is None else cast(values, of_array(target.dtype))


def _real(out: Array, name: str) -> None:
    if out.dtype not in DIGITS:
        raise NotImplementedError(
            f"{name} is not implemented for {of_array(out.dtype)}; fill float32 and convert it"
        )


def _floating(out: Array, name: str) -> Array:
    """``out`` itself, or the real and imaginary parts of a complex ``out``, as a view."""
    if out.dtype.kind == "c":
        out = out[..., np.newaxis].view(out.real.dtype)
    _real(out, name)
    return out


def _check_interval(low: float, high: float, dtype: np.dtype[Any]) -> None:
    limit = float(np.finfo(dtype).max)
    for name, bound in (("from", low), ("to", high)):
        if not -limit <= bound <= limit:
            raise RuntimeError(f"uniform_: {name}={bound:g} is out of bounds for {dtype}")
    if low > high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}"
        )
    if high - low > limit:
        raise RuntimeError(
            f"uniform_ expects to-from to fit {dtype}, but found to={high:g} and from={low:g}"
        )


def _representable(low: int, last: int, dtype: np.dtype[Any]) -> tuple[int, int]:
    """Bounds moved inwards to integers that ``dtype`` holds exactly; raise if there are none."""
    if last < low:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={last + 1}"
        )
    if dtype.kind == "f":
        digits = DIGITS[dtype]
        if int(dtype.type(low + 1)) < low:
            low = int(dtype.type(low + 1)) + (1 << (abs(low + 1).bit_length() - digits))
        if int(dtype.type(last)) > last:
            last = int(dtype.type(last)) - (1 << (abs(last).bit_length() - digits)) - 1
        if max(abs(low), abs(last)) > 2**digits:
            warnings.warn(
                f"random_: beyond ±2**{digits} {dtype} does not hold every integer, so some of "
                f"{low} … {last} are never drawn; draw int64 instead",
                UserWarning,
                stacklevel=4,
            )
        return low, last
    lowest, largest = (0, 1) if dtype.kind == "b" else _limits(dtype)
    for name, bound in (("from", low), ("to - 1", last)):
        if not lowest <= bound <= largest:
            raise RuntimeError(f"{name}={bound} is out of bounds for {dtype}")
    return low, last


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


default = Generator()
default.seed()
