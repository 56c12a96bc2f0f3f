"""Whether there is enough evidence: which runs are missing, and what more seeds would decide."""

from collections.abc import Iterator
from typing import Any

from results.analysis.analysis import Analysis
from results.analysis.runs import by_cell, measured_trials, records_of
from results.findings import rules
from results.findings.finding import Finding, error, note, warning
from results.phrases import cell_key, cell_name, few, listed
from results.records import Stage, Status
from results.statistics.curves import ill_behaved

_RACED = (Status.STOPPED, Status.COMPLETED)


def _capped(study: Analysis) -> Iterator[Finding]:
    for left in study.table("environments").sort_values("pass_id")["left_open"].iloc[-1:].dropna():
        yield note(
            "capped", left, "`scalestudy run` without --budget, or with another one, goes on"
        )


def _missing(study: Analysis) -> Iterator[Finding]:
    factors, race = list(study.factors), study.design.race
    compared = study.wanted if race else measured_trials(study.wanted)
    known = compared[[*factors, "seed", "status", "error", "stopped_at_epoch"]]
    # From the last to the first, so that the first trial of a seed has the last word.
    rows = known.iloc[::-1].fillna({"error": ""}).to_dict("records")
    fates = {(cell_key(row, factors), row["seed"]): row for row in rows}
    open_rows = study.wanted[study.wanted["status"].isin([Status.PLANNED, Status.RUNNING])]
    under_way = by_cell(open_rows, factors).keys()
    columns = [*factors, "seeds", "seeds_wanted", "missing_seeds", "reason"]
    for row in records_of(study.cells.frame[columns].fillna({"reason": "completed without it"})):
        key = cell_key(row, factors)
        trials = {seed: fates.get((key, seed)) for seed in row["missing_seeds"]}
        parts = [
            _fate(seed, trial)
            for seed, trial in trials.items()
            if not (race and trial and trial["status"] in _RACED)
        ]
        if not parts:
            continue
        if row["seeds"]:
            to_come = all(part.endswith(("planned", "running")) for part in parts)
            code = "missing-seed"
            evidence = f"{row['seeds']} of {row['seeds_wanted']} seeds: {'; '.join(parts)}"
            advice = (
                "run the study again: it trains what is missing; until then the mean is over fewer "
                "seeds than its neighbours'"
            )
        else:
            to_come = key in under_way
            code, evidence = "missing-cell", f"no seed has a test value: {row['reason']}"
            what = "mend the cause and run the study again"
            if to_come:
                what = "nothing while the study runs, else run it again"
            advice = f"{what}; comparisons leave the cell out"
        yield (note if to_come else error)(code, evidence, advice, cell_name(row, factors))


def _fate(seed: int, trial: dict[Any, Any] | None) -> str:
    if trial is None:
        return f"seed {seed} has no record"
    if trial["status"] == Status.FAILED:
        reason = str(trial["error"] or "no message was recorded").splitlines()[0]
        return f"seed {seed} failed ({reason})"
    if trial["status"] == Status.STOPPED:
        return f"seed {seed} was stopped at epoch {trial['stopped_at_epoch']:g}"
    without = " without a test value" * (trial["status"] == Status.COMPLETED)
    return f"seed {seed} is {trial['status']}{without}"


def _raced(study: Analysis) -> Iterator[Finding]:
    if study.design.race:
        stopped = int((study.wanted["status"] == Status.STOPPED).sum())
        yield error(
            "race",
            f"unlike trials competed: {stopped} of {len(study.wanted)} were stopped early",
            "a search, not a comparison: a mean over survivors is biased upward; "
            "early_stopping.compare: cell trains every cell to its end",
        )


def _stopped(study: Analysis) -> Iterator[Finding]:
    is_search = (study.wanted["stage"] == Stage.SEARCH) & (not study.design.race)
    for cell, own in study.by_cell(study.wanted[is_search]):
        epochs = own.loc[own["status"] == Status.STOPPED, "stopped_at_epoch"]
        if len(epochs) and (own["status"] == Status.COMPLETED).sum() == 1:
            yield warning(
                "stopped-search",
                f"{len(epochs)} of {len(own)} recipes were stopped early (epochs {epochs.min():g} "
                f"to {epochs.max():g}), and one alone completed",
                "a larger grace, or compare: cell, leaves it more to choose from",
                cell,
            )


