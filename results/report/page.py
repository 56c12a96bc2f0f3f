"""The report's page: one HTML file that needs nothing else and asks for nothing."""

from collections.abc import Mapping
from datetime import datetime

import pandas as pd
import yaml

from results.analysis.cells import Cells
from results.analysis.costs import predicted_and_actual
from results.analysis.runs import records_of
from results.answer.answer import Interval, coverage_note
from results.findings.findings import by_severity
from results.phrases import level_label
from results.report.html import Picture, Table, as_data, fill, resource, vega
from results.report.payload import payload
from results.report.sections import sections_of
from results.run import Run

_NOTHING = "No trial is recorded yet: `scalestudy run` trains, and this page fills as it does."


def render(
    run: Run,
    pictures: Mapping[str, Picture],
    written_at: datetime,
    refresh: float | None = None,
) -> str:
    """Return the page.

    Parameters
    ----------
    run
        What it reports.
    pictures
        Static figures by name, for paper and for browsers without scripts.
    written_at
        Time of writing.
    refresh
        Seconds after which an open page looks for a newer one.
    """
    cells = run.cells
    known = not cells.frame.empty
    answer = run.answer() if known else None
    return fill(
        "page.html.j2",
        [vega(), *(resource(name) for name in ("age.js", "page.js", "tables.js"))],
        run=run,
        cells=cells,
        question=answer.question if answer else "Nothing is planned yet.",
        answer=[said.text for said in answer.sentences] if answer else [_NOTHING],
        sections=sections_of(run) if known else [],
        findings=by_severity(run.findings()) if known else {},
        unfinished=_unfinished(cells),
        pictures=pictures,
        data=as_data(payload(run)),
        cell_table=_cell_table(cells),
        recipes=_recipe_table(run),
        environments=_environment_table(run.environments()),
        forecasts=_forecast_table(run),
        study_text=yaml.safe_dump(run.study, sort_keys=False, allow_unicode=True),
        t_coverage=coverage_note(Interval.MEAN),
        written_at=written_at,
        refresh=refresh,
    )


def _unfinished(cells: Cells) -> list[tuple[str, str, str]]:
    rows = records_of(cells.frame[cells.frame["state"] != "complete"])
    return [(cells.name(row), str(row["state"]), str(row["reason"])) for row in rows]


def _cell_table(cells: Cells) -> Table:
    frame = cells.summary
    columns = [*cells.factors, "images", "state", "seeds"]
    parts = [
        *([level_label(factor, level) for level in frame[factor]] for factor in cells.factors),
        [int(number) for number in frame["n_train"]],
        frame["state"].to_list(),
        [
            f"{done} of {wanted}"
            for done, wanted in zip(frame["seeds"], frame["seeds_wanted"], strict=True)
        ],
    ]
    for metric in ("test_accuracy", "val_accuracy", "train_accuracy", "test_loss"):
        columns.append(metric.replace("_", " "))
        parts.append([_rounded(value) for value in frame[metric]])
    columns += ["test from", "test to", "parameters", "seconds a trial"]
    parts += [
        [_rounded(value) for value in frame["test_accuracy_low"]],
        [_rounded(value) for value in frame["test_accuracy_high"]],
        [None if size != size else int(size) for size in frame["n_parameters"]],
        [_rounded(value) for value in frame["seconds"]],
    ]
    caption = "One row per cell: means over seeds at the last epoch, with 95 % t intervals"
    return Table(caption, columns, [list(row) for row in zip(*parts, strict=True)])


def _recipe_table(run: Run) -> Table | None:
    tuned = run.tuned
    if not tuned or run.cells.frame.empty:
        return None
    frame = run.cells.frame
    columns = ["cell", *tuned, "recipes completed", "stopped early", "failed"]
    rows = [
        [
            run.cells.name(row),
            *(
                level_label(field, row.get(field), bare=True) if row["seeds"] else "not chosen"
                for field in tuned
            ),
            int(row["search_completed"]),
            int(row["search_stopped"]),
            int(row["search_failed"]),
        ]
        for row in records_of(frame)
    ]
    return Table("The recipe chosen in each cell", columns, rows)


def _environment_table(environments: pd.DataFrame) -> Table:
    shown = environments.drop(
        columns=["settings", "forecast", "gpu_footprints"], errors="ignore"
    ).dropna(axis=1, how="all")
    rows = [
        ["" if pd.isna(value) else str(value) for value in row] for row in shown.to_numpy(object)
    ]
    columns = [column.replace("_", " ") for column in shown.columns]
    return Table("One row per pass", columns, rows)


def _forecast_table(run: Run) -> Table | None:
    found = predicted_and_actual(run.environments(), run.epochs())
    if found.empty:
        return None
    rows = [
        [
            row["started_at"].strftime("%Y-%m-%d %H:%M UTC"),
            *(row[name] for name in ("trials_predicted", "trials", "epochs_predicted", "epochs")),
            round(row["seconds_predicted"]),
            f"{row['seconds_low']:.0f} to {row['seconds_high']:.0f}",
            None if row["seconds"] != row["seconds"] else round(row["seconds"]),
            _rounded(round(row["ratio"], 2)),
            row["basis"],
        ]
        for row in records_of(found)
    ]
    columns = [
        *("pass", "trials predicted", "trials", "epochs predicted", "epochs"),
        *("seconds predicted", "range", "seconds", "actual / predicted", "basis"),
    ]
    caption = (
        "What each pass was expected to take at its start, and took to its last epoch; no ratio "
        "where it was cut short"
    )
    return Table(caption, columns, rows)


def _rounded(value: float) -> float | None:
    return None if value != value else float(f"{value:.5g}")
