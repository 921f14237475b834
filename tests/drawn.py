"""Small tapes to draw, and names that are hard to write."""

import retrograd as rg

NASTY = [
    *("w{x|y}", "<b>bold</b>", 'say "hi"', "back\\slash\\N\\", "a&lt;b", "javascript:alert(1)"),
    *("new\nline", "<<TABLE>>", "nul\x00bell\x07", "é世界🦊", "' onload='x", "]]>", "\ud800"),
]


def leaf(*shape):
    return rg.ones(*shape, requires_grad=True)


def mlp(depth=2, width=4):
    """A tape of `depth` layers, and its parameters by name."""
    h, params = rg.ones(3, width), {}
    for k in range(depth):
        params[f"{k}.weight"] = rg.Parameter(rg.ones(width, width))
        params[f"{k}.bias"] = rg.Parameter(rg.zeros(width))
        h = rg.tanh(h @ params[f"{k}.weight"] + params[f"{k}.bias"])
    return h.sum(), params


def chain(length):
    h = x = leaf(2)
    for _ in range(length):
        h = rg.neg(h)
    return h, {"x": x}
