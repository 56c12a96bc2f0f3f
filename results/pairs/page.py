"""The page of two studies side by side: one HTML file that needs nothing else."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import yaml

from results.analysis.runs import records_of
from results.figures.rows import studies
from results.findings.findings import by_severity
from results.pairs.findings import findings
from results.pairs.pair import Pair
from results.pairs.verdict import verdict
from results.phrases import level_label
from results.report import html
from results.run import Run
from results.store.files import write_whole
from results.store.objects import Location, located
from results.store.store import refuse_run


def write_comparison(
    first: str | Location | Run, second: str | Location | Run, folder: str | Location
) -> Location:
    """Write two studies side by side into a folder, as one page that needs nothing else.

    Studies are run directories, or what `results.open` returned. Beside the page lie its figure as
    PNG and SVG, and the cells as CSV and Parquet; returned is `index.html`. Raises StoreError where
    no study has run in one of them, or the disk refuses, ResultsError where the folder belongs to a
    run directory.
    """
    return write_page(Pair.of(first, second), folder)


def write_page(pair: Pair, folder: str | Location) -> Location:
    """Write a pair's page, as `write_comparison` does."""
    folder = located(folder)
    refuse_run(folder)
    cells = pair.cells
    both = cells[cells["where"] == "both"]
    drawn = both[both[["accuracy_first", "accuracy_second"]].notna().any(axis=1)]
    rows = [pair.cell_name(row) for row in records_of(drawn)]
    files = html.write_figure(folder, "differences", studies(drawn, rows, pair.names, pair.metric))
    html.write_frame(folder, "comparison", cells)
    common = [name for name in pair.factors if name not in pair.varying and len(cells)]
    alone = cells[cells["where"] != "both"]
    text = html.fill(
        "comparison.html.j2",
        [html.resource("tables.js")],
        names=pair.names,
        paths=[str(run.path) for run in (pair.first, pair.second)],
        sentences=verdict(pair),
        common=[level_label(name, cells[name].iloc[0]) for name in common],
        picture=html.data_address("svg+xml", files["svg"]),
        cells=_cell_table(pair, both),
        alone=[(pair.cell_name(row), str(row["reason"])) for row in records_of(alone)],
        findings=by_severity(findings(pair)),
        settings=_settings(pair),
        metric=pair.metric.name,
        gained=pair.metric.points_of("test"),
        written_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    page = folder / "index.html"
    write_whole(page, text.encode())
    return page


def _cell_table(pair: Pair, both: pd.DataFrame) -> html.Table:
    first, second = pair.names
    unit = "%" if pair.metric.is_percent else pair.metric.unit
    columns = {
        **{name: name for name in pair.varying},
        "accuracy_first": f"{first} ({unit})" if unit else first,
        "accuracy_second": f"{second} ({unit})" if unit else second,
        "difference": f"{pair.metric.points} gained".strip(),
        "low": "95 % from",
        "high": "to",
        "decided": "decided",
        "basis": "interval over",
        "seeds": "seeds",
        "difference_without_selection": "without the selection seed",
        "error_ratio": "error ratio",
        "cost_ratio": "cost ratio",
        "recipe": "recipe",
        "reason": "not compared because",
    }
    caption = f"Cells of both: {second} minus {first}, in {pair.metric.points_of('test')}"
    frame = both.assign(
        model=both["model"].map(pair.labels),
        seeds=both["seeds_first"].astype(str) + " and " + both["seeds_second"].astype(str),
        decided=both["decided"].astype(bool),
        **{name: pair.metric.sign * both[name] for name in ("accuracy_first", "accuracy_second")},
    )
    return html.table_of(caption, frame, columns, pair.varying, len(frame))


def _settings(pair: Pair) -> html.Table:
    first, second = (_flat(run.study) for run in (pair.first, pair.second))
    names = [name for name in first | second if first.get(name) != second.get(name)]
    rows = [[name, first.get(name, "–"), second.get(name, "–")] for name in names]
    return html.Table("Settings that differ", ["setting", *pair.names], rows)


def _flat(study: dict[str, Any]) -> dict[str, str]:
    """Return settings by their dotted names, as YAML writes them on one line."""
    (settings,) = pd.json_normalize(study).to_dict("records")
    on_one_line: dict[str, Any] = {"default_flow_style": True, "allow_unicode": True}
    return {
        str(name): yaml.safe_dump(value, width=1000, **on_one_line).removesuffix("...\n").strip()
        for name, value in settings.items()
    }
