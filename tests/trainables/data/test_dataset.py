import multiprocessing
import os
import pickle
import random
import shutil
import subprocess
import textwrap
from dataclasses import replace
from pathlib import Path

import forks
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness import flipped
from PIL import Image

from trainables.data import cache as cache_of
from trainables.data import dataset
from trainables.data.cache import opened_json, sealed_json
from trainables.data.dataset import decode_size, inspect, is_stored, open_dataset, places
from trainables.data.decoding import channel_statistics
from trainables.data.info import DataInfo
from trainables.errors import DataError
from trainables.trial import Source

ROOT = Path(__file__).parents[3]
SHARED = ROOT.parent / "shared"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def colour_file(file, value, size=(6, 6)):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 255)).save(file)


@pytest.fixture
def folder(tmp_path):
    """Six training and two test images of 6×6 pixels, red 0 to 5 and 6 to 7."""
    root = tmp_path / "images"
    for value, name in enumerate(("cat/a", "cat/b", "cat/c", "dog/a", "dog/b", "dog/c")):
        colour_file(root / "train" / f"{name}.png", value)
    for value, name in enumerate(("cat/a", "dog/a"), start=6):
        colour_file(root / "test" / f"{name}.png", value)
    return root


@pytest.fixture
def source(folder):
    return Source(source="imagefolder", path=folder)


def opened(source, image_size=None, progress=None):
    return open_dataset(source, inspect(source).fingerprint, image_size, progress)


def info(n_train=90, n_test=10, sides=(32, 32)):
    labels = [np.arange(n, dtype=np.int64) % 2 for n in (n_train, n_test)]
    return DataInfo("f" * 32, *labels, ("a", "b"), sides)


class TestInspect:
    def test_counts_names_and_size(self, source):
        found = inspect(source)
        assert (found.n_train, found.n_test, found.n_classes) == (6, 2, 2)
        assert found.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert found.test_labels.tolist() == [0, 1]
        assert found.class_names == ("cat", "dog")
        assert found.sides == (6, 6)
        assert len(found.fingerprint) == 32

    def test_test_images_that_are_in_train_are_counted(self, folder, source):
        assert inspect(source).copies.test == ()
        for name in ("cat/b", "dog/b"):
            shutil.copy(folder / f"train/{name}.png", folder / f"test/{name}.png")
        assert inspect(source).copies.test == ((1, 1), (3, 4))

    def test_labels_cannot_be_changed(self, source):
        with pytest.raises(ValueError, match="read-only"):
            inspect(source).train_labels[0] = 1

    @pytest.mark.parametrize(
        ("sizes", "sides"), [([(6, 6), (7, 7)], None), ([(6, 7), (6, 7)], (7, 6))]
    )
    def test_one_height_and_width(self, tmp_path, sizes, sides):
        for part in ("train", "test"):
            for name, size in zip("ab", sizes, strict=True):
                colour_file(tmp_path / "i" / part / name / "x.png", 0, size)
        assert inspect(Source(source="imagefolder", path=tmp_path / "i")).sides == sides

    def test_a_damaged_header_is_named(self, folder, source):
        (folder / "train" / "cat" / "b.png").write_bytes(b"not an image")
        with pytest.raises(DataError, match=r"train/cat/b.png: is not an image"):
            inspect(source)


