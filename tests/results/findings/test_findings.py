import json
import re
from pathlib import Path

import pytest
from runs_table import BIG, analysis_of, cell, curve, epochs_frame, trial

from results.findings.findings import COLUMNS, find


def sound(**fields):
    """Return rows of a study that nothing is to be said of but what its size brings along."""
    return cell([0.80, 0.81, 0.82], **fields)


def diagnose(rows, epochs=None, **design):
    return find(analysis_of(rows, epochs, **design))


def found(rows, epochs=None, **design):
    """Return findings as {code: row}; the last of a kind wins."""
    table = diagnose(rows, epochs, **design)
    assert list(table.columns) == list(COLUMNS)
    assert (table["evidence"] != "").all()
    assert (table["advice"] != "").all()
    return {row["code"]: row for row in table.to_dict("records")}


def curves_of(rows, **columns):
    return epochs_frame([line for row in rows for line in curve(row, **columns)])


def test_a_sound_study_is_left_alone():
    rows = sound()
    assert found(rows, curves_of(rows)) == {}


def test_gravest_first():
    rows = [*sound(), *sound(model=BIG)[:2], *cell([0.5], fraction=0.5)]
    severities = diagnose(rows)["severity"].tolist()
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert {"error", "warning", "note"} == set(severities)


# --- what is missing -------------------------------------------------------------------------


def test_missing_seed_names_the_seed_and_why():
    rows = [*sound(), *sound(model=BIG)[:2]]
    rows.append(trial(None, model=BIG, seed=2, status="failed", error="OutOfMemory: 80 GiB\nat x"))
    row = found(rows)["missing-seed"]
    assert row["severity"] == "error"
    assert row["cell"] == "resnet50 × none × 1"
    assert row["evidence"] == "2 of 3 seeds: seed 2 failed (OutOfMemory: 80 GiB)"


def test_seed_without_a_record():
    row = found([*sound(), *sound(model=BIG)[:2]])["missing-seed"]
    assert "seed 2 has no record" in row["evidence"]


def test_seed_still_to_come_is_only_noted():
    rows = [*sound(), *sound(model=BIG)[:2], trial(None, model=BIG, seed=2, status="running")]
    row = found(rows)["missing-seed"]
    assert (row["severity"], row["evidence"]) == ("note", "2 of 3 seeds: seed 2 is running")


def test_cell_none_of_whose_recipes_completed():
    rows = sound()
    rows += [
        trial(None, model=BIG, lr=lr, stage="search", measured=False, status="failed", error="boom")
        for lr in (1e-3, 1e-2)
    ]
    row = found(rows, seeds=(0, 1, 2))["missing-cell"]
    assert (row["severity"], row["cell"]) == ("error", "resnet50 × none × 1")
    assert "boom" in row["evidence"]


def test_single_seed_study_and_cell():
    row = found(cell([0.8]) + cell([0.7], model=BIG))["single-seed"]
    assert (row["cell"], row["evidence"]) == ("", "every cell has one seed")
    assert row["advice"].startswith("two more seeds here")
    row = found(sound() + cell([0.7], model=BIG))["single-seed"]
    assert row["cell"] == "resnet50 × none × 1"


def test_undecided_differences_are_counted():
    rows = []
    for place in range(12):
        seeds = [0.60 + 0.001 * place, 0.61, 0.62 - 0.002 * place]
        rows += cell(seeds, model=f"model-{place:02}", n_parameters=1000 + place)
    table = diagnose(rows)
    ties = table[table["code"] == "undecided"]
    assert len(ties) == 1
    row = ties.iloc[0]
    assert (row["cell"], row["severity"]) == ("", "note")
    # 12·11/2 pairs; neighbours' means are (0.1 − 0.2)/3 points apart.
    assert row["evidence"] == (
        "66 of 66 differences between levels of model are not told apart; the smallest is "
        "0.03 points"
    )
    assert row["advice"].startswith("call them ties")


def test_race_and_its_survivors():
    rows = cell([0.8, 0.81], stage="search", measured=False)
    rows += [
        trial(None, model=BIG, seed=seed, stage="search", measured=False, status="stopped")
        for seed in (0, 1)
    ]
    table = diagnose(rows, race=True)
    race = table[table["code"] == "race"]
    assert race["cell"].tolist() == [""]
    assert "2 of 4 were stopped" in race["evidence"].iloc[0]
    assert "a search, not a comparison" in race["advice"].iloc[0]


# --- the search ------------------------------------------------------------------------------


