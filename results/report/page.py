"""The report: its page, which needs nothing else and asks for nothing, and the files beside it."""

import base64
import gzip
import math
from collections.abc import Collection
from datetime import UTC, datetime
from importlib import import_module
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import yaml

from results.analysis.analysis import Analysis
from results.analysis.cells import METRICS, Cells, State
from results.analysis.runs import compared_trials, measured_trials, records_of
from results.answer.answer import EVIDENCE
from results.findings.findings import by_severity
from results.metric import ACCURACY
from results.phrases import count, is_absent, level_label
from results.records import Stage, Status
from results.report import html
from results.report.overview import by_data_of, forest_of
from results.report.sections import Look, gallery_of, sections_of
from results.run import Run, open
from results.store.files import write_whole
from results.store.objects import Location
from results.store.store import refuse_run

_NOTHING = "No trial is recorded yet: `scalestudy run` trains, and this page fills as it does."
_UNSHOWN = ("settings", "forecast", "gpu_footprints", "data")
"""Columns of environments that hold JSON."""
_SCRIPTS = ("age.js", "overview.js", "page.js", "tables.js", "gallery.js")
_COMPARING = ("data-size", "cost")
"""Figures that every report draws."""
_SECONDARY = ("state", "val_accuracy", "train_accuracy", "test_loss", "seconds")
_SHOWN = ("test_accuracy", "val_accuracy", "train_accuracy", "test_loss")
_MAX_POINTS = 5_000
_MAX_CURVE_ROWS = 40_000
_CURVE_METRICS = ["val_metric", *_SHOWN[:3], "val_loss", "train_loss"]
_SHORT = {"n_train": "images", "n_parameters": "parameters", "flops_per_image": "flops"}


def prepare() -> None:
    """Load what reports are made with, at a time when nothing waits for it."""
    html.begin_vega()
    import_module("results.figures.catalogue")


def write_report(
    run: str | Location | Run,
    refresh: float | None = None,
    target: float | None = None,
    figures: bool = False,
    to: Location | None = None,
    look: Look | None = None,
) -> Location:
    """Write a run's report, also while its study is under way; return `report/index.html`.

    Beside it lie the figures that compare cells as PNG and SVG, and as Parquet and CSV the summary,
    one row per cell, the levers, one row per step that may help, and what is forecast of larger
    sizes.

    The run is its directory, or what `results.open` returned for it. `refresh` is after how many
    seconds an open page looks for a newer one; never by default. For a target, a test accuracy (0
    to 1), the page says how many images it takes. `figures` writes every figure that `Run.figures`
    names. `to` is another folder than `report`; then nothing is written to the run directory.
    `look` returns JPEG files of the test images at some of the places that `examples` records, to
    show those that models get wrong. Raises StoreError where no study has run there, or the disk
    refuses, ResultsError where the other folder belongs to a run directory.
    """
    run = run if isinstance(run, Run) else open(run)
    folder = run.path / "report"
    if to is not None:
        refuse_run(to)
        folder = to
    html.begin_vega()
    drawn = [name for name in run.figures if figures or name in _COMPARING]
    for name in drawn:
        html.write_figure(folder, name, run.figure(name))
    html.write_frame(folder, "summary", run.summary())
    html.write_frame(folder, "levers", run.levers())
    if len(run.analysis.forecasts):
        html.write_frame(folder, "forecasts", run.in_full(run.analysis.forecasts))
    page = folder / "index.html"
    write_whole(page, render(run, drawn, datetime.now(UTC), refresh, target, look).encode())
    return page


def render(
    run: Run,
    figures: Collection[str],
    written_at: datetime,
    refresh: float | None = None,
    target: float | None = None,
    look: Look | None = None,
) -> str:
    """Return the page of a run; `figures` names those that lie beside it."""
    cells, study, answer = run.analysis.cells, run.analysis, run.answer()
    known = not cells.frame.empty
    seeds, most = max(cells.frame["seeds_wanted"], default=0), cells.frame["n_train"].max()
    images = f", {most:,.0f} training images at most" if most > 0 else ""
    shape = f"{count(len(cells.frame), 'cell')} × {count(int(seeds), 'seed')}"
    library = html.vega()
    passes = run.environments().drop(columns=list(_UNSHOWN), errors="ignore")
    headings = {str(name): str(name).replace("_", " ") for name in passes}
    lines, gallery = by_data_of(study), gallery_of(study, look)
    disputed = gallery and gallery["disputed"]
    asked = {"targets": (lines and lines.targets) or None, "disputed": disputed}
    absent = records_of(cells.frame[cells.frame["state"] != State.COMPLETE])
    return html.fill(
        "page.html.j2",
        [html.resource(name) for name in _SCRIPTS],
        [library],
        library=base64.b64encode(gzip.compress(library.encode(), mtime=0)).decode(),
        run=run,
        study=study,
        answer=answer,
        kicker=f"{shape}{images} · {written_at:%d %b %Y}",
        headline=answer.headline if known else _NOTHING,
        levers=forest_of(study),
        lines=lines,
        evidence=answer.of(EVIDENCE) if known else "",
        sections=sections_of(run, target),
        findings=by_severity(run.findings()),
        unfinished=[(cells.name(row), str(row["state"]), str(row["reason"])) for row in absent],
        figures=figures,
        gallery=gallery,
        data=html.as_data(_payload(study) | asked),
        cell_table=_cell_table(study),
        environments=html.table_of("One row per pass", passes, headings),
        study_text=yaml.safe_dump(run.study, sort_keys=False, allow_unicode=True),
        written_at=written_at,
        refresh=refresh,
    )


