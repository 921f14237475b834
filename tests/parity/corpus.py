"""PyTorch's own op database as a corpus: each entry, translated to this package, sample by sample.

An entry (`OpInfo`) names an op and makes sample inputs for it.  `ours` finds the op of the same
name here; `to_ours` rebuilds arguments with their strides; `Sample.compare` holds one sample's
value, gradient, second gradient and in-place form against PyTorch's.  Nothing is left out
silently: a sample that cannot be translated raises `UntranslatableError` with a reason, and the
reasons are counted.
"""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import retrograd as rg

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

# How far a value may be off, relative to max(1, |expected|).
TOLERANCE = {
    "float64": 1e-9,
    "complex128": 1e-9,
    "float32": 2e-5,
    "complex64": 2e-5,
    "float16": 1e-3,
}

# Ops that may be further off in one type, and why.
LOOSER = {
    ("copysign", "float32"): (1e-3, "PyTorch's second derivative is a difference of equal terms"),
    ("cov", "float32"): (1e-3, "sums that cancel"),
    ("cov", "float64"): (1e-5, "its weights are float32"),
    ("nn.functional.grid_sample", "float32"): (1e-3, "cubic weights of places with few digits"),
    ("nn.functional.normalize", "float32"): (2e-4, "sums that cancel"),
    ("nn.functional.poisson_nll_loss", "float32"): (1e-4, "sums that cancel"),
    # Against float64: PyTorch's gradient is 7.3e-5 off, ours 6.6e-5; and 5.9e-4 against 3.5e-4.
    ("nn.functional.ctc_loss", "float32"): (1e-4, "logarithms of many alignments"),
    # Against float64, beside values up to 244: PyTorch's gradient is 5.5e-5 off, ours 9.9e-5.
    ("nn.functional.conv_transpose3d", "float32"): (1e-4, "sums of 216 products up to 81"),
    ("nn.functional.scaled_dot_product_attention", "float32"): (1e-3, "sums that cancel"),
    ("pow", "float32"): (1e-4, "the logarithm of a power loses digits in both"),
    ("index_reduce", "float32"): (1e-4, "products of many numbers"),
    ("scatter_reduce", "float32"): (1e-4, "products of many numbers"),
    ("nn.functional.hardsigmoid", "float64"): (1e-7, "PyTorch's slope is a float32 sixth"),
}

# Which of several equal elements an op points at is not specified: their indices are not compared
# for integers and truth values, where equal elements are the rule.
FREE_TO_CHOOSE = ("argsort", "kthvalue", "median", "mode", "msort", "nanmedian", "sort", "topk")

# Entries whose name exists here but which are not held against PyTorch, and why.
NOT_COMPARED = {
    "norm[nuc]": "the nuclear norm needs singular values",
}

# Entries of which one sample in so many is compared: they list every combination of settings.
THINNED = {
    "nn.functional.max_pool1d": 5,
    "nn.functional.max_pool2d": 7,
    "nn.functional.max_pool3d": 5,
}

# Entries whose samples are compared without a gradient wanted only, and why.
GRADIENT_REFUSED = {
    "as_strided[partial_views]": "gradient through elements of memory that are not the tensor's: "
    "refused here, dropped by PyTorch",
}

counts: Counter[str] = Counter()  # what was compared
skipped: Counter[str] = Counter()  # samples that were not, by reason


class UntranslatableError(Exception):
    """A sample that cannot be translated; the message is the reason."""


class MismatchError(AssertionError):
    """Ours differs from PyTorch's; the message says where."""


# ---------------------------------------------------------------- from their names to ours


def found(dotted: str) -> Any:
    """What a dotted name means here; None where there is nothing."""
    here: Any = rg
    for part in dotted.split("."):
        here = getattr(here, part, None)
    return here


def ours(entry: Any) -> Callable[..., Any] | None:
    """The op here that an entry is about; None where there is none.

    Entries made of a lambda are run as they are, with `torch` meaning this package.
    """
    named = found(entry.name) or getattr(rg.Tensor, entry.name, None)
    if named is None:
        return None
    if is_written_out(entry.op):
        return rebound(entry.op)
    return named if callable(named) else None


def ours_of_form(form: Any, entry: Any) -> Callable[..., Any]:
    """The method or in-place form here that is PyTorch's ``form``."""
    if isinstance(form, partial):
        return partial(ours(entry), **form.keywords)
    if is_written_out(form):
        return rebound(form)
    mine = getattr(rg.Tensor, form.__name__, None)
    if mine is None:
        raise MismatchError(f"Tensor.{form.__name__} is missing")
    return mine


