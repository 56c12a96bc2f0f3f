import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from trainables.data.doors.tables import Tables
from trainables.data.pictures import decode
from trainables.errors import DataError
from trainables.trial import Source

NAMES = ["cat", "dog"]


def png(value):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def structs(values):
    return [{"bytes": png(value), "path": f"{value}.png"} for value in values]


def metadata(names, label="label"):
    info = {"features": {label: {"names": names, "_type": "ClassLabel"}, "img": {"_type": "Image"}}}
    return {"huggingface": json.dumps({"info": info})}


def write(file, names=None, **columns):
    table = pa.table(columns)
    if names is not None:
        table = table.replace_schema_metadata(metadata(names))
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file)
    return file


def write_parts(folder, **options):
    write(folder / "train-0.parquet", image=structs([1, 2, 3]), label=[0, 1, 0], **options)
    write(folder / "test-0.parquet", image=structs([4, 5]), label=[1, 0], **options)


def reds(split):
    return [int(decode(item, None)[1][0, 0, 0]) for item in split.items()]


class TestLayout:
    def test_structs_and_names(self, tmp_path):
        write_parts(tmp_path, names=NAMES)
        reading = Tables(tmp_path).read()
        assert reading.class_names == ("cat", "dog")
        assert reading.train.labels.tolist() == [0, 1, 0]
        assert reading.test.labels.tolist() == [1, 0]
        assert reds(reading.train) == [1, 2, 3]
        assert reds(reading.train) == [1, 2, 3]  # starts over
        assert reds(reading.test) == [4, 5]

    def test_without_names_the_labels_are_the_names(self, tmp_path):
        write_parts(tmp_path)
        assert Tables(tmp_path).read().class_names == ("0", "1")

    def test_plain_bytes(self, tmp_path):
        for part in ("train", "test"):
            write(tmp_path / f"{part}.parquet", img=[png(7), png(8)], labels=[0, 1])
        assert reds(Tables(tmp_path).read().train) == [7, 8]

    def test_large_binary(self, tmp_path):
        images = pa.array([png(7), png(8)], pa.large_binary())
        for part in ("train", "test"):
            write(tmp_path / f"{part}.parquet", data=images, target=[0, 1])
        assert reds(Tables(tmp_path).read().train) == [7, 8]

    @pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.int32(), pa.uint64()])
    def test_any_whole_number_type(self, tmp_path, kind):
        for part in ("train", "test"):
            labels = pa.array([0, 1], kind)
            write(tmp_path / f"{part}.parquet", img=structs([7, 8]), Class=labels)
        assert Tables(tmp_path).read().train.labels.dtype == np.int64

    def test_fine_labels_before_coarse_ones(self, tmp_path):
        for part in ("train", "test"):
            columns = {"img": structs([7, 8, 9]), "coarse_label": [1, 0, 0]}
            write(tmp_path / f"{part}.parquet", **columns, fine_label=[0, 1, 2])
        assert Tables(tmp_path).read().train.labels.tolist() == [0, 1, 2]

    def test_images_by_name_where_two_columns_hold_bytes(self, tmp_path):
        for part in ("train", "test"):
            images = {"image": structs([7, 8]), "mask": structs([1, 1])}
            write(tmp_path / f"{part}.parquet", **images, label=[0, 1])
        assert reds(Tables(tmp_path).read().train) == [7, 8]

    def test_many_rows_and_row_groups(self, tmp_path):
        values = [i % 251 for i in range(300)]
        table = pa.table({"image": structs(values), "label": [i % 2 for i in range(300)]})
        pq.write_table(table, tmp_path / "train.parquet", row_group_size=90)
        pq.write_table(table, tmp_path / "test.parquet")
        reading = Tables(tmp_path).read()
        assert reds(reading.train) == values
        assert [item.where for item in reading.train.items()][123].endswith(
            "train.parquet, row 123"
        )


