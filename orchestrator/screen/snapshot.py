"""How far a study is at one moment, from a pass in this process or from the records alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from orchestrator.screen.view import (
    SlotView,
    StudyView,
    seconds_left,
    slots_busy,
    slots_of,
    view_of,
)
from results.records import IDENTITY_COLUMNS, RECIPE_COLUMNS, Status
from results.store.store import Store

if TYPE_CHECKING:
    from orchestrator.ledger.ledger import Ledger

_PACE = ["trial_id", "epoch", "images_per_second", "peak_memory_bytes"]


@dataclass(frozen=True)
class Snapshot:
    """What there is to show.

    Parameters
    ----------
    name
        The study's.
    view, slots
        Its cells, and the places with what runs on them.
    seconds_left
        Estimated; None where nothing runs, or nothing is known yet.
    slots_busy
        Share of the slots' time since the first start that trials held; None before any time.
    """

    name: str
    view: StudyView
    slots: list[SlotView]
    seconds_left: float | None
    slots_busy: float | None = None


def snapshot(source: "Ledger | Store") -> Snapshot:
    """Return how far a ledger is, or whatever pass writes to a run directory.

    Raises
    ------
    StoreError
        There is no run directory, or it cannot be read.
    """
    return _recorded(source) if isinstance(source, Store) else _under_way(source)


def _under_way(ledger: "Ledger") -> Snapshot:
    study, rows = ledger.study, ledger.rows
    tuned = list(study.search.fields) if study.search else []
    return _made(study.name, [*rows.values()], rows.paces(), list(study.factors), tuned)


def _recorded(store: Store) -> Snapshot:
    declared = store.study()
    factors = [factor for factor in declared.get("factors") or () if factor in IDENTITY_COLUMNS]
    tuned = [field for field in declared.get("search") or () if field in RECIPE_COLUMNS]
    rows = store.read("trials").to_pylist()
    running = [row["trial_id"] for row in rows if row["status"] == Status.RUNNING.value]
    paces: dict[str, tuple[float | None, int | None]] = {}
    if running:
        last = store.read("epochs", _PACE, pc.field("trial_id").isin(running)).sort_by("epoch")
        paces = {
            row["trial_id"]: (row["images_per_second"], row["peak_memory_bytes"])
            for row in last.to_pylist()
        }
    name = str(declared.get("name", store.root.name))
    return _made(name, rows, paces, factors or ["model", "weights", "fraction"], tuned)


def _made(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    paces: Mapping[str, tuple[float | None, int | None]],
    factors: Sequence[str],
    tuned: Sequence[str],
) -> Snapshot:
    view = view_of(rows, factors)
    slots = slots_of(rows, paces, view, factors, tuned)
    return Snapshot(name, view, slots, seconds_left(rows), slots_busy(rows))
