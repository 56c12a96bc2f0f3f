"""The rows a study leaves: columns, types and states of every table.

This is the contract that other programs read. A column is never renamed or retyped; new ones may
be added. Every part of a table is written with the table's full schema, null where unused.
"""

from enum import StrEnum

import pyarrow as pa


class Stage(StrEnum):
    """Where a trial was first trained: choosing a recipe, or measuring the chosen one."""

    SEARCH = "search"
    MEASURE = "measure"


class Status(StrEnum):
    """What became of a trial."""

    PLANNED = "planned"
    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """True once nothing more will be trained, unless the study changes or retries it."""
        return self in (Status.COMPLETED, Status.STOPPED, Status.FAILED)


def _all(kind: pa.DataType, *names: str) -> dict[str, pa.DataType]:
    return dict.fromkeys(names, kind)


RECIPE_COLUMNS: dict[str, pa.DataType] = {
    **_all(pa.int64(), "epochs", "steps", "examples", "evaluations", "batch_size"),
    "optimizer": pa.string(),
    **_all(pa.float64(), "lr", "momentum"),
    "nesterov": pa.bool_(),
    "weight_decay": pa.float64(),
    "decay_norms": pa.bool_(),
    **_all(pa.float64(), "clip_norm", "label_smoothing"),
    **_all(pa.string(), "class_weights", "sampling"),
    **_all(pa.float64(), "mixup", "cutmix"),
    "schedule": pa.string(),
    **_all(pa.float64(), "step_size", "gamma", "decay", "warmup"),
    **_all(pa.string(), "augmentation", "freeze", "precision", "stem"),
    "image_size": pa.int64(),
    "normalization": pa.string(),
}
"""Every recipe field and its column type, as declared in the study (`auto` stays `auto`)."""

SCORES = ("balanced_accuracy", "macro_f1", "top5", "log_loss", "calibration_error")
"""What is recorded of the validation and the test set beside accuracy and loss.

Means over classes; the share of examples whose class is among the five likeliest, null with five
classes or fewer; the mean −log of the probability of the true class; and the expected calibration
error over 15 bins of equal width (Guo et al., ICML 2017), a share.
"""


def _scores(*parts: str) -> dict[str, pa.DataType]:
    names = (*SCORES, "metric")
    return _all(pa.float64(), *(f"{part}_{name}" for part in parts for name in names))


IDENTITY_COLUMNS: dict[str, pa.DataType] = {
    **_all(pa.string(), "trial_id", "stage", "model", "weights"),
    "fraction": pa.float64(),  # share of the training pool
    "n_train": pa.int64(),  # examples
    "seed": pa.int64(),
    **RECIPE_COLUMNS,
    # What images are brought to, in pixels; `image_size` is null where they differ. Null in rows
    # of older versions.
    **_all(pa.int64(), "image_height", "image_width"),
}

EPOCH_SCHEMA = pa.schema(
    {
        **IDENTITY_COLUMNS,
        "sequence": pa.int64(),  # the driver's unique, increasing number of the row
        "epoch": pa.int64(),  # evaluation interval, from 1
        "step": pa.int64(),  # optimizer updates so far
        "examples_seen": pa.int64(),  # training examples so far
        "train_loss": pa.float64(),
        "train_accuracy": pa.float64(),  # 0 to 1, train_correct / train_seen
        "train_correct": pa.int64(),
        "train_seen": pa.int64(),  # examples of this interval
        **_all(pa.float64(), "val_loss", "val_accuracy", "test_loss", "test_accuracy"),
        **_scores("val", "test"),
        "metric": pa.string(),  # what val_metric and test_metric are: the study's, as it was then
        "lr_last": pa.float64(),  # learning rate of the interval's last step
        "seconds": pa.float64(),  # training and evaluation of this interval
        "images_per_second": pa.float64(),  # training only
        "evaluation_images_per_second": pa.float64(),
        "peak_memory_bytes": pa.int64(),
        "device": pa.string(),
        "capture_problem": pa.string(),  # why a GPU was asked for each kernel by itself
        "host": pa.string(),
        "recorded_at": pa.timestamp("us", tz="UTC"),
        "origin": pa.string(),  # run directory that a merged row came from; null of others
    }
)

FACT_COLUMNS: dict[str, pa.DataType] = {
    "n_parameters": pa.int64(),  # all; rows without n_trainable counted trainable ones
    "n_trainable": pa.int64(),  # those that training changes
    "flops_per_image": pa.int64(),  # forward pass
    "subset_hash": pa.string(),
    "class_counts": pa.string(),  # JSON list, images per class in the subset
    "init_hash": pa.string(),  # of the model as it stood before the first step
    "weights_hash": pa.string(),  # of the pretrained file; null without
    "head": pa.string(),  # kept or fresh, of pretrained weights; null without
    "normalization_mean": pa.string(),  # JSON list, per channel, of inputs scaled to 0..1
    **_all(pa.string(), "normalization_std", "resolved_precision", "device"),
}
"""Columns of a trial that its learner knows."""

