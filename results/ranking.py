"""How scores rank: the best first, what is not a number last."""

import math


def rank(score: float | None, goal: str = "max") -> float:
    """Return the key by which a score sorts, the best first: most, or least where that is the goal.

    The smaller, the better; infinite for None and NaN, which so rank behind every number, infinite
    ones included. Ties are the caller's to break, with a tuple that begins with this key.
    """
    if score is None or math.isnan(score):
        return math.inf
    signed = -score if goal == "max" else score
    # A diverged score may be infinite itself; it still ranks before none at all.
    return min(signed, math.nextafter(math.inf, 0.0))


def best(scores: dict[str, float | None], goal: str = "max") -> str | None:
    """Return the name of the best score, of equals the first by name; None where there is none."""
    return min(scores, key=lambda name: (rank(scores[name], goal), name), default=None)
