"""What can go wrong with results.

ResultsError
└── StoreError      a run directory that is absent, unreadable, full or damaged
"""


class ResultsError(Exception):
    """Base of all errors of this package; the message says what, where and what to do."""


class StoreError(ResultsError):
    """A run directory that is absent, unreadable, full or damaged."""
