"""What the images themselves do to a comparison, as far as it was recorded when they were read."""

from collections.abc import Iterator

import numpy as np

from results.analysis.analysis import Analysis
from results.analysis.runs import records_of
from results.findings import rules
from results.findings.finding import Finding, error, note, warning
from results.phrases import cell_name, count, few, listed


def _noted(study: Analysis) -> Iterator[Finding]:
    for each in study.inventory.get("notes", ()):
        if each["severity"] == "warning" and each["code"] != "seen-images":
            yield warning(each["code"], each["text"], each["advice"])


def _seen(study: Analysis) -> Iterator[Finding]:
    """Find test images that are training images too; say each cell's accuracy without them."""
    examples = study.table("examples")
    copies = examples[examples["copy_of"].notna()]
    if examples["example"].duplicated().any() or len(copies) <= rules.MOST_SEEN * len(examples):
        return
    first = copies.iloc[0]
    seen = (
        f"{len(copies):,} of {len(examples):,} test images are training images too, such as "
        f"{first['place']} ({first['copy_of']})"
    )
    board, advice = study.board, "take them out of one of the two and run the study again"
    own = ~np.isin(board.images, copies["example"])
    rows = board.outcomes.row
    places = np.flatnonzero((rows >= 0).any(axis=1)) if own.any() else ()
    if not len(places):
        yield error("seen-images", f"{seen}; accuracy rewards learning them by heart", advice)
    for place in places:
        right = board.outcomes.right[rows[place][rows[place] >= 0]]
        yield error(
            "seen-images",
            f"{seen}; without them accuracy is {100 * right[:, own].mean():.1f} % instead of "
            f"{100 * right.mean():.1f} %",
            advice,
            cell_name(board.cells.iloc[place], study.factors),
        )


def _far(study: Analysis) -> Iterator[Finding]:
    """Find cells whose accuracy on validation says little of that on the test set."""
    if study.design.selects_on_test or not study.metric.is_percent:
        return
    cells = study.cells.frame
    validated = cells["val_metric" if "val_metric" in cells else "val_accuracy"]
    gaps = (validated - cells["accuracy"]).where(cells["seeds"] > 0)
    images = min(study.inventory.get("validation") or np.inf, study.inventory.get("test") or np.inf)
    far = cells.assign(gap=gaps)[gaps.abs() > max(rules.FAR, rules.FAR_ERRORS * 50 / images**0.5)]
    if far.empty:
        return
    worst = far.loc[far["gap"].abs().idxmax()]
    notes = {each["code"]: each["text"] for each in study.inventory.get("notes", ())}
    more = f", and is as far in {count(len(far) - 1, 'more cell')}" if len(far) > 1 else ""
    yield warning(
        "validation-far-from-test",
        f"{cell_name(worst, study.factors)} has {validated[worst.name]:.0f} % on validation and "
        f"{worst['accuracy']:.0f} % on test{more}: what was chosen by validation may be wrong",
        f"take the repeats out: {notes['repeated-images']}"
        if "repeated-images" in notes
        else "look whether validation holds copies of training images, or others of the same "
        "thing, and whether test images are of another kind",
    )


def _excluded(study: Analysis) -> Iterator[Finding]:
    trials = study.trials
    known = trials[trials["trial_id"].isin(study.design.excluded)]
    for row in records_of(known):
        yield note(
            "excluded",
            f"seed {row['seed']} ({row['trial_id']}) is left out: "
            f"{study.design.excluded[row['trial_id']]}",
            "nothing: comparisons leave it out, as the study asks",
            cell_name(row, study.factors),
        )
    strangers = sorted({*study.design.excluded} - {*known["trial_id"]})
    if strangers:
        yield warning(
            "excluded-unknown",
            f"exclude names {listed(few(strangers))}, of which nothing is recorded here",
            "correct the trial_id; trials have theirs in the table trials",
        )


RULES = (_noted, _seen, _far, _excluded)
"""What stands against comparisons in the images, and which runs are left out; each takes a study.
"""
