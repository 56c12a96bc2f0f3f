"""One cell × recipe × seed: all that it depends on, and the hash that names it. Torch-free."""

import hashlib
import json
import math
import re
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

from trainables.functions import is_function
from trainables.recipe import Positive, Recipe

TRAINING_VERSION = 3
"""Raised only when a change of the code changes the numbers that a trial gives."""
SHARED_STATES = "stable-"
"""What the names of folders begin with whose states are of several trials."""
BUILT_IN = ("digits", "cifar10", "cifar100", "parquet", "imagefolder", "csv")
"""Sources of images that are no function of a user's own."""


def _validation(value: Any) -> Any:
    """Read `0.1`, `"0.1"`, `5000` or `"test"`."""
    if value == "test":
        return value
    with suppress(TypeError, ValueError, OverflowError):
        number = 0.0 if isinstance(value, bool) else float(value)
        if 0 < number < 1:
            return number
        if 1 <= number < 2**53 and number.is_integer():
            return int(number)
    raise ValueError("a share such as 0.1, a number of images such as 5000, or test is needed")


Validation = Annotated[
    Annotated[float, Field(gt=0)] | Annotated[int, Field(gt=0)] | Literal["test"],
    BeforeValidator(_validation),
]
_PARTS = ("train", "validation", "test")
_SPLITS = {"properties": {part: {"type": "string"} for part in _PARTS}, "required": ["train"]}
_SCHEMA = WithJsonSchema({"type": "object", **_SPLITS, "additionalProperties": False})
_Splits = Annotated[dict[str, Path], _SCHEMA]


class Source(BaseModel):
    """The `data` block of a study."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: str = "digits"
    """digits (embedded), cifar10, cifar100 (torchvision), parquet (also Arrow files, as `datasets`
    saves them), imagefolder, csv (a path and a class per row), or package.module:function, which
    returns ((train_images, train_labels), (test_images, test_labels)) as arrays: N×H×W×3 (or N×H×W)
    and integers or names."""
    path: Path | _Splits | None = Field(
        default=None, examples=[{"train": "train.parquet", "test": "test.parquet"}]
    )
    """Folder or files of the data, relative to the study file; or {train: …, validation: …,
    test: …} of a folder each, for parquet also a file or a pattern, for csv a file."""
    validation: Validation | None = None
    """Share or number of images carved once from train, class-stratified, before any fraction; by
    default a validation part that comes along, else 0.1. `test` selects on the test set: only to
    reproduce studies that did."""
    test: Validation | None = None
    """Share or number of training images that become the test set where none comes along,
    class-stratified and the same for all trials."""
    group: str | None = Field(default=None, examples=["patient"])
    """What keeps images of one patient, film or place on one side of every split: a column, a
    regular expression on the path (its first group counts) or package.module:function of the path;
    `content` keeps copies together. A source's own function may return groups as a third array."""
    image: str | None = None
    """Column of the images, or of their paths, in Parquet and CSV."""
    label: str | None = None
    """Column of the classes there."""
    fit: Literal["crop", "squash", "pad"] = "crop"
    """What becomes of an image of another shape than it is brought to. crop: the middle is kept;
    squash: it is stretched; pad: the background is added at two sides."""
    background: str = "white"
    """Colour behind transparent pixels and around padded images: a name or #rrggbb."""
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """Values that become black and white, of images with more than 8 bits. By default 0 and the
    largest value of the bits that the training images use; floating-point images need it."""
    damaged: Literal["refuse", "skip"] = "refuse"
    """What becomes of images that cannot be read: all are named, or left out and counted."""
    max_pixels: Annotated[int, Field(ge=1, lt=2**53)] = 200_000_000
    """Pixels of the largest image that is decoded."""

    @field_validator("path", mode="before")
    @classmethod
    def _find_home(cls, path: Any) -> Any:
        if isinstance(path, dict):
            usual = dict.fromkeys(("val", "valid", "dev"), "validation")
            found = {usual.get(part, part): cls._find_home(place) for part, place in path.items()}
            if not {"train"} <= set(found) <= {*_PARTS}:
                said = ", ".join(map(str, found)) or "none"
                needed = "entries of train and test are needed"
                raise ValueError(f"{needed}, and of validation where there is one, not {said}")
            return found
        if isinstance(path, str) and re.match(r"[a-z][a-z0-9+]+:/", path):
            mend = "copy it to one first, such as with curl -O or aws s3 cp --recursive"
            raise ValueError(f"only data on a disk is read; {mend}")
        # As text, which both a study file and a worker's JSON may hold.
        return str(Path(path).expanduser()) if isinstance(path, str | Path) else path

    @field_validator("test")
    @classmethod
    def _count_test(cls, value: Any) -> Any:
        if value == "test":
            raise ValueError("a share such as 0.2 or a number of images is needed")
        return value

    @field_validator("background")
    @classmethod
    def _know_colour(cls, value: str) -> str:
        from PIL import ImageColor

        with suppress(ValueError):
            ImageColor.getrgb(value)
            return value
        raise ValueError("no colour; a name such as white or a code such as #ffffff is")

    @field_validator("range")
    @classmethod
    def _order_range(cls, value: Any) -> Any:
        if value is not None and not (math.isfinite(value[1] - value[0]) and value[0] < value[1]):
            raise ValueError("two numbers are needed, the lower one first, such as [0, 4095]")
        return value

    @property
    def validation_share(self) -> float | int | Literal["test"]:
        """What is carved from train to validate where no validation part came along."""
        return 0.1 if self.validation is None else self.validation

    @property
    def is_function(self) -> bool:
        """Whether a user's own function returns the data."""
        return is_function(self.source)


