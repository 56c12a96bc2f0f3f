"""The images of a study: inspected without decoding, decoded once per node, shared by all trials.

A decoded set lies in the cache folder as .npy files that every trial maps read-only, so that all
processes share the pages; where the disk has no room for it, as stored, decoded at each use.
"""

import hashlib
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.phrases import byte_size
from trainables.data import cache
from trainables.data.content import Content, tried
from trainables.data.decoding import Decoding, Progress
from trainables.data.holding import DISK_SHARE
from trainables.data.info import INFO, LOOK, DataInfo, look_key
from trainables.data.pictures import DECODING_VERSION, decode, examine, quiet
from trainables.data.reading import Pixels, in_order
from trainables.data.rows import Rows, mapped, open_images
from trainables.data.sources import origin
from trainables.data.splits import Training
from trainables.errors import DataError
from trainables.machine import free_disk
from trainables.recipe import Sides
from trainables.trial import Source

_INSPECTION = 6
"""Raised when the same files give another `DataInfo`."""
_TIMED = 16
"""Images by which the time that decoding takes is told."""


@dataclass(frozen=True, eq=False)
class Images:
    """Images and their labels."""

    images: Pixels | Rows
    """Shape (n, height, width, 3), C-contiguous, mapped read-only from the cache folder; or what is
    indexed likewise, and decodes at each use."""
    labels: NDArray[np.int64]
    sums: NDArray[np.float64] | None = None
    """`channel_sums` of each image, where they were taken when it was decoded."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A decoded data set: the training images, validation included, and the test images."""

    train: Images
    test: Images
    training: Training
    """What splits of the training images depend on, with the names that classes had when they were
    decoded: renaming a class does not change the content."""
    key: str = ""
    """Names content, size and fit of the images; empty where they are not of the cache folder."""


def inspect(source: Source) -> DataInfo:
    """Return what is known of a source: labels, class names, sizes, a hash; nothing is decoded.

    What was found is kept in the cache folder until a file changes. Raises DataError, which names
    what is missing, unreadable or labelled in an impossible way, as far as images' headers tell.
    """
    found = origin(source)
    key = cache.evidence_key(found.evidence() or (), _INSPECTION, source.model_dump_json())
    if key is not None and (known := cache.recall(key)) is not None:
        info = INFO.validate_python(known)
    else:
        reading = found.read(source)
        content, look = Content(reading, source), partial(tried, partial(examine, source=source))
        with quiet():
            for digest, head in in_order(look, chain(reading.train.items(), reading.test.items())):
                content.add(digest, head)
        info = content.info()
        if key is not None:
            cache.remember(key, INFO.dump_python(info))
    # Which pixels are damaged is known once they were decoded.
    if source.damaged == "skip" and (decoded := cache.recall(_skipping(info.content, source))):
        info = replace(INFO.validate_python(decoded), class_names=info.class_names)
    seen = cache.recall(look_key(info.content, source))
    return replace(info, look=None if seen is None else LOOK.validate_python(seen))


def _skipping(content: str, source: Source) -> str:
    said = f"{_INSPECTION}{content}{source.model_dump_json(exclude={'path', 'source'})}"
    return f"skip-{hashlib.sha256(said.encode()).hexdigest()[:32]}"


def places(source: Source, info: DataInfo, part: str) -> list[str]:
    """Return where each image of a part, `train` or `test`, is found again: a file, or its row."""
    count = info.n_train if part == "train" else info.n_test
    if source.source == "digits" or source.source.startswith("cifar"):
        return [f"{source.source}, {part}, image {number}" for number in range(count)]
    if source.test is None:
        # Groups decide nothing then, and to know them may take decoding.
        source = source.model_copy(update={"group": None})
    reading = origin(source).read(source)
    found = chain(reading.train.places(), reading.test.places())
    left_out = set(info.left_out)
    kept = [place for number, place in enumerate(found) if number not in left_out]
    return kept[: info.n_train] if part == "train" else kept[info.n_train :]


def decode_size(source: Source, goal: Sides | None) -> Sides | None:
    """Return the height and width to which images are decoded for a recipe's `sides`.

    None keeps them as they are, to be resized on the device: where all have one size and the
    recipe's shape, and are no larger, whichever source they come from.
    """
    if goal is None:
        return None
    own = inspect(source).sides
    return None if own is not None and stays(own, goal) else goal


def stays(own: Sides, goal: Sides) -> bool:
    """Return whether images of these sides are decoded as they are, to be resized on the device."""
    return own[0] * goal[1] == own[1] * goal[0] and own[0] <= goal[0]


