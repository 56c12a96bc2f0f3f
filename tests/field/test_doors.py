"""What people bring, in whatever layout: read where there is no doubt, else refused by name."""

import io
import json
import shutil
import sys
import textwrap
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pydantic import ValidationError

from trainables.data.dataset import inspect, open_dataset, places
from trainables.data.inventory import take_stock
from trainables.errors import DataError
from trainables.trial import Source


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "cache"))


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def tree(root: Path, names: tuple[str, ...] = ("cat", "dog"), **counts: int) -> Path:
    number = 0
    for part, count in (counts or {"train": 4, "test": 2}).items():
        for name in names:
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                (root / part / name / f"{i}.png").write_bytes(png(number))
                number += 1
    return root


def folder(root: Path, **data: Any) -> Source:
    return Source.model_validate({"source": "imagefolder", "path": root, **data})


def line(source: Source) -> tuple[str, str]:
    """Return what is said of a source: the line, and all notes."""
    info = inspect(source)
    _, validating = info.training.held_out(source)
    stock = take_stock(info, source, validating, [])
    return str(stock), " ".join(map(str, stock.notes))


def test_what_was_read_is_one_line(tmp_path: Path) -> None:
    root = tree(tmp_path / "x", train=10, test=2)
    said, notes = line(folder(root))
    expected = (
        f"data: 2 classes (cat 10, dog 10), 20 train (2 of them validation), 4 test; from {root}"
    )
    assert said == f"{expected}/train, {root}/test"
    assert notes == ""
    many = tree(tmp_path / "y", tuple("abcdefghijkl"), train=2, test=1)
    assert "(a 2, b 2, c 2, d 2, e 2, f 2 and 6 more)" in line(folder(many))[0]


def test_a_class_may_begin_with_a_dot(tmp_path: Path) -> None:
    root = tree(tmp_path / "x", (".net", "java"))
    (root / "train" / ".cache").mkdir()
    assert inspect(folder(root)).class_names == (".net", "java")


def test_litter_is_passed_over_and_counted(tmp_path: Path) -> None:
    root = tree(tmp_path / "x")
    before = inspect(folder(root)).fingerprint
    for name in ("train/classes.txt", "train/cat/source.txt", "test/dog/1.json", "train/x.cache"):
        (root / name).write_text("x")
    (root / "train" / "cat" / "@eaDir").mkdir()
    (root / "train" / "cat" / "@eaDir" / "thumb.jpg").write_bytes(b"x")
    assert inspect(folder(root)).fingerprint == before
    assert "4 files are no images" in line(folder(root))[1]


def test_a_validation_part_validates_and_is_said(tmp_path: Path) -> None:
    root = tree(tmp_path / "x", train=4, Valid=2, test=1)
    said, notes = line(folder(root))
    assert "12 train (4 of them validation), 2 test" in said
    assert f"the 4 images of {root}/Valid validate" in notes
    info = inspect(folder(root))
    data = open_dataset(folder(root), info.fingerprint, None)
    pool, validating = data.training.held_out(folder(root))
    assert (pool.tolist(), validating.tolist()) == ([*range(8)], [8, 9, 10, 11])
    stated, notes = line(folder(root, validation=0.25))
    assert "8 train (2 of them validation), 2 test" in stated
    assert "are left aside" in notes
    parts = {"train": root / "train", "validation": root / "Valid", "test": root / "test"}
    assert inspect(folder(parts)).fingerprint == info.fingerprint  # type: ignore[arg-type]


def test_train_and_val_alone_name_the_line_that_would_do(tmp_path: Path) -> None:
    root = tree(tmp_path / "x", train=4, val=2)
    message = (
        rf"no folder test, but val; to test on it, .* {{train: {root}/train, test: {root}/val}}$"
    )
    with pytest.raises(DataError, match=message):
        inspect(folder(root))


