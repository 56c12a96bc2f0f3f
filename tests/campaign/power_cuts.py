"""The power goes behind each file call of a study's life, and what was not synced is lost or not.

    PYTHONPATH=.:tests python tests/campaign/power_cuts.py LIFE [EACH [EVERY [CALLS]]]

prints a JSON line. Behind each call all that was not synced is lost once, and EACH times a random
part of it; each EVERYth of the folders so left is trained to the end and compared. Only behind
each so manyth of the CALLS, where that is given.
"""

import json
import pickle
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from campaign.calls import Calls, Event
from campaign.children import child
from campaign.every_call import attempt
from campaign.lives import LIVES, fresh, settle
from campaign.power import cuts
from harness import table

from orchestrator.run import recorder
from results.errors import StoreError
from results.store.store import Store

_KEYS = ["trial_id", "epoch"]


def keys(out: Path) -> set[tuple[str, int]]:
    """Return trial and epoch of every row that can be read."""
    rows = Store(out).read("epochs", _KEYS) if out.is_dir() else None
    return set(zip(*(rows[key].to_pylist() for key in _KEYS), strict=True)) if rows else set()


def recorded(life: str, out: Path) -> list[Event]:
    """Go through a life; return its calls, and after each flush the rows that are recorded."""
    calls = Calls(str(out), noting=True)
    calls.mark(pickle.dumps(keys(out)))
    flush = recorder.Recorder.flush

    def flushing(self: Any, *, force: bool = False) -> list[str]:
        safe = flush(self, force=force)
        calls.mark(pickle.dumps(keys(out)))
        return safe

    recorder.Recorder.flush = flushing  # type: ignore[method-assign]
    said = attempt(life, out, calls)
    assert not said, said
    return calls.events


def lay_out(out: Path, left: dict[str, bytes | None]) -> None:
    """Make a folder of what a cut left."""
    shutil.rmtree(out, ignore_errors=True)
    for name, content in left.items():
        place = out / name
        if content is None:
            place.mkdir(exist_ok=True)
        else:
            place.write_bytes(content)


def look(life: str, out: Path, whole: Path, promised: set[tuple[str, int]], on: bool) -> str:
    """Return what is wrong with what a cut left, empty where nothing is."""
    settle()
    Store(out).problems()
    Store(out).repair()
    try:
        held, rows = table(out, "epochs"), table(whole, "epochs")
    except StoreError as error:
        return f"cannot be read: {error}"
    found = set(zip(held["trial_id"], held["epoch"], strict=True))
    if promised - found:
        return f"lost: {promised - found}"
    expected = held[_KEYS].merge(rows, on=_KEYS, how="left")
    if found and not held.equals(expected[held.columns]):
        return "a row is wrong"
    if on:
        LIVES[life].act(out)
        if not table(out, "epochs").equals(rows):
            return "not trained to the same rows"
        if not table(out, "trials").equals(table(whole, "trials")):
            return "not the same trials"
    return ""


def campaign(life: str, each: int = 3, every: int = 20, calls: int = 1) -> dict[str, object]:
    """Cut the power everywhere; return what there is to say."""
    folder = Path(tempfile.mkdtemp(prefix="power-"))
    generator = random.Random(life)
    try:
        code, said = child(lambda: (settle(), LIVES[life].before(folder / "before")))
        assert code == 0, said
        before, out = folder / "before", folder / "out"
        whole = fresh(folder / "whole", before)
        # Where the folder was before, all of it is certain.
        code, events = child(lambda: recorded(life, whole))
        assert code == 0, events

        def all_cuts() -> tuple[int, dict[str, str]]:
            count, wrong = 0, {}
            for number, mark, left in cuts(str(whole), before, events, each, generator):
                if number % calls:
                    continue
                lay_out(out, left)
                # A child for what is trained: its calls are counted from one.
                promised = pickle.loads(mark)
                if said := look(life, out, whole, promised, count % every == 0):
                    wrong[f"{events[number - 1].name} {number}, {count}"] = said
                count += 1
            return count, wrong

        code, answer = child(all_cuts, seconds=3000)
        assert code == 0, answer
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    count, wrong = answer
    return {"life": life, "calls": len(events), "cuts": count, "wrong": wrong}


if __name__ == "__main__":
    life, *numbers = sys.argv[1:]
    print(json.dumps(campaign(life, *map(int, numbers))))