class TestFingerprint:
    def test_is_of_the_content_not_the_place(self, folder, source, tmp_path):
        shutil.copytree(folder, tmp_path / "elsewhere")
        (tmp_path / "elsewhere" / "train" / "cat" / ".hidden").write_text("")
        for file in (tmp_path / "elsewhere").rglob("*.png"):
            os.utime(file, (0, 0))
        elsewhere = Source(source="imagefolder", path=tmp_path / "elsewhere")
        assert inspect(elsewhere).fingerprint == inspect(source).fingerprint

    def test_is_not_of_the_names(self, folder, source):
        before = inspect(source)
        for part in ("train", "test"):
            (folder / part / "dog").rename(folder / part / "eel")
        assert inspect(source).fingerprint == before.fingerprint
        assert inspect(source).class_names == ("cat", "eel")

    def test_changes_with_one_pixel(self, folder, source):
        prints = {inspect(source).fingerprint}
        for file in (folder / "train" / "cat" / "b.png", folder / "test" / "dog" / "a.png"):
            image = Image.open(file)
            image.putpixel((3, 2), (9, 9, 9))
            image.save(file)
            prints.add(inspect(source).fingerprint)
        assert len(prints) == 3

    def test_changes_with_one_label(self, folder, source):
        before = inspect(source).fingerprint
        (folder / "train" / "dog" / "a.png").rename(folder / "train" / "cat" / "d.png")
        assert inspect(source).train_labels.tolist() == [0, 0, 0, 0, 1, 1]
        assert inspect(source).fingerprint != before

    def test_changes_with_the_split(self, folder, source):
        before = inspect(source).fingerprint
        (folder / "train" / "dog" / "c.png").rename(folder / "test" / "cat" / "0.png")
        assert inspect(source).fingerprint != before

    def test_does_not_depend_on_how_files_are_cut(self, folder, tmp_path):
        files = sorted((folder / "train").rglob("*.png"))
        table = pa.table({"image": [file.read_bytes() for file in files], "label": [0, 1] * 3})
        prints = set()
        for name, cuts in (("one", [0, 6]), ("three", [0, 1, 4, 6])):
            (tmp_path / name).mkdir()
            pq.write_table(table, tmp_path / name / "test.parquet", row_group_size=2)
            for i in range(len(cuts) - 1):
                part = table.slice(cuts[i], cuts[i + 1] - cuts[i])
                pq.write_table(part, tmp_path / name / f"train-{i}.parquet")
            prints.add(inspect(Source(source="parquet", path=tmp_path / name)).fingerprint)
        assert len(prints) == 1

    def test_of_the_embedded_data_is_frozen(self):
        """Recorded studies on it are only continued while it stays the same."""
        assert inspect(Source()).fingerprint == "136b6aae6393e12e48d338c05748ac51"


class TestMemory:
    def test_an_inspection_is_kept(self, cache):
        first = inspect(Source())
        (kept,) = (cache / "inspected").iterdir()
        changed = {"fingerprint": "0" * 32, "copies": {"train": [], "test": [[3, 5]]}}
        kept.write_bytes(sealed_json(opened_json(kept.read_bytes()) | changed))
        second = inspect(Source())
        assert second.fingerprint == "0" * 32
        assert second.copies.test == ((3, 5),)
        assert second.class_names == first.class_names
        assert second.sides == first.sides == (32, 32)
        assert np.array_equal(second.train_labels, first.train_labels)
        assert second.train_labels.dtype == second.test_labels.dtype == np.int64
        assert np.array_equal(second.test_labels, first.test_labels)

    def test_of_fresh_files_nothing_is_kept(self, cache, source):
        inspect(source)
        assert not (cache / "inspected").exists()

    def test_what_an_earlier_version_kept_is_not_recalled(self, cache, monkeypatch):
        with monkeypatch.context() as earlier:
            # Its sides were those of before images are turned upright.
            earlier.setattr("trainables.data.dataset._INSPECTION", 5)
            inspect(Source())
        (kept,) = (cache / "inspected").iterdir()
        kept.write_bytes(sealed_json(opened_json(kept.read_bytes()) | {"sides": [6, 4]}))
        assert inspect(Source()).sides == (32, 32)


class TestPlaces:
    def test_what_is_left_out_is_looked_through_once(self, folder, source):
        looks = []

        class Places(tuple):
            def __iter__(self):
                looks.append(self)
                return super().__iter__()

        found = inspect(source)
        kept = replace(found, train_labels=found.train_labels[:4], left_out=Places((1, 3)))
        names = [f"{folder}/train/{name}.png" for name in ("cat/a", "cat/c", "dog/b", "dog/c")]
        assert places(source, kept, "train") == names
        assert len(looks) == 1