def searched(winner, tried, stopped=(), seeds=3, **fields):
    rows = [
        trial(
            0.8 if lr == winner else 0.7,
            lr=lr,
            stage="search",
            measured=lr == winner,
            status="stopped" if lr in stopped else "completed",
            stopped_at_epoch=2 if lr in stopped else None,
            **fields,
        )
        for lr in tried
    ]
    return rows + [trial(0.79, seed=seed, lr=winner, **fields) for seed in range(1, seeds)]


def test_lr_at_the_edge_of_the_grid():
    row = found(searched(1e-2, [1e-4, 1e-3, 1e-2]), tuned=("lr",))["edge-of-grid"]
    assert (
        row["evidence"] == "the chosen lr 0.01 is the highest of those tried (0.0001, 0.001, 0.01)"
    )
    assert row["advice"] == "widen the grid: add a lr above 0.01"
    row = found(searched(1e-4, [1e-4, 1e-3, 1e-2]), tuned=("lr",))["edge-of-grid"]
    assert "below 0.0001" in row["advice"]


def test_winner_inside_the_grid():
    assert "edge-of-grid" not in found(searched(1e-3, [1e-4, 1e-3, 1e-2]), tuned=("lr",))


def test_search_seed_outside_the_seeds():
    rows = searched(1e-2, [1e-4, 1e-3, 1e-2])
    rows[2]["measured"] = False
    assert "edge-of-grid" in found(rows, seeds=(1, 2), tuned=("lr",))


@pytest.mark.parametrize(
    ("last", "advice"), [(0.79, "more recipes would likely"), (0.6, "nothing")]
)
def test_whether_a_search_was_large_enough(last, advice):
    # Of two of the four recipes one is often the best; the mean over the six pairs by hand.
    tried = {1e-4: 0.6, 1e-3: 0.6, 1e-2: 0.6, 1e-1: last}
    rows = [
        trial(0.7, lr=lr, stage="search", measured=False, seed=9, latest_val_accuracy=value)
        for lr, value in tried.items()
    ]
    rows += cell([0.7, 0.71, 0.72], lr=1e-1)
    row = found(rows)["search-size"]
    expected = 100 * (last - (3 * 0.6 + 3 * last) / 6)
    assert f"4 recipes that each cell tried gained {expected:.2f} points" in row["evidence"]
    assert row["advice"].startswith(advice)
    assert "search-size" not in found(rows[1:])


def test_a_search_of_which_one_recipe_completed_is_named():
    several = found(searched(1e-3, [1e-4, 1e-3, 1e-2, 1e-1], stopped=[1e-2, 1e-1]))
    assert "stopped-search" not in several
    row = found(searched(1e-3, [1e-4, 1e-3, 1e-2], stopped=[1e-2, 1e-4]))["stopped-search"]
    assert row["severity"] == "warning"
    assert "2 of 3 recipes were stopped early (epochs 2 to 2)" in row["evidence"]
    assert "grace" in row["advice"]


def test_a_measurement_that_was_stopped_is_a_missing_seed():
    rows = [*sound()[:2], trial(None, seed=2, status="stopped", stopped_at_epoch=3)]
    row = found(rows)["missing-seed"]
    assert row["severity"] == "error"
    assert row["evidence"] == "2 of 3 seeds: seed 2 was stopped at epoch 3"


def test_selection_seed_is_noted():
    row = found(searched(1e-3, [1e-4, 1e-3, 1e-2]), tuned=("lr",))["selection-seed"]
    # 80, 79, 79 against 79, 79.
    assert "+0.33 points against without" in row["evidence"]


# --- the curves ------------------------------------------------------------------------------


def test_under_trained_cell():
    rows = sound()
    epochs = curves_of(
        rows,
        train_loss=[2.0, 1.5, 1.2, 1.0],
        val_loss=[2.0, 1.6, 1.4, 1.26],
        train_accuracy=[0.3, 0.4, 0.5, 0.6],
    )
    row = found(rows, epochs)["under-trained"]
    assert (row["severity"], row["cell"]) == ("warning", "resnet18 × none × 1")
    # 1.2 → 1.0 and 1.4 → 1.26 over the last of four epochs.
    assert (
        "fell by 17 %, the validation loss fell by 10 %; train accuracy is 60 %" in row["evidence"]
    )
    assert "more epochs" in row["advice"]


def test_saturated_cell_is_not_under_trained():
    rows = sound()
    epochs = curves_of(rows, train_loss=[1.0, 0.3, 0.1, 0.05], val_loss=[0.9, 0.6, 0.5, 0.5])
    assert found(rows, epochs) == {}


