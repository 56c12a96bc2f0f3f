"""What a study goes through: small studies, each from a beginning to an end that is known."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
from harness import table

from orchestrator.run import lock, recorder
from orchestrator.run.runner import run_study
from orchestrator.study.study import study_from
from results.store import merging, store
from results.store.store import Store

PLAIN: dict[str, Any] = {
    "name": "life",
    "trainable": "simulated",
    "factors": {"model": ["a", "b"]},
    "recipe": {"epochs": 3},
    "seeds": [0],
    "checkpoint_seconds": 0,
}
SEARCH: dict[str, Any] = {
    **PLAIN,
    "factors": {"model": ["a"]},
    "recipe": {"epochs": 4},
    "search": {"lr": ["1e-2", "1e-3", "1e-4"]},
}
KEPT: dict[str, Any] = {
    **PLAIN,
    "factors": {"model": ["a"], "fraction": [1]},
    "trainable": "campaign.own:Predicts",
    "data": {"source": "digits"},
    "keep_checkpoints": "best",
}
MANY: dict[str, Any] = {**PLAIN, "factors": {"model": ["a"]}, "seeds": [0, 1, 2]}


SETTLED: tuple[tuple[ModuleType, str, float], ...] = (
    (recorder, "FLUSH_SECONDS", 0),
    (recorder, "_SECONDS_PER_PART", 0),
    (recorder, "_FLUSH_SHARE", 0),
    (lock, "HEARTBEAT_SECONDS", 1e6),
    (lock, "_READ_PAUSE", 0),
    (merging, "_LISTED", -1.0),
    (store, "_WRITING_SECONDS", -1.0),
)


def settle() -> None:
    """Let nothing depend on time: every epoch is flushed, and what is replaced goes at once."""
    for module, name, value in SETTLED:
        setattr(module, name, value)


def run(study: dict[str, Any], out: Path) -> None:
    """Train what is left, here, one trial after another."""
    summary = run_study(study_from(study), out, address="none")
    assert summary.exit_code == 0, summary


def report(out: Path) -> None:
    """Write a report; what is drawn is a few letters."""
    from results.report import html, page
    from results.run import Run

    drawn = SimpleNamespace(
        get_layout_engine=lambda: None, savefig=lambda file, **_: file.write(b"drawn")
    )
    Run.figure = lambda *_: drawn  # type: ignore[assignment, method-assign]
    html.vega = html.begin_vega = lambda: "library"  # type: ignore[assignment]
    page.write_report(out)


@dataclass(frozen=True)
class Life:
    """One of them.

    `before` brings a folder to where `act` begins; `act` goes on from wherever it was cut short.
    """

    before: Callable[[Path], None]
    act: Callable[[Path], None]


def _many_parts(out: Path) -> None:
    merge, merging.merge = merging.merge, lambda *_: None
    run(MANY, out)
    merging.merge = merge


LIVES = {
    "plain": Life(lambda out: None, lambda out: run(PLAIN, out)),
    "search": Life(lambda out: None, lambda out: run(SEARCH, out)),
    "kept": Life(lambda out: None, lambda out: run(KEPT, out)),
    "merge": Life(_many_parts, lambda out: run({**MANY, "seeds": [0, 1, 2, 3]}, out)),
    "report": Life(lambda out: run(PLAIN, out), report),
}


def same(one: Path, other: Path) -> None:
    """Compare tables to the last digit, and what else is left."""
    assert Store(one).repair() == Store(other).repair() == []
    for name in ("epochs", "trials"):
        ours, theirs = table(one, name), table(other, name)
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    predicted = [
        Store(out).read("predictions").to_pandas().sort_values(["trial_id", "epoch", "example"])
        for out in (one, other)
    ]
    pd.testing.assert_frame_equal(*(rows.reset_index(drop=True) for rows in predicted))
    assert Store(one).problems() == []
    # A lock file that could not be removed binds nobody.
    left, expected = ({file.name for file in out.iterdir()} - {"run.lock"} for out in (one, other))
    assert left == expected, left
    for folder in ("checkpoints/*/*", "report/*", "report/.*"):
        left, expected = (
            sorted(str(file.relative_to(out)) for file in out.glob(folder)) for out in (one, other)
        )
        # A state that could not be removed in its time stays where states are kept.
        if expected and folder.startswith("checkpoints"):
            left = [name for name in left if name in expected]
        assert left == expected, left


def sound(one: Path, other: Path) -> None:
    """Make sure that what was recorded so far is a part of what will be, whatever happened."""
    if not Store(one).root.is_dir():
        return
    held, whole = table(one, "epochs"), table(other, "epochs")
    if held.empty:
        return
    assert not held.duplicated(["trial_id", "epoch"]).any()
    keys = ["trial_id", "epoch"]
    expected = held[keys].merge(whole, on=keys, how="left")
    # Of no rows, and of rows that are all null, the types are whatever pandas makes of them.
    pd.testing.assert_frame_equal(held, expected[held.columns], check_dtype=False, check_exact=True)
    # `read` counts each row once; here no part may hold one twice.
    parts = [pd.read_parquet(part) for part in Store(one).parts("epochs")]
    if parts:
        assert not pd.concat(parts).duplicated(keys).any()


def fresh(folder: Path, template: Path) -> Path:
    """Return a copy of a folder in another's place."""
    shutil.rmtree(folder, ignore_errors=True)
    if template.exists():
        shutil.copytree(template, folder, symlinks=True)
    return folder
