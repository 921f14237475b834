"""Checkpoints: what comes back, what is refused, and what damage of every kind leads to."""

import io
import json
import math
import os
import pickle
import struct
import subprocess
import sys
from collections import Counter, OrderedDict

import numpy as np
import pytest
import retrograd as rg
from hypothesis import given
from hypothesis import strategies as st
from retrograd.autograd.safetensors import load_file, save_file, write

DAMAGE = (RuntimeError, pickle.UnpicklingError, EOFError)


def saved(obj):
    file = io.BytesIO()
    rg.save(obj, file)
    return file.getvalue()


def loaded(content, **options):
    return rg.load(io.BytesIO(content), **options)


def again(obj):
    return loaded(saved(obj))


def header_of(content):
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length])


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, rg.Tensor):
        assert a.requires_grad == b.requires_grad
        a, b = a.array, b.array
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    elif isinstance(a, dict):
        for x, y in zip(a.items(), b.items(), strict=True):
            assert_same(x, y)
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, (float, np.floating)):
        assert (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    else:
        assert a == b


# ---------------------------------------------------------------- what comes back

tensors = st.builds(
    lambda shape, dtype, seed: rg.tensor(
        np.random.default_rng(seed).integers(0, 2, shape).tolist(), dtype=dtype
    ),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from([rg.float32, rg.float64, rg.bfloat16, rg.int8, rg.bool, rg.complex128]),
    st.integers(0, 9),
)
keys = st.text(max_size=5) | st.integers() | st.booleans() | st.none() | st.binary(max_size=3)
leaves = (
    keys
    | tensors
    | st.floats()
    | st.complex_numbers(allow_nan=False)
    | st.builds(np.float32, st.floats(width=32))
    | st.builds(lambda values: np.array(values, ">i4"), st.lists(st.integers(0, 9)))
    | st.sampled_from([rg.float16, rg.Size([2, 0]), rg.device("cpu"), bytearray(b"\0"), {1, "a"}])
)
objects = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4).map(OrderedDict)
    ),
    max_leaves=12,
)


@given(objects)
def test_nested_objects_come_back(obj):
    assert_same(again(obj), obj)


