"""Run directories made into one: what several machines trained of a study, read as one."""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from results.errors import ResultsError
from results.records import KEYS, SCHEMAS
from results.store.files import write_whole
from results.store.invariants import once
from results.store.merging import TRIALS_PER_PART
from results.store.store import Store

_SHARED = ("name", "trainable", "metric", "recipe", "search", "early_stopping")


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
    every = pa.concat_tables(
        (rows := taken(source, "trials")).append_column("source", pa.repeat(number, len(rows)))
        for number, source in enumerate(sources)
    )
    trials = once("trials", every)
    for name in ("wanted", "measured"):
        meant = pc.is_in(trials["trial_id"], every.filter(every[name])["trial_id"].combine_chunks())
        trials = trials.set_column(trials.column_names.index(name), name, meant)
    last = -1
    for number, source in enumerate(sources):
        own = trials.filter(pc.equal(trials["source"], number))["trial_id"].combine_chunks()
        for table in ("predictions", "epochs"):
            rows = taken(source, table, last).filter(pc.field("trial_id").isin(own))
            if table == "epochs" and rows.num_rows:
                last = pc.max(rows["sequence"]).as_py()
            _write(target, table, f"merged-{number:05d}", rows)
        take_checkpoints(source, target, own.to_pylist())
    for table in ("examples", "environments"):
        found = [source.read(table) for source in sources]
        _write(target, table, "merged-00000", once(table, pa.concat_tables(found)))
    for number in range(0, trials.num_rows, TRIALS_PER_PART):
        _write(target, "trials", f"merged-{number:05d}", trials.slice(number, TRIALS_PER_PART))
    target.write_study(study)
    return trials


def taken(source: Store, table: str, last: int = -1) -> pa.Table:
    """Return the rows of a table as another run directory takes them.

    `origin` names where they come from; the sequence of epochs goes on behind the `last` one there.
    """
    rows = source.read(table)
    for place, name in enumerate(rows.column_names):
        if name == "origin":
            rows = rows.set_column(place, name, pc.fill_null(rows[name], str(source.root)))
        elif name == "sequence":
            rows = rows.set_column(place, name, pc.add(rows[name], last + 1))
    return rows


def take_checkpoints(source: Store, target: Store, trial_ids: Iterable[str]) -> None:
    """Copy the checkpoints of trials to another run directory, but for those within an interval."""
    for trial_id in trial_ids:
        for file in (source.checkpoints / trial_id).glob("[0-9]*"):
            write_whole(target.checkpoints / trial_id / file.name, file.read_bytes())


def lend(
    source: Store, target: Store, name: str, trial_ids: Iterable[str], fingerprint: str
) -> None:
    """Copy what lies beside the rows of trials to another run directory.

    That is predictions, and of the data with this fingerprint the test images and the passes but
    for what they say of their other trials. What is there already stays; parts are given this name.
    """
    passes = source.read("environments", where=pc.field("data_fingerprint") == fingerprint)
    for place, field in enumerate(passes.schema):
        if field.name in ("forecast", "ended_by", "ended_at", "left_open"):
            passes = passes.set_column(place, field, pa.nulls(len(passes), field.type))
    prints = passes["test_fingerprint"].drop_null().unique()
    images = source.read("examples", where=pc.field("test_fingerprint").isin(prints))
    told = source.read("predictions", where=pc.field("trial_id").isin([*trial_ids]))
    for table, rows in (("predictions", told), ("environments", passes), ("examples", images)):
        first = pc.field("example") == 0 if "example" in KEYS[table] else None
        there = _names(table, target.read(table, KEYS[table], where=first))
        fresh = rows.filter(pc.invert(pc.is_in(_names(table, rows), there)))
        # A run looks for the part of its test set by name.
        of_set = table == "examples" and fresh.num_rows
        _write(target, table, fresh["test_fingerprint"][0].as_py() if of_set else name, fresh)


def _names(table: str, rows: pa.Table) -> pa.Array:
    """Return what names the rows that come together: of a trial's epoch, a pass, a test set."""
    keys = [pc.cast(rows[key], pa.string()) for key in KEYS[table] if key != "example"]
    return pc.binary_join_element_wise(*keys, "/").combine_chunks()


def _write(target: Store, table: str, name: str, rows: pa.Table) -> None:
    if rows.num_rows:
        target.write_part(table, name, [rows.select(SCHEMAS[table].names)])


def _study(sources: Sequence[Store]) -> dict[str, Any]:
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
