"""The example programs, run as a user runs them: in a process of their own, with no network."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import retrograd as rg

pytest.importorskip("sklearn", reason="the digits that stand in for MNIST come with scikit-learn")

EXAMPLES = Path(__file__).parent.parent / "examples"
STEPS_PER_EPOCH = 24  # 1,527 training digits in batches of 64


def start(folder, *options):
    """A run of the MNIST example on scikit-learn's digits, writing into ``folder``."""
    environment = {k: v for k, v in os.environ.items() if k != "RETROGRAD_DATA"}
    environment |= {"RETROGRAD_OFFLINE": "1", "XDG_CACHE_HOME": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-u", str(EXAMPLES / "mnist.py"), "--epochs", "2", *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """What a run printed; it must have ended well."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    return out


def losses(text):
    return [line for line in text.splitlines() if line.startswith("step ")]


def test_it_trains_draws_and_says_where_the_data_is_from(tmp_path):
    out = finish(start(tmp_path))
    assert "scikit-learn" in out
    accuracy = float(out.split("test accuracy")[-1].split("%")[0])
    assert accuracy > 85
    assert "<svg" in (tmp_path / "tape.svg").read_text(encoding="utf-8")
    trained = rg.load(tmp_path / "mnist.pt")
    assert [*trained] == [f"{m}.{p}" for m in ("hidden1", "hidden2", "output")
                          for p in ("weight", "bias")]  # fmt: skip
    assert not (tmp_path / "mnist.ckpt").exists()


def test_the_same_seed_gives_the_same_run(tmp_path):
    first, second = (losses(finish(start(tmp_path, "--print-steps"))) for _ in range(2))
    assert first == second


def test_control_c_then_the_same_command_is_one_run(tmp_path):
    whole = losses(finish(start(tmp_path, "--print-steps")))
    process = start(tmp_path, "--print-steps")
    seen = ""
    for line in process.stdout:  # to the end: communicate() would miss lines that are read ahead
        seen += line
        if line.startswith("step 7 "):
            process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "run the same command to go on" in seen
    before = losses(seen)
    assert len(before) < len(whole)

    again = finish(start(tmp_path, "--print-steps"))
    assert "continuing mnist.ckpt" in again
    assert before + losses(again) == whole


def test_a_checkpoint_of_another_program_is_refused(tmp_path):
    rg.save({"model": {"weight": rg.ones(2)}}, tmp_path / "mnist.ckpt")
    out, err = (process := start(tmp_path)).communicate(timeout=120)
    assert process.returncode == 1
    assert "no checkpoint of this program" in err
    assert "Delete it" in err
    assert "epoch" not in out


def test_a_truncated_data_file_is_an_error_with_the_remedy(tmp_path):
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{name}-ubyte.gz").write_bytes(b"\x1f\x8b\x08\x00")
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / "mnist.py")],
        cwd=tmp_path,
        env={**os.environ, "RETROGRAD_DATA": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 1
    assert "train-images-idx3-ubyte.gz" in run.stderr
    assert "Traceback" not in run.stderr
