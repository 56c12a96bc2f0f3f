import json
import re
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sample import Plan, write

import results
from results.errors import ResultsError, StoreError
from results.report import html
from results.report.page import prepare, render

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\u2028"


def report(tmp_path, plan, fate=lambda row: None):
    return results.write_report(write(tmp_path / "run", plan, np.random.default_rng(0), fate))


def page_of(tmp_path, plan, fate=lambda row: None):
    """Return the page of a run without drawing its figures, which takes seconds."""
    run = results.open(write(tmp_path / "run", plan, np.random.default_rng(0), fate))
    return render(run, [], datetime(2025, 3, 1, tzinfo=UTC))


class Page(HTMLParser):
    """Elements of a page with their attributes, and the text of each kind of element."""

    def __init__(self, text):
        super().__init__()
        self.source, self.elements, self.texts, self._open = text, [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "input", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    def fate(row):
        if row["fraction"] == 1 and row["model"] == "resnet50":
            return "nan" if row["weights"] == "none" else "planned"
        return None

    return report(tmp_path_factory.mktemp("report"), Plan(), fate).parent


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "index.html").read_text())


def test_what_compares_cells_lies_beside_the_page_as_png_and_svg(folder):
    for name in ("data-size", "cost"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert ElementTree.parse(folder / f"{name}.svg").getroot().tag.endswith("svg")
    assert not (folder / "epochs.png").exists()


def test_every_figure_is_written_where_asked_for(tmp_path):
    run = results.open(write(tmp_path / "run", Plan(seeds=(0, 1)), np.random.default_rng(0)))
    folder = results.write_report(run, figures=True).parent
    assert {path.stem for path in folder.glob("*.png")} == set(run.figures)
    page = Page((folder / "index.html").read_text())
    assert {a["href"] for a in page.all("a")} >= {"epochs.png", "learning-curves.svg"}


def test_summary_holds_one_row_per_cell_in_both_forms(folder):
    expected = results.open(folder.parent).summary()
    pd.testing.assert_frame_equal(
        pd.read_parquet(folder / "summary.parquet"), expected, check_dtype=False
    )
    rows = pd.read_csv(folder / "summary.csv")
    assert list(rows["state"]) == list(expected["state"])
    assert set(rows["weights"]) == {"none", "IMAGENET1K_V1"}
    assert rows.loc[0, "test_accuracy"] == pytest.approx(expected.loc[0, "test_accuracy"])


def test_the_page_holds_headline_steps_and_every_cell(page):
    text = " ".join(page.texts["li"] + page.texts["p"] + page.texts["td"])
    headline = " ".join(page.texts["h1"])
    assert 3 <= len(headline.split()) <= 25
    assert "comparisons behind this answer" in text
    steps = re.search(r'<table id="levers">(.*?)</table>', page.source, re.S)
    assert steps is not None
    assert steps.group(1).count('<th scope="row">') == 2
    assert page.source.count('<details class="section"') >= 8
    assert '<details class="section" open' not in page.source
    table = re.search(r'id="cell-table">(.*?)</table>', page.source, re.S)
    assert table is not None
    assert table.group(1).count("<tr>") == 1 + 12
    assert "3 planned, not run yet" in text
    assert "3 failed (Diverged: train loss became nan at epoch 2, step 31)" in text


def test_the_page_asks_for_nothing_outside_itself(page):
    addresses = [
        (tag, value)
        for tag, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "srcset", "poster")
    ]
    assert {tag for tag, _ in addresses} == {"link", "a"}
    assert all(value.startswith("data:") for tag, value in addresses if tag != "a")
    beside = {value for tag, value in addresses if tag == "a" and not value.startswith("#")}
    assert all(re.fullmatch(r"[a-z-]+\.(png|svg|csv|parquet)", value) for value in beside)


def test_the_policy_lets_no_other_script_run(page):
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none';")
    assert "unsafe-eval" not in policy
    scripts = re.search(r"script-src (.*?);", policy)
    assert scripts is not None
    assert re.fullmatch(r"('sha256-[A-Za-z0-9+/=]{44}' ?){6}", scripts.group(1))


