"""Pickles made by hand, and what the reader of PyTorch's files does with them; no torch needed."""

import io
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import retrograd as rg

DAMAGE = (RuntimeError, pickle.UnpicklingError, EOFError)


def loaded(content, **options):
    return rg.load(io.BytesIO(content), **options)


def ours():
    file = io.BytesIO()
    rg.save({"w": rg.ones(2)}, file)
    return file.getvalue()


def zipped(program, storages=None, **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        archive.writestr("x/data.pkl", program)
        for key, data in (storages or {}).items():
            archive.writestr(f"x/data/{key}", data)
    return file.getvalue()


def text(word):
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def number(n):
    return b"\x8a\x0a" + n.to_bytes(10, "little", signed=True)


def tensor_program(offset=0, shape=(2,), strides=(1,), count=4, key="0"):
    def sizes(numbers):
        return b"(" + b"".join(number(n) for n in numbers) + b"t"

    storage = text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(count)
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((" + storage + b"tQ" + number(offset)
        + sizes(shape) + sizes(strides) + b"\x89ccollections\nOrderedDict\n)RtR."
    )  # fmt: skip


FOUR = {"0": np.arange(4, dtype=np.float32).tobytes()}


def test_pickled_by_hand():
    content = zipped(tensor_program(offset=1, shape=(2, 2), strides=(1, 1)), FOUR)
    assert loaded(content).array.tolist() == [[1, 2], [2, 3]]


def test_an_expanded_tensor_is_not_walked():
    x = loaded(zipped(tensor_program(shape=(2**50,), strides=(0,)), FOUR))
    assert x.shape == (2**50,)


BAD_WINDOWS = {
    "stride wraps in 64 bits": {"shape": (5,), "strides": (2**62,)},
    "beyond": {"shape": (5,)},
    "negative stride": {"strides": (-1,)},
    "negative offset": {"offset": -1},
    "negative size": {"shape": (-1,)},
    "huge empty shape": {"shape": (2**60, 2**60, 0), "strides": (0, 0, 0)},
    "more strides": {"strides": (1, 1)},
    "storage too small": {"count": 5},
    "no storage": {"key": "../0"},
}


@pytest.mark.parametrize("window", BAD_WINDOWS.values(), ids=BAD_WINDOWS)
def test_tensors_stay_inside_their_storage(window):
    with pytest.raises(DAMAGE):
        loaded(zipped(tensor_program(**window), FOUR))


HOSTILE = {
    "os.system": b"cos\nsystem\n" + text("touch hacked") + b"\x85R.",
    "posix.system": b"cposix\nsystem\n" + text("touch hacked") + b"\x85R.",
    "eval": b"c__builtin__\neval\n" + text("open('hacked','w')") + b"\x85R.",
    "getattr": b"c__builtin__\ngetattr\n)R.",
    "builtins.open": b"cbuiltins\nopen\n" + text("hacked") + text("w") + b"\x86R.",
    "torch.load": b"ctorch\nload\n" + text("hacked") + b"\x85R.",
    "instance": b"(ios\nsystem\n" + text("touch hacked") + b"o.",
    "stack global": b"\x8c\x02os\x8c\x06system\x93.",
    "extension": b"\x82\x01.",
    "class by call": b"ctorch\nTensor\n)R.",
    "calls a number": b"K\x01)R.",
    "build on a dict": b"}}b.",
    "build hides a method": b"ccollections\nOrderedDict\n)R}" + text("items") + b"K\x01sb.",
    "huge memo index": b"Nr\xff\xff\xff\xff.",
    "huge text": b"X\xff\xff\xff\xffabc.",
    "huge bytearray": b"c__builtin__\nbytearray\n" + number(2**70) + b"\x85R.",
    "deep key": b"}" + b")" + b"\x85" * 200_000 + b"K\x01s.",
    "rebuilds by no function": b"ctorch._tensor\n_rebuild_from_type_v2\n(NNNNtR.",
    "unhashable key": b"}]K\x01s.",
    "empty stack": b".",
    "no mark": b"t.",
    "no memo": b"h\x05.",
    "no end": b"N",
    "cut": b"J\x00\x00",
    "a name by itself": b"]ccollections\nOrderedDict\na.",
    "an empty program": b"",
}


@pytest.mark.parametrize("program", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pickles(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if program.startswith(b"Nr"):
        assert loaded(zipped(program)) is None
        return
    for weights_only in (None, False):
        with pytest.raises((pickle.UnpicklingError, EOFError)):
            loaded(zipped(program), weights_only=weights_only)
    assert not os.listdir(tmp_path)


def test_refusal_names_the_culprit_and_the_remedy():
    with pytest.raises(pickle.UnpicklingError, match=r"os\.system.*weights_only=False.*state_dict"):
        loaded(zipped(HOSTILE["os.system"]))


def test_hostile_zips(tmp_path):
    good = tensor_program()
    with pytest.raises(RuntimeError, match="compressed"):
        loaded(zipped(good, FOUR, compression=zipfile.ZIP_DEFLATED))
    np.savez(tmp_path / "x.npz", a=np.ones(1))
    with pytest.raises(RuntimeError, match=r"numpy\.load"):
        rg.load(tmp_path / "x.npz")
    whole = zipped(good, FOUR)
    at = whole.index(FOUR["0"])
    with pytest.raises(RuntimeError, match="checksum"):
        loaded(whole[:at] + b"\xff" + whole[at + 1 :])
    for n in range(4, len(whole), 7):
        with pytest.raises(RuntimeError):
            loaded(whole[:n])


CODES = b"\x80(}])N\x89KJ\x8aGXt\x85qhaesucRbQ."


def test_random_programs_only_raise_what_is_promised():
    rng = random.Random(0)
    program = tensor_program()
    for _ in range(500):
        mutant = bytearray(program)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(mutant))
            mutant[at : at + rng.randint(0, 3)] = rng.choices(
                b"\x80(}])N\x89KJ\x8aGXt\x85qhaesucRbQ.", k=2
            )
        try:
            loaded(zipped(bytes(mutant), FOUR))
        except DAMAGE:
            continue


AUDITED = """
import io, sys
import retrograd as rg

content = sys.stdin.buffer.read()
rg.load(io.BytesIO(content[4:]))  # everything that is imported late is imported now
seen = []
sys.addaudithook(lambda event, args: seen.append(event))
rg.load(io.BytesIO(content[4:]))
suspect = {"import", "exec", "compile", "os", "subprocess", "pickle", "open"}
print([event for event in seen if event.split(".")[0] in suspect])
"""


@pytest.mark.parametrize("content", [ours(), zipped(tensor_program(), FOUR)], ids=["ours", "zip"])
def test_loading_runs_and_imports_nothing(content):
    run = subprocess.run(
        [sys.executable, "-c", AUDITED], input=b"    " + content, capture_output=True, timeout=60
    )
    assert run.stdout == b"[]\n", run.stderr.decode()
