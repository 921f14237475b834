"""The gallery: one command makes eight pictures and the page that shows them."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import retrograd as rg

ROOT = Path(rg.__file__).parent


def test_one_command_makes_what_the_documentation_shows(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "gallery.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    shown = {
        path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs/gallery").iterdir()
    }
    assert made == shown | {"gallery.md", "tape.svg"}
    pictures = [path for path in made if path.startswith("gallery/") and path.endswith(".svg")]
    assert len(pictures) == 8
    page = (tmp_path / "gallery.md").read_text("utf-8")
    assert page == (ROOT / "docs" / "gallery.md").read_text("utf-8")
    for path in pictures:
        assert f"({path})" in page
        assert ET.parse(tmp_path / path).getroot().get("role") == "img"
    assert str(ROOT) not in "".join((tmp_path / path).read_text("utf-8") for path in made)


def test_the_pictures_show_what_their_titles_say():
    text = {p.stem: p.read_text("utf-8") for p in (ROOT / "docs" / "gallery").glob("*.svg")}
    assert "NaN or inf arises here" in text["nan"]
    assert "keeps a value that was changed since" in text["in_place"]
    assert "gradient norm" in text["gru"]
    assert "× 50" in text["lstm"]
    assert "TransformerEncoderLayer × 12" in text["transformer"]
    assert text["transformer"].count('class="node ') <= 20
    assert "derivative, in backward" in text["mlp"]
