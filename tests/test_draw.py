"""Drawing the tape: what the picture says, what it costs, and who draws it."""

import gc
import os
import re
import subprocess
import sys
import time
import weakref
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import retrograd as rg
from hypothesis import given
from hypothesis import strategies as st
from retrograd.autograd.draw import Group, Picture, draw
from retrograd.autograd.draw.layout import layout
from retrograd.autograd.draw.palette import DARK, LIGHT, LOOKS
from retrograd.autograd.draw.svg import write_svg

from .drawn import NASTY, chain, leaf, mlp


def residual(blocks):
    h = leaf(2, 2)
    for _ in range(blocks):
        h = h + rg.tanh(rg.exp(h))
    return h


def boxes(drawn):
    return {box.id: box for box in drawn.graph.boxes}


# ---------------------------------------------------------------- what the picture says


def test_every_node_is_a_box_with_its_name_shape_and_dtype():
    loss, params = mlp(depth=1)
    drawn = [(b.id, b.role, b.heading, b.shape, b.dtype) for b in draw(loss, params).graph.boxes]
    assert drawn == [
        ("n0", "parameter", "0.weight", (4, 4), "float32"),
        ("n1", "parameter", "0.bias", (4,), "float32"),
        ("n2", "op", "matmul", (3, 4), "float32"),
        ("n3", "op", "add", (3, 4), "float32"),
        ("n4", "op", "tanh", (3, 4), "float32"),
        ("n5", "op", "sum", (), "float32"),
        ("out0", "output", "output", (), "float32"),
    ]


def test_edges_lead_from_older_boxes_to_newer_ones_and_count_repeated_use():
    x = leaf(2)
    graph = draw((x * x).sum()).graph
    order = [box.id for box in graph.boxes]
    assert all(order.index(e.source) < order.index(e.target) for e in graph.edges)
    assert [(e.source, e.target, e.count) for e in graph.edges] == [
        ("n0", "n1", 2),
        ("n1", "n2", 1),
        ("n2", "out0", 1),
    ]


def test_the_same_program_gives_the_same_dot_and_svg():
    first, second = draw(*mlp()), draw(*mlp())
    assert first.source == second.source
    assert write_svg(first.graph) == write_svg(second.graph)


def test_another_process_gives_the_same_bytes():
    """Whatever the seed of Python's hashes: nothing in a picture hangs on the order of a set."""
    program = (
        "import sys, retrograd as rg\n"
        "from retrograd import nn\n"
        "rg.manual_seed(0)\n"
        "layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)\n"
        "model = nn.TransformerEncoder(layer, 4)\n"
        "for view in ('forward', 'both'):\n"
        "    picture = model.graph(rg.ones(2, 5, 8), overlay='bytes', view=view)\n"
        "    for text in (picture.source, picture.as_svg(), picture.as_html(), picture.text):\n"
        "        sys.stdout.write(text)\n"
        "    sys.stdout.flush(), sys.stdout.buffer.write(picture.as_onnx())\n"
    )
    first, second = (
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    )
    assert len(first) > 10_000
    assert first == second


def test_inputs_without_gradient_are_counted_and_what_is_kept_of_them_is_shown():
    w = leaf(4, 2)
    box = boxes(draw(rg.ones(3, 4) @ w))["n1"]
    assert box.constants == 1
    assert box.arrays == ("(3, 4) float32, 48 B",)
    assert "1 input not on the tape" in box.detail


def test_names_label_results_and_other_variables_are_ignored():
    x = leaf(2)
    hidden = x.exp()
    loss, other = hidden.sum(), "not a tensor"
    headings = [b.heading for b in draw(loss, names=locals()).graph.boxes]
    assert other
    assert headings == ["x", "hidden = exp", "loss = sum", "output"]


def test_parameters_the_tape_does_not_reach_are_named():
    loss, params = mlp(depth=1)
    params["frozen"] = rg.ones(2)
    params["unused"] = leaf(2)
    assert "frozen (requires_grad=False), unused" in draw(loss, params).note


