"""Classes of the test set: what is taken for one of them, and what is never right."""

import numpy as np
import pandas as pd
from runs_table import analysis_of, trial

from results.analysis.board import confusion
from results.answer.answer import answer
from results.findings.findings import find

LABELS = np.repeat([0, 1, 2], [12, 6, 2])
NAMES = np.array(["bear", "cat", "dog"])
EXAMPLES = pd.DataFrame(
    {
        "test_fingerprint": "t",
        "example": np.arange(20),
        "label": LABELS,
        "class": NAMES[LABELS],
        "place": "",
        "copy_of": None,
    }
)


def study(right, examples=EXAMPLES):
    """Return the analysis of one run per row of correctness, each a seed of one cell."""
    rows = [
        trial(own.mean(), seed=seed, class_counts="[5, 5, 5]") for seed, own in enumerate(right)
    ]
    told = pd.concat(
        pd.DataFrame(
            {"trial_id": row["trial_id"], "epoch": 4, "example": np.arange(20), "correct": own}
        )
        for row, own in zip(rows, right, strict=True)
    )
    return analysis_of(rows, predictions=told, examples=examples)


def test_a_run_that_gives_every_image_one_class_is_found_and_said_of_the_best():
    found = study([LABELS == 0, LABELS == 0])
    assert found.classes.largest == 0.6
    findings = find(found).set_index("code")
    assert findings.loc["one-class", "severity"] == "error"
    assert findings.loc["one-class", "evidence"] == "every test image is taken for bear"
    # 60 % of three classes is no more than guessing the largest.
    assert "at-chance" in findings.index
    said = answer(found, find(found))
    assert "it takes every test image for bear" in said.of("best") + said.statements[0].text
    assert found.classes.never == [("cat", 6), ("dog", 2)]
    assert "class-never-right" not in findings.index


def test_a_run_that_has_learnt_is_not_said_to_give_one_class():
    found = study([LABELS == 0, LABELS == 1, LABELS == 1, LABELS < 2])
    evidence = find(found).set_index("code").loc["one-class", "evidence"]
    assert evidence == "every test image is taken for bear or cat in 3 of 4 runs"
    assert not find(found)["advice"].str.contains("it takes every").any()


def test_a_class_that_no_run_is_right_on_is_found():
    found = study([LABELS < 2, (LABELS < 2) & (np.arange(20) > 0)])
    findings = find(found).set_index("code")
    assert findings.loc["class-never-right", "severity"] == "warning"
    assert "dog (2 images)" in findings.loc["class-never-right", "evidence"]
    assert "one-class" not in findings.index
    assert "takes every" not in answer(found, find(found)).of("best")


def test_nothing_is_told_where_classes_are_not_recorded():
    for examples in (EXAMPLES.iloc[:0], EXAMPLES.iloc[:19]):
        found = study([LABELS == 0, LABELS == 0], examples)
        assert found.classes.names == ()
        assert found.classes.largest == 0
        assert "one-class" not in set(find(found)["code"])


def test_accuracy_by_class_and_confusion_by_hand():
    found = study([LABELS < 2, LABELS == 0])
    predicted = found.table("predictions")
    label = LABELS[predicted["example"]]
    told = np.where(predicted["correct"], label, 0)
    predictions = predicted.assign(label=label, prediction=told)
    by_class = found.by_class.set_index("class")
    size = by_class.columns[0]
    assert by_class[size].to_dict() == {"dog": 0.0, "cat": 50.0, "bear": 100.0}
    table = confusion(predictions, EXAMPLES)
    assert table.loc["cat"].to_dict() == {"bear": 50.0, "cat": 50.0}
    assert table.loc["dog"].to_dict() == {"bear": 100.0, "cat": 0.0}
    assert found.is_uneven
