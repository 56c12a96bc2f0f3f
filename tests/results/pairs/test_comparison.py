"""Two studies side by side."""

import json

import numpy as np
import pandas as pd
import pytest
from sample import Plan, write
from scipy import stats

import results
from results.errors import ResultsError
from results.pairs.findings import findings
from results.pairs.pair import Basis, Pair
from results.pairs.verdict import verdict
from results.records import SCHEMAS
from results.statistics.intervals import unpaired_difference
from results.store.store import Store
from results.store.tables import table_of

ONE = {"models": ("resnet18",), "weights": ("none",)}


def run(folder, name, seed=0, fate=lambda row: None, **fields):
    plan = Plan(name=name, **{**ONE, **fields})
    return results.open(write(folder / name, plan, np.random.default_rng(seed), fate))


def outcomes(row, right, start):
    """Return predictions of 80 images of which `right` are right, from `start` on."""
    example = np.arange(80)
    correct = (example - start) % 80 < right
    return pd.DataFrame(
        {"trial_id": row.trial_id, "epoch": row.epochs_budget, "example": example,
         "correct": correct}
    )  # fmt: skip


def test_welch_agrees_with_scipy():
    values = [5.0, 6.0, 7.0], [0.0, 2.0, 4.0]
    mean, low, high = unpaired_difference(*values)
    expected = stats.ttest_ind(*values, equal_var=False).confidence_interval(0.95)
    assert mean == 4
    assert (low, high) == pytest.approx((expected.low, expected.high))
    with pytest.raises(ValueError, match="Two values of each"):
        unpaired_difference([1], [1, 2])


def test_cells_are_matched_and_paired_over_seeds(tmp_path):
    first = run(tmp_path, "a", fractions=(0.5, 1.0))
    second = run(tmp_path, "b", seed=1, fractions=(0.25, 1.0), epochs=9)
    table = results.compare(first, second)
    assert table["where"].tolist() == ["second", "first", "both"]
    row = table.iloc[2]
    values = [
        one.trials().query("fraction == 1").set_index("seed")["final_test_accuracy"]
        for one in (first, second)
    ]
    gains = 100 * (values[1] - values[0])
    assert row["basis"] == Basis.SEEDS
    assert row["difference"] == pytest.approx(gains.mean())
    half = 4.302653 * gains.std() / np.sqrt(3)
    assert row["low"] == pytest.approx(gains.mean() - half, rel=1e-5)
    assert row["recipe"] == "epochs 5 → 9"
    assert row["cost_ratio"] == pytest.approx(9 / 5)
    assert table.loc[0, "reason"] == "only in b"


def test_the_same_trials_have_nothing_to_tell_apart(tmp_path):
    first = run(tmp_path, "a")
    table = results.compare(first, first.path)
    assert set(table["basis"]) == {Basis.SAME}
    assert (table["difference"] == 0).all()
    assert not table["decided"].any()


def test_seeds_that_are_not_shared_are_not_paired(tmp_path):
    table = results.compare(run(tmp_path, "a"), run(tmp_path, "b", seeds=(7, 8)))
    assert set(table["basis"]) == {Basis.UNPAIRED}
    table = results.compare(run(tmp_path, "c"), run(tmp_path, "d", seeds=(7,)))
    assert set(table["basis"]) == {Basis.ONE_SEED}
    assert table["low"].isna().all()


@pytest.mark.parametrize("seeds", [(0, 1, 2), (7, 8)])
def test_an_infinite_score_is_not_compared(tmp_path, seeds):
    infinite = {"seed": 0, "fraction": 0.5}
    folders = []
    for name, own in {"a": (0, 1, 2), "b": seeds}.items():
        opened = run(tmp_path, name, fractions=(0.5, 1.0), seeds=own, epochs=5 + len(folders))
        store = Store(opened.path)
        store.write_study(opened.study | {"metric": {"column": "miss", "goal": "min", "unit": ""}})
        rows = store.read("trials").to_pylist()
        for row in rows:
            is_bad = name == "a" and infinite.items() <= row.items()
            row["final_test_metric"] = np.inf if is_bad else 1 - row["final_test_accuracy"]
        store.write_part("trials", "sample", [table_of("trials", rows)])
        folders.append(opened.path)
    half, whole = results.compare(*folders).to_dict("records")
    assert half["reason"] == "a score in a is infinite"
    assert np.isnan(half["difference"])
    # The cells beside it keep their intervals.
    assert whole["reason"] == ""
    assert np.isfinite([whole[name] for name in ("low", "high", "accuracy_low_first")]).all()


