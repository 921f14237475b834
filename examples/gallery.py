"""Draw the gallery: eight pictures of tapes, each of something one wants to see.

``python examples/gallery.py docs`` writes ``docs/gallery/*.svg``, a page that steps through a
backward, ``docs/gallery.md`` that shows them all, and ``docs/tape.svg``. Nothing is trained; the
whole takes seconds.
``python examples/gallery.py --figures`` measures instead what drawing a large tape costs.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import retrograd as torch
from retrograd import nn


class LeNet(nn.Module):
    """LeCun, Bottou, Bengio and Haffner, 1998."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool = nn.AvgPool2d(2)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, image: Any) -> Any:
        """Shape: ``(N, 1, 32, 32) → (N, 10)``."""
        x = self.pool(self.conv1(image).tanh())
        x = self.pool(self.conv2(x).tanh())
        x = self.fc1(x.flatten(1)).tanh()
        return self.fc3(self.fc2(x).tanh())


class Residual(nn.Module):
    """The basic block of a residual network: He, Zhang, Ren and Sun, 2016."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Any) -> Any:
        """Shape: ``(N, C, H, W) → (N, C, H, W)``."""
        y = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(y)) + x).relu()


class Transformer(nn.Module):
    """Twelve layers, all alike: Vaswani and others, 2017."""

    def __init__(self, layers: int = 12, width: int = 32) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True)
        self.embed = nn.Linear(16, width)
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.head = nn.Linear(width, 16)

    def forward(self, tokens: Any) -> Any:
        """Shape: ``(N, T, 16) → (N, T, 16)``."""
        return self.head(self.encoder(self.embed(tokens)))


class LSTM(nn.Module):
    """Hochreiter and Schmidhuber, 1997, one cell for each step."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.x = nn.Linear(inputs, 4 * hidden)
        self.h = nn.Linear(hidden, 4 * hidden)
        self.hidden = hidden

    def forward(self, sequence: Any) -> Any:
        """Shape: ``(N, T, D) → (N, H)``."""
        h = c = torch.zeros(len(sequence), self.hidden)
        for step in range(sequence.shape[1]):
            i, f, g, o = (self.x(sequence[:, step]) + self.h(h)).split(self.hidden, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return h


class Forgetful(nn.Module):
    """A GRU (Cho and others, 2014) whose gates let little through, read out at the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 8)
        self.out = nn.Linear(8, 1)
        with torch.no_grad():
            self.cell.bias_ih[8:16] = -2.0  # the update gate: forget

    def forward(self, sequence: Any) -> Any:
        """Shape: ``(N, T, 4) → (N, 1)``."""
        h = torch.zeros(len(sequence), 8)
        for step in range(sequence.shape[1]):
            h = self.cell(sequence[:, step], h)
        return self.out(h)


class Unsafe(nn.Module):
    """Five layers, the third of which takes the logarithm of what may be zero."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 6) for _ in range(5)])

    def forward(self, x: Any) -> Any:
        """Shape: ``(N, 6) → (N, 6)``."""
        for k, layer in enumerate(self.layers):
            x = layer(x).relu()
            if k == 2:
                x = x.log()
        return x


def mlp() -> Any:
    """Both directions of a small network, with matched numbers and colours."""
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    x, target = torch.randn(32, 8), torch.randint(4, (32,))
    with torch.tracing(model, inputs={"x": x}):
        loss = nn.functional.cross_entropy(model(x), target)
    return torch.draw(loss, model, view="both")


def lenet() -> Any:
    """Where the multiply-adds are."""
    return LeNet().graph(torch.randn(16, 1, 32, 32), overlay="macs")


def resnet() -> Any:
    """What each op keeps for backward."""
    return Residual(8).graph(torch.randn(4, 8, 16, 16), overlay="bytes")


def lstm() -> Any:
    """Fifty steps, drawn as one; dashed lines are what a step hands to the next."""
    return LSTM(4, 8).graph(torch.randn(2, 50, 4))


def transformer() -> Any:
    """Twelve layers, drawn as one and collapsed to what fits."""
    return Transformer().graph(torch.randn(2, 6, 16))


def gru() -> Any:
    """A gradient that vanishes on its way back through the steps: dark is small."""
    model = Forgetful()
    x = torch.randn(2, 12, 4)
    with torch.tracing(model, inputs={"sequence": x}):
        loss = model(x).pow(2).mean()
    return torch.draw(loss, model, overlay="grad", roll=False, collapse="GRUCell", max_nodes=60)


def nan() -> Any:
    """Where infinity arises, where NaN, and their way to the loss."""
    model = Unsafe()
    x = torch.randn(3, 6)
    with torch.tracing(model, inputs={"x": x}):
        loss = model(x).mean()
    return torch.draw(loss, model)


def in_place() -> Any:
    """A value that the tape keeps was changed: backward would raise, and the line to blame."""
    w = torch.randn(4, requires_grad=True)
    with torch.tracing():
        y = w.exp()
        z = y.sin()
        y += 1
        loss = (z * y).sum()
    return torch.draw(loss, {"w": w})


def step() -> Any:
    """One training step of a classifier of digits: what README shows."""
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    images, digits = torch.rand(64, 784), torch.randint(10, (64,))
    with torch.tracing(model, inputs={"images": images}):
        loss = nn.functional.cross_entropy(model(images), digits)
    return torch.draw(loss, model, names={"loss": loss}, view="both")


PICTURES: dict[str, tuple[str, Callable[[], Any]]] = {
    "mlp": ("A small network, forward and backward", mlp),
    "lenet": ("LeNet", lenet),
    "resnet": ("A residual block", resnet),
    "lstm": ("An LSTM over fifty steps", lstm),
    "transformer": ("A transformer of twelve layers", transformer),
    "gru": ("A GRU whose gradients vanish", gru),
    "nan": ("A hunt for NaN", nan),
    "in_place": ("An in-place error", in_place),
}

PAGE = """\
# Gallery

Made by `python examples/gallery.py docs`, which is where the code of each picture is.
[drawing.md](drawing.md) explains what can be drawn. On a page of its own a picture has tooltips;
[backward.html](gallery/backward.html) steps through a backward (save it, and open it in a browser).
"""


def main() -> None:
    """Write the pictures, the page, and say so."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", help="where; without one, a folder for a moment")
    parser.add_argument("--quick", action="store_true", help="the same: it is quick")
    parser.add_argument("--figures", action="store_true", help="what drawing costs, and no files")
    options = parser.parse_args()
    if options.figures:
        figures()
    elif options.folder is None:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder))
    else:
        write(Path(options.folder).absolute())


def write(folder: Path) -> None:
    """Draw everything into a folder."""
    os.chdir(Path(__file__).resolve().parent.parent)  # source lines are told from there
    (folder / "gallery").mkdir(parents=True, exist_ok=True)
    text = [PAGE]
    for name, (title, make) in PICTURES.items():
        torch.manual_seed(0)
        picture = make()
        path = folder / "gallery" / f"{name}.svg"
        path.write_text(picture.as_svg(), encoding="utf-8")
        said = (make.__doc__ or "").strip()
        text.append(f"## {title}\n\n{said}\n\n![{title}](gallery/{name}.svg)\n")
        print(f"{name:12} {picture.graph.title}, in {len(picture.graph.boxes)} boxes")
        if name == "mlp":
            picture.save(folder / "gallery" / "backward.html", steps=True)
    torch.manual_seed(0)
    (folder / "tape.svg").write_text(step().as_svg(), encoding="utf-8")
    (folder / "gallery.md").write_text("\n".join(text), encoding="utf-8")
    print(f"written to {folder}")


def figures() -> None:
    """Print how long large tapes take, how many boxes deep models have, and whether DOT is stable.

    The time is the processor's, of picture, DOT and SVG together; the tape is made before.
    """
    tapes = {
        "100,000 ops, all alike": lambda: alike(100_000),
        "100,000 ops, mixed": lambda: mixed(100_000),
        "40 doublings x = x + x": lambda: doubled(40),
    }
    for name, make in tapes.items():
        root = make()
        start = time.process_time()
        picture = torch.draw(root)
        size = len(picture.source) + len(picture.as_svg())
        seconds = time.process_time() - start
        print(f"{name:32} {seconds:8.3f} s  {len(picture.graph.boxes):4} boxes  {size:8,} bytes")
    print(f"{'12-layer transformer':32} {len(transformer().graph.boxes):23} boxes")
    for steps in (5, 50):
        picture = LSTM(4, 8).graph(torch.randn(2, steps, 4))
        print(f"{f'LSTM over {steps} steps':32} {len(picture.graph.boxes):23} boxes")
    program = (
        "import sys, gallery; gallery.torch.manual_seed(0); "
        "sys.stdout.write(gallery.transformer().source)"
    )
    sources = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).resolve().parent,
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    print(f"DOT of two processes: {'the same bytes' if len(sources) == 1 else 'DIFFERENT'}")


def alike(ops: int) -> Any:
    """A chain of one op."""
    h = torch.ones(2, requires_grad=True)
    for _ in range(ops):
        h = h.neg()
    return h


def mixed(ops: int) -> Any:
    """Ops taken at random, on values taken from among the last hundred."""
    generator = random.Random(0)
    values = [torch.ones(2, requires_grad=True)]
    for _ in range(ops):
        a, b = generator.choices(values[-100:], k=2)
        kind = generator.randrange(3)
        values.append(a * b if kind == 0 else a + b if kind == 1 else a.sin())
    return values[-1]


def doubled(times: int) -> Any:
    """Two to the power of `times` ways lead through so many ops."""
    x = torch.ones(2, requires_grad=True)
    for _ in range(times):
        x = x + x
    return x


if __name__ == "__main__":
    main()
