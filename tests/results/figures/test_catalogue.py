import itertools
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from runs_table import analysis_of, cell
from sample import Plan, Row, write

import results
from results.analysis.analysis import Analysis
from results.analysis.runs import Design
from results.figures.curves import cost
from results.figures.sizes import data_size
from results.figures.style import COLOURS, count, kept, look, plain
from results.records import SCHEMAS

SHARED = Path(__file__).parents[3].parent / "shared"
SEARCH = {"lr": [1e-2, 1e-3, 1e-4], "optimizer": ["adam", "sgd"]}


def opened(tmp_path, plan, fate=lambda row: None):
    return results.open(write(tmp_path / plan.name, plan, np.random.default_rng(0), fate))


def texts(figure):
    """Return every text of a figure that is drawn."""
    from matplotlib.text import Text

    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    return [text.get_text() for text in found if text.get_text()]


def faulty(row: Row) -> str | None:
    if row["weights"] == "none" and row["fraction"] == 1:
        return "nan" if row["model"] == "resnet50" else "planned"
    return None


STUDIES = {
    "plain": (Plan(), None),
    "one-seed": (Plan(seeds=(0,)), None),
    "one-model": (Plan(models=("resnet18",)), None),
    "no-weights": (Plan(weights=("none",)), None),
    "one-fraction": (Plan(fractions=(1.0,)), None),
    "one-cell": (Plan(models=("m",), weights=("none",), fractions=(0.5,)), None),
    "extra-factor": (Plan(extra={"optimizer": ["adam", "sgd"]}, seeds=(0, 1)), None),
    "forty-cells": (
        Plan(models=("a", "b", "c", "d", "e"), fractions=(1 / 8, 1 / 4, 1 / 2, 1), seeds=(0,)),
        None,
    ),
    "faults": (Plan(), faulty),
    "search": (Plan(models=("resnet18",), search=SEARCH, seeds=(0, 1)), None),
    "race": (Plan(race=True), lambda row: "stopped" if row["model"] == "resnet50" else None),
    "nothing": (Plan(), lambda row: "missing"),
    "planned": (Plan(), lambda row: "planned"),
    "running": (Plan(), lambda row: "running"),
}


@pytest.mark.parametrize("study", STUDIES)
def test_every_figure_of_every_kind_of_study_is_drawn_without_a_warning(tmp_path, study):
    plan, fate = STUDIES[study]
    run = opened(tmp_path, plan, fate or (lambda row: None))
    for name in run.figures:
        figure = run.figure(name)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure.canvas.draw()
        assert figure.texts[0].get_text().startswith("sample: ")


def test_data_size_shows_one_line_per_model_and_one_row_per_weights(tmp_path):
    run = opened(tmp_path, Plan())
    figure = run.figure("data-size")
    assert len(figure.axes) == 4
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "weights: none",
        "",
        "weights: IMAGENET1K_V1",
        "",
    ]
    assert [axes.get_ylabel() for axes in figure.axes[:2]] == ["test accuracy", "train accuracy"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["resnet18 (11.2 M parameters)", "resnet50 (23.5 M parameters)"]
    frame = run.summary()
    expected = frame[(frame["model"] == "resnet50") & (frame["weights"] == "none")]
    drawn = [
        tuple(line.get_ydata())
        for line in figure.axes[0].lines
        if line.get_color() == COLOURS[1] and line.get_linestyle() == "-"
    ]
    assert tuple(expected["test_accuracy"]) in drawn


def test_fifty_six_series_have_a_colour_and_a_mark_of_their_own():
    assert len({(look(place)["color"], look(place)["marker"]) for place in range(56)}) == 56


def test_of_many_series_the_best_and_the_ends_stay():
    shown = kept([f"m{place}" for place in range(30)], "m13")
    assert {"m0", "m13", "m29"} < shown.keys()
    assert len(shown) == 8
    assert shown["m13"] == 13
    assert kept(["a", "b"], None) == {"a": 0, "b": 1}


def test_the_logarithmic_axis_names_every_size(tmp_path):
    axes = opened(tmp_path, Plan()).figure("data-size-log").axes[2]
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "1/16\n2,812",
        "1/2\n22,500",
        "1\n45,000",
    ]