class TestFiles:
    def test_many_files_in_the_order_of_their_names(self, tmp_path):
        for i in (2, 0, 1):
            file = tmp_path / f"train-0000{i}-of-00003.parquet"
            write(file, image=structs([10 * i, 10 * i + 1]), label=[0, 1])
        write(tmp_path / "test-00000-of-00001.parquet", image=structs([4, 5]), label=[1, 0])
        write(tmp_path / "validation-00000-of-00001.parquet", image=structs([9]), label=[0])
        origin = Tables(tmp_path)
        assert reds(origin.read().train) == [0, 1, 10, 11, 20, 21, 9]  # the last one validates
        assert origin.read().given_validation == 1
        kept = origin.read(Source(validation=0.5))
        assert reds(kept.train) == [0, 1, 10, 11, 20, 21]
        assert [file.name[:4] for file in origin.evidence()] == [*["trai"] * 3, "vali", "test"]

    def test_images_beside_a_file_may_change_alone(self, tmp_path):
        more = {"embedding": [[0.5], [1.0]], "small": [b"x", b"y"], "mask": [{"bytes": b""}] * 2}
        beside = [["0.png", "1.png"], [{"path": "0.png"}, {"path": "1.png"}]]
        beside += [[*structs([0]), {"bytes": None, "path": "1.png"}]]
        for number, images in enumerate([*beside, [png(0), png(1)], structs([0, 1])]):
            folder = tmp_path / str(number)
            for part in ("train", "test"):
                file = write(folder / f"{part}.parquet", picture=images, label=[0, 1], **more)
            found = Tables(folder, image="picture").evidence()
            if number < len(beside):
                assert found is None
            else:
                assert found == [folder / "train.parquet", file]

    def test_the_word_within_a_name(self, tmp_path):
        write_parts(tmp_path)
        (tmp_path / "train-0.parquet").rename(tmp_path / "cifar10-train.parquet")
        (tmp_path / "test-0.parquet").rename(tmp_path / "latest_test.parquet")
        write(tmp_path / "latest.parquet", other=[1])  # no part of it is the word test
        assert Tables(tmp_path).read().test.labels.size == 2

    def test_folders_of_parts(self, tmp_path):
        write_parts(tmp_path)
        for part in ("train", "test"):
            (tmp_path / part).mkdir()
            (tmp_path / f"{part}-0.parquet").rename(tmp_path / part / "0.parquet")
            (tmp_path / part / "_metadata.parquet").write_bytes(b"of Spark")
        assert reds(Tables(tmp_path).read().train) == [1, 2, 3]

    def test_a_file_a_folder_or_a_pattern_each(self, tmp_path):
        write(tmp_path / "a" / "one.parquet", image=structs([1, 2]), label=[0, 1])
        write(tmp_path / "a" / "two.parquet", image=structs([3, 4]), label=[0, 1])
        write(tmp_path / "b.parquet", image=structs([5, 6]), label=[0, 1])
        file, folder, pattern = (
            tmp_path / "b.parquet",
            tmp_path / "a",
            tmp_path / "?" / "*e.parquet",
        )
        assert reds(Tables({"train": folder, "test": file}).read().train) == [1, 2, 3, 4]
        assert reds(Tables({"train": pattern, "test": file}).read().train) == [1, 2]
        assert reds(Tables({"train": pattern, "test": file}).read().test) == [5, 6]


