"""Blocks of a study file: early stopping, resources, prices and experiment trackers."""

from fractions import Fraction
from importlib.util import find_spec
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, model_validator

from orchestrator.study.levels import exact
from orchestrator.study.refusals import Refused, unknown
from orchestrator.study.schema import Name, Settings, read_as, share
from results.metric import BUILT_IN, Metric
from trainables.recipe import NUMBER, Count, NonNegative, Seed

_SMALLEST_SHARE = Fraction(1, 1000)
"""Share of a GPU that a trial gets at least; Ray counts in steps of a ten-thousandth."""
_MOST_GPUS = 64
_LIBRARIES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}


def _compared(value: Any) -> Any:
    if value == "cell" or (isinstance(value, list) and all(isinstance(f, str) for f in value)):
        return value
    raise Refused(
        "valid are cell, a list of factors such as [fraction], and [] for one race over all"
    )


class EarlyStopping(Settings):
    """Successive halving, one race per group of trials."""

    compare: Annotated[Literal["cell"] | list[str], BeforeValidator(_compared)] = "cell"
    """Which trials compete: those of one `cell`, those that share the levels of the factors named,
    or, with [], all of the study. Seeds never compete."""
    grace: Count = 1
    """Evaluation intervals that every trial is sure of: the first rung."""
    reduction_factor: Annotated[int, Field(ge=2, lt=2**53), *NUMBER] = 3
    """Each rung keeps one in so many, and so many at least; the next is so many times later."""

    def rungs(self, budget: int) -> list[int]:
        """Return the epochs (evaluation intervals) below a budget at which trials are compared."""
        rungs = [self.grace]
        while rungs[-1] < budget:
            rungs.append(rungs[-1] * self.reduction_factor)
        return rungs[:-1]


class OwnMetric(Settings):
    """A column that a trainable of your own reports."""

    column: Name
    """What its columns end in: of rmse, `step` returns val_rmse and test_rmse."""
    goal: Literal["max", "min"]
    """Whether more is better, or less."""
    unit: str = ""
    """Unit that stands beside values; % where they go from 0 to 100."""


def parse_metric(value: Any) -> Any:
    """Read the `metric` of a study: a name, or a block for a column of one's own."""
    if isinstance(value, Metric):
        return value
    if isinstance(value, dict):
        read = Metric.read(OwnMetric.model_validate(value).model_dump())
        if read.is_built_in and read != Metric.read(read.column):
            raise Refused(f"what it is, is known already; write metric: {read.column}")
        return read
    if value not in BUILT_IN:
        raise Refused(
            f"{unknown(str(value), BUILT_IN)}; a column of your own is a block such as "
            "{column: rmse, goal: min, unit: px}"
        )
    return Metric.read(value)


def parse_early_stopping(value: Any) -> Any:
    """Read the `early_stopping` block, or none; None stands for a study that names neither."""
    if value is None or isinstance(value, dict | EarlyStopping):
        return None if value is None else EarlyStopping.model_validate(value)
    # YAML reads `no` and `off` as false.
    if value is False or value == "none":
        return "none"
    raise Refused("valid are none, and a block such as {compare: cell, grace: 1}")


Looks = Annotated[int, Field(ge=2, lt=1_000_000), *NUMBER]
"""A number of seeds at which is looked: with one, nothing can be tested."""
SeedList = Annotated[list[Seed], Field(min_length=1, json_schema_extra={"uniqueItems": True})]


