"""Who draws a picture, on machines with and without Graphviz, and where it is written."""

import os
import shutil
import sys
import tempfile
import xml.etree.ElementTree as ET

import pytest
from retrograd.autograd.draw import draw, picture
from retrograd.autograd.draw.svg import write_svg

from .drawn import NASTY, chain, leaf, mlp


@pytest.fixture
def no_graphviz(monkeypatch, tmp_path):
    """A machine with neither dot nor pygraphviz."""
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


@pytest.fixture
def fake_dot(monkeypatch, tmp_path):
    """Puts a dot of one's own making on an otherwise empty PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "pygraphviz", None)

    def install(program):
        script = folder / "dot"
        script.write_text(f"#!{sys.executable}\nimport sys, time\n{program}\n")
        script.chmod(0o755)

    return install


# ---------------------------------------------------------------- the ladder


def test_without_graphviz_the_svg_is_our_own(no_graphviz, tmp_path):
    drawn = draw(*mlp())
    path = drawn.save(tmp_path / "tape.svg")
    assert drawn.rung == "svg"
    assert "no dot on the PATH; no pygraphviz" in drawn.note
    assert path.read_text(encoding="utf-8") == write_svg(drawn.graph)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("sys.exit('dot: syntax error')", "dot failed"),
        ("print('<svg>')", "its svg is incomplete"),
        ("print('<svg><g class=\"node op\"></g></svg>')", "its svg is incomplete"),
        ("time.sleep(60)", "it took longer than 1.5 s"),
        ("sys.stdout.buffer.write(bytes([255]) * 9)", "dot failed"),
    ],
    ids=["exit", "stub", "half", "hang", "garbage"],
)
def test_a_broken_dot_falls_to_our_own_svg(fake_dot, tmp_path, program, reason):
    fake_dot(program)
    drawn = draw(*mlp())
    path = drawn.save(tmp_path / "tape.svg", time_limit=1.5)
    assert drawn.rung == "svg"
    assert reason in drawn.note
    assert ET.parse(path).getroot().get("class") == "rg-tape"


def test_a_working_dot_draws_and_its_svg_wears_our_clothes(fake_dot, tmp_path):
    loss, params = mlp()
    drawn = draw(loss, params)
    count = len(drawn.graph.boxes) + len(drawn.graph.roles)
    nodes = '<g class="node op"></g>' * count
    fake_dot(f"""print('<svg xmlns="http://www.w3.org/2000/svg" width="9pt">{nodes}</svg>')""")
    root = ET.parse(drawn.save(tmp_path / "tape.svg")).getroot()
    assert drawn.rung == "dot"
    assert (root.get("role"), root[0].text) == ("img", drawn.graph.title)


def test_pygraphviz_is_the_second_rung(monkeypatch, tmp_path):
    (tmp_path / "pygraphviz.py").write_text(
        "class AGraph:\n"
        "    def __init__(self, string): self.string = string\n"
        "    def draw(self, path, format, prog):\n"
        "        assert 'digraph' in self.string and prog == 'dot'\n"
        "        return b'%PDF-1.7' + b' ' * 300 + b'%%EOF'\n"
    )
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    drawn = draw(*mlp())
    assert drawn.save(tmp_path / "tape.pdf").read_bytes().startswith(b"%PDF")
    assert drawn.rung == "pygraphviz"


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_the_real_dot(tmp_path, suffix):
    x = leaf(2)
    named = {name: leaf(2) for name in NASTY}
    drawn = draw(sum(named.values(), x), named)
    assert drawn.save(tmp_path / f"tape.{suffix}").stat().st_size > 200
    assert drawn.rung == "dot", drawn.note


def test_a_picture_too_large_for_graphviz_is_drawn_by_us(fake_dot, tmp_path):
    fake_dot("time.sleep(60)")
    drawn = draw(*chain(2000), max_nodes=10_000)
    drawn.save(tmp_path / "tape.svg")
    assert "too slow for 2,002 boxes" in drawn.note


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_without_graphviz_another_format_becomes_svg_with_a_warning(no_graphviz, tmp_path, suffix):
    drawn = draw(*mlp())
    with pytest.warns(UserWarning, match=r"pip install retrograd\[viz\]"):
        path = drawn.save(tmp_path / f"tape.{suffix}")
    assert path == tmp_path / "tape.svg"
    assert ET.parse(path)
    assert os.listdir(tmp_path) == ["tape.svg"]


@pytest.mark.parametrize(
    ("name", "format", "written"),
    [
        ("a.dot", None, "a.dot"),
        ("a.gv", None, "a.gv"),
        ("a.txt", None, "a.txt"),
        ("a", None, "a.svg"),
        ("a", "dot", "a.dot"),
        ("v1.5", "txt", "v1.5.txt"),
    ],
)
def test_the_suffix_decides(no_graphviz, tmp_path, name, format, written):
    drawn = draw(*mlp())
    path = drawn.render(tmp_path / name, format=format)
    assert path == tmp_path / written
    text = path.read_text(encoding="utf-8")
    if written.endswith((".dot", ".gv")):
        assert text == drawn.source
    elif written.endswith(".txt"):
        assert text == drawn.text + "\n"


# ---------------------------------------------------------------- notebooks


def test_a_notebook_gets_svg_and_text(no_graphviz):
    drawn = draw(*mlp())
    bundle = drawn._repr_mimebundle_()
    assert set(bundle) == {"image/svg+xml", "text/plain"}
    assert "no dot on the PATH" in bundle["text/plain"]
    assert drawn._repr_svg_() == bundle["image/svg+xml"]
    assert set(drawn._repr_mimebundle_(include=["text/plain"])) == {"text/plain"}
    assert set(drawn._repr_mimebundle_(exclude=["text/plain"])) == {"image/svg+xml"}


def test_a_notebook_never_sees_an_exception(no_graphviz, monkeypatch):
    def fail(graph):
        raise ZeroDivisionError("no ink")

    monkeypatch.setattr(picture, "write_svg", fail)
    drawn = draw(*mlp())
    assert "no ink" in drawn._repr_mimebundle_()["text/plain"]
    assert drawn._repr_svg_() is None
    assert drawn.rung == "text"


@pytest.mark.skipif(not picture.importable("pygraphviz"), reason="pygraphviz is not installed")
def test_the_real_pygraphviz_reads_every_kind_of_picture(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    named = {name: leaf(2) for name in NASTY}
    root = sum(named.values(), leaf(2))
    for number, drawn in enumerate(
        [
            draw(root, named, overlay="grad"),
            draw(root, named, view="both"),
            draw(root, named, view="backward"),
            draw(root, named).diff(draw(root.exp(), named)),
        ]
    ):
        drawn.save(tmp_path / f"{number}.svg")
        assert drawn.rung == "pygraphviz", drawn.note


# ---------------------------------------------------------------- where to


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in one of \.svg"):
        draw(*mlp()).save(tmp_path / "tape.jpeg")


@pytest.mark.parametrize("name", ["tape.svg", "tape.dot"])
def test_a_folder_that_cannot_be_written_to(no_graphviz, monkeypatch, tmp_path, name):
    def refuse(source, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError, match="that you may write to") as caught:
        draw(*mlp()).save(tmp_path / name)
    assert caught.value.filename == str(tmp_path / name)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="POSIX only")
@pytest.mark.parametrize("name", ["tape.svg", "tape.html", "tape.onnx"])
def test_a_folder_that_is_read_only(name, tmp_path):
    draw(*mlp()).save(tmp_path / name)  # reads what a page is made of, which others may not
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # to whom permissions apply
        with pytest.raises(PermissionError, match="in a folder that exists and that you may write"):
            draw(*mlp()).save(os.path.join(folder, name))
        assert os.listdir(folder) == []
    finally:
        os.seteuid(user)
        shutil.rmtree(folder)


@pytest.mark.parametrize("path", ["", ".", "/"])
def test_a_path_that_names_no_file(path):
    with pytest.raises(ValueError, match="names no file"):
        draw(*mlp()).save(path)


def test_a_folder_that_is_not_there(no_graphviz, tmp_path):
    with pytest.raises(FileNotFoundError, match="a folder that exists"):
        draw(*mlp()).save(tmp_path / "missing" / "tape.svg")
