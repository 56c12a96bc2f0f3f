"""How a cell is trained. Torch-free, so that studies can be read and planned without it."""

import math
import re
from contextlib import suppress
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

DEFAULT_EPOCHS = 5
BUDGETS = ("epochs", "steps", "examples")
"""Fields that state how much is trained, of which a recipe names one."""
NEEDS = {
    "momentum": ("optimizer", "sgd"),
    "nesterov": ("optimizer", "sgd"),
    "step_size": ("schedule", "step"),
    "gamma": ("schedule", "step"),
    "decay": ("schedule", "wsd"),
}
"""Fields that have a bearing only where another has that value."""
BUDGET_FIELDS = (*BUDGETS, "evaluations")
"""Fields that say how much is trained, and how it is divided."""


def _finite(value: Any) -> Any:
    """Refuse what is no finite number, and true and false (YAML reads `yes` and `on` as true)."""
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number is needed")
    if isinstance(value, str) and re.fullmatch(r"\s*\d+(\.0*)?[eE]\+?\d{1,2}\s*", value):
        # YAML reads 1e5 as text.
        return int(float(value))
    return value


NUMBER = (BeforeValidator(_finite),)
"""Marks of a field that holds a finite number; its limits are named before them."""
Count = Annotated[int, Field(ge=1, lt=2**53), *NUMBER]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), *NUMBER]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), *NUMBER]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), *NUMBER]
Tries = Annotated[int, Field(ge=0, lt=2**31), *NUMBER]
Seed = Annotated[int, Field(ge=0, lt=2**31), *NUMBER]
Stem = Literal["standard", "cifar"]
Precision = Literal["fp32", "bf16"]
Sides = tuple[int, int]
"""Height and width of an image in pixels."""


def _image_size(value: Any) -> Any:
    """Read 224, or 96x224, height and width in pixels; of a square, the side."""
    if value is None:
        return None
    texts = re.split("[x×]", str(_finite(value)))
    with suppress(ValueError):
        sides = [float(text) for text in texts]
        within = all(_LEAST_SIDE <= side <= _MOST_SIDE and side.is_integer() for side in sides)
        if within and len(sides) <= 2:
            height, width = int(sides[0]), int(sides[-1])
            return height if height == width else f"{height}x{width}"
    side = f"a side of {_LEAST_SIDE} to {_MOST_SIDE:,} pixels"
    raise ValueError(f"{side}, or height and width such as 96x224, is needed")


_LEAST_SIDE, _MOST_SIDE = 8, 1024
ImageSize = Annotated[
    Annotated[int, Field(ge=_LEAST_SIDE, le=_MOST_SIDE)]
    | Annotated[str, Field(pattern=r"^\s*\d{1,4}\s*[x×]\s*\d{1,4}\s*$")]
    | None,
    BeforeValidator(_image_size),
]


