"""Where images come from, as a study says it."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trainables.trial import Source


@pytest.mark.parametrize(
    ("value", "held"),
    [
        (0.1, 0.1),
        ("0.1", 0.1),
        ("1e-1", 0.1),
        (5000, 5000),
        ("5000", 5000),
        (5000.0, 5000),
        (1, 1),
        ("test", "test"),
    ],
)
def test_validation(value: Any, held: Any) -> None:
    source = Source(validation=value)
    assert source.validation == held
    assert type(source.validation) is type(held)


@pytest.mark.parametrize(
    "value",
    [0, 0.0, -0.1, -5, 1.5, "half", "", True, [], float("nan"), float("inf"), 10**400],
)
def test_what_no_validation_can_be(value: Any) -> None:
    with pytest.raises(ValidationError, match=r"a share such as 0.1, a number .* or test"):
        Source(validation=value)


def test_paths() -> None:
    assert Source().path is None
    assert Source(path=Path("data")).path == Path("data")
    both = Source.model_validate({"path": {"train": "a", "test": "b"}}).path
    assert both == {"train": Path("a"), "test": Path("b")}


@pytest.mark.parametrize("path", ["~/images", {"train": "~/a.parquet", "test": "b.parquet"}])
def test_a_path_reaches_workers_as_it_is(path: Any) -> None:
    source = Source(source="parquet", path=path)
    assert Source.model_validate_json(source.model_dump_json()) == source


@pytest.mark.parametrize(
    ("path", "found"),
    [({"test": "a"}, "not test"), ({}, "not none"), ({"a": "b", "test": "c"}, "not a, test")],
)
def test_both_splits_are_named_or_neither(path: Any, found: str) -> None:
    with pytest.raises(ValidationError, match=f"entries of train and test are needed, .*, {found}"):
        Source(path=path)


def test_functions() -> None:
    assert Source(source="my.data:load").is_function
    assert not Source().is_function


def test_a_source_is_a_value() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Source().source = "cifar10"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Source.model_validate({"sorce": "digits"})