class TestOpen:
    def test_pixels_and_labels(self, source):
        data = opened(source)
        assert data.train.images.shape == (6, 6, 6, 3)
        assert data.test.images.shape == (2, 6, 6, 3)
        assert data.train.images[:, 0, 0].tolist() == [[i, 0, 255] for i in range(6)]
        assert data.test.images[:, 5, 5].tolist() == [[6, 0, 255], [7, 0, 255]]
        assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert data.test.labels.tolist() == [0, 1]
        assert data.training.class_names == ["cat", "dog"]

    def test_arrays_are_mapped_read_only(self, source):
        train = opened(source).train
        assert isinstance(train.images, np.memmap)
        assert train.images.flags.c_contiguous
        assert not train.images.flags.writeable
        assert not train.labels.flags.writeable

    def test_each_size_is_an_entry(self, cache, source):
        assert opened(source, 4).train.images.shape == (6, 4, 4, 3)
        assert opened(source, 9).test.images.shape == (2, 9, 9, 3)
        assert opened(source).test.images.shape == (2, 6, 6, 3)
        fingerprint = inspect(source).fingerprint
        names = sorted(entry.name for entry in (cache / "decoded").iterdir())
        assert names == [f"{fingerprint}-{size}-1" for size in (4, 9, "native")]

    def test_an_entry_needs_no_source(self, folder, source):
        fingerprint = inspect(source).fingerprint
        open_dataset(source, fingerprint, None)
        shutil.rmtree(folder)
        assert open_dataset(source, fingerprint, None).train.images.shape == (6, 6, 6, 3)

    def test_progress_ends_at_the_total(self, source):
        calls = []
        opened(source, progress=lambda *counts: calls.append(counts))
        assert calls == [(8, 8)]
        opened(source, progress=lambda *counts: calls.append(counts))
        assert calls == [(8, 8)]  # nothing was left to do

    def test_other_content_is_refused(self, cache, folder, source):
        fingerprint = inspect(source).fingerprint
        colour_file(folder / "train" / "cat" / "b.png", 99)
        with pytest.raises(DataError, match="not the images and labels that the study was planned"):
            open_dataset(source, fingerprint, None)
        assert list((cache / "decoded").iterdir()) == []

    def test_a_truncated_image_is_named_and_nothing_is_left(self, cache, folder, source):
        file = folder / "train" / "dog" / "a.png"
        Image.effect_noise((6, 6), 50).convert("RGB").save(file)
        file.write_bytes(file.read_bytes()[:-40])
        with pytest.raises(
            DataError, match=r"train/dog/a.png: the image is damaged \(.*\); replace"
        ):
            opened(source)
        assert list((cache / "decoded").iterdir()) == []

    def test_sizes_that_differ_need_an_image_size(self, folder, source):
        colour_file(folder / "test" / "dog" / "b.png", 1, (7, 6))
        with pytest.raises(DataError, match=r"recipe.image_size: the images differ in size; set"):
            opened(source)
        assert opened(source, 5).test.images.shape == (3, 5, 5, 3)


class TestEntry:
    @pytest.mark.parametrize(
        "damage",
        [
            lambda entry: (entry / "train-images.npy").unlink(),
            lambda entry: os.truncate(entry / "test-images.npy", 300),
            lambda entry: os.truncate(entry / "train-images.npy", 0),
            lambda entry: os.truncate(entry / "train-labels.npy", 130),
            lambda entry: os.truncate(entry / "train-labels.npy", 5000),
            lambda entry: (entry / "train-labels.npy").write_bytes(bytes(300)),
            lambda entry: (entry / "classes.json").write_text("["),
            lambda entry: np.save(entry / "test-labels.npy", np.arange(3)),
            lambda entry: np.save(entry / "test-labels.npy", np.zeros(2)),
            lambda entry: shutil.copy(entry / "test-labels.npy", entry / "test-images.npy"),
        ],
    )
    def test_damage_is_noticed_and_mended(self, cache, source, damage):
        opened(source)
        (entry,) = (cache / "decoded").iterdir()
        damage(entry)
        data = opened(source)
        assert data.train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
        assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert data.test.labels.tolist() == [0, 1]
        assert data.test.images.dtype == np.uint8
        assert list((cache / "decoded").iterdir()) == [entry]

    def test_a_flipped_bit_is_noticed_by_the_next_process(self, cache, source, monkeypatch):
        before = opened(source).train.images.copy()
        (entry,) = (cache / "decoded").iterdir()
        generator = random.Random(0)
        for file in sorted(entry.iterdir()):
            content = file.read_bytes()
            for place in generator.sample(range(8 * len(content)), 12):
                monkeypatch.setattr(cache_of, "_checked", set())
                file.write_bytes(flipped(content, place))
                data = opened(source)
                assert (data.train.images == before).all()
                assert data.training.class_names == ["cat", "dog"]
                assert file.read_bytes() == content

    def test_no_pickle_is_ever_loaded(self, cache, source, tmp_path):
        class Malicious:
            def __reduce__(self):
                return Path.touch, (tmp_path / "ran",)

        opened(source)
        (entry,) = (cache / "decoded").iterdir()
        np.save(entry / "test-labels.npy", np.array([Malicious(), 1], dtype=object))
        (entry / "train-labels.npy").write_bytes(pickle.dumps(Malicious()))
        opened(source)
        assert not (tmp_path / "ran").exists()

    def test_mapped_pages_outlive_a_rebuilt_entry(self, cache, source):
        data = opened(source)
        (entry,) = (cache / "decoded").iterdir()
        (entry / "classes.json").unlink()
        opened(source)
        assert data.train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]

    def test_a_cache_that_cannot_be_written(self, monkeypatch, source, tmp_path):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "file"))
        with pytest.raises(DataError, match=r"^cache folder .*/file: .*; free some room there or"):
            opened(source)

    def test_a_file_that_grows_too_large(self, cache):
        """What a quota does; the same way out as a full disk."""
        code = textwrap.dedent("""
            import resource, sys
            from trainables.data.dataset import inspect, open_dataset
            from trainables.errors import DataError
            from trainables.trial import Source
            found = inspect(Source())
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
            try:
                open_dataset(Source(), found.fingerprint, None)
            except DataError as problem:
                print(problem)
        """)
        assert forks.run(["-c", code]).stdout == (
            f"cache folder {cache}: File too large; free some room there or set "
            "SCALESTUDY_CACHE to another folder\n"
        )
        assert list((cache / "decoded").iterdir()) == []

    def test_a_full_disk(self, monkeypatch, tmp_path):
        small = tmp_path / "small"
        small.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a small disk needs root")
        try:
            monkeypatch.setenv("SCALESTUDY_CACHE", str(small))
            with pytest.raises(DataError, match=r"need 5.3 MiB decoded, .* has 2.0 MiB free; set"):
                opened(Source())
            # Others may fill it meanwhile.
            monkeypatch.setattr(dataset, "is_stored", lambda *given: False)
            with pytest.raises(
                DataError, match=f"^cache folder {small}: No space left on device; "
            ):
                opened(Source())
            assert list((small / "decoded").iterdir()) == []
        finally:
            subprocess.run(["umount", str(small)], check=True)


