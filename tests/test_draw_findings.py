"""What a picture finds: gradients, NaN and infinity, changed values, idle parameters, memory."""

import gc
import re
import tracemalloc
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import retrograd as rg
from retrograd import nn
from retrograd.autograd.draw import overlay
from retrograd.autograd.draw.svg import write_svg


def deep(layers=6, width=8):
    """A sigmoid network in which gradients vanish, run; and its parameters by name."""
    rg.manual_seed(0)
    params = {f"w{k}": rg.Parameter(rg.randn(width, width) * 0.5) for k in range(layers)}
    h = rg.ones(2, width)
    for w in params.values():
        h = (h @ w).sigmoid()
    return h.sum(), params


def marked(picture, mark):
    return [box.title for box in picture.graph.boxes if mark in box.marks]


def by_title(picture, title):
    return next(box for box in picture.graph.boxes if box.title == title)


# ---------------------------------------------------------------- memory


def test_the_bytes_drawn_are_those_that_are_held():
    """The tape alone is alive, so what NumPy has allocated is what it keeps."""
    domain = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    x = rg.ones(200, 200, requires_grad=True)  # 160 kB, allocated before the count
    gc.collect()
    tracemalloc.start()
    try:
        z = x
        for _ in range(6):
            z = rg.tanh(z) * z
        node = z.sum().grad_fn
        del z
        gc.collect()
        snapshot = tracemalloc.take_snapshot().filter_traces([domain])
        held = sum(trace.size for trace in snapshot.traces if trace.size >= 1000)
    finally:
        tracemalloc.stop()
    picture = rg.draw(node, {"x": x})
    drawn = sum((box.kept or 0) - box.shared for box in picture.graph.boxes)
    own = x.nbytes
    assert drawn == 12 * own
    assert drawn - own == held


def test_an_op_says_who_else_keeps_the_memory_it_keeps():
    x = rg.ones(3, requires_grad=True)
    y = x.tanh()
    picture = rg.draw((y * y).sum())
    assert "shares memory with what tanh (n1) keeps" in by_title(picture, "mul").detail
    assert "shares memory" not in by_title(picture, "tanh").detail


# ---------------------------------------------------------------- gradients


def test_gradient_norms_are_those_of_backward():
    loss, params = deep()
    picture = rg.draw(loss, params, overlay="grad")
    assert all(w.grad is None for w in params.values())
    loss.backward()  # the rehearsal has freed nothing
    for name, w in params.items():
        norm = float(np.linalg.norm(w.grad.numpy()))
        assert by_title(picture, name).norm == pytest.approx(norm, rel=1e-5)


def test_vanishing_gradients_show_as_one_hue_after_another():
    loss, params = deep()
    picture = rg.draw(loss, params, overlay="grad")
    norms = [by_title(picture, name).norm for name in params]
    assert norms == sorted(norms)
    colours = [overlay.colour(by_title(picture, name).heat) for name in params]
    lights = [overlay.luminance(colour) for colour in colours]
    assert lights == sorted(lights)
    assert len(set(lights)) == len(lights)
    assert by_title(picture, "w0").heat_text == f"grad {norms[0]:.3g}"
    assert picture.graph.scale.title == "gradient norm"


def test_gradients_that_vanish_are_said_to():
    x = rg.ones(4, requires_grad=True)
    y = x.sin()
    picture = rg.draw((y * 1e-6).sum(), {"x": x}, names={"y": y}, overlay="grad")
    assert re.search(
        r"2,000,000 times smaller at x \(norm [\d.e-]+\) than at mul \(2\)", picture.note
    )
    assert "times smaller" not in rg.draw(y.sum(), {"x": x}, overlay="grad").note
    assert "times smaller" not in rg.draw((y * 1e-6).sum(), {"x": x}).note


def test_the_bar_of_colours_is_in_order_in_grey_and_its_text_stands_out():
    stops = [overlay.colour(k / 100) for k in range(101)]
    lights = [overlay.luminance(c) for c in stops]
    assert lights == sorted(lights)
    for colour, light in zip(stops, lights, strict=True):
        text = overlay.luminance(overlay.text_on(colour))
        low, high = sorted((text, light))
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_the_colour_bar_and_its_numbers_are_in_every_writing():
    loss, params = deep(2)
    picture = rg.draw(loss, params, overlay="bytes")
    text = write_svg(picture.graph)
    assert 'class="scale"' in text
    for _, number in picture.graph.scale.ticks:
        assert f">{number}<" in text
        assert number in picture.source
    assert 'class="scale"' not in write_svg(rg.draw(loss, params).graph)


