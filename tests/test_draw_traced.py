"""What a picture knows of ops that were seen as they happened: modules, steps, lines, failures."""

import copy
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import retrograd as rg
from retrograd import nn
from retrograd.autograd.draw.svg import write_svg


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.heads = heads

    def forward(self, x):
        n, t, width = x.shape
        parts = [
            part.reshape(n, t, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(x).split(width, 2)
        ]
        q, k, v = parts
        weights = (q @ k.transpose(2, 3) / 4).softmax(3)
        return self.out((weights @ v).transpose(1, 2).reshape(n, t, width))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attn = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x):
        x = x + self.attn(x)
        return x + self.mlp(x)


class Transformer(nn.Module):
    def __init__(self, layers, width=8):
        super().__init__()
        self.embed = nn.Linear(4, width)
        self.layers = nn.ModuleList([Block(width, 2) for _ in range(layers)])
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class Recurrent(nn.Module):
    """An LSTM written out, one step after the other."""

    def __init__(self):
        super().__init__()
        self.x = nn.Linear(3, 16)
        self.h = nn.Linear(4, 16)

    def forward(self, xs):
        h = c = rg.zeros(xs.shape[0], 4)
        for t in range(xs.shape[1]):
            i, f, g, o = (self.x(xs[:, t]) + self.h(h)).split(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return h


def mlp():
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def boxes(picture):
    return {box.id: box for box in picture.graph.boxes}


def headings(picture):
    return [box.heading for box in picture.graph.boxes]


# ---------------------------------------------------------------- modules


def test_modules_are_nested_groups_with_their_boxes():
    picture = Transformer(1).graph(rg.ones(1, 3, 4))
    groups = {group.id: group for group in picture.graph.groups}
    titles = {group.title: group for group in groups.values()}
    assert groups[titles["layers.0.attn.qkv: Linear"].parent].title == "layers.0.attn: Attention"
    assert groups[titles["layers.0.attn: Attention"].parent].title == "layers.0: Block"
    assert groups[titles["layers.0: Block"].parent].title == "Transformer"
    inside = [boxes(picture)[id].heading for id in titles["embed: Linear"].members]
    assert inside == ["embed.weight", "embed.bias", "linear"]


def test_inputs_off_the_tape_are_drawn_with_their_names():
    picture = mlp().graph(rg.ones(5, 4))
    (box,) = (box for box in picture.graph.boxes if box.role == "input")
    assert (box.title, box.shape, box.dtype) == ("input", (5, 4), "float32")
    assert any(edge.source == box.id for edge in picture.graph.edges)


@pytest.mark.parametrize(("depth", "expected"), [(0, 1), (1, 3)])
def test_depth_collapses_what_is_nested_deeper(depth, expected):
    picture = mlp().graph(rg.ones(5, 4), depth=depth)
    modules = [box for box in picture.graph.boxes if box.role == "module"]
    assert len(modules) == expected
    assert sum(box.ops for box in modules) == 3
    assert not any(box.role in ("op", "parameter") for box in picture.graph.boxes)


def test_modules_collapse_by_choice():
    model = Transformer(1)
    x = rg.ones(1, 3, 4)
    by_class = model.graph(x, collapse="Attention")
    assert [b.heading for b in by_class.graph.boxes if b.role == "module"] == [
        "layers.0.attn = Attention"
    ]
    by_name = model.graph(x, collapse=["layers.*.mlp"])
    assert "layers.0.mlp = Sequential" in headings(by_name)
    by_function = model.graph(x, collapse=lambda name: name == "layers.0")
    assert "layers.0 = Block" in headings(by_function)


def test_twelve_layers_are_drawn_as_one():
    picture = Transformer(12).graph(rg.ones(1, 3, 4), max_nodes=20)
    assert len(picture.graph.boxes) <= 15
    assert any(group.title == "layers.*: Block × 12" for group in picture.graph.groups)
    assert "layers.*.attn = Attention × 12" in headings(picture)
    assert sum(box.ops for box in picture.graph.boxes) == 12 * 23 + 2
    collapsed = Transformer(12).graph(rg.ones(1, 3, 4), roll=True, collapse="Block")
    assert "layers.* = Block × 12" in headings(collapsed)


@pytest.mark.parametrize("layers", [4, 12, 48])
def test_unasked_a_deep_transformer_takes_at_most_twenty_boxes(layers):
    picture = Transformer(layers).graph(rg.ones(1, 3, 4))
    assert len(picture.graph.boxes) <= 15
    assert any(group.title == f"layers.*: Block × {layers}" for group in picture.graph.groups)


def test_a_model_that_collapses_to_more_than_twenty_boxes_is_not_folded():
    stages = [nn.Sequential(nn.Linear(4, k), nn.Tanh(), nn.Linear(k, 4)) for k in range(2, 27)]
    picture = nn.Sequential(*stages).graph(rg.ones(2, 4))
    assert 20 < len(picture.graph.boxes) <= 40
    assert not any(box.role == "fold" for box in picture.graph.boxes)


def test_a_deep_model_has_as_many_boxes_as_a_deeper_one():
    x = rg.ones(1, 3, 4)
    six, many = (Transformer(n).graph(x, roll=True) for n in (6, 24))
    assert len(six.graph.boxes) == len(many.graph.boxes)


def test_steps_of_a_loop_are_drawn_as_one():
    model = Recurrent()
    five, fifty = (model.graph(rg.ones(2, steps, 3)) for steps in (5, 50))
    assert len(five.graph.boxes) == len(fifty.graph.boxes) < 25
    assert "linear × 50" in headings(fifty)
    assert any(edge.loop for edge in fifty.graph.edges)
    assert "↻ [" in fifty.text
    assert "↻ from" in fifty.as_text(tree=False)
    assert "what repeats is drawn once" in fifty.note
    whole = model.graph(rg.ones(2, 5, 3), roll=False, max_nodes=500)
    assert len(whole.graph.boxes) > 80


def test_steps_of_a_tape_nobody_watched_are_found_by_their_pattern():
    model = Recurrent()
    five, fifty = (rg.draw(model(rg.ones(2, steps, 3)), model) for steps in (8, 50))
    assert len(five.graph.boxes) == len(fifty.graph.boxes) < 50
    shared = next(box for box in fifty.graph.boxes if box.title == "h.weight")
    assert any(edge.source == shared.id and edge.count == 49 for edge in fifty.graph.edges)


def test_rolled_up_memory_still_adds_up():
    model = Recurrent()
    for roll in (True, False):
        picture = model.graph(rg.ones(2, 9, 3), roll=roll, max_nodes=1000)
        total = sum((box.kept or 0) - box.shared for box in picture.graph.boxes)
        assert f"keeps {total / 1024:.1f} KiB" in picture.graph.subtitle


def test_a_module_called_twice_has_two_frames():
    shared = nn.Linear(4, 4)
    picture = nn.Sequential(shared, nn.Tanh(), shared).graph(rg.ones(2, 4))
    titles = [group.title for group in picture.graph.groups]
    assert "0 (call 1): Linear" in titles
    assert "0 (call 2): Linear" in titles


def test_the_same_program_gives_the_same_dot():
    def source():
        rg.manual_seed(0)
        return Transformer(4).graph(rg.ones(1, 3, 4), overlay="grad").source

    assert source() == source()


# ---------------------------------------------------------------- lines, times


def test_every_op_knows_its_source_line():
    x = rg.ones(3, requires_grad=True)
    with rg.tracing():
        y = x.exp()  # the line
        z = (y * y).sum()
    picture = rg.draw(z)
    exp, mul = (next(b for b in picture.graph.boxes if b.title == t) for t in ("exp", "mul"))
    line = test_every_op_knows_its_source_line.__code__.co_firstlineno + 3
    here = test_every_op_knows_its_source_line.__name__
    assert __file__.endswith(exp.place.partition(":")[0])
    assert exp.place.endswith(f"{Path(__file__).name}:{line} in {here}: y = x.exp()  # the line")
    assert f":{line + 1} in" in mul.place
    assert exp.place in write_svg(picture.graph).replace("&quot;", '"')
    assert not rg.draw(x.exp()).graph.boxes[1].place  # nobody watched


def test_ops_have_the_names_they_are_called_by():
    """Nobody who calls avg_pool2d shall have to know that it is a banded map."""
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(18, 3)
    )
    picture = model.graph(rg.ones(2, 1, 8, 8))
    titles = [box.title for box in picture.graph.boxes if box.role == "op"]
    assert titles == ["conv2d", "batch_norm", "avg_pool2d", "reshape", "linear"]
    x = rg.rand(3, 4, requires_grad=True)
    with rg.tracing():
        y = (x.softmax(1) * x.cumsum(0) * x.var()).norm() + nn.functional.mse_loss(x, x * 2)
    named = {box.title for box in rg.draw(y).graph.boxes}
    assert {"softmax", "cumsum", "var", "norm", "mse_loss"} <= named


