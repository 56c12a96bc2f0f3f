"""What the images do to a comparison: copies, repeats, and trials that are left out."""

import numpy as np
import pandas as pd
import pytest
from runs_table import analysis_of, cell, curve, epochs_frame, trial

from results.analysis.fitting import Fit
from results.findings.findings import find
from results.metric import Metric

REPEATED = {
    "code": "repeated-images",
    "severity": "warning",
    "text": "40 of 80 training images repeat an earlier one",
    "advice": "take the repeats out",
}


def found(study):
    return {row["code"]: row for row in find(study).to_dict("records")}


def test_copies_of_training_images_are_an_error_with_the_accuracy_without_them():
    # Ten images, four of them copies: all copies are right, and two of the six others.
    right = np.repeat([True, True, False], [4, 2, 4])
    rows = cell([0.6, 0.6])
    told = pd.concat(
        pd.DataFrame({"trial_id": row["trial_id"], "epoch": 4, "example": np.arange(10)}).assign(
            correct=right
        )
        for row in rows
    )
    examples = pd.DataFrame(
        {
            "test_fingerprint": "t",
            "example": np.arange(10),
            "class": "a",
            "place": [f"test/{place}.png" for place in range(10)],
            "copy_of": [f"train/{place}.png" if place < 4 else None for place in range(10)],
        }
    )
    row = found(analysis_of(rows, predictions=told, examples=examples))["seen-images"]
    assert row["severity"] == "error"
    assert "4 of 10 test images" in row["evidence"]
    assert "test/0.png (train/0.png)" in row["evidence"]
    assert "without them accuracy is 33.3 % instead of 60.0 %" in row["evidence"]
    # Without predictions the error stands, without the number.
    alone = found(analysis_of(rows, examples=examples))["seen-images"]
    assert "learning them by heart" in alone["evidence"]
    none = examples.assign(copy_of=None)
    assert "seen-images" not in found(analysis_of(rows, predictions=told, examples=none))


def test_validation_far_from_test_names_the_repeats():
    rows = cell([0.41, 0.42, 0.43], final_val_accuracy=0.99, final_train_accuracy=1.0)
    falls = {"train_loss": [0.9, 0.5, 0.3, 0.2], "val_loss": [0.9, 0.5, 0.3, 0.2]}
    epochs = epochs_frame([e for r in rows for e in curve(r, **falls, train_accuracy=[1.0] * 4)])
    data = {"validation": 200, "test": 300, "notes": [REPEATED]}
    study = analysis_of(rows, epochs, data=data)
    codes = found(study)
    assert "99 % on validation and 42 % on test" in codes["validation-far-from-test"]["evidence"]
    assert "repeat an earlier one" in codes["validation-far-from-test"]["advice"]
    assert codes["repeated-images"]["severity"] == "warning"
    # What is fitted whole lacks no epochs.
    assert "under-trained" not in codes
    assert study.fits["fit"].tolist() == [Fit.SETTLED]


@pytest.mark.parametrize(
    ("name", "score"), [("balanced_accuracy", 0.7), ("log_loss", 0.4), ("accuracy", 0.9)]
)
def test_validation_and_test_are_compared_by_the_metric(name: str, score: float):
    # Classes are unequal: accuracy on validation is no balanced accuracy on test, and no loss.
    told = {"final_val_accuracy": 0.95, "final_val_metric": score}
    told |= {f"final_{part}_{name}": score for part in ("val", "test")}
    rows = [row | told for row in cell([0.9, 0.91, 0.92])]
    assert "validation-far-from-test" not in found(analysis_of(rows, metric=Metric.read(name)))


def test_a_gap_that_few_images_explain_is_none():
    rows = cell([0.70, 0.71, 0.72], final_val_accuracy=0.9)
    assert "validation-far-from-test" in found(analysis_of(rows))
    few = {"validation": 20, "test": 300, "notes": []}
    assert "validation-far-from-test" not in found(analysis_of(rows, data=few))


def test_a_run_that_guesses_is_advised_by_the_data_first():
    counts = "[160, 160, 160, 160]"
    rows = cell([0.80, 0.81, 0.25], class_counts=counts, final_train_accuracy=0.3)
    assert "another lr" in found(analysis_of(rows))["at-chance"]["advice"]
    flat = {**REPEATED, "code": "flat-images", "text": "80 of 90 images have one colour all over"}
    advice = found(analysis_of(rows, data={"notes": [flat]}))["at-chance"]["advice"]
    assert advice == "look at the images first: 80 of 90 images have one colour all over"
    rows = cell([0.30, 0.26, 0.25], class_counts=counts, final_train_accuracy=0.98)
    assert "test shows the same classes" in found(analysis_of(rows))["at-chance"]["advice"]
    rows = cell([0.80, 0.81, 0.25], class_counts=counts, final_train_accuracy=0.98)
    assert "others are right" in found(analysis_of(rows))["at-chance"]["advice"]


def test_an_excluded_trial_is_left_out_and_named():
    rows = cell([0.80, 0.81, 0.20])
    out = rows[2]["trial_id"]
    study = analysis_of(rows, excluded={out: "its images were mislabelled"}, seeds=(0, 1, 2))
    codes = found(study)
    assert out in codes["excluded"]["evidence"]
    assert "its images were mislabelled" in codes["excluded"]["evidence"]
    assert "missing-seed" not in codes
    assert study.cells.frame.iloc[0][["accuracy", "seeds", "state"]].tolist() == [
        80.5,
        2,
        "complete",
    ]
    assert study.runs["seed"].tolist() == [0, 1]
    known = found(analysis_of([trial(0.8)], excluded={"nobody": "gone"}))
    assert "exclude names nobody" in known["excluded-unknown"]["evidence"]