def _cell_table(study: Analysis) -> html.Table:
    cells = study.cells
    frame = cells.summary.assign(head=cells.frame.get("head"))
    for field in study.design.tuned:
        labels = [level_label(field, level, bare=True) for level in frame[field]]
        frame[field] = np.where(frame["seeds"] > 0, labels, "not chosen")
    seeds = frame["seeds"].astype(str) + " of " + frame["seeds_wanted"].astype(str)
    main, named = "test_accuracy", {name: name.replace("_", " ") for name in _SHOWN}
    if study.metric != ACCURACY:
        main, validated = "test_metric", f"validation {study.metric.name}"
        named = {main: study.measure, "val_metric": validated} | named
    elif study.is_uneven:
        named["test_balanced_accuracy"] = "test balanced accuracy"
    columns = {
        **{name: name for name in cells.factors},
        "n_train": "images",
        **{name: name for name in study.design.tuned},
        "head": "head",
        "state": "state",
        "seeds": "seeds",
        **named,
        f"{main}_low": "test from",
        f"{main}_high": "test to",
        "n_parameters": "parameters",
        "seconds": "seconds a trial",
    }
    caption = "One row per cell: means over seeds at the last epoch, with 95 % t intervals"
    return html.table_of(
        caption, frame.assign(seeds=seeds), columns, cells.factors, len(frame), _SECONDARY
    )


def _payload(study: Analysis) -> dict[str, object]:
    """Return what the page's charts need, column by column.

    `factors`: name and labels of the levels; `cells`: an entry per cell in each list; `seeds`: one
    per compared trial, `cell` its place in `cells`; `curves`: means over seeds by cell and epoch.
    """
    cells = study.cells
    return {
        "name": study.design.name,
        "metric": study.metric.name,
        "race": cells.race,
        "factors": [_factor(cells, factor) for factor in cells.factors],
        "cells": _cells(cells),
        "seeds": _seeds(study),
        "curves": _curves(study),
    }


def _factor(cells: Cells, factor: str) -> dict[str, object]:
    levels = cells.levels[factor]
    # An axis has no place for a level that is absent: such a factor is drawn by its labels.
    numeric = all(isinstance(level, Real) and not is_absent(level) for level in levels)
    return {
        "name": factor,
        "labels": [level_label(factor, level) for level in levels],
        "values": [float(level) for level in levels] if numeric else None,
    }


def _cells(cells: Cells) -> dict[str, list[Any]]:
    frame = cells.summary
    labels = {
        f"factor:{factor}": [level_label(factor, level) for level in frame[factor]]
        for factor in cells.factors
    }
    names, reasons = [cells.name(row) for row in records_of(frame)], frame["reason"].fillna("")
    frame = frame.assign(name=names, reason=reasons, **labels).rename(columns=_SHORT)
    metrics = [f"{metric}{end}" for metric in METRICS for end in ("", "_low", "_high")]
    known = ["name", "state", "reason", "seeds", "seconds", *_SHORT.values()]
    return _columns(frame[[*known, *labels, *metrics]])


def _seeds(study: Analysis) -> dict[str, list[Any]]:
    ended = study.cells.placed(compared_trials(study.trials, study.design.race), "cell")
    if len(ended) > _MAX_POINTS:
        ended = ended.iloc[:0]
    stopped, selected = ended["status"] == Status.STOPPED, ended["stage"] == Stage.SEARCH
    parts = ("final_test", "final_val")
    values = {f"{part}_metric": study.metric.of(ended, part) for part in parts}
    ended = ended.assign(stopped=stopped, selected=selected, **values)
    ended = ended.rename(columns={f"final_{name}": name for name in METRICS})
    return _columns(ended[["cell", "seed", "stopped", "selected", *METRICS]])


def _curves(study: Analysis) -> dict[str, list[Any]]:
    epochs = study.table("epochs")
    epochs = epochs.assign(val_metric=study.metric.of(epochs, "val"))
    compared = study.wanted if study.design.race else measured_trials(study.wanted)
    known = study.cells.placed(compared, "cell").set_index("trial_id")[["cell", "epochs_budget"]]
    rows = epochs[["trial_id", "epoch", *_CURVE_METRICS]].join(known, on="trial_id", how="inner")
    # A trial may have been trained for longer than the study as last run asks for.
    rows = rows[~(rows["epoch"] > rows["epochs_budget"].astype(float))]
    means = rows.groupby(["cell", "epoch"])[_CURVE_METRICS].mean().reset_index()
    step = -(-len(means) // _MAX_CURVE_ROWS)
    if step > 1:
        last = means.groupby("cell")["epoch"].transform("max")
        means = means[(means["epoch"] % step == 0) | (means["epoch"] == last)]
    return _columns(means)


def _columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return values by column as JSON has them: None for no number, five significant digits."""

    def written(value: Any) -> Any:
        if isinstance(value, float):
            # More than a chart can show.
            return float(f"{value:.5g}") if math.isfinite(value) else None
        return value

    return {str(name): [written(value) for value in frame[name].tolist()] for name in frame}
