"""What more data would buy the best cell. Analysis in, text out."""

from results.analysis.analysis import Analysis
from results.analysis.comparisons import MOST
from results.analysis.runs import by_cell
from results.phrases import cell_key


def data_said(study: Analysis) -> str:
    """Say what is forecast of twice the data, or why nothing is; empty where data does not vary."""
    cells = study.comparisons.cells
    if cells.empty or not study.varies("fraction"):
        return ""
    top = cells[cells["fraction"] == cells["fraction"].max()].iloc[0]
    series = study.others("fraction")
    if not study.metric.is_percent:
        return "Twice the data: no forecast, since only those of accuracies are calibrated."
    row = by_cell(study.forecasts, series)[cell_key(top, series)].iloc[0]
    name = study.name(top, "fraction")
    of, now, then = f" of {name}" if name else "", row["error"], row["headline"]
    if row["refusal"]:
        kept = (
            "; the last measured step stands for it"
            if study.comparisons.of(MOST, "fraction")
            else ""
        )
        return f"Twice the data: no forecast{of}, since {row['refusal']}{kept}."
    return (
        f"Twice the data: the error{of}, {now:.1f} % with {row['n_train']:,.0f} images, is "
        f"forecast to be {then:.1f} % with {row['at']:,.0f}, calibrated on {row['calibrated_on']}."
    )