def _few_seeds(study: Analysis) -> Iterator[Finding]:
    cells = study.cells.frame
    single = cells[cells["seeds"].map(rules.has_few_seeds)]
    more = "run the study again" if study.awaits_seeds else "two more seeds here"
    advice = f"{more}: with one there is no ± and no ranking"
    if len(single) and len(single) == int((cells["seeds"] > 0).sum()):
        yield rules.SEEDS("every cell has one seed", advice)
        return
    for row in single.to_dict("records"):
        yield rules.SEEDS("one seed", advice, cell_name(row, study.factors))


def _undecided(study: Analysis) -> Iterator[Finding]:
    for factor in study.factors:
        if factor == "fraction" or study.design.race or not study.varies(factor):
            continue
        tested = study.differences(factor).query("n_seeds > 1")
        if len(ties := tested[~tested["decided"].astype(bool)]):
            yield note(
                "undecided",
                f"{len(ties):,} of {len(tested):,} differences between levels of {factor} are not "
                f"told apart; the smallest is {study.metric.small(ties['difference'].abs().min())}",
                "call them ties; more seeds may tell them apart",
            )


def _untested(study: Analysis) -> Iterator[Finding]:
    if study.is_untested:
        yield warning(
            "untested",
            f"no trial has a test {study.metric.name}; cells are compared by the validation set",
            f"return test_{study.metric.column} from step(): what recipes are chosen by flatters "
            "them",
        )


def _selected(study: Analysis) -> Iterator[Finding]:
    chosen = study.cells.frame.dropna(subset=["selection_seed", "accuracy_without_selection"])
    if chosen.empty:
        return
    shift = (chosen["accuracy"] - chosen["accuracy_without_selection"]).mean()
    words = "cell was tuned on one of its own seeds; with it its mean is"
    if len(chosen) > 1:
        words = "cells were tuned on one of their own seeds; with it their means are"
    yield note(
        "selection-seed",
        f"{len(chosen)} {words} {'+' if shift > 0 else ''}{study.metric.small(shift)} against "
        "without",
        "read the contrasts without the selection seed beside the others"
        if (chosen["seeds"] > 2).any()
        else "nothing can be tested without that seed: with two, one would be left; add a seed",
    )


def _curves(study: Analysis) -> Iterator[Finding]:
    if not study.metric.is_percent:
        return
    runs = study.runs[study.runs["error"].notna()]
    fractions = runs["fraction"].nunique()
    if rules.has_few_sizes(fractions):
        yield rules.SIZES(
            f"{fractions} fractions: 0 residual degrees of freedom for a power law",
            f"measure {len(rules.ADVISED_SIZES)} fractions before trusting a fit",
        )
    series = study.others("fraction")
    for own in by_cell(runs[[*study.factors, "n_train", "error"]], series).values():
        if fault := ill_behaved(own["n_train"], own["error"]):
            yield warning(
                "ill-behaved",
                fault,
                "no power law is fitted; look for under-trained or diverged cells first",
                cell_name(own.iloc[0], series),
            )


def _excluded(study: Analysis) -> Iterator[Finding]:
    excluded = study.design.excluded
    known = study.trials[study.trials["trial_id"].isin(excluded)]
    for row in records_of(known):
        yield note(
            "excluded",
            f"seed {row['seed']} ({row['trial_id']}) is left out: {excluded[row['trial_id']]}",
            "nothing: comparisons leave it out, as the study asks",
            cell_name(row, study.factors),
        )
    if strangers := sorted({*excluded} - {*known["trial_id"]}):
        yield warning(
            "excluded-unknown",
            f"exclude names {listed(few(strangers))}, of which nothing is recorded here",
            "correct the trial_id; trials have theirs in the table trials",
        )


RULES = (
    *(_capped, _missing, _raced, _stopped, _few_seeds, _undecided, _selected, _untested, _curves),
    _excluded,
)
"""What is missing, too few, or chosen on what it is judged by; each takes a study."""
