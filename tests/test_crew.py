"""The threads that share a kernel's work: who does which part, and that each is done once."""

import ctypes
import threading

import numpy as np
import pytest
import retrograd as rg
import retrograd.nn.functional as F
from retrograd.autograd import kernels
from retrograd.autograd.crew import Crew
from retrograd.autograd.machine import ENTRY

pytestmark = pytest.mark.skipif(kernels.crew() is None, reason="no machine code here")

PATIENCE = 60  # seconds, on a machine where everything else is busy


def new():
    """A crew of its own, beside the one that kernels share."""
    run, serve = kernels.crew()._run, kernels.crew()._serve
    return Crew(*(ctypes.cast(f, ctypes.c_void_p).value for f in (run, serve)))


def run(part, total, grain, count, crew=None):
    """The status of a crew, or a new one, that calls ``part(start, stop, member)``."""
    entry = ENTRY(lambda _, start, stop, member: part(start, stop, member) or 0)
    address = ctypes.cast(entry, ctypes.c_void_p).value
    return (crew or new()).run(address, b"", total, grain, count)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize(("total", "grain"), [(1, 1), (2, 5), (10, 3), (64, 1), (65, 16), (7, 7)])
def test_every_part_is_done_once_and_is_the_same_for_any_number_of_threads(total, grain, count):
    parts = []
    assert run(lambda *part: parts.append(part), total, grain, count) == 0
    expected = [(i, min(i + grain, total)) for i in range(0, total, grain)]
    assert sorted((start, stop) for start, stop, _ in parts) == expected
    assert {member for *_, member in parts} <= set(range(count))


def test_every_member_begins_in_a_section_of_its_own():
    together = threading.Barrier(3)
    first = {}

    def part(start, stop, member):
        if member not in first:
            first[member] = start
            together.wait(PATIENCE)

    run(part, 30, 2, 3)
    assert first == {0: 0, 1: 10, 2: 20}


def test_who_is_through_helps_the_others():
    done, rest = [], threading.Event()

    def part(start, stop, member):
        if start == 0:
            assert rest.wait(PATIENCE)
        else:
            done.append((start, member))
            if len(done) == 7:
                rest.set()

    run(part, 8, 1, 2)
    assert sorted(done) == [(i, 1) for i in range(1, 8)]
    assert [start for start, _ in done] == [4, 5, 6, 7, 1, 2, 3]  # its own section comes first


def test_members_beyond_the_count_stay_away():
    crew, together, seen = new(), threading.Barrier(4), set()

    def all_come(start, stop, member):
        together.wait(PATIENCE)

    def note(start, stop, member):
        seen.add(member)
        threading.Event().wait(0.002)

    run(all_come, 4, 1, 4, crew)
    run(note, 40, 1, 2, crew)
    assert seen <= {0, 1}


def test_a_status_is_told_and_forgotten():
    assert run(lambda start, stop, member: 3 * (start == 5), 8, 1, 2) == 3
    crew = kernels.crew()
    assert run(lambda *_: 4, 8, 1, 2, crew) == 4
    assert run(lambda *_: 0, 8, 1, 2, crew) == 0


def test_who_finds_the_crew_busy_works_alone():
    crew, inner = kernels.crew(), []

    def alone(start, stop, member):
        inner.append((start, stop, member, threading.get_ident()))

    def part(start, stop, member):
        if start == 0:
            run(alone, 3, 2, 2, crew)
            inner.append(threading.get_ident())

    run(part, 2, 1, 2, crew)
    who = inner.pop()
    assert inner == [(0, 2, 0, who), (2, 3, 0, who)]


def test_scratch_memory_of_a_thread_is_nobody_elses():
    threads = rg.get_num_threads()
    rg.manual_seed(0)
    shapes = [((9, 2, 30, 31), (5, 2, 3, 3), 2), ((6, 20, 30, 30), (24, 20, 3, 3), 1)]
    try:
        for x, w, stride in shapes:  # by the loops of `direct`, and of `winograd`
            x, w = rg.randn(*x), rg.randn(*w)
            made = []
            for n in (1, 2, 3, 5, 2, 1):
                rg.set_num_threads(n)
                made.append(F.conv2d(x, w, stride=stride).numpy())
            for other in made[1:]:
                np.testing.assert_allclose(other, made[0], rtol=1e-5, atol=1e-4)
    finally:
        rg.set_num_threads(threads)
