import numpy as np
import pytest
from runs_table import BIG, SMALL, cell, epochs_frame, trials_frame
from sample import Plan, write

import results
from results.analysis.overview import Overview
from results.answer.answer import answer

FATES = ["missing", "planned", "running", "stopped", "nan", "failed"]
PLANS = [
    Plan(fractions=(1 / 16, 1 / 2, 1.0), seeds=(0, 1)),
    Plan(fractions=(1 / 2, 1.0), search={"lr": [1e-4, 1e-3, 1e-2]}),
    Plan(weights=("none",), seeds=(0, 1), extra={"optimizer": ["adam", "sgd"]}),
    Plan(models=("resnet18",), race=True),
]


@pytest.mark.parametrize("number", range(len(PLANS)))
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_whatever_befalls_a_study(tmp_path, number, share):
    plan, generator = PLANS[number], np.random.default_rng(number)

    def fate(row):
        return str(generator.choice(FATES)) if generator.random() < share else None

    run = results.open(write(tmp_path, plan, generator, fate))
    factors = ("model", "weights", "fraction", *plan.extra)
    study = Overview(run.trials(), run.epochs(), factors, plan.seeds, plan.race)
    found = answer(study)
    assert len(found.sentences) == 5
    assert "nan" not in found.text
    assert "None" not in found.text
    assert not study.findings.isna().any(axis=None)
    severities = study.findings["severity"].tolist()
    assert severities == sorted(severities, key=["error", "warning", "note"].index)


def test_best_cell_has_two_seeds_where_any_has():
    rows = cell([0.9]) + cell([0.8, 0.8], model=BIG)
    study = Overview(trials_frame(rows), epochs_frame([]))
    assert study.best["model"] == BIG
    assert study.is_ranked
    alone = Overview(trials_frame(rows[:1]), epochs_frame([]))
    assert alone.best["model"] == SMALL
    assert not alone.is_ranked


def test_names_leave_out_factors_with_one_level():
    rows = cell([0.8, 0.8]) + cell([0.7, 0.7], weights="IMAGENET1K_V1")
    study = Overview(trials_frame(rows), epochs_frame([]))
    row = {"model": SMALL, "weights": "none", "fraction": 1.0}
    assert study.name(row) == "none"
    assert study.setting(row) == "from scratch"
    assert study.setting({**row, "weights": "IMAGENET1K_V1"}) == "with IMAGENET1K_V1 weights"
    assert study.others("model") == ["weights", "fraction"]
