"""What the report's page costs a reader: bytes, time to ready, accessibility findings, pictures.

    python benchmarks/page.py runs/demo/report/index.html [--pictures FOLDER]

Opens the page in Chromium, which must be on the path with chromedriver. The time to ready is from
the start of the navigation until every script has run, on a processor slowed down four times.
Findings are axe-core's (`npm install axe-core`; the environment variable AXE names its axe.min.js),
in light and dark, at 1280 and 390 pixels, with every section open.
"""

import argparse
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SLOWER = 4
SIZES = ((1280, 900), (390, 844))
PICTURES = (("light", 1280, 900), ("dark", 1920, 1080), ("narrow", 390, 844))
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
GRAVE = ("serious", "critical")


@contextmanager
def browser() -> Iterator[Any]:
    """Yield Chromium."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser")
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(120)
    try:
        yield driver
    finally:
        driver.quit()


def axe_script() -> Path | None:
    """Return axe-core's script, None where it is not installed."""
    own = os.environ.get("AXE")
    found = [Path(own)] if own else [Path("node_modules/axe-core/axe.min.js")]
    return next((path for path in found if path.is_file()), None)


def show(driver: Any, page: Path, width: int, height: int, scheme: str = "light") -> None:
    """Open a page at a size and in a colour scheme."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.get(page.resolve().as_uri())


def unfold(driver: Any) -> None:
    """Open every section, and wait until their charts are drawn."""
    driver.execute_async_script(
        """const done = arguments[0];
        for (const one of document.querySelectorAll("details")) one.open = true;
        const charts = [...document.querySelectorAll("[data-chart]")];
        const look = () => charts.every((one) => one.dataset.drawn || one.querySelector(".nothing"))
            ? done() : setTimeout(look, 50);
        look();"""
    )


def findings(driver: Any, script: Path) -> list[tuple[str, str, str, int]]:
    """Return what axe finds on the page as it stands: impact, rule, an element, how many."""
    # Not run as a script element: the page's policy refuses it.
    driver.execute_script(script.read_text(encoding="utf-8"))
    found = driver.execute_async_script("axe.run().then(arguments[0]);")["violations"]
    return [
        (str(one["impact"]), one["id"], one["nodes"][0]["html"][:120], len(one["nodes"]))
        for one in found
    ]


def seconds_to_ready(driver: Any, page: Path) -> float:
    """Return the seconds until a page's scripts have run, on a processor that is slower."""
    show(driver, page, *SIZES[0])
    driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    driver.get(page.resolve().as_uri())
    ready = driver.execute_script(
        "return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd / 1000;"
    )
    driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": 1})
    return float(ready)


def main() -> None:
    """Print what a page costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of the page")
    asked = parser.parse_args()
    with browser() as driver:
        print(f"{asked.page.stat().st_size / 1000:,.0f} kB")
        ready = sorted(seconds_to_ready(driver, asked.page) for _ in range(3))
        print(f"ready after {ready[1]:.2f} s, {SLOWER} times slower (median of three)")
        script = axe_script()
        for scheme in ("light", "dark"):
            for width, height in SIZES:
                show(driver, asked.page, width, height, scheme)
                unfold(driver)
                for impact, rule, where, count in findings(driver, script) if script else ():
                    print(f"{scheme} {width}: {impact}: {rule} ({count}): {where}")
        if asked.pictures:
            asked.pictures.mkdir(parents=True, exist_ok=True)
            for name, size in {
                "light": (1280, 900),
                "dark": (1920, 1080),
                "narrow": (390, 844),
            }.items():
                show(driver, asked.page, *size, "dark" if name == "dark" else "light")
                time.sleep(0.5)
                driver.save_screenshot(str(asked.pictures / f"{name}.png"))


if __name__ == "__main__":
    main()
