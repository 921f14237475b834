"""Compiled kernels: right, whatever happens to their cache, their threads or their process."""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import math
import os
import platform
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
import retrograd as rg
from retrograd.autograd import cache, kernels, large, linker, machine, polynomials
from retrograd.autograd.op import registry

from .cases import NUMBERS

SMALL = "import numpy as np; from retrograd.autograd import kernels; x = np.linspace(-3, 3, 5000);"
RUN_ERF = SMALL + "print(round(float(kernels.erf(x).sum()), 6), float(kernels.erf(x)[-1]))"
ANSWER = f"{round(math.fsum(map(math.erf, np.linspace(-3, 3, 5000))), 6)} {math.erf(3)}"


def run(program, cache, *, expect=0, **environment):
    """Run a program in a fresh process; its output and its complaints."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", program],
        env={**os.environ, "RETROGRAD_CACHE": str(cache), **environment},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == expect, done.stderr
    return done.stdout.strip(), done.stderr


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache folder of this test's own."""
    monkeypatch.setenv("RETROGRAD_CACHE", str(tmp_path / "cache"))
    cache.cache_folder.cache_clear()
    yield tmp_path / "cache"
    cache.cache_folder.cache_clear()


def fresh_erf():
    """A kernel that this process has not compiled or loaded."""
    return kernels.Elementwise(("x",), "erf(x)", "float32", "erf")


# ---------------------------------------------------------------- what they compute


@pytest.mark.parametrize("name", ["exp", "expm1", "log1p", "tanh", "erf"])
def test_polynomials_are_right_to_two_units_in_the_last_place(name):
    x = np.linspace(-110, 95, 200_001, dtype=np.float32)
    x = np.concatenate([x, x / 32, x / 2**20])
    with np.errstate(all="ignore"):
        exact = np.array([_exact(name, v) for v in x.tolist()])
        rounded = exact.astype(np.float32)
        got = getattr(polynomials, name)(x)
        units = np.abs(got - exact) / np.spacing(np.abs(rounded))
    assert np.nanmax(np.where(np.isfinite(rounded), units, 0)) < 2
    np.testing.assert_array_equal(got[np.isinf(rounded)], np.inf)


def test_the_polynomial_of_the_normal_distribution_is_right_in_both_tails():
    x = np.linspace(-14, 14, 200_001, dtype=np.float32)
    exact = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.tolist()])
    with np.errstate(all="ignore"):
        got = polynomials.normal_cdf(x)
    units = np.abs(got - exact) / np.spacing(exact.astype(np.float32))
    assert (units < 6 + np.where(x < 0, x * x, 0)).all()  # the C library's ½ (1 + erf): 10⁴ at -5


def _exact(name, v):
    try:
        return vars(NUMBERS)[name](v)
    except OverflowError:
        return math.inf
    except ValueError:  # log1p from -1 down
        return -math.inf if v == -1 else math.nan


@pytest.mark.parametrize("name", ["exp", "expm1", "log1p", "tanh", "erf", "normal_cdf"])
def test_polynomials_at_the_edges(name):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40], np.float32)
    expected = np.array([_exact(name, v) for v in x.tolist()], np.float32)
    with np.errstate(all="ignore"):
        by_arrays = getattr(polynomials, name)(x)
    for got in (by_arrays, kernels.elementwise(registry[name])(x)):
        np.testing.assert_allclose(got, expected, rtol=1e-5)
        known = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(expected[known]))


FORMULAS = [
    (op, name)
    for op in registry.values()
    for name in (None, *op.inputs)
    if op.kind == "elementwise" and large.formula(op, name) is not None
]


