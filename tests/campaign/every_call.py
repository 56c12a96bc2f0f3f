"""Each file call of a study's life is once the place of a kill, and once of each fault.

    PYTHONPATH=.:tests python tests/campaign/every_call.py LIFE [EVERY [FIRST]]

prints a JSON line: calls of the life, points tried, and a text for each that went wrong. Of the
points each EVERYth is tried, from number FIRST on.
"""

import json
import random
import shutil
import signal
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from campaign.calls import FAULTS, Calls
from campaign.children import child
from campaign.lives import LIVES, fresh, same, settle, sound

from orchestrator.errors import RunError
from results.errors import ResultsError

_SHM = Path("/dev/shm")


def attempt(life: str, out: Path, calls: Calls) -> str:
    """Go through a life with a fault; return the sentence of one that is refused in order."""
    settle()
    calls.install()
    try:
        LIVES[life].act(out)
    except (ResultsError, RunError, OSError) as refused:
        if isinstance(refused, OSError) and not isinstance(refused, ResultsError | RunError):
            # Where no sentence is made of it, the command makes one of its own.
            return f"bare {type(refused).__name__}: {refused}"
        return str(refused)
    return ""


def names_of_calls(life: str, out: Path) -> list[str]:
    """Return the names of a life's calls, in their order."""
    calls = Calls(str(out))
    said = attempt(life, out, calls)
    assert not said, said
    return calls.names


def recover(life: str, out: Path, whole: Path, claims: bool) -> None:
    """Look at what a fault left, go on without one, and compare."""
    settle()
    sound(out, whole)
    if claims:
        same(out, whole)
    LIVES[life].act(out)
    same(out, whole)


def try_point(life: str, folder: Path, at: int, fault: str, again: int) -> str:
    """Meet a fault at a call, and for kills a second one while recovering; return what is wrong."""
    out, whole = fresh(folder / "out", folder / "before"), folder / "whole"
    code, said = child(lambda: attempt(life, out, Calls(str(out), at, fault)))
    if code not in (0, -signal.SIGKILL) or (said or "").startswith("bare"):
        return f"raised: {said}"
    if fault == "kill":
        code, said = child(lambda: attempt(life, out, Calls(str(out), again, "kill")))
        if code not in (0, -signal.SIGKILL):
            return f"raised in recovery: {said}"
    code, said = child(lambda: recover(life, out, whole, code == 0 and not said))
    return f"not recovered: {said}" if code else ""


def campaign(life: str, every: int = 1, first: int = 0) -> dict[str, object]:
    """Try the points of a life; return what there is to say."""
    folder = Path(tempfile.mkdtemp(prefix="calls-", dir=_SHM if _SHM.is_dir() else None))
    generator = random.Random(life)
    if life == "kept":
        # What every child would import by itself.
        for module in ("torch", "torchvision", "sklearn.datasets", "trainables.models.networks"):
            import_module(module)
    try:
        code, said = child(lambda: (settle(), LIVES[life].before(folder / "before")))
        assert code == 0, said
        out = fresh(folder / "whole", folder / "before")
        code, names = child(lambda: names_of_calls(life, out))
        assert code == 0, names
        calls = len(names)
        points = [
            (at, fault)
            for at, name in enumerate(names, start=1)
            for fault in FAULTS
            if fault != "short" or name in ("write", "parquet")
        ]
        wrong = {}
        tried = points[first::every]
        for at, fault in tried:
            again = generator.randint(1, calls)
            if said := try_point(life, folder, at, fault, again):
                wrong[f"{fault} at {at}, then {again}"] = said
                print(f"{life} {fault} at {at}, then {again}: {said}", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"life": life, "calls": calls, "points": len(tried), "wrong": wrong}


if __name__ == "__main__":
    life, *numbers = sys.argv[1:]
    print(json.dumps(campaign(life, *map(int, numbers))))
