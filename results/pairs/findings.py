"""What stands against reading two studies side by side. Studies in, frame out."""

from collections.abc import Iterator

import pandas as pd

from results.findings.finding import Finding, error, note, warning
from results.findings.findings import findings_frame
from results.pairs.pair import Basis, Pair
from results.phrases import changed, count, few, level_label, listed

_HARDWARE = ("cpu_model", "gpu_model", "torch")


def findings(pair: Pair) -> pd.DataFrame:
    """Return what speaks against differences being one change's work, as `findings_frame` does."""
    looks = (_data, _races, _searches, _recipes, _unmatched, _seeds, _machines)
    return findings_frame(finding for look in looks for finding in look(pair))


def _data(pair: Pair) -> Iterator[Finding]:
    if not pair.is_known:
        yield warning(
            "data-unknown",
            "no content of the data is recorded for both, so that only their names were compared",
            "run the studies again with this version, which records it",
        )
    elif pair.refusal.startswith("not the same test"):
        yield error(
            "data-differ",
            "the test images or their labels are not the same",
            "accuracies stand side by side without a difference; run both studies on one data set",
        )
    elif pair.train_change:
        yield note(
            "train-differs",
            f"the test images are the same, the {pair.train_change}",
            "a difference is of the training images as well; where they are the only change, of "
            "them alone",
        )
    if pair.mended:
        yield note("test-labels-mended", pair.mended, "accuracies of the first study are anew")
    shares = [(run.study.get("data") or {}).get("validation") for run in (pair.first, pair.second)]
    if str(shares[0]) != str(shares[1]):
        yield warning(
            "validation-differs",
            f"validation is {shares[0]} in {pair.names[0]} and {shares[1]} in {pair.names[1]}",
            "equal fractions are then of different pools, and seeds draw different subsets; set "
            "data.validation alike",
        )


def _races(pair: Pair) -> Iterator[Finding]:
    runs = zip((pair.first, pair.second), pair.names, strict=True)
    raced = [name for run, name in runs if run.analysis.design.race]
    if raced:
        yield error(
            "race",
            f"search, not comparison: in {listed(raced)} unlike trials competed and what fell "
            "behind was stopped",
            "no difference is made; early_stopping.compare: cell trains every cell to its end",
        )


def _searches(pair: Pair) -> Iterator[Finding]:
    first, second = pair.first, pair.second
    if bool(first.tuned) != bool(second.tuned):
        searched, given = pair.names if first.tuned else pair.names[::-1]
        yield warning(
            "search-against-given",
            f"{searched} chose each cell's recipe by search "
            f"({listed(first.tuned or second.tuned)}), {given} was given one",
            "part of the difference is the tuning; read the columns without the seed that recipes "
            "were chosen on",
        )
    elif first.tuned and first.study["search"] != second.study["search"]:
        spaces = [
            {
                name: level_label(name, values, bare=True)
                for name, values in run.study["search"].items()
            }
            for run in (first, second)
        ]
        yield warning(
            "search-differs",
            f"the searches differ: {'; '.join(few(changed(spaces)))}",
            "a larger search finds a better recipe by itself; search the same space in both",
        )


def _recipes(pair: Pair) -> Iterator[Finding]:
    changes = pair.cells["recipe"].dropna()
    for change, number in changes[changes != ""].value_counts(sort=False).items():
        yield note(
            "recipe-differs",
            f"{change}, in {count(number, 'cell')}",
            "a difference there is of the recipe as well; where it is the only change, of it alone",
        )


def _unmatched(pair: Pair) -> Iterator[Finding]:
    where = pair.cells["where"]
    alone = [
        f"{count(number, 'cell')} only in {name}"
        for side, name in zip(("first", "second"), pair.names, strict=True)
        if (number := int((where == side).sum()))
    ]
    if len(where) and not (where == "both").any():
        yield error(
            "no-common-cell",
            "no cell has the same level of every factor in both",
            "compare studies that share models, weights and fractions",
        )
    elif alone:
        yield note("cells-in-one", listed(alone), "they are listed and enter no difference")


def _seeds(pair: Pair) -> Iterator[Finding]:
    basis = pair.cells["basis"]
    if unpaired := int((basis == Basis.UNPAIRED).sum()):
        yield warning(
            "unpaired-seeds",
            f"{count(unpaired, 'cell')} {'shares' if unpaired == 1 else 'share'} fewer than two "
            "seeds with the same subset",
            "their intervals are Welch's, and wider; run both studies with the same seeds and pool",
        )
    if single := int(basis.isin([Basis.ONE_SEED, Basis.IMAGES]).sum()):
        yield warning(
            "single-seed",
            f"{count(single, 'cell')} {'has' if single == 1 else 'have'} one seed in common or one "
            "at all",
            "two more seeds in both: with one there is no ± over seeds, and nothing is decided",
        )


def _machines(pair: Pair) -> Iterator[Finding]:
    tables = [run.environments() for run in (pair.first, pair.second)]
    kinds = [
        {
            name.replace("_", " "): ", ".join(sorted(table[name].dropna().unique()))
            or "not recorded"
            for name in _HARDWARE
        }
        for table in tables
    ]
    if parts := changed(kinds):
        yield warning(
            "machines-differ",
            "; ".join(parts),
            "times and costs are not comparable, accuracies are up to rounding",
        )