def test_on_a_tape_nobody_watched_ops_have_public_names_too():
    from retrograd.autograd.draw.trace import KNOWN_AS
    from retrograd.autograd.op import registry

    assert set(KNOWN_AS) <= set(registry)
    assert all(hasattr(rg, name) or hasattr(nn.functional, name) for name in KNOWN_AS.values())
    x = rg.rand(3, 4, requires_grad=True)
    titles = [box.title for box in rg.draw((x.softmax(1) ** 2).var()).graph.boxes]
    assert titles == ["leaf", "softmax", "pow", "var", "output"]


def test_a_gate_is_called_by_its_cell_and_its_products_are_linear():
    picture = nn.GRUCell(3, 4).graph(rg.ones(2, 3))
    titles = [box.title for box in picture.graph.boxes if box.role == "op"]
    assert titles == ["linear", "linear", "gru_cell"]


def test_tracing_leaves_the_model_as_it_was():
    model = mlp()
    before = [(dict(m.__dict__), m) for m in model.modules()]
    model.graph(rg.ones(2, 4))
    assert all(state.keys() == m.__dict__.keys() for state, m in before)
    copied = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    assert list(copied.state_dict()) == list(model.state_dict())
    assert all(p.grad is None for p in model.parameters())


def test_tracing_ends_with_its_block_and_another_thread_is_not_seen():
    model, seen = mlp(), []
    with rg.tracing(model):
        thread = threading.Thread(target=lambda: seen.append(model(rg.ones(2, 4))))
        thread.start()
        thread.join()
        mine = model(rg.ones(2, 4))
    after = model(rg.ones(2, 4))
    assert rg.draw(mine).graph.groups
    assert not rg.draw(after).graph.groups
    assert not rg.draw(seen.pop()).graph.groups


