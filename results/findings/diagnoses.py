"""Every pitfall that a study's own records show. Frames in, frame out.

Severities, codes and advice are listed in docs/statistics.md.
"""

from collections.abc import Callable, Sequence

import pandas as pd

from results.analysis.estimates import cell_estimates, compared_runs, selection_optimism
from results.findings.evidence import evidence_findings
from results.findings.fairness import fairness_findings
from results.findings.finding import Finding, Severity, findings_frame
from results.findings.symptoms import training_findings
from results.phrases import STANDARD_FACTORS

_OPTIMISM = 0.1  # points below which it is not worth a line


def diagnose(
    trials: pd.DataFrame,
    epochs: pd.DataFrame,
    factors: Sequence[str] = STANDARD_FACTORS,
    seeds: Sequence[int] | None = None,
    race: bool = False,
    environments: pd.DataFrame | None = None,
    predictions: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return everything that the records warn of.

    Parameters
    ----------
    trials, epochs, environments, predictions
        The study's tables.
    factors
        Columns that name a cell.
    seeds
        The study's seeds; by default those of the wanted trials.
    race
        The study has no measure stage.

    Returns
    -------
    DataFrame
        One row per finding, the gravest first: `severity` (error, warning, note), `code`, `cell`
        (empty where it is about the whole study), `evidence`, `advice`. All text.
    """
    cells = cell_estimates(trials, factors, seeds, race)
    runs = compared_runs(trials, race)
    return diagnose_cells(trials, epochs, cells, runs, factors, race, environments, predictions)


def diagnose_cells(
    trials: pd.DataFrame,
    epochs: pd.DataFrame,
    cells: pd.DataFrame,
    runs: pd.DataFrame,
    factors: Sequence[str],
    race: bool,
    environments: pd.DataFrame | None,
    predictions: pd.DataFrame | None,
    differences: Callable[[str], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Do as `diagnose`, for those who have cells, compared runs and differences already."""
    return findings_frame(
        [
            *evidence_findings(trials, cells, runs, factors, race, predictions, differences),
            *training_findings(trials, runs, epochs, factors, race),
            *fairness_findings(trials, runs, epochs, factors, environments),
            *_optimism(runs, epochs),
        ]
    )


def _optimism(runs: pd.DataFrame, epochs: pd.DataFrame) -> list[Finding]:
    table = selection_optimism(epochs[epochs["trial_id"].isin(runs["trial_id"])])
    if table.empty or table["optimism"].mean() < _OPTIMISM:
        return []
    return [
        Finding(
            "best-epoch",
            Severity.NOTE,
            "",
            f"choosing each run's epoch on the test set would add {table['optimism'].mean():.2f} "
            f"points on average ({table['optimism'].max():.2f} at most) to choosing on validation",
            "nothing: the report uses the final epoch; keep this in mind against other papers",
        )
    ]
