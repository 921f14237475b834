"""`einsum`: products and sums over axes with names.

Operands are taken two at a time, from the left.  A pair becomes one batched matrix product: the
axes both have and the result keeps are the batch, the axes both have and nothing else needs are
summed by the product, the others are rows and columns.  It is built of `permute`, `reshape`,
`sum`, `mul` and `matmul`, so it differentiates as often as they do.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..declare import composite
from ..tensor import Tensor
from .linalg import matmul
from .shape import diagonal, permute, reshape

Labels = tuple[Any, ...]  # one per axis: a letter, or a negative number for an axis of the ellipsis


@composite(method=False)
def einsum(*args: Any) -> Any:
    """The sum of products that ``equation`` spells, as in ``einsum("ij,jk->ik", a, b)``.

    Without ``->`` the result has the letters that appear once, in alphabetical order.  ``...``
    stands for axes that broadcast; a letter twice in one operand takes its diagonal.  Operands
    and lists of ints may be given in turns instead of an equation.

    >>> import retrograd as rg
    >>> rg.einsum("ij,ij->i", rg.ones(2, 3), rg.ones(2, 3))
    tensor([3., 3.])
    """
    operands, spelled, wanted = _read(args)
    widest = max(
        (x.array.ndim - _named(labels) for x, labels in _each(operands, spelled)), default=0
    )
    terms = [
        _labelled(x, labels, i, widest) for i, (x, labels) in enumerate(_each(operands, spelled))
    ]
    sizes = _sizes(terms)
    out = _result_labels(wanted, spelled, widest, sizes)
    terms = [_without_repeats(x, labels, sizes) for x, labels in terms]
    x, labels = terms[0]
    for i, (y, others) in enumerate(terms[1:], 1):
        later = set(out).union(*(each for _, each in terms[i + 1 :]))
        x, labels = _pair(x, labels, y, others, later)
    x, labels = _summed(x, labels, set(out))
    x = permute(x, [labels.index(label) for label in out if label in labels])
    return reshape(x, [sizes[label] for label in out]) if len(labels) < len(out) else x


def _each(operands: list[Any], spelled: list[list[Any]]) -> Any:
    return zip(operands, spelled, strict=True)


# ---------------------------------------------------------------- reading


def _read(args: tuple[Any, ...]) -> tuple[list[Any], list[list[Any]], list[Any] | None]:
    """Operands, the labels of each, and those of the result or None."""
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one "
            "operand and its subscripts list"
        )
    if isinstance(args[0], str):
        given = args[1:]
        operands = list(given[0]) if isinstance(given[0], (list, tuple)) else list(given)
        return (operands, *_parsed(args[0], len(operands)))
    operands = list(args[0:-1:2]) if len(args) % 2 else list(args[0::2])
    lists = [list(a) for a in args[1::2]]
    wanted = list(args[-1]) if len(args) % 2 else None
    for label in (n for labels in [*lists, wanted or []] for n in labels if n is not ...):
        if not 0 <= label < 52:
            raise ValueError(
                "einsum(): subscript in subscript list is not within the valid range [0, 52), "
                f"got {label}"
            )
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    spelled = [[n if n is ... else letters[n] for n in labels] for labels in lists]
    return operands, spelled, wanted and [n if n is ... else letters[n] for n in wanted]


def _parsed(equation: str, count: int) -> tuple[list[list[Any]], list[Any] | None]:
    left, arrow, right = equation.replace(" ", "").partition("->")
    spelled = [_letters(term) for term in left.split(",")]
    if len(spelled) != count:
        few = "more" if len(spelled) < count else "fewer"
        raise RuntimeError(
            f"einsum(): {few} operands were provided than specified in the equation: "
            f"'{equation}' has {len(spelled)}, got {count}"
        )
    return spelled, _letters(right) if arrow else None


def _letters(term: str) -> list[Any]:
    labels: list[Any] = []
    i = 0
    while i < len(term):
        if term.startswith("...", i):
            if ... in labels:
                raise RuntimeError(
                    f"einsum(): found '.' for operand '{term}' for which an ellipsis was already "
                    "found"
                )
            labels.append(...)
            i += 3
        elif term[i].isascii() and term[i].isalpha():
            labels.append(term[i])
            i += 1
        else:
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {i} in '{term}': subscripts must be "
                "in [a-zA-Z], '...', ',' and '->'"
            )
    return labels


def _named(labels: list[Any]) -> int:
    return len(labels) - (... in labels)


def _labelled(x: Any, labels: list[Any], i: int, widest: int) -> tuple[Any, Labels]:
    """An operand with one label per axis; the ellipsis' axes count from the right: …, -2, -1."""
    if not isinstance(x, Tensor):
        raise TypeError(f"einsum(): expected Tensor as operand {i}, but got {type(x).__name__}")
    free = x.array.ndim - _named(labels)
    if free < 0 or (free and ... not in labels):
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({_named(labels)}) "
            f"{'is more than' if free < 0 else 'does not match'} the number of dimensions "
            f"({x.array.ndim}) for operand {i}" + ("" if free < 0 else " and no ellipsis was given")
        )
    spread: list[Any] = []
    for label in labels:
        spread += range(-free, 0) if label is ... else [label]
    return x, tuple(spread)


