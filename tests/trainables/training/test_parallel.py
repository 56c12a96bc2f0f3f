"""Two and three real processes on the CPU, over gloo: the same numbers as one, up to rounding."""

import json
from pathlib import Path
from typing import Any

import forks
import numpy as np
import pytest
import torch
from digit_trials import TIMES, make_trial, start

from trainables.data.batches import Batch
from trainables.training.parallel import Group
from trainables.trial import Trial

PLAIN, NORMED = "tiny_models:plain_net", "tiny_models:normed_net"
IN_WORDS = {"device", *TIMES, "capture_problem"}

TRIALS: dict[str, Trial] = {
    # 90 examples in batches of 32, 32 and 26.
    "even": make_trial(PLAIN, recipe={"optimizer": "sgd", "lr": 0.05}),
    # 41, 41 and 8, cropped and mirrored, under a schedule and smoothing.
    "odd": make_trial(
        PLAIN,
        recipe={
            "batch_size": 41,
            "augmentation": "standard",
            "schedule": "cosine",
            "label_smoothing": 0.1,
            "optimizer": "adamw",
            "weight_decay": 0.01,
        },
    ),
    "masked": make_trial(
        "tiny_models:masked_net", n_train=360, fraction=1.0, recipe={"lr": 0.01, "epochs": 8}
    ),
    "diverging": make_trial(PLAIN, recipe={"optimizer": "sgd", "lr": 1e30}),
    "normed": make_trial(NORMED, recipe={"batch_size": 41, "lr": 0.001}),
    "fused": make_trial("tiny_models:fused_net"),
    # Batches of two: a third process has nothing to do.
    "few": make_trial(PLAIN, n_train=32, fraction=0.09, recipe={"batch_size": 2, "lr": 0.001}),
    # Batches of two and three, which are read ahead.
    "few-normed": make_trial(
        NORMED, n_train=32, fraction=0.09, recipe={"batch_size": 3, "lr": 1e-4}
    ),
}


def together(jobs: list[dict[str, Any]], folder: Path, size: int) -> list[int]:
    """Carry out jobs in several processes, none of which may wait for ever; return their codes."""
    file = folder / f"jobs-{size}.json"
    file.write_text(json.dumps(jobs))
    program = str(Path(__file__).parents[1] / "ranks.py")
    processes = [
        forks.start(
            [program, str(rank), str(size), str(file), str(folder)], stdout=None, stderr=None
        )
        for rank in range(size)
    ]
    try:
        return [process.wait(timeout=200) for process in processes]
    finally:
        for process in processes:
            process.kill()


def job(name: str, intervals: int = 2, **more: Any) -> dict[str, Any]:
    declared = TRIALS[more.pop("trial", name)].model_dump(mode="json")
    return {"name": name, "trial": declared, "intervals": intervals, **more}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of what two and three processes left."""
    folder = tmp_path_factory.mktemp("ranks")
    first = start(TRIALS["even"])
    first.step()
    first.save(folder / "one.state")
    jobs = [
        job("even"),
        job("odd"),
        job("continued", 1, trial="even", load=str(folder / "one.state")),
        job("masked", 8),
        job("diverging"),
        job("normed"),
        job("fused"),
        job("again", trial="even"),
        # Process 1 is killed before its first step; the other waits for it in a collective.
        job("dying", trial="even", dies=1),
    ]
    (folder / "codes.json").write_text(json.dumps(together(jobs, folder, 2)))
    assert together([job("few"), job("few-normed", 1, share=0)], folder, 3) == [0, 0, 0]
    return folder


def left(folder: Path, name: str, rank: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}-{rank}.json").read_text())
    return found


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for key in ours.keys() - IN_WORDS:
        assert ours[key] == pytest.approx(theirs[key], rel=2e-5), key


def without(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in IN_WORDS}


def test_alone_nothing_is_divided() -> None:
    group = Group()
    batch = Batch(torch.arange(5), None)
    assert group.part(batch) is batch
    assert batch.weight == 1
    assert group.span(7) == slice(0, 7)


@pytest.mark.parametrize(
    ("n", "size", "parts", "weights"),
    [
        (8, 2, [[0, 1, 2, 3], [4, 5, 6, 7]], [1, 1]),
        # 2 and 3 of 5 examples: weighted so that the mean over processes is that over examples.
        (5, 2, [[0, 1], [2, 3, 4]], [2 * 2 / 5, 3 * 2 / 5]),
        # One example for two processes: the one without computes it too, and counts for nothing.
        (1, 2, [[0], [0]], [0, 2]),
        (2, 3, [[0], [0], [1]], [0, 1.5, 1.5]),
    ],
)
def test_parts_of_a_batch(n: int, size: int, parts: list[list[int]], weights: list[float]) -> None:
    crops = torch.arange(3 * n).view(n, 3)
    for rank in range(size):
        group = Group.__new__(Group)
        group.rank, group.size = rank, size
        part = group.part(Batch(torch.arange(n), crops))
        assert part.examples.tolist() == parts[rank]
        assert part.crops is not None
        assert part.crops[:, 0].tolist() == [3 * place for place in parts[rank]]
        assert part.weight == pytest.approx(weights[rank])


# The unused parameter of this model is one of the things that must not matter.
@pytest.mark.parametrize("name", ["even", "odd", "normed", "few", "few-normed"])
def test_several_processes_give_the_numbers_of_one(name: str, folder: Path) -> None:
    found = left(folder, name)
    alone = start(TRIALS[name])
    for row in found["rows"]:
        assert_same(alone.step(), row)
    assert found["rows"]
    assert np.mean(alone.predictions().classes == found["predictions"]) > 0.98
    # The processes stay copies of each other, to the last digit.
    assert found["sums"] == left(folder, name, 1)["sums"]
    ours = {key: values.double().sum().item() for key, values in alone.model.state_dict().items()}
    assert found["sums"] == pytest.approx(ours, rel=1e-3, abs=1e-3)


def test_processes_that_trained_before_give_the_digits_of_fresh_ones(folder: Path) -> None:
    # The first of them all, and the same after one that diverged and one that was refused.
    first, again = left(folder, "even"), left(folder, "again")
    assert [without(row) for row in again["rows"]] == [without(row) for row in first["rows"]]
    assert (again["predictions"], again["sums"]) == (first["predictions"], first["sums"])


def test_a_trial_goes_on_with_another_number_of_processes(folder: Path) -> None:
    whole = start(TRIALS["even"])
    rows = [whole.step() for _ in range(3)]
    assert_same(left(folder, "continued")["rows"][0], rows[1])
    alone = start(TRIALS["even"])
    alone.load(folder / "even.state")
    assert_same(alone.step(), rows[2])


def test_dropout_draws_other_masks_and_learns_as_well(folder: Path) -> None:
    rows = left(folder, "masked")["rows"]
    assert rows[0]["train_loss"] != pytest.approx(start(TRIALS["masked"]).step()["train_loss"])
    assert rows[-1]["val_accuracy"] > 0.7


def test_a_layer_that_is_more_than_batch_norm_is_refused(folder: Path) -> None:
    assert left(folder, "fused")["error"].startswith("NormAct does more than batch norm")


def test_all_processes_see_the_same_divergence(folder: Path) -> None:
    errors = {left(folder, "diverging", rank)["error"] for rank in (0, 1)}
    assert len(errors) == 1
    assert "loss became" in errors.pop()


def test_a_process_that_dies_leaves_no_other_waiting(folder: Path) -> None:
    codes = json.loads((folder / "codes.json").read_text())
    assert codes[1] == -9
    assert codes[0] == 1
    assert not (folder / "dying-0.json").exists()