def test_hooks_and_grad_stay_out_of_a_rehearsal():
    x = rg.ones(3, requires_grad=True)
    y = x.exp()
    y.retain_grad()
    calls = []
    handle = x.register_hook(calls.append)
    rg.draw((y * y).sum(), overlay="grad")
    handle.remove()
    assert calls == []
    assert y.grad is None
    assert x.grad is None


def test_multiply_adds_are_counted_from_shapes():
    x, w = rg.ones(3, 5), rg.ones(5, 7, requires_grad=True)
    picture = rg.draw((x @ w).relu().sum(), overlay="macs")
    assert by_title(picture, "matmul").macs == 3 * 5 * 7
    assert by_title(picture, "relu").macs is None
    layer = nn.Linear(5, 7).graph(x, overlay="macs")
    assert by_title(layer, "linear").macs == 3 * 5 * 7


def test_an_unknown_overlay_names_those_there_are():
    x = rg.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="no overlay 'heat': choose one of 'grad', 'time', 'byt"):
        rg.draw(x.exp(), overlay="heat")
    with pytest.raises(ValueError, match="no overlay 3"):
        x.exp().graph(overlay=3)


def test_an_overlay_without_numbers_says_so():
    x = rg.ones(2, requires_grad=True)
    picture = rg.draw(x.exp(), overlay="macs")
    assert picture.graph.scale is None
    assert "nothing to show of 'macs'" in picture.note


def test_fan_in_counts_the_gradients_added_up():
    x = rg.ones(2, requires_grad=True)
    y = x.exp()
    picture = rg.draw(y * y + y.sin() + x)
    assert by_title(picture, "exp").fan_in == 3
    assert "its gradient is the sum of 3" in by_title(picture, "exp").detail
    thick, thin = (
        float(re.search(r'stroke-width="([\d.]+)"', found)[1])
        for found in re.findall(r'<g class="edge".*?</g>', write_svg(picture.graph))[1:3]
    )
    assert thick > thin


# ---------------------------------------------------------------- NaN and infinity


