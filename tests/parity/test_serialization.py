"""Files of torch.save read without PyTorch, and our files read by PyTorch's users' tools."""

import io
import pickle
import zipfile
from collections import Counter, OrderedDict

import numpy as np
import pytest
import retrograd as rg

torch = pytest.importorskip("torch")

DTYPES = [
    *("float32", "float64", "float16", "bfloat16", "complex64", "complex128", "bool"),
    *("int8", "int16", "int32", "int64", "uint8"),
]


def through(obj, **options):
    """Saved by PyTorch, loaded here."""
    file = io.BytesIO()
    torch.save(obj, file, **options)
    return rg.load(io.BytesIO(file.getvalue()))


def raw(x):
    """The bytes of a tensor of either library, in C order."""
    if isinstance(x, rg.Tensor):
        return np.ascontiguousarray(x.array).tobytes()
    return bytes(x.detach().contiguous().resolve_conj().resolve_neg().untyped_storage())


def assert_same(ours, theirs):
    if isinstance(theirs, torch.Tensor):
        assert type(ours).__name__ == type(theirs).__name__
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert repr(ours.dtype) == repr(theirs.dtype)
        assert ours.requires_grad == theirs.requires_grad
        assert raw(ours) == raw(theirs.clone(memory_format=torch.contiguous_format))
    elif isinstance(theirs, dict):
        assert type(ours) is type(theirs)
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_same(ours[key], theirs[key])
        assert_same(getattr(ours, "_metadata", None), getattr(theirs, "_metadata", None))
    elif isinstance(theirs, (torch.dtype, torch.device, torch.Size)):
        assert repr(ours) == repr(theirs)
    elif isinstance(theirs, (list, tuple)):
        assert type(ours) is type(theirs)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
    else:
        assert type(ours) is type(theirs)
        assert ours == theirs or (ours != ours and theirs != theirs)


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype(name):
    x = torch.arange(12).reshape(3, 4).to(getattr(torch, name))
    assert_same(through(x), x)


VIEWS = {
    "transposed": lambda x: x.T,
    "strided": lambda x: x[::2, 1::2],
    "offset": lambda x: x[2:, 3:],
    "expanded": lambda x: x[:1].expand(4, 6),
    "empty": lambda x: x[:0],
    "0-d": lambda x: x[1, 2],
    "conjugate": lambda x: torch.complex(x, x).conj(),
    "conjugate 0-d": lambda x: torch.complex(x, x)[0, 1].conj(),
    "negative": lambda x: torch.complex(x, x).conj().imag,
    "of a list": lambda x: torch.ones(0),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_every_layout(view):
    x = view(torch.arange(24.0).reshape(4, 6))
    assert_same(through(x), x)


def test_nested_objects():
    obj = {
        "list": [1, -1, 300, 70000, 2**40, -(2**70), 2.5, float("nan"), float("inf"), True, None],
        "tuple": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), "", "ünï", "\ud800"),
        "bytes": [b"", b"\x00\xff", bytearray(b"k"), 3 + 4j, {1, 2}, set()],
        3: OrderedDict(a=1, b=torch.ones(2)),
        (1, "key"): Counter("abracadabra"),
        "types": [torch.float32, torch.bool, torch.Size([2, 0]), torch.device("cpu")],
        "parameter": [
            torch.nn.Parameter(torch.ones(2)),
            torch.nn.Parameter(torch.ones(2), requires_grad=False),
            torch.ones(3, requires_grad=True),
        ],
        "long": list(range(3000)),
    }
    assert_same(through(obj), obj)


def test_attributes_of_tensors():
    weight = torch.nn.Parameter(torch.ones(2))
    weight.decay = 0.5
    x = torch.ones(2)
    x.tag = {"a": [1]}
    loaded = through([weight, x])
    assert loaded[0].decay == 0.5
    assert loaded[1].tag == {"a": [1]}


def test_sharing():
    base = torch.arange(6.0)
    box = [1]
    a, b, c, d, e = through([base, base[2:], base, box, box])
    a.array[3] = 30
    assert b.array[1] == 30
    assert a is c
    assert d is e


def test_numpy_values():
    obj = {
        "scalar": np.float64(2.5),
        "arrays": [np.arange(6).reshape(2, 3), np.ones((2, 2), ">f4"), np.array([True, False])],
        "order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    }
    file = io.BytesIO()
    torch.save(obj, file)
    theirs = torch.load(io.BytesIO(file.getvalue()), weights_only=False)
    ours = rg.load(io.BytesIO(file.getvalue()))
    assert type(ours["scalar"]) is type(theirs["scalar"])
    assert ours["scalar"] == theirs["scalar"]
    for a, b in zip(
        [*ours["arrays"], ours["order"]], [*theirs["arrays"], theirs["order"]], strict=True
    ):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "model",
    [
        lambda: torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)),
        lambda: torch.nn.LSTM(3, 4, num_layers=2),
        lambda: torch.nn.TransformerEncoderLayer(8, 2, 16),
    ],
)
def test_training_checkpoints(model):
    model = model()
    optimizer = torch.optim.Adam(model.parameters())
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    checkpoint = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "epoch": 3,
    }
    assert_same(through(checkpoint), checkpoint)


