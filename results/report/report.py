"""The report: page, figures and summary, written into the run directory."""

from datetime import UTC, datetime

from results.run import Run, open
from results.store.files import write_whole
from results.store.objects import Location


def write_report(run: str | Location | Run, refresh: float | None = None) -> Location:
    """Write a run's report, also while its study is under way.

    Parameters
    ----------
    run
        The run directory, or what `results.open` returned for it.
    refresh
        Seconds after which an open page looks for a newer one, for reports that are written again
        and again; never by default.

    Returns
    -------
    pathlib.Path or results.store.objects.ObjectPath
        `report/index.html` in it. Beside it lie every figure as PNG and SVG, and the summary as
        Parquet and CSV, one row per cell.

    Raises
    ------
    StoreError
        No study has run there, or the disk refuses.
    """
    # Charts and templates take a second to import, which reading frames should not cost.
    from results.report.html import begin_vega, write_frame, write_picture
    from results.report.page import render

    run = run if isinstance(run, Run) else open(run)
    folder = run.path / "report"
    begin_vega()
    pictures = {
        name: write_picture(folder, name, drawing.draw(), drawing.alt)
        for name, drawing in run.drawings.items()
    }
    write_frame(folder, "summary", run.summary())
    page = folder / "index.html"
    write_whole(page, render(run, pictures, datetime.now(UTC), refresh).encode())
    return page
