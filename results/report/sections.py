"""What the page says below the answer: one section per question, as text, tables and pictures."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, islice
from typing import Any

import numpy as np
import pandas as pd

from results.analysis.analysis import Analysis
from results.analysis.cells import pareto_front
from results.analysis.runs import records_of
from results.phrases import STANDARD_FACTORS, level_label, resource_time
from results.report.html import Table, data_address, table_of
from results.run import Run
from results.statistics.forecast import CALIBRATED_ON, HELD_NOTE


@dataclass(frozen=True)
class Section:
    """One question and what the study says to it."""

    name: str
    short: str
    title: str
    text: Sequence[str]
    tables: Sequence[Table]
    """Tables; the page leaves out those without rows."""
    picture: str | None = None
    """Name of the static figure."""
    chart: str | None = None
    """Name of the interactive chart of what the figure shows, where there is one."""


_WITHOUT_SELECTION = [f"{end}_without_selection" for end in ("difference", "low", "high")]
_DIFFERENCE = f"difference low high decided n_seeds {' '.join(_WITHOUT_SELECTION)}"
_HEADINGS = {
    "difference": "points gained",
    "gain": "points gained",
    "low": "95 % from",
    "high": "to",
    "n_seeds": "seeds",
    "difference_without_selection": "without the selection seed",
    "low_without_selection": "95 % from without it",
    "high_without_selection": "to without it",
    "first": "from",
    "second": "to level",
    "n_cells": "cells averaged",
    "step": "from → to",
    "best_probability": "probability of being the best step",
    "images": "more labels",
    "hours": "more {}-hours",
    "location": "means cross at",
    "p_value": "p",
    "fraction": "pretrained on",
    "error": "error (%)",
    "n_train": "measured up to (images)",
    "times": "times the data",
    "at": "at images",
    "headline": "forecast (%)",
    "sizes": "sizes measured",
    "refusal": "not forecast because",
    "resource_seconds": "{}-seconds a run",
    "n_parameters": "parameters",
    "flops_per_image": "FLOPs an image",
    "on_resource_seconds": "best for its time",
    "on_n_parameters": "best for its size",
    "on_flops_per_image": "best for its FLOPs",
    "train_accuracy": "train accuracy (%)",
    "val_accuracy": "validation accuracy (%)",
    "gap": "gap (points)",
    "train_fall": "train loss fell, last quarter",
    "val_fall": "validation loss fell",
    "val_rise": "validation loss above its lowest",
}
"""Headings of columns where they are not their names; `{}` stands for GPU or CPU."""
_QUESTIONS = {
    "any": ("Accuracy", "Accuracy by any factor"),
    "levers": ("Steps", "Which step helps more?"),
    "model": ("Models by data", "Which model for which amount of data?"),
    "weights": ("Pretraining", "What is pretraining worth?"),
    "freeze": ("Unfreezing", "When is it worth unfreezing?"),
    "data": ("More data", "What would more data buy?"),
    "effects": ("Factors", "Which factor matters most?"),
    "cost": ("Cost", "What does accuracy cost?"),
    "classes": ("Classes", "Which class needs labels?"),
    "confusion": ("Confusion", "What does the best cell mistake for what?"),
    "training": ("Training", "Was training long enough?"),
}
"""Name where there is little room, and question, of each section by its anchor."""
_CROSSED = {
    "model": "Does a bigger model overtake a smaller one",
    "freeze": "Does training all of a model overtake training its head alone",
}
_COSTS = ("n_parameters", "flops_per_image", "resource_seconds")
_MOST_CLASSES = 12
Look = Callable[[Collection[str]], Mapping[str, bytes]]
"""Returns JPEG files of the test images at some places, as far as they are to be had."""
_MOST_MISSED = 48
_MOST_CELLS = 400
_ROOM = 300_000
"""Characters that all pictures together may take."""


def _table(
    study: Analysis,
    caption: str,
    frame: pd.DataFrame,
    columns: str,
    compares: str = "",
    before: str = "",
) -> Table:
    """Return rows named by the factors that vary, but for those whose levels they compare; columns
    stand behind a row's name, and those `before` in front of it."""
    named = [
        name
        for name in study.others(*compares.split())
        if name in frame and (study.varies(name) or frame[name].nunique(dropna=False) > 1)
    ]
    shown = {name: name for name in (*before.split(), *named)}
    for name in f"{before} {columns}".split():
        shown[name] = _HEADINGS.get(name, name.replace("_", " ")).format(study.cells.resource)
    if "n_seeds_without_selection" in frame:
        same = frame["n_seeds"] == frame["n_seeds_without_selection"]
        frame = frame.drop(columns=_WITHOUT_SELECTION) if same.all() else frame
    ends = [end for end in ("first", "second") if end in frame]
    levels = {end: [*map(level_label, frame["factor"], frame[end])] for end in ends}
    return table_of(caption, frame.assign(**levels), shown, study.factors)


