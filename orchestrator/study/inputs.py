"""What a study needs from outside its file: images, weights and models, found before training."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Timer
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import StudyError
from orchestrator.study.levels import Size
from orchestrator.study.study import TRAINABLES, Cell, Study
from results.findings.finding import Finding, note, warning
from trainables.data.splits import share_to_count
from trainables.errors import TrainableError
from trainables.functions import is_function, load_function
from trainables.recipe import Recipe, Sides, Stem
from trainables.trial import Trial, Weights

if TYPE_CHECKING:
    from trainables.data.decoding import Progress
    from trainables.data.info import DataInfo
    from trainables.data.inventory import Inventory

SLOW_SECONDS = 2.0
"""Seconds after which what is being looked at is named."""
Say = Callable[[str], None]
TRAINING_PASSES = 3
"""Forward passes of an image that training on it takes as long as: its own, and two backward."""
_MOST_TESTS = 10
"""Evaluations of the test set that a trial has at most with `test: auto`."""
_SIMULATED_IMAGES, _SIMULATED_CLASSES = 50_000, 10


@dataclass(frozen=True)
class Inputs:
    """Content hashes and sizes of all that a study names."""

    fingerprint: str
    pool_labels: NDArray[np.int64]
    """Classes of the training images once validation is carved out, (n_pool,)."""
    n_classes: int
    weights: dict[tuple[str, str], Weights]
    n_validation: int
    test_labels: NDArray[np.int64] | None
    """Classes of the test images, (n_test,); None where a trainable predicts nothing."""
    fewest: int = 0
    """Fewest images that every seed can draw without leaving a class empty."""
    sides: Sides | None = None
    decode_sizes: frozenset[Sides | None] = frozenset()
    """Heights and widths in pixels that images are decoded to; None is as they are."""
    info: "DataInfo | None" = None
    """What is known of the data set; None where nothing is read."""
    inventory: "Inventory | None" = None
    heads: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """`kept` or `fresh` by (model, label) of pretrained weights: what becomes of their heads."""
    findings: tuple[Finding, ...] = ()
    """What is doubtful about the study's own models, and to know of its own weights."""

    @property
    def n_train(self) -> int:
        """Number of images of the training pool."""
        return len(self.pool_labels)

    @property
    def n_test(self) -> int:
        """Number of test images; 0 where a trainable predicts nothing."""
        return 0 if self.test_labels is None else len(self.test_labels)

    @property
    def n_evaluated(self) -> int:
        """Number of images evaluated after each interval; those that also validate count once."""
        return self.n_validation + self.n_test

    def count(self, size: Size) -> int:
        """Return the number of images of a level of `fraction`; StudyError where it cannot be."""
        level = f"factors.fraction: {size}:"
        is_count = isinstance(size, int)
        count = int(size) if is_count else share_to_count(float(size), self.n_train)
        if count > self.n_train:
            raise StudyError(f"{level} the training pool holds {self.n_train} images.")
        if count < self.n_classes and is_count:
            raise StudyError(
                f"{level} a number of images is at least the number of "
                f"classes ({self.n_classes}); write a share as 1/16 or 0.5."
            )
        if count < self.n_classes:
            raise StudyError(
                f"{level} comes to {count} of {self.n_train} images, fewer than "
                f"the {self.n_classes} classes; each class needs one at least."
            )
        return count

    def share(self, size: Size) -> float:
        """Return the share of the training pool that a level of `fraction` comes to."""
        return self.count(size) / self.n_train if isinstance(size, int) else float(size)

    def tests(self, study: Study, trial: Trial) -> int:
        """Return how many times a trial evaluates the test set, at last after its last interval."""
        every, own = trial.recipe.intervals, study.trainable not in TRAINABLES
        if study.test == "every" or own or study.data.validation == "test":
            return every
        if study.search and trial.seed not in study.all_seeds:
            # Nothing compares its values, but that the tuned recipe is held against the stated one.
            return int(study.is_stated(trial.recipe))
        if study.test == "final":
            return 1
        if study.is_race or trial.recipe.keeps_features:
            # One that is stopped is compared too; and what is kept of images costs next to nothing.
            return min(_MOST_TESTS, every)
        # For half as long as it trains and validates.
        affordable = every * self._passes(trial) // max(1, 2 * self.n_test)
        return min(_MOST_TESTS, every, max(1, affordable))

    def longest(self, study: Study, trial: Trial) -> float:
        """Return how long an interval is that ends with the test set, in times of the mean one."""
        share = self.tests(study, trial) / trial.recipe.intervals
        passes = self._passes(trial)
        return (passes + self.n_test * bool(share)) / (passes + self.n_test * share)

    def _passes(self, trial: Trial) -> int:
        """Return about how many forward passes of an image an interval takes without the test."""
        of_each = 1 if trial.recipe.freeze == "backbone" else TRAINING_PASSES
        return of_each * trial.images_per_interval + self.n_validation

    def form(self, trial: Trial) -> tuple[str, int, Stem, Sides]:
        """Return what decides the layers of a trial's model, as `build_model` takes it."""
        sides = trial.recipe.sides or self.sides or (224, 224)
        return trial.model, trial.n_classes, trial.recipe.stem, sides

    def trial(self, study: Study, cell: Cell, recipe: Recipe, seed: int) -> Trial:
        """Return the trial of a cell with a recipe and a seed."""
        n_train = self.count(cell["fraction"])
        return Trial(
            trainable=study.trainable,
            data=study.data,
            fingerprint=self.fingerprint,
            n_pool=self.n_train,
            n_classes=self.n_classes,
            model=cell["model"],
            weights=self.weights[cell["model"], cell["weights"].label],
            fraction=self.share(cell["fraction"]),
            n_train=n_train,
            seed=seed,
            recipe=recipe,
        )


