"""Datasets, samplers, collation and the loader, in this process and in workers."""

from __future__ import annotations

import collections
import itertools
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import retrograd as rg
from retrograd.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    get_worker_info,
    random_split,
)
from retrograd.utils.data.dataloader import DataLoader as DataLoaderByLongName
from retrograd.utils.data.dataset import Dataset as DatasetByLongName
from retrograd.utils.data.sampler import Sampler


class Squares(Dataset):
    def __init__(self, size=10):
        self.size = size

    def __getitem__(self, i):
        return i * i

    def __len__(self):
        return self.size


class Stream(IterableDataset):
    def __init__(self, size=5, promised=None):
        self.size, self.promised = size, promised

    def __iter__(self):
        return iter(range(self.size))

    def __len__(self):
        return self.size if self.promised is None else self.promised


Point = collections.namedtuple("Point", "x y")


def table(rows=10):
    x = rg.tensor(np.arange(rows * 3, dtype=np.float32).reshape(rows, 3))
    return TensorDataset(x, rg.arange(rows))


def numbers(loader):
    return [batch.tolist() for batch in loader]


def labels(loader):
    return [y.tolist() for _, y in loader]


def test_import_paths():
    assert DataLoaderByLongName is DataLoader
    assert DatasetByLongName is Dataset
    assert issubclass(BatchSampler, Sampler)


def flat(batches):
    return list(itertools.chain.from_iterable(batches))


# --- datasets


def test_tensor_dataset():
    data = table()
    x, y = data[2]
    assert (x.tolist(), y.item(), len(data)) == ([6, 7, 8], 2, 10)
    with pytest.raises(AssertionError, match=r"Size mismatch .*\[10, 9\]"):
        TensorDataset(rg.zeros(10, 2), rg.zeros(9))
    with pytest.raises(TypeError, match=r"argument 1 is a ndarray.*from_numpy"):
        TensorDataset(rg.zeros(2), np.zeros(2))


def test_abstract_datasets_say_what_is_missing():
    with pytest.raises(NotImplementedError, match="__getitem__"):
        Dataset()[0]
    with pytest.raises(TypeError, match="abstract"):
        IterableDataset()


def test_concat_dataset():
    both = Squares(3) + Squares(2)
    assert [both[i] for i in range(-5, 5)] == [0, 1, 4, 0, 1] * 2
    assert both.cumulative_sizes == [3, 5]
    for beyond, error in ((-6, ValueError), (5, IndexError)):
        with pytest.raises(error):
            both[beyond]
    for bad in ([], [Stream()]):
        with pytest.raises(AssertionError):
            ConcatDataset(bad)


def test_chain_dataset():
    chain = Stream(2) + Stream(3)
    assert isinstance(chain, ChainDataset)
    assert list(chain) == [0, 1, 0, 1, 2]
    assert len(chain) == 5
    with pytest.raises(AssertionError, match="Squares"):
        list(ChainDataset([Squares()]))


def test_stack_dataset():
    assert StackDataset(Squares(3), "abc")[2] == (4, "c")
    named = StackDataset(a=Squares(3), b=Subset("xyz", [2, 1, 0]))
    assert named.__getitems__([1, 2]) == [{"a": 1, "b": "y"}, {"a": 4, "b": "x"}]
    for args, kwargs in (((), {}), (("ab", "abc"), {}), (("ab",), {"b": "ab"})):
        with pytest.raises(ValueError, match="dataset"):
            StackDataset(*args, **kwargs)


def test_stack_dataset_checks_the_answer_of_its_parts():
    class Short(Squares):
        def __getitems__(self, indices):
            return [0]

    with pytest.raises(ValueError, match=r"asked for 2 samples and returned 1"):
        StackDataset(Short()).__getitems__([1, 2])


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [([3, 7], [3, 7]), ([0.25, 0.75], [3, 7]), ([0.33, 0.33, 0.34], [4, 3, 3])],
)
def test_random_split_parts_are_disjoint(lengths, sizes):
    parts = random_split(Squares(), lengths, generator=rg.Generator().manual_seed(1))
    assert [len(part) for part in parts] == sizes
    assert sorted(i for part in parts for i in part.indices) == list(range(10))


