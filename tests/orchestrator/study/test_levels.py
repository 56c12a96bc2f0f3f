"""Levels as people write them."""

from fractions import Fraction
from typing import Any

import pytest

from orchestrator.study.blocks import parse_gpu
from orchestrator.study.levels import (
    OwnWeights,
    WeightsLevel,
    parse_size,
    parse_weights,
)
from trainables.functions import is_function


@pytest.mark.parametrize("value", ["1/16", 0.0625, "0.0625", "6.25e-2", " 1 / 16 "])
def test_one_share_written_in_many_ways(value: Any) -> None:
    assert parse_size(value) == Fraction(1, 16)


@pytest.mark.parametrize("value", [1, 1.0, "1", "1.0", "3/3"])
def test_one_is_all_of_the_data(value: Any) -> None:
    assert parse_size(value) == Fraction(1)


@pytest.mark.parametrize("value", [500, "500", "1000/2"])
def test_whole_numbers_above_one_are_images(value: Any) -> None:
    assert parse_size(value) == 500


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (0, "not above 0"),
        (-0.5, "not above 0"),
        ("-1/2", "not above 0"),
        (1.5, "share above 1"),
        ("3/2", "share above 1"),
        (500.0, "share above 1"),
        ("1/0", "no amount"),
        ("half", "no amount"),
        ("", "no amount"),
        (True, "no amount"),
        (None, "no amount"),
        ([1], "no amount"),
        (float("nan"), "no amount"),
        (float("inf"), "no amount"),
        # Worked out in full, this number would fill the memory.
        ("1e-999999999", "no amount"),
        ("1e999999999", "no amount"),
    ],
)
def test_what_is_no_amount_of_data(value: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        parse_size(value)
    assert "1/16" in str(refused.value)


@pytest.mark.parametrize("size", [Fraction(1, 16), Fraction(1), 500, Fraction(0.1)])
def test_sizes_are_read_again_as_they_are(size: Fraction | int) -> None:
    assert parse_size(size) == parse_size(str(size)) == size


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("none", WeightsLevel("none")),
        (None, WeightsLevel("none")),
        ("IMAGENET1K_V1", WeightsLevel("IMAGENET1K_V1")),
        ("my.pth", WeightsLevel("my.pth", OwnWeights(path="my.pth"))),
        ("w/{model}", WeightsLevel("w/{model}", OwnWeights(path="w/{model}"))),
        ({"cifar100": "w/{model}.pt"}, WeightsLevel("cifar100", OwnWeights(path="w/{model}.pt"))),
    ],
)
def test_weights(value: Any, level: WeightsLevel) -> None:
    assert parse_weights(value) == level
    assert parse_weights(level.written()) == level


@pytest.mark.parametrize(
    "value", [5, True, "", [], {}, {"a": 1}, {"a": ""}, {1: "a"}, {"a": "b", "c": "d"}]
)
def test_what_names_no_weights(value: Any) -> None:
    with pytest.raises(ValueError, match=r"valid are none, .*\{label: path\}"):
        parse_weights(value)


def test_the_label_none_is_taken() -> None:
    with pytest.raises(ValueError, match="choose another label"):
        parse_weights({"none": "some.pth"})


@pytest.mark.parametrize(
    ("value", "share"),
    [
        ("auto", "auto"),
        (0, 0),
        (2, 2),
        ("2", 2),
        (1.0, 1),
        (0.25, Fraction(1, 4)),
        ("1/3", Fraction(1, 3)),
        (0.333, Fraction(1, 3)),
        ("0.1667", Fraction(1, 6)),
    ],
)
def test_shares_of_a_gpu(value: Any, share: Any) -> None:
    assert parse_gpu(value) == share


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (0.3, "nearest is 1/3"),
        (0.6, "nearest is 1/2"),
        ("2/3", "nearest is 1/2"),
        (1.5, "nearest is 2"),
        (-1, "negative"),
        ("1/0", "no number of GPUs"),
        ("all", "no number of GPUs"),
        (True, "no number of GPUs"),
        (None, "no number of GPUs"),
        ("1/100000", "less than 1/1000"),
        ("1e-999999999", "no number of GPUs"),
    ],
)
def test_what_ray_could_not_count(value: Any, hint: str) -> None:
    with pytest.raises(ValueError, match=hint) as refused:
        parse_gpu(value)
    assert "1/k" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mine:net", True),
        ("my.own.module:net", True),
        ("resnet18", False),
        ("mine:", False),
        (":net", False),
        ("mine:net.block", False),
        ("mine:net()", False),
        ("http://host", False),
    ],
)
def test_functions_of_ones_own(name: str, expected: bool) -> None:
    assert is_function(name) is expected


def test_what_is_said_of_own_weights() -> None:
    said = {"path": "w.pth", "entry": "ema", "head": "fresh", "normalization": "imagenet"}
    level = parse_weights({"mine": said})
    assert level.written() == {"mine": said}
    assert parse_weights(level.written()) == level
    channels = {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}
    level = parse_weights({"mine": {"path": "w.pth", "normalization": channels}})
    assert parse_weights(level.written()) == level
    assert level.moved("/a/w.pth").path == "/a/w.pth"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("https://host/w.pth", "is an address, and weights are read from files; download it"),
        ({"mine": "s3://bucket/w.pth"}, "is an address"),
        ("$NO_SUCH_PLACE/w.pth", r"\$NO_SUCH_PLACE in .* stands for nothing here"),
        ({"mine": {"path": "w.pth", "heads": "fresh"}}, "heads.* did you mean head"),
        ({"mine": {"path": "w.pth", "head": "new"}}, "head: 'new'"),
        ({"mine": {"head": "fresh"}}, "path: this key is needed"),
    ],
)
def test_weights_that_are_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_weights(value)


def test_home_is_filled_in_and_a_function_is_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for written in ("~/{model}.pth", "$HOME/{model}.pth", "${HOME}/{model}.pth"):
        level = parse_weights(written)
        assert level.label == written
        assert level.path_for("mine:lite0") == "/home/me/lite0.pth"
        assert level.path_for("resnet18") == "/home/me/resnet18.pth"
