"""What a picture needs to know of a tape: its nodes in order, their names, the memory they keep.

A `Trace` holds the nodes themselves, so it lives only as long as a picture is being built;
the picture that comes out of it holds text and numbers, and keeps no tape alive.
Every walk here is a loop over a list: the depth of a tape never meets Python's stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..tape import Node, newest_first
from ..tensor import Parameter, Tensor
from ..version import FREED
from .tracer import Facts, known

# What users call ops that have another name here, where nobody saw what they wrote.
KNOWN_AS = {
    "affine": "linear", "linear_map": "linear", "power": "pow",
    "gelu_erf": "gelu", "gelu_tanh": "gelu",
    "clamp_between": "clamp", "clamp_to": "clamp", "variance": "var", "product": "prod",
    "length": "norm", "running_sum": "cumsum", "running_product": "cumprod",
    "cross_entropy_of_classes": "cross_entropy", "squared_error": "mse_loss",
    "norm_of_rows": "layer_norm", "norm_of_groups": "group_norm", "norm_of_channels": "batch_norm",
    "attend": "scaled_dot_product_attention",
}  # fmt: skip
LINEAR = ("affine", "linear_map")  # a product inside another function is still a product


class Trace:
    """The nodes a list of roots was computed from, oldest first; a node's index is its identity.

    `parents[i]` are the indices of node i's inputs, in argument order, those that need no
    gradient left out. `names[i]` is what the user calls node i.
    """

    __slots__ = (
        "_children", "_facts", "freed", "index", "memory", "names", "nodes", "parents", "roots",
    )  # fmt: skip

    def __init__(self, roots: Sequence[Node], names: Mapping[Node, str]) -> None:
        self.nodes = newest_first(roots)[::-1]
        self.index = index = {node: i for i, node in enumerate(self.nodes)}
        self._children: dict[int, list[int]] | None = None
        self._facts: list[Facts | None] | None = None
        if len(known):
            self._facts = [known.get(node) for node in self.nodes]
            if not any(self._facts):
                self._facts = None
        self.parents = [
            tuple([index[x] for x in node.inputs if x is not None]) for node in self.nodes
        ]
        self.roots = [index[root] for root in dict.fromkeys(roots)]
        self.names = {index[node]: name for node, name in names.items() if node in index}
        self.freed = [node.kept is FREED for node in self.nodes]
        self.memory = Memory(self.nodes)

    @property
    def children(self) -> dict[int, list[int]]:
        """The nodes that use each node, as often as they use it."""
        if self._children is None:
            self._children = {}
            for i, parents in enumerate(self.parents):
                for parent in parents:
                    self._children.setdefault(parent, []).append(i)
        return self._children

    def facts(self, i: int) -> Facts | None:
        """What `tracing` saw of node i."""
        return None if self._facts is None else self._facts[i]

    def title(self, i: int) -> str:
        """What made node i: the public function that was called, where that was seen, or its op."""
        facts, op = self.facts(i), self.nodes[i].op
        name = "" if op is None else op.name
        seen = facts.function if facts is not None else ""
        return KNOWN_AS.get(name, name) if not seen or name in LINEAR else seen

    @property
    def watched(self) -> bool:
        """Whether any of its ops were seen by `tracing`."""
        return self._facts is not None

    def is_leaf(self, i: int) -> bool:
        """Whether node i is a tensor the user made."""
        return self.nodes[i].op is None

    def is_parameter(self, i: int) -> bool:
        """Whether leaf i belongs to a Parameter that is still alive."""
        return isinstance(leaf_tensor(self.nodes[i]), Parameter)


def leaf_tensor(node: Node) -> Tensor | None:
    """The tensor a leaf node stands for, or None once the program has dropped it."""
    kept: Any = node.kept
    return kept() if node.op is None and callable(kept) else None


def kept_arrays(node: Node) -> Iterator[np.ndarray]:
    """The arrays a node keeps, as such or as settings, looking through tensors and tuples."""
    waiting: list[Any] = [*node.settings[::-1], *node.kept[::-1]]  # popped from the end
    while waiting:
        item = waiting.pop()
        if type(item) is tuple or type(item) is list:
            waiting.extend(reversed(item))
        elif isinstance(item, np.ndarray):
            yield item
        elif isinstance(item, Tensor):
            yield item.array


class Memory:
    """Who keeps which buffer: arrays that share memory, views above all, are one buffer.

    `sizes[b]` are the bytes of buffer b and `oldest[b]` the first node that keeps it, so what the
    nodes keep first adds up to `total`. `leaves` is the part of the total that is the leaves' own
    storage, alive with or without the tape.
    """

    __slots__ = ("_ends", "_held", "leaves", "oldest", "sizes", "total")

    def __init__(self, nodes: Sequence[Node]) -> None:
        owners: dict[int, np.ndarray] = {}
        held: list[int] = []  # flat: those of node i end at ends[i]
        ends: list[int] = []
        stored: list[int] = []
        for node in nodes:
            if node.op is None:
                tensor = leaf_tensor(node)
                if tensor is not None:
                    owner = storage(tensor.array)
                    owners[id(owner)] = owner
                    stored.append(id(owner))
            elif node.kept or node.settings:
                for array in kept_arrays(node):
                    owner = array if array.base is None else storage(array)
                    owners[id(owner)] = owner
                    held.append(id(owner))
            ends.append(len(held))

        buffer, self.sizes = merged(owners)
        self._held = [buffer[key] for key in held]
        self._ends = ends
        self.oldest: dict[int, int] = {}
        for i in range(len(nodes)):
            for b in self.held(i):
                self.oldest.setdefault(b, i)
        self.total = self.bytes(self.oldest)
        self.leaves = self.bytes({buffer[key] for key in stored} & self.oldest.keys())

    def held(self, i: int) -> list[int]:
        """The buffers node i keeps."""
        return self._held[self._ends[i - 1] if i else 0 : self._ends[i]]

    def bytes(self, buffers: Iterable[int]) -> int:
        """The summed size of some buffers."""
        return sum(map(self.sizes.__getitem__, buffers))

    def kept(self, members: Iterable[int]) -> int:
        """The bytes a set of nodes keeps together, each buffer once."""
        return self.bytes({b for i in members for b in self.held(i)})

    def shared(self, members: Iterable[int]) -> int:
        """The part of `kept` that some older node outside the set keeps as well."""
        ours = set(members)
        return self.bytes({b for i in ours for b in self.held(i) if self.oldest[b] not in ours})

    def __len__(self) -> int:
        return sum(self.sizes[b] > 0 for b in self.oldest)


def storage(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory an array looks at: keeping a view keeps all of it."""
    owner = array
    base: Any = array.base
    while base is not None:
        if isinstance(base, np.ndarray):
            owner = base
        base = getattr(base, "base", None)
    return owner


def merged(owners: Mapping[int, np.ndarray]) -> tuple[dict[int, int], list[int]]:
    """Number the buffers behind some arrays, overlapping ones as one; and the size of each."""
    spans = sorted((*span(array), key) for key, array in owners.items())
    buffer: dict[int, int] = {}
    sizes: list[int] = []
    end = -1
    for low, high, key in spans:
        if low >= end:
            sizes.append(0)
            end = low
        sizes[-1] += max(0, high - end)
        end = max(end, high)
        buffer[key] = len(sizes) - 1
    return buffer, sizes


def span(array: np.ndarray) -> tuple[int, int]:
    """The first byte of an array's memory and the one past its last."""
    if array.flags.c_contiguous:
        start: int = array.__array_interface__["data"][0]
        return start, start + array.nbytes
    low, high = np.lib.array_utils.byte_bounds(array)
    return int(low), int(high)