class Channels(BaseModel):
    """Mean and standard deviation of images, a number for red, green and blue, scaled to 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]


Normalization = Literal["imagenet", "data", "none"] | Channels
"""What weights expect of their inputs: ImageNet's channels, the data's, 0..1, or their own."""


class Weights(BaseModel):
    """One level of the factor `weights`, for one model."""

    model_config = ConfigDict(frozen=True)

    label: str = "none"
    """Name that tables show: `none`, torchvision's own, or the user's."""
    name: str | None = None
    """Member of the model's torchvision weights enum, such as `IMAGENET1K_V1`."""
    file: str | None = None
    """Absolute path of the file, where the user named one."""
    digest: str | None = None
    """Content hash of the file; for torchvision's weights, the one that the file's name carries."""
    entry: str | None = None
    """Place in the file that is taken; None for the one that fits."""
    head: Literal["fresh"] | None = None
    """`fresh` where the file's head is not to be loaded."""
    normalization: Normalization | None = None
    """What they expect of their inputs; None where torchvision says it, or nobody."""

    @property
    def identity(self) -> Any:
        """What the trial's hash covers: the content, and what is said of it beside."""
        said = self.model_dump(include={"entry", "head", "normalization"}, exclude_none=True)
        if self.name is None and self.normalization == "data":
            del said["normalization"]  # as where nobody says it
        return {"digest": self.digest, **said} if said else self.digest


class Trial(BaseModel):
    """Everything that one training run depends on."""

    model_config = ConfigDict(frozen=True)

    trainable: str = "classifier"
    """`classifier`, `simulated`, or a user's own as package.module:class."""
    data: Source
    fingerprint: str
    """Content hash of the images and labels."""
    n_pool: int
    """Number of training images once validation is carved out."""
    n_classes: int
    model: str
    """torchvision's name, or a user's own as package.module:function."""
    weights: Weights
    fraction: float
    """Share of the training pool as declared; `n_train` is what it comes to."""
    n_train: int
    """Number of images that the trial trains on."""
    seed: int
    """Fixes the subset, the initial weights and the order of the batches."""
    recipe: Recipe

    @cached_property
    def trial_id(self) -> str:
        """Name of the trial: 16 hex digits, a hash of all that changes the numbers, no more."""
        inputs = {
            "version": TRAINING_VERSION,
            "trainable": self.trainable,
            "data": self.fingerprint,
            # What is held out follows from the data and from how much is left to train on.
            "validation": "test" if self.data.validation == "test" else self.n_pool,
            "model": self.model,
            "weights": self.weights.identity,
            "n_train": self.n_train,
            "seed": self.seed,
            "recipe": self.recipe.identity(),
        }
        sides = self.recipe.sides
        if sides is not None and sides[0] != sides[1] and self.data.fit != "crop":
            # Of squares the fingerprint says nothing of how they fit another shape.
            inputs["fit"] = self.data.fit
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]

    def id_after(self, epoch: int) -> str:
        """Return the name of all trials whose state after an epoch is that of this one."""
        if self.recipe.schedule != "wsd" or epoch > self.recipe.shared_intervals:
            return self.trial_id
        return self.changed(recipe=self.recipe.changed(schedule="constant")).trial_id

    @property
    def shared_states(self) -> str:
        """Name of the folder of states from which other budgets go on; empty of one's own."""
        first = self.id_after(1)
        is_other = first != self.trial_id and self.trainable == "classifier"
        return f"{SHARED_STATES}{first}" if is_other else ""

    @property
    def images_per_interval(self) -> int:
        """Images that are trained on between two evaluations."""
        updates = self.recipe.steps_per_interval
        return updates * self.recipe.batch_size if updates else self.n_train

    def changed(self, **fields: Any) -> Self:
        """Return the trial with other values in some fields, checked and named anew."""
        return type(self)(**{**dict(self), **fields})

    def columns(self) -> dict[str, Any]:
        """Return the identity columns of the trial's rows, but for `stage`."""
        return {
            "trial_id": self.trial_id,
            "model": self.model,
            "weights": self.weights.label,
            "fraction": self.fraction,
            "n_train": self.n_train,
            "seed": self.seed,
            **self.recipe.columns(),
        }
