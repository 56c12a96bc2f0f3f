"""Places in object stores, against real servers on loopback."""

import threading
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from object_stores import Server, free_port

from results.errors import AddressError, StoreError, Unreachable
from results.store.files import modified, move, remove, size, write_whole
from results.store.objects import ObjectPath, is_address, located
from results.store.store import Store
from results.store.tables import table_of


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("s3://bucket/run", True),
        ("gs://bucket", True),
        ("s3:/bucket/run", True),
        ("ftp://host/x", True),
        ("runs/digits", False),
        ("/runs/a:b", False),
        ("C:/runs", False),
        ("./s3", False),
    ],
)
def test_what_is_meant_as_an_address(text: str, meant: bool) -> None:
    assert is_address(text) is meant


def test_a_folder_stays_a_folder(tmp_path: Path) -> None:
    assert located(str(tmp_path)) == tmp_path
    assert located(tmp_path) is not None


REFUSED = {
    "ftp://host/run": "valid are s3://bucket/folder and gs://bucket/folder, or a folder",
    "s3:/bucket/run": "an address has two slashes, s3://bucket/folder",
    "s3://": "the bucket is missing",
    "s3:///run": "the bucket is missing",
    "s3://b/run?endpoint=x": "the address is not understood: Unexpected query parameter",
}


@pytest.mark.parametrize("address", sorted(REFUSED))
def test_addresses_that_cannot_be_used(address: str) -> None:
    with pytest.raises(AddressError) as refused:
        located(address)
    assert REFUSED[address] in str(refused.value)


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_credentials_in_an_address_are_refused_and_not_repeated(scheme: str) -> None:
    for owner in ("AKIA123:hunter2", "hunter2", "anonymous:hunter2"):
        with pytest.raises(
            AddressError, match="credentials do not belong in an address"
        ) as refused:
            located(f"{scheme}://{owner}@bucket/run?region=hunter2")
        assert "hunter2" not in str(refused.value)
        assert refused.value.__context__ is None


def test_objects_by_the_verbs_of_a_path(store_server: Server) -> None:
    run = located(store_server.address())
    assert isinstance(run, ObjectPath)
    assert not run.exists()
    assert [*run.iterdir()] == []
    assert size(run) == 0
    file = run / "epochs" / "b.parquet"
    for content in (b"", b"one", b"two" * 100_000):
        write_whole(file, content)
        assert file.read_bytes() == content
        assert size(file) == len(content)
    write_whole(run / "epochs" / "a.parquet", b"12345")
    write_whole(run / "study.yaml", "ä".encode())
    assert (run / "study.yaml").read_bytes().decode() == "ä"
    assert (run.exists(), run.is_dir(), file.exists(), file.is_dir()) == (True, True, True, False)
    assert [entry.name for entry in run.iterdir()] == ["epochs", "study.yaml"]
    assert [part.stem for part in (run / "epochs").glob("[!.]*.parquet")] == ["a", "b"]
    assert [*(run / "epochs").glob("c*")] == []
    assert size(run / "epochs") == 300_005
    assert abs(modified(file) - time.time()) < 60
    move(file, run / "damaged" / "b.parquet")
    assert not file.exists()
    assert (run / "damaged" / "b.parquet").read_bytes() == content
    remove(run / "epochs")
    remove(run / "epochs")
    assert [*(run / "epochs").glob("*")] == []
    remove(run / "study.yaml")
    for read in (file.read_bytes, partial(modified, file), file.unlink):
        with pytest.raises(FileNotFoundError):
            read()
    file.unlink(missing_ok=True)


def test_an_address_shows_how_it_is_found_again(s3: Server) -> None:
    run = located(s3.address("deep/run/"))
    assert located(str(run)) == run
    assert str(run / "epochs").endswith(f"/deep/run/epochs?{s3.query}")
    assert (run / "epochs").parent == run
    assert (run / "a") < (run / "b")
    assert len({run, located(str(run))}) == 1


def test_a_bucket_that_is_not_there_is_said(store_server: Server) -> None:
    with pytest.raises(StoreError, match="there is no bucket 'nothing-here'; create it"):
        located(f"{store_server.root}nothing-here/run?{store_server.query}")


