"""Two studies side by side, as a frame and as a page."""

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from results.analysis.cells import records_of
from results.run import Run, open
from results.store.files import write_whole
from results.store.objects import Location, located
from results.store.store import refuse_run

if TYPE_CHECKING:
    from results.pairs.pair import Pair


def compare(first: str | Location | Run, second: str | Location | Run) -> pd.DataFrame:
    """Put two studies side by side, one row per cell of either.

    Parameters
    ----------
    first, second
        Run directories, or what `results.open` returned for them.

    Returns
    -------
    DataFrame
        The factors; `where` (both, first, second); then, of each study with `_first` and
        `_second`: `images`, `state`, `seeds`, `accuracy` with `accuracy_low` and `accuracy_high`
        (points; t interval), `seconds` and `resource_seconds` (of one run), `resource` (gpu or
        cpu). Of the difference second − first, in points: `difference`, `low` and `high` (NaN
        where nothing gives an interval), `n_seeds`, `basis` (see `pair.Basis`, which says
        where that is so), `decided`, the same without seeds on which a recipe was chosen (ending
        in `_without_selection`), `error_ratio` (second / first), `cost_ratio` (of
        resource-seconds, where both are of one resource), `recipe` (which recipe fields differ, as
        `lr 0.001 → 0.01`), and `reason` (why a cell is not compared, empty where it is).

    Raises
    ------
    StoreError
        No study has run in one of them, or it cannot be read.
    """
    return _pair(first, second).cells


def write_comparison(
    first: str | Location | Run, second: str | Location | Run, folder: str | Location
) -> Location:
    """Write two studies side by side as one page that needs nothing else.

    Parameters
    ----------
    first, second
        Run directories, or what `results.open` returned for them.
    folder
        Where the page goes, its figure as PNG and SVG, and the cells as CSV and Parquet.

    Returns
    -------
    pathlib.Path or results.store.objects.ObjectPath
        `index.html` in it.

    Raises
    ------
    StoreError
        No study has run in one of them, or the disk refuses.
    ResultsError
        The folder belongs to a run directory.
    """
    # Charts and templates take a second to import, which the frame should not cost.
    from results.figures.differences import studies
    from results.pairs.page import ALT, render
    from results.report.html import write_picture

    pair, folder = _pair(first, second), located(folder)
    refuse_run(folder)
    both = pair.cells[pair.cells["where"] == "both"]
    both = both[both[["accuracy_first", "accuracy_second"]].notna().any(axis=1)]
    names = [pair.cell_name(row) for row in records_of(both)]
    picture = write_picture(folder, "differences", studies(both, names, pair.names), ALT)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(pair.cells, preserve_index=False), buffer)
    write_whole(folder / "comparison.parquet", buffer.getvalue())
    write_whole(folder / "comparison.csv", pair.cells.to_csv(index=False).encode())
    written_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    page = folder / "index.html"
    write_whole(page, render(pair, picture, written_at).encode())
    return page


def _pair(first: str | Location | Run, second: str | Location | Run) -> "Pair":
    # scipy takes longer to import than a table takes to read.
    from results.pairs.pair import Pair

    return Pair(*(run if isinstance(run, Run) else open(run) for run in (first, second)))
