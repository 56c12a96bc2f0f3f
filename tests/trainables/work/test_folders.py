"""A trial's folder, on a disk and in object stores."""

from pathlib import Path

import pytest
from object_stores import Server, free_port

from trainables.errors import CheckpointError
from trainables.work import folders
from trainables.work.checkpoints import Checkpoints
from trainables.work.folders import Folder, open_folder, within


@pytest.fixture(params=["disk", "s3", "gs"])
def place(request: pytest.FixtureRequest, tmp_path: Path, store_credentials: None) -> str:
    if request.param == "disk":
        return str(tmp_path / "checkpoints")
    server: Server = request.getfixturevalue(f"{request.param}_server")
    return server.address("run/checkpoints")


def put(folder: Folder, name: str, content: bytes) -> None:
    folder.write(name, lambda file: file.write_bytes(content))


def test_files_are_written_read_renamed_and_removed(place: str) -> None:
    folder = open_folder(within(place, "abc"))
    assert folder.names() == []
    put(folder, "b", b"1")
    put(folder, "a", b"22")
    put(folder, "a", b"x" * 20_000_000)
    assert folder.names() == ["a", "b"]
    assert folder.read("b") == b"1"
    with folder.file("a") as file:
        assert file.read_bytes() == b"x" * 20_000_000
    with pytest.raises(FileNotFoundError):
        folder.read("c")
    folder.rename("b", "c")
    assert folder.read("c") == b"1"
    folder.remove("c")
    folder.remove("c")
    assert open_folder(within(place, "abc")).names() == ["a"]
    assert open_folder(within(place, "ab")).names() == []
    folder.clear()
    folder.clear()
    assert folder.names() == []


def test_a_writer_that_fails_leaves_what_was_there(place: str) -> None:
    folder = open_folder(within(place, "abc"))
    put(folder, "a", b"old")

    def fail(file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        folder.write("a", fail)
    assert (folder.names(), folder.read("a")) == (["a"], b"old")


def test_places_within_places() -> None:
    assert within("runs/a", "b") == "runs/a/b"
    assert within("/odd?name", "b") == "/odd?name/b"
    assert within("s3://b/run?scheme=http", "c") == "s3://b/run/c?scheme=http"


def test_states_are_saved_and_restored(place: str) -> None:
    from test_checkpoints import learner, train

    made = Checkpoints(within(place, "abc"))
    rows = train(made, 3)
    assert made.states() == ["000003.state"]
    again = learner()
    assert made.restore(again, 9) == (rows, [])
    assert again.epoch == 3
    # Damage is set aside there too.
    put(open_folder(within(place, "abc")), "000003.state", b"half")
    fresh = learner()
    restored, (problem,) = made.restore(fresh, 9)
    assert (restored, fresh.epoch) == ([], 0)
    assert "000003.state cannot be used" in problem
    assert made.states() == []


def test_a_store_is_asked_again_and_then_named(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from test_checkpoints import learner

    monkeypatch.setattr(folders, "_PATIENCE", 0.1)
    monkeypatch.setattr(folders, "_PAUSE", 0.01)
    nowhere = f"s3://bucket/run?scheme=http&endpoint_override=127.0.0.1:{free_port()}"
    made = learner()
    with pytest.raises(CheckpointError, match="look at the network and the credentials"):
        Checkpoints(within(nowhere, "abc")).save(made, [made.step()])


def test_a_store_that_answers_again_is_no_loss(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_PAUSE", 0.01)
    folder = open_folder(s3.address("run/abc"))
    put(folder, "a", b"1")
    store, asked = folder._filesystem, []  # type: ignore[attr-defined]

    class Hiccup:
        def open_input_stream(self, key: str) -> object:
            asked.append(key)
            if len(asked) < 3:
                raise OSError("AWS Error NETWORK_CONNECTION")
            return store.open_input_stream(key)

    monkeypatch.setattr(folder, "_filesystem", Hiccup())
    assert folder.read("a") == b"1"
    assert len(asked) == 3