def _sizes(terms: list[tuple[Any, Labels]]) -> dict[Any, int]:
    """The size of each label; axes of size 1 stretch."""
    sizes: dict[Any, int] = {}
    for i, (x, labels) in enumerate(terms):
        for label, n in zip(labels, x.array.shape, strict=True):
            known = sizes.get(label, 1)
            if n not in (1, known) and known != 1:
                raise RuntimeError(
                    f"einsum(): subscript {label} has size {n} for operand {i} which does not "
                    f"broadcast with previously seen size {known}"
                )
            sizes[label] = n if known == 1 else known
    return sizes


def _result_labels(
    wanted: list[Any] | None, spelled: list[list[Any]], widest: int, sizes: dict[Any, int]
) -> Labels:
    ellipsis = list(range(-widest, 0)) if any(... in labels for labels in spelled) else []
    if wanted is None:
        times = Counter(label for labels in spelled for label in labels if label is not ...)
        return (*ellipsis, *sorted(label for label, n in times.items() if n == 1))
    out: list[Any] = []
    for label in wanted:
        if label is not ... and label not in sizes:
            raise RuntimeError(
                f"einsum(): output subscript {label} does not appear in the equation for any input "
                "operand"
            )
        out += ellipsis if label is ... else [label]
    if len(set(out)) < len(out):
        twice = next(label for label, n in Counter(out).items() if n > 1)
        raise RuntimeError(
            f"einsum(): output subscript {twice} appears more than once in the output"
        )
    return tuple(out)


# ---------------------------------------------------------------- computing


def _without_repeats(x: Any, labels: Labels, sizes: dict[Any, int]) -> tuple[Any, Labels]:
    """The diagonal of axes with one label, and no axis that is to be stretched."""
    for label in [label for label, n in Counter(labels).items() if n > 1]:
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if x.array.shape[first] != x.array.shape[second]:
                raise RuntimeError(
                    f"einsum(): subscript {label} is repeated for one operand but the sizes don't "
                    f"match, {x.array.shape[second]} != {x.array.shape[first]}"
                )
            x = diagonal(x, 0, first, second)
            labels = (*(n for i, n in enumerate(labels) if i not in (first, second)), label)
    stretched = [i for i, n in enumerate(labels) if x.array.shape[i] == 1 != sizes[n]]
    if stretched:
        x = x.squeeze(stretched)
        labels = tuple(n for i, n in enumerate(labels) if i not in stretched)
    return x, labels


def _summed(x: Any, labels: Labels, needed: set[Any]) -> tuple[Any, Labels]:
    """Axes that nothing needs any more, added up."""
    gone = tuple(i for i, label in enumerate(labels) if label not in needed)
    if not gone:
        return x, labels
    return x.sum(gone), tuple(label for label in labels if label in needed)


def _pair(x: Any, left: Labels, y: Any, right: Labels, later: set[Any]) -> tuple[Any, Labels]:
    """Two operands as one: a batched matrix product, or a plain one where nothing is summed."""
    if x.dtype is not y.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {x.dtype} != {y.dtype}"
        )
    kind = x.dtype
    x, left = _summed(x, left, later | set(right))
    y, right = _summed(y, right, later | set(left))
    both = [label for label in left if label in right]
    batch = [label for label in both if label in later]
    inner = [label for label in both if label not in later]
    rows = [label for label in left if label not in right]
    columns = [label for label in right if label not in left]
    a = permute(x, [left.index(label) for label in batch + rows + inner])
    b = permute(y, [right.index(label) for label in batch + inner + columns])
    n, m, k = len(batch), len(rows), len(inner)
    sizes = [*a.array.shape[: n + m], *b.array.shape[n + k :]]
    if inner:
        a, b = a.to(kind), b.to(kind)  # a sum of small integers has another type
        lead, depth = a.array.shape[:n], _product(a.array.shape[n + m :])
        a = reshape(a, (*lead, _product(a.array.shape[n : n + m]), depth))
        b = reshape(b, (*lead, depth, _product(b.array.shape[n + k :])))
        return reshape(matmul(a, b), sizes), (*batch, *rows, *columns)
    a = reshape(a, (*a.array.shape, *[1] * len(columns)))
    b = reshape(b, (*b.array.shape[:n], *[1] * m, *b.array.shape[n:]))
    return a * b, (*batch, *rows, *columns)


def _product(sizes: tuple[int, ...]) -> int:
    total = 1
    for n in sizes:
        total *= n
    return total