def test_tracing_works_beside_anomaly_detection():
    x = rg.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="Anomaly"), rg.autograd.detect_anomaly(), rg.tracing():
        y = x.exp()
    assert rg.draw(y).graph.boxes[1].place
    assert y.grad_fn in rg.autograd.tape.places


def test_tracing_takes_modules():
    with pytest.raises(TypeError, match="modules to know by name, not int"):
        rg.tracing(3)


def test_an_overlay_of_time_has_numbers():
    picture = mlp().graph(rg.ones(5, 4), overlay="time")
    ops = [box for box in picture.graph.boxes if box.role == "op"]
    assert all(box.seconds > 0 and box.back_seconds > 0 and box.heat is not None for box in ops)
    assert picture.graph.scale.title.startswith("time")


# ---------------------------------------------------------------- failing forward


def test_a_forward_that_raises_is_drawn_up_to_the_op_that_failed():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(9, 2))
    picture = model.graph(rg.ones(2, 4))
    last = picture.graph.boxes[-1]
    assert (last.role, last.title) == ("failed", "linear")
    assert any("(2, 8)" in note for note in last.notes)
    assert [box.title for box in picture.graph.boxes if box.role == "op"] == ["linear", "relu"]
    assert isinstance(picture.error, RuntimeError)
    assert picture.note.startswith("forward raised in linear: RuntimeError: mat1 and mat2")
    assert "in 2: Linear" in last.detail
    assert "✗" in picture.text
    assert 'class="node failed"' in write_svg(picture.graph)


def test_a_forward_that_raises_outside_any_op_is_drawn_too():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            self.layer(x).tanh()
            raise KeyError("missing")

    picture = Broken().graph(rg.ones(1, 2))
    assert picture.graph.boxes[-1].title == "KeyError"
    assert isinstance(picture.error, KeyError)


def test_wrong_arguments_are_drawn_as_a_failure_without_a_tape():
    picture = mlp().graph()
    assert isinstance(picture.error, TypeError)
    assert picture._repr_mimebundle_()


