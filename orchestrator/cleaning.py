"""What a run directory holds that nothing will ever need again."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from results.records import Status
from results.store import Store


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

    path: Path
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
    for folder in sorted(store.checkpoints.glob("*")):
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
        found.append(Leftover(folder, _size(folder), reason))
    found.extend(
        Leftover(part, _size(part), "a damaged part that was set aside")
        for part in sorted(store.damaged.glob("*"))
    )
    return found


def remove(items: list[Leftover]) -> None:
    """Remove leftovers."""
    for item in items:
        if item.path.is_dir():
            shutil.rmtree(item.path, ignore_errors=True)
        else:
            item.path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
