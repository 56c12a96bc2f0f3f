"""Whether runs differ in nothing but the factors, and are judged on images that are fair."""

import json
from collections.abc import Iterator

import numpy as np

from results.analysis.analysis import Analysis
from results.analysis.runs import by_cell, measured_trials
from results.findings import rules
from results.findings.finding import Finding, error, note, warning
from results.phrases import cell_name, count, level_label
from results.records import Stage, Status
from results.statistics.best import expected_best

_MODEL = ("model", "weights")


def _unpaired(study: Analysis) -> Iterator[Finding]:
    known = study.runs[study.runs["subset_hash"].notna()]
    for (fraction, seed), rows in known.groupby(["fraction", "seed"]):
        drawn = rows.drop_duplicates("subset_hash").to_dict("records")
        if len(drawn) > 1:
            hashes = [f"{cell_name(row, _MODEL)} {row['subset_hash'][:8]}" for row in drawn]
            yield error(
                "unpaired",
                f"seed {seed} drew different subsets: {', '.join(hashes)}",
                "differences are not paired; draw one subset per fraction and seed for all models",
                level_label("fraction", fraction),
            )
    for fraction, rows in known[known["fraction"] < 1].groupby("fraction"):
        if rows["seed"].nunique() > 1 and rows["subset_hash"].nunique() == 1:
            yield warning(
                "one-subset",
                f"{rows['seed'].nunique()} seeds share one subset",
                "intervals leave out the luck of the draw; let each seed draw its own",
                level_label("fraction", fraction),
            )


def _unequal_starts(study: Analysis) -> Iterator[Finding]:
    keys = ["model", "weights", "seed", "stem", "image_size"]
    for _, rows in study.runs[study.runs["init_hash"].notna()].groupby(keys, dropna=False):
        if rows["init_hash"].nunique() > 1 and rows["fraction"].nunique() > 1:
            row = rows.iloc[0]
            yield error(
                "unequal-start",
                f"seed {row['seed']} has {rows['init_hash'].nunique()} different initial weights "
                f"over {rows['fraction'].nunique()} fractions",
                "start every cell afresh; carried-on weights generalise worse (Ash & Adams 2020)",
                cell_name(row, _MODEL),
            )


def _weights_files(study: Analysis) -> Iterator[Finding]:
    for (_, weights), rows in study.runs[study.runs["weights_hash"].notna()].groupby(list(_MODEL)):
        if weights == "none" or rows["weights_hash"].nunique() > 1:
            yield error(
                "weights-file",
                f"weights files with hash {', '.join(rows['weights_hash'].str[:8].unique())}",
                "one label must mean one file, and none no file; give each file its own label",
                cell_name(rows.iloc[0], _MODEL),
            )


def _imbalance(study: Analysis) -> Iterator[Finding]:
    known = study.runs[study.runs["class_counts"].notna()]
    if known.empty:
        return
    largest = known[known["n_train"] == known["n_train"].max()]
    whole = np.array(json.loads(largest["class_counts"].iloc[0]), dtype=float)
    off = {text: _off_share(json.loads(text), whole) for text in known["class_counts"].unique()}
    shares = known["class_counts"].map(off).astype(float)
    for cell, own in study.by_cell(known.assign(off=shares)[shares > rules.IMBALANCE]):
        yield warning(
            "class-imbalance",
            f"a class is off its share of the subset by {100 * own['off'].max():.0f} %",
            "draw subsets class by class (stratified)",
            cell,
        )


def _off_share(held: list[int], whole: np.ndarray) -> float:
    """Return by what share the worst class misses its part; one image is never a fault."""
    counts = np.array(held, dtype=float)
    if counts.shape != whole.shape:
        return 0.0
    expected = whole / whole.sum() * counts.sum()
    missed = np.abs(counts - expected)
    return float(np.max(missed / np.maximum(expected, 1.0), initial=0.0, where=missed > 1))


