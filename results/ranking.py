"""How scores rank: the best first, what is not a number last."""

import math


def rank(score: float | None, goal: str = "max") -> float:
    """Return the key by which a score sorts, the best first.

    Ties are the caller's to break, with a tuple that begins with this key.

    Parameters
    ----------
    score
        Any number; None and NaN rank behind every other, minus infinity included.
    goal
        `max` where more is better, `min` where less is.

    Returns
    -------
    float
        The smaller, the better; infinite for what is no number.
    """
    if score is None or math.isnan(score):
        return math.inf
    signed = -score if goal == "max" else score
    # A diverged score may be infinite itself; it still ranks before none at all.
    return min(signed, math.nextafter(math.inf, 0.0))


def best(scores: dict[str, float | None], goal: str = "max") -> str | None:
    """Return the name of the best score, of equals the first by name; None where there is none."""
    return min(scores, key=lambda name: (rank(scores[name], goal), name), default=None)
