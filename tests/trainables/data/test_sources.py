import hashlib
import pickle
import sys
import tarfile
import textwrap
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100

from trainables.data.doors.tables import Tables
from trainables.data.pictures import decode
from trainables.data.sources import Cifar, Digits, Function, ImageFolder, origin
from trainables.data.splits import carve
from trainables.errors import DataError
from trainables.trial import Source


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pixels(split):
    return np.stack([decode(item, None)[1] for item in split.items()])


class TestOrigin:
    def test_each_name_has_its_reader(self, tmp_path, cache):
        paths = {"train": tmp_path, "test": tmp_path}
        assert origin(Source()) == Digits()
        assert origin(Source(source="cifar10")) == Cifar("cifar10", cache / "downloads")
        assert origin(Source(source="cifar100", path=tmp_path)) == Cifar("cifar100", tmp_path)
        assert origin(Source(source="parquet", path=paths)) == Tables(paths, "parquet")
        assert origin(Source(source="imagefolder", path=tmp_path)) == ImageFolder(tmp_path)
        assert origin(Source(source="a.b:c")) == Function("a.b:c")

    @pytest.mark.parametrize(
        ("source", "path", "message"),
        [
            ("digits", Path("/x"), "data.path: source digits reads no files; take path away"),
            ("a.b:c", Path("/x"), "data.path: source a.b:c reads no files"),
            ("parquet", None, "data.path: source parquet needs the folder that holds train and"),
            ("imagefolder", None, "data.path: source imagefolder needs the folder"),
            ("cifar10", {"train": Path("/x"), "test": Path("/y")}, "cifar10 needs one folder, not"),
            ("cifra10", None, "data.source: cifra10 is unknown; valid are digits, cifar10, cifar1"),
        ],
    )
    def test_paths_that_do_not_fit_are_refused(self, source, path, message):
        with pytest.raises(DataError, match=message):
            origin(Source(source=source, path=path))


class TestDigits:
    def test_all_digits_are_there_once(self):
        from sklearn.datasets import load_digits

        reading = Digits().read()
        assert reading.class_names == tuple("0123456789")
        assert (reading.train.labels.size, reading.test.labels.size) == (1438, 359)
        counts = np.bincount(reading.train.labels) + np.bincount(reading.test.labels)
        assert counts.tolist() == np.bincount(load_digits().target).tolist()
        share = np.bincount(reading.test.labels) / counts
        assert abs(share - 0.2).max() < 1 / 170

    def test_are_enlarged_bilinearly(self):
        from sklearn.datasets import load_digits

        digits = load_digits()
        first = carve(digits.target, 0.2)[0][0]
        small, every = digits.images[first], pixels(Digits().read().train)
        # Row 2 of 32 lies at 2.5 / 4 − 0.5 = 0.125 of 8, column 10 at 2.125.
        upper, lower = (0.875 * small[row, 2] + 0.125 * small[row, 3] for row in (0, 1))
        expected = np.floor((0.875 * upper + 0.125 * lower) * 255 / 16 + 0.5)
        assert every[0, 2, 10].tolist() == [expected] * 3
        assert every[0, 0, 0].tolist() == [np.floor(small[0, 0] * 255 / 16 + 0.5)] * 3
        assert every.shape[1:] == (32, 32, 3)
        assert every.max() == 255


def batch(n, seed, key="labels", classes=10):
    values = np.random.default_rng(seed).integers(0, 256, (n, 3072)).astype(np.uint8)
    return {"data": values, key: [i % classes for i in range(n)]}


