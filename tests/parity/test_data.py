"""The loader draws PyTorch's numbers, makes PyTorch's batches and refuses what PyTorch refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
import retrograd as rg
from retrograd.utils import data as rg_data

torch = pytest.importorskip("torch")
from torch.utils import data as torch_data  # noqa: E402

ENGINES: list[tuple[Any, Any]] = [(torch, torch_data), (rg, rg_data)]
SIZE = 103


def both(function, *args):
    """Return what the function computes with PyTorch and with retrograd."""
    return [function(engine, data, *args) for engine, data in ENGINES]


class Rows:
    """A dataset without tensors, to go the general way."""

    def __init__(self, size):
        self.size = size

    def __getitem__(self, i):
        return i

    def __len__(self):
        return self.size


def epochs(engine, data, options, in_memory, own_generator):
    """Indices of two epochs, the second given up half-way, with draws in between."""
    engine.manual_seed(7)
    source = data.TensorDataset(engine.arange(SIZE)) if in_memory else Rows(SIZE)
    generator = engine.Generator().manual_seed(11) if own_generator else None
    options = options(data, source, generator)
    loader = data.DataLoader(source, generator=generator, **options)
    seen = []

    def draw():
        seen.append(engine.rand(3).tolist())
        if generator is not None:
            seen.append(engine.rand(3, generator=generator).tolist())

    for stop in (None, 3):
        batches = iter(loader)
        draw()
        for count, batch in enumerate(batches):
            seen.append(plain(batch))
            if count in (0, stop):
                draw()
            if count == stop:
                break
        draw()
    return seen


class Eager:
    """Batches drawn when their iterator is made, not when the first one is asked for."""

    def __init__(self, engine):
        self.engine = engine

    def __iter__(self):
        return iter([[i] for i in self.engine.randperm(20).tolist()])


LOADERS = {
    "eager": lambda d, s, g: {"batch_sampler": Eager(torch if d is torch_data else rg)},
    "sequential": lambda d, s, g: {"batch_size": 8},
    "shuffled": lambda d, s, g: {"batch_size": 8, "shuffle": True},
    "dropping": lambda d, s, g: {"batch_size": 8, "shuffle": True, "drop_last": True},
    "singly": lambda d, s, g: {"batch_size": None, "shuffle": True},
    "all at once": lambda d, s, g: {"batch_size": SIZE, "shuffle": True},
    "repeated": lambda d, s, g: {
        "batch_size": 10,
        "sampler": d.RandomSampler(s, num_samples=250, generator=g),
    },
    "evenly repeated": lambda d, s, g: {
        "batch_size": SIZE,
        "sampler": d.RandomSampler(s, num_samples=2 * SIZE, generator=g),
    },
    "replaced": lambda d, s, g: {
        "batch_size": 12,
        "sampler": d.RandomSampler(s, True, num_samples=100, generator=g),
    },
    "subset": lambda d, s, g: {
        "batch_size": 4,
        "sampler": d.SubsetRandomSampler(range(3, 40), generator=g),
    },
    "weighted": lambda d, s, g: {
        "batch_size": 4,
        "sampler": d.WeightedRandomSampler(range(1, 50), 30, generator=g),
    },
    "weighted once": lambda d, s, g: {
        "batch_size": 4,
        "sampler": d.WeightedRandomSampler(range(1, 50), 30, False, generator=g),
    },
}


@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize("options", LOADERS.values(), ids=LOADERS)
def test_orders_and_generators(options, in_memory, own_generator):
    theirs, ours = both(epochs, options, in_memory, own_generator)
    assert ours == theirs


@pytest.mark.parametrize("lengths", [[10, 93], [0.5, 0.5], [0.1, 0.2, 0.7]])
@pytest.mark.parametrize("seed", [None, 3])
def test_random_split(lengths, seed):
    def split(engine, data):
        engine.manual_seed(1)
        given = {} if seed is None else {"generator": engine.Generator().manual_seed(seed)}
        parts = data.random_split(range(SIZE), lengths, **given)
        return [part.indices for part in parts], engine.rand(2).tolist()

    theirs, ours = both(split)
    assert ours == theirs


def plain(value):
    """Types and content of a batch, in a form that both engines share."""
    if hasattr(value, "tolist"):
        return "tensor", str(value.dtype), list(value.shape), value.tolist()
    if isinstance(value, dict):
        return type(value).__name__, {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value).__name__, [plain(item) for item in value]
    return value


SAMPLES = [
    [1, 2],
    [1, 2.5],
    [True, False],
    [0.5, 1.5],
    ["a", "b"],
    [b"a", b"b"],
    [(1, "a"), (2, "b")],
    [[1, 2], [3, 4]],
    [{"a": 1, "b": [0.5]}, {"a": 2, "b": [1.5]}],
    [np.float32(1), np.float32(2)],
    [np.int8(1), np.int8(2)],
    [np.bool_(True)],
    [np.zeros((2, 0), np.float16)],
    [np.ones(3, np.complex64), np.ones(3, np.complex64)],
    [range(3), range(3)],
    [()],
    [[]],
    [{}],
    [],
    [None],
    [[1], [1, 2]],
    [{"a": 1}, {"b": 1}],
    [np.array(["a"])],
    [np.array([None])],
    [np.zeros(2), np.zeros(3)],
    [1, "a"],
    [object()],
]


@pytest.mark.parametrize("name", ["default_collate", "default_convert"])
@pytest.mark.parametrize("batch", SAMPLES, ids=repr)
def test_collation(name, batch):
    def outcome(engine, data):
        try:
            return plain(getattr(data, name)(batch))
        except Exception as error:
            return type(error)

    theirs, ours = both(outcome)
    assert ours == theirs


OPTIONS = [
    {},
    {"batch_size": 0},
    {"batch_size": -1},
    {"batch_size": 2.0},
    {"batch_size": True},
    {"batch_size": None},
    {"batch_size": None, "drop_last": True},
    {"drop_last": 1},
    {"shuffle": True, "sampler": [0]},
    {"sampler": [0], "batch_size": 2},
    {"batch_sampler": [[0]], "shuffle": True},
    {"batch_sampler": [[0]], "batch_size": 3},
    {"batch_sampler": [[0]], "sampler": [0]},
    {"num_workers": -1},
    {"num_workers": 0, "prefetch_factor": 1},
    {"num_workers": 1, "prefetch_factor": -1},
    {"persistent_workers": True},
    {"timeout": -1},
    {"timeout": 1},
    {"multiprocessing_context": "spawn"},
    {"num_workers": 1, "multiprocessing_context": "no"},
    {"num_workers": 1, "multiprocessing_context": 1},
    {"prefetch": 1},
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=repr)
def test_options(options, stream):
    def outcome(engine, data):
        class Stream(data.IterableDataset):
            def __iter__(self):
                return iter(range(3))

        try:
            loader = data.DataLoader(Stream() if stream else Rows(3), **options)
            return plain(list(loader)), loader.batch_size, loader.drop_last
        except Exception as error:
            return type(error)

    theirs, ours = both(outcome)
    assert ours == theirs


SCRIPT = """
import json, random
import numpy as np
import {engine} as rg
from {engine}.utils.data import *

