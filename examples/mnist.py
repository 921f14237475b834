"""Train a multilayer perceptron on MNIST: the program you would write in PyTorch.

You will see a progress bar with loss, accuracy and images per second, the test accuracy after each
epoch, and a picture of the tape of one training step in ``tape.svg``.  Ctrl-C saves where you are;
the same command goes on from there.

    python examples/mnist.py                 # 10 epochs, about 98 % of the test images right
    python examples/mnist.py --float64 --print-steps        # each step's loss, to compare

Change ``import retrograd as torch`` to ``import torch`` and ``from retrograd`` to ``from torch``:
it is the same program there, down to the weights it starts from, the order of the images and the
units that are dropped.  In float64 every printed loss is the same; in float32 the last bits differ,
as they do between PyTorch with one thread and with two, and training makes them grow.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

import data
import retrograd as torch
from retrograd import nn, optim
from retrograd.utils.data import DataLoader, TensorDataset


class MLP(nn.Module):
    """Three dense layers, with ReLU and dropout between them."""

    def __init__(self, pixels: int, dropout: float):
        super().__init__()
        self.flatten = nn.Flatten()
        self.hidden1 = nn.Linear(pixels, 256)
        self.hidden2 = nn.Linear(256, 128)
        self.output = nn.Linear(128, 10)
        self.dropout = nn.Dropout(dropout)

    def forward(self, images):
        x = self.flatten(images)  # (N, pixels)
        x = self.dropout(torch.relu(self.hidden1(x)))  # (N, 256)
        x = self.dropout(torch.relu(self.hidden2(x)))  # (N, 128)
        return self.output(x)  # (N, 10)


def datasets(quick: bool):
    """Training and test images as tensors, and a line that says where they come from."""
    train_images, train_labels, test_images, test_labels, source = data.mnist()
    if quick:
        train_images, train_labels = train_images[:2000], train_labels[:2000]
        test_images, test_labels = test_images[:500], test_labels[:500]
    mean, deviation = train_images.mean(), train_images.std()

    def dataset(images, labels):
        pixels = torch.tensor((images - mean) / deviation, dtype=torch.get_default_dtype())
        return TensorDataset(pixels, torch.tensor(labels, dtype=torch.int64))

    return dataset(train_images, train_labels), dataset(test_images, test_labels), source


class Progress:
    """One line that is written over and over: a bar, loss, accuracy, images per second."""

    def __init__(self, title: str, steps: int):
        self.title, self.steps = title, steps
        self.start = time.perf_counter()
        self.last = 0.0
        self.images = self.correct = 0
        self.loss = 0.0
        self.live = sys.stderr.isatty()

    def step(self, step: int, loss: float, correct: int, images: int) -> None:
        """Count a batch; redraw at most ten times a second."""
        self.images += images
        self.correct += correct
        self.loss += loss * images
        now = time.perf_counter()
        if self.live and (now - self.last > 0.1 or step == self.steps):
            self.last = now
            done = 24 * step // self.steps
            print(f"\r{self.title} {'█' * done}{'░' * (24 - done)} {self.line()}",
                  end="", file=sys.stderr, flush=True)  # fmt: skip

    def line(self) -> str:
        """The averages so far."""
        seconds = time.perf_counter() - self.start
        n = max(self.images, 1)
        return (f"loss {self.loss / n:.4f}  accuracy {100 * self.correct / n:5.2f} %  "
                f"{self.images / seconds:7,.0f} images/s")  # fmt: skip

    def close(self) -> None:
        """Leave the line for good."""
        if self.live:
            print("\r\033[K", end="", file=sys.stderr)


def accuracy(model: nn.Module, loader: DataLoader) -> float:
    """The percentage of images that the model names right."""
    model.eval()
    correct = total = 0
    with torch.no_grad():
        for images, labels in loader:
            correct += (model(images).argmax(1) == labels).sum().item()
            total += len(labels)
    model.train()
    return 100 * correct / total


class Run:
    """A training run that can be stopped at any step and continued as if it had not been."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        torch.manual_seed(options.seed)
        if options.float64:
            torch.set_default_dtype(torch.float64)
        train, test, source = datasets(options.quick)
        print(source)
        self.train_loader = DataLoader(train, batch_size=options.batch_size, shuffle=True)
        self.test_loader = DataLoader(test, batch_size=1000)
        self.model = MLP(train.tensors[0][0].numel(), options.dropout)
        self.loss_function = nn.CrossEntropyLoss()
        self.optimizer = optim.Adam(self.model.parameters(), lr=options.lr)
        self.epoch = self.step = 0
        self.epoch_start = torch.get_rng_state()
        self.stopping = False
        signal.signal(signal.SIGINT, self.stop)

    def stop(self, *_: object) -> None:
        """Ctrl-C: stop after the step that is under way; a second one stops at once."""
        if self.stopping:
            raise KeyboardInterrupt
        self.stopping = True

    def save(self) -> None:
        """Write everything that the rest of the run depends on."""
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "epoch": self.epoch,
                "step": self.step,
                "epoch_start": self.epoch_start,
                "random": torch.get_rng_state(),
            },
            self.options.checkpoint,
        )

    def resume(self) -> None:
        """Go back to where a checkpoint was written."""
        saved = torch.load(self.options.checkpoint)
        try:
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
        except (KeyError, TypeError, RuntimeError) as error:
            sys.exit(f"{self.options.checkpoint} is no checkpoint of this program: {error}\n"
                     "Delete it, or name another file with --checkpoint.")  # fmt: skip
        self.epoch, self.step = saved["epoch"], saved["step"]
        self.epoch_start = saved["epoch_start"]
        self.random = saved["random"]
        print(f"continuing {self.options.checkpoint} at epoch {self.epoch + 1}, "
              f"step {self.step}")  # fmt: skip

    def train_epoch(self) -> None:
        """One pass over the training images, from the step where the run stands."""
        skip = self.step
        if skip:
            torch.set_rng_state(self.epoch_start)  # the same shuffle again
        else:
            self.epoch_start = torch.get_rng_state()
        progress = Progress(f"epoch {self.epoch + 1:2}", len(self.train_loader))
        for step, (images, labels) in enumerate(self.train_loader, start=1):
            if step <= skip:
                if step == skip:
                    torch.set_rng_state(self.random)
                continue
            self.optimizer.zero_grad()
            scores = self.model(images)
            loss = self.loss_function(scores, labels)
            loss.backward()
            self.optimizer.step()
            self.step = step
            correct = (scores.argmax(1) == labels).sum().item()
            progress.step(step, loss.item(), correct, len(labels))
            if self.options.print_steps:
                print(f"step {step} loss {loss.item():.4f}")
            if self.stopping:
                progress.close()
                return
        progress.close()
        self.epoch, self.step = self.epoch + 1, 0
        test = accuracy(self.model, self.test_loader)
        print(f"epoch {self.epoch:2}  {progress.line()}  test accuracy {test:.2f} %", flush=True)

    def draw_step(self, path: str) -> None:
        """Draw the tape of one training step; drawing does not disturb the random numbers."""
        state = torch.get_rng_state()
        images, labels = next(iter(self.train_loader))
        loss = self.loss_function(self.model(images), labels)
        picture = torch.draw(loss, self.model)
        print(f"the tape of one step: {picture.save(path)}")
        torch.set_rng_state(state)