@pytest.mark.parametrize("accuracies", [(0.9, 1.0), (1.0, 1.0)])
def test_a_cell_without_error_has_its_place_beside_what_it_costs(accuracies):
    first, second = accuracies
    figure = cost(analysis_of(cell([first] * 2, model="a") + cell([second] * 2, model="b")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()
    (axes,) = figure.axes
    marks = np.concatenate(
        [line.get_xydata() for line in axes.lines if line.get_marker() != "None"]
    )
    assert sorted(marks[:, 1]) == pytest.approx(sorted(100 - 100 * one for one in accuracies))
    places = axes.transAxes.inverted().transform(axes.transData.transform(marks))
    assert ((places > 0) & (places < 1)).all()


def test_one_seed_is_drawn_without_an_interval_and_says_so(tmp_path):
    run = opened(tmp_path, Plan(seeds=(0,)))
    figure = run.figure("data-size")
    assert "One seed: no interval, and no ranking of models." in texts(figure)
    assert not figure.axes[0].containers


def test_several_seeds_are_drawn_with_an_interval_each(tmp_path):
    figure = opened(tmp_path, Plan()).figure("data-size")
    assert len(figure.axes[0].containers) == 2


def test_a_gap_is_not_bridged_by_a_solid_line(tmp_path):
    run = opened(
        tmp_path,
        Plan(models=("resnet18",), weights=("none",)),
        lambda row: "planned" if row["fraction"] == 0.5 else None,
    )
    axes = run.figure("data-size").axes[0]
    solid = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert np.isnan(solid[0].get_ydata()[1])
    assert "  missing" in [text.get_text() for text in axes.texts]


def test_a_race_says_in_every_figure_of_its_outcome_that_it_is_none(tmp_path):
    plan, fate = STUDIES["race"]
    run = opened(tmp_path, plan, fate)
    for name in ("data-size", "data-size-log", "epochs"):
        assert any("Search, not comparison" in text for text in texts(run.figure(name))), name


def test_stopped_trials_are_marked_in_the_course_of_training(tmp_path):
    run = opened(
        tmp_path,
        Plan(models=("resnet18",), weights=("none",), fractions=(1.0,), search=SEARCH),
        lambda row: "stopped" if row["optimizer"] == "sgd" else None,
    )
    figure = run.figure("epochs")
    assert "stopped early" in [text.get_text() for text in figure.legends[0].get_texts()]
    crosses = [c for c in figure.axes[0].collections if len(c.get_offsets()) == 3]
    assert np.allclose([offset[0] for offset in crosses[0].get_offsets()], 1)


def test_user_text_is_taken_literally():
    hostile = "a$b$ \x00\n<svg>" + "x" * 80
    assert plain(hostile, 20) == r"a\$b\$ <svg>…xxxxxxxxx"


def test_a_hostile_name_is_drawn(tmp_path):
    plan = Plan(name="$\\frac{$", models=("$x_{$", "<script>"), seeds=(0,))
    run = results.open(write(tmp_path / "run", plan, np.random.default_rng(0)))
    for name in run.figures:
        run.figure(name).canvas.draw()


def test_series_stay_apart():
    looks = [tuple(map(str, look(place).values())) for place in range(32)]
    assert len(set(looks)) == 32


def luminance(colour):
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_colours_differ_for_colour_blind_eyes():
    # Viénot, Brettel and Mollon 1999: linear RGB as red- and green-blind people see it.
    protan = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.004, -0.004, 1]])
    deutan = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    for seen in (np.eye(3), protan, deutan):
        points = [seen @ np.power(to_rgb(colour), 2.2) for colour in COLOURS[:6]]
        pairs = itertools.combinations(points, 2)
        assert min(np.abs(one - other).max() for one, other in pairs) > 0.06


def test_more_panels_than_can_be_read_are_counted(tmp_path):
    plan = Plan(
        models=("m",), extra={"weight_decay": [i / 1000 for i in range(40)]}, seeds=(0,), epochs=1
    )
    run = opened(tmp_path, plan)
    figure = data_size(run.analysis)
    rows = len(figure.axes) // 2
    assert any(f"{80 - rows} more rows of panels are left out" in text for text in texts(figure))


