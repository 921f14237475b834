"""Worker processes: what runs inside one, and the crew of them as its parent sees it.

Each worker has two pipes of its own, one that brings it tasks and one that takes its batches
away.  Nothing is shared, so a worker that dies in the middle of a batch can neither corrupt nor
block another's, and a closed pipe is how each side learns that the other is gone.

Workers are started with `forkserver`, or `spawn` where that does not exist, unless the loader
says otherwise.  Plain `fork` copies a process whose compiled
kernels may hold an OpenMP or BLAS thread pool; the copied pool has no threads, and the child
hangs or is killed at its first parallel kernel.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import queue
import random
import signal
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any, NoReturn, cast

import numpy as np

from ...autograd import threads
from ...autograd.random import manual_seed
from .dataset import IterableDataset
from .fetch import fetcher

__all__ = ["WorkerInfo", "get_worker_info"]

# How long workers may take to finish the batch in hand before they are terminated, in seconds.
GRACE = 5.0

# Not the program's default method: Python fixes that to `fork` at the first use of any other, so
# it does not tell what the user wants.
START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """Who a worker is: its place among the workers, its seed, and its own copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Return which worker this process is, or None in the main process.

    A stream asks it for its share of the samples; a `worker_init_fn` may change
    `get_worker_info().dataset`, which is this worker's copy.

    >>> from retrograd.utils.data import get_worker_info
    >>> get_worker_info() is None
    True
    """
    return _info


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a worker needs to know for its whole life."""

    dataset: Any
    batched: bool
    collate_fn: Callable[[Any], Any]
    drop_last: bool
    base_seed: int
    init_fn: Callable[[int], None] | None
    num_workers: int


@dataclass(frozen=True, slots=True)
class Task:
    """One batch to make.  A new epoch tells a worker to start its dataset over."""

    epoch: int
    number: int
    indices: Any


class StreamEnd:
    """A worker's answer to a task when its stream has no more samples."""


class Failure:
    """An exception in a worker, as text, to be raised again in its parent."""

    def __init__(self, error: Exception, worker: int) -> None:
        self.kind: type[Exception] = type(error)
        trace = "".join(traceback.format_exception(error))
        self.text = (
            f"Caught {self.kind.__name__} in DataLoader worker process {worker}.\nOriginal {trace}"
        )

    def error(self) -> Exception:
        """Make an exception of the original class, with the worker's traceback as its message."""
        try:
            return self.kind(_Verbatim(self.text) if self.kind is KeyError else self.text)
        except Exception:  # the class wants other arguments than one message
            return RuntimeError(self.text)


