"""The answer of a study in a few items, made from its numbers. Analysis in, text out.

What is claimed follows `study.comparisons`, whose claims hold together; differences that they do
not decide are said to be not told apart. A difference has one interval, wherever it stands.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from results.analysis.analysis import Analysis
from results.analysis.comparisons import LEAST
from results.analysis.runs import records_of
from results.answer import sentences
from results.answer.levers import Step, headline, how_sure, levers_said, step_of
from results.answer.sentences import Sentence
from results.metric import ACCURACY
from results.phrases import few, listed

LEVERS, BEST, DATA, EVIDENCE = "levers", "best", "data", "evidence"
"""Topics of every answer that has them; those between `BEST` and `DATA` are factors."""
_MOST = 5


@dataclass(frozen=True)
class Answer:
    """What a study says."""

    headline: str
    """What to do next, in at most 25 words."""
    sure: str
    """How sure the first step is, empty where no probability is known."""
    steps: tuple[Step, ...]
    statements: tuple[Sentence, ...]
    """What matters next, a claim each, at most five."""
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
        BEST: sentences.best_said(study),
        **{name: sentences.factor_said(study, name) for name in varying if fair},
        DATA: sentences.data_said(study) if fair else "",
        EVIDENCE: sentences.evidence_said(study, findings),
    }
    items = tuple(Sentence(topic, text) for topic, text in said.items() if text)
    steps = tuple(step_of(study, row) for row in records_of(study.levers)) if fair else ()
    return Answer(headline(study), how_sure(study), steps, tuple(statements(study)), items)


def statements(study: Analysis) -> list[Sentence]:
    """Return the claims that matter next after the levers, at most five."""
    if study.ranked.empty or study.design.race:
        return []
    said = [*_best(study)]
    if study.is_ranked:
        for factor in study.factors:
            if rows := study.comparisons.of(LEAST, factor):
                text = f"{sentences.factor_name(factor)}: {sentences.at_little(study, rows)}"
                said.append(Sentence(factor, text))
        said += sentences.worth_of(study)
        for factor in study.factors:
            said += [Sentence(factor, text) for text in sentences.crossings_said(study, factor)]
    return said[:_MOST]


def _best(study: Analysis) -> Iterator[Sentence]:
    equals = sentences.equals_of(study)
    word = "Most accurate" if study.metric == ACCURACY else f"Best {study.measure}"
    if len(equals) == 1:
        images = equals[0]["n_train"]
        name = study.cells.name(equals[0], study.others("fraction"))
        text = f"{word}, with {images:,.0f} images: {name}"
    else:
        alike = "Equally accurate, and best" if study.metric == ACCURACY else word
        text = f"{alike}: {listed(few([study.name(row) for row in equals]))}"
    doubt = sentences.learnt_nothing(study)
    yield Sentence("best", text + (f", {doubt}" if doubt else ""), sentences.value_of(study))
    less = sentences.with_less_data(study) if study.is_ranked else None
    if less is not None:
        name = study.name(less, "fraction") or "the same"
        text = f"May do as well, with {less['n_train']:,.0f} images: {name}"
        yield Sentence("best", text, study.metric.value(less["accuracy"]))
