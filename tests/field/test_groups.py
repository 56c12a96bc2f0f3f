"""Images of one patient, film or place stay on one side of every split; and so do copies."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.field.test_doors import folder, line, png
from trainables.data.dataset import inspect, open_dataset
from trainables.data.splits import carve, draw
from trainables.errors import DataError
from trainables.trial import Source


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "cache"))


def patients(root: Path, per_class: int = 10, images: int = 3, test: bool = True) -> Path:
    """Each patient is of one class, with some images: r03_1.png is the second of the fourth."""
    number = 0
    for part, count in (("train", per_class), ("test", 1))[: 1 + test]:
        for label, name in enumerate(("ill", "well")):
            (root / part / name).mkdir(parents=True)
            for patient in range(count):
                who = f"{part[1]}{label * count + patient:02}"
                for i in range(images):
                    (root / part / name / f"{who}_{i}.png").write_bytes(png(number))
                    number += 1
    return root


def sides_of(source: Source) -> tuple[Any, np.ndarray, np.ndarray]:
    info = inspect(source)
    return info, *info.training.held_out(source)


def test_a_patient_is_on_one_side_of_validation(tmp_path: Path) -> None:
    source = folder(patients(tmp_path / "x"), group=r"([a-z]\d+)_", validation=0.2)
    info, pool, validating = sides_of(source)
    of = info.groups
    assert validating.size == 12
    assert not set(of[pool]) & set(of[validating])
    assert sorted(np.bincount(info.train_labels[validating])) == [6, 6]
    assert "are of 20 groups, which stay together" in line(source)[1]
    data = open_dataset(source, info.fingerprint, None)
    assert np.array_equal(data.training.held_out(source)[1], validating)
    assert np.array_equal(data.training.draw(pool, 20, 3), info.training.draw(pool, 20, 3))


def test_a_patient_is_on_one_side_of_a_carved_test_set(tmp_path: Path) -> None:
    root = patients(tmp_path / "x", test=False)
    info, pool, validating = sides_of(folder(root, group=r"\w\d\d", test=0.2, validation=0.2))
    from trainables.data.dataset import places

    source = folder(root, group=r"\w\d\d", test=0.2)
    train, test = (
        {Path(place).name[:3] for place in places(source, info, part)} for part in ("train", "test")
    )
    assert (info.n_test, train & test) == (12, set())
    assert not set(info.groups[pool]) & set(info.groups[validating])


def test_a_subset_takes_one_group_after_another() -> None:
    labels, groups = np.repeat([0, 1], 30), np.arange(60) // 3
    for n in (6, 20, 31):
        chosen = draw(labels, n, 4, groups=groups)
        _, sizes = np.unique(groups[chosen], return_counts=True)
        assert np.count_nonzero(sizes != 3) == (n % 3 > 0)
        assert np.array_equal(chosen, draw(labels, 60, 4, groups=groups)[:n])
        assert abs(np.bincount(labels[chosen])[0] - n / 2) <= 3


def test_groups_of_one_image_change_nothing(tmp_path: Path) -> None:
    root = patients(tmp_path / "x")
    plain = inspect(folder(root))
    assert inspect(folder(root, group=r"\w\d\d_\d")).fingerprint == plain.fingerprint
    assert inspect(folder(root, group="content")).fingerprint == plain.fingerprint
    assert inspect(folder(root, group=r"\w\d\d")).fingerprint != plain.fingerprint
    labels = np.arange(40) % 3
    alone = np.arange(40)
    for one, other in zip(carve(labels, 0.3), carve(labels, 0.3, groups=alone), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(draw(labels, 9, 1), draw(labels, 9, 1, groups=alone))


def test_copies_stay_together_however_they_are_stored(tmp_path: Path) -> None:
    root = patients(tmp_path / "x", images=1)
    for image in sorted((root / "train").glob("*/*.png")):
        Image.open(image).save(image.with_suffix(".bmp"))
    source = folder(root, group="content", validation=0.3)
    info, pool, validating = sides_of(source)
    assert validating.size == 12
    assert not set(info.groups[pool]) & set(info.groups[validating])
    open_dataset(source, info.fingerprint, None)
    notes = line(source)[1]
    assert "20 of 40 training images repeat an earlier one; take the repeats out" in notes
    assert "content keeps repeats on one side" in line(folder(root, validation=0.3))[1]


def test_never_all_images_of_a_class() -> None:
    labels, groups = np.array([0] * 9 + [1] * 3), np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    pool, held_out = carve(labels, 0.5, groups=groups)
    assert sorted(labels[pool]) == [0] * 3 + [1] * 3
    assert held_out.size == 6
    with pytest.raises(DataError, match="is larger by far, or holds all images"):
        carve(labels, 1, groups=groups)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (r"z\d+", r"data.group: z\\d\+: matches nothing in ill/r00_0.png"),
        ("(", r"data.group: \(: missing \)"),
        ("no_such_module:who", "data.group: no_such_module:who: .*cannot be imported"),
    ],
)
def test_groups_that_cannot_be_told(tmp_path: Path, group: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        inspect(folder(patients(tmp_path / "x"), group=group))


def test_a_column_and_a_function_name_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = patients(tmp_path / "x")
    expected = inspect(folder(root, group=r"\w\d\d")).fingerprint
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "field_groups.py").write_text("def who(path):\n    return path.split('/')[1][:3]\n")
    assert inspect(folder(root, group="field_groups:who")).fingerprint == expected
    for part in ("train", "test"):
        images = sorted((root / part).glob("*/*.png"))
        rows = [
            f"{image.relative_to(root)},{image.parent.name},{image.name[:3]}" for image in images
        ]
        (root / f"{part}.csv").write_text("\n".join(["path,label,patient", *rows]) + "\n")
        columns = {
            "image": [image.read_bytes() for image in images],
            "label": [image.parent.name for image in images],
            "patient": [image.name[:3] for image in images],
        }
        pq.write_table(pa.table(columns), tmp_path / f"{part}.parquet")
    for source in ("csv", "parquet"):
        path = root if source == "csv" else tmp_path
        named = Source.model_validate({"source": source, "path": path, "group": "patient"})
        assert inspect(named).fingerprint == expected
    with pytest.raises(DataError, match="no column film; its columns are image, label, patient"):
        inspect(Source(source="parquet", path=tmp_path, group="film"))
    assert inspect(Source(source="csv", path=root, group=r"/(\w\d\d)_")).fingerprint == expected


def test_groups_on_both_sides_as_they_came_are_said(tmp_path: Path) -> None:
    root = patients(tmp_path / "x")
    shutil.copy(root / "train/ill/r00_0.png", root / "test/ill/r00_9.png")
    assert (
        "1 groups, such as r00, have images in train and in test"
        in line(folder(root, group=r"\w\d\d"))[1]
    )
