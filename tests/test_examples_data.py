"""Where the examples' data comes from, and what a damaged file leads to; no network is used."""

import gzip
import hashlib
import importlib.util
import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parent.parent / "examples" / "data.py"

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


@pytest.fixture
def data(monkeypatch, tmp_path):
    """The module, with MNIST made small, an empty cache and mirrors that must not be asked."""
    spec = importlib.util.spec_from_file_location("examples_data", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rng = np.random.default_rng(0)
    module.arrays = {
        name: rng.integers(0, 10, (n, 2, 2) if "images" in name else (n,), dtype=np.uint8)
        for name, n in zip(module.MNIST, (5, 5, 3, 3), strict=True)
    }
    monkeypatch.setattr(
        module,
        "MNIST",
        {
            name: (a.shape, hashlib.md5(idx(a), usedforsecurity=False).hexdigest())
            for name, a in module.arrays.items()
        },
    )
    module.asked = []

    def urlopen(url, timeout):
        module.asked.append(url)
        raise OSError("no network")

    monkeypatch.setattr(module.urllib.request, "urlopen", urlopen)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("RETROGRAD_DATA", raising=False)
    monkeypatch.delenv("RETROGRAD_OFFLINE", raising=False)
    return module


def idx(array):
    start = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim])
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return start + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_mnist(data, folder):
    folder.mkdir(parents=True)
    for name, array in data.arrays.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))


def serve(data, monkeypatch, content_of):
    """Mirrors that answer with what ``content_of`` gives for a file's name."""

    class Answer(io.BytesIO):
        headers = {}  # noqa: RUF012 - as in http.client

    def urlopen(url, timeout):
        data.asked.append(url)
        return Answer(content_of(url))

    monkeypatch.setattr(data.urllib.request, "urlopen", urlopen)


def assert_mnist(data, found):
    for array, expected in zip(found[:4], data.arrays.values(), strict=True):
        np.testing.assert_array_equal(array, expected)


# ---------------------------------------------------------------- IDX files


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kind", CODES)
def test_read_idx(data, tmp_path, kind, zipped):
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    path = tmp_path / "a.idx"
    path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    found = data.read_idx(path)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


GOOD = idx(np.arange(6, dtype=np.uint8).reshape(2, 3))

BAD = {
    "empty": (b"", "nothing"),
    "magic": (b"\x01" + GOOD[1:], "01 00 08 02"),
    "type": (b"\0\0\x07" + GOOD[3:], "00 00 07 02"),
    "header cut": (GOOD[:7], "header of 2 dimensions"),
    "data cut": (GOOD[:-1], "takes 6 bytes of data, it has 5"),
    "data added": (GOOD + b"\0", "takes 6 bytes of data, it has more"),
    "huge claim": (GOOD[:4] + b"\xff" * 8 + GOOD[12:], "it has 6"),
    "text": (b"<html>404</html>", "3c 68 74 6d"),
    "gzip cut": (gzip.compress(GOOD)[:-9], "end-of-stream"),
    "gzip damaged": (gzip.compress(GOOD)[:12] + b"\xff\xff" + gzip.compress(GOOD)[14:], ""),
    "gzip checksum": (gzip.compress(GOOD)[:-8] + b"\0" * 8, "CRC"),
}


@pytest.mark.parametrize(("content", "said"), BAD.values(), ids=BAD)
def test_damaged_idx(data, tmp_path, content, said):
    path = tmp_path / "a.idx"
    path.write_bytes(content)
    with pytest.raises(data.DataError, match=f"a.idx is no sound IDX file: .*{said}.*again"):
        data.read_idx(path)


def test_absent_idx(data, tmp_path):
    with pytest.raises(FileNotFoundError):
        data.read_idx(tmp_path / "absent")


# ---------------------------------------------------------------- mnist


def test_mnist_from_the_given_folder(data, tmp_path, monkeypatch):
    write_mnist(data, tmp_path / "given" / "mnist")
    monkeypatch.setenv("RETROGRAD_DATA", str(tmp_path / "given"))
    found = data.mnist()
    assert_mnist(data, found)
    assert str(tmp_path / "given") in found.source
    assert data.asked == []


def test_mnist_from_the_cache(data):
    write_mnist(data, data.cache() / "mnist")
    assert_mnist(data, data.mnist())
    assert data.asked == []


def test_mnist_from_a_mirror_is_kept(data, monkeypatch):
    def content_of(url):
        if url.startswith(data.MIRRORS[0]):
            return b"a captive portal"
        return gzip.compress(idx(data.arrays[url.rpartition("/")[2].removesuffix(".gz")]))

    serve(data, monkeypatch, content_of)
    assert_mnist(data, data.mnist())
    assert len(data.asked) == 8
    assert_mnist(data, data.mnist())
    assert len(data.asked) == 8
    assert sorted(p.name for p in (data.cache() / "mnist").iterdir()) == sorted(
        f"{name}.gz" for name in data.MNIST
    )


