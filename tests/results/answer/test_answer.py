import pytest
from answers import BENCHMARK, line, said, said_of
from runs_table import BIG, SMALL, analysis_of, cell, trial
from scripts import script

from results.answer.answer import statements

PRETRAINED = "IMAGENET1K_V1"


def design(seeds=3, **fields):
    """Small and big model, from scratch and pretrained."""
    return [
        *line([40, 20, 10], seeds=seeds, **fields),
        *line([48, 24, 6], spread=-0.1, seeds=seeds, model=BIG, seconds=200.0, **fields),
        *line([20, 10, 8], spread=-0.1, seeds=seeds, weights=PRETRAINED, **fields),
        *line([16, 8, 5], seeds=seeds, model=BIG, weights=PRETRAINED, seconds=200.0, **fields),
    ]


def test_whole_design():
    texts = said(design())
    assert list(texts) == ["levers", "best", "model", "weights", "data", "evidence"]
    # The best cell errs in 5 %; the best small one in 8, the best from scratch in 6.
    assert f"{BIG} instead of {SMALL}, 3.0 points (" in texts["levers"]
    assert ", for 3.3 CPU-minutes more a run" in texts["levers"]
    assert f"{PRETRAINED} weights instead of none, 1.0 points (" in texts["levers"]
    assert "twice the data (3,200 images), forecast" in texts["levers"]
    assert "for 1,600 more labels" in texts["levers"]
    assert texts["best"].startswith(
        f"Of 12 cells, {BIG} × {PRETRAINED} × 1 is the most accurate, at 95.0 % ("
    )
    assert texts["best"].endswith("It is ahead of every other one.")
    # At a quarter of the data it errs in 16 %, the best small one in 20, from scratch in 40.
    assert f"with 400 images, {BIG} is ahead of {SMALL} by 4.0 points (" in texts["model"]
    assert f"{PRETRAINED} is ahead of none by 24.0 points (" in texts["weights"]
    assert f"From scratch, {BIG} overtakes {SMALL} between 800 and 1,600 images" in texts["model"]
    assert f"From scratch, the accuracy of {BIG} × {PRETRAINED} × 1/4 takes" in texts["weights"]
    assert f"the error of {BIG} × {PRETRAINED}, 5.0 % with 1,600 images" in texts["data"]
    assert "comparisons behind this answer are decided" in texts["evidence"]


def test_it_says_when_it_is_worth_unfreezing():
    factors = ("model", "weights", "fraction", "freeze")
    rows = line([20, 19, 18], freeze="backbone")
    rows += line([40, 15, 8], spread=-0.1, freeze="none")
    study = analysis_of(rows, factors=factors)
    text = "Training all of a model overtakes training its head alone between 400 and 800 images"
    assert f"{text}." in said_of(study)["freeze"]
    assert text in [one.text for one in statements(study)]
    rows = line([40, 39, 38], freeze="backbone")
    rows += line([30, 15, 8], spread=-0.1, freeze="none")
    text = said(rows, factors=factors)["freeze"]
    assert "with 400 images, freeze none is ahead of backbone by 10.0 points" in text
    # Beside models whose own lines cross, each is said of its own factor.
    both = [{**row, "freeze": "none"} for row in design()]
    both += line([10, 9.9, 9.8], weights=PRETRAINED, freeze="backbone")
    texts = said(both, factors=factors)
    assert f"{BIG} overtakes {SMALL}" in texts["model"]
    assert "weights, training all of a model overtakes training its head" in texts["freeze"]


def test_the_first_cell_of_many_is_compared_with_nothing_yet():
    rows = [*cell([0.90, 0.91, 0.92]), *cell([None], model=BIG, status="planned")]
    assert "95 % interval)" in said(rows)["best"]


def test_models_of_one_size_are_no_contrast_of_sizes():
    texts = said([{**row, "n_parameters": 5000} for row in design()])
    assert "overtakes" not in texts["model"]


def test_one_seed_ranks_nothing():
    texts = said(design(seeds=1))
    assert texts["levers"].startswith("Nothing is told apart with one seed; measured once: ")
    assert f"{BIG} instead of {SMALL}, +3.0 points (no ±)" in texts["levers"]
    assert "at most one seed, so that there is no ±" in texts["best"]
    assert "Two more seeds would be the first step." in texts["evidence"]
    assert " ahead" not in " ".join(texts.values())


