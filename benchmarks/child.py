"""One engine in a process of its own, which does what it is told: ``python -m benchmarks.child``.

Requests and answers are lines of JSON.  What libraries print goes to standard error, so that it
never stands between the answers.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import statistics
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .workload import Task, Workload, load

MODULES = {"retrograd": "retrograd", "pytorch": "torch", "torch.compile": "torch", "jax": "jax"}
STEPS = 3  # whose losses are compared
LONGEST = 1 << 18  # elements of an array that are compared, evenly spread; and the sum of all
SHORTEST = 2e-4  # seconds; shorter steps are timed several at a time

Arrays = dict[str, Any]


# ---------------------------------------------------------------- results


def tensors(value: Any) -> Iterator[Any]:
    """The tensors and numbers in what a workload returned."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)
    elif value is not None:
        yield value


def numbers(tensor: Any) -> Any:
    """A copy of a tensor as a flat array, thinned out if it is long, and the mean of all."""
    import numpy as np

    if hasattr(tensor, "detach"):
        # The copy's memory becomes known to NumPy; the tensor's own does not.
        tensor = tensor.detach().clone().numpy()
    flat = np.asarray(tensor).astype(np.float64).ravel()
    stride = -(-flat.size // LONGEST) or 1
    return np.append(flat[::stride], flat.mean() if flat.size else 0.0)


def save(path: str, arrays: Mapping[str, Any]) -> None:
    """Write arrays for the parent, or for a twin."""
    import numpy as np

    with open(path, "wb") as file:
        np.savez(file, **arrays)


# ---------------------------------------------------------------- engines in PyTorch's style


class Eager:
    """retrograd or PyTorch; with ``compiled``, PyTorch by way of ``torch.compile``."""

    def __init__(self, module: str, compiled: bool, threads: int):
        self.torch = importlib.import_module(module)
        if module == "retrograd":
            for part in ("nn", "optim", "utils.data"):
                importlib.import_module(f"retrograd.{part}")
        self.torch.set_num_threads(threads)
        self.version = str(self.torch.__version__)
        self.compiled = compiled
        self.task: Task | None = None
        self.step: Callable[[], Any] = lambda: None

    def wrap(self, function: Callable[[], Any]) -> Callable[[], Any]:
        """The function, compiled where this engine does that."""
        return self.torch.compile(function) if self.compiled else function

    def prepare(self, workload: Workload, results: str, state: str | None) -> dict[str, Any]:
        """Build a workload, write its results, and its start as ``state`` for a twin."""
        self.clear()
        task, forward = self.build(workload)
        if state:
            start = {f"parameter:{n}": t.detach().clone().numpy() for n, t in task.leaves.items()}
            start |= {f"input:{n}": t.detach().clone().numpy() for n, t in task.inputs.items()}
            save(state, {**start, "random": task.certain is not None})
        save(results, self.results(task, forward))
        return {"flops": task.flops, "bytes": task.bytes, "count": task.count}

    def clear(self) -> None:
        """Let go of the last workload."""
        self.task, self.step = None, lambda: None
        gc.collect()
        if self.compiled:
            self.torch.compiler.reset()

    def build(self, workload: Workload) -> tuple[Task, Callable[[], Any]]:
        """The task, ready to be stepped, and its forward part."""
        torch = self.torch
        torch.manual_seed(0)
        task = workload.make(torch)
        forward = self.wrap(task.forward)
        self.task = task
        self.step = self.stepper(task, forward)
        return task, forward

    def stepper(self, task: Task, forward: Callable[[], Any]) -> Callable[[], Any]:
        """What is timed."""
        leaves, gradient, torch = list(task.leaves.values()), task.gradient, self.torch
        if not leaves:

            def step() -> Any:
                with torch.no_grad():
                    return forward()

        elif task.optimizer is None:

            def step() -> Any:
                for leaf in leaves:
                    leaf.grad = None
                out = forward()
                out.backward(gradient)
                return out

        else:
            clear, update = task.optimizer.zero_grad, self.wrap(task.optimizer.step)

            def step() -> Any:
                clear()
                out = forward()
                out.backward()
                update()
                return out

        return step

    def results(self, task: Task, forward: Callable[[], Any]) -> Arrays:
        """What is compared: what forward gives, the gradients, and the losses of a few steps."""
        found: Arrays = {}
        if task.leaves:
            out = (self.wrap(task.certain) if task.certain else forward)()
            out.backward(task.gradient)
            for name, leaf in task.leaves.items():
                if leaf.grad is not None:
                    found[f"gradient of {name}"] = numbers(leaf.grad)
        else:
            out = self.step()
        for i, tensor in enumerate(tensors(out)):
            found[f"result {i}"] = numbers(tensor)
        for number in range(1, STEPS + 1):
            out = self.step()
            if task.optimizer is not None and task.certain is None:
                found[f"loss of step {number}"] = numbers(out)
        return found

    def measure(self, seconds: float) -> dict[str, Any]:
        """The median time of a step over about so many seconds."""
        assert self.task is not None
        return sampled(self.step, seconds, self.task.count)

    def tape(self) -> int:
        """Bytes that a loss keeps alive for backward, beside parameters and inputs."""
        assert self.task is not None
        task = self.task
        known = [*task.leaves.values(), *task.inputs.values()]
        if self.torch.__name__ == "retrograd":
            return tape_bytes(task.forward(), known)
        storages: dict[int, int] = {}

        def note(tensor: Any) -> Any:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with self.torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
            out = task.forward()
        del out
        for tensor in known:
            storages.pop(tensor.untyped_storage().data_ptr(), None)
        return sum(storages.values())

    def peaks(self) -> dict[str, Any]:
        """The fastest matrix product and, by size, the fastest copies this engine can do."""
        torch = self.torch
        best = 0.0
        for side in (512, 1024, 2048):
            a, b = torch.rand(side, side), torch.rand(side, side)
            seconds = fastest(lambda a=a, b=b: a @ b, 0.3)
            best = max(best, 2.0 * side**3 / seconds)
        copies = {}
        for power in range(12, 27, 2):
            x = torch.rand(2**power // 4)
            y = torch.rand(2**power // 4)
            seconds = min(fastest(lambda x=x, y=y: y.copy_(x), 0.04),
                          fastest(lambda x=x: x.mul_(1.0), 0.04))  # fmt: skip
            copies[2**power] = 2.0 * 2**power / seconds  # read, and written
        return {"flops": best, "copies": copies}


def tape_bytes(out: Any, known: list[Any]) -> int:
    """Bytes of the arrays that retrograd's tape holds below a tensor, each counted once."""
    import numpy as np

    def owner(array: Any) -> Any:
        while isinstance(array.base, np.ndarray):
            array = array.base
        return array

    def arrays(value: Any) -> Iterator[Any]:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, (list, tuple)):
            for item in value:
                yield from arrays(item)

    owners: dict[int, int] = {}
    seen, waiting = set(), [out.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        waiting.extend(node.inputs)
        for array in arrays(node.kept):
            base = owner(array)
            owners[id(base)] = base.nbytes
    for tensor in known:
        owners.pop(id(owner(tensor.array)), None)
    return sum(owners.values())


# ---------------------------------------------------------------- JAX


class Jax:
    """JAX: a twin's loss, its gradient and the update, compiled as one function."""

    def __init__(self) -> None:
        self.jax = importlib.import_module("jax")
        self.jax.config.update("jax_platforms", "cpu")
        self.version = str(self.jax.__version__)
        self.state: tuple[Any, ...] = ()
        self.inputs: Arrays = {}
        self.jitted: Any = None

    def prepare(self, workload: Workload, results: str, state: str | None) -> dict[str, Any]:
        """Compile a twin, starting from the state that another engine wrote."""
        if state is None:
            return {"missing": "no other engine could give it the weights to start from"}
        (value, _), gradients = self.begin(workload, state)
        found = {f"gradient of {name}": numbers(g) for name, g in gradients.items()}
        found["result 0"] = numbers(value)
        for number in range(1, STEPS + 1):
            value = self.step()
            if "key" not in self.inputs:
                found[f"loss of step {number}"] = numbers(value)
        save(results, found)
        return {"flops": 0.0, "bytes": 0.0, "count": 1}

    def begin(self, workload: Workload, state: str, derived: bool = True) -> Any:
        """Take over a state, and what its loss and gradients are, without random numbers."""
        import numpy as np

        jax, twin = self.jax, workload.twin
        assert twin is not None
        assert workload.rule is not None
        self.state = ()
        with np.load(state) as file:
            start = {n: file[n] for n in file.files}
        p = {n.partition(":")[2]: jax.numpy.asarray(a)
             for n, a in start.items() if n.startswith("parameter:")}  # fmt: skip
        self.inputs = {n.partition(":")[2]: jax.numpy.asarray(a)
                       for n, a in start.items() if n.startswith("input:")}  # fmt: skip

        def loss(p: Arrays, kept: Arrays, inputs: Arrays) -> Any:
            out = twin(jax, {**kept, **p}, inputs)
            return out if isinstance(out, tuple) else (out, {})

        derive = jax.value_and_grad(loss, has_aux=True)
        first = jax.jit(derive)(p, {}, self.inputs) if derived else None
        if start["random"]:
            self.inputs["key"] = jax.random.PRNGKey(0)
        self.jitted = jax.jit(updating(jax, derive, *workload.rule), donate_argnums=0)
        # Copies, because a step is given its state to keep.
        zeros = [{name: jax.numpy.zeros_like(a) for name, a in p.items()} for _ in range(2)]
        self.state = ({n: a.copy() for n, a in p.items()}, {}, *zeros, jax.numpy.zeros(()))
        return first

    def step(self) -> Any:
        """One step, waited for."""
        value, self.state = self.jitted(self.state, self.inputs)
        return value.block_until_ready()

    def measure(self, seconds: float) -> dict[str, Any]:
        """The median time of a step over about so many seconds."""
        return sampled(self.step, seconds, 1)

    def build(self, workload: Workload) -> None:
        """JAX needs a start; see `prepare`."""
        raise NotImplementedError


def updating(jax: Any, derive: Any, rule: str, rate: float) -> Callable[..., Any]:
    """The whole step as a pure function of its state and inputs."""
    tree = jax.tree_util.tree_map

    def step(state: Any, inputs: Arrays) -> Any:
        p, kept, m, v, t = state
        if "key" in inputs:
            inputs = {**inputs, "key": jax.random.fold_in(inputs["key"], t.astype(int))}
        (value, kept), g = derive(p, kept, inputs)
        t = t + 1
        if rule == "sgd":
            m = tree(lambda m, g: 0.9 * m + g, m, g)
            p = tree(lambda p, m: p - rate * m, p, m)
        else:
            m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
            c1, c2 = 1 - 0.9**t, 1 - 0.999**t
            p = tree(lambda p, m, v: p - rate * (m / c1) / (jax.numpy.sqrt(v / c2) + 1e-8), p, m, v)
        return value, (p, kept, m, v, t)

    return step


# ---------------------------------------------------------------- timing


def sampled(step: Callable[[], Any], seconds: float, count: int) -> dict[str, Any]:
    """The median time of a step, per operation; short steps are taken several at a time.

    The first tenth is not timed: caches fill, and the threads of the engine that ran before, which
    wait for more work for a while, fall asleep.
    """
    now = time.perf_counter
    begun = now()
    step()
    once = max(now() - begun, 1e-9)
    while now() - begun < seconds / 10:
        before = now()
        step()
        once = now() - before
    several = max(1, round(SHORTEST / once))
    times = []
    while True:
        before = now()
        for _ in itertools.repeat(None, several):
            step()
        after = now()
        times.append((after - before) / several)
        if after - begun > seconds:
            return {"seconds": statistics.median(times) / count, "samples": len(times)}


def fastest(step: Callable[[], Any], seconds: float) -> float:
    """The shortest time of a step."""
    step()
    end = time.perf_counter() + seconds
    best = float("inf")
    while True:
        before = time.perf_counter()
        step()
        after = time.perf_counter()
        best = min(best, after - before)
        if after > end:
            return best


# ---------------------------------------------------------------- memory


def resident(peak: bool = False) -> int:
    """Bytes of this process in memory, now or at most since `forget_peak`."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status does not say {wanted}")


def forget_peak() -> None:
    """Let the peak begin anew from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def memory(engine: Any, workload: Workload) -> dict[str, Any]:
    """Peak memory of a workload in this fresh process, and what its tape holds."""
    try:
        before = resident()
        forget_peak()
    except OSError as error:
        return {"missing": f"this system does not say how much memory a process has: {error}"}
    engine.build(workload)
    for _ in range(5):
        engine.step()
    answer = {"process": resident(peak=True), "step": max(0, resident(peak=True) - before)}
    if engine.task.leaves and not engine.compiled:
        answer["tape"] = engine.tape()
    return answer


# ---------------------------------------------------------------- the process


def answer(engine: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """Do one thing that the parent asks for."""
    if request["do"] == "peaks":
        return engine.peaks()
    if request["do"] == "measure":
        return engine.measure(request["seconds"])
    load([request["key"].partition("/")[0], *request.get("families", [])])
    from .workload import register

    workload = register[request["key"]]
    try:
        if request["do"] == "memory":
            return memory(engine, workload)
        return engine.prepare(workload, request["results"], request["state"])
    except (AttributeError, NotImplementedError) as error:
        if unwritten(error):
            return {"missing": f"not there: {error}"}
        raise


def unwritten(error: BaseException) -> bool:
    """Whether an error says that an engine lacks something, rather than that it is broken.

    It lacks what a workload itself asks for in vain, and what it says is not implemented.
    """
    last = traceback.extract_tb(error.__traceback__)[-1]
    return isinstance(error, NotImplementedError) or Path(last.filename).parent.name == "families"


def bind(threads: int) -> None:
    """Stay on as many processors as there are threads: what JAX uses cannot be told otherwise."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def serve(name: str, threads: int) -> None:
    """Answer requests until there are no more."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(what: Mapping[str, Any]) -> None:
        channel.write(json.dumps(what) + "\n")
        channel.flush()

    warnings.simplefilter("ignore")
    bind(threads)
    try:
        engine: Any
        compiled = name == "torch.compile"
        engine = Jax() if name == "jax" else Eager(MODULES[name], compiled, threads)
    except Exception as error:
        say({"error": f"{type(error).__name__}: {error}"})
        return
    say({"version": engine.version})
    for line in sys.stdin:
        try:
            say(answer(engine, json.loads(line)))
        except Exception as error:
            traceback.print_exc()
            text = str(error).strip().splitlines() or [""]
            say({"error": f"{type(error).__name__}: {text[0]}"})


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
