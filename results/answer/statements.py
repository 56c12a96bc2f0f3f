"""What a study says beside its levers, a claim and its number each. Analysis in, text out."""

from collections.abc import Iterator
from dataclasses import dataclass

from results.analysis.analysis import Analysis
from results.analysis.comparisons import LEAST, Comparison
from results.answer.best import equals_of, learnt_nothing, value_of, with_less_data
from results.answer.factors import crossings_of, worth_of
from results.metric import ACCURACY
from results.phrases import few, level_label, listed

_MOST = 5


@dataclass(frozen=True)
class Statement:
    """One claim."""

    text: str
    """What is claimed, without its number."""
    value: str
    """The number with its unit and interval."""
    topic: str
    """best or a factor: what the claim is of."""


def statements(study: Analysis) -> list[Statement]:
    """Return the claims that matter next after the levers, at most five."""
    if study.ranked.empty or study.design.race:
        return []
    said = [*_best(study)]
    if study.is_ranked:
        for factor in study.factors:
            said += _at_little(study, study.comparisons.of(LEAST, factor))
        if found := worth_of(study):
            text = f"From scratch, the {study.metric.name} of {found[0]} takes"
            said.append(Statement(text, f"{found[1]} the data", "weights"))
        said += [
            Statement(
                f"{row['big']} overtakes {row['small']} as data grows",
                f"{row['bracket_low']:,.0f} to {row['bracket_high']:,.0f} images",
                "model",
            )
            for row in crossings_of(study)
        ]
    return said[:_MOST]


def _best(study: Analysis) -> Iterator[Statement]:
    equals = equals_of(study)
    word = "Most accurate" if study.metric == ACCURACY else f"Best {study.measure}"
    if len(equals) == 1:
        images = equals[0]["n_train"]
        name = study.name(equals[0], "fraction") or study.design.name
        text = f"{word}, with {images:,.0f} images: {name}"
    else:
        alike = "Equally accurate, and best" if study.metric == ACCURACY else word
        text = f"{alike}: {listed(few([study.name(row) for row in equals]))}"
    doubt = learnt_nothing(study)
    yield Statement(text + (f", {doubt}" if doubt else ""), value_of(study), "best")
    less = with_less_data(study) if study.is_ranked else None
    if less is not None:
        name = study.name(less, "fraction") or "the same"
        text = f"May do as well, with {less['n_train']:,.0f} images: {name}"
        yield Statement(text, study.metric.value(less["accuracy"]), "best")


def _at_little(study: Analysis, rows: list[Comparison]) -> Iterator[Statement]:
    """Say how a factor's best level stands against the nearest other where data is least."""
    if not rows:
        return
    decided = [row for row in rows if row.is_decided]
    row = (decided or rows)[0]
    images = study.comparisons.cells["n_train"][row.best]
    best, other = (level_label(row.factor, v, bare=True) for v in (row.best_level, row.level))
    gain, low, high = (study.metric.change(value) for value in (row.gain, row.low, row.high))
    ends = f"{gain} ({low} to {high})"
    stands = f"{best} is ahead of {other}"
    if not row.is_decided:
        stands = f"{best} and {other} are not told apart"
    what = row.factor.replace("_", " ").capitalize()
    yield Statement(f"{what}, with {images:,.0f} images: {stands}", ends, row.factor)
