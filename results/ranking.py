"""How scores rank: the best first, what is not a number last."""

import math


def rank(score: float | None) -> float:
    """Return the key by which a score sorts, the best first.

    The smaller, the better; infinite for None and NaN, which so rank behind every number, infinite
    ones included. Ties are the caller's to break, with a tuple that begins with this key.
    """
    if score is None or math.isnan(score):
        return math.inf
    # A diverged score may be infinite itself; it still ranks before none at all.
    return min(-score, math.nextafter(math.inf, 0.0))
