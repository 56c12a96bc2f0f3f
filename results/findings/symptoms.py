"""What recorded training curves show: under- and over-fitting, divergence, spikes, lost images."""

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd

from results.analysis.analysis import Analysis
from results.analysis.fitting import Fit, curve_arrays
from results.analysis.runs import records_of
from results.findings import rules
from results.findings.finding import Finding, error, note, warning
from results.phrases import cell_name, count, few, listed
from results.records import Stage, Status


def _fit_findings(study: Analysis) -> Iterator[Finding]:
    for row in study.fits.to_dict("records"):
        cell = cell_name(row, study.factors)
        if row["fit"] == Fit.UNDER:
            fall = row["val_fall"]
            how = "fell" if fall > 0 else "rose"
            val = f", the validation loss {how} by {100 * abs(fall):.0f} %"
            yield warning(
                "under-trained",
                f"over the last quarter of the budget the train loss still fell by "
                f"{100 * row['train_fall']:.0f} %{val if abs(fall) > 0 else ''}; train accuracy is "
                f"{row['train_accuracy']:.0f} %",
                "more epochs: the cell is limited by its budget, not by its data",
                cell,
            )
        elif row["fit"] == Fit.OVER:
            yield note(
                "over-fitting",
                f"the validation loss is {100 * row['val_rise']:.0f} % above its lowest, train "
                f"accuracy {row['gap']:.0f} points above validation",
                "more data, augmentation or weight decay; fewer epochs cost no accuracy here",
                cell,
            )


def _divergence(study: Analysis) -> Iterator[Finding]:
    wanted = study.wanted
    errors = wanted["error"].fillna("").astype(str)
    broken = (wanted["status"] == Status.FAILED) & errors.str.contains(
        r"not finite|non-finite|\bnan\b|\binf(?:inite)?\b|diverged", case=False, regex=True
    )
    for row in wanted[broken].to_dict("records"):
        losing = not study.design.race and not row["measured"] and row["stage"] == Stage.SEARCH
        yield (note if losing else error)(
            "diverged",
            f"seed {row['seed']}, lr {row['lr']:g}: {str(row['error']).splitlines()[0]}",
            "a recipe of the search that lost; nothing to do"
            if losing
            else "lower lr, add warm-up, or fp32; the cell's mean lacks this seed",
            cell_name(row, study.factors),
        )


def _classes(study: Analysis) -> Iterator[Finding]:
    stuck = np.flatnonzero((study.classes.only >= 0).any(axis=1))
    for row in records_of(study.board.cells.iloc[stuck]):
        yield error(
            "one-class",
            f"every test image is taken for {study.taken_for(row)}",
            "it has learnt nothing: look at the images and labels under What did the models get "
            "wrong?, then train longer or with another lr",
            cell_name(row, study.factors),
        )
    never = study.classes.never
    if never and len(never) < len(study.classes.names) - 1:
        names = listed(few([f"{name} ({count(size, 'image')})" for name, size in never]))
        yield warning(
            "class-never-right",
            f"no run is right on any test image of {names}",
            "look at the labels of these classes in train and in test; they may need more images",
        )


def _guessing(study: Analysis) -> Iterator[Finding]:
    runs = study.runs
    chances = {text: 1 / len(json.loads(text)) for text in runs["class_counts"].dropna().unique()}
    # Guessing the largest class is right more often than guessing any.
    likely = runs["class_counts"].map(chances).astype(float).to_numpy().clip(study.classes.largest)
    losses = runs[["final_train_loss", "final_val_loss", "final_test_loss"]].to_numpy(dtype=float)
    # A trainable of a user's own may report some of the losses alone.
    told = losses[:, ~np.isnan(losses).all(axis=0)]
    infinite = ~np.isfinite(told).all(axis=1) & ~np.isnan(told).all(axis=1)
    limit = np.minimum(rules.CHANCE * likely, likely + rules.ABOVE_CHANCE * (1 - likely))
    guesses = runs["final_test_accuracy"].to_numpy() <= limit
    exploded = infinite | (losses[:, 0] > -rules.EXPLODED * np.log(likely))
    for place in np.flatnonzero(infinite | guesses):
        run = runs.iloc[place]
        reasons = ["a final loss is not finite"] if infinite[place] else []
        if guesses[place]:
            reasons.append(
                f"test accuracy {100 * run['final_test_accuracy']:.1f} % is that of guessing "
                f"({100 * likely[place]:.1f} %)"
            )
            if not np.isnan(run["final_train_accuracy"]):
                reasons.append(f"train accuracy {100 * run['final_train_accuracy']:.1f} %")
        yield error(
            "diverged" if exploded[place] else "at-chance",
            f"seed {run['seed']}: {'; '.join(reasons)}",
            "lower lr, add warm-up, or fp32; until then read the cell without this seed"
            if exploded[place]
            else _why_guessing(study, run, limit[place]),
            cell_name(run, study.factors),
        )


