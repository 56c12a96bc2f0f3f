import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest
from runs_table import BIG, SMALL, analysis_of, cell, noisy, trial
from sample import Plan, write

import results
from results.analysis.runs import compared_runs
from results.analysis.series import scored, with_recorded
from results.errors import ResultsError
from results.records import FORECAST_SCHEMA
from results.store.store import Store

FRACTIONS = (0.25, 0.5, 1.0)
NOW = pd.Timestamp("2026-01-01", tz="UTC")


def line(errors, spread=0.1, fractions=FRACTIONS, **fields):
    """Return three seeds per fraction around the given errors in points."""
    rows = []
    for fraction, error in zip(fractions, errors, strict=False):
        shifts = (-spread, 0, spread)
        rows += cell([1 - (error + shift) / 100 for shift in shifts], fraction=fraction, **fields)
    return rows


def test_a_row_for_each_series_and_stretch():
    table = analysis_of(line([40, 20, 10]) + line([30, 20, 35], model=BIG)).forecasts
    small, big = (table[table["model"] == model] for model in (SMALL, BIG))
    assert small["at"].tolist() == [3200, 6400, 12_800, 25_600, 51_200, 102_400]
    assert small["is_far"].tolist() == [False] * 2 + [True] * 4
    first = small.iloc[0]
    assert (first["n_train"], first["sizes"]) == (1600, 3)
    assert first["error"] == pytest.approx(10)
    assert first["headline"] == pytest.approx((first["local_power_law"] + first["filters"]) / 2)
    assert (small["low"] <= small["headline"]).all()
    assert "LCDB" in first["calibrated_on"]
    assert big["refusal"].str.contains("too uneven").all()
    assert big["headline"].isna().all()


def test_a_forecast_carries_the_noise_of_the_test_images():
    cells = [{"model": SMALL, "fraction": share} for share in (0.5, 1.0)]
    rows, predictions = noisy(np.random.default_rng(0), cells, 3, 200, 0.02)
    of_seeds, of_task = analysis_of(rows), analysis_of(rows, predictions=predictions)
    told, known = of_seeds.forecasts, of_task.forecasts
    np.testing.assert_array_equal(told[["low", "high"]], told[["curve_low", "curve_high"]])
    error = of_task.cells.frame.set_index("fraction").loc[1.0, "accuracy_image_error"]
    # Between 1 and √3 times what a single run of 200 images would have.
    alone = np.sqrt(known["error"].iloc[0] * (100 - known["error"].iloc[0]) / 200)
    assert alone / np.sqrt(3) < error < alone
    wider = np.hypot(known["curve_high"] - known["headline"], 1.96 * error)
    assert (known["high"] - known["headline"]).to_numpy() == pytest.approx(wider, rel=1e-3)
    # A gain is told on the same images, and carries what the last one did.
    gains = [study.levers.set_index("lever").loc["data"] for study in (of_seeds, of_task)]
    gap = of_task.differences("fraction")["image_error"].iloc[0]
    assert gains[0]["gain"] == gains[1]["gain"]
    without = known["curve_high"].iloc[0] - known["headline"].iloc[0]
    before, after = (row["gain"] - row["low"] for row in gains)
    assert after / before == pytest.approx(np.hypot(without, 1.96 * gap) / without, rel=0.01)


def test_one_size_and_a_race_are_not_forecast():
    assert "one training size" in analysis_of(cell([0.8, 0.81])).forecasts["refusal"].iloc[0]
    race = analysis_of(line([40, 20, 10], stage="search", measured=False), race=True)
    assert race.forecasts.empty
    assert race.labels_for(0.9)[0].empty


def test_labels_within_the_measured_sizes_by_hand():
    # Error 20 at 800 and 10 at 1,600 images: by straight lines of logarithms √(20·10) at 800·√2.
    table = analysis_of(line([40, 20, 10])).labels_for(1 - np.sqrt(0.02))[0]
    found = table.iloc[0]
    assert found["images"] == pytest.approx(800 * np.sqrt(2))
    assert 800 < found["low"] < found["images"] < found["high"] < 1600
    assert found["basis"] == "measured"
    assert found["text"].startswith("1,130 images (")


def test_labels_are_the_forecasts_inverted():
    study = analysis_of(line([40, 30, 24]))
    at = study.forecasts.iloc[1]
    found = study.labels_for(1 - at["headline"] / 100)[0].iloc[0]
    assert found["images"] == pytest.approx(6400)
    assert found["low"] < 6400
    assert np.isnan(found["high"])
    assert found["text"].endswith(" or more), forecast")
    # Whoever is as lucky as the interval's end needs that end's images.
    assert study.labels_for(1 - at["low"] / 100)[0].iloc[0]["low"] == pytest.approx(6400)