def test_a_test_set_is_carved_alike_for_all(tmp_path: Path) -> None:
    root = tree(tmp_path / "x", train=10)
    source = folder(root, test=0.2)
    said, notes = line(source)
    assert "16 train (2 of them validation), 4 test" in said
    assert "4 of 20 training images are the test set" in notes
    assert inspect(source).test_labels.tolist() == [0, 0, 1, 1]
    assert open_dataset(source, inspect(source).fingerprint, None).test.images.shape[0] == 4
    with pytest.raises(DataError, match=r"is the test set already; take data.test away"):
        inspect(folder(tree(tmp_path / "y"), test=0.2))


@pytest.mark.parametrize("how", ["absent", "empty"])
def test_a_class_that_test_never_shows_is_a_note(tmp_path: Path, how: str) -> None:
    root = tree(tmp_path / "x")
    shutil.rmtree(root / "test" / "cat")
    if how == "empty":
        (root / "test" / "cat").mkdir()
    assert "test has no image of cat" in line(folder(root))[1]


def test_two_forms_of_one_name_are_one_class(tmp_path: Path) -> None:
    root = tree(tmp_path / "x", ("Käse", "dog"))
    cheese = root / "test" / "Käse"
    cheese.rename(cheese.with_name(unicodedata.normalize("NFD", "Käse")))
    assert inspect(folder(root)).test_labels.tolist() == [0, 0, 1, 1]
    (root / "test" / "dog").rename(root / "test" / "Dog")
    with pytest.raises(DataError, match="did you mean dog"):
        inspect(folder(root))
    (root / "test" / "Dog").rename(root / "test" / "dog")
    for part in ("train", "test"):
        shutil.copytree(
            root / part / "Käse" if part == "train" else root / part / "dog", root / part / "Dog"
        )
    assert (
        "the classes Dog and dog differ in small and capital letters alone" in line(folder(root))[1]
    )
    shutil.move(root / "train/Dog", root / "train" / unicodedata.normalize("NFD", "Käse"))
    shutil.rmtree(root / "test/Dog")
    assert line(folder(root))[0].startswith("data: 2 classes (Käse 8, dog 4)")


def test_layouts_of_other_names_are_named_with_the_line_that_reads_them(tmp_path: Path) -> None:
    root = tree(tmp_path / "x", train_images=2, val2017=1, test_images=1)
    paths = f"{{train: {root}/train_images, validation: {root}/val2017, test: {root}/test_images}}"
    with pytest.raises(DataError, match=f"no folder train; .*write data.path: {paths}$"):
        inspect(folder(root))
    both = {"train": root / "train_images", "validation": root / "val2017"}
    with pytest.raises(DataError, match=r"^data.path names no test part, but val2017; to"):
        inspect(folder(both))  # type: ignore[arg-type]
    for image in (root / "train_images").rglob("*.png"):
        image.rename(image.with_suffix(".npy"))
    with pytest.raises(DataError, match=r"train_images: holds no images, but such files as .*npy"):
        inspect(folder(both | {"test": root / "test_images"}))  # type: ignore[arg-type]


def test_one_table_of_all_parts_is_named_as_such(tmp_path: Path) -> None:
    file = csv(tmp_path / "x", "path,label,split\nimg/cat.png,cat,test\n").path / "train.csv"
    with pytest.raises(DataError, match="is one file; make a file for each part of its column spl"):
        inspect(Source.model_validate({"source": "csv", "path": file}))


def test_copies_are_found_by_pixels_once_decoded(tmp_path: Path) -> None:
    from trainables.data.dataset import look_at

    root = tree(tmp_path / "x")
    Image.open(root / "test/cat/0.png").save(root / "train/cat/z.bmp")
    Image.open(root / "train/cat/0.png").save(root / "train/dog/z.bmp")
    assert inspect(folder(root)).known_copies.test == ()
    found = look_at(folder(root), [None], None).known_copies
    assert (found.train, found.test) == (((9, 0),), ((0, 4),))
    assert (
        "1 of 10 training images repeat an earlier one, 1 of them under another"
        in line(folder(root))[1]
    )


