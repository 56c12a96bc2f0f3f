"""What stands against a study's design before it runs: the rules of `results.findings.rules`."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from orchestrator.ledger.stages import Stages
from orchestrator.study.inputs import Inputs
from orchestrator.study.study import Study
from results.analysis.board import UNEQUAL_CLASSES
from results.findings import rules
from results.findings.finding import Finding, Severity, note, warning
from results.metric import ACCURACY
from results.phrases import count, percent
from trainables.data.splits import share_to_count

_EDGED = ("lr", "weight_decay")
"""Tuned fields of which too little and too much both do harm."""


def design_findings(study: Study, stages: Stages, inputs: Inputs) -> list[Finding]:
    """Return what stands against the comparisons of a study that is otherwise sound."""
    return [
        *_scores(study, inputs),
        *(
            Finding(Severity(said.severity), said.code, f"data: {said.text}", said.advice)
            for said in (inputs.inventory.notes if inputs.inventory else ())
        ),
        *_few_steps(stages, inputs),
        *_unequal_updates(stages, inputs),
        *_few_sizes(study, inputs),
        *_one_lr(study),
        *_frozen(study),
        *_edges(study),
        *_idle_stopping(study, stages),
        *inputs.findings,
    ]


def _scores(study: Study, inputs: Inputs) -> Iterator[Finding]:
    if rules.has_few_seeds(len(study.first_seeds)):
        yield rules.SEEDS(
            "seeds: one seed gives no interval and no ranking",
            "three or more do: seeds: [0, 1, 2]",
        )
    if study.data.validation == "test" and study.trainable != "simulated":
        yield rules.SELECTION(
            "data.validation: test selects on the test set, so that test accuracies are too good",
            "0.1 holds a tenth of train out instead",
        )
    info = inputs.info
    tested = np.bincount(inputs.test_labels) if inputs.test_labels is not None else np.zeros(1, int)
    if tested.max() > UNEQUAL_CLASSES * tested.min() > 0 and study.metric == ACCURACY:
        share = percent(tested.max() / tested.sum())
        name = info.class_names[int(tested.argmax())] if info else "the largest class"
        yield note(
            "unequal-classes",
            f"data: {share} of the test images are {name}, so that guessing it alone has an "
            f"accuracy of {share}",
            "balanced accuracy is shown beside; metric: balanced_accuracy judges by it",
        )


def _few_steps(stages: Stages, inputs: Inputs) -> Iterator[Finding]:
    few = {}
    for cell in stages.cells:
        for recipe in cell.recipes[:1]:
            steps = math.ceil(inputs.count(cell.cell["fraction"]) / recipe.batch_size)
            if recipe.epochs and rules.has_few_steps(steps):
                few[str(cell.cell)] = steps
    if few:
        cell_name, steps = next(iter(few.items()))
        more = f" and {count(len(few) - 1, 'more cell')}" if len(few) > 1 else ""
        updates = f"{count(steps, 'update')} an epoch"
        yield rules.STEPS(
            f"{cell_name}{more}: {updates}, fewer than {rules.FEWEST_STEPS}",
            "a smaller batch_size, or a budget in steps, trains small fractions as long",
        )


def _unequal_updates(stages: Stages, inputs: Inputs) -> Iterator[Finding]:
    updates: dict[str, int] = {}
    for cell in stages.cells:
        count, fraction = inputs.count(cell.cell["fraction"]), str(cell.cell["fraction"])
        for recipe in cell.recipes:
            if recipe.epochs:
                asked = recipe.epochs * math.ceil(count / recipe.batch_size)
                updates[fraction] = min(asked, updates.get(fraction, asked))
    small, large = (pick(updates, key=updates.__getitem__, default="") for pick in (min, max))
    fewest, most = updates.get(small, 0), updates.get(large, 0)
    if small != large and rules.has_unequal_updates(fewest, most):
        parts = stages.cells[0].recipes[0].intervals
        budget = math.ceil(most / parts) * parts
        yield rules.UPDATES(
            f"recipe.epochs: equal epochs are not equal updates: {fewest:,} at fraction {small}, "
            f"{most:,} at {large}, so that small fractions are trained less, not only on less data",
            f"recipe: {{steps: {budget}, evaluations: {parts}}} instead of epochs trains all as "
            "long",
        )


def _few_sizes(study: Study, inputs: Inputs) -> Iterator[Finding]:
    sizes = len(study.factors["fraction"])
    if not rules.has_few_sizes(sizes) or study.is_race:
        return
    lacks = "a fitted curve has nothing left to be checked by"
    lacks = "no curve can be fitted" if sizes < 3 else lacks
    counts = {size: share_to_count(Fraction(size), inputs.n_train) for size in rules.ADVISED_SIZES}
    possible = [size for size, n in counts.items() if n >= max(inputs.fewest, inputs.n_classes)]
    advice = "smaller ones leave classes without images"
    if len(possible) > sizes:
        advice = f"{len(possible)} tell more: fraction: [{', '.join(possible)}]"
    yield rules.SIZES(
        f"factors.fraction: with {sizes} data sizes {lacks}, so that what more data would bring "
        "stays a guess",
        advice,
    )


def _one_lr(study: Study) -> Iterator[Finding]:
    weights = [str(level) for level in study.factors["weights"]]
    tuned = study.search is not None and "lr" in study.search.fields
    if rules.shares_lr(weights, tuned or "lr" in study.factors):
        lr = next(study.recipe_space.recipes())[1].lr
        pretrained = next(label for label in weights if label != "none")
        yield rules.ONE_LR(
            f"recipe.lr: one lr ({lr:g}) for training from scratch and for fine-tuning "
            f"{pretrained}, which seldom share their best, so that part of the difference may be "
            "the lr's",
            "search: {lr: [3e-3, 1e-3, 3e-4, 1e-4]} tunes it in every cell",
        )


def _frozen(study: Study) -> Iterator[Finding]:
    frozen = [recipe for _, recipe in study.recipe_space.recipes() if recipe.freeze == "backbone"]
    if frozen and "none" in map(str, study.factors["weights"]):
        yield warning(
            "frozen-scratch",
            "recipe.freeze: backbone with weights none trains a head on what random weights make "
            "of the images",
            "freeze pretrained weights alone",
        )
    if any(recipe.keeps_features for recipe in frozen):
        yield note(
            "frozen-features",
            "recipe.freeze: heads are trained on features, which are computed once for all trials "
            "of a backbone that scale the images alike, and kept in the cache folder",
        )
    if not all(recipe.keeps_features for recipe in frozen):
        yield note(
            "frozen-in-place",
            "recipe.freeze: heads are trained in place, since the images are others in every pass",
            "without augmentation, mixup and cutmix, features are computed once",
        )


def _edges(study: Study) -> Iterator[Finding]:
    for field in _EDGED:
        values = study.search.fields.get(field) if study.search else None
        ordered = sorted(values) if isinstance(values, list) else []
        if len(ordered) < 2 or not rules.is_narrow(ordered):
            continue
        why = "of two values the winner is always at an edge, and a better one may lie beyond"
        advice = "try more"
        if len(ordered) > 2:
            span = f"from {ordered[0]:g} to {ordered[-1]:g}"
            why = f"{span} is a narrow grid, so that its best is likely at an edge"
            advice = "reach further"
        wider = ", ".join(f"{value:g}" for value in _widened(ordered))
        yield rules.GRID(f"search.{field}: {why}", f"{advice}: {field}: [{wider}]")


def _widened(ordered: Sequence[float]) -> list[float]:
    """Return a grid with one value more at each end, as far as the grid's own steps."""
    step = max(3.0, ordered[1] / ordered[0]) if ordered[0] > 0 else 10.0
    low = [ordered[0] / step] if ordered[0] > 0 else []
    return [*low, *ordered, ordered[-1] * step]


def _idle_stopping(study: Study, stages: Stages) -> Iterator[Finding]:
    rule = study.stopping
    groups = Counter(filter(None, map(stages.group, stages.wanted.values())))
    largest = max([*(cell.expected for cell in stages.cells), *groups.values()], default=0)
    longest = max((w.trial.recipe.intervals for w in stages.wanted.values()), default=0)
    if rule is None:
        if isinstance(study.early_stopping, str | None):
            return
        why = "without search nothing competes inside a cell"
        advice = "add a search, or compare: [fraction] for a race"
    elif largest <= rule.reduction_factor:
        why = f"at most {largest} trials compete, and {rule.reduction_factor} at least pass a rung"
        advice = "search more recipes, or lower reduction_factor"
    elif longest and rule.grace >= longest:
        why = (
            f"the first rung (grace {rule.grace}) is not before the end of the longest trial "
            f"({longest} epochs)"
        )
        advice = "lower grace"
    else:
        return
    yield warning("idle-stopping", f"early_stopping: {why}, so nothing is ever stopped", advice)