def example(op, name, size, dtype):
    """A rule and arguments for it."""
    rule = op.body if name is None else op.rules[name]
    random = np.random.default_rng(0)
    defaults = {s: op.signature.parameters[s].default for s in op.settings}
    settings = {s: v if type(v) in (int, float) else 0.5 for s, v in defaults.items()}
    names = list(inspect.signature(rule).parameters)
    x = random.uniform(*op.domain, (len(names), 500)).astype(dtype)
    x = np.repeat(x, size // 500 + 1, axis=1)
    return rule, [settings.get(p, x[i]) for i, p in enumerate(names)]


@pytest.mark.parametrize(("op", "name"), FORMULAS, ids=[f"{o.name}-{n}" for o, n in FORMULAS])
def test_a_formula_of_large_arrays_agrees_with_numpy(op, name):
    for dtype, tolerance in (("float32", 2e-5), ("float64", 1e-12))[: 1 + (len(op.name) % 4 == 0)]:
        rule, arguments = example(op, name, large.LARGE, dtype)
        with np.errstate(all="ignore"):
            expected = rule(*arguments)
        got = large.formula(op, name)(*arguments)
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance / 20)


LAYOUTS = {
    "transposed": lambda x: x.T,
    "cut": lambda x: x[::2, 1:],
    "expanded": lambda x: np.broadcast_to(x[:1, :1], x.shape),
    "stretched": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "permuted": lambda x: x.reshape(60, 20, -1).transpose(1, 2, 0),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["silu", "mul", "sin"])  # a loop, a function, NumPy by parts
def test_formulas_of_arrays_in_any_layout(name, layout):
    op = registry[name]
    for count in (None, "x" if name != "mul" else "a"):
        _, arguments = example(op, count, 1 << 19, "float32")
        arguments = [a[: 1200 * 400].reshape(1200, 400) for a in arguments]
        for which in range(len(arguments) + 1):  # each argument in turn, then all
            given = [LAYOUTS[layout](a) if which in (i, len(arguments)) else a
                     for i, a in enumerate(arguments)]  # fmt: skip
            if len({a.shape for a in given}) > 1:
                continue
            rule = op.body if count is None else op.rules[count]
            got, expected = large.formula(op, count)(*given), rule(*given)
            np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-6)
            if which == len(arguments) and layout != "stretched":
                assert got.strides == expected.strides


def test_formulas_of_numbers_and_of_arrays_that_broadcast():
    x = np.linspace(-2, 2, 600 * 400, dtype=np.float32).reshape(600, 400)
    row, column, one = x[0], x[:, :1], np.float32(2).reshape(())
    for name in ("mul", "maximum", "logaddexp"):
        op = registry[name]
        for b in (row, column, one, 2.0, 2):
            got = large.formula(op)(x, b)
            np.testing.assert_allclose(got, op.body(x, b), rtol=2e-6, atol=1e-6)
            assert got.dtype == np.float32


def test_what_is_no_array_of_one_float_type_stays_with_numpy():
    mul = large.formula(registry["mul"])
    x = np.ones(large.LARGE, np.float32)
    assert mul(x, x.astype(np.float64)).dtype == np.float64
    assert mul(x.astype(np.int64), 2).dtype == np.int64
    assert mul(x, 1j).dtype == np.complex64


def test_what_has_no_formula_for_large_arrays():
    for op, name in (("add", "a"), ("sum", None), ("eq", None), ("mul", "b")):
        assert (large.formula(registry[op], name) is None) == (op != "mul")
    with pytest.raises(TypeError, match="no elementwise kernel"):
        kernels.elementwise(registry["sum"])


def test_results_are_float32_fresh_and_of_the_input_s_shape():
    x = np.linspace(-2, 2, 20_000, dtype=np.float32).reshape(100, 200)
    for view in (x, x.T, x[::3, ::-2], x[:0]):
        out = kernels.erf(view)
        assert (out.shape, out.dtype) == (view.shape, np.float32)
        assert out.flags.c_contiguous
        assert not np.shares_memory(out, x)
        expected = [math.erf(v) for v in view.ravel().tolist()]
        np.testing.assert_allclose(out.ravel(), expected, rtol=1e-6)


