import math

from results.ranking import best, rank

SCORES = {"a": 0.5, "b": None, "c": 0.9, "d": math.nan, "e": -math.inf, "f": math.inf}


def test_the_best_comes_first_and_what_is_no_number_last() -> None:
    most = sorted(SCORES, key=lambda name: (rank(SCORES[name]), name))
    assert most == ["f", "c", "a", "e", "b", "d"]
    least = sorted(SCORES, key=lambda name: (rank(SCORES[name], "min"), name))
    assert least == ["e", "a", "c", "f", "b", "d"]


def test_of_equals_the_first_by_name() -> None:
    assert best({"b": 0.7, "a": 0.7, "c": math.nan}) == "a"
    assert best({"b": 0.7, "a": 0.2}, "min") == "a"
    assert best({"a": math.nan}) == "a"
    assert best({}) is None