def test_more_models_than_have_colours_are_counted(tmp_path):
    plan = Plan(models=[f"m{place}" for place in range(10)], weights=("none",), seeds=(0, 1))
    run = opened(tmp_path, plan)
    for name in ("data-size", "learning-curves"):
        figure = run.figure(name)
        assert any("2 more models are left out" in text for text in texts(figure)), name
        drawn = {name for name in plan.models if name in " ".join(texts(figure)).split()}
        assert {"m0", "m9", run.analysis.best_level("model")} < drawn
        assert len(drawn) == 8


def test_many_seeds_are_one_picture_in_svg(tmp_path):
    run = opened(tmp_path, Plan(models=("m",), weights=("none",), seeds=range(200), epochs=1))
    figure = run.figure("data-size")
    marks = [one for axes in figure.axes for one in axes.collections if len(one.get_offsets()) > 99]
    assert marks
    assert all(one.get_rasterized() for one in marks)


@pytest.mark.parametrize(
    ("number", "text"), [(2812, "2,812"), (1.34e6, "1.34 M"), (float("nan"), "?")]
)
def test_counts(number, text):
    assert count(number) == text


def reference_study(path):
    """Return the published reference study as trials and the study they belong to."""
    rows = pd.read_csv(path, keep_default_na=False).query("table == 'discussion1' and epoch == 5")
    shares = {"1/16": 1 / 16, "1/2": 1 / 2, "1": 1.0}
    fraction = rows["fraction"].map(shares)
    known = {
        "model": rows["model"],
        "weights": rows["weights"],
        "fraction": fraction,
        "n_train": (fraction * 50_000).astype(int),
        "seed": 0,
        "stage": "measure",
        "status": "completed",
        "wanted": True,
        "measured": True,
        "final_test_accuracy": rows["test_acc"],
        # Printed as a share of the full training set.
        "final_train_accuracy": rows["train_acc_as_printed"] / fraction,
    }
    trials = SCHEMAS["trials"].empty_table().to_pandas()
    frame = pd.DataFrame(known).reindex(columns=trials.columns).reset_index(drop=True)
    levels = {"model": ["resnet18", "resnet50"], "weights": ["none", "IMAGENET1K_V1"]}
    return frame, {"factors": levels}


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the reference study is not here")
def test_the_reference_studys_figure_can_be_redrawn():
    trials, study = reference_study(SHARED / "reference" / "study.csv")
    tables = {"trials": trials, "predictions": SCHEMAS["predictions"].empty_table().to_pandas()}
    analysis = Analysis(tables.__getitem__, Design.of(study))
    assert len(analysis.cells.frame) == 12
    figure = data_size(analysis)
    scratch, pretrained = (figure.axes[place] for place in (0, 2))
    assert pretrained.get_title(loc="left") == "weights: IMAGENET1K_V1"
    curves = {
        line.get_color(): list(line.get_ydata())
        for line in scratch.lines
        if line.get_linestyle() == "-" and len(line.get_xdata()) == 3
    }
    assert curves == {COLOURS[0]: [0.4, 0.6, 0.74], COLOURS[1]: [0.32, 0.42, 0.53]}


@pytest.mark.parametrize("study", ["plain", "search", "faults", "nothing"])
def test_a_figure_for_a_column_has_text_of_eight_points_and_nothing_overlaps(tmp_path, study):
    plan, fate = STUDIES[study]
    run = opened(tmp_path, plan, fate or (lambda row: None))
    for name in run.figures:
        figure = run.figure(name, width=3.4)
        assert figure.get_figwidth() == pytest.approx(3.4)
        assert not any(text.startswith("sample: ") for text in texts(figure)), name
        found = figure.findobj(lambda each: isinstance(each, Text) and each.get_visible())
        assert {text.get_fontsize() for text in found if text.get_text()} <= {8.0}, name
        figure.draw_without_rendering()
        for axes in figure.axes:
            labels = [label for label in axes.get_xticklabels() if label.get_visible()]
            boxes = [label.get_window_extent() for label in labels if label.get_text()]
            pairs = itertools.combinations(boxes, 2)
            assert not any(one.overlaps(other) for one, other in pairs), name
