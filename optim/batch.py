"""Parameters that are updated together.

Starting a NumPy call costs as much as computing a few thousand elements.  So small parameters are
gathered into one flat array, updated by one run of the program, and scattered back; their state
lives in flat arrays for good, and the tensors in ``Optimizer.state`` are views of them.  A large
parameter is a batch of its own, updated where it is.

A batch is valid for as long as its parameters and their state sit where it found them
(`Batch.holds`): the user may replace either between two steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate, groupby, pairwise
from operator import is_
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from ..autograd import Tensor, float32, float64, get_default_dtype
from ..autograd.dtypes import cast, of_array, widen
from ..autograd.tensor import wrap
from .update import CHUNK, Program, Scratch

Array = np.ndarray[Any, Any]
State = dict[str, Any]

SMALL = 4096  # elements; below this, gathering costs less than calling NumPy for each parameter


class Batch:
    """Some parameters of one dtype, their state in flat arrays, and their counters.

    ``fills`` names the state and says what it starts as; ``counts`` does so for numbers that each
    parameter has one of, such as ``step``.  State that a parameter has already is taken over.
    ``places`` are the parameters' indices in their group.
    """

    def __init__(
        self,
        places: list[int],
        params: list[Tensor],
        states: list[State],
        fills: Mapping[str, float],
        counts: Mapping[str, float],
    ):
        self.places = places
        self.params = params
        self.states = states
        self.fresh = not _is_begun(states[0], fills)
        self.arrays = [p.array for p in params]
        self.kind = self.arrays[0].dtype
        self.work = widen(np.empty(0, self.kind)).real.dtype  # what is computed in
        self.bounds = [0, *accumulate(a.size for a in self.arrays)]
        self.in_place = len(params) == 1 and self.arrays[0].flags.c_contiguous
        self.home = self.arrays[0].reshape(-1)
        if not self.in_place:
            self.home = np.empty(self.bounds[-1], self.kind)
        self.mirrors = self._parts(self.home)

        self.flat: dict[str, Array] = {}
        self.parts: dict[str, list[Array]] = {}
        for name, start in counts.items():
            flat = self.flat[name] = np.full(len(params), start, counter_kind())
            self.parts[name] = [flat[i : i + 1].reshape(()) for i in range(len(params))]
        for name, fill in fills.items():
            flat = self.flat[name] = np.empty(self.bounds[-1], self.kind)
            value = complex(fill, fill) if self.kind.kind == "c" else fill
            flat[...] = cast(np.array(value), self._dtype)
            self.parts[name] = self._parts(flat)
        for i, state in enumerate(states):
            for name, parts in self.parts.items():
                _take_over(state, name, parts[i])

    @property
    def _dtype(self) -> Any:
        return of_array(self.kind)

    def _parts(self, flat: Array) -> list[Array]:
        """A view of ``flat`` for each parameter, in the parameter's shape."""
        pairs = zip(self.arrays, pairwise(self.bounds), strict=True)
        return [flat[low:high].reshape(array.shape) for array, (low, high) in pairs]

    def holds(self, states: Mapping[Any, State]) -> bool:
        """Whether the parameters and their state are still where they were."""
        if not all(map(is_, [p.array for p in self.params], self.arrays)):
            return False
        if not self.parts:
            return True
        try:
            return all(map(is_, map(states.get, self.params), self.states)) and all(
                all(map(is_, [state[name].array for state in self.states], parts))
                for name, parts in self.parts.items()
            )
        except (KeyError, AttributeError):
            return False

    def runs(self, grads: list[Any], all_there: bool, counts: Iterable[str]) -> list[slice]:
        """Neighbours that have a gradient (``all_there``: each one has) and are equally old."""
        counters = [self.flat[name] for name in counts]
        n = len(grads)
        if all_there and (n == 1 or all(c.item(0) == c.min() == c.max() for c in counters)):
            return [slice(0, n)]
        ages = [tuple(c.item(i) for c in counters) for i in range(n)]
        neighbours = groupby(range(n), lambda i: None if grads[i] is None else ages[i])
        members = [list(group) for age, group in neighbours if age is not None]
        return [slice(group[0], group[-1] + 1) for group in members]

    def update(
        self,
        program: Program,
        numbers: list[Array],
        run: slice,
        grads: list[Any],
        scratch: Scratch,
    ) -> None:
        """Run the program over the members in ``run``, which have these gradients."""
        start, stop = self.bounds[run.start], self.bounds[run.stop]
        p = self.home[start:stop]
        g = grads[0].array
        if not self.in_place:
            np.concatenate(self.arrays[run], axis=None, out=p)
        if len(grads) > 1 or not g.flags.c_contiguous:
            gathered = scratch.piece(self.kind, "g", stop - start)
            g = np.concatenate([g.array for g in grads], axis=None, out=gathered)
        state = [self.flat[name][start:stop] for name in program.arrays[2:]]
        self._compute(program, numbers, [p, g.reshape(-1), *state], scratch)
        if not self.in_place:
            for array, mirror in zip(self.arrays[run], self.mirrors[run], strict=True):
                array[...] = mirror

    def _compute(
        self, program: Program, numbers: list[Array], arrays: list[Array], scratch: Scratch
    ) -> None:
        if self.kind is self.work:
            program.run(arrays, numbers, scratch)
        elif self.kind.kind == "c":  # a complex number is two real ones
            program.run([a.view(self.work) for a in arrays], numbers, scratch)
        else:  # half precision is computed in float32, and rounded once
            wide = [widen(a) for a in arrays]
            program.run(wide, numbers, scratch)
            for half, array in zip(arrays, wide, strict=True):
                if half is not arrays[1]:
                    half[...] = cast(array, self._dtype)