def _differences(study: Analysis, factor: str) -> Table:
    return _table(
        study,
        "Paired differences in test accuracy, in points; an interval stands alone here, and is "
        "wider in the answer, whose intervals hold together",
        study.differences(factor).assign(factor=factor),
        f"{_DIFFERENCE} error_ratio",
        factor,
        "first second",
    )


def _confusion(study: Analysis) -> Table:
    """Return what is taken for what: of many classes the most frequent mistakes alone."""
    table = study.confusion
    if len(table) <= _MOST_CLASSES:
        frame = table.rename_axis("true class").reset_index().round(1)
        return table_of("Of each true class, in % what the best cell takes it for", frame)
    pairs = table.rename_axis("class").reset_index().melt("class", var_name="other")
    pairs = pairs[(pairs["class"] != pairs["other"]) & (pairs["value"] > 0)]
    columns = {"class": "true class", "other": "taken for", "value": "% of its images"}
    caption = "What the best cell mistakes most often"
    return table_of(caption, pairs.sort_values("value", ascending=False), columns, most=20)


def sections_of(run: Run, target: float | None = None) -> list[Section]:
    """Return the sections of a study, none where it has no value yet.

    A target is a test accuracy (0 to 1) for which the images needed are told. In a race nothing is
    compared: what remains is what the survivors cost and how they trained.
    """
    study = run.analysis
    if study.runs.empty:
        return []
    fair = not study.design.race
    varied = [factor for factor in study.factors if fair and study.varies(factor)]
    said = defaultdict(list, {one.topic: [one.text] for one in run.answer().sentences})
    table = partial(_table, study)
    found: list[tuple[Any, ...]] = [("any", said["best"], [], "data-size", "size")]
    if varied:
        steps = table(
            "The best cell over the best without its level; intervals hold together",
            study.levers,
            "lever step gain low high decided best_probability images hours price basis",
        )
        found.append(("levers", said["levers"], [steps]))
    for name, caption in _CROSSED.items():
        if name in varied:
            crossed = table(
                f"{caption} as data grows? Sizes in images",
                study.crossovers[study.crossovers["factor"] == name],
                "small big verdict location low high p_value",
                f"{name} fraction",
            )
            found.append((name, said[name], [_differences(study, name), crossed]))
    if "weights" in varied:
        worths = table(
            "How many times the data a model from scratch needs for the pretrained error",
            study.worths.rename(columns={"text": "worth"}),
            "fraction error worth low high n_seeds",
            "fraction",
        )
        found.append(("weights", said["weights"], [_differences(study, "weights"), worths]))
    if "fraction" in varied:
        found.append(("data", said["data"], _ahead(study, target), "learning-curves"))
    if varied:
        caption = "One step in one factor, averaged over the cells of the others"
        columns = f"factor first second {_DIFFERENCE} n_cells"
        shown = (*STANDARD_FACTORS, *_CROSSED)
        text = [one for name in varied if name not in shown for one in said[name]]
        found.append(("effects", text, [table(caption, study.effects, columns)]))
    classes = table_of(
        "Accuracy on each class (%) by training images, the least accurate first",
        study.by_class.rename(columns={"images": "test images"}).round(1),
    )
    for name, own in (("classes", classes), ("confusion", _confusion(study))):
        if own.rows:
            found.append((name, [], [own]))
    cells = study.cells.frame[study.cells.frame["seeds"] > 0]
    fronts = pd.DataFrame({f"on_{cost}": pareto_front(cells, cost) for cost in _COSTS})
    front = table(
        "Cells that no other beats: less error at the same cost or less",
        cells.join(fronts)[fronts.any(axis=1)].sort_values("error"),
        f"error resource_seconds n_parameters flops_per_image {' '.join(map(str, fronts))}",
    )
    spent = float(cells["search_resource_seconds"].sum())
    time = resource_time(spent, study.cells.resource)
    text = [f"The search took {time}, not counted here."] if fair and spent else []
    found.append(("cost", text, [front], "cost", "cost"))
    fits = table(
        "Means over each cell's runs; falls and rises are shares of the loss",
        study.fits,
        "fit train_accuracy val_accuracy gap train_fall val_fall val_rise",
    )
    counts = ", ".join(f"{many} {fit}" for fit, many in study.fits["fit"].value_counts().items())
    text = [f"Cells by their curves: {counts}."] if counts else []
    found.append(("training", text, [fits], "epochs", "curves"))
    return [Section(name, *_QUESTIONS[name], *rest) for name, *rest in found]


