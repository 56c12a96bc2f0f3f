import numpy as np
import pyarrow.compute as pc
import pytest
from runs_table import BIG, SMALL, analysis_of, cell, noisy
from sample import Plan, write

import results
from results.errors import ResultsError
from results.store.store import Store

FRACTIONS = (0.25, 0.5, 1.0)


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
    assert (small["low"] <= small["headline"]).all()
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


def test_the_largest_size_is_held_against_what_the_smaller_ones_forecast():
    table = analysis_of(line([40, 20, 11])).backtests
    early = analysis_of(line([40, 20])).forecasts.iloc[0]
    assert len(table) == 1
    found = table.iloc[0]
    assert (found["n_train"], found["at"]) == (800, 1600)
    told = ["headline", "low", "high"]
    assert found[told].tolist() == pytest.approx(early[told].tolist())
    assert found["measured"] == pytest.approx(11)
    assert found["held"] == (found["low"] <= 11 <= found["high"])


def test_each_smaller_size_forecasts_unless_it_cannot():
    four = line([60, 30, 20, 16], fractions=(0.125, 0.25, 0.5, 1.0))
    table = analysis_of(four).backtests
    assert table["n_train"].tolist() == [400, 800]
    # From one size, and beyond 64 times, nothing is forecast; in a race nothing is fair.
    assert analysis_of(line([40, 20])).backtests.empty
    far = line([60, 50, 11], fractions=(1 / 256, 1 / 128, 1.0))
    assert analysis_of(far).backtests.empty
    assert analysis_of(four, race=True).backtests.empty


def test_reports_hold_forecasts_against_what_is_measured(tmp_path):
    store = Store(write(tmp_path, Plan(fractions=(1 / 16, 1 / 4, 1.0)), np.random.default_rng(0)))
    trials = store.read("trials")
    store.write_part("trials", "sample", [trials.filter(pc.field("fraction") < 1)])
    early = results.open(store.root).analysis
    assert early.backtests.empty
    store.write_part("trials", "sample", [trials])
    page = results.write_report(store.root, target=0.9).read_text()
    found = results.open(store.root).analysis.backtests
    told = early.forecasts[early.forecasts["times"] == 4]
    assert len(found) == (told["refusal"] == "").sum() > 0
    assert (found["at"] == 4 * found["n_train"]).all()
    assert "The largest size as the smaller ones alone forecast it" in page
    assert "Images needed for a test accuracy of 90 %" in page


@pytest.mark.parametrize("target", [0, 1, 90, float("nan")])
def test_a_target_is_a_share(tmp_path, target):
    folder = write(tmp_path, Plan(), np.random.default_rng(0))
    with pytest.raises(ResultsError, match=r"such as 0\.9 for 90 %"):
        results.open(folder).labels_for(target)
