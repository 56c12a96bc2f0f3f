"""Bad input: one message that names key and value, exit code 2, nothing written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """\
name: good
trainable: simulated
factors: {model: [a], fraction: [1/2, 1]}
recipe: {epochs: 2, lr: 1e-3}
"""
CLASSIFIED = GOOD.replace("simulated", "classifier").replace("[a]", "[resnet81]")
BAD = [
    (GOOD.replace("recipe", "recip"), ["'recip'", "did you mean recipe"]),
    (GOOD.replace("lr:", "lrr:"), ["'lrr'", "did you mean lr"]),
    (GOOD.replace("1e-3", "fast"), ["lr", "'fast'"]),
    (GOOD.replace("epochs: 2", "epochs: -2"), ["epochs", "-2"]),
    (GOOD.replace("[a]", "[]"), ["model", "at least one level"]),
    (GOOD.replace("1/2, 1", "1/2, 0.5"), ["fraction", "0.5", "one level"]),
    (GOOD.replace("1/2, 1", "1/0"), ["fraction", "1/0"]),
    (GOOD.replace("1/2, 1", "1.5"), ["fraction", "1.5"]),
    (GOOD + "resources: {gpu: 0.3}\n", ["gpu", "0.3", "1/3"]),
    (GOOD.replace("name: good", "name: a/b"), ["name", "a/b"]),
    (
        GOOD.replace("simulated", "classifier").replace("[a]", "[resnet81]"),
        ["resnet81", "resnet18"],
    ),
    (GOOD + "seeds: [0, 0]\n", ["seeds", "0"]),
    (GOOD + "name: again\n", ["name", "twice"]),
    (GOOD + "early_stopping: {compare: [modle]}\n", ["modle", "model"]),
    ("", ["empty"]),
    ("- a list\n", ["study"]),
    ("name: [unclosed\n", ["YAML"]),
    ("name: !!python/object/apply:os.system [echo]\n", ["YAML"]),
]


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("text", "named"), BAD)
def test_refusal(text: str, named: list[str], tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text)
    done = command("plan", str(file), "--out", str(tmp_path / "run"), "--json")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    message = " ".join(done.stderr.split())
    assert "study.yaml" in message
    for part in named:
        assert part in message
    assert json.loads(done.stdout)["exit_code"] == 2
    assert not (tmp_path / "run").exists()


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_bytes(bytes(range(256)))
    done = command("plan", str(file))
    assert done.returncode == 2
    assert "not a text file" in done.stderr


def test_a_sound_study_is_not(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(GOOD)
    done = command("plan", str(file), "--out", str(tmp_path / "run"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trials"]["wanted"] == 2
    assert command("plan", str(file), "--out", str(tmp_path / "run")).returncode == 0
