"""How a share of the data is written: a plain fraction, or images (terminal), percent (report)."""

from fractions import Fraction
from functools import lru_cache


@lru_cache(maxsize=4096)
def fraction_label(fraction: float, n_train: int | None = None) -> str:
    """Return a share as people write it: 1/16, 3/4, 1; where it is none of these, in images.

    Parameters
    ----------
    fraction
        Share of the training pool, above 0 and up to 1.
    n_train
        The images that it came to; without them such a share is written in percent.
    """
    plain = Fraction(fraction).limit_denominator(4096)
    if abs(float(plain) - fraction) < 1e-9 and (plain.numerator <= 9 or plain.denominator <= 100):
        return str(plain)
    return f"{100 * fraction:.3g} %" if n_train is None else f"{n_train} images"