def test_places_in_object_stores_are_refused_as_such() -> None:
    with pytest.raises(ValidationError, match="only data on a disk is read"):
        Source.model_validate({"source": "parquet", "path": "s3://bucket/images"})
    assert Source.model_validate({"path": "~/images"}).path == Path.home() / "images"


NAMES = ["bear", "cat", "dog"]


def table(file: Path, labels: list[Any], names: list[str] | None = None, **columns: Any) -> None:
    values = columns or {"image": [{"bytes": png(i), "path": None} for i in range(len(labels))]}
    values = {**values, **({} if "label" in values else {"label": labels})}
    written = pa.table(values)
    if names:
        info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        written = written.replace_schema_metadata({"huggingface": json.dumps(info)})
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".arrow":
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, written.schema) as out:
            out.write_table(written)
    else:
        pq.write_table(written, file)


def parquet(root: Path, **data: Any) -> Source:
    return Source.model_validate({"source": "parquet", "path": root, **data})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["train-00000-of-00003", "train-00002-of-00003"],
            "train-00001-of-00003: is absent; 2 of 3 are here",
        ),
        (["train", "train (1)"], r"train.parquet and train \(1\).parquet: one file twice\?"),
        (["train", "train_small"], "train.parquet and train_small.parquet: is one a part of the"),
        (["train-00000-of-00001", "train-00000-of-00002"], "is one a part of the other"),
        (["train_0", "train_2"], "train, number 1: is absent; 2 of 3 are here"),
        (["train-1", "train-1 2"], "train-1 2.parquet and train-1.parquet: one file twice"),
        (["train", "backup_train"], "backup_train.parquet and train.parquet: one file twice"),
    ],
)
def test_lost_and_repeated_shards_are_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    for length, name in enumerate([*names, "test"], 1):
        # Only copies of a file are alike to the last byte.
        table(tmp_path / "x" / f"{name}.parquet", [0, 1] * (1 if "twice" in message else length))
    with pytest.raises(DataError, match=message):
        inspect(parquet(tmp_path / "x"))


@pytest.mark.parametrize(
    ("train", "names"), [(["dog", "cat"], ("cat", "dog")), ([True, False], ("false", "true"))]
)
def test_names_and_truths_are_classes(
    tmp_path: Path, train: list[Any], names: tuple[str, ...]
) -> None:
    for part in ("train", "test"):
        table(tmp_path / "x" / f"{part}.parquet", train)
    info = inspect(parquet(tmp_path / "x"))
    assert (info.class_names, info.train_labels.tolist()) == (names, [1, 0])


def test_forms_of_one_name_are_one_class_of_a_table_too(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "Käse") for form in ("NFC", "NFD")]
    for part in ("train", "test"):
        table(tmp_path / "x" / f"{part}.parquet", [*names, "dog "])
    assert inspect(parquet(tmp_path / "x")).class_names == ("Käse", "dog")
    table(tmp_path / "x" / "test.parquet", ["Dog"])
    with pytest.raises(DataError, match="of class Dog, of which train has none; did you mean dog"):
        inspect(parquet(tmp_path / "x"))
    for part in ("train", "test"):
        table(tmp_path / "x" / f"{part}.parquet", ["cat", "dog"], image=["iVBOR" * 999] * 2)
    with pytest.raises(DataError, match=r"is no path .*store images as bytes"):
        line(parquet(tmp_path / "x"))


def test_names_that_outlive_their_images_are_dropped_and_said(tmp_path: Path) -> None:
    for part in ("train", "test"):
        table(tmp_path / "x" / f"{part}.parquet", [0, 2] * 5, NAMES)
    info = inspect(parquet(tmp_path / "x"))
    assert (info.class_names, info.train_labels.tolist()) == (("bear", "dog"), [0, 1] * 5)
    assert "no image is of class cat" in line(parquet(tmp_path / "x"))[1]


