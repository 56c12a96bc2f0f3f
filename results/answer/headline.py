"""What to do next, in a line, and how sure that is. Analysis in, text out."""

from collections.abc import Mapping, Sequence
from typing import Any

from results.analysis.analysis import Analysis
from results.analysis.runs import records_of
from results.answer.levers import parted
from results.phrases import listed, percent

_MOST_NAMED = 2


def headline(study: Analysis) -> str:
    """Return what to do next in at most 25 words of plain language."""
    if study.ranked.empty:
        return "Nothing is measured yet."
    if study.design.race:
        return "A search for one good trial; it compares nothing."
    rows = records_of(study.levers)
    if not rows:
        return "One cell is measured; with a factor that varies, it could be compared."
    if not study.is_ranked:
        return "Measured once: with two more seeds it can be told what helps."
    won, lost, tied = parted(rows)
    said = "; then ".join(_advice(row) for row in won[:_MOST_NAMED])
    parts = [f"{said[0].upper()}{said[1:]}." if said else "No step is shown to help."]
    if lost:
        parts.append(f"Would lose: {_names(lost)}.")
    elif tied and won:
        parts.append(f"Not told apart: {_names(tied)}.")
    return " ".join(parts)


def how_sure(study: Analysis) -> str:
    """Return how sure the headline's first step is, empty where no probability is known."""
    rows = records_of(study.levers) if study.is_ranked and not study.design.race else []
    chances = [row for row in rows if row["best_probability"] == row["best_probability"]]
    if not chances:
        return ""
    best = max(chances, key=lambda row: float(row["best_probability"]))
    chance, name = percent(best["best_probability"]), _name(best)
    if not (best["decided"] and best["gain"] > 0):
        return f"Likeliest to gain most, with {chance} probability, though not decided: {name}."
    images = study.ranked["n_train"].max()
    return f"Best next step, with {chance} probability: {name}, at all of the {images:,.0f} images."


def _advice(row: Mapping[str, Any]) -> str:
    """Return a step as one would ask for it."""
    after: str = row["step"].split(" → ")[-1]
    return {
        "data": "label more data",
        "model": f"use the model {after}",
        "weights": "train from scratch" if after == "none" else f"use {after} weights",
        "recipe": f"use the tuned recipe ({after})",
    }.get(row["lever"], f"set {row['lever']} to {after}")


def _names(rows: Sequence[Mapping[str, Any]]) -> str:
    return listed([_name(row) for row in rows[:_MOST_NAMED]])


def _name(row: Mapping[str, Any]) -> str:
    after: str = row["step"].split(" → ")[-1]
    return {
        "data": "more data",
        "model": after,
        "weights": "training from scratch" if after == "none" else f"{after} weights",
        "recipe": "the tuned recipe",
    }.get(row["lever"], f"{row['lever']} {after}")
