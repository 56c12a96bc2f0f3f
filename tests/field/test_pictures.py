"""Pictures keep their content: depth, transparency, shape; and what cannot be read is said."""

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data.dataset import Dataset, inspect, look_at, open_dataset
from trainables.data.inventory import take_stock
from trainables.data.reading import Note
from trainables.errors import DataError
from trainables.recipe import Sides
from trainables.trial import Source


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "cache"))


def folder(root: Path, save: Callable[[Path, int], None], kind: str = "png") -> Path:
    """Two classes of two training images and a test image each, numbered 0 to 5."""
    number = 0
    for part, count in (("train", 2), ("test", 1)):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                save(root / part / name / f"{i}.{kind}", number)
                number += 1
    return root


def read(root: Path, goal: Sides | None = None, **data: object) -> tuple[Dataset, list[Note]]:
    source = Source.model_validate({"source": "imagefolder", "path": root, **data})
    info = look_at(source, [goal], None)
    notes = take_stock(info, source, np.arange(0), [goal]).notes
    return open_dataset(source, info.fingerprint, goal), list(notes)


def codes(notes: list[Note]) -> dict[str, str]:
    return {note.code: note.severity for note in notes}


def rising(number: int, bits: int) -> np.ndarray:
    """Sixteen rows of values that use so many bits, the first image those of all."""
    top = 2**bits - 1 - number
    return np.linspace(0, top, 256).astype(np.uint16).reshape(16, 16)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_grey_of_more_bits_keeps_its_levels(tmp_path: Path, bits: int) -> None:
    root = folder(tmp_path / "x", lambda file, i: Image.fromarray(rising(i, bits)).save(file))
    data, notes = read(root)
    shown = data.train.images[0, :, :, 0]
    expected = np.floor(rising(0, bits) * (255 / (2**bits - 1)) + 0.5)
    assert np.array_equal(shown, expected)
    assert notes[0].code == "deep-images"
    assert f"from the {bits} bits" in notes[0].text


def tiff_of(colours: np.ndarray) -> bytes:
    """An uncompressed 16-bit colour TIFF, which Pillow reads and does not write."""
    height, width, bands = colours.shape
    body = colours.astype("<u2").tobytes()
    tags = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, bands, 8), (259, 3, 1, 1),
        (262, 3, 1, 2), (273, 4, 1, 8 + 2 * bands), (277, 3, 1, bands), (278, 3, 1, height),
        (279, 4, 1, len(body)), (284, 3, 1, 1),
    ]  # fmt: skip
    start = 8 + 2 * bands + len(body)
    depth = struct.pack("<H", 16) * bands
    listed = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"".join(
        [b"II*\0", struct.pack("<I", start), depth, body, struct.pack("<H", len(tags)), listed]
    ) + bytes(4)


def png_of(values: np.ndarray, kind: int) -> bytes:
    """A 16-bit PNG: kind 2 of colour, 4 of grey with alpha, 6 of colour with alpha."""
    import zlib

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    data = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + name + body
        data += struct.pack(">I", zlib.crc32(name + body))
    return data


@pytest.mark.parametrize("kind", ["tif", "png", "alpha.png", "grey-alpha.png"])
def test_colour_of_twelve_bits_keeps_its_levels(tmp_path: Path, kind: str) -> None:
    def save(file: Path, number: int) -> None:
        grey = rising(number, 12)
        colours = np.stack([grey, grey[::-1], grey.T], axis=2)
        opaque = np.full_like(grey, 65535)
        file.write_bytes(
            {
                "tif": lambda: tiff_of(colours),
                "png": lambda: png_of(colours, 2),
                "alpha.png": lambda: png_of(np.dstack([colours, opaque]), 6),
                "grey-alpha.png": lambda: png_of(np.dstack([grey, opaque]), 4),
            }[kind]()
        )

    data, _ = read(folder(tmp_path / "x", save, kind))
    expected = np.floor(rising(0, 12) * (255 / 4095) + 0.5)
    assert np.array_equal(data.train.images[0, :, :, 0], expected)
    other = expected if kind == "grey-alpha.png" else expected.T
    assert np.array_equal(data.train.images[0, :, :, 2], other)


def test_floats_are_read_by_a_stated_range(tmp_path: Path) -> None:
    def save(file: Path, number: int) -> None:
        Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(file)

    root = folder(tmp_path / "x", save, "tif")
    with pytest.raises(DataError, match=r"6 images .*\n.*not of a kind .*data.range: \[0, 1\]"):
        inspect(Source(source="imagefolder", path=root))
    data, _ = read(root, range=[0, 1])
    assert data.train.images[0, 0, :3, 0].tolist() == [0, 4, 8]


