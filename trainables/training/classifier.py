"""The learner that trains an image classifier with torch."""

import hashlib
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.data.batches import (
    Batch,
    Batches,
    Examples,
    Preparation,
    crop_and_flip,
    derive_seed,
)
from trainables.data.dataset import Dataset, Images, decode_size, open_dataset
from trainables.data.decoding import channel_statistics
from trainables.errors import DataError, ForeignCheckpoint
from trainables.functions import is_function
from trainables.models.networks import read_checkpoint, shapes
from trainables.models.published import expected
from trainables.recipe import Precision, Sides
from trainables.training.capture import Launches
from trainables.training.device import (
    device_name,
    evaluation_batch,
    images_held,
    memory_shortage_named,
    peak_memory_bytes,
    prepare,
    resolve_device,
    resolve_precision,
)
from trainables.training.features import with_features
from trainables.training.learner import Facts, Pausable, Paused, Row
from trainables.training.losses import judge, mean_loss, refuse_diverged
from trainables.training.mixing import mixer, varied
from trainables.training.network import Network
from trainables.training.optimizers import Interval, Schedule, build_optimizer, update
from trainables.training.parallel import Group
from trainables.training.places import Helpers, places_in
from trainables.training.scores import FIVE, Predictions, scores
from trainables.trial import Trial

_CHECKPOINT_VERSION = 3
"""Raised when saved states hold something else."""