@pytest.mark.parametrize("lengths", [[3, 3], [0.5, 0.4], [-2, 12], [1.5, -0.5]])
def test_random_split_refuses(lengths):
    with pytest.raises(ValueError, match=r"input lengths|Fraction"):
        random_split(Squares(), lengths)


def test_random_split_warns_of_an_empty_part():
    with pytest.warns(UserWarning, match="index 1 is 0"):
        random_split(Squares(1), [0.9, 0.1])


# --- samplers


def test_samplers_yield_python_ints():
    for sampler in (
        SequentialSampler(range(4)),
        RandomSampler(range(4)),
        RandomSampler(range(4), replacement=True, num_samples=70),
        RandomSampler(range(4), num_samples=10),
        SubsetRandomSampler([1, 2, 3]),
        WeightedRandomSampler([1, 2, 3], 5),
    ):
        drawn = list(sampler)
        assert len(drawn) == len(sampler)
        assert {type(i) for i in drawn} == {int}
        assert set(drawn) <= set(range(4))


def test_random_sampler_covers_every_index_before_repeating():
    drawn = list(RandomSampler(range(5), num_samples=12))
    assert sorted(drawn[:5]) == sorted(drawn[5:10]) == list(range(5))


def test_subset_sampler_takes_any_keys():
    keys = ["a", ("b", 1), None]
    assert set(SubsetRandomSampler(keys)) == set(keys)


@pytest.mark.parametrize("size", [1, 3, 4, 32, 50, 100])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_of_runs_are_batches_of_indices(size, drop_last):
    def sampler():
        generator = rg.Generator().manual_seed(5)
        return RandomSampler(range(7), replacement=True, num_samples=70, generator=generator)

    flat = list(sampler())
    expected = [flat[i : i + size] for i in range(0, 70, size)]
    if drop_last and 70 % size:
        expected.pop()
    batches = BatchSampler(sampler(), size, drop_last)
    assert list(batches) == expected
    assert len(batches) == len(expected)
    assert list(BatchSampler(iter(flat), size, drop_last)) == expected


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: RandomSampler(range(3), replacement=1), TypeError),
        (lambda: RandomSampler(range(3), num_samples=0), ValueError),
        (lambda: RandomSampler([]), ValueError),
        (lambda: WeightedRandomSampler([1], True), ValueError),
        (lambda: WeightedRandomSampler([1], 1, replacement=0), ValueError),
        (lambda: WeightedRandomSampler([[1]], 1), ValueError),
        (lambda: BatchSampler([1], 0, False), ValueError),
        (lambda: BatchSampler([1], 1.0, False), ValueError),
        (lambda: BatchSampler([1], 1, 0), ValueError),
        (lambda: iter(Sampler()), NotImplementedError),
    ],
)
def test_samplers_check_their_arguments(make, error):
    with pytest.raises(error):
        make()


# --- batches of tensors held in memory


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    "wrap", [lambda d: d, lambda d: Subset(Subset(d, range(9)), [8, 1, -1, 3])]
)
def test_a_batch_taken_whole_is_the_collated_rows(shuffle, wrap):
    class RowByRow(TensorDataset):
        def __getitem__(self, index):
            return super().__getitem__(index)

    def batches(kind):
        data = wrap(kind(*table().tensors))
        generator = rg.Generator().manual_seed(3)
        return list(DataLoader(data, 4, shuffle=shuffle, generator=generator))

    for whole, rows in zip(batches(TensorDataset), batches(RowByRow), strict=True):
        assert type(whole) is type(rows) is list
        assert [t.tolist() for t in whole] == [t.tolist() for t in rows]
        assert [t.dtype for t in whole] == [t.dtype for t in rows]


@pytest.mark.parametrize("shuffle", [False, True])
def test_rows_are_not_read_one_by_one(monkeypatch, shuffle):
    read = []
    monkeypatch.setattr(TensorDataset, "__getitem__", lambda self, i: read.append(i))
    assert sorted(flat(labels(DataLoader(table(), 4, shuffle=shuffle)))) == list(range(10))
    assert not read


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_never_alias_the_dataset(shuffle):
    data = table()
    before = data.tensors[0].tolist()
    for x, _ in DataLoader(data, 4, shuffle=shuffle):
        x.zero_()
    assert data.tensors[0].tolist() == before