def test_shapes_are_broadcast():
    kernel = kernels.elementwise(registry["leaky_relu"], "x")
    g, x = np.ones((3, 1), np.float32), np.array([-1.0, 1.0], np.float32)
    np.testing.assert_array_equal(kernel(g, x, 0.5), [[0.5, 1.0]] * 3)


def test_erf_of_large_tensors_of_both_types():
    for dtype, tolerance in ((rg.float32, 1e-6), (rg.float64, 1e-14)):
        x = rg.linspace(-4, 4, 10_000, dtype=dtype)
        exact = [math.erf(v) for v in x.tolist()]
        np.testing.assert_allclose(rg.erf(x).numpy(), exact, rtol=tolerance)
    with pytest.raises(TypeError, match="real floating"):
        kernels.erf(np.ones(5, np.complex64))


@pytest.mark.usefixtures("kept")
def test_one_kernel_serves_readonly_and_writable_arrays(folder):
    kernel = fresh_erf()
    x = np.ones(10, np.float32)
    kernel(x)
    x.flags.writeable = False
    kernel(x)
    assert len(files(folder)) == 1


@pytest.mark.usefixtures("kept")
def test_a_kernel_refuses_arrays_it_was_not_made_for():
    loop = fresh_erf().compiled()
    x, out = np.ones(10, np.float32), np.zeros(10, np.float32)
    loop(x, out)
    closed = out.copy()
    closed.flags.writeable = False
    for wrong in (x.astype("f8"), x.reshape(2, 5), np.ones(20, "f4")[::2], x.astype(">f4"), 3.0):
        with pytest.raises(TypeError, match="kernel takes"):
            loop(wrong, out)
    with pytest.raises(TypeError, match="kernel takes"):
        loop(x, closed)


@pytest.mark.usefixtures("kept")
def test_a_kernel_is_loaded_without_the_compiler(folder):
    program = RUN_ERF + "; import sys; print('numba' in sys.modules)"
    assert run(program, folder)[0] == f"{ANSWER}\nTrue"
    assert run(program, folder)[0] == f"{ANSWER}\nFalse"


LINUX = sys.platform == "linux" and platform.machine() == "x86_64"


@pytest.mark.usefixtures("kept")
@pytest.mark.skipif(not LINUX, reason="elsewhere LLVM's linker loads kernels")
def test_a_network_is_trained_without_the_compiler(folder):
    program = """
import sys
import retrograd as rg
from retrograd import nn
rg.manual_seed(0)
model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 900, 64))
loss = model(rg.randn(16, 3, 32, 32)).square().mean()
loss.backward()
print(loss.item(), float(model[0].weight.grad.sum()))
print([name for name in ("numba", "llvmlite") if name in sys.modules])
"""
    first, second = (run(program, folder)[0].split("\n") for _ in range(2))
    assert first[0] == second[0]
    assert first[1] == "['numba', 'llvmlite']"
    assert second[1] == "[]"


@pytest.mark.usefixtures("kept")
def test_a_kernel_that_our_linker_refuses_is_loaded_by_llvm_s(folder):
    program = f"from retrograd.autograd import machine; machine.linked = lambda *_: None; {RUN_ERF}"
    for _ in range(2):
        assert run(program, folder)[0] == ANSWER


def test_our_linker_refuses_what_it_does_not_know():
    add = "define i64 @add(i64 %a, i64 %b) {\n%c = add i64 %a, %b\nret i64 %c\n}"
    code = machine.assemble(add, ["add"]).partition(b"\n")[2]
    assert linker.linked(b"", {}) is None
    assert linker.linked(b"\x7fELF" + bytes(200), {}) is None
    if LINUX:
        where = linker.linked(code, {})["add"]
        assert ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 2)(where)(2, 3) == 5
        call = "declare i64 @labs(i64)\ndefine i64 @f(i64 %a) {\n%b = call i64 @labs(i64 %a)\n"
        code = machine.assemble(call + "ret i64 %b\n}", ["f"]).partition(b"\n")[2]
        assert linker.linked(code, {}) is None
        labs = ctypes.cast(ctypes.CDLL(None).labs, ctypes.c_void_p).value
        where = linker.linked(code, {"labs": labs})["f"]
        assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(where)(-7) == 7
        variable = "@x = global i64 1\ndefine i64 @f() {\n%a = load i64, ptr @x\nret i64 %a\n}"
        code = machine.assemble(variable, ["f"]).partition(b"\n")[2]
        assert linker.linked(code, {}) is None