def is_written_out(op: Any) -> bool:
    """Whether an entry defines its op by a function of its own."""
    return isinstance(op, FunctionType) and op.__module__.startswith("torch.testing")


def rebound(function: FunctionType) -> FunctionType:
    """The same function with `torch` meaning this package."""
    space = {**function.__globals__, "torch": rg, "wrapper_set_seed": seeded}
    code, defaults = function.__code__, function.__defaults__
    again = FunctionType(code, space, function.__name__, defaults, function.__closure__)
    again.__kwdefaults__ = function.__kwdefaults__
    return again


def seeded(op: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    seed(42)
    return op(*args, **kwargs)


def seed(n: int) -> None:
    if hasattr(rg, "manual_seed"):
        rg.manual_seed(n)


def entries() -> list[Any]:
    """The entries whose op exists here."""
    return [e for e in op_db if label(e) not in NOT_COMPARED and ours(e) is not None]


def label(entry: Any) -> str:
    return entry.name + (f"[{entry.variant_test_name}]" if entry.variant_test_name else "")


# ---------------------------------------------------------------- from their values to ours

ARRAYABLE = {"bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64"}


def short(dtype: Any) -> str:
    return repr(dtype).removeprefix("torch.")


def array_of(t: Any) -> np.ndarray:
    """A copy of a tensor's memory, seen with the same strides."""
    if short(t.dtype) not in ARRAYABLE:
        raise UntranslatableError(f"dtype {short(t.dtype)}")
    size = t.untyped_storage().nbytes() // t.element_size()
    memory = t.detach().as_strided((size,), (1,), 0).numpy().copy()
    steps = [n * t.element_size() for n in t.stride()]
    view = np.lib.stride_tricks.as_strided(memory[t.storage_offset() :], t.shape, steps)
    if any(n == 0 and m > 1 for n, m in zip(steps, t.shape, strict=True)):
        view.flags.writeable = False  # several elements in one place, as our own `expand` makes it
    return view


def to_ours(x: Any) -> Any:
    """An argument of a sample as this package's: tensors, dtypes, and what contains them."""
    if isinstance(x, torch.Tensor):
        if x.layout is not torch.strided:
            raise UntranslatableError("sparse tensor")
        if x.device.type != "cpu":
            raise UntranslatableError(f"device {x.device.type}")
        if x.ndim > 64:
            raise UntranslatableError("more dimensions than NumPy's 64")
        if x.is_conj() or x.is_neg():
            raise UntranslatableError("lazy conjugate or negative")
        return rg.from_numpy(array_of(x)).requires_grad_(x.requires_grad)
    if isinstance(x, torch.Size):
        return rg.Size(x)
    if isinstance(x, (list, tuple)):
        items = [to_ours(i) for i in x]
        return items if isinstance(x, list) else tuple(items)
    if isinstance(x, dict):
        return {k: to_ours(v) for k, v in x.items()}
    if isinstance(x, torch.dtype):
        name = "bool" if x is torch.bool else short(x)
        mine = getattr(rg, name, None)
        if not isinstance(mine, type(rg.float32)):
            raise UntranslatableError(f"dtype {name}")
        return mine
    if isinstance(x, torch.device):
        if x.type != "cpu":
            raise UntranslatableError(f"device {x.type}")
        return rg.device("cpu")
    if isinstance(x, (torch.layout, torch.memory_format)):
        mine = getattr(rg, short(x), None)
        if mine is None:
            raise UntranslatableError(f"{type(x).__name__} {short(x)}")
        return mine
    if type(x).__module__.startswith("torch") or getattr(x, "__module__", "").startswith("torch"):
        raise UntranslatableError(f"argument of PyTorch's type {type(x).__name__}")
    return x


def refuse_untranslatable(entry: Any, sample: Any) -> None:
    """Raise `UntranslatableError` for calls that this package does not offer."""
    if label(entry) in GRADIENT_REFUSED and sample.input.requires_grad:
        raise UntranslatableError(GRADIENT_REFUSED[label(entry)])
    if "out" in sample.kwargs:
        raise UntranslatableError("out=")
    if entry.name.startswith("__r") and not isinstance(sample.input, torch.Tensor):
        raise UntranslatableError("reflected method of a number")


def leaves(x: Any, kind: type) -> list[Any]:
    """The tensors in nested arguments or results, in order."""
    if isinstance(x, kind):
        return [x]
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, (list, tuple)):
        return [t for item in x for t in leaves(item, kind)]
    return []


# ---------------------------------------------------------------- comparing