def test_overridden_item_methods_are_called():
    class Negated(TensorDataset):
        def __getitem__(self, i):
            return -self.tensors[1][i]

    class Batched(TensorDataset):
        def __getitems__(self, indices):
            assert type(indices) is list
            return [i + 100 for i in indices]

    class Doubled(Subset):
        def __getitem__(self, i):
            return 2 * i

        def __getitems__(self, indices):
            return [self[i] for i in indices]

    tensors = table(4).tensors
    assert numbers(DataLoader(Negated(*tensors), 3)) == [[0, -1, -2], [-3]]
    assert numbers(DataLoader(Subset(Negated(*tensors), [1, 2]), 3)) == [[-1, -2]]
    assert numbers(DataLoader(Batched(*tensors), 3)) == [[100, 101, 102], [103]]
    assert numbers(DataLoader(Doubled(table(), [5, 6]), 2)) == [[0, 2]]
    with pytest.raises(NotImplementedError, match="__getitems__"):
        type("Half", (Subset,), {"__getitem__": Doubled.__getitem__})(table(), [1])


def test_own_collation_sees_single_samples():
    assert list(DataLoader(table(4), 3, collate_fn=len)) == [3, 1]


@pytest.mark.parametrize("batch", [[0, 99], range(8, 12), np.array([10])])
def test_indices_beyond_the_end_raise(batch):
    with pytest.raises(IndexError):
        list(DataLoader(table(), batch_sampler=[batch]))


@pytest.mark.parametrize(
    "batch", [[3, -1], range(0, 10, 4), range(-2, 0), (1, 2), np.array([1, 1])]
)
def test_batches_of_ones_own_sampler(batch):
    expected = [[i % 10 for i in batch]]
    assert labels(DataLoader(table(), batch_sampler=[batch])) == expected


def test_gradients_flow_into_the_dataset():
    x = rg.arange(4.0).requires_grad_()
    for (batch,) in DataLoader(TensorDataset(x), 2, shuffle=True):
        batch.square().sum().backward()
    assert x.grad.tolist() == [0, 2, 4, 6]


# --- the loader


def test_batching_options():
    data = Squares(5)
    assert numbers(DataLoader(data, 2)) == [[0, 1], [4, 9], [16]]
    assert numbers(DataLoader(data, 2, drop_last=True)) == [[0, 1], [4, 9]]
    assert list(DataLoader(data, batch_size=None)) == [0, 1, 4, 9, 16]
    assert numbers(DataLoader(data, sampler=[3, 1])) == [[9], [1]]
    assert numbers(DataLoader(data, batch_sampler=[[3, 1], [2]])) == [[9, 1], [4]]
    whole = DataLoader(table(5), sampler=BatchSampler(range(5), 2, True), batch_size=None)
    assert labels(whole) == [[0, 1], [2, 3]]
    assert len(DataLoader(data, 2)) == 3
    assert len(iter(DataLoader(data, 2))) == 3
    assert DataLoader(data, batch_sampler=[[0]]).batch_size is None


def test_subclassed_batch_sampler_is_iterated():
    class Reversed(BatchSampler):
        def __iter__(self):
            return reversed(list(super().__iter__()))

    batches = Reversed(SequentialSampler(range(4)), 3, False)
    assert labels(DataLoader(table(4), batch_sampler=batches)) == [[3], [0, 1, 2]]


def test_an_ended_iterator_stays_ended():
    batches = iter(DataLoader(Squares(1)))
    next(batches)
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(batches)


def test_streams():
    assert numbers(DataLoader(Stream(), 2)) == [[0, 1], [2, 3], [4]]
    assert numbers(DataLoader(Stream(), 2, drop_last=True)) == [[0, 1], [2, 3]]
    assert list(DataLoader(Stream(3), batch_size=None)) == [0, 1, 2]
    assert len(DataLoader(Stream(), 2)) == 3
    assert len(DataLoader(Stream(), 2, drop_last=True)) == 2


