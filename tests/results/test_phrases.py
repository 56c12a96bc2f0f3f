import numpy as np
import pytest

from results.metric import ACCURACY
from results.phrases import (
    byte_size,
    count,
    described,
    duration,
    few,
    fraction_label,
    level_label,
    listed,
    model_labels,
    resource_time,
    setting,
)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((4.06, 2.59, 5.55), "4.1 points (2.6 to 5.5)"),
        ((-4.06, -5.5, -2.6), "−4.1 points (−5.5 to −2.6)"),
        ((-0.72, -1.41, -0.03), "−0.72 points (−1.41 to −0.03)"),
        ((0.3, -1.0, 1.6), "+0.3 points (−1.0 to +1.6)"),
        ((0.3, np.nan, np.nan), "+0.3 points (no ±)"),
    ],
)
def test_amount(values, text):
    assert ACCURACY.amount(*values) == text


def test_lists():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a", "b"], "or") == "a or b"
    assert few(["a", "b", "c"]) == ["a", "b", "c"]
    assert few(["a", "b", "c", "d", "e"]) == ["a", "b", "c", "2 more below"]


def test_words():
    assert (ACCURACY.change(-0.26), ACCURACY.change(3)) == ("−0.3", "+3.0")
    assert (count(1, "error"), count(0, "error")) == ("1 error", "0 errors")
    assert setting({"weights": "none", "optimizer": "sgd"}) == "from scratch, optimizer sgd"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 CPU-seconds"),
        (0.0002, "less than 0.001 CPU-seconds"),
        (0.0312, "0.031 CPU-seconds"),
        (1.0, "1 CPU-second"),
        (46.4, "46 CPU-seconds"),
        (119.0, "119 CPU-seconds"),
        (150.0, "2.5 CPU-minutes"),
        (9000.0, "2.5 CPU-hours"),
        (4.4e6, "1,222 CPU-hours"),
    ],
)
def test_what_was_used_of_a_resource(seconds, text):
    assert resource_time(seconds, "cpu") == text


@pytest.mark.parametrize(
    ("share", "label"),
    [(1.0, "1"), (0.5, "1/2"), (1 / 3, "1/3"), (0.75, "3/4"), (0.55, "11/20"), (1 / 16, "1/16"),
     (500 / 45_000, "1/90"), (1000 / 45_000, "1/45"), (1 / 1024, "1/1024")],
)  # fmt: skip
def test_a_share_is_written_as_people_write_it(share, label):
    assert fraction_label(share) == label


def test_a_share_that_is_no_plain_fraction_is_written_in_percent():
    assert fraction_label(501 / 45_000) == "1.113 %"
    assert fraction_label(0.123456) == "12.35 %"


def test_a_function_is_read_without_its_module_where_no_other_is_read_alike():
    models = ["nets.a:small", "nets.a:large", "nets.b:large", "resnet18", "timm:vit"]
    read = ["small", "nets.a:large", "nets.b:large", "resnet18", "timm:vit"]
    assert [model_labels(models)[model] for model in models] == read
    assert model_labels(["a:resnet18", "resnet18"])["a:resnet18"] == "a:resnet18"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.527, "0.53 s"),
        (89, "89 s"),
        (119, "119 s"),
        (150, "2.5 min"),
        (5000, "83 min"),
        (9000, "2.5 h"),
        (90_000, "25 h"),
        (86_400 * 9.96, "10 d"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (99.5 * 2**20, "99.5 MiB"),
        (3 * 2**30, "3.0 GiB"),
        (2**50, "1,024.0 TiB"),
    ],
)
def test_sizes(size, text):
    assert byte_size(size) == text


def test_levels_are_written_with_the_factor_where_it_is_not_plain():
    assert level_label("model", "resnet18") == "resnet18"
    assert level_label("lr", 0.001) == "lr 0.001"
    assert level_label("examples", 2_500_000.0) == level_label("examples", 2_500_000)
    assert level_label("image_size", float("nan")) == "default"
    assert described({"weights": "none", "optimizer": "sgd"}) == "weights: none, optimizer: sgd"