def test_what_alpha_alone_shows_is_seen(tmp_path: Path) -> None:
    def save(file: Path, number: int) -> None:
        values = np.zeros((8, 8, 4), np.uint8)
        values[:4, :, 3] = 255  # the upper half is there, and black
        Image.fromarray(values).convert(["RGBA", "LA"][number % 2]).save(file)

    root = folder(tmp_path / "x", save)
    data, notes = read(root)
    assert (data.train.images[:, 0] == 0).all()
    assert (data.train.images[:, 7] == 255).all()
    assert notes[0].text == "6 images are transparent in places, and lie on white"
    blue, _ = read(root, background="blue")
    assert blue.train.images[0, 7, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("kind", ["gif", "png"])
def test_a_transparent_palette_lies_on_the_background(tmp_path: Path, kind: str) -> None:
    def save(file: Path, number: int) -> None:
        image = Image.new("P", (8, 8), 1)
        image.putpalette([0, 0, 0, 200, 0, 0])
        image.paste(0, (0, 0, 8, 4))
        image.save(file, transparency=0)

    data, _ = read(folder(tmp_path / "x", save, kind))
    assert data.train.images[0, [0, 7], 0].tolist() == [[255] * 3, [200, 0, 0]]


def strip(file: Path, number: int) -> None:
    """White at the left end of a long black strip."""
    values = np.zeros((8, 80, 3), np.uint8)
    values[:, :10] = 255
    Image.fromarray(values).save(file)


def test_a_strip_is_cut_squashed_or_padded_as_the_study_says(tmp_path: Path) -> None:
    root = folder(tmp_path / "x", strip)
    cut, notes = read(root, (8, 8))
    assert cut.train.images.max() == 0
    assert codes(notes)["images-cut"] == "warning"
    assert any("cuts 90 % of their pixels away" in note.text for note in notes)
    squashed, notes = read(root, (8, 8), fit="squash")
    assert squashed.train.images[0, :, 0].min() > 200
    assert "images-cut" not in codes(notes)
    padded, _ = read(root, (16, 16), fit="pad", background="#00ff00")
    assert padded.train.images[0, 0, 8].tolist() == [0, 255, 0]
    assert padded.train.images[0, 8, 0].min() > 200


def test_another_fit_is_another_data_set_only_where_shapes_differ(tmp_path: Path) -> None:
    def square(file: Path, number: int) -> None:
        Image.new("RGB", (8, 8), (number, 0, 0)).save(file)

    for name, save, same in (("strips", strip, False), ("squares", square, True)):
        root = folder(tmp_path / name, save)
        prints = {
            inspect(Source(source="imagefolder", path=root, fit=fit)).fingerprint
            for fit in ("crop", "squash", "pad")
        }
        assert len(prints) == (1 if same else 3)


def test_rectangles_stay_as_they_are_or_become_others(tmp_path: Path) -> None:
    root = folder(tmp_path / "x", strip)
    data, notes = read(root)
    assert data.train.images.shape == (4, 8, 80, 3)
    assert "images-cut" not in codes(notes)
    assert read(root, (8, 40))[0].train.images.shape == (4, 8, 40, 3)


def test_images_of_one_colour_are_said(tmp_path: Path) -> None:
    def save(file: Path, number: int) -> None:
        Image.new("L", (8, 8), 100 + number // 4).save(file)

    _, notes = read(folder(tmp_path / "x", save))
    assert codes(notes)["flat-images"] == codes(notes)["even-images"] == "warning"


def test_damaged_images_whose_names_are_no_utf8_are_listed_too(tmp_path: Path) -> None:
    root = folder(tmp_path / "x", lambda file, _: Image.new("RGB", (16, 16)).save(file))
    for number in range(2):
        name = os.fsdecode(b"\xff%d.png" % number)
        (root / "train/cat" / name).write_bytes(b"no")
    with pytest.raises(DataError, match="2 images cannot be read, all listed in ") as caught:
        look_at(Source(source="imagefolder", path=root), [None], None)
    listed = str(caught.value).partition("all listed in ")[2].partition(";")[0]
    assert Path(listed).read_bytes().count(b"\xff") == 2


def test_all_damaged_images_are_named_at_once_or_left_out(tmp_path: Path) -> None:
    def save(file: Path, number: int) -> None:
        noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3))
        Image.fromarray(noise.astype(np.uint8)).save(file)

    root = folder(tmp_path / "x", save)
    whole = inspect(Source(source="imagefolder", path=root)).fingerprint
    cut = [root / "train/cat/0.png", root / "train/dog/1.png"]
    for file in cut:
        file.write_bytes(file.read_bytes()[:-200])
    source = Source(source="imagefolder", path=root)
    with pytest.raises(DataError) as caught:
        look_at(source, [None], None)
    message = str(caught.value)
    assert message.startswith("2 images cannot be read, all listed in ")
    assert "paths in a CSV start from its folder" in message
    assert all(f"{file}: the image is damaged" in message for file in cut)
    data, notes = read(root, damaged="skip")
    assert data.train.labels.tolist() == [0, 1]
    assert data.train.images.shape == (2, 16, 16, 3)
    listed = notes[0].text.removeprefix("2 images cannot be read, all listed in ")
    assert str(cut[0]) in Path(listed.removesuffix("; left out")).read_text()
    skipping = source.model_copy(update={"damaged": "skip"})
    found = inspect(skipping)
    assert found.train_labels.tolist() == [0, 1]
    assert found.fingerprint not in (whole, inspect(source).fingerprint)
    for file in root.glob("train/*/*.png"):
        file.write_bytes(file.read_bytes()[:-100])
    for each, said in ((source, "4 images cannot be read"), (skipping, "train: no images; at")):
        with pytest.raises(DataError, match=said):
            look_at(each, [None], None)


