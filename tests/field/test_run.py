"""What was read is recorded with the run, for good."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from orchestrator.run.runner import run_study
from orchestrator.study.study import study_from
from results import open as results_open
from results import write_report
from results.store.store import Store


def test_a_run_records_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "field_net.py").write_text(
        "from torch import nn\n\n\ndef net(n):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(8 * 8 * 3, n))\n"
    )
    for part, count in (("train", 8), ("test", 2)):
        for name in ("cat", "dog"):
            (tmp_path / "x" / part / name).mkdir(parents=True)
            for i in range(count):
                seed = [part == "test", name == "cat", i]
                pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "x" / part / name / f"{i}.png")
    copied = tmp_path / "x/train/dog/z.bmp"
    Image.open(tmp_path / "x/test/dog/0.png").save(copied)
    values = {
        "name": "read",
        "data": {"source": "imagefolder", "path": str(tmp_path / "x"), "validation": 4},
        "factors": {"model": ["field_net:net"]},
        "recipe": {"epochs": 1, "batch_size": 4},
    }
    run_study(study_from(values), tmp_path / "run", address="none")
    store = Store(tmp_path / "run")
    rows = store.read("examples").to_pylist()
    assert [row["class"] for row in rows] == ["cat", "cat", "dog", "dog"]
    assert rows[2]["place"] == str(tmp_path / "x/test/dog/0.png")
    assert [row["copy_of"] for row in rows] == [None, None, str(copied), None]
    (environment,) = store.read("environments").to_pylist()
    assert environment["data_content"] == environment["data_fingerprint"]
    assert environment["train_fingerprint"] != environment["test_fingerprint"]
    read = json.loads(environment["data"])
    assert read["classes"] == {"cat": {"train": 8, "test": 2}, "dog": {"train": 9, "test": 2}}
    assert (read["train"], read["validation"], read["test"]) == (17, 4, 4)
    page = write_report(results_open(tmp_path / "run")).read_text()
    assert "data: 2 classes (cat 8, dog 9), 17 train (4 of them validation), 4 test" in page


def test_a_level_that_is_renamed_is_renamed_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "renamed_net.py").write_text(
        "from torch import nn\n\n\ndef net(n):\n"
        "    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, n))\n"
    )
    net = importlib.import_module("renamed_net").net(10)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    for label in ("mine", "ours"):
        values = {
            "name": "renamed",
            "factors": {
                "model": ["renamed_net:net"],
                "weights": ["none", {label: str(tmp_path / "w.pth")}],
                "fraction": [20],
            },
            "recipe": {"epochs": 1, "batch_size": 10},
        }
        run_study(study_from(values), tmp_path / "run", address="none")
    run = results_open(tmp_path / "run")
    assert len(run.trials()) == len(run.epochs()) == 2
    for frame in (run.trials(), run.epochs(), run.epochs(compared=True), run.summary()):
        assert set(frame["weights"]) == {"none", "ours"}