def shift(x, y, z, scale, count, out):
    """A kernel with arguments of all sorts, for the test below."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = x[i, j] * scale + y[j] + z[i // count]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_arrays_are_cut_into_parts(threads, monkeypatch):
    monkeypatch.setattr(kernels, "limit", threads)
    signature = "void(Array(float64, 2, 'C', readonly=True), Array(float64, 1, 'C', readonly=True),"
    signature += "int64[::1], float32, int64, float64[:, ::1])"
    kernel = kernels.compile(shift, signature)
    random = np.random.default_rng(0)
    for rows in (1, 7, 1000):
        x, y = random.standard_normal((2 * rows, 3)), random.standard_normal(3)
        z, out = np.arange(rows), np.zeros((2 * rows, 3))
        for _ in range(20):
            out[:] = 0
            kernels.launch(kernel, (x, y, z, 0.5, 2, out), rows, 4, (2, 0, 1, 0, 0, 2))
            np.testing.assert_array_equal(out, x * 0.5 + y + np.arange(rows).repeat(2)[:, None])


SHARED = """
import threading
import numpy as np
from retrograd.autograd import kernels
loop = kernels.Elementwise(("x",), "x * x", "float32", "square").compiled()
x, out = np.ones(1 << 16, np.float32), np.empty(1 << 16, np.float32)
for grain in GRAINS:
    kernels.limit = 2
    kernels.launch(loop, [x, out], x.size, grain)
print(sum(t.name == "retrograd kernels" for t in threading.enumerate()))
"""


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(("grains", "helpers"), [("(1 << 16,)", "0"), ("(1 << 16, 1 << 12)", "1")])
def test_work_in_one_part_leaves_the_threads_to_others(grains, helpers, tmp_path):
    assert run(SHARED.replace("GRAINS", grains), tmp_path)[0] == helpers


def fail(out):
    """A kernel that raises."""
    if out[0] == 0:
        raise ValueError("zero")


@pytest.mark.usefixtures("compiler")
def test_an_error_in_a_kernel_is_raised(monkeypatch):
    monkeypatch.setattr(kernels, "limit", 2)
    kernel = kernels.compile(fail, "void(float64[::1])")
    kernels.launch(kernel, [np.ones(100)], 100, 10)
    for _ in range(3):
        with pytest.raises((RuntimeError, ValueError)):
            kernels.launch(kernel, [np.zeros(100)], 100, 10)


# ---------------------------------------------------------------- threads


def test_work_is_shared_and_done_once(monkeypatch):
    monkeypatch.setattr(kernels, "limit", 3)
    done = np.zeros(1000, int)

    def work(start, stop):
        done[start:stop] += 1

    for _ in range(50):
        kernels.share(work, 1000, 7)
    assert (done == 50).all()


def test_an_error_in_a_part_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(kernels, "limit", 2)

    def work(start, stop):
        raise ValueError(f"part {start}")

    with pytest.raises(ValueError, match="part"):
        kernels.share(work, 100, 10)


@pytest.mark.usefixtures("compiler")  # as plain Python the elements take minutes
def test_many_elements_from_four_threads_at_once(monkeypatch):
    monkeypatch.setattr(kernels, "limit", 2)
    x = np.random.default_rng(0).standard_normal(5 * kernels.GRAIN + 17).astype(np.float32)
    expected = np.concatenate([kernels.erf(part) for part in np.array_split(x, 50)])
    results = {}

    def call(i):
        results[i] = [kernels.erf(x) for _ in range(5)]

    callers = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for each in callers:
        each.start()
    for each in callers:
        each.join(60)
    assert len(results) == 4
    for out in (out for some in results.values() for out in some):
        np.testing.assert_array_equal(out, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_computes_too(folder):
    program = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)   # of forking with threads
import numpy as np
from retrograd.autograd import kernels
kernels.limit = 2
x = np.linspace(-3, 3, 4 * kernels.GRAIN, dtype=np.float32)
expected = kernels.erf(x)
child = os.fork()
if not child:
    os._exit(0 if (kernels.erf(x) == expected).all() else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(program, folder)[0] == "0"


@pytest.mark.usefixtures("compiler")
def test_beside_numba_s_workqueue(folder):
    """Other code's parallel kernels abort the process when entered twice; ours may be entered."""
    program = """
import threading
import numpy as np, numba
from retrograd.autograd import kernels
kernels.limit = 2

@numba.njit(parallel=True)
def theirs(x):
    for i in numba.prange(x.size):
        x[i] += 1

theirs(np.zeros(1000))
x = np.linspace(-3, 3, 4 * kernels.GRAIN, dtype=np.float32)
kernels.erf(x)
callers = [threading.Thread(target=lambda: [kernels.erf(x) for _ in range(20)]) for _ in range(4)]
for each in callers: each.start()
for _ in range(100): theirs(np.zeros(1000))
for each in callers: each.join()
print(numba.threading_layer())
"""
    assert run(program, folder, NUMBA_THREADING_LAYER="workqueue")[0] == "workqueue"


