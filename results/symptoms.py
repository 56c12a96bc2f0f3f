"""What recorded training curves show: under- and over-fitting, divergence, spikes, lost images.

Thresholds are shares of a loss or points of accuracy, each named once below.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

import numpy as np
import pandas as pd

from results.cells import STANDARD_FACTORS
from results.estimates import by_cell, cell_name
from results.findings import Finding, Severity
from results.records import Stage, Status

_STILL_FALLS = 0.03  # share of the loss lost over the last quarter of the budget
_SATURATED = 0.90  # train accuracy from which more epochs have little left to fit
_OVER_FITS = 0.10  # share by which the validation loss has risen from its lowest
_GAP = 5.0  # points between train and validation accuracy
_SPIKE = 5.0  # times the running median of the validation loss
_CHANCE = 1.5  # times 1/classes
_OUTLIER = 20.0  # points of accuracy between a seed and its cell's median


class Fit(StrEnum):
    """How well a cell's budget and its data fit each other."""

    UNDER = "under-trained"
    OVER = "over-fitting"
    SETTLED = "settled"
    UNKNOWN = "unknown"


def fitting(
    runs: pd.DataFrame, epochs: pd.DataFrame, factors: Sequence[str] = STANDARD_FACTORS
) -> pd.DataFrame:
    """Judge from the recorded curves whether each cell is under-trained or over-fits.

    A cell is over-fitting where its validation loss has risen by 10 % from a lowest value before
    the last quarter of the budget and train accuracy is 5 points or more above validation. It is
    under-trained where the train loss fell by 3 % or more over the last quarter, and either the
    validation loss did too or train accuracy is below 90 %. Values are means over the cell's runs.

    Parameters
    ----------
    runs
        What `results.estimates.compared_runs` returns.
    epochs
        The table of epochs.
    factors
        Columns that name a cell.

    Returns
    -------
    DataFrame
        One row per cell: the factors, `runs`, `train_accuracy`, `val_accuracy`, `gap` (points),
        `train_fall`, `val_fall` (share of the loss lost over the last quarter), `val_rise` (share
        above its lowest), `lowest_is_late` (share of runs with their lowest validation loss in
        the last quarter), `fit` (see `Fit`; unknown with fewer than two epochs recorded).
    """
    curves = _curves(runs, epochs)
    rows = []
    for own in by_cell(runs, factors).values():
        found = [
            _fall(curves[trial_id])
            for trial_id in own["trial_id"]
            if trial_id in curves and len(curves[trial_id]) > 1
        ]
        means = {name: float(np.mean([f[name] for f in found])) for name in _MEASURES if found}
        row = {name: own[name].iloc[0] for name in factors} | {"runs": len(found)}
        rows.append(row | means | {"fit": _verdict(means) if found else Fit.UNKNOWN})
    return pd.DataFrame(rows, columns=[*factors, "runs", *_MEASURES, "fit"])


def training_findings(
    trials: pd.DataFrame,
    runs: pd.DataFrame,
    epochs: pd.DataFrame,
    factors: Sequence[str] = STANDARD_FACTORS,
    race: bool = False,
) -> list[Finding]:
    """Return what the runs' own curves warn of.

    Parameters
    ----------
    trials
        The table of trials.
    runs
        What `results.estimates.compared_runs` returns.
    epochs
        The table of epochs.
    factors
        Columns that name a cell.
    race
        The study has no measure stage.
    """
    return [
        *_fit_findings(runs, epochs, factors),
        *_divergence(trials, runs, factors, race),
        *_outliers(runs, factors),
        *_spikes(runs, epochs, factors),
        *_few_steps(runs, epochs, factors),
        *_lost_images(runs, epochs, factors),
    ]


_MEASURES = (
    "train_accuracy",
    "val_accuracy",
    "gap",
    "train_fall",
    "val_fall",
    "val_rise",
    "lowest_is_late",
)


