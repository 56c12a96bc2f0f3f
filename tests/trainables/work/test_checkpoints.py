"""Saved states: whole or absent, with the rows they stand behind."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from harness import flipped
from object_stores import Server, free_port
from simulated_trials import simulated_trial

from results.store.objects import Location, ObjectPath
from trainables.errors import CheckpointError, OutOfGpuMemory
from trainables.training.simulated import Simulated
from trainables.trial import SHARED_STATES
from trainables.work import checkpoints as kept_states
from trainables.work.checkpoints import Checkpoints, folder_at


def learner(**changes: Any) -> Simulated:
    return Simulated(simulated_trial(9, **changes))


def train(checkpoints: Checkpoints, epochs: int, made: Simulated | None = None) -> list[Any]:
    """Train and save after every epoch; return the rows."""
    made, rows = made or learner(), []
    for _ in range(epochs):
        rows.append(made.step())
        checkpoints.save(made, rows)
    return rows


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_what_was_saved_is_restored(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "trial")
    rows = train(checkpoints, 3)
    again = learner()
    assert checkpoints.restore(again, 9) == (rows, [])
    assert again.epoch == 3
    assert names(tmp_path / "trial") == ["000003.json", "000003.state"]


def test_without_a_state_the_learner_stays_as_it_is(tmp_path: Path) -> None:
    made = learner()
    assert Checkpoints(tmp_path / "none").restore(made, 9) == ([], [])
    assert made.epoch == 0


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        ("none", ["000004"]),
        ("last", ["000004"]),
        ("best", ["000002", "000004"]),
        ("all", ["000001", "000002", "000003", "000004"]),
    ],
)
def test_what_is_kept(tmp_path: Path, keep: str, left: list[str]) -> None:
    checkpoints, made, rows = Checkpoints(tmp_path, keep), learner(), []
    for accuracy in (0.5, 0.9, 0.7, 0.9):
        rows.append({**made.step(), "val_metric": accuracy})
        checkpoints.save(made, rows)
    # Of two equals, the earlier is the best.
    assert names(tmp_path) == sorted(
        f"{name}.{kind}" for name in left for kind in ("json", "state")
    )


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [
        ((math.nan, 0.5, 0.9, math.nan), 3),
        ((0.5, math.nan, 0.9, 0.1), 3),
        ((0.9, 0.5, math.nan, 0.1), 1),
        ((math.nan, math.nan), 1),
    ],
)
def test_an_accuracy_that_is_no_number_is_never_the_best(
    tmp_path: Path, accuracies: tuple[float, ...], best: int
) -> None:
    checkpoints, made, rows = Checkpoints(tmp_path, "best"), learner(), []
    for accuracy in accuracies:
        rows.append({**made.step(), "val_metric": accuracy})
        checkpoints.save(made, rows)
    assert checkpoints.states() == [f"{epoch:06d}.state" for epoch in (best, len(accuracies))]


def test_states_beyond_the_budget_are_passed_over(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "all")
    rows = train(checkpoints, 5)
    again = learner()
    assert checkpoints.restore(again, 3) == (rows[:3], [])
    assert again.epoch == 3
    latest_only = Checkpoints(tmp_path / "last")
    train(latest_only, 5)
    other = learner()
    assert latest_only.restore(other, 3) == ([], [])
    assert other.epoch == 0


DAMAGE: dict[str, Any] = {
    "truncated state": (".state", b'{"trial_id": "'),
    "empty state": (".state", b""),
    "binary state": (".state", bytes(range(256))),
    "state of another kind": (".state", b"[1, 2]"),
    "truncated rows": (".json", b'[{"epoch": 1'),
    "empty rows": (".json", b""),
    "rows of another kind": (".json", b'{"epoch": 1}'),
    "rows that are no rows": (".json", b"[1, 2, 3]"),
    "too few rows": (".json", b'[{"epoch": 1}, {"epoch": 2}]'),
    "no rows": (".json", b"[]"),
    "null": (".json", b"null"),
}


@pytest.mark.parametrize("kind", sorted(DAMAGE))
def test_a_damaged_state_is_set_aside_and_an_older_one_taken(tmp_path: Path, kind: str) -> None:
    suffix, content = DAMAGE[kind]
    checkpoints = Checkpoints(tmp_path, "all")
    rows = train(checkpoints, 3)
    (tmp_path / f"000003{suffix}").write_bytes(content)
    again = learner()
    restored, (problem,) = checkpoints.restore(again, 9)
    assert (restored, again.epoch) == (rows[:2], 2)
    assert "000003.state cannot be used" in problem
    assert "000003.damaged" in names(tmp_path)
    assert "000003.state" not in names(tmp_path)
    # Said once.
    assert checkpoints.restore(learner(), 9) == (rows[:2], [])


def test_without_its_rows_a_state_does_not_count(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    train(checkpoints, 1)
    (tmp_path / "000001.json").unlink()
    made = learner()
    restored, problems = checkpoints.restore(made, 9)
    assert (restored, made.epoch, len(problems)) == ([], 0, 1)


def test_another_trials_state_is_refused(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    train(checkpoints, 2)
    other = learner(seed=1)
    restored, (problem,) = checkpoints.restore(other, 9)
    assert (restored, other.epoch) == ([], 0)
    assert "written by another trial; it is left there" in problem
    # It is sound: its own trial goes on from it.
    assert names(tmp_path) == ["000002.json", "000002.state"]
    assert checkpoints.restore(learner(), 9)[1] == []


def test_what_was_trained_here_since_is_found_beside_a_foreign_state(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "last")
    train(checkpoints, 4)
    rows = train(checkpoints, 2, learner(seed=1))
    assert names(tmp_path)[-1] == "000004.state"
    restored, problems = checkpoints.restore(learner(seed=1), 9)
    assert (restored, len(problems)) == (rows, 1)


def test_a_shortage_of_memory_is_no_damage(tmp_path: Path) -> None:
    class Short(Simulated):
        def load(self, file: Path) -> None:
            raise OutOfGpuMemory("a GPU has no room")

    checkpoints = Checkpoints(tmp_path)
    train(checkpoints, 2)
    with pytest.raises(OutOfGpuMemory):
        checkpoints.restore(Short(learner()._trial), 9)
    assert checkpoints.states() == ["000002.state"]


def test_a_crash_while_writing_leaves_the_states_so_far(tmp_path: Path) -> None:
    class Crash(BaseException):
        pass

    class Crashing(Simulated):
        def save(self, file: Path) -> None:
            file.write_text('{"trial_id": ')
            raise Crash

    checkpoints = Checkpoints(tmp_path)
    rows = train(checkpoints, 2)
    crashing = Crashing(learner()._trial)
    checkpoints.restore(crashing, 9)
    with pytest.raises(Crash):
        checkpoints.save(crashing, [*rows, crashing.step()])
    assert checkpoints.restore(learner(), 9) == (rows, [])
    # The next save clears up after it.
    rows_then = train(checkpoints, 3)
    assert checkpoints.restore(learner(), 9) == (rows_then, [])
    assert names(tmp_path) == ["000003.json", "000003.state"]


def test_what_another_trial_writes_beside_shared_states_is_left(tmp_path: Path) -> None:
    shared = tmp_path / f"{SHARED_STATES}0123"
    shared.mkdir()
    (shared / "000001.state.5e0c1a2b.writing").touch()
    train(Checkpoints(shared), 2)
    assert "000001.state.5e0c1a2b.writing" in names(shared)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    made = learner()
    with pytest.raises(CheckpointError, match="cannot be written"):
        Checkpoints(tmp_path / "file" / "trial").save(made, [made.step()])


def test_metrics_that_are_not_numbers_are_kept(tmp_path: Path) -> None:
    checkpoints, made = Checkpoints(tmp_path), learner()
    row = {**made.step(), "train_loss": float("nan"), "val_loss": float("inf")}
    checkpoints.save(made, [row])
    ((restored,), problems) = checkpoints.restore(learner(), 9)
    assert problems == []
    assert restored["train_loss"] != restored["train_loss"]
    assert restored["val_loss"] == float("inf")


def test_a_flipped_bit_of_a_state_or_its_rows_is_noticed(tmp_path: Path) -> None:
    rows = train(Checkpoints(tmp_path), 3)
    generator = random.Random(0)
    for name in ("000003.state", "000003.json"):
        file = tmp_path / name
        content = file.read_bytes()
        for place in generator.sample(range(8 * len(content)), 100):
            file.write_bytes(flipped(content, place))
            restored, problems = Checkpoints(tmp_path).restore(learner(), 9)
            assert (restored, len(problems)) == ([], 1)
            (tmp_path / "000003.damaged").rename(tmp_path / "000003.state")
        file.write_bytes(content)
    assert Checkpoints(tmp_path).restore(learner(), 9) == (rows, [])


def test_states_of_earlier_versions_are_read(tmp_path: Path) -> None:
    rows = train(Checkpoints(tmp_path), 2)
    (tmp_path / "000002.json").write_text(json.dumps(rows))
    assert Checkpoints(tmp_path).restore(learner(), 9) == (rows, [])


def test_a_worker_that_was_given_up_leaves_the_states_of_the_next(tmp_path: Path) -> None:
    given_up = learner()
    early = [given_up.step()]
    rows = train(Checkpoints(tmp_path), 3)
    Checkpoints(tmp_path).save(given_up, early)
    assert Checkpoints(tmp_path).restore(learner(), 9) == (rows, [])


def test_clear(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "trial")
    train(checkpoints, 2)
    checkpoints.clear()
    assert not (tmp_path / "trial").exists()
    checkpoints.clear()


@pytest.fixture(params=["disk", "s3", "gs"])
def place(request: pytest.FixtureRequest, tmp_path: Path, store_credentials: None) -> Location:
    if request.param == "disk":
        return folder_at(str(tmp_path / "odd?name")) / "abc"
    server: Server = request.getfixturevalue(f"{request.param}_server")
    return folder_at(server.address("run/checkpoints")) / "abc"


def test_states_are_saved_and_restored_wherever_they_lie(place: Location) -> None:
    made = Checkpoints(place)
    assert made.states() == []
    rows = train(made, 3)
    assert made.states() == ["000003.state"]
    assert Checkpoints(place.parent / "ab").states() == []
    again = learner()
    assert made.restore(again, 9) == (rows, [])
    assert again.epoch == 3
    # Damage is set aside there too.
    (place / "000003.state").write_bytes(b"half")
    fresh = learner()
    restored, (problem,) = made.restore(fresh, 9)
    assert (restored, fresh.epoch) == ([], 0)
    assert "/abc/000003.state cannot be used" in problem
    assert made.states() == []
    assert (place / "000003.damaged").read_bytes() == b"half"
    made.clear()
    made.clear()
    assert not place.exists()


def test_a_state_that_cannot_be_written_leaves_what_was_there(place: Location) -> None:
    class Full(Simulated):
        def save(self, file: Path) -> None:
            file.write_text("half")
            raise OSError(28, "No space left on device")

    checkpoints = Checkpoints(place)
    rows = train(checkpoints, 2)
    full = Full(learner()._trial)
    checkpoints.restore(full, 9)
    with pytest.raises(CheckpointError, match=r"000003.state cannot be written \(No space left"):
        checkpoints.save(full, [*rows, full.step()])
    assert checkpoints.restore(learner(), 9) == (rows, [])
    assert not list(place.glob("*.writing"))


def test_a_large_state_is_not_held_in_memory(place: Location) -> None:
    class Large(Simulated):
        def save(self, file: Path) -> None:
            file.write_bytes(b"x" * 20_000_000)

        def load(self, file: Path) -> None:
            assert file.read_bytes() == b"x" * 20_000_000
            self.epoch = 1

    checkpoints, made = Checkpoints(place), Large(learner()._trial)
    rows = [made.step()]
    checkpoints.save(made, rows)
    assert checkpoints.restore(Large(made._trial), 9) == (rows, [])


def test_a_store_is_asked_again_and_then_named(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_states, "_PATIENCE", 0.1)
    monkeypatch.setattr(kept_states, "_PAUSE", 0.01)
    nowhere = f"s3://bucket/run?scheme=http&endpoint_override=127.0.0.1:{free_port()}"
    made = learner()
    with pytest.raises(CheckpointError, match="cannot be reached; look at the network and the"):
        Checkpoints(folder_at(nowhere) / "abc").save(made, [made.step()])


def test_a_store_that_answers_again_is_no_loss(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_states, "_PAUSE", 0.01)
    place = folder_at(s3.address("run")) / "abc"
    assert isinstance(place, ObjectPath)
    checkpoints = Checkpoints(place)
    rows = train(checkpoints, 1)
    store, asked = place.filesystem, []

    class Hiccup:
        def open_input_stream(self, key: str) -> object:
            asked.append(key)
            if len(asked) < 3:
                raise OSError("AWS Error NETWORK_CONNECTION")
            return store.open_input_stream(key)

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

    object.__setattr__(place, "filesystem", Hiccup())
    assert checkpoints.restore(learner(), 9) == (rows, [])
    assert len(asked) == 4, "the rows at the third attempt, then the state"