def _edges(study: Analysis) -> Iterator[Finding]:
    wanted, factors = study.wanted, study.factors
    # Bools are no numbers to it.
    numeric = wanted[list(study.design.tuned)].select_dtypes("number").columns
    kept = [*factors, *numeric]
    measured = by_cell(measured_trials(wanted)[kept], factors) if len(numeric) else {}
    for key, own in by_cell(wanted.loc[wanted["stage"] == Stage.SEARCH, kept], factors).items():
        chosen = measured.get(key)
        if chosen is None:
            continue
        for name in numeric:
            tried = sorted(own[name].dropna().unique())
            value = chosen[name].iloc[0]
            if not rules.is_at_edge(value, tried):
                continue
            side, beyond = ("lowest", "below") if value == tried[0] else ("highest", "above")
            yield rules.GRID(
                f"the chosen {name} {value:g} is the {side} of those tried "
                f"({', '.join(f'{v:g}' for v in tried)})",
                f"widen the grid: add a {name} {beyond} {value:g}",
                cell_name(chosen.iloc[0], factors),
            )


def _search_size(study: Analysis) -> Iterator[Finding]:
    """Say whether the searches were large enough, by what their last doubling gained.

    The expected best of fewer recipes is Dodge et al.'s (*Show Your Work*, EMNLP 2019), here
    without replacement. A stopped recipe counts by its last value; cells that still search do not.
    """
    gains, stopped, sizes = {}, False, set[int]()
    is_search = (study.wanted["stage"] == Stage.SEARCH) & (not study.design.race)
    for key, own in by_cell(study.wanted[is_search], study.factors).items():
        status, tried = own["status"], len(own)
        # One that failed, or whose value is infinite, is as bad as the worst.
        scores = study.metric.scale * study.metric.of(own, "latest_val")
        scores = scores.where(np.isfinite(scores) & (status != Status.FAILED))
        ended = status.isin([Status.COMPLETED, Status.STOPPED, Status.FAILED]).all()
        if tried >= rules.FEWEST_RECIPES and ended and scores.notna().any():
            gains[key] = float(scores.max()) - expected_best(scores, tried // 2)
            stopped |= bool((status == Status.STOPPED).any())
            sizes.add(tried)
    if not gains:
        return
    mean, most = sum(gains.values()) / len(gains), max(gains, key=gains.__getitem__)
    numbers = " or ".join(map(str, sorted(sizes)))
    yield note(
        "search-size",
        f"the second half of the {numbers} recipes that each cell tried gained "
        f"{'at most ' if stopped else ''}{study.metric.small(mean)} of validation "
        f"{study.metric.name} on average, most ({study.metric.small(gains[most])}) in "
        f"{' × '.join(most)}",
        "more recipes would likely find better ones: more values or samples"
        if mean >= rules.SEARCH_GAIN or not study.metric.is_percent
        else "nothing: more recipes would gain little",
    )


def _one_lr(study: Analysis) -> Iterator[Finding]:
    runs, varies = study.runs, "lr" in (*study.factors, *study.design.tuned)
    if rules.shares_lr(runs["weights"].unique(), varies) and runs["lr"].nunique() == 1:
        yield rules.ONE_LR(
            f"training from scratch and fine-tuning share lr {runs['lr'].iloc[0]:g}",
            "search lr inside every cell; fine-tuning usually wants a lower one",
        )


def _unequal_updates(study: Analysis) -> Iterator[Finding]:
    by_epochs = study.runs[study.runs["epochs"].notna()]
    if by_epochs["fraction"].nunique() < 2:
        return
    last = study.epochs.groupby("trial_id")["step"].max()
    steps = np.ceil(by_epochs["n_train"] / by_epochs["batch_size"].astype(float))
    updates = by_epochs["trial_id"].map(last).astype(float).fillna(steps * by_epochs["epochs"])
    means = updates.groupby(by_epochs["fraction"]).mean().sort_values()
    labels = [level_label("fraction", fraction) for fraction in means.index]
    few, many = float(means.iloc[0]), float(means.iloc[-1])
    if rules.has_unequal_updates(few, many):
        yield rules.UPDATES(
            f"equal epochs give {few:.0f} updates at {labels[0]} and {many:.0f} at {labels[-1]}, "
            f"{many / few:.0f} times as many",
            "small fractions may lack updates, not data: more epochs, or a budget in steps",
        )


def _validation_on_test(study: Analysis) -> Iterator[Finding]:
    if study.design.selects_on_test:
        yield rules.SELECTION(
            "the test set served as validation (data.validation: test)",
            "carve validation from train (data.validation: 0.1); accuracies here are optimistic "
            "where a recipe or an epoch was chosen",
        )


def _coarse_stem(study: Analysis) -> Iterator[Finding]:
    small = study.runs[study.runs["flops_per_image"] < rules.SMALL_IMAGE_FLOPS]
    coarse = small[(small["stem"] == "standard") & small["model"].str.match(r"resnet\d")]
    if not coarse.empty:
        yield warning(
            "coarse-stem",
            f"{', '.join(sorted(coarse['model'].unique()))}: the 7×7 stride-2 stem on small images",
            "stem: cifar; on 32×32 images the coarse stem costs about 10 points and handicaps "
            "deep models",
        )


def _mixed_hardware(study: Analysis) -> Iterator[Finding]:
    runs, environments = study.runs, study.table("environments")
    kinds = runs["device"].dropna().astype(str).str.split(":").str[0]
    mixes = {"device": kinds, "CPUs per trial": runs["cpu"]}
    if "precision" not in study.factors:
        mixes["precision"] = runs["resolved_precision"]
    mixes |= {name: environments[name] for name in ("gpu_model", "cpu_model", "torch")}
    levels = {name: sorted(own.dropna().unique()) for name, own in mixes.items()}
    mixed = [f"{name}: {', '.join(map(str, own))}" for name, own in levels.items() if len(own) > 1]
    if mixed:
        yield warning(
            "mixed-hardware",
            "; ".join(mixed),
            "numbers agree to rounding only, and times are not comparable; run compared cells on "
            "one kind of machine",
        )


def _noted(study: Analysis) -> Iterator[Finding]:
    for each in study.inventory.get("notes", ()):
        if each["severity"] == "warning" and each["code"] != "seen-images":
            yield warning(each["code"], each["text"], each["advice"])


def _seen(study: Analysis) -> Iterator[Finding]:
    examples = study.table("examples")
    copies = examples[examples["copy_of"].notna()]
    if examples["example"].duplicated().any() or len(copies) <= rules.MOST_SEEN * len(examples):
        return
    first = copies.iloc[0]
    seen = (
        f"{len(copies):,} of {len(examples):,} test images are training images too, such as "
        f"{first['place']} ({first['copy_of']})"
    )
    board, advice = study.board, "take them out of one of the two and run the study again"
    own = ~np.isin(board.images, copies["example"])
    rows = board.outcomes.row
    places = np.flatnonzero((rows >= 0).any(axis=1)) if own.any() else ()
    if not len(places):
        yield error("seen-images", f"{seen}; accuracy rewards learning them by heart", advice)
    for place in places:
        right = board.outcomes.right[rows[place][rows[place] >= 0]]
        yield error(
            "seen-images",
            f"{seen}; without them accuracy is {100 * right[:, own].mean():.1f} % instead of "
            f"{100 * right.mean():.1f} %",
            advice,
            cell_name(board.cells.iloc[place], study.factors),
        )


def _far(study: Analysis) -> Iterator[Finding]:
    if study.design.selects_on_test or not study.metric.is_percent:
        return
    cells = study.cells.frame
    validated = cells["val_metric" if "val_metric" in cells else "val_accuracy"]
    gaps = (validated - cells["accuracy"]).where(cells["seeds"] > 0)
    images = min(study.inventory.get("validation") or np.inf, study.inventory.get("test") or np.inf)
    far = cells.assign(gap=gaps)[gaps.abs() > max(rules.FAR, rules.FAR_ERRORS * 50 / images**0.5)]
    if far.empty:
        return
    worst = far.loc[far["gap"].abs().idxmax()]
    notes = {each["code"]: each["text"] for each in study.inventory.get("notes", ())}
    more = f", and is as far in {count(len(far) - 1, 'more cell')}" if len(far) > 1 else ""
    yield warning(
        "validation-far-from-test",
        f"{cell_name(worst, study.factors)} has {validated[worst.name]:.0f} % on validation and "
        f"{worst['accuracy']:.0f} % on test{more}: what was chosen by validation may be wrong",
        f"take the repeats out: {notes['repeated-images']}"
        if "repeated-images" in notes
        else "look whether validation holds copies of training images, or others of the same "
        "thing, and whether test images are of another kind",
    )


RULES = (
    *(_unpaired, _unequal_starts, _weights_files, _imbalance, _edges, _search_size, _one_lr),
    *(_unequal_updates, _validation_on_test, _coarse_stem, _mixed_hardware, _noted, _seen, _far),
)
"""What makes comparisons between cells unfair; each takes a study."""