def same(
    what: str, mine: Any, theirs: Any, tolerance: dict[str, float], *, exact: bool = True
) -> None:
    """Raise `MismatchError` unless two results are equal: structure, shape, dtype and values."""
    if isinstance(theirs, torch.Tensor):
        if not isinstance(mine, rg.Tensor):
            raise MismatchError(f"{what}: {type(mine).__name__} {mine!r}, not a tensor")
        if tuple(mine.shape) != tuple(theirs.shape):
            raise MismatchError(f"{what}: shape {list(mine.shape)}, not {list(theirs.shape)}")
        if short(mine.dtype) != short(theirs.dtype):
            raise MismatchError(f"{what}: {mine.dtype}, not {theirs.dtype}")
        if theirs.layout is not torch.strided or not exact:
            return
        if short(theirs.dtype) == "bfloat16":  # NumPy has none
            mine, theirs = mine.float(), theirs.float()
        close(what, mine.detach().numpy(), theirs.numpy(force=True), tolerance)
    elif isinstance(theirs, (list, tuple)):
        if not isinstance(mine, (list, tuple)) or len(mine) != len(theirs):
            raise MismatchError(f"{what}: {mine!r}, not {theirs!r}")
        for i, (m, t) in enumerate(zip(mine, theirs, strict=True)):
            same(f"{what}[{i}]", m, t, tolerance, exact=exact)
    elif isinstance(theirs, (torch.dtype, torch.device, torch.layout, torch.memory_format)):
        if repr(mine) != repr(theirs):
            raise MismatchError(f"{what}: {mine!r}, not {theirs!r}")
    elif type(mine) is not type(theirs):
        raise MismatchError(f"{what}: {mine!r}, not {theirs!r}")
    elif isinstance(theirs, float):
        close(what, np.asarray(mine), np.asarray(theirs), tolerance | {"float64": 2e-5})
    elif mine != theirs:
        raise MismatchError(f"{what}: {mine!r}, not {theirs!r}")


