import numpy as np
import pytest
from sample import Plan, write

import results
from results.analysis.analysis import Analysis
from results.analysis.series import crossovers
from results.report.html import Table
from results.report.sections import sections_of


def analysis(tmp_path, plan=None, fate=lambda row: None) -> Analysis:
    return results.open(
        write(tmp_path / "run", plan or Plan(), np.random.default_rng(0), fate)
    ).analysis


def test_tables_keep_the_order_of_the_cells(tmp_path):
    found = analysis(tmp_path, Plan(models=("resnet50", "resnet18")))
    order = list(found.cells[["model", "weights"]].drop_duplicates().itertuples(index=False))
    series = found.extrapolations[["model", "weights"]]
    assert list(series.itertuples(index=False)) == order
    rows = found.differences("weights")[["model", "fraction"]].to_numpy().tolist()
    assert rows == [
        [model, share] for model in ("resnet50", "resnet18") for share in (1 / 16, 1 / 2, 1)
    ]


def test_crossovers_are_those_of_every_two_models_where_there_are_few(tmp_path):
    found = analysis(tmp_path)
    expected = crossovers(found.overview.runs, found.factors, np.random.default_rng(0))
    assert len(found.crossovers) == len(expected) == 2
    assert set(found.crossovers["verdict"]) == set(expected["verdict"])


def test_of_many_models_neighbours_and_the_ends_are_looked_at(tmp_path):
    plan = Plan(models=[f"m{i}" for i in range(7)], weights=("none",), seeds=(0, 1), epochs=1)
    found = analysis(tmp_path, plan).crossovers
    assert len(found) == 7
    assert ("m0", "m6") in set(zip(found["small"], found["big"], strict=True))


def test_sections_follow_what_the_study_varies(tmp_path):
    sections = sections_of(analysis(tmp_path))
    names = [section.name for section in sections]
    assert names == ["model", "pretraining", "data", "effects", "cost", "training"]
    assert sections[0].text[0].startswith("Model size: ")


def test_one_model_is_not_compared(tmp_path):
    plan = Plan(models=("resnet18",), fractions=(1.0,))
    names = [section.name for section in sections_of(analysis(tmp_path, plan))]
    assert names == ["pretraining", "effects", "cost", "training"]


def test_a_race_has_neither_differences_nor_prices(tmp_path):
    sections = sections_of(analysis(tmp_path, Plan(race=True, seeds=(0,))))
    assert [section.name for section in sections] == ["cost", "training"]
    assert len(sections[0].tables) == 1


def test_nothing_trained_has_no_sections(tmp_path):
    assert sections_of(analysis(tmp_path, Plan(), lambda row: "planned")) == []


def test_prices_are_of_one_step_at_a_time(tmp_path):
    cost = next(s for s in sections_of(analysis(tmp_path)) if s.name == "cost")
    by_fraction = next(table for table in cost.tables if "fraction" in table.caption)
    steps = {tuple(row[:2]) for row in by_fraction.rows}
    assert steps == {("1/16", "1/2"), ("1/2", "1")}


@pytest.mark.parametrize(
    ("values", "decimals"),
    [([1234.5, 2.0], 0), ([18.01, -4.0], 2), ([0.0123], 5), ([3, 4], 0), (["a", None], 0),
     ([None, 0.5], 4), ([0.0], 0)],
)  # fmt: skip
def test_a_column_shows_four_digits_of_its_largest_number(values, decimals):
    assert Table("", ["x"], [[value] for value in values]).decimals == [decimals]
