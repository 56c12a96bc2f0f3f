"""Print the reference study beside the published one, as Markdown.

Run it: python benchmarks/reference.py RUN_DIRECTORY PUBLISHED_CSV

The published CSV has one row per table, model, weights, fraction and epoch; its `test_acc` is a
share, its train accuracy was divided by the full training set's size and is mended here.
"""

import argparse
from fractions import Fraction
from pathlib import Path

import pandas as pd

import results

PRETRAINED = {"IMAGENET1K_V1": "pretrained", "cifar100": "pretrained", "none": "scratch"}


def published(file: Path) -> pd.DataFrame:
    """Return the published final epochs: model, weights, fraction, train and test accuracy."""
    rows = pd.read_csv(file)
    rows = rows[(rows.table == "discussion1") & (rows.epoch == rows.epoch.max())]
    share = rows.fraction.map(lambda text: float(Fraction(text)))
    return pd.DataFrame(
        {
            "model": rows.model,
            "weights": rows.weights.map(PRETRAINED),
            "fraction": share,
            "train": rows.train_acc_as_printed / share,
            "test": rows.test_acc,
        }
    )


def ours(run_directory: Path) -> pd.DataFrame:
    """Return our final epochs, in the same columns, with seconds and images per second."""
    run = results.open(run_directory)
    trials = run.trials()
    trials = trials[trials.measured]
    speed = run.epochs().groupby("trial_id").images_per_second.median()
    return pd.DataFrame(
        {
            "model": trials.model,
            "weights": trials.weights.map(PRETRAINED),
            "fraction": trials.fraction,
            "train": trials.final_train_accuracy,
            "test": trials.final_test_accuracy,
            "seconds": trials.seconds,
            "images/s": trials.trial_id.map(speed),
        }
    )


def main() -> None:
    """Print one row per cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_directory", type=Path)
    parser.add_argument("published_csv", type=Path)
    arguments = parser.parse_args()
    keys = ["weights", "model", "fraction"]
    both = ours(arguments.run_directory).merge(
        published(arguments.published_csv), on=keys, suffixes=("", "_published")
    )
    print("| weights | model | fraction | test | published | train | published | seconds |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in both.sort_values(keys, ascending=[False, True, True]).to_dict("records"):
        share = Fraction(row["fraction"]).limit_denominator(64)
        print(
            f"| {row['weights']} | {row['model']} | {share} | {row['test']:.3f} "
            f"| {row['test_published']:.2f} | {row['train']:.3f} | {row['train_published']:.2f} "
            f"| {row['seconds']:.0f} |"
        )


if __name__ == "__main__":
    main()