def close(what: str, mine: Any, theirs: Any, tolerance: dict[str, float]) -> None:
    allowed = tolerance.get(theirs.dtype.name)
    if allowed is None:
        wrong = mine != theirs
    else:
        with np.errstate(all="ignore"):
            off = np.abs(mine - theirs) > allowed * np.maximum(1, np.abs(theirs))
            odd = ~np.isfinite(mine) | ~np.isfinite(theirs)
            equal = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))
            wrong = np.where(odd, ~equal, off)
    if np.any(wrong):
        at = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(wrong)))
        m, t = np.atleast_1d(mine)[at], np.atleast_1d(theirs)[at]
        raise MismatchError(
            f"{what}: {int(np.sum(wrong))} of {np.size(wrong)} values differ; at {list(at)} "
            f"{m!r}, not {t!r}"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Without PyTorch's warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def strict() -> Iterator[None]:
    """Ours may warn its user, but never about floating-point events."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", RuntimeWarning)
        yield


def attempt(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, Exception | None]:
    """What a call returns, and what it raises."""
    try:
        return call(*args, **kwargs), None
    except Exception as error:
        return None, error


class Sample:
    """One sample input of an entry, on both sides."""

    def __init__(self, entry: Any, sample: Any, dtype: Any):
        self.entry, self.sample = entry, sample
        self.args = [sample.input, *sample.args]
        self.kwargs = sample.kwargs
        refuse_untranslatable(entry, sample)
        self.my_args, self.my_kwargs = to_ours(self.args), to_ours(self.kwargs)
        self.inputs = [t for t in leaves([self.args, self.kwargs], torch.Tensor) if t.requires_grad]
        self.mine = [
            t for t in leaves([self.my_args, self.my_kwargs], rg.Tensor) if t.requires_grad
        ]
        self.random = np.random.default_rng(0)
        allowed = {d: LOOSER[entry.name, d][0] for d in TOLERANCE if (entry.name, d) in LOOSER}
        self.tolerance = TOLERANCE | allowed
        self.exact = not entry.name.startswith(("empty", "new_empty"))
        self.ties = entry.name in FREE_TO_CHOOSE and not dtype.is_floating_point

    def compare(self) -> None:
        """The op, its method and its in-place form."""
        mine = ours(self.entry)
        self.compare_call("", self.entry.op, mine, self.args, self.my_args)
        if not isinstance(self.args[0], torch.Tensor):
            return
        method, in_place = self.entry.method_variant, self.entry.inplace_variant
        if method is not None:
            counts["methods"] += 1
            mine = ours_of_form(method, self.entry)
            self.compare_call("method ", method, mine, self.args, self.my_args, gradients=False)
        if in_place is not None and not self.sample.broadcasts_input:
            counts["in-place forms"] += 1
            mine = ours_of_form(in_place, self.entry)
            self.compare_call(
                "in place ",
                lambda x, *a, **k: in_place(x.clone(), *a, **k),
                lambda x, *a, **k: mine(x.clone(), *a, **k),
                self.args,
                self.my_args,
            )

    def compare_value(self) -> None:
        """The op alone, without gradients."""
        mine = ours(self.entry)
        self.compare_call("", self.entry.op, mine, self.args, self.my_args, gradients=False)

    def compare_call(
        self, what: str, theirs: Any, mine: Any, args: Any, my_args: Any, *, gradients: bool = True
    ) -> None:
        with quiet():
            torch.manual_seed(0)
            expected, error = attempt(theirs, *args, **self.kwargs)
        with strict():
            seed(0)
            got, my_error = attempt(mine, *my_args, **self.my_kwargs)
        if error is not None:
            if my_error is None or not isinstance(my_error, class_of(error)):
                theirs = f"{type(error).__name__}: {str(error)[:120]}"
                raise MismatchError(f"{what}PyTorch raises {theirs}; ours: {my_error!r}")
            return
        if my_error is not None:
            raise MismatchError(f"{what}raises {my_error!r}") from my_error
        if self.ties and isinstance(expected, tuple):
            same(f"{what}indices", got[1:], expected[1:], self.tolerance, exact=False)
            got, expected = got[0], expected[0]
        exact = self.exact and not (self.ties and "arg" in self.entry.name)
        same(f"{what}value", got, expected, self.tolerance, exact=exact)
        formed = "memory_format" in self.kwargs and expected.numel()
        if formed and got.stride() != expected.stride():
            raise MismatchError(f"{what}strides {got.stride()}, not {expected.stride()}")
        if gradients and self.entry.supports_autograd and self.inputs:
            self.compare_gradients(what, got, expected)

    def compare_gradients(self, what: str, got: Any, expected: Any) -> None:
        process = self.sample.output_process_fn_grad
        if process is not None:
            got, expected = process(got), process(expected)
        outs, my_outs = leaves(expected, torch.Tensor), leaves(got, rg.Tensor)
        wanting = [i for i, o in enumerate(outs) if o.requires_grad]
        if wanting != [i for i, o in enumerate(my_outs) if o.requires_grad]:
            raise MismatchError(
                f"{what}requires_grad of the results: {[o.requires_grad for o in my_outs]}, not "
                f"{[o.requires_grad for o in outs]}"
            )
        outs, my_outs = [outs[i] for i in wanting], [my_outs[i] for i in wanting]
        if not outs:
            return
        counts["gradients"] += 1
        seeds_t, seeds_m = zip(*(self.random_like(o) for o in outs), strict=True)
        twice = self.entry.supports_gradgrad
        with quiet():
            first, error = attempt(
                lambda: torch.autograd.grad(
                    outs,
                    self.inputs,
                    seeds_t,
                    create_graph=twice,
                    allow_unused=True,
                    retain_graph=True,
                )
            )
        if error is not None:
            skipped[f"PyTorch cannot differentiate: {type(error).__name__}"] += 1
            return
        with strict():
            plain = rg.autograd.grad(
                my_outs,
                self.mine,
                [v.detach() for v in seeds_m],
                allow_unused=True,
                retain_graph=True,
            )
            self.same_gradients(f"{what}gradient", plain, first)
            if not twice:
                return
            recorded = rg.autograd.grad(
                my_outs, self.mine, seeds_m, create_graph=True, allow_unused=True
            )
        self.same_gradients(f"{what}recorded gradient", recorded, first)
        self.compare_second(what, first, recorded, seeds_t, seeds_m)

    def compare_second(
        self, what: str, first: Any, recorded: Any, seeds_t: Any, seeds_m: Any
    ) -> None:
        """The gradient of the gradients' product with random vectors."""
        total, my_total = 0, 0
        for theirs, mine in zip(first, recorded, strict=True):
            if theirs is None or not theirs.requires_grad or mine is None:
                continue
            weight, my_weight = self.random_like(theirs)
            total = total + (theirs * weight.detach()).sum()
            with strict():
                my_total = my_total + (mine * my_weight.detach()).sum()
        if isinstance(total, int) or not total.requires_grad:
            return
        if not my_total.requires_grad:
            raise MismatchError(f"{what}second gradient: ours does not require grad")
        with quiet():
            second, error = attempt(
                lambda: torch.autograd.grad(total, [*self.inputs, *seeds_t], allow_unused=True)
            )
        if error is not None:
            skipped[f"PyTorch cannot differentiate twice: {type(error).__name__}"] += 1
            return
        counts["second gradients"] += 1
        with strict():
            mine = rg.autograd.grad(my_total, [*self.mine, *seeds_m], allow_unused=True)
        self.same_gradients(f"{what}second gradient", mine, second)

    def random_like(self, t: Any) -> tuple[Any, Any]:
        """The same random leaf on both sides, of the shape and type of ``t``."""
        values = np.array(self.random.standard_normal(tuple(t.shape)))
        mine = rg.tensor(values, dtype=to_ours(t.dtype), requires_grad=True)
        return torch.from_numpy(values).to(t.dtype).requires_grad_(), mine

    def same_gradients(self, what: str, mine: Any, theirs: Any) -> None:
        """Equal, where no gradient at all is as good as zeros."""
        for i, (m, t) in enumerate(zip(mine, theirs, strict=True)):
            if m is None and t is None:
                continue
            if m is None:
                m = rg.zeros(tuple(t.shape), dtype=to_ours(t.dtype))
            if t is None:
                t = torch.zeros(tuple(m.shape), dtype=getattr(torch, short(m.dtype)))
            same(f"{what} {i}", m, t, self.tolerance)


def class_of(error: Exception) -> type[Exception]:
    """The built-in class that a handler of PyTorch's exception would name."""
    return next(c for c in type(error).__mro__ if c.__module__ == "builtins")


def described(args: Any, kwargs: Any) -> str:
    def one(x: Any) -> str:
        if isinstance(x, torch.Tensor):
            return f"{short(x.dtype)}{list(x.shape)}" + ("" if x.is_contiguous() else "~")
        if isinstance(x, (list, tuple)):
            return f"({', '.join(one(i) for i in x)})"
        return repr(x)

    return ", ".join([*map(one, args), *(f"{k}={one(v)}" for k, v in kwargs.items())])


@contextmanager
def undisturbed() -> Iterator[None]:
    """The random states that PyTorch's testing tools seed, as they were."""
    states = random.getstate(), np.random.get_state()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])