def _why_guessing(study: Analysis, run: pd.Series, limit: float) -> str:
    """Advise on a run that guesses: the data are looked at before the recipe is."""
    for each in study.inventory.get("notes", ()):
        if each["code"] in ("flat-images", "even-images"):
            return f"look at the images first: {each['text']}"
    if run["final_train_accuracy"] > limit + rules.LEARNT:
        advice = "look whether test shows the same classes, under the same names, in the same way"
        if study.runs["final_test_accuracy"].max() > limit + rules.LEARNT:
            advice = (
                "others are right on the same test images; try more data, or pretrained weights"
            )
        return f"it has learnt its training images, so that no lr helps: {advice}"
    return "more epochs or updates, or another lr: so far it tells nothing of the cell"


def _outliers(study: Analysis) -> Iterator[Finding]:
    runs, factors = study.runs, study.factors
    cells = runs.groupby(list(factors), dropna=False, observed=True, sort=False)["accuracy"]
    middle = cells.transform("median")
    # Of what is no share nobody knows how much is much.
    far = rules.OUTLIER if study.metric.is_percent else np.inf
    off = (runs["accuracy"] - middle).abs() > far
    for row in runs.assign(middle=middle)[off & (cells.transform("size") >= 3)].to_dict("records"):
        yield warning(
            "seed-outlier",
            f"seed {row['seed']} ends at {study.metric.value(row['accuracy'])}, the median seed at "
            f"{study.metric.value(row['middle'])}",
            "look at the curves: one that has not learnt hides in a mean; lower lr or add warm-up",
            cell_name(row, factors),
        )


def _spikes(study: Analysis) -> Iterator[Finding]:
    curves, lengths = curve_arrays(study.runs, study.epochs, ["val_loss"])
    losses = curves["val_loss"]
    # A loss above five times the median until then is above five times the least until then.
    least = np.fmin.accumulate(losses, axis=1)
    suspects = (losses[:, 1:] > rules.SPIKE * least[:, :-1]).any(axis=1)
    for place in np.flatnonzero(suspects):
        loss = losses[place, : lengths[place]]
        before = pd.Series(loss).expanding().median().to_numpy()
        hits = np.flatnonzero((before[:-1] > 0) & (loss[1:] > rules.SPIKE * before[:-1])) + 1
        if not hits.size:
            continue
        worst = int(max(hits, key=lambda hit: loss[hit] / before[hit - 1]))
        at_end = hits[-1] == loss.size - 1
        run = study.runs.iloc[place]
        yield (warning if at_end else note)(
            "loss-spike",
            f"seed {run['seed']}: validation loss {loss[worst]:.3g} at epoch "
            f"{worst + 1}, {loss[worst] / before[worst - 1]:.0f} times its "
            f"median until then{', at the final epoch' if at_end else ''}",
            "lower lr, a schedule that decays, or a larger batch (batch norm)",
            cell_name(run, study.factors),
        )


def _few_steps(study: Analysis) -> Iterator[Finding]:
    runs, epochs = study.runs, study.epochs
    first = epochs[epochs["epoch"] == 1].set_index("trial_id")["step"]
    by_epochs = runs[runs["epochs"].notna()]
    steps = by_epochs["trial_id"].map(first).astype(float)
    counted = np.ceil(by_epochs["n_train"] / by_epochs["batch_size"].astype(float))
    counted = by_epochs.assign(updates=steps.fillna(counted))
    few = counted[counted["updates"].map(rules.has_few_steps).astype(bool)]
    for cell, own in study.by_cell(few):
        row = own.iloc[0]
        yield rules.STEPS(
            f"{int(row['updates'])} updates an epoch ({row['n_train']} images, batch "
            f"{int(row['batch_size'])})",
            "a smaller batch, or a budget in steps",
            cell,
        )


def _lost_images(study: Analysis) -> Iterator[Finding]:
    epochs = study.epochs
    seen = epochs["train_seen"].astype(float)
    by_epochs = study.runs.loc[study.runs["epochs"].notna(), "trial_id"]
    lost = epochs["trial_id"].isin(by_epochs) & seen.notna() & (seen != epochs["n_train"])
    for cell, own in study.by_cell(epochs[lost]):
        row = own.iloc[0]
        yield error(
            "lost-images",
            f"epoch {row['epoch']} of seed {row['seed']} saw {int(row['train_seen'])} of "
            f"{int(row['n_train'])} images",
            "a pass must see the frozen subset once: keep the last batch, draw no new subset",
            cell,
        )


RULES = (
    *(_fit_findings, _divergence, _guessing, _classes, _outliers, _spikes, _few_steps),
    _lost_images,
)
"""What stands against runs in their own curves; each takes a study."""
