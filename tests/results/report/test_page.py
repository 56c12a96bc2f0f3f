"""The page in a real browser; skipped where no Chromium and driver are found."""

import json
import re
import shutil
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from sample import Plan, write
from scripts import script

import results
from results.report.overview import by_data_of
from results.report.page import render

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the path"
)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CHARTS = ("size", "cost", "curves", "cells")


def fate(row):
    return "nan" if row["fraction"] == 1 and row["model"] == "resnet50" else None


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    plan = Plan(name="</script>'\"&", extra={"optimizer": ["adam", "sgd"]}, seeds=(0, 1))
    return results.write_report(write(folder / "run", plan, np.random.default_rng(0), fate))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


def show(browser, page, width=1280):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    unfold(browser)
    for chart in CHARTS:
        wait_for(browser, chart, 1)


def unfold(browser):
    """Open every section, which draws its chart."""
    browser.execute_script(
        "for (const one of document.querySelectorAll('details')) one.open = true;"
    )


def wait_for(browser, chart, turn):
    browser.execute_async_script(
        """const [name, turn, done] = arguments;
        const box = document.querySelector(`[data-chart=${name}]`);
        const look = () => Number(box.dataset.drawn) >= turn ? done() : setTimeout(look, 20);
        look();""",
        chart,
        turn,
    )


def marks(browser, chart):
    """Return the drawn marks of a chart, by their spoken description."""
    return browser.execute_script(
        """return [...document.querySelectorAll(
            `[data-chart=${arguments[0]}] svg [aria-roledescription$="point"],
             [data-chart=${arguments[0]}] svg [aria-roledescription$="rect mark"]`)]
            .map((mark) => mark.getAttribute("aria-label"));""",
        chart,
    )


def change(browser, chart, control, value):
    """Set a control as a user would, and wait for the chart to be drawn anew."""
    before = browser.execute_script(
        """const [chart, name, value] = arguments;
        const box = document.querySelector(`[data-chart=${chart}]`);
        const input = box.querySelector(`[name=${name}]`);
        const turn = Number(box.dataset.drawn);
        if (input.type === "checkbox") input.checked = value; else input.value = value;
        if (input.type !== "checkbox" && input.value !== value) throw new Error("no such option");
        input.dispatchEvent(new Event("change"));
        return turn;""",
        chart,
        control,
        value,
    )
    wait_for(browser, chart, before + 1)


def complaints(browser):
    return [entry["message"] for entry in browser.get_log("browser")]


def test_nothing_is_requested_and_nothing_complains(browser, page):
    browser.get("about:blank")
    browser.get_log("performance")
    show(browser, page)
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert complaints(browser) == []


def test_a_script_that_is_not_the_pages_own_is_refused(browser, page):
    show(browser, page)
    ran = browser.execute_script(
        """const script = document.createElement("script");
        script.textContent = "window.intruder = true";
        document.body.append(script);
        return Boolean(window.intruder);"""
    )
    assert not ran
    assert any("Content Security Policy" in message for message in complaints(browser))


def test_every_option_of_every_control_draws(browser, page):
    show(browser, page)
    options = browser.execute_script(
        """return [...document.querySelectorAll("[data-chart]")].flatMap((box) =>
            [...box.querySelectorAll("select, input[type=checkbox]")].flatMap((input) =>
                (input.type === "checkbox" ? [!input.checked, input.checked]
                    : [...input.options].map((one) => one.value).concat(input.value))
                    .map((value) => [box.dataset.chart, input.name, value])));"""
    )
    assert len(options) > 80
    for chart, control, value in options:
        change(browser, chart, control, value)
        assert marks(browser, chart), (chart, control, value)
    assert complaints(browser) == []


def test_all_log_axes_and_origin_at_once(browser, page):
    show(browser, page)
    for control in ("log", "logY", "origin"):
        change(browser, "size", control, True)
    assert marks(browser, "size")
    assert complaints(browser) == []


def test_marks_speak_their_values(browser, page):
    show(browser, page)
    summary = results.open(page.parent.parent).summary()
    value = summary.loc[summary["test_accuracy"].idxmax(), "test_accuracy"]
    assert any(f"{value:.4f}" in label for label in marks(browser, "size") if label)


def test_a_click_on_a_heading_sorts_by_number(browser, page):
    show(browser, page)
    script = """
        const table = document.getElementById("cell-table");
        const heads = [...table.tHead.rows[0].cells];
        const column = heads.findIndex((one) => one.textContent === "test accuracy");
        heads[column].querySelector("button").click();
        return [heads[column].getAttribute("aria-sort"),
                [...table.tBodies[0].rows].map((row) => row.cells[column].textContent)];"""
    for order, descending in (("ascending", False), ("descending", True)):
        state, values = browser.execute_script(script)
        numbers = [float(value) for value in values if value != "–"]
        assert state == order
        assert len(numbers) == 20
        assert numbers == sorted(numbers, reverse=descending)
        assert values[20:] == ["–"] * 4


