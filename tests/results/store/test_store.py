"""A run directory: paths, reading, repair, and merging that a crash cannot harm."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from results.errors import StoreError
from results.records import EPOCH_SCHEMA, PREDICTION_SCHEMA, SCHEMAS
from results.store.store import Store, merging
from results.store.tables import GrowingTable, table_of

ROWS_PER_PART = 7


def epochs(first: int, count: int = ROWS_PER_PART) -> pa.Table:
    rows = [
        {"trial_id": f"t{number % 3}", "sequence": number, "epoch": number + 1, "val_accuracy": 0.5}
        for number in range(first, first + count)
    ]
    return table_of("epochs", rows)


def filled(root: Path, parts: int = 12) -> Store:
    """Return a store with many small parts, named so that they sort in order."""
    store = Store(root)
    for part in range(parts):
        store.write_part("epochs", f"p{part:03d}", [epochs(part * ROWS_PER_PART)])
    return store


def seen(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if not entry.name.endswith(".old")]


def sequences(store: Store) -> list[int]:
    found: list[int] = store.read("epochs", ["sequence"])["sequence"].to_pylist()
    return found


# Reading.


def test_paths(tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    assert store.study_file == tmp_path / "run" / "study.yaml"
    assert store.folder("epochs") == tmp_path / "run" / "epochs"
    assert {"trials", "epochs", "predictions", "environments"} < store.names
    assert {"study.yaml", "checkpoints", "report", "damaged", "run.lock"} < store.names


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_a_table_without_rows_has_its_schema(tmp_path: Path, table: str) -> None:
    assert Store(tmp_path).read(table).schema == SCHEMAS[table]
    first = SCHEMAS[table].names[0]
    assert Store(tmp_path).read(table, [first]).schema.names == [first]


def test_there_must_be_a_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="`scalestudy run` makes one"):
        Store(tmp_path / "none").read("epochs")


def test_columns_and_rows_are_chosen(tmp_path: Path) -> None:
    store = filled(tmp_path, parts=2)
    import pyarrow.compute as pc

    chosen = store.read("epochs", ["sequence"], where=pc.field("trial_id") == "t1")
    assert chosen["sequence"].to_pylist() == [1, 4, 7, 10, 13]
    assert chosen.column_names == ["sequence"]


def test_hidden_files_and_strangers_are_no_parts(tmp_path: Path) -> None:
    store = filled(tmp_path, parts=1)
    (store.folder("epochs") / ".p000.parquet.1234").write_bytes(b"half")
    (store.folder("epochs") / "notes.txt").write_text("mine")
    assert len(store.parts("epochs")) == 1
    assert len(sequences(store)) == ROWS_PER_PART


def test_the_study(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="no study has run here"):
        store.study()
    store.write_study({"name": "a", "factors": {"model": ["ä"]}})
    assert store.study() == {"name": "a", "factors": {"model": ["ä"]}}
    deep = b"[" * 5_000
    for content in (b"- a", b"\xff", b"a: [", b"", b"a: 2024-99-99", deep, b"search: 5"):
        store.study_file.write_bytes(content)
        with pytest.raises(StoreError, match=r"study\.yaml"):
            store.study()


def test_a_part_is_one_file_of_its_row_groups(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_part("epochs", "p", [epochs(0, 3), epochs(3, 4)])
    metadata = pq.read_metadata(store.parts("epochs")[0])
    assert [metadata.row_group(number).num_rows for number in range(2)] == [3, 4]
    assert pq.read_schema(store.parts("epochs")[0]).equals(EPOCH_SCHEMA)


def test_a_part_that_is_replaced_is_read_by_its_new_rows(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for count in (3, 9, 1):
        store.replace_part("epochs", "p", epochs(0, count))
        assert sequences(store) == [*range(count)]


# Damage.


def damage(part: Path, kind: str) -> None:
    content = part.read_bytes()
    middle = len(content) // 4
    part.write_bytes(
        {
            "empty": b"",
            "garbage": bytes(range(256)) * 4,
            "truncated": content[: len(content) // 2],
            "footer only": content[-40:],
            "magic only": b"PAR1PAR1",
            "bytes inside": content[:middle] + bytes(200) + content[middle + 200 :],
        }[kind]
    )


KINDS = ["empty", "garbage", "truncated", "footer only", "magic only", "bytes inside"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_part_is_named_and_set_aside_and_nothing_else(tmp_path: Path, kind: str) -> None:
    store = filled(tmp_path, parts=4)
    hurt = store.parts("epochs")[1]
    damage(hurt, kind)
    content = hurt.read_bytes()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"p001\.parquet.*sets damaged parts aside"):
        store.read("epochs")
    others = {part: part.read_bytes() for part in store.parts("epochs") if part != hurt}
    (message,) = store.repair()
    assert str(hurt) in message
    assert "trained again" in message
    assert (store.damaged / "epochs-p001.parquet").read_bytes() == content
    assert {part: part.read_bytes() for part in store.parts("epochs")} == others
    assert sequences(store) == [*range(7), *range(14, 28)]
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert store.repair() == []


def test_a_part_of_another_kind_is_damage_too(tmp_path: Path) -> None:
    store = filled(tmp_path, parts=1)
    pq.write_table(pa.table({"a": [1]}), store.folder("epochs") / "foreign.parquet")
    text = epochs(0).set_column(0, "trial_id", pa.array([1] * ROWS_PER_PART))
    pq.write_table(text, store.folder("epochs") / "odd.parquet")
    assert len(store.repair()) == 2
    assert sequences(store) == [*range(ROWS_PER_PART)]


def test_a_part_that_may_not_be_read_is_left_where_it_is(tmp_path: Path) -> None:
    store = filled(tmp_path, parts=1)
    loop = store.folder("epochs") / "loop.parquet"
    loop.symlink_to(loop)
    with pytest.raises(StoreError, match="loop"):
        store.repair()
    assert loop.is_symlink()
    assert not store.damaged.exists()


def test_a_part_of_another_tool_may_be_narrower(tmp_path: Path) -> None:
    store = filled(tmp_path, parts=1)
    rows = epochs(ROWS_PER_PART).select(["trial_id", "epoch", "sequence", "val_accuracy"])
    kinds = (pa.large_string(), pa.int32(), pa.uint16(), pa.float32())
    narrow = rows.cast(pa.schema(zip(rows.column_names, kinds, strict=True)))
    pq.write_table(narrow, store.folder("epochs") / "other.parquet")
    assert store.repair() == []
    assert sorted(sequences(store)) == [*range(2 * ROWS_PER_PART)]


def test_a_footer_that_is_no_text_is_damage(tmp_path: Path) -> None:
    store = filled(tmp_path, parts=1)
    (part,) = store.parts("epochs")
    # As another tool leaves it: without a checksum that would tell.
    pq.write_table(epochs(0), part)
    content = part.read_bytes()
    at = content.index(b"val_accuracy")
    part.write_bytes(content[:at] + b"\xff" + content[at + 1 :])
    (message,) = store.repair()
    assert "damaged" in message


def test_scraps_of_a_crash_are_cleared(tmp_path: Path) -> None:
    store = filled(tmp_path, parts=2)
    scrap = store.folder("epochs") / ".p003.parquet.ab12cd34"
    scrap.write_bytes(b"half")
    study = tmp_path / ".study.yaml.0123abcd"
    study.touch()
    old, new = (tmp_path / "report" / f".index.html.{n}1234567" for n in "ab")
    (tmp_path / "report").mkdir()
    for file in (old, new):
        file.touch()
    os.utime(old, (1.0, 1.0))
    kept = store.folder("epochs") / ".hidden"
    kept.touch()
    assert set(store.scraps()) == {scrap, study, old}
    assert store.repair() == []
    assert not any(file.exists() for file in (scrap, study, old))
    # A report may be written right now.
    assert new.exists()
    assert kept.exists()


# Merging.


def test_few_parts_are_left_alone(tmp_path: Path) -> None:
    store = filled(tmp_path, parts=8)
    before = {part: part.stat().st_ino for part in store.parts("epochs")}
    store.merge("later")
    assert {part: part.stat().st_ino for part in store.parts("epochs")} == before


def test_many_small_parts_become_one_in_their_order(tmp_path: Path) -> None:
    store = filled(tmp_path, parts=20)
    before = store.read("epochs")
    store.merge("later")
    assert [part.name for part in store.parts("epochs")] == ["later-merged-000.parquet"]
    assert store.read("epochs").equals(before)
    assert seen(tmp_path) == ["epochs"]


def test_large_parts_and_strangers_go_along_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(merging._MERGED_ROWS, "epochs", 100)
    store = filled(tmp_path, parts=12)
    store.write_part("epochs", "p005-large", [epochs(1000, 60)])
    folder = store.folder("epochs")
    (folder / "notes.txt").write_text("mine")
    (folder / ".hidden").write_text("mine")
    (folder / "more").mkdir()
    (folder / "more" / "file").write_text("mine")
    large = folder / "p005-large.parquet"
    before = (large.stat().st_ino, large.read_bytes())
    store.merge("later")
    assert (large.stat().st_ino, large.read_bytes()) == before
    for name in ("notes.txt", ".hidden", "more/file"):
        assert (folder / name).read_text() == "mine"
    assert sorted(sequences(store)) == [*range(84), *range(1000, 1060)]
    assert [part.name for part in store.parts("epochs")] == [
        "later-merged-000.parquet",
        "p005-large.parquet",
    ]


def test_merged_parts_are_of_sensible_size_and_may_be_merged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(merging._MERGED_ROWS, "epochs", 30)
    store = filled(tmp_path, parts=20)
    store.merge("one")
    # Five parts of seven rows reach thirty.
    assert [pq.read_metadata(part).num_rows for part in store.parts("epochs")] == [35] * 4
    store.merge("one", above=0)
    assert [pq.read_metadata(part).num_rows for part in store.parts("epochs")] == [35] * 4
    for part in range(20, 30):
        store.write_part("epochs", f"p{part:03d}", [epochs(part * ROWS_PER_PART)])
    # The same name again: what has it already is not written over.
    store.merge("one")
    assert sorted(sequences(store)) == [*range(210)]


def test_memory_holds_a_row_group_and_not_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_GROUP_ROWS", 20_000)
    store = Store(tmp_path)
    table = GrowingTable(store, "predictions", "pass")
    count = 20_000
    generator = np.random.default_rng(0)
    for trial in range(30):
        rows = {
            "trial_id": pa.repeat(f"t{trial:02d}", count),
            "epoch": pa.repeat(pa.scalar(5, pa.int64()), count),
            "example": np.arange(count),
            "label": generator.integers(10, size=count),
            "prediction": generator.integers(10, size=count),
            "correct": generator.random(count) < 0.5,
            "label_probability": generator.random(count, np.float32),
            "prediction_probability": generator.random(count, np.float32),
            "in_first_five": generator.random(count) < 0.5,
        }
        table.append(pa.table(rows, schema=PREDICTION_SCHEMA))
        table.flush()
    whole = store.read("predictions")
    expected, size = whole.combine_chunks(), whole.nbytes
    del whole
    pool = pa.system_memory_pool()
    usual = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        store.merge("later")
        peak = pool.max_memory()
    finally:
        pa.set_memory_pool(usual)
    assert 0 < peak < size / 2
    assert store.read("predictions").equals(expected)
    assert len(store.parts("predictions")) == 1
    assert pq.read_metadata(store.parts("predictions")[0]).num_row_groups == 30


def test_trials_stay_in_parts_that_are_cheap_to_rewrite(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for part in range(30):
        rows = [{"trial_id": f"t{part:02d}-{number:03d}"} for number in range(100)]
        store.write_part("trials", f"p{part:02d}", [table_of("trials", rows)])
    before = store.read("trials")["trial_id"].to_pylist()
    store.merge("later")
    assert [pq.read_metadata(part).num_rows for part in store.parts("trials")] == [1000] * 3
    assert store.read("trials")["trial_id"].to_pylist() == before


def test_columns_that_older_parts_lack_are_null_in_the_merged_one(tmp_path: Path) -> None:
    store = filled(tmp_path, parts=10)
    old = epochs(70).drop_columns(["lr_last", "host"])
    pq.write_table(old, store.folder("epochs") / "p010.parquet")
    store.merge("later")
    assert sequences(store) == [*range(77)]
    assert pq.read_schema(store.parts("epochs")[0]).equals(EPOCH_SCHEMA)


def test_a_folder_that_is_a_link_is_merged_where_it_leads(tmp_path: Path) -> None:
    store, disk = filled(tmp_path / "run", parts=12), tmp_path / "disk"
    disk.mkdir()
    store.folder("epochs").rename(disk / "rows")
    store.folder("epochs").symlink_to(disk / "rows")
    for part in range(12, 24):
        store.merge(f"m{part}", above=4)
        store.write_part("epochs", f"p{part:03d}", [epochs(part * ROWS_PER_PART)])
    assert store.folder("epochs").is_symlink()
    assert seen(store.root) == ["epochs"]
    assert sorted(sequences(store)) == [*range(24 * ROWS_PER_PART)]
    shutil.rmtree(disk)
    with pytest.raises(StoreError, match=r"is a link to .*mount that disk"):
        store.read("epochs")


# Crashes while merging.


class Crash(BaseException):
    pass


STEPS: list[tuple[Any, str]] = [
    (Path, "mkdir"),
    (Path, "rename"),
    (Path, "replace"),
    (merging, "_exchange"),
    (os, "link"),
    (os, "fsync"),
    (shutil, "rmtree"),
    (pq.ParquetWriter, "write_table"),
    (pq.ParquetWriter, "close"),
]


@pytest.fixture(params=["exchange", "two renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How a folder takes another's place: not every file system can exchange two."""
    if request.param == "two renames":
        monkeypatch.setattr(merging, "_exchange", lambda *_: False)