class Recipe(BaseModel):
    """Settings of one training run. Each default is named here and nowhere else."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    epochs: Count | None = None
    """Passes over the cell's own training subset (5 where no budget is named)."""
    steps: Count | None = None
    """Optimizer updates, instead of `epochs`: every cell gets equally many."""
    examples: Count | None = None
    """Training examples seen, instead of `epochs`."""
    evaluations: Count | None = None
    """With `steps` or `examples`: into how many equal intervals the budget is cut (default 5).
    Each ends with an evaluation and is one "epoch" record."""
    batch_size: Count = 128
    """Examples per update, at most: an epoch is divided evenly among as few as that takes."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """Update rule, with torch's own defaults where no field is named here."""
    lr: Positive = 1e-3
    """Peak learning rate."""
    momentum: Share = 0.9
    """Momentum of `sgd`; the other optimizers have none."""
    nesterov: bool = False
    """Nesterov's form of the momentum of `sgd`."""
    weight_decay: NonNegative = 0.0
    """Weight decay: decoupled with `adamw`, an L2 term otherwise."""
    decay_norms: bool = True
    """Whether weight decay reaches norms and biases: all parameters of one dimension."""
    clip_norm: Positive | None = None
    """Norm that the gradient of all parameters together is scaled down to; by default as it is."""
    label_smoothing: Share = 0.0
    """Share of the target spread over all classes; evaluation losses are never smoothed."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: each example's loss counts by images ÷ (classes × images of its class)."""
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    """`balanced`: examples are drawn with replacement, all classes equally often."""
    mixup: NonNegative = 0.0
    """Alpha of mixup; 0 is none. With cutmix, each update takes one of the two."""
    cutmix: NonNegative = 0.0
    """Alpha of cutmix; 0 is none."""
    schedule: Literal["constant", "cosine", "one-cycle", "step", "wsd"] = "constant"
    """Course of the learning rate over the budget, set at every step. `step` needs `step_size`;
    `wsd` is warm-up, then stable, then a decay to 0 over the last part."""
    step_size: Positive | None = None
    """Epochs (evaluation intervals) after which the schedule `step` lowers the lr each time."""
    gamma: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False), *NUMBER] = 0.1
    """What the schedule `step` multiplies the lr by."""
    decay: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False), *NUMBER] = 0.2
    """Share of the budget over which the schedule `wsd` decays."""
    warmup: NonNegative = 0.0
    """Linear warm-up from zero, in epochs (evaluation intervals). `one-cycle` with 0 takes 30 % of
    the budget."""
    augmentation: Literal["none", "standard", "trivial", "resized-crop"] = "none"
    """`standard`: per-image random crop from 4 (in general 1/8) pixels of padding, and flip.
    `trivial`: that, then TrivialAugment. `resized-crop`: random resized crop, and flip."""
    freeze: Literal["none", "backbone"] = "none"
    """`backbone`: the head alone is trained, the layer that the scores come from. All before it is
    as in evaluation; what it makes of the images is computed once, where these are the same in
    every pass: without augmentation, mixup and cutmix."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the forward and backward pass. `auto`: bf16 where all devices that train the
    study compute it natively; one format for all trials."""
    stem: Stem = "standard"
    """`cifar`: 3×3 stride-1 first convolution and no max-pool, for ResNets on small images."""
    image_size: ImageSize = None
    """Pixels that images are brought to, as `data.fit` says: the side of a square, or height and
    width as text such as 96x224. By default as they are in the data."""
    normalization: Literal["auto", "data", "none"] = "auto"
    """`auto`: the pretrained weights' own mean and deviation where known, else the data's."""

    @model_validator(mode="before")
    @classmethod
    def _name_one_budget(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        named = [key for key in BUDGETS if values.get(key) is not None]
        if len(named) > 1:
            said = " and ".join(named)
            raise ValueError(f"name one budget: epochs, steps or examples, not {said}")
        counted = "evaluations" if named and named != ["epochs"] else "epochs"
        return {**values, counted: DEFAULT_EPOCHS} if values.get(counted) is None else values

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.epochs is not None and self.evaluations is not None:
            raise ValueError("`evaluations` goes with steps or examples; with epochs, each is one")
        budget = self.steps or (self.examples and math.ceil(self.examples / self.batch_size))
        if budget and self.evaluations and budget % self.evaluations:
            said = f"{budget} updates cannot be cut into {self.evaluations} equal evaluations"
            fitting = math.ceil(budget / self.evaluations) * self.evaluations
            raise ValueError(f"{said}; a budget of {fitting} updates can")
        if self.nesterov and self.optimizer == "sgd" and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        if self.schedule == "step" and self.step_size is None:
            raise ValueError("schedule: step needs a step_size, such as step_size: 30")
        if self.schedule == "wsd" and self.warmup / self.intervals + self.decay > 1 + 1e-9:
            raise ValueError("schedule: wsd has no room for both warmup and decay; lower one")
        return self

    @property
    def intervals(self) -> int:
        """Number of epoch records of a complete trial."""
        return self.epochs or self.evaluations or DEFAULT_EPOCHS

    @property
    def steps_per_interval(self) -> int | None:
        """Updates between two evaluations; None where an interval is one pass over the subset."""
        if self.epochs is not None:
            return None
        return (self.steps or math.ceil((self.examples or 0) / self.batch_size)) // self.intervals

    @property
    def shared_intervals(self) -> int:
        """Intervals, from the first on, whose numbers do not depend on how many are to come."""
        if self.schedule == "wsd":
            return self.intervals - max(1, math.ceil(self.decay * self.intervals - 1e-9))
        return self.intervals if self.schedule in ("constant", "step") else 0

    @property
    def sides(self) -> Sides | None:
        """Height and width in pixels that images are brought to; None where they stay as are."""
        if self.image_size is None:
            return None
        height, _, width = str(self.image_size).partition("x")
        return int(height), int(width or height)

    @property
    def keeps_features(self) -> bool:
        """Whether what a frozen backbone makes of an image is the same in every pass."""
        is_varied = self.augmentation != "none" or self.mixup or self.cutmix
        return self.freeze == "backbone" and not is_varied

    def is_tested(self, times: int | None, interval: int) -> bool:
        """Return whether the test set, evaluated so many times, is so after an interval, from 1.

        They are evenly spaced, the last among them; by default it is all.
        """
        times = self.intervals if times is None else times
        return times * interval // self.intervals > times * (interval - 1) // self.intervals

    def changed(self, **fields: Any) -> Self:
        """Return the recipe with other values in some fields, checked."""
        return type(self)(**{**dict(self), **fields})

    def used(self) -> dict[str, Any]:
        """Return every field by its name: those without a bearing on the numbers as None."""
        idle = {key for key, (field, value) in NEEDS.items() if getattr(self, field) != value}
        return {**self.model_dump(), **dict.fromkeys(idle)}

    def columns(self) -> dict[str, Any]:
        """Return the fields as tables hold them: of a rectangle, height and width."""
        height, width = self.sides or (None, None)
        size = height if height == width else None
        return {**self.used(), "image_size": size, "image_height": height, "image_width": width}

    def identity(self) -> dict[str, Any]:
        """Return what the trial's hash covers: fields in use that differ from their default.

        The budget is left out where a longer one gives the epochs that they share the same numbers.
        """
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        used = {name: value for name, value in self.used().items() if name not in BUDGET_FIELDS}
        fields = {k: v for k, v in used.items() if v is not None and v != defaults[k]}
        fields["interval"] = self.steps_per_interval or "epoch"
        if self.shared_intervals < self.intervals:
            fields["intervals"] = self.intervals
        return fields
