"""Every op against PyTorch's own database of ops, samples and errors."""

from __future__ import annotations

import pytest
import retrograd as rg

from .corpus import entries, failures, label, odd_failures, short, torch, unrefused

ENTRIES = entries()

REQUIRED = set(
    """
    add sub mul div floor_divide remainder pow neg abs sign __radd__ __rsub__ __rmul__ __rdiv__
    __rmod__ __rpow__ __rmatmul__ eq ne lt le gt ge exp log log1p sqrt rsqrt sin cos tan tanh
    sigmoid nn.functional.relu nn.functional.gelu nn.functional.silu nn.functional.softplus erf
    maximum minimum clamp where sum mean var std max min amax amin argmax argmin prod logsumexp
    norm all any cumsum softmax log_softmax matmul mm bmm einsum reshape view flatten squeeze
    unsqueeze transpose permute T mT expand broadcast_to split chunk unbind narrow cat stack
    repeat flip tril triu __getitem__ index_put index_select gather scatter masked_fill
    nn.functional.embedding sort topk nn.functional.one_hot zeros ones full eye arange linspace
    zeros_like ones_like full_like empty_like empty new_zeros new_ones new_full new_empty clone
    """.split()  # noqa: SIM905 - a list of words reads better as words
)


def report(wrong: list[str], shown: int = 4) -> None:
    if wrong:
        rest = f"\n… and {len(wrong) - shown} more" if len(wrong) > shown else ""
        text = f"{len(wrong)} samples differ:\n" + "\n".join(wrong[:shown]) + rest
        pytest.fail(text, pytrace=False)


def each(entries, *dtypes):
    """A test for each entry in each of the types that PyTorch's op takes."""
    pairs = [(entry, d) for entry in entries for d in dtypes if d in entry.dtypes]
    ids = [f"{label(entry)}-{short(d)}" for entry, d in pairs]
    return pytest.mark.parametrize(("entry", "dtype"), pairs, ids=ids)


# Integers and truth values have values alone.
@each(ENTRIES, torch.float32, torch.float64, torch.int64, torch.bool)
def test_value_and_gradients(entry, dtype):
    report(failures(entry, dtype))


@each([e for e in ENTRIES if e.reference_inputs_func], torch.float32, torch.int64)
def test_odd_values(entry, dtype):
    report(odd_failures(entry, dtype))


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.error_inputs_func], ids=label)
def test_errors(entry):
    report(unrefused(entry))


@pytest.mark.parametrize(
    ("name", "args"),
    [("max", (0,)), ("min", (1,)), ("median", (0,)), ("kthvalue", (1,)), ("cummax", (0,)),
     ("cummin", (0,)), ("aminmax", ())],
)  # fmt: skip
def test_named_results_print_as_pytorch(name, args):
    data = [[3.0, 1.0], [2.0, 4.0]]
    mine = getattr(rg.tensor(data), name)(*args)
    theirs = getattr(torch.tensor(data), name)(*args)
    assert repr(mine) == repr(theirs)
    assert type(mine).__name__ == type(theirs).__name__
    assert mine[0] is getattr(mine, "min" if name == "aminmax" else "values")


def test_every_required_op_is_covered():
    assert REQUIRED - {entry.name for entry in ENTRIES} == set()
