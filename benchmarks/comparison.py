"""The table of `side_by_side`: times, memory and accuracy of each program, and ratios."""

import pandas as pd

CELL = ["model", "fraction"]
RECIPE = ["lr", "batch_size", "optimizer"]
MIB = 2**20
OURS = ("scalestudy", "scalestudy, test at the end")
TUTORIAL, NOTEBOOK = "the best peer as its tutorial writes it", "the notebook loop"
BY_HAND = "the best peer, by hand or not"
ASKED = {
    ("scalestudy", "time"): {TUTORIAL: 0.5, NOTEBOOK: 0.4},
    ("scalestudy", "search"): {TUTORIAL: 0.3},
    ("scalestudy, test at the end", "time"): {NOTEBOOK: 0.3, BY_HAND: 0.45},
    ("scalestudy, test at the end", "search"): {TUTORIAL: 0.15},
}
"""Largest ratio of times that is asked for."""


def table(rows: pd.DataFrame, part: str) -> str:
    """Return the measurements of one part as Markdown.

    Parameters
    ----------
    rows
        A row per program, round, cell, recipe and epoch, with what the program took.
    part
        `time` or `search`.
    """
    costs = rows.drop_duplicates(["program", "round"]).set_index(["round", "program"])
    seconds = costs["seconds"].unstack()
    finals = final_accuracies(rows)
    lines = [
        f"Part {part}: {len(seconds)} rounds, load before each program "
        f"{costs.load.min():.1f} to {costs.load.max():.1f}",
        "",
        "| program | seconds | lowest to highest | × notebook | CPU seconds | memory, all | driver "
        "| largest worker | accuracy, mean of cells | per cell |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for program in _in_order(seconds):
        mine, own = seconds[program].dropna(), costs.xs(program, level="program")
        beside = f"{(mine / seconds.notebook).median():.2f}" if "notebook" in seconds else "–"
        cells = finals[finals.program == program].groupby(CELL).accuracy.mean()
        each = ", ".join(f"{model} {share}: {100 * a:.1f}" for (model, share), a in cells.items())
        lines.append(
            f"| {program} | {mine.median():.0f} | {mine.min():.0f} to {mine.max():.0f} "
            f"| {beside} | {own.cpu_seconds.median():.0f} "
            f"| {own.memory.median() / MIB:.0f} MiB | {own.memory_driver.median() / MIB:.0f} MiB "
            f"| {own.memory_worker.median() / MIB:.0f} MiB | {100 * cells.mean():.1f} % | {each} |"
        )
    for program in OURS:
        mine = _ratios(seconds, part, program) + _spread(finals, program) + _use(costs, program)
        lines += ["", f"{program}:", *mine] if mine else []
        lost = regret(rows, program) if part == "search" else []
        if len(lost):
            lines.append(
                f"- regret against the whole grid: {100 * lost.regret.mean():.2f} points on "
                f"average, {100 * lost.regret.max():.2f} at most (at most 0.5 on average asked for)"
            )
    if part == "search":
        lines += ["", *_search(rows, finals)]
    return "\n".join(lines)


def final_accuracies(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each program's accuracy per round and cell, after the last epoch.

    Of several recipes it is the one that the program chooses: scalestudy's winner; of a peer the
    best of those trained to the end.
    """
    last = rows[rows.epoch == rows.epoch.max()]
    if "chosen" in last:
        last = last[last.chosen.isna() | last.chosen.eq(True)]
    return last.groupby(["program", "round", *CELL], as_index=False).accuracy.max()


def regret(rows: pd.DataFrame, program: str) -> pd.DataFrame:
    """Return per round and cell what the best of the whole grid has more than the trial chosen.

    Both are trained from the same seeds, so that the same trial has the same accuracy in both.
    """
    finals = final_accuracies(rows).set_index(["round", *CELL])
    mine = finals[finals.program == program].accuracy
    last = rows[(rows.epoch == rows.epoch.max()) & (rows.program == f"{program}, whole grid")]
    whole = last.groupby(["round", *CELL]).accuracy.max()
    return (whole - mine).dropna().rename("regret").reset_index()


def _ratios(seconds: pd.DataFrame, part: str, program: str) -> list[str]:
    if program not in seconds:
        return []
    peers = [name for name in seconds if not name.startswith("scalestudy")]
    # Ray Tune stops trials in a search: only whole grids are compared.
    whole = [name for name in peers if part == "time" or name != "ray_tune"]
    plain = [name for name in whole if " " not in name]
    targets = {TUTORIAL: plain, NOTEBOOK: ["notebook"], BY_HAND: whole}
    lines = []
    for name, programs in targets.items():
        most = ASKED[program, part].get(name)
        there = [program for program in programs if program in seconds]
        if not there:
            continue
        ratio = (seconds[program] / seconds[there].min(axis=1)).dropna()
        if len(ratio):
            asked = f", at most {most} asked for" if most else ""
            lines.append(
                f"- time beside {name}: {ratio.median():.3f} ({ratio.min():.3f} to "
                f"{ratio.max():.3f}{asked})"
            )
    return lines


def _spread(finals: pd.DataFrame, program: str) -> list[str]:
    """Say how far accuracies lie apart between programs, and between rounds of one."""
    means = finals.groupby(["program", *CELL]).accuracy.mean().unstack("program")
    if program not in means or "notebook" not in means:
        return []
    apart = means[program] - means["notebook"]
    within = finals[finals.program == "notebook"].groupby(CELL).accuracy.agg(["min", "max"])
    return [
        f"- accuracy, less the notebook's, by cell: {100 * apart.mean():+.2f} points on average, "
        f"{100 * apart.abs().max():.2f} at most; the notebook's own rounds lie up to "
        f"{100 * (within['max'] - within['min']).max():.2f} apart"
    ]


def _use(costs: pd.DataFrame, program: str) -> list[str]:
    """Say how scalestudy used its slots."""
    mine = costs[costs.index.get_level_values("program") == program]
    if "held" not in mine or mine.held.isna().all():
        return []
    use = mine[["held", "trained", "length"]].median()
    return [
        f"- slots, of the time from first start to last end: {100 * use.held:.1f} % "
        f"held by trials, {100 * use.trained:.1f} % training and evaluating; that time over "
        f"max(longest trial, work/slots): {use.length:.3f}"
    ]


def _search(rows: pd.DataFrame, finals: pd.DataFrame) -> list[str]:
    lines = []
    cells = len(rows[CELL].drop_duplicates())
    for program, mine in finals.groupby("program"):
        complete = mine.groupby("round").size()
        lines.append(f"- {program}: {complete.min()} to {complete.max()} of {cells} cells complete")
    epochs = rows.groupby(["program", "round"]).size().groupby("program").median()
    lines.append(
        "- epochs trained: " + ", ".join(f"{program} {n:.0f}" for program, n in epochs.items())
    )
    return lines


def _in_order(seconds: pd.DataFrame) -> list[str]:
    return sorted(seconds, key=lambda name: (not name.startswith("scalestudy"), name))
