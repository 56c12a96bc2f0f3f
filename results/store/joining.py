"""Run directories made into one: what several machines trained of a study, read as one."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from results.errors import ResultsError
from results.records import SCHEMAS
from results.store.files import write_whole
from results.store.invariants import once
from results.store.store import Store

_SHARED = ("name", "trainable", "metric", "recipe", "search", "early_stopping")
_TRIALS_PER_PART = 1_000


def join(sources: Sequence[Store], target: Store) -> pa.Table:
    """Write what run directories of one study hold to a new one; return its trials.

    A trial comes whole from one of them: where it is completed, else where it was begun last. The
    sequence of epochs goes on behind the largest of the directories before, in the same order. Rows
    name the directory that they came from in `origin`. Levels and seeds of the study are those of
    all. Raises ResultsError where the directories are not of one study, or the new one is there.
    """
    if target.root.exists():
        raise ResultsError(f"{target.root} is there already; name a new folder as --out.")
    study = _study(sources)
    tables = [_from(source, "trials", number) for number, source in enumerate(sources)]
    every = pa.concat_tables(tables)
    trials = once("trials", every)
    owned = [
        trials.filter(pc.equal(trials["source"], number))["trial_id"].combine_chunks()
        for number in range(len(sources))
    ]
    for name in ("wanted", "measured"):
        meant = pc.is_in(trials["trial_id"], every.filter(every[name])["trial_id"].combine_chunks())
        trials = trials.set_column(trials.column_names.index(name), name, meant)
    last = -1
    for number, (source, own) in enumerate(zip(sources, owned, strict=True)):
        for table in ("predictions", "epochs"):
            rows = _from(source, table, number).filter(pc.field("trial_id").isin(own))
            if table == "epochs" and rows.num_rows:
                place = rows.column_names.index("sequence")
                shifted = pc.add(rows["sequence"], last + 1 if number else 0)
                rows = rows.set_column(place, "sequence", shifted)
                last = pc.max(shifted).as_py()
            _write(target, table, f"{number:05d}", rows)
        for trial_id in own.to_pylist():
            for file in (source.checkpoints / trial_id).glob("*"):
                write_whole(target.checkpoints / trial_id / file.name, file.read_bytes())
    for table in ("examples", "environments"):
        found = [source.read(table) for source in sources]
        _write(target, table, "00000", once(table, pa.concat_tables(found)))
    for number in range(0, trials.num_rows, _TRIALS_PER_PART):
        _write(target, "trials", f"{number:05d}", trials.slice(number, _TRIALS_PER_PART))
    target.write_study(study)
    return trials


def _from(source: Store, table: str, number: int) -> pa.Table:
    """Return the rows of a table, with the number of their directory as `source`."""
    rows = source.read(table)
    if "origin" in rows.column_names:
        named = pc.fill_null(rows["origin"], str(source.root))
        rows = rows.set_column(rows.column_names.index("origin"), "origin", named)
    return rows.append_column("source", pa.repeat(number, rows.num_rows))


def _write(target: Store, table: str, name: str, rows: pa.Table) -> None:
    if rows.num_rows:
        target.write_part(table, f"merged-{name}", [rows.select(SCHEMAS[table].names)])


def _study(sources: Sequence[Store]) -> dict[str, Any]:
    """Return the study of all, with the levels and seeds of each."""
    study = sources[0].study()
    prints = [{*each.read("environments")["data_fingerprint"].to_pylist()} for each in sources]
    for source, found in zip(sources[1:], prints[1:], strict=True):
        other = source.study()
        unlike = [name for name in _SHARED if study.get(name) != other.get(name)]
        if (prints[0] - {None}) and (found - {None}) and prints[0].isdisjoint(found):
            unlike.append("the data")
        if unlike:
            raise ResultsError(
                f"{source.root} and {sources[0].root} are not of one study, since they differ in "
                f"{' and '.join(unlike)}; `scalestudy compare` puts them side by side."
            )
        for name, levels in (other.get("factors") or {}).items():
            study["factors"][name] = _all(study["factors"].get(name, []), levels)
        if isinstance(study["seeds"], list) and isinstance(other["seeds"], list):
            study["seeds"] = sorted(_all(study["seeds"], other["seeds"]))
        if said := {**(other.get("exclude") or {}), **(study.get("exclude") or {})}:
            study["exclude"] = said
    return study


def _all(first: list[Any], second: list[Any]) -> list[Any]:
    return [*first, *(level for level in second if level not in first)]
