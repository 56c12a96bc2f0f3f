"""The report: page, figures and summary, written into the run directory."""

import base64
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from results.files import write_whole
from results.location import Location
from results.run import Run, open

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 150
_SMALL = 150_000  # bytes of SVG that the page takes even where PNG is smaller


def write_report(run: str | Location | Run) -> Location:
    """Write a run's report, also while its study is under way.

    Parameters
    ----------
    run
        The run directory, or what `results.open` returned for it.

    Returns
    -------
    pathlib.Path or results.objects.ObjectPath
        `report/index.html` in it. Beside it lie every figure as PNG and SVG, and the summary as
        Parquet and CSV, one row per cell.

    Raises
    ------
    StoreError
        No study has run there, or the disk refuses.
    """
    # Charts and templates take a second to import, which reading frames should not cost.
    from results.page import Picture, render

    run = run if isinstance(run, Run) else open(run)
    folder = run.path / "report"
    pictures = {}
    for name, drawing in run.drawings.items():
        files = _drawn(drawing.draw())
        for ending, content in files.items():
            write_whole(folder / f"{name}.{ending}", content)
        pictures[name] = Picture(name, drawing.alt, _data_uri(files))
    summary = run.summary()
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(summary, preserve_index=False), buffer)
    write_whole(folder / "summary.parquet", buffer.getvalue())
    write_whole(folder / "summary.csv", summary.to_csv(index=False).encode())
    written_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    page = folder / "index.html"
    write_whole(page, render(run, pictures, written_at).encode())
    return page


def _drawn(figure: "Figure") -> dict[str, bytes]:
    import matplotlib

    files = {}
    engine = figure.get_layout_engine()
    if engine is not None:
        # Measured once, rather than for each file.
        engine.execute(figure)
        figure.set_layout_engine("none")
    # Text stays text in SVG, and the same figure gives the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "scalestudy"}):
        for ending in ("png", "svg"):
            buffer = io.BytesIO()
            metadata = {"Date": None} if ending == "svg" else None
            figure.savefig(buffer, format=ending, dpi=_DOTS_PER_INCH, metadata=metadata)
            files[ending] = buffer.getvalue()
    return files


def _data_uri(files: dict[str, bytes]) -> str:
    sharp = len(files["svg"]) <= max(_SMALL, len(files["png"]))
    kind, ending = ("svg+xml", "svg") if sharp else ("png", "png")
    return f"data:image/{kind};base64,{base64.b64encode(files[ending]).decode()}"
