"""The same images wherever they are held: on the device, in the node's file, as stored."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from numpy.lib import format as npy
from PIL import Image

from trainables.data import cache as folder
from trainables.data import dataset, decoding, holding
from trainables.data.batches import Batch, Batches, Examples
from trainables.data.cache import opened_json, sealed_json
from trainables.data.dataset import Dataset, Images, inspect, is_stored, open_dataset
from trainables.data.holding import Held, held, main_memory
from trainables.data.rows import Rows, open_images
from trainables.errors import DataError, PictureError
from trainables.recipe import Sides
from trainables.trial import Source

CPU = torch.device("cpu")
KINDS = ("jpg", "png", "webp")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Images of two classes, of unlike sizes and kinds, some transparent, some of 16 bits."""
    generator = np.random.default_rng(0)
    for part, count in (("train", 9), ("test", 5)):
        for number in range(2 * count):
            folder = tmp_path / "images" / part / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{number}.{KINDS[number % 3]}"
            height, width = 20 + number, 31 - number
            if number == 4:
                deep = generator.integers(0, 1000, (height, width), dtype=np.uint16)
                Image.fromarray(deep).save(file.with_suffix(".png"))
                continue
            channels = 4 if number % 3 == 1 else 3
            pixels = generator.integers(0, 256, (height, width, channels), dtype=np.uint8)
            Image.fromarray(pixels).save(file)
    return Source(source="imagefolder", path=tmp_path / "images")


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let decoded images find no room."""
    monkeypatch.setattr(dataset, "is_stored", lambda *given: True)


def opened(source: Source, goal: Sides | None = (16, 24)) -> Dataset:
    return open_dataset(source, inspect(source).fingerprint, goal)


@pytest.fixture
def both(
    source: Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[Dataset, Dataset]:
    """Return the images decoded, and as stored."""
    decoded = opened(source)
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "other"))
    full_disk(monkeypatch)
    return decoded, opened(source)


def waiting_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("images")]


def test_what_is_stored_is_decoded_as_before(both: tuple[Dataset, Dataset]) -> None:
    decoded, stored = both
    for one, other in ((decoded.train, stored.train), (decoded.test, stored.test)):
        assert isinstance(other.images, Rows)
        assert other.images.shape == one.images.shape
        assert len(other.images) == len(one.images)
        np.testing.assert_array_equal(other.images[:], one.images)
        np.testing.assert_array_equal(other.images[3], one.images[3])
        np.testing.assert_array_equal(other.images[np.array([5, 2])], one.images[[5, 2]])
        np.testing.assert_array_equal(other.labels, one.labels)
    assert decoded.training.class_names == stored.training.class_names


def test_the_pass_tells_the_same_of_both(both: tuple[Dataset, Dataset]) -> None:
    decoded, stored = both
    assert decoded.train.sums is not None
    np.testing.assert_array_equal(decoded.train.sums, stored.train.sums)
    some = np.array([7, 0, 3])
    expected = decoding.channel_statistics(decoded.train.images, some)
    for each in (decoded.train, stored.train, Images(stored.train.images, stored.train.labels)):
        found = decoding.channel_statistics(each.images, some, each.sums)
        np.testing.assert_array_equal(found, expected)


def test_what_is_stored_takes_what_the_files_take(
    both: tuple[Dataset, Dataset], source: Source, tmp_path: Path
) -> None:
    (entry,) = (tmp_path / "other" / "decoded").iterdir()
    files = [file for file in (tmp_path / "images").rglob("*") if file.is_file()]
    n_bytes = sum(file.stat().st_size for file in files)
    assert sum(file.stat().st_size for file in entry.glob("*.stored")) == n_bytes
    assert inspect(source).stored_bytes == n_bytes
    assert not list(entry.glob("*-images.npy"))
    # It stays so, however much room there is later.
    assert is_stored(source, inspect(source), (16, 24))


def test_images_of_one_size_are_stored_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("train/a/1", "train/b/1", "test/a/1"):
        file = tmp_path / "images" / f"{place}.png"
        file.parent.mkdir(parents=True)
        Image.new("RGB", (7, 5), (len(place), 9, 9)).save(file)
    full_disk(monkeypatch)
    data = opened(Source(source="imagefolder", path=tmp_path / "images"), None)
    assert data.train.images.shape == (2, 5, 7, 3)
    assert data.train.images[1][4].tolist() == [[9, 9, 9]] * 7


def test_damaged_images_are_left_out_of_what_is_stored(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "images" / "train" / "a" / "0.jpg"
    file.write_bytes(file.read_bytes()[:-200])
    full_disk(monkeypatch)
    skipping = source.model_copy(update={"damaged": "skip"})
    with pytest.raises(DataError, match=r"0\.jpg"):
        opened(source)
    info = dataset.look_at(skipping, [(16, 24)], None)
    assert opened(skipping).train.images.shape == (17, 16, 24, 3)
    assert info.left_out == (0,)


@pytest.mark.parametrize("name", ["train-images.stored", "test-edges.npy", "train-sums.npy"])
def test_damage_of_what_is_stored_is_noticed_and_mended(
    both: tuple[Dataset, Dataset],
    source: Source,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (entry,) = (tmp_path / "other" / "decoded").iterdir()
    content = (entry / name).read_bytes()
    monkeypatch.setattr(folder, "_checked", set())
    (entry / name).write_bytes(content[:-5] + bytes(5))
    np.testing.assert_array_equal(opened(source).train.images[:], both[0].train.images)
    assert (entry / name).read_bytes() == content


def test_an_entry_without_sums_is_used_as_it_is(source: Source, cache: Path) -> None:
    before = opened(source)
    (entry,) = (cache / "decoded").iterdir()
    held = opened_json((entry / "classes.json").read_bytes())
    del held["crc32"]["train-sums.npy"]
    (entry / "train-sums.npy").unlink()
    (entry / "classes.json").write_bytes(sealed_json(held))
    kept = (entry / "train-images.npy").stat()
    again = opened(source)
    assert again.train.sums is None
    assert (entry / "train-images.npy").stat().st_ino == kept.st_ino
    found = [
        decoding.channel_statistics(each.images, np.arange(4), each.sums)
        for each in (before.train, again.train)
    ]
    np.testing.assert_array_equal(*found)


def test_where_a_trials_images_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    assert held(50, 100, is_stored=False) is held(50, 100, is_stored=True) is Held.DEVICE
    assert held(51, 100, is_stored=False) is Held.FILE
    assert held(51, 100, is_stored=True) is Held.STORED
    monkeypatch.setattr(holding, "available_memory", lambda: 1000)
    monkeypatch.setattr(holding, "usable_cpus", lambda: 8)
    # What is mapped is shared, what each trial decodes is its own.
    assert main_memory(2, is_stored=False) == 1000
    assert main_memory(2, is_stored=True) == 250
    assert main_memory(16, is_stored=True) == 1000


def read_all(examples: Examples, crops: bool) -> Iterator[list[torch.Tensor]]:
    batches = Batches(len(examples), 5, 1, (16, 24) if crops else None, examples.home)
    steps = range(2, 2 + 2 * batches.per_pass)
    for batch, images, labels in examples.batches(map(batches.batch, steps)):
        yield [images, labels, batch.examples] + ([] if batch.crops is None else [batch.crops])
    for images, labels in examples.chunks(4, slice(1, len(examples))):
        yield [images, labels]


@pytest.mark.parametrize("crops", [False, True])
@pytest.mark.parametrize("indices", [None, np.array([12, 3, 4, 5, 0, 17, 9])])
def test_every_holding_gives_the_same_examples_in_the_same_order(
    both: tuple[Dataset, Dataset], indices: np.ndarray | None, crops: bool
) -> None:
    decoded, stored = (data.train for data in both)
    pixels = Images(np.array(decoded.images), decoded.labels)
    expected = [*read_all(Examples(decoded, indices, CPU), crops)]
    for images, where, threads in (
        (decoded, Held.FILE, 1),
        (pixels, Held.FILE, 1),
        (stored, Held.STORED, 1),
        (stored, Held.STORED, 3),
        (stored, Held.DEVICE, 2),
    ):
        found = [*read_all(Examples(images, indices, CPU, where, threads), crops)]
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert all(map(torch.equal, ours, theirs))
    assert waiting_threads() == []


def test_threads_end_where_batches_are_left(both: tuple[Dataset, Dataset]) -> None:
    examples = Examples(both[1].train, None, CPU, Held.STORED, 2)
    wanted = [Batch(torch.tensor([place]), None) for place in range(18)]
    for _ in examples.batches(wanted):
        assert 1 <= len(waiting_threads()) <= 2
        break
    assert waiting_threads() == []


def test_what_cannot_be_read_is_said_where_it_is_wanted(tmp_path: Path) -> None:
    images = npy.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (8, 4, 4, 3))
    Image.new("RGB", (4, 4)).save(png := io.BytesIO(), "PNG")
    (tmp_path / "train-images.stored").write_bytes(png.getvalue() + b"no image")
    np.save(tmp_path / "train-edges.npy", [0, len(png.getvalue()), len(png.getvalue()) + 8])
    stored = open_images(tmp_path, "train", {"sides": (4, 4), "bits": None}, None, Source())
    short = Rows.of(images)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-100])
    for rows, message, kind in (
        (short, "a.npy: shorter than it was", DataError),
        (stored, "train-images.stored, image 1: is not an image", PictureError),
    ):
        labels = np.zeros(len(rows), np.int64)
        examples = Examples(Images(rows, labels), None, CPU, Held.FILE)
        found = examples.chunks(1, slice(0, len(rows)))
        assert torch.equal(next(found)[0], torch.zeros(1, 4, 4, 3, dtype=torch.uint8))
        with pytest.raises(kind, match=message):
            list(found)
    assert waiting_threads() == []


def test_memory_stays_flat_where_the_images_are_in_the_nodes_file(tmp_path: Path) -> None:
    n, side = 6000, 128
    # Without content, so that it takes no room on the disk.
    npy.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (n, side, side, 3)).flush()
    images = Images(npy.open_memmap(tmp_path / "a.npy", mode="r"), np.zeros(n, np.int64))
    assert images.images.nbytes > 280 * 2**20
    process = psutil.Process()

    def growth(where: Held) -> int:
        before, most = process.memory_info().rss, 0
        examples = Examples(images, None, CPU, where)
        for _ in examples.chunks(64, slice(0, n)):
            most = max(most, process.memory_info().rss)
        decoding.channel_statistics(images.images, np.arange(0, n, 8))
        return max(most, process.memory_info().rss) - before

    assert growth(Held.FILE) < 100 * 2**20
    # Mapped pages count as the process's own.
    assert growth(Held.DEVICE) > 250 * 2**20
