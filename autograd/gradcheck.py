"""Derivatives held against finite differences: `gradcheck`, and `gradgradcheck` for second ones.

A Jacobian here is an array with a row for each real number of an input and a column for each of an
output; a complex element counts as two.  Slow mode compares it whole.  Fast mode compares one
product ``uᵀ J v`` with random vectors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import dtypes as dt
from . import version
from .functional import grad
from .tensor import Tensor, wrap

Array = np.ndarray[Any, Any]
Func = Callable[..., Any]


class GradcheckError(RuntimeError):
    """A derivative that is not what finite differences say, or a backward that misbehaves."""


@dataclass(frozen=True)
class Tolerances:
    """What the check was asked for."""

    eps: float
    atol: float
    rtol: float
    nondet: float
    dtypes: bool


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether backward of ``func`` gives what finite differences do, ``|a - n| ≤ atol + rtol |n|``.

    All inputs that require a gradient are varied, in place, so ``func`` may also reach them
    otherwise (as parameters of a module).  They should be float64.  Checked as well: backward
    gives the same twice (within ``nondet_tol``), is zero for a zero gradient, and with
    ``check_grad_dtypes`` keeps the type.  Each output is differentiated alone, so the others'
    gradients are missing then: ``check_undefined_grad`` has nothing to add here.

    Raises `GradcheckError`, or returns False without ``raise_exception``; `ValueError` when no
    input requires a gradient.

    >>> import retrograd as rg
    >>> x = rg.rand(3, dtype=rg.float64, requires_grad=True)
    >>> rg.autograd.gradcheck(rg.sin, (x,))
    True
    """
    if (
        check_batched_grad
        or check_batched_forward_grad
        or check_forward_ad
        or not check_backward_ad
    ):
        raise NotImplementedError(
            "gradcheck compares backward, one gradient at a time: there is no forward mode and no "
            "vmap here. Leave check_forward_ad and check_batched_* out."
        )
    if masked:
        raise ValueError("masked gradients belong to sparse tensors, and there are none here")
    wanted = Tolerances(eps, atol, rtol, nondet_tol, check_grad_dtypes)
    try:
        _check(func, _tuple(inputs), wanted, fast_mode)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """`gradcheck` of the backward of ``func``, as a function of its inputs and ``grad_outputs``.

    ``grad_outputs`` are random where they are not given.

    >>> import retrograd as rg
    >>> x = rg.rand(3, dtype=rg.float64, requires_grad=True)
    >>> rg.autograd.gradgradcheck(rg.sin, (x,))
    True
    """
    if check_fwd_over_rev or not check_rev_over_rev:
        raise NotImplementedError("there is no forward mode here: leave check_fwd_over_rev out")
    arguments = _tuple(inputs)
    if grad_outputs is None:
        outputs = _differentiable(func(*arguments))
        seeds = _random_like(outputs, gen_non_contig_grad_outputs)
    else:
        seeds = _tuple(grad_outputs)
    count = len(seeds)

    def backward(*args: Any) -> tuple[Tensor, ...]:
        own, gs = args[: len(args) - count], args[len(args) - count :]
        wanted = [x for x in own if isinstance(x, Tensor) and x.requires_grad]
        outs = _differentiable(func(*own))
        ds = grad(outs, wanted, gs, create_graph=True, allow_unused=True)
        return tuple(d for d in ds if d is not None)

    return gradcheck(
        backward,
        arguments + seeds,
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        fast_mode=fast_mode,
        masked=masked,
    )


# ---------------------------------------------------------------- the checks


def _check(func: Func, inputs: tuple[Any, ...], wanted: Tolerances, fast: bool) -> None:
    xs = _varied(inputs)
    outputs = _differentiable(func(*inputs))
    if outputs:
        (_compare_products if fast else _compare_jacobians)(func, inputs, xs, outputs, wanted)
        _check_zero_in_zero_out(outputs, xs)
    else:
        for x in xs:
            if any(j.any() for j in _numerical(func, inputs, x, wanted.eps, everything=True)):
                raise GradcheckError(
                    "Numerical gradient for function expected to be zero: no output requires a "
                    "gradient, yet the outputs depend on the inputs. Is the tape cut, by "
                    "detach(), .data, no_grad() or .numpy()?"
                )