LAYOUTS = {
    "transposed": lambda x: x.T,
    "Fortran": np.asfortranarray,
    "strided": lambda x: x[::2, ::3],
    "reversed": lambda x: x[::-1, ::-1],
    "broadcast": lambda x: np.broadcast_to(x[:1], (5, 6)),
    "offset": lambda x: x[1:, 2:],
    "empty": lambda x: x[:, :0],
    "0-d": lambda x: x[1, 2, ...],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_is_written_right(layout, tmp_path):
    array = layout(np.arange(24.0).reshape(4, 6))
    save_file({"x": array}, tmp_path / "x.safetensors")
    np.testing.assert_array_equal(load_file(tmp_path / "x.safetensors")["x"].array, array)
    np.testing.assert_array_equal(again(array), array)


def test_parameters_keep_their_class_gradient_flag_and_attributes():
    weight = rg.nn.Parameter(rg.ones(2))
    weight.decay = 0.5
    frozen = rg.nn.Parameter(rg.ones(2), requires_grad=False)
    obj = [weight, frozen, rg.ones(2, requires_grad=True)]
    back = again(obj)
    assert_same(back, obj)
    assert back[0].decay == 0.5


def test_what_could_not_be_loaded_is_not_saved():
    x = rg.ones(1)
    x.numel = 3
    with pytest.raises(ValueError, match="numel"):
        saved(x)


def test_limits_come_back():
    obj = [np.ones((1,) * 64), rg.Size([2**62, 2**62]), 10**5000, {"\ud800": rg.ones(1)}]
    assert_same(again(obj), obj)


def test_state_dict_keeps_module_versions():
    state = OrderedDict(w=rg.ones(1))
    state._metadata = OrderedDict({"": {"version": 2}})
    assert again(state)._metadata == {"": {"version": 2}}


def test_state_dict_is_a_plain_safetensors_file():
    header = header_of(saved(OrderedDict({"0.weight": rg.ones(2, 3), "0.bias": rg.zeros(2)})))
    header.pop("__metadata__")
    assert {name: entry["shape"] for name, entry in header.items()} == {
        "0.weight": [2, 3],
        "0.bias": [2],
    }


def test_same_objects_stay_the_same():
    x, box = rg.ones(2), [1]
    a, b, c, d = again([x, x, box, box])
    assert a is b
    assert c is d


SHARED = {
    "tied": lambda a: (a, a),
    "row": lambda a: (a, a[1]),
    "part first": lambda a: (a[1:], a),
    "transposed": lambda a: (a.T, a),
    "overlapping": lambda a: (a[:3], a[2:]),
    "interleaved": lambda a: (a[:, 0::2], a[:, 1::2], a[:, :2]),
    "as integers": lambda a: (a, a.view(np.int64)),
    "complex128": lambda a: (a, a.view(np.complex128)),
}


@pytest.mark.parametrize("views", SHARED.values(), ids=SHARED)
def test_shared_memory_is_stored_once_and_stays_shared(views):
    views = views(np.arange(4000.0).reshape(4, 1000))
    content = saved([rg.from_numpy(v) for v in views])
    assert len(content) < 34_000
    back = [t.array for t in loaded(content)]
    for ours, theirs in zip(back, views, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for other_ours, other_theirs in zip(back[1:], views[1:], strict=True):
        shared = np.shares_memory(views[0], other_theirs)
        assert np.shares_memory(back[0], other_ours) == shared


def test_a_small_view_does_not_drag_its_base_along():
    assert len(saved(rg.from_numpy(np.zeros(100_000)[:3]))) < 1000


# ---------------------------------------------------------------- files


def test_mapped_tensors_are_windows_that_do_not_write_back(tmp_path):
    path = tmp_path / "x.pt"
    rg.save({"x": rg.zeros(1000)}, path)
    x = rg.load(path, mmap=True)["x"]
    x.array[:] = 7
    assert rg.load(path)["x"].array.max() == 0
    with pytest.raises(ValueError, match="file path"):
        loaded(path.read_bytes(), mmap=True)


def test_file_objects(tmp_path):
    with open(tmp_path / "x.pt", "wb", buffering=0) as f:
        rg.save([rg.ones(3), "plain"], f)
    with open(tmp_path / "x.pt", "rb") as f:
        assert rg.load(f)[1] == "plain"
    with pytest.raises(TypeError, match="'rb'"):
        rg.load(io.StringIO("text"))
    for use in (rg.load, lambda f: rg.save({}, f)):
        with pytest.raises(AttributeError, match="path or a file"):
            use(3)


def test_a_failed_save_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "x.pt"
    rg.save(1, path)
    with pytest.raises(TypeError):
        rg.save(object(), path)
    monkeypatch.setattr(os, "replace", lambda a, b: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        rg.save(2, path)
    assert rg.load(path) == 1
    assert os.listdir(tmp_path) == ["x.pt"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions and links")
def test_permissions_and_links_survive(tmp_path):
    target, link = tmp_path / "real.pt", tmp_path / "link.pt"
    target.touch()
    target.chmod(0o640)
    link.symlink_to(target)
    rg.save(5, link)
    assert link.is_symlink()
    assert rg.load(target) == 5
    assert target.stat().st_mode & 0o777 == 0o640
    rg.save(5, os.devnull)
    assert not os.path.isfile(os.devnull)


KILLED = """
import os, random, signal, sys, time
import retrograd as rg

path, tries = sys.argv[1], int(sys.argv[2])
rg.save({"n": 0, "x": rg.zeros(300_000)}, path)
random.seed(0)
for attempt in range(tries):
    ready, go = os.pipe()
    child = os.fork()
    if not child:
        for n in range(1, 1_000_000):
            rg.save({"n": n, "x": rg.full((300_000,), float(n))}, path)
            os.write(go, b".")
    os.read(ready, 1)
    time.sleep(random.random() * 0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ready), os.close(go)
    found = rg.load(path)
    assert (found["x"].array == found["n"]).all()
print("whole")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_while_saving_leaves_a_whole_file(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "x.pt"), "20"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.stdout == "whole\n", run.stderr


# ---------------------------------------------------------------- what is refused


class Thing:
    pass


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        ({"a": [lambda: 1]}, r"obj\['a'\]\[0\] is a function"),
        ({"a": (1, Thing())}, r"obj\['a'\]\[1\] is a Thing"),
        (np.array(["text"]), r"obj is a NumPy array of <U4"),
        ({Thing(): 1}, "a key"),
        ({((1, 2), 3)}, "element of a set"),
        (np.datetime64(0, "s"), "datetime64"),
    ],
)
def test_what_is_no_data_is_refused_by_its_place(obj, said):
    with pytest.raises(TypeError, match=said):
        saved(obj)


def test_a_module_is_refused_with_the_remedy():
    class Model:
        def state_dict(self):
            return {}

    with pytest.raises(TypeError, match=r"obj\['model'\]\.state_dict\(\)"):
        saved({"model": Model()})


def test_cycles_and_bottomless_nesting_are_refused():
    cycle = {}
    cycle["self"] = [cycle]
    with pytest.raises(ValueError, match=r"obj\['self'\]\[0\] contains itself"):
        saved(cycle)
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError, match="flatten"):
        saved(deep)


def test_map_location():
    content = saved(rg.ones(2))
    for place in (
        "cpu",
        rg.device("cpu"),
        {"cuda:0": "cpu"},
        lambda s, where: s,
        lambda s, w: None,
    ):
        assert loaded(content, map_location=place).array.sum() == 2
    for place in ("cuda:0", {"cpu": "cuda:0"}):
        with pytest.raises(RuntimeError, match="CPU"):
            loaded(content, map_location=place)
    with pytest.raises(TypeError, match="map_location"):
        loaded(content, map_location=3)
    for answer in (3, rg.zeros(2)):
        with pytest.raises(RuntimeError, match="return the"):
            loaded(content, map_location=lambda storage, where, answer=answer: answer)


def test_save_file_takes_named_tensors_only(tmp_path):
    path = tmp_path / "x.safetensors"
    for bad in ({"x": 1.0}, {3: rg.ones(1)}, {"x": rg.ones(1, dtype=rg.complex128)}):
        with pytest.raises(TypeError):
            save_file(bad, path)
    with pytest.raises(TypeError, match="strings"):
        save_file({"x": rg.ones(1)}, path, metadata={"epoch": 3})
    save_file({"x": np.ones(2, np.uint16)}, path)
    for read in (rg.load, load_file):
        with pytest.raises(RuntimeError, match="uint16"):
            read(path)


# ---------------------------------------------------------------- damage

SMALL = saved(
    {"w": rg.ones(2, 3), "p": rg.nn.Parameter(rg.ones(2)), "n": [1.5, b"x", np.arange(3)]}
)


def test_cut_anywhere_or_extended():
    for n in range(len(SMALL)):
        with pytest.raises(DAMAGE):
            loaded(SMALL[:n])
    with pytest.raises(RuntimeError):
        loaded(SMALL + b"\0")


def test_any_flipped_bit_is_noticed():
    for at in range(len(SMALL)):
        damaged = bytearray(SMALL)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(DAMAGE):
            loaded(bytes(damaged))


def test_a_flipped_bit_names_its_tensor():
    with pytest.raises(RuntimeError, match="tensor 'w' has changed"):
        loaded(saved({"w": rg.ones(3)})[:-1] + b"\0")


def foreign(header, data=b"\0" * 8):
    """A safetensors file made by hand."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="F32", shape=(2,), span=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(span)}


def test_files_of_others():
    content = foreign({"b": entry(), "__metadata__": {"by": "hand"}})
    assert_same(loaded(content), {"b": rg.zeros(2)})
    assert loaded(foreign(b"{}   ", b"")) == {}


def test_bools_are_0_or_1():
    assert loaded(foreign({"a": entry("BOOL", [2], (0, 2))}, b"\0\1"))["a"].array.tolist() == [0, 1]
    with pytest.raises(RuntimeError, match="neither 0 nor 1"):
        loaded(foreign({"a": entry("BOOL", [2], (0, 2))}, b"\0\2"))


BAD_HEADERS = {
    "hole": {"a": entry(span=(0, 4), shape=[1])},
    "overlap": {"a": entry(), "b": entry(span=(4, 8), shape=[1])},
    "beyond": {"a": entry(span=(0, 16), shape=[4])},
    "span and shape differ": {"a": entry(shape=[3])},
    "product overflows": {"a": entry(shape=[2**62, 2**62, 0])},
    "product wraps to fit": {"a": entry(shape=[2**63, 2, 2**63])},
    "negative": {"a": entry(shape=[-1, -2])},
    "fraction": {"a": entry(shape=[2.0])},
    "bool": {"a": entry(shape=[True, 2])},
    "many dimensions": {"a": entry(shape=[1] * 1000)},
    "unknown type": {"a": entry(dtype="F7")},
    "type is no text": {"a": entry(dtype=["F32"])},
    "no span": {"a": {"dtype": "F32", "shape": [2]}},
    "no entry": {"a": 3},
    "metadata is no text": {"a": entry(), "__metadata__": {"epoch": 3}},
    "list": [1],
    "key twice": b'{"a":%(e)s,"a":%(e)s}' % {b"e": json.dumps(entry()).encode()},
    "NaN": b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}',
    "deep": b'{"a":' + b"[" * 100_000,
    "long number": b'{"a":{"dtype":"F32","shape":[' + b"9" * 10_000 + b'],"data_offsets":[0,8]}}',
    "no UTF-8": b'{"\xff":3}',
    "empty": b"",
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_bad_headers(header):
    with pytest.raises(RuntimeError, match="not a sound safetensors file"):
        loaded(foreign(header))


def test_huge_header_is_refused_before_it_is_read():
    with pytest.raises(RuntimeError, match="claims"):
        loaded(struct.pack("<Q", 2**62) + b"{" * 100)


def described(table, root=(0,)):
    text = json.dumps({"format": 1, "root": list(root), "table": table})
    file = io.BytesIO()
    write(file, {"w": np.zeros(4, np.float32)}, {"retrograd.object": text})
    return file.getvalue()


def test_described_by_hand():
    content = described([["tensor", None, False, "w", "float32", [2, 2], [4, 8], 0]])
    assert_same(loaded(content), rg.zeros(2, 2))


def test_an_expanded_bool_is_not_walked():
    table = [["tensor", None, False, "w", "bool", [2**50], [0], 0]]
    assert loaded(described(table)).shape == (2**50,)


BAD_TABLES = {
    "refers to itself": [["list", [0]]],
    "refers forward": [["list", [1]], ["list"]],
    "refers by a fraction": [["list"], ["list", [0.0]]],
    "unknown kind": [["call", "os.system", "true"]],
    "stride wraps in 64 bits": [["tensor", None, False, "w", "float32", [5], [2**62], 0]],
    "beyond its bytes": [["tensor", None, False, "w", "float32", [5], [4], 0]],
    "before its bytes": [["tensor", None, False, "w", "float32", [2], [-4], 0]],
    "offset beyond": [["tensor", None, False, "w", "float32", [1], [4], 16]],
    "object array": [["array", "|O", [2], "w"]],
    "no such entry": [["tensor", None, False, "v"]],
    "hides a method": [["dict", "numel", 3], ["tensor", [0], False, "w"]],
    "key twice": [["dict", "a", 1, "a", 2]],
    "key without value": [["dict", "a"]],
    "deep key": [["tuple"], *(["tuple", [i]] for i in range(5000)), ["dict", [5000], 1]],
    "size of a fraction": [["Size", 2.5]],
}


@pytest.mark.parametrize("table", BAD_TABLES.values(), ids=BAD_TABLES)
def test_bad_descriptions(table):
    with pytest.raises(RuntimeError, match="description"):
        loaded(described(table, root=[len(table) - 1]))


def test_empty_absent_and_unknown_files(tmp_path):
    (tmp_path / "empty.pt").touch()
    with pytest.raises(EOFError, match="empty"):
        rg.load(tmp_path / "empty.pt")
    with pytest.raises(pickle.UnpicklingError, match="no checkpoint"):
        loaded(pickle.dumps({"plain": "pickle"}))
    with pytest.raises(FileNotFoundError):
        rg.load(tmp_path / "absent.pt")


def test_counter_and_numpy_scalars():
    obj = {"milestones": Counter({3: 1, 5: 2}), "best": np.float64(0.5), "flag": np.bool_(True)}
    assert_same(again(obj), obj)
