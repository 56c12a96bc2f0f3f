"""What a run directory holds that nothing will ever need again."""

from dataclasses import dataclass

from results.records import Status
from results.store import files
from results.store.objects import Location
from results.store.store import Store


@dataclass(frozen=True)
class Leftover:
    """A file or folder that may go.

    Parameters
    ----------
    path
        Inside the run directory.
    size
        In bytes.
    reason
        Why nothing needs it.
    """

    path: Location
    size: int
    reason: str


def leftovers(store: Store, *, kept_checkpoints: bool = False) -> list[Leftover]:
    """Return what may go; records and the report are never among it.

    Parameters
    ----------
    kept_checkpoints
        Whether checkpoints that `keep_checkpoints` asked for are counted too.

    Raises
    ------
    StoreError
        There is no run directory.
    """
    trials = {row["trial_id"]: row for row in store.read("trials").to_pylist()}
    keep = store.study().get("keep_checkpoints", "none")
    found = []
    for folder in _entries(store.checkpoints):
        row = trials.get(folder.name)
        final = row is not None and Status(row["status"]).is_final
        if row is None or not row["wanted"]:
            reason = "the trial is no longer wanted: the study as last run does not ask for it"
        elif final and row["status"] != Status.FAILED.value and keep == "none":
            reason = "the trial has ended"
        elif final and kept_checkpoints:
            reason = f"kept by keep_checkpoints: {keep}"
        else:
            continue
        found.append(Leftover(folder, files.size(folder), reason))
    found.extend(
        Leftover(part, files.size(part), "a damaged part that was set aside")
        for part in _entries(store.damaged)
    )
    return found


def remove(items: list[Leftover]) -> None:
    """Remove leftovers."""
    for item in items:
        files.remove(item.path)


def _entries(folder: Location) -> list[Location]:
    return sorted(folder.glob("*"), key=str)