def find_inputs(study: Study, say: Say = lambda _: None) -> Inputs:
    """Find what a study names outside its file, or raise StudyError; `say` is told what is slow."""
    for name, library in study.trackers.missing().items() if study.trackers else ():
        raise StudyError(
            f"trackers.{name}: this Python has no {library}; pip install 'scalestudy[trackers]', "
            "or leave the tracker out."
        )
    try:
        inputs = _simulated(study) if study.trainable == "simulated" else _real(study, say)
    except TrainableError as error:
        raise StudyError(str(error)) from None
    _check_levels(study, inputs)
    return inputs


def _simulated(study: Study) -> Inputs:
    declared = study.data.validation_share
    share = 0 if declared == "test" else declared
    held_out = share_to_count(share, _SIMULATED_IMAGES) if share < 1 else int(share)
    most = _SIMULATED_IMAGES - _SIMULATED_CLASSES
    if held_out > most:
        raise StudyError(
            f"data.validation: {declared}: at most {most} of the {_SIMULATED_IMAGES} images that "
            "are simulated can be held out."
        )
    labels = np.arange(_SIMULATED_IMAGES - held_out, dtype=np.int64) % _SIMULATED_CLASSES
    # Nothing is read for a simulation, wherever it lies: the label stands for the content.
    weights = {
        (model, label): Weights(
            label=label,
            digest=None if label == "none" else hashlib.sha256(label.encode()).hexdigest(),
        )
        for model in study.factors["model"]
        for label in map(str, study.factors["weights"])
    }
    return Inputs("simulated", labels, _SIMULATED_CLASSES, weights, held_out, test_labels=None)


