"""Train a network that writes: it guesses the next character of a text, one after the other.

The network is an LSTM, or with ``--model transformer`` a small transformer that looks back at 64
characters.  You will see the loss fall, and every so often what the network writes.

    python examples/characters.py                          # an LSTM
    python examples/characters.py --model transformer
    python examples/characters.py --model gru --hidden 256 --steps 2000

Change ``import retrograd as torch`` to ``import torch`` and ``retrograd`` to ``torch`` elsewhere:
it is the same program there, from the same initial weights and on the same pieces of text.
"""

from __future__ import annotations

import argparse
import sys
import time

import data
import retrograd as torch
import retrograd.nn.functional as F
from retrograd import nn, optim


class Recurrent(nn.Module):
    """Embedded characters, a recurrent layer that reads them in order, and a score for each."""

    def __init__(self, layer: type, characters: int, hidden: int):
        super().__init__()
        self.embedding = nn.Embedding(characters, 64)
        self.layer = layer(64, hidden, batch_first=True)
        self.output = nn.Linear(hidden, characters)

    def forward(self, text):
        x, _ = self.layer(self.embedding(text))  # (N, T, hidden)
        return self.output(x)  # (N, T, characters)


class Transformer(nn.Module):
    """Characters and their positions embedded, layers of attention to what came before, scores."""

    def __init__(self, characters: int, hidden: int, length: int):
        super().__init__()
        self.embedding = nn.Embedding(characters, hidden)
        self.position = nn.Embedding(length, hidden)
        layer = nn.TransformerEncoderLayer(
            hidden, 4, 4 * hidden, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.output = nn.Linear(hidden, characters)

    def forward(self, text):
        length = text.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        x = self.embedding(text) + self.position(torch.arange(length))  # (N, T, hidden)
        return self.output(self.layers(x, mask=mask, is_causal=True))


def batches(text, length: int, count: int):
    """Endless pieces of the text with the characters that follow, from random places."""
    while True:
        starts = torch.randint(len(text) - length, (count, 1))
        pieces = text[starts + torch.arange(length + 1)]  # (count, length + 1)
        yield pieces[:, :-1], pieces[:, 1:]


def write(model, start, length: int, window: int):
    """Characters drawn from what the model expects, each given those before it."""
    model.eval()
    text = start
    with torch.no_grad():
        for _ in range(length):
            scores = model(text[:, -window:])[:, -1]  # (1, characters)
            text = torch.cat([text, torch.multinomial(F.softmax(scores, dim=-1), 1)], dim=1)
    model.train()
    return text[0].tolist()


def main() -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", choices=["rnn", "lstm", "gru", "transformer"], default="lstm")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--length", type=int, default=64, help="characters read at a time")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="20 steps")
    options = parser.parse_args()
    if options.quick:
        options.steps = 20

    torch.manual_seed(options.seed)
    try:
        text, source = data.text()
    except data.DataError as error:
        sys.exit(str(error))
    print(source)
    alphabet = sorted(set(text))
    number = {c: i for i, c in enumerate(alphabet)}
    numbers = torch.tensor([number[c] for c in text])
    if options.model == "transformer":
        model = Transformer(len(alphabet), options.hidden, options.length)
    else:
        layer = getattr(nn, options.model.upper())
        model = Recurrent(layer, len(alphabet), options.hidden)
    optimizer = optim.AdamW(model.parameters(), lr=options.lr)

    start, seen = time.perf_counter(), 0
    for step, (x, y) in enumerate(batches(numbers, options.length, options.batch_size), start=1):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen += x.numel()
        if step % 100 == 0 or step == options.steps:
            speed = seen / (time.perf_counter() - start)
            print(f"step {step:5}  loss {loss.item():.3f}  {speed:8,.0f} characters/s", flush=True)
        if step == options.steps:
            break
    written = write(model, numbers[:1].reshape(1, 1), 100 if options.quick else 400, options.length)
    print("".join(alphabet[i] for i in written))


if __name__ == "__main__":
    main()