def test_a_stream_longer_than_it_promised_warns():
    loader = DataLoader(Stream(3, promised=2))
    assert len(loader) == 2
    with pytest.warns(UserWarning, match="reported to be 2"):
        list(loader)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"num_workers": -1}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"prefetch_factor": 2}, ValueError),
        ({"num_workers": 1, "prefetch_factor": -1}, ValueError),
        ({"persistent_workers": True}, ValueError),
        ({"sampler": [0], "shuffle": True}, ValueError),
        ({"batch_sampler": [[0]], "batch_size": 2}, ValueError),
        ({"batch_sampler": [[0]], "drop_last": True}, ValueError),
        ({"batch_size": None, "drop_last": True}, ValueError),
        ({"batch_size": 0}, ValueError),
        ({"drop_last": 1}, ValueError),
        ({"multiprocessing_context": "fork"}, ValueError),
        ({"num_workers": 1, "multiprocessing_context": "thread"}, ValueError),
        ({"num_workers": 1, "multiprocessing_context": 3}, TypeError),
        ({"dataset": Stream(), "shuffle": True}, ValueError),
        ({"dataset": Stream(), "sampler": [0]}, ValueError),
        ({"dataset": Stream(), "batch_sampler": [[0]]}, ValueError),
    ],
)
def test_options_are_checked(options, error):
    with pytest.raises(error):
        DataLoader(**{"dataset": Squares(), **options})


@pytest.mark.parametrize("options", [{"timeout": 1}, {"num_workers": 1, "prefetch_factor": 0}])
def test_options_that_fail_at_the_start_of_an_epoch(options):
    loader = DataLoader(Squares(), **options)
    with pytest.raises(AssertionError):
        iter(loader)


def test_what_an_iterator_has_read_is_fixed():
    loader = DataLoader(Squares())
    for name in ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset"):
        with pytest.raises(ValueError, match=name):
            setattr(loader, name, None)
    loader.collate_fn = len
    assert next(iter(loader)) == 1


def test_warnings_of_options_without_use():
    with pytest.warns(UserWarning, match="no accelerator"):
        iter(DataLoader(Squares(), pin_memory=True))
    with pytest.warns(UserWarning, match=r"create 9999 worker .* lower num_workers"):
        DataLoader(Squares(), num_workers=9999)


# --- collation


@pytest.mark.parametrize(
    ("batch", "values", "dtype"),
    [
        ([1, 2], [1, 2], "int64"),
        ([True, False], [True, False], "bool"),
        ([0.5, 1.0], [0.5, 1.0], "float64"),
        ([np.float32(0.5), np.float32(1)], [0.5, 1.0], "float32"),
        ([np.int16(1), np.int16(2)], [1, 2], "int16"),
        ([np.zeros(2, np.uint8)] * 2, [[0, 0]] * 2, "uint8"),
        ([np.array(1.0)] * 2, [1.0, 1.0], "float64"),
    ],
)
def test_collate_makes_tensors(batch, values, dtype):
    joined = default_collate(batch)
    assert joined.tolist() == values
    assert joined.dtype == getattr(rg, dtype)


def test_collate_walks_containers():
    def plain(batch):
        if isinstance(batch, rg.Tensor):
            return batch.tolist()
        if isinstance(batch, dict):
            return {key: plain(value) for key, value in batch.items()}
        if isinstance(batch, Point):
            return Point(*map(plain, batch))
        return [plain(item) for item in batch] if isinstance(batch, list) else batch

    assert plain(default_collate(["a", "b"])) == ["a", "b"]
    assert plain(default_collate([(0, b"x"), (1, b"y")])) == [[0, 1], (b"x", b"y")]
    assert plain(default_collate([{"k": [1, 2]}, {"k": [3, 4]}])) == {"k": [[1, 3], [2, 4]]}
    assert plain(default_collate([Point(1, 2), Point(3, 4)])) == Point([1, 3], [2, 4])
    ordered = default_collate([collections.OrderedDict(a=1)] * 2)
    assert type(ordered) is collections.OrderedDict
    assert plain(default_collate([range(2), range(2)])) == [[0, 0], [1, 1]]


def test_collate_stacks_views_of_one_storage():
    base = rg.arange(6).reshape(2, 3)
    assert default_collate([base[0], base[:, 0].repeat(2)[:3]]).tolist() == [[0, 1, 2], [0, 3, 0]]


@pytest.mark.parametrize(
    ("batch", "error", "words"),
    [
        ([rg.zeros(3), rg.zeros(4)], RuntimeError, r"\[3\] at entry 0 and \[4\] at entry 1.*pad"),
        ([[1, 2], [1]], RuntimeError, r"equal size.* 1 and 2 elements.*collate_fn"),
        ([object()], TypeError, r"found <class 'object'>.*collate_fn"),
        ([np.array(["a"])], TypeError, "found <U1"),
        ([None], TypeError, "NoneType"),
    ],
)
def test_collate_refuses(batch, error, words):
    with pytest.raises(error, match=words):
        default_collate(batch)


