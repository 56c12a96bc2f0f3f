"""A study to start from, made for one's own data, models and time, and written with comments."""

import math
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from orchestrator.errors import StudyError
from orchestrator.ledger.allowance import parse_budget
from orchestrator.ledger.history import History
from orchestrator.ledger.ledger import Ledger
from orchestrator.plan.price import Price, price_study
from orchestrator.study.inputs import Inputs, find_inputs
from orchestrator.study.levels import parse_weights
from orchestrator.study.recipes import SEARCH_SEED
from orchestrator.study.study import study_from
from results.findings.rules import ADVISED_SIZES, has_few_steps
from results.phrases import count, duration, listed
from results.store.store import Store
from trainables.data.info import DataInfo
from trainables.data.splits import share_to_count
from trainables.errors import OtherLayout, TrainableError
from trainables.functions import is_function
from trainables.trial import BUILT_IN, Source

EPOCHS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)
"""Numbers of epochs that a study may be given."""
_ENOUGH = (10, 5, 2, 1)
"""Epochs that a design should afford: where none does, the next lower number is tried."""
_SEEDS, _MOST_SEEDS = 3, 5
"""Where no budget decides, and where there is room for more."""
_BATCH_SIZES = (128, 64, 32, 16)
_LARGEST_SIDE = 128
"""Side in pixels that larger images are resized to."""
_PER_CLASS = 8
"""Images of a class that the smallest share should hold."""
_RATES = [3e-3, 1e-3, 3e-4, 1e-4]


@dataclass(frozen=True)
class Design:
    """The part of a study that the time decides: what is varied, and for how long it trains."""

    fractions: tuple[str, ...]
    """Shares of the training pool, as a study file writes them."""
    seeds: int
    tuned: bool
    """Whether each cell searches its own learning rate."""
    epochs: int = 10


class Starter:
    """Makes a study of what a user wishes, and of the data that it names; the rest it chooses.

    The study is to be written to a `file`. `data` is a folder of images, a table, a function, or
    digits, cifar10, cifar100; levels are as a study file writes them; a `budget` is the time that
    the study may take on this machine, a bare number hours.
    """

    def __init__(
        self,
        file: Path,
        *,
        data: str = "digits",
        models: Sequence[str] | None = None,
        weights: Sequence[str] | None = None,
        budget: str | None = None,
    ) -> None:
        from trainables.data.dataset import inspect

        self._file, self._data = file, data
        self._folder = file.absolute().parent
        self._inputs: Inputs | None = None
        limit = None if budget is None else parse_budget(budget, bare="clock")
        if limit and limit.unit != "clock":
            raise StudyError(f"--budget {limit.text}: a time is needed here, such as 3h or 90min.")
        self._hours = limit and limit.amount
        self._source = self._block()
        try:
            try:
                self._info = inspect(Source(**self._source))
            except OtherLayout as other:
                # Another layout, which is read where the study says so.
                self._source |= other.block
                self._info = inspect(Source(**self._source))
        except TrainableError as error:
            raise StudyError(f"--data {data}: {error}") from None
        self._pool, _ = self._info.training.held_out(Source())
        digits = self._source["source"] == "digits"
        self._models = list(models or ["resnet18", "resnet34" if digits else "resnet50"])
        # A path is taken from here, not from the file.
        try:
            owns = [(level, parse_weights(level).own) for level in weights or ["none"]]
        except ValueError as error:
            raise StudyError(f"--weights: {error}.") from None
        self._weights = [str(Path(own.path).absolute()) if own else level for level, own in owns]

    def start(self) -> tuple[str, list[str]]:
        """Return the text of a study file, with comments, and sentences on what was chosen and why.

        A study of which not even the smallest fits the time is refused.
        """
        fewest = self._info.training.fewest(self._pool, (*range(_MOST_SEEDS), SEARCH_SEED))
        least = max(_PER_CLASS * self._info.n_classes, 2 * _BATCH_SIZES[-1], fewest)
        fractions = tuple(x for x in ADVISED_SIZES if self._images(x) >= least) or ("1",)
        hours = self._hours
        chosen = self._affordable(fractions, hours) if hours else Design(fractions, _SEEDS, False)
        reasons = self._reasons(chosen, self._price(chosen))
        read = self._inputs.inventory if self._inputs else None
        return self._text(chosen, reasons), [*([str(read)] if read else []), *reasons]

    def _affordable(self, fractions: tuple[str, ...], hours: float) -> Design:
        ladder = designs(fractions, tuned=len({label == "none" for label in self._weights}) > 1)
        found = afford(ladder, 3600 * hours, lambda design: self._price(design).wall.value)
        if found is None:
            least = self._price(replace(ladder[-1], epochs=1)).wall.value
            raise StudyError(
                f"--budget {hours:g}: even one epoch, one seed and "
                f"{len(ladder[-1].fractions)} data sizes take about {duration(least)} "
                "here; name fewer or smaller models, or more hours."
            )
        return found

    def _images(self, share: str) -> int:
        return share_to_count(float(Fraction(share)), self._pool.size)

    def _block(self) -> dict[str, Any]:
        """Return the data block, its path absolute."""
        named = [name for name in BUILT_IN if name not in ("parquet", "csv", "imagefolder")]
        if self._data in named:
            path = {} if self._data == "digits" else {"path": str(self._folder / "data")}
            return {"source": self._data, **path}
        if is_function(self._data):
            return {"source": self._data}
        place = Path(self._data)
        parquet = ("*.parquet", "*/*.parquet", "*/*.arrow")
        tables = {"parquet": parquet, "csv": ("train*.csv",)}
        if place.is_file():
            kinds = [kind for kind in tables if place.suffix == f".{kind}"]
        else:
            kinds = [kind for kind in tables if any(map(any, map(place.glob, tables[kind])))]
        if not place.is_dir() and not kinds:
            raise StudyError(
                f"--data {self._data}: no folder or table; a folder of train/<class>/… and "
                f"test/<class>/…, Parquet or CSV files, or {', '.join(named)} is needed."
            )
        return {"source": [*kinds, "imagefolder"][0], "path": str(place.absolute())}

    def _name(self) -> str:
        source = str(self._source["source"])
        is_place = "path" in self._source and not source.startswith("cifar")
        name = re.sub(r"[^A-Za-z0-9]", "-", Path(self._data).name if is_place else source)
        return name.strip("-")[:60] or "my-images"

    def _price(self, design: Design) -> Price:
        study = study_from(self._values(design), self._folder, str(self._file))
        # The first design is the richest: what it needs is enough for all others.
        self._inputs = self._inputs or find_inputs(study)
        nothing = History(Store(self._folder / "scalestudy-init-writes-no-records"))
        return price_study(Ledger(study, self._inputs, nothing))

    def _values(self, design: Design) -> dict[str, Any]:
        smallest = min(map(self._images, design.fractions))
        fitting = [size for size in _BATCH_SIZES if not has_few_steps(math.ceil(smallest / size))]
        side = _side(self._info)
        return {
            "name": self._name(),
            "data": self._source,
            "factors": {
                "model": self._models,
                "weights": self._weights,
                "fraction": [1 if share == "1" else share for share in design.fractions],
            },
            "recipe": {
                "epochs": design.epochs,
                "batch_size": fitting[0] if fitting else _BATCH_SIZES[-1],
                "optimizer": "adamw",
                **({} if design.tuned else {"lr": 1e-3}),
                "weight_decay": 0.01,
                **({} if self._source["source"] == "digits" else {"augmentation": "standard"}),
                **({"image_size": side} if side else {}),
            },
            **({"search": {"lr": _RATES}} if design.tuned else {}),
            "seeds": list(range(design.seeds)),
        }

    def _reasons(self, design: Design, price: Price) -> list[str]:
        wall, basis = price.wall, price.total.basis
        parts = [
            count(len(self._models), "model"),
            *([f"{len(self._weights)} weights"] if len(self._weights) > 1 else []),
            count(len(design.fractions), "data size"),
            *([f"{len(_RATES)} learning rates searched in each cell"] if design.tuned else []),
            count(design.seeds, "seed"),
        ]
        advice = "" if "a probe" in basis else "; plan --probe measures it"
        return [
            f"{listed(parts)}: {price.total.trials} trials of {design.epochs} epochs.",
            f"Expected here: about {duration(wall.value)} ({duration(wall.low)} to "
            f"{duration(wall.high)}), from {', '.join(basis)}{advice}.",
        ]

    def _text(self, design: Design, reasons: Sequence[str]) -> str:
        # Loaded here, so that a study is planned and priced without it.
        import jinja2

        pages = jinja2.Environment(
            loader=jinja2.PackageLoader("orchestrator.plan", "templates"),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            keep_trailing_newline=True,
        )
        pages.filters["flow"] = _flow
        values = self._values(design)
        if path := self._source.get("path"):
            from_here = partial(_from, self._folder)
            parts = isinstance(path, dict)
            written = {p: from_here(x) for p, x in path.items()} if parts else from_here(path)
            values["data"] = {**self._source, "path": written}
        return pages.get_template("study.yaml").render(
            values,
            validates=bool(self._info.given_validation),
            reasons=reasons,
            file=self._file.name,
        )


