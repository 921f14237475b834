"""Anomaly detection: errors in backward that name the forward line."""

import threading

import pytest
import retrograd as rg
from retrograd.autograd import detect_anomaly, set_detect_anomaly
from retrograd.autograd.tape import places


@pytest.fixture(autouse=True)
def off_again():
    yield
    set_detect_anomaly(False)


def leaf(*values):
    return rg.tensor(values, requires_grad=True)


def root_of(x):
    return x.sqrt()  # the guilty line


def test_nan_names_op_and_line():
    x = leaf(-1.0, 4.0)
    with set_detect_anomaly(True):
        y = root_of(x)
        with pytest.raises(RuntimeError) as caught:
            (y * 2).sum().backward()
    message = str(caught.value)
    assert message.startswith("Function 'SqrtBackward0' returned nan values in its 0th output.")
    assert "x.sqrt()  # the guilty line" in message
    assert "retrograd/autograd" not in message
    assert "torch.where" in message
    assert x.grad is None


def test_output_is_counted_among_the_inputs_of_the_op():
    with set_detect_anomaly(True), pytest.raises(RuntimeError, match="its 1th output"):
        (leaf(float("nan")) * leaf(1.0)).backward()


def test_innermost_callers_are_shown():
    def deep(n):
        return root_of(leaf(-1.0)) if n == 0 else deep(n - 1)

    with set_detect_anomaly(True), pytest.raises(RuntimeError) as caught:
        deep(50).backward()
    assert "test_innermost_callers_are_shown\n" not in str(caught.value)
    assert "the guilty line" in str(caught.value)


def test_second_backward():
    x = leaf(0.0)
    with set_detect_anomaly(True):
        (g,) = rg.autograd.grad((x * x.sqrt().detach()).sum(), x, create_graph=True)
        assert g.tolist() == [0]
        with pytest.raises(RuntimeError, match="returned nan"):
            rg.autograd.grad(x.sqrt() * 0, x, create_graph=True)


def test_without_nan_check():
    x = leaf(-1.0)
    with set_detect_anomaly(True, check_nan=False):
        root_of(x).backward()
    assert x.grad.isnan().all()


def test_forward_pass_outside():
    y = root_of(leaf(-1.0))
    with set_detect_anomaly(True), pytest.raises(RuntimeError, match="No forward pass information"):
        y.backward()


def test_other_errors_get_a_note():
    class Fails(rg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise KeyError("mine")

    x = leaf(1.0)
    with set_detect_anomaly(True):
        y = Fails.apply(x)  # the guilty line
        with pytest.raises(KeyError) as caught:
            y.backward()
    (note,) = caught.value.__notes__
    assert note.startswith("FailsBackward was recorded by this forward call:")
    assert "y = Fails.apply(x)  # the guilty line" in note


def test_changed_values_get_a_note():
    x = leaf(1.0)
    with set_detect_anomaly(True):
        y = x * 1
        z = y * y  # the guilty line
        y.add_(1)
        with pytest.raises(RuntimeError, match="inplace operation") as caught:
            z.backward()
    assert "z = y * y  # the guilty line" in caught.value.__notes__[0]


def test_several_outputs():
    class Two(rg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, g, h):
            return g + h * float("nan")

    x = leaf(1.0)
    with set_detect_anomaly(True), pytest.raises(RuntimeError, match="Function 'TwoBackward'"):
        Two.apply(x)[0].backward()


def test_switch():
    assert not rg.is_anomaly_enabled()
    set_detect_anomaly(True, check_nan=False)
    assert rg.is_anomaly_enabled()
    assert not rg.is_anomaly_check_nan_enabled()
    with set_detect_anomaly(False):
        assert not rg.is_anomaly_enabled()
    assert rg.is_anomaly_enabled()
    set_detect_anomaly(False)
    y = leaf(1.0) * 2
    assert y.grad_fn not in places


def test_detect_anomaly_warns():
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        mode = detect_anomaly()
    assert not rg.is_anomaly_enabled()
    with mode:
        assert rg.is_anomaly_enabled()
    assert not rg.is_anomaly_enabled()


def test_grad_modes_inside_and_outside():
    x = leaf(1.0)
    with set_detect_anomaly(True):
        with rg.no_grad():
            assert not (x * 2).requires_grad
            with rg.enable_grad():
                assert (x * 2).grad_fn in places
            with rg.set_grad_enabled(True):
                assert (x * 2).grad_fn in places
        assert (x * 2).grad_fn in places
    with rg.no_grad(), set_detect_anomaly(True):
        assert not (x * 2).requires_grad
    assert (x * 2).grad_fn not in places


def test_mode_belongs_to_a_thread():
    seen = []
    with set_detect_anomaly(True):
        thread = threading.Thread(target=lambda: seen.append(rg.is_anomaly_enabled()))
        thread.start()
        thread.join()
    assert seen == [False]


def test_places_go_with_the_tape():
    before = len(places)
    with set_detect_anomaly(True):
        y = leaf(1.0) * 2
        assert len(places) == before + 1
        del y
    assert len(places) == before