def unpacked(folder, files):
    """Write files as CIFAR's archive holds them; return their names and MD5 sums."""
    folder.mkdir(parents=True)
    sums = []
    for name, content in files.items():
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        sums.append([name, hashlib.md5(data).hexdigest()])
    return sums


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Keep the test's output clean."""


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder and the address at which a web server offers it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def small_cifar(tmp_path, served, monkeypatch):
    """The folder of a CIFAR-10 of 40 images in its real layout, in place of torchvision's own."""
    root = tmp_path / "small"
    folder = root / CIFAR10.base_folder
    sums = unpacked(
        folder,
        {
            "data_batch_1": batch(20, 0),
            "data_batch_2": batch(10, 1),
            "test_batch": batch(10, 2),
            "batches.meta": {"label_names": list("abcdefghij")},
        },
    )
    archive = served[0] / "small.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, CIFAR10.base_folder)

    class SmallCifar(CIFAR10):
        url = f"{served[1]}/{archive.name}"
        filename = archive.name
        tgz_md5 = hashlib.md5(archive.read_bytes()).hexdigest()
        train_list = sums[:2]
        test_list = sums[2:3]
        meta = CIFAR10.meta | {"md5": sums[3][1]}

    monkeypatch.setattr("torchvision.datasets.CIFAR10", SmallCifar)
    return root


class TestCifar:
    def test_is_found_in_its_folder(self, small_cifar):
        reading = Cifar("cifar10", small_cifar).read()
        assert reading.class_names == tuple("abcdefghij")
        assert (reading.train.labels.size, reading.test.labels.size) == (30, 10)
        assert reading.train.labels.dtype == np.int64
        stored = batch(20, 0)["data"][3].reshape(3, 32, 32)  # channels first in the archive
        assert np.array_equal(pixels(reading.train)[3], stored.transpose(1, 2, 0))

    def test_the_unpacked_folder_itself_may_be_named(self, small_cifar):
        origin = Cifar("cifar10", small_cifar / CIFAR10.base_folder)
        assert origin.read().train.labels.size == 30
        names = [path.name for path in origin.evidence()]
        assert names == [
            CIFAR10.base_folder, "batches.meta", "data_batch_1", "data_batch_2", "test_batch",
        ]  # fmt: skip

    @pytest.mark.usefixtures("small_cifar")
    def test_is_downloaded_when_absent(self, tmp_path):
        origin = Cifar("cifar10", tmp_path / "new")
        assert origin.evidence() is None
        assert origin.read().train.labels.size == 30
        assert origin.evidence() is not None

    @pytest.mark.usefixtures("small_cifar")
    def test_a_downloaded_archive_is_unpacked(self, tmp_path):
        folder = tmp_path / "byhand"
        folder.mkdir()
        (tmp_path / "served" / "small.tar.gz").rename(folder / "small.tar.gz")
        assert Cifar("cifar10", folder).read().train.labels.size == 30

    @pytest.mark.usefixtures("small_cifar")
    def test_what_cannot_be_downloaded_it_says_what_to_put_where(self, tmp_path):
        (tmp_path / "served" / "small.tar.gz").unlink()
        message = (
            rf"cifar10 is not in {tmp_path}/new and cannot be downloaded from http://.*/small.tar"
            rf".gz \(HTTP Error 404.*\); put small.tar.gz from there, or its unpacked folder "
            rf"cifar-10-batches-py, into {tmp_path}/new"
        )
        with pytest.raises(DataError, match=message):
            Cifar("cifar10", tmp_path / "new").read()

    @pytest.mark.usefixtures("small_cifar")
    def test_no_server_at_all(self, tmp_path, monkeypatch):
        monkeypatch.setattr("torchvision.datasets.CIFAR10.url", "http://127.0.0.1:9/small.tar.gz")
        with pytest.raises(DataError, match=r"cannot be downloaded from http://127.0.0.1:9/small"):
            Cifar("cifar10", tmp_path / "new").read()

    def test_a_file_with_another_checksum_is_never_unpickled(self, small_cifar, tmp_path):
        (tmp_path / "served" / "small.tar.gz").unlink()
        ran = tmp_path / "ran"

        class Malicious:
            def __reduce__(self):
                return Path.touch, (ran,)

        file = small_cifar / CIFAR10.base_folder / "data_batch_1"
        file.write_bytes(pickle.dumps(Malicious()))
        with pytest.raises(DataError, match="cannot be downloaded"):
            Cifar("cifar10", small_cifar).read()
        assert not ran.exists()

    def test_cifar100_has_its_fine_labels(self, tmp_path, monkeypatch):
        sums = unpacked(
            tmp_path / CIFAR100.base_folder,
            {
                "train": batch(40, 0, "fine_labels", 20),
                "test": batch(20, 1, "fine_labels", 20),
                "meta": {"fine_label_names": [f"class {i}" for i in range(20)]},
            },
        )

        class SmallCifar(CIFAR100):
            train_list = sums[:1]
            test_list = sums[1:2]
            meta = CIFAR100.meta | {"md5": sums[2][1]}

        monkeypatch.setattr("torchvision.datasets.CIFAR100", SmallCifar)
        reading = Cifar("cifar100", tmp_path).read()
        assert reading.train.labels.tolist() == list(range(20)) * 2
        assert reading.class_names[19] == "class 19"


