"""Make docs/images anew from a run of the demo's study (`make pictures`).

    python docs/pictures.py runs/demo

The report's page is taken where chromium is installed, and left as it is where not.
"""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

import scalestudy

IMAGES = Path(__file__).parent / "images"
COLUMNS = 90
TERMINAL = ("scalestudy status {run}", "scalestudy run {run}.yaml --out {run}")
"""What the terminal shows; of a study that is complete, the second trains nothing."""
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
WINDOW = (1280, 1000)


def terminal(run: str) -> None:
    """Write what commands print in a terminal, as terminal.svg."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)}
    for template in TERMINAL:
        words = template.format(run=run).split()
        command = [sys.executable, "-m", "orchestrator", *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        console.print(f"[bold]$ {' '.join(words)}[/]", Text.from_ansi(done.stdout), sep="\n")
    console.save_svg(str(IMAGES / "terminal.svg"), title="scalestudy")


def page(run: str) -> None:
    """Write the first screen of the report's page, as report.png."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("report.png is left as it is: no chromium here")
        return
    size = f"--window-size={','.join(map(str, WINDOW))}"
    address = (Path(run) / "report" / "index.html").resolve().as_uri()
    picture = f"--screenshot={IMAGES / 'report.png'}"
    words = [chromium, *FLAGS, size, "--virtual-time-budget=5000", picture, address]
    subprocess.run(words, capture_output=True, check=True, timeout=120)


def figure(run: str) -> None:
    """Write accuracy by data, as data-size.png."""
    scalestudy.open(run).figure("data-size").savefig(IMAGES / "data-size.png", dpi=120)


if __name__ == "__main__":
    for make in (terminal, page, figure):
        make(sys.argv[1])
