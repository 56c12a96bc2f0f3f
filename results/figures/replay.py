"""The figure of stopping rules replayed on one run. Frame in, figure out."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from results.figures.style import COLOURS, FAULT, INK, PALE, empty, legend, new_figure, plain, tidy

_MAX_ROWS = 60
_ALT = (
    "One row per stopping rule: at the left the share of epochs saved, at the right the points of "
    "validation accuracy given up, mean and worst. The table of rules holds all values."
)


def stopping_rules(rules: pd.DataFrame, name: str) -> tuple[Figure, str]:
    """Draw what each rule saves and costs; return the figure with its description.

    Parameters
    ----------
    rules
        One row per rule: `rule` (its name), `asked`, `saved` and `unknown` (epochs), `contests`,
        `kept` and `lost` (counts), `regret` and `worst` (points).
    name
        Of the study.
    """
    title = f"{plain(name)}: other stopping rules on the recorded curves"
    if rules.empty or not rules["asked"].any():
        return empty(title, "No curve is recorded that a rule could act on."), _ALT
    shown = rules.head(_MAX_ROWS)
    note = (
        "Left: epochs saved of those without stopping. Right: validation accuracy that the winners "
        "lose against those without stopping, in points, and how many winners stay the same."
    )
    if shown["unknown"].any():
        note += " Pale: epochs of curves that end before the rule would have decided."
    if len(rules) > len(shown):
        note += f" The first {len(shown)} of {len(rules)} rules; the table holds all."
    figure = new_figure(9.6, 1.1 + 0.3 * len(shown), title, note)
    left, right = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(shown))
    for axes in (left, right):
        tidy(axes, "x")
        axes.set_ylim(len(shown) - 0.4, -0.6)
    left.set_yticks(places, [plain(rule) for rule in shown["rule"]])
    asked = shown["asked"].to_numpy(float)
    sure, perhaps = (100 * shown[column].to_numpy(float) / asked for column in ("saved", "unknown"))
    left.barh(places, sure, height=0.55, color=COLOURS[0])
    left.barh(places, perhaps, left=sure, height=0.55, color=COLOURS[0], alpha=0.3)
    left.set_xlim(0, 100)
    left.set_xlabel("epochs saved (%)", fontsize=9)
    _draw_regrets(right, shown, places)
    legend(
        figure,
        [
            Patch(color=COLOURS[0], label="saved"),
            Line2D([], [], color=INK, marker="D", ls="", label="given up, mean"),
            Line2D([], [], color=PALE, marker="|", ls="", label="in the worst case"),
        ],
    )
    return figure, _ALT


def _draw_regrets(axes: Axes, shown: pd.DataFrame, places: np.ndarray) -> None:
    mean, worst = (shown[column].to_numpy(float) for column in ("regret", "worst"))
    axes.hlines(places, mean, worst, color=PALE, lw=1.2)
    axes.plot(worst, places, "|", color=PALE, ms=9)
    axes.plot(mean, places, "D", color=INK, ms=5.5, ls="")
    most = np.nanmax([*worst[~np.isnan(worst)], 0.5])
    # Room for the words at the right.
    axes.set_xlim(-0.04 * most, 1.7 * most)
    axes.set_xlabel("validation accuracy given up (points)", fontsize=9)
    columns = ("kept", "contests", "lost")
    for place, (kept, contests, lost) in enumerate(
        zip(*(shown[column] for column in columns), strict=True)
    ):
        words = f"{kept} of {contests} kept" + (f", {lost} without any" if lost else "")
        axes.annotate(
            words,
            (0.99, place),
            xycoords=("axes fraction", "data"),
            fontsize=8,
            color=FAULT if lost else PALE,
            ha="right",
            va="center",
        )