TRIAL_SCHEMA = pa.schema(
    {
        **IDENTITY_COLUMNS,
        "wanted": pa.bool_(),  # the study as last run asks for it
        "measured": pa.bool_(),  # comparisons use it; a winner's search trial included
        "status": pa.string(),
        "stopped_at_epoch": pa.int64(),
        "stopped_cutoff": pa.float64(),  # val_metric that the trial was worse than
        "error": pa.string(),
        "epochs_done": pa.int64(),
        "epochs_budget": pa.int64(),  # evaluation intervals the recipe asks for
        "latest_val_accuracy": pa.float64(),  # at epochs_done, also while it runs
        "latest_val_metric": pa.float64(),
        "best_epoch": pa.int64(),  # by val_metric, the earliest of equals
        **{
            f"{at}_{part}_{name}": pa.float64()
            for at in ("final", "best")
            for part in ("train", "val", "test")
            for name in ("loss", "accuracy")
        },
        **_scores("final_val", "final_test"),
        **_all(pa.float64(), "best_val_metric", "best_test_metric", "evaluation_images_per_second"),
        **FACT_COLUMNS,
        "host": pa.string(),
        "slot": pa.int64(),  # which of the pass's places it ran on
        "attempts": pa.int64(),
        "seconds": pa.float64(),  # sum over the recorded epochs
        **_all(pa.float64(), "cpu", "gpu"),
        # images per second beside the trials that share its GPU / those alone, as measured
        # beforehand; null where it was not
        "gpu_speed": pa.float64(),
        **_all(pa.timestamp("us", tz="UTC"), "started_at", "ended_at"),
        "origin": pa.string(),  # as in epochs
    }
)

PREDICTION_SCHEMA = pa.schema(
    {
        "trial_id": pa.string(),
        "epoch": pa.int64(),  # the trial's final epoch
        "example": pa.int64(),  # position in the test set, from 0
        **_all(pa.int64(), "label", "prediction"),
        "correct": pa.bool_(),
        # Probabilities, and whether the label is among the five likeliest classes: null where a
        # trainable tells its classes alone.
        **_all(pa.float32(), "label_probability", "prediction_probability"),
        "in_first_five": pa.bool_(),
    }
)

EXAMPLE_SCHEMA = pa.schema(
    {
        "test_fingerprint": pa.string(),  # of the test set, as in environments
        "example": pa.int64(),  # position in it, from 0, as in predictions
        "label": pa.int64(),
        "class": pa.string(),  # the label's name
        "place": pa.string(),  # where the image is found again: a file, or a file and its row
        "copy_of": pa.string(),  # the training image with the same pixels; null without
        "image": pa.int64(),  # hash of it as stored
    }
)

ENVIRONMENT_SCHEMA = pa.schema(
    {
        "pass_id": pa.string(),
        "data_fingerprint": pa.string(),  # of all that decides what trials are given
        "data_content": pa.string(),  # of images and labels alone
        **_all(pa.string(), "train_fingerprint", "test_fingerprint"),
        "data": pa.string(),  # JSON: classes with counts, files and notes, as read
        "started_at": pa.timestamp("us", tz="UTC"),
        **_all(pa.string(), "host", "scalestudy"),
        "training_version": pa.int64(),
        **_all(pa.string(), "python", "torch", "torchvision", "ray", "cuda"),
        **_all(pa.string(), "git_commit", "platform", "cpu_model"),
        "cpus": pa.float64(),  # of the cluster
        "gpus": pa.float64(),
        "gpu_model": pa.string(),
        "gpu_footprints": pa.string(),  # JSON: what trials take of each kind of GPU, as measured
        "memory_bytes": pa.int64(),
        "forecast": pa.string(),  # null since plan alone says what a pass is to take
        "command": pa.string(),
        "settings": pa.string(),  # JSON: the study as this pass resolved it
        "ended_by": pa.string(),  # what ended the pass: Ctrl-C, SIGTERM, a hangup, its budget
        "ended_at": pa.timestamp("us", tz="UTC"),  # when it did; null where nothing asked
        "left_open": pa.string(),  # what its budget left open, and what that costs, in words
    }
)

SCHEMAS: dict[str, pa.Schema] = {
    "trials": TRIAL_SCHEMA,
    "epochs": EPOCH_SCHEMA,
    "predictions": PREDICTION_SCHEMA,
    "examples": EXAMPLE_SCHEMA,
    "environments": ENVIRONMENT_SCHEMA,
}

KEYS: dict[str, list[str]] = {
    "examples": ["test_fingerprint", "example"],
    "trials": ["trial_id"],
    "epochs": ["trial_id", "epoch"],
    "predictions": ["trial_id", "epoch", "example"],
    "environments": ["pass_id"],
}
"""Columns that together name a row: never null, and never the same in two rows of a table."""
