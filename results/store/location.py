"""Where a run directory lies: on a file system, or in an object store.

The two are told apart here and in `files`; what uses them calls the verbs that both have.
"""

from pathlib import Path

from results.store.objects import ObjectPath, is_address

Location = Path | ObjectPath


def located(place: str | Location) -> Location:
    """Return the place of a run directory, as `--out` names it.

    Raises
    ------
    StoreError
        It is an address that cannot be used.
    """
    if isinstance(place, ObjectPath):
        return place
    return ObjectPath.at(str(place)) if is_address(place) else Path(place)