# ---------------------------------------------------------------- import, and without a compiler


def test_importing_retrograd_does_not_import_numba():
    program = "import sys, retrograd; print('numba' in sys.modules)"
    assert run(program, "unused")[0] == "False"


def test_without_the_compiler(folder):
    assert run(RUN_ERF, folder, NUMBA_DISABLE_JIT="1")[0] == ANSWER
    program = (
        "import retrograd as rg, numpy as np; from retrograd.autograd import kernels;"
        "x = rg.linspace(-9, 9, kernels.WORTH_COMPILING, requires_grad=True);"
        "rg.nn.functional.gelu(x).sum().backward(); print(round(float(x.grad[-1]), 5))"
    )
    assert run(program, folder, NUMBA_DISABLE_JIT="1")[0] == "1.0"


# ---------------------------------------------------------------- the cache


def files(folder):
    return sorted(folder.iterdir())


@pytest.mark.usefixtures("kept")
def test_the_second_process_loads_what_the_first_compiled(folder):
    assert run(RUN_ERF, folder)[0] == ANSWER
    before = [(f.name, f.stat().st_mtime_ns) for f in files(folder)]
    assert len(before) == 1
    assert re.fullmatch(r"erf_kernel-[0-9a-f]{24}\.kernel", before[0][0])
    assert run(RUN_ERF, folder)[0] == ANSWER
    assert [(f.name, f.stat().st_mtime_ns) for f in files(folder)] == before


STEP = """
import sys
import retrograd as rg
from retrograd import nn
net = nn.Sequential(
    nn.Conv2d(1, 8, 5), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 10),
)
optimizer = rg.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
scores = net(rg.rand(64, 1, 28, 28))
nn.functional.cross_entropy(scores, rg.randint(10, (64,))).backward()
optimizer.step()
print("numba" in sys.modules)
"""


@pytest.mark.usefixtures("kept")
def test_all_of_a_network_is_kept_as_machine_code(folder):
    assert run(STEP, folder)[0] == "True"
    assert {file.suffix for file in files(folder)} == {".kernel"}
    assert run(STEP, folder)[0] == "False"


USES_MEMORY = """
import numpy as np
from retrograd.autograd import kernels

def twice(x):
    return x + x

def turned(x, out):
    copy = x.copy()
    for i in range(x.size):
        out[i] = twice(copy[-1 - i])

def prepare():
    global twice
    twice = kernels.inner(twice)

kernel = kernels.compile(turned, "void(float64[::1], float64[::1])", source="t", prepare=prepare)
out = np.zeros(3)
kernels.launch(kernel, [np.arange(3.0), out], 3, 3)
print(out.tolist(), type(kernel).__name__)
"""