def test_damaged_images_are_left_out_beside_a_validation_part(tmp_path: Path) -> None:
    root = folder(tmp_path / "x", lambda file, i: Image.new("RGB", (4, 4), (i, 0, 0)).save(file))
    for number, name in enumerate(("cat", "dog")):
        (root / "val" / name).mkdir(parents=True)
        for i in range(2):
            grey = 90 + 10 * number + i
            Image.new("RGB", (4, 4), (grey, 0, 0)).save(root / "val" / name / f"{i}.png")
    for bad in ("train/cat/1.png", "val/dog/0.png"):
        (root / bad).write_bytes(b"")
    source = Source(source="imagefolder", path=root, damaged="skip")
    info = look_at(source, [None], None)
    data = open_dataset(source, info.fingerprint, None)
    pool, validating = data.training.held_out(source)
    assert data.train.images[pool, 0, 0, 0].tolist() == [0, 2, 3]
    assert data.train.images[validating, 0, 0, 0].tolist() == [90, 91, 101]
    assert data.train.labels[validating].tolist() == [0, 0, 1]
    assert np.array_equal(info.training.held_out(source)[1], validating)
    # Another share of validation is another study of the same images.
    other = source.model_copy(update={"validation": 0.4})
    assert look_at(other, [None], None).left_out == (1,)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"II*\0" + bytes(40), "a TIFF of bands or numbers"),
        (b"8BPS\0\1", "Photoshop"),
    ],
)
def test_other_kinds_are_not_called_damaged(tmp_path: Path, content: bytes, kind: str) -> None:
    root = folder(tmp_path / "x", lambda file, _: file.write_bytes(content))
    with pytest.raises(DataError, match=f"is {kind}, not of a kind that is read; convert it to PN"):
        inspect(Source(source="imagefolder", path=root))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1", "is a git-LFS pointer, not the image"),
        (b" <!DOCTYPE html><title>Quota", "is a web page that was saved instead of the image"),
    ],
)
def test_what_came_in_place_of_an_image_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    root = folder(tmp_path / "x", lambda file, _: file.write_bytes(content))
    with pytest.raises(DataError, match=said):
        inspect(Source(source="imagefolder", path=root))


def test_a_photo_of_many_pixels_is_read(tmp_path: Path) -> None:
    def save(file: Path, number: int) -> None:
        buffer = io.BytesIO()
        Image.new("1", (12_000, 9_000)).save(buffer, "PNG")
        file.write_bytes(buffer.getvalue())

    root = folder(tmp_path / "x", save)
    assert inspect(Source(source="imagefolder", path=root)).sides == (9_000, 12_000)
    message = r"12000×9000 pixels are more than the 1,000 that are decoded; set data.max_pixels"
    with pytest.raises(DataError, match=message):
        inspect(Source(source="imagefolder", path=root, max_pixels=1_000))
