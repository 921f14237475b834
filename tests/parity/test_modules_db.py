"""Every layer against PyTorch's own database of modules, their inputs and their errors.

An entry (`ModuleInfo`) names a class and makes inputs for it: arguments of the constructor and of a
call.  `Twins` builds the layer in both engines from one seed, so that the initial weights can be
compared too, copies PyTorch's weights over, and calls both with the same numbers.
"""

from __future__ import annotations

import copy
import pickle
import re
import warnings
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import retrograd as rg

from .corpus import (
    TOLERANCE,
    MismatchError,
    attempt,
    leaves,
    quiet,
    same,
    short,
    strict,
    to_ours,
    torch,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import ModuleErrorEnum, module_db


# Entries that are not there or not right, and why.  One that works must go from here.
MISSING: dict[str, str] = {}

# Public names of torch.nn that are not there, and why.
ABSENT: dict[str, str] = {
    **dict.fromkeys(MISSING, "see there"),
    "DataParallel": "there is one device",
}

# How much further off a class may be in one type, and why.
LOOSER: dict[tuple[str, str], tuple[float, str]] = {
    ("CTCLoss", "float32"): (1e-4, "exponentials of differences of large logarithms"),
}

# Classes whose second derivative PyTorch has and which are not compared, and why.
FIRST_ORDER_ONLY: dict[str, str] = {}

DTYPES = (torch.float32, torch.float64)
SECOND_ORDER_SAMPLES = 12  # of each entry, spread over its inputs
ROUND_TRIPS = 12
MANY, FEW = 300, 30  # of an entry's inputs in the first type and in the other

TESTS = Path(__file__).parent.parent


def name_of(entry):
    return entry.name.removeprefix("nn.")


def modes(entry):
    return (True, False) if entry.train_and_eval_differ else (True,)


def inputs_of(entry, dtype, training):
    torch.manual_seed(0)
    given = entry.module_inputs_func(
        entry, device="cpu", dtype=dtype, requires_grad=True, training=training
    )
    return [i for i in given if i.forward_input is not None]


def spread(inputs, n):
    """At most `n` of the inputs, evenly from first to last."""
    step = max(1, -(-len(inputs) // n))
    return inputs[::step]


# ---------------------------------------------------------------- from theirs to ours


def ours(x):
    """An argument as this package's: tensors, and what torch has besides."""
    if isinstance(x, torch.nn.TransformerEncoderLayer):
        return _encoder_layer(x)
    if type(x).__name__ == "LinearCrossEntropyOptions":
        values = {field.name: ours(getattr(x, field.name)) for field in fields(x)}
        return rg.nn.LinearCrossEntropyOptions(**values)
    if callable(x) and (getattr(x, "__module__", None) or "torch").startswith("torch"):
        return getattr(rg.nn.functional, x.__name__)
    if isinstance(x, (list, tuple)) and not isinstance(x, torch.Size):
        return type(x)(ours(i) for i in x)
    if isinstance(x, torch.Tensor) and x.dtype in (torch.float16, torch.bfloat16):
        return to_ours(x.float()).to(ours(x.dtype))
    return to_ours(x)


def _encoder_layer(theirs):
    attention = theirs.self_attn
    made = rg.nn.TransformerEncoderLayer(
        attention.embed_dim,
        attention.num_heads,
        theirs.linear1.out_features,
        theirs.dropout.p,
        ours(theirs.activation),
        theirs.norm1.eps,
        attention.batch_first,
        theirs.norm_first,
        theirs.linear1.bias is not None,
        dtype=ours(theirs.linear1.weight.dtype),
    )
    made.load_state_dict(state_of(theirs))
    return made


def state_of(theirs):
    return {key: to_ours(value.detach()) for key, value in theirs.state_dict().items()}


def seed(n=7):
    torch.default_generator.manual_seed(n)  # torch.manual_seed asks every other device too: 4 ms
    rg.manual_seed(n)


def copied(x):
    """Nested arguments whose tensors are leaves of their own."""
    if isinstance(x, torch.Tensor):
        return x.detach().clone().requires_grad_(x.requires_grad)
    if isinstance(x, (list, tuple)) and not isinstance(x, torch.Size):
        return type(x)(copied(i) for i in x)
    return x


class Twins:
    """One input of an entry, in both engines."""

    def __init__(self, entry, given, dtype, training):
        self.entry, self.dtype = entry, dtype
        self.args = tuple(copied(x) for x in given.forward_input.args)
        self.kwargs = {key: copied(x) for key, x in given.forward_input.kwargs.items()}
        self.my_args = tuple(ours(x) for x in self.args)
        self.my_kwargs = {key: ours(x) for key, x in self.kwargs.items()}
        made = given.constructor_input
        seed()
        with quiet():
            self.theirs = entry.module_cls(*made.args, **made.kwargs)
        with strict():
            args, kwargs = ours(made.args), {key: ours(x) for key, x in made.kwargs.items()}
            self.mine = getattr(rg.nn, name_of(entry))(*args, **kwargs)
        allowed = {d: LOOSER[name_of(entry), d][0] for d in TOLERANCE if self._looser(d)}
        self.tolerance = TOLERANCE | allowed
        self.compare_text()
        self.theirs.to(dtype).train(training)
        self.mine.to(ours(dtype)).train(training)
        if entry.is_lazy:
            seed()
            self.call()
            self.compare_text()
        self.compare_state()

    def _looser(self, dtype):
        return (name_of(self.entry), dtype) in LOOSER

    def compare_text(self):
        same("repr", repr(self.mine), repr(self.theirs), {})

    def compare_state(self):
        """Same seed, same keys and same values; then PyTorch's last bits too."""
        theirs, mine = self.theirs.state_dict(), self.mine.state_dict()
        same("keys of the state dict", list(mine), list(theirs), {})
        for key, value in theirs.items():
            same(f"initial {key}", mine[key], value, self.tolerance)
        self.mine.load_state_dict(state_of(self.theirs))

    def call(self):
        """Both outputs, from the same random numbers."""
        seed()
        with quiet():
            theirs = self.theirs(*self.args, **self.kwargs)
        with strict():
            mine = self.mine(*self.my_args, **self.my_kwargs)
        return mine, theirs

    def leaves(self):
        """The tensors that want a gradient: inputs, then parameters by name."""
        theirs = [t for t in leaves([self.args, self.kwargs], torch.Tensor) if t.requires_grad]
        mine = [t for t in leaves([self.my_args, self.my_kwargs], rg.Tensor) if t.requires_grad]
        names = [f"input {i}" for i in range(len(theirs))]
        mine_by_name = dict(self.mine.named_parameters())
        for name, parameter in self.theirs.named_parameters():
            names.append(name)
            theirs.append(parameter)
            mine.append(mine_by_name[name])
        return names, mine, theirs

    def compare(self, second=False):
        """Outputs, then gradients, then with `second` the gradients of those."""
        mine, theirs = self.call()
        same("output", mine, theirs, self.tolerance)
        same("buffers", *(list(m.buffers()) for m in (self.mine, self.theirs)), self.tolerance)
        random = np.random.default_rng(0)
        names, my_leaves, leaves_ = self.leaves()
        my_total, total = summed(mine, theirs, random)
        if total is None:
            if my_total is not None:
                raise MismatchError("output: requires a gradient, which PyTorch's does not")
            return
        first = torch.autograd.grad(total, leaves_, create_graph=second, allow_unused=True)
        with strict():
            my_first = rg.grad(my_total, my_leaves, create_graph=second, allow_unused=True)
        compare_gradients("gradient", names, my_first, first, self.tolerance)
        if not second:
            return
        my_total, total = summed(list(my_first), list(first), random)
        if total is None:
            return
        again, refused = attempt(torch.autograd.grad, total, leaves_, allow_unused=True)
        if refused is not None:
            if "is not implemented" not in str(refused):
                raise refused
            return
        my_again = [None] * len(my_leaves)
        if my_total.requires_grad:  # PyTorch records gradients that depend on nothing, too
            with strict():
                my_again = rg.grad(my_total, my_leaves, allow_unused=True)
        compare_gradients("second gradient", names, my_again, again, self.tolerance)

    def compare_copies(self):
        """A copy has the same text, and gives the same outputs as the module."""
        out = self.call()[0]
        for made in (copy.deepcopy(self.mine), pickle.loads(pickle.dumps(self.mine))):
            same("repr of a copy", repr(made), repr(self.mine), {})
            if list(made.state_dict()) != list(self.mine.state_dict()):
                raise MismatchError("keys of a copy's state dict differ")
            if made.training is not self.mine.training:
                raise MismatchError("a copy is in another mode")
            made.load_state_dict(self.mine.state_dict())  # the call has changed running statistics
            seed()
            with strict():
                again = made(*self.my_args, **self.my_kwargs)
            for a, b in zip(leaves(again, rg.Tensor), leaves(out, rg.Tensor), strict=True):
                np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def summed(mine, theirs, random):
    """A number on both sides that depends on every output that has a gradient; None for none."""
    total, my_total = None, None
    for m, t in zip(leaves(mine, rg.Tensor), leaves(theirs, torch.Tensor), strict=True):
        if not t.requires_grad:
            continue
        weights = random.standard_normal(tuple(t.shape))
        part = (t * torch.tensor(weights, dtype=t.dtype)).sum()
        my_part = (m * rg.tensor(weights, dtype=m.dtype)).sum()
        total = part if total is None else total + part
        my_total = my_part if my_total is None else my_total + my_part
    return my_total, total


def compare_gradients(what, names, mine, theirs, tolerance):
    for name, m, t in zip(names, mine, theirs, strict=True):
        if t is None or m is None:  # one engine's zero may be the other's None
            there = m if t is None else t
            if there is not None and there.detach().abs().max().item() != 0:
                raise MismatchError(f"{what} of {name}: {m}, not {t}")
        else:
            same(f"{what} of {name}", m, t.detach(), tolerance)


def wrong(entry, compare, n=None, dtypes=DTYPES):
    """What differs, by text, over all inputs of an entry, or `n` of them.

    All are tried in the first type unless there are very many, and some in the other.
    """
    found = defaultdict(int)
    total = 0
    for dtype in dtypes:
        for training in modes(entry):
            inputs = inputs_of(entry, dtype, training)
            most = n or (MANY if dtype is dtypes[0] else FEW)
            for given in spread(inputs, most):
                total += 1
                _, error = attempt(
                    lambda g, d, t: compare(Twins(entry, g, d, t)), given, dtype, training
                )
                if error is not None:
                    found[f"{short(dtype)}: {type(error).__name__}: {error}"] += 1
    return found, total


def report(found, total):
    if found:
        lines = [f"{n} of {total}: {text}" for text, n in found.items()]
        pytest.fail("\n".join(lines[:5]), pytrace=False)


def each(entries):
    return pytest.mark.parametrize("entry", entries, ids=name_of)


HERE = [entry for entry in module_db if name_of(entry) not in MISSING]


# ---------------------------------------------------------------- the tests


@each(HERE)
def test_outputs_and_gradients(entry):
    report(*wrong(entry, Twins.compare))


def second(twins):
    twins.compare(second=True)


@each([e for e in HERE if e.supports_gradgrad and name_of(e) not in FIRST_ORDER_ONLY])
def test_second_gradients(entry):
    report(*wrong(entry, second, SECOND_ORDER_SAMPLES, dtypes=(torch.float64,)))


@each(HERE)
def test_copies(entry):
    report(*wrong(entry, Twins.compare_copies, ROUND_TRIPS, dtypes=(torch.float32,)))


def errors_of(entry):
    for training in modes(entry):
        torch.manual_seed(0)
        yield from entry.module_error_inputs_func(
            entry, device="cpu", dtype=torch.float32, requires_grad=True, training=training
        )


@each([e for e in HERE if e.module_error_inputs_func])
def test_errors(entry):
    """PyTorch's class of exception, where it says that there is one."""
    found, total = defaultdict(int), 0
    for bad in errors_of(entry):
        given = bad.module_error_input
        made = given.constructor_input
        args, kwargs = [ours(x) for x in made.args], {k: ours(v) for k, v in made.kwargs.items()}
        total += 1
        cls = getattr(rg.nn, name_of(entry))
        if bad.error_on is ModuleErrorEnum.CONSTRUCTION_ERROR:
            _, error = attempt(cls, *args, **kwargs)
        else:
            call = given.forward_input
            forward_kwargs = {k: ours(v) for k, v in call.kwargs.items()}
            module = cls(*args, **kwargs)
            _, error = attempt(module, *(ours(x) for x in call.args), **forward_kwargs)
        expected = bad.error_type if isinstance(bad.error_type, tuple) else (bad.error_type,)
        if type(error) not in expected:
            found[f"{error!r}, not {bad.error_type.__name__}: {bad.error_regex}"] += 1
    report(found, total)


@pytest.mark.parametrize("name", sorted(MISSING))
def test_the_list_of_what_is_missing_is_exact(name):
    entry = next(e for e in module_db if name_of(e) == name)
    if hasattr(rg.nn, name):
        found, _ = wrong(entry, Twins.compare)
        assert found, f"{name} works: take it out of MISSING"


def test_most_entries_are_whole():
    assert len(module_db) - len(MISSING) >= 105


def public_classes():
    return {n for n, v in vars(torch.nn).items() if isinstance(v, type) and n[0] != "_"}


def test_what_the_database_leaves_out_has_tests_of_its_own():
    left_out = public_classes() - {name_of(entry) for entry in module_db} - set(ABSENT)
    files = [path for path in TESTS.rglob("test_*.py") if path != Path(__file__)]
    text = "".join(path.read_text() for path in files)
    stems = {name: re.sub("^Lazy|[123]d$", "", name) for name in left_out}  # f"MaxUnpool{n}d"
    assert {name for name, stem in stems.items() if stem not in text} == set()


def test_every_public_class_is_here_or_has_a_reason():
    theirs = public_classes()
    absent = {name for name in theirs if not hasattr(rg.nn, name)}
    assert absent == set(ABSENT)
    assert len(theirs) > 160