def open_and_count(source, fingerprint, results):
    """Open, and send the number of images that this process decoded."""
    decoded = []
    data = open_dataset(source, fingerprint, None, lambda done, _: decoded.append(done))
    results.put((max(decoded, default=0), int(data.train.images.sum())))


def touch_all(fingerprint, image_size, together, results):
    """Send by how much private memory grows when all pages of the embedded set are read."""
    process = psutil.Process()
    before = process.memory_full_info().uss
    data = open_dataset(Source(), fingerprint, image_size)
    total = sum(int(image.sum()) for part in (data.train, data.test) for image in part.images)
    together.wait()  # pages count as private while one process alone has mapped them
    results.put((process.memory_full_info().uss - before, total))
    together.wait()


class TestProcesses:
    context = multiprocessing.get_context("spawn")

    def run(self, target, n, *arguments):
        results = self.context.Queue()
        processes = [
            self.context.Process(target=target, args=(*arguments, results)) for _ in range(n)
        ]
        for process in processes:
            process.start()
        values = [results.get(timeout=60) for _ in processes]
        for process in processes:
            process.join()
            assert process.exitcode == 0
        return values

    def test_one_decodes_for_all(self, source):
        values = self.run(open_and_count, 4, source, inspect(source).fingerprint)
        assert sorted(decoded for decoded, _ in values) == [0, 0, 0, 8]
        assert len({total for _, total in values}) == 1

    def test_eight_share_their_pages(self):
        data = opened(Source(), 64)
        size = data.train.images.nbytes + data.test.images.nbytes
        expected = int(data.train.images.sum()) + int(data.test.images.sum())
        del data
        fingerprint = inspect(Source()).fingerprint
        values = self.run(touch_all, 8, fingerprint, 64, self.context.Barrier(8))
        assert size == 1797 * 64 * 64 * 3
        assert {total for _, total in values} == {expected}
        assert max(growth for growth, _ in values) < size / 10


class TestStatistics:
    def test_by_hand(self):
        images = np.zeros((2, 1, 2, 3), dtype=np.uint8)
        images[..., 0] = [[[0, 255]], [[255, 0]]]
        images[..., 1] = [[[0, 51]], [[102, 51]]]
        images[..., 2] = 102
        mean, deviation = channel_statistics(images)
        assert mean == pytest.approx([0.5, 0.2, 0.4])
        # Channel 2 deviates by 51 in two of four pixels: 51 / √2 / 255. Channel 3 is constant.
        assert deviation == pytest.approx([0.5, 0.2 / 2**0.5, 1 / 255])

    def test_of_some_images(self):
        images = np.repeat(np.arange(5, dtype=np.uint8), 48).reshape(5, 4, 4, 3)
        mean, deviation = channel_statistics(images, np.array([4, 0]))
        assert mean == pytest.approx([2 / 255] * 3)
        assert deviation == pytest.approx([2 / 255] * 3)

    def test_chunks_make_no_difference(self):
        images = np.random.default_rng(0).integers(0, 256, (700, 32, 32, 3)).astype(np.uint8)
        mean, deviation = channel_statistics(images)
        assert mean == pytest.approx(images.mean(axis=(0, 1, 2)) / 255, rel=1e-12)
        assert deviation == pytest.approx(images.std(axis=(0, 1, 2)) / 255, rel=1e-9)


