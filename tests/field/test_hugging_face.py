"""What the `datasets` library itself leaves on disk is read; in an environment of its own."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainables.data.dataset import inspect, open_dataset
from trainables.trial import Source

pytestmark = pytest.mark.trackers


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function: the name of an export → the source of what is on disk then."""
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "cache"))
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    datasets = pytest.importorskip("datasets")
    number = 0
    for part, count in (("train", 4), ("test", 2)):
        for name in ("bear", "cat", "dog"):
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3))
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(tmp_path / "images" / part / name / f"{i}.png")
                number += 1
    whole = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "images"))
    names = whole["train"].features["label"].names

    def export(name: str) -> Source:
        made = {
            "plain": lambda: whole,
            "split": lambda: whole["train"].train_test_split(test_size=0.25, seed=0),
            "filtered": lambda: whole.filter(lambda row: row["label"] != 1),
            "strings": lambda: whole.map(
                lambda row: {"animal": names[row["label"]]}
            ).remove_columns("label"),
            "arrays": lambda: whole.map(
                lambda row: {"pixel_values": np.asarray(row["image"])}, remove_columns="image"
            ),
            "resized": lambda: whole.map(lambda row: {"image": row["image"].resize((6, 6))}),
            "saved": lambda: whole,
        }[name]()
        folder = tmp_path / name
        folder.mkdir()
        if name == "saved":
            made.save_to_disk(str(folder))
        for part in made if name != "saved" else ():
            made[part].to_parquet(str(folder / f"{part}.parquet"))
        return Source(source="parquet", path=folder)

    return export


@pytest.mark.parametrize(
    ("name", "classes", "side"),
    [
        ("plain", ("bear", "cat", "dog"), 8),
        ("split", ("bear", "cat", "dog"), 8),
        ("filtered", ("bear", "dog"), 8),
        ("strings", ("bear", "cat", "dog"), 8),
        ("arrays", ("bear", "cat", "dog"), 8),
        ("resized", ("bear", "cat", "dog"), 6),
        ("saved", ("bear", "cat", "dog"), 8),
    ],
)
def test_what_datasets_writes_is_read(
    exported: Any, name: str, classes: tuple[str, ...], side: int
) -> None:
    source = exported(name)
    info = inspect(source)
    assert (info.class_names, info.sides) == (classes, (side, side))
    data = open_dataset(source, info.fingerprint, None)
    assert len(data.train.images) == info.n_train
    if name in ("plain", "arrays", "saved"):
        first = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
        assert np.array_equal(data.train.images[0], first)