def image_file(file, colour=(1, 2, 3), size=(6, 4)):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(file)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    image_file(root / "train" / "dog" / "b.png", (2, 0, 0))
    image_file(root / "train" / "dog" / "a.png", (1, 0, 0), (5, 9))
    image_file(root / "train" / "cat" / "deep" / "z.png", (0, 0, 0))
    image_file(root / "test" / "dog" / "a.png", (9, 0, 0))
    return root


class TestImageFolder:
    def test_classes_are_folders_in_order_of_name(self, folder):
        reading = ImageFolder(folder).read()
        assert reading.class_names == ("cat", "dog")
        assert reading.train.labels.tolist() == [0, 1, 1]
        assert reading.test.labels.tolist() == [1]
        firsts = [int(decode(item, 4)[1][0, 0, 0]) for item in reading.train.items()]
        assert firsts == [0, 1, 2]

    def test_a_folder_each(self, folder):
        (folder / "test").rename(folder / "held-out")
        paths = {"train": folder / "train", "test": folder / "held-out"}
        assert ImageFolder(paths).read().test.labels.tolist() == [1]

    def test_hidden_files_do_not_count(self, folder):
        for name in (".DS_Store", "train/.hidden", "train/dog/.a.png", "train/dog/Thumbs.db"):
            (folder / name).write_text("")
        (folder / "train" / ".cache").mkdir()
        assert ImageFolder(folder).read().train.labels.size == 3

    def test_evidence_is_every_folder_and_image(self, folder):
        found = [str(path.relative_to(folder)) for path in ImageFolder(folder).evidence()]
        assert found == [
            "train/cat", "train/cat/deep/z.png", "train/dog", "train/dog/a.png", "train/dog/b.png",
            "test/dog", "test/dog/a.png",
        ]  # fmt: skip

    def refused(self, folder, message):
        with pytest.raises(DataError, match=message):
            ImageFolder(folder).read()

    def test_no_such_folder(self, folder):
        self.refused(folder / "no", r"no: cannot be read \(No such file.*needed are folders")

    def test_no_test_folder(self, folder):
        (folder / "test").rename(folder / "val")
        self.refused(folder, r"no folder test, but val; to test on it, .* test: .*images/val}")

    def test_a_loose_image(self, folder):
        (folder / "train" / "dog" / "a.png").rename(folder / "train" / "a.png")
        self.refused(folder, r"a.png: lies outside the class folders; move it into one or")

    def test_no_classes(self, folder):
        (folder / "test" / "dog").rename(folder / "dog")
        self.refused(folder, "test: holds no class folders; needed are test/<class>/<image>")

    def test_an_empty_class_is_none(self, folder):
        (folder / "train" / "eel").mkdir()
        reading = ImageFolder(folder).read()
        assert reading.class_names == ("cat", "dog")
        assert "eel" in reading.remarks[0].text

    def test_a_class_in_test_alone(self, folder):
        image_file(folder / "test" / "eel" / "a.png")
        self.refused(folder, r"test/eel: no training image of that class; The classes are cat, d")

    def test_a_link_that_leads_nowhere(self, folder):
        (folder / "train" / "dog" / "c.png").symlink_to(folder / "gone.png")
        self.refused(folder, r"c.png: is no regular file; take it away")

    def test_linked_classes_and_images_count(self, folder, tmp_path):
        (folder / "train" / "cat").rename(tmp_path / "cat")
        (folder / "train" / "cat").symlink_to(tmp_path / "cat")
        (folder / "train" / "dog" / "c.png").symlink_to(folder / "train" / "dog" / "a.png")
        assert ImageFolder(folder).read().train.labels.tolist() == [0, 1, 1, 1]

    def test_links_in_a_ring_end(self, folder):
        (folder / "train" / "cat" / "again").symlink_to(folder / "train" / "cat")
        self.refused(folder, "again: is a link to a folder that holds it; take it away")