class TestRoom:
    def test_bytes_of_rgb_images(self):
        assert info().decoded_bytes(None) == 100 * 32 * 32 * 3
        assert info().decoded_bytes((8, 9)) == 100 * 8 * 9 * 3
        assert info(sides=None).decoded_bytes((8, 8)) == 100 * 8 * 8 * 3
        assert info(sides=(4, 9)).decoded_bytes(None) == 100 * 4 * 9 * 3

    def test_a_size_is_needed_where_images_differ(self):
        with pytest.raises(DataError, match=r"recipe.image_size: the images differ in size; .*224"):
            info(sides=None).decoded_bytes(None)

    def test_enough(self):
        assert not is_stored(Source(), info(), None)

    def test_too_little_for_decoded_images_and_for_any(self, cache):
        large = 1_000_000, 1_000_000
        few = replace(info(), stored_bytes=2**20)
        assert is_stored(Source(), few, large)
        with pytest.raises(DataError) as raised:
            is_stored(Source(), replace(few, stored_bytes=2**40), large)
        assert str(raised.value).startswith(
            "data: 100 images at 1000000×1000000 need 272.8 TiB decoded and 1.0 TiB as "
            f"stored, but cache folder {cache} has "
        )
        assert str(raised.value).endswith(
            "free; set SCALESTUDY_CACHE to a folder with more, or a smaller image_size"
        )
        with pytest.raises(DataError, match="TiB decoded, but cache"):
            is_stored(Source(), info(), large)


class TestDecodeSize:
    def test_images_of_one_size_are_enlarged_on_the_device(self):
        assert decode_size(Source(), (64, 64)) is None
        assert decode_size(Source(), (32, 32)) is None
        assert decode_size(Source(), None) is None

    def test_larger_images_are_not_kept_whole(self):
        assert decode_size(Source(), (16, 16)) == (16, 16)
        assert decode_size(Source(), (64, 96)) == (64, 96)

    def test_photos_have_the_sides_that_they_have_upright(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        for place in ("train/a", "train/b", "test/a"):
            file = tmp_path / "i" / place / "x.jpg"
            file.parent.mkdir(parents=True)
            Image.new("RGB", (200, 100)).save(file, exif=exif)
        source = Source(source="imagefolder", path=tmp_path / "i")
        assert inspect(source).sides == opened(source).train.images.shape[1:3] == (200, 100)
        assert decode_size(source, (200, 100)) is None
        assert decode_size(source, (100, 200)) == (100, 200)

    @pytest.mark.parametrize(("size", "expected"), [((6, 6), None), ((6, 7), (64, 64))])
    def test_the_source_makes_no_difference(self, tmp_path, size, expected):
        for part in ("train", "test"):
            colour_file(tmp_path / "folder" / part / "a" / "x.png", 1, (6, 6))
            colour_file(tmp_path / "folder" / part / "b" / "y.png", 1, size)
            files = [tmp_path / "folder" / part / name for name in ("a/x.png", "b/y.png")]
            images = [file.read_bytes() for file in files]
            table = pa.table({"image": images, "label": [0, 1]})
            pq.write_table(table, tmp_path / f"{part}.parquet")
        parquet = Source(source="parquet", path=tmp_path)
        folder = Source(source="imagefolder", path=tmp_path / "folder")
        assert inspect(parquet).fingerprint == inspect(folder).fingerprint
        for source in (parquet, folder):
            assert decode_size(source, (64, 64)) == expected
            assert decode_size(source, (4, 4)) == (4, 4)
            assert decode_size(source, None) is None


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the real CIFAR-10 is not here")
class TestRealCifar:
    source = Source(source="parquet", path=SHARED / "data")

    def test_is_the_original(self):
        """Channel means and deviations as published for CIFAR-10's training images."""
        data = opened(self.source)
        mean, deviation = channel_statistics(data.train.images)
        assert mean.round(4).tolist() == [0.4914, 0.4822, 0.4465]
        assert deviation.round(4).tolist() == [0.2470, 0.2435, 0.2616]
        assert np.bincount(data.train.labels).tolist() == [5000] * 10
        assert np.bincount(data.test.labels).tolist() == [1000] * 10
        assert data.training.class_names[3] == "cat"
        assert inspect(self.source).fingerprint == "debb9c7d1d7cea5ef61bf5af15291b2e"
