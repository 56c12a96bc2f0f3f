"""The example notebook runs, and holds no output that could grow old."""

import html
import re
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
NOTEBOOK = Path(__file__).parents[1] / "examples" / "read-results.ipynb"


@pytest.fixture(scope="module")
def executed() -> Any:
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return notebook


def output(notebook: Any, source: str) -> str:
    """Return what the first cell that holds `source` printed or showed."""
    cell = next(cell for cell in notebook.cells if source in cell.source)
    parts = [
        part.get("text") or part["data"].get("text/plain", "")
        for part in cell.outputs
        if part.output_type != "error"
    ]
    return "".join(parts)


def test_the_file_holds_no_output() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert len(cells) > 10
    assert all(not cell.outputs and not cell.execution_count for cell in cells if "outputs" in cell)


def test_tables_answer_and_figures(executed: Any) -> None:
    cell = next(cell for cell in executed.cells if "run_study(" in cell.source)
    assert cell.outputs[-1]["data"]["text/plain"] == "0"
    assert "final_test_accuracy" in output(executed, "run.trials()")
    assert "\n11 " in output(executed, "run.summary()")
    answer = output(executed, "answer.headline")
    assert answer.count("\n- ") > 3
    assert "headline" in output(executed, "analysis.forecasts")
    assert "local power law" in output(executed, "predict_error(sizes")


def test_a_run_shows_how_far_it_is(executed: Any) -> None:
    cell = next(cell for cell in executed.cells if "run_study(" in cell.source)
    shown = "".join(part["data"].get("text/html", "") for part in cell.outputs if "data" in part)
    text = html.unescape(re.sub(r"<[^>]+>", "", shown))
    assert "0 %, 36 planned" in text
    assert "100 %, 72 completed" in text


@pytest.mark.parametrize("name", ["data-size", "learning-curves"])
def test_a_figure_is_shown_as_a_picture(executed: Any, name: str) -> None:
    cell = next(cell for cell in executed.cells if f'run.figure("{name}")' in cell.source)
    assert any("image/png" in part.get("data", {}) for part in cell.outputs)
