import numpy as np
import pytest
from runs_table import BIG, SMALL, cell, trial, trials_frame

from results.analysis.runs import compared_runs
from results.analysis.series import crossovers, data_worths, paired_tables

FACTORS = ["model", "weights", "fraction"]
FRACTIONS = (0.25, 0.5, 1.0)


def line(errors, spread=0.1, **fields):
    """Return three seeds per fraction around the given errors in points."""
    rows = []
    for fraction, error in zip(FRACTIONS, errors, strict=True):
        rows += cell(
            [1 - (error + shift) / 100 for shift in (-spread, 0, spread)],
            fraction=fraction,
            **fields,
        )
    return rows


def runs_of(rows):
    return compared_runs(trials_frame(rows))


def test_crossover_per_setting():
    rows = line([40, 30, 20]) + line([50, 31, 10], model=BIG)
    rows += line([30, 20, 15], weights="IMAGENET1K_V1")
    rows += line([20, 15, 10], weights="IMAGENET1K_V1", model=BIG)
    table = crossovers(runs_of(rows), FACTORS, np.random.default_rng(0)).set_index("weights")
    scratch = table.loc["none"]
    assert (scratch["small"], scratch["big"], scratch["n_seeds"]) == (SMALL, BIG, 3)
    assert scratch["is_established"]
    assert (scratch["bracket_low"], scratch["bracket_high"]) == (800, 1600)
    assert not table.loc["IMAGENET1K_V1", "is_established"]
    assert np.isnan(table.loc["IMAGENET1K_V1", "location"])


def test_worth_per_model_and_fraction():
    rows = line([40, 20, 10]) + line([20, 10, 5], spread=-0.1, weights="IMAGENET1K_V1")
    table = data_worths(runs_of(rows), FACTORS).set_index("fraction")
    assert table.loc[0.25, "factor"] == pytest.approx(2, rel=1e-3)
    assert table.loc[0.25, "text"].startswith("2 times (")
    assert 1 < table.loc[0.25, "low"] < 2 < table.loc[0.25, "high"]
    assert table.loc[1.0, "more_than"] == 1


def test_incomplete_seeds_or_sizes_are_left_out():
    first = runs_of(line([40, 30, 20]))
    second = runs_of(line([35, 25, 15], model=BIG))
    lacking = first[~((first["seed"] == 2) & (first["fraction"] == 0.25))]
    sizes, a, b = paired_tables(lacking, second)
    # Three seeds × two sizes and two seeds × three sizes keep six runs each: all sizes stay.
    assert sizes.tolist() == [400, 800, 1600]
    assert a.shape == b.shape == (2, 3)
    scarce = first[~((first["seed"] > 0) & (first["fraction"] == 0.25))]
    sizes, a, _ = paired_tables(scarce, second)
    assert sizes.tolist() == [800, 1600]
    assert a.shape == (3, 2)


def test_nothing_in_common():
    runs = runs_of([trial(0.5), trial(0.6, seed=1, model=BIG)])
    assert paired_tables(runs[runs["model"] == SMALL], runs[runs["model"] == BIG]) is None
    table = crossovers(runs, FACTORS, np.random.default_rng(0))
    assert table.empty
    assert "verdict" in table.columns
    assert "factor" in data_worths(runs, FACTORS).columns