def open_dataset(
    source: Source,
    fingerprint: str,
    image_size: Sides | int | None,
    progress: Progress | None = None,
    *,
    anew: bool = False,
) -> Dataset:
    """Return a data set's decoded images, decoded first where this node has not done it yet.

    An image size is the height and width in pixels that images are brought to, as the source's
    `fit` says; one number is both; None leaves them as they are, all of one size. `anew` decodes
    what is there already too. Raises DataError where images are damaged (they are named) or not
    those of the fingerprint that `inspect` returned, or the cache folder has no room.
    """
    goal = (image_size, image_size) if isinstance(image_size, int) else image_size

    def write(folder: Path) -> None:
        reading = origin(source).read(source)
        # What a function gives is pixels.
        as_stored = not source.is_function and is_stored(source, inspect(source), goal)
        with quiet():
            info, look = Decoding(folder, reading, source, goal, progress, as_stored).run()
        cache.remember(look_key(info.content, source), LOOK.dump_python(look))
        if source.damaged == "skip":
            cache.remember(_skipping(info.content, source), INFO.dump_python(info))
        if info.fingerprint != fingerprint:
            raise DataError(
                f"{reading.train.where}: not the images and labels that the study was planned with:"
                " they have changed since, or differ on this node; bring them back or plan anew"
            )

    read = partial(_opened, source=source, goal=goal)
    return cache.kept(_entry(fingerprint, source, goal), read, write, anew=anew)


def look_at(source: Source, goals: Iterable[Sides | None], progress: Progress | None) -> DataInfo:
    """Decode a source for all goals; return what is known then. Raises as `open_dataset` does."""
    info = inspect(source)
    for goal in goals:
        try:
            open_dataset(source, info.fingerprint, goal, progress, anew=info.look is None)
        except DataError:
            if source.damaged == "refuse" or inspect(source).fingerprint == info.fingerprint:
                raise
            # Damaged images were found, and are left out from now on.
            open_dataset(source, inspect(source).fingerprint, goal, progress)
        info = inspect(source)
    return info


def _entry(fingerprint: str, source: Source, goal: Sides | None) -> Path:
    size = "native" if goal is None else f"{goal[0]}x{goal[1]}"
    if goal is not None and goal[0] == goal[1]:
        size = str(goal[0])
    elif goal is not None and source.fit != "crop":
        # The fingerprint of squares does not say how they are brought to another shape.
        size += f"-{source.fit}-{source.background.strip('#')}"
    return cache.cache_folder() / "decoded" / f"{fingerprint}-{size}-{DECODING_VERSION}"


def _opened(entry: Path, source: Source, goal: Sides | None) -> Dataset | None:
    """Return what an entry holds, compared with its checksums once; None where it is not whole."""
    with suppress(OSError, ValueError, EOFError, LookupError, TypeError):
        held = cache.opened_json((entry / "classes.json").read_bytes())
        if not cache.is_as_written(entry, held["crc32"]):
            return None
        train, test = (_part(entry, part, held, source, goal) for part in ("train", "test"))
        file = entry / "train-groups.npy"
        groups = np.load(file) if file.name in held["crc32"] else None
        known = Training(train.labels, held["names"], held["given"], groups)
        return Dataset(train, test, known, entry.name)
    return None


def _part(entry: Path, part: str, held: Any, source: Source, goal: Sides | None) -> Images:
    images = open_images(entry, part, held, goal, source)
    labels, sums = mapped(entry / f"{part}-labels.npy"), f"{part}-sums.npy"
    is_pixels = isinstance(images, Rows) or images.dtype == np.uint8
    if not is_pixels or labels.dtype != np.int64 or images.shape[:1] != labels.shape:
        raise ValueError("not images and their labels")
    return Images(images, labels, mapped(entry / sums) if sums in held["crc32"] else None)


def is_stored(source: Source, info: DataInfo, goal: Sides | None) -> bool:
    """Return whether this node keeps the images as stored; DataError where it has no room."""
    entry = _entry(info.fingerprint, source, goal)
    # Of a folder that this user may not look into, nothing is there.
    if os.access(entry / "train-images.stored", os.F_OK):
        return True
    needed, disk = info.decoded_bytes(goal), free_disk(cache.cache_folder())
    if needed <= DISK_SHARE * disk or os.access(entry / "train-images.npy", os.F_OK):
        return False
    if 0 < info.stored_bytes <= DISK_SHARE * disk:
        return True
    height, width = goal or info.sides or (0, 0)
    stored = f" and {byte_size(info.stored_bytes)} as stored" if info.stored_bytes else ""
    raise DataError(
        f"data: {info.n_train + info.n_test:,} images at {width}×{height} need {byte_size(needed)} "
        f"decoded{stored}, but cache folder {cache.cache_folder()} has {byte_size(disk)} free; set "
        f"{cache.FOLDER_VARIABLE} to a folder with more, or a smaller image_size"
    )


def decoding_seconds(source: Source, goal: Sides | None) -> float:
    """Return the seconds that one thread takes to decode a training image, by the first ones."""
    items = [*islice(origin(source).read(source).train.items(), _TIMED)]
    with quiet():
        began = time.perf_counter()
        for item in items:
            tried(partial(decode, sides=goal, source=source), item)
        return (time.perf_counter() - began) / len(items)