def test_images_beside_the_file_and_as_pixels(tmp_path: Path) -> None:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    reference = None
    for layout in ("bytes", "path", "text"):
        root = tmp_path / layout
        for part in ("train", "test"):
            (root / "files").mkdir(parents=True, exist_ok=True)
            images: list[Any] = []
            for i in range(2):
                (root / "files" / f"{part}{i}.png").write_bytes(png(i + 9 * (part == "test")))
                path = f"files/{part}{i}.png"
                data = (root / path).read_bytes() if layout == "bytes" else None
                images.append(path if layout == "text" else {"bytes": data, "path": path})
            values = pa.array(images) if layout == "text" else pa.array(images, kind)
            table(root / f"{part}.parquet", [0, 1], image=values)
        found = inspect(parquet(root)).fingerprint
        reference = reference or found
        assert found == reference
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 5, 3))
    for part in ("train", "test"):
        table(tmp_path / "p" / f"{part}.parquet", [0, 1], pixel_values=pixels.tolist())
    info = inspect(parquet(tmp_path / "p"))
    data = open_dataset(parquet(tmp_path / "p"), info.fingerprint, None)
    assert np.array_equal(data.train.images, pixels)


def test_saved_folders_and_columns_of_any_name(tmp_path: Path) -> None:
    for part in ("train", "test"):
        table(tmp_path / "x" / part / "data-00000-of-00001.arrow", [0, 1], NAMES[:2])
        images = [png(0), png(1)]
        table(tmp_path / "y" / "data" / f"{part}.parquet", [], photo=images, label=[9, 9],
              species=["a", "b"])  # fmt: skip
    assert inspect(parquet(tmp_path / "x")).class_names == ("bear", "cat")
    found = inspect(parquet(tmp_path / "y", image="photo", label="species"))
    assert found.class_names == ("a", "b")
    with pytest.raises(DataError, match=r"data.label: .* has no column kind; its columns are"):
        inspect(parquet(tmp_path / "y", label="kind"))


def test_images_of_unlike_sizes_that_a_function_returns(function: Any) -> None:
    source = function("return ([x[0], x[1, :3]] * 2, y), (list(x / 255), y)")
    info = inspect(source)
    assert info.shapes == (((3, 5), 2), ((6, 5), 6))
    data = open_dataset(source, info.fingerprint, (3, 5))
    expected = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3))
    assert np.array_equal(data.train.images[1], expected[1, :3])


def test_images_of_a_function_are_named_by_the_part_that_it_returns(function: Any) -> None:
    def named(source: Source) -> tuple[list[str], list[str]]:
        info, begin = inspect(source), "field_data:load, "
        train, test = (places(source, info, part) for part in ("train", "test"))
        return [name.removeprefix(begin) for name in train], [n.removeprefix(begin) for n in test]

    train, test = named(function("return ((x, y),)").model_copy(update={"test": 0.5}))
    assert (len(train), len(test)) == (2, 2)
    assert sorted(train + test) == [f"train, image {number}" for number in range(4)]
    train, test = named(function("return (x, y), (x[:2], y[:2]), (x, y)"))
    assert train[3:] == ["train, image 3", "validation, image 0", "validation, image 1"]
    assert test == [f"test, image {number}" for number in range(4)]


def test_what_a_function_gives_is_the_same_each_time(function: Any) -> None:
    from orchestrator.errors import StudyError
    from orchestrator.study.inputs import find_inputs
    from orchestrator.study.study import study_from

    source = function("x[0, 0, 0] = np.random.random(3) * 256; return (x, y), (x, y)").source
    study = study_from(
        {"name": "x", "data": {"source": source}, "factors": {"model": ["resnet18"]}}
    )
    with pytest.raises(StudyError, match="other images or labels when it is called again; fix its"):
        find_inputs(study)