def test_convert_turns_only_arrays_into_tensors():
    sample = {"x": np.ones(2), "name": "a", "pair": (np.int32(3), 4), "text": np.array(["b"])}
    out = default_convert(sample)
    assert out["x"].tolist() == [1, 1]
    assert out["name"] == "a"
    assert (out["pair"][0].dtype, out["pair"][1]) == (rg.int32, 4)
    assert out["text"] is sample["text"]
    assert default_convert(Point(np.array(1), 2)).x.item() == 1


# --- workers

PRELUDE = """
import json, os, random, sys, time
import numpy as np
import retrograd as rg
from retrograd.utils.data import *

class Squares(Dataset):
    def __getitem__(self, i):
        if i == 66:
            raise KeyError("no sample 66")
        if i == 77:
            os._exit(7)
        if i == 88:
            time.sleep(600)
        return i * i, get_worker_info().id, os.getpid()
    def __len__(self):
        return 20

class Share(IterableDataset):
    def __iter__(self):
        me = get_worker_info()
        return iter(range(me.id, 7, me.num_workers))

class Whole(IterableDataset):
    def __init__(self):
        self.first, self.step = 0, 1
    def __iter__(self):
        return iter(range(self.first, 7, self.step))

class Unsendable(Dataset):
    def __getitem__(self, i):
        return lambda: i
    def __len__(self):
        return 4

def take_share(worker):
    data = get_worker_info().dataset
    data.first, data.step = worker, get_worker_info().num_workers

def broken_start(worker):
    raise ValueError("cannot start here")

def column(loader, place):
    return [batch[place].tolist() for batch in loader]

def caught(loader):
    try:
        list(loader)
    except Exception as error:
        return [type(error).__name__, str(error), *getattr(error, "__notes__", [])]

def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

def say(value):
    print(json.dumps(value), flush=True)

"""


@pytest.fixture
def script(tmp_path):
    """Run a main program of the given body, and return what it said."""

    def write(body):
        path = tmp_path / "script.py"
        main = textwrap.indent(textwrap.dedent(body), "    ")
        path.write_text(f"{PRELUDE}\nif __name__ == '__main__':\n{main}")
        return [sys.executable, str(path)]

    def run(body):
        done = subprocess.run(write(body), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    run.write = write
    return run


def test_workers_keep_the_order_and_their_identity(script):
    (squares, workers, again) = script("""
        loader = DataLoader(Squares(), 4, num_workers=2)
        say(column(loader, 0))
        say(column(loader, 1))
        say(column(DataLoader(Squares(), 4, num_workers=2, prefetch_factor=1), 0))
    """)
    assert flat(squares) == [i * i for i in range(20)]
    assert again == squares
    assert [set(ids) for ids in workers] == [{0}, {1}, {0}, {1}, {0}]


def test_persistent_workers_are_the_same_processes(script):
    pids, first, second, gone = script("""
        loader = DataLoader(Squares(), 4, num_workers=2, persistent_workers=True)
        pids = [{pid for batch in column(loader, 2) for pid in batch} for epoch in range(2)]
        say([sorted(epoch) for epoch in pids])
        say(column(loader, 0))
        next(iter(loader))  # an epoch given up: what it prefetched must not reach the next
        say(column(loader, 0))
        del loader
        say([alive(pid) for pid in pids[0]])
    """)
    assert pids[0] == pids[1]
    assert len(pids[0]) == 2
    assert second == first
    assert gone == [False, False]


def test_a_loader_recovers_from_the_death_of_a_worker(script):
    died, again, recovered = script("""
        order = [1, 77]
        loader = DataLoader(Squares(), sampler=order, num_workers=2, persistent_workers=True)
        batches = iter(loader)
        say(caught(batches))
        say(caught(batches))
        order.pop()
        say(column(loader, 0))
    """)
    assert "exited unexpectedly" in died[1]
    assert "iterate over the DataLoader anew" in again[1]
    assert recovered == [[1]]


def test_streams_are_shared_among_workers(script):
    own, by_init, duplicated, twice, unordered = script("""
        say([b.tolist() for b in DataLoader(Share(), 2, num_workers=2)])
        say([b.tolist() for b in DataLoader(Whole(), 2, num_workers=2, worker_init_fn=take_share)])
        say([b.tolist() for b in DataLoader(Whole(), 4, num_workers=2)])
        loader = DataLoader(Share(), 2, num_workers=2, persistent_workers=True)
        say([[b.tolist() for b in loader] for epoch in range(2)])
        loader = DataLoader(Share(), 2, num_workers=2, in_order=False)
        say(sorted(b.tolist() for b in loader))
    """)
    assert own == by_init == [[0, 2], [1, 3], [4, 6], [5]]
    assert duplicated == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6], [4, 5, 6]]
    assert twice == [own, own]
    assert unordered == sorted(own)


