"""What two studies say side by side, in sentences whose hedges follow the tests."""

import pandas as pd

from results.analysis.runs import records_of
from results.findings.finding import Severity
from results.pairs.findings import findings
from results.pairs.pair import Basis, Pair
from results.phrases import count, few, listed, resource_time


def verdict(pair: Pair) -> list[str]:
    """Return sentences on two studies: what is matched, what differs, its cost, what to mind."""
    first, second = pair.names
    cells = pair.cells
    both = cells[cells["where"] == "both"]
    said = [
        f"{first} has {count(int((cells['where'] != 'second').sum()), 'cell')}, {second} "
        f"{int((cells['where'] != 'first').sum())}; {len(both)} "
        f"{'has' if len(both) == 1 else 'have'} the same level of every factor."
    ]
    if pair.mended:
        said.append(f"{pair.mended}.")
    if pair.train_change:
        said.append(f"Both were tested on the same images; the {pair.train_change}.")
    if pair.refusal and not both.empty:
        said.append(f"Nothing is compared: {pair.refusal}.")
    elif not both.empty:
        said += [_overall(pair), _cells(pair, both)]
    said.append(_cost(pair, both))
    found = findings(pair)
    grave = found.loc[found["severity"] != Severity.NOTE, "evidence"]
    said += [f"To mind: {'; '.join(grave)}."] if len(grave) else []
    return [sentence for sentence in said if sentence]


def _overall(pair: Pair) -> str:
    second, metric = pair.names[1], pair.metric
    if pair.overall.empty:
        return ""
    row = pair.overall.iloc[0]
    cells, seeds = count(int(row["n_cells"]), "cell"), count(int(row["n_seeds"]), "seed")
    verb, change = "is not told apart:", (row["difference"], row["low"], row["high"])
    if row["decided"]:
        verb = "gains" if row["difference"] > 0 else "loses"
    if verb == "loses":
        change = (-row["difference"], -row["high"], -row["low"])
    text = (
        f"On average over {cells}, {second} {verb} {metric.amount(*change)} of test {metric.name}, "
        f"paired over {seeds}"
    )
    without = row["difference_without_selection"]
    if row["n_seeds_without_selection"] not in (0, row["n_seeds"]) and not pd.isna(without):
        ends = row["low_without_selection"], row["high_without_selection"]
        text += f"; {metric.amount(without, *ends)} without the seed that a recipe was chosen on"
    return f"{text}."


def _cells(pair: Pair, both: pd.DataFrame) -> str:
    tested = both[both["low"].notna() & (both["basis"] != Basis.SAME)]
    decided = tested[tested["decided"].astype(bool)]
    parts = []
    for word, rows in (("better", decided["difference"] > 0), ("worse", decided["difference"] < 0)):
        own = decided[rows]
        if len(own):
            ends = own[["difference", "low", "high"]].itertuples(index=False)
            names = [pair.cell_name(row) for row in records_of(own)]
            changes = [
                f"{name}: {pair.metric.amount(*end)}" for name, end in zip(names, ends, strict=True)
            ]
            parts.append(f"{len(own)} {word} ({'; '.join(few(changes))})")
    bare = both[both["low"].isna() & both["difference"].notna()]
    for number, words in (
        (len(tested) - len(decided), "not told apart"),
        (len(bare), "without ± (one seed, or no spread over seeds)"),
        (int((both["basis"] == Basis.SAME).sum()), "the very same trials"),
        (int((both["basis"] == Basis.NONE).sum()), "without a value in both"),
    ):
        if number:
            parts.append(f"{number} {words}")
    return f"Cell by cell, {pair.names[1]} is: {listed(parts)}." if parts else ""


def _cost(pair: Pair, both: pd.DataFrame) -> str:
    costs = both[["resource_seconds_first", "resource_seconds_second"]].astype(float)
    known = costs.notna().all(axis=1) & (both["resource_first"] == both["resource_second"])
    if not known.any() or (costs[known].iloc[:, 0] <= 0).all():
        return ""
    before, after = costs[known].sum()
    resource = str(both.loc[known, "resource_first"].iloc[0])
    first, second = pair.names
    return (
        f"One run of each of these cells takes {resource_time(after, resource)} in {second} "
        f"against {resource_time(before, resource)} in {first}, {after / before:.2g} times as much."
    )