def test_memory_mapped(tmp_path):
    x = torch.arange(1000.0)
    torch.save({"x": x}, tmp_path / "x.pt")
    loaded = rg.load(tmp_path / "x.pt", mmap=True)["x"]
    assert_same(loaded, x)
    loaded.array[0] = 5
    assert rg.load(tmp_path / "x.pt")["x"].array[0] == 0


def test_big_endian_file():
    file = io.BytesIO()
    torch.save([torch.arange(3, dtype=torch.int32), torch.tensor([1 + 2j])], file)
    turned = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(turned, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith("byteorder"):
                data = b"big"
            elif "/data/" in entry.filename:
                data = np.frombuffer(data, np.uint32).byteswap().tobytes()
            new.writestr(entry.filename, data)
    ints, complexes = rg.load(io.BytesIO(turned.getvalue()))
    assert ints.array.tolist() == [0, 1, 2]
    assert complexes.array.tolist() == [1 + 2j]


REFUSED = {
    "a module": (lambda: torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
    "a function": (lambda: io.open, "io.open"),
    "a class": (lambda: OrderedDict, "collections.OrderedDict"),
    "a dtype without equal": (lambda: torch.ones(2, dtype=torch.uint16), "torch.uint16"),
    "a storage": (lambda: torch.ones(2).untyped_storage(), "Storage"),
    "quantized": (
        lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        "torch.*q",
    ),
    "sparse": (lambda: torch.ones(2, 2).to_sparse(), "_rebuild_sparse_tensor"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("make", "named"), REFUSED.values(), ids=REFUSED)
def test_refused_objects_are_named(make, named):
    with pytest.raises(pickle.UnpicklingError, match=named):
        through({"x": make()})


def test_legacy_format_and_other_protocols():
    with pytest.raises(pickle.UnpicklingError, match=r"before PyTorch 1\.6"):
        through(torch.ones(1), _use_new_zipfile_serialization=False)
    with pytest.raises(pickle.UnpicklingError, match="pickle_protocol=2"):
        through(torch.ones(1), pickle_protocol=4)


@pytest.mark.parametrize("map_location", ["cuda", "cuda:0", torch.device("cuda")], ids=str)
def test_other_devices_are_refused_as_in_pytorch(map_location):
    file = io.BytesIO()
    torch.save(torch.ones(1), file)
    with pytest.raises(RuntimeError):
        torch.load(io.BytesIO(file.getvalue()), map_location=map_location)
    with pytest.raises(RuntimeError, match="CPU"):
        rg.load(io.BytesIO(file.getvalue()), map_location=map_location)


def bad_files():
    file = io.BytesIO()
    torch.save({"a": torch.ones(3)}, file)
    whole = file.getvalue()
    yield b""
    yield from (whole[:n] for n in (1, 3, 4, 30, len(whole) // 2, len(whole) - 1))
    yield b"garbage that is no checkpoint"


@pytest.mark.parametrize("content", list(bad_files()), ids=len)
def test_bad_files_raise_the_same_class(content):
    with pytest.raises(Exception) as theirs:  # noqa: PT011 - compared below
        torch.load(io.BytesIO(content))
    with pytest.raises(theirs.type):
        rg.load(io.BytesIO(content))


def test_arguments_raise_the_same_class(tmp_path):
    file = io.BytesIO()
    torch.save(torch.ones(1), file)
    content = file.getvalue()
    for load in (torch.load, rg.load):
        with pytest.raises(ValueError, match="mmap"):
            load(io.BytesIO(content), mmap=True)
        with pytest.raises(RuntimeError, match="pickle_module"):
            load(io.BytesIO(content), pickle_module=pickle, weights_only=True)
        with pytest.raises(FileNotFoundError):
            load(tmp_path / "absent.pt")
        with pytest.raises(IsADirectoryError):
            load(tmp_path)
    for save, x in ((torch.save, torch.ones(1)), (rg.save, rg.ones(1))):
        with pytest.raises(RuntimeError, match="Parent directory"):
            save(x, tmp_path / "absent" / "x.pt")


def test_safetensors_reads_what_we_save(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    rg.save({"a.weight": rg.ones(2, 3), "a.bias": rg.zeros(2)}, tmp_path / "m.safetensors")
    loaded = safetensors.load_file(tmp_path / "m.safetensors")
    assert {name: x.shape for name, x in loaded.items()} == {"a.weight": (2, 3), "a.bias": (2,)}