@pytest.mark.parametrize("with_images", [False, True])
@pytest.mark.parametrize("gain", [0.0, 0.25])
def test_seeds_that_gain_exactly_the_same_have_no_interval(tmp_path, gain, with_images):
    """As two seeds and few test images often do, by chance."""
    pair = Pair(*(run(tmp_path, name, seeds=(0, 1), fractions=(1.0,)) for name in "ab"))
    before, after = (one.analysis.runs for one in (pair.first, pair.second))
    after["accuracy"] = before["accuracy"].to_numpy() + 100 * gain
    after["trial_id"] += "-other"
    if with_images:
        # Each seed gains on images of its own, the same number of them.
        pair.__dict__["_predictions"] = pd.concat(
            outcomes(row, right=20 + 20 * gain * side, start=30 * row.seed)
            for side, runs in enumerate((before, after))
            for row in runs.itertuples()
        )
    said = verdict(pair)[1]
    assert f"+{100 * gain:.1f} points" in said
    assert "points (no ±) of test accuracy, paired over 2 seeds" in said
    row = pair.cells.iloc[0]
    assert (row["basis"], row["n_seeds"], row["decided"]) == (Basis.EQUAL, 2, False)
    assert row["difference"] == pytest.approx(100 * gain)
    assert row[["low", "high"]].isna().all()
    assert "1 without ± (one seed, or no spread over seeds)" in verdict(pair)[2]
    assert "to" not in said.split("seeds")[0].split()


def test_a_race_is_not_compared(tmp_path):
    pair = Pair(run(tmp_path, "a"), run(tmp_path, "b", race=True))
    assert pair.cells["difference"].isna().all()
    assert "search, not a comparison" in " ".join(verdict(pair))
    assert findings(pair).iloc[0]["code"] == "race"


def test_other_data_are_not_compared(tmp_path):
    first, second = run(tmp_path, "a"), run(tmp_path, "b")
    first.study["data"] = {"source": "cifar10"}
    assert "not known to be the same test images" in Pair(first, second).refusal
    record(first, data_fingerprint="aa")
    record(second, data_fingerprint="bb")
    assert Pair(first, second).refusal == "not the same test images"
    assert findings(Pair(first, second)).iloc[0]["code"] == "data-differ"
    record(second, data_fingerprint="aa")
    assert Pair(first, second).refusal == ""


def record(run, **columns):
    """Record what the images of a run were, as its one pass."""
    absent = dict.fromkeys(SCHEMAS["environments"].names)
    run._tables["environments"] = pd.DataFrame([absent | columns])


def test_where_only_train_has_grown_the_same_test_images_are_compared(tmp_path):
    plan = {"seeds": (0, 1), "fractions": (1.0,)}
    pair = Pair(run(tmp_path, "few", **plan), run(tmp_path, "many", seed=1, **plan))
    for one, cats in ((pair.first, 20), (pair.second, 60)):
        data = {"train": 40 + cats, "classes": {"cat": {"train": cats}, "dog": {"train": 40}}}
        prints = {f"{part}_fingerprint": f"{part}{cats}" for part in ("data", "train")}
        record(one, **prints, test_fingerprint="t", data=json.dumps({**data, "notes": []}))
    small, grown = (one.analysis.runs for one in (pair.first, pair.second))
    grown[["n_train", "subset_hash"]] = [90_000, "other"]
    grown["trial_id"] += "-grown"
    rows = [*small.itertuples(), *grown.itertuples()]
    told = [outcomes(row, right=30 + 20 * ("grown" in row.trial_id), start=0) for row in rows]
    pair.__dict__["_predictions"] = pd.concat(told)
    for row in rows:
        runs = grown if "grown" in row.trial_id else small
        runs.loc[runs["trial_id"] == row.trial_id, "accuracy"] = 62.5 if runs is grown else 37.5
    row = pair.cells.iloc[0]
    assert row["difference"] == pytest.approx(25)
    assert row["n_seeds"] == 2
    said = " ".join(verdict(pair))
    assert "tested on the same images; the training images differ: 60 → 100 (cat 20 → 60)" in said
    assert "train-differs" in set(findings(pair)["code"])


def test_mended_labels_are_said(tmp_path):
    pair = Pair(run(tmp_path, "a"), run(tmp_path, "b", seed=1))
    for one, cats in ((pair.first, 20), (pair.second, 22)):
        classes = {"cat": {"train": cats}, "dog": {"train": 60 - cats}}
        data = json.dumps({"train": 60, "classes": classes, "notes": []})
        record(one, train_fingerprint=str(cats), test_fingerprint="t", data=data)
    assert "60 → 60 (cat 20 → 22, dog 40 → 38); labels were mended" in pair.train_change


