"""Whatever a trainable of a user's own returns: it is recorded as its column says, or refused."""

import json
import math
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from simulated_trials import simulated_trial

from results.records import EPOCH_SCHEMA, TRIAL_SCHEMA
from trainables.errors import TrainableError
from trainables.training.simulated import Simulated
from trainables.work.answers import take_facts, take_predictions, take_row
from trainables.work.checkpoints import Checkpoints

TRIAL = simulated_trial(epochs=9, trainable="own:Own")


class Own(Simulated):
    """Returns what it is given, in the place of what is right."""

    def __init__(self, change: dict[Any, Any], instead: Any = None) -> None:
        super().__init__(TRIAL)
        self._change, self._instead = change, instead

    def step(self) -> Any:
        row = super().step()
        return {**row, **self._change} if self._instead is None else self._instead

    def facts(self) -> Any:
        return {**super().facts(), **self._change} if self._instead is None else self._instead

    def predictions(self) -> Any:
        return self._instead


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"step": 3.0}, {"step": 3}),
        ({"step": np.int32(3)}, {"step": 3}),
        ({"step": None}, {}),
        ({"train_loss": np.float32(0.5)}, {"train_loss": 0.5}),
        ({"val_accuracy": Fraction(1, 2)}, {"val_accuracy": 0.5}),
        ({"val_accuracy": 1 + 1e-9}, {"val_accuracy": 1.0}),
        ({"train_loss": math.inf}, {"train_loss": math.inf}),
        ({"own": 3}, {"own": 3.0}),
        ({"device": np.str_("abacus")}, {"device": "abacus"}),
        # What names the trial is not the trainable's to say.
        ({"trial_id": "b", "seed": [], "host": 3, "sequence": 9}, {}),
    ],
)
def test_a_row_holds_what_its_columns_hold(
    tmp_path: Path, change: dict[str, Any], kept: dict[str, Any]
) -> None:
    learner = Own(change)
    row = take_row(learner, TRIAL)
    assert {name: row.get(name) for name in kept} == kept
    assert {type(value) for value in row.values()} <= {int, float, str}
    assert not set(row) & {"trial_id", "seed", "host", "sequence"}
    Checkpoints(tmp_path).save(learner, [row])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"device": 3}, "int 3 as device; text is needed"),
        ({"device": "\ud800"}, "str as device; text is needed"),
        ({"step": 2**70}, "as step; a whole number from 0"),
        ({"step": 1.5}, "float 1.5 as step; a whole number"),
        ({"step": math.nan}, "as step; a whole number"),
        ({"step": -1}, "as step; a whole number"),
        ({"step": True}, "bool"),
        ({"train_loss": 10**400}, "as train_loss; a number"),
        ({"train_loss": np.zeros(2)}, "ndarray as train_loss"),
        ({"val_accuracy": -3e16}, "val_accuracy is -3e+16; accuracies are shares from 0 to 1"),
        ({"test_accuracy": math.inf}, "test_accuracy is inf; accuracies are shares"),
        ({"seconds": -1.0}, "as seconds; a number from 0"),
        ({"seconds": math.nan}, "as seconds; a number from 0"),
        ({"val_accuracy": None}, "returned no val_accuracy"),
        ({"epoch": 7}, "its own epoch is 1"),
        ({3: 4}, "names are text"),
    ],
)
def test_a_row_that_cannot_be_recorded_is_refused(change: dict[Any, Any], said: str) -> None:
    with pytest.raises(TrainableError, match="own:Own: step") as refused:
        take_row(Own(change), TRIAL)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trial_id": "b"}, "trial_id, which is not the trainable's to say"),
        ({"status": "completed"}, "status, which is not"),
        ({"n_parameters": 2**70}, "as n_parameters; a whole number"),
        ({"n_parameters": 1.5}, "as n_parameters; a whole number"),
        ({"class_counts": [1, 2]}, "list as class_counts; text is needed"),
        ({"class_counts": "many"}, "as class_counts; a list of numbers, as JSON,"),
        ({"device": b"cpu"}, "bytes as device; text"),
    ],
)
def test_facts_that_cannot_be_recorded_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainableError, match="own:Own: facts") as refused:
        take_facts(Own(change), TRIAL)
    assert said in str(refused.value)
    assert take_facts(Own({"n_parameters": None, "more": object()}), TRIAL)["n_parameters"] is None


@pytest.mark.parametrize(
    "instead",
    [3, "abc", {}, [[1]], [1.5], [[1], [2, 3]], [11], [-1], [2**70], [None], np.ones(3, bool)],
    ids=repr,
)
def test_predictions_that_are_no_classes_are_refused(instead: Any) -> None:
    with pytest.raises(TrainableError, match="own:Own: predictions"):
        take_predictions(Own({}, instead), TRIAL)


def test_predictions_are_classes() -> None:
    for given in ([1, 9], (np.int8(1), 9), np.array([1, 9], np.uint8)):
        found = take_predictions(Own({}, given), TRIAL)
        assert found is not None
        assert (found.classes.dtype, found.classes.tolist()) == (np.int64, [1, 9])
    assert take_predictions(Own({}, []), TRIAL) is None
    assert take_predictions(Own({}), TRIAL) is None


ANY: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**63, 2**70, -(2**64), 0.5, -0.0, 1e308, math.nan, -math.inf),
    *("", "a", "\ud800", b"a", [], [1], {}, {"a": 1}, (), set(), object(), Fraction(1, 3), 1j),
    *(np.float32(0.1), np.float16(7), np.int8(-3), np.uint64(2**63), np.bool_(True), np.zeros(0)),
    *(np.zeros((2, 2)), np.array("a"), np.datetime64("nat"), np.array(None), range(3), Exception),
]


def test_any_value_for_any_key_is_recorded_or_refused(tmp_path: Path) -> None:
    generator = random.Random(0)
    names = [*EPOCH_SCHEMA.names, *TRIAL_SCHEMA.names, "own", 7, None, ("a",)]
    taken = 0
    for _ in range(3_000):
        change = {generator.choice(names): generator.choice(ANY) for _ in range(2)}
        instead = generator.choice(ANY) if generator.random() < 0.2 else None
        learner = Own(change, instead)
        for take, schema in ((take_row, EPOCH_SCHEMA), (take_facts, TRIAL_SCHEMA)):
            try:
                answer = take(learner, TRIAL)  # type: ignore[operator]
            except TrainableError:
                continue
            taken += 1
            # As the recorder and the checkpoints take it.
            assert pa.Table.from_pylist([answer], schema=schema).num_rows == 1
            json.dumps(answer)
        try:
            found = take_predictions(learner, TRIAL)
        except TrainableError:
            continue
        assert found is None or (found.classes.dtype == np.int64 and found.classes.ndim == 1)
    # The names that are refused grow with the columns.
    assert taken > 500