def test_links_within_the_page_lead_somewhere(page):
    anchors = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    targets = {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")}
    assert targets <= anchors
    assert len(anchors) == sum("id" in attributes for _, attributes in page.elements)


def test_every_drawing_has_words(page):
    drawn = [a for _, a in page.elements if a.get("role") in ("img", "figure")]
    assert len(drawn) > 3
    assert all(len(a["aria-label"]) > 15 for a in drawn)


def test_the_files_a_page_names_are_there(page, folder):
    for link in page.all("a"):
        if not link["href"].startswith("#"):
            assert (folder / link["href"]).is_file()


def test_hostile_text_stays_text(tmp_path):
    plan = Plan(name=HOSTILE, models=("resnet18", HOSTILE), seeds=(0, 1))
    fate = lambda row: "nan" if row["fraction"] == 1 else None  # noqa: E731
    text = page_of(tmp_path, plan, fate)
    page = Page(text)
    assert len(page.all("script")) == 7
    assert "onerror" not in {name for _, attributes in page.elements for name in attributes}
    data = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', text, re.S)
    assert data is not None
    assert not set("<>&\u2028") & set(data.group(1))
    assert json.loads(data.group(1))["name"] == HOSTILE


def test_the_data_of_the_charts_match_the_summary(page, folder):
    data = json.loads(re.search(r'id="report-data">(.*?)</script>', page.source, re.S).group(1))
    summary = results.open(folder.parent).summary()
    shown = data["cells"]
    assert shown["state"] == list(summary["state"])
    known = summary["test_accuracy"].notna()
    values = np.array(shown["test_accuracy"], dtype=float)
    assert np.allclose(values[known], summary.loc[known, "test_accuracy"], rtol=1e-4)
    assert np.isnan(values[~known]).all()
    assert len(data["seeds"]["cell"]) == 30
    assert data["curves"]["epoch"][:5] == [1, 2, 3, 4, 5]


def test_a_run_without_a_trial_has_a_page_too(tmp_path):
    text = page_of(tmp_path, Plan(), lambda row: "missing")
    assert "No trial is recorded yet" in text


def test_a_run_of_planned_trials_names_every_cell(tmp_path):
    text = page_of(tmp_path, Plan(), lambda row: "planned")
    assert "12 of 12 cells have no value" in text
    assert text.count("3 planned, not run yet") >= 12


def test_a_factor_may_be_left_at_its_default_in_some_cells(tmp_path):
    plan = Plan(models=("resnet18",), weights=("none",), extra={"image_size": [None, 64]})
    text = page_of(tmp_path, plan)
    data = json.loads(re.search(r'id="report-data">(.*?)</script>', text, re.S).group(1))
    factor = data["factors"][-1]
    assert (factor["labels"], factor["values"]) == (["image_size 64", "default"], None)


def test_a_race_is_called_a_search(tmp_path):
    plan = Plan(race=True, seeds=(0,))
    fate = lambda row: "stopped" if row["model"] == "resnet18" else None  # noqa: E731
    text = page_of(tmp_path, plan, fate)
    assert "search, not comparison" in text
    assert "Paired differences" not in text


def test_a_search_lists_the_recipe_of_every_cell(tmp_path):
    plan = Plan(models=("resnet18",), seeds=(0, 1), search={"lr": [1e-2, 1e-3]})
    text = page_of(tmp_path, plan)
    table = re.search(r'id="cell-table">(.*?)</table>', text, re.S)
    assert table is not None
    assert table.group(1).count("<td>0.001</td>") == 6
    assert "without the selection seed" in text


def test_a_second_report_replaces_the_first(tmp_path):
    first = report(tmp_path, Plan(models=("resnet18",), seeds=(0,)))
    before = (first.parent / "summary.csv").read_bytes()
    assert results.write_report(tmp_path / "run") == first
    assert (first.parent / "summary.csv").read_bytes() == before
    assert not list(first.parent.glob(".*"))


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no study has run here"):
        results.write_report(tmp_path)
    assert not (tmp_path / "report").exists()


def test_a_charting_library_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(html, "_BUNDLE", "import absent_library")
    making = (html.begin_vega, html.vega)
    for made in making:
        made.cache_clear()
    try:
        with pytest.raises(ResultsError, match=r"absent_library.*install vl-convert-python again"):
            html.vega()
    finally:
        for made in making:
            made.cache_clear()


def test_a_charting_library_whose_making_was_killed_is_made_again():
    making = (html.begin_vega, html.vega)
    for made in making:
        made.cache_clear()
    html.begin_vega()[0].kill()
    prepare()
    assert "vegaEmbed" in html.vega()


def test_no_spreadsheet_takes_a_name_for_a_formula(tmp_path: Path) -> None:
    cells = ["=1+1", "+a", "-a", "@a", "a=1", "-1"]
    frame = pd.DataFrame({"model": cells, "gain": [-1.0, 2, 3, 4, 5, 6], "none": [None] * 6})
    html.write_frame(tmp_path, "summary", frame)
    lines = (tmp_path / "summary.csv").read_text().splitlines()
    assert lines[1:] == ["'=1+1,-1.0,", "'+a,2.0,", "'-a,3.0,", "'@a,4.0,", "a=1,5.0,", "'-1,6.0,"]
    assert pd.read_parquet(tmp_path / "summary.parquet").equals(frame)
