"""What to know when two studies are read side by side. Runs in, frame out."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from results.findings.finding import Finding, Severity, findings_frame
from results.phrases import count, few, level_label, listed
from results.run import Run

_HARDWARE = ("cpu_model", "gpu_model", "torch")


def not_comparable(first: Run, second: Run) -> str:
    """Return why no difference between two studies may be made, empty where one may."""
    if first.cells.race or second.cells.race:
        return "a race is a search, not a comparison: its survivors are no fair mean"
    prints = [_fingerprints(run) for run in (first, second)]
    if all(prints):
        return "" if prints[0] == prints[1] else "not the same data, so not the same test images"
    if _data(first) == _data(second):
        return ""
    return "data without a fingerprint, under other names: not known to be the same test images"


def caveats(
    first: Run,
    second: Run,
    names: tuple[str, str],
    factors: tuple[str, ...],
    cells: pd.DataFrame,
) -> pd.DataFrame:
    """Return everything that speaks against reading differences as the work of one change.

    Parameters
    ----------
    first, second
        The studies.
    names
        What they are called.
    factors
        Columns that cells are matched by.
    cells
        What `results.pairs.comparison.compare` returns.

    Returns
    -------
    DataFrame
        Columns as `results.findings.finding.COLUMNS`.
    """
    runs = (first, second)
    return findings_frame(
        [
            *_data_caveats(runs, names),
            *_races(runs, names),
            *_searches(runs, names, factors),
            *_recipes(cells),
            *_unmatched(cells, names),
            *_seeds(cells),
            *_machines(runs, names),
        ]
    )


def _data_caveats(runs: tuple[Run, Run], names: tuple[str, str]) -> Iterator[Finding]:
    prints = [_fingerprints(run) for run in runs]
    if all(prints) and prints[0] != prints[1]:
        shown = listed(
            [
                f"{name} {', '.join(sorted(own))[:12]}"
                for name, own in zip(names, prints, strict=True)
            ]
        )
        yield Finding(
            "data-differ",
            Severity.ERROR,
            "",
            f"the images or labels are not the same (content {shown})",
            "accuracies stand side by side without a difference; run both studies on one data set",
        )
    elif not all(prints):
        yield Finding(
            "data-unknown",
            Severity.WARNING,
            "",
            "no content of the data is recorded for both, so that only their names were compared",
            "run the studies again with this version, which records it",
        )
    shares = [str((run.study.get("data") or {}).get("validation")) for run in runs]
    if shares[0] != shares[1]:
        yield Finding(
            "validation-differs",
            Severity.WARNING,
            "",
            f"validation is {shares[0]} in {names[0]} and {shares[1]} in {names[1]}",
            "equal fractions are then of different pools, and seeds draw different subsets; set "
            "data.validation alike",
        )


def _races(runs: tuple[Run, Run], names: tuple[str, str]) -> Iterator[Finding]:
    raced = [name for run, name in zip(runs, names, strict=True) if run.cells.race]
    if raced:
        yield Finding(
            "race",
            Severity.ERROR,
            "",
            f"search, not comparison: in {listed(raced)} unlike trials competed and what fell "
            "behind was stopped",
            "no difference is made; early_stopping.compare: cell trains every cell to its end",
        )


def _searches(
    runs: tuple[Run, Run], names: tuple[str, str], factors: tuple[str, ...]
) -> Iterator[Finding]:
    tuned = [run.tuned for run in runs]
    if bool(tuned[0]) != bool(tuned[1]):
        searched, given = (names[place] for place in ((0, 1) if tuned[0] else (1, 0)))
        yield Finding(
            "search-against-given",
            Severity.WARNING,
            "",
            f"{searched} chose each cell's recipe by search ({listed(tuned[0] or tuned[1])}), "
            f"{given} was given one",
            "part of the difference is the tuning; read the columns without the seed that recipes "
            "were chosen on",
        )
    elif all(tuned) and any(run.study.get("search") for run in runs):
        spaces = [run.study.get("search") for run in runs]
        if spaces[0] != spaces[1]:
            yield Finding(
                "search-differs",
                Severity.WARNING,
                "",
                f"the searches differ: {_changes(spaces[0], spaces[1])}",
                "a larger search finds a better recipe by itself; search the same space in both",
            )
    for run, name, own in zip(runs, names, tuned, strict=True):
        crossed = [field for field in own if field in factors and field not in run.factors]
        if crossed:
            yield Finding(
                "factor-against-search",
                Severity.WARNING,
                "",
                f"{listed(crossed)} is searched in {name} and a factor of the other",
                f"cells of {name} stand beside those that have the level which its search chose",
            )


def _recipes(cells: pd.DataFrame) -> Iterator[Finding]:
    both = cells[(cells["where"] == "both") & cells["recipe"].notna() & (cells["recipe"] != "")]
    for recipe, own in both.groupby("recipe", sort=False):
        yield Finding(
            "recipe-differs",
            Severity.NOTE,
            "",
            f"{recipe}, in {count(len(own), 'cell')}",
            "a difference there is of the recipe as well; where it is the only change, of it alone",
        )


def _unmatched(cells: pd.DataFrame, names: tuple[str, str]) -> Iterator[Finding]:
    if cells.empty:
        return
    sides = [int((cells["where"] == side).sum()) for side in ("first", "second")]
    if not (cells["where"] == "both").any():
        yield Finding(
            "no-common-cell",
            Severity.ERROR,
            "",
            "no cell has the same level of every factor in both",
            "compare studies that share models, weights and fractions",
        )
    elif any(sides):
        alone = [
            f"{count(number, 'cell')} only in {name}"
            for name, number in zip(names, sides, strict=True)
            if number
        ]
        yield Finding(
            "cells-in-one",
            Severity.NOTE,
            "",
            listed(alone),
            "they are listed and enter no difference",
        )


def _seeds(cells: pd.DataFrame) -> Iterator[Finding]:
    own = cells[cells["basis"].isin(["seeds, unpaired"])]
    if len(own):
        yield Finding(
            "unpaired-seeds",
            Severity.WARNING,
            "",
            f"{count(len(own), 'cell')} share fewer than two seeds with the same subset",
            "their intervals are Welch's, and wider; run both studies with the same seeds and pool",
        )
    single = cells[cells["basis"].isin(["one seed", "paired over test images of one seed"])]
    if len(single):
        yield Finding(
            "single-seed",
            Severity.WARNING,
            "",
            f"{count(len(single), 'cell')} have one seed in common or one at all",
            "two more seeds in both: with one there is no ± over seeds, and nothing is decided",
        )


def _machines(runs: tuple[Run, Run], names: tuple[str, str]) -> Iterator[Finding]:
    tables = [run.environments() for run in runs]
    parts = []
    for column in _HARDWARE:
        kinds = [sorted(table[column].dropna().astype(str).unique()) for table in tables]
        if kinds[0] != kinds[1]:
            shown = [", ".join(few(own)) or "not recorded" for own in kinds]
            parts.append(f"{column.replace('_', ' ')} {shown[0]} → {shown[1]}")
    if parts:
        yield Finding(
            "machines-differ",
            Severity.WARNING,
            "",
            "; ".join(parts),
            "times and costs are not comparable, accuracies are up to rounding",
        )


def _fingerprints(run: Run) -> set[str]:
    return set(run.environments()["data_fingerprint"].dropna())


def _data(run: Run) -> tuple[Any, dict[str, Any]]:
    declared = dict(run.study.get("data") or {})
    declared.pop("validation", None)
    return run.study.get("trainable"), declared


def _changes(first: Any, second: Any) -> str:
    first, second = dict(first or {}), dict(second or {})
    parts = [
        f"{key} {level_label(key, first.get(key, 'absent'), bare=True)} → "
        f"{level_label(key, second.get(key, 'absent'), bare=True)}"
        for key in dict.fromkeys([*first, *second])
        if first.get(key) != second.get(key)
    ]
    return "; ".join(few(parts))
