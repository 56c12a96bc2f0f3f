import numpy as np
import pytest
from runs_table import BIG, SMALL, analysis_of, cell
from sample import Plan, write

import results
from results.analysis.analysis import Analysis
from results.report.html import Table
from results.report.sections import sections_of


def opened(tmp_path, plan=None, fate=lambda row: None):
    return results.open(write(tmp_path / "run", plan or Plan(), np.random.default_rng(0), fate))


def analysis(tmp_path, plan=None) -> Analysis:
    return opened(tmp_path, plan).analysis


def test_tables_keep_the_order_of_the_cells(tmp_path):
    found = analysis(tmp_path, Plan(models=("resnet50", "resnet18")))
    order = list(found.cells.frame[["model", "weights"]].drop_duplicates().itertuples(index=False))
    series = found.forecasts[["model", "weights"]].drop_duplicates()
    assert list(series.itertuples(index=False)) == order
    rows = found.differences("weights")[["model", "fraction"]].to_numpy().tolist()
    assert rows == [
        [model, share] for model in ("resnet50", "resnet18") for share in (1 / 16, 1 / 2, 1)
    ]


def test_crossovers_are_those_of_every_two_models_where_there_are_few(tmp_path):
    found = analysis(tmp_path, Plan(models=("a", "b", "c"))).crossovers
    pairs = set(zip(found["small"], found["big"], strict=True))
    assert pairs == {("a", "b"), ("a", "c"), ("b", "c")}


def test_of_many_models_neighbours_and_the_ends_are_looked_at(tmp_path):
    plan = Plan(models=[f"m{i}" for i in range(7)], weights=("none",), seeds=(0, 1), epochs=1)
    found = analysis(tmp_path, plan).crossovers
    assert len(found) == 7
    assert ("m0", "m6") in set(zip(found["small"], found["big"], strict=True))


def test_sections_follow_what_the_study_varies(tmp_path):
    sections = sections_of(opened(tmp_path))
    names = [section.name for section in sections]
    assert names == ["any", "levers", "model", "weights", "data", "effects", "cost", "training"]
    assert [row[0] for row in sections[1].tables[0].rows] == ["weights", "model", "data"]
    assert sections[2].text[0].startswith("Model: ")


def test_one_model_is_not_compared(tmp_path):
    plan = Plan(models=("resnet18",), fractions=(1.0,))
    names = [section.name for section in sections_of(opened(tmp_path, plan))]
    assert names == ["any", "levers", "weights", "effects", "cost", "training"]


def test_a_race_has_neither_differences_nor_prices(tmp_path):
    sections = sections_of(opened(tmp_path, Plan(race=True, seeds=(0,))))
    assert [section.name for section in sections] == ["any", "cost", "training"]
    assert len(sections[1].tables) == 1


def test_nothing_trained_has_no_sections(tmp_path):
    assert sections_of(opened(tmp_path, Plan(), lambda row: "planned")) == []


@pytest.mark.parametrize(
    ("values", "decimals"),
    [([1234.5, 2.0], 0), ([18.01, -4.0], 2), ([0.0123], 5), ([3, 4], 0), (["a", None], 0),
     ([None, 0.5], 4), ([0.0], 0)],
)  # fmt: skip
def test_a_column_shows_four_digits_of_its_largest_number(values, decimals):
    assert Table("", ["x"], [[value] for value in values]).decimals == [decimals]


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
    found, findings = run.answer(), run.findings()
    assert found.sentences
    assert "nan" not in found.text
    assert "None" not in found.text
    assert not findings.isna().any(axis=None)
    severities = findings["severity"].tolist()
    assert severities == sorted(severities, key=["error", "warning", "note"].index)


def test_best_cell_has_two_seeds_where_any_has():
    rows = cell([0.9]) + cell([0.8, 0.8], model=BIG)
    study = analysis_of(rows)
    assert study.ranked.iloc[0]["model"] == BIG
    assert study.is_ranked
    alone = analysis_of(rows[:1])
    assert alone.ranked.iloc[0]["model"] == SMALL
    assert not alone.is_ranked


def test_names_leave_out_factors_with_one_level():
    rows = cell([0.8, 0.8]) + cell([0.7, 0.7], weights="IMAGENET1K_V1")
    study = analysis_of(rows)
    row = {"model": SMALL, "weights": "none", "fraction": 1.0}
    assert study.name(row) == "none"
    assert study.setting(row) == "from scratch"
    assert study.setting({**row, "weights": "IMAGENET1K_V1"}) == "with IMAGENET1K_V1 weights"
    assert study.others("model") == ["weights", "fraction"]
