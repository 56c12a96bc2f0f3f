"""What every page is made of: templates beside this package, figures and scripts held within."""

import base64
import hashlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from importlib import resources
from typing import IO, TYPE_CHECKING, Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from results.analysis.runs import records_of
from results.errors import ResultsError
from results.phrases import is_absent, level_label
from results.store.files import write_whole
from results.store.objects import Location

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 150
_BUNDLE = """
import sys, vl_convert
script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
sys.stdout.buffer.write(script.encode())
"""


@dataclass(frozen=True)
class Table:
    """Rows as the page shows them."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    more: frozenset[int] = frozenset()
    """Places of the columns that are shown when asked for."""

    @cached_property
    def decimals(self) -> list[int]:
        """Number of decimals of each column: its largest number shows four significant digits."""
        found = []
        for values in zip(*self.rows, strict=True):
            numbers = [abs(value) for value in values if isinstance(value, int | float)]
            most = max(numbers, default=0)
            are_whole = most == 0 or all(isinstance(value, int) for value in numbers)
            found.append(0 if are_whole else int(np.clip(3 - np.floor(np.log10(most)), 0, 5)))
        return found


def write_frame(folder: Location, name: str, frame: pd.DataFrame) -> None:
    """Write a frame as Parquet and as CSV; raises StoreError where the disk refuses."""
    write_whole(folder / f"{name}.parquet", frame.to_parquet(index=False))
    # No spreadsheet is to take a text for a formula; numbers stay numbers.
    text = frame.select_dtypes(["object", "string"])
    text = text.replace(r"^([=+\-@\t\r])", r"'\1", regex=True)
    guarded = frame.assign(**{str(name): text[name] for name in text})
    write_whole(folder / f"{name}.csv", guarded.to_csv(index=False).encode())


def table_of(
    caption: str,
    frame: pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    factors: Sequence[str] = (),
    most: int = 500,
    more: Sequence[str] = (),
) -> Table:
    """Return a table of some columns of a frame; those without any value are left out.

    Columns have their headings, in order, by default their names; levels of factors are written as
    people write them. Bools are shown as yes and no, what is absent as –; of more than `most` rows
    the caption says how many there are. Columns named in `more` are shown when asked for.
    """
    shown = {
        name: heading
        for name, heading in (columns or {str(name): str(name) for name in frame}).items()
        if name in frame and (frame[name].notna() & (frame[name].astype(str) != "")).any()
    }
    if len(frame) > most:
        caption += f" (the first {most:,} of {len(frame):,})"
    written = {name: partial(level_label, name, bare=True) for name in factors}
    records = records_of(frame.head(most))
    rows = [[written.get(name, _value)(row[name]) for name in shown] for row in records]
    secondary = frozenset(place for place, name in enumerate(shown) if name in more)
    return Table(caption, list(shown.values()), rows, secondary)


def _value(value: Any) -> str | int | float | None:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if is_absent(value):
        return None
    if isinstance(value, float | np.floating):
        # Counts that pandas holds as floats, beside absent ones.
        return int(value) if float(value).is_integer() and value >= 1000 else float(f"{value:.6g}")
    return int(value) if isinstance(value, int | np.integer) else str(value)


def fill(template: str, scripts: Sequence[str], admitted: Sequence[str] = (), **values: Any) -> str:
    """Return a template with its values; only these scripts, and those it adds itself, may run."""
    loader = jinja2.PackageLoader("results.report", "templates")
    strict: dict[str, Any] = {"autoescape": True, "undefined": jinja2.StrictUndefined}
    environment = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, **strict)
    environment.filters["number"] = lambda value, n: f"{value:,.{n}f}".replace("-", "−")
    digests = (hashlib.sha256(script.encode()).digest() for script in (*scripts, *admitted))
    return environment.get_template(template).render(
        style=Markup(resource("page.css")),
        scripts=[Markup(script) for script in scripts],
        hashes=[f"sha256-{base64.b64encode(digest).decode()}" for digest in digests],
        **values,
    )


def as_data(value: Any) -> Markup:
    """Return JSON that stays data inside a script element, whatever text it holds."""
    escapes = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
    return Markup(json.dumps(value, allow_nan=False, separators=(",", ":")).translate(escapes))


def resource(name: str) -> str:
    """Return the text of a file that lies beside the templates."""
    return resources.files("results.report").joinpath("templates", name).read_text("utf-8")


@cache
def begin_vega() -> "tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]":
    """Have the charting library made into one script, beside whatever this process does next."""
    # More than a second, during which a thread would keep all others waiting. It waits for nobody.
    said, complaint = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
    made = [sys.executable, "-P", "-c", _BUNDLE]
    return subprocess.Popen(made, stdout=said, stderr=complaint), said, complaint


@cache
def vega() -> str:
    """Return the charting library as one script; raises ResultsError where it cannot be made."""
    for _ in range(2):
        making, said, complaint = begin_vega()
        with said, complaint:
            is_made = making.wait() == 0
            said.seek(0)
            complaint.seek(0)
            script, lines = said.read().decode(), complaint.read().decode(errors="replace")
        if is_made:
            return script
        # Memory may have been short, and be there again.
        begin_vega.cache_clear()
    reason = (lines.strip().splitlines() or ["no reason given"])[-1]
    raise ResultsError(
        f"the report's charting library cannot be made into a script ({reason}); install "
        "vl-convert-python again. The figures in the report's folder are whole."
    )


def data_address(kind: str, content: bytes) -> str:
    """Return a picture, of the kind png, jpeg or svg+xml, as an address that a page holds."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def write_figure(folder: Location, name: str, figure: "Figure") -> dict[str, bytes]:
    """Write a figure as PNG and SVG; return contents by ending; StoreError if the disk refuses."""
    import matplotlib

    files = {}
    if engine := figure.get_layout_engine():
        # Measured once, rather than for each file.
        engine.execute(figure)
        figure.set_layout_engine("none")
    # Text stays text in SVG, and the same figure gives the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "scalestudy"}):
        for ending, metadata in {"png": None, "svg": {"Date": None}}.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=ending, dpi=_DOTS_PER_INCH, metadata=metadata)
            files[ending] = buffer.getvalue()
            write_whole(folder / f"{name}.{ending}", files[ending])
    return files
