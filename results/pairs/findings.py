"""What stands against reading two studies side by side. Studies in, frame out."""

from collections.abc import Iterator, Mapping

import pandas as pd

from results.findings.finding import Finding, Severity
from results.findings.findings import findings_frame
from results.pairs.pair import Basis, Pair
from results.phrases import count, few, level_label, listed

_HARDWARE = ("cpu_model", "gpu_model", "torch")
_KINDS = {
    "data-differ": (
        Severity.ERROR,
        "accuracies stand side by side without a difference; run both studies on one data set",
    ),
    "train-differs": (
        Severity.NOTE,
        "a difference is of the training images as well; where they are the only change, of them "
        "alone",
    ),
    "data-unknown": (Severity.WARNING, "run the studies again with this version, which records it"),
    "validation-differs": (
        Severity.WARNING,
        "equal fractions are then of different pools, and seeds draw different subsets; set "
        "data.validation alike",
    ),
    "race": (
        Severity.ERROR,
        "no difference is made; early_stopping.compare: cell trains every cell to its end",
    ),
    "search-against-given": (
        Severity.WARNING,
        "part of the difference is the tuning; read the columns without the seed that recipes "
        "were chosen on",
    ),
    "search-differs": (
        Severity.WARNING,
        "a larger search finds a better recipe by itself; search the same space in both",
    ),
    "factor-against-search": (
        Severity.WARNING,
        "cells of the study that searches stand beside those that have the level which its search "
        "chose",
    ),
    "recipe-differs": (
        Severity.NOTE,
        "a difference there is of the recipe as well; where it is the only change, of it alone",
    ),
    "no-common-cell": (Severity.ERROR, "compare studies that share models, weights and fractions"),
    "cells-in-one": (Severity.NOTE, "they are listed and enter no difference"),
    "unpaired-seeds": (
        Severity.WARNING,
        "their intervals are Welch's, and wider; run both studies with the same seeds and pool",
    ),
    "single-seed": (
        Severity.WARNING,
        "two more seeds in both: with one there is no ± over seeds, and nothing is decided",
    ),
    "machines-differ": (
        Severity.WARNING,
        "times and costs are not comparable, accuracies are up to rounding",
    ),
}
"""How much each kind of finding weighs, and what to do about it."""

_Seen = Iterator[tuple[str, str]]
"""Kinds of findings, each with what was seen."""


def findings(pair: Pair) -> pd.DataFrame:
    """Return everything that speaks against reading differences as the work of one change.

    One row per finding, the gravest first; columns as `results.findings.findings.COLUMNS`.
    """
    looks = (_data, _races, _searches, _recipes, _unmatched, _seeds, _machines)
    return findings_frame(
        Finding(severity, code, evidence, advice)
        for look in looks
        for code, evidence in look(pair)
        for severity, advice in [_KINDS[code]]
    )


def _data(pair: Pair) -> _Seen:
    if not pair.is_known:
        yield (
            "data-unknown",
            "no content of the data is recorded for both, so that only their names were compared",
        )
    elif pair.refusal.startswith("not the same"):
        yield "data-differ", "the test images or their labels are not the same"
    elif pair.train_change:
        yield "train-differs", f"the test images are the same, the {pair.train_change}"
    shares = [
        str((run.study.get("data") or {}).get("validation")) for run in (pair.first, pair.second)
    ]
    if shares[0] != shares[1]:
        yield (
            "validation-differs",
            f"validation is {shares[0]} in {pair.names[0]} and {shares[1]} in {pair.names[1]}",
        )


def _races(pair: Pair) -> _Seen:
    runs = zip((pair.first, pair.second), pair.names, strict=True)
    raced = [name for run, name in runs if run.cells.race]
    if raced:
        yield (
            "race",
            f"search, not comparison: in {listed(raced)} unlike trials competed and what fell "
            "behind was stopped",
        )


def _searches(pair: Pair) -> _Seen:
    first, second = pair.first, pair.second
    if bool(first.tuned) != bool(second.tuned):
        searched, given = pair.names if first.tuned else pair.names[::-1]
        yield (
            "search-against-given",
            f"{searched} chose each cell's recipe by search "
            f"({listed(first.tuned or second.tuned)}), {given} was given one",
        )
    elif first.tuned and first.study["search"] != second.study["search"]:
        changes = _changes(first.study["search"], second.study["search"])
        yield "search-differs", f"the searches differ: {changes}"
    for run, name in zip((first, second), pair.names, strict=True):
        crossed = [
            field for field in run.tuned if field in pair.factors and field not in run.factors
        ]
        if crossed:
            yield (
                "factor-against-search",
                f"{listed(crossed)} is searched in {name} and a factor of the other",
            )


def _recipes(pair: Pair) -> _Seen:
    changes = pair.cells["recipe"].dropna()
    for change, number in changes[changes != ""].value_counts(sort=False).items():
        yield "recipe-differs", f"{change}, in {count(number, 'cell')}"


def _unmatched(pair: Pair) -> _Seen:
    where = pair.cells["where"]
    numbers = [int((where == side).sum()) for side in ("first", "second")]
    alone = [
        f"{count(number, 'cell')} only in {name}"
        for name, number in zip(pair.names, numbers, strict=True)
        if number
    ]
    if len(where) and not (where == "both").any():
        yield "no-common-cell", "no cell has the same level of every factor in both"
    elif alone:
        yield "cells-in-one", listed(alone)


def _seeds(pair: Pair) -> _Seen:
    basis = pair.cells["basis"]
    unpaired = int((basis == Basis.UNPAIRED).sum())
    if unpaired:
        cells = count(unpaired, "cell")
        yield "unpaired-seeds", f"{cells} share fewer than two seeds with the same subset"
    single = int(basis.isin([Basis.ONE_SEED, Basis.IMAGES]).sum())
    if single:
        yield "single-seed", f"{count(single, 'cell')} have one seed in common or one at all"


def _machines(pair: Pair) -> _Seen:
    tables = [run.environments() for run in (pair.first, pair.second)]
    parts = []
    for column in _HARDWARE:
        kinds = [sorted(table[column].dropna().astype(str).unique()) for table in tables]
        if kinds[0] != kinds[1]:
            shown = [", ".join(few(own)) or "not recorded" for own in kinds]
            parts.append(f"{column.replace('_', ' ')} {shown[0]} → {shown[1]}")
    if parts:
        yield "machines-differ", "; ".join(parts)


def _changes(first: Mapping[str, object], second: Mapping[str, object]) -> str:
    """Return the fields in which two searches differ."""
    parts = [
        f"{key} {level_label(key, first.get(key, 'absent'), bare=True)} → "
        f"{level_label(key, second.get(key, 'absent'), bare=True)}"
        for key in dict.fromkeys([*first, *second])
        if first.get(key) != second.get(key)
    ]
    return "; ".join(few(parts))
