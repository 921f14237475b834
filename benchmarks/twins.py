"""The same networks for JAX: losses as pure functions, which `child` differentiates and compiles.

A twin gets the parameters under PyTorch's names, with the very numbers the other engines start
from.  One that has running statistics returns ``(loss, {name: value})`` to have them kept; they
start from what is in ``p`` or, at the first step, from PyTorch's start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Arrays = Mapping[str, Any]


def _dense(p: Arrays, name: str, x: Any) -> Any:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def _cross_entropy(jax: Any, scores: Any, y: Any) -> Any:
    logarithms = jax.nn.log_softmax(scores, axis=-1)
    return -jax.numpy.take_along_axis(logarithms, y[:, None], axis=1).mean()


def mlp(jax: Any, p: Arrays, inputs: Arrays) -> Any:
    """784-256-128-10."""
    x = jax.nn.relu(_dense(p, "0", inputs["x"]))
    x = jax.nn.relu(_dense(p, "2", x))
    return _cross_entropy(jax, _dense(p, "4", x), inputs["y"])


def tanh_network(jax: Any, p: Arrays, inputs: Arrays) -> Any:
    """2-16-16-1."""
    x = jax.numpy.tanh(_dense(p, "0", inputs["x"]))
    x = jax.numpy.tanh(_dense(p, "2", x))
    return ((_dense(p, "4", x) - inputs["y"]) ** 2).mean()


def autoencoder(jax: Any, p: Arrays, inputs: Arrays) -> Any:
    """784-128-32-128-784."""
    x = jax.nn.relu(_dense(p, "0", inputs["x"]))
    x = jax.nn.relu(_dense(p, "3", _dense(p, "2", x)))
    return ((jax.nn.sigmoid(_dense(p, "5", x)) - inputs["x"]) ** 2).mean()


def _conv(jax: Any, x: Any, weight: Any, stride: int = 1, padding: int = 0) -> Any:
    return jax.lax.conv_general_dilated(
        x, weight, (stride, stride), [(padding, padding)] * 2,
        dimension_numbers=("NCHW", "OIHW", "NCHW"),
    )  # fmt: skip


def _biased(jax: Any, p: Arrays, name: str, x: Any, padding: int = 0) -> Any:
    return _conv(jax, x, p[f"{name}.weight"], 1, padding) + p[f"{name}.bias"][:, None, None]


def _pool(jax: Any, x: Any, start: float, combine: Any) -> Any:
    return jax.lax.reduce_window(x, start, combine, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")


def lenet(jax: Any, p: Arrays, inputs: Arrays) -> Any:
    """LeNet-5."""
    tanh = jax.numpy.tanh
    x = tanh(_biased(jax, p, "0", inputs["x"], padding=2))
    x = _pool(jax, x, 0.0, jax.lax.add) / 4
    x = tanh(_biased(jax, p, "3", x))
    x = _pool(jax, x, 0.0, jax.lax.add) / 4
    x = x.reshape(x.shape[0], -1)
    x = tanh(_dense(p, "7", x))
    x = tanh(_dense(p, "9", x))
    return _cross_entropy(jax, _dense(p, "11", x), inputs["y"])


def mnist_net(jax: Any, p: Arrays, inputs: Arrays) -> Any:
    """The two-convolution net; with dropout where a ``key`` is among the inputs."""
    key = inputs.get("key")

    def dropped(x: Any, rate: float, which: int) -> Any:
        if key is None:
            return x
        kept = jax.random.bernoulli(jax.random.fold_in(key, which), 1 - rate, x.shape)
        return jax.numpy.where(kept, x / (1 - rate), 0.0)

    x = jax.nn.relu(_biased(jax, p, "0.0", inputs["x"]))
    x = jax.nn.relu(_biased(jax, p, "0.2", x))
    x = dropped(_pool(jax, x, -jax.numpy.inf, jax.lax.max), 0.25, 1)
    x = jax.nn.relu(_dense(p, "1", x.reshape(x.shape[0], -1)))
    return _cross_entropy(jax, _dense(p, "2", dropped(x, 0.5, 2)), inputs["y"])


def resnet8(jax: Any, p: Arrays, inputs: Arrays) -> Any:
    """ResNet-8, with the running statistics of its batch norms."""
    statistics: dict[str, Any] = {}

    def normed(name: str, x: Any, stride: int, padding: int) -> Any:
        x = _conv(jax, x, p[f"{name}.0.weight"], stride, padding)
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
        count = x.size / x.shape[1]
        for label, start, value in (
            ("mean", 0.0, mean),
            ("var", 1.0, variance * count / (count - 1)),
        ):
            full = f"{name}.1.running_{label}"
            statistics[full] = 0.9 * p.get(full, start) + 0.1 * jax.lax.stop_gradient(value)
        scale = p[f"{name}.1.weight"] / jax.numpy.sqrt(variance + 1e-5)
        shift = p[f"{name}.1.bias"] - mean * scale
        return x * scale[:, None, None] + shift[:, None, None]

    x = jax.nn.relu(normed("0", inputs["x"], 1, 1))
    for name, stride in (("2", 1), ("3", 2), ("4", 2)):
        inner = jax.nn.relu(normed(f"{name}.conv1", x, stride, 1))
        shortcut = normed(f"{name}.shortcut", x, stride, 0) if stride > 1 else x
        x = jax.nn.relu(normed(f"{name}.conv2", inner, 1, 1) + shortcut)
    scores = _dense(p, "7", x.mean((2, 3)))
    return _cross_entropy(jax, scores, inputs["y"]), statistics


def char_lstm(jax: Any, p: Arrays, inputs: Arrays) -> Any:
    """Embedding, one LSTM layer as a scan, and a dense layer."""
    jnp = jax.numpy
    x = p["embedding.weight"][inputs["x"]]  # (N, T, D)
    bias = p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"]
    projected = (x @ p["lstm.weight_ih_l0"].T + bias).swapaxes(0, 1)  # (T, N, 4D)
    recurrent = p["lstm.weight_hh_l0"].T

    def cell(state: Any, row: Any) -> Any:
        hidden, memory = state
        i, f, g, o = jnp.split(row + hidden @ recurrent, 4, axis=1)
        memory = jax.nn.sigmoid(f) * memory + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(memory)
        return (hidden, memory), hidden

    start = jnp.zeros((x.shape[0], recurrent.shape[0]), x.dtype)
    _, hidden = jax.lax.scan(cell, (start, start), projected)
    scores = _dense(p, "head", hidden.swapaxes(0, 1))  # (N, T, characters)
    return _cross_entropy(jax, scores.reshape(-1, scores.shape[-1]), inputs["y"].reshape(-1))


def transformer(jax: Any, p: Arrays, inputs: Arrays) -> Any:
    """Four causal layers, normalised first."""
    jnp = jax.numpy
    heads = 4

    def normed(name: str, x: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scale = jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return centred * scale * p[f"{name}.weight"] + p[f"{name}.bias"]

    def attended(name: str, x: Any) -> Any:
        n, t, d = x.shape
        joined = x @ p[f"{name}.in_proj_weight"].T + p[f"{name}.in_proj_bias"]
        q, k, v = (
            part.reshape(n, t, heads, d // heads).swapaxes(1, 2)  # (N, H, T, D/H)
            for part in jnp.split(joined, 3, axis=-1)
        )
        scores = q @ k.swapaxes(2, 3) / (d // heads) ** 0.5  # (N, H, T, T)
        scores = jnp.where(jnp.tril(jnp.ones((t, t), bool)), scores, -jnp.inf)
        mixed = (jax.nn.softmax(scores, -1) @ v).swapaxes(1, 2).reshape(n, t, d)
        return _dense(p, f"{name}.out_proj", mixed)

    x = p["embedding.weight"][inputs["x"]] + p["positions.weight"]  # (N, T, D)
    for layer in (f"encoder.layers.{i}" for i in range(4)):
        x = x + attended(f"{layer}.self_attn", normed(f"{layer}.norm1", x))
        inner = _dense(p, f"{layer}.linear1", normed(f"{layer}.norm2", x))
        x = x + _dense(p, f"{layer}.linear2", jax.nn.gelu(inner, approximate=False))
    scores = _dense(p, "head", normed("norm", x))
    return _cross_entropy(jax, scores.reshape(-1, scores.shape[-1]), inputs["y"].reshape(-1))
