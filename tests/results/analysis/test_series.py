import numpy as np
import pytest
from runs_table import BIG, SMALL, analysis_of, cell, trial

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


def test_crossover_per_setting():
    rows = line([40, 30, 20]) + line([50, 31, 10], model=BIG, spread=0.3)
    rows += line([30, 20, 15], weights="IMAGENET1K_V1")
    rows += line([20, 15, 10], weights="IMAGENET1K_V1", model=BIG, spread=0.3)
    table = analysis_of(rows).crossovers.set_index("weights")
    scratch = table.loc["none"]
    assert (scratch["small"], scratch["big"], scratch["n_seeds"]) == (SMALL, BIG, 3)
    assert scratch["is_established"]
    assert (scratch["bracket_low"], scratch["bracket_high"]) == (800, 1600)
    assert 800 < scratch["low"] < scratch["location"] < scratch["high"] < 1600
    assert not table.loc["IMAGENET1K_V1", "is_established"]
    assert np.isnan(table.loc["IMAGENET1K_V1", "location"])


def test_crossover_of_a_head_alone_and_all_of_a_model():
    heads = line([20, 19, 18], freeze="backbone", model=BIG)
    study = analysis_of(
        heads + line([40, 15, 8], spread=0.3, freeze="none", model=BIG),
        factors=("model", "weights", "fraction", "freeze"),
    )
    (row,) = study.crossovers.to_dict("records")
    assert (row["factor"], row["small"], row["big"]) == ("freeze", "backbone", "none")
    assert (row["model"], row["is_established"]) == (BIG, True)
    assert (row["bracket_low"], row["bracket_high"]) == (400, 800)
    # Never worth it where the head alone stays ahead.
    ahead = [*heads, *line([40, 30, 25], freeze="none", model=BIG)]
    (row,) = analysis_of(ahead, factors=study.factors).crossovers.to_dict("records")
    assert not row["is_established"]


def test_worth_per_model_and_fraction():
    rows = line([40, 20, 10]) + line([20, 10, 5], spread=-0.1, weights="IMAGENET1K_V1")
    table = analysis_of(rows).worths.set_index("fraction")
    assert table.loc[0.25, "factor"] == pytest.approx(2, rel=1e-3)
    assert 1.5 < table.loc[0.25, "low"] < 2 < table.loc[0.25, "high"] < 2.5
    assert table.loc[0.25, "text"].startswith("2 times (")
    assert table.loc[1.0, "more_than"] == 1


def test_nothing_in_common():
    study = analysis_of([trial(0.5), trial(0.6, seed=1, model=BIG)])
    assert study.crossovers.empty
    assert "verdict" in study.crossovers.columns
    assert "factor" in study.worths.columns
