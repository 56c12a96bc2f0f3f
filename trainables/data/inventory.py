"""What was read, as one value: classes with counts, files, and what is worth knowing about them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.dataset import places
from trainables.data.info import DataInfo
from trainables.data.pictures import cut_share
from trainables.data.reading import Note
from trainables.recipe import Sides
from trainables.trial import Source

_NAMED = 8
"""Classes or files that a line names."""
_CUT = (0.005, 0.1)
"""Share of an image's pixels that is cut away, from which on it is a note, and a warning."""
_SEEN = 0.001
"""Share of the test images that may be training images too: a tenth of a point at most."""


@dataclass(frozen=True)
class Inventory:
    """What was read of a data set."""

    classes: Mapping[str, tuple[int, int]]
    """Number of training images, those for validation included, and of test images, by class."""
    train: int
    validation: int
    test: int
    files: tuple[str, ...]
    notes: tuple[Note, ...]
    repeats: Mapping[str, int]
    """Number of images in `train` that repeat an earlier one, of those under an `unlike` class, of
    those `across` training and validation, and in `test` of those that are in train."""
    looked_at: bool
    """Whether the images were decoded, so that the notes include what only pixels tell."""
    sides: Sides | None = None
    bits: int | None = None

    def __str__(self) -> str:
        classes = [f"{name} {train}" for name, (train, _) in self.classes.items()]
        held_out = f" ({self.validation} of them validation)" if self.validation else ""
        files = f"; from {folded(self.files)}" if self.files else ""
        counts = f"{self.train} train{held_out}, {self.test} test"
        return f"data: {len(classes)} classes ({folded(classes)}), {counts}{files}"

    def as_json(self) -> dict[str, Any]:
        """Return it as documents hold it."""
        classes = {n: {"train": a, "test": b} for n, (a, b) in self.classes.items()}
        return {"line": str(self), **asdict(self), "classes": classes}


def folded(names: Sequence[str]) -> str:
    """Return names as one text, of many only the first ones and how many follow."""
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: _NAMED - 2])} and {len(names) - _NAMED + 2} more"


def take_stock(
    info: DataInfo, source: Source, held_out: NDArray[np.int64], goals: Iterable[Sides | None]
) -> Inventory:
    """Return what was read; goals are heights and widths that trials bring images to, or None."""
    parts = info.train_labels, info.test_labels
    counts = (np.bincount(labels, minlength=info.n_classes).tolist() for labels in parts)
    repeats = _repeats(info, held_out)
    return Inventory(
        classes=dict(zip(info.class_names, zip(*counts, strict=True), strict=True)),
        train=info.n_train,
        validation=held_out.size,
        test=info.n_test,
        files=info.files,
        notes=(
            *info.remarks,
            *_of_classes(info, held_out),
            *_of_pictures(info, source, goals),
            *_of_copies(info, source, repeats),
        ),
        repeats=repeats,
        looked_at=info.look is not None,
        sides=info.sides,
        bits=info.look.bits if info.look else None,
    )


def _of_classes(info: DataInfo, held_out: NDArray[np.int64]) -> Iterator[Note]:
    for one, other in pairwise(sorted(info.class_names, key=str.casefold)):
        if one.casefold() == other.casefold():
            text = f"the classes {one} and {other} differ in small and capital letters alone"
            yield Note("names-alike", "warning", text, "give them one name if they are one class")
    parts = {"test": info.test_labels}
    if held_out.size:
        parts["validation"] = info.train_labels[held_out]
    for part, labels in parts.items():
        absent = np.setdiff1d(np.arange(info.n_classes), labels)
        if absent.size:
            names = folded([info.class_names[label] for label in absent])
            they = "it" if absent.size == 1 else "them"
            text = f"{part} has no image of {names}, so that nothing is known there about {they}"
            yield Note("class-absent", "note", text)


def _of_pictures(info: DataInfo, source: Source, goals: Iterable[Sides | None]) -> Iterator[Note]:
    look, n_images = info.look, info.n_train + info.n_test
    if info.n_deep:
        scale = "by the bits that the training images use (known once they are decoded)"
        if source.range:
            scale = f"so that {source.range[0]:g} is black and {source.range[1]:g} white"
        elif look and look.bits:
            scale = f"from the {look.bits} bits that training images use, 0 to {2**look.bits - 1}"
        text = f"{info.n_deep} images have more than 8 bits per channel; they are scaled {scale}"
        yield Note("deep-images", "note", text)
    n_clear = look.n_transparent if look else info.n_alpha
    if n_clear:
        are = "are" if look else "may be"
        text = f"{n_clear} images {are} transparent in places, and lie on {source.background}"
        yield Note("transparent-images", "note", text)
    if info.left_out:
        yield Note("damaged-images", "warning", f"{info.skipped}; left out")
    if look is not None and look.n_flat:
        text = f"{look.n_flat} of {n_images} images have one colour all over"
        yield Note("flat-images", "warning", f"{text}, such as {look.flat}", "look at them")
    if look is not None and look.is_even:
        so = "so that normalising them makes noise as large as what they show"
        text = f"all training images together hardly differ from one grey level, {so}"
        advice = "look at how they are stored; data.range scales images of more than 8 bits"
        if n_clear:
            advice = "another data.background may show what is transparent"
        yield Note("even-images", "warning", text, advice)
    cropped = [goal for goal in goals if goal is not None and source.fit == "crop"]
    cut = [sum(count * cut_share(own, goal) for own, count in info.shapes) for goal in cropped]
    share, goal = max(zip(cut, cropped, strict=True), key=itemgetter(0), default=(0.0, (0, 0)))
    share /= n_images
    if share >= _CUT[0]:
        away = f"cuts {100 * share:.0f} % of their pixels away"
        text = f"bringing images to {goal[1]}×{goal[0]} keeps their middle and {away}"
        advice = "data.fit: squash or pad keeps all"
        yield Note("images-cut", "warning" if share > _CUT[1] else "note", text, advice)


def _repeats(info: DataInfo, held_out: NDArray[np.int64]) -> dict[str, int]:
    copies, firsts = np.array(info.known_copies.train, dtype=np.int64).reshape(-1, 2).T
    validates = np.isin(np.arange(info.n_train), held_out)
    # All copies of an image are one group: it straddles where it holds both kinds.
    groups = np.arange(info.n_train)
    groups[copies] = firsts
    return {
        "train": copies.size,
        "unlike": int((info.train_labels[copies] != info.train_labels[firsts]).sum()),
        "across": np.intersect1d(groups[validates], groups[~validates]).size,
        "test": len(info.known_copies.test),
    }


def _of_copies(info: DataInfo, source: Source, repeats: Mapping[str, int]) -> Iterator[Note]:
    if repeats["train"]:
        text = f"{repeats['train']} of {info.n_train} training images repeat an earlier one"
        if repeats["unlike"]:
            text += f", {repeats['unlike']} of them under another class"
        if repeats["across"]:
            text += f"; {repeats['across']} of the repeated ones are trained on and validated on"
        advice = "data.group: content keeps repeats on one side" if repeats["across"] else ""
        yield Note("repeated-images", "warning", text, advice or "take the repeats out")
    if repeats["test"] > _SEEN * info.n_test:
        how = "pixel by pixel" if info.look else "to the last byte"
        first = places(source, info, "test")[info.known_copies.test[0][0]]
        seen = f"{repeats['test']:,} of {info.n_test:,} test images, such as {first}, are training"
        text = f"{seen} images too, {how}, so that test accuracy rewards learning by heart"
        yield Note("seen-images", "warning", text, "take them out of one of the two")
