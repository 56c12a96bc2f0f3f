"""The page of two studies side by side: one HTML file that needs nothing else."""

from typing import Any

import numpy as np
import yaml

from results.analysis.cells import records_of
from results.findings.finding import by_severity
from results.pairs.pair import Pair
from results.pairs.verdict import verdict
from results.phrases import cell_name, level_label
from results.report.html import Picture, fill, resource
from results.report.sections import Table
from results.run import Run

ALT = (
    "One row per cell that both studies have: at the left the test accuracy of each with 95 % t "
    "intervals, at the right the difference, second minus first, with its interval. The table of "
    "cells holds all values."
)


def render(pair: Pair, picture: Picture, written_at: str) -> str:
    """Return the page.

    Parameters
    ----------
    pair
        The studies.
    picture
        What `results.pairs.figure.differences` draws.
    written_at
        Time of writing, as text.
    """
    cells = pair.cells
    varying = [name for name in pair.factors if cells[name].nunique(dropna=False) > 1]
    common = [name for name in pair.factors if name not in varying and len(cells)]
    return fill(
        "comparison.html.j2",
        [resource("tables.js")],
        names=pair.names,
        paths=[str(run.path) for run in (pair.first, pair.second)],
        sentences=verdict(pair),
        common=[level_label(name, cells[name].iloc[0]) for name in common],
        pictures={picture.name: picture},
        cells=_cell_table(pair, varying),
        alone=[
            (cell_name(row, varying), str(row["reason"]))
            for row in records_of(cells[cells["where"] != "both"])
        ],
        caveats=by_severity(pair.caveats),
        settings=_settings(pair),
        written_at=written_at,
    )


def _cell_table(pair: Pair, varying: list[str]) -> Table:
    """Return the cells that both have, the difference first."""
    first, second = pair.names
    rows = records_of(pair.cells[pair.cells["where"] == "both"])
    columns: dict[str, list[Any]] = {
        name: [level_label(name, row[name]) for row in rows] for name in varying
    }
    for name, side in ((first, "first"), (second, "second")):
        columns[f"{name} (%)"] = [_rounded(row[f"accuracy_{side}"]) for row in rows]
    for column, heading in (("difference", "points gained"), ("low", "95 % from"), ("high", "to")):
        columns[heading] = [_rounded(row[column]) for row in rows]
    columns["decided"] = ["yes" if row["decided"] else "no" for row in rows]
    columns["interval over"] = [str(row["basis"]) for row in rows]
    columns["seeds"] = [f"{row['seeds_first']} and {row['seeds_second']}" for row in rows]
    for column, heading in (
        ("difference_without_selection", "without the selection seed"),
        ("error_ratio", "error ratio"),
        ("cost_ratio", "cost ratio"),
    ):
        values = [_rounded(row[column]) for row in rows]
        if any(value is not None for value in values):
            columns[heading] = values
    for column, heading in (("recipe", "recipe"), ("reason", "not compared because")):
        texts = [row[column] if isinstance(row[column], str) else "" for row in rows]
        if any(texts):
            columns[heading] = texts
    caption = f"Cells of both: {second} minus {first}, in points of test accuracy"
    return Table(caption, list(columns), [list(row) for row in zip(*columns.values(), strict=True)])


def _settings(pair: Pair) -> Table:
    """Return every setting in which the studies as declared differ."""
    flat = [_flat(run) for run in (pair.first, pair.second)]
    names = dict.fromkeys([*flat[0], *flat[1]])
    rows = [
        [name, flat[0].get(name, "–"), flat[1].get(name, "–")]
        for name in names
        if flat[0].get(name) != flat[1].get(name)
    ]
    return Table("Settings that differ", ["setting", *pair.names], rows)


def _flat(run: Run) -> dict[str, str]:
    flat: dict[str, str] = {}

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, entry in value.items():
                add(f"{name}.{key}" if name else str(key), entry)
        else:
            text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1000)
            flat[name] = text.strip().removesuffix("...").strip()

    add("", run.study)
    return flat


def _rounded(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else float(f"{value:.4g}")