class SeedCounts(Settings):
    """Seeds that are added at looks until the answer's comparisons are decided."""

    at_least: Looks = 3
    """Seeds that every cell is measured with: 0, 1, 2 and so on."""
    at_most: Looks = 8
    """Seeds that a cell is measured with where a comparison stays open to the end."""
    looks: Annotated[list[Looks], Field(min_length=1)] | None = None
    """Numbers of seeds at which is looked, from the least to the most; by default one more between
    the two."""
    smallest: NonNegative = 0.0
    """Difference in points below which a comparison is settled too."""

    @model_validator(mode="after")
    def _check_looks(self) -> Self:
        least, most, looks = self.at_least, self.at_most, self.looks
        if least >= most:
            why = f"{least} is not below {most}; for a fixed number, list the seeds"
            raise Refused(why, key=("at_least",))
        rising = looks is None or looks == sorted({*looks})
        if looks and not (rising and looks[0] == least and looks[-1] == most):
            why = f"rising numbers from at_least ({least}) to at_most ({most}) are needed"
            raise Refused(why, key=("looks",), value=looks)
        return self

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of seeds at each look, rising."""
        between = round((self.at_least * self.at_most) ** 0.5)
        return tuple(self.looks or sorted({self.at_least, between, self.at_most}))

    def written(self) -> dict[str, Any]:
        """Return the block as a study file holds it, its looks filled in."""
        return self.model_dump() | {"looks": list(self.counts)}


def parse_seeds(value: Any) -> list[int] | SeedCounts:
    """Read the `seeds` of a study: a list that names each, or a block that says how many."""
    if isinstance(value, dict | SeedCounts):
        return SeedCounts.model_validate(value)
    seeds: list[int] = TypeAdapter(SeedList).validate_python(value)
    if repeated := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise Refused(f"{repeated[0]} is listed twice; seeds differ from each other")
    return seeds


def parse_gpu(value: Any) -> str | int | Fraction:
    """Read `auto`, a whole number of GPUs, or 1/k of one; ValueError: Ray fills no other share."""
    if value == "auto":
        return "auto"
    valid = "valid are auto, a whole number, and 1/k such as 0.5, 0.25 or 1/3"
    share = exact(value)
    if share is None:
        raise ValueError(f"no number of GPUs; {valid}")
    if share < 0:
        raise ValueError(f"negative; {valid}")
    if share > _MOST_GPUS:
        raise ValueError(f"more GPUs than a machine has, and a trial stays on one; {valid}")
    if share.denominator == 1:
        return int(share)
    if share < _SMALLEST_SHARE:
        raise ValueError(f"less than {_SMALLEST_SHARE} of a GPU; {valid}")
    # A decimal such as 0.333 means the k it is within one percent of.
    k = round(1 / share)
    if share < 1 and (share.numerator == 1 or (k > 1 and abs(share * k - 1) < Fraction(1, 200))):
        return Fraction(1, k)
    nearest = f"1/{max(k, 1)}" if share < 1 else str(round(share))
    raise ValueError(f"would leave a part of a GPU unused; {valid}; nearest is {nearest}")


_GPUS = Annotated[Any, share(minimum=0)] | Literal["auto"]


class Resources(Settings):
    """What one trial gets."""

    cpu: Count = 1
    """CPUs, and torch threads, per trial; those of several GPUs are divided among them."""
    gpu: Annotated[Any, BeforeValidator(parse_gpu), read_as(_GPUS)] = "auto"
    """auto, 0, 1/k of a GPU (0.25, "1/3"), 1, or several, by data parallelism on one machine. auto
    measures how many trials a GPU holds."""
    max_trials_per_gpu: Count | None = None
    """With `gpu: auto`: at most so many trials share a GPU."""


class Prices(Settings):
    """What the report reckons steps with, in any one currency."""

    label: NonNegative | None = None
    """Price of one more labelled image."""
    hour: NonNegative | None = None
    """Price of a GPU, or of a CPU where a study has none, for an hour."""


def _without_secret(uri: str) -> str:
    try:
        has_user = bool(urlsplit(uri).username or urlsplit(uri).password)
    except ValueError:
        raise Refused("no address; such as http://host:5000 or sqlite:///mlflow.db") from None
    if has_user:
        raise Refused(
            "user and password do not belong in a study file, which is kept with the results; "
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead",
            value="(not shown)",
        )
    return uri


class TensorBoard(Settings):
    """Event files, one folder per trial."""

    folder: Name
    """Folder that they are written to, on the machine where the run works; a relative one starts
    there."""


class MLflow(Settings):
    """One run per trial and pass, in one experiment."""

    uri: Annotated[Name, AfterValidator(_without_secret)]
    """Address of the tracking server or data base, such as http://host:5000 or
    sqlite:///mlflow.db."""
    experiment: Name | None = None
    """Name of the experiment; by default the study's name."""


class Wandb(Settings):
    """One run of Weights & Biases per trial, in one group; the key is taken from WANDB_API_KEY."""

    project: Name
    """Name of the project."""
    entity: Name | None = None
    """User or team of the project; by default the one that the key belongs to."""
    mode: Literal["online", "offline"] = "online"
    """offline keeps the runs on disk for `wandb sync`."""


class Trackers(Settings):
    """Experiment trackers, all off by default; their libraries are optional dependencies."""

    tensorboard: TensorBoard | None = None
    """Event files, one folder per trial."""
    mlflow: MLflow | None = None
    """One run per trial and pass, in one experiment."""
    wandb: Wandb | None = None
    """One run of Weights & Biases per trial, in one group; the key is taken from WANDB_API_KEY."""

    def missing(self) -> dict[str, str]:
        """Return the library of each tracker named here that this Python lacks."""
        named = {name: _LIBRARIES[name] for name, asked in self if asked}
        return {name: library for name, library in named.items() if not find_spec(library)}
