"""Views: which ops make them, and random programs of views and writes against plain NumPy.

NumPy's arrays are views of each other in the same way, so a program is run on arrays as it stands;
its gradient is measured there by differences.
"""

from __future__ import annotations

import numpy as np
import pytest
import retrograd as rg
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.view(6),
        lambda x: x.reshape(3, 2),
        lambda x: x.flatten(),
        lambda x: x.unsqueeze(0),
        lambda x: x.squeeze(),
        lambda x: x.transpose(0, 1),
        lambda x: x.T,
        lambda x: x.mT,
        lambda x: x.permute(1, 0),
        lambda x: x.movedim(0, 1),
        lambda x: x.expand(4, 2, 3)[1],
        lambda x: x[0],
        lambda x: x[0, 0],
        lambda x: x[:, 1:],
        lambda x: x[..., None],
        lambda x: x[rg.tensor(0)],
        lambda x: x.select(0, 0),
        lambda x: x.narrow(1, 0, 2),
        lambda x: x.unbind()[0],
        lambda x: x.split(1)[0],
        lambda x: x.chunk(2, 1)[0],
        lambda x: x.tensor_split(2)[0],
        lambda x: x.diagonal(),
        lambda x: x.unfold(1, 2, 2),
        lambda x: x.as_strided((2,), (3,)),
        lambda x: x.detach(),
        lambda x: x.contiguous(),
        lambda x: x.view_as(rg.ones(3, 2)),
    ],
)
def test_a_view_shares_memory(view):
    x = rg.zeros(2, 3)
    part = view(x)
    part.fill_(7)
    assert (x == 7).sum() == part.numel()
    assert part._version == x._version == 1


@pytest.mark.parametrize(
    "copy",
    [
        lambda x: x.clone(),
        lambda x: x.T.reshape(-1),
        lambda x: x.T.contiguous(),
        lambda x: x[rg.tensor([0, 1])],
        lambda x: x[x == 0],
        lambda x: x.index_select(0, rg.tensor([0])),
        lambda x: x.flip(0),
        lambda x: x.repeat(1, 1),
        lambda x: x.to(rg.float32, copy=True),
        lambda x: x.diag(),
    ],
)
def test_a_copy_does_not(copy):
    x = rg.zeros(2, 3)
    copy(x).fill_(7)
    assert not x.any()


def test_strides_are_the_memorys():
    x = rg.zeros(2, 3, 4)
    assert x.stride() == (12, 4, 1)
    assert x.transpose(0, 2).stride() == (1, 4, 12)
    assert x[:, 1:, ::2].stride() == (12, 4, 2)
    assert x[1, 1:].storage_offset() == 16
    assert x[0, :1].expand(5, 4).stride() == (0, 1)
    assert not x.mT.is_contiguous()
    assert x.mT.contiguous().is_contiguous()


def test_view_refuses_to_copy():
    with pytest.raises(RuntimeError, match="reshape"):
        rg.zeros(2, 3).T.view(6)


def test_as_strided_refuses_a_gradient_it_cannot_give():
    w = rg.ones(4, requires_grad=True)
    w.as_strided((2, 2), (1, 1)).sum().backward()
    assert w.grad.tolist() == [1, 2, 1, 0]
    with pytest.raises(RuntimeError, match="contiguous"):
        w[1:].as_strided((2,), (1,))


# ---------------------------------------------------------------- random programs

# Each works on tensors and on arrays alike.
VIEWS = {
    "slice": lambda x: x[1:],
    "step": lambda x: x[..., ::2],
    "select": lambda x: x[-1:].reshape(x.shape[1:]),  # a view of a vector too
    "axes": lambda x: x.swapaxes(0, -1),
    "new axis": lambda x: x[None],
    "column": lambda x: x[..., :1],
}
WRITES = {
    "scale": lambda x, y: x.__imul__(1.5),
    "add": lambda x, y: x.__iadd__(y.sum() * 0.5),
    "square": lambda x, y: x.__imul__(x + 0.0),
    "fill": lambda x, y: x.__setitem__(..., 0.5),
    "row": lambda x, y: x.__setitem__(0, y.sum()),
    "rest": lambda x, y: x.__setitem__(slice(1, None), x[:1] * 2.0),
    "places": lambda x, y: x.__setitem__([0, len(x) - 1][: len(x)], y.mean()),
    "mask": lambda x, y: x.__setitem__(x > 1.0, y.sum() * 0.25),
}
MAKES = {
    "product": lambda x: (x + 0.0) * (x + 0.0),
    "sum": lambda x: x.sum(0) if x.ndim > 1 else x + 1.0,
}
START = np.random.default_rng(3).uniform(0.2, 0.9, (2, 3))


def loss_of(program, array):
    """The loss of a program that is run on arrays."""
    values = [array * 1.0]
    for name, a, b in program:
        step(values, name, a, b)
    return sum((x * x).sum() for x in values)


def step(values, name, a, b):
    x, y = values[a % len(values)], values[b % len(values)]
    if name in VIEWS:
        values.append(VIEWS[name](x))
    elif name in MAKES:
        values.append(MAKES[name](x))
    else:
        WRITES[name](x, y)


class Programs(RuleBasedStateMachine):
    """The same steps on tensors and on arrays: values agree after each, gradients at the end."""

    @initialize()
    def start(self):
        self.leaf = rg.tensor(START, requires_grad=True)
        self.tensors, self.arrays = [self.leaf * 1.0], [START * 1.0]
        self.program = []

    def do(self, name, a, b=0):
        self.program.append((name, a, b))
        step(self.tensors, name, a, b)
        step(self.arrays, name, a, b)
        for x, array in zip(self.tensors, self.arrays, strict=True):
            np.testing.assert_allclose(x.detach().clone().numpy(), array, rtol=1e-9)

    @precondition(lambda self: len(self.tensors) < 7)
    @rule(name=st.sampled_from([*VIEWS, *MAKES]), a=st.integers(0, 6))
    def look(self, name, a):
        x = self.tensors[a % len(self.tensors)]
        if x.ndim and x.numel():
            self.do(name, a)

    @rule(name=st.sampled_from([*WRITES]), a=st.integers(0, 6), b=st.integers(0, 6))
    def write(self, name, a, b):
        x, y = (self.tensors[i % len(self.tensors)] for i in (a, b))
        if x.ndim and x.numel() and y.numel():
            self.do(name, a, b)

    def teardown(self):
        if not getattr(self, "program", None):
            return
        loss = sum((x * x).sum() for x in self.tensors)
        if not np.isfinite(loss.item()) or loss.item() > 1e4:
            return  # too steep for differences
        (grad,) = rg.autograd.grad(loss, self.leaf)
        measured = np.zeros_like(START)
        for place in np.ndindex(START.shape):
            nudge = np.zeros_like(START)
            nudge[place] = 1e-6
            up, down = (loss_of(self.program, START + s * nudge) for s in (1, -1))
            measured[place] = (up - down) / 2e-6
        np.testing.assert_allclose(grad.tolist(), measured, rtol=1e-3, atol=1e-4 * loss.item())


def test_random_programs():
    run_state_machine_as_test(
        Programs, settings=settings(max_examples=60, stateful_step_count=8, deadline=None)
    )
