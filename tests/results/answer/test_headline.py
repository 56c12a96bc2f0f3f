"""The headline and how sure it is: what to do next, in one line each."""

import pytest
from answers import line
from runs_table import BIG, SMALL, analysis_of, cell, trial

from results.answer.levers import headline, how_sure

PRETRAINED = "IMAGENET1K_V1"


def of(rows):
    study = analysis_of(rows)
    return headline(study), how_sure(study)


def test_what_helps_is_advised_and_how_surely():
    said, sure = of([*line([60, 50, 45]), *line([20, 15, 12], spread=-0.1, weights=PRETRAINED)])
    assert said.startswith(f"Use {PRETRAINED} weights")
    assert sure.startswith("Best next step, with ")
    assert f"{PRETRAINED} weights" in sure


def test_what_is_not_decided_is_no_best_step():
    said, sure = of([*cell([0.80, 0.82, 0.84]), *cell([0.83, 0.80, 0.84], model=BIG)])
    assert said == "No step is shown to help."
    assert "though not decided" in sure
    assert BIG in sure or SMALL in sure


@pytest.mark.parametrize("rows", [cell([0.8]), cell([0.8, 0.81])])
def test_one_cell_compares_nothing(rows):
    said, sure = of(rows)
    assert "one cell" in said.lower()
    assert sure == ""


def test_one_seed_is_measured_once():
    said, sure = of([*cell([0.8]), *cell([0.9], model=BIG)])
    assert said.startswith("Measured once")
    assert sure == ""


def test_declared_seeds_that_are_not_there_yet_are_awaited():
    planned = [trial(None, seed=1, status="planned", model=model) for model in (SMALL, BIG)]
    said, _ = of([*cell([0.8]), *cell([0.9], model=BIG), *planned])
    assert said == "Not finished: no cell has two of its seeds yet."


def test_it_is_short():
    rows = [
        *line([40, 20, 10]),
        *line([20, 10, 5], weights=PRETRAINED),
        *line([48, 24, 6], model=BIG),
        *line([30, 15, 4], model=BIG, weights=PRETRAINED),
    ]
    assert len(of(rows)[0].split()) <= 25
