import math

from results.ranking import rank

SCORES = {"a": 0.5, "b": None, "c": 0.9, "d": math.nan, "e": -math.inf, "f": math.inf}


def test_the_best_comes_first_and_what_is_no_number_last() -> None:
    most = sorted(SCORES, key=lambda name: (rank(SCORES[name]), name))
    assert most == ["f", "c", "a", "e", "b", "d"]