def _curves(runs: pd.DataFrame, epochs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    own = epochs[epochs["trial_id"].isin(runs["trial_id"])].sort_values(["trial_id", "epoch"])
    return {str(trial_id): curve for trial_id, curve in own.groupby("trial_id", sort=False)}


def _fall(curve: pd.DataFrame) -> dict[str, float]:
    train, val = (curve[f"{part}_loss"].to_numpy(dtype=float) for part in ("train", "val"))
    back = max(1, round(len(curve) / 4))
    last = curve.iloc[-1]
    lowest = int(np.nanargmin(val)) if np.isfinite(val).any() else len(val) - 1
    return {
        "train_accuracy": 100 * float(last["train_accuracy"]),
        "val_accuracy": 100 * float(last["val_accuracy"]),
        "gap": 100 * float(last["train_accuracy"] - last["val_accuracy"]),
        "train_fall": _share_lost(train[-1 - back], train[-1]),
        "val_fall": _share_lost(val[-1 - back], val[-1]),
        "val_rise": -_share_lost(val[lowest], val[-1]),
        "lowest_is_late": float(lowest >= len(val) - back),
    }


def _share_lost(before: float, after: float) -> float:
    return float((before - after) / before) if before > 0 else 0.0


def _verdict(means: Mapping[str, float]) -> Fit:
    early = means["lowest_is_late"] < 0.5
    if early and means["val_rise"] >= _OVER_FITS and means["gap"] >= _GAP:
        return Fit.OVER
    unsaturated = means["train_accuracy"] < 100 * _SATURATED
    if means["train_fall"] >= _STILL_FALLS and (unsaturated or means["val_fall"] >= _STILL_FALLS):
        return Fit.UNDER
    return Fit.SETTLED


def _fit_findings(
    runs: pd.DataFrame, epochs: pd.DataFrame, factors: Sequence[str]
) -> Iterator[Finding]:
    for row in fitting(runs, epochs, factors).to_dict("records"):
        cell = cell_name(row, factors)
        if row["fit"] == Fit.UNDER:
            yield Finding(
                "under-trained",
                Severity.WARNING,
                cell,
                f"over the last quarter of the budget the train loss still fell by "
                f"{row['train_fall']:.0%} and the validation loss by {row['val_fall']:.0%}; train "
                f"accuracy is {row['train_accuracy']:.0f} %",
                "more epochs: the cell is limited by its budget, not by its data",
            )
        elif row["fit"] == Fit.OVER:
            yield Finding(
                "over-fitting",
                Severity.NOTE,
                cell,
                f"the validation loss is {row['val_rise']:.0%} above its lowest, train accuracy "
                f"{row['gap']:.0f} points above validation",
                "more data, augmentation or weight decay; fewer epochs cost no accuracy here",
            )


def _divergence(
    trials: pd.DataFrame, runs: pd.DataFrame, factors: Sequence[str], race: bool
) -> Iterator[Finding]:
    wanted = trials[trials["wanted"].fillna(False).astype(bool)]
    errors = wanted["error"].fillna("").astype(str)
    broken = (wanted["status"] == Status.FAILED) & errors.str.contains(
        r"not finite|non-finite|\bnan\b|\binf(?:inite)?\b|diverged", case=False, regex=True
    )
    for row in wanted[broken].to_dict("records"):
        losing = not race and not row["measured"] and row["stage"] == Stage.SEARCH
        yield Finding(
            "diverged",
            Severity.NOTE if losing else Severity.ERROR,
            cell_name(row, factors),
            f"seed {row['seed']}, lr {row['lr']:g}: {str(row['error']).splitlines()[0]}",
            "a recipe of the search that lost; nothing to do"
            if losing
            else "lower lr, add warm-up, or fp32; the cell's mean lacks this seed",
        )
    for _, run in runs.iterrows():
        chance = _chance(run["class_counts"])
        losses = run[["final_train_loss", "final_val_loss", "final_test_loss"]].to_numpy(float)
        reasons = []
        if np.isinf(losses).any() or (np.isnan(losses).any() and not np.isnan(losses).all()):
            reasons.append("a final loss is not finite")
        if chance and run["final_test_accuracy"] <= _CHANCE * chance:
            reasons.append(
                f"test accuracy {100 * run['final_test_accuracy']:.1f} % is that of guessing "
                f"({100 * chance:.1f} %)"
            )
        if reasons:
            yield Finding(
                "diverged",
                Severity.ERROR,
                cell_name(run, factors),
                f"seed {run['seed']}: {'; '.join(reasons)}",
                "lower lr, add warm-up, or fp32; until then read the cell without this seed",
            )


def _outliers(runs: pd.DataFrame, factors: Sequence[str]) -> Iterator[Finding]:
    for own in by_cell(runs, factors).values():
        if len(own) < 3:
            continue
        off = own["accuracy"] - own["accuracy"].median()
        for place in off.index[off.abs() > _OUTLIER]:
            yield Finding(
                "seed-outlier",
                Severity.WARNING,
                cell_name(own.iloc[0], factors),
                f"seed {own.loc[place, 'seed']} ends at {own.loc[place, 'accuracy']:.1f} %, the "
                f"median seed at {own['accuracy'].median():.1f} %",
                "look at its curve: a diverged run hides in the mean; lower lr or add warm-up",
            )


def _spikes(runs: pd.DataFrame, epochs: pd.DataFrame, factors: Sequence[str]) -> Iterator[Finding]:
    by_id = {str(row["trial_id"]): row for row in runs.to_dict("records")}
    for trial_id, curve in _curves(runs, epochs).items():
        loss = curve["val_loss"].to_numpy(dtype=float)
        before = curve["val_loss"].expanding().median().to_numpy(dtype=float)
        hits = [place for place in range(1, loss.size) if loss[place] > _SPIKE * before[place - 1]]
        if not hits:
            continue
        worst = max(hits, key=lambda place: loss[place] / before[place - 1])
        at_end = hits[-1] == loss.size - 1
        run = by_id[trial_id]
        yield Finding(
            "loss-spike",
            Severity.WARNING if at_end else Severity.NOTE,
            cell_name(run, factors),
            f"seed {run['seed']}: validation loss {loss[worst]:.3g} at epoch "
            f"{int(curve['epoch'].iloc[worst])}, {loss[worst] / before[worst - 1]:.0f} times its "
            f"median until then{', at the final epoch' if at_end else ''}",
            "lower lr, a schedule that decays, or a larger batch (batch norm)",
        )


def _few_steps(
    runs: pd.DataFrame, epochs: pd.DataFrame, factors: Sequence[str]
) -> Iterator[Finding]:
    first = epochs[epochs["epoch"] == 1].set_index("trial_id")["step"]
    by_epochs = runs[runs["epochs"].notna()]
    steps = by_epochs["trial_id"].map(first).astype(float)
    counted = np.ceil(by_epochs["n_train"] / by_epochs["batch_size"].astype(float))
    few = by_epochs.assign(updates=steps.fillna(counted)).query("updates < 10")
    for own in by_cell(few, factors).values():
        row = own.iloc[0]
        yield Finding(
            "few-steps",
            Severity.WARNING,
            cell_name(row, factors),
            f"{int(row['updates'])} updates an epoch ({row['n_train']} images, batch "
            f"{int(row['batch_size'])})",
            "a smaller batch, or a budget in steps",
        )


def _lost_images(
    runs: pd.DataFrame, epochs: pd.DataFrame, factors: Sequence[str]
) -> Iterator[Finding]:
    own = epochs[epochs["trial_id"].isin(runs.loc[runs["epochs"].notna(), "trial_id"])]
    odd = own[own["train_seen"].notna() & (own["train_seen"] != own["n_train"])]
    for part in by_cell(odd, factors).values():
        row = part.iloc[0]
        yield Finding(
            "lost-images",
            Severity.ERROR,
            cell_name(row, factors),
            f"epoch {row['epoch']} of seed {row['seed']} saw {int(row['train_seen'])} of "
            f"{int(row['n_train'])} images",
            "a pass must see the frozen subset once: keep the last batch, draw no new subset",
        )
    counted = own["train_correct"].notna() & (own["train_seen"] > 0)
    share = own["train_correct"].astype(float) / own["train_seen"].astype(float)
    off_by = (share - own["train_accuracy"]).abs() * own["train_seen"].astype(float)
    wrong = own[counted & (off_by > 1)]
    for part in by_cell(wrong, factors).values():
        row = part.iloc[0]
        yield Finding(
            "wrong-denominator",
            Severity.ERROR,
            cell_name(row, factors),
            f"train accuracy {row['train_accuracy']:.4f} is not {int(row['train_correct'])} of "
            f"{int(row['train_seen'])}",
            "divide by the images seen, not by the full data set's size",
        )


def _chance(class_counts: object) -> float | None:
    if not isinstance(class_counts, str):
        return None
    counts = json.loads(class_counts)
    return 1 / len(counts) if counts else None