def counter_kind() -> np.dtype[Any]:
    """The type of counters: float32, unless the user computes in float64."""
    return (float64 if get_default_dtype() is float64 else float32).array


def divide(
    params: Mapping[int, Tensor],
    states: Mapping[Any, State],
    fills: Mapping[str, float],
    counts: Mapping[str, float],
) -> list[Batch]:
    """Divide parameters, by place, into batches: large ones alone, small ones with their like."""
    groups: list[list[int]] = []
    filling: dict[Any, tuple[list[int], int]] = {}  # small ones that may still get company
    state = {i: states[p] if fills or counts else {} for i, p in params.items()}
    overlapping = _overlapping(params)
    for i, p in params.items():
        _check_writable(p.array)
        size = p.array.size
        if size > SMALL or i in overlapping:
            groups.append([i])
            continue
        age = [str(state[i].get(name)) for name in counts]
        key = (p.array.dtype, _is_begun(state[i], fills), *age)
        company, total = filling.get(key, ([], 0))
        if not company or total + size > CHUNK:
            company, total = [], 0
            groups.append(company)
        company.append(i)
        filling[key] = company, total + size
    return [
        Batch(group, [params[i] for i in group], [state[i] for i in group], fills, counts)
        for group in groups
    ]


def _overlapping(params: Mapping[int, Tensor]) -> set[int]:
    """Places of parameters that share memory, and so must be updated one after the other."""
    spans = sorted((*byte_bounds(p.array), i) for i, p in params.items() if p.array.size)
    found: set[int] = set()
    end, last = 0, -1
    for start, stop, i in spans:
        if start < end:
            found |= {i, last}
        if stop > end:
            end, last = stop, i
    return found


def _is_begun(state: State, fills: Mapping[str, float]) -> bool:
    return all(state.get(name) is not None for name in fills)


def _take_over(state: State, name: str, part: Array) -> None:
    """Make ``part`` the memory of a state, with the values the state had."""
    before = state.get(name)
    if before is not None:
        if before.array.shape != part.shape:
            raise RuntimeError(
                f"the optimizer's state '{name}' has shape {list(before.shape)}, but its "
                f"parameter needs {list(part.shape)}. If the parameter was resized on purpose, "
                "delete optimizer.state[parameter], and its state begins anew."
            )
        part[...] = cast(before.array, of_array(part.dtype))
    state[name] = wrap(part)


def _check_writable(array: Array) -> None:
    if not array.flags.writeable:
        raise RuntimeError(
            "unsupported operation: the optimizer must write to a parameter of which more than "
            "one element refers to a single memory location. Optimize a clone() of it."
        )