def test_over_fitting_cell():
    rows = sound()
    epochs = curves_of(rows, train_loss=[1.0, 0.5, 0.2, 0.1], val_loss=[0.8, 0.6, 0.7, 0.9])
    row = found(rows, epochs)["over-fitting"]
    assert row["severity"] == "note"
    # 0.9 against a lowest of 0.6; 95 % against 70 %.
    assert "50 % above its lowest, train accuracy 25 points above" in row["evidence"]


def test_diverged_trial_that_failed():
    rows = [
        *sound()[:2],
        trial(None, seed=2, status="failed", error="Diverged: loss is not finite"),
    ]
    row = found(rows)["diverged"]
    assert row["severity"] == "error"
    assert "seed 2, lr 0.001: Diverged: loss is not finite" in row["evidence"]


def test_losing_recipe_that_diverged_is_only_noted():
    rows = searched(1e-3, [1e-4, 1e-3, 1e-2])
    rows.append(
        trial(None, lr=1.0, stage="search", measured=False, status="failed", error="loss is nan")
    )
    assert found(rows)["diverged"]["severity"] == "note"


def test_accuracy_of_guessing():
    counts = json.dumps([160] * 10)
    rows = cell([0.80, 0.81, 0.11], class_counts=counts)
    codes = found(rows)
    assert "test accuracy 11.0 % is that of guessing (10.0 %)" in codes["at-chance"]["evidence"]
    rows = cell([0.80, 0.81, 0.11], class_counts=counts)
    rows[2]["final_train_loss"] = 7.0  # guessing has ln 10 = 2.3
    assert "test accuracy 11.0 % is that of guessing" in found(rows)["diverged"]["evidence"]


def test_half_right_of_two_classes_is_more_than_guessing_where_it_is_well_above():
    counts = json.dumps([800] * 2)
    assert "at-chance" not in found(cell([0.60, 0.61, 0.59], class_counts=counts))
    assert "at-chance" in found(cell([0.51, 0.52, 0.50], class_counts=counts))


def test_what_follows_guessing_is_an_outlier():
    codes = found(cell([0.80, 0.81, 0.11], class_counts=json.dumps([160] * 10)))
    assert "seed 2 ends at 11.0 %, the median seed at 80.0 %" in codes["seed-outlier"]["evidence"]


def test_infinite_loss_of_a_completed_run():
    rows = [*sound()[:2], trial(0.6, seed=2, final_val_loss=float("inf"))]
    assert "not finite" in found(rows)["diverged"]["evidence"]


def test_loss_spike():
    rows = sound()
    epochs = curves_of(rows, val_loss=[0.6, 0.5, 5.0, 0.5])
    row = found(rows, epochs)["loss-spike"]
    assert row["severity"] == "note"
    assert "validation loss 5 at epoch 3, 9 times its median until then" in row["evidence"]
    row = found(rows, curves_of(rows, val_loss=[0.6, 0.5, 0.5, 5.0]))["loss-spike"]
    assert row["severity"] == "warning"
    assert "at the final epoch" in row["evidence"]


def test_few_steps_an_epoch():
    row = found(sound(batch_size=200))["few-steps"]
    assert row["evidence"] == "8 updates an epoch (1600 images, batch 200)"
    assert "few-steps" not in found(sound(batch_size=160))
    assert "few-steps" not in found(sound(batch_size=200, epochs=None, steps=400))


def test_lost_images():
    rows = sound()
    lost = curves_of(rows, train_seen=[1600, 1568, 1600, 1600])
    assert (
        "epoch 2 of seed 0 saw 1568 of 1600 images" in found(rows, lost)["lost-images"]["evidence"]
    )


# --- fairness --------------------------------------------------------------------------------


def test_unpaired_subsets():
    rows = sound(subset_hash="aaaa") + sound(model=BIG, subset_hash="aaaa")
    for row in rows:
        row["subset_hash"] += str(row["seed"])
    assert "unpaired" not in found(rows)
    rows[-1]["subset_hash"] = "bbbb2"
    row = found(rows)["unpaired"]
    assert row["severity"] == "error"
    assert row["evidence"] == (
        "seed 2 drew different subsets: resnet18 × none aaaa2, resnet50 × none bbbb2"
    )


def test_seeds_that_share_a_subset():
    row = found(sound(fraction=0.5, subset_hash="aaaa"))["one-subset"]
    assert (row["cell"], row["evidence"]) == ("1/2", "3 seeds share one subset")
    assert "one-subset" not in found(sound(subset_hash="aaaa"))