def test_labels_far_beyond_or_never():
    study = analysis_of(line([40, 30, 24]))
    far = study.labels_for(1 - study.forecasts["headline"].iloc[3] / 100)[0].iloc[0]
    assert far["images"] == pytest.approx(25_600)
    assert far["text"].endswith(", far forecast")
    never = study.labels_for(0.9999)[0].iloc[0]
    assert np.isnan(never["images"])
    assert never["text"].startswith(
        "not reached at any size the curve supports (64 times, 102,000 images)"
    )
    first = study.labels_for(0.5)[0].iloc[0]
    assert first["text"] == "at most 400 images, the smallest measured size"


def test_labels_without_a_forecast():
    study = analysis_of(line([30, 20, 35]))
    assert study.labels_for(0.8)[0].iloc[0]["images"] == 800
    text = study.labels_for(0.9)[0].iloc[0]["text"]
    assert text.startswith("not reached up to 1,600 images; no forecast: the curve is too uneven")


def recorded_of(rows, before=None):
    study = analysis_of(rows)
    before = study.table("forecasts") if before is None else before
    series = study.cells.series
    return with_recorded(before, study.forecasts, study.runs, study.wanted, series, NOW)


def test_a_forecast_is_recorded_and_scored_once_more_is_measured():
    early = recorded_of(line([40, 20]))
    assert early.columns.tolist() == FORECAST_SCHEMA.names
    assert early["at"].tolist() == [1600, 3200, 6400, 12_800, 25_600, 51_200]
    rows = line([40, 20, 11])
    table = scored(early, compared_runs(pd.DataFrame(rows)), ["model", "weights", "fraction"])
    found = table.iloc[0]
    assert len(table) == 1
    assert (found["n_train"], found["at"]) == (800, 1600)
    assert found[["headline", "low", "high"]].tolist() == pytest.approx(
        early.iloc[0][["headline", "low", "high"]].tolist()
    )
    assert found["measured"] == pytest.approx(11)
    assert found["held"] == (found["low"] <= 11 <= found["high"])
    later = recorded_of(rows, early)
    assert later["n_train"].tolist() == [800] * 6 + [1600] * 6


def test_a_size_between_two_stretches_is_scored_too():
    early = recorded_of(line([40, 20]))
    rows = line([40, 20, 15], fractions=(0.25, 0.5, 0.75))
    found = scored(early, compared_runs(pd.DataFrame(rows)), ["model", "weights", "fraction"])
    first, at = early.iloc[0], np.log2(1.5)
    assert found["at"].tolist() == [1200]
    assert found["headline"][0] == pytest.approx((1 - at) * 20 + at * first["headline"])
    width = found["high"][0] - found["low"][0]
    assert width == pytest.approx(np.sqrt(at) * (first["high"] - first["low"]))


def test_the_last_forecast_from_a_size_counts_and_only_of_the_same_recipe():
    early = recorded_of(line([40, 20]))
    again = recorded_of(line([40, 18]), early)
    assert again["error"].tolist() == pytest.approx([18] * 6)
    other = compared_runs(pd.DataFrame(line([40, 20, 11], lr=0.1)))
    assert scored(early, other, ["model", "weights", "fraction"]).empty


def test_nothing_is_recorded_while_a_larger_size_is_under_way():
    assert recorded_of([*line([40, 20]), trial(None, status="planned")]).empty


def test_reports_keep_forecasts_and_score_them(tmp_path):
    store = Store(write(tmp_path, Plan(fractions=(1 / 16, 1 / 4, 1.0)), np.random.default_rng(0)))
    trials = store.read("trials")
    store.write_part("trials", "sample", [trials.filter(pc.field("fraction") < 1)])
    results.write_report(store.root)
    early = results.open(store.root).analysis
    assert early.scored.empty
    store.write_part("trials", "sample", [trials])
    page = results.write_report(store.root, target=0.9).read_text()
    found = results.open(store.root).analysis.scored
    told = early.forecasts[early.forecasts["times"] == 4]
    assert len(found) == (told["refusal"] == "").sum() > 0
    assert (found["at"] == 4 * found["n_train"]).all()
    assert "Earlier forecasts against what was measured since" in page
    assert "Images needed for a test accuracy of 90 %" in page


@pytest.mark.parametrize("target", [0, 1, 90, float("nan")])
def test_a_target_is_a_share(tmp_path, target):
    folder = write(tmp_path, Plan(), np.random.default_rng(0))
    with pytest.raises(ResultsError, match=r"such as 0\.9 for 90 %"):
        results.open(folder).labels_for(target)