class Layers(nn.Module):
    """Five layers; the third takes a logarithm of zero."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(5)])

    def forward(self, x):
        for k, layer in enumerate(self.layers):
            x = layer(x)
            if k == 2:
                x = (x * 0).log()
        return x.sum()


def test_a_logarithm_of_zero_is_the_one_origin_and_the_rest_follows():
    picture = Layers().graph(rg.ones(2, 3), roll=False)
    assert marked(picture, "origin") == ["log"]
    ops = [box.title for box in picture.graph.boxes if box.role == "op" and "strange" in box.marks]
    assert ops[-3:] == ["linear", "linear", "sum"]
    notes = {box.title: box.notes for box in picture.graph.boxes}
    assert "inf arises here" in notes["log"]
    assert not any("arises" in note for title in notes if title != "log" for note in notes[title])
    assert "inf arises in log" in picture.note
    assert "and reaches the output" in picture.note
    bad = [edge for edge in picture.graph.edges if edge.bad]
    assert [edge.target for edge in bad][-1] == "out0"
    assert len(bad) == 4
    assert "✗ log" in picture.text
    assert 'class="edge bad"' in write_svg(picture.graph)
    assert "6 of 6 values are inf" in by_title(picture, "log").detail


def test_nan_is_found_on_a_tape_nobody_watched_where_values_are_kept():
    x = rg.tensor([-1.0, 4.0], requires_grad=True)
    picture = rg.draw((x.sqrt().exp() * 2).sum())
    assert marked(picture, "origin") == ["sqrt"]
    assert "exp" in marked(picture, "strange")


def test_infinity_that_is_dealt_with_does_not_reach_the_output():
    x = rg.tensor([0.0, 4.0], requires_grad=True)
    with rg.tracing():
        loss = rg.where(x > 0, x.log().exp(), x).sum()
    picture = rg.draw(loss, backward=False)
    assert "inf arises in log (n1) and does not reach the output" in picture.note
    assert not any(edge.bad for edge in picture.graph.edges)


def test_nan_that_arises_in_backward_alone_is_found():
    """The slope of a root at zero is infinite, and zero times that is NaN; forward is finite."""
    x = rg.tensor([0.0, 4.0], requires_grad=True)
    picture = rg.draw((x.sqrt() * rg.tensor([0.0, 1.0])).sum(), {"x": x})
    assert marked(picture, "origin") == ["sqrt"]
    assert "in backward, NaN arises in the derivative of sqrt (n1)" in picture.note
    assert "arises in sqrt" not in picture.note.replace("derivative of sqrt", "")
    assert marked(picture, "strange") == ["x"]


def test_a_leaf_or_an_input_that_is_not_finite_is_named():
    w = rg.tensor([1.0, float("nan")], requires_grad=True)
    assert "NaN is in w and reaches the output" in rg.draw((w * w).sum(), {"w": w}).note
    model = nn.Linear(2, 1)
    picture = model.graph(rg.tensor([[1.0, float("inf")]]))
    assert "comes into linear" in picture.note


def test_a_healthy_tape_has_no_marks():
    loss, params = deep(2)
    picture = rg.draw(loss, params)
    assert picture.graph.marks == ()
    assert picture.note == ""


# ---------------------------------------------------------------- changed values


def test_a_kept_value_that_was_changed_is_marked_with_its_edge():
    x = rg.ones(3, requires_grad=True)
    y = x.exp()
    z = y.sin()
    y.add_(1)
    picture = rg.draw(z.sum(), {"x": x})
    assert marked(picture, "stale") == ["exp", "sin"]
    assert "backward will raise at" in picture.note
    assert "test_draw_findings.py:" in picture.note
    assert ": y.add_(1)" in picture.note
    bad = {(edge.source, edge.target) for edge in picture.graph.edges if edge.bad}
    assert (by_title(picture, "exp").id, by_title(picture, "sin").id) in bad
    assert "changed by add_ (version 1)" in by_title(picture, "sin").detail
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_memory_that_numpy_changed_is_marked_too():
    array = np.ones(3, np.float32)
    w = rg.ones(3, requires_grad=True)
    y = w * rg.from_numpy(array)
    assert marked(rg.draw(y), "stale") == []
    array[0] = 7
    picture = rg.draw(y)
    assert marked(picture, "stale") == ["mul"]
    assert "changed by NumPy code" in picture.note


# ---------------------------------------------------------------- parameters


def test_frozen_unused_and_cut_off_parameters_are_told_apart():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen = nn.Linear(2, 2).requires_grad_(False)
            self.unused = nn.Linear(2, 2)
            self.cut = nn.Linear(2, 2)
            self.used = nn.Linear(2, 2)

        def forward(self, x):
            return self.used(self.frozen(x)) + self.cut(x).detach()

    picture = Model().graph(rg.ones(1, 2))
    why = {b.title: b.notes[0] for b in picture.graph.boxes if b.role == "idle"}
    assert why["frozen.weight"] == "requires_grad=False"
    assert why["unused.weight"] == "its module did not run"
    assert "cut.bias (cut off: its module ran)" in picture.note or "and 1 more" in picture.note
    assert marked(picture, "detached") == list(why)
    assert "∅ frozen.weight" in picture.text


def test_a_parameter_whose_gradient_is_zero_is_named():
    w = rg.Parameter(rg.ones(3))
    x = rg.tensor([-1.0, -2.0, -3.0])
    picture = rg.draw((w * x).relu().sum(), {"w": w})
    assert "the gradient is exactly zero: w" in picture.note


# ---------------------------------------------------------------- cycles


def test_a_seeded_reference_cycle_is_found_and_a_sound_tape_has_none():
    x = rg.ones(2, requires_grad=True)
    y = x.exp()
    assert rg.tape_cycles(y.sum()) == []

    class Keeper(rg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.result = x * 2
            return ctx.result

        @staticmethod
        def backward(ctx, g):
            return g * 2

    z = Keeper.apply(x)
    (ring,) = rg.tape_cycles(z.sum())
    assert ring.startswith("KeeperBackward → ")
    assert ring.endswith("Tensor → KeeperBackward")
    z.grad_fn.context.result = None
    assert rg.tape_cycles(z) == []
    with pytest.raises(TypeError, match="a tensor with a tape"):
        rg.tape_cycles(3)


# ---------------------------------------------------------------- looks


def test_graphviz_gives_a_marked_box_the_line_of_the_legend():
    source = Layers().graph(rg.ones(2, 3)).source
    boxes = [line for line in source.splitlines() if '"legend' not in line]
    strange = [line for line in boxes if " strange" in line]
    origin = [line for line in boxes if " origin" in line]
    assert strange
    assert all('style="dashed,' in line for line in strange)
    assert origin
    assert all('style="solid,' in line for line in origin)


def test_marks_differ_by_sign_and_line_as_well_as_colour():
    from retrograd.autograd.draw.palette import SIGNS

    assert len({sign.sign for sign in SIGNS.values()}) == len(SIGNS)
    assert len({sign.dashes for sign in SIGNS.values()}) == len(SIGNS)
    picture = Layers().graph(rg.ones(2, 3))
    root = ET.fromstring(write_svg(picture.graph))
    legend = [e for e in root.iter() if (e.get("class") or "").startswith("legend ")]
    kinds = {e.get("class").split()[1] for e in legend}
    assert {"origin", "strange"} <= kinds
    assert "stale" not in kinds
    assert "added" not in kinds