@contextmanager
def _named(what: object, say: Say) -> Iterator[None]:
    """Have it said what is being looked at where that takes long: it may be what hangs."""
    timer = Timer(SLOW_SECONDS, say, [f"looking at {what}"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _real(study: Study, say: Say) -> Inputs:
    if study.trainable not in TRAINABLES:
        try:
            load_function(study.trainable)
        except ImportError as error:
            raise StudyError(f"trainable: {error}.") from None
    from trainables.data.dataset import inspect
    from trainables.training.scores import FIVE

    with _named(f"data {study.data.path or study.data.source}", say):
        info = inspect(study.data)
        same = not study.data.is_function or inspect(study.data).fingerprint == info.fingerprint
    if not same:
        raise StudyError(
            f"data.source: {study.data.source} gives other images or labels when it is called "
            "again; fix its seed, such as with np.random.default_rng(0), and sort what it lists."
        )
    if study.metric.column == "top5" and info.n_classes <= FIVE:
        raise StudyError(
            f"metric: top5: of {info.n_classes} classes, the first five say nothing; name another."
        )
    pool, validation = info.training.held_out(study.data)
    seeds = {*study.all_seeds, *([study.search_seed] if study.search else [])}
    decode_sizes, doubts = _check_images(study, info, say)
    weights, heads, notes = _find_weights(study, info, say)
    inputs = Inputs(
        fingerprint=info.fingerprint,
        pool_labels=info.train_labels[pool],
        n_classes=info.n_classes,
        weights=weights,
        n_validation=len(validation),
        test_labels=info.test_labels,
        fewest=info.training.fewest(pool, seeds),
        sides=info.sides,
        decode_sizes=decode_sizes,
        heads=heads,
        findings=(*doubts, *notes),
        info=info,
        inventory=_inventory(study, info),
    )
    smallest = min(inputs.count(size) for size in study.factors["fraction"])
    if smallest < inputs.fewest:
        for seed in seeds:
            # Raises, with the class that would be empty and the smallest number that works.
            info.training.draw(pool, smallest, seed)
    return inputs


def look_at_images(study: Study, inputs: Inputs, progress: "Progress | None" = None) -> Inputs:
    """Decode the images once on this node; return what is known then. StudyError: damaged ones."""
    if not inputs.decode_sizes:
        return inputs
    from trainables.data.dataset import look_at

    try:
        info = look_at(study.data, sorted(inputs.decode_sizes, key=str), progress)
    except TrainableError as error:
        raise StudyError(f"{study.name}: {error}") from None
    if info.fingerprint != inputs.fingerprint:
        return find_inputs(study)
    return replace(inputs, info=info, inventory=_inventory(study, info))


def examples_of(study: Study, inputs: Inputs) -> list[dict[str, Any]]:
    """Return a row per test image: its class by name, where it is found again, what it copies."""
    info = inputs.info
    if info is None:
        return []
    from trainables.data.dataset import places

    copies = dict(info.known_copies.test)
    train = places(study.data, info, "train") if copies else []
    each = zip(info.test_labels, places(study.data, info, "test"), strict=True)
    return [
        {
            "test_fingerprint": info.test_fingerprint,
            "example": number,
            "label": int(label),
            "class": info.class_names[label],
            "place": place,
            "copy_of": train[copies[number]] if number in copies else None,
            "image": int(info.test_images[number]) if info.test_images.size else None,
        }
        for number, (label, place) in enumerate(each)
    ]


def _inventory(study: Study, info: "DataInfo") -> "Inventory":
    from trainables.data.inventory import take_stock

    _, validating = info.training.held_out(study.data)
    goals = {recipe.sides for _, recipe in study.recipe_space.recipes()}
    return take_stock(info, study.data, validating, goals)


def _check_images(
    study: Study, info: "DataInfo", say: Say
) -> tuple[frozenset[Sides | None], list[Finding]]:
    """Refuse images that a model cannot take, or without room; return decode sizes and doubts."""
    from trainables.data.dataset import decode_size, is_stored
    from trainables.models.facts import check_input, head_layer

    sizes: set[Sides | None] = set()
    doubts: dict[str, None] = {}
    for stem, goal, single, is_frozen in sorted(_forms(study), key=str):
        info.decoded_bytes(goal)
        sizes.add(decode_size(study.data, goal))
        if study.trainable == "classifier":
            for model in study.factors["model"]:
                form = model, info.n_classes, stem, goal or info.sides or (0, 0)
                with _named(f"model {model}", say):
                    check_input(*form, single)
                    if is_frozen:
                        head_layer(*form)
                    if is_function(model):
                        from trainables.models.rehearsal import doubts_of

                        doubts |= dict.fromkeys(f"model {model}: {one}" for one in doubts_of(*form))
    for size in sizes:
        is_stored(study.data, info, size)
    return frozenset(sizes), [warning("own-model", doubt) for doubt in doubts]


def _forms(study: Study) -> set[tuple[Stem, Sides | None, bool, bool]]:
    """Return each stem and image size of models, whether batches are of one, and frozen or not."""
    return {
        (recipe.stem, recipe.sides, recipe.batch_size == 1, recipe.freeze == "backbone")
        for _, recipe in study.recipe_space.recipes()
    }


def _find_weights(
    study: Study, info: "DataInfo", say: Say
) -> tuple[dict[tuple[str, str], Weights], dict[tuple[str, str], str], list[Finding]]:
    """Return weights and what becomes of their heads by (model, label), and notes on them."""
    forms = {(stem, goal or info.sides or (224, 224)) for stem, goal, *_ in _forms(study)}
    found: dict[tuple[str, str], Weights] = {}
    heads: dict[tuple[str, str], str] = {}
    notes = []
    for model in study.factors["model"]:
        for level in study.factors["weights"]:
            if level.label == "none":
                # Without a look at torchvision, which takes seconds to import.
                found[model, level.label] = Weights()
                continue
            from trainables.models.weights import check_weights, resolve_weights

            said = level.own.model_dump(exclude={"path"}) if level.own else {}
            file = level.path_for(model)
            with _named(f"weights {file or level.label} of {model}", say):
                weights = resolve_weights(model, level.label, file, **said)
                for stem, sides in forms:
                    fit = check_weights(weights, model, info.n_classes, stem, sides)
                    if fit is not None:
                        heads[model, level.label] = fit.head
            if fit is not None and fit.beside:
                others = " and ".join(fit.beside) or "the top"
                notes.append(
                    f"weights {level.label} of {model}: taken from {fit.taken or 'the top'} of the "
                    f"file, where {others} would do as well"
                )
            found[model, level.label] = weights
    unknown = {w.label for w in found.values() if w.file and not w.name and not w.normalization}
    mean = "normalised by the data's mean, as theirs is unknown"
    notes += [f"weights {label}: {mean}" for label in sorted(unknown)]
    advice = "`entry` and `normalization` beside their path say otherwise"
    return found, heads, [note("weights", said, advice) for said in notes]


def _check_levels(study: Study, inputs: Inputs) -> None:
    """Refuse levels that turn out to be one once sizes and file contents are known."""
    contents: list[tuple[str, Any, str, str]] = [
        ("fraction", size, f"{inputs.count(size)} images each", "")
        for size in study.factors["fraction"]
    ]
    for model in study.factors["model"]:
        for level in study.factors["weights"]:
            content = str(inputs.weights[model, level.label].identity)
            contents.append(("weights", level, f"the same content for {model}", content))
    seen: dict[tuple[str, str], Any] = {}
    for factor, level, same, content in contents:
        if (twin := seen.setdefault((same, content), level)) is not level:
            raise StudyError(f"factors.{factor}: {twin} and {level} are one level: {same}.")
