"""What to do next, how sure that is, and which step helps more. Analysis in, text out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.analysis.analysis import Analysis
from results.analysis.levers import FORECAST
from results.analysis.runs import records_of
from results.phrases import listed, percent, resource_time

_MOST_NAMED = 2


@dataclass(frozen=True)
class Step:
    """A lever in words, for tables."""

    text: str
    """What one would do, such as `resnet50 instead of resnet18`."""
    gain: str
    interval: str
    """The gain's interval, empty where there is none."""
    is_decided: bool
    is_forecast: bool
    cost: str
    """Labels and time, empty where nothing more is spent."""
    chance: str
    """Probability that it is the best next step, empty where unknown or where it would lose."""

    @property
    def note(self) -> str:
        """Whether the gain is forecast or not told apart from none, else empty."""
        tied = bool(self.interval) and not self.is_decided
        return ", ".join([*["forecast"] * self.is_forecast, *["not told apart"] * tied])


def headline(study: Analysis) -> str:
    """Return what to do next in at most 25 words of plain language."""
    if study.ranked.empty:
        return "Nothing is measured yet."
    if study.design.race:
        return "A search for one good trial; it compares nothing."
    rows = records_of(study.levers)
    if not rows:
        return "One cell is measured; with a factor that varies, it could be compared."
    if study.awaits_seeds:
        return "Not finished: no cell has two of its seeds yet."
    if not study.is_ranked:
        return "Measured once: with two more seeds it can be told what helps."
    won, lost, tied = parted(rows)
    said = "; then ".join(_worded(row)[0] for row in won[:_MOST_NAMED])
    first = f"{said[0].upper()}{said[1:]}." if said else "No step is shown to help."
    others = lost or (won and tied)
    names = listed([_worded(row)[1] for row in others[:_MOST_NAMED]])
    word = "Would lose" if lost else "Not told apart"
    return f"{first} {word}: {names}." if names else first


def how_sure(study: Analysis) -> str:
    """Return how sure the headline's first step is, empty where no probability is known."""
    rows = records_of(study.levers) if study.is_ranked else []
    best = max(filter(_chance, rows), key=lambda row: float(row["best_probability"]), default=None)
    if best is None:
        return ""
    chance, name = _chance(best), _worded(best)[1]
    if not (best["decided"] and best["gain"] > 0):
        return f"Likeliest to gain most, with {chance} probability, though not decided: {name}."
    images = study.ranked["n_train"].max()
    return f"Best next step, with {chance} probability: {name}, at all of the {images:,.0f} images."


def _worded(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return a lever as one would ask for it, its name, and its step, such as `use the model
    resnet50`, `resnet50` and `model resnet50 instead of resnet18`."""
    before, after = row["step"].split(" → ")
    lever, step = row["lever"], f"{after} instead of {before}"
    if lever == "data":
        step = f"twice the data ({after})" if row["basis"] == FORECAST else step
        return "label more data", "more data", step
    if lever == "weights":
        step = f"{after} weights instead of {before}"
        if after == "none":
            return "train from scratch", "training from scratch", step
        return f"use {after} weights", f"{after} weights", step
    if lever == "recipe":
        return f"use the tuned recipe ({after})", "the tuned recipe", f"the recipe {step}"
    if lever == "model":
        return f"use the model {after}", after, f"model {step}"
    return f"set {lever} to {after}", f"{lever} {after}", f"{lever} {step}"


def step_of(study: Analysis, row: Mapping[str, Any]) -> Step:
    """Return a row of `Analysis.levers` in words."""
    gain, low, high = (study.metric.change(row[name]) for name in ("gain", "low", "high"))
    interval, cost = f"{low} to {high}" if row["low"] == row["low"] else "", lever_cost(study, row)
    sure = bool(row["decided"]), row["basis"] == FORECAST
    return Step(_worded(row)[2], gain, interval, *sure, cost, _chance(row))


def levers_said(study: Analysis) -> str:
    """Say what each lever gains at all of the data; empty where nothing is compared."""
    rows = records_of(study.levers)
    if rows and not study.is_ranked:
        far = "so far" if study.awaits_seeds else "measured once"
        return f"Nothing is told apart with one seed; {far}: {_items(study, rows)}."
    groups = zip(("Helps", "Would lose", "Not told apart from no gain"), parted(rows), strict=True)
    return " ".join(f"{word}: {_items(study, own)}." for word, own in groups if own)


def parted(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Any], list[Any], list[Any]]:
    """Part levers into those that gain, those that would lose, and those that are not decided."""
    won = [row for row in rows if row["decided"] and row["gain"] > 0]
    lost = [row for row in rows if row["decided"] and row["gain"] < 0]
    return won, lost, [row for row in rows if not row["decided"]]


def _items(study: Analysis, rows: list[dict[str, Any]]) -> str:
    items = []
    for row in rows:
        gain = study.metric.amount(row["gain"], row["low"], row["high"])
        item = f"{_worded(row)[2]}, {'forecast ' if row['basis'] == FORECAST else ''}{gain}"
        cost, price = lever_cost(study, row), f"{row['price']:,.2f}".replace("-", "−")
        item += f", for {cost}" if cost else ""
        # What is free, or has no price, needs no words.
        item += "" if price in ("nan", "0.00", "−0.00") else f", at a price of {price}"
        chance = _chance(row)
        items.append(item + (f", {chance} likely the best of these" if chance else ""))
    return "; ".join(items)


def _chance(row: Mapping[str, Any]) -> str:
    chance, loses = row["best_probability"], row["decided"] and row["gain"] < 0
    return percent(chance) if chance == chance and not loses else ""


def lever_cost(study: Analysis, row: Mapping[str, Any]) -> str:
    """Return what a step costs beside what is spent already; empty where that is nothing."""
    parts = [f"{row['images']:,.0f} more labels"] if row["images"] > 0 else []
    if (seconds := 3600 * row["hours"]) >= 1:
        what = "of search" if row["lever"] == "recipe" else "more a run"
        parts.append(f"{resource_time(seconds, study.cells.resource)} {what}")
    return listed(parts)
