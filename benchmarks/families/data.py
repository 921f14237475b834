"""``data``: batches out of a ``DataLoader`` over what is in memory; per batch."""

from __future__ import annotations

from typing import Any

from ..workload import FLOAT, Task, workload

IMAGES, PIXELS, BATCH = 6400, 784, 64


def _task(torch: Any, dataset: Any, images: int = IMAGES, **options: Any) -> Task:
    """Walk through all batches; the result is what the first pixels and labels add up to."""
    loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, **options)

    def walk() -> Any:
        last = None
        for pixels, labels in loader:
            last = pixels, labels
        return [last[0][:, :8], last[1]] if last else None

    batches = images // BATCH
    return Task(walk, count=batches, bytes=2.0 * images * PIXELS * FLOAT)


def _tensors(torch: Any) -> tuple[Any, Any]:
    return torch.rand(IMAGES, PIXELS), torch.randint(10, (IMAGES,))


# Compiling has nothing to do here.
EAGER = ("retrograd", "pytorch")


@workload("data", "tensors in order", engines=EAGER)
def in_order(torch: Any) -> Task:
    """A ``TensorDataset``, one batch after the other."""
    return _task(torch, torch.utils.data.TensorDataset(*_tensors(torch)))


@workload("data", "tensors shuffled", engines=EAGER)
def shuffled(torch: Any) -> Task:
    """A ``TensorDataset``, shuffled anew at each walk."""
    # Seeded before each walk, so that the engines can be compared at any of them.
    task = _task(torch, torch.utils.data.TensorDataset(*_tensors(torch)), shuffle=True)
    walk = task.forward

    def seeded() -> Any:
        torch.manual_seed(1)
        return walk()

    task.forward = seeded
    return task


@workload("data", "own dataset", engines=EAGER)
def own(torch: Any) -> Task:
    """A dataset that returns a row at a time, as most people write theirs."""
    images, labels = _tensors(torch)

    class Rows(torch.utils.data.Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return IMAGES

        def __getitem__(self, i: int) -> Any:
            return images[i], labels[i]

    return _task(torch, Rows())