def test_carried_weights():
    rows = sound(fraction=0.5, init_hash="aa") + sound(init_hash="aa")
    assert "unequal-start" not in found(rows)
    rows[-1]["init_hash"] = "bb"
    row = found(rows)["unequal-start"]
    assert "seed 2 has 2 different initial weights over 2 fractions" in row["evidence"]


def test_weights_files():
    rows = sound(weights="mine", weights_hash="aaaa1111")
    assert "weights-file" not in found(rows)
    rows[0]["weights_hash"] = "bbbb2222"
    assert "bbbb2222, aaaa1111" in found(rows)["weights-file"]["evidence"]
    assert "weights-file" in found(sound(weights_hash="aaaa1111"))


def test_class_imbalance():
    whole = sound(class_counts=json.dumps([800, 800]))
    half = sound(fraction=0.5, class_counts=json.dumps([400, 400]))
    assert "class-imbalance" not in found(whole + half)
    half[0]["class_counts"] = json.dumps([450, 350])
    row = found(whole + half)["class-imbalance"]
    assert (row["cell"], row["evidence"]) == (
        "resnet18 × none × 1/2",
        "a class is off its share of the subset by 12 %",
    )


def test_one_lr_for_scratch_and_fine_tuning():
    rows = sound() + sound(weights="IMAGENET1K_V1")
    assert "share lr 0.001" in found(rows)["one-lr"]["evidence"]
    tuned = searched(1e-3, [1e-4, 1e-3, 1e-2]) + searched(
        1e-3, [1e-4, 1e-3, 1e-2], weights="IMAGENET1K_V1"
    )
    assert "one-lr" not in found(tuned, tuned=("lr",))


def test_equal_epochs_are_not_equal_updates():
    rows = sound(fraction=1 / 16) + sound()
    row = found(rows)["unequal-updates"]
    # 100 and 1,600 images, batch 32, 4 epochs: 4·4 and 50·4 updates.
    assert "16 updates at 1/16 and 200 at 1, 12 times as many" in row["evidence"]
    rows = sound(fraction=1 / 16, epochs=None, steps=400) + sound(epochs=None, steps=400)
    assert "unequal-updates" not in found(rows)


def test_validation_on_the_test_set():
    told = found(sound(), selects_on_test=True)["validation-on-test"]
    assert "served as validation" in told["evidence"]
    # Equal figures alone accuse nobody: both are nought where all is learnt.
    rows = [dict(row, final_val_accuracy=1.0, final_test_accuracy=1.0) for row in sound()]
    assert "validation-on-test" not in found(rows)


def test_coarse_stem_on_small_images():
    assert "resnet18" in found(sound(flops_per_image=37_000_000))["coarse-stem"]["evidence"]
    assert "coarse-stem" not in found(sound(flops_per_image=37_000_000, stem="cifar"))


def test_mixed_hardware():
    rows = sound()
    rows[0] |= {"device": "cpu", "resolved_precision": "bf16"}
    evidence = found(rows)["mixed-hardware"]["evidence"]
    assert evidence == "device: cpu, cuda; precision: bf16, fp32"
    rows = sound()
    rows[1]["device"] = "cuda:1"
    assert "mixed-hardware" not in found(rows)


def test_curve_and_design_notes():
    rows = cell([0.80, 0.81, 0.82], fraction=0.25)
    rows += cell([0.90, 0.90, 0.90], fraction=0.5) + cell([0.70, 0.71, 0.72])
    codes = found(rows)
    assert codes["few-fractions"]["evidence"].startswith("3 fractions: 0 residual degrees")
    assert "rises with more data" in codes["ill-behaved"]["evidence"]


def test_a_study_that_has_only_begun():
    codes = found([trial(None, status="planned", seed=seed) for seed in (0, 1)])
    assert list(codes) == ["missing-cell"]
    assert codes["missing-cell"]["severity"] == "note"


@pytest.mark.parametrize("factors", [["model", "fraction"], ["fraction"]])
def test_fewer_factors(factors):
    assert "missing-seed" not in found(sound(), factors=factors)


def test_every_code_is_documented():
    root = Path(__file__).parents[3]
    page = (root / "docs/statistics.md").read_text(encoding="utf-8")
    files = (root / "results" / "findings").glob("*.py")
    sources = [file.read_text(encoding="utf-8") for file in files]
    by_severity = r"\b(?:error|warning|note)[(,]\s*|Finding\(\s*Severity[^\"]*"
    made = rf'(?:{by_severity})"([a-z-]+)"'
    codes = {code for text in sources for code in re.findall(made, text)}
    assert len(codes) > 25
    assert [code for code in sorted(codes) if f"`{code}`" not in page] == []