def examined(run, labels, images, right):
    """Record the test images of a run, and predictions that are right on some of them."""
    example, labels = np.arange(len(labels)), np.array(labels)
    names = np.array(["cat", "dog"])[labels]
    run._tables["examples"] = pd.DataFrame(
        {"test_fingerprint": run.name, "example": example, "label": labels, "class": names,
         "image": images}
    )  # fmt: skip
    told = np.where(right, labels, 1 - labels)
    rows = [
        pd.DataFrame({"trial_id": row.trial_id, "epoch": row.epochs_done, "example": example,
                      "label": labels, "prediction": told, "correct": right})
        for row in run.trials().itertuples()
    ]  # fmt: skip
    run._tables["predictions"] = pd.concat(rows, ignore_index=True)
    record(run, data_fingerprint=run.name, train_fingerprint="t", test_fingerprint=run.name)
    return run


def test_mended_labels_of_the_same_test_images_score_both(tmp_path):
    plan = {"seeds": (0, 1), "fractions": (1.0,)}
    # Image 12 was a cat; the second study lists the images in another order.
    right = np.array([True, True, False, True])
    first = examined(run(tmp_path, "a", **plan), [0, 0, 0, 1], [10, 11, 12, 13], right)
    second = examined(run(tmp_path, "b", seed=1, **plan), [0, 0, 1, 1], [11, 10, 13, 12], right)
    pair = Pair.of(first, second)
    assert pair.refusal == pair.train_change == ""
    assert pair.first.trials()["final_test_accuracy"].tolist() == [1.0, 1.0]
    assert pair.mended == (
        "1 of 4 test labels were mended, and both are scored by the new (cat → dog 1)"
    )
    assert f"{pair.mended}." in verdict(pair)
    assert "test-labels-mended" in set(findings(pair)["code"])
    unknown = examined(run(tmp_path, "c", **plan), [0, 0, 0, 1], [None] * 4, right)
    assert Pair.of(unknown, second).refusal == "not the same test images"


@pytest.mark.parametrize("kept", [0, 4])
def test_what_has_no_predictions_cannot_be_scored_by_mended_labels(tmp_path, kept):
    plan, right = {"seeds": (0, 1), "fractions": (1.0,)}, np.array([True, True, False, True])
    first = examined(run(tmp_path, "a", **plan), [0, 0, 0, 1], [10, 11, 12, 13], right)
    second = examined(run(tmp_path, "b", seed=1, **plan), [0, 0, 1, 1], [11, 10, 13, 12], right)
    first._tables["predictions"] = first._tables["predictions"].head(kept)
    pair = Pair.of(first, second)
    assert pair.mended is None
    assert pair.refusal == "not the same test images"
    accuracy = 100 * first.trials()["final_test_accuracy"].mean()
    assert pair.cells["accuracy_first"].tolist() == pytest.approx([accuracy])


def test_equal_numbers_of_images_are_one_level_of_two_pools(tmp_path):
    few, many = run(tmp_path, "few"), run(tmp_path, "many", seed=1)
    for one, pool in ((few, 80), (many, 160)):
        one.study["factors"]["fraction"] = [20, 40]
        trials = one.trials()
        trials = trials[trials["fraction"].isin(sorted(trials["fraction"].unique())[:2])].copy()
        trials["n_train"] = trials["fraction"].rank(method="dense").astype(int) * 20
        one._tables["trials"] = trials.assign(fraction=trials["n_train"] / pool)
    cells = Pair.of(few, many).cells
    assert cells[["where", "images_first", "images_second"]].values.tolist() == [
        ["both", 20, 20],
        ["both", 40, 40],
    ]


def test_a_search_against_a_given_recipe_is_said(tmp_path):
    first = run(tmp_path, "a", search={"lr": [1e-2, 1e-3]})
    pair = Pair(first, run(tmp_path, "b", seed=1))
    assert "search-against-given" in set(findings(pair)["code"])
    assert pair.cells["difference_without_selection"].notna().all()


def test_the_page_stands_alone_and_escapes(tmp_path):
    first = run(tmp_path, "a")
    second = run(tmp_path, "b", seed=1)
    second.study["name"] = "<img src=x onerror=alert(1)>"
    page = results.write_comparison(first, second, tmp_path / "page")
    text = page.read_text()
    assert "<img src=x" not in text
    assert {"http-equiv", "sortable"} <= {
        word for word in ("http-equiv", "sortable") if word in text
    }
    names = {file.name for file in page.parent.iterdir()}
    assert names >= {"differences.png", "differences.svg", "comparison.csv", "comparison.parquet"}
    with pytest.raises(ResultsError, match="belongs to the run directory"):
        results.write_comparison(first, second, first.path)