def test_a_model_without_a_tape_is_refused_with_a_reason():
    with pytest.raises(RuntimeError, match="Tanh returned nothing that requires grad"):
        nn.Tanh().graph(rg.ones(2))


def test_results_in_tuples_and_dictionaries_are_outputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            y = self.layer(x)
            return {"y": y, "rest": (y.exp(), [y.sum(), 3])}

    picture = Two().graph(rg.ones(1, 2))
    assert [box.title for box in picture.graph.boxes if box.role == "output"] == [
        "output 0", "output 1", "output 2",
    ]  # fmt: skip


def test_a_graph_is_drawn_inside_no_grad():
    with rg.no_grad():
        assert len(mlp().graph(rg.ones(2, 4)).graph.boxes) > 5
        assert not rg.is_grad_enabled()


def test_half_precision_and_integers_do_not_disturb():
    class Lookup(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(rg.ones(5, 3, dtype=rg.float16))

        def forward(self, index):
            return self.table[index].float().sum()

    picture = Lookup().graph(rg.tensor(np.array([1, 2])))
    assert picture.error is None


def test_a_loop_over_layers_that_differ_is_not_rolled_up_by_halves():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(5)])

        def forward(self, x):
            for k, layer in enumerate(self.layers):
                x = layer(x).relu()
                if k == 2:
                    x = x.exp()
            return x

    picture = Loop().graph(rg.ones(2, 3))
    assert all(box.times == 1 for box in picture.graph.boxes)
    assert not any(edge.loop for edge in picture.graph.edges)


def test_the_layers_that_come_with_the_package_are_drawn_as_small():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    deep = nn.TransformerEncoder(layer, 12).graph(rg.ones(2, 5, 8), max_nodes=20)
    assert len(deep.graph.boxes) <= 15
    assert any("TransformerEncoderLayer × 12" in group.title for group in deep.graph.groups)
    for kind in (nn.LSTM, nn.GRU, nn.RNN):
        recurrent = kind(3, 4)
        five, fifty = (recurrent.graph(rg.ones(steps, 2, 3)) for steps in (5, 50))
        assert len(five.graph.boxes) == len(fifty.graph.boxes) <= 20


def test_multiply_adds_of_layers():
    conv = nn.Conv2d(3, 4, 3, padding=1).graph(rg.ones(2, 3, 5, 5), overlay="macs")
    assert sum(box.macs or 0 for box in conv.graph.boxes) == 2 * 4 * 25 * 3 * 9
    lstm = nn.LSTM(3, 4).graph(rg.ones(5, 2, 3), overlay="macs")
    assert sum(box.macs or 0 for box in lstm.graph.boxes) == 10 * 16 * (3 + 4)
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x = rg.ones(3, 5, 8)
    picture = attention.graph(x, x, x, overlay="macs", need_weights=False)
    projections, scores = 3 * 5 * 8 * (3 * 8 + 8), 2 * 3 * 5 * 5 * 8
    assert sum(box.macs or 0 for box in picture.graph.boxes) == projections + scores


def test_a_member_called_graph_hides_the_method_and_nothing_breaks():
    class WithGraph(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("graph", rg.eye(3))
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            return self.layer(self.graph @ x)

    model = WithGraph()
    assert "graph" in model.state_dict()
    assert nn.ModuleDict({"graph": nn.Linear(1, 1)})["graph"] is not None
    picture = nn.Module.graph(model, rg.ones(3, 3))
    assert picture.error is None
    with pytest.raises(KeyError, match="already exists"):
        model.register_parameter("graph", None)


@pytest.mark.parametrize("roll", [None, True, False])
@pytest.mark.parametrize("max_nodes", [3, 8, 20, 40])
def test_no_picture_of_a_model_has_more_boxes_than_asked_for(roll, max_nodes):
    layers = [nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)) for _ in range(30)]
    model = nn.Sequential(*layers, nn.Linear(4, 2))
    model.spare = nn.Linear(4, 4).requires_grad_(False)
    picture = model.graph(rg.ones(2, 4), roll=roll, max_nodes=max_nodes)
    assert len(picture.graph.boxes) <= max_nodes
    assert sum(box.ops for box in picture.graph.boxes) == 91
