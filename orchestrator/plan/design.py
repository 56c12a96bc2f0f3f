"""What is doubtful about a study's design: a sentence each, with what to change."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from orchestrator.ledger.stages import Stages
from orchestrator.study.inputs import Inputs
from orchestrator.study.study import Study

FEWEST_STEPS = 10
"""Updates an epoch."""
FEWEST_UPDATES = 1000
"""Of a whole trial; with fewer, that a small fraction is trained less shows beside its size."""
FEWEST_SIZES = 4
"""Data sizes: a power law has three parameters, and the fourth size is the first to check it."""
MOST_SEEN = 0.001
"""Share of the test images that may be training images too: a tenth of a point at most."""
_EDGED = ("lr", "weight_decay")
"""Tuned fields of which too little and too much both do harm."""
_NARROW = 5
"""Largest over smallest value of a grid, below which its best is likely at an edge."""


def design_warnings(study: Study, stages: Stages, inputs: Inputs) -> list[str]:
    """Return what is doubtful about a study that is otherwise sound."""
    return [
        *_seeds(study),
        *_selection(study),
        *_seen_images(inputs),
        *_few_steps(stages, inputs),
        *_unequal_updates(study, stages, inputs),
        *_few_sizes(study),
        *_one_lr(study),
        *_edges(study),
        *_idle_stopping(study, stages),
    ]


def _seeds(study: Study) -> Iterator[str]:
    if len(study.seeds) == 1:
        yield (
            "seeds: one seed gives no interval and no ranking; three or more do: seeds: [0, 1, 2]."
        )


def _selection(study: Study) -> Iterator[str]:
    if study.data.validation == "test" and study.trainable != "simulated":
        yield (
            "data.validation: test selects on the test set, so that test accuracies are too good; "
            "0.1 holds a tenth of train out instead."
        )


def _seen_images(inputs: Inputs) -> Iterator[str]:
    if inputs.n_seen > MOST_SEEN * inputs.n_test:
        yield (
            f"data: {inputs.n_seen:,} of {inputs.n_test:,} test images, such as {inputs.seen}, are "
            "training images too, to the last byte, so that test accuracy rewards learning by "
            "heart; take them out of one of the two."
        )


def _few_steps(stages: Stages, inputs: Inputs) -> Iterator[str]:
    few = {}
    for cell in stages.cells:
        recipe = cell.recipes[0] if cell.recipes else None
        if recipe and recipe.epochs:
            steps = math.ceil(inputs.count(cell.cell["fraction"]) / recipe.batch_size)
            if steps < FEWEST_STEPS:
                few[str(cell.cell)] = steps
    if few:
        cell_name, steps = next(iter(few.items()))
        more = f" and {len(few) - 1} more cells" if len(few) > 1 else ""
        yield (
            f"{cell_name}{more}: {steps} updates an epoch, fewer than {FEWEST_STEPS}; a smaller "
            "batch_size, more epochs, or a budget in steps trains small fractions as long."
        )


def _unequal_updates(study: Study, stages: Stages, inputs: Inputs) -> Iterator[str]:
    """Say so where small fractions get less training, not only less data."""
    updates: dict[str, int] = {}
    for cell in stages.cells:
        count, fraction = inputs.count(cell.cell["fraction"]), str(cell.cell["fraction"])
        for recipe in cell.recipes:
            if recipe.epochs:
                asked = recipe.epochs * math.ceil(count / recipe.batch_size)
                updates[fraction] = min(asked, updates.get(fraction, asked))
    if len(updates) < 2:
        return
    (small, fewest), (large, most) = (
        pick(updates.items(), key=lambda entry: entry[1]) for pick in (min, max)
    )
    if fewest < FEWEST_UPDATES and most >= 2 * fewest:
        parts = stages.cells[0].recipes[0].intervals
        budget = math.ceil(most / parts) * parts
        yield (
            f"recipe.epochs: equal epochs are not equal updates: {fewest:,} at fraction {small}, "
            f"{most:,} at {large}, so that small fractions are trained less, not only on less "
            f"data; recipe: {{steps: {budget}, evaluations: {parts}}} instead of epochs trains all "
            "as long."
        )


def _few_sizes(study: Study) -> Iterator[str]:
    sizes = len(study.factors["fraction"])
    if not 1 < sizes < FEWEST_SIZES or study.is_race:
        return
    lacks = (
        "no curve can be fitted"
        if sizes < 3
        else "a fitted curve has nothing left to be checked by"
    )
    yield (
        f"factors.fraction: with {sizes} data sizes {lacks}, so that what more data would bring "
        "stays a guess; five tell more: fraction: [1/16, 1/8, 1/4, 1/2, 1]."
    )


def _one_lr(study: Study) -> Iterator[str]:
    """Say so where models from scratch and pretrained ones share an untuned learning rate."""
    weights = [str(level) for level in study.factors["weights"]]
    tuned = study.search is not None and "lr" in study.search.fields
    pretrained = [label for label in weights if label != "none"]
    if "none" in weights and pretrained and not tuned and "lr" not in study.factors:
        lr = study.recipe_of(study.cells()[0]).lr
        yield (
            f"recipe.lr: one lr ({lr:g}) for training from scratch and for fine-tuning "
            f"{pretrained[0]}, which seldom share their best, so that part of the difference may "
            "be the lr's; search: {lr: [3e-3, 1e-3, 3e-4, 1e-4]} tunes it in every cell."
        )


def _edges(study: Study) -> Iterator[str]:
    if study.search is None:
        return
    for field in _EDGED:
        values = study.search.fields.get(field)
        if not isinstance(values, list) or len(values) < 2:
            continue
        ordered = sorted(values)
        wider = ", ".join(f"{value:g}" for value in _widened(ordered))
        if len(ordered) == 2:
            yield (
                f"search.{field}: of two values the winner is always at an edge, and a better one "
                f"may lie beyond; try more: {field}: [{wider}]."
            )
        elif ordered[0] > 0 and ordered[-1] < _NARROW * ordered[0]:
            yield (
                f"search.{field}: from {ordered[0]:g} to {ordered[-1]:g} is a narrow grid, so that "
                f"its best is likely at an edge; reach further: {field}: [{wider}]."
            )


def _widened(ordered: Sequence[float]) -> list[float]:
    """Return a grid with one value more at each end, as far as the grid's own steps."""
    step = max(3.0, ordered[1] / ordered[0]) if ordered[0] > 0 else 10.0
    low = [ordered[0] / step] if ordered[0] > 0 else []
    return [*low, *ordered, ordered[-1] * step]


def _idle_stopping(study: Study, stages: Stages) -> Iterator[str]:
    """Say so where early stopping can never act."""
    rule = study.stopping
    if rule is None:
        if not isinstance(study.early_stopping, str | None):
            yield (
                "early_stopping: without search nothing competes inside a cell, so nothing is ever "
                "stopped; add a search, or compare: [fraction] for a race."
            )
        return
    sizes: Counter[tuple[str, ...]] = Counter()
    for wanted in stages.wanted.values():
        group = stages.group(wanted)
        if group:
            sizes[group] += 1
    expected = max((cell.expected for cell in stages.cells), default=0)
    largest = max([expected, *sizes.values()])
    budgets = [w.trial.recipe.intervals for w in stages.wanted.values()]
    if largest <= rule.reduction_factor:
        yield (
            f"early_stopping: at most {largest} trials compete and a rung stops nobody before it "
            f"holds {rule.reduction_factor} results, so nothing is ever stopped; search more "
            "recipes, or lower reduction_factor."
        )
    elif budgets and rule.grace >= max(budgets):
        yield (
            f"early_stopping: the first rung (grace {rule.grace}) is not before the end of the "
            f"longest trial ({max(budgets)} epochs), so nothing is ever stopped; lower grace."
        )