def test_declared_seeds_that_are_not_there_yet_are_not_advised():
    planned = [trial(None, seed=1, status="planned", model=model) for model in (SMALL, BIG)]
    texts = said([*cell([0.8]), *cell([0.9], model=BIG), *planned])
    assert texts["levers"].startswith("Nothing is told apart with one seed; so far: ")
    assert "more seeds" not in " ".join(texts.values())


def test_a_lone_measured_cell_has_its_own_name():
    study = analysis_of([*cell([0.9]), *cell([None], model=BIG, status="planned")])
    assert statements(study)[0].text.endswith(f"images: {SMALL}")


def test_race_is_called_a_search():
    rows = design(stage="search", measured=False)
    rows.append(trial(None, seed=3, stage="search", measured=False, status="stopped"))
    texts = said(rows, race=True)
    assert list(texts) == ["best", "evidence"]
    assert texts["best"].startswith("This is a search, not a comparison")
    assert " ahead" not in texts["best"]
    assert "race" in texts["evidence"]


def test_ties_are_not_ranked():
    rows = cell([0.80, 0.81, 0.82]) + cell([0.81, 0.80, 0.823], model=BIG)
    texts = said(rows)
    assert texts["levers"].startswith("Not told apart from no gain: ")
    assert f"{BIG} instead of {SMALL}, +0.1 points (−" in texts["levers"]
    assert f"Not told apart from it: {SMALL}." in texts["best"]
    assert "0 of the 1 comparison behind this answer are decided" in texts["evidence"]
    assert "2 more seeds of both (13 CPU-minutes) would decide between" in texts["evidence"]


def test_levels_at_the_least_data_are_named_as_far_as_they_are_decided():
    rows = line([40, 20, 10]) + line([30, 20.05, 10.05], spread=-0.1, model=BIG)
    texts = said(rows)
    assert f"Model: with 400 images, {BIG} is ahead of {SMALL} by 10.0 points (" in texts["model"]
    assert f"{BIG} instead of {SMALL}, −0.0 points (" in texts["levers"]


@pytest.mark.parametrize(
    ("rows", "topic", "words"),
    [
        (line([40, 20, 10]), "levers", "twice the data (3,200 images)"),
        (cell([0.8, 0.81]), "best", "The only cell reaches a test accuracy of 80.5 %"),
        (line([20, 10, 30]), "data", "no forecast, since the curve is too uneven"),
        (line([20, 10, 30]), "levers", "1,600 images instead of 800, −20.0 points (no ±)"),
        ([trial(None, status="planned")], "best", "no answer yet"),
        ([trial(None, status="planned")], "evidence", "none yet"),
        (
            [*cell([0.8, 0.81]), trial(None, model=BIG, status="planned")],
            "best",
            f"Of 2 cells (1 complete), {SMALL} × none × 1 is",
        ),
    ],
)
def test_what_a_study_does_not_hold(rows, topic, words):
    assert words in said(rows)[topic]


def test_what_steps_cost_in_money():
    rows = line([40, 20, 10]) + line([30, 15, 5], spread=-0.1, model=BIG, seconds=7300.0)
    texts = said(rows, prices={"label": 0.05, "hour": 2.2})
    # 7,200 s more on two CPUs are four hours; twice the data is 1,600 labels and 4.06 hours.
    assert "for 4 CPU-hours more a run, at a price of 8.80" in texts["levers"]
    assert (
        "for 1,600 more labels and 4.1 CPU-hours more a run, at a price of 88.92"
        in (texts["levers"])
    )


def test_null_studies_claim_nothing():
    benchmark = script(BENCHMARK)
    found = benchmark.null_studies(8, images=150)
    # Each claims something in at most 5 %; two of eight would in 5 %.
    assert (found["claims"] != "").sum() <= 1


def test_a_real_effect_is_claimed():
    benchmark = script(BENCHMARK)
    generator = benchmark.np.random.default_rng(1)
    study = benchmark.simulated(generator, lambda cell: 0.4 + 0.9 * (cell["weights"] != "none"))
    texts = said_of(study)
    assert texts["levers"].startswith(f"Helps: {PRETRAINED} weights instead of none, ")
    assert ", over 99 % likely the best of these" in texts["levers"]
    assert "new seeds and images" in texts["best"]


def test_analysis_holds_a_difference_with_one_interval():
    study = analysis_of(design())
    pairs = [(row.amount, row.best, row.others) for row in study.comparisons.rows]
    assert len(pairs) == len(set(pairs))