def _side(info: DataInfo) -> int | None:
    """Return the side that images are brought to, which a few large ones do not decide.

    None where all have one size and none need be made smaller.
    """
    if info.sides and max(info.sides) <= _LARGEST_SIDE:
        return None
    sides = [max(own) for own, count in info.shapes for _ in range(count)]
    return min(_LARGEST_SIDE, math.ceil(median(sides) / 8) * 8)


def _from(folder: Path, place: str | Path) -> str:
    """Return a place as a study file in a folder writes it: from there, if it is inside."""
    inside = Path(place).is_relative_to(folder) and Path(place) != folder
    return os.path.relpath(place, folder) if inside else str(place)


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.strip().removesuffix("...").strip()


def designs(most: tuple[str, ...], *, tuned: bool) -> list[Design]:
    """Return the designs to choose from, the richest first, which has all the fractions.

    `tuned` says whether a search of the learning rate is worth its cost: with several kinds of
    weights.
    """
    few = most if len(most) <= 3 else (most[0], most[len(most) // 2], most[-1])
    ladder = [
        *([Design(most, 5, True), Design(most, 3, True), Design(few, 3, True)] if tuned else []),
        *(Design(most, seeds, False) for seeds in (5, 3)),
        *(Design(few, seeds, False) for seeds in (3, 2, 1)),
    ]
    return [*dict.fromkeys(ladder)]


def afford(
    ladder: Sequence[Design], seconds: float, cost: Callable[[Design], float]
) -> Design | None:
    """Return the richest design that can be trained long enough, with the most epochs that fit.

    The ladder begins with the richest; `cost` returns expected seconds of a design. None where not
    even the last design with one epoch fits.
    """

    @cache
    def longest(design: Design) -> Design:
        lengths = [replace(design, epochs=epochs) for epochs in EPOCHS]
        fitting = bisect_right(lengths, seconds, key=cost)
        return lengths[fitting - 1] if fitting else replace(design, epochs=0)

    affordable = (
        longest(each) for enough in _ENOUGH for each in ladder if longest(each).epochs >= enough
    )
    return next(affordable, None)