def test_params_may_be_a_module():
    loss, params = mlp(depth=1)

    class Model:
        def named_parameters(self):
            yield from params.items()

    assert draw(loss, Model()).source == draw(loss, params).source


def test_several_roots_and_grad_fn():
    x = leaf(2)
    a, b = x.exp(), x.sin()
    drawn = draw([a, b.grad_fn])
    assert [box.title for box in drawn.graph.boxes if box.role == "output"] == [
        "output 0",
        "output 1",
    ]


def test_a_freed_tape_is_drawn_without_its_bytes():
    loss, params = mlp()
    before = len(draw(loss, params).graph.boxes)
    loss.backward()
    after = draw(loss, params)
    assert len(after.graph.boxes) == before
    assert "freed" in after.graph.subtitle
    assert "retain_graph=True" in after.note


def test_a_picture_keeps_no_tape_alive():
    loss, params = mlp()
    node = weakref.ref(loss.grad_fn)
    drawn = draw(loss, params)
    del loss
    gc.collect()
    assert node() is None
    assert drawn.source


# ---------------------------------------------------------------- memory


def test_a_buffer_that_several_ops_keep_is_counted_once():
    y = z = leaf(3)
    for _ in range(6):
        z = rg.tanh(z) * z
    drawn = draw(z, {"y": y})
    assert "keeps 144 B in 12 buffers, 12 B of it the leaves' own" in drawn.graph.subtitle
    assert sum((box.kept or 0) - box.shared for box in drawn.graph.boxes) == 12 * 12


def test_views_of_the_same_memory_are_one_buffer_as_large_as_what_they_keep_alive():
    x = leaf(4, 5)
    column = x.exp()[:, 0]  # keeps all of exp's result alive
    drawn = draw(column * column.sin())
    owner = 4 * 5 * 4
    assert boxes(drawn)["n1"].kept == owner
    mul = next(box for box in drawn.graph.boxes if box.title == "mul")
    assert mul.kept == owner + 4 * 4
    assert mul.shared == owner


# ---------------------------------------------------------------- groups


def test_groups_are_clusters_in_dot():
    graph = draw(leaf(2).exp()).graph
    group = Group("layer", 'the "layer"', ("n0", "n1"))
    source = Picture(replace(graph, groups=(group,))).source
    assert source.count("subgraph") == 2  # and the legend
    assert 'label="the \\"layer\\""' in source


# ---------------------------------------------------------------- large tapes


def test_a_diamond_repeated_forty_times_has_one_box_for_each_op():
    h = leaf(2)
    for _ in range(40):
        h = h + h
    assert len(draw(h).graph.boxes) == 42


def test_a_long_chain_folds_between_its_first_and_last_op():
    h, params = chain(1000)
    drawn = draw(h, params, max_nodes=50, roll=False)
    assert [b.title for b in drawn.graph.boxes] == ["x", "neg", "… 998 more ops", "neg", "output"]
    assert boxes(drawn)["fold2"].tally == (("neg", 998),)
    assert "998 of 1,000 ops are folded away" in drawn.note
    assert "998 of 1,000 ops are folded away" in drawn.source


def test_leaves_used_once_fold_along_and_named_ops_stay():
    loss, params = mlp(depth=40)
    assert len(draw(loss, params, max_nodes=1000).graph.boxes) > 200
    folded = boxes(draw(loss, params, max_nodes=20, roll=False))
    (fold,) = (box for box in folded.values() if box.role == "fold")
    assert fold.leaves == len(params) - sum(b.role == "parameter" for b in folded.values())
    assert dict(fold.tally)["tanh"] >= 39

    x = leaf(2)
    middle = rg.neg(rg.neg(rg.neg(rg.neg(rg.neg(x)))))
    end = rg.neg(rg.neg(rg.neg(rg.neg(rg.neg(middle)))))
    drawn = draw(end, names={"middle": middle}, max_nodes=9)
    assert "middle = neg" in [box.heading for box in drawn.graph.boxes]


def test_a_deep_residual_net_folds_in_the_middle():
    drawn = draw(residual(200), max_nodes=30, roll=False)
    assert 10 < len(drawn.graph.boxes) <= 30
    assert sum(box.ops for box in drawn.graph.boxes) == 600