def _varied(inputs: tuple[Any, ...]) -> list[Tensor]:
    """The inputs to vary, after a look at whether finite differences can work on them."""
    xs = []
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor) or not x.requires_grad:
            continue
        if x.dtype not in (dt.float64, dt.complex128):
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or "
                f"complex, but {x.dtype}. This check will likely fail: convert it with .double().",
                stacklevel=4,
            )
        if x.array.size and any(
            step == 0 and n > 1 for step, n in zip(x.array.strides, x.shape, strict=True)
        ):
            raise RuntimeError(
                f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs "
                "that are non-overlapping to be able to compute the numerical gradients "
                "correctly. You should call .contiguous on the input before passing it to "
                "gradcheck."
            )
        xs.append(x)
    if not xs:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them "
            "have requires_grad=True."
        )
    return xs


def _compare_jacobians(
    func: Func,
    inputs: tuple[Any, ...],
    xs: list[Tensor],
    outputs: Sequence[Tensor],
    wanted: Tolerances,
) -> None:
    numerical = [_numerical(func, inputs, x, wanted.eps) for x in xs]
    for i, out in enumerate(outputs):
        analytical = _analytical(out, xs, _units(out), wanted)
        for j, (x, a) in enumerate(zip(xs, analytical, strict=True)):
            n = numerical[j][i]
            if not np.allclose(a, n, wanted.rtol, wanted.atol):
                raise GradcheckError(_mismatch(i, j, n, a, x, out))


def _compare_products(
    func: Func,
    inputs: tuple[Any, ...],
    xs: list[Tensor],
    outputs: Sequence[Tensor],
    wanted: Tolerances,
) -> None:
    rng = np.random.default_rng(0)
    us = [_unit_vector(rng, x) for x in xs]
    vs = [_unit_vector(rng, out) for out in outputs]
    columns = [_along(func, inputs, x, u, wanted.eps) for x, u in zip(xs, us, strict=True)]
    for i, (out, v) in enumerate(zip(outputs, vs, strict=True)):
        analytical = _analytical(out, xs, [v], wanted)
        for j, (u, a) in enumerate(zip(us, analytical, strict=True)):
            n, product = columns[j][i] @ v, u @ a[:, 0]
            if not np.allclose(product, n, wanted.rtol, wanted.atol * u.sum() * v.sum()):
                _compare_jacobians(func, inputs, xs, outputs, wanted)
                raise GradcheckError(
                    f"Fast gradcheck failed for output {i} with respect to input {j} (numerical "
                    f"{n:.6g}, analytical {product:.6g}) but element-wise differences are small: "
                    "the tolerances fit slow mode only. Use fast_mode=False, or a larger atol."
                )


def _mismatch(i: int, j: int, n: Array, a: Array, x: Tensor, out: Tensor) -> str:
    """The two Jacobians, and where they differ most."""
    gap = np.abs(a - n)
    gap[np.isnan(gap)] = np.inf
    row, column = np.unravel_index(gap.argmax(), gap.shape)
    return (
        f"Jacobian mismatch for output {i} with respect to input {j},\n"
        f"numerical:{wrap(n)}\nanalytical:{wrap(a)}\n"
        f"They differ most in d output{_place(out, column)} / d input{_place(x, row)}: numerical "
        f"{n[row, column]:.6g}, analytical {a[row, column]:.6g}."
    )


def _place(x: Tensor, number: Any) -> str:
    """Which element a row or column of a Jacobian is about, as an index."""
    part = ""
    if x.is_complex():
        number, imaginary = divmod(number, 2)
        part = ".imag" if imaginary else ".real"
    return f"{[int(i) for i in np.unravel_index(number, x.shape)]}{part}" if x.ndim else part


def _check_zero_in_zero_out(outputs: Sequence[Tensor], xs: list[Tensor]) -> None:
    zeros = [wrap(np.zeros_like(out.array)) for out in outputs]
    for j, d in enumerate(grad(outputs, xs, zeros, retain_graph=True, allow_unused=True)):
        if d is not None and _reals(d).any():
            raise GradcheckError(
                f"backward not multiplied by grad_output: the gradient of input {j} is not zero "
                "when those of the outputs are"
            )


# ---------------------------------------------------------------- Jacobians


