"""Other views and writings of a picture: backward, both, differences, JSON, Mermaid, looks."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import retrograd as rg
from hypothesis import given, settings
from hypothesis import strategies as st
from retrograd import nn
from retrograd.autograd.draw import overlay, palette
from retrograd.autograd.draw.dot import write_dot
from retrograd.autograd.draw.layout import Spot
from retrograd.autograd.draw.outline import outline
from retrograd.autograd.draw.svg import write_svg

NASTY = [
    *("w{x|y}", "<b>bold</b>", 'say "hi"', "a&lt;b", "javascript:alert(1)", "</script><i>"),
    *("' onload='x", "]]>", "\ud800", "new\nline", "#quot;", "`code` [x]"),
]


def network():
    rg.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def loss():
    x = rg.ones(3, requires_grad=True)
    y = x.exp()
    return (y * y).sum(), {"x": x}


# ---------------------------------------------------------------- backward, both


def test_the_backward_graph_has_pytorchs_names_and_runs_the_other_way():
    picture = rg.draw(*loss(), view="backward")
    titles = {box.id: box.title for box in picture.graph.boxes}
    assert list(titles.values()) == [
        "gradient of output", "SumBackward0", "MulBackward0", "ExpBackward0", "x.grad",
    ]  # fmt: skip
    edges = [(titles[e.source], titles[e.target], e.count) for e in picture.graph.edges]
    assert ("MulBackward0", "ExpBackward0", 2) in edges
    assert ("ExpBackward0", "x.grad", 1) in edges
    order = list(titles)
    assert all(order.index(e.source) < order.index(e.target) for e in picture.graph.edges)
    assert any("sum of 2 gradients" in box.notes for box in picture.graph.boxes)
    assert ET.fromstring(write_svg(picture.graph)) is not None


def test_every_derivative_links_one_op_and_shares_its_number_and_colour():
    picture = network().graph(rg.ones(3, 4), view="both")
    boxes = {box.id: box for box in picture.graph.boxes}
    back = [box for box in boxes.values() if box.role == "gradient"]
    forward = [box for box in boxes.values() if box.role != "gradient" and box.mate]
    assert len(back) == len(forward) == 8
    for box in back:
        twin = boxes[box.mate]
        assert twin.mate == box.id
        assert (twin.pair, twin.shape) == (box.pair, box.shape)
    assert len({box.pair for box in back}) == len(back)

    root = ET.fromstring(write_svg(picture.graph))
    nodes = {e.get("data-id"): e for e in root.iter() if e.get("data-id")}
    for box in back:
        kinds = [
            next(name for name in nodes[id].get("class").split() if name.startswith("pair"))
            for id in (box.id, box.mate)
        ]
        assert kinds[0] == kinds[1]
        words = [nodes[id].findall("{*}text")[0].text.split()[0] for id in (box.id, box.mate)]
        assert words[0] == words[1] == f"#{box.pair}"
    links = [e for e in root.iter() if e.get("class") == "edge link"]
    assert len(links) == len(back)


def test_twins_are_level_and_backward_leads_up():
    picture = rg.draw(*loss(), view="both")
    root = ET.fromstring(write_svg(picture.graph))
    heights = {}
    for node in root.iter():
        if node.get("data-id"):
            heights[node.get("data-id")] = float(node.findall("{*}text")[0].get("y"))
    for box in picture.graph.boxes:
        assert abs(heights[box.id] - heights[box.mate]) < 20  # of a box's first line
    assert "dir=back" in picture.source


def test_both_directions_as_text():
    text = rg.draw(*loss(), view="both").text
    assert "● #2 exp" in text
    assert "▲ #2 ExpBackward0" in text


def test_an_unknown_view_names_those_there_are():
    with pytest.raises(ValueError, match="no view 'sideways': choose one of 'forward', 'back"):
        rg.draw(*loss(), view="sideways")


@pytest.mark.parametrize("options", [{"depth": -1}, {"depth": 1.5}])
def test_a_depth_is_a_number_of_levels(options):
    with pytest.raises(ValueError, match="depth must be a whole number of levels"):
        rg.draw(*loss(), **options)


def test_collapse_takes_patterns():
    with pytest.raises(TypeError, match="collapse takes a pattern"):
        rg.draw(*loss(), collapse=[3])


# ---------------------------------------------------------------- differences


def test_one_more_op_is_the_one_box_added():
    class Model(nn.Module):
        def __init__(self, extra):
            super().__init__()
            self.first, self.second, self.extra = nn.Linear(4, 8), nn.Linear(8, 2), extra

        def forward(self, x):
            h = self.first(x).tanh()
            return self.second(h.relu() if self.extra else h)

    before, after = (Model(extra).graph(rg.ones(3, 4)) for extra in (False, True))
    picture = before.diff(after)
    assert [box.title for box in picture.graph.boxes if "added" in box.marks] == ["relu"]
    assert picture.graph.marks.count("added") == 1
    assert [(box.title) for box in picture.graph.boxes if "removed" in box.marks] == []
    back = after.diff(before)
    assert [box.title for box in back.graph.boxes if "removed" in box.marks] == ["relu"]
    titles = {box.id: box.title for box in picture.graph.boxes}
    gone = [(titles[e.source], titles[e.target]) for e in picture.graph.edges if e.gone]
    assert gone == [("tanh", "linear")]
    text = write_svg(picture.graph)
    assert 'class="node op added"' in text
    for theme in (palette.LIGHT, palette.DARK):
        red, green, blue = (int(theme.marks["added"][k : k + 2], 16) for k in (1, 3, 5))
        assert green > max(red, blue)
    assert "+ relu" in picture.text


def test_equal_tapes_have_no_difference():
    one, other = (network().graph(rg.ones(3, 4)) for _ in range(2))
    picture = one.diff(other)
    assert picture.note == "0 boxes added, 0 removed"
    assert len(picture.graph.boxes) == len(one.graph.boxes)


def test_a_difference_takes_pictures():
    with pytest.raises(TypeError, match="another Picture, not int"):
        network().graph(rg.ones(3, 4)).diff(3)


# ---------------------------------------------------------------- JSON, Mermaid


def test_json_has_the_graph_and_only_plain_values():
    x = rg.tensor([0.0, 1.0], requires_grad=True)
    picture = rg.draw(x.log().sum(), {"x": x}, overlay="grad")
    data = json.loads(picture.as_json(), parse_constant=pytest.fail)  # no NaN, no Infinity
    assert data["format"] == 1
    assert set(data) == {
        "format", "title", "subtitle", "notes", "boxes", "edges", "groups", "scale",
    }  # fmt: skip
    ids = [box["id"] for box in data["boxes"]]
    assert len(set(ids)) == len(ids)
    for box in data["boxes"]:
        assert {"id", "role", "title", "kept"} <= set(box)
    for edge in data["edges"]:
        assert {"source", "target", "count"} <= set(edge)
        assert {edge["source"], edge["target"]} <= set(ids)
    assert next(box for box in data["boxes"] if box["title"] == "x")["norm"] == "inf"


def test_groups_in_json_are_a_tree_of_all_boxes():
    data = json.loads(network().graph(rg.ones(3, 4)).as_json())
    groups = {group["id"]: group for group in data["groups"]}
    assert all(group["parent"] in ("", *groups) for group in groups.values())
    for box in data["boxes"]:
        if box.get("group"):
            assert box["id"] in groups[box["group"]]["members"]


def fields(data):
    """The fields of a protobuf message: number to values, which are numbers or bytes."""
    found, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        value = varint()
        if key & 7 == 2:
            end = at + value
            assert end <= len(data)
            value, at = data[at:end], end
        else:
            assert key & 7 == 0
        found.setdefault(key >> 3, []).append(value)
    return found


def test_onnx_has_nodes_values_and_shapes_by_the_numbers_of_its_schema():
    picture = network().graph(rg.ones(3, 4))
    model = fields(picture.as_onnx())
    assert model[1] == [8]  # ir_version
    graph = fields(*model[7])
    assert fields(*model[8]) == {1: [b"retrograd"], 2: [1]}  # opset_import
    nodes = [fields(node) for node in graph[1]]
    assert [node[4][0] for node in nodes] == [b"linear", b"tanh", b"linear", b"output"]
    assert nodes[0][1] == [b"input", b"0.weight", b"0.bias"]
    assert [node[2] for node in nodes[:2]] == [nodes[1][1], nodes[2][1][:1]]
    facts = {fields(a)[1][0]: fields(a)[4][0] for a in nodes[0][5]}
    assert facts[b"module"] == b"Sequential/0: Linear"
    assert b"test_draw_views.py" in facts[b"source line"]
    inputs = {fields(v)[1][0]: fields(*fields(*fields(v)[2])[1]) for v in graph[11]}
    assert list(inputs) == [b"input", b"0.weight", b"0.bias", b"2.weight", b"2.bias"]
    assert inputs[b"input"][1] == [1]  # FLOAT
    assert [fields(d)[1][0] for d in fields(*inputs[b"input"][2])[1]] == [3, 4]
    assert [fields(v)[1][0] for v in graph[12]] == [b"out0"]


@pytest.mark.parametrize("view", ["forward", "backward", "both"])
def test_in_onnx_every_value_is_made_before_it_is_used(view):
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            for _ in range(5):
                x = self.layer(x).sin()
            return x

    for picture in (Loop().graph(rg.ones(1, 2), view=view), rg.draw(*loss(), view=view)):
        graph = fields(*fields(picture.as_onnx())[7])
        made = {fields(value)[1][0] for value in graph.get(11, [])}
        for node in map(fields, graph[1]):
            assert set(node.get(1, [])) <= made
            made.update(node[2])
        assert len(made) == len(picture.graph.boxes)


def test_the_onnx_package_takes_it():
    onnx = pytest.importorskip("onnx")
    for options in ({}, {"view": "both", "overlay": "grad"}, {"max_nodes": 1}):
        onnx.checker.check_model(onnx.load_from_string(rg.draw(*loss(), **options).as_onnx()))


@pytest.mark.parametrize("name", NASTY)
def test_names_stay_text_in_mermaid_json_and_the_page(name):
    x = rg.ones(2, requires_grad=True)
    picture = rg.draw(x.exp(), {name: x}, names={name: x})
    mermaid = picture.as_mermaid()
    assert mermaid.startswith("flowchart TD\n")
    labels = re.findall(r'"([^"]*)"', mermaid)
    assert not any(set("<>{}|[]`\\&") & set(label.replace("<br/>", "")) for label in labels)
    json.loads(picture.as_json())
    assert fields(picture.as_onnx())
    page = picture.as_html()
    inside = page.partition('id="data">')[2].partition("</script>")[0]
    assert "<" not in inside
    assert "<b>bold" not in page
    tags = "".join(re.findall(r"<[^>]*>", page.partition("<script")[0]))
    assert "onload" not in re.sub(r'"[^"]*"', "", tags)


def test_a_page_fetches_nothing():
    page = network().graph(rg.ones(3, 4)).as_html()
    assert "default-src 'none'" in page
    rest = page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert "http" not in rest
    assert "<link" not in page
    assert "src=" not in page.replace("default-src", "").replace("style-src", "")


@pytest.mark.parametrize("suffix", ["json", "mmd", "html", "onnx"])
def test_the_other_writings_are_saved_by_suffix(tmp_path, suffix):
    picture = network().graph(rg.ones(3, 4))
    path = picture.save(tmp_path / f"tape.{suffix}")
    expected = {"json": picture.as_json, "mmd": picture.as_mermaid, "html": picture.as_html}
    if suffix == "onnx":
        assert path.read_bytes() == picture.as_onnx()
    else:
        assert path.read_text(encoding="utf-8") == expected[suffix]()


# ---------------------------------------------------------------- looks


@pytest.mark.parametrize("theme", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_everything_new_stands_out_too(theme):
    def contrast(one, other):
        low, high = sorted(map(overlay.luminance, (one, other)))
        return (high + 0.05) / (low + 0.05)

    for fill in theme.pairs:
        assert contrast(theme.text, fill) >= 4.5
    for stroke in theme.marks.values():
        assert contrast(stroke, theme.page) >= 3
    assert contrast(theme.bad, theme.page) >= 3
    assert contrast(theme.quiet, theme.frame) >= 4.5


def test_in_grey_every_kind_of_box_has_a_shape_of_its_own():
    """What is left without colour: outlines, dashes and signs."""
    shapes = {}
    for role, look in palette.LOOKS.items():
        shapes.setdefault(look.outline, []).append(role)
    shared = [roles for roles in shapes.values() if len(roles) > 1]
    assert all(set(roles) <= {"fold", "summary", "module"} for roles in shared)
    for role in ("fold", "summary", "module"):  # these say in words what they are
        assert palette.LOOKS[role].meaning


def test_painted_in_one_colour_every_kind_of_box_is_another_drawing():
    spot = Spot(120.0, 40.0)
    drawn = {
        role: outline(look.outline, "#cccccc", "#333333", spot)
        for role, look in palette.LOOKS.items()
    }
    like = ("fold", "summary", "module")
    assert len({drawn[role] for role in like}) == 1
    assert len(set(drawn.values())) == len(drawn) - len(like) + 1


def test_the_legend_has_what_was_painted_and_nothing_else():
    picture = network().graph(rg.ones(3, 4), overlay="grad")
    assert "gradient norm" in write_svg(picture.graph)
    plain = write_svg(network().graph(rg.ones(3, 4)).graph)
    assert 'class="scale"' not in plain
    for role in ("leaf", "fold", "failed", "idle", "gradient"):
        assert f">{palette.LOOKS[role].meaning}<" not in plain
        assert palette.LOOKS[role].meaning not in write_dot(picture.graph)


def test_a_picture_shows_itself_in_a_notebook_in_every_form(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for picture in (
        network().graph(rg.ones(3, 4)),
        rg.draw(*loss(), view="both", overlay="grad"),
        loss()[0].graph(),
    ):
        bundle = picture._repr_mimebundle_()
        assert bundle["image/svg+xml"].startswith("<svg")
        assert picture._repr_html_() == picture._repr_svg_() == bundle["image/svg+xml"]
        assert np.all([line.isprintable() for line in bundle["text/plain"].splitlines()])


def test_a_tensor_draws_itself():
    y, names = loss()
    assert y.graph(names).source == rg.draw(y, names).source
    with pytest.raises(RuntimeError, match="no tape to draw"):
        rg.ones(2).graph()


OPS = [rg.exp, rg.sin, rg.neg, rg.relu]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_tape_is_drawn_soundly_in_every_view(data):
    """Edges lead forward unless they are loops, bytes add up, and every writing is well-formed."""
    values = [rg.ones(2, requires_grad=True) for _ in range(data.draw(st.integers(1, 3)))]
    for _ in range(data.draw(st.integers(1, 25))):
        a, b = (values[data.draw(st.integers(0, len(values) - 1))] for _ in range(2))
        choice = data.draw(st.integers(0, len(OPS)))
        values.append(a * b * 0.1 if choice == len(OPS) else OPS[choice](a))
    for _ in range(data.draw(st.sampled_from([0, 12]))):
        values.append(values[-1].sin() * values[0])
    root = [value for value in values if not value.is_leaf][-2:]
    total = None
    for options in (
        {"roll": False, "max_nodes": 1000},
        {},
        {"roll": True},
        {"max_nodes": data.draw(st.integers(1, 12))},
        {"view": "backward"},
        {"view": "both", "overlay": "grad"},
    ):
        picture = rg.draw(root, **options)
        graph = picture.graph
        place = {box.id: k for k, box in enumerate(graph.boxes)}
        assert len(place) == len(graph.boxes) <= options.get("max_nodes", 1000)
        for edge in graph.edges:
            upward = graph.upward and edge.source.startswith("b")
            if not (edge.loop or edge.link or upward):
                assert place[edge.source] < place[edge.target]
        if "view" not in options:
            kept = sum((box.kept or 0) - box.shared for box in graph.boxes)
            total = kept if total is None else total
            assert kept == total
        assert ET.fromstring(picture.as_svg()) is not None
        json.loads(picture.as_json())
        assert picture.text
        assert picture.source.count("{") == picture.source.count("}")
        assert picture.as_mermaid()
        assert picture.as_html()


@pytest.mark.parametrize("overlay", ["grad", "time", "bytes", "macs"])
@pytest.mark.parametrize("view", ["forward", "backward", "both"])
def test_a_freed_tape_is_drawn_in_every_view_and_overlay(overlay, view):
    y, names = loss()
    y.backward()
    picture = rg.draw(y, names, view=view, overlay=overlay)
    assert "freed" in picture.note
    assert ET.fromstring(picture.as_svg()) is not None
    assert picture._repr_mimebundle_()