class _Verbatim(str):
    """Text that KeyError, which shows the repr of its argument, shows with its line breaks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


# --- inside a worker --------------------------------------------------------------------------


def work(worker: int, job: Job, tasks: Connection, batches: Connection) -> None:
    """Run a worker: make the batches its parent asks for, until told to stop or left alone."""
    global _info
    # Ctrl-C reaches the whole process group; the parent decides what it means for the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threads.limit(1)  # there is a worker for each core
    seed = job.base_seed + worker
    _seed_everything(seed, job.base_seed, worker)
    _info = WorkerInfo(worker, job.num_workers, seed, job.dataset)

    # Sending from a thread lets the next batch be made while this one waits to be read.
    outbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_post, args=(outbox, batches), daemon=True).start()

    failed: Exception | None = None
    try:
        if job.init_fn is not None:
            job.init_fn(worker)
    except Exception as error:
        failed = error
    epoch = -1
    for task in _tasks(tasks):
        try:
            if failed is not None:
                raise failed
            if epoch != task.epoch:
                fetch = fetcher(job.dataset, job.batched, job.collate_fn, job.drop_last)
                epoch = task.epoch
            message = _packed(task, fetch(task.indices))
        except Exception as error:
            if isinstance(error, StopIteration) and isinstance(job.dataset, IterableDataset):
                message = _packed(task, StreamEnd())
            else:
                message = _packed_failure(task, Failure(error, worker))
        outbox.put(message)


def _seed_everything(seed: int, base_seed: int, worker: int) -> None:
    random.seed(seed)
    manual_seed(seed)
    # NumPy's global generator is the same algorithm as the two above: mix the words, or it would
    # produce their numbers.
    words = [worker, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    np.random.seed(np.random.SeedSequence(words).generate_state(4))


def _tasks(tasks: Connection) -> Iterator[Task]:
    """Yield tasks until the parent says stop, closes the pipe, or dies."""
    parent = cast(Any, multiprocessing.parent_process())
    with contextlib.suppress(EOFError, OSError):
        while tasks in wait([tasks, parent.sentinel]):
            task = tasks.recv()
            if task is None:
                return
            yield task


def _post(outbox: queue.SimpleQueue[bytes], batches: Connection) -> None:
    with contextlib.suppress(OSError):  # the parent reads no more
        while True:
            batches.send_bytes(outbox.get())


def _packed(task: Task, answer: Any) -> bytes:
    return pickle.dumps((task.epoch, task.number, answer), protocol=pickle.HIGHEST_PROTOCOL)


def _packed_failure(task: Task, failure: Failure) -> bytes:
    try:
        return _packed(task, failure)
    except Exception:  # a class made inside a function cannot travel
        failure.kind = RuntimeError
        return _packed(task, failure)


# --- in the parent ----------------------------------------------------------------------------


class Crew:
    """The workers of one iterator.  They end with `dismiss`, with the crew, or with the parent."""

    def __init__(self, job: Job, context: BaseContext | None) -> None:
        chosen: Any = context or _default_context()
        self._members: list[_Member] = []
        self.dismiss = weakref.finalize(self, _dismiss, self._members, os.getpid())
        try:
            for worker in range(job.num_workers):
                self._members.append(_hire(chosen, worker, job))
        except BaseException as error:
            self.dismiss()
            if isinstance(error, pickle.PicklingError | AttributeError | TypeError):
                error.add_note(
                    f"DataLoader hands its workers, which are started by "
                    f"{chosen.get_start_method()!r}, the dataset, collate_fn and worker_init_fn "
                    "by pickling. Define them at the top level of a module, not in a function "
                    "and not as a lambda; or pass multiprocessing_context='fork', if nothing "
                    "compiled has run in parallel yet; or use num_workers=0."
                )
            raise

    def send(self, worker: int, task: Task) -> None:
        """Give a task to a worker."""
        try:
            self._members[worker].tasks.send(task)
        except OSError:
            self._mourn(self._members[worker])

    def receive(self, timeout: float | None) -> list[tuple[int, int, Any]]:
        """Wait for answers, as (epoch, task number, answer); none of them after the timeout."""
        if not self.dismiss.alive:
            raise RuntimeError(
                "the workers of this iterator were stopped by an earlier error; iterate over the "
                "DataLoader anew"
            )
        try:
            return self._received(timeout)
        except BaseException:
            # A worker is gone, or Ctrl-C left a message read in part: nothing sound can follow.
            self.dismiss()
            raise

    def _received(self, timeout: float | None) -> list[tuple[int, int, Any]]:
        pipes = {member.batches: member for member in self._members}
        ends = {member.process.sentinel: member for member in self._members}
        ready: list[Any] = wait([*pipes, *ends], timeout)
        answers = []
        for pipe in pipes.keys() & ready:
            try:
                message = pipe.recv_bytes()
            except (EOFError, OSError):
                self._mourn(pipes[pipe])
            answers.append(pickle.loads(message))
        if ready and not answers:
            self._mourn(ends[ready[0]])
        return answers

    def _mourn(self, member: _Member) -> NoReturn:
        member.process.join(GRACE)
        raise RuntimeError(
            f"DataLoader worker (pid(s) {member.process.pid}) exited unexpectedly with code "
            f"{member.process.exitcode}. Its own message, if any, is on the standard error "
            "stream. A code of -9 is most often a lack of memory. A worker that never starts "
            "needs the script's loop under `if __name__ == '__main__':`, and a dataset that is "
            "defined in a module, not in a notebook; or multiprocessing_context='fork'."
        )


@dataclass(frozen=True, slots=True)
class _Member:
    process: Any
    tasks: Connection
    batches: Connection


def _default_context() -> BaseContext:
    context = multiprocessing.get_context(START_METHOD)
    # The server imports this package once, so a worker starts in milliseconds.
    context.set_forkserver_preload(["__main__", __name__])
    return context


def _hire(context: Any, worker: int, job: Job) -> _Member:
    tasks, give = context.Pipe(duplex=False)
    take, batches = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(worker, job, tasks, batches), daemon=True)
    try:
        process.start()
    finally:
        # The worker has copies; while these stayed open, its death would close nothing.
        tasks.close()
        batches.close()
    return _Member(process, give, take)


def _dismiss(members: list[_Member], owner: int) -> None:
    """Ask the workers to stop, and make them if they have not done so within the grace time."""
    if os.getpid() != owner:  # a forked copy of the parent: they are not its workers
        return
    for member in members:
        with contextlib.suppress(OSError):
            if os.name == "posix":
                # A worker that hangs in user code may have left the pipe full.
                os.set_blocking(member.tasks.fileno(), False)
            member.tasks.send(None)
        member.tasks.close()
        member.batches.close()
    deadline = time.monotonic() + GRACE
    for member in members:
        member.process.join(max(0.0, deadline - time.monotonic()))
    for member in members:
        if member.process.is_alive():
            member.process.terminate()
            member.process.join(GRACE)
        if member.process.is_alive():
            member.process.kill()
            member.process.join()
    members.clear()
