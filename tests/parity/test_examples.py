"""The example is the same program in PyTorch: one import changed, the same losses printed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

EXAMPLES = Path(__file__).parents[2] / "examples"


def printed_losses(folder, script):
    """The losses of an epoch on scikit-learn's digits, in float64, with dropout."""
    options = ["--epochs", "1", "--float64", "--print-steps", "--picture", "", "--checkpoint", ""]
    environment = {k: v for k, v in os.environ.items() if k != "RETROGRAD_DATA"}
    environment |= {"RETROGRAD_OFFLINE": "1", "XDG_CACHE_HOME": str(folder)}
    environment |= {"PYTHONPATH": str(EXAMPLES)}
    run = subprocess.run(
        [sys.executable, str(script), *options],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return [line for line in run.stdout.splitlines() if line.startswith("step ")]


def test_one_import_changed(tmp_path):
    source = (EXAMPLES / "mnist.py").read_text(encoding="utf-8")
    ported = source.replace("import retrograd as torch", "import torch")
    ported = ported.replace("from retrograd", "from torch")
    assert ported != source
    script = tmp_path / "ported.py"
    script.write_text(ported, encoding="utf-8")
    ours, theirs = (printed_losses(tmp_path, s) for s in (EXAMPLES / "mnist.py", script))
    assert len(ours) > 20
    assert ours == theirs
