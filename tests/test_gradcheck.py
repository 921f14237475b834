"""Derivatives against finite differences: what passes, and what each kind of mistake is called."""

import itertools

import pytest
import retrograd as rg
from retrograd.autograd import Function, gradcheck, gradgradcheck
from retrograd.autograd.gradcheck import GradcheckError

both_modes = pytest.mark.parametrize("fast", [False, True], ids=["slow", "fast"])


def x64(*size):
    return (rg.rand(size, dtype=rg.float64) + 0.5).requires_grad_()


def wrong(derivative, times=1.0):
    """``x²`` with a derivative of one's own."""

    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * times

        @staticmethod
        def backward(ctx, g):
            return derivative(g, *ctx.saved_tensors)

    return Wrong.apply


@both_modes
@pytest.mark.parametrize(
    ("func", "sizes"),
    [
        (rg.sin, [(2, 3)]),
        (lambda a, b: a @ b, [(2, 3), (3, 2)]),
        (lambda a, b: (a * b, a.sum()), [(2, 3), (3,)]),
        (lambda a: [a.exp(), a.log()], [()]),
        (lambda a: (a * 2, 7, a.detach()), [(2,)]),
        (lambda a: a, [(2,)]),
        (lambda a: a.sum(), [(0, 3)]),
    ],
)
def test_right_derivatives(func, sizes, fast):
    inputs = [x64(*size) for size in sizes]
    assert gradcheck(func, inputs, fast_mode=fast) is True
    assert gradgradcheck(func, inputs, fast_mode=fast) is True


def test_one_input_needs_no_tuple():
    assert gradcheck(rg.tanh, x64(2))


@both_modes
def test_message_of_a_wrong_derivative(fast):
    x = rg.tensor([[1.0, 2.0]], dtype=rg.float64, requires_grad=True)

    def func(n, y, x):
        return y * 2, wrong(lambda g, x: g * 3 * x)(x)

    with pytest.raises(GradcheckError) as caught:
        gradcheck(func, (3, x64(1), x), fast_mode=fast)
    message = str(caught.value)
    assert message.startswith("Jacobian mismatch for output 1 with respect to input 1,\nnumerical:")
    assert "tensor([[2.0000, 0.0000],\n        [0.0000, 4.0000]], dtype=torch.float64)" in message
    assert "analytical:tensor([[3., 0.],\n        [0., 6.]], dtype=torch.float64)" in message
    assert "d output[0, 1] / d input[0, 1]: numerical 4, analytical 6." in message


@both_modes
@pytest.mark.parametrize(
    ("derivative", "message"),
    [
        (lambda g, x: None, "Jacobian mismatch"),
        (lambda g, x: g * float("nan"), "Jacobian mismatch"),
        (lambda g, x: 2 * x * g.abs(), None),
        (lambda g, x: 2 * x + 0 * g, "Jacobian mismatch|not multiplied by grad_output"),
    ],
)
def test_mistakes(derivative, message, fast):
    func = wrong(derivative)
    if message is None:  # only a negative gradient would show it
        assert gradcheck(func, x64(1), fast_mode=fast)
        return
    with pytest.raises(GradcheckError, match=message):
        gradcheck(func, x64(2), fast_mode=fast)
    assert gradcheck(func, x64(2), fast_mode=fast, raise_exception=False) is False


def test_zero_gradient_must_give_zero():
    scalar = x64(1)
    with pytest.raises(GradcheckError, match="not multiplied by grad_output"):
        gradcheck(wrong(lambda g, x: 2 * x), scalar)


def test_wrong_second_derivative():
    func = wrong(lambda g, x: 2 * x.detach() * g)
    assert gradcheck(func, x64(2))
    with pytest.raises(GradcheckError):
        gradgradcheck(func, x64(2))


def test_backward_must_give_the_same_twice():
    noise = itertools.count()
    func = wrong(lambda g, x: g * (2 * x + 1e-7 * next(noise)))
    with pytest.raises(GradcheckError, match="not reentrant"):
        gradcheck(func, x64(2))
    assert gradcheck(func, x64(2), nondet_tol=1e-3)


def test_each_output_is_differentiated_alone():
    class Both(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, g, h):
            return g + 2 * h

    with pytest.raises(TypeError, match="NoneType"):
        gradcheck(Both.apply, x64(2))


@both_modes
def test_cut_tape(fast):
    with pytest.raises(GradcheckError, match="expected to be zero"):
        gradcheck(lambda x: x.detach() * 2, x64(2), fast_mode=fast)
    assert gradcheck(lambda x: x.detach() * 0, x64(2), fast_mode=fast)


def test_inputs():
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(rg.sin, rg.ones(2))
    with pytest.raises(RuntimeError, match="The 0th input has a dimension with stride 0"):
        gradcheck(rg.sin, x64(1).expand(3))
    with pytest.warns(UserWarning, match="Input #0 requires gradient and is not a double"):
        assert gradcheck(rg.sin, rg.ones(2, requires_grad=True), eps=1e-2, atol=1e-2)


def test_input_is_left_as_it_was():
    x = x64(3)
    before, version = x.tolist(), x._version
    gradcheck(rg.sin, x)
    with pytest.raises(ZeroDivisionError):
        gradcheck(lambda x: x * 2 if x.tolist() == before else 1 // 0, x)
    assert x.tolist() == before
    assert x._version == version
    assert x.grad is None


def test_parameters_may_be_reached_otherwise():
    w, x = x64(2, 2), x64(2)
    assert gradcheck(lambda w_: (w @ x).tanh(), w)


def test_fast_mode_says_when_only_it_fails():
    x = rg.tensor([100.0], dtype=rg.float64, requires_grad=True)
    func = wrong(lambda g, x: g * (2 * x + 1e-4))
    assert gradcheck(func, x)
    assert gradcheck(func, x, fast_mode=True)


def test_shape_must_not_depend_on_values():
    with pytest.raises(GradcheckError, match="same shape"):
        gradcheck(lambda x: x[x > 1], rg.ones(2, dtype=rg.float64, requires_grad=True))


@pytest.mark.parametrize("option", ["check_forward_ad", "check_batched_grad"])
def test_what_is_not_here(option):
    with pytest.raises(NotImplementedError, match="forward mode"):
        gradcheck(rg.sin, x64(2), **{option: True})


def test_second_order_with_given_gradients():
    x, g = x64(2), x64(2)
    assert gradgradcheck(rg.sin, x, g)
    assert gradgradcheck(rg.sin, x, gen_non_contig_grad_outputs=True)


def test_type_of_the_gradient():
    x = rg.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="not a double precision"):
        assert gradcheck(rg.sin, x, eps=1e-2, atol=1e-2, check_grad_dtypes=True)


def test_global_random_state_is_left_alone():
    before = rg.get_rng_state()
    x = rg.ones(2, dtype=rg.float64, requires_grad=True)
    gradgradcheck(rg.sin, x, fast_mode=True)
    assert rg.equal(rg.get_rng_state(), before)