def test_tensors_in_workers(script):
    rows, labels_, writable = script("""
        data = TensorDataset(rg.arange(12.).reshape(6, 2), rg.arange(6))
        generator = rg.Generator().manual_seed(0)
        loader = DataLoader(data, 4, shuffle=True, generator=generator, num_workers=2)
        batches = list(loader)
        say([x[:, 0].tolist() for x, _ in batches])
        say([y.tolist() for _, y in batches])
        say([x.zero_().sum().item() for x, _ in batches])
    """)
    assert sorted(flat(labels_)) == list(range(6))
    assert rows == [[2 * y for y in batch] for batch in labels_]
    assert writable == [0, 0]


def test_errors_of_workers_reach_the_parent(script):
    key, start, unsendable, unpicklable, died, late = script("""
        say(caught(DataLoader(Squares(), sampler=[1, 66], num_workers=1)))
        say(caught(DataLoader(Squares(), num_workers=1, worker_init_fn=broken_start)))
        say(caught(DataLoader(Unsendable(), num_workers=1, collate_fn=list)))
        say(caught(DataLoader(Squares(), num_workers=1, collate_fn=lambda samples: samples)))
        say(caught(DataLoader(Squares(), sampler=[1, 77], num_workers=1)))
        say(caught(DataLoader(Squares(), sampler=[88], num_workers=1, timeout=0.2)))
    """)
    assert key[0] == "KeyError"
    assert "Caught KeyError in DataLoader worker process 0.\nOriginal Traceback" in key[1]
    assert "in __getitem__" in key[1]
    assert start[0] == "ValueError"
    assert "cannot start here" in start[1]
    assert "lambda" in unsendable[1]
    assert "multiprocessing_context='fork'" in unpicklable[-1]
    assert (died[0], "code 7" in died[1]) == ("RuntimeError", True)
    assert (late[0], "timed out after 0.2 seconds" in late[1]) == ("RuntimeError", True)


@pytest.mark.parametrize("how", ["fork", "spawn"])
@pytest.mark.skipif(os.name != "posix", reason="fork")
def test_other_start_methods(script, how):
    (squares,) = script(f"""
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of any fork
        loader = DataLoader(Squares(), 10, num_workers=2, multiprocessing_context={how!r})
        say(column(loader, 0))
    """)
    assert flat(squares) == [i * i for i in range(20)]


def test_an_abandoned_iterator_leaves_no_worker(script):
    (gone,) = script("""
        batches = iter(DataLoader(Squares(), 4, num_workers=2))
        pids = [next(batches)[2][0].item() for _ in range(2)]
        del batches
        say([alive(pid) for pid in pids])
    """)
    assert gone == [False, False]


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    "blow",
    ["os.killpg(0, signal.SIGINT)", "os.kill(os.getpid(), signal.SIGKILL)"],
    ids=["ctrl-c", "killed"],
)
def test_a_stopped_parent_leaves_no_worker(script, blow):
    command = script.write(f"""
        import signal
        batches = iter(DataLoader(Squares(), 4, num_workers=2))
        say([next(batches)[2][0].item() for _ in range(2)])
        {blow}
        time.sleep(60)
    """)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, start_new_session=True
    )
    for pid in json.loads(done.stdout):
        assert _ends(pid)
    assert done.stderr.count("Traceback") == ("SIGINT" in blow)


def _ends(pid):
    """Whether a process is gone within five seconds, or has ended and waits for its parent."""
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        subprocess.run(["sleep", "0.05"], check=True)
    return False


def test_the_main_process_is_no_worker():
    assert get_worker_info() is None