def main() -> None:
    """Read the options, train, and keep a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", default="mnist.ckpt", help="'' keeps none")
    parser.add_argument("--model", default="mnist.pt", help="where the trained model goes")
    parser.add_argument("--picture", default="tape.svg", help="'' draws none")
    parser.add_argument("--print-steps", action="store_true", help="print each step's loss")
    parser.add_argument("--float64", action="store_true", help="compute in double precision")
    parser.add_argument("--quick", action="store_true", help="2,000 images, 2 epochs")
    options = parser.parse_args()
    if options.quick:
        options.epochs = min(options.epochs, 2)

    try:
        run = Run(options)
    except data.DataError as error:
        sys.exit(str(error))
    if options.checkpoint and os.path.exists(options.checkpoint):
        run.resume()
    if options.picture and hasattr(torch, "draw"):
        run.draw_step(options.picture)
    while run.epoch < options.epochs:
        run.train_epoch()
        if options.checkpoint:
            run.save()
        if run.stopping:
            print(f"stopped at epoch {run.epoch + 1}, step {run.step}"
                  + (f"; {options.checkpoint} keeps it: run the same command to go on"
                     if options.checkpoint else ""))  # fmt: skip
            sys.exit(130)
    torch.save(run.model.state_dict(), options.model)
    print(f"the trained model: {options.model}")
    if options.checkpoint:
        os.remove(options.checkpoint)


if __name__ == "__main__":
    main()