def test_a_wrong_download_is_not_kept(data, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    serve(data, monkeypatch, lambda url: gzip.compress(idx(np.zeros((5, 2, 2), np.uint8))))
    assert "could not be downloaded" in data.mnist().source
    assert "md5" in capsys.readouterr().err
    assert list((data.cache() / "mnist").iterdir()) == []


def test_a_download_that_takes_too_long_is_given_up(data, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(data, "DOWNLOAD_SECONDS", -1)
    serve(data, monkeypatch, lambda url: b"slow")
    assert "could not be downloaded" in data.mnist().source
    assert "not done after" in capsys.readouterr().err


@pytest.mark.parametrize("offline", ["0", "1"])
def test_without_network_the_small_digits(data, monkeypatch, offline):
    pytest.importorskip("sklearn")
    monkeypatch.setenv("RETROGRAD_OFFLINE", offline)
    found = data.mnist()
    assert found.train_images.shape == (1437, 8, 8)
    assert found.test_images.shape == (360, 8, 8)
    assert found.train_images.dtype == found.train_labels.dtype == np.uint8
    assert found.train_images.max() == 255
    assert "8×8" in found.source
    assert len(data.asked) == (0 if offline == "1" else 3)


def test_without_anything_the_remedy(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    for load in (data.mnist, data.boston):
        with pytest.raises(data.DataError, match=r'pip install "retrograd\[examples\]"'):
            load()


DAMAGE = {
    "cut": (lambda content: content[:-20], "end-of-stream.*downloaded again"),
    "not gzip": (lambda content: b"<html>", "IDX file.*downloaded again"),
    "another shape": (
        lambda content: gzip.compress(idx(np.zeros((4, 2, 2), np.uint8))),
        r"shape \(4, 2, 2\), expected uint8 of shape \(5, 2, 2\).*downloaded again",
    ),
    "other values": (
        lambda content: gzip.compress(idx(np.zeros((5, 2, 2), np.uint8))),
        "md5.*downloaded again",
    ),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_never_replaced_silently(data, damage, said):
    folder = data.cache() / "mnist"
    write_mnist(data, folder)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(data.DataError, match=f"{path.name}.*{said}"):
        data.mnist()
    assert data.asked == []


def test_a_given_folder_must_be_whole(data, tmp_path, monkeypatch):
    write_mnist(data, tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setenv("RETROGRAD_DATA", str(tmp_path))
    with pytest.raises(data.DataError, match=r"has no t10k-labels-idx1-ubyte\.gz"):
        data.mnist()
    monkeypatch.setenv("RETROGRAD_DATA", str(tmp_path / "absent"))
    with pytest.raises(data.DataError, match="no folder"):
        data.text()


# ---------------------------------------------------------------- text and tables


def given(tmp_path, monkeypatch, name, content):
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("RETROGRAD_DATA", str(tmp_path))


def test_text(data, tmp_path, monkeypatch):
    found = data.text()
    assert len(found.text) > 100_000
    assert "Python" in found.source
    given(tmp_path, monkeypatch, "text/tinyshakespeare.txt", b"First Citizen:")
    assert data.text().text == "First Citizen:"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe"])
def test_damaged_text(data, tmp_path, monkeypatch, content):
    given(tmp_path, monkeypatch, "text/tinyshakespeare.txt", content)
    with pytest.raises(data.DataError, match="download it again"):
        data.text()


def test_boston(data, tmp_path, monkeypatch):
    table = b'"crim","chas","medv"\n0.5,"0",24\n1.5,"1",21.6\n'
    given(tmp_path, monkeypatch, "boston/BostonHousing.csv", table)
    found = data.boston()
    assert found.features.tolist() == [[0.5, 0], [1.5, 1]]
    assert found.targets.tolist() == [24, 21.6]
    assert found.names == ["crim", "chas"]


def test_diabetes_in_place_of_boston(data):
    pytest.importorskip("sklearn")
    found = data.boston()
    assert found.features.shape == (442, 10)
    assert "diabetes" in found.source


@pytest.mark.parametrize(
    "content",
    [b"", b"crim,medv\n", b"crim,chas\n1,2\n", b"crim,medv\n1,x\n", b"crim,medv\n1\n2,3\n",
     b"crim,medv\n1\n", b"crim,medv\n1,nan\n", b"\xff\xfe"],
)  # fmt: skip
def test_damaged_table(data, tmp_path, monkeypatch, content):
    given(tmp_path, monkeypatch, "boston/BostonHousing.csv", content)
    with pytest.raises(data.DataError, match=r"BostonHousing\.csv.*download it again"):
        data.boston()


def test_neither_engine_is_imported():
    code = "import sys, data; print([m for m in ('torch', 'retrograd') if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PATH.parent, capture_output=True, text=True, timeout=60
    )
    assert run.stdout == "[]\n", run.stderr