def _ahead(study: Analysis, target: float | None) -> list[Table]:
    """Return tables of what is forecast of more data, and of how forecasts from less data fared."""
    table = partial(_table, study, compares="fraction")
    told = table(
        f"Error forecast for more data, calibrated on {CALIBRATED_ON}; {HELD_NOTE}. Far: "
        "beyond four times the largest measured size",
        study.forecasts.assign(far=study.forecasts["is_far"].map({True: "far"})),
        "n_train error times at headline low high far sizes refusal",
    )
    tested = table(
        "The largest size as the smaller ones alone forecast it; errors in %",
        study.backtests,
        "n_train at headline low high measured held",
    )
    if target is None:
        return [told, tested]
    needed = table(
        f"Images needed for a test accuracy of {100 * target:g} %, where curves and forecasts with "
        "their intervals reach it",
        study.labels_for(target)[0].rename(columns={"text": "images_needed"}),
        "n_train images_needed",
    )
    return [needed, told, tested]


def gallery_of(study: Analysis, look: Look | None = None) -> dict[str, Any] | None:
    """Return what the page shows, None where nothing is recorded of it or the study is a race.

    `missed` are the images that every run at the most data gets wrong: what is said of each, where
    it is found, and the address of its picture, or empty; `n_missed`, `n_images` and `runs` count
    them, all, and such runs. `disputed` is what the page looks up: names of `cells` and, of each, a
    code per image in `right` (1 right in most seeds, 0 wrong in most, 2 in half of them); class,
    place and picture of the `images`; `chosen`, the places of two cells to begin with.
    """
    found, ranked = study.mistakes, study.ranked
    if study.design.race or not found.runs:
        return None
    missed, disputed = records_of(found.missed.head(_MOST_MISSED)), records_of(found.disputed)
    files = look(dict.fromkeys(row["place"] for row in (*missed, *disputed))) if look else {}
    pictures = {place: data_address("jpeg", content) for place, content in files.items()}
    sizes = accumulate(map(len, pictures.values()))
    # As many as the page has room for.
    pictures = dict(islice(pictures.items(), sum(size <= _ROOM for size in sizes)))
    known = np.flatnonzero(~np.isnan(found.right[ranked.index]).any(axis=1))
    cells = ranked.iloc[known].head(_MOST_CELLS)
    largest = np.flatnonzero(cells["n_train"] == ranked["n_train"].max()).tolist()
    codes = np.array(["0", "2", "1"])[np.sign(found.right[cells.index] - 0.5).astype(int) + 1]
    told = "{class}, taken for {taken} by {percent:.0f} % of runs"
    for row in (*missed, *disputed):
        row["picture"] = pictures.get(row["place"], "")
    return {
        "missed": [
            (told.format(**row, percent=100 * row["share"]), row["place"], row["picture"])
            for row in missed
        ],
        "n_missed": len(found.missed),
        "n_images": study.board.images.size,
        "runs": found.runs,
        "disputed": {
            "cells": [study.name(row) for row in records_of(cells)],
            "right": ["".join(own) for own in codes],
            "images": [[row["class"], row["place"], row["picture"]] for row in disputed],
            "chosen": [largest[0], largest[-1]] if len(largest) > 1 else [0, len(cells) - 1],
        },
    }
