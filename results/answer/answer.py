"""The answer of a study in a few items, made from its numbers. Analysis in, text out.

What is claimed follows `study.comparisons`, whose claims hold together; differences that they do
not decide are said to be not told apart. A difference has one interval, wherever it stands.
"""

from dataclasses import dataclass

import pandas as pd

from results.analysis.analysis import Analysis
from results.analysis.runs import model_sizes, records_of
from results.answer.best import best_said
from results.answer.evidence import evidence_said
from results.answer.factors import data_said, factor_said
from results.answer.levers import Step, headline, how_sure, levers_said, step_of
from results.answer.statements import Statement, statements
from results.phrases import listed

LEVERS, BEST, DATA, EVIDENCE = "levers", "best", "data", "evidence"
"""Topics of every answer that has them; those between `BEST` and `DATA` are factors."""


@dataclass(frozen=True)
class Sentence:
    """One item of the answer."""

    topic: str
    """levers, best, a factor, data or evidence: which section of the report says more."""
    text: str
    """Plain text: one sentence, or a few short ones, each of which makes one claim."""


@dataclass(frozen=True)
class Answer:
    """What a study asked and what it says."""

    question: str
    """Plain text."""
    headline: str
    """What to do next, in at most 25 words."""
    sure: str
    """How sure the first step is, empty where no probability is known."""
    steps: tuple[Step, ...]
    """The levers, the largest gain first."""
    statements: tuple[Statement, ...]
    """What matters next, a claim and its number each, at most five."""
    sentences: tuple[Sentence, ...]
    """In the order levers, best, factors, data, evidence; what has nothing to say is left out."""

    @property
    def text(self) -> str:
        """The sentences as one paragraph."""
        return " ".join(sentence.text for sentence in self.sentences)

    def of(self, topic: str) -> str:
        """Return the sentence of a topic, empty where there is none."""
        return " ".join(said.text for said in self.sentences if said.topic == topic)


def answer(study: Analysis, findings: pd.DataFrame) -> Answer:
    """State what a study's analysis says, beside the findings that stand against it.

    Sentences are of the factors that vary; in a race nothing is compared.
    """
    varying = [name for name in study.factors if name != "fraction" and study.varies(name)]
    fair = not study.design.race
    said = {
        LEVERS: levers_said(study) if fair else "",
        BEST: best_said(study),
        **{name: factor_said(study, name) for name in varying if fair},
        DATA: data_said(study) if fair else "",
        EVIDENCE: evidence_said(study, findings),
    }
    items = tuple(Sentence(topic, text) for topic, text in said.items() if text)
    steps = tuple(step_of(study, row) for row in records_of(study.levers)) if fair else ()
    return Answer(
        _question(study), headline(study), how_sure(study), steps, tuple(statements(study)), items
    )


def _question(study: Analysis) -> str:
    has_sizes = model_sizes(study.runs).nunique() != 1
    model = "a bigger model" if has_sizes else "another model"
    named = {"model": model, "weights": "pretrained weights", "fraction": "more data"}
    parts = [
        named.get(name, f"another {name.replace('_', ' ')}")
        for name in study.factors
        if study.varies(name)
    ]
    if not parts:
        return "How accurate is this recipe?"
    if len(parts) == 1:
        return f"Would {parts[0]} help on this task, and what does it cost?"
    return f"Would {listed(parts, 'or')} help more on this task, and what does each cost?"
