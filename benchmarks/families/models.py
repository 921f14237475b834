"""``models``: a whole training step of networks that people know, optimizer included."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from .. import twins
from ..workload import FLOAT, Task, numel, product, workload

# What the optimizers are, here and in the twins.  Steps are small, so that thousands of them on
# the same batch end nowhere extreme.
RULES = {"sgd": ("sgd", 1e-3), "adam": ("adam", 1e-4)}
# Arrays read or written once per parameter by a step: its gradient is written and read, the
# parameter read and written, and so is each array of the optimizer's state.
ARRAYS = {"sgd": 6, "adam": 8}


def training(
    torch: Any,
    model: Any,
    inputs: dict[str, Any],
    loss: Callable[[], Any],
    rule: str,
    flops: float,
    certain: Callable[[], Any] | None = None,
) -> Task:
    """A step: loss, gradients of all parameters, update.  ``flops`` are those of going forward."""
    rate = RULES[rule][1]
    if rule == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    parameters = dict(model.named_parameters())
    traffic = FLOAT * (ARRAYS[rule] * numel(parameters.values()) + numel(inputs.values()))
    # Backward is two products for each of forward's.
    return Task(loss, parameters, inputs, optimizer=optimizer, certain=certain,
                flops=3 * flops, bytes=float(traffic))  # fmt: skip


def classifying(torch: Any, model: Any, x: Any, classes: int, rule: str, flops: float) -> Task:
    """Training with cross entropy on labels drawn at random."""
    y = torch.randint(classes, (x.shape[0],))
    cross_entropy = torch.nn.functional.cross_entropy
    return training(torch, model, {"x": x, "y": y}, lambda: cross_entropy(model(x), y), rule, flops)


# ---------------------------------------------------------------- dense


def mlp(torch: Any, batch: int, rule: str) -> Task:
    """784-256-128-10 with ReLU, the network of the MNIST example."""
    nn = torch.nn
    widths = (784, 256, 128, 10)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(),
                          nn.Linear(128, 10))  # fmt: skip
    flops = sum(product(batch, a, b) for a, b in pairwise(widths))
    return classifying(torch, model, torch.rand(batch, 784), 10, rule, flops)


QUICK_MLPS = ((32, "sgd"), (1024, "adam"))

for _rule in ("sgd", "adam"):
    for _batch in (32, 128, 1024):

        def _mlp(torch: Any, batch: int = _batch, rule: str = _rule) -> Task:
            return mlp(torch, batch, rule)

        workload("models", f"mlp-{_batch}-{_rule}", twin=twins.mlp, rule=RULES[_rule],
                 quick=(_batch, _rule) in QUICK_MLPS,
                 memory=_rule == "adam")(_mlp)  # fmt: skip


@workload("models", "tanh-2-16-16-1", twin=twins.tanh_network, rule=RULES["sgd"], memory=True)
def tanh_network(torch: Any) -> Task:
    """A 2-16-16-1 tanh network at batch 64: all overhead."""
    nn = torch.nn
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(),
                          nn.Linear(16, 1))  # fmt: skip
    x, y = torch.rand(64, 2), torch.rand(64, 1)
    flops = product(64, 2, 16) + product(64, 16, 16) + product(64, 16, 1)
    return training(torch, model, {"x": x, "y": y},
                    lambda: nn.functional.mse_loss(model(x), y), "sgd", flops)  # fmt: skip


@workload(
    "models", "autoencoder", twin=twins.autoencoder, rule=RULES["adam"], memory=True, quick=False
)
def autoencoder(torch: Any) -> Task:
    """784-128-32-128-784 at batch 128, Adam."""
    nn = torch.nn
    model = nn.Sequential(
        nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 32),
        nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 784), nn.Sigmoid(),
    )  # fmt: skip
    x = torch.rand(128, 784)
    flops = 2 * (product(128, 784, 128) + product(128, 128, 32))
    return training(
        torch, model, {"x": x}, lambda: nn.functional.mse_loss(model(x), x), "adam", flops
    )


# ---------------------------------------------------------------- convolutional


# In float32 rounding decides on which side of a kink a few of a million activations lie, and each
# changes a gradient by a whole term.  In float64, where none does, a test holds these to 1e-10.
KINKS = 5e-3


def convolved(side: int, channels: int, filters: int, kernel: int) -> float:
    """Operations of a convolution for one image; ``side`` is the output's."""
    return product(side * side, channels * kernel * kernel, filters)


@workload("models", "lenet", twin=twins.lenet, rule=RULES["sgd"], memory=True)
def lenet(torch: Any) -> Task:
    """LeNet-5 at batch 64, SGD with momentum."""
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip
    flops = 64 * (convolved(28, 1, 6, 5) + convolved(10, 6, 16, 5)) + product(64, 400, 120)
    flops += product(64, 120, 84) + product(64, 84, 10)
    return classifying(torch, model, torch.rand(64, 1, 28, 28), 10, "sgd", flops)


@workload("models", "mnist-net", twin=twins.mnist_net, rule=RULES["adam"], memory=True, quick=False,
          tolerance=KINKS)  # fmt: skip