def crash_at(patch: pytest.MonkeyPatch, number: int, after: bool) -> list[str]:
    """Let the step of a number crash, before or after it is done; return the steps taken."""
    taken: list[str] = []

    def crashing(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            if len(taken) > number:
                # The process is gone: what would clean up after it never runs.
                raise Crash
            taken.append(name)
            if len(taken) > number and not after:
                raise Crash
            result = step(*arguments, **keywords)
            if len(taken) > number:
                raise Crash
            return result

        return wrapped

    for owner, name in STEPS:
        patch.setattr(owner, name, crashing(name, getattr(owner, name)))
    return taken


@pytest.mark.usefixtures("way")
def test_a_crash_at_any_step_of_a_merge_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(merging._MERGED_ROWS, "epochs", 50)
    crashes = []
    whole = filled(tmp_path / "whole", parts=6)
    whole.write_part("epochs", "p003-large", [epochs(500, 30)])
    before = sorted(sequences(whole))
    (whole.folder("epochs") / "notes.txt").write_text("mine")
    for number in range(100):
        for after in (False, True):
            store = Store(tmp_path / f"{number}-{after}")
            shutil.copytree(whole.root, store.root)
            with monkeypatch.context() as patch:
                taken = crash_at(patch, number, after)
                try:
                    store.merge("later", above=3)
                except Crash:
                    crashes.append(taken[-1])
            ended = len(taken) <= number
            # Before anything is repaired, and after.
            assert sorted(sequences(store)) == before
            assert store.repair() == []
            assert sorted(sequences(store)) == before
            assert (store.folder("epochs") / "notes.txt").read_text() == "mine"
            assert seen(store.root) == ["epochs"]
            store.merge("later", above=3)
            assert len(store.parts("epochs")) == 2
            assert sorted(sequences(store)) == before
            shutil.rmtree(store.root)
        if ended:
            break
    assert ended
    assert {
        "mkdir",
        "rename",
        "_exchange",
        "link",
        "fsync",
        "rmtree",
        "write_table",
        "close",
    } <= set(crashes)


def test_a_disk_that_is_full_while_merging_leaves_the_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path)
    before = {part: part.read_bytes() for part in store.parts("epochs")}

    def full(*arguments: object, **keywords: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(StoreError, match="the disk is full"):
            store.merge("later")
    assert {part: part.read_bytes() for part in store.parts("epochs")} == before
    assert seen(tmp_path) == ["epochs"]
    store.merge("later")
    assert len(store.parts("epochs")) == 1


def test_readers_meet_every_row_once_while_parts_are_merged(tmp_path: Path) -> None:
    store = filled(tmp_path, parts=3)
    problems: list[str] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            found = sequences(store)
            if len(set(found)) != len(found) or sorted(found) != [*range(len(found))]:
                problems.append(str(found))

    reader = threading.Thread(target=read)
    reader.start()
    for part in range(3, 90):
        store.write_part("epochs", f"p{part:03d}", [epochs(part * ROWS_PER_PART)])
        store.merge(f"p{part:03d}", above=4)
    ended.set()
    reader.join()
    assert problems == []
    assert len(sequences(store)) == 90 * ROWS_PER_PART