def test_the_filter_hides_rows(browser, page):
    show(browser, page)
    shown = browser.execute_script(
        """const input = document.querySelector("#cells input[type=search]");
        input.value = "RESNET18 sgd";
        input.dispatchEvent(new Event("input"));
        return [...document.getElementById("cell-table").tBodies[0].rows]
            .filter((row) => !row.hidden).map((row) => row.textContent);"""
    )
    assert len(shown) == 6
    assert all("resnet18" in row and "sgd" in row for row in shown)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_has_no_serious_finding(browser, page, width, scheme):
    benchmark = script("benchmarks/page.py")
    axe = benchmark.axe_script()
    if axe is None:
        pytest.skip("needs axe-core: `npm install axe-core`, or AXE naming its axe.min.js")
    benchmark.show(browser, page, width, 900, scheme)
    unfold(browser)
    for chart in CHARTS:
        wait_for(browser, chart, 1)
    found = benchmark.findings(browser, axe)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert [one for one in found if one[0] in benchmark.GRAVE] == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_never_scrolls_sideways(browser, page, width):
    show(browser, page, width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_every_control_has_a_label_and_can_be_reached(browser, page):
    show(browser, page)
    controls = browser.execute_script(
        """return [...document.querySelectorAll("select, input, th button")].map((one) =>
            [one.tabIndex, (one.labels && one.labels.length ? one.labels[0] : one)
                .textContent.trim()]);"""
    )
    assert len(controls) > 30
    assert all(place == 0 and name for place, name in controls)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(browser, page, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    show(browser, page)
    pairs = browser.execute_script(
        """const style = getComputedStyle(document.documentElement);
        const hex = (name) => style.getPropertyValue(name).trim();
        const fronts = ["--ink", "--quiet", "--link", "--bad", "--warn"];
        return ["--paper", "--panel"].flatMap((back) =>
            fronts.map((front) => [front, back, hex(front), hex(back)]));"""
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    for front, back, one, other in pairs:
        light, dark = sorted((luminance(one), luminance(other)), reverse=True)
        # WCAG 2.2, success criterion 1.4.3.
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (scheme, front, back)


def luminance(colour):
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_paper_shows_charts_without_their_controls(browser, page):
    show(browser, page)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    seen = browser.execute_script(
        """const seen = (one) => getComputedStyle(one).display !== "none";
        return [[...document.querySelectorAll(".view")].every(seen),
                [...document.querySelectorAll(".controls, nav, .ask")].some(seen)];"""
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert seen == [True, False]


def test_nothing_is_unpacked_or_drawn_before_it_is_seen(browser, page, tmp_path):
    # What was open stays open for a path.
    shutil.copy(page, tmp_path / "index.html")
    browser.get((tmp_path / "index.html").as_uri())
    assert browser.execute_script("return typeof vegaEmbed") == "undefined"
    browser.execute_script("document.querySelector('nav a[href=\"#q-cost\"]').click()")
    wait_for(browser, "cost", 1)
    assert marks(browser, "cost")


def test_prices_sort_the_steps_and_leave_probabilities(browser, page):
    show(browser, page)
    before, after, money = browser.execute_script(
        """const rows = () => [...document.querySelectorAll("#levers tbody tr")]
            .map((row) => [row.cells[0].firstChild.textContent, row.cells[3].textContent]);
        const before = rows();
        const form = document.querySelector(".levers form");
        form.elements.label.value = "5";
        form.elements.hour.value = "0.0001";
        form.dispatchEvent(new Event("input"));
        return [before, rows(),
                [...document.querySelectorAll(".money")].map((one) => one.textContent)];"""
    )
    assert sorted(before) == sorted(after)
    assert money[0] == "free"
    costed = [
        float(re.search(r"([\d,.]+) a point", text)[1].replace(",", ""))
        for text in money[1:]
        if "a point" in text
    ]
    assert costed == sorted(costed)
    # What costs little is not said to cost nothing.
    assert not [text for text in money if text.startswith(("costs 0,", "costs 0 "))]


def test_a_target_says_what_each_line_would_take(browser, page):
    show(browser, page)
    said = browser.execute_script(
        """const slider = document.getElementById("target");
        slider.value = slider.max;
        slider.dispatchEvent(new Event("input"));
        return [...document.querySelectorAll("#target-said span")].map((one) => one.textContent);"""
    )
    run = results.open(page.parent.parent)
    targets = by_data_of(run.analysis).targets
    assert [text[2:] for text in said] == [text or "no forecast" for text in targets["texts"][-1]]


def test_a_page_that_is_written_again_is_loaded_again(browser, tmp_path):
    page = tmp_path / "index.html"
    for name, fate in (("begun", lambda row: "planned" if row["seed"] else None), ("done", None)):
        plan = Plan(models=("resnet18",), seeds=(0, 1))
        arguments = [] if fate is None else [fate]
        run = results.open(write(tmp_path / name, plan, np.random.default_rng(0), *arguments))
        text = render(run, [], datetime.now(UTC), refresh=4.0)
        if name == "begun":
            page.write_text(text, encoding="utf-8")
            show(browser, page)
            age = browser.execute_script("return document.getElementById('age').textContent")
            assert "looks for a newer page every 4 s" in age
            change(browser, "size", "metric", "test_loss")
        else:
            page.write_text(text, encoding="utf-8")
    for _ in range(200):
        if browser.execute_script("return !document.getElementById('age')"):
            break
        time.sleep(0.1)
    assert "The study is not finished" not in browser.page_source
    wait_for(browser, "size", 1)
    # What the reader chose outlives it.
    chosen = "return document.querySelector('[data-chart=size] [name=metric]').value"
    assert browser.execute_script(chosen) == "test_loss"
    assert complaints(browser) == []


def test_a_line_joins_the_sizes_where_only_they_vary(browser, tmp_path):
    plan = Plan(models=("resnet18",), weights=("none",), seeds=(0, 1))
    run = results.open(write(tmp_path / "run", plan, np.random.default_rng(0)))
    page = tmp_path / "index.html"
    page.write_text(render(run, [], datetime.now(UTC)), encoding="utf-8")
    show(browser, page)
    lines = browser.execute_script(
        """return [...document.querySelectorAll("[data-chart=size] svg .mark-line path")]
            .map((path) => (path.getAttribute("d").match(/[ML]/g) || []).length);"""
    )
    # Test and train accuracy, three sizes each.
    assert lines == [3, 3]
