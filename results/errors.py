"""What can go wrong with results."""


class ResultsError(Exception):
    """Base of all errors of this package; the message says what, where and what to do."""


class StoreError(ResultsError):
    """A run directory that is absent, unreadable, full or damaged."""


class AddressError(StoreError):
    """An address of an object store that cannot be meant, or must not be used."""


class Unreachable(StoreError):
    """An object store that does not answer now; it may later."""


class CurveError(ResultsError, ValueError):
    """A learning curve that cannot be fitted or asked for; the message says why."""


class IllBehavedCurve(CurveError):
    """The error rises with more data, or a run has diverged: no power law describes it."""


class ExtrapolationRefused(CurveError):
    """The asked size lies too far beyond the largest measured one."""
