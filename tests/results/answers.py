"""What answers say topic by topic, of small tables of trials and of benchmarks/answers.py."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from runs_table import analysis_of, cell

from results.analysis.analysis import Analysis
from results.answer.answer import answer
from results.findings.findings import find

FRACTIONS = (0.25, 0.5, 1.0)
BENCHMARK = "benchmarks/answers.py"


def line(
    errors: Iterable[float], spread: float = 0.1, seeds: int = 3, **fields: Any
) -> list[dict[str, Any]]:
    """Return three fractions with seeds around the given errors in points."""
    rows = []
    for fraction, error in zip(FRACTIONS, errors, strict=True):
        shifts = [spread * (seed - (seeds - 1) / 2) for seed in range(seeds)]
        rows += cell([1 - (error + shift) / 100 for shift in shifts], fraction=fraction, **fields)
    return rows


def said_of(study: Analysis) -> dict[str, str]:
    """Return the items of a study's answer by topic, each checked to be whole sentences."""
    found = answer(study, find(study))
    assert all(item.text.endswith(".") for item in found.sentences)
    assert not re.search(r"\b(nan|None)\b", found.text)
    assert found.text == " ".join(item.text for item in found.sentences)
    return {item.topic: item.text for item in found.sentences}


def said(rows: Iterable[Mapping[str, Any]], **options: Any) -> dict[str, str]:
    """Return the items of the answer to rows of the table of trials."""
    return said_of(analysis_of(rows, **options))