class TestRefused:
    def refused(self, path, message):
        with pytest.raises(DataError, match=message):
            Tables(path).read()

    def test_no_such_folder(self, tmp_path):
        self.refused(tmp_path / "none", r"none is not a folder; parquet needs one that holds train")

    def test_no_test_part(self, tmp_path):
        write_parts(tmp_path)
        (tmp_path / "test-0.parquet").unlink()
        self.refused(
            tmp_path, r"holds no test\*.parquet and no folder test; .* write data.test: 0.2"
        )

    def test_nothing_matches(self, tmp_path):
        write_parts(tmp_path)
        paths = {"train": tmp_path / "t*n-9.parquet", "test": tmp_path / "test-0.parquet"}
        self.refused(paths, r"t\*n-9.parquet is no Parquet file and holds or matches none")

    def test_one_file_for_both(self, tmp_path):
        write_parts(tmp_path)
        file = tmp_path / "train-0.parquet"
        self.refused({"train": file, "test": tmp_path / "t*.parquet"}, "both train and test")

    def test_a_name_that_says_both(self, tmp_path):
        write_parts(tmp_path)
        (tmp_path / "test-0.parquet").rename(tmp_path / "train-test.parquet")
        self.refused(tmp_path, "train-test.parquet: is it train or test")

    def test_files_and_a_folder_of_one_part(self, tmp_path):
        write_parts(tmp_path)
        (tmp_path / "train").mkdir()
        self.refused(tmp_path, "holds both train-0.parquet and a folder train")

    @pytest.mark.parametrize("length", [0, 3, 200, -9, -200])
    def test_a_truncated_file(self, tmp_path, length):
        write_parts(tmp_path)
        file = tmp_path / "test-0.parquet"
        file.write_bytes(file.read_bytes()[:length])
        self.refused(
            tmp_path, r"test-0.parquet: cannot be read as Parquet \(.*\); replace the file"
        )

    def test_damage_among_the_images(self, tmp_path):
        write_parts(tmp_path)
        file = tmp_path / "train-0.parquet"
        content = file.read_bytes()
        file.write_bytes(content[:4] + bytes(60) + content[64:])
        items = Tables(tmp_path).read().train.items()
        with pytest.raises(DataError, match=r"train-0.parquet: cannot be read as Parquet"):
            list(items)

    def test_images_that_could_be_either(self, tmp_path):
        columns = {"left": structs([1, 2]), "right": structs([1, 2]), "label": [0, 1]}
        for part in ("train", "test"):
            write(tmp_path / f"{part}.parquet", **columns)
        self.refused(tmp_path, r"left and right may each be the images; .* Columns: left \(struct<")

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            (
                {"id": [0, 1]},
                r"no column of labels; .* a column named label, .* id \(int",
            ),
            ({"label": [0.5, 1.5]}, "row 0: label is 0.5, which is no class"),
            ({"label": [0, 1], "class": [0, 1]}, "label and class may each be the labels"),
        ],
    )
    def test_labels_missing_or_ambiguous(self, tmp_path, columns, message):
        for part in ("train", "test"):
            write(tmp_path / f"{part}.parquet", image=structs([1, 2]), **columns)
        self.refused(tmp_path, message)

    @pytest.mark.parametrize(
        ("label", "names", "message"),
        [
            (-1, None, r"row 2: label is -1, outside the classes \(from 0 up\)"),
            (-1, NAMES, r"row 2: label is -1, outside the classes \(0 to 1\)"),
            (2, NAMES, r"row 2: label is 2, outside the classes \(0 to 1\)"),
            (None, NAMES, "row 2: label is null; every image needs one"),
        ],
    )
    def test_labels_outside_the_classes(self, tmp_path, label, names, message):
        write_parts(tmp_path, names=names)
        images = structs([1, 2, 3])
        write(tmp_path / "train-0.parquet", names, image=images, label=[0, 1, label])
        self.refused(tmp_path, message)

    def test_numbers_with_gaps_are_names(self, tmp_path):
        write_parts(tmp_path)
        write(tmp_path / "train-0.parquet", image=structs([1, 2, 3]), label=[0, 1, 10**12])
        reading = Tables(tmp_path).read()
        assert reading.class_names == ("0", "1", str(10**12))
        assert reading.train.labels.tolist() == [0, 1, 2]

    def test_a_row_without_bytes(self, tmp_path):
        write_parts(tmp_path)
        images = [*structs([1]), {"bytes": None, "path": "2.png"}, None]
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        write(tmp_path / "train-0.parquet", image=pa.array(images, kind), label=[0, 1, 1])
        items = Tables(tmp_path).read().train.items()
        assert next(items).where == f"{tmp_path / 'train-0.parquet'}, row 0"
        assert next(items).content == tmp_path / "2.png"
        with pytest.raises(DataError, match="row 2: image holds no bytes and no path; store"):
            next(items)

    def test_files_that_do_not_go_together(self, tmp_path):
        write_parts(tmp_path, names=NAMES)
        write(tmp_path / "train-1.parquet", ["cat", "eel"], image=structs([1]), label=[0])
        self.refused(tmp_path, "train-1.parquet: differs from .*train-0.parquet in its columns or")

    def test_names_may_stand_in_some_files_only(self, tmp_path):
        write_parts(tmp_path)
        write(tmp_path / "train-1.parquet", NAMES, image=structs([1]), label=[0])
        assert Tables(tmp_path).read().class_names == ("cat", "dog")

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"info": {"features": {"label": 3}}}'])
    def test_odd_metadata_name_nothing(self, tmp_path, text):
        for part in ("train", "test"):
            table = pa.table({"image": structs([1, 2]), "label": [0, 1]})
            table = table.replace_schema_metadata({"huggingface": text})
            pq.write_table(table, Path(tmp_path) / f"{part}.parquet")
        assert Tables(tmp_path).read().class_names == ("0", "1")