def test_what_does_not_fold_is_summed_up_in_one_box():
    wide = rg.cat([leaf(1) for _ in range(100)])
    drawn = draw(wide, max_nodes=50)
    (box,) = drawn.graph.boxes
    assert (box.role, box.ops, box.leaves) == ("summary", 1, 100)
    assert "raise max_nodes" in drawn.note


@pytest.mark.parametrize("make", [lambda: chain(300)[0], lambda: residual(100)])
@pytest.mark.parametrize("max_nodes", [1, 2, 5, 17, 100])
def test_no_picture_has_more_boxes_than_asked_for(make, max_nodes):
    for roll in (None, True, False):
        assert len(draw(make(), max_nodes=max_nodes, roll=roll).graph.boxes) <= max_nodes


def test_a_very_deep_tape_needs_no_deep_stack():
    program = (
        "import sys, retrograd as rg\n"
        "from retrograd.autograd.draw import draw\n"
        "h = rg.ones(1, requires_grad=True)\n"
        "for _ in range(20_000): h = rg.neg(h)\n"
        "small, large = draw(h), draw(h, max_nodes=10**6)\n"
        "sys.setrecursionlimit(120)\n"
        "print(len(draw(h).text), len(draw(h, max_nodes=10**6).graph.boxes))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "20002"


# ---------------------------------------------------------------- SVG


@pytest.mark.parametrize("name", NASTY)
def test_names_cannot_become_markup(name):
    x = leaf(2)
    drawn = draw(x.exp(), {name: x}, names={name: x})
    root = ET.fromstring(write_svg(drawn.graph))
    tags = {element.tag.split("}")[1] for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "style", "path", "polygon", "text", "g"}
    assert not any("href" in key or key.startswith("on") for e in root.iter() for key in e.attrib)
    assert drawn.source.encode()
    assert "URL" not in drawn.source
    assert all(line.isprintable() for line in drawn.text.splitlines())
    labels = re.findall(r'label="((?:[^"\\]|\\.)*)"', drawn.source)
    assert len(labels) == 1 + 3 + 1 + 3  # the heading, three boxes, the legend and its three


def test_the_svg_is_accessible_and_follows_the_readers_theme():
    drawn = draw(*mlp())
    text = write_svg(drawn.graph)
    root = ET.fromstring(text)
    assert root.get("role") == "img"
    assert root.get("aria-label") == drawn.graph.title
    assert root[0].text == drawn.graph.title
    assert "The tape of a computation: 7 ops" in root[1].text
    assert "prefers-color-scheme: dark" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_the_legend_lists_only_what_occurs():
    h, params = chain(3)
    text, source = write_svg(draw(h, params).graph), draw(h, params).source
    for role, look in LOOKS.items():
        used = role in ("leaf", "op", "output")
        assert (f">{look.meaning}<" in text) == used
        assert (f'"{look.meaning}"' in source) == used


def luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_and_line_stands_out(theme):
    assert contrast(theme.text, theme.page) >= 4.5
    assert contrast(theme.quiet, theme.page) >= 4.5
    assert contrast(theme.line, theme.page) >= 3
    for ink in theme.boxes.values():
        assert contrast(ink.text, ink.fill) >= 4.5
        assert contrast(ink.stroke, theme.page) >= 3
        assert contrast(ink.stroke, ink.fill) >= 3


def test_many_leaves_of_one_op_stand_in_several_rows():
    count = 30
    edges = [(k, count) for k in range(count)]
    plan = layout([(100.0, 40.0)] * (count + 1), [True] * count + [False], edges)
    rows = Counter(spot.row for spot in plan.spots[:count])
    assert sorted(rows.values()) == [6, 8, 8, 8]
    assert plan.width < 0.6 * count * 122


@given(st.data())
def test_boxes_never_overlap_and_edges_cross_none(data):
    count = data.draw(st.integers(1, 14))
    sizes = [(40.0 + 9 * (k % 5), 20.0 + 7 * (k % 3)) for k in range(count)]
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    edges = sorted(data.draw(st.sets(pairs.filter(lambda p: p[0] < p[1]))) if count > 1 else [])
    sources = set(range(count)) - {b for _, b in edges}
    leaves = [k in sources and k % 2 == 0 for k in range(count)]
    plan = layout(sizes, leaves, edges)
    spots = plan.spots
    for k, a in enumerate(spots):
        assert a.x - a.width / 2 >= -1e-6
        assert a.x + a.width / 2 <= plan.width + 1e-6
        assert a.y + a.height / 2 <= plan.height + 1e-6
        for b in spots[k + 1 :]:
            apart_x = abs(a.x - b.x) >= (a.width + b.width) / 2 - 1e-6
            assert apart_x or abs(a.y - b.y) >= (a.height + b.height) / 2 - 1e-6
    for (a, b), route in zip(edges, plan.routes, strict=True):
        stops = [route[0].source, *(piece.target for piece in route)]
        assert (stops[0], stops[-1]) == (a, b)
        assert all(spots[s].is_bend for s in stops[1:-1])
        assert [spots[s].row for s in stops] == list(range(spots[a].row, spots[b].row + 1))


# ---------------------------------------------------------------- cost


def quickest(function, rounds=3):
    """The least processor time of some rounds, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def test_a_hundred_thousand_ops_are_drawn_in_two_seconds():
    h, params = chain(100_000)
    drawn = []
    assert quickest(lambda: drawn.append(draw(h, params).as_svg()), 2) < 2
    assert len(drawn[0]) < 50_000


def test_forty_doublings_are_drawn_in_a_tenth_of_a_second():
    h = leaf(2)
    for _ in range(40):
        h = h + h
    assert quickest(lambda: draw(h).source) < 0.1


def calls_made(function):
    """How many functions are called, Python's own and C's: work that no clock is needed for."""
    count = 0

    def see(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(see)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("make", [lambda n: chain(n)[0], residual], ids=["chain", "residual"])
@pytest.mark.parametrize("options", [{}, {"roll": False, "max_nodes": 50}], ids=["roll", "fold"])
def test_work_grows_in_proportion_to_the_tape(make, options):
    small, large = (make(n) for n in (800, 1600))
    work = [
        calls_made(lambda root=root: draw(root, backward=False, **options))
        for root in (small, large)
    ]
    assert work[1] < 2.3 * work[0]


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize("root", [3.0, "loss", None, np.ones(2), []])
def test_what_is_no_tensor_is_refused(root):
    with pytest.raises(TypeError, match=r"draw\(\)"):
        draw(root)


def test_a_tensor_without_a_tape_is_refused_with_the_remedy():
    with pytest.raises(RuntimeError, match=r"requires_grad_\(\)"):
        draw(rg.ones(2))
    with pytest.raises(RuntimeError, match="root 1 has no tape"):
        draw([leaf(1), rg.ones(2)])


@pytest.mark.parametrize("params", [3, [leaf(2)], {"w": 1.0}])
def test_params_must_name_tensors(params):
    with pytest.raises(TypeError, match="named_parameters"):
        draw(leaf(2).exp(), params)


@pytest.mark.parametrize("max_nodes", [0, -1, 2.5])
def test_max_nodes_is_a_positive_number(max_nodes):
    with pytest.raises(ValueError, match="max_nodes"):
        draw(leaf(2).exp(), max_nodes=max_nodes)


@pytest.mark.parametrize("names", [3, [leaf(2)], "x"])
def test_names_must_map_names_to_tensors(names):
    with pytest.raises(TypeError, match="names must map names to tensors, as locals"):
        draw(leaf(2).exp(), names=names)


def test_a_module_is_told_apart_from_what_it_made():
    with pytest.raises(TypeError, match="A module draws itself"):
        draw(rg.nn.Linear(2, 2))


@pytest.mark.parametrize("collapse", [3, [3], object()])
def test_what_to_collapse_is_a_pattern(collapse):
    with pytest.raises(TypeError, match="collapse takes a pattern"):
        draw(leaf(2).exp(), collapse=collapse)