@undisturbed()
def failures(entry: Any, dtype: Any) -> list[str]:
    """Every sample of an entry, compared; the mismatches in words."""
    counts["entries"] += 1
    differentiable = entry.supports_autograd and dtype.is_floating_point
    with quiet():
        samples = list(entry.sample_inputs("cpu", dtype, requires_grad=differentiable))
    samples = samples[:: THINNED.get(entry.name, 1)]
    return [wrong for s in samples if (wrong := mismatch(entry, s, dtype, Sample.compare))]


@undisturbed()
def odd_failures(entry: Any, dtype: Any) -> list[str]:
    """The values alone, for infinities and NaN, mixed types, odd strides and large tensors."""
    with quiet():
        samples = list(entry.reference_inputs("cpu", dtype))
    return [wrong for s in samples if (wrong := mismatch(entry, s, dtype, Sample.compare_value))]


def mismatch(entry: Any, sample: Any, dtype: Any, compare: Callable[[Sample], None]) -> str:
    """Where ours differs at a sample, in words."""
    try:
        compare(Sample(entry, sample, dtype))
        counts["samples"] += 1
    except UntranslatableError as reason:
        skipped[str(reason)] += 1
    except MismatchError as difference:
        return f"({described([sample.input, *sample.args], sample.kwargs)})\n    {difference}"
    except Exception as error:
        text = described([sample.input, *sample.args], sample.kwargs)
        return f"({text})\n    {type(error).__name__}: {error}"
    return ""


@undisturbed()
def unrefused(entry: Any) -> list[str]:
    """Every input that PyTorch calls an error, and that is none here, or another one."""
    mine = ours(entry)
    wrong = []
    with quiet():
        inputs = list(entry.error_inputs("cpu"))
    for case in inputs:
        sample = case.sample_input
        try:
            args, kwargs = to_ours([sample.input, *sample.args]), to_ours(sample.kwargs)
            refuse_untranslatable(entry, sample)
        except UntranslatableError as reason:
            skipped[str(reason)] += 1
            continue
        with quiet():
            _, error = attempt(entry.op, sample.input, *sample.args, **sample.kwargs)
        if error is None:
            skipped["error input that PyTorch accepts"] += 1
            continue
        with strict():
            _, my_error = attempt(mine, *args, **kwargs)
        counts["error inputs"] += 1
        if not isinstance(my_error, class_of(error)):
            wrong.append(
                f"({described([sample.input, *sample.args], sample.kwargs)})\n    PyTorch raises "
                f"{type(error).__name__}: {str(error)[:150]}; ours: {my_error!r}"
            )
    return wrong