class Noise(Dataset):
    def __getitem__(self, i):
        drawn = rg.rand(1).item(), random.random(), float(np.random.rand()), get_worker_info().seed
        return str((i, *drawn))
    def __len__(self):
        return 11

class Count(IterableDataset):
    def __iter__(self):
        me = get_worker_info()
        return iter(range(me.id, 5 + 4 * me.id))

class Eager:
    def __iter__(self):
        return iter([[i] for i in rg.randperm(7).tolist()])

if __name__ == "__main__":
    rg.manual_seed(5)
    eager = DataLoader(Noise(), batch_sampler=Eager(), num_workers=2)
    print(json.dumps([list(eager), list(eager), rg.rand(2).tolist()]))
    loader = DataLoader(Noise(), 2, shuffle=True, num_workers=2)
    print(json.dumps([list(loader), list(loader), rg.rand(2).tolist()]))
    kept = DataLoader(Noise(), 2, shuffle=True, num_workers=2, persistent_workers=True)
    print(json.dumps([list(kept), list(kept), rg.rand(2).tolist()]))
    print(json.dumps([b.tolist() for b in DataLoader(Count(), 2, num_workers=2)]))
"""


@pytest.mark.slow
def test_workers(tmp_path):
    def run(engine, data):
        path = tmp_path / f"{engine.__name__}_script.py"
        path.write_text(textwrap.dedent(SCRIPT.format(engine=engine.__name__)))
        command = [sys.executable, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    theirs, ours = both(run)
    assert ours == theirs