class Classifier(Pausable):
    """One trial of a torchvision classifier or a user's own, one interval at a time.

    All randomness follows from the trial's seed and the position in training; torch's global
    generators are as before after every call. So the state that must be saved is the model, the
    optimizer and the position, within an interval also torch's generators and what was found so
    far; any model and weights see the same examples in the same order.

    By default the device is a GPU where torch can use one, the data set is opened, and the group is
    this process alone. A share of a GPU below 1 caps the memory that the process may take, less
    `context_bytes`, which are not torch's, where they were measured. `tests` says how many times
    the test set is evaluated, by default after each interval; one that validates too always is.
    `precision` is what the recipe's `auto` comes to, by default what the device computes natively.
    On a CPU it evaluates on `places` too that no trial holds, as `places_in` takes them, where the
    model is known to be run by several threads at once.
    Raises TrainableError where data, model, weights or device are not as the trial needs them.
    """

    def __init__(
        self,
        trial: Trial,
        *,
        cpus: int = 1,
        device: str | None = None,
        dataset: Dataset | None = None,
        group: Group | None = None,
        gpu: float = 1.0,
        context_bytes: int | None = None,
        tests: int | None = None,
        precision: Precision | None = None,
        places: tuple[str, int] | None = None,
    ) -> None:
        super().__init__()
        self._trial, self._tests, self._group = trial, tests, group or Group()
        self.epoch = self._steps = self._examples_seen = 0
        self._device = resolve_device(device)
        prepare(self._device, cpus, gpu, context_bytes)
        self._precision = resolve_precision(trial.recipe.precision, self._device, precision)
        with memory_shortage_named(self._device, f"{trial.model} and its data"):
            found = self._open(dataset)
            on_features = trial.recipe.keeps_features and bool(found.key)
            given = (trial, self._sides, self._device, self._precision, self._group)
            self._network = Network(*given, on_features)
            self.model = self._network.model
            shown = self._features(found) if on_features else (found.train, found.test)
            self._serve(*shown, cpus, gpu)
        self._optimizer = build_optimizer(self._network.trained.parameters(), trial.recipe)
        self._per_interval = trial.recipe.steps_per_interval or self._batches.per_pass
        self._schedule = Schedule(trial.recipe, self._per_interval)
        self._interval = Interval(self._optimizer, self._schedule, self._device)
        self.launches = Launches(self.model, self._optimizer, self._device, self._group.size == 1)
        self._test_predictions: Predictions | None = None
        lends = self._device.type == "cpu" and not is_function(trial.model)
        self._helpers = Helpers(places_in(*places) if places and lends else None)

    def facts(self) -> Facts:
        """Return what is known once per trial."""
        return {
            **self._network.facts,
            "subset_hash": self._subset_hash,
            "class_counts": json.dumps(self._class_counts.tolist()),
            "weights_hash": self._trial.weights.digest,
            "normalization_mean": json.dumps(self._mean),
            "normalization_std": json.dumps(self._std),
            "resolved_precision": self._precision,
            "device": device_name(self._device),
        }

    def step(self) -> Row:
        """Train one interval and evaluate; return its row, without what was not evaluated.

        `train_` metrics are the running ones of the interval, under augmentation and as the weights
        change. Raises Paused where that is due, Diverged, naming epoch and update from 1, where the
        loss became NaN or infinite, and OutOfMemory where the device has no room for the trial.
        """
        batch = self._trial.recipe.batch_size
        with memory_shortage_named(self._device, f"{self._trial.model}, batches of {batch}"):
            trained = self._train()
        started = time.perf_counter()
        with memory_shortage_named(self._device, f"the evaluation of {self._trial.model}"):
            held_out, test, predictions = self._validation, Row(), None
            if held_out is None or self._trial.recipe.is_tested(self._tests, self.epoch + 1):
                test, predictions = self._evaluate(self._test)
            validation = test if held_out is None else self._evaluate(held_out)[0]
        seconds = time.perf_counter() - started + self._helpers.take_seconds()
        training_seconds = self._interval.seconds
        self._close(trained)
        evaluated = len(held_out or ()) + (len(self._test) if test else 0)
        self.epoch += 1
        for kind, found in ("validation", validation), ("test", test):
            loss, lr = found.get("loss", 0.0), self._trial.recipe.lr
            refuse_diverged(kind, loss, self.epoch, self._steps, lr)
        self._test_predictions = predictions
        return {
            "epoch": self.epoch,
            "step": self._steps,
            "examples_seen": self._examples_seen,
            **trained,
            **{f"val_{name}": value for name, value in validation.items()},
            **{f"test_{name}": value for name, value in test.items()},
            "seconds": training_seconds + seconds,
            "images_per_second": trained["train_seen"] / training_seconds,
            "evaluation_images_per_second": evaluated / seconds,
            "peak_memory_bytes": peak_memory_bytes(self._device),
            "device": device_name(self._device),
            "capture_problem": self.launches.problem or None,
        }

    def predictions(self) -> Predictions:
        """Return what the model as it stands says of every test example."""
        if self._test_predictions is None:
            _, self._test_predictions = self._evaluate(self._test)
        return self._test_predictions

    def save(self, file: Path) -> None:
        """Write all that is needed to go on from here to the last digit, to a file."""
        state: dict[str, Any] = {
            **self._belonging(self.epoch),
            "epoch": self.epoch,
            "step": self._steps,
            "examples_seen": self._examples_seen,
            "model": self._network.state(),
            "optimizer": self._optimizer.state_dict(),
        }
        if self.updates:
            state["within"] = {"updates": self.updates, **self._interval.state()}
        # Through Python's own file: torch's writer hides why the disk refused.
        with file.open("wb") as handle:
            torch.save(state, handle)

    def load(self, file: Path) -> None:
        """Go on from a saved state; no code in the file is ever executed.

        Raises CheckpointError where the file is damaged, ForeignCheckpoint where it was written by
        another trial or version, on another kind of device or in another precision, and OutOfMemory
        where the device has no room for it. Only the last leaves the learner otherwise than it was.
        """
        state = read_checkpoint(file)
        for key, ours in self._belonging(state.get("epoch", 0)).items():
            if state.get(key) != ours:
                raise ForeignCheckpoint(
                    f"{file} cannot be continued here: its {key.replace('_', ' ')} is "
                    f"{state.get(key)}, this trial's is {ours}"
                )
        try:
            if shapes(state["model"]) != shapes(self._network.state()):
                raise ForeignCheckpoint(f"{file} holds another model than this version builds")
            with memory_shortage_named(self._device, file.name):
                self._optimizer.load_state_dict(state["optimizer"])
                self._network.load(state["model"])
                self.launches.forget()
        except ValueError as error:
            said = f"{file} holds another optimizer than this version builds"
            raise ForeignCheckpoint(said) from error
        self.epoch, self._steps = state["epoch"], state["step"]
        self._examples_seen, self._test_predictions = state["examples_seen"], None
        self.updates, self._interval.seconds = state.get("within", {"updates": 0})["updates"], 0.0
        if self.updates:
            self._interval.load(state["within"], self._steps + self.updates, self.updates)

    def _open(self, dataset: Dataset | None) -> Dataset:
        trial = self._trial
        if dataset is None:
            side = decode_size(trial.data, trial.recipe.sides)
            dataset = open_dataset(trial.data, trial.fingerprint, side)
        train = dataset.train
        pool, held_out = dataset.training.held_out(trial.data)
        found = {"images to draw from": len(pool), "classes": len(dataset.training.class_names)}
        declared = {"images to draw from": trial.n_pool, "classes": trial.n_classes}
        if found != declared:
            raise DataError(f"data {trial.data.source}: {found} found, {declared} declared")
        subset = dataset.training.draw(pool, trial.n_train, trial.seed)
        self._subset_hash = hashlib.sha256(np.sort(subset).tobytes()).hexdigest()[:16]
        self._class_counts = np.bincount(train.labels[subset], minlength=trial.n_classes)
        self._subset, self._held_out = subset, held_out
        known = expected(trial.recipe.normalization, trial.weights, trial.model)
        # Scaled by its own images, no other trial sees the images as this one does.
        self._rows = np.arange(len(train.labels)) if known else np.union1d(subset, held_out)
        published = known and (known.mean, known.std)
        channels = published or channel_statistics(train.images, subset, train.sums)
        self._mean, self._std = ([float(value) for value in values] for values in channels)
        recipe, device = trial.recipe, self._device
        sides: Sides = train.images.shape[1], train.images.shape[2]
        self._sides = recipe.sides or sides
        self._prepared: Callable[[Tensor], Tensor]
        self._prepared = Preparation(self._mean, self._std, sides, recipe.sides, device)
        self._cropped = sides if recipe.augmentation in ("standard", "trivial") else None
        # images ÷ (classes × images of its class)
        counts = torch.from_numpy(self._class_counts).double()
        fair = counts.sum() / (len(counts) * counts)
        self._chances = fair[train.labels[subset]] if recipe.sampling == "balanced" else None
        self._class_weights = fair.float().to(device) if recipe.class_weights != "none" else None
        self._varied, self._mixed = varied(recipe, sides), mixer(recipe, trial.n_classes)
        self._prepared_varied: Callable[[Tensor], Tensor] = self._prepared
        if recipe.augmentation == "resized-crop" and recipe.sides:
            self._prepared_varied = Preparation(self._mean, self._std, recipe.sides, None, device)
        return dataset

    def _serve(self, train: Images, test: Images, cpus: int, gpu: float) -> None:
        """Train and evaluate on images, or on what stands for them."""
        trial, subset, held_out = self._trial, self._subset, self._held_out
        n_images = len(subset) + len(held_out) + len(test.labels), len(subset)
        held = self.held = images_held(train.images, *n_images, self._device, cpus, gpu)
        examples = partial(Examples, device=self._device, held=held, threads=cpus)
        self._train_examples = examples(train, subset)
        self._validation = examples(train, held_out) if len(held_out) else None
        self._test = examples(test, None)
        drawn = trial.n_train, trial.recipe.batch_size, trial.seed, self._cropped
        self._batches = Batches(*drawn, self._train_examples.home, self._chances)

    def _features(self, dataset: Dataset) -> tuple[Images, Images]:
        """Return what the frozen backbone makes of the images, on which the head is trained."""
        network, prepared, device = self._network, self._prepared, self._device

        def score(images: Tensor) -> Tensor:
            return network.scores_of_images(prepared(images.to(device)))

        machine = device_name(device), torch.get_num_threads()
        identity = f"{network.identity}, {self._mean}, {self._std}, {machine}"
        batch = evaluation_batch(device.type, self._sides)
        found = with_features(dataset, self._rows, identity, network.trained, score, batch)
        self._subset, self._held_out = (
            np.searchsorted(self._rows, chosen) for chosen in (self._subset, self._held_out)
        )
        self._prepared = self._prepared_varied = lambda features: features
        return found

    def train(self) -> Row:
        """Train one interval and evaluate nothing; the device is not read before its end."""
        trained = self._train()
        self._close(trained)
        return trained

    def _close(self, trained: Row) -> None:
        self._steps += self._per_interval
        self._examples_seen += trained["train_seen"]
        self.updates, self._interval.seconds = 0, 0.0

    def _train(self) -> Row:
        """Train what is left of an interval; it is under way until it is closed."""
        steps = range(self._steps, self._steps + self._per_interval)
        with self._interval.timed():
            self.update(steps[self.updates :])
            self._group.agree(self.model)
            losses = self._group.sum(self._interval.losses) / self._group.size
            per_step, n_correct = losses.double().cpu(), int(self._group.sum(self._interval.hits))
        sizes = [self._batches.size(step) for step in steps]
        seen = sum(sizes)
        for step, loss in enumerate(per_step.tolist(), start=steps.start + 1):
            refuse_diverged("training", loss, self.epoch + 1, step, self._trial.recipe.lr)
        weighted = per_step @ torch.tensor(sizes, dtype=torch.float64)
        return {
            "train_loss": weighted.item() / seen,
            "train_accuracy": n_correct / seen,
            "train_correct": n_correct,
            "train_seen": seen,
            "lr_last": self._schedule.lr(steps[-1]),
        }

    def update(self, steps: range) -> None:
        """Make these updates, counted from 0, or raise Paused; nothing waits for the device."""
        self._network.train()
        # A process draws masks for its own examples: not those of the others again.
        others = (self._group.rank,) if self._group.rank else ()
        seed = derive_seed(self._trial.seed, "dropout", self.epoch, *others)
        with self._interval.under_way(steps.start, self.updates, seed), self.launches.stream():
            wanted = (self._group.part(self._batches.batch(step)) for step in steps)
            for each in self._train_examples.batches(wanted):
                self._feed(*each)
                self.updates += 1
                if self.pause.is_due:
                    raise Paused

    def _feed(self, batch: Batch, images: Tensor, labels: Tensor) -> None:
        """Feed one update. What is drawn in Python is done here, all else in `_learn`."""
        more, self._group.weight = batch.crops, batch.weight
        if more is not None and (self._varied or self._mixed):
            images, more = crop_and_flip(images, more), None
        if self._varied is not None:
            images = self._varied(images)
        if self._mixed is not None:
            images, more = self._mixed(self._prepared_varied(images), labels)
            images = images.contiguous(memory_format=torch.channels_last)
        self.launches.run(self._learn, images, labels, *([] if more is None else [more]))

    def _learn(self, images: Tensor, labels: Tensor, more: Tensor | None = None) -> tuple[()]:
        """Make one update. `more` are crops or, of images that are mixed, their targets."""
        self._interval.set_rate()
        inputs, targets = images, labels
        if self._mixed is None:
            cropped = images if more is None else crop_and_flip(images, more)
            inputs = self._prepared_varied(cropped)
        elif more is not None:
            targets = more
        scores = self._network.scores(inputs)
        recipe = self._trial.recipe
        loss = mean_loss(scores, targets, recipe.label_smoothing, self._class_weights)
        if self._group.weight != 1:
            loss = loss * self._group.weight
        self._network.trained.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
        update(self._optimizer)
        hits = (scores.detach().argmax(1) == labels).sum()
        self._interval.add(loss.detach(), hits if self._group.weight else 0)
        return ()

    @torch.inference_mode()
    def _evaluate(self, examples: Examples) -> tuple[Row, Predictions]:
        """Return loss and scores of labelled examples by name, and what is predicted of each."""
        self.model.eval()
        size = evaluation_batch(self._device.type, self._sides)
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        parts = []
        with self.launches.stream():
            chunks = examples.chunks(size, self._group.span(len(examples)))
            for loss, part in self._helpers.each(partial(self.launches.run, self._judge), chunks):
                if self.pause.at_once:
                    raise Paused
                total += loss
                parts.append(part.clone())
        found = self._group.gather(parts, len(examples), 4).cpu().numpy().T
        n_classes = self._trial.n_classes
        predictions = Predictions(
            found[0].astype(np.int64),
            found[2].astype(np.float32),
            found[3].astype(np.float32),
            found[1] < FIVE if n_classes > FIVE else None,
        )
        mean = float(self._group.sum(total)) / len(examples)
        row = scores(predictions, examples.labels.cpu().numpy(), n_classes)
        return {"loss": mean, "log_loss": mean, **row}, predictions

    def _judge(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return judge(self._network.scores(self._prepared(images)), labels)

    def _belonging(self, epoch: int) -> dict[str, Any]:
        """Return what a checkpoint of an epoch must agree in, or its numbers would not go on."""
        return {
            "version": _CHECKPOINT_VERSION,
            "trial_id": self._trial.id_after(epoch),
            "device_kind": self._device.type,
            "precision": self._precision,
        }
