"""Thread counts: one number for the matrix library and the kernels."""

from __future__ import annotations

import sys

import pytest
import retrograd as rg
from retrograd.autograd import kernels, threads


@pytest.fixture(autouse=True)
def _restored():
    limit, before = kernels.limit, threads.blas().get()
    yield
    threads.blas.cache_clear()
    threads.blas().set(before)
    kernels.limit = limit


@pytest.fixture(params=["threadpoolctl", "bundled"])
def library(request, monkeypatch):
    """NumPy's matrix library, reached in each of the two ways."""
    if request.param == "threadpoolctl":
        pytest.importorskip("threadpoolctl")
    else:
        monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    threads.blas.cache_clear()
    found = threads.blas()
    if found is None:
        pytest.skip("NumPy has no OpenBLAS of its own here")
    return found


def test_both_are_told(library):
    for n in (1, 2):
        rg.set_num_threads(n)
        assert rg.get_num_threads() == n
        assert kernels.threads() == n
        assert library.get() == n


def test_an_unknown_matrix_library_is_said(monkeypatch):
    monkeypatch.setattr(threads, "blas", lambda: None)
    with pytest.warns(UserWarning, match="pip install threadpoolctl"):
        rg.set_num_threads(1)
    assert rg.get_num_threads() == 1


@pytest.mark.parametrize("n", [0, -1, "2", 2.0, True])
def test_only_positive_integers(n):
    with pytest.raises(RuntimeError, match="set_num_threads expects"):
        rg.set_num_threads(n)


def test_the_environment_sets_the_first_number(monkeypatch):
    monkeypatch.setattr(kernels, "limit", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    kernels.allowed.cache_clear()  # asked once in a process
    assert rg.get_num_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    kernels.allowed.cache_clear()
    assert rg.get_num_threads() >= 1