def test_the_list_of_an_image_folder(tmp_path: Path) -> None:
    reference = inspect(folder(tree(tmp_path / "x")))
    for part in ("train", "test"):
        flat, lines = tmp_path / "y" / part, ["file_name,label"]
        flat.mkdir(parents=True)
        for number, image in enumerate(sorted((tmp_path / "x" / part).glob("*/*.png"))):
            shutil.copy(image, flat / f"{number}.png")
            lines.append(f"{number}.png,{image.parent.name}")
        (flat / "metadata.csv").write_text("\n".join(lines) + "\n")
    assert inspect(folder(tmp_path / "y")).fingerprint == reference.fingerprint


def csv(root: Path, text: str, encoding: str = "utf-8", **data: Any) -> Source:
    root.mkdir(exist_ok=True)
    for name in ("cat", "dog"):
        (root / "img").mkdir(exist_ok=True)
        (root / "img" / f"{name}.png").write_bytes(png(len(name) + ord(name[0])))
    (root / "train.csv").write_text(text.format(root=root), encoding=encoding)
    shutil.copy(root / "train.csv", root / "test.csv")
    return Source.model_validate({"source": "csv", "path": root, **data})


@pytest.mark.parametrize(
    "text",
    [
        "filepath,label\nimg/cat.png,cat\nimg/dog.png,dog\n",
        "path; label \nimg/cat.png;cat\nimg/dog.png; dog \n",
        "id\timage\tclass\r\n1\timg\\cat.png\tcat\r\n2\timg\\dog.png\tdog\r\n",
        'path,label\n"{root}/img/cat.png",cat\n"{root}/img/dog.png",dog',
        "file,species\nC:\\photos\\cat.png,cat\nimg/dog.png,dog\n",
    ],
)
def test_csv_as_programs_write_it(tmp_path: Path, text: str) -> None:
    shutil.copytree(
        csv(tmp_path / "x", text, "utf-8-sig").path / "img", tmp_path, dirs_exist_ok=True
    )
    shutil.copy(tmp_path / "cat.png", tmp_path / "x")
    info = inspect(csv(tmp_path / "x", text, "utf-8-sig"))
    assert (info.class_names, info.train_labels.tolist(), info.sides) == (
        ("cat", "dog"),
        [0, 1],
        (8, 8),
    )


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        ("path,label\nimg/cat.png,\nimg/dog.png,dog\n", "utf-8", "row 2: label is null; every"),
        ("path,label\nimg/cat.png,cat,x\n", "utf-8", "cannot be read as CSV .*Expected 2 columns"),
        ("path,label\nimg/cat.png,Käse\n", "latin-1", "is not UTF-8 .*; save it anew as that"),
        ("path,label\nimg/cat.png,NaN\nimg/dog.png,dog\n", "utf-8", "row 2: label is null"),
        ("path,label,label\nimg/cat.png,a,b\n", "utf-8", "two columns are called label"),
        ("version https://git-lfs.github.com/spec/v1\noid 1\n", "utf-8", "is a git-LFS pointer"),
        ("img/cat.png,cat\nimg/dog.png,dog\n", "utf-8", "no column of images; .*say which"),
        ("path,label\nimg/gone.png,cat\nimg/dog.png,dog\n", "utf-8", r"gone.png.*cannot be read"),
        ("", "utf-8", "cannot be read as CSV"),
    ],
)
def test_csv_in_doubt_is_refused(tmp_path: Path, text: str, encoding: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        inspect(csv(tmp_path / "x", text, encoding))


def test_csv_of_path_and_label(tmp_path: Path) -> None:
    root = tree(tmp_path / "x")
    for part in ("train", "test"):
        images = sorted((root / part).glob("*/*.png"))
        rows = [f"{image.relative_to(root)};{image.parent.name}" for image in images]
        (root / f"{part}.csv").write_text("\n".join(["path;label", *rows]) + "\n")
    source = Source.model_validate({"source": "csv", "path": root})
    assert inspect(source).fingerprint == inspect(folder(root)).fingerprint
    assert inspect(source).class_names == ("cat", "dog")


@pytest.fixture
def function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(body: str) -> Source:
        sys.modules.pop("field_data", None)
        start = (
            "import numpy as np\ndef load():\n"
            "    x = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3)).astype('uint8')\n"
            "    y = np.arange(4) % 2\n"
        )
        (tmp_path / "field_data.py").write_text(start + textwrap.indent(body, "    "))
        return Source(source="field_data:load")

    yield make
    sys.modules.pop("field_data", None)


@pytest.mark.parametrize(
    "body",
    [
        "return (x, y), (x, y)",
        "return (x.astype('float32') / 255, y), (x / 255, y)",
        "return (x.astype('int64'), y), (x.astype(float), y)",
        "x = x.transpose(0, 3, 1, 2); return (x, y), (x, y)",
        "return (x, y[:, None]), (x, np.eye(2)[y])",
        "n = np.array(['a', 'b'])[y]; return (x, n), (x, n)",
        "import torch; t = torch.tensor(x); return (t, torch.tensor(y)), (list(x), list(y))",
        "from torch.utils.data import TensorDataset as D; from torch import tensor as t; "
        "return D(t(x), t(y)), D(t(x), t(y))",
        "return (x, y * 1.0), (x, y + 0.0)",
        "return x, y, x, y",
        "return (x, y, ['p', 'q', 'r', 's']), (x, y, [1, 2, 3, 4])",
        "return [*zip(x, y)], [*zip(x, y)]",
        "d = [dict(label=b, id=0, image=a) for a, b in zip(x, y)]; return d, d",
        "return (x, y), (x, np.array([b'0', b'1'])[y].astype(int))",
    ],
)
def test_arrays_are_read_where_there_is_no_doubt(function: Any, body: str) -> None:
    source = function(body)
    info = inspect(source)
    data = open_dataset(source, info.fingerprint, None)
    expected = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3))
    assert np.array_equal(data.train.images, expected)
    assert np.array_equal(data.test.images, expected)
    assert info.train_labels.tolist() == info.test_labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return (x[..., [0, 1, 2, 2]], y), (x, y)", r"\(4, 6, 5, 4\); .*: images\[..., :3\]"),
        ("return (x.reshape(4, 90), y), (x, y)", r"images.reshape\(len\(images\), height"),
        ("return (x, [0, 1, None, 1]), (x, y)", "train labels: image 2 has none"),
        ("return (x, y * 0.5), (x, y)", r"are float64; .* labels.astype\(int\)"),
        ("return (x, y - 1), (x, y)", "label -1 is no class; labels start at 0"),
        ("return x, y", "returns no test part; .*, write data.test: 0.2"),
        ("return (x, [[0], [0, 1], [1], [0]]), (x, y)", "labels cannot be read as an array"),
        (
            "import torch; t = torch.ones(4, 6, 5, 3).requires_grad_(); return (t, y), (x, y)",
            r"images cannot be read as an array .*images.detach\(\).cpu\(\).numpy\(\)",
        ),
        (
            "return (x - 300.0, y), (x, y)",
            r"are float64 from -300 to -45; .*\(images \+300\) / 255 \* .*astype\('uint8'\)",
        ),
        ("return (x / 2, y), (x, y)", r"images = images.round\(\).astype\('uint8'\)"),
        ("return (x, y), (x, y.astype(str))", "test: labels are numbers here and text in train"),
        ("return (x, y), (x, y + 1)", "class 2, of which train has none; .*The classes are 0, 1"),
        ("raise SystemExit('no data')", "no data"),
    ],
)
def test_arrays_in_doubt_are_refused_with_what_mends_them(
    function: Any, body: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        inspect(function(body))
