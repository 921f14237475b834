"""Train a convolutional network on MNIST: the first example that PyTorch's users meet.

Two convolutions, a pooling layer, dropout and two dense layers, as in the ``mnist`` program of
PyTorch's examples, with its optimizer and its schedule.  You will see the loss and the images per
second of each epoch, and the accuracy on the test images.

    python examples/convnet.py               # about 99 % of the test images after two epochs

Change ``import retrograd as torch`` to ``import torch`` and ``retrograd`` to ``torch`` elsewhere:
it is the same program there, from the same initial weights.
"""

from __future__ import annotations

import argparse
import sys
import time

import data
import retrograd as torch
import retrograd.nn.functional as F
from retrograd import nn, optim
from retrograd.optim.lr_scheduler import StepLR
from retrograd.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    """Two convolutions and two dense layers; ``size`` is the width of an image in pixels."""

    def __init__(self, size: int):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(64 * ((size - 4) // 2) ** 2, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))  # (N, 32, H-2, W-2)
        x = F.relu(self.conv2(x))  # (N, 64, H-4, W-4)
        x = F.max_pool2d(x, 2)
        x = torch.flatten(self.dropout1(x), 1)
        x = self.dropout2(F.relu(self.fc1(x)))  # (N, 128)
        return F.log_softmax(self.fc2(x), dim=1)  # (N, 10)


def datasets(quick: bool):
    """Training and test images as tensors, and a line that says where they come from."""
    train_images, train_labels, test_images, test_labels, source = data.mnist()
    if quick:
        train_images, train_labels = train_images[:1000], train_labels[:1000]
        test_images, test_labels = test_images[:500], test_labels[:500]
    mean, deviation = train_images.mean(), train_images.std()

    def dataset(images, labels):
        pixels = torch.tensor((images - mean) / deviation, dtype=torch.float32)
        return TensorDataset(pixels.unsqueeze(1), torch.tensor(labels, dtype=torch.int64))

    return dataset(train_images, train_labels), dataset(test_images, test_labels), source


def train(model, loader, optimizer):
    """One pass over the training images; the mean loss."""
    model.train()
    total = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.nll_loss(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(loader.dataset)


def accuracy(model, loader):
    """The percentage of images that the model names right."""
    model.eval()
    with torch.no_grad():
        correct = sum((model(x).argmax(1) == labels).sum().item() for x, labels in loader)
    return 100 * correct / len(loader.dataset)


def main() -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1.0)
    parser.add_argument("--gamma", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="convnet.pt", help="where it goes; '' keeps nothing")
    parser.add_argument("--quick", action="store_true", help="1,000 images, 2 epochs")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    try:
        train_set, test_set, source = datasets(options.quick)
    except data.DataError as error:
        sys.exit(str(error))
    print(source)
    train_loader = DataLoader(train_set, batch_size=options.batch_size, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=1000)
    model = Net(train_set.tensors[0].shape[-1])
    optimizer = optim.Adadelta(model.parameters(), lr=options.lr)
    scheduler = StepLR(optimizer, step_size=1, gamma=options.gamma)
    for epoch in range(1, options.epochs + 1):
        start = time.perf_counter()
        loss = train(model, train_loader, optimizer)
        speed = len(train_set) / (time.perf_counter() - start)
        scheduler.step()
        print(f"epoch {epoch:2}  loss {loss:.4f}  {speed:7,.0f} images/s  "
              f"test accuracy {accuracy(model, test_loader):.2f} %", flush=True)  # fmt: skip
    if options.model:
        torch.save(model.state_dict(), options.model)


if __name__ == "__main__":
    main()
