"""A picture as text: lanes as `git log --graph` has them, and a tree of modules."""

from dataclasses import replace

import retrograd as rg
from retrograd import nn
from retrograd.autograd.draw import Group, Picture, draw, tape_text

from .drawn import chain, leaf


def network():
    return (leaf(3, 4) @ leaf(4, 4) + leaf(4)).tanh().sum()


# ---------------------------------------------------------------- lanes


def test_text_lists_newest_first_with_lanes():
    x = leaf(3)
    h = x.exp()
    assert tape_text(h + h.sin(), {"x": x}) == (
        "3 ops, 1 leaf; keeps 12 B in 1 buffer\n"
        "◆ output  (3,) float32\n"
        "● add  (3,) float32\n"
        "├─╮\n"
        "│ ● sin  (3,) float32  keeps 12 B (all shared)\n"
        "├─╯\n"
        "● exp  (3,) float32  keeps 12 B\n"
        "└─□ x  (3,) float32"
    )


def test_text_stops_at_its_limit_and_says_so():
    lines = tape_text(*chain(100), lines=10).splitlines()
    assert len(lines) <= 12
    assert lines[-1].endswith("more down to the oldest")


def test_text_does_not_list_every_leaf_of_a_wide_op():
    lines = tape_text(rg.cat([leaf(1) for _ in range(100)])).splitlines()
    assert len(lines) < 20
    assert lines[-1] == "└─… 88 more leaves"


def test_str_is_the_text_and_repr_one_line():
    drawn = draw(network())
    assert str(drawn) == drawn.text
    assert repr(drawn).startswith("<Picture: 4 ops, 3 leaves; keeps ")


# ---------------------------------------------------------------- a tree of modules


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.second(self.first(x).relu()) + x


def test_a_tree_has_modules_nested_and_what_happens_in_them_in_order():
    assert Residual().graph(rg.ones(2, 4)).text == (
        "Residual: 4 ops, 4 leaves, 40 parameters; keeps 128 B in 3 buffers, 64 B of it the "
        "leaves' own\n"
        "□ x  (2, 4) float32  [1]\n"
        "Residual  (4 ops, keeps 128 B)\n"
        "├─ first: Linear  (1 op, keeps 32 B)\n"
        "│  ├─ □ first.weight  (4, 4) float32\n"
        "│  ├─ □ first.bias  (4,) float32\n"
        "│  └─ ● linear  (2, 4) float32  keeps 32 B\n"
        "├─ ● relu  (2, 4) float32  keeps 32 B\n"
        "├─ second: Linear  (1 op, keeps 64 B)\n"
        "│  ├─ □ second.weight  (4, 4) float32\n"
        "│  ├─ □ second.bias  (4,) float32\n"
        "│  └─ ● linear  (2, 4) float32  keeps 96 B (32 B shared)\n"
        "└─ ● add  (2, 4) float32  ← [1], ↑\n"
        "◆ output  (2, 4) float32"
    )


def test_a_block_that_repeats_is_written_once_with_how_often():
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(12)]
    text = nn.Sequential(*blocks).graph(rg.ones(2, 4), roll=True).text
    assert "*: Sequential × 12  (24 ops" in text
    assert "│  └─ ● linear × 12  (2, 4) float32" in text
    assert len(text.splitlines()) < 15


def test_steps_say_what_the_step_before_hands_them():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            for _ in range(9):
                x = self.layer(x).sin()
            return x

    text = Loop().graph(rg.ones(1, 2)).text
    assert "layer: Linear, 9 steps  (9 ops" in text
    (taker,) = (line for line in text.splitlines() if "↻ [1]" in line)
    (maker,) = (line for line in text.splitlines() if line.endswith("[1]") and line != taker)
    assert "● linear × 9" in taker
    assert "● sin × 9" in maker


def test_a_tree_without_modules_numbers_what_is_used_elsewhere():
    x = leaf(3)
    h = x.exp()
    assert tape_text(h * h.sin() + h, {"x": x}, tree=True).splitlines()[1:] == [
        "□ x  (3,) float32",
        "● exp  (3,) float32  keeps 12 B  [1]",
        "● sin  (3,) float32  keeps 12 B (all shared)",
        "● mul  (3,) float32  keeps 24 B (12 B shared)  ← [1], ↑",
        "● add  (3,) float32  ← ↑, [1]",
        "◆ output  (3,) float32",
    ]


def test_a_tree_stops_at_its_limit_and_says_so():
    text = tape_text(*chain(100), lines=10, tree=True)
    assert len(text.splitlines()) == 11
    assert text.endswith("… 93 more lines")


def test_a_tree_of_both_directions_has_one_after_the_other():
    picture = nn.Sequential(nn.Linear(2, 3), nn.Tanh()).graph(rg.ones(1, 2), view="both")
    text = picture.text
    assert text.index("● #5 tanh") < text.index("▲ #6 gradient of output")
    assert text.index("TanhBackward0") < text.index("AddmmBackward0")


def test_groups_nested_very_deep_need_no_deep_stack():
    graph = draw(leaf(2).exp()).graph
    groups = [Group(f"g{k}", f"g{k}", (), f"g{k - 1}" if k else "") for k in range(2000)]
    boxes = tuple(replace(box, group="g1999") for box in graph.boxes)
    text = Picture(replace(graph, boxes=boxes, groups=tuple(groups))).as_text(3000)
    assert len(text.splitlines()) == 1 + 2000 + 3


def test_names_stay_text_in_a_tree():
    x = leaf(2)
    name = "new\nline\x1b[31m\u202e"
    text = tape_text(x.exp(), {name: x}, tree=True)
    assert all(line.isprintable() for line in text.splitlines())
    assert len(text.splitlines()) == 4