def test_a_bucket_that_is_gone_is_said(s3: Server) -> None:
    run = located(s3.address())
    assert isinstance(run, ObjectPath)
    s3.ask("DELETE", f"/{run.key.partition('/')[0]}")
    with pytest.raises(StoreError, match="there is no such bucket"):
        write_whole(run / "study.yaml", b"x")


def test_a_store_that_does_not_answer_is_said(s3: Server) -> None:
    port = free_port()
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port} cannot be reached; look at the net"):
        located(f"s3://bucket/run?scheme=http&endpoint_override=127.0.0.1:{port}")


def test_the_endpoint_may_come_from_the_environment(
    s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3.bucket()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3.port}")
    run = located(f"s3://{bucket}/run")
    write_whole(run / "a", b"1")
    assert str(run) == f"s3://{bucket}/run"
    assert (run / "a").read_bytes() == b"1"


def test_credentials_that_are_refused_are_said(s3: Server) -> None:
    address = s3.address()
    # From now on moto checks signatures, and knows no user.
    s3.ask("POST", "/moto-api/reset-auth", b"0")
    try:
        with pytest.raises(StoreError) as refused:
            located(address)
    finally:
        s3.ask("POST", "/moto-api/reset-auth", b"1000000000")
    assert "access is denied" in str(refused.value)
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE" in str(refused.value)


REGION = (
    "When getting information for bucket 'b': AWS Error UNKNOWN (HTTP status 301) during HeadBucket"
    " operation: No response body. Looks like the configured region is 'eu-west-1' while the "
    "bucket is located in 'us-east-2'."
)


def test_another_region_is_said(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # moto serves every region, so what Amazon answers is quoted.
    run = located(s3.address())

    class Elsewhere:
        def get_file_info(self, *arguments: object) -> None:
            raise OSError(REGION)

    object.__setattr__(run, "filesystem", Elsewhere())
    with pytest.raises(StoreError, match="the bucket is in another region than was asked for"):
        run.exists()


def test_a_part_is_replaced_while_it_is_read(s3: Server) -> None:
    store = Store(s3.address())
    problems: list[BaseException] = []
    ended = threading.Event()
    reads = 0

    def rows(count: int) -> pa.Table:
        return table_of("trials", [{"trial_id": f"t{number:03d}"} for number in range(count)])

    store.replace_part("trials", "p", rows(1))

    def read() -> None:
        nonlocal reads
        while not ended.is_set():
            try:
                found = store.read("trials")["trial_id"].to_pylist()
                assert found == [f"t{number:03d}" for number in range(len(found))]
                reads += 1
            except BaseException as error:
                problems.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    count = 0
    while reads < 10 and not problems:
        count += 1
        store.replace_part("trials", "p", rows(count * 7 % 90 + 1))
        # A run replaces it once a second; a reader fetches it within milliseconds.
        time.sleep(0.05)
    ended.set()
    reader.join()
    assert problems == []
    assert count > 1


def test_parts_in_a_store_are_never_merged(s3: Server) -> None:
    store = Store(s3.address())
    for part in range(12):
        rows = table_of("epochs", [{"trial_id": "t", "sequence": part, "epoch": part + 1}])
        store.write_part("epochs", f"p{part:03d}", [rows])
    store.merge("later", above=3)
    assert len(store.parts("epochs")) == 12
    assert store.read("epochs", ["sequence"])["sequence"].to_pylist() == [*range(12)]
    chosen = store.read("epochs", ["sequence"], where=pc.field("epoch") > 10)
    assert chosen["sequence"].to_pylist() == [10, 11]
    # pandas reads the folder as it is.
    folder = store.folder("epochs")
    assert isinstance(folder, ObjectPath)
    assert len(pd.read_parquet(folder.key, filesystem=folder.filesystem)) == 12


def test_a_store_that_falls_silent_damages_nothing(
    s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(s3.address())
    store.replace_part("trials", "p", table_of("trials", [{"trial_id": "t"}]))
    read = ObjectPath.read_bytes

    def silent(self: ObjectPath) -> bytes:
        raise Unreachable(f"{self}: cannot be reached")

    monkeypatch.setattr(ObjectPath, "read_bytes", silent)
    with pytest.raises(Unreachable):
        store.repair()
    monkeypatch.setattr(ObjectPath, "read_bytes", read)
    assert store.repair() == []
    assert store.read("trials").num_rows == 1
