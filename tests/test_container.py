"""Sequential, ModuleList, ModuleDict, ParameterList and ParameterDict."""

from __future__ import annotations

import copy
from collections import OrderedDict

import pytest
import retrograd as rg
from retrograd import nn


class Add(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.n = n

    def forward(self, x):
        return x + self.n

    def extra_repr(self):
        return str(self.n)


def row(kind, *numbers):
    modules = [Add(n) for n in numbers]
    return kind(*modules) if kind is nn.Sequential else kind(modules)


def numbers(modules):
    return [m.n for m in modules]


both = pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])


# ---------------------------------------------------------------- rows


@both
def test_read_by_index_and_slice(kind):
    m = row(kind, 1, 2, 3)
    assert (m[0].n, m[-1].n, len(m)) == (1, 3, 3)
    assert type(m[1:]) is kind
    assert numbers(m[1:]) == [2, 3]
    assert numbers(m[::-2]) == [3, 1]
    for index in (3, -4):
        with pytest.raises(IndexError, match="out of range"):
            m[index]
    with pytest.raises(TypeError):
        m["0"]


@both
def test_write_and_delete_renumber(kind):
    m = row(kind, 1, 2, 3, 4)
    m[-1] = Add(40)
    del m[0]
    assert numbers(m) == [2, 3, 40]
    assert list(m._modules) == ["0", "1", "2"]
    del m[:2]
    assert numbers(m) == [40]
    assert m.pop(0).n == 40
    assert len(m) == 0


@both
def test_grow(kind):
    m = row(kind, 1)
    assert m.append(Add(2)) is m
    m.extend([Add(3)]).insert(0, Add(0))
    m.insert(-1, Add(25))
    assert numbers(m) == [0, 1, 2, 25, 3]
    m += row(kind, 4)
    assert numbers(m + row(kind, 5)) == [0, 1, 2, 25, 3, 4, 5]
    m.extend(m)
    assert len(m) == 12
    with pytest.raises(IndexError):
        m.insert(13, Add(1))
    with pytest.raises(TypeError, match="Module subclass"):
        m.append(3)


def test_sequential_calls_in_turn():
    assert row(nn.Sequential, 1, 2, 3)(rg.zeros(1)).item() == 6


def test_sequential_keeps_given_names():
    m = nn.Sequential(OrderedDict(one=Add(1), two=Add(2), three=Add(3)))
    assert m.two.n == m[1].n == 2
    assert list(m[1:]._modules) == ["two", "three"]
    m[0] = Add(10)
    assert m.one.n == 10


def test_sequential_times():
    m = row(nn.Sequential, 1, 2)
    assert numbers(m * 2) == numbers(2 * m) == [1, 2, 1, 2]
    m *= 3
    assert numbers(m) == [1, 2] * 3
    assert m[0] is m[2]
    with pytest.raises(ValueError, match="Non-positive"):
        m * 0
    with pytest.raises(TypeError):
        m * 1.5
    with pytest.raises(ValueError, match="Sequential"):
        m + row(nn.ModuleList, 1)


def test_list_text_folds_repetition():
    m = row(nn.ModuleList, 1, 1, 2)
    assert repr(m) == "ModuleList(\n  (0-1): 2 x Add(1)\n  (2): Add(2)\n)"
    assert repr(nn.ModuleList()) == "ModuleList()"
    with pytest.raises(TypeError, match="iterable"):
        m.extend(3)


# ---------------------------------------------------------------- ModuleDict


def test_module_dict():
    m = nn.ModuleDict({"b": Add(1), "a": Add(2)})
    m["c"] = Add(3)
    m.update([("d", Add(4)), ("b", Add(10))])
    assert list(m) == list(m.keys()) == ["b", "a", "c", "d"]
    assert numbers(m.values()) == [10, 2, 3, 4]
    assert [key for key, _ in m.items()] == list(m)
    assert "a" in m
    assert m.pop("a").n == 2
    del m["b"]
    assert len(m) == 2
    m.clear()
    assert not list(m.children())


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (3, TypeError),
        ([3], TypeError),
        ([("a", 1, 2)], ValueError),
        ({"a": 3}, TypeError),
        ({"keys": Add(1)}, KeyError),
    ],
)
def test_module_dict_refuses(given, error):
    with pytest.raises(error):
        nn.ModuleDict(given)


def test_module_dict_missing_key():
    with pytest.raises(KeyError):
        nn.ModuleDict()["a"]


# ---------------------------------------------------------------- parameters


def test_parameter_list():
    m = nn.ParameterList([rg.ones(1), nn.Parameter(rg.ones(2))])
    m.append(rg.ones(3)).extend([rg.ones(4), "note"])
    m += [rg.ones(5)]
    assert [name for name, _ in m.named_parameters()] == ["0", "1", "2", "3", "5"]
    assert [p.shape[0] for p in m[1:4]] == [2, 3, 4]
    assert m[-2] == "note"
    m[0] = rg.ones(7)
    assert isinstance(m[0], nn.Parameter)
    assert len(list(m)) == len(m) == 6
    with pytest.raises(IndexError):
        m[6]
    with pytest.raises(TypeError, match="iterable"):
        m.extend(rg.ones(2))
    with pytest.raises(RuntimeError, match="should not be called"):
        m(1)


def test_parameter_dict():
    m = nn.ParameterDict({"b": rg.ones(1), "a": rg.ones(2)})
    assert list(m) == ["a", "b"]
    m["note"] = "text"
    assert [name for name, _ in m.named_parameters()] == ["a", "b"]
    assert m.get("nothing", 5) == 5
    assert m.setdefault("c", rg.ones(3)) is m["c"]
    assert list(reversed(m)) == ["c", "note", "b", "a"]
    assert m.popitem()[0] == "c"
    assert list((m | OrderedDict(z=rg.ones(1), y=rg.ones(1))).keys()) == [
        "a",
        "b",
        "note",
        "z",
        "y",
    ]
    m |= {"d": rg.ones(1)}
    assert m.copy()["d"] is m["d"]
    assert list(m.fromkeys(["x", "y"], 0).items()) == [("x", 0), ("y", 0)]
    del m["a"]
    assert not hasattr(m, "a")
    m.clear()
    assert len(m) == 0
    with pytest.raises(KeyError):
        m.popitem()
    with pytest.raises(TypeError, match="not a string"):
        m[3]
    with pytest.raises(RuntimeError, match="should not be called"):
        m(1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: row(nn.Sequential, 1, 2),
        lambda: nn.ParameterList([rg.ones(1), "note"]),
        lambda: nn.ParameterDict({"a": rg.ones(2)}),
        lambda: nn.ModuleDict({"a": nn.ParameterList([rg.ones(1)])}),
    ],
)
def test_copies(make):
    m = make()
    other = copy.deepcopy(m)
    assert repr(other) == repr(m)
    assert list(other.state_dict()) == list(m.state_dict())
    assert not {id(p) for p in m.parameters()} & {id(p) for p in other.parameters()}
