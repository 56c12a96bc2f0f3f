"""What holds of every table, whoever copied, cut or wrote its parts; what breaks it is found."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from results.records import KEYS, Status

_BEST_FIRST = {
    # Of two rows of a trial the completed one counts, else the one begun later, else the further.
    "trials": {"status": "ascending", "started_at": "descending", "epochs_done": "descending"},
    "epochs": {"sequence": "ascending"},
}
"""Which of several rows of one key is the row."""


def needed(table: str) -> list[str]:
    """Return the columns by which rows of a table are told apart."""
    return [*KEYS[table], *_BEST_FIRST.get(table, {})]


def heads(table: str, rows: pa.Table) -> pa.Table:
    """Return the rows that stand for all of a table: of predictions, one per trial and epoch."""
    if table != "predictions":
        return rows
    nameless = pc.or_(pc.is_null(rows["trial_id"]), pc.is_null(rows["epoch"]))
    return rows.filter(pc.or_(pc.fill_null(pc.equal(rows["example"], 0), True), nameless))


def wrong(table: str, rows: pa.Table) -> NDArray[np.bool_]:
    """Return which rows have no key, or one that a better row has, (rows,)."""
    found = np.zeros(rows.num_rows, bool)
    keys, better = KEYS[table], _BEST_FIRST.get(table, {})
    if table == "trials":
        is_open = pc.not_equal(rows["status"], Status.COMPLETED)
        rows = rows.set_column(rows.column_names.index("status"), "status", is_open)
    for name in [*keys, *(["sequence"] if table == "epochs" else [])]:
        found |= rows[name].is_null().to_numpy()
    if "epoch" in keys:
        found |= pc.fill_null(pc.less(rows["epoch"], 1), True).to_numpy()
    order = [*((key, "ascending") for key in keys), *better.items()]
    found |= _repeated(rows, keys, order, found)
    if table == "epochs":
        found |= _repeated(rows, ["sequence"], [("sequence", "ascending"), *order], found)
    return found


def once(table: str, rows: pa.Table) -> pa.Table:
    """Return the rows without those that are wrong."""
    if not wrong(table, heads(table, rows)).any():
        return rows
    return rows.filter(pa.array(~wrong(table, rows)))


def contradictions(trials: pa.Table, epochs: pa.Table, predicted: pa.Table) -> list[str]:
    """Return a sentence for each claim of the trials that the other tables do not bear out.

    Each table holds every row once; `predicted` has the trials whose predictions are there.
    """
    counted = epochs.group_by("trial_id").aggregate([("epoch", "count"), ("epoch", "max")])
    recorded, last = (_by_trial(counted, name) for name in ("epoch_count", "epoch_max"))
    claims = _by_trial(trials, "epochs_done")
    short = [name for name, done in claims.items() if (done or 0) > recorded.get(name, 0)]
    gaps = [name for name, count in recorded.items() if count != last[name] and name not in short]
    known = set(predicted["trial_id"].to_pylist())
    # Of a search, the test set is seen by few trials or none.
    ended = pc.equal(trials["status"], Status.COMPLETED)
    compared = trials.filter(pc.and_(ended, pc.fill_null(trials["measured"], True)))
    without = [name for name in compared["trial_id"].to_pylist() if known and name not in known]
    found = {
        "epochs: rows are missing of": short,
        "epochs: there is a gap in the rows of": gaps,
        "predictions: rows are missing of": without,
    }
    return [f"{what} {_named(names)}" for what, names in found.items() if names]


def _by_trial(rows: pa.Table, name: str) -> dict[str, Any]:
    return dict(zip(rows["trial_id"].to_pylist(), rows[name].to_pylist(), strict=True))


def _named(trials: Sequence[str]) -> str:
    more = f" and {len(trials) - 3} more" if len(trials) > 3 else ""
    return f"{'trial' if len(trials) == 1 else 'trials'} {', '.join(trials[:3])}{more}"


def _repeated(
    rows: pa.Table, keys: Sequence[str], order: Sequence[tuple[str, str]], out: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which rows have keys that one before them in the order has; those out are passed."""
    repeated = np.zeros(rows.num_rows, bool)
    # To count keys takes a fraction of the time that to sort them does.
    if not out.any() and rows.select(keys).group_by(keys).aggregate([]).num_rows == len(rows):
        return repeated
    places = pc.sort_indices(rows, sort_keys=list(order)).to_numpy()
    places = places[~out[places]]
    same = np.ones(max(len(places) - 1, 0), bool)
    for key in keys:
        values = rows[key].take(pa.array(places)).to_numpy()
        same &= values[1:] == values[:-1]
    repeated[places[1:][same]] = True
    return repeated
