"""What the page says below the answer: one section per question, as text and tables.

Numbers are those of `results.analysis.analysis`: points of test accuracy or error, seconds, images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from results.analysis.analysis import Analysis
from results.analysis.costs import COSTS, pareto_front
from results.analysis.runs import records_of
from results.answer.answer import Interval, coverage_note
from results.phrases import level_label, resource_time
from results.report.html import Table, table_of
from results.run import Run

_WITHOUT = {
    "difference_without_selection": "without the selection seed",
    "low_without_selection": "95 % from without it",
    "high_without_selection": "to without it",
}


@dataclass(frozen=True)
class Section:
    """One question and what the study says to it.

    Parameters
    ----------
    name
        Its anchor on the page.
    title
        The question.
    text
        Paragraphs.
    tables
        Behind a fold.
    picture
        Name of the static figure.
    chart
        Name of the interactive chart that stands for the figure, where there is one.
    """

    name: str
    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = field(default_factory=tuple)
    picture: str | None = None
    chart: str | None = None


def sections_of(run: Run) -> list[Section]:
    """Return the sections of a study, none where it has no value yet.

    In a race nothing is compared: what remains is what the survivors cost and how they trained.
    """
    study = run.analysis
    if study.runs.empty:
        return []
    compared: list[tuple[bool, Callable[[Run], Section]]] = [
        (study.varies("model"), _models),
        (study.varies("weights"), _pretraining),
        (study.varies("fraction"), _more_data),
        (True, _effects),
    ]
    made = [make(run) for fits, make in compared if fits and not study.design.race]
    return [*made, _costs(study), _training(study)]


def _models(run: Run) -> Section:
    study = run.analysis
    tables = [_differences(study, "model")]
    if study.varies("fraction"):
        found = study.crossovers
        tables.append(
            table_of(
                "Does a bigger model overtake a smaller one as data grows? Sizes in images; "
                f"{coverage_note(Interval.CROSSOVER)}",
                found,
                {
                    **_names(study, found, "model", "fraction"),
                    "small": "small",
                    "big": "big",
                    "verdict": "verdict",
                    "location": "means cross at",
                    "low": "95 % from",
                    "high": "to",
                    "p_value": "p",
                },
                study.factors,
            )
        )
    title = "Which model for which amount of data?"
    return Section("model", title, _said(run, "model"), tables)


def _pretraining(run: Run) -> Section:
    study, worths = run.analysis, run.analysis.worths
    tables = [_differences(study, "weights")]
    if len(worths):
        tables.append(
            table_of(
                "How many times the data a model from scratch needs for the pretrained error; "
                f"{coverage_note(Interval.WORTH)}",
                worths,
                {
                    **_names(study, worths, "fraction"),
                    "fraction": "pretrained on",
                    "error": "its error (%)",
                    "text": "worth",
                    "low": "95 % from",
                    "high": "to",
                    "n_seeds": "seeds",
                },
                study.factors,
            )
        )
    said = _said(run, "pretraining")
    return Section("pretraining", "What is pretraining worth?", said, tables, "pretraining")


def _more_data(run: Run) -> Section:
    study, found = run.analysis, run.analysis.extrapolations
    table = table_of(
        f"Predicted error with twice the data; {coverage_note(Interval.EXTRAPOLATION)}",
        found,
        {
            **_names(study, found, "fraction"),
            "n_train": "images now",
            "error": "error now (%)",
            "headline": "predicted (%)",
            "low": "95 % from",
            "high": "to",
            "local_power_law": "local law",
            "power_law": "power law",
            "data_reliance": "data reliance",
            "residual_degrees_of_freedom": "degrees of freedom left",
            "back_test": "back-test missed by",
            "refusal": "not predicted because",
        },
        study.factors,
    )
    said = _said(run, "data")
    return Section("data", "What would twice the data buy?", said, [table], "learning-curves")


def _effects(run: Run) -> Section:
    study = run.analysis
    wanted = {
        "difference": "points gained",
        "low": "95 % from",
        "high": "to",
        "decided": "decided",
        "n_seeds": "seeds",
        **(_WITHOUT if _has_selection(study.effects) else {}),
        "n_cells": "cells averaged",
    }
    tables = [
        table_of(
            "One step in one factor, averaged over the cells of the others",
            _labelled(study.effects),
            {"factor": "factor", "first": "from", "second": "to level", **wanted},
        ),
        table_of(
            "How much more a step in one factor gains at another factor's higher level",
            _labelled(study.interactions),
            {
                "factor": "step in",
                "first": "from",
                "second": "to level",
                "other": "where",
                "other_first": "instead of",
                "other_second": "is",
                **wanted,
            },
        ),
    ]
    return Section("effects", "Which factor matters most?", (), tables, "effects")


def _costs(study: Analysis) -> Section:
    cells = study.cells.frame[study.cells.frame["seeds"] > 0]
    resource = "GPU" if (cells["resource"] == "gpu").any() else "CPU"
    fronts = pd.DataFrame({cost: pareto_front(cells, cost) for cost in COSTS})
    named = [study.name(row) or "the only cell" for row in records_of(cells)]
    shown = cells.assign(cell=named, **fronts.add_prefix("on_"))
    tables = [
        table_of(
            "Cells that no other beats: less error at the same cost or less",
            shown[fronts.any(axis=1)].sort_values("error"),
            {
                "cell": "cell",
                "error": "error (%)",
                "resource_seconds": f"{resource}-seconds a run",
                "n_parameters": "parameters",
                "flops_per_image": "FLOPs an image",
                "on_resource_seconds": "best for its time",
                "on_n_parameters": "best for its size",
                "on_flops_per_image": "best for its FLOPs",
            },
        )
    ]
    for factor in () if study.design.race else ("model", "fraction"):
        if study.varies(factor):
            prices = study.costs(factor)
            tables.append(
                table_of(
                    f"What a point of accuracy costs by the next level of {factor}",
                    _labelled(prices.assign(factor=factor)),
                    {
                        "first": "from",
                        "second": "to",
                        **_names(study, prices, factor),
                        "difference": "points gained",
                        "extra_seconds": f"more {resource}-seconds a run",
                        "seconds_per_point": f"{resource}-seconds a point",
                        "seconds_per_point_low": "from",
                        "seconds_per_point_high": "to",
                    },
                    study.factors,
                )
            )
    spent = float(cells["search_resource_seconds"].sum())
    said = (
        [f"The search took {resource_time(spent, resource)}, not counted here."]
        if spent and not study.design.race
        else []
    )
    return Section("cost", "What does accuracy cost?", said, tables, "cost", "cost")


def _training(study: Analysis) -> Section:
    found = study.fits
    counts = found["fit"].value_counts()
    text = ", ".join(f"{number} {fit}" for fit, number in counts.items())
    table = table_of(
        "Means over each cell's runs; falls and rises are shares of the loss",
        found,
        {
            **_names(study, found),
            "fit": "verdict",
            "train_accuracy": "train accuracy (%)",
            "val_accuracy": "validation accuracy (%)",
            "gap": "gap (points)",
            "train_fall": "train loss fell, last quarter",
            "val_fall": "validation loss fell",
            "val_rise": "validation loss above its lowest",
        },
        study.factors,
    )
    said = [f"Cells by their curves: {text}."] if text else []
    return Section("training", "Was training long enough?", said, [table], "epochs", "curves")


def _differences(study: Analysis, factor: str) -> Table:
    table = study.differences(factor)
    return table_of(
        "Paired differences in test accuracy, in points",
        _labelled(table.assign(factor=factor)),
        {
            "first": "from",
            "second": "to",
            **_names(study, table, factor),
            "difference": "points gained",
            "low": "95 % from",
            "high": "to",
            "decided": "decided",
            "n_seeds": "seeds",
            "error_ratio": "error ratio",
            **(_WITHOUT if _has_selection(table) else {}),
            "seeds_needed": "seeds to decide",
        },
        study.factors,
    )


def _has_selection(table: pd.DataFrame) -> bool:
    """Whether leaving out the seed that chose the recipe changes anything."""
    return bool((table["n_seeds"] != table["n_seeds_without_selection"]).any())


def _said(run: Run, topic: str) -> list[str]:
    return [said.text for said in run.answer().sentences if said.topic == topic]


def _names(study: Analysis, table: pd.DataFrame, *without: str) -> dict[str, str]:
    """Return the factor columns that tell the rows of a table apart."""
    return {
        name: name
        for name in study.others(*without)
        if name in table and (study.varies(name) or table[name].nunique(dropna=False) > 1)
    }


def _labelled(table: pd.DataFrame) -> pd.DataFrame:
    """Write the levels in columns such as `first` as people do, by the row's factor."""
    labelled = table.copy()
    for column, factor in (
        ("first", "factor"),
        ("second", "factor"),
        ("other_first", "other"),
        ("other_second", "other"),
    ):
        if column in labelled:
            labelled[column] = [
                level_label(str(name), level)
                for name, level in zip(labelled[factor], labelled[column], strict=True)
            ]
    return labelled