@pytest.mark.usefixtures("kept")
def test_what_needs_more_than_the_c_library_is_numba_s(folder):
    for _ in range(2):
        assert run(USES_MEMORY, folder)[0] == "[4.0, 2.0, 0.0] CPUDispatcher"
        (file,) = files(folder)
        assert re.fullmatch(r"turned-[0-9a-f]{24}\.numba", file.name)


SLOWLY = """
import time
from retrograd.autograd import kernels
pack = kernels._packed
kernels._packed = lambda *given: time.sleep(0.5) or pack(*given)
kernels.silence = 0.2
for formula in ("erf(x)", "erf(x) + 1"):
    kernels.Elementwise(("x",), formula, "float32", "erf").compiled()
"""


@pytest.mark.usefixtures("kept")
def test_compiling_for_long_is_said_once(folder):
    words = f"retrograd: compiling kernels, once; they are kept in {folder}\n"
    assert run(SLOWLY, folder)[1] == words
    assert run(SLOWLY, folder)[1] == ""


def damage_nothing_left(content):
    return b""


def damage_truncated(content):
    return content[: len(content) // 2]


def damage_garbage(content):
    return os.urandom(1000)


def damage_one_bit(content):
    return content[:-1000] + bytes([content[-1000] ^ 1]) + content[-999:]


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    "damage", [damage_nothing_left, damage_truncated, damage_garbage, damage_one_bit]
)
def test_a_damaged_file_is_written_anew(folder, damage):
    x = np.linspace(-1, 1, 100, dtype=np.float32)
    expected = fresh_erf()(x)
    (file,) = files(folder)
    file.write_bytes(damage(file.read_bytes()))
    np.testing.assert_array_equal(fresh_erf()(x), expected)
    (file,) = files(folder)
    mended = file.read_bytes()
    assert mended[:32] == hashlib.sha256(mended[32:]).digest()


@pytest.mark.usefixtures("kept")
def test_nothing_damaged_is_unpickled(folder, monkeypatch):
    fresh_erf()(np.ones(3, np.float32))
    (file,) = files(folder)
    file.write_bytes(file.read_bytes()[:32] + b"cos\nsystem\n(S'false'\ntR.")
    monkeypatch.setattr(cache.pickle, "loads", None)  # would raise if it were called
    assert fresh_erf()(np.zeros(3, np.float32)).tolist() == [0, 0, 0]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_folder_that_others_may_write_to_is_refused(folder):
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.warns(UserWarning, match="can be written by others"):
        assert cache.cache_folder() is None
    assert fresh_erf()(np.zeros(3, np.float32)).tolist() == [0, 0, 0]
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_the_folder_is_for_this_user_alone(folder):
    assert cache.cache_folder() == folder
    assert folder.stat().st_mode & 0o777 == 0o700


def test_where_no_folder_can_be_made(folder):
    folder.parent.joinpath("cache").write_text("a file, no folder")
    assert cache.cache_folder() is None
    assert fresh_erf()(np.zeros(3, np.float32)).tolist() == [0, 0, 0]


def test_where_nothing_can_be_written(folder, monkeypatch):
    cache.cache_folder()

    def full(*args, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr(cache.tempfile, "mkstemp", full)
    assert fresh_erf()(np.zeros(3, np.float32)).tolist() == [0, 0, 0]
    assert files(folder) == []


@pytest.mark.usefixtures("kept")
def test_four_processes_at_once(folder):
    command = [sys.executable, "-c", RUN_ERF]
    environment = {**os.environ, "RETROGRAD_CACHE": str(folder)}
    crowd = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [each.communicate(timeout=120)[0].strip() for each in crowd] == [ANSWER] * 4
    assert len(files(folder)) == 1
