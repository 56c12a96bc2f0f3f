"""The contract that other programs read."""

import typing
from typing import Any

import pyarrow as pa
import pytest

from results.records import (
    ENVIRONMENT_SCHEMA,
    EPOCH_SCHEMA,
    IDENTITY_COLUMNS,
    PREDICTION_SCHEMA,
    RECIPE_COLUMNS,
    SCHEMAS,
    TRIAL_SCHEMA,
    Stage,
    Status,
)
from trainables.recipe import Recipe

EPOCHS = set(
    """
    trial_id sequence stage model weights fraction n_train seed epoch step examples_seen
    train_loss train_accuracy train_correct train_seen val_loss val_accuracy test_loss
    test_accuracy lr seconds images_per_second peak_memory_bytes device host recorded_at
    """.split()  # noqa: SIM905
)
TRIALS = set(
    """
    trial_id stage model weights fraction n_train seed wanted measured status stopped_at_epoch
    stopped_cutoff error epochs_done best_epoch n_parameters flops_per_image subset_hash
    init_hash weights_hash attempts seconds cpu gpu started_at ended_at
    """.split()  # noqa: SIM905
)
FINALS = [
    f"{which}_{split}_{kind}"
    for which in ("final", "best")
    for split in ("train", "val", "test")
    for kind in ("loss", "accuracy")
]
PLAIN = {"string", "int64", "double", "float", "bool", "timestamp[us, tz=UTC]"}


def test_the_promised_columns_are_there() -> None:
    assert set(EPOCH_SCHEMA.names) >= EPOCHS
    assert set(TRIAL_SCHEMA.names) >= {*TRIALS, *FINALS}


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_types_are_plain_and_names_are_unique(table: str) -> None:
    schema = SCHEMAS[table]
    assert {str(field.type) for field in schema} <= PLAIN
    assert len(set(schema.names)) == len(schema.names)
    assert all(name.islower() and name.isidentifier() for name in schema.names)


def test_both_tables_begin_with_the_identity() -> None:
    for schema in (EPOCH_SCHEMA, TRIAL_SCHEMA):
        assert schema.names[: len(IDENTITY_COLUMNS)] == list(IDENTITY_COLUMNS)
        assert set(RECIPE_COLUMNS) <= set(schema.names)


def python_types(annotation: Any) -> set[Any]:
    """Return the types of the values that a recipe field may have."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return python_types(arguments[0])
    if origin is typing.Literal:
        return {type(value) for value in arguments}
    if arguments:
        return set().union(*map(python_types, arguments))
    return {annotation}


def test_every_recipe_field_has_a_column_of_its_type() -> None:
    arrow = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    expected = {}
    for name, field in Recipe.model_fields.items():
        # A rectangle, which is text, has columns of its own for height and width.
        (kind,) = python_types(field.annotation) - {type(None), str} or {str}
        expected[name] = arrow[kind]
    assert expected == RECIPE_COLUMNS


def test_keys() -> None:
    assert PREDICTION_SCHEMA.names[:3] == ["trial_id", "epoch", "example"]
    assert ENVIRONMENT_SCHEMA.names[0] == "pass_id"


def test_states() -> None:
    assert [status.value for status in Status if status.is_final] == [
        "completed",
        "stopped",
        "failed",
    ]
    assert [status.value for status in Status if not status.is_final] == ["planned", "running"]
    assert [stage.value for stage in Stage] == ["search", "measure"]