def mnist_net(torch: Any) -> Task:
    """The two-convolution net of PyTorch's MNIST example at batch 64; compared without dropout."""
    nn = torch.nn
    features = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(),
                             nn.MaxPool2d(2))  # fmt: skip
    first, second = nn.Linear(9216, 128), nn.Linear(128, 10)
    model = nn.ModuleList([features, first, second])
    dropout1, dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
    x, y = torch.rand(64, 1, 28, 28), torch.randint(10, (64,))

    def scores(drop1: Callable[[Any], Any], drop2: Callable[[Any], Any]) -> Any:
        hidden = torch.relu(first(torch.flatten(drop1(features(x)), 1)))
        return nn.functional.nll_loss(nn.functional.log_softmax(second(drop2(hidden)), 1), y)

    def same(t: Any) -> Any:
        return t

    flops = 64 * (convolved(26, 1, 32, 3) + convolved(24, 32, 64, 3))
    flops += product(64, 9216, 128) + product(64, 128, 10)
    return training(torch, model, {"x": x, "y": y}, lambda: scores(dropout1, dropout2), "adam",
                    flops, certain=lambda: scores(same, same))  # fmt: skip


@workload(
    "models",
    "resnet8",
    twin=twins.resnet8,
    rule=RULES["sgd"],
    memory=True,
    tolerance=4 * KINKS,
    quick=False,
)
def resnet8(torch: Any) -> Task:
    """ResNet-8 on 32x32 images at batch 32: three residual blocks of 16, 32 and 64 channels."""
    nn = torch.nn

    def normed(channels: int, filters: int, kernel: int, stride: int) -> Any:
        return nn.Sequential(
            nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(filters),
        )

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, channels: int, filters: int, stride: int):
            super().__init__()
            self.conv1 = normed(channels, filters, 3, stride)
            self.conv2 = normed(filters, filters, 3, 1)
            straight = stride == 1 and channels == filters
            self.shortcut = nn.Identity() if straight else normed(channels, filters, 1, stride)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.conv2(torch.relu(self.conv1(x))) + self.shortcut(x))

    model = nn.Sequential(
        normed(3, 16, 3, 1), nn.ReLU(), Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    flops = convolved(32, 3, 16, 3) + 2 * convolved(32, 16, 16, 3)
    flops += convolved(16, 16, 32, 3) + convolved(16, 32, 32, 3) + convolved(16, 16, 32, 1)
    flops += convolved(8, 32, 64, 3) + convolved(8, 64, 64, 3) + convolved(8, 32, 64, 1)
    return classifying(torch, model, torch.rand(32, 3, 32, 32), 10, "sgd", 32 * flops)


# ---------------------------------------------------------------- sequences

CHARACTERS = 65  # of tinyshakespeare


@workload("models", "char-lstm", twin=twins.char_lstm, rule=RULES["adam"], memory=True)
def char_lstm(torch: Any) -> Task:
    """A character LSTM of width 128: batch 32, 50 characters."""
    nn = torch.nn
    n, t, width = 32, 50, 128
    model = nn.ModuleDict({
        "embedding": nn.Embedding(CHARACTERS, 64),
        "lstm": nn.LSTM(64, width, batch_first=True),
        "head": nn.Linear(width, CHARACTERS),
    })  # fmt: skip
    x, y = torch.randint(CHARACTERS, (n, t)), torch.randint(CHARACTERS, (n, t))

    def loss() -> Any:
        hidden, _ = model["lstm"](model["embedding"](x))
        scores = model["head"](hidden)  # (N, T, characters)
        return nn.functional.cross_entropy(scores.reshape(n * t, CHARACTERS), y.reshape(n * t))

    flops = product(n * t, 64 + width, 4 * width) + product(n * t, width, CHARACTERS)
    return training(torch, model, {"x": x, "y": y}, loss, "adam", flops)


@workload("models", "transformer", twin=twins.transformer, rule=RULES["adam"], memory=True,
          quick=False)  # fmt: skip
def transformer(torch: Any) -> Task:
    """Four layers of width 128 with four heads, causal, on 128 characters: batch 16."""
    nn = torch.nn
    n, t, width, layers = 16, 128, 128, 4
    model = nn.ModuleDict({
        "embedding": nn.Embedding(CHARACTERS, width),
        "positions": nn.Embedding(t, width),
        "encoder": nn.TransformerEncoder(
            nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, activation="gelu",
                                       batch_first=True, norm_first=True),
            layers,
            enable_nested_tensor=False,
        ),
        "norm": nn.LayerNorm(width),
        "head": nn.Linear(width, CHARACTERS),
    })  # fmt: skip
    x, y = torch.randint(CHARACTERS, (n, t)), torch.randint(CHARACTERS, (n, t))
    places = torch.arange(t)
    mask = nn.Transformer.generate_square_subsequent_mask(t)

    def loss() -> Any:
        hidden = model["embedding"](x) + model["positions"](places)
        hidden = model["norm"](model["encoder"](hidden, mask=mask, is_causal=True))
        scores = model["head"](hidden)  # (N, T, characters)
        return nn.functional.cross_entropy(scores.reshape(n * t, CHARACTERS), y.reshape(n * t))

    layer = product(n * t, width, 12 * width) + 2 * n * product(t, width, t)
    flops = layers * layer + product(n * t, width, CHARACTERS)
    return training(torch, model, {"x": x, "y": y}, loss, "adam", flops)