@pytest.fixture
def function(tmp_path, monkeypatch):
    """Make a function from source text and return the reader that names it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(body):
        name = f"own_data_{hashlib.md5(body.encode()).hexdigest()}"
        text = "import numpy as np\n\ndef load():\n" + textwrap.indent(
            textwrap.dedent(body), "    "
        )
        (tmp_path / f"{name}.py").write_text(text)
        return Function(f"{name}:load")

    yield make
    for name in [name for name in sys.modules if name.startswith("own_data_")]:
        del sys.modules[name]


GOOD = "images, labels = np.arange(4 * 5 * 6 * 3).astype('u1').reshape(4, 5, 6, 3), [0, 1, 0, 1]\n"
RETURN = "return (images, labels), (images[:1], labels[:1])"


class TestFunction:
    def test_returns_arrays(self, function):
        reading = function(GOOD + RETURN).read()
        assert reading.train.labels.tolist() == [0, 1, 0, 1]
        assert reading.train.labels.dtype == np.int64
        assert reading.class_names == ("0", "1")
        assert pixels(reading.train).ravel().tolist() == [i % 256 for i in range(360)]
        assert pixels(reading.test).shape == (1, 5, 6, 3)

    @pytest.mark.parametrize("change", ["images[..., 0]", "images[..., :1]"])
    def test_grey_images_are_widened(self, function, change):
        values = pixels(function(f"{GOOD}images = {change}\n{RETURN}").read().train)
        assert values.shape == (4, 5, 6, 3)
        assert (values[..., 0] == values[..., 2]).all()

    def test_lists_will_do(self, function):
        body = f"{GOOD}images = list(images)\n{RETURN}"
        assert pixels(function(body).read().train).shape == (4, 5, 6, 3)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("return 3", r"load must return \(\(train_images, train_labels\), \(test_images"),
            ("return (1, 2, 3), (4, 5)", r"train images have shape \(\)"),
            ("raise RuntimeError('no disk')", "load raised RuntimeError: no disk"),
            (f"{GOOD}images = images - 0.5\n{RETURN}", "are float64 from -0.5 to 254.5; needed"),
            (f"{GOOD}images = images[0, 0]\n{RETURN}", r"train images have shape \(6, 3\)"),
            (f"{GOOD}images = images[:, :0]\n{RETURN}", r"have shape \(4, 0, 6, 3\)"),
            (f"{GOOD}labels = labels[:3]\n{RETURN}", r"labels have shape \(3,\); needed is \(4,\)"),
            (f"{GOOD}labels = [0.5, 1, 1, 1]\n{RETURN}", "train labels are float64; needed are"),
            (f"{GOOD}return (images, labels), (images[:0], [])", "load, test: no images"),
            (
                f"{GOOD}return (images, labels), (images[:1], [7])",
                "test: has images of class 7, of which train",
            ),
        ],
    )
    def test_anything_else_is_refused(self, function, body, message):
        with pytest.raises(DataError, match=message):
            function(body).read()

    @pytest.mark.parametrize(
        ("reference", "message"),
        [
            ("no_such_module:load", "data.source: no_such_module:load: .*cannot be imported"),
            ("json:laod", "data.source: json:laod: json has no function laod; load is there"),
            ("json:", "data.source: json:: .* package.module:function"),
        ],
    )
    def test_what_cannot_be_imported_is_named(self, reference, message):
        with pytest.raises(DataError, match=message):
            Function(reference).read()