def _analytical(
    out: Tensor, xs: list[Tensor], seeds: Iterator[Array] | list[Array], wanted: Tolerances
) -> list[Array]:
    """For each input its Jacobian times each of the seeds, by backward."""
    columns: list[list[Array]] = [[] for _ in xs]
    for seed in seeds:
        g = _with_reals(out, seed)
        first, again = (
            grad([out], xs, [g], retain_graph=True, allow_unused=True) for _ in range(2)
        )
        for x, column, d, e in zip(xs, columns, first, again, strict=True):
            if d is None:
                column.append(np.zeros(_reals(x).size))
                continue
            if wanted.dtypes and d.dtype is not x.dtype:
                raise GradcheckError(f"Gradient has dtype mismatch: {d.dtype} for {x.dtype}")
            if not np.allclose(_reals(d), _reals(e), 0, wanted.nondet, equal_nan=True):
                raise GradcheckError(
                    "Backward is not reentrant, i.e., running backward with same input and "
                    "grad_output multiple times gives different values. The tolerance for "
                    f"nondeterminism was {wanted.nondet}: raise nondet_tol if that is expected."
                )
            column.append(_reals(d))
    return [
        np.stack(column, 1) if column else np.zeros((_reals(x).size, 0))
        for x, column in zip(xs, columns, strict=True)
    ]


def _numerical(
    func: Func, inputs: tuple[Any, ...], x: Tensor, eps: float, everything: bool = False
) -> list[Array]:
    """The Jacobian of each output by central differences, row by row."""
    rows = [_along(func, inputs, x, unit, eps, everything) for unit in np.eye(_reals(x).size)]
    if rows:
        return [np.stack(row) for row in zip(*rows, strict=True)]
    outputs = _outputs(func(*inputs), everything)
    return [np.zeros((0, _reals(out).size)) for out in outputs]


def _along(
    func: Func,
    inputs: tuple[Any, ...],
    x: Tensor,
    direction: Array,
    eps: float,
    everything: bool = False,
) -> list[Array]:
    """``(f(x + εu) - f(x - εu)) / 2ε`` for each output."""
    before = x.array.copy()
    values = _reals(x)
    sides = []
    try:
        for sign in (1, -1):
            # Past the version counter: the tape that was recorded before stays valid.
            x.array[...] = _with_reals(x, values + sign * eps * direction).array
            version.uncounted += 1
            outputs = _outputs(func(*inputs), everything)
            sides.append([_reals(out) for out in outputs])
    finally:
        x.array[...] = before
        version.uncounted += 1
    above, below = sides
    if [a.shape for a in above] != [b.shape for b in below]:
        raise GradcheckError(
            "Expected `func` to return outputs with the same shape when inputs are perturbed by "
            f"{eps}"
        )
    return [(a - b) / (2 * eps) for a, b in zip(above, below, strict=True)]


def _reals(x: Tensor) -> Array:
    """The elements in a row, as float64 in memory of their own; complex ones as two."""
    array = dt.widen(x.array)
    kind = np.complex128 if array.dtype.kind == "c" else np.float64
    return np.array(array, kind, order="C").reshape(-1).view(np.float64)


def _with_reals(x: Tensor, values: Array) -> Tensor:
    """A tensor as ``x``, of which `_reals` are ``values``."""
    wide = values.view(np.complex128) if x.is_complex() else values
    return wrap(dt.cast(wide.reshape(x.shape), x.dtype))


def _units(x: Tensor) -> Iterator[Array]:
    yield from np.eye(_reals(x).size)


def _unit_vector(rng: np.random.Generator, x: Tensor) -> Array:
    """A random vector of length 1; positive, so that deviations of one sign cannot cancel."""
    v = rng.random(_reals(x).size)
    return v / np.linalg.norm(v) if v.size else v


def _random_like(outputs: Sequence[Tensor], scattered: bool) -> tuple[Tensor, ...]:
    rng = np.random.default_rng(0)
    seeds = []
    for out in outputs:
        seed = _with_reals(out, rng.standard_normal(_reals(out).size))
        if scattered and seed.ndim:
            seed = wrap(np.repeat(seed.array, 2, -1)[..., ::2])
        seeds.append(seed.requires_grad_())
    return tuple(seeds)


def _tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _outputs(result: Any, everything: bool) -> tuple[Tensor, ...]:
    """The differentiable outputs, or all floating-point ones."""
    if not everything:
        return _differentiable(result)
    return tuple(
        x
        for x in _tuple(result)
        if isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex())
    )


def _differentiable(result: Any) -> tuple[Tensor, ...]:
    return tuple(x for x in _tuple(result) if isinstance(x, Tensor) and x.requires_grad)
