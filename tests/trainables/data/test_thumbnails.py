"""Small pictures of test images, found again where the run directory says they are."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data.dataset import inspect, places
from trainables.data.thumbnails import thumbnails
from trainables.trial import Source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, count in (("train", 3), ("test", 2)):
        for label, level in (("dark", 40), ("light", 200)):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = np.full((80, 60, 3), level + number, np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / label / f"{number}.png")
    return tmp_path


def test_images_of_a_folder_are_found_by_their_place(folder: Path) -> None:
    source = Source(source="imagefolder", path=folder)
    known = places(source, inspect(source), "test")
    found = thumbnails(source, [known[0], known[3], "no such place"])
    assert list(found) == [known[0], known[3]]
    levels = [np.asarray(Image.open(io.BytesIO(file))).mean() for file in found.values()]
    assert levels == pytest.approx([40, 201], abs=2)
    assert all(len(file) < 3000 for file in found.values())


def test_what_is_gone_or_damaged_is_left_out(folder: Path) -> None:
    source = Source(source="imagefolder", path=folder)
    known = places(source, inspect(source), "test")
    (folder / "test" / "dark" / "0.png").write_bytes(b"no image")
    assert list(thumbnails(source, known[:2])) == [known[1]]
    assert thumbnails(Source(source="imagefolder", path=folder / "absent"), known) == {}


def test_embedded_digits_are_numbered() -> None:
    assert set(thumbnails(Source(), ["digits, test, image 7"])) == {"digits, test, image 7"}


def test_no_code_of_a_users_is_called() -> None:
    assert thumbnails(Source(source="no_such.module:function"), ["anywhere"]) == {}
